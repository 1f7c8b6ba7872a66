//! `outrigger events`.

use clap::Args;
use outrigger_api::Pattern;

use super::Since;

/// `outrigger events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArguments {
    /// Only events with this name, in which `*` matches any text
    #[arg(long, value_name = "PATTERN")]
    pub name: Option<Pattern>,
    /// Only events about this plugin; `*` matches any text
    #[arg(long, value_name = "PATTERN")]
    pub plugin: Option<Pattern>,
    /// Only events that happened after this: a length of time ago, such as `10m`, or a time
    #[arg(long, value_name = "WHEN", conflicts_with = "follow")]
    pub since: Option<Since>,
    /// Only events after the one with this id; with --follow, start there
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// Show at most COUNT, newest first; the maximum is 1000
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        conflicts_with = "follow"
    )]
    pub limit: u32,
    /// Show events as they happen, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
}
