//! Whether the database accepts writes, and the handling of disk failures.
//!
//! After a write failed because of the disk, its connection cannot be trusted: SQLite may have rolled the transaction
//! back by itself, while the driver still counts it as open. Every later transaction would be a savepoint inside one
//! that never commits, acknowledged and lost. So a connection on which a write failed is closed, and writes are refused
//! at once until a probe shows that a write is durable again. The probe first writes the whole log back into the
//! database and starts a new log, so nothing builds on data that a failed `fsync` may have lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use outrigger_contract::units::ByteSize;
use outrigger_engine::store::{StoreError, WriteFault, WriteFaultKind};
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::{Sqlite, SqliteConnection};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{DatabaseConnection, DbErr};
use time::OffsetDateTime;

use crate::database::Database;
use crate::dialect;
use crate::migrations;
use crate::reserve::{Reserve, free_bytes};

/// The pause between the first two probes; it doubles before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long a probe waits for readers of the log, in milliseconds.
const IMPATIENT: &str = "PRAGMA busy_timeout = 50";

/// With less free space than this, the disk counts as full, whatever the error was.
const FULL: u64 = 256 << 10;

/// The purpose of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Refused while the disk is full.
    Ordinary,
    /// Records a completed action, ends a started one, or frees space: can use the reserve.
    Essential,
}

/// Whether writes are accepted. Shared by all handles of one store.
#[derive(Debug)]
pub(crate) struct Writing {
    folder: PathBuf,
    reserve: Option<Reserve>,
    /// Why writes are refused; none while they are accepted.
    fault: ArcSwapOption<WriteFault>,
    /// The disk is full, but there is space for essential writes.
    has_spare_room: AtomicBool,
    /// The log may have lost writes: nothing is appended before a new log is started.
    needs_new_log: AtomicBool,
    /// The connection in use must be closed and not used again.
    suspect: AtomicBool,
    /// Held until it is known whether the commit on that connection has failed.
    verdict: tokio::sync::Mutex<()>,
    /// A task is probing.
    probing: AtomicBool,
}

impl Writing {
    /// For the database in a folder, with a reserve of this many bytes.
    pub(crate) fn new(folder: &Path, reserve: Option<u64>) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.to_owned(),
            reserve: reserve.filter(|bytes| *bytes > 0).map(|bytes| Reserve::new(folder, bytes)),
            fault: ArcSwapOption::empty(),
            has_spare_room: AtomicBool::new(false),
            needs_new_log: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            verdict: tokio::sync::Mutex::default(),
            probing: AtomicBool::new(false),
        })
    }

    /// Options of a pool whose connections are closed when a write on them has failed, instead of being used again.
    pub(crate) fn watch(self: &Arc<Self>, options: PoolOptions<Sqlite>) -> PoolOptions<Sqlite> {
        let writing = Arc::clone(self);
        options.after_release(move |connection, _| {
            let writing = Arc::clone(&writing);
            Box::pin(async move {
                let _known = writing.verdict.lock().await;
                let in_transaction = is_in_transaction(connection).await?;
                let suspect = writing.suspect.swap(false, Ordering::SeqCst);
                Ok(!suspect && !in_transaction)
            })
        })
    }

    pub(crate) fn fault(&self) -> Option<WriteFault> {
        self.fault.load().as_deref().cloned()
    }

    /// Whether a write may be attempted.
    pub(crate) fn admit(&self, need: Need) -> Result<(), StoreError> {
        let fault = self.fault.load();
        let Some(fault) = fault.as_deref() else { return Ok(()) };
        match need {
            Need::Essential if self.has_spare_room.load(Ordering::SeqCst) => Ok(()),
            _ => Err(StoreError::Unwritable(fault.clone())),
        }
    }

    /// Suspects the connection until its commit is known to have succeeded: after a failed or cancelled commit, the
    /// state of the connection is unknown.
    pub(crate) async fn verdict(&self) -> Verdict<'_> {
        let guard = self.verdict.lock().await;
        let before = self.suspect.swap(true, Ordering::SeqCst);
        Verdict { writing: self, before, _guard: guard }
    }

    /// Creates the reserve. A disk without space for it counts as full.
    pub(crate) fn take_reserve(&self, database: &Database) {
        let Some(reserve) = &self.reserve else { return };
        match reserve.take() {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                let (reserve, free) = (reserve.bytes(), free_bytes(&self.folder).unwrap_or(0));
                let [reserve, free] = [reserve, free].map(|bytes| ByteSize::bytes(bytes).rounded());
                let reason =
                    format!("not enough disk space for the reserve of {reserve} (`--reserve`): {free} are free");
                self.fail(database, WriteFaultKind::Full, reason);
            }
            Err(error) => tracing::warn!(%error, "no space can be reserved for a full disk"),
        }
    }

    /// A write has failed: checks whether the disk is the reason.
    pub(crate) fn note(&self, database: &Database, error: &DbErr) {
        let Some(kind) = dialect::write_fault(error) else { return };
        if kind == WriteFaultKind::Failed {
            self.needs_new_log.store(true, Ordering::SeqCst);
        }
        let is_full = kind == WriteFaultKind::Full || free_bytes(&self.folder).is_ok_and(|free| free < FULL);
        let kind = if is_full { WriteFaultKind::Full } else { kind };
        self.fail(database, kind, error.to_string());
    }

    fn fail(&self, database: &Database, kind: WriteFaultKind, reason: String) {
        self.suspect.store(true, Ordering::SeqCst);
        self.has_spare_room.store(false, Ordering::SeqCst);
        let reason = match kind {
            WriteFaultKind::Full => format!("{reason}; writes resume once {} are free", self.wanted().rounded()),
            WriteFaultKind::ReadOnly | WriteFaultKind::Failed => reason,
        };
        let since = self.fault.load().as_deref().map_or_else(OffsetDateTime::now_utc, |present| present.since);
        if self.fault.load().is_none() {
            tracing::error!(reason, "the database cannot be written to; writes are refused until it can");
        }
        self.fault.store(Some(Arc::new(WriteFault { kind, reason, since })));
        if !self.probing.swap(true, Ordering::SeqCst) {
            let (writing, write) = (Arc::downgrade(&database.writing), database.write.clone());
            tokio::spawn(probe_until_it_works(writing, write));
        }
    }

    /// The free space at which a full disk accepts writes again.
    fn wanted(&self) -> ByteSize {
        ByteSize::bytes(self.reserve.as_ref().map_or(FULL, Reserve::wanted))
    }

    /// Checks whether a write is durable again, and if so accepts writes again. Returns whether nothing is left to do.
    async fn probe(&self, write: &DatabaseConnection) -> bool {
        let Some(fault) = self.fault.load_full() else { return true };
        let is_full = fault.kind == WriteFaultKind::Full;
        if is_full && let Some(reserve) = &self.reserve {
            reserve.release();
        }
        if let Err(error) = self.probe_log(write).await {
            tracing::debug!(%error, "the database still cannot be written to");
            return false;
        }
        if is_full {
            self.has_spare_room.store(true, Ordering::SeqCst);
            let has_room = match &self.reserve {
                Some(reserve) => reserve.take().is_ok(),
                None => free_bytes(&self.folder).is_ok_and(|free| free >= FULL),
            };
            // The space used in the meantime counts against the free space that the first check found.
            if !has_room || write_once(write).await.is_err() {
                return false;
            }
        }
        let replaced = self.fault.compare_and_swap(&Some(Arc::clone(&fault)), None);
        // A fault that occurred in the meantime is checked again.
        let is_over = replaced.as_ref().is_some_and(|replaced| Arc::ptr_eq(replaced, &fault));
        if is_over {
            tracing::warn!(since = %fault.since, "the database can be written to again");
        }
        is_over
    }
}

