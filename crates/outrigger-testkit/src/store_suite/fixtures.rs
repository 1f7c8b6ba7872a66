//! Records to put into a store.

use std::collections::BTreeMap;
use std::time::Duration;

use outrigger_contract::types::{Field, Function, Outcome, Type, TypeGraph};
use outrigger_contract::units::Span;
use outrigger_contract::{Digest, FunctionName, FunctionRef, HookKind, Manifest, OnError, PluginName, Template};
use outrigger_engine::access::Role;
use outrigger_engine::audit::{AuditEntry, Stage};
use outrigger_engine::events::NewEvent;
use outrigger_engine::hooks::{HookRecord, Source, Subscription};
use outrigger_engine::jobs::{JobId, JobRecord, Missed, OnInterruption, Overlap, Owner, ScheduleRecord, Task};
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::runtime::{Inspection, LogLevel};
use outrigger_engine::store::{
    CacheOutcome, GrantRecord, KeyRecord, LogRecord, PluginRecord, RequestProgress, RequestRecord, RevisionRecord,
    RunRecord, StatisticsRow, StoreError, TemplateMade, TemplateRecord,
};
use outrigger_engine::webhooks::{DeliveryId, DeliveryRecord, DeliveryState, WebhookRecord};
use outrigger_engine::{CorrelationId, Store};
use serde_json::json;
use time::OffsetDateTime;

/// A name that is known to be valid.
pub fn name(text: &str) -> PluginName {
    text.parse().expect("a valid name")
}

pub(super) fn function(text: &str) -> FunctionName {
    text.parse().expect("a valid name")
}

/// A moment so many seconds after one that all tests share. It has all the digits that a clock gives.
pub fn moment(seconds: u64) -> OffsetDateTime {
    let start = OffsetDateTime::from_unix_timestamp_nanos(1_795_000_000_123_456_789).expect("in range");
    start + Duration::from_secs(seconds)
}

/// A plugin that is active and was never written.
pub fn plugin(name: &PluginName, active: &RevisionRecord) -> PluginRecord {
    PluginRecord {
        name: name.clone(),
        active: active.digest,
        state: PluginState::Active,
        reason: None,
        installed_at: moment(0),
        updated_at: moment(1),
        generation: 0,
    }
}

/// A revision with one function, `echo`.
pub fn revision(name: &PluginName, version: &str) -> RevisionRecord {
    let manifest = format!(
        "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"{name} {version}\"\ndescription = \"For tests.\"\n\
         categories = [\"utility\", \"cloud\"]\n[runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n"
    );
    let manifest = Manifest::parse(&manifest).expect("a valid manifest");
    let text = Field { name: "text".to_owned(), docs: String::new(), ty: Type::String };
    let echo = Function {
        name: "echo".to_owned(),
        interface: None,
        export: "echo".to_owned(),
        docs: "Answers.".to_owned(),
        params: vec![text],
        outcome: Outcome { ok: Some(Type::String), err: None },
    };
    let graph = TypeGraph { functions: vec![echo], ..TypeGraph::default() };
    RevisionRecord {
        digest: Digest::of(format!("{name}@{version}").as_bytes()),
        inspection: Inspection {
            graph,
            exports: Vec::new(),
            imports: Vec::new(),
            warnings: Vec::new(),
            instance_bytes: 0,
        },
        manifest,
        source: format!("/packages/{name}-{version}"),
        installed_at: moment(0),
    }
}

pub(super) fn grant(revision: &RevisionRecord, granted_by: &str) -> GrantRecord {
    let permissions = outrigger_contract::Permissions {
        http: vec!["api.example.org:443".parse().expect("a valid pattern")],
        ..outrigger_contract::Permissions::default()
    };
    let grant = outrigger_contract::Grant { permissions, ..outrigger_contract::Grant::default() };
    GrantRecord { digest: revision.digest, grant, granted_by: granted_by.to_owned(), granted_at: moment(2) }
}

/// Installs a plugin with version 1.0.0 and a grant.
pub async fn put(store: &dyn Store, name: &PluginName) -> RevisionRecord {
    let revision = revision(name, "1.0.0");
    let grant = grant(&revision, "local");
    let generation = store.plugin_put(&plugin(name, &revision), Some(&revision), Some(&grant), 0).await;
    assert_eq!(generation.expect("the plugin is new"), 1);
    revision
}

