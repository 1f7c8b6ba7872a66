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
    /// Address and port to listen on; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
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
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub body_limit: ByteSize,
    /// Highest limit that a plugin can be granted, such as memory=512MiB or concurrency=100; can be given several times
    /// and overrides OUTRIGGER_CEILING. The limits are memory, timeout, cpu, output, concurrency, instances, log-lines
    /// and state
    #[arg(long, value_name = "LIMIT=AMOUNT")]
    pub ceiling: Vec<String>,
    /// Maximum size of all request bodies in flight for one key
    #[arg(long, value_name = "SIZE", default_value = "32MiB")]
    pub bodies_per_key: ByteSize,
    /// Maximum size of all request bodies in flight, for all keys together
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    pub bodies_total: ByteSize,
    /// Maximum number of open connections; further ones are closed at once
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    pub connections: usize,
    /// Maximum number of open connections from one address; behind a proxy, all clients share its address
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub connections_per_address: usize,
    /// Private network that webhooks may reach without the right network_open, such as 10.1.0.0/16; can be given
    /// several times
    #[arg(long, value_name = "NETWORK")]
    pub webhook_network: Vec<Network>,
    /// Folder for backups that are requested by file name only
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub backups: Option<PathBuf>,
    /// Disk space to reserve, so that audit records, pruning and deletions still work when the disk is full: at least
    /// 8MiB, or 0 to reserve none
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = reserve)]
    pub reserve: ByteSize,
    /// How long to keep runs, log lines and finished jobs. The audit log is kept forever, except refusals, which are
    /// kept for a year
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub keep: Span,
    /// Maximum number of runs to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.runs.most)]
    pub keep_runs: u64,
    /// Maximum number of log lines to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.logs.most)]
    pub keep_logs: u64,
    /// Maximum total size of log lines to keep
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Retention::DEFAULT.logs.bytes))]
    pub keep_log_bytes: ByteSize,
    /// Maximum number of refusal records to keep in the audit log; one record can count many refusals
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.refusals.most)]
    pub keep_refusals: u64,
    /// Maximum number of finished jobs to keep
    #[arg(long, value_name = "COUNT", default_value_t = Retention::DEFAULT.jobs.most)]
    pub keep_jobs: u64,
    /// Quota of events per minute, for each plugin and each key
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.events)]
    pub events_per_minute: u64,
    /// Quota of event bytes per minute, for each plugin and each key
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.event_bytes))]
    pub event_bytes_per_minute: ByteSize,
    /// Quota of log bytes per minute, for each plugin; lines above it are dropped and counted
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.log_bytes))]
    pub log_bytes_per_minute: ByteSize,
    /// Quota of state bytes written per minute, for each plugin
    #[arg(long, value_name = "SIZE", default_value_t = ByteSize::bytes(Quotas::DEFAULT.state_bytes))]
    pub state_bytes_per_minute: ByteSize,
    /// Quota of changes per minute, such as to plugins, keys and webhooks, for each key; bursts can be ten times as
    /// large. Calls, jobs and firings of hooks do not count as changes
    #[arg(long, value_name = "COUNT", default_value_t = Quotas::DEFAULT.acts)]
    pub acts_per_minute: u64,
}

fn reserve(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: UnitError| error.to_string())?;
    if (1..LEAST_RESERVE).contains(&size.as_u64()) {
        return Err(format!("the minimum is {}; 0 reserves no space", ByteSize::bytes(LEAST_RESERVE)));
    }
    Ok(size)
}

impl ServeArguments {
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
