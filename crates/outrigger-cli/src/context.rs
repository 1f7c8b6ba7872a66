//! What a command works with: where results go, and the platform, which is opened only when it is asked for, because
//! much of the command line works without one.

use std::path::PathBuf;
use std::sync::Arc;

use outrigger_api::{ApiResult, Platform};
use outrigger_host::{Host, HostOptions};
use tokio::sync::OnceCell;

use crate::output::Output;

/// What a command works with.
#[derive(Debug)]
pub struct Context {
    /// Where results and remarks go.
    pub output: Output,
    data: Option<PathBuf>,
    platform: OnceCell<Arc<dyn Platform>>,
}

impl Context {
    /// A context over a data directory, or over the default one.
    #[must_use]
    pub fn new(output: Output, data: Option<PathBuf>) -> Self {
        Self { output, data, platform: OnceCell::new() }
    }

    /// The platform, opened when it is first asked for.
    ///
    /// # Errors
    /// The data directory cannot be used.
    pub async fn platform(&self) -> ApiResult<&Arc<dyn Platform>> {
        let open = || async {
            let options = HostOptions::resolve(self.data.clone())?;
            let platform: Arc<dyn Platform> = Arc::new(Host::open(options).await?.session());
            Ok(platform)
        };
        self.platform.get_or_try_init(open).await
    }

    /// Has the platform write what is still to be written, if it was ever opened.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn close(&self) -> ApiResult<()> {
        match self.platform.get() {
            Some(platform) => platform.close().await,
            None => Ok(()),
        }
    }
}
