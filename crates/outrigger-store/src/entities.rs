//! The rows. One module a table, with the conversions between a row and the engine's record; both directions
//! destructure, so that a new field cannot be forgotten.
//!
//! Columns are in the order of the migrations: what lists show stands first, because a database need not read on to the
//! pages that hold the large documents at the end of a row.

// sea-orm's derives write `pub` items, and need the row to be as visible as they are.
#![allow(unreachable_pub)]

pub(crate) mod audit;
pub(crate) mod audit_part;
pub(crate) mod configuration;
pub(crate) mod configuration_revision;
pub(crate) mod delivery;
pub(crate) mod event;
pub(crate) mod grant;
pub(crate) mod health;
pub(crate) mod hook;
pub(crate) mod job;
pub(crate) mod key;
pub(crate) mod log;
pub(crate) mod outbox;
pub(crate) mod plugin;
pub(crate) mod predecessor;
pub(crate) mod predecessor_state;
pub(crate) mod request;
pub(crate) mod revision;
pub(crate) mod role;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod schema_version;
pub(crate) mod state;
pub(crate) mod statistic;
pub(crate) mod subscription;
pub(crate) mod template;
pub(crate) mod webhook;
pub(crate) mod writable_folder;
