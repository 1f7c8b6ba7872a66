//! The engine's [`Store`](outrigger_engine::Store), kept in SQL, with a twin in memory. Whoever opens one of them sees
//! only that trait: rows, columns and SQL stay in this crate.
//!
//! [`SqliteStore`] is the embedded default. What it does is written in sea-orm's terms, so that PostgreSQL can follow
//! from the same entities and migrations; what only SQLite has stands in `sqlite.rs` and `dialect.rs`. [`MemoryStore`]
//! keeps nothing and behaves alike, which the contract suite in `outrigger-testkit` and `tests/twins.rs` hold both to.

mod access;
mod alone;
mod audit;
mod columns;
mod configuration;
mod database;
mod dialect;
mod entities;
mod events;
mod health;
mod hooks;
mod jobs;
mod memory;
mod migrations;
mod owners;
mod plugins;
mod prune;
mod records;
mod requests;
mod reserve;
mod sqlite;
mod state;
mod statistics;
mod templates;
mod updates;
mod usage;
mod webhooks;
mod writing;

pub use memory::MemoryStore;
pub use reserve::{LEAST_RESERVE, free_bytes};
pub use sqlite::SqliteStore;
