//! What is too old, or too much, is dropped: the oldest first, some at a time.

use outrigger_engine::store::{Bound, Keep, StoreError};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::columns;
use crate::database::{Database, failed};
use crate::entities::{job, log, request, run};

/// Rows that go in one transaction. Others who write wait no longer than that takes.
const AT_ONCE: u64 = 500;
const ACTION: &str = "drop what is too old";

pub(crate) async fn prune(database: &Database, keep: &Keep) -> Result<u64, StoreError> {
    let Keep { runs, logs, jobs, requests } = keep;
    let mut dropped = of::<run::Entity>(database, run::Column::Id, run::Column::StartedAt, runs).await?;
    dropped += of::<log::Entity>(database, log::Column::Sequence, log::Column::At, logs).await?;
    dropped += of::<job::Entity>(database, job::Column::Id, job::Column::EndedAt, jobs).await?;
    dropped += of::<request::Entity>(database, request::Column::Place, request::Column::At, requests).await?;
    Ok(dropped)
}

/// Drops rows of one table whose moment lies beyond the bound. Rows without one stay. There is an index on the moment.
pub(crate) async fn of<E: EntityTrait>(
    database: &Database,
    key: E::Column,
    at: E::Column,
    bound: &Bound,
) -> Result<u64, StoreError> {
    // The first moment that stays.
    let mut first = columns::from_time(bound.since);
    if let Ok(most) = i64::try_from(bound.most) {
        let newest = E::find().select_only().column(at).filter(at.is_not_null()).order_by_desc(at);
        let beyond: Option<i64> = newest
            .offset(most.unsigned_abs())
            .limit(1)
            .into_tuple()
            .one(&database.read)
            .await
            .map_err(failed(ACTION))?;
        first = first.max(beyond.map_or(i64::MIN, |beyond| beyond.saturating_add(1)));
    }
    let mut dropped = 0;
    loop {
        let oldest = E::find().select_only().column(key).filter(at.lt(first)).order_by_asc(at).limit(AT_ONCE);
        let transaction = database.begin_essential(ACTION).await?;
        let gone = E::delete_many().filter(key.in_subquery(oldest.into_query())).exec(&transaction);
        let gone = gone.await.map_err(failed(ACTION))?.rows_affected;
        transaction.commit().await.map_err(failed(ACTION))?;
        dropped += gone;
        if gone < AT_ONCE {
            return Ok(dropped);
        }
    }
}
