//! Outgoing HTTP to granted hosts. That a connection goes to an address that was checked is `outrigger-network`'s to see to.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use outrigger_contract::permission::HostAccess;
use outrigger_network::{ConnectError, Stream};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Resource};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::http::types::{self, HostOutgoingRequest as _, Method, OutgoingRequest};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView as _};

use super::handles::{BUFFER, HEADERS_AT_MOST};
use super::scope::Scope;
use super::state::{Grants, State};

/// The version whose functions are linked: that of `wasmtime-wasi-http`.
const TYPES: &str = "wasi:http/types@0.2.12";
/// The maximum length of each text of a request (method, scheme, authority, path with query), in bytes.
const TEXT_AT_MOST: usize = 16 << 10;
/// The maximum length of all texts of a request.
pub(super) const TEXTS_AT_MOST: usize = 4 * TEXT_AT_MOST;

/// Refuses long texts of requests. `wasmtime-wasi-http` accepts any length, and keeps them with the request.
pub(super) fn bound_texts(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    fn itself(text: &Option<String>) -> Option<&String> {
        text.as_ref()
    }
    fn of_method(method: &Method) -> Option<&String> {
        if let Method::Other(text) = method { Some(text) } else { None }
    }
    fn of_scheme(scheme: &Option<types::Scheme>) -> Option<&String> {
        if let Some(types::Scheme::Other(text)) = scheme { Some(text) } else { None }
    }
    linker.allow_shadowing(true);
    let instance = &mut linker.instance(TYPES)?;
    bound(instance, "method", of_method, |mut http, request, method| http.set_method(request, method))?;
    bound(instance, "scheme", of_scheme, |mut http, request, scheme| http.set_scheme(request, scheme))?;
    bound(instance, "authority", itself, |mut http, request, text| http.set_authority(request, text))?;
    bound(instance, "path-with-query", itself, |mut http, request, text| http.set_path_with_query(request, text))?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The outcome of setting a text; the inner error means that it is invalid.
type Set = wasmtime::Result<Result<(), ()>>;

/// Replaces the function that sets this text by one that checks its length first.
fn bound<T: ComponentType + Lift + 'static>(
    instance: &mut LinkerInstance<'_, State>,
    what: &str,
    text: fn(&T) -> Option<&String>,
    set: fn(WasiHttpCtxView<'_>, Resource<OutgoingRequest>, T) -> Set,
) -> wasmtime::Result<()> {
    let checked = move |mut store: StoreContextMut<'_, State>, (request, value): (Resource<OutgoingRequest>, T)| {
        if text(&value).is_some_and(|text| text.len() > TEXT_AT_MOST) {
            return Ok((Err(()),));
        }
        Ok((set(store.data_mut().called("wasi:http/types").http(), request, value)?,))
    };
    instance.func_wrap(&format!("[method]outgoing-request.set-{what}"), checked)
}

/// Sends the requests of one instance.
pub(super) struct Outgoing {
    grants: Arc<Grants>,
    scope: Arc<Scope>,
    /// Of the present call.
    pub(super) deadline: Instant,
}

impl Outgoing {
    pub(super) fn new(grants: &Arc<Grants>, scope: &Arc<Scope>) -> Self {
        Self { grants: Arc::clone(grants), scope: Arc::clone(scope), deadline: Instant::now() }
    }
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outgoing {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BUFFER
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let target = match Target::of(request.uri()) {
            Some(target) => target,
            None => return Box::new(async { Err(Error::HttpRequestUriInvalid) }),
        };
        // Checked before the first await, so that it is noted whatever the plugin does next.
        let Some(access) = self.grants.permissions.allows_http(&target.host, target.port) else {
            let Target { host, port, .. } = &target;
            self.scope
                .refuse(format!("send HTTP requests to {host}:{port}"), Some(format!("http = [\"{host}:{port}\"]")));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        let timeouts = Timeouts::new(options, remaining);
        let (grants, scope) = (Arc::clone(&self.grants), Arc::clone(&self.scope));
        Box::new(async move {
            let connect = target.connect(access, &scope, &grants);
            let stream = match tokio::time::timeout(timeouts.connect, connect).await {
                Ok(stream) => stream?,
                Err(_) => return Err(Error::ConnectionTimeout),
            };
            exchange(stream, request, &timeouts).await
        })
    }
}

/// How long each part of an exchange may take; never longer than the call.
struct Timeouts {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Timeouts {
    fn new(options: Option<RequestOptions>, remaining: Duration) -> Self {
        let options = options.unwrap_or_default();
        // A timer cannot be set to nothing.
        let within =
            |timeout: Option<Duration>| timeout.map_or(remaining, |t| t.min(remaining)).max(Duration::from_millis(1));
        Self {
            connect: within(options.connect_timeout),
            first_byte: within(options.first_byte_timeout),
            between_bytes: within(options.between_bytes_timeout),
        }
    }
}

/// Where a request goes.
struct Target {
    host: String,
    port: u16,
    tls: bool,
}

impl Target {
    fn of(uri: &Uri) -> Option<Self> {
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host().filter(|host| !host.is_empty())?.to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls })
    }

    /// Connects to the first address that is permitted and answers, and adds TLS where the scheme asks for it.
    async fn connect(&self, access: HostAccess, scope: &Scope, grants: &Grants) -> Result<Box<dyn Stream>, Error> {
        let Self { host, port, .. } = self;
        let connected = outrigger_network::connect(&grants.resolver, host, *port, access).await;
        let stream = connected.map_err(|error| match error {
            ConnectError::Resolve { source, .. } => {
                Error::DnsError { rcode: Some(source.to_string()), info_code: None }
            }
            ConnectError::Private { address, .. } => {
                scope.refuse(
                    format!("send HTTP requests to {host}:{port}, which is at the private address {address}"),
                    Some(format!("http = [{{ host = \"{host}:{port}\", private = true }}]")),
                );
                Error::DestinationIpProhibited
            }
            ConnectError::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                _ => Error::Connect(source),
            },
        })?;
        match self.tls {
            true => grants.tls.secure(host, stream).await.map_err(Error::Tls),
            false => Ok(Box::new(stream)),
        }
    }
}

/// Sends the request and waits for the head of the answer.
async fn exchange(stream: Box<dyn Stream>, mut request: Request<WasiBody>, timeouts: &Timeouts) -> Sent {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEADERS_AT_MOST)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = wasmtime_wasi::runtime::spawn(connection);
    // On the wire, a request to a server names the path alone.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let response = match tokio::time::timeout(timeouts.first_byte, sender.send_request(request)).await {
        Ok(response) => response?,
        Err(_) => return Err(Error::ConnectionReadTimeout),
    };
    let between_bytes = timeouts.between_bytes;
    let response = response.map(|body| frames(body, between_bytes));
    Ok((response, Box::new(async move { Ok(connection.await?) })))
}

/// The body, each part of which must come in time.
fn frames(body: Incoming, between: Duration) -> WasiBody {
    let stream = futures::stream::try_unfold(body, move |mut body| async move {
        match tokio::time::timeout(between, body.frame()).await {
            Ok(None) => Ok(None),
            Ok(Some(frame)) => Ok(Some((frame?, body))),
            Err(_) => Err(Error::ConnectionReadTimeout),
        }
    });
    StreamBody::new(stream).boxed_unsync()
}
