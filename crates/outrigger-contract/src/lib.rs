//! The contract between Outrigger and its plugins: names, the manifest, permissions, the type graph and the
//! renderings of it. Everything here is a pure function of its input; this crate does no IO.
//!
//! Read in this order: [`name`] and [`digest`] (names of things), [`manifest`] (what a plugin declares),
//! [`permission`], [`limit`] and [`grant`] (what it asks for), [`hook`] (its hooks and subscriptions), [`types`]
//! (parameters and results of its functions), [`trace`] (a call's place in a trace), [`text`] (display of untrusted
//! text), [`near`] (similar names), [`code`] (error codes), [`causes`] (errors with their causes).

pub mod address;
pub mod causes;
pub mod code;
pub mod digest;
pub mod excerpt;
pub mod grant;
pub mod hook;
pub mod limit;
pub mod manifest;
pub mod name;
pub mod near;
pub mod object;
pub mod pattern;
pub mod permission;
pub mod template;
pub mod text;
pub mod trace;
pub mod types;
pub mod units;
pub mod webhook;

pub use code::Code;
pub use digest::Digest;
pub use grant::Grant;
pub use hook::{HookKind, HookName, OnError};
pub use limit::Ceiling;
pub use manifest::Manifest;
pub use name::{FunctionName, FunctionRef, PluginName};
pub use pattern::Pattern;
pub use permission::Permissions;
pub use template::{Template, TemplateName, TemplateValues, TemplateVariable};
pub use trace::TraceContext;
pub use types::{Type, TypeGraph, Value};
pub use webhook::WebhookName;
