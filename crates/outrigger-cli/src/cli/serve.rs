//! `outrigger serve`.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueHint};
use outrigger_contract::address::Network;
use outrigger_contract::units::{ByteSize, Span, UnitError};
use outrigger_host::{Kept, LEAST_RESERVE, Quotas, Retention};

/// The smallest time to keep records.
const LEAST_KEPT: Span = Span::from_secs(60);
/// The smallest limit of one request body.
const LEAST_BODY: ByteSize = ByteSize::kib(1);
/// The smallest limit of many bodies, log lines or events.
const LEAST_BYTES: ByteSize = ByteSize::kib(64);

/// `outrigger serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArguments {
    /// Address and port to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070", value_parser = listen_address)]
    pub listen: SocketAddr,
    /// PEM file with the certificate chain for TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the private key of that certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// How long the server waits for running requests when it stops
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub drain: Span,
    /// Maximum size of a request body; package uploads have their own limit
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = at_least(LEAST_BODY))]
    pub body_limit: ByteSize,
    /// Highest limit that a plugin can be granted, such as memory=512MiB or concurrency=100; can be given several times
    /// and overrides OUTRIGGER_CEILING. The defaults are
    /// memory=1GiB,timeout=1d,cpu=1h,output=64MiB,concurrency=1000,instances=64,log-lines=100000,state=1GiB
    #[arg(long, value_name = "LIMIT=AMOUNT")]
    pub ceiling: Vec<String>,
    /// Maximum size of all request bodies in flight for one key
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = at_least(LEAST_BYTES))]
    pub bodies_per_key: ByteSize,
    /// Maximum size of all request bodies in flight, for all keys together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = at_least(LEAST_BYTES))]
    pub bodies_total: ByteSize,
    /// Maximum number of open connections; further ones are closed at once
    #[arg(long, value_name = "COUNT", default_value_t = 4096, value_parser = at_least(1_usize))]
    pub connections: usize,
    /// Maximum number of open connections from one address; behind a proxy, all clients share its address
    #[arg(long, value_name = "COUNT", default_value_t = 1024, value_parser = at_least(1_usize))]
    pub connections_per_address: usize,
    /// Private network that webhooks may reach without the right network_open, such as 10.1.0.0/16; can be given
    /// several times. Loopback addresses are included only if they are named, as in 127.0.0.0/8
    #[arg(long, value_name = "NETWORK")]
    pub webhook_network: Vec<Network>,
    /// Folder for backups that are requested by file name only, outside of the data directory; created if it does not
    /// exist
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backups: Option<PathBuf>,
    /// Disk space to reserve, so that audit records, pruning and deletions still work when the disk is full: at least
    /// 8MiB, or 0 to reserve none
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = reserve)]
    pub reserve: ByteSize,
    /// How long to keep runs, log lines and finished jobs. The audit log is kept forever, except refusals, which are
    /// kept for a year
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = at_least(LEAST_KEPT))]
    pub keep: Span,
    /// Maximum number of runs to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.runs.most, value_parser = at_least(1_u64))]
    pub keep_runs: u64,
    /// Maximum number of log lines to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.logs.most, value_parser = at_least(1_u64))]
    pub keep_logs: u64,
    /// Maximum total size of log lines to keep
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = ByteSize::bytes(Retention::DEFAULT.logs.bytes),
        value_parser = at_least(LEAST_BYTES)
    )]
    pub keep_log_bytes: ByteSize,
    /// Maximum number of refusal records to keep in the audit log; one record can count many refusals
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = Retention::DEFAULT.refusals.most,
        value_parser = at_least(1_u64)
    )]
    pub keep_refusals: u64,
    /// Maximum number of finished jobs to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.jobs.most, value_parser = at_least(1_u64))]
    pub keep_jobs: u64,
    /// Quota of events per minute, for each plugin and each key
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.events, value_parser = at_least(1_u64))]
    pub events_per_minute: u64,
    /// Quota of event bytes per minute, for each plugin and each key
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = ByteSize::bytes(Quotas::DEFAULT.event_bytes),
        value_parser = at_least(LEAST_BYTES)
    )]
    pub event_bytes_per_minute: ByteSize,
    /// Quota of log bytes per minute, for each plugin; lines above it are dropped and counted
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = ByteSize::bytes(Quotas::DEFAULT.log_bytes),
        value_parser = at_least(LEAST_BYTES)
    )]
    pub log_bytes_per_minute: ByteSize,
    /// Quota of state bytes written per minute, for each plugin
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = ByteSize::bytes(Quotas::DEFAULT.state_bytes),
        value_parser = at_least(LEAST_BYTES)
    )]
    pub state_bytes_per_minute: ByteSize,
    /// Quota of changes per minute, such as to plugins, keys and webhooks, for each key; bursts can be ten times as
    /// large. Calls, jobs and firings of hooks do not count as changes
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.acts, value_parser = at_least(1_u64))]
    pub acts_per_minute: u64,
}

/// Reads an amount, and refuses one below a minimum.
fn at_least<T>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
    T::Err: Display,
{
    move |text: &str| {
        let amount: T = text.parse().map_err(|error: T::Err| error.to_string())?;
        if amount < least { Err(format!("the minimum is {least}")) } else { Ok(amount) }
    }
}

