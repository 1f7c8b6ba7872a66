//! Backups: a data directory in one file, a `.tar.gz`.
//!
//! ```text
//! backup.json           what made it, when, and all that follows, with sizes and SHA-256
//! outrigger.db          the database as it was at one moment
//! secret.key            only where it was asked for, and there is one
//! packages/<digest>/…   the packages
//! config/…              the configuration files; they may hold secrets in the open
//! trust.toml            which keys are trusted, where there is one
//! ```
//!
//! Compiled code is left out: it is made anew. So are environment variables, which are none of the directory's. Nothing of a backup is believed before it was compared with the list, and the
//! list is covered by the checksum of the whole. Whoever can write to a backup can still make one that is whole and says
//! something else; the head of the audit log, noted elsewhere, shows that.

mod create;
mod read;
mod restore;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_contract::Digest;
use outrigger_contract::manifest::PackagePath;
use outrigger_engine::audit::Head;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::overrides;

pub(crate) use create::{For, create};
pub use restore::{restore, verify};

/// The form of a backup. It changes when an older Outrigger could not read it. Those of form 1 had no configuration files, those
/// of form 2 no `trust.toml`.
const FORMAT: u32 = 3;
const CONTENTS: &str = "backup.json";
const DATABASE: &str = "outrigger.db";
const SECRET_KEY: &str = "secret.key";
const TRUST: &str = "trust.toml";
const PACKAGES: &str = "packages";
const CONFIG: &str = "config";

/// `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    /// The version of Outrigger that made it.
    outrigger: String,
    /// The version of the database's schema.
    schema: i64,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Where the audit log ended.
    audit: Head,
    /// In the order in which they follow.
    files: Vec<Listed>,
}

/// A file in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: String,
    size: u64,
    sha256: Digest,
}

impl Contents {
    fn unpacked(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size))
    }

    fn configuration_files(&self) -> u64 {
        let is_one = |file: &&Listed| file.path.split_once('/').is_some_and(|(folder, _)| folder == CONFIG);
        self.files.iter().filter(is_one).count() as u64
    }
}

/// Whether a file belongs into a data directory, at a path that leads nowhere else.
fn is_expected(path: &str) -> bool {
    if matches!(path, DATABASE | SECRET_KEY | TRUST) {
        return true;
    }
    // A path that is the same after it was read has nothing in it that somebody else could read otherwise.
    let plain = |inside: &str| inside.parse::<PackagePath>().is_ok_and(|path| path.as_str() == inside);
    match path.split_once('/') {
        Some((PACKAGES, rest)) => {
            let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let Some((digest, inside)) = rest.split_once('/') else { return false };
            digest.len() == 64 && digest.bytes().all(hex) && plain(inside)
        }
        Some((CONFIG, inside)) => plain(inside) && overrides::is_configuration(Path::new(inside)),
        _ => false,
    }
}

/// Told how many bytes are done, and of how many.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Says that nobody waits for the work any more.
#[derive(Clone, Debug, Default)]
struct Stop(Arc<AtomicBool>);

/// Dropped together with whoever waits.
struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Runs what blocks where blocking is allowed. It is stopped when this is dropped, and cleans up after itself.
async fn in_background<T: Send + 'static>(work: impl FnOnce(&Stop) -> ApiResult<T> + Send + 'static) -> ApiResult<T> {
    let stop = Stop::default();
    let waiting = Waiting(stop.clone());
    let outcome = tokio::task::spawn_blocking(move || work(&stop)).await;
    drop(waiting);
    outcome.unwrap_or_else(|error| Err(ApiError::new(Code::Internal, format!("a background task failed: {error}"))))
}

/// Reads, and computes the digest of what was read.
struct Watch<'a, R> {
    inner: R,
    hasher: Sha256,
    count: u64,
    /// Why it could not be read: whoever reads cannot tell it from a failure to write.
    fault: Option<String>,
    stop: &'a Stop,
    advance: &'a dyn Fn(u64),
}

impl<'a, R: Read> Watch<'a, R> {
    fn new(inner: R, stop: &'a Stop, advance: &'a dyn Fn(u64)) -> Self {
        Self { inner, hasher: Sha256::new(), count: 0, fault: None, stop, advance }
    }

    /// Reads what is left, and says how much there was in all, with its digest.
    fn finish(mut self) -> std::io::Result<(u64, Digest)> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        Ok((self.count, Digest::from_bytes(self.hasher.finalize().into())))
    }
}

impl<R: Read> Read for Watch<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.0.load(Ordering::Relaxed) {
            return Err(std::io::Error::other("it was cancelled"));
        }
        let read = self.inner.read(buffer).inspect_err(|error| self.fault = Some(error.to_string()))?;
        self.hasher.update(&buffer[..read]);
        self.count += read as u64;
        (self.advance)(read as u64);
        Ok(read)
    }
}

fn io_error(what: impl std::fmt::Display, error: &std::io::Error) -> ApiError {
    ApiError::new(crate::disk::code_of(error, Code::Io), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_into_a_data_directory_is_expected() {
        let package = |inside: &str| format!("packages/{}/{inside}", "0a".repeat(32));
        for path in
            ["outrigger.db", "secret.key", "trust.toml", &package("plugin.toml"), &package("data/prices/eu.json")]
        {
            assert!(is_expected(path), "{path}");
        }
        for path in ["config/pricing.yaml", "config/pricing.yml", "config/eu/pricing.toml", "config/eu/west/x.json"] {
            assert!(is_expected(path), "{path}");
        }
        let strange =
            ["", "..", "/etc/passwd", "outrigger.db-wal", "server.lock", "packages", "packages/", "backup.json"];
        for path in strange.into_iter().map(str::to_owned).chain([
            "packages/0a/plugin.toml".to_owned(),
            format!("packages/{}/plugin.toml", "0A".repeat(32)),
            package(""),
            package("../x"),
            package("a/../../x"),
            package("/x"),
            package("./x"),
            package("a//b"),
            package("a\\b"),
            package("a\nb"),
            "config".to_owned(),
            "config/".to_owned(),
            "config/pricing".to_owned(),
            "config/pricing.sh".to_owned(),
            "config/.yaml".to_owned(),
            "config/../pricing.yaml".to_owned(),
            "config//etc/pricing.yaml".to_owned(),
        ]) {
            assert!(!is_expected(&path), "{path}");
        }
    }
}
