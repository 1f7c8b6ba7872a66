//! Dev-only: fixtures and suites that the tests of several crates share.

pub mod components;
pub mod disk;
pub mod golden;
pub mod greedy;
pub mod migrating;
pub mod scripted;
pub mod services;
pub mod store_suite;
pub mod traps;
pub mod values;
