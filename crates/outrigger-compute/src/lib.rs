//! A low-priority thread pool for long computations, beside the threads that serve connections.
//!
//! Most calls of plugins take microseconds and run on the threads that serve connections, because handing a call to
//! another thread takes longer than that. A long computation on these threads would delay every connection. It runs in
//! this pool instead: one thread for each processor, at a lower priority than the serving threads, so that the
//! operating system prefers a short call whenever there is one.
//!
//! - [`run`] runs an async computation, such as a call of a plugin. It starts on the caller's thread and moves to the
//!   pool at its first [`tick`].
//! - [`blocking`] runs a function that cannot be interrupted, such as parsing a large text.
//! - [`serve`] does the opposite: a computation in the pool uses it for work that others may wait for.

mod blocking;
mod pool;

pub use blocking::{Panicked, blocking, in_place};
pub use pool::{is_in_pool, run, serve, serve_apart, tick};
