//! Threads for file operations. A call ends at its deadline, but its system call can hang as long as the disk or
//! network does, and occupies its thread. So their number is limited for each plugin and in total, and other work of
//! the host never waits for one.

use std::fs::File;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The maximum number of concurrent operations of one loaded revision.
const OPERATIONS_OF_ONE: usize = 8;
/// The maximum number of concurrent operations in total. The runtime has 512 threads for blocking work.
const OPERATIONS_OF_ALL: usize = 128;

static OPERATIONS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(OPERATIONS_OF_ALL)));
/// The maximum number of open files of all plugins: half of the process limit.
static OPEN: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(process_limit() / 2)));

fn process_limit() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(1 << 16, |limit| usize::try_from(limit).unwrap_or(usize::MAX)).clamp(64, 1 << 20)
}

/// The permits for file operations and open files of one loaded revision.
#[derive(Debug)]
pub(super) struct Work {
    operations: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

/// Counts one open file while it exists.
#[derive(Debug)]
pub(in super::super) struct OpenFile {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Work {
    pub(super) fn new() -> Self {
        Self {
            operations: Arc::new(Semaphore::new(OPERATIONS_OF_ONE)),
            // A quarter of the process limit, so that one plugin cannot use all of it.
            open: Arc::new(Semaphore::new(process_limit() / 4)),
        }
    }

    /// Runs blocking work. If the future is dropped, its permit is held until the work has really ended.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> wasmtime::Result<T> {
        let own = Arc::clone(&self.operations).acquire_owned().await?;
        let all = Arc::clone(&OPERATIONS).acquire_owned().await?;
        let running = tokio::task::spawn_blocking(move || {
            let outcome = operation();
            drop((own, all));
            outcome
        });
        Ok(running.await?)
    }

    /// A permit for one more open file; none at the limit.
    pub(super) fn open_file(&self) -> Option<OpenFile> {
        let own = Arc::clone(&self.open).try_acquire_owned().ok()?;
        let all = Arc::clone(&OPEN).try_acquire_owned().ok()?;
        Some(OpenFile { _permits: [own, all] })
    }
}

/// An open file of a plugin.
#[derive(Debug)]
pub(super) struct Handle {
    /// None only while it is dropped.
    file: Option<File>,
    work: Arc<Work>,
    _open: OpenFile,
}

impl Handle {
    pub(super) fn new(file: File, work: &Arc<Work>, open: OpenFile) -> Arc<Self> {
        Arc::new(Self { file: Some(file), work: Arc::clone(work), _open: open })
    }
}

impl Deref for Handle {
    type Target = File;

    fn deref(&self) -> &File {
        self.file.as_ref().expect("it is there until it is dropped")
    }
}

/// Closing a file can block too, for example if it was deleted or is on a network file system.
impl Drop for Handle {
    fn drop(&mut self) {
        let (file, work) = (self.file.take(), Arc::clone(&self.work));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { work.run(move || drop(file)).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn s22_operations_that_hang_hold_no_more_than_their_share_of_threads() {
        let (work, other) = (Arc::new(Work::new()), Work::new());
        let (release, hold) = mpsc::channel::<()>();
        let hold = Arc::new(parking_lot::Mutex::new(hold));
        let mut calls = Vec::new();
        for _ in 0..600 {
            let (work, hold) = (Arc::clone(&work), Arc::clone(&hold));
            let hang = async move {
                let hang = work.run(move || _ = hold.lock().recv());
                tokio::time::timeout(Duration::from_millis(200), hang).await
            };
            calls.push(tokio::spawn(hang));
        }
        for call in calls {
            call.await.expect("it does not panic").expect_err("it hangs past its deadline");
        }
        assert_eq!(work.operations.available_permits(), 0, "threads that hang are still counted");
        let others = tokio::time::timeout(Duration::from_secs(10), other.run(|| 7)).await;
        assert_eq!(others.expect("another plugin's operation runs").expect("it ends"), 7);
        let host = tokio::time::timeout(Duration::from_secs(10), tokio::task::spawn_blocking(|| 7)).await;
        assert_eq!(host.expect("other work runs").expect("it ends"), 7);
        drop(release);
    }
}
