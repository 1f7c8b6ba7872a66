//! Threads beside those that serve connections: a low-priority pool for long computations, and one that uses the store.
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
//! - [`with_store`] runs work that uses the store, from any thread: a transaction holds up all other writers.
//! - [`Turns`] limits how much of some work is done at once, for each caller and in total.

mod blocking;
mod pool;
mod store;
mod turns;

pub use blocking::{Panicked, blocking, in_place};
pub use pool::{discard, is_in_pool, run, serve, tick};
pub use store::{spawn_with_store, with_store};
pub use turns::{Turn, Turns};
