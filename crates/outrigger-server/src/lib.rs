//! The HTTP face: routes over the traits of `outrigger-api`, nothing else. A route is an async function with typed
//! input and output; one adaptor does for all of them what is the same everywhere, and the OpenAPI document is a
//! rendering of the same types. So a shape is written once, and a route cannot be served without being described.
//!
//! Read in this order: [`routes`] (what there is), `endpoint` (what happens to every request), `serve` (sockets).

mod connection;
mod crowd;
mod endpoint;
mod etag;
mod idempotency;
mod listen;
mod openapi;
mod options;
mod page;
mod routes;
mod serve;

pub use options::{ServerOptions, TlsFiles};
pub use serve::{Drained, Running, ServeError, serve};

/// The OpenAPI 3.1 document, as `/api/v1/openapi.json` serves it.
#[must_use]
pub fn openapi() -> serde_json::Value {
    openapi::document(&mut routes::all())
}
