//! Hook specifications: Outrigger's own, and those that plugins declare or administrators add.

use std::sync::Arc;

use outrigger_contract::{HookKind, HookName, PluginName};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::schema::HookSchema;
use crate::jobs::JobState;

/// Fired before every call, once its arguments are known to fit.
pub const CALL_BEFORE: &str = "call.before";
/// Fired after every call, however it ended.
pub const CALL_AFTER: &str = "call.after";
/// Fired before a plugin is changed, once it is known that the change can be attempted.
pub const PLUGIN_BEFORE: &str = "plugin.before";
pub const PLUGIN_INSTALLED: &str = "plugin.installed";
pub const PLUGIN_UPDATED: &str = "plugin.updated";
pub const PLUGIN_ENABLED: &str = "plugin.enabled";
pub const PLUGIN_DISABLED: &str = "plugin.disabled";
pub const PLUGIN_RELOADED: &str = "plugin.reloaded";
pub const PLUGIN_REMOVED: &str = "plugin.removed";
pub const PLUGIN_FAILED: &str = "plugin.failed";
pub const PLUGIN_HEALTH_CHANGED: &str = "plugin.health-changed";
pub const PLUGIN_RESTARTED: &str = "plugin.restarted";
pub const CONFIGURATION_CHANGED: &str = "configuration.changed";
pub const WEBHOOK_DISABLED: &str = "webhook.disabled";
/// The test event of a webhook. It is in no log and has no subscribers.
pub const WEBHOOK_TEST: &str = "webhook.test";

/// A hook, as it can be subscribed to.
#[derive(Clone, Debug, PartialEq)]
pub struct HookSpec {
    pub name: HookName,
    pub kind: HookKind,
    /// When the hook is fired, and its payload.
    pub description: String,
    /// The schema of the payload; a subscriber's parameter must accept it. None for a hook with any JSON, which is
    /// checked at each firing.
    pub schema: Option<Arc<HookSchema>>,
    /// The plugin whose manifest declares it.
    pub plugin: Option<PluginName>,
    /// The name of its creator, for people; none for Outrigger's own hooks.
    pub created_by: Option<String>,
}

/// A hook that is not built in, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRecord {
    pub name: HookName,
    pub kind: HookKind,
    pub description: String,
    /// A JSON Schema of the payload; none for any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Json>,
    /// The plugin whose manifest declares it; none for one that was added over the API.
    pub plugin: Option<PluginName>,
    /// The caller that added it, as text for people.
    pub created_by: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl From<&HookRecord> for HookSpec {
    fn from(record: &HookRecord) -> Self {
        let HookRecord { name, kind, description, schema, plugin, created_by, created_at: _ } = record.clone();
        let schema = schema.map(|schema| Arc::new(HookSchema::kept(schema)));
        Self { name, kind, description, schema, plugin, created_by: Some(created_by) }
    }
}

impl HookSpec {
    /// The plugin that declares it, or the caller that added it; empty for Outrigger's own.
    pub(super) fn owner(&self) -> String {
        match &self.plugin {
            Some(plugin) => format!("plugin {plugin}"),
            None => self.created_by.clone().unwrap_or_default(),
        }
    }

    /// Whether only Outrigger itself fires it.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        self.name.is_reserved()
    }
}

/// Whether only an administrator can subscribe to a hook, not a manifest: a subscriber sees, and can change, the
/// arguments of every call, or can refuse changes of other plugins.
#[must_use]
pub fn is_delicate(name: &HookName) -> bool {
    is_of_calls(name) || name.as_str() == PLUGIN_BEFORE
}

/// Whether a hook is fired for every call.
#[must_use]
pub fn is_of_calls(name: &HookName) -> bool {
    matches!(name.as_str(), CALL_BEFORE | CALL_AFTER)
}

