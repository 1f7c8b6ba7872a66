//! The real binary over a real data directory, with real plugins.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests included")]

mod backing_up;
mod calls;
mod developing;
mod harness;
mod installing;
mod jobs;
mod keeping;
mod kill;
mod running;
mod without_data;
