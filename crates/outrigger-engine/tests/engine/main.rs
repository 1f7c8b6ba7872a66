//! The engine with a real (in-memory) store and a runtime that does what it is told: the stages of a call, the life of a
//! plugin, and what is recorded.

mod bench;
mod call;
mod configuration;
mod floods;
mod guards;
mod health;
mod hooks;
mod jobs;
mod lifecycle;
mod migrations;
mod origins;
mod profile;
mod records;
