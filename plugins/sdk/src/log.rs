//! Structured log lines. They carry the correlation id of the call that wrote them. Output to standard output or
//! standard error is logged too; this module adds levels and fields.

use std::fmt::Display;

use crate::bindings::imports::outrigger::plugin::logging;

pub use logging::Level;

/// Names and values that go with a line, such as `&[("service", &service), ("quantity", &3)]`.
pub type Fields<'a> = &'a [(&'a str, &'a dyn Display)];

/// Writes one line at `level`.
pub fn log(level: Level, message: impl AsRef<str>, fields: Fields<'_>) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    logging::log(level, message.as_ref(), &fields);
}

/// Writes one line for somebody who follows every step.
pub fn trace(message: impl AsRef<str>, fields: Fields<'_>) {
    log(Level::Trace, message, fields);
}

/// Writes one line for somebody who looks for a fault.
pub fn debug(message: impl AsRef<str>, fields: Fields<'_>) {
    log(Level::Debug, message, fields);
}

/// Writes one line about the normal course of things.
pub fn info(message: impl AsRef<str>, fields: Fields<'_>) {
    log(Level::Info, message, fields);
}

/// Writes one line about something that works and should be looked at.
pub fn warn(message: impl AsRef<str>, fields: Fields<'_>) {
    log(Level::Warn, message, fields);
}

/// Writes one line about something that failed.
pub fn error(message: impl AsRef<str>, fields: Fields<'_>) {
    log(Level::Error, message, fields);
}
