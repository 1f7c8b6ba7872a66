//! Runs expensive work on untrusted input: schemas, patterns, conditions, templates. It cannot be interrupted, so its
//! cost is bounded before it starts, and longer work runs here, outside the async workers, a few tasks at a time.

use outrigger_contract::Code;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::Failure;

/// The maximum number of concurrent tasks.
const AT_ONCE: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Runs work outside the async workers. It waits for a permit; once it has started, it runs to its end.
///
/// # Errors
/// It panicked.
pub async fn off_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let permit = PERMITS.acquire().await;
    let done = tokio::task::spawn_blocking(move || {
        // Held until the work is done, even if the caller is gone.
        let _permit = permit;
        work()
    });
    done.await.map_err(|error| Failure::new(Code::Internal, format!("a background task failed: {error}")))
}

/// Runs short work in place, for callers that cannot wait. The other tasks of this worker move to another worker first,
/// if there is one.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
