//! The traits that every face speaks to: one for each area, and [`Platform`], which is all of them.

use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use outrigger_contract::{FunctionRef, HookName, PluginName, TraceContext, WebhookName};
use ulid::Ulid;

use crate::{
    AccessMatrix, ApiResult, AuditInfo, AuditQuery, AuditVerification, AvailableReport, BackupReport, BackupRequest,
    CallRequest, CallResponse, Configuration, ConfigurationDiff, ConfigurationEdits, ConfigurationRevision,
    DeliveryInfo, DeliveryQuery, DeliveryRetry, DoctorReport, EventInfo, EventQuery, EventStream, ExplainRequest,
    Explanation, Fingerprint, FireReport, FireRequest, FollowQuery, FunctionDescription, FunctionQuery,
    FunctionSummary, HealthInfo, HookInfo, HookRequest, HookTraceInfo, HookTraceQuery, Identity, InstallOutcome,
    InstallRequest, JobInfo, JobQuery, JobRequest, KeyInfo, KeyRequest, KeyRevocation, LogEntry, MetricsReport, NewKey,
    NewWebhook, PackageReport, PackageSource, PackageUpload, PluginDetails, PluginHealth, PluginProfile,
    PluginSignature, PluginSummary, RecordQuery, RenderedTemplate, RequestTracer, RoleInfo, RoleRequest,
    RollbackReport, RollbackRequest, RunEntry, ScheduleInfo, ScheduleRequest, SecretsRotation, StatisticsReport,
    StopReport, SubscriptionInfo, SubscriptionQuery, SubscriptionRequest, Template, TemplateInfo, TemplateName,
    TemplateSummary, TemplateValues, UploadedPackage, UsageQuery, UsageReport, WebhookChange, WebhookInfo,
    WebhookRequest, WebhookSecret,
};

/// The operations of one caller. The caller is authenticated when the platform is obtained: see [`Door`].
#[async_trait]
pub trait Platform:
    Functions
    + Plugins
    + Records
    + Configurations
    + Access
    + Audit
    + Hooks
    + Jobs
    + Backups
    + Events
    + Webhooks
    + Templates
    + Packages
    + Debug
    + Send
    + Sync
{
    /// Refuses a caller that lacks a right on a name; without a name, a caller that lacks the right entirely. A face
    /// calls this before it reads a request body. The operation itself checks its rights again.
    fn admit(&self, right: &str, name: Option<&str>) -> ApiResult<()>;
    /// The name of the caller in the pool for long computations, where it has one turn. Empty if this process does not
    /// compute for it.
    fn turn_owner(&self) -> String {
        String::new()
    }
    /// Checks the installation.
    async fn doctor(&self) -> ApiResult<DoctorReport>;
    /// The metrics of the server.
    async fn metrics(&self) -> ApiResult<MetricsReport>;
    /// Writes all pending records. Called once, at the end.
    async fn close(&self) -> ApiResult<()>;
}

/// Authenticates callers. A remote interface asks it for a platform for each request.
#[async_trait]
pub trait Door: Debug + Send + Sync {
    /// The platform for the holder of a key. Wrong keys from the same address are limited in number.
    async fn enter(&self, key: &str, visit: Visit) -> ApiResult<Arc<dyn Platform>>;
    /// The platform for the administrator, who can open the data directory.
    fn local(&self, visit: Visit) -> Arc<dyn Platform>;
    /// Checks whether requests can be served now.
    async fn ready(&self) -> ApiResult<()>;
    /// The tracer of requests, if traces are kept.
    fn tracer(&self) -> Option<Arc<dyn RequestTracer>> {
        None
    }
    /// Records durably that a request with an idempotency key begins, unless there is a record for it already. `place`
    /// and `body` are hashes: of sender, address and key, and of the content. `owner` is the id of the caller's key, or
    /// `local`: each has a fair share of the kept records.
    async fn request_begin(&self, place: [u8; 32], body: [u8; 32], owner: &str) -> ApiResult<Begun>;
    /// Records durably that the request has ended, with the response to replay. If the owner's quota of stored
    /// responses is used up, the response is not stored.
    async fn request_end(&self, place: [u8; 32], owner: &str, answer: Option<Vec<u8>>) -> ApiResult<()>;
    /// Deletes the record: a repeated request runs again.
    async fn request_forget(&self, place: [u8; 32]) -> ApiResult<()>;
}

/// The state of a request with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It was not there. Now it is begun.
    New,
    /// It was started before, but its outcome is unknown because the process stopped.
    Unfinished,
    /// It has ended.
    Ended {
        /// The hash of the content.
        body: [u8; 32],
        /// The response, if it was stored.
        answer: Option<Vec<u8>>,
    },
}

