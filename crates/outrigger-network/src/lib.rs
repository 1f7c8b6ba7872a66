//! Connections to hosts outside, for plugins and for webhooks alike. The name is resolved here, each address it resolves to
//! is checked, and the connection goes to an address that passed: resolving again in between would let the name change its
//! mind.

mod connect;
mod post;
mod resolve;
mod tls;

pub use connect::{ConnectError, connect, connect_where};
pub use post::{Answer, Post, PostError, post};
pub use resolve::{Resolver, ResolverPool};
pub use tls::{Stream, TlsClient};
