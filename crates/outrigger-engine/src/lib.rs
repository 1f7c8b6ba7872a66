//! The engine: the one path that every call takes, and the life of plugins. It names no database, no Wasm engine and no
//! HTTP framework; those fill the traits [`Runtime`] and [`Store`].
//!
//! Begin with [`call`], which is the path, and [`life`], which is what an administrator does.

pub mod access;
pub mod account;
mod acts;
pub mod audit;
pub mod call;
pub mod cap;
pub mod configuration;
pub mod correlation;
pub mod engine;
pub mod error;
pub mod events;
pub mod health;
pub mod hooks;
pub mod jobs;
pub mod ledger;
pub mod life;
pub mod lifecycle;
mod pattern;
mod plugins;
pub mod profile;
pub mod progress;
pub mod quota;
pub mod recorder;
mod rendering;
mod requests;
pub mod retention;
pub mod runtime;
mod schema;
mod services;
pub mod statistics;
pub mod store;
pub mod trace;
pub mod vault;
pub mod webhooks;

pub use access::{Principal, Right};
pub use account::{Account, Charge, Exceeded, MemoryBounds};
pub use call::{Answer, Arguments, Call, CallOptions, Caller, Origin, PluginCaller, Warning};
pub use correlation::CorrelationId;
pub use engine::{Backends, Engine, EngineOptions};
pub use error::Failure;
pub use plugins::ActiveRevision;
pub use profile::{CallProfile, Recording, Stage};
pub use runtime::Runtime;
pub use store::Store;
pub use trace::Tracer;
