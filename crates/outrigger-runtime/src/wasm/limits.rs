//! Limits that hold while a plugin runs: memory, and time spent on computing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outrigger_engine::{Account, Charge, Exceeded};
use rustix::time::{ClockId, Timespec, clock_gettime};
use wasmtime::ResourceLimiter;

use super::engine::{TABLE_ELEMENTS, TICK};

/// Why a call was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("the deadline has passed")]
    Deadline,
    #[error("the call was cancelled")]
    Cancelled,
    #[error("the call exceeded its CPU time limit")]
    Cpu,
    #[error("the call reached its server memory limit")]
    Memory,
}

/// The size of a table element.
pub(super) const TABLE_ELEMENT: usize = size_of::<usize>();
/// Maximum number of core instances, tables and memories of one instance of a component. A component from a language's
/// tool chain has up to two dozen, most of which share one table and one memory. Memories are slots of the pool that
/// all plugins share.
pub(super) const INSTANCES_AT_MOST: usize = 100;
pub(super) const TABLES_AT_MOST: usize = 32;
pub(super) const MEMORIES_AT_MOST: usize = 8;
/// The fixed memory of an instance: its store, and the touched part of a stack.
const STORE: usize = 64 << 10;

/// Maximum memory of the handles of an idle instance.
const HANDLES_KEPT_AT_MOST: usize = 2 << 20;

/// The reason why a plugin did not get memory or an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortage {
    /// Its own limit.
    Limit,
    /// The limit of its plugin, or of all plugins.
    Account(Exceeded),
    /// The slots of the plugin, or of the pool.
    Slots,
}

impl Shortage {
    /// Whether a later request may succeed, after others have released memory.
    pub(super) const fn may_pass(self) -> bool {
        match self {
            Self::Limit => false,
            Self::Slots => true,
            Self::Account(Exceeded { limit, wanted, .. }) => wanted <= limit / 2,
        }
    }
}

/// Limits the memories, tables and core instances of a component together, charges them to the plugin, and remembers
/// refused requests: if the plugin then fails in another way, lack of memory is reported as the cause.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    /// The last granted growth, released if the allocation fails.
    latest: usize,
    shortage: Option<Shortage>,
    charge: Charge,
    /// The host's memory for its handles. It does not count against the limit.
    handles: Charge,
    /// Whether the handles exceeded the memory limit, which ends the call.
    overdrawn: bool,
}

impl Memory {
    /// For an instance whose core instances have this size.
    pub(super) fn new(limit: usize, instances: usize, account: &Account) -> Result<Self, Exceeded> {
        let charge = account.charge(STORE + instances)?;
        let handles = account.nothing();
        Ok(Self { limit, used: instances, latest: 0, shortage: None, charge, handles, overdrawn: false })
    }

    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.shortage = None;
    }

    /// Bytes that the instance has. It never gives any back.
    pub(super) fn used(&self) -> u64 {
        self.used as u64
    }

    /// Why a memory request of this call was refused.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }

    /// Records the memory of its handles. Returns whether it is within the limits.
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        let held = self.held();
        if held > bytes {
            self.handles.shrink(held - bytes);
        } else if let Err(exceeded) = self.handles.grow(bytes - held) {
            self.shortage = Some(Shortage::Account(exceeded));
            self.overdrawn = true;
        }
        !self.overdrawn
    }

    /// The last recorded memory of its handles.
    fn held(&self) -> usize {
        usize::try_from(self.handles.bytes()).unwrap_or(usize::MAX)
    }

    /// Whether the instance can be kept for the next call. Most plugins keep their folders and standard streams open;
    /// an instance with far more open handles is discarded.
    pub(super) fn may_keep(&self) -> bool {
        !self.overdrawn && self.held() <= HANDLES_KEPT_AT_MOST
    }

    /// Why the call must end.
    pub(super) fn overdrawn(&self) -> Option<Shortage> {
        self.shortage.filter(|_| self.overdrawn)
    }

    fn grow(&mut self, bytes: usize) -> bool {
        self.latest = 0;
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            self.shortage = Some(Shortage::Limit);
            return false;
        }
        if let Err(exceeded) = self.charge.grow(bytes) {
            self.shortage = Some(Shortage::Account(exceeded));
            return false;
        }
        (self.used, self.latest) = (used, bytes);
        true
    }

    fn give_back(&mut self) {
        let latest = std::mem::take(&mut self.latest);
        self.used -= latest;
        self.charge.shrink(latest);
    }
}

