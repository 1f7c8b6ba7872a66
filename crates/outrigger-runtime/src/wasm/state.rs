//! The state of an instance besides its memory. WASI is created on first use: a plugin that computes needs none of it,
//! and a new instance should cost only what it uses.

use std::sync::Arc;

use outrigger_contract::Permissions;
use outrigger_engine::runtime::Cancellation;
use outrigger_engine::{Account, Recording};
use outrigger_network::{Resolver, TlsClient};
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::files::{self, GrantedFiles, LISTING_BYTES, OpenFile};
use super::handles;
use super::http::{self, Outgoing};
use super::limits::{Memory, Stopwatch};
use super::output::Lines;
use super::scope::{Output, Scope};
use super::{services, sockets, wasi};

/// Handles of one instance: streams, files, sockets, requests. Each may be a descriptor of the host.
const HANDLES_AT_MOST: usize = 1_024;

/// The maximum number of random bytes per host call.
const RANDOM_AT_MOST: u64 = 4 << 20;

/// State shared by the instances of one revision.
#[derive(Debug)]
pub(super) struct Grants {
    pub(super) permissions: Permissions,
    pub(super) files: GrantedFiles,
    pub(super) resolver: Resolver,
    pub(super) tls: TlsClient,
}

/// The data of a store.
pub(super) struct State {
    pub(super) grants: Arc<Grants>,
    pub(super) scope: Arc<Scope>,
    pub(super) memory: Memory,
    pub(super) stopwatch: Arc<Stopwatch>,
    pub(super) table: ResourceTable,
    /// Open directory listings.
    pub(super) listings: usize,
    /// A permit for each TCP socket, and for those that were closed since the last count.
    sockets: Vec<OpenFile>,
    pub(super) call: Bounds,
    /// Where the time of the present call goes, if anybody wants to know.
    pub(super) recording: Option<Arc<Recording>>,
    /// The number of handles at the last count, and the host calls since.
    handles: usize,
    calls_since: usize,
    wasi: Option<WasiCtx>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
}

/// The limits of the current call, checked at each tick.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) deadline: std::time::Instant,
    pub(super) cpu: std::time::Duration,
    pub(super) cancel: Cancellation,
    /// The memory account of the call.
    pub(super) account: Account,
}

impl State {
    pub(super) fn new(grants: &Arc<Grants>, memory: Memory, call: Bounds) -> Self {
        let scope = Arc::new(Scope::default());
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_AT_MOST);
        let mut http_context = WasiHttpCtx::new();
        http_context.set_field_size_limit(handles::HEADERS_AT_MOST);
        Self {
            grants: Arc::clone(grants),
            outgoing: Outgoing::new(grants, &scope),
            scope,
            memory,
            stopwatch: Arc::new(Stopwatch::new()),
            table,
            listings: 0,
            sockets: Vec::new(),
            call,
            recording: None,
            handles: 0,
            calls_since: 0,
            wasi: None,
            http: http_context,
        }
    }

    /// Charges the memory of the handles. Above the limit there are no more handles, and the call ends.
    pub(super) fn count_handles(&mut self) {
        let (count, bytes) = handles::measure(&mut self.table);
        (self.handles, self.calls_since) = (count, 0);
        if !self.sockets.is_empty() {
            self.sockets.truncate(handles::sockets(&mut self.table));
        }
        if !self.memory.hold(bytes + self.listings * LISTING_BYTES) {
            self.table.set_max_capacity(0);
        }
    }

    /// The sockets, and the permits for them.
    pub(super) fn sockets_and_permits(&mut self) -> (WasiSocketsCtxView<'_>, &mut Vec<OpenFile>) {
        let wasi = self.wasi.get_or_insert_with(|| wasi_context(&self.grants, &self.scope));
        (WasiSocketsCtxView { ctx: wasi.sockets(), table: &mut self.table }, &mut self.sockets)
    }

    /// Records a call of a host function in this interface. All host functions start here.
    pub(super) fn called(&mut self, import: &'static str) -> &mut Self {
        // A call usually creates one handle. Counting takes time in proportion to the handles, so at most a sixteenth
        // of them, or sixteen, are not counted yet.
        self.calls_since += 1;
        if self.calls_since > (self.handles / 16).max(16) {
            self.count_handles();
        }
        if let Some(recording) = &self.recording {
            recording.host_import(import);
        }
        self
    }
}

/// A call that was dropped ends here: something it started may still hold its scope for a moment.
impl Drop for State {
    fn drop(&mut self) {
        self.scope.end();
    }
}

/// All that a component may import, bound to nothing yet.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    services::add_to_linker(&mut linker)?;
    // Granted more finely than wasmtime-wasi can.
    files::add_to_linker(&mut linker)?;
    sockets::add_to_linker(&mut linker)?;
    http::bound_texts(&mut linker)?;
    Ok(linker)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| wasi_context(&self.grants, &self.scope));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.outgoing.deadline = self.call.deadline;
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}

fn wasi_context(grants: &Arc<Grants>, scope: &Arc<Scope>) -> WasiCtx {
    let lines = |output| Lines { scope: Arc::clone(scope), output };
    let mut wasi = WasiCtx::builder();
    wasi.max_random_size(RANDOM_AT_MOST);
    wasi.stdout(lines(Output::Standard)).stderr(lines(Output::Error));
    for name in &grants.permissions.environment {
        if let Ok(value) = std::env::var(name.as_str()) {
            wasi.env(name.as_str(), value);
        }
    }
    sockets::configure(&mut wasi, grants, scope);
    wasi.build()
}
