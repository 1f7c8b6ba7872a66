//! The owner of a job, resolved when the job runs, with the rights that its key has then.

use std::sync::Weak;

use async_trait::async_trait;
use outrigger_api::Code;
use outrigger_engine::jobs::{Callers, Owner};
use outrigger_engine::{Caller, Failure};
use time::OffsetDateTime;

use crate::host::Inner;

/// The keys of a host, which may be gone before its jobs are.
#[derive(Debug)]
pub(crate) struct Owners(pub(crate) Weak<Inner>);

#[async_trait]
impl Callers for Owners {
    async fn caller(&self, owner: &Owner) -> Result<Caller, Failure> {
        let Some(id) = &owner.key else { return Ok(Caller::Local) };
        let host = self.0.upgrade().ok_or_else(|| Failure::new(Code::ShuttingDown, "the server is stopping"))?;
        let gone = |why: &str| {
            Failure::new(Code::Forbidden, format!("the {} that started this job {why}", owner.name))
                .with_hint("start the job again with a valid key")
        };
        let principal = host.keys.by_id(id).ok_or_else(|| gone("was revoked"))?;
        match principal.has_expired(OffsetDateTime::now_utc()) {
            false => Ok(Caller::Key(principal)),
            true => Err(gone("has expired")),
        }
    }
}
