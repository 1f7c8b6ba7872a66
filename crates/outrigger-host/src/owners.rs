//! Who asked for a job, found again when it runs: with the rights that its key has by then.

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
        let host = self.0.upgrade().ok_or_else(|| Failure::new(Code::ShuttingDown, "the server is ending"))?;
        let gone = |why: &str| {
            Failure::new(Code::Forbidden, format!("the {} that asked for this job {why}", owner.name))
                .with_hint("start the job anew with a key that works")
        };
        let (record, principal) = host.keys.find(id).map_err(|_| gone("was revoked"))?;
        if record.id != *id || record.expires_at.is_some_and(|expires| expires <= OffsetDateTime::now_utc()) {
            return Err(gone("has expired"));
        }
        Ok(Caller::Key(principal))
    }
}