/// Whether the growth exceeds the type's maximum, so that it will not be allocated.
fn is_beyond(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(!is_beyond(desired, maximum) && self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS {
            self.shortage = Some(Shortage::Limit);
            return Ok(false);
        }
        Ok(!is_beyond(desired, maximum) && self.grow(desired.saturating_sub(current) * TABLE_ELEMENT))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.give_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES_AT_MOST
    }

    fn tables(&self) -> usize {
        TABLES_AT_MOST
    }

    fn memories(&self) -> usize {
        MEMORIES_AT_MOST
    }
}

/// The clock of a [`Stopwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Also counts the time in which the thread waits for a processor.
    Wall,
    /// The processor time of the thread. Reading it takes a system call, which is expensive for a call of a few
    /// microseconds.
    Processor,
}

/// Measures the time during which a call really runs; while it waits in a host call, the watch stands still.
/// Read from inside the call, at each tick. In the pool for long computations it measures processor time, because the
/// threads of the pool often wait for a processor.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// Nanoseconds of the turns that are over.
    spent: AtomicU64,
    /// When the present turn began, in nanoseconds.
    since: AtomicU64,
    /// The thread's processor time when the present turn was first found to be long, in nanoseconds; 0 before.
    suspected: AtomicU64,
    /// Whether the present call is measured in processor time outside the pool, too.
    is_exact: AtomicBool,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        let [spent, since, suspected] = [0; 3].map(AtomicU64::new);
        Self { spent, since, suspected, is_exact: AtomicBool::new(false) }
    }

    /// Begins a call.
    pub(super) fn begin(&self, clock: Clock) {
        self.spent.store(0, Ordering::Relaxed);
        self.is_exact.store(clock == Clock::Processor, Ordering::Relaxed);
    }

    /// The clock of the present turn.
    pub(super) fn clock(&self) -> Clock {
        match self.is_exact.load(Ordering::Relaxed) || outrigger_compute::is_in_pool() {
            true => Clock::Processor,
            false => Clock::Wall,
        }
    }

    /// Time spent so far, the present turn included. To be read from within it.
    pub(super) fn spent(&self) -> Duration {
        let turn = self.now().saturating_sub(self.since.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent.load(Ordering::Relaxed).saturating_add(turn))
    }

    /// Time spent in a call that has ended.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Whether a call that has spent a tick has computed, and not waited for a processor. If that is not known yet, it
    /// is known at the next tick.
    pub(super) fn is_computing(&self) -> bool {
        if self.clock() == Clock::Processor {
            return true;
        }
        let now = nanoseconds(Clock::Processor);
        match self.suspected.load(Ordering::Relaxed) {
            0 => {
                self.suspected.store(now, Ordering::Relaxed);
                false
            }
            before => Duration::from_nanos(now.saturating_sub(before)) > TICK / 2,
        }
    }

    /// Runs a future under the watch.
    pub(super) async fn measure<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let since = self.now();
            self.since.store(since, Ordering::Relaxed);
            self.suspected.store(0, Ordering::Relaxed);
            let polled = future.as_mut().poll(cx);
            self.spent.fetch_add(self.now().saturating_sub(since), Ordering::Relaxed);
            polled
        })
        .await
    }

    /// Nanoseconds on the clock of the present turn, which begins and ends on the same thread.
    fn now(&self) -> u64 {
        nanoseconds(self.clock())
    }
}

/// Nanoseconds on this clock, from some moment on.
fn nanoseconds(clock: Clock) -> u64 {
    let id = match clock {
        Clock::Wall => ClockId::Monotonic,
        Clock::Processor => ClockId::ThreadCPUTime,
    };
    let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
    (tv_sec * 1_000_000_000 + tv_nsec).cast_unsigned()
}
