//! Who stands behind the door in these tests: the plugin `pricing`, whose configuration can be set, and
//! `policy-validator`, which is the same. `pricing.echo` answers with its arguments, and `pricing.slow` only when the test
//! lets it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use futures::StreamExt as _;
use outrigger_api::*;
use outrigger_contract::Manifest;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use ulid::Ulid;

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
    /// A permit for each call of `pricing.slow`, and each making of a key of this name, that may end.
    pub gate: Semaphore,
    /// What of these was dropped before it could: a call or a key.
    pub dropped: Mutex<Vec<&'static str>>,
    pub ready: Mutex<ApiResult<()>>,
    /// Requests with an idempotency key, as the last look at them would say.
    pub requests: Mutex<HashMap<[u8; 32], Begun>>,
    bodies: Mutex<HashMap<[u8; 32], [u8; 32]>>,
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
    /// Somebody else is always quicker.
    pub raced: AtomicBool,
}

impl Default for StandIn {
    fn default() -> Self {
        let state = State {
            calls: AtomicU64::new(0),
            gate: Semaphore::new(0),
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

#[async_trait]
impl Door for StandIn {
    async fn enter(&self, key: &str, visit: Visit) -> ApiResult<Arc<dyn Platform>> {
        let allowed = match key {
            ADMINISTRATOR => true,
            NOBODY => false,
            _ => return Err(ApiError::new(Code::Unauthenticated, "the key is wrong")),
        };
        let name = visit.from.map_or_else(|| key.to_owned(), |from| format!("{key} from {from}"));
        let correlation = visit.correlation.to_string();
        Ok(Arc::new(Seen { state: Arc::clone(&self.state), allowed, name, correlation }))
    }

    fn local(&self, visit: Visit) -> Arc<dyn Platform> {
        let correlation = visit.correlation.to_string();
        Arc::new(Seen { state: Arc::clone(&self.state), allowed: true, name: "local".to_owned(), correlation })
    }

    async fn ready(&self) -> ApiResult<()> {
        self.state.ready.lock().clone()
    }

    async fn request_begin(&self, place: [u8; 32], body: [u8; 32]) -> ApiResult<Begun> {
        let mut requests = self.state.requests.lock();
        if let Some(present) = requests.get(&place) {
            return Ok(present.clone());
        }
        requests.insert(place, Begun::Unfinished);
        self.state.bodies.lock().insert(place, body);
        Ok(Begun::New)
    }

    async fn request_end(&self, place: [u8; 32], answer: Option<Vec<u8>>) -> ApiResult<()> {
        let body = self.state.bodies.lock()[&place];
        self.state.requests.lock().insert(place, Begun::Ended { body, answer });
        Ok(())
    }

    async fn request_forget(&self, place: [u8; 32]) -> ApiResult<()> {
        self.state.requests.lock().remove(&place);
        Ok(())
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

    fn summary(&self, name: &str) -> PluginSummary {
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(name.len() as i64);
        PluginSummary {
            name: name.parse().unwrap(),
            version: "1.2.0".to_owned(),
            title: name.to_uppercase(),
            description: String::new(),
            categories: vec!["billing".to_owned()],
            state: if *self.state.enabled.lock() { "active" } else { "disabled" }.to_owned(),
            reason: None,
            functions: 2,
            digest: DIGEST.to_owned(),
            installed_at: at,
            updated_at: at,
        }
    }

    fn health(&self, name: &str) -> PluginHealth {
        let at = OffsetDateTime::UNIX_EPOCH;
        let reason = Some("no answer".to_owned());
        let to = if name == "billing" { "unhealthy" } else { "healthy" };
        let change =
            HealthChangeInfo { at, from: "degraded".to_owned(), to: to.to_owned(), reason: "3 checks".to_owned() };
        PluginHealth {
            plugin: name.parse().unwrap(),
            state: "active".to_owned(),
            reason: None,
            status: to.to_owned(),
            consecutive_failures: 3,
            consecutive_successes: 0,
            last_check: Some(LastCheckInfo { at, outcome: "failed".to_owned(), reason, duration_us: 5 }),
            next_check_at: Some(at),
            next_restart_at: None,
            restarts: 1,
            restarts_total: 4,
            changes: vec![change],
        }
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

fn manifest() -> Manifest {
    Manifest::parse(
        "name = \"pricing\"\nversion = \"1.2.0\"\ntitle = \"Pricing\"\ndescription = \"Prices.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"pricing.wasm\"\n",
    )
    .unwrap()
}

fn role(name: &str) -> RoleInfo {
    RoleInfo {
        name: name.to_owned(),
        description: String::new(),
        allow: vec!["*".to_owned()],
        deny: Vec::new(),
        built_in: false,
    }
}

fn key(name: &str) -> KeyInfo {
    KeyInfo {
        id: "k1".to_owned(),
        name: name.to_owned(),
        roles: vec!["viewer".to_owned()],
        scope: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        created_by: "local".to_owned(),
        expires_at: None,
        last_used_at: None,
    }
}

fn job(state: &str) -> JobInfo {
    JobInfo {
        id: "01JD0000000000000000000000".to_owned(),
        function: "pricing.echo".parse().unwrap(),
        arguments: JsonObject::default(),
        state: state.to_owned(),
        caller: "local".to_owned(),
        attempt: 1,
        max_attempts: 3,
        backoff_ms: 1000,
        timeout_ms: None,
        concurrency_key: Some("prices".to_owned()),
        on_interruption: "fail".to_owned(),
        needs_approval: false,
        approved_by: None,
        cancel_requested: false,
        progress: Some(JobProgressInfo { fraction: None, message: "attempt 1 of 3".to_owned() }),
        result: None,
        error: None,
        schedule: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        not_before: None,
        started_at: Some(OffsetDateTime::UNIX_EPOCH),
        ended_at: None,
    }
}

fn schedule(name: &str) -> ScheduleInfo {
    ScheduleInfo {
        name: name.to_owned(),
        cron: "30 2 * * *".to_owned(),
        job: JobRequest::new("pricing.echo".parse().unwrap(), JsonObject::default()),
        caller: "local".to_owned(),
        enabled: true,
        missed: "skip".to_owned(),
        overlap: "skip".to_owned(),
        skipped: 0,
        next_at: Some(OffsetDateTime::UNIX_EPOCH),
        last_job: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

#[async_trait]
impl Jobs for Seen {
    async fn job_create(&self, request: JobRequest) -> ApiResult<JobInfo> {
        self.plugin(&request.function.plugin).map(|()| job("queued"))
    }

    async fn job_list(&self, _: &JobQuery) -> ApiResult<Vec<JobInfo>> {
        self.allowed()?;
        Ok(vec![job("running")])
    }

    async fn job_fetch(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("running"))
    }

    async fn job_cancel(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("cancelled"))
    }

    async fn job_retry(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("queued"))
    }

    async fn job_approve(&self, _: &str) -> ApiResult<JobInfo> {
        self.allowed().map(|()| job("queued"))
    }

    async fn job_logs(&self, _: &str, query: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.log_list(query).await
    }

    async fn schedule_list(&self) -> ApiResult<Vec<ScheduleInfo>> {
        self.allowed()?;
        Ok(self.state.schedules.lock().clone())
    }

    async fn schedule_put(
        &self,
        name: &str,
        request: ScheduleRequest,
        expected: Option<Fingerprint>,
    ) -> ApiResult<ScheduleInfo> {
        self.allowed()?;
        let ScheduleRequest { cron, job, enabled, missed, overlap } = request;
        let new = ScheduleInfo { cron, job, enabled, missed, overlap, ..schedule(name) };
        let mut all = self.state.schedules.lock();
        let place = all.iter().position(|schedule| schedule.name == name);
        self.check_expected(expected, place.map(|place| all[place].fingerprint()))?;
        put(&mut all, place, new)
    }

    async fn schedule_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }
}

#[async_trait]
impl Platform for Seen {
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

#[async_trait]
impl Functions for Seen {
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse> {
        self.plugin(&request.function.plugin)?;
        self.state.calls.fetch_add(1, Ordering::SeqCst);
        let result = match request.function.function.as_str() {
            "echo" => request.arguments.to_value(),
            "currencies" => json!([]),
            "slow" => {
                self.state.pass("call").await;
                json!("at last")
            }
            "fail" => {
                let error = ApiError::new(Code::FunctionFailed, "it failed");
                return Err(ApiError { detail: Some(json!(["no", "price"])), ..error });
            }
            "limited" => {
                let error = ApiError::new(Code::RateLimited, "too often");
                return Err(ApiError { retry_after_ms: Some(1500), ..error });
            }
            "faulty" => {
                let error = ApiError::new(Code::InvalidInput, "it does not fit");
                return Err(ApiError { detail: Some(json!([{"path": "a", "message": "no"}])), ..error });
            }
            "cancelled" => return Err(ApiError::new(Code::Cancelled, "somebody cancelled it")),
            "panics" => panic!("on purpose"),
            other => return Err(ApiError::new(Code::FunctionNotFound, format!("no `{other}`"))),
        };
        Ok(CallResponse {
            result: result.into(),
            cache: "bypass".to_owned(),
            duration_us: 1,
            attempts: 1,
            correlation: request.correlation.unwrap_or_else(|| self.correlation.clone()),
            version: "1.2.0".to_owned(),
            revision: DIGEST.to_owned(),
            warnings: Vec::new(),
            profile: request.profile.then(|| Box::new(profile(request.function))),
        })
    }

    async fn call_batch(&self, requests: Vec<CallRequest>, _: usize) -> Vec<ApiResult<CallResponse>> {
        let mut answers = Vec::new();
        for request in requests {
            answers.push(self.call(request).await);
        }
        answers
    }

    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>> {
        self.allowed()?;
        query.plugin.as_ref().map(|plugin| self.plugin(plugin)).transpose()?;
        Ok(self.functions())
    }

    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription> {
        self.plugin(&function.plugin)?;
        let mut functions = self.functions().into_iter();
        let summary = functions.find(|summary| summary.function == *function);
        Ok(FunctionDescription {
            summary: summary.ok_or_else(|| ApiError::new(Code::FunctionNotFound, "no such function"))?,
            description: String::new(),
            parameters: Vec::new(),
            arguments_schema: json!({}),
            result_schema: json!({}),
            error_schema: None,
            timeout_ms: 1000,
            cache_ms: None,
            rate_limit: None,
            estimated_ms: None,
            requires_auth: false,
            requires_admin: false,
            types: Default::default(),
        })
    }
}

#[async_trait]
impl Plugins for Seen {
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>> {
        self.allowed()?;
        Ok(["billing", "host-tuning", "pricing"].map(|name| self.summary(name)).into())
    }

    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails> {
        self.plugin(name)?;
        Ok(PluginDetails {
            summary: self.summary(name.as_str()),
            manifest: manifest(),
            source: "/srv/pricing".to_owned(),
            granted: Vec::new(),
            offered: self.functions(),
            refused: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            revisions: Vec::new(),
        })
    }

    async fn plugin_available(&self) -> ApiResult<AvailableReport> {
        self.allowed()?;
        Ok(AvailableReport { plugins: Vec::new(), duplicates: Vec::new(), problems: Vec::new() })
    }

    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport> {
        self.allowed()?;
        if *source == PackageSource::Path("/nowhere".into()) {
            return Err(ApiError::new(Code::NotFound, "there is nothing at /nowhere"));
        }
        Ok(PackageReport {
            manifest: manifest(),
            digest: DIGEST.to_owned(),
            size: 1,
            files: 1,
            permissions: Vec::new(),
            widened: Vec::new(),
            offered: self.functions(),
            refused: Vec::new(),
            imports: Vec::new(),
            warnings: Vec::new(),
            installed_version: None,
            source: "/srv/pricing".to_owned(),
        })
    }

    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome> {
        self.package_inspect(&request.source).await?;
        if let Some(PluginStanding { name, updated_at }) = &request.replaces {
            self.plugin(name)?;
            let changed = updated_at.is_some_and(|seen| seen != self.summary("pricing").updated_at);
            if changed || self.state.busy.load(Ordering::SeqCst) {
                return Err(ApiError::new(Code::Conflict, "it was changed, or is being changed"));
            }
        }
        Ok(InstallOutcome {
            name: "pricing".parse().unwrap(),
            version: "1.2.0".to_owned(),
            digest: DIGEST.to_owned(),
            action: "installed".to_owned(),
            previous_version: None,
            dry_run: request.dry_run,
            migration: None,
        })
    }

    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)
    }

    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)?;
        *self.state.enabled.lock() = true;
        Ok(())
    }

    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)?;
        *self.state.enabled.lock() = false;
        Ok(())
    }

    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()> {
        self.plugin(name)
    }

    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize> {
        self.plugin(name).map(|()| 2)
    }

    async fn plugin_rollback(&self, name: &PluginName, request: RollbackRequest) -> ApiResult<RollbackReport> {
        self.plugin(name)?;
        let migration = MigrationReport {
            from: "1.2.0".to_owned(),
            to: "1.1.0".to_owned(),
            steps: Vec::new(),
            configuration: Some(Vec::new()),
            state: StateChanges::default(),
        };
        Ok(RollbackReport { plugin: name.clone(), dry_run: request.dry_run, lost_writes: 0, migration })
    }

    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo> {
        self.plugin(name)?;
        let monitor = self.health(name.as_str());
        Ok(HealthInfo { plugin: name.clone(), status: "healthy".to_owned(), checks: Vec::new(), monitor })
    }

    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>> {
        self.allowed()?;
        Ok(vec![self.health("billing"), self.health("pricing")])
    }
}

