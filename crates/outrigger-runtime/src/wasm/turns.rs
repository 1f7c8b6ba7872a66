//! Turns: calls that compute for longer than a tick leave the threads that serve connections, and take turns.
//!
//! The threads that run plugins also serve connections. Short calls run there, because handing a call to another thread
//! takes longer than most calls do. A long call would delay the queue of its thread, and fifty long calls would delay
//! it fifty times. So from its second tick on, a call runs in place ([`in_place`]) while the queue of its thread moves
//! to another thread. At most as many calls as there are processors have a turn; the others wait in order of arrival. A
//! call has its turn only while it is polled: a call that waits in a host call delays nobody.
//!
//! Calls of a revision whose calls have been long so far take turns from their beginning to their end ([`queued`]):
//! making and removing their instances is work, too, and fifty first ticks are a tenth of a second.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use outrigger_engine::heavy::in_place;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One turn for each processor.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(processors()));

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether a call is long-running, and its turn while it has one.
#[derive(Debug, Default)]
pub(super) struct Turn {
    long: AtomicBool,
    permit: Mutex<Option<SemaphorePermit<'static>>>,
}

impl Turn {
    /// Begins a call.
    pub(super) fn begin(&self) {
        self.long.store(false, Ordering::Relaxed);
    }

    /// Waits for a turn. The previous turn has already ended, because a turn ends when the call is no longer polled.
    pub(super) async fn wait(&self) {
        let has_turn = HAS_TURN.get();
        // Before it yields: the poll that takes the permit must know that it has one to give back.
        self.long.store(!has_turn, Ordering::Relaxed);
        // Let timers and other tasks run first.
        tokio::task::yield_now().await;
        if has_turn {
            return;
        }
        let permit = TURNS.acquire().await.ok();
        *self.permit.lock() = permit;
    }

    /// Polls the call, in place if it is long-running, and ends its turn.
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        if !self.long.load(Ordering::Relaxed) {
            return poll();
        }
        let polled = in_place(poll);
        drop(self.permit.lock().take());
        polled
    }
}

/// How long the calls of one revision compute, on average.
#[derive(Debug, Default)]
pub(super) struct Pace {
    nanoseconds: AtomicU64,
}

impl Pace {
    /// Calls that compute longer than this, in nanoseconds, are long.
    const LONG: u64 = 1_000_000;
    /// The most that one call counts, so that a revision is soon quick again.
    const MOST: u64 = 16 * Self::LONG;

    pub(super) fn is_long(&self) -> bool {
        self.nanoseconds.load(Ordering::Relaxed) > Self::LONG
    }

    /// Counts a call. Of two at the same moment, one may be missed.
    pub(super) fn note(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).min(Self::MOST);
        let before = self.nanoseconds.load(Ordering::Relaxed);
        self.nanoseconds.store(before - before / 8 + spent / 8, Ordering::Relaxed);
    }
}

thread_local! {
    /// What this thread polls has a turn. Calls within it need no other, and would wait for each other if they did.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// Ends a turn on this thread, also when the call panics.
struct InTurn;

impl Drop for InTurn {
    fn drop(&mut self) {
        HAS_TURN.set(false);
    }
}

/// Runs a call that has a turn whenever it is polled.
pub(super) async fn queued<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    loop {
        let polled = if HAS_TURN.get() {
            poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await
        } else {
            let _permit = TURNS.acquire().await.ok();
            poll_fn(|cx| {
                HAS_TURN.set(true);
                let _turn = InTurn;
                Poll::Ready(in_place(|| call.as_mut().poll(cx)))
            })
            .await
        };
        let Poll::Ready(outcome) = polled else {
            until_woken().await;
            continue;
        };
        return outcome;
    }
}

/// Waits for the waker that another future has taken.
async fn until_woken() {
    let mut is_first = true;
    poll_fn(|_| if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn queued_calls_take_turns_and_so_do_calls_within_them() {
        let calls: Vec<_> = (0..10 * processors())
            .map(|number| {
                tokio::spawn(queued(async move {
                    let turn = Turn::default();
                    for _ in 0..10 {
                        turn.poll(|| ());
                        turn.wait().await;
                    }
                    queued(async {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        number
                    })
                    .await
                }))
            })
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.expect("it does not panic"), number);
        }
        assert!(!HAS_TURN.get());
    }

    #[test]
    fn a_revision_is_long_as_long_as_its_calls_are() {
        let pace = Pace::default();
        let (short, long) = (Duration::from_micros(100), Duration::from_millis(10));
        (0..100).for_each(|_| pace.note(short));
        assert!(!pace.is_long());
        pace.note(long);
        assert!(pace.is_long());
        // One that is long now and then is.
        for _ in 0..10 {
            (0..3).for_each(|_| pace.note(short));
            pace.note(long);
            assert!(pace.is_long());
        }
        pace.note(Duration::from_secs(60));
        (0..30).for_each(|_| pace.note(short));
        assert!(!pace.is_long());
    }

    #[tokio::test]
    async fn as_many_as_there_are_processors_have_a_turn() {
        let turns: Vec<Turn> = (0..=processors()).map(|_| Turn::default()).collect();
        let Some((last, others)) = turns.split_last() else { panic!("there is one") };
        for turn in others {
            turn.wait().await;
        }
        let mut waiting = pin!(last.wait());
        let mut polls = 0;
        poll_fn(|cx| {
            assert!(waiting.as_mut().poll(cx).is_pending(), "there is one too many");
            polls += 1;
            if polls < 10 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
        // One that is polled no longer makes room, and makes it once.
        others[0].poll(|| ());
        others[0].poll(|| ());
        waiting.await;
        let more = Turn::default();
        let mut waiting = pin!(more.wait());
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
        assert!(poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await);
    }
}
