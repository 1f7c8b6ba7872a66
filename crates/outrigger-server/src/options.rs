//! Options of a server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Options of a server.
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
    /// The maximum size of all request bodies in flight for one key, in bytes. Always enough for one body.
    pub bodies_per_key: usize,
    /// The same for all keys together.
    pub bodies_total: usize,
    /// The maximum size of all unread responses for one key, in bytes.
    pub answers_per_key: usize,
    /// The same for all keys together.
    pub answers_total: usize,
    /// The maximum number of event streams for one key.
    pub streams_per_key: usize,
    /// The same for all keys together.
    pub streams_total: usize,
    /// Maximum number of network connections, and of HTTP/2 requests after the first of each. Further ones are closed
    /// or refused at once.
    pub connections: usize,
    /// The maximum number from one address (for IPv6, one /64).
    pub connections_per_address: usize,
    /// How long nothing of the body of a request may arrive. All of it may take as long, and longer if it arrives at more
    /// than 16 KiB a second.
    pub body_timeout: Duration,
    /// The time without activity after which a connection is closed: no complete request arrives, none is in progress,
    /// and no part of a response is sent. Can take a quarter longer. HTTP/2 connections stay open while their client
    /// answers pings and reads its responses.
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