/// A run that went well; its id is made from `number`.
pub fn run(plugin: &PluginName, number: u64) -> RunRecord {
    RunRecord {
        id: format!("01JD{number:022}").parse().expect("a ULID"),
        correlation: CorrelationId::new(),
        plugin: plugin.clone(),
        function: function("echo"),
        digest: None,
        caller: "local".to_owned(),
        started_at: moment(number),
        duration_us: 1_500,
        code: None,
        message: None,
        cache: CacheOutcome::Bypass,
        attempts: 1,
        sum: None,
    }
}

/// A log line.
pub fn line(plugin: &PluginName, at: OffsetDateTime, message: &str) -> LogRecord {
    LogRecord {
        at,
        plugin: plugin.clone(),
        function: Some(function("echo")),
        correlation: CorrelationId::new(),
        level: LogLevel::Info,
        message: message.to_owned(),
        fields: Vec::new(),
    }
}

/// Statistics with one counter, `calls`, all of them in the bucket of 1,000 µs.
pub fn statistics(plugin: &PluginName, function_name: &str, calls: u64) -> StatisticsRow {
    StatisticsRow {
        plugin: plugin.clone(),
        function: function(function_name),
        counters: BTreeMap::from([("calls".to_owned(), calls)]),
        latency_us: BTreeMap::from([(1_000, calls)]),
    }
}

/// A key of this name, that was never used and does not expire; its id and its hash are made from the name.
pub fn key(name: &str) -> KeyRecord {
    KeyRecord {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        hash: *Digest::of(name.as_bytes()).as_bytes(),
        roles: vec!["admin".parse().expect("a valid name")],
        scope: None,
        created_at: moment(0),
        created_by: "local".to_owned(),
        expires_at: None,
        last_used_at: None,
    }
}

/// A role with one rule each way.
pub(super) fn role(name: &str) -> Role {
    Role {
        name: name.parse().expect("a valid name"),
        description: format!("What {name} may do."),
        allow: vec!["function_execute:pricing.*".parse().expect("a valid rule")],
        deny: vec!["plugin_delete".parse().expect("a valid rule")],
    }
}

/// A hook that was added over the API.
pub fn hook(name: &str) -> HookRecord {
    HookRecord {
        name: name.parse().expect("a valid name"),
        kind: HookKind::Event,
        description: format!("When {name} happens."),
        schema: Some(json!({"type": "object"})),
        plugin: None,
        created_by: "local".to_owned(),
        created_at: moment(0),
    }
}

/// A subscription of `plugin.echo` to `customer.created` that was made over the API.
pub fn subscription(id: &str, plugin: &PluginName) -> Subscription {
    Subscription {
        id: id.to_owned(),
        hook: "customer.created".parse().expect("a valid name"),
        kind: HookKind::Event,
        function: FunctionRef::new(plugin.clone(), function("echo")),
        priority: 100,
        condition: None,
        on_error: OnError::FailOpen,
        timeout: Span::from_secs(2),
        description: None,
        enabled: true,
        reason: None,
        source: Source::Api,
        created_by: "local".to_owned(),
        created_at: moment(0),
        failures: 0,
    }
}

/// An entry of the audit log, so many seconds after the moment that all tests share.
pub fn entry(seconds: u64) -> AuditEntry {
    AuditEntry {
        at: moment(seconds),
        actor: "local".to_owned(),
        key: None,
        action: "plugin_create".to_owned(),
        resource: "pricing".to_owned(),
        allowed: true,
        decision: None,
        stage: Stage::Done,
        code: None,
        revision: None,
        before: None,
        after: Some(serde_json::json!({"version": "1.0.0"})),
        correlation: CorrelationId::new(),
        calls: Vec::new(),
        until: None,
        prunable: false,
    }
}

fn task() -> Task {
    Task {
        function: "pricing.echo".parse().expect("a valid name"),
        arguments: "{\"text\": \"hello\"}".to_owned(),
        timeout: None,
        max_attempts: 3,
        backoff: Duration::from_secs(2),
        concurrency_key: None,
        on_interruption: OnInterruption::Fail,
        needs_approval: false,
    }
}

