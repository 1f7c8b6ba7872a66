//! The composition root: configuration in, a [`Host`] out: the door to its [`Platform`](outrigger_api::Platform). Here the engine meets the
//! SQLite store, the Wasm runtime and the packages on disk; nothing else knows all of them.

pub mod backup;
mod convert;
mod data_directory;
mod disk;
mod doctor;
pub mod environment;
mod functions;
mod host;
mod inheritance;
mod keys;
mod latest;
pub mod options;
mod outgoing;
mod overrides;
mod owners;
mod packages;
mod process;
mod profiles;
mod records;
mod session;
mod signatures;
mod telemetry;
mod templates;
mod uploads;
mod usage;
mod vault;
pub mod yaml;

pub use host::{Host, ServerWork, check_key_file, running_server};
pub use options::HostOptions;
pub use outrigger_engine::quota::Quotas;
pub use outrigger_engine::retention::{Kept, Retention};
pub use outrigger_engine::webhooks::WebhookOptions;
pub use outrigger_runtime::compile_if_asked;
pub use outrigger_store::LEAST_RESERVE;
pub use session::Session;
