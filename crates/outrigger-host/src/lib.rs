//! The composition root: configuration in, a local [`Platform`](outrigger_api::Platform) out. Here the engine meets the
//! SQLite store, the Wasm runtime and the packages on disk; nothing else knows all of them.

mod convert;
mod data_directory;
mod doctor;
pub mod environment;
mod functions;
mod local;
pub mod options;
mod packages;
mod records;

pub use local::LocalPlatform;
pub use options::HostOptions;
