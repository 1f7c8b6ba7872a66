//! Runs expensive work on untrusted input: schemas, patterns, conditions, templates. It cannot be interrupted, so its
//! cost is bounded before it starts, and longer work runs here, outside the async workers, a few tasks at a time.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use outrigger_contract::Code;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::Failure;

/// The maximum number of concurrent tasks.
const AT_ONCE: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);
/// One permit for each owner that has work now, so that an owner with much work delays only itself.
static TURNS: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Runs a task outside the async workers, one at a time for each owner: a plugin or a key. It waits for its turn. A
/// task that has started always runs to its end.
///
/// # Errors
/// It panicked.
pub async fn off_workers<T: Send + 'static>(
    owner: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let turn = {
        let mut turns = TURNS.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(owner.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    };
    let done = on_own_task(async move {
        let turn = turn.acquire_owned().await;
        let permit = PERMITS.acquire().await;
        let done = tokio::task::spawn_blocking(move || {
            // Held until the task ends, even if its future is dropped.
            let _permits = (permit, turn);
            work()
        });
        done.await
    });
    done.await.map_err(|error| Failure::new(Code::Internal, format!("a background task failed: {error}")))
}

/// Runs a future on a task of its own. A call may wait for its turn to compute, and must not hold meanwhile what others wait
/// for: a permit, a connection, a transaction.
pub(crate) async fn on_own_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // It is cancelled only when the runtime ends, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Texts up to this size, in bytes, are read at once.
const SMALL_TEXT: usize = 64 << 10;
static TEXTS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Reads a text of this size, in bytes. Long texts are read in place, a few at a time.
pub(crate) async fn read_text<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    if bytes <= SMALL_TEXT {
        return read();
    }
    let _permit = TEXTS.acquire().await;
    in_place(read)
}

/// Runs short work in place, for callers that cannot wait. The other tasks of this worker move to another worker first,
/// if there is one.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s03_who_has_much_work_holds_up_nobody_else() {
        let (release, waits) = mpsc::channel::<()>();
        let waits = Arc::new(Mutex::new(waits));
        let greedy: Vec<_> = (0..10)
            .map(|_| {
                let waits = Arc::clone(&waits);
                tokio::spawn(async move { off_workers("greedy", move || waits.lock().recv().is_ok()).await })
            })
            .collect();
        while !TURNS.lock().contains_key("greedy") {
            tokio::task::yield_now().await;
        }
        let other = tokio::time::timeout(Duration::from_secs(10), off_workers("other", || 7)).await;
        assert_eq!(other.expect("it has its turn").expect("it does not panic"), 7);
        for _ in &greedy {
            release.send(()).expect("they wait");
        }
        for task in greedy {
            assert!(task.await.expect("it does not panic").expect("nor does its work"));
        }
    }
}
