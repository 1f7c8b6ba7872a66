//! The type graph: what is read from components, JSON both ways, and that the published schemas say the same.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod component;
mod json;
mod properties;
mod schema;
mod support;
