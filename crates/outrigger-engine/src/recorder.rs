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

mod sampling;
mod tally;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outrigger_contract::PluginName;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use sampling::Sampler;
pub use sampling::{Rate, RunSampling};
use tally::Tally;

use crate::audit::AuditEntry;
use crate::store::{LogRecord, RecordBatch, RunRecord, StatisticsRow, Store, StoreError};

/// Maximum number of queued records. Above it, callers that add one wait.
const ROOM: usize = 50_000;
/// The limits for queued log lines, in bytes, of one plugin and of all plugins. Lines above them are dropped and
/// counted.
const LINES_OF_PLUGIN: usize = 4 << 20;
const LINES: usize = 32 << 20;
/// A batch is written when it has this many records, or its first one is this old.
const BATCH: usize = 2_000;
const BATCH_AGE: Duration = Duration::from_millis(50);
/// How often a batch is tried as a whole; and how often the audit log is when the process is about to end.
const TRIES: u32 = 5;
/// The pause after the first attempt, and the increase of each further one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The queue limit for runs and rows of statistics while the store refuses writes; for log lines, a fifth of it. Newer
/// ones are dropped, with a log message.
const HELD: usize = 5_000;
/// The interval at which queued records are retried.
const HELD_PAUSE: Duration = Duration::from_millis(500);
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

/// Bytes of log lines in memory.
#[derive(Debug, Default)]
struct Lines {
    all: usize,
    plugins: HashMap<PluginName, usize>,
}

impl Lines {
    /// Counts a line, unless a limit is exceeded.
    fn add(&mut self, line: &LogRecord) -> bool {
        let size = size(line);
        let own = self.plugins.get(&line.plugin).copied().unwrap_or_default();
        if self.all + size > LINES || own + size > LINES_OF_PLUGIN {
            return false;
        }
        self.count(&line.plugin, size);
        true
    }

    fn count(&mut self, plugin: &PluginName, size: usize) {
        self.all += size;
        match self.plugins.get_mut(plugin) {
            Some(own) => *own += size,
            None => drop(self.plugins.insert(plugin.clone(), size)),
        }
    }

    /// The log lines of a batch.
    fn of(lines: &[LogRecord]) -> Self {
        let mut counted = Self::default();
        for line in lines {
            counted.count(&line.plugin, size(line));
        }
        counted
    }

    /// Releases lines that were written or dropped.
    fn remove(&mut self, lines: Self) {
        self.all -= lines.all;
        for (plugin, size) in lines.plugins {
            let left = self.plugins.get(&plugin).map_or(0, |own| own.saturating_sub(size));
            match left {
                0 => drop(self.plugins.remove(&plugin)),
                left => drop(self.plugins.insert(plugin, left)),
            }
        }
    }
}

