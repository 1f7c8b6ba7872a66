//! From a name to a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};

use outrigger_contract::address;
use outrigger_contract::permission::HostAccess;
use tokio::net::TcpStream;

use crate::resolve::Resolver;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("failed to resolve {host}")]
    Resolve { host: String, source: io::Error },
    /// Every address behind the name is private, loopback, link-local or the like.
    /// The message does not name the address, because that would reveal names of a private network.
    #[error("{host} is at a private address")]
    Private { host: String, address: IpAddr },
    #[error("no connection to {host}:{port}")]
    Connect { host: String, port: u16, source: io::Error },
}

/// Connects to the first address of a host that is permitted and answers.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    resolver: &Resolver,
    host: &str,
    port: u16,
    access: HostAccess,
) -> Result<TcpStream, ConnectError> {
    connect_where(resolver, host, port, |address| address::permitted(address, access)).await
}

/// Connects to the first address of a host that the caller permits and that accepts the connection.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect_where(
    resolver: &Resolver,
    host: &str,
    port: u16,
    is_permitted: impl Fn(IpAddr) -> bool + Send,
) -> Result<TcpStream, ConnectError> {
    let host = || host.to_owned();
    let addresses = resolver.resolve(&host(), port).await;
    let addresses = addresses.map_err(|source| ConnectError::Resolve { host: host(), source })?;
    let permitted: Vec<SocketAddr> =
        addresses.iter().copied().filter(|address| is_permitted(address.ip().to_canonical())).collect();
    if let (true, Some(address)) = (permitted.is_empty(), addresses.first()) {
        return Err(ConnectError::Private { host: host(), address: address.ip() });
    }
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in permitted {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(ConnectError::Connect { host: host(), port, source: last })
}
