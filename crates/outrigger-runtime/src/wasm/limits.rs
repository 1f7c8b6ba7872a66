//! Limits that hold while a plugin runs: memory, and time spent on computing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;

/// Why a call was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the deadline has passed")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the call computed for too long")]
    Cpu,
}

/// Tables are small beside memory; this only keeps a plugin from making one grow without end.
const TABLE_ELEMENTS: usize = 1 << 20;

/// Keeps linear memory within its limit, and remembers when it was hit: a plugin that then fails in its own way
/// has failed for want of memory.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    hit: bool,
}

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, hit: false }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.hit = false;
    }

    /// Bytes that the instance has. It never gives any back.
    pub(super) fn used(&self) -> u64 {
        self.used as u64
    }

    /// Whether the limit kept this call from getting memory that it asked for.
    pub(super) fn hit(&self) -> bool {
        self.hit
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.hit = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.hit |= desired > TABLE_ELEMENTS;
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        256
    }

    fn tables(&self) -> usize {
        256
    }

    fn memories(&self) -> usize {
        64
    }
}

/// Measures the time during which a call really runs; while it waits in a host call, the watch stands still.
/// Read from inside the call, at each tick.
#[derive(Debug)]
pub(super) struct Stopwatch {
    zero: Instant,
    /// Nanoseconds of the turns that are over.
    spent: AtomicU64,
    /// When the present turn began, in nanoseconds after `zero`.
    since: AtomicU64,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { zero: Instant::now(), spent: AtomicU64::new(0), since: AtomicU64::new(0) }
    }

    /// Begins a call.
    pub(super) fn begin(&self) {
        self.spent.store(0, Ordering::Relaxed);
    }

    /// Time spent so far, the present turn included. To be read from within it.
    pub(super) fn spent(&self) -> Duration {
        let turn = self.now().saturating_sub(self.since.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent.load(Ordering::Relaxed).saturating_add(turn))
    }

    /// Runs a future under the watch.
    pub(super) async fn measure<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let since = self.now();
            self.since.store(since, Ordering::Relaxed);
            let polled = future.as_mut().poll(cx);
            self.spent.fetch_add(self.now().saturating_sub(since), Ordering::Relaxed);
            polled
        })
        .await
    }

    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
