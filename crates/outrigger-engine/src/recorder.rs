//! Writes runs, log lines and statistics to the store in the background, in batches. A call waits for the recorder only
//! when its queue is full: records are never dropped in silence.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::store::{LogRecord, RecordBatch, RunRecord, StatisticsRow, Store};

/// Records that may wait. Past it, whoever adds one waits too.
const QUEUE: usize = 16_384;
/// A batch is written when it has this many records, or is this old.
const BATCH: usize = 2_000;
const BATCH_AGE: Duration = Duration::from_millis(50);

enum Entry {
    Run(Box<RunRecord>),
    Log(Box<LogRecord>),
    Statistics(Vec<StatisticsRow>),
    Flush(oneshot::Sender<()>),
}

/// Handle to the recorder. Its task ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Entry>,
}

impl Recorder {
    /// Starts the task that writes.
    pub(crate) fn start(store: Arc<dyn Store>) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE);
        tokio::spawn(write(store, entries));
        Self { queue }
    }

    /// Adds a run.
    pub(crate) async fn run(&self, run: RunRecord) {
        self.add(Entry::Run(Box::new(run))).await;
    }

    /// Adds a run where nothing can be waited for: while a call is being dropped.
    pub(crate) fn run_now(&self, run: RunRecord) {
        if self.queue.try_send(Entry::Run(Box::new(run))).is_err() {
            tracing::error!("the record of a cancelled call was lost: the store cannot keep up");
        }
    }

    /// Adds a log line without waiting. When the queue is full the line goes to the process's own log only.
    pub(crate) fn log(&self, line: LogRecord) {
        if self.queue.try_send(Entry::Log(Box::new(line))).is_err() {
            tracing::warn!("a plugin's log line was not kept: the store cannot keep up");
        }
    }

    /// Adds statistics.
    pub(crate) async fn statistics(&self, rows: Vec<StatisticsRow>) {
        self.add(Entry::Statistics(rows)).await;
    }

    /// Waits until everything added so far is written.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.add(Entry::Flush(done)).await;
        // The task answers, or is gone with the runtime; either way there is nothing more to wait for.
        let _ = written.await;
    }

    async fn add(&self, entry: Entry) {
        if self.queue.send(entry).await.is_err() {
            tracing::error!("the recorder has stopped; a record was lost");
        }
    }
}

async fn write(store: Arc<dyn Store>, mut entries: mpsc::Receiver<Entry>) {
    let mut taken = Vec::with_capacity(BATCH);
    loop {
        if entries.recv_many(&mut taken, BATCH).await == 0 {
            return;
        }
        // Whoever waits for a flush is not kept waiting for the batch to fill.
        let urgent = |taken: &[Entry]| taken.iter().any(|entry| matches!(entry, Entry::Flush(_)));
        if taken.len() < BATCH && !urgent(&taken) {
            let room = BATCH - taken.len();
            let fill = async {
                while taken.len() < BATCH && !urgent(&taken) {
                    if entries.recv_many(&mut taken, room).await == 0 {
                        return;
                    }
                }
            };
            let _ = tokio::time::timeout(BATCH_AGE, fill).await;
        }
        append(&*store, &mut taken).await;
    }
}

async fn append(store: &dyn Store, taken: &mut Vec<Entry>) {
    let mut batch = RecordBatch::default();
    let mut waiting = Vec::new();
    for entry in taken.drain(..) {
        match entry {
            Entry::Run(run) => batch.runs.push(*run),
            Entry::Log(line) => batch.logs.push(*line),
            Entry::Statistics(rows) => batch.statistics.extend(rows),
            Entry::Flush(done) => waiting.push(done),
        }
    }
    if !batch.is_empty() {
        // A store that is briefly busy or full is tried again; the queue fills meanwhile and slows the callers down.
        for attempt in 1..=5_u32 {
            match store.record_append(&batch).await {
                Ok(()) => break,
                Err(error) if attempt == 5 => {
                    tracing::error!(%error, runs = batch.runs.len(), logs = batch.logs.len(), "records could not be written and are lost");
                }
                Err(error) => {
                    tracing::warn!(%error, attempt, "records could not be written; trying again");
                    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
                }
            }
        }
    }
    for done in waiting {
        let _ = done.send(());
    }
}
