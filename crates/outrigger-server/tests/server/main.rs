//! HTTP as a client sees it. Who stands behind the door is a stand-in with little of its own: what the platform does is
//! tested where it is done; here it is about keys, bodies, headers, problems and sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed, and says where")]

mod admission;
mod bodies;
mod changes;
mod client;
mod document;
mod events;
mod idempotency;
mod leaving;
mod platform;
mod requests;
mod signatures;
mod sockets;
mod streams;
mod uploads;