#[async_trait]
impl Records for Seen {
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport> {
        self.allowed()?;
        name.map(|name| self.plugin(name)).transpose()?;
        let line =
            |function: &str, calls| FunctionStatistics { function: function.to_owned(), calls, ..Default::default() };
        Ok(StatisticsReport {
            plugins: Default::default(),
            total: line("total", 7),
            functions: vec![line("pricing.echo", 3), line("pricing.slow", 4)],
        })
    }

    async fn log_list(&self, _: &RecordQuery) -> ApiResult<Vec<LogEntry>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn run_list(&self, _: &RecordQuery) -> ApiResult<Vec<RunEntry>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile> {
        self.plugin(name)?;
        let stage =
            |stage: &str| StageProfile { stage: stage.to_owned(), mean_us: 1.5, p50_us: 1.5, p95_us: 1.5, share: 1.0 };
        let host = HostCallProfile { import: "wasi:io/poll".to_owned(), calls: 0.5, mean_us: 1.0, share: 0.5 };
        let function = FunctionProfile {
            function: "pricing.echo".parse().expect("a name"),
            samples: 2,
            total: stage("total"),
            stages: vec![stage("run")],
            host_calls: vec![host],
        };
        let since = Some(OffsetDateTime::UNIX_EPOCH);
        Ok(PluginProfile { plugin: name.clone(), since, one_in: 64, functions: vec![function] })
    }
}

