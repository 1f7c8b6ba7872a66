//! Where work on what plugins and strangers bring is done: schemas, patterns, conditions, templates. None of it can be
//! interrupted, so its cost is bounded before it begins, and what is more than a moment is done here, beside the async workers,
//! a few at a time.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use outrigger_contract::Code;
use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::Failure;

/// How many such pieces of work are done at once.
const AT_ONCE: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);
/// The turn of each owner that has work now. One with much of it waits for itself, and not the others for it.
static TURNS: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// Does a piece of work beside the async workers, one at a time for each owner: a plugin, or a key. It waits for its turn; once
/// it has begun, it ends by itself.
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
    let turn = turn.acquire_owned().await;
    let permit = PERMITS.acquire().await;
    let done = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also where nobody waits for it any more.
        let _permits = (permit, turn);
        work()
    });
    done.await.map_err(|error| Failure::new(Code::Internal, format!("a background task failed: {error}")))
}

/// Does a short piece of work where the caller cannot wait: the other tasks of this worker move to another one first, where
/// there is one.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
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