/// The size of a line in memory, in bytes.
fn size(line: &LogRecord) -> usize {
    let fields = line.fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len());
    size_of::<LogRecord>() + line.message.len() + fields.sum::<usize>()
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
    records: usize,
    /// Told when everything before is written.
    flushes: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl Recorder {
    /// Starts the task that writes.
    pub(crate) fn start(store: Arc<dyn Store>, sampling: RunSampling) -> Self {
        let shared = Arc::new(Shared::default());
        tokio::spawn(write(store, Arc::clone(&shared), Sampler::new(sampling)));
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

    /// The same, and writes the counts for the audit log, before it is read.
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
            pending.records += records;
            pending.records
        };
        if count <= records {
            self.shared.begun.notify_one();
        }
        if count >= BATCH && count - records < BATCH {
            self.shared.urgent.notify_one();
        }
    }

    fn is_full(&self) -> bool {
        self.shared.pending.lock().records >= ROOM
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

async fn write(store: Arc<dyn Store>, shared: Arc<Shared>, mut sampler: Sampler) {
    let mut tally = Tally::new(Instant::now());
    // Callers that wait for counts in the tally.
    let mut callers: Vec<oneshot::Sender<()>> = Vec::new();
    let mut held = Held::default();
    loop {
        let held_for = (!held.batch.is_empty()).then_some(HELD_PAUSE);
        match tally.period().into_iter().chain(held_for).min() {
            Some(period) => drop(tokio::time::timeout(period, shared.begun.notified()).await),
            None => shared.begun.notified().await,
        }
        let _ = tokio::time::timeout(BATCH_AGE, shared.urgent.notified()).await;
        let Pending { mut batch, grouped, changes, failed, settle, records: _, flushes, closed } = {
            let mut pending = shared.pending.lock();
            let closed = pending.closed;
            Pending { closed, ..std::mem::take(&mut *pending) }
        };
        shared.room.notify_waiters();
        let all = settle || closed || shared.closing.is_cancelled();
        for (entry, waiting) in changes {
            tally.change(entry);
            callers.extend(waiting);
        }
        batch.audit.extend(failed.into_iter().filter_map(|entry| tally.unsuccessful(entry, Instant::now())));
        count(&mut batch, grouped, &mut tally, all, &shared.counts);
        batch.sums = sampler.sample(&mut batch.runs, Instant::now());
        shared.counts.runs.store(sampler.summed, Ordering::Relaxed);
        let lines = Lines::of(&batch.logs);
        if let Some(left) = append(&*store, held.join(batch), &shared.closing).await {
            held.keep(left);
        } else {
            held.say_what_was_dropped();
        }
        shared.lines.lock().remove(lines);
        let written = if tally.has_changes() { Vec::new() } else { std::mem::take(&mut callers) };
        for done in flushes.into_iter().chain(written) {
            // The requester may be gone.
            let _ = done.send(());
        }
        if closed {
            held.give_up();
            return;
        }
    }
}

fn left_out(entry: &AuditEntry) {
    let AuditEntry { actor, action, resource, .. } = entry;
    tracing::warn!(actor, action, resource, "refusal or failure missing from the audit log: the write queue is full");
}

/// Records that wait until the store accepts writes again.
#[derive(Debug, Default)]
struct Held {
    batch: RecordBatch,
    dropped: usize,
}

impl Held {
    /// The queued records, followed by the new ones.
    fn join(&mut self, new: RecordBatch) -> RecordBatch {
        let mut batch = std::mem::take(&mut self.batch);
        let RecordBatch { runs, sums, logs, statistics, audit } = new;
        batch.runs.extend(runs);
        batch.sums.extend(sums);
        batch.logs.extend(logs);
        batch.statistics.extend(statistics);
        batch.audit.extend(audit);
        batch
    }

    /// Queues records that could not be written, up to the limits.
    fn keep(&mut self, mut left: RecordBatch) {
        let RecordBatch { runs, sums, logs, statistics, audit: _ } = &mut left;
        let before = runs.len() + sums.len() + logs.len() + statistics.len();
        runs.truncate(HELD);
        sums.truncate(HELD);
        // Each may have many fields.
        logs.truncate(HELD / 5);
        statistics.truncate(HELD);
        let dropped = before - (runs.len() + sums.len() + logs.len() + statistics.len());
        if dropped > 0 && self.dropped == 0 {
            tracing::error!("the store refuses writes and the write queue is full: new runs and log lines are dropped");
        }
        self.dropped += dropped;
        self.batch = left;
    }

    fn say_what_was_dropped(&mut self) {
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            tracing::error!(records = dropped, "records lost: the store refused writes for too long");
        }
    }

    fn give_up(&mut self) {
        let RecordBatch { runs, sums, logs, statistics, audit: _ } = std::mem::take(&mut self.batch);
        self.dropped += runs.len() + sums.len() + logs.len() + statistics.len();
        self.say_what_was_dropped();
    }
}

/// Adds counted calls and refusals to the tally, and moves due groups into the batch.
fn count(
    batch: &mut RecordBatch,
    grouped: Vec<(usize, Option<String>)>,
    tally: &mut Tally,
    all: bool,
    counts: &Counts,
) {
    let now = Instant::now();
    for (place, key) in grouped {
        if let Some(run) = batch.runs.get(place) {
            tally.read(run, key);
        }
    }
    let of_their_own = |entry: AuditEntry| match entry.prunable {
        false => Some(entry),
        true => {
            let entry = tally.unsuccessful(entry, now);
            counts.refusals.fetch_add(u64::from(entry.is_none()), Ordering::Relaxed);
            entry
        }
    };
    batch.audit = std::mem::take(&mut batch.audit).into_iter().filter_map(of_their_own).collect();
    batch.audit.extend(tally.due(now, all));
}

/// Writes a batch. If the store is briefly busy, the write is retried; meanwhile the queue fills up and callers slow
/// down (back-pressure). If the store refuses writes, only the audit log is written, and the rest is returned.
async fn append(store: &dyn Store, batch: RecordBatch, closing: &CancellationToken) -> Option<RecordBatch> {
    if batch.is_empty() {
        return None;
    }
    for attempt in 1..=TRIES {
        match store.record_append(&batch).await {
            Ok(()) => return None,
            Err(StoreError::Unwritable(_)) => {
                let RecordBatch { audit, runs, sums, logs, statistics } = batch;
                append_audit(store, &audit, closing).await;
                return Some(RecordBatch { runs, sums, logs, statistics, audit: Vec::new() });
            }
            // There is a run among them that is there already, and that will be no different the next time.
            Err(StoreError::Conflict { .. }) => break,
            Err(error) => {
                tracing::warn!(%error, attempt, "failed to write records; retrying");
                if attempt < TRIES {
                    pause(attempt, closing).await;
                }
            }
        }
    }
    let RecordBatch { runs, sums, logs, statistics, audit } = batch;
    append_audit(store, &audit, closing).await;
    append_apart(store, RecordBatch { sums, ..RecordBatch::default() }).await;
    append_apart(store, RecordBatch { logs, ..RecordBatch::default() }).await;
    append_apart(store, RecordBatch { statistics, ..RecordBatch::default() }).await;
    append_runs(store, runs).await;
    None
}

