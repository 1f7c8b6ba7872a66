//! Where work on what plugins and strangers bring is done: schemas, patterns, conditions, templates. None of it can be
//! interrupted, so its cost is bounded before it begins, and what is more than a moment is done here, beside the async workers,
//! a few at a time.

use outrigger_contract::Code;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::error::Failure;

/// How many such pieces of work are done at once.
const AT_ONCE: usize = 2;
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Does a piece of work beside the async workers. It waits for its turn; once it has begun, it ends by itself.
///
/// # Errors
/// It panicked.
pub async fn off_workers<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let permit = PERMITS.acquire().await;
    let done = tokio::task::spawn_blocking(move || {
        // Held until the work is done, also where nobody waits for it any more.
        let _permit = permit;
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
