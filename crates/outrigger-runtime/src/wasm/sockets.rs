//! TCP connections to granted hosts. A plugin connects to an address, while grants name hosts, so the names of the
//! grants are resolved when it connects, and so are names below `*.example.org` that the plugin has looked up itself.
//! Everything else that sockets can do is refused: to listen, to bind, and UDP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use outrigger_contract::address;
use outrigger_contract::permission::{HostAccess, HostPattern};
use outrigger_engine::runtime::LogLevel;
use outrigger_network::Resolver;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{
    self as wasi_network, ErrorCode, IpAddress, IpAddressFamily, Network,
};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, SocketResult, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView};

use super::files::OpenFile;
use super::handles;
use super::scope::Scope;
use super::state::{Grants, State};

/// The sockets of an instance, during one host call.
struct Sockets<'a> {
    wasi: WasiSocketsCtxView<'a>,
    /// At least one permit for each socket.
    permits: &'a mut Vec<OpenFile>,
    grants: Arc<Grants>,
    scope: Arc<Scope>,
}

struct HasSockets;

impl HasData for HasSockets {
    type Data<'a> = Sockets<'a>;
}

/// Offers the parts that are checked here in the place of those of `wasmtime-wasi`.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    tcp_create_socket::add_to_linker::<State, HasSockets>(linker, |state| {
        sockets(state.called("wasi:sockets/tcp-create-socket"))
    })?;
    udp_create_socket::add_to_linker::<State, HasSockets>(linker, |state| {
        sockets(state.called("wasi:sockets/udp-create-socket"))
    })?;
    ip_name_lookup::add_to_linker::<State, HasSockets>(linker, |state| {
        sockets(state.called("wasi:sockets/ip-name-lookup"))
    })
}

fn sockets(state: &mut State) -> Sockets<'_> {
    let (grants, scope) = (Arc::clone(&state.grants), Arc::clone(&state.scope));
    let (wasi, permits) = state.sockets_and_permits();
    Sockets { wasi, permits, grants, scope }
}

/// Sets up the checks that `wasmtime-wasi` makes for each address.
pub(super) fn configure(wasi: &mut WasiCtxBuilder, grants: &Arc<Grants>, scope: &Arc<Scope>) {
    let granted = !grants.permissions.tcp.is_empty();
    wasi.allow_tcp(granted).allow_udp(false).allow_ip_name_lookup(granted);
    let (grants, scope) = (Arc::clone(grants), Arc::clone(scope));
    wasi.socket_addr_check(move |address, usage| {
        let (grants, scope) = (Arc::clone(&grants), Arc::clone(&scope));
        Box::pin(async move { allowed(&grants, &scope, address, usage).await })
    });
}

async fn allowed(grants: &Grants, scope: &Scope, address: SocketAddr, usage: SocketAddrUse) -> bool {
    match usage {
        SocketAddrUse::TcpConnect => {}
        // The system picks a port for a connection to come; nobody can reach it.
        SocketAddrUse::TcpBind => return address.port() == 0,
        _ => {
            scope.refuse(format!("listen on {address}"), None);
            return false;
        }
    }
    let plain = SocketAddr::new(address.ip().to_canonical(), address.port());
    if connectable(grants, &scope.looked_up(), plain).await {
        return true;
    }
    let private = if address::is_public(plain.ip()) { "" } else { ", private = true" };
    let remedy = format!("tcp = [{{ host = \"{plain}\"{private} }}]");
    scope.refuse(format!("open a TCP connection to {plain}"), Some(remedy));
    false
}

/// Whether any pattern allows this address: by itself, by its name, or by a name that was looked up.
async fn connectable(grants: &Grants, looked_up: &[String], address: SocketAddr) -> bool {
    let (ip, port) = (address.ip(), address.port());
    for pattern in grants.permissions.tcp.iter().filter(|pattern| pattern.port().is_none_or(|granted| granted == port))
    {
        let access = if pattern.private() { HostAccess::AlsoPrivate } else { HostAccess::PublicOnly };
        if !address::permitted(ip, access) {
            continue;
        }
        if pattern.matches(&ip.to_string(), port) {
            return true;
        }
        let own = host_of(pattern);
        let below = looked_up.iter().filter(|name| pattern.matches(name, port));
        for name in own.iter().chain(below) {
            if resolves_to(&grants.resolver, name, port, ip).await {
                return true;
            }
        }
    }
    false
}