#[async_trait]
impl Configurations for Seen {
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        self.plugin(name)?;
        let (values, revision) = self.state.configuration.lock().clone();
        let effective = values.clone();
        let (sources, problems) = (BTreeMap::new(), Vec::new());
        Ok(Configuration { plugin: name.clone(), schema: json!({}), values, effective, sources, revision, problems })
    }

    async fn configuration_put(&self, name: &PluginName, values: Map<String, Value>, expected: u64) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if present.1 != expected {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        *present = (values, expected + 1);
        Ok(present.1)
    }

    async fn configuration_change(
        &self,
        name: &PluginName,
        edits: ConfigurationEdits,
        expected: Option<u64>,
    ) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if expected.is_some_and(|expected| expected != present.1) {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        let ConfigurationEdits { set, create, unset } = edits;
        if create.keys().any(|key| present.0.contains_key(key)) {
            return Err(ApiError::new(Code::AlreadyExists, "it is set already"));
        }
        for key in unset {
            present.0.shift_remove(&key).ok_or_else(|| ApiError::new(Code::NotFound, "it is not set"))?;
        }
        present.0.extend(set);
        present.0.extend(create);
        present.1 += 1;
        Ok(present.1)
    }

    async fn configuration_revisions(&self, name: &PluginName) -> ApiResult<Vec<ConfigurationRevision>> {
        self.plugin(name)?;
        let (values, revision) = self.state.configuration.lock().clone();
        let at = time::OffsetDateTime::UNIX_EPOCH;
        let (by, correlation) = (self.name.clone(), ulid::Ulid::nil().to_string());
        // It was configured before the test began.
        let revision = revision.max(1);
        Ok(vec![ConfigurationRevision { revision, at, by, correlation, restores: None, values }])
    }

    async fn configuration_diff(&self, name: &PluginName, from: u64, to: Option<u64>) -> ApiResult<ConfigurationDiff> {
        self.plugin(name)?;
        let to = to.unwrap_or_else(|| self.state.configuration.lock().1);
        Ok(ConfigurationDiff { plugin: name.clone(), from, to, differences: Vec::new() })
    }

    async fn configuration_rollback(&self, name: &PluginName, revision: u64) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if revision > present.1.max(1) {
            return Err(ApiError::new(Code::NotFound, "it is not kept"));
        }
        present.1 += 1;
        Ok(present.1)
    }

    async fn secrets_rotate(&self) -> ApiResult<SecretsRotation> {
        self.allowed()?;
        Ok(SecretsRotation { key: "key".to_owned(), rewritten: 0, dropped: Vec::new() })
    }
}

