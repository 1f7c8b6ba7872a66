//! A plugin's life: from a package that was found to one that takes calls, and back.
//!
//! [`machine`] is the pure part: which step follows which, and what is undone when one fails. [`drive`] has its
//! decisions carried out.

pub mod drive;
pub mod machine;

pub use drive::{Effects, drive};
pub use machine::{Effect, Event, PluginState, Refusal, Transition, advance};
