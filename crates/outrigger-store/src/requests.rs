//! Requests that are done once.

use outrigger_engine::store::{Owner, RequestRecord, StoreError};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::database::{Database, failed};
use crate::entities::request::{ActiveModel, Column, Entity, size};
use crate::{columns, owners};

pub(crate) async fn begin(database: &Database, request: &RequestRecord) -> Result<Option<RequestRecord>, StoreError> {
    const ACTION: &str = "note a request";
    // Looked for under the lock: of several that begin the same, one does.
    let transaction = database.begin(ACTION).await?;
    let present = Entity::find_by_id(request.place.to_vec()).one(&transaction).await.map_err(failed(ACTION))?;
    if let Some(present) = present {
        // The place is a hash that includes the sender, so only the sender can find it.
        return present.record(request.owner.clone()).map(Some);
    }
    let owner = Owner { account: request.owner.clone(), source: String::new() };
    let owner = owners::charge_one(&transaction, owners::REQUESTS, owner, 0).await.map_err(failed(ACTION))?;
    let row = ActiveModel::of(request, owner);
    Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(None)
}

pub(crate) async fn end(database: &Database, place: &[u8; 32], answer: Option<&[u8]>) -> Result<(), StoreError> {
    const ACTION: &str = "note the end of a request";
    let transaction = database.begin_essential(ACTION).await?;
    Entity::update_many()
        .col_expr(Column::Ended, Expr::val(1_i64))
        .col_expr(Column::Answer, Expr::val(answer.map(<[u8]>::to_vec)))
        .col_expr(Column::Size, Expr::val(columns::from_count(size(answer))))
        .filter(Column::Place.eq(place.to_vec()))
        .exec(&transaction)
        .await
        .map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))
}

pub(crate) async fn forget(database: &Database, place: &[u8; 32]) -> Result<(), StoreError> {
    const ACTION: &str = "forget a request";
    let transaction = database.begin_essential(ACTION).await?;
    Entity::delete_by_id(place.to_vec()).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))
}