#[async_trait]
impl Access for Seen {
    async fn identity(&self) -> ApiResult<Identity> {
        Ok(Identity { name: self.name.clone(), key: None, roles: Vec::new() })
    }

    async fn key_list(&self) -> ApiResult<Vec<KeyInfo>> {
        self.allowed()?;
        Ok(vec![key("ci")])
    }

    async fn key_create(&self, request: KeyRequest) -> ApiResult<NewKey> {
        self.allowed()?;
        let number = self.state.calls.fetch_add(1, Ordering::SeqCst);
        if request.name == "slow" {
            self.state.pass("key").await;
        }
        Ok(NewKey { info: key(&request.name), key: format!("secret-{number}") })
    }

    async fn key_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }

    async fn role_list(&self) -> ApiResult<Vec<RoleInfo>> {
        self.allowed()?;
        Ok(self.state.roles.lock().clone())
    }

    async fn role_put(&self, name: &str, request: RoleRequest, expected: Option<Fingerprint>) -> ApiResult<RoleInfo> {
        self.allowed()?;
        let RoleRequest { description, allow, deny } = request;
        let new = RoleInfo { description, allow, deny, ..role(name) };
        let mut all = self.state.roles.lock();
        let place = all.iter().position(|role| role.name == name);
        if place.is_some_and(|place| all[place].built_in) {
            return Err(ApiError::new(Code::Conflict, "it is built in"));
        }
        self.check_expected(expected, place.map(|place| all[place].fingerprint()))?;
        put(&mut all, place, new)
    }

    async fn role_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }

    async fn access_explain(&self, request: ExplainRequest) -> ApiResult<Explanation> {
        self.allowed()?;
        let ExplainRequest { key, right, name } = request;
        let text = "it may".to_owned();
        Ok(Explanation { key, right, name, allowed: true, reason: "allowed".to_owned(), role: None, rule: None, text })
    }

    async fn access_matrix(&self) -> ApiResult<AccessMatrix> {
        self.allowed()?;
        Ok(AccessMatrix { roles: Vec::new(), rows: Vec::new() })
    }
}

