//! `outrigger usage`.

use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use outrigger_api::{UsageKey, UsageQuery};

use super::{RunFilter, Since};
use crate::complete;

/// `outrigger usage`.
#[derive(Clone, Debug, Args)]
pub struct UsageArguments {
    /// Only calls of this plugin, or of this function
    #[arg(value_name = "PLUGIN[.FUNCTION]", value_parser = RunFilter::parse, add = ArgValueCompleter::new(complete::Functions))]
    pub filter: Option<RunFilter>,
    /// Fields to group by, separated by commas
    #[arg(long, value_name = "WORDS", value_enum, value_delimiter = ',', default_value = "function")]
    pub by: Vec<UsageBy>,
    /// Only calls that began after this: a length of time ago, such as `7d`, or a time, such as `2026-11-21T04:00:00Z`
    /// [default: a day before --until]
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Only calls that began before this, at most 92 days after --since [default: now]
    #[arg(long, value_name = "WHEN")]
    pub until: Option<Since>,
    /// Only calls by this caller, such as `local` or `key ci`
    #[arg(long, value_name = "CALLER")]
    pub caller: Option<String>,
    /// Show at most COUNT groups
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1_000,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(UsageQuery::MOST))
    )]
    pub limit: u32,
}

/// The fields that calls are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    /// The hour, in UTC
    Hour,
    /// The day, in UTC
    Day,
    Plugin,
    Function,
    Caller,
    /// `ok`, or the code of the failure
    Outcome,
}

impl UsageBy {
    /// The platform's name for it.
    #[must_use]
    pub const fn key(self) -> UsageKey {
        match self {
            Self::Hour => UsageKey::Hour,
            Self::Day => UsageKey::Day,
            Self::Plugin => UsageKey::Plugin,
            Self::Function => UsageKey::Function,
            Self::Caller => UsageKey::Caller,
            Self::Outcome => UsageKey::Outcome,
        }
    }
}
