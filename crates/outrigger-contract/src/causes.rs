//! Errors with their causes. No error repeats its source in its own text, so code that shows an error joins the chain.

use std::error::Error;

/// An error and its causes, as one text.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
