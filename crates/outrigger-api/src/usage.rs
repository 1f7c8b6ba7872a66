//! How much was called over a span of time, by whom and how it went: sums of the runs that are kept, made when they are
//! asked for.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use outrigger_contract::{Code, FunctionName, FunctionRef, PluginName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::{Duration, OffsetDateTime};

use crate::{ApiError, ApiResult};

/// Which calls to sum up, and how. All given fields must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// Only of this plugin.
    #[serde(default)]
    pub plugin: Option<PluginName>,
    /// Only of functions of this name.
    #[serde(default)]
    pub function: Option<FunctionName>,
    /// Only calls of this caller, as in runs: `local`, `key ci`.
    #[serde(default)]
    pub caller: Option<String>,
    /// Fields to group by, separated by commas: `hour` and `day`, in UTC, `plugin`, `function`, `caller`, `outcome`.
    /// The default is `function`.
    #[serde(default)]
    pub by: Option<UsageKeys>,
    /// Only calls that began at this time or later; the default is 24 hours before `until`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<OffsetDateTime>,
    /// Only calls that began before this time; the default is now. At most 92 days after `since`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<OffsetDateTime>,
    /// Maximum number of groups; 0 for 1,000.
    #[serde(default)]
    #[schemars(range(max = 10_000))]
    pub limit: u32,
}

impl UsageQuery {
    /// The maximum number of groups.
    pub const MOST: u32 = 10_000;
    /// The maximum time span: a quarter of a year.
    pub const LONGEST: Duration = Duration::days(92);
    const USUAL: Duration = Duration::days(1);

    /// From when on and until when, where it is `now`.
    ///
    /// # Errors
    /// `invalid_input` where it ends before it begins, or is too long.
    pub fn span(&self, now: OffsetDateTime) -> ApiResult<(OffsetDateTime, OffsetDateTime)> {
        let wrong = |message: &str, hint: &str| Err(ApiError::new(Code::InvalidInput, message).with_hint(hint));
        let until = self.until.unwrap_or(now);
        // There is no way to write a year before the year 0; whoever ends there begins nowhere.
        let usual = || until.checked_sub(Self::USUAL).filter(|since| since.year() >= 0).unwrap_or(until);
        let mut since = self.since.unwrap_or_else(usual);
        // A client that asked for the longest allowed span asked a moment ago.
        if self.until.is_none() && (Self::LONGEST..=Self::LONGEST + Duration::MINUTE).contains(&(until - since)) {
            since = until - Self::LONGEST;
        }
        if since >= until {
            return wrong("`since` is not before `until`", "without `until` the span ends now");
        }
        if until - since > Self::LONGEST {
            return wrong("from `since` to `until` are more than 92 days", "ask for a shorter span, or for several");
        }
        Ok((since, until))
    }

    /// The fields to group by.
    #[must_use]
    pub fn keys(&self) -> UsageKeys {
        self.by.clone().unwrap_or_else(|| UsageKeys::from_iter([UsageKey::Function]))
    }
}

/// The fields that calls are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageKey {
    Hour,
    Day,
    Plugin,
    Function,
    Caller,
    Outcome,
}

impl UsageKey {
    pub const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Plugin, Self::Function, Self::Caller, Self::Outcome];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Plugin => "plugin",
            Self::Function => "function",
            Self::Caller => "caller",
            Self::Outcome => "outcome",
        }
    }
}

/// Several of them, each once. Written with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageKeys(BTreeSet<UsageKey>);

impl UsageKeys {
    /// Whether it is one of them.
    #[must_use]
    pub fn contains(&self, key: UsageKey) -> bool {
        self.0.contains(&key)
    }

    /// Each of them, in the order in which groups are listed.
    pub fn iter(&self) -> impl Iterator<Item = UsageKey> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<UsageKey> for UsageKeys {
    fn from_iter<I: IntoIterator<Item = UsageKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl FromStr for UsageKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = |word: &str| {
            let known = UsageKey::ALL.into_iter().find(|key| key.as_str() == word);
            known.ok_or_else(|| {
                let words = UsageKey::ALL.map(UsageKey::as_str).join("`, `");
                format!("there is no field `{word}` to group by; the fields are `{words}`")
            })
        };
        text.split(',').map(key).collect()
    }
}

