//! Writes runs, log lines and statistics to the store in the background, in batches.
//!
//! Adding a record is a push under a lock. The task that writes is woken by the first record of a batch, not by each:
//! waking a thread costs more than a cached call may. A call waits for the recorder only when too much is waiting to be
//! written: records are never dropped in silence.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

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

    /// Adds a run, and waits where there is no room.
    pub(crate) async fn run(&self, run: RunRecord) {
        self.wait_for_room().await;
        self.run_now(run);
    }

    /// Adds a run where nothing can be waited for: while a call is being dropped.
    pub(crate) fn run_now(&self, run: RunRecord) {
        self.add(1, |batch| batch.runs.push(run));
    }

    /// Adds a log line without waiting. Where there is no room, the line goes to the process's own log only.
    pub(crate) fn log(&self, line: LogRecord) {
        match self.is_full() {
            true => tracing::warn!("a plugin's log line was not kept: the store cannot keep up"),
            false => self.add(1, |batch| batch.logs.push(line)),
        }
    }

    /// Adds statistics.
    pub(crate) fn statistics(&self, rows: Vec<StatisticsRow>) {
        self.add(rows.len(), |batch| batch.statistics.extend(rows));
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

    fn add(&self, records: usize, push: impl FnOnce(&mut RecordBatch)) {
        let count = {
            let mut pending = self.shared.pending.lock();
            push(&mut pending.batch);
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

    async fn wait_for_room(&self) {
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
        let Pending { batch, records: _, flushes, closed } = {
            let mut pending = shared.pending.lock();
            let closed = pending.closed;
            Pending { closed, ..std::mem::take(&mut *pending) }
        };
        shared.room.notify_waiters();
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
