//! How a plugin is looked after: how often it is asked for its health, what its answers mean, and whether it is restarted.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::read::{MILLISECOND, keys};
use super::reader::Item;
use crate::name::{shorten, text_serde};
use crate::units::Span;

/// How a plugin is looked after, with the defaults filled in where the manifest is silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HealthPolicy {
    /// The time between two checks, give or take a tenth.
    pub interval: Span,
    /// How long a check may take. A call's own timeout holds too, where it is shorter.
    pub timeout: Span,
    /// After so many checks in a row that failed, the plugin is unhealthy.
    #[serde(serialize_with = "number")]
    pub failures: NonZeroU32,
    /// After so many checks in a row that did not, it is no longer.
    #[serde(serialize_with = "number")]
    pub successes: NonZeroU32,
    /// Whether it is restarted then.
    pub restart: RestartPolicy,
    /// Restarts within an hour; one that would be beyond them disables the plugin instead.
    #[serde(serialize_with = "number")]
    pub max_restarts: NonZeroU32,
}

impl HealthPolicy {
    pub const MIN_INTERVAL: Span = Span::from_secs(1);
    pub const MAX_INTERVAL: Span = Span::from_secs(24 * 3_600);
    pub const MAX_TIMEOUT: Span = Span::from_secs(60);
    pub const MAX_CHECKS: u32 = 100;
    pub const MAX_RESTARTS: u32 = 20;

    /// Whether it is what holds where the manifest is silent.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for HealthPolicy {
    fn default() -> Self {
        let count = |count| NonZeroU32::new(count).expect("it is not zero");
        Self {
            interval: Span::from_secs(30),
            timeout: Span::from_secs(5),
            failures: count(3),
            successes: count(2),
            restart: RestartPolicy::OnFailure,
            max_restarts: count(5),
        }
    }
}

/// Whether a plugin that is unhealthy is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RestartPolicy {
    /// It is, after a pause that grows; and is disabled when that does not help.
    OnFailure,
    /// It is left as it is, and told of.
    Never,
}

text_serde!(RestartPolicy, {
    "description": "Whether a plugin that is unhealthy is restarted.",
    "oneOf": [
        { "const": "on-failure", "description": "It is, after a pause that grows; and is disabled when that does not help." },
        { "const": "never", "description": "It is left as it is, and told of." },
    ],
});

/// A text that is none of the policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a restart policy; write `on-failure` or `never`", shorten(.text))]
pub struct RestartPolicyError {
    pub text: String,
}

impl FromStr for RestartPolicy {
    type Err = RestartPolicyError;

    fn from_str(text: &str) -> Result<Self, RestartPolicyError> {
        match text {
            "on-failure" => Ok(Self::OnFailure),
            "never" => Ok(Self::Never),
            _ => Err(RestartPolicyError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OnFailure => "on-failure",
            Self::Never => "never",
        })
    }
}

pub(super) fn read(item: &Item<'_>) -> Option<HealthPolicy> {
    let table = item.table(keys::HEALTH)?;
    let default = HealthPolicy::default();
    let (shortest, longest) = (HealthPolicy::MIN_INTERVAL, HealthPolicy::MAX_INTERVAL);
    let interval = table.get("interval").and_then(|item| item.amount_in(&(shortest..=longest)));
    let timeout = table.get("timeout").and_then(|item| item.amount_in(&(MILLISECOND..=HealthPolicy::MAX_TIMEOUT)));
    let count = |key, max| table.get(key).and_then(|item| item.count(max));
    Some(HealthPolicy {
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.unwrap_or(default.timeout),
        failures: count("failures", HealthPolicy::MAX_CHECKS).unwrap_or(default.failures),
        successes: count("successes", HealthPolicy::MAX_CHECKS).unwrap_or(default.successes),
        restart: table.get("restart").and_then(|item| item.parse()).unwrap_or(default.restart),
        max_restarts: count("max-restarts", HealthPolicy::MAX_RESTARTS).unwrap_or(default.max_restarts),
    })
}

fn number<S: Serializer>(value: &NonZeroU32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(value.get())
}
