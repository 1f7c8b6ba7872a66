//! A platform over a real data directory, with real components: installing, updating, refusing, calling.

mod backup;
mod bench;
mod call;
mod configuration;
mod door;
mod files;
mod grants;
mod guards;
mod health;
mod hooks;
mod hooks_of_plugins;
mod inheritance;
mod install;
mod memory;
mod migrations;
mod records;
mod refuse;
mod signatures;
mod strangers;
mod webhooks;
mod yard;