fn reserve(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: UnitError| error.to_string())?;
    if size.as_u64() == 0 {
        return Ok(size);
    }
    at_least(ByteSize::bytes(LEAST_RESERVE))(text).map_err(|error| format!("{error}; 0 reserves no space"))
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>().map_err(|_| {
        let advice = "write an IP address and a port, for example";
        match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => format!("`{text}` has no port; {advice} `{}`", SocketAddr::new(address, 7070)),
            Err(_) => format!("{advice} `127.0.0.1:7070`"),
        }
    })
}

impl ServeArguments {
    /// Limits that contradict another limit, one sentence each.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let Self { body_limit, bodies_per_key, bodies_total, connections, connections_per_address, .. } = self;
        let mut found = Vec::new();
        if body_limit > bodies_per_key {
            found.push(format!(
                "`--body-limit` ({body_limit}) is above `--bodies-per-key` ({bodies_per_key}): a key can send one body \
                 of that size at a time"
            ));
        }
        if bodies_per_key > bodies_total {
            found.push(format!(
                "`--bodies-per-key` ({bodies_per_key}) is above `--bodies-total` ({bodies_total}): one key can block \
                 all others"
            ));
        }
        if connections_per_address > connections {
            found.push(format!(
                "`--connections-per-address` ({connections_per_address}) is above `--connections` ({connections}): one \
                 address can use all connections"
            ));
        }
        found
    }

    /// The write quotas of each plugin and each key, per minute.
    #[must_use]
    pub const fn quotas(&self) -> Quotas {
        Quotas {
            events: self.events_per_minute,
            event_bytes: self.event_bytes_per_minute.as_u64(),
            log_bytes: self.log_bytes_per_minute.as_u64(),
            state_bytes: self.state_bytes_per_minute.as_u64(),
            acts: self.acts_per_minute,
            ..Quotas::DEFAULT
        }
    }

    /// How much history is kept, and for how long.
    #[must_use]
    pub fn retention(&self) -> Retention {
        let age = self.keep.as_duration();
        Retention {
            runs: Kept { age, most: self.keep_runs, ..Retention::DEFAULT.runs },
            logs: Kept { age, most: self.keep_logs, bytes: self.keep_log_bytes.as_u64() },
            jobs: Kept { age, most: self.keep_jobs, ..Retention::DEFAULT.jobs },
            refusals: Kept { most: self.keep_refusals, ..Retention::DEFAULT.refusals },
            ..Retention::DEFAULT
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};
    use outrigger_contract::Ceiling;

    use super::*;

    fn read(arguments: &[&str]) -> Result<ServeArguments, String> {
        let command = ServeArguments::augment_args(Command::new("serve").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        Ok(ServeArguments::from_arg_matches(&matches).expect("clap has checked it"))
    }

    fn is_refused(option: &str, value: &str, expected: &str) {
        let error = read(&[option, value]).expect_err("it is refused");
        assert!(error.contains(option) && error.contains(expected), "{error}");
    }

    #[test]
    fn values_that_make_a_server_useless_are_refused() {
        for option in [
            "--connections",
            "--connections-per-address",
            "--keep-runs",
            "--keep-logs",
            "--keep-jobs",
            "--keep-refusals",
            "--events-per-minute",
            "--acts-per-minute",
        ] {
            is_refused(option, "0", "the minimum is 1");
            read(&[option, "1"]).expect("one is enough");
        }
        for option in [
            "--bodies-per-key",
            "--bodies-total",
            "--keep-log-bytes",
            "--event-bytes-per-minute",
            "--log-bytes-per-minute",
            "--state-bytes-per-minute",
        ] {
            is_refused(option, "1B", "the minimum is 64KiB");
        }
        is_refused("--body-limit", "0", "the minimum is 1KiB");
        is_refused("--keep", "0s", "the minimum is 1m");
        is_refused("--reserve", "1MiB", "the minimum is 8MiB; 0 reserves no space");
        is_refused("--keep", "long", "is not a duration");
        read(&["--reserve", "0"]).expect("no reserve is fine");
    }

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let check = |arguments: &[&str], expected: &[&str]| {
            let found = read(arguments).expect("they are valid").contradictions();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, part)| found.contains(part)), "{found:?}");
        };
        check(&[], &[]);
        check(&["--body-limit", "64MiB"], &["`--body-limit` (64MiB) is above `--bodies-per-key` (32MiB)"]);
        check(&["--bodies-total", "16MiB"], &["`--bodies-per-key` (32MiB) is above `--bodies-total` (16MiB)"]);
        check(&["--connections", "9"], &["`--connections-per-address` (1024) is above `--connections` (9)"]);
    }

    #[test]
    fn an_address_without_a_port_is_said_to_have_none() {
        is_refused("--listen", "127.0.0.1", "`127.0.0.1` has no port; write an IP address and a port");
        is_refused("--listen", "::1", "for example `[::1]:7070`");
        is_refused("--listen", "localhost:7070", "write an IP address and a port, for example `127.0.0.1:7070`");
    }

    #[test]
    fn the_help_shows_the_default_ceiling() {
        let command = ServeArguments::augment_args(Command::new("serve"));
        let ceiling = command.get_arguments().find(|argument| argument.get_id() == "ceiling").expect("it is there");
        let help = ceiling.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&Ceiling::default().to_string()), "{help}");
    }
}
