//! `outrigger serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use outrigger_contract::address::Network;
use outrigger_contract::units::{ByteSize, Span, UnitError};
use outrigger_host::{Kept, LEAST_RESERVE, Quotas, Retention};

/// `outrigger serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// The certificate chain, in PEM, to serve TLS with
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// How long requests may still run once the server is told to stop
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub drain: Span,
    /// The longest body of a request; what is longer is refused, so that nobody fills the memory. Packages that are sent have a
    /// limit of their own
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub body_limit: ByteSize,
    /// What plugins may be granted at most, such as memory=512MiB or concurrency=100; can be given several times and goes over
    /// OUTRIGGER_CEILING. The limits are memory, timeout, cpu, output, concurrency, instances, log-lines and state
    #[arg(long, value_name = "LIMIT=AMOUNT")]
    pub ceiling: Vec<String>,
    /// How much of request bodies one key may have under way at once
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub bodies_per_key: ByteSize,
    /// How much of request bodies all keys together may have under way at once
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub bodies_total: ByteSize,
    /// Connections at once; those beyond are closed as they come
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    pub connections: usize,
    /// Connections at once from one address; behind a proxy, all clients have the proxy's
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub connections_per_address: usize,
    /// A private network that webhooks may reach, whoever adds them, such as 10.1.0.0/16; can be given several times
    #[arg(long, value_name = "NETWORK")]
    pub webhook_network: Vec<Network>,
    /// The folder for backups that are asked for by a name alone
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backups: Option<PathBuf>,
    /// Space kept for a full disk, in which the audit log, pruning and removing things go on: at least 8MiB, or 0 for none
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = reserve)]
    pub reserve: ByteSize,
    /// How long runs, log lines and jobs that have ended are kept; the audit log is kept for ever, refusals in it for a year
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub keep: Span,
    /// The newest so many runs are kept
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.runs.most)]
    pub keep_runs: u64,
    /// The newest so many log lines are kept
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.logs.most)]
    pub keep_logs: u64,
    /// Bytes of log lines that are kept
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Retention::DEFAULT.logs.bytes))]
    pub keep_log_bytes: ByteSize,
    /// Refusals that are kept in the audit log, each of which may stand for many
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.refusals.most)]
    pub keep_refusals: u64,
    /// The newest so many jobs that have ended are kept
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.jobs.most)]
    pub keep_jobs: u64,
    /// Events that one plugin, or one key, may fire a minute
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.events)]
    pub events_per_minute: u64,
    /// Bytes of events that one plugin, or one key, may fire a minute
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.event_bytes))]
    pub event_bytes_per_minute: ByteSize,
    /// Bytes of log lines that one plugin may write a minute; lines beyond are dropped and counted
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.log_bytes))]
    pub log_bytes_per_minute: ByteSize,
    /// Bytes of state that one plugin may write a minute
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.state_bytes))]
    pub state_bytes_per_minute: ByteSize,
    /// Changes that one key may make a minute, such as to plugins, keys and webhooks, each of which is in the audit log for ever;
    /// ten times as many at once. Calls, jobs and firing hooks are no changes
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.acts)]
    pub acts_per_minute: u64,
}

fn reserve(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: UnitError| error.to_string())?;
    if (1..LEAST_RESERVE).contains(&size.as_u64()) {
        return Err(format!(
            "less than {} cannot hold what a full disk takes; 0 keeps none",
            ByteSize::bytes(LEAST_RESERVE)
        ));
    }
    Ok(size)
}

impl ServeArguments {
    /// What each plugin, and each key, may write a minute.
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

    /// What is kept of what happened.
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
