//! The services of the Outrigger host, for a plugin written in Rust, and the interfaces that a plugin may export.
//!
//! A plugin needs none of this: a component that exports plain functions is complete. Use what helps:
//!
//! * [`log`], [`configuration`], [`state`], [`calls`], [`progress`], [`hooks`] call the host. Only the services that the code uses become
//!   imports of the component, so a plugin that never logs runs in any host.
//! * [`Lifecycle`] with [`export_lifecycle!`] takes part in initialization, activation, deactivation and cleanup.
//! * [`Health`] with [`export_health!`] answers how the plugin is.
//! * [`Migration`] with [`export_migration!`] takes over what an older version left.
//!
//! The plugin's own world names only its own functions. The SDK brings its bindings along, and the linker joins both.
//!
//! ```ignore
//! use outrigger_sdk::{Lifecycle, configuration, log};
//!
//! struct Plugin;
//!
//! impl Lifecycle for Plugin {
//!     fn initialize() -> Result<(), String> {
//!         let region: String = configuration::get("region").map_err(|error| error.to_string())?.unwrap_or_default();
//!         log::info("initialized", &[("region", &region)]);
//!         Ok(())
//!     }
//! }
//!
//! outrigger_sdk::export_lifecycle!(Plugin);
//! ```

pub mod calls;
pub mod configuration;
mod health;
pub mod hooks;
mod lifecycle;
pub mod log;
mod migration;
pub mod progress;
pub mod state;

#[doc(hidden)]
pub mod bindings;

pub use health::{Check, Health, Report, Status};
pub use lifecycle::Lifecycle;
#[doc(hidden)]
pub use migration::migrate_text;
pub use migration::{Migration, Values};
