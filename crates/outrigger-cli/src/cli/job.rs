//! `outrigger job` and `outrigger schedule`.

use std::ffi::OsString;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use outrigger_api::FunctionRef;
use outrigger_contract::units::Span;

use super::{InputOptions, Since};
use crate::complete;

/// `outrigger job`.
#[derive(Clone, Debug, Subcommand)]
pub enum JobCommand {
    /// Start a job: a durable background call
    ///
    /// Prints the job's id. Only a running server (`outrigger serve`) runs jobs; until then they wait in the queue. The
    /// function's flags and arguments follow its name, as with `outrigger call`.
    #[command(
        override_usage = "outrigger job start [OPTIONS] <PLUGIN.FUNCTION> [FLAGS]...",
        after_help = "Examples:
  outrigger job start pricing.quote --service compute-small --quantity 3
  outrigger job start --attempts 5 --backoff 10s --key prices pricing.refresh
  outrigger job start --needs-approval --on-interruption ask deploy.apply --json @deployment.json"
    )]
    Start(JobStartArguments),

    /// List jobs, the newest first
    #[command(after_help = "Examples:
  outrigger job list
  outrigger job list --state failed --function pricing.refresh")]
    List(JobListArguments),

    /// Show a job: its state, its result, why it failed
    #[command(after_help = "Example:
  outrigger job show 01KAJ5M3V8Q2ZTRX7N4C6D9EFG")]
    Show {
        /// The job's id
        id: String,
    },

    /// Wait until a job ends; exits with the exit code of its call
    #[command(after_help = "Example:
  outrigger job wait 01KAJ5M3V8Q2ZTRX7N4C6D9EFG --timeout 10m")]
    Wait {
        /// The job's id
        id: String,
        /// How long to wait at most
        #[arg(long, value_name = "TIME")]
        timeout: Option<Span>,
    },

    /// Cancel a job
    #[command(after_help = "Example:
  outrigger job cancel 01KAJ5M3V8Q2ZTRX7N4C6D9EFG")]
    Cancel {
        /// The job's id
        id: String,
    },

    /// Retry a failed or cancelled job
    #[command(after_help = "Example:
  outrigger job retry 01KAJ5M3V8Q2ZTRX7N4C6D9EFG")]
    Retry {
        /// The job's id
        id: String,
    },

    /// Approve a job that is waiting for approval
    #[command(after_help = "Example:
  outrigger job approve 01KAJ5M3V8Q2ZTRX7N4C6D9EFG")]
    Approve {
        /// The job's id
        id: String,
    },

    /// Show the log lines of a job
    #[command(after_help = "Examples:
  outrigger job logs 01KAJ5M3V8Q2ZTRX7N4C6D9EFG
  outrigger job logs 01KAJ5M3V8Q2ZTRX7N4C6D9EFG --follow")]
    Logs {
        /// The job's id
        id: String,
        /// Only lines written after this: a length of time ago, such as `10m`, or a time
        #[arg(long, value_name = "WHEN")]
        since: Option<Since>,
        /// Show at most COUNT, newest first [default: all]
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// Keep showing new lines until the job ends
        #[arg(long, short)]
        follow: bool,
    },
}

/// Options of a job.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Job options")]
pub struct JobOptions {
    /// Maximum number of attempts
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub attempts: u32,
    /// How long to wait before the second attempt; doubles with each further attempt
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub backoff: Span,
    /// Concurrency key: jobs with the same key run one at a time
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// What to do with the job if the server stops while it runs [default: retry if the function is read-only or
    /// idempotent, else fail]
    #[arg(long, value_name = "POLICY")]
    pub on_interruption: Option<OnInterruption>,
    /// Do not start the job until it is approved
    #[arg(long)]
    pub needs_approval: bool,
}

/// How a job that was interrupted by a server stop continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnInterruption {
    /// The job fails
    Fail,
    /// The job is started again
    Retry,
    /// The job waits for approval
    Ask,
}

impl OnInterruption {
    /// As the platform knows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Retry => "retry",
            Self::Ask => "ask",
        }
    }
}

/// `outrigger job start`.
#[derive(Clone, Debug, Args)]
pub struct JobStartArguments {
    #[command(flatten)]
    pub job: JobOptions,
    /// How long to wait before the job starts
    #[arg(long, value_name = "TIME")]
    pub delay: Option<Span>,
    #[command(flatten)]
    pub input: InputOptions,
    /// The function, and its flags
    #[arg(
        value_name = "PLUGIN.FUNCTION",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        add = ArgValueCompleter::new(complete::Call)
    )]
    pub words: Vec<OsString>,
}

/// `outrigger job list`.
#[derive(Clone, Debug, Args)]
pub struct JobListArguments {
    /// Only entries in this state
    #[arg(long, value_name = "STATE", value_parser = ["queued", "running", "waiting_for_approval", "succeeded", "failed", "cancelled"])]
    pub state: Option<String>,
    /// Only jobs of this function
    #[arg(long, value_name = "PLUGIN.FUNCTION", add = ArgValueCompleter::new(complete::Functions))]
    pub function: Option<FunctionRef>,
    /// Only jobs created by this schedule
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// Show at most COUNT, newest first
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// `outrigger schedule`.
#[derive(Clone, Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Create or change a schedule
    ///
    /// CRON has five fields (minute, hour, day of the month, month, day of the week), or six with seconds first. Times
    /// are in UTC. The function's flags and arguments follow its name, as with `outrigger call`.
    #[command(
        override_usage = "outrigger schedule set [OPTIONS] <NAME> <CRON> <PLUGIN.FUNCTION> [FLAGS]...",
        after_help = "Examples:
  outrigger schedule set nightly '30 2 * * *' pricing.refresh
  outrigger schedule set --missed run-once --attempts 3 weekly '0 6 * * MON' report.send --json '{\"to\": \"ops\"}'"
    )]
    Set(ScheduleSetArguments),

    /// List the schedules
    #[command(after_help = "Example:
  outrigger schedule list")]
    List,

    /// Remove a schedule and keep its jobs
    #[command(after_help = "Example:
  outrigger schedule remove nightly")]
    Remove {
        /// The schedule
        name: String,
    },
}

/// What to do about runs that were missed while no server ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Missed {
    /// Skip them
    Skip,
    /// Create one job for all of them
    RunOnce,
}

/// What to do when a job is due while the previous one has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Overlap {
    /// Skip the job and count it
    Skip,
    /// Queue the job behind the previous one
    Queue,
}

/// `outrigger schedule set`.
#[derive(Clone, Debug, Args)]
pub struct ScheduleSetArguments {
    #[command(flatten)]
    pub job: JobOptions,
    /// What to do about runs that were missed while no server ran
    #[arg(long, value_name = "POLICY", default_value = "skip")]
    pub missed: Missed,
    /// What to do when a job is due while the previous one has not ended
    #[arg(long, value_name = "POLICY", default_value = "skip")]
    pub overlap: Overlap,
    /// Save the schedule disabled
    #[arg(long)]
    pub disabled: bool,
    #[command(flatten)]
    pub input: InputOptions,
    /// The name
    pub name: String,
    /// When, such as `30 2 * * *`
    pub cron: String,
    /// The function, and its flags
    #[arg(
        value_name = "PLUGIN.FUNCTION",
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        add = ArgValueCompleter::new(complete::Call)
    )]
    pub words: Vec<OsString>,
}
