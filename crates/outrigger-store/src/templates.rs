//! Templates for plugins.

use outrigger_contract::TemplateName;
use outrigger_engine::store::{StoreError, TemplateRecord, TemplateSummary};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr};

use crate::columns;
use crate::database::{Database, failed};
use crate::entities::template;

pub(crate) async fn list(database: &Database) -> Result<Vec<TemplateSummary>, StoreError> {
    use template::Column;
    let query = template::Entity::find().select_only().columns([Column::Name, Column::Summary]);
    let query = query.order_by_asc(Column::Name).into_tuple::<(String, String)>();
    let rows = query.all(&database.read).await.map_err(failed("list the templates"))?;
    rows.into_iter().map(template::summary).collect()
}

pub(crate) async fn fetch(database: &Database, name: &TemplateName) -> Result<Option<TemplateRecord>, StoreError> {
    let row = template::Entity::find_by_id(name.as_str()).one(&database.read).await;
    row.map_err(failed("read a template"))?.map(TryInto::try_into).transpose()
}

pub(crate) async fn put(database: &Database, record: &TemplateRecord) -> Result<u64, StoreError> {
    const ACTION: &str = "write a template";
    let (name, expected) = (&record.template.name, record.made.revision);
    let revision = expected + 1;
    let row = template::ActiveModel::of(record, revision)?;
    let transaction = database.begin(ACTION).await?;
    if expected == 0 {
        let outcome = template::Entity::insert(row).exec_without_returning(&transaction).await;
        outcome.map_err(|error| match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => conflict(name),
            _ => failed(ACTION)(error),
        })?;
    } else {
        let outcome = template::Entity::update_many()
            .set(row)
            .filter(template::Column::Name.eq(name.as_str()))
            .filter(template::Column::Revision.eq(columns::from_count(expected)))
            .exec(&transaction)
            .await
            .map_err(failed(ACTION))?;
        if outcome.rows_affected == 0 {
            return Err(conflict(name));
        }
    }
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(revision)
}

/// The error for a template that already exists, or was changed in the meantime.
pub(crate) fn conflict(name: &TemplateName) -> StoreError {
    StoreError::Conflict { what: format!("the template {name}") }
}

pub(crate) async fn delete(database: &Database, name: &TemplateName) -> Result<bool, StoreError> {
    const ACTION: &str = "remove a template";
    let transaction = database.begin_essential(ACTION).await?;
    let outcome = template::Entity::delete_by_id(name.as_str()).exec(&transaction).await.map_err(failed(ACTION))?;
    transaction.commit().await.map_err(failed(ACTION))?;
    Ok(outcome.rows_affected > 0)
}
