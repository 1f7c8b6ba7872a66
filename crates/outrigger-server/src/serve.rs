//! Accepts connections, serves requests on them, and stops without aborting running requests.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::Door;
use outrigger_compute::Turns;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Connections;
use crate::crowd::Crowd;
use crate::endpoint::body::BodyLimits;
use crate::endpoint::budget::{Bounds, Budget};
use crate::endpoint::{App, CHANGE, Peer};
use crate::options::ServerOptions;
use crate::{listen, openapi, routes};

/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The requests of one key that read at the same time.
const READS: usize = 4;
/// How long to wait when the system has no file descriptor left for another connection.
const BREATH: Duration = Duration::from_millis(100);

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error("cannot listen at {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot open the socket {}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("cannot read {} as PEM", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("the certificate in {} and the key in {} cannot be used", certificate.display(), key.display())]
    Tls { certificate: PathBuf, key: PathBuf, source: rustls::Error },
}

/// A server that takes requests.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    ended: JoinHandle<Drained>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still being served when the time was up, and were cut off.
    pub cut_off: usize,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has stopped, after the running requests.
    pub async fn ended(self) -> Drained {
        self.ended.await.unwrap_or(Drained { cut_off: 0 })
    }
}

/// Starts serving, until `shutdown`.
///
/// # Errors
/// An address or a socket cannot be opened, or the files for TLS cannot be used.
pub async fn serve(
    options: ServerOptions,
    door: Arc<dyn Door>,
    shutdown: CancellationToken,
) -> Result<Running, ServeError> {
    let ServerOptions { listen: wanted, ref socket, ref tls, drain, .. } = options;
    let socket = socket.clone();
    let tls = tls.as_ref().map(listen::tls).transpose()?;
    let unopened = |source| ServeError::Listen { address: wanted, source };
    let tcp = TcpListener::bind(wanted).await.map_err(unopened)?;
    let address = tcp.local_addr().map_err(unopened)?;
    let unix = match socket {
        Some(path) => match listen::unix(&path).await {
            Ok(listener) => Some((listener, path)),
            Err(source) => return Err(ServeError::Socket { path, source }),
        },
        None => None,
    };
    let server = Server::new(door, &options, shutdown);
    let ended = tokio::spawn(run(server, tcp, tls, unix, drain));
    Ok(Running { address, ended })
}

/// State shared by the tasks of a server.
#[derive(Clone)]
struct Server {
    connections: Connections,
    /// Connections that are open.
    open: TaskTracker,
    /// Work for clients that may have left.
    work: TaskTracker,
}

impl Server {
    fn new(door: Arc<dyn Door>, options: &ServerOptions, stopping: CancellationToken) -> Self {
        let ServerOptions { body_limit, body_timeout, idle_timeout: patience, .. } = *options;
        let bounds = |each: usize, all: usize| Bounds { each: each as u64, all: all as u64 };
        // One body always fits.
        let each = options.bodies_per_key.max(body_limit + CHANGE as usize);
        let bodies = bounds(each, options.bodies_total.max(each));
        let answers = bounds(options.answers_per_key, options.answers_total);
        let streams = bounds(options.streams_per_key, options.streams_total);
        let mut api = routes::all();
        let document = serde_json::to_vec(&openapi::document(&mut api)).unwrap_or_default().into();
        let work = TaskTracker::new();
        let app = App {
            tracer: door.tracer(),
            door,
            body: BodyLimits { length: body_limit, timeout: body_timeout },
            bodies: Budget::of_bytes("bytes of request bodies", bodies),
            answers: Budget::of_bytes("bytes of answers", answers),
            streams: Budget::new("event streams", streams),
            reads: Turns::for_each(READS),
            patience,
            idempotency: Default::default(),
            document,
            // Twice before the connection is taken for idle.
            alive: patience / 2,
            stopping: stopping.clone(),
            work: work.clone(),
        };
        let crowd = Crowd::new(options.connections, options.connections_per_address);
        let connections = Connections::new(api.router(Arc::new(app)), patience, Arc::new(crowd), stopping);
        Self { connections, open: TaskTracker::new(), work }
    }
}

async fn run(
    server: Server,
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    unix: Option<(UnixListener, PathBuf)>,
    drain: Duration,
) -> Drained {
    let network = accept_tcp(server.clone(), tcp, tls);
    let local = async {
        if let Some((listener, path)) = unix {
            accept_unix(server.clone(), &listener).await;
            // Before the listener goes: after it, another server's socket could be there already.
            let _ = std::fs::remove_file(path);
        }
    };
    tokio::join!(network, local);
    server.open.close();
    server.work.close();
    let quiet = async {
        server.open.wait().await;
        server.work.wait().await;
    };
    if tokio::time::timeout(drain, quiet).await.is_ok() {
        return Drained { cut_off: 0 };
    }
    let cut_off = server.open.len();
    server.connections.over.cancel();
    server.open.wait().await;
    Drained { cut_off }
}

async fn accept_tcp(server: Server, listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.connections.stopping.cancelled() => return,
        };
        let Some((stream, from)) = settled(accepted).await else { continue };
        // An IPv6 socket also accepts IPv4 clients. Their mapped addresses are converted back to IPv4.
        let from = from.ip().to_canonical();
        let Some(place) = server.connections.crowd.enter(from) else { continue };
        // Answers are small and go out whole; to wait for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let peer = Peer::Address(from);
        let one = server.connections.clone();
        match tls.clone() {
            None => server.open.spawn(async move {
                one.serve(stream, peer).await;
                drop(place);
            }),
            Some(tls) => server.open.spawn(async move {
                let agreed = tokio::select! {
                    agreed = tokio::time::timeout(HANDSHAKE.min(one.patience), tls.accept(stream)) => agreed,
                    () = one.stopping.cancelled() => return,
                };
                let _place = place;
                match agreed {
                    Ok(Ok(stream)) => one.serve(stream, peer).await,
                    Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS was agreed on"),
                    Err(_) => tracing::debug!(%from, "TLS was not agreed on in time"),
                }
            }),
        };
    }
}

async fn accept_unix(server: Server, listener: &UnixListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.connections.stopping.cancelled() => return,
        };
        let Some((stream, _)) = settled(accepted).await else { continue };
        server.open.spawn(server.connections.clone().serve(stream, Peer::Socket));
    }
}

/// A connection that failed before it began is its client's affair; for want of file descriptors one has to wait.
async fn settled<T>(accepted: io::Result<T>) -> Option<T> {
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            let passing =
                [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
            if !passing.contains(&error.kind()) {
                tracing::error!(%error, "failed to accept a connection");
                tokio::time::sleep(BREATH).await;
            }
            None
        }
    }
}
