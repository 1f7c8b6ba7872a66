//! The platform in these tests: the plugin `pricing`, whose configuration can be set, and `policy-validator`, which is
//! the same. `pricing.echo` answers with its arguments, and `pricing.slow` only when the test lets it.

mod access;
mod audit;
mod backups;
mod configuration;
mod door;
mod events;
mod functions;
mod hooks;
mod jobs;
mod packages;
mod plugins;
mod records;
mod templates;
mod webhooks;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use outrigger_api::*;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use access::role;
use jobs::schedule;
use webhooks::webhook;

/// May do everything.
pub const ADMINISTRATOR: &str = "administrator";
/// May do nothing.
pub const NOBODY: &str = "nobody";

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[derive(Debug)]
pub struct StandIn {
    state: Arc<State>,
}

/// What was said of a package, and its bytes.
type Sent = (ArchiveKind, Option<Digest>, Vec<u8>);

#[derive(Debug)]
pub struct State {
    /// How many calls arrived.
    pub calls: AtomicU64,
    /// A permit for each call of `pricing.slow`, each making of a key of this name, and each list of the jobs of such a
    /// schedule, that may end.
    pub gate: Semaphore,
    /// How many of these have come to the gate.
    pub arrived: AtomicU64,
    /// What of these was dropped before it could: a call, a key or a list.
    pub dropped: Mutex<Vec<&'static str>>,
    pub ready: Mutex<ApiResult<()>>,
    /// Requests with an idempotency key, as the last look at them would say.
    pub requests: Mutex<HashMap<[u8; 32], Begun>>,
    /// The bodies of all such requests that were begun.
    pub bodies: Mutex<HashMap<[u8; 32], [u8; 32]>>,
    configuration: Mutex<(Map<String, Value>, u64)>,
    enabled: Mutex<bool>,
    /// Nothing can be updated now.
    pub busy: AtomicBool,
    /// The package that was sent last.
    pub sent: Mutex<Option<Sent>>,
    /// The team's own template.
    template: Mutex<Option<(Template, u64)>>,
    roles: Mutex<Vec<RoleInfo>>,
    webhooks: Mutex<Vec<WebhookInfo>>,
    schedules: Mutex<Vec<ScheduleInfo>>,
    /// Another client is always faster.
    pub raced: AtomicBool,
}

impl Default for StandIn {
    fn default() -> Self {
        let state = State {
            calls: AtomicU64::new(0),
            gate: Semaphore::new(0),
            arrived: AtomicU64::new(0),
            dropped: Mutex::default(),
            ready: Mutex::new(Ok(())),
            requests: Mutex::default(),
            bodies: Mutex::default(),
            configuration: Mutex::default(),
            enabled: Mutex::new(true),
            busy: AtomicBool::new(false),
            sent: Mutex::default(),
            template: Mutex::default(),
            roles: Mutex::new(vec![RoleInfo { built_in: true, ..role("admin") }, role("deployer")]),
            webhooks: Mutex::new(vec![webhook(&"ops-chat".parse().unwrap())]),
            schedules: Mutex::new(vec![schedule("nightly")]),
            raced: AtomicBool::new(false),
        };
        Self { state: Arc::new(state) }
    }
}

impl State {
    /// Waits until the test lets it.
    async fn pass(&self, what: &'static str) {
        let waiting = Waiting { what, dropped: &self.dropped };
        self.arrived.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        std::mem::forget(waiting);
    }
}

/// Notes what is dropped while it waits.
struct Waiting<'a> {
    what: &'static str,
    dropped: &'a Mutex<Vec<&'static str>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.dropped.lock().push(self.what);
    }
}

impl std::ops::Deref for StandIn {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// The platform, as somebody sees it.
#[derive(Debug)]
struct Seen {
    state: Arc<State>,
    allowed: bool,
    name: String,
    correlation: String,
}

/// Puts something where another was, or adds it.
fn put<T: Clone>(all: &mut Vec<T>, place: Option<usize>, new: T) -> ApiResult<T> {
    match place {
        Some(place) => all[place] = new.clone(),
        None => all.push(new.clone()),
    }
    Ok(new)
}

impl Seen {
    /// Refuses to change what is not as it was seen.
    fn check_expected(&self, expected: Option<Fingerprint>, present: Option<Fingerprint>) -> ApiResult<()> {
        let raced = self.state.raced.load(Ordering::SeqCst);
        match expected.is_some() && (raced || expected != present) {
            true => Err(ApiError::new(Code::Conflict, "somebody else was quicker")),
            false => Ok(()),
        }
    }

    fn allowed(&self) -> ApiResult<()> {
        if self.allowed { Ok(()) } else { Err(ApiError::new(Code::Forbidden, "it takes a right that the key has not")) }
    }

    fn plugin(&self, name: &PluginName) -> ApiResult<()> {
        self.allowed()?;
        let wrong = || ApiError::new(Code::PluginNotFound, format!("no plugin `{name}` is installed"));
        if matches!(name.as_str(), "pricing" | "policy-validator") { Ok(()) } else { Err(wrong()) }
    }

    fn functions(&self) -> Vec<FunctionSummary> {
        let function = |name: &str| FunctionSummary {
            function: name.parse().unwrap(),
            title: name.to_owned(),
            summary: String::new(),
            signature: "func()".to_owned(),
            tags: Vec::new(),
            read_only: true,
            destructive: false,
            idempotent: true,
        };
        ["pricing.currencies", "pricing.echo", "pricing.slow"].map(function).into()
    }
}

#[async_trait]
impl Platform for Seen {
    fn admit(&self, _: &str, _: Option<&str>) -> ApiResult<()> {
        self.allowed()
    }

    fn turn_owner(&self) -> String {
        format!("key {}", self.name)
    }

    async fn doctor(&self) -> ApiResult<DoctorReport> {
        self.allowed()?;
        Ok(DoctorReport { checks: Vec::new() })
    }

    async fn metrics(&self) -> ApiResult<MetricsReport> {
        self.allowed()?;
        Ok(MetricsReport::default())
    }

    async fn close(&self) -> ApiResult<()> {
        Ok(())
    }
}
