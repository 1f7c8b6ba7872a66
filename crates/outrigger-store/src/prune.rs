//! Prunes records above the retention limits, some at a time: the largest owners first, oldest records first.

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
