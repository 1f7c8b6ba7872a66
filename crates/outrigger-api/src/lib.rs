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
pub mod function;
pub mod hook;
pub mod job;
pub mod json;
pub mod metrics;
pub mod platform;
pub mod plugin;
pub mod record;
pub mod system;

pub use access::{
    AccessMatrix, AccessMatrixCell, AccessMatrixRow, ExplainRequest, Explanation, Identity, KeyInfo, KeyRequest,
    NewKey, ROLE_NAME, RoleInfo, RoleRequest,
};
pub use audit::{AuditCall, AuditHead, AuditInfo, AuditQuery, AuditVerification};
pub use backup::{BackupReport, BackupRequest};
pub use call::{CallRequest, CallResponse, CallWarning};
pub use configuration::{
    Configuration, ConfigurationDiff, ConfigurationDifference, ConfigurationRevision, ConfigurationSource,
    DifferenceKind, SecretsRotation,
};
pub use error::ApiError;
pub use function::{FunctionDescription, FunctionQuery, FunctionSummary, ParameterInfo};
pub use hook::{
    FireReport, FireRequest, HookCallbackInfo, HookInfo, HookRequest, HookTraceInfo, HookTraceQuery, SubscriptionInfo,
    SubscriptionQuery, SubscriptionRequest,
};
pub use job::{JobErrorInfo, JobInfo, JobProgressInfo, JobQuery, JobRequest, ScheduleInfo, ScheduleRequest};
pub use json::{JsonObject, JsonText, NotAnObject};
pub use metrics::{FunctionMetrics, LatencyBucket, MetricsReport};
pub use outrigger_contract::{Code, FunctionName, FunctionRef, HookKind, HookName, OnError, PluginName};
pub use platform::{
    Access, Audit, Backups, Configurations, Door, Functions, Hooks, Jobs, Platform, Plugins, Records, Visit,
};
pub use plugin::{
    AvailablePlugin, AvailableReport, HealthCheckInfo, HealthInfo, InstallOutcome, InstallRequest, PackageReport,
    PackageSource, PluginDetails, PluginSummary, RevisionInfo,
};
pub use record::{FunctionStatistics, LogEntry, RecordQuery, RunEntry, StatisticsReport};
pub use system::{CheckOutcome, DoctorCheck, DoctorReport};

/// What every question may be answered with.
pub type ApiResult<T> = Result<T, ApiError>;
