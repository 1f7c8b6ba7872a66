//! The thread that uses the store. A transaction consists of many short steps and holds up all other writers. On the
//! serving threads, each step would wait for the other tasks there; here, only for other short steps.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tokio::task::JoinHandle;

use super::pool::on;

/// Started at its first use, and never stopped: a transaction that outlives the serving threads ends in order.
pub(crate) static STORE: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    let started = Builder::new_multi_thread().worker_threads(1).thread_name("outrigger-store").enable_all().build();
    started.inspect_err(|error| tracing::error!(%error, "failed to start the thread that uses the store")).ok()
});

/// The thread's runtime. A runtime with only one thread has few other tasks, and its clock may be that of a test: there
/// it is the current runtime.
fn store() -> Handle {
    let current = Handle::current();
    match (current.runtime_flavor(), &*STORE) {
        (RuntimeFlavor::MultiThread, Some(store)) => store.handle().clone(),
        _ => current,
    }
}

/// Runs work on the thread that uses the store, and waits for it. Dropping the future cancels the work.
pub async fn with_store<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    on(&store(), work).await
}

/// Starts a task on the thread that uses the store.
pub fn spawn_with_store<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    store().spawn(task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{is_in_pool, run};

    fn thread() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_store_has_a_thread_of_its_own_with_the_usual_priority() {
        let nice = || rustix::process::getpriority_process(None).expect("it has one");
        let own = nice();
        let computation = async move { with_store(async move { (thread(), nice(), is_in_pool()) }).await };
        let expected = ("outrigger-store".to_owned(), own, false);
        assert_eq!(run(true, Box::pin(computation)).await, expected);
        assert_eq!(with_store(async move { (thread(), nice(), is_in_pool()) }).await, expected);
        assert_eq!(spawn_with_store(async { thread() }).await.expect("it does not panic"), expected.0);
    }

    #[tokio::test]
    async fn a_runtime_with_one_thread_uses_the_store_itself() {
        let own = std::thread::current().id();
        assert_eq!(with_store(async { std::thread::current().id() }).await, own);
    }
}
