//! The task that writes the queued records, in batches, and retries writes that the store refuses.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::lines::Lines;
use super::sampling::Sampler;
use super::tally::Tally;
use super::{BATCH, BATCH_AGE, Counts, Pending, Shared};
use crate::audit::AuditEntry;
use crate::store::{RecordBatch, RunRecord, Store, StoreError};

/// How often a batch is tried as a whole; and how often the audit log is when the process is about to end.
const TRIES: u32 = 5;
/// The pause after the first attempt, and the increase of each further one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The queue limit for runs and rows of statistics while the store refuses writes; for log lines, a fifth of it. Newer
/// ones are dropped, with a log message. The bytes of log lines are limited by [`Lines`].
const HELD: usize = 5_000;
/// The interval at which queued records are retried.
const HELD_PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn write(store: Arc<dyn Store>, shared: Arc<Shared>, mut sampler: Sampler) {
    let mut tally = Tally::new(Instant::now());
    // Callers that wait for counts in the tally.
    let mut callers: Vec<oneshot::Sender<()>> = Vec::new();
    let mut held = Held::default();
    // Runs in the last batch.
    let mut last = 0;
    loop {
        let held_for = (!held.batch.is_empty()).then_some(HELD_PAUSE);
        match tally.period().into_iter().chain(held_for).min() {
            Some(period) => drop(tokio::time::timeout(period, shared.begun.notified()).await),
            None => shared.begun.notified().await,
        }
        let _ = tokio::time::timeout(BATCH_AGE, shared.urgent.notified()).await;
        let next = Pending::with_room(last);
        let Pending { mut batch, grouped, changes, failed, settle, flushes, closed } = {
            let mut pending = shared.pending.lock();
            shared.records.store(0, Ordering::Relaxed);
            std::mem::replace(&mut *pending, next)
        };
        last = batch.runs.len().min(BATCH);
        shared.room.notify_waiters();
        let all = closed || shared.closing.is_cancelled() || settle && tally.may_settle(Instant::now());
        for (entry, waiting) in changes {
            tally.change(entry);
            callers.extend(waiting);
        }
        batch.audit.extend(failed.into_iter().filter_map(|entry| tally.unsuccessful(entry, Instant::now())));
        count(&mut batch, grouped, &mut tally, all, &shared.counts);
        batch.sums = sampler.sample(&mut batch.runs, Instant::now());
        shared.counts.runs.store(sampler.summed, Ordering::Relaxed);
        let batch = held.join(batch);
        let lines = Lines::of(&batch.logs);
        let left = append(&*store, batch, &shared.closing).await;
        let done = held.settle(lines, left);
        shared.lines.lock().remove(done);
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

    /// Queues the records of a batch that could not be written. Returns the batch's log lines that are no longer in
    /// memory because they were written or dropped. The others still count, so that new lines are refused while they
    /// are held.
    fn settle(&mut self, mut lines: Lines, left: Option<RecordBatch>) -> Lines {
        match left {
            Some(left) => self.keep(left),
            None => self.say_what_was_dropped(),
        }
        lines.remove(Lines::of(&self.batch.logs));
        lines
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
    use crate::store::LogRecord;

    fn line(plugin: &str, bytes: usize) -> LogRecord {
        LogRecord {
            at: OffsetDateTime::UNIX_EPOCH,
            plugin: plugin.parse().expect("a name"),
            function: None,
            correlation: CorrelationId::new(),
            level: LogLevel::Info,
            message: "x".repeat(bytes),
            fields: Vec::new(),
        }
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Disk {
        Writable,
        Full,
    }

    /// Queues as many lines as the limits allow, tries to write them, and returns how many were queued.
    fn flood(lines: &mut Lines, held: &mut Held, line: &LogRecord, disk: Disk) -> usize {
        let mut batch = RecordBatch::default();
        while lines.add(line) {
            batch.logs.push(line.clone());
        }
        let queued = batch.logs.len();
        let batch = held.join(batch);
        let counted = Lines::of(&batch.logs);
        let done = held.settle(counted, (disk == Disk::Full).then_some(batch));
        lines.remove(done);
        queued
    }

    #[test]
    fn s02_lines_that_are_held_for_the_store_are_bounded_in_bytes() {
        let (mut lines, mut held) = (Lines::default(), Held::default());
        let (one, two) = (line("one", 100_000), line("two", 100_000));
        let most = flood(&mut lines, &mut held, &one, Disk::Full);
        assert!((10..100).contains(&most), "{most}");
        assert_eq!(flood(&mut lines, &mut held, &one, Disk::Full), 0, "they are still in memory");
        assert_eq!(flood(&mut lines, &mut held, &two, Disk::Full), most, "another plugin has its own room");
        assert_eq!((held.batch.logs.len(), held.dropped), (2 * most, 0));
        assert_eq!(flood(&mut lines, &mut held, &one, Disk::Writable), 0);
        assert_eq!(flood(&mut lines, &mut held, &one, Disk::Writable), most, "there is room again");
        assert!(held.batch.is_empty());
    }

    #[test]
    fn s02_lines_above_the_number_are_dropped_and_counted() {
        let (mut lines, mut held) = (Lines::default(), Held::default());
        let short = line("one", 0);
        let most = flood(&mut lines, &mut held, &short, Disk::Full);
        assert_eq!((held.batch.logs.len(), held.dropped), (HELD / 5, most - HELD / 5));
        assert_eq!(flood(&mut lines, &mut held, &short, Disk::Full), most - HELD / 5, "what was dropped is not held");
        assert_eq!(held.dropped, 2 * (most - HELD / 5));
    }
}
