//! The pool, and moving async computations into and out of it.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

use super::store::STORE;

/// The lowest priority. A serving thread gets 68 times the processor time of a thread of the pool.
const NICENESS: i32 = 19;

/// Started at its first use, and never stopped.
static POOL: LazyLock<Option<Runtime>> = LazyLock::new(|| {
    // Started first, because it could not get a higher priority than the thread that starts it.
    LazyLock::force(&STORE);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Builder::new_multi_thread()
        .worker_threads(processors)
        .thread_name("outrigger-compute")
        .on_thread_start(enter)
        .enable_all()
        .build();
    started.inspect_err(|error| tracing::error!(%error, "failed to start the threads for long computations")).ok()
});

thread_local! {
    static IN_POOL: Cell<bool> = const { Cell::new(false) };
    /// Whether the computation on this thread has reached a tick.
    static TICKED: Cell<bool> = const { Cell::new(false) };
}

tokio::task_local! {
    /// The runtime that a computation came from.
    static SERVING: Handle;
}

/// Runs on each new thread of the pool.
fn enter() {
    IN_POOL.set(true);
    // On Linux, this concerns only the calling thread.
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "failed to lower the priority of long computations");
    }
}

/// The pool's runtime; the current one if the pool could not be started.
pub(crate) fn pool() -> Handle {
    POOL.as_ref().map_or_else(Handle::current, |pool| pool.handle().clone())
}

/// Whether the current thread is one of the pool.
#[must_use]
pub fn is_in_pool() -> bool {
    IN_POOL.get()
}

/// Called by a computation about every 2 ms. Lets other tasks run. At the first tick, [`run`] moves the computation to
/// the pool.
pub async fn tick() {
    TICKED.set(true);
    tokio::task::yield_now().await;
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a computation on the current thread and moves it to the pool at its first tick, or at once if it belongs there.
/// Dropping the future cancels the computation.
pub async fn run<T: Send + 'static>(in_pool: bool, mut work: Work<T>) -> T {
    if is_in_pool() {
        return work.await;
    }
    if !in_pool {
        let first = poll_fn(|cx| {
            // Another computation may wait for this one and poll it. That one has not reached the ticks of this one.
            let before = TICKED.replace(false);
            let polled = work.as_mut().poll(cx);
            match (polled, TICKED.replace(before)) {
                (Poll::Ready(done), _) => Poll::Ready(Some(done)),
                (Poll::Pending, true) => Poll::Ready(None),
                (Poll::Pending, false) => Poll::Pending,
            }
        });
        if let Some(done) = first.await {
            return done;
        }
    }
    move_to_pool(work).await
}

/// Boxed apart from [`run`]: it is large, and would make the future of every short computation as large.
#[cold]
fn move_to_pool<T: Send + 'static>(work: Work<T>) -> Work<T> {
    let moved = SERVING.scope(Handle::current(), work);
    Box::pin(async move { on(&pool(), moved).await })
}

/// Drops a value in the pool, later if the current task is not there: freeing many allocations takes milliseconds.
pub fn discard<T: Send + 'static>(value: T) {
    if !is_in_pool()
        && let Some(pool) = &*POOL
    {
        pool.spawn(async move { drop(value) });
    }
}

/// Runs work on the serving threads if the current task is in the pool, and in place otherwise. Tasks in the pool wait
/// for the processor, and must not hold meanwhile what others wait for: a permit, a connection, a transaction. Dropping
/// the future cancels the work.
pub async fn serve<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match SERVING.try_with(Handle::clone) {
        Ok(serving) => on(&serving, work).await,
        Err(_) => work.await,
    }
}

/// Runs a future on a task of this runtime. A panic goes on in the caller.
pub(crate) async fn on<T: Send + 'static>(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> T {
    match AbortOnDropHandle::new(runtime.spawn(work)).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // It is cancelled only when the runtime ends, and the caller with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether a computation that reaches these ticks ends in the pool.
    async fn ends_in_pool(is_long: bool, ticks: usize) -> bool {
        let work = async move {
            for _ in 0..ticks {
                tick().await;
            }
            is_in_pool()
        };
        run(is_long, Box::pin(work)).await
    }

    #[tokio::test]
    async fn only_long_computations_move() {
        assert!(!ends_in_pool(false, 0).await);
        assert!(ends_in_pool(false, 1).await);
        assert!(ends_in_pool(true, 0).await);
        // A tick outside of any computation concerns none.
        tick().await;
        let waits = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            is_in_pool()
        };
        assert!(!run(false, Box::pin(waits)).await, "waiting is not computing");
    }

    #[tokio::test]
    async fn a_computation_does_not_move_with_one_that_it_waits_for() {
        let work = async {
            let inner = ends_in_pool(false, 1).await;
            (inner, is_in_pool())
        };
        assert_eq!(run(false, Box::pin(work)).await, (true, false));
    }

    #[tokio::test]
    async fn a_computation_is_served_by_the_threads_that_it_came_from() {
        let thread = std::thread::current().id();
        let work = async move {
            tick().await;
            let (place, inner) = serve(async {
                // A computation within it moves by itself.
                let inner = run(false, Box::pin(async { is_in_pool() })).await;
                (std::thread::current().id(), inner || ends_in_pool(false, 1).await)
            })
            .await;
            (place, inner, is_in_pool())
        };
        assert_eq!(run(false, Box::pin(work)).await, (thread, true, true));
        let direct = serve(async { std::thread::current().id() }).await;
        assert_eq!(direct, thread);
    }

    #[test]
    fn values_are_discarded_in_the_pool() {
        struct Tells(std::sync::mpsc::Sender<bool>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(is_in_pool()).expect("the test waits");
            }
        }
        let (tells, told) = std::sync::mpsc::channel();
        discard(Tells(tells));
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[tokio::test]
    async fn threads_of_the_pool_have_a_lower_priority() {
        let nice = || rustix::process::getpriority_process(None).expect("it has one");
        let own = nice();
        assert_eq!(run(true, Box::pin(async move { nice() })).await, NICENESS);
        assert_eq!(nice(), own);
    }

    #[tokio::test]
    async fn dropping_cancels_and_a_panic_goes_on() {
        let (dropped, told) = tokio::sync::oneshot::channel::<()>();
        let endless = async move {
            let _held = dropped;
            loop {
                tick().await;
            }
        };
        let timed = tokio::time::timeout(Duration::from_millis(50), run::<()>(false, Box::pin(endless)));
        assert!(timed.await.is_err());
        assert!(told.await.is_err(), "what it held is gone");
        let panics = tokio::spawn(run::<()>(true, Box::pin(async { panic!("as it was told") })));
        assert!(panics.await.expect_err("it panicked").is_panic());
    }
}
