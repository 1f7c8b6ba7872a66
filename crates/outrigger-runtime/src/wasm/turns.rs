//! Turns: calls that compute for longer than a tick leave the threads that serve connections, and take turns.
//!
//! The threads that run plugins also serve connections. Short calls run there, because handing a call to another thread
//! takes longer than most calls do. A long call would delay the queue of its thread, and fifty long calls would delay
//! it fifty times. So from its second tick on, a call runs in place ([`in_place`]) while the queue of its thread moves
//! to another thread. At most as many calls as there are processors have a turn; the others wait in order of arrival. A
//! call has its turn only while it is polled: a call that waits in a host call delays nobody.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
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
        self.long.store(true, Ordering::Relaxed);
        // Let timers and other tasks run first.
        tokio::task::yield_now().await;
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

/// Runs long work on this thread, while another thread takes over its queue.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

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
