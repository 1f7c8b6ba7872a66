//! Writes runs, log lines and statistics to the store in the background, in batches.
//!
//! Adding a record is a push under a lock. The task that writes is woken by the first record of a batch, not by each:
//! waking a thread costs more than a cached call may. A call waits for the recorder only when too much is waiting to be
//! written: records are never dropped in silence.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio::sync::{Notify, oneshot};

use crate::access::Right;
use crate::audit::{AuditEntry, GroupedCall, Stage};
use crate::store::{LogRecord, RecordBatch, RunRecord, StatisticsRow, Store};

/// Records that may wait. Past it, whoever adds one waits too.
const ROOM: usize = 50_000;
/// A batch is written when it has this many records, or its first one is this old.
const BATCH: usize = 2_000;
const BATCH_AGE: Duration = Duration::from_millis(50);

/// The recorder. Its task ends when it is dropped, after writing what is left.
#[derive(Debug)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    /// The first record of a batch has arrived, or the recorder is closed.
    begun: Notify,
    /// The batch is to be written without waiting for more.
    urgent: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    batch: RecordBatch,
    /// Runs of the batch, by their place, that go into the audit log together.
    grouped: Vec<usize>,
    records: usize,
    /// Told when everything before is written.
    flushes: Vec<oneshot::Sender<()>>,
    closed: bool,
}

impl Recorder {
    /// Starts the task that writes.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let shared = Arc::new(Shared::default());
        tokio::spawn(write(store, Arc::clone(&shared)));
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
    pub(crate) fn run_in_group(&self, run: RunRecord) {
        self.add(1, |pending| {
            pending.grouped.push(pending.batch.runs.len());
            pending.batch.runs.push(run);
        });
    }

    /// Adds an entry of the audit log that belongs to no run.
    pub(crate) fn entry(&self, entry: AuditEntry) {
        self.add(1, |pending| pending.batch.audit.push(entry));
    }

    /// Adds a log line without waiting. Where there is no room, the line goes to the process's own log only.
    pub(crate) fn log(&self, line: LogRecord) {
        match self.is_full() {
            true => tracing::warn!("a plugin's log line was not kept: the store cannot keep up"),
            false => self.add(1, |pending| pending.batch.logs.push(line)),
        }
    }

    /// Adds statistics.
    pub(crate) fn statistics(&self, rows: Vec<StatisticsRow>) {
        self.add(rows.len(), |pending| pending.batch.statistics.extend(rows));
    }

    /// Waits until everything added so far is written.
    pub(crate) async fn flush(&self) {
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
        self.shared.begun.notify_one();
        self.shared.urgent.notify_one();
    }
}

async fn write(store: Arc<dyn Store>, shared: Arc<Shared>) {
    loop {
        shared.begun.notified().await;
        let _ = tokio::time::timeout(BATCH_AGE, shared.urgent.notified()).await;
        let Pending { mut batch, grouped, records: _, flushes, closed } = {
            let mut pending = shared.pending.lock();
            let closed = pending.closed;
            Pending { closed, ..std::mem::take(&mut *pending) }
        };
        shared.room.notify_waiters();
        batch.audit.extend(group(&batch.runs, &grouped));
        append(&*store, &batch).await;
        for done in flushes {
            // Who asked may have gone away.
            let _ = done.send(());
        }
        if closed {
            return;
        }
    }
}

/// The entry that stands for calls that only read.
fn group(runs: &[RunRecord], grouped: &[usize]) -> Option<AuditEntry> {
    let first = runs.get(*grouped.first()?)?;
    let call = |run: &RunRecord| GroupedCall {
        actor: run.caller.clone(),
        function: format!("{}.{}", run.plugin, run.function),
        code: run.code,
        correlation: run.correlation,
    };
    Some(AuditEntry {
        at: OffsetDateTime::now_utc(),
        actor: "several".to_owned(),
        key: None,
        action: Right::FUNCTION_EXECUTE.to_string(),
        resource: "*".to_owned(),
        allowed: true,
        decision: None,
        stage: Stage::Group,
        code: None,
        revision: None,
        before: None,
        after: None,
        correlation: first.correlation,
        calls: grouped.iter().filter_map(|place| runs.get(*place)).map(call).collect(),
    })
}

/// A store that is briefly busy or full is tried again; meanwhile the callers find no room, and slow down.
async fn append(store: &dyn Store, batch: &RecordBatch) {
    if batch.is_empty() {
        return;
    }
    for attempt in 1..=5_u32 {
        match store.record_append(batch).await {
            Ok(()) => return,
            Err(error) if attempt == 5 => {
                let (runs, logs) = (batch.runs.len(), batch.logs.len());
                tracing::error!(%error, runs, logs, "records could not be written and are lost");
            }
            Err(error) => {
                tracing::warn!(%error, attempt, "records could not be written; trying again");
                tokio::time::sleep(Duration::from_millis(100) * attempt).await;
            }
        }
    }
}