fn owner() -> Owner {
    Owner { name: "key ci".to_owned(), key: Some("id-of-ci".to_owned()) }
}

/// A job that is queued; its id and its age are made from `number`.
pub fn job(number: u64) -> JobRecord {
    let mut job = JobRecord::new(task(), owner(), moment(number));
    job.id = JobId::from(ulid::Ulid::from_parts(number, 7));
    job
}

/// A request that is begun.
pub fn request(number: u64) -> RequestRecord {
    let mut place = [0; 32];
    place[..8].copy_from_slice(&number.to_be_bytes());
    RequestRecord {
        place,
        body: [7; 32],
        at: moment(number),
        owner: "id-of-ci".to_owned(),
        progress: RequestProgress::Begun,
    }
}

/// A schedule that was never written.
pub fn schedule(name: &str) -> ScheduleRecord {
    ScheduleRecord {
        name: name.to_owned(),
        cron: "*/10 * * * *".parse().expect("a cron expression"),
        task: task(),
        owner: owner(),
        enabled: true,
        missed: Missed::Skip,
        overlap: Overlap::Skip,
        skipped: 0,
        next_at: Some(moment(10)),
        last_job: None,
        created_at: moment(0),
        generation: 0,
    }
}

/// An event of that many seconds after the moment that all tests share.
pub fn event(seconds: u64) -> NewEvent {
    NewEvent {
        at: moment(seconds),
        name: "plugin.installed".parse().expect("a valid name"),
        payload: serde_json::json!({"plugin": "pricing", "z": 1, "a": [null, 1.5]}).into(),
        correlation: CorrelationId::new(),
        plugin: Some(name("pricing")),
        key: None,
        caller: Some("key ci".to_owned()),
    }
}

/// A webhook that was never written.
pub fn webhook(name: &str) -> WebhookRecord {
    WebhookRecord {
        name: name.parse().expect("a valid name"),
        url: "https://ops.example.com/hooks?a=b".parse().expect("an address"),
        events: vec!["plugin.*".parse().expect("a pattern")],
        plugin: None,
        enabled: true,
        reason: None,
        description: String::new(),
        headers: vec!["Authorization".to_owned()],
        sealed: serde_json::json!({"$sealed": {"key": "k1", "nonce": "", "text": ""}}),
        allow_http: false,
        allow_private_network: false,
        opened_by: None,
        set_by: None,
        since: moment(0),
        failing_since: None,
        created_by: "local".to_owned(),
        created_at: moment(0),
        updated_at: moment(0),
        generation: 0,
    }
}

/// A delivery that is pending; its id and its time are made from `number`.
pub fn delivery(webhook: &str, number: u64) -> DeliveryRecord {
    DeliveryRecord {
        id: DeliveryId::from(ulid::Ulid::from_parts(number, 7)),
        webhook: webhook.parse().expect("a valid name"),
        event: Some(DeliveryId::from(ulid::Ulid::from_parts(number, 8))),
        name: "plugin.installed".parse().expect("a valid name"),
        state: DeliveryState::Pending,
        attempts: 0,
        next_at: moment(number),
        status: None,
        error: None,
        private: false,
        created_at: moment(number),
        ended_at: None,
        body: "{\"type\":\"plugin.installed\"}".to_owned(),
    }
}

/// A template that was never written.
pub fn template(name: &str) -> TemplateRecord {
    let path = "plugin.toml".parse().expect("a path");
    let template = Template {
        name: name.parse().expect("a valid name"),
        description: "For tests.".to_owned(),
        runtime: "wasm".to_owned(),
        language: "rust".to_owned(),
        variables: Vec::new(),
        files: BTreeMap::from([(path, "name = \"{{ name }}\"\n".to_owned())]),
    };
    let made = TemplateMade {
        created_at: moment(1),
        created_by: "local".to_owned(),
        updated_at: moment(1),
        updated_by: "local".to_owned(),
        revision: 0,
    };
    TemplateRecord { template, made }
}

#[track_caller]
pub(super) fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T, StoreError>) {
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "a conflict was expected, not {outcome:?}");
}
