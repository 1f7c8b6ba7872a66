//! How far a long call is. It is shown with the job that the call is made for, by `outrigger job`; of a call that is no
//! job nobody is told, so a function need not know how it is called.

use crate::bindings::imports::outrigger::plugin::progress;

/// Says how far the call is, from 0 to 1, and what is being done. It may be said often: the latest word counts.
///
/// ```ignore
/// for (done, table) in tables.iter().enumerate() {
///     progress::report(done as f64 / tables.len() as f64, format!("copying {table}"));
///     copy(table)?;
/// }
/// ```
pub fn report(fraction: f64, message: impl AsRef<str>) {
    progress::report(Some(fraction), message.as_ref());
}

/// Says what is being done, where it is not known how much there is to do.
pub fn say(message: impl AsRef<str>) {
    progress::report(None, message.as_ref());
}