/// Writes entries of the audit log, for as long as it takes. Only a process that ends gives them up.
async fn append_audit(store: &dyn Store, entries: &[AuditEntry], closing: &CancellationToken) {
    if entries.is_empty() {
        return;
    }
    let (mut attempt, mut last) = (0, 0);
    while let Err(error) = store.audit_append(entries).await {
        attempt += 1;
        last += u32::from(closing.is_cancelled());
        if last >= TRIES {
            tracing::error!(%error, entries = entries.len(), "audit records lost: the store refused writes");
            return;
        }
        tracing::error!(%error, attempt, entries = entries.len(), "the audit log cannot be written to; retrying");
        tokio::select! {
            () = pause(attempt, closing) => {}
            () = lifted(store) => {}
        }
    }
}

/// Waits until the store accepts writes again; forever if it accepts them now.
async fn lifted(store: &dyn Store) {
    if store.write_fault().is_none() {
        return std::future::pending().await;
    }
    while store.write_fault().is_some() {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes runs but those that are there already: what fails for one of them is tried again in halves.
async fn append_runs(store: &dyn Store, runs: Vec<RunRecord>) {
    let mut parts = vec![runs];
    while let Some(runs) = parts.pop() {
        let batch = RecordBatch { runs, ..RecordBatch::default() };
        match store.record_append(&batch).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) if batch.runs.len() > 1 => {
                let mut first = batch.runs;
                let second = first.split_off(first.len() / 2);
                parts.extend([second, first]);
            }
            Err(error) => lost(&error, &batch),
        }
    }
}

async fn append_apart(store: &dyn Store, batch: RecordBatch) {
    if let Err(error) = store.record_append(&batch).await {
        lost(&error, &batch);
    }
}

fn lost(error: &StoreError, batch: &RecordBatch) {
    let RecordBatch { runs, sums, logs, statistics, audit } = batch;
    let (runs, sums, logs) = (runs.len(), sums.len(), logs.len());
    let (statistics, entries) = (statistics.len(), audit.len());
    tracing::error!(%error, runs, sums, logs, statistics, entries, "records lost: the store refused writes");
}

/// Waits before another try. When the recorder is closed, the wait of that moment is cut short.
async fn pause(attempt: u32, closing: &CancellationToken) {
    let pause = (PAUSE * attempt).min(LONGEST_PAUSE);
    match closing.is_cancelled() {
        true => tokio::time::sleep(pause).await,
        false => drop(tokio::time::timeout(pause, closing.cancelled()).await),
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::correlation::CorrelationId;
    use crate::runtime::LogLevel;

    fn line(plugin: &str, bytes: usize) -> LogRecord {
        LogRecord {
            at: OffsetDateTime::UNIX_EPOCH,
            plugin: plugin.parse().expect("a name"),
            function: None,
            correlation: CorrelationId::new(),
            level: LogLevel::Info,
            message: String::new(),
            fields: vec![("field".to_owned(), "x".repeat(bytes))],
        }
    }

    #[test]
    fn s02_lines_that_wait_are_bounded_for_a_plugin_and_for_all() {
        let mut lines = Lines::default();
        let mut kept = Vec::new();
        let mut fill = |lines: &mut Lines, plugin: &str| {
            let before = kept.len();
            while lines.add(&line(plugin, 100_000)) {
                kept.push(line(plugin, 100_000));
                assert!(kept.len() < 1_000, "there is no bound");
            }
            kept.len() - before
        };
        let own = fill(&mut lines, "one");
        assert_eq!(own, LINES_OF_PLUGIN / size(&line("one", 100_000)), "as many as a plugin may");
        assert_eq!(fill(&mut lines, "two"), own, "another has its own room");
        for plugin in ["c", "d", "e", "f", "g", "h", "i"] {
            fill(&mut lines, plugin);
        }
        assert!(lines.all <= LINES && lines.all > LINES - LINES_OF_PLUGIN, "{}", lines.all);
        assert!(!lines.add(&line("z", LINES_OF_PLUGIN - 1_000)), "together they are as many as all may");
        lines.remove(Lines::of(&kept));
        assert_eq!((lines.all, lines.plugins.len()), (0, 0));
    }
}
