//! Writes runs, log lines and statistics to the store in the background, in batches.
//!
//! Adding a record is a push under a lock. The task that writes is woken by the first record of a batch, not by each:
//! waking a thread costs more than a cached call may. A call waits for the recorder only when too much is waiting to be
//! written: records are never dropped silently.
//!
//! Frequent records are aggregated here: runs above a rate into one run per minute, refusals and read-only calls into
//! group records ([`sampling`], [`tally`]). The writing task decides this, not the path of a call.
//!
//! Queued log lines are limited in bytes, for each plugin and in total. Lines above the limit are dropped and counted,
//! and the caller is informed.
//!
//! Audit records are not dropped while the process lives. Their actions are done, so failed writes are retried without
//! end; callers that wait for a record wait, and finally callers that add one.

mod lines;
mod sampling;
mod tally;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use lines::Lines;
use sampling::Sampler;
pub use sampling::{Rate, RunSampling};

use crate::audit::AuditEntry;
use crate::store::{LogRecord, RecordBatch, RunRecord, StatisticsRow, Store};

/// Maximum number of queued records. Above it, callers that add one wait.
const ROOM: usize = 50_000;
/// A batch is written when it has this many records, or its first one is this old.
const BATCH: usize = 2_000;
const BATCH_AGE: Duration = Duration::from_millis(50);
/// How long a reader waits for queued records to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// The recorder. Its task ends when it is dropped, after writing the queued records.
#[derive(Debug)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// The number of records in `pending`. It changes under the lock, and is read without it.
    records: AtomicUsize,
    /// Log lines that are queued or being written.
    lines: Mutex<Lines>,
    /// The first record of a batch has arrived, or the recorder is closed.
    begun: Notify,
    /// The batch is to be written without waiting for more.
    urgent: Notify,
    /// There is room again.
    room: Notify,
    /// The process is about to end: endless retries stop.
    closing: CancellationToken,
    counts: Counts,
}

/// How many records were aggregated since the process started.
#[derive(Debug, Default)]
struct Counts {
    runs: AtomicU64,
    refusals: AtomicU64,
}

/// How many records were aggregated since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Runs merged into another run.
    pub runs: u64,
    /// Refusals merged into another audit record.
    pub refusals: u64,
}

#[derive(Debug, Default)]
struct Pending {
    batch: RecordBatch,
    /// Runs of the batch, by index, that go into the audit log as a group; each with the id of its key.
    grouped: Vec<(usize, Option<String>)>,
    /// Calls that may change something and are counted in a group of the audit log; each with the caller that waits for
    /// the write.
    changes: Vec<(AuditEntry, Option<oneshot::Sender<()>>)>,
    /// Failed changes.
    failed: Vec<AuditEntry>,
    /// Whether aggregated audit records are written too.
    settle: bool,
    /// Told when everything before is written.
    flushes: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl Pending {
    /// With room for as many runs as are expected, so that the calls need not make it.
    fn with_room(runs: usize) -> Self {
        let mut pending = Self::default();
        pending.batch.runs.reserve(runs);
        pending.grouped.reserve(runs);
        pending
    }
}

impl Recorder {
    /// Starts the task that writes.
    pub(crate) fn start(store: Arc<dyn Store>, sampling: RunSampling) -> Self {
        let shared = Arc::new(Shared::default());
        outrigger_compute::spawn_with_store(write::write(store, Arc::clone(&shared), Sampler::new(sampling)));
        Self { shared }
    }

    /// Adds a run, and the entry that the audit log has of it. Who can wait does so before: [`Self::wait_for_room`].
    pub(crate) fn run(&self, run: RunRecord, entry: Option<AuditEntry>) {
        self.add(1, |pending| {
            pending.batch.runs.push(run);
            pending.batch.audit.extend(entry);
        });
    }

    /// Adds a run that the audit log names in a group with others.
    pub(crate) fn run_in_group(&self, run: RunRecord, key: Option<String>) {
        self.add(1, |pending| {
            pending.grouped.push((pending.batch.runs.len(), key));
            pending.batch.runs.push(run);
        });
    }

    /// Counts a call that may change something, and waits until the audit log contains it.
    pub(crate) async fn change(&self, entry: AuditEntry) {
        let (done, written) = oneshot::channel();
        self.add(1, |pending| pending.changes.push((entry, Some(done))));
        // As in `written`.
        let _ = written.await;
    }