impl Writing {
    /// Starts a new log and writes to it. A disk that is only full may have no space for it.
    async fn probe_log(&self, write: &DatabaseConnection) -> Result<(), sqlx::Error> {
        // A failure after this moment is one of the new log.
        let must = self.needs_new_log.swap(false, Ordering::SeqCst);
        let outcome = match begin_new_log(write).await {
            Err(error) if must => Err(error),
            Ok(()) | Err(_) => write_once(write).await,
        };
        if must && outcome.is_err() {
            self.needs_new_log.store(true, Ordering::SeqCst);
        }
        outcome
    }
}

/// Whether a connection can be used again. Until it is dropped, the connection is not given back.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    writing: &'a Writing,
    before: bool,
    _guard: tokio::sync::MutexGuard<'a, ()>,
}

impl Verdict<'_> {
    /// The commit has succeeded.
    pub(crate) fn acquit(self) {
        self.writing.suspect.store(self.before, Ordering::SeqCst);
    }
}

/// Probes until writes are accepted again, or the store is closed.
async fn probe_until_it_works(writing: Weak<Writing>, write: DatabaseConnection) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let Some(writing) = writing.upgrade() else { return };
        if write.get_sqlite_connection_pool().is_closed() {
            return;
        }
        if !writing.probe(&write).await {
            continue;
        }
        writing.probing.store(false, Ordering::SeqCst);
        // A write may have failed since the last probe and rely on this task.
        if writing.fault.load().is_none() || writing.probing.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

/// Writes everything back into the database, so that nothing depends on the log that a write failed on.
async fn begin_new_log(write: &DatabaseConnection) -> Result<(), sqlx::Error> {
    let mut connection = write.get_sqlite_connection_pool().acquire().await?;
    // Only this task writes. It waits for readers in the pauses between probes; the next connection has the usual
    // timeout again.
    connection.close_on_drop();
    sqlx::query(IMPATIENT).execute(&mut *connection).await?;
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await?;
    match busy {
        0 => Ok(()),
        _ => Err(sqlx::Error::Protocol("a reader holds the log".to_owned())),
    }
}

/// Commits something that must be durable.
async fn write_once(write: &DatabaseConnection) -> Result<(), sqlx::Error> {
    let mut connection = write.get_sqlite_connection_pool().acquire().await?;
    let outcome = migrations::probe(&mut connection).await;
    if outcome.is_err() {
        connection.close_on_drop();
    }
    outcome
}

/// Whether a transaction was left open. The driver counts one whose rollback has failed as open forever.
async fn is_in_transaction(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if !connection.is_in_transaction() {
        return Ok(false);
    }
    // A rollback may be in progress; it is complete when the connection responds.
    connection.ping().await?;
    Ok(connection.is_in_transaction())
}