#[async_trait]
impl Audit for Seen {
    async fn audit_list(&self, _: &AuditQuery) -> ApiResult<Vec<AuditInfo>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn audit_verify(&self) -> ApiResult<AuditVerification> {
        self.allowed()?;
        let head = AuditHead { sequence: 0, hash: String::new() };
        Ok(AuditVerification { whole: true, records: 0, head, fault: None })
    }
}

/// No hook is there.
fn subscription(enabled: bool) -> SubscriptionInfo {
    SubscriptionInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        hook: "customer.created".parse().unwrap(),
        kind: HookKind::Action,
        function: "pricing.echo".parse().unwrap(),
        priority: 100,
        condition: None,
        on_error: OnError::default(),
        timeout: "2s".parse().unwrap(),
        description: None,
        enabled,
        reason: None,
        source: "api".to_owned(),
        created_by: "local".to_owned(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        failures: 0,
    }
}

#[async_trait]
impl Hooks for Seen {
    async fn hook_list(&self) -> ApiResult<Vec<HookInfo>> {
        self.allowed()?;
        Ok(Vec::new())
    }

    async fn hook_create(&self, request: HookRequest) -> ApiResult<HookInfo> {
        self.allowed()?;
        let HookRequest { name, kind, description } = request;
        Ok(HookInfo { name, kind, description, built_in: false, plugin: None, subscriptions: 0 })
    }

