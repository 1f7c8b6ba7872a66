//! How the plugin is, as a trait and a macro that exports it.

use crate::bindings::health::exports::outrigger::plugin::health;

pub use health::{NamedCheck as Check, Report, Status};

/// Answers how well the plugin is. Export it with [`export_health!`](crate::export_health).
pub trait Health {
    /// Checks the plugin and its dependencies. [`Report::of`] takes the worst of the checks.
    fn check() -> Report;
}

impl Report {
    /// A report with the worst status among `checks`; healthy where there are none.
    pub fn of(checks: Vec<Check>) -> Report {
        let severity = |status: &Status| match status {
            Status::Healthy => 0,
            Status::Degraded => 1,
            Status::Unhealthy => 2,
        };
        let status = checks.iter().map(|check| check.status).max_by_key(severity).unwrap_or(Status::Healthy);
        Report { status, checks }
    }
}

impl Check {
    /// A check that found nothing wrong.
    pub fn healthy(name: &str, message: impl Into<String>) -> Check {
        Check { name: name.to_owned(), status: Status::Healthy, message: Some(message.into()) }
    }

    /// A check that found less than there should be.
    pub fn degraded(name: &str, message: impl Into<String>) -> Check {
        Check { name: name.to_owned(), status: Status::Degraded, message: Some(message.into()) }
    }

    /// A check that failed.
    pub fn unhealthy(name: &str, message: impl Into<String>) -> Check {
        Check { name: name.to_owned(), status: Status::Unhealthy, message: Some(message.into()) }
    }
}

/// Exports a type's [`Health`] to the host.
#[macro_export]
macro_rules! export_health {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Exported;

            impl $crate::bindings::health::exports::outrigger::plugin::health::Guest for Exported {
                fn check() -> $crate::Report {
                    <$plugin as $crate::Health>::check()
                }
            }

    $crate::bindings::health::export!(Exported with_types_in $crate::bindings::health);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::{Check, Report, Status};

    #[test]
    fn a_report_is_as_bad_as_its_worst_check() {
        assert_eq!(Report::of(Vec::new()).status, Status::Healthy);
        let report =
            Report::of(vec![Check::degraded("a", "slow"), Check::unhealthy("b", "gone"), Check::healthy("c", "")]);
        assert_eq!(report.status, Status::Unhealthy);
    }
}
