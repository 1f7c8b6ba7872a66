//! The command line of Outrigger: a face over [`Platform`](outrigger_api::Platform), and nothing more than a face.
//!
//! Read in this order: [`cli`] (what can be typed), [`context`] (what a command works with), [`commands`] (one file a
//! command), [`flags`] (from a function's types to its flags), [`output`] (how results are shown), [`error`] (how
//! failures are), [`reference`](mod@reference) (the pages generated from all of it).
//!
//! Data goes to standard output, everything else to standard error. Every failure has a code of the one table and
//! exits with that code's exit code.

pub mod cli;
pub mod commands;
mod complete;
pub mod context;
pub mod error;
pub mod flags;
pub mod input;
pub mod output;
pub mod reference;
mod run;

pub use run::run;

/// The whole command line, for the reference and for completions.
#[must_use]
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}
