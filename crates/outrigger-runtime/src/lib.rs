//! How plugins run. Each kind of runtime is a module that fills the engine's trait
//! [`Runtime`](outrigger_engine::runtime::Runtime); nothing else of it is visible to the rest of the platform.
//!
//! This is the only crate that names wasmtime.

pub mod wasm;

pub use wasm::{CompileLimits, Protected, WasmOptions, WasmRuntime, compile_if_asked};
