//! The interfaces of `outrigger:plugin` that a component may export: where they are, and what they answer.

use outrigger_contract::Value;
use outrigger_contract::excerpt::excerpt_of;
use outrigger_contract::types::wit::OptionalExport;
use outrigger_engine::runtime::{HealthCheck, HealthReport, HealthStatus, LifecycleStep};
use wasmtime::component::{Component, ComponentExportIndex};

/// The optional interfaces that a component exports.
pub(super) struct Optional {
    /// In the order of the steps.
    pub(super) lifecycle: Option<[ComponentExportIndex; 4]>,
    pub(super) health: Option<ComponentExportIndex>,
    pub(super) migration: Option<Migration>,
}

/// The functions of `migration`.
pub(super) struct Migration {
    pub(super) configuration: ComponentExportIndex,
    pub(super) state: ComponentExportIndex,
}

impl Optional {
    /// Looks up what the component was found to export. Fails with the name of what is not there.
    pub(super) fn find(component: &Component, exports: &[OptionalExport]) -> Result<Self, &'static str> {
        let function = |interface: &'static str, name: &'static str| {
            let interface = optional_interface(component, interface).ok_or(interface)?;
            let interface = component.get_export_index(None, &interface).ok_or(name)?;
            component.get_export_index(Some(&interface), name).ok_or(name)
        };
        let step = |step: LifecycleStep| function("lifecycle", step.as_str());
        let lifecycle = match exports.contains(&OptionalExport::Lifecycle) {
            true => Some([
                step(LifecycleStep::Initialize)?,
                step(LifecycleStep::Activate)?,
                step(LifecycleStep::Deactivate)?,
                step(LifecycleStep::Cleanup)?,
            ]),
            false => None,
        };
        let health = exports.contains(&OptionalExport::Health).then(|| function("health", "check")).transpose()?;
        let migration = match exports.contains(&OptionalExport::Migration) {
            true => Some(Migration {
                configuration: function("migration", "migrate-configuration")?,
                state: function("migration", "migrate-state")?,
            }),
            false => None,
        };
        Ok(Self { lifecycle, health, migration })
    }
}

/// The full name of one of our optional interfaces, whatever its minor version.
fn optional_interface(component: &Component, short: &str) -> Option<String> {
    let prefix = format!("outrigger:plugin/{short}@1.");
    let ty = component.component_type();
    let mut exports = ty.exports(component.engine());
    exports.find(|(name, _)| name.starts_with(&prefix)).map(|(name, _)| name.to_owned())
}

/// Maximum number of stored checks of one report.
const CHECKS_AT_MOST: usize = 64;

pub(super) fn health_report(value: &Value) -> Option<HealthReport> {
    let status = |value: &Value| match value {
        Value::Enum(0) => Some(HealthStatus::Healthy),
        Value::Enum(1) => Some(HealthStatus::Degraded),
        Value::Enum(2) => Some(HealthStatus::Unhealthy),
        _ => None,
    };
    let check = |value: &Value| match value {
        Value::Record(fields) => match fields.as_slice() {
            [Value::String(name), outcome, Value::Option(message)] => Some(HealthCheck {
                name: excerpt_of(name),
                status: status(outcome)?,
                message: match message.as_deref() {
                    Some(Value::String(text)) => Some(excerpt_of(text)),
                    _ => None,
                },
            }),
            _ => None,
        },
        _ => None,
    };
    let Value::Record(fields) = value else { return None };
    let [verdict, Value::List(checks)] = fields.as_slice() else { return None };
    let mut checks: Vec<HealthCheck> = checks.iter().map(check).collect::<Option<_>>()?;
    let worst = checks.iter().map(|check| check.status).max();
    if checks.len() > CHECKS_AT_MOST {
        // Failed checks are stored first.
        checks.sort_by_key(|check| std::cmp::Reverse(check.status));
        checks.truncate(CHECKS_AT_MOST);
    }
    Some(HealthReport { status: status(verdict)?.max(worst.unwrap_or(HealthStatus::Healthy)), checks })
}
