//! Functions that cannot be interrupted. Their cost is bounded before they start.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use super::pool::{pool, serve};

/// The maximum number of functions that run at the same time.
const AT_ONCE: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);
/// One permit for each owner that has work now, so that an owner with much work delays only itself.
static TURNS: LazyLock<Mutex<HashMap<String, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// The function panicked.
#[derive(Debug, thiserror::Error)]
#[error("a computation panicked")]
pub struct Panicked;

/// Runs a function in the pool, one at a time for each owner, such as `plugin NAME` or `key NAME`. Waits for its turn.
/// A function that has started always runs to its end.
///
/// # Errors
/// It panicked.
pub async fn blocking<T: Send + 'static>(
    owner: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let turn = {
        let mut turns = TURNS.lock();
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(owner.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))))
    };
    let done = serve(async move {
        let turn = turn.acquire_owned().await;
        let permit = PERMITS.acquire().await;
        let done = pool().spawn_blocking(move || {
            // Held until the function ends, even if its future is dropped.
            let _permits = (permit, turn);
            work()
        });
        done.await
    });
    done.await.map_err(|_| Panicked)
}

/// Runs a short function in place, for callers that cannot wait. The other tasks of this worker move to another worker
/// first, if there is one.
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
    use crate::is_in_pool;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn s03_who_has_much_work_holds_up_nobody_else() {
        let (release, waits) = mpsc::channel::<()>();
        let waits = Arc::new(Mutex::new(waits));
        let greedy: Vec<_> = (0..10)
            .map(|_| {
                let waits = Arc::clone(&waits);
                tokio::spawn(async move { blocking("greedy", move || waits.lock().recv().is_ok()).await })
            })
            .collect();
        while !TURNS.lock().contains_key("greedy") {
            tokio::task::yield_now().await;
        }
        let other = tokio::time::timeout(Duration::from_secs(10), blocking("other", is_in_pool)).await;
        assert!(other.expect("it has its turn").expect("it does not panic"), "it runs in the pool");
        for _ in &greedy {
            release.send(()).expect("they wait");
        }
        for task in greedy {
            assert!(task.await.expect("it does not panic").expect("nor does its work"));
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        blocking("one", || panic!("as it was told")).await.expect_err("it panicked");
    }
}
