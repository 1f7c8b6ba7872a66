//! What a server is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where requests with a key come in. Port 0 takes a free one, which [`crate::Running::address`] tells.
    pub listen: SocketAddr,
    /// A unix socket that only its owner can open. Who can is the administrator and needs no key.
    pub socket: Option<PathBuf>,
    /// Serve `listen` over TLS.
    pub tls: Option<TlsFiles>,
    /// The longest body of a request, in bytes.
    pub body_limit: usize,
    /// How much of request bodies one key may have under way at once, in bytes. Always enough for one body.
    pub bodies_per_key: usize,
    /// How much all keys together may have.
    pub bodies_total: usize,
    /// How much of long answers one key may leave untaken at once, in bytes.
    pub answers_per_key: usize,
    /// How much all keys together may.
    pub answers_total: usize,
    /// How many streams of events one key may follow at once.
    pub streams_per_key: usize,
    /// How many all keys together may.
    pub streams_total: usize,
    /// Connections over the network at once, and requests of HTTP/2 besides the first of each. Those beyond are closed or
    /// refused as they come.
    pub connections: usize,
    /// Of them, from one address (of IPv6, from one /64).
    pub connections_per_address: usize,
    /// How long nothing of the body of a request may arrive. All of it may take as long, and longer if it arrives at more
    /// than 16 KiB a second.
    pub body_timeout: Duration,
    /// How long nothing may go on at a connection before it is closed: no request arrives whole, none is being served, and
    /// nothing of an answer goes out. May take a quarter longer. Connections of HTTP/2 stay while their client answers pings
    /// and takes its answers.
    pub idle_timeout: Duration,
    /// How long requests may still run once the server is told to stop.
    pub drain: Duration,
}

/// A certificate chain and its private key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl ServerOptions {
    /// Plain HTTP at an address, with the usual limits.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            socket: None,
            tls: None,
            body_limit: 8 << 20,
            bodies_per_key: 32 << 20,
            bodies_total: 256 << 20,
            answers_per_key: 64 << 20,
            answers_total: 256 << 20,
            streams_per_key: 64,
            streams_total: 1024,
            connections: 4096,
            connections_per_address: 1024,
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(30),
        }
    }
}
