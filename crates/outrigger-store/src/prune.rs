//! What is too old, or too much, is dropped: of those with the most, the oldest first, some at a time.

use outrigger_engine::store::{Keep, StoreError};

use crate::database::Database;
use crate::owners::{self, JOBS, LOGS, REFUSALS, REQUESTS, RUNS};

pub(crate) async fn prune(database: &Database, keep: &Keep) -> Result<u64, StoreError> {
    let Keep { runs, logs, jobs, requests, refusals } = keep;
    let mut dropped = 0;
    for (table, bound) in [(RUNS, runs), (LOGS, logs), (JOBS, jobs), (REQUESTS, requests), (REFUSALS, refusals)] {
        dropped += owners::prune(database, table, bound).await?;
    }
    Ok(dropped)
}
