//! A platform over a real data directory, with real components: installing, updating, refusing, calling.

mod bench;
mod call;
mod configuration;
mod install;
mod refuse;
