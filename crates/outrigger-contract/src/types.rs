//! The type graph: what a plugin's functions take and give, read once and rendered everywhere.
//!
//! [`graph`] holds the types, [`wit`] reads them from a component, [`value`] is a value of such a type, [`json`]
//! takes values from JSON and gives them back, [`schema`] publishes the JSON Schema that both directions keep to.

pub mod graph;
pub mod json;
pub mod schema;
pub mod value;
pub mod wit;

pub use graph::{Case, Field, Function, Label, NamedType, Outcome, Shape, Type, TypeGraph, TypeId};
pub use value::Value;