    async fn hook_delete(&self, _: &HookName) -> ApiResult<()> {
        self.allowed()
    }

    async fn subscription_list(&self, _: &SubscriptionQuery) -> ApiResult<Vec<SubscriptionInfo>> {
        self.allowed()?;
        Ok(vec![subscription(true)])
    }

    async fn subscription_create(&self, _: SubscriptionRequest) -> ApiResult<SubscriptionInfo> {
        self.allowed()?;
        Ok(subscription(true))
    }

    async fn subscription_delete(&self, _: &str) -> ApiResult<()> {
        self.allowed()
    }

    async fn subscription_switch(&self, _: &str, enabled: bool) -> ApiResult<SubscriptionInfo> {
        self.allowed()?;
        Ok(subscription(enabled))
    }

    async fn hook_fire(&self, name: &HookName, request: FireRequest) -> ApiResult<FireReport> {
        self.allowed()?;
        let trace = HookTraceInfo {
            id: Ulid::new().to_string(),
            hook: name.clone(),
            kind: HookKind::Action,
            correlation: self.correlation.clone(),
            caller: self.name.clone(),
            started_at: OffsetDateTime::UNIX_EPOCH,
            duration_us: 1,
            dry_run: request.dry_run,
            result: "passed".to_owned(),
            callbacks: Vec::new(),
        };
        Ok(FireReport { value: request.payload, message: None, trace })
    }

    async fn hook_traces(&self, _: &HookTraceQuery) -> ApiResult<Vec<HookTraceInfo>> {
        self.allowed()?;
        Ok(Vec::new())
    }
}

#[async_trait]
impl Backups for Seen {
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport> {
        self.allowed()?;
        let BackupRequest { path, include_secret_key } = request;
        Ok(BackupReport {
            path,
            size: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            version: "0.1.0".to_owned(),
            schema: 2,
            files: 1,
            unpacked: 1,
            has_secret_key: include_secret_key,
            configuration_files: 0,
            audit: AuditHead { sequence: 0, hash: String::new() },
        })
    }
}

fn event(name: &str) -> EventInfo {
    EventInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        at: OffsetDateTime::UNIX_EPOCH,
        name: name.parse().unwrap(),
        plugin: Some("pricing".parse().unwrap()),
        correlation: "01ARZ3NDEKTSV4RRFFQ69G5FAW".to_owned(),
        payload: json!({"plugin": "pricing"}),
    }
}

#[async_trait]
impl Events for Seen {
    async fn event_list(&self, _: &EventQuery) -> ApiResult<Vec<EventInfo>> {
        self.allowed()?;
        Ok(vec![event("plugin.installed")])
    }

    /// One event, and then what comes after it: for ever nothing, or that the caller may no longer look.
    async fn event_follow(&self, query: &FollowQuery) -> ApiResult<EventStream> {
        self.allowed()?;
        let first = futures::stream::iter([Ok(EventInfo {
            payload: json!({"after": query.after}),
            ..event("plugin.installed")
        })]);
        Ok(match query.name.as_ref().map(Pattern::as_str) {
            Some("forever") => Box::pin(futures::StreamExt::chain(first, futures::stream::pending())),
            Some("revoked") => {
                let ended = Err(ApiError::new(Code::Unauthenticated, "the key was revoked"));
                Box::pin(futures::StreamExt::chain(first, futures::stream::iter([ended])))
            }
            _ => Box::pin(first),
        })
    }
}