async fn resolves_to(resolver: &Resolver, name: &str, port: u16, ip: IpAddr) -> bool {
    match resolver.resolve(name, port).await {
        Ok(addresses) => addresses.iter().any(|address| address.ip().to_canonical() == ip),
        Err(_) => false,
    }
}

/// The one host that a pattern names.
fn host_of(pattern: &HostPattern) -> Option<String> {
    let text = pattern.to_string();
    let (host, _) = text.rsplit_once(':')?;
    (!host.starts_with('*')).then(|| host.to_owned())
}

/// A name lookup, running or answered. Replaces that of `wasmtime-wasi`, which has no limit.
enum Lookup {
    Running(AbortOnDropJoinHandle<Found>),
    Done(Found),
}

type Found = Result<std::vec::IntoIter<IpAddr>, ErrorCode>;

impl Lookup {
    fn begin(resolver: Resolver, name: String) -> Self {
        Self::Running(spawn(async move {
            let found = resolver.resolve(&name, 0).await.map_err(|_| ErrorCode::NameUnresolvable)?;
            let addresses: Vec<IpAddr> = found.iter().map(|address| address.ip().to_canonical()).collect();
            Ok(addresses.into_iter())
        }))
    }

    fn next(&mut self) -> Result<Option<IpAddr>, ErrorCode> {
        _ = self.ready().now_or_never();
        match self {
            Self::Running(_) => Err(ErrorCode::WouldBlock),
            Self::Done(Ok(addresses)) => Ok(addresses.next()),
            Self::Done(Err(error)) => Err(*error),
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Self::Running(lookup) = self {
            *self = Self::Done(lookup.await);
        }
    }
}

fn lookup(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(stream.rep())
}

/// Of the interface `network`, only the conversion of errors is used: each interface brings it along.
impl wasi_network::Host for Sockets<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.wasi.convert_error_code(error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.wasi.network_error_code(error)
    }
}

impl wasi_network::HostNetwork for Sockets<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        wasi_network::HostNetwork::drop(&mut self.wasi, network)
    }
}

impl Sockets<'_> {
    /// A permit for one more socket. Sockets count as open files.
    fn permit(&mut self) -> SocketResult<OpenFile> {
        if let Some(permit) = self.grants.files.open_file() {
            return Ok(permit);
        }
        self.permits.truncate(handles::sockets(self.wasi.table));
        self.grants.files.open_file().ok_or_else(|| {
            self.scope.log(LogLevel::Warn, "too many open files and sockets".to_owned(), Vec::new());
            ErrorCode::NewSocketLimit.into()
        })
    }
}

impl tcp_create_socket::Host for Sockets<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        if self.grants.permissions.tcp.is_empty() {
            self.scope.refuse("open a TCP connection", Some("tcp = [\"db.example.org:5432\"]".to_owned()));
            return Err(ErrorCode::AccessDenied.into());
        }
        // The system opens the socket at once.
        let permit = self.permit()?;
        let socket = self.wasi.create_tcp_socket(family)?;
        self.permits.push(permit);
        Ok(socket)
    }
}

impl udp_create_socket::Host for Sockets<'_> {
    async fn create_udp_socket(&mut self, _: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.scope.refuse("use UDP", None);
        Err(ErrorCode::AccessDenied.into())
    }
}

impl ip_name_lookup::Host for Sockets<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        let granted = |pattern: &HostPattern| pattern.matches(&name, pattern.port().unwrap_or(1));
        if !self.grants.permissions.tcp.iter().any(granted) {
            let shown: String = name.chars().take(253).collect();
            self.scope.refuse(format!("look up the name {shown}"), Some(format!("tcp = [\"{shown}:443\"]")));
            return Err(ErrorCode::AccessDenied.into());
        }
        self.scope.look_up(&name);
        self.wasi.table.get(&network)?;
        let lookup = Lookup::begin(self.grants.resolver.clone(), name);
        Ok(Resource::new_own(self.wasi.table.push(lookup)?.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for Sockets<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        Ok(self.wasi.table.get_mut(&lookup(&stream))?.next()?.map(IpAddress::from))
    }

    fn subscribe(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.wasi.table, lookup(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.wasi.table.delete(Resource::<Lookup>::new_own(stream.rep()))?;
        Ok(())
    }
}