    /// The same without waiting.
    pub(crate) fn change_soon(&self, entry: AuditEntry) {
        self.add(1, |pending| pending.changes.push((entry, None)));
    }

    /// Adds an audit record that belongs to no run. If the queue is full, a refusal goes only to the process's own log,
    /// because a refused caller can cause any number of them.
    pub(crate) fn entry(&self, entry: AuditEntry) {
        if entry.prunable && self.is_full() {
            return left_out(&entry);
        }
        self.add(1, |pending| pending.batch.audit.push(entry));
    }

    /// Adds a failed change. The first ones of a minute have records of their own, further ones are aggregated, because
    /// like refusals their number is unlimited.
    pub(crate) fn failed(&self, entry: AuditEntry) {
        if self.is_full() {
            return left_out(&entry);
        }
        self.add(1, |pending| pending.failed.push(entry));
    }

    /// The numbers of aggregated records.
    pub(crate) fn counted(&self) -> Counted {
        let Counts { runs, refusals } = &self.shared.counts;
        Counted { runs: runs.load(Ordering::Relaxed), refusals: refusals.load(Ordering::Relaxed) }
    }

    /// Adds a log line without waiting. If the queue is full, the line goes only to the process's own log. Returns
    /// whether the line was queued.
    pub(crate) fn log(&self, line: LogRecord) -> bool {
        let is_kept = !self.is_full() && self.shared.lines.lock().add(&line);
        match is_kept {
            true => self.add(1, |pending| pending.batch.logs.push(line)),
            false => tracing::warn!(plugin = %line.plugin, "log line dropped: the write queue is full"),
        }
        is_kept
    }

    /// Adds statistics.
    pub(crate) fn statistics(&self, rows: Vec<StatisticsRow>) {
        self.add(rows.len(), |pending| pending.batch.statistics.extend(rows));
    }

    /// Waits until everything added so far is written; if the store refuses writes, for some seconds. Returns whether
    /// it is.
    pub(crate) async fn flush(&self) -> bool {
        let written = tokio::time::timeout(PATIENCE, self.written()).await.is_ok();
        if !written {
            tracing::warn!("recent records are not written yet: the store refuses writes or is too slow");
        }
        written
    }

    /// The same, and writes the counts for the audit log before it is read, unless it is read very often.
    pub(crate) async fn flush_audit(&self) -> bool {
        self.shared.pending.lock().settle = true;
        self.flush().await
    }

    /// Writes the queued records; those that cannot be written after some attempts are dropped.
    pub(crate) async fn close(&self) {
        self.shared.closing.cancel();
        self.written().await;
    }

    /// Waits until everything added so far is written, however long that takes: entries of the audit log for certain, and runs
    /// unless the store refused them.
    pub(crate) async fn written(&self) {
        let (done, written) = oneshot::channel();
        self.shared.pending.lock().flushes.push(done);
        self.shared.begun.notify_one();
        self.shared.urgent.notify_one();
        // The task answers, or is gone with the runtime; either way there is nothing more to wait for.
        let _ = written.await;
    }

    fn add(&self, records: usize, push: impl FnOnce(&mut Pending)) {
        let count = {
            let mut pending = self.shared.pending.lock();
            push(&mut pending);
            let count = self.shared.records.load(Ordering::Relaxed) + records;
            self.shared.records.store(count, Ordering::Relaxed);
            count
        };
        if count <= records {
            self.shared.begun.notify_one();
        }
        if count >= BATCH && count - records < BATCH {
            self.shared.urgent.notify_one();
        }
    }

    fn is_full(&self) -> bool {
        self.shared.records.load(Ordering::Relaxed) >= ROOM
    }

    /// Waits as long as too much is waiting to be written.
    pub(crate) async fn wait_for_room(&self) {
        while self.is_full() {
            let room = self.shared.room.notified();
            // It may have been made between the look and the wait.
            if self.is_full() {
                room.await;
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.pending.lock().closed = true;
        self.shared.closing.cancel();
        self.shared.begun.notify_one();
        self.shared.urgent.notify_one();
    }
}

fn left_out(entry: &AuditEntry) {
    let AuditEntry { actor, action, resource, .. } = entry;
    tracing::warn!(actor, action, resource, "refusal or failure missing from the audit log: the write queue is full");
}