fn webhook(name: &WebhookName) -> WebhookInfo {
    WebhookInfo {
        name: name.clone(),
        url: "https://ops.example.com/".to_owned(),
        events: vec!["*".parse().unwrap()],
        plugin: None,
        enabled: true,
        reason: None,
        description: String::new(),
        headers: vec!["Authorization".to_owned()],
        allow_http: false,
        allow_private_network: false,
        failing_since: Some(OffsetDateTime::UNIX_EPOCH),
        pending: 1,
        dead: 0,
        created_by: "local".to_owned(),
        created_at: OffsetDateTime::UNIX_EPOCH,
        updated_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn delivery(name: &WebhookName) -> DeliveryInfo {
    DeliveryInfo {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        webhook: name.clone(),
        event: None,
        name: "webhook.test".parse().unwrap(),
        state: "pending".to_owned(),
        attempts: 1,
        next_at: Some(OffsetDateTime::UNIX_EPOCH),
        status: Some(500),
        error: Some("the receiver answered 500".to_owned()),
        created_at: OffsetDateTime::UNIX_EPOCH,
        ended_at: None,
    }
}

#[async_trait]
impl Webhooks for Seen {
    async fn webhook_list(&self) -> ApiResult<Vec<WebhookInfo>> {
        self.allowed()?;
        Ok(self.state.webhooks.lock().clone())
    }

    async fn webhook_fetch(&self, name: &WebhookName) -> ApiResult<WebhookInfo> {
        self.allowed()?;
        let found = self.state.webhooks.lock().iter().find(|webhook| webhook.name == *name).cloned();
        found.ok_or_else(|| ApiError::new(Code::NotFound, format!("there is no webhook `{name}`")))
    }

    async fn webhook_create(&self, request: WebhookRequest) -> ApiResult<NewWebhook> {
        self.allowed()?;
        Ok(NewWebhook { webhook: webhook(&request.name), secret: Secret::new("whsec_AAAA".to_owned()) })
    }

    async fn webhook_update(
        &self,
        name: &WebhookName,
        change: WebhookChange,
        expected: Option<Fingerprint>,
    ) -> ApiResult<WebhookInfo> {
        let present = self.webhook_fetch(name).await?;
        self.check_expected(expected, Some(present.fingerprint()))?;
        let WebhookChange { url, events, plugin, enabled, description, .. } = change;
        let new = WebhookInfo { url, events, plugin, enabled, description, ..present };
        let mut all = self.state.webhooks.lock();
        let place = all.iter().position(|webhook| webhook.name == *name);
        put(&mut all, place, new)
    }

    async fn webhook_delete(&self, _: &WebhookName) -> ApiResult<()> {
        self.allowed()
    }

    async fn webhook_rotate(&self, name: &WebhookName) -> ApiResult<WebhookSecret> {
        self.allowed()?;
        Ok(WebhookSecret { name: name.clone(), secret: Secret::new("whsec_AAAA".to_owned()) })
    }

    async fn webhook_test(&self, name: &WebhookName) -> ApiResult<DeliveryInfo> {
        self.allowed().map(|()| delivery(name))
    }

    async fn delivery_list(&self, name: &WebhookName, _: &DeliveryQuery) -> ApiResult<Vec<DeliveryInfo>> {
        self.allowed()?;
        Ok(vec![delivery(name)])
    }

    async fn delivery_fetch(&self, name: &WebhookName, _: &str) -> ApiResult<DeliveryInfo> {
        self.allowed().map(|()| delivery(name))
    }

    async fn delivery_retry(&self, _: &WebhookName, _: Option<&str>) -> ApiResult<DeliveryRetry> {
        self.allowed()?;
        Ok(DeliveryRetry { retried: 1 })
    }
}

/// `rust` is there, as one that can be changed, so that each route has something to do.
impl Seen {
    fn template(&self, name: &TemplateName) -> ApiResult<(Template, u64)> {
        self.allowed()?;
        let kept = self.state.template.lock().clone().filter(|(template, _)| template.name == *name);
        match kept {
            Some(kept) => Ok(kept),
            None if name.as_str() == "rust" => Ok((template("rust"), 3)),
            None => Err(ApiError::new(Code::NotFound, format!("there is no template `{name}`"))),
        }
    }
}

fn template(name: &str) -> Template {
    Template {
        name: name.parse().unwrap(),
        description: "A function in Rust".to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables: Vec::new(),
        files: BTreeMap::from([("plugin.toml".parse().unwrap(), "name = \"{{ name }}\"\n".to_owned())]),
    }
}

fn made(revision: u64) -> TemplateMade {
    let at = OffsetDateTime::UNIX_EPOCH;
    let by = || "local".to_owned();
    TemplateMade { created_at: at, created_by: by(), updated_at: at, updated_by: by(), revision }
}

fn template_info(template: Template, revision: u64) -> TemplateInfo {
    let Template { name, description, runtime, language, variables, files } = template;
    let made = Some(made(revision));
    TemplateInfo { name, description, runtime, language, variables, files, built_in: false, made }
}

#[async_trait]
impl Templates for Seen {
    async fn template_list(&self) -> ApiResult<Vec<TemplateSummary>> {
        self.allowed()?;
        let summary = |name: &str, language: &str| {
            let Template { name, description, runtime, variables, files, .. } = template(name);
            let built_in = language == "rust";
            let made = (!built_in).then(|| made(1));
            let (files, language) = (files.into_keys().collect(), language.to_owned());
            TemplateSummary { name, description, runtime, language, variables, files, size: 1, built_in, made }
        };
        Ok(vec![summary("rust", "rust"), summary("team", "python")])
    }

    async fn template_fetch(&self, name: &TemplateName) -> ApiResult<TemplateInfo> {
        self.template(name).map(|(template, revision)| template_info(template, revision))
    }

    async fn template_create(&self, template: Template) -> ApiResult<TemplateInfo> {
        self.allowed()?;
        if self.template(&template.name).is_ok() {
            return Err(ApiError::new(Code::AlreadyExists, "it is there already"));
        }
        *self.state.template.lock() = Some((template.clone(), 1));
        Ok(template_info(template, 1))
    }

    async fn template_put(&self, template: Template, expected: Option<u64>) -> ApiResult<TemplateInfo> {
        let (_, revision) = self.template(&template.name)?;
        if expected.is_some_and(|expected| expected != revision) {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        *self.state.template.lock() = Some((template.clone(), revision + 1));
        Ok(template_info(template, revision + 1))
    }

    async fn template_delete(&self, name: &TemplateName) -> ApiResult<()> {
        self.template(name).map(drop)
    }

    async fn template_render(&self, name: &TemplateName, _: TemplateValues) -> ApiResult<RenderedTemplate> {
        self.template(name).map(|(template, _)| RenderedTemplate { template: template.name, files: template.files })
    }
}

#[async_trait]
impl Packages for Seen {
    async fn package_upload(&self, upload: PackageUpload) -> ApiResult<UploadedPackage> {
        self.allowed()?;
        let PackageUpload { kind, size: _, digest, mut content } = upload;
        let mut bytes = Vec::new();
        while let Some(piece) = content.next().await {
            bytes.extend_from_slice(&piece?);
        }
        *self.state.sent.lock() = Some((kind, digest, bytes));
        Ok(UploadedPackage {
            package: DIGEST.parse().unwrap(),
            name: "pricing".parse().unwrap(),
            version: "1.2.0".to_owned(),
            size: 1,
            files: 1,
            kept_until: OffsetDateTime::UNIX_EPOCH,
        })
    }
}

/// A call that made another.
fn profile(function: FunctionRef) -> CallProfile {
    let alone = CallProfile {
        function,
        code: None,
        total_ns: 1_500,
        stages: vec![StageTime { stage: "run".to_owned(), ns: 1_500 }],
        host_calls: vec![HostCallTime { import: "outrigger:plugin/calls".to_owned(), calls: 1, ns: 700 }],
        calls: Vec::new(),
        calls_left_out: 0,
    };
    CallProfile { calls: vec![CallProfile { code: Some(Code::Trapped), ..alone.clone() }], ..alone }
}
