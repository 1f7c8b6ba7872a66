//! Turns: a call that computes for longer than a tick leaves the threads that serve connections, and takes turns with others of
//! its kind.
//!
//! The threads that run plugins also serve connections. A call that is soon done is run there: to hand it to another thread would
//! take longer than most calls do. One that is not would hold up what waits in the queue of its thread, and fifty of them would
//! hold it up fifty times. So from its second tick on a call is run in the place of its thread ([`in_place`]), whose queue goes to
//! another thread meanwhile; and at most as many calls as there are processors have a turn, the others wait here in the order
//! in which they came. A call has its turn only while it is polled: one that waits in a host call holds up nobody.

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

/// Whether a call computes for long, and its turn while it has one.
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

    /// Waits for a turn. The one before has ended by then: it ends when the call is no longer polled.
    pub(super) async fn wait(&self) {
        self.long.store(true, Ordering::Relaxed);
        // Timers and other tasks first.
        tokio::task::yield_now().await;
        let permit = TURNS.acquire().await.ok();
        *self.permit.lock() = permit;
    }

    /// Polls the call, in the way that is right for it, and ends its turn.
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> T) -> T {
        if !self.long.load(Ordering::Relaxed) {
            return poll();
        }
        let polled = in_place(poll);
        drop(self.permit.lock().take());
        polled
    }
}

/// Does something that takes long on this thread, while another one takes over what waits for it.
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