/// Properties of a request before it is processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// The client's address; none for the socket in the data directory.
    pub from: Option<IpAddr>,
    /// The correlation id of all its records.
    pub correlation: Ulid,
    /// Whether the client chose the correlation id.
    pub is_chosen: bool,
    /// Its trace context; none if traces are not kept.
    pub trace: Option<TraceContext>,
}

/// Functions: find, describe and call them.
#[async_trait]
pub trait Functions: Send + Sync {
    /// Calls a function.
    async fn call(&self, request: CallRequest) -> ApiResult<CallResponse>;
    /// Calls several functions, at most `parallel` at once. Returns results in the order of the requests. Nothing limits
    /// their size together, so a server that holds them for others makes the calls itself.
    async fn call_batch(&self, requests: Vec<CallRequest>, parallel: usize) -> Vec<ApiResult<CallResponse>>;
    /// The functions that match, by name.
    async fn function_list(&self, query: &FunctionQuery) -> ApiResult<Vec<FunctionSummary>>;
    /// A page of this list, and how many functions the list has.
    async fn function_page(
        &self,
        query: &FunctionQuery,
        page: Range<usize>,
    ) -> ApiResult<(Vec<FunctionSummary>, usize)> {
        let all = self.function_list(query).await?;
        let total = all.len();
        Ok((all.into_iter().skip(page.start).take(page.len()).collect(), total))
    }
    /// Describes one function: documentation, types, schemas, options.
    async fn function_describe(&self, function: &FunctionRef) -> ApiResult<FunctionDescription>;
}

/// Plugins and packages.
#[async_trait]
pub trait Plugins: Send + Sync {
    /// The installed plugins, by name.
    async fn plugin_list(&self) -> ApiResult<Vec<PluginSummary>>;
    /// Everything about one plugin.
    async fn plugin_info(&self, name: &PluginName) -> ApiResult<PluginDetails>;
    /// Packages that can be installed by name, from the search paths, with duplicates and problems.
    async fn plugin_available(&self) -> ApiResult<AvailableReport>;
    /// Reads and checks a package without installing it.
    async fn package_inspect(&self, source: &PackageSource) -> ApiResult<PackageReport>;
    /// Installs a package, or replaces the installed version.
    async fn plugin_install(&self, request: InstallRequest) -> ApiResult<InstallOutcome>;
    /// Removes a plugin with its configuration and state.
    async fn plugin_uninstall(&self, name: &PluginName) -> ApiResult<StopReport>;
    /// Enables a plugin.
    async fn plugin_enable(&self, name: &PluginName) -> ApiResult<()>;
    /// Stops a plugin taking calls.
    async fn plugin_disable(&self, name: &PluginName) -> ApiResult<StopReport>;
    /// Reloads a plugin.
    async fn plugin_reload(&self, name: &PluginName) -> ApiResult<()>;
    /// Loads a plugin before its first call. Returns the number of idle instances.
    async fn plugin_warm(&self, name: &PluginName) -> ApiResult<usize>;
    /// Checks the health of a plugin, and returns its status in the monitor.
    async fn plugin_health(&self, name: &PluginName) -> ApiResult<HealthInfo>;
    /// The current state of a plugin's signature: reads its files again and compares them with the installed ones.
    async fn plugin_signature(&self, name: &PluginName) -> ApiResult<PluginSignature>;
    /// Rolls a plugin back to the state before its last update: revision, configuration and state. Refused if the
    /// package would not be installed now, because of its signature or because its files were changed on the disk.
    async fn plugin_rollback(&self, name: &PluginName, request: RollbackRequest) -> ApiResult<RollbackReport>;
    /// The monitor's status of each plugin, by name. No plugin is checked for it.
    async fn plugin_health_list(&self) -> ApiResult<Vec<PluginHealth>>;
}

/// Runs, log lines and statistics.
#[async_trait]
pub trait Records: Send + Sync {
    /// Statistics of one plugin, or of all.
    async fn plugin_statistics(&self, name: Option<&PluginName>) -> ApiResult<StatisticsReport>;
    /// Matching log lines, oldest first.
    async fn log_list(&self, query: &RecordQuery) -> ApiResult<Vec<LogEntry>>;
    /// Runs that match, the oldest first.
    async fn run_list(&self, query: &RecordQuery) -> ApiResult<Vec<RunEntry>>;
    /// Sums of the runs of a time span, in groups.
    async fn run_usage(&self, query: &UsageQuery) -> ApiResult<UsageReport>;
    /// A profile of a plugin's calls since it was loaded.
    async fn plugin_profile(&self, name: &PluginName) -> ApiResult<PluginProfile>;
}

