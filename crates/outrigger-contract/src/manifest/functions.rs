//! Settings of single functions in a manifest: how they are shown, and how the call path treats them.

use std::num::NonZeroU32;

use serde::{Serialize, Serializer};

use crate::units::{Rate, Span};

/// Settings of one function, all optional.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FunctionOptions {
    /// The name for people, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Replaces the documentation that the types carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How long a result may be used again for equal arguments. Only on read-only functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// Wall clock per call; without it the plugin's limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Calls of this function at once; without it the plugin's limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
    /// Only on idempotent functions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// It changes nothing outside itself.
    #[serde(skip_serializing_if = "is_false")]
    pub read_only: bool,
    /// It may delete or overwrite something. `None` when the manifest does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// A second call with equal arguments changes nothing more. True for every read-only function.
    #[serde(skip_serializing_if = "is_false")]
    pub idempotent: bool,
    /// Only for callers whose identity is known.
    #[serde(skip_serializing_if = "is_false")]
    pub requires_auth: bool,
    /// Only for callers with the right `function_administer`. Implies `requires_auth`.
    #[serde(skip_serializing_if = "is_false")]
    pub requires_admin: bool,
    /// How long a call usually takes, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_time: Option<Span>,
}

impl FunctionOptions {
    /// Whether a call may delete or overwrite something. Where the manifest does not say, one has to expect it.
    #[must_use]
    pub fn may_destroy(&self) -> bool {
        self.destructive.unwrap_or(!self.read_only)
    }
}

/// How a failed call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Retry {
    /// All attempts, the first one included; 1 to [`Retry::MAX_ATTEMPTS`].
    #[serde(serialize_with = "number")]
    pub attempts: NonZeroU32,
    /// The time before the second attempt; it doubles with each further one.
    pub backoff: Span,
}

impl Retry {
    pub const MAX_ATTEMPTS: u32 = 10;
    pub const DEFAULT_BACKOFF: Span = Span::from_millis(200);
}

fn is_false(value: &bool) -> bool {
    !value
}

fn number<S: Serializer>(value: &NonZeroU32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(value.get())
}
