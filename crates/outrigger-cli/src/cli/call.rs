//! `outrigger call` and `outrigger batch`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;
use outrigger_contract::manifest::Limits;
use outrigger_contract::units::{Span, UnitError};

use crate::complete;

/// `outrigger call`: options of its own, then the function, then the function's flags, which are read in a second pass
/// once its types are known.
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "outrigger call [OPTIONS] <PLUGIN.FUNCTION> [FLAGS]...",
    long_about = "Call a function\n\nEach parameter of the function is a flag: `outrigger call PLUGIN.FUNCTION --help` \
        shows them. Arguments can also be given as JSON, with --json for all of them and --arg for one; flags go \
        before --arg, and --arg before --json.\n\nA switch that is not given is off, and a list that is not given is \
        empty, unless --json is used.\n\nPrints the result: a text as it is, anything else as readable lines, or \
        with -o json as JSON.",
    after_help = "Examples:
  outrigger call pricing.quote --service compute-small --quantity 3
  outrigger call pricing.quote --help
  outrigger call pricing.quote --json '{\"service\": \"compute-small\", \"quantity\": 3}' -o json
  outrigger call policy-validator.check --arg document=@template.json --timeout 30s --details
  outrigger call pricing.quote --service compute-small --quantity 3 --profile"
)]
pub struct CallArguments {
    #[command(flatten)]
    pub options: CallOptions,
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

/// The arguments of a call, shared by calls, jobs and schedules.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Call options")]
pub struct InputOptions {
    /// One argument, read by the type of the parameter; `@FILE` reads JSON or bytes from a file
    #[arg(long = "arg", value_name = "NAME=VALUE")]
    pub arguments: Vec<Argument>,
    /// All arguments as a JSON object: the text itself, `@FILE`, or `-` for standard input
    #[arg(long, value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
    pub json: Option<String>,
    /// How long the call may take, such as `10s`, instead of the function's own timeout
    #[arg(long, value_name = "TIME", value_parser = call_timeout)]
    pub timeout: Option<Span>,
}

/// The times that a call can be given.
pub const TIMEOUTS: std::ops::RangeInclusive<Span> = Span::from_millis(1)..=Limits::MAX_TIMEOUT;

fn call_timeout(text: &str) -> Result<Span, String> {
    let timeout: Span = text.parse().map_err(|error: UnitError| error.to_string())?;
    match TIMEOUTS.contains(&timeout) {
        true => Ok(timeout),
        false => Err(format!("`--timeout` must be from {} to {}", TIMEOUTS.start(), TIMEOUTS.end())),
    }
}

/// Options of a call that do not come from the function's types.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Call options")]
pub struct CallOptions {
    #[command(flatten)]
    pub input: InputOptions,
    /// Do not use the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Also show the duration, cache use, version and correlation id
    #[arg(long)]
    pub details: bool,
    /// The correlation id (a ULID) to use
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
    /// Also show a profile of the call; with -o json and -o yaml, as part of the --details output
    #[arg(long)]
    pub profile: bool,
}

/// Options that are accepted before a function's name and, once its flags are known, also after it.
pub trait BothSides: Args {
    /// Merges these options with later ones, which override them.
    #[must_use]
    fn overlaid(self, later: Self) -> Self;
}

impl BothSides for InputOptions {
    fn overlaid(mut self, later: Self) -> Self {
        let Self { arguments, json, timeout } = later;
        self.arguments.extend(arguments);
        Self { arguments: self.arguments, json: json.or(self.json), timeout: timeout.or(self.timeout) }
    }
}

impl BothSides for CallOptions {
    fn overlaid(self, later: Self) -> Self {
        let Self { input, no_cache, details, correlation, profile } = later;
        Self {
            input: self.input.overlaid(input),
            no_cache: no_cache || self.no_cache,
            details: details || self.details,
            correlation: correlation.or(self.correlation),
            profile: profile || self.profile,
        }
    }
}

/// `name=value`. Text without `=` is a name without a value, which is refused later with a list of the known names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub name: String,
    pub value: Option<String>,
}

impl FromStr for Argument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once('=') {
            Some((name, value)) => Self { name: name.to_owned(), value: Some(value.to_owned()) },
            None => Self { name: text.to_owned(), value: None },
        })
    }
}

/// `outrigger batch`.
#[derive(Clone, Debug, Args)]
pub struct BatchArguments {
    /// The file, or `-` for standard input
    #[arg(value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How many calls run at once [default: the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub parallel: Option<u16>,
    /// Continue after a failure; otherwise no new calls are started and running ones are finished
    #[arg(long)]
    pub keep_going: bool,
    /// Also show the version and the correlation id of each call
    #[arg(long)]
    pub details: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_from_a_millisecond_to_a_day() {
        for (text, expected) in
            [("1ms", Some(1)), ("1d", Some(86_400_000)), ("999us", None), ("0s", None), ("2d", None)]
        {
            let read = call_timeout(text);
            assert_eq!(read.as_ref().ok(), expected.map(Span::from_millis).as_ref(), "{text}");
            if let Err(error) = read {
                assert_eq!(error, "`--timeout` must be from 1ms to 1d");
            }
        }
    }
}
