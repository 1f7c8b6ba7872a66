//! All that a face can ask of Outrigger: the trait [`Platform`] with its wire types. The command line, the server and
//! the MCP server know nothing else, so none of them can drift from another.
//!
//! Wire types are plain data with stable names; the host converts to and from its own.

pub mod access;
pub mod audit;
pub mod backup;
pub mod call;
pub mod configuration;
pub mod error;
pub mod event;
pub mod fingerprint;
pub mod function;
pub mod health;
pub mod hook;
pub mod job;
pub mod json;
pub mod metrics;
pub mod migration;
pub mod platform;
pub mod plugin;
pub mod profile;
pub mod record;
pub mod signature;
pub mod system;
pub mod template;
pub mod trace;
pub mod upload;
pub mod usage;
pub mod webhook;

pub use access::{
    AccessMatrix, AccessMatrixCell, AccessMatrixRow, ExplainRequest, Explanation, Identity, KeyInfo, KeyRequest,
    KeyRevocation, NewKey, ROLE_NAME, RoleInfo, RoleRequest,
};
pub use audit::{AuditCall, AuditHead, AuditInfo, AuditQuery, AuditVerification};
pub use backup::{BackupReport, BackupRequest};
pub use call::{CallRequest, CallResponse, CallWarning};
pub use configuration::{
    Configuration, ConfigurationDiff, ConfigurationDifference, ConfigurationEdits, ConfigurationRevision,
    ConfigurationSource, DifferenceKind, SecretsRotation,
};
pub use error::ApiError;
pub use event::{EventInfo, EventQuery, EventStream, FollowQuery};
pub use fingerprint::Fingerprint;
pub use function::{FunctionDescription, FunctionQuery, FunctionSummary, ParameterInfo};
pub use health::{HealthChangeInfo, HealthCheckInfo, HealthInfo, LastCheckInfo, PluginHealth};
pub use hook::{
    ClosedHook, FireReport, FireRequest, HookCallbackInfo, HookInfo, HookRequest, HookTraceInfo, HookTraceQuery,
    SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};
pub use job::{JobErrorInfo, JobInfo, JobProgressInfo, JobQuery, JobRequest, ScheduleInfo, ScheduleRequest};
pub use json::{JsonObject, JsonText, NotAnObject};
pub use metrics::{
    COUNTERS, Counter, FunctionMetrics, KeptRecords, LatencyBucket, MemoryMetrics, MetricsReport, PluginHealthMetrics,
    PluginMetrics, ProcessMetrics,
};
pub use migration::{MigrationReport, RollbackReport, RollbackRequest, StateChanges};
pub use outrigger_contract::manifest::PackagePath;
pub use outrigger_contract::text;
pub use outrigger_contract::types::json::TreeBound;
pub use outrigger_contract::units::ByteSize;
pub use outrigger_contract::{
    Code, Digest, FunctionName, FunctionRef, HookKind, HookName, OnError, Pattern, PluginName, Template, TemplateName,
    TemplateValues, TemplateVariable, TraceContext, WebhookName, object,
};
pub use platform::{
    Access, Audit, Backups, Begun, Configurations, Door, Events, Functions, Hooks, Jobs, Packages, Platform, Plugins,
    Records, Templates, Visit, Webhooks,
};
pub use plugin::{
    AvailablePlugin, AvailableReport, InstallOutcome, InstallRequest, PackageReport, PackageSource, PluginDetails,
    PluginStanding, PluginSummary, RevisionInfo, StopReport,
};
pub use profile::{
    CallProfile, FunctionProfile, HostCallProfile, HostCallTime, PluginProfile, StageProfile, StageTime,
};
pub use record::{FunctionStatistics, LogEntry, RecordQuery, RunEntry, StatisticsReport};
pub use signature::{PluginSignature, SignatureInfo, SignatureWord, name_keys};
pub use system::{CheckOutcome, DoctorCheck, DoctorReport};
pub use template::{RenderedTemplate, TemplateInfo, TemplateMade, TemplateSummary};
pub use trace::{RequestTracer, TracedRequest};
pub use upload::{ArchiveKind, Content, PackageUpload, UploadedPackage};
pub use usage::{UsageGroup, UsageKey, UsageKeys, UsageQuery, UsageReport};
pub use webhook::{
    DeliveryInfo, DeliveryQuery, DeliveryRetry, NewWebhook, Secret, WebhookChange, WebhookInfo, WebhookRequest,
    WebhookSecret,
};

/// The result of every operation.
pub type ApiResult<T> = Result<T, ApiError>;