/// Configurations of plugins.
#[async_trait]
pub trait Configurations: Send + Sync {
    /// A plugin's configuration with its schema.
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration>;
    /// Replaces a plugin's configuration. `expected` is the revision that was read, 0 for none.
    async fn configuration_put(
        &self,
        name: &PluginName,
        values: serde_json::Map<String, serde_json::Value>,
        expected: u64,
    ) -> ApiResult<u64>;
    /// Changes single values, all of them or none, and leaves the others unchanged. `expected` is the revision that was
    /// read; without it, the current revision is changed.
    async fn configuration_change(
        &self,
        name: &PluginName,
        edits: ConfigurationEdits,
        expected: Option<u64>,
    ) -> ApiResult<u64>;
    /// The retained revisions, newest first.
    async fn configuration_revisions(&self, name: &PluginName) -> ApiResult<Vec<ConfigurationRevision>>;
    /// One retained revision.
    async fn configuration_revision(&self, name: &PluginName, revision: u64) -> ApiResult<ConfigurationRevision>;
    /// The keys in which two revisions differ. Revision 0 is the empty configuration; the default of `to` is the
    /// current revision.
    async fn configuration_diff(&self, name: &PluginName, from: u64, to: Option<u64>) -> ApiResult<ConfigurationDiff>;
    /// Restores the values of an earlier revision, including secrets. Returns the new revision.
    async fn configuration_rollback(&self, name: &PluginName, revision: u64) -> ApiResult<u64>;
    /// Creates a new key for secrets, and encrypts all of them again with it.
    async fn secrets_rotate(&self) -> ApiResult<SecretsRotation>;
}

/// Keys and roles.
#[async_trait]
pub trait Access: Send + Sync {
    /// The identity of the caller.
    async fn identity(&self) -> ApiResult<Identity>;
    /// All keys, by name.
    async fn key_list(&self) -> ApiResult<Vec<KeyInfo>>;
    /// Creates a key. It cannot have more rights than its creator.
    async fn key_create(&self, request: KeyRequest) -> ApiResult<NewKey>;
    /// Revokes a key, by its id or name. Returns its resources that remain.
    async fn key_delete(&self, key: &str) -> ApiResult<KeyRevocation>;
    /// All roles, the built-in ones first.
    async fn role_list(&self) -> ApiResult<Vec<RoleInfo>>;
    /// Creates or changes a role. With `expected`, only changes the version that was read.
    async fn role_put(&self, name: &str, request: RoleRequest, expected: Option<Fingerprint>) -> ApiResult<RoleInfo>;
    /// Removes a role that no key has.
    async fn role_delete(&self, name: &str) -> ApiResult<()>;
    /// Explains whether a key is allowed to do something.
    async fn access_explain(&self, request: ExplainRequest) -> ApiResult<Explanation>;
    /// Keys and roles.
    async fn access_matrix(&self) -> ApiResult<AccessMatrix>;
}

/// The audit log.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Matching records, newest first.
    async fn audit_list(&self, query: &AuditQuery) -> ApiResult<Vec<AuditInfo>>;
    /// Verifies the whole log.
    async fn audit_verify(&self) -> ApiResult<AuditVerification>;
}

/// Hooks, and the subscriptions of functions to them.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// All hooks, by name.
    async fn hook_list(&self) -> ApiResult<Vec<HookInfo>>;
    /// One hook.
    async fn hook_fetch(&self, name: &HookName) -> ApiResult<HookInfo>;
    /// Adds a hook.
    async fn hook_create(&self, request: HookRequest) -> ApiResult<HookInfo>;
    /// Removes a hook that was added over the API and has no subscribers.
    async fn hook_delete(&self, name: &HookName) -> ApiResult<()>;
    /// Subscriptions that match, in the order in which they are called.
    async fn subscription_list(&self, query: &SubscriptionQuery) -> ApiResult<Vec<SubscriptionInfo>>;
    /// Subscribes a function to a hook.
    async fn subscription_create(&self, request: SubscriptionRequest) -> ApiResult<SubscriptionInfo>;
    /// Removes a subscription that was created over the API.
    async fn subscription_delete(&self, id: &str) -> ApiResult<()>;
    /// Switches a subscription on or off.
    async fn subscription_switch(&self, id: &str, enabled: bool) -> ApiResult<SubscriptionInfo>;
    /// Fires a hook that is not built in, and waits for its subscribers; or does a dry run.
    async fn hook_fire(&self, name: &HookName, request: FireRequest) -> ApiResult<FireReport>;
    /// Traces of firings, newest first. The latest 200 of each hook are kept.
    async fn hook_traces(&self, query: &HookTraceQuery) -> ApiResult<Vec<HookTraceInfo>>;
}

/// Copies of all that is there.
#[async_trait]
pub trait Backups: Send + Sync {
    /// Creates a backup of the whole data directory at one moment, while it stays in use.
    async fn backup_create(&self, request: BackupRequest) -> ApiResult<BackupReport>;
}