/// Outrigger's own hooks.
#[must_use]
pub fn built_in() -> Vec<HookSpec> {
    let spec = |name: &str, kind, description: &str, samples: Vec<Json>| HookSpec {
        name: name.parse().expect("the built-in names are names"),
        kind,
        description: description.to_owned(),
        schema: Some(Arc::new(HookSchema::of_samples(samples))),
        plugin: None,
        created_by: None,
    };
    let plugin = |name, what: &str| {
        let sample =
            |reason: Json| json!({"plugin": "pricing", "version": "1.0.0", "digest": "sha256:00", "reason": reason});
        let description =
            format!("{what}. Carries `plugin`, `version`, `digest` and `reason`, which is null if there is none.");
        spec(name, HookKind::Event, &description, vec![sample(json!("it failed")), sample(Json::Null)])
    };
    let job = |state: JobState| {
        let sample = |schedule: Json, code: Json| {
            json!({
                "job": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "function": "pricing.quote", "state": state.as_str(), "attempt": 1,
                "caller": "local", "schedule": schedule, "code": code,
            })
        };
        let what = match state {
            JobState::Queued => "A job was queued.".to_owned(),
            JobState::Running => "A job started.".to_owned(),
            JobState::WaitingForApproval => "A job is waiting for approval.".to_owned(),
            JobState::Cancelled => "A job was cancelled.".to_owned(),
            ended => format!("A job {ended}."),
        };
        let description = format!(
            "{what} Carries `job`, `function`, `state`, `attempt`, `caller`, `schedule` and `code`. `schedule` is \
             null if no schedule made the job, `code` is null unless the job failed."
        );
        let samples = vec![sample(json!("nightly"), json!("trapped")), sample(Json::Null, Json::Null)];
        spec(&format!("job.{state}"), HookKind::Event, &description, samples)
    };
    let mut all = vec![
        spec(
            CALL_BEFORE,
            HookKind::Filter,
            "A function is about to be called. Carries `function`, `caller`, `origin` (the key, or other caller, at the \
             start of the call chain) and `arguments`. A subscriber can change only the arguments; it refuses the call \
             by returning its error value.",
            vec![json!({"function": "pricing.quote", "caller": "local", "origin": "local", "arguments": {}})],
        ),
        spec(
            CALL_AFTER,
            HookKind::Action,
            "A call has ended. Carries `function`, `caller`, `origin` (the key, or other caller, at the start of the \
             call chain), `outcome` (`ok` or the code of the failure), `duration_us` and `correlation`. Runs in the background; the answer does not wait for it.",
            vec![json!({
                "function": "pricing.quote", "caller": "local", "origin": "local", "outcome": "ok", "duration_us": 1,
                "correlation": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            })],
        ),
        spec(
            PLUGIN_BEFORE,
            HookKind::Filter,
            "A plugin is about to be changed. Carries `plugin`, `change` (`install`, `update`, `enable`, `disable`, \
             `reload`, `rollback` or `remove`), `version` and `digest` (of the new version, or else of the current \
             one), and `caller`. A subscriber refuses the change by returning its error value. It cannot change the \
             payload, and is not asked about its own plugin.",
            vec![json!({
                "plugin": "pricing", "change": "install", "version": "1.0.0", "digest": "sha256:00", "caller": "local",
            })],
        ),
        plugin(PLUGIN_INSTALLED, "A plugin was installed"),
        plugin(PLUGIN_UPDATED, "A plugin was updated"),
        plugin(PLUGIN_ENABLED, "A plugin was enabled"),
        plugin(PLUGIN_DISABLED, "A plugin was disabled"),
        plugin(PLUGIN_RELOADED, "A plugin was reloaded"),
        plugin(PLUGIN_REMOVED, "A plugin was removed"),
        plugin(PLUGIN_FAILED, "A plugin could not be enabled"),
        spec(
            CONFIGURATION_CHANGED,
            HookKind::Event,
            "The configuration of a plugin was set. Carries `plugin` and `revision`, and no values.",
            vec![json!({"plugin": "pricing", "revision": 1})],
        ),
        spec(
            WEBHOOK_DISABLED,
            HookKind::Event,
            "A webhook was disabled because its receiver answered 410 or has failed for too long. Carries `webhook` \
             and `reason`, which names no status if the webhook allows private networks.",
            vec![json!({"webhook": "ops-chat", "reason": "it failed"})],
        ),
        spec(
            PLUGIN_HEALTH_CHANGED,
            HookKind::Event,
            "The health of a plugin changed to healthy, degraded, unhealthy or unknown. Carries \
             `plugin`, `version`, `digest`, `from`, `to` and `reason`.",
            vec![json!({
                "plugin": "pricing", "version": "1.0.0", "digest": "sha256:00", "from": "healthy", "to": "unhealthy",
                "reason": "3 consecutive checks failed; the last one: it failed",
            })],
        ),
        plugin(PLUGIN_RESTARTED, "The health monitor restarted a plugin"),
    ];
    all.extend(JobState::ALL.map(job));
    all
}
