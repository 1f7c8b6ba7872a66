//! Dev-only: fixtures and suites that the tests of several crates share.

pub mod scripted;
pub mod store_suite;