/// Jobs: durable background calls, and schedules, which create them. A server runs them.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Puts a job into the queue.
    async fn job_create(&self, request: JobRequest) -> ApiResult<JobInfo>;
    /// Jobs that match, the newest first.
    async fn job_list(&self, query: &JobQuery) -> ApiResult<Vec<JobInfo>>;
    /// One job.
    async fn job_fetch(&self, id: &str) -> ApiResult<JobInfo>;
    /// Cancels a job: at once if it has not started, otherwise as soon as its call ends.
    async fn job_cancel(&self, id: &str) -> ApiResult<JobInfo>;
    /// Retries a failed or cancelled job.
    async fn job_retry(&self, id: &str) -> ApiResult<JobInfo>;
    /// Approves a job that waits for it.
    async fn job_approve(&self, id: &str) -> ApiResult<JobInfo>;
    /// Matching log lines of a job, oldest first.
    async fn job_logs(&self, id: &str, query: &RecordQuery) -> ApiResult<Vec<LogEntry>>;
    /// All schedules, by name.
    async fn schedule_list(&self) -> ApiResult<Vec<ScheduleInfo>>;
    /// Creates or changes a schedule. With `expected`, only changes the version that was read.
    async fn schedule_put(
        &self,
        name: &str,
        request: ScheduleRequest,
        expected: Option<Fingerprint>,
    ) -> ApiResult<ScheduleInfo>;
    /// Removes a schedule. Its jobs are kept.
    async fn schedule_delete(&self, name: &str) -> ApiResult<()>;
}

/// The log of events.
#[async_trait]
pub trait Events: Send + Sync {
    /// Matching events, newest first.
    async fn event_list(&self, query: &EventQuery) -> ApiResult<Vec<EventInfo>>;
    /// Matching events, as they happen. The stream ends with the platform, or with an error when the caller loses the
    /// right.
    async fn event_follow(&self, query: &FollowQuery) -> ApiResult<EventStream>;
}

/// Webhooks: HTTP endpoints notified of events. A server notifies them.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// All webhooks, by name.
    async fn webhook_list(&self) -> ApiResult<Vec<WebhookInfo>>;
    /// One webhook.
    async fn webhook_fetch(&self, name: &WebhookName) -> ApiResult<WebhookInfo>;
    /// Adds a webhook. Its secret is returned only here.
    async fn webhook_create(&self, request: WebhookRequest) -> ApiResult<NewWebhook>;
    /// Changes a webhook. `expected` is the version that was read; without it, any version is changed.
    async fn webhook_update(
        &self,
        name: &WebhookName,
        change: WebhookChange,
        expected: Option<Fingerprint>,
    ) -> ApiResult<WebhookInfo>;
    /// Removes a webhook with its deliveries.
    async fn webhook_delete(&self, name: &WebhookName) -> ApiResult<()>;
    /// Makes a new secret for a webhook.
    async fn webhook_rotate(&self, name: &WebhookName) -> ApiResult<WebhookSecret>;
    /// Queues a test delivery.
    async fn webhook_test(&self, name: &WebhookName) -> ApiResult<DeliveryInfo>;
    /// Matching deliveries of a webhook, newest first.
    async fn delivery_list(&self, name: &WebhookName, query: &DeliveryQuery) -> ApiResult<Vec<DeliveryInfo>>;
    /// One delivery of a webhook.
    async fn delivery_fetch(&self, name: &WebhookName, id: &str) -> ApiResult<DeliveryInfo>;
    /// Sends a dead letter of a webhook again, or all of them.
    async fn delivery_retry(&self, name: &WebhookName, id: Option<&str>) -> ApiResult<DeliveryRetry>;
}

/// Templates for new plugins.
#[async_trait]
pub trait Templates: Send + Sync {
    /// All templates, including the built-in ones, by name.
    async fn template_list(&self) -> ApiResult<Vec<TemplateSummary>>;
    /// One template with its files.
    async fn template_fetch(&self, name: &TemplateName) -> ApiResult<TemplateInfo>;
    /// Adds a template. It is refused, with file and line, if it does not render.
    async fn template_create(&self, template: Template) -> ApiResult<TemplateInfo>;
    /// Replaces a template. `expected` is the revision that was read; without it, any revision is replaced.
    async fn template_put(&self, template: Template, expected: Option<u64>) -> ApiResult<TemplateInfo>;
    /// Removes a template that is not built in.
    async fn template_delete(&self, name: &TemplateName) -> ApiResult<()>;
    /// The files of a new plugin.
    async fn template_render(&self, name: &TemplateName, values: TemplateValues) -> ApiResult<RenderedTemplate>;
}

/// Uploads of packages.
#[async_trait]
pub trait Packages: Send + Sync {
    /// Uploads a package and checks it. It is kept for a while, to be inspected or installed by its digest.
    async fn package_upload(&self, upload: PackageUpload) -> ApiResult<UploadedPackage>;
}