impl fmt::Display for UsageKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(UsageKey::as_str).collect();
        formatter.write_str(&words.join(","))
    }
}

impl Serialize for UsageKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UsageKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for UsageKeys {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "UsageKeys".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let word = format!("({})", UsageKey::ALL.map(UsageKey::as_str).join("|"));
        json_schema!({"type": "string", "pattern": format!("^{word}(,{word})*$"), "examples": ["hour,function"]})
    }
}

/// Usage in a time span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageReport {
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: OffsetDateTime,
    /// The fields that groups differ in.
    pub by: Vec<UsageKey>,
    /// Earliest first; within the same time, groups with the most calls first.
    pub groups: Vec<UsageGroup>,
    /// There are more groups than these.
    pub truncated: bool,
    /// The start of the oldest retained run of any plugin. Earlier runs were pruned, so earlier times are unknown, not
    /// empty. Absent if there are no runs.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub recorded_since: Option<OffsetDateTime>,
}

/// A group of calls with the same values in the requested fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UsageGroup {
    /// The start of the hour or day. It can start before the time span or end after it; only calls within the span
    /// count.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub from: Option<OffsetDateTime>,
    /// Named with the function, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// `plugin.function`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// `ok`, or the code of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    pub calls: u64,
    /// Those that did not end with `ok`.
    pub failures: u64,
    /// Answered without running the function.
    pub cache_hits: u64,
    /// The number of retries.
    pub retries: u64,
    /// The total duration, in microseconds.
    pub total_us: u64,
    /// How long one took on average.
    pub mean_us: u64,
    /// How long the longest took.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    #[test]
    fn a_span_is_a_day_unless_it_says_otherwise() {
        let check = |since: Option<OffsetDateTime>, until: Option<OffsetDateTime>, expected: Option<(_, _)>| {
            let query = UsageQuery { since, until, ..UsageQuery::default() };
            let span = query.span(NOW);
            assert_eq!(span.as_ref().ok(), expected.as_ref(), "{query:?}");
            assert!(span.is_ok() || span.is_err_and(|error| error.code == Code::InvalidInput));
        };
        let (day, then) = (Duration::DAY, datetime!(2026-10-01 0:00 UTC));
        check(None, None, Some((NOW - day, NOW)));
        check(None, Some(then), Some((then - day, then)));
        check(Some(then), None, Some((then, NOW)));
        check(Some(then), Some(then + day), Some((then, then + day)));
        check(Some(then), Some(then), None);
        check(Some(NOW + day), None, None);
        check(Some(then), Some(then + 92 * day), Some((then, then + 92 * day)));
        check(Some(then), Some(then + 93 * day), None);
        // "92 days ago" is a moment longer when the request arrives.
        let longest = NOW - 92 * day;
        check(Some(longest - Duration::MILLISECOND), None, Some((longest, NOW)));
        check(Some(longest - Duration::MINUTE), None, Some((longest, NOW)));
        check(Some(longest - Duration::MINUTE - Duration::NANOSECOND), None, None);
        check(Some(longest - Duration::MILLISECOND), Some(NOW), None);
        check(Some(datetime!(0000-01-01 0:00 UTC)), Some(datetime!(9999-12-31 23:59 UTC)), None);
        check(None, Some(datetime!(0000-01-01 0:00 UTC)), None);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for key in UsageKey::ALL {
            assert_eq!(serde_json::to_value(key).expect("a word"), key.as_str());
        }
        let check = |text: &str, expected: Option<&str>| {
            let keys = text.parse::<UsageKeys>();
            assert_eq!(keys.as_ref().map(ToString::to_string).ok().as_deref(), expected, "{text}");
        };
        check("function", Some("function"));
        check("outcome,hour,function,hour", Some("hour,function,outcome"));
        for wrong in ["", ",", "hour,", "hour, day", "Hour", "month"] {
            check(wrong, None);
        }
        let error = "month".parse::<UsageKeys>().expect_err("no such word");
        assert!(error.contains("`month`") && error.contains("`hour`, `day`"), "{error}");
    }
}
