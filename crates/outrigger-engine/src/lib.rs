//! The engine: the one path that every call takes, and the life of plugins. It names no database, no Wasm engine and no
//! HTTP framework; those fill the traits [`Runtime`] and [`Store`].

pub mod correlation;
pub mod runtime;
pub mod store;
pub mod lifecycle;

pub use correlation::CorrelationId;
pub use runtime::Runtime;
pub use store::Store;
