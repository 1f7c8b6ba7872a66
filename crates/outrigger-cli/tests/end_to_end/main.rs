//! The real binary over a real data directory, with real plugins.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests included")]

mod auditing;
mod backing_up;
mod calls;
mod collector;
mod compiling;
mod developing;
mod events;
mod harness;
mod health;
mod installing;
mod jobs;
mod keeping;
mod kill;
mod permissions;
mod remote;
mod running;
mod signing;
mod strangers;
mod telemetry;
mod templates;
mod tls;
mod updating;
mod without_data;
