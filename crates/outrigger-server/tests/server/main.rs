//! HTTP as a client sees it. Who stands behind the door is a stand-in with little of its own: what the platform does is
//! tested where it is done; here it is about keys, bodies, headers, problems and sockets.

mod client;
mod document;
mod idempotency;
mod platform;
mod requests;
mod sockets;
