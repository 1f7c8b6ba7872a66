//! One version of a plugin in the place of another, with all that belongs to it, in one transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::store::{Keeps, Predecessor, StateStamp, StoreError, Switch, UpdateStore};
use sea_orm::sea_query::Query;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityName, EntityTrait, QueryFilter, QuerySelect, Set};

use crate::database::{Transaction, failed};
use crate::entities::{configuration, plugin, predecessor, predecessor_state, state};
use crate::{SqliteStore, columns, configuration as configurations, plugins, state as states};

const ACTION: &str = "switch a plugin to another revision";

#[async_trait]
impl UpdateStore for SqliteStore {
    async fn state_stamp(&self, name: &PluginName) -> Result<StateStamp, StoreError> {
        states::stamp(&self.database().read, name).await
    }

    async fn plugin_switch(&self, switch: &Switch) -> Result<u64, StoreError> {
        let Switch { plugin, expected, revision, grant, configuration, state, keeps } = switch;
        let name = &plugin.name;
        let transaction = self.database().begin(ACTION).await?;
        // The predecessor is read before it is overwritten.
        let kept = match keeps {
            Keeps::Predecessor => Some(remember(&transaction, name, WithState::Yes).await?),
            Keeps::PredecessorWithoutState => Some(remember(&transaction, name, WithState::No).await?),
            Keeps::Nothing => {
                forget(&transaction, name).await?;
                None
            }
        };
        plugins::write_plugin(&transaction, plugin, *expected).await?;
        plugins::write_revision(&transaction, revision).await?;
        plugins::require_revision(&transaction, name, &revision.digest).await?;
        plugins::require_revision(&transaction, name, &plugin.active).await?;
        if let Some(grant) = grant {
            plugins::require_revision(&transaction, name, &grant.digest).await?;
            plugins::write_grant(&transaction, grant).await?;
        }
        if let Some(configuration) = configuration {
            configurations::put(&transaction, name, configuration).await?;
        }
        let writes = match state {
            Some(change) => states::change(&transaction, name, change).await?,
            None => states::stamp(&transaction, name).await?.writes,
        };
        if let Some(row) = kept {
            let row = predecessor::ActiveModel { writes: Set(columns::from_count(writes)), ..row };
            predecessor::Entity::insert(row).exec_without_returning(&transaction).await.map_err(failed(ACTION))?;
        }
        transaction.commit().await.map_err(failed(ACTION))?;
        Ok(expected.saturating_add(1))
    }

    async fn predecessor_fetch(&self, name: &PluginName) -> Result<Option<Predecessor>, StoreError> {
        let query = predecessor::Entity::find_by_id(name.as_str());
        let row = query.one(&self.database().read).await.map_err(failed("read the predecessor of a plugin"))?;
        row.map(TryInto::try_into).transpose()
    }

    async fn predecessor_state(&self, name: &PluginName) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let query = predecessor_state::Entity::find().filter(predecessor_state::Column::Plugin.eq(name.as_str()));
        let rows = query.all(&self.database().read).await.map_err(failed("read the state that a plugin replaced"))?;
        let text = |key| {
            String::from_utf8(key).map_err(|error| columns::corrupt(format_args!("a key of the plugin {name}"), error))
        };
        rows.into_iter().map(|row| Ok((text(row.key)?, row.value))).collect()
    }
}

/// Whether the state is kept, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithState {
    Yes,
    No,
}

/// Puts what is there in the place of what was kept. Answers the row that says so, still without the number of writes.
async fn remember(
    transaction: &Transaction,
    name: &PluginName,
    with_state: WithState,
) -> Result<predecessor::ActiveModel, StoreError> {
    forget(transaction, name).await?;
    let active: Option<String> = plugin::Entity::find_by_id(name.as_str())
        .select_only()
        .column(plugin::Column::Active)
        .into_tuple()
        .one(transaction)
        .await
        .map_err(failed(ACTION))?;
    let active = active.ok_or_else(|| StoreError::Conflict { what: format!("the plugin {name}") })?;
    let revision: Option<i64> = configuration::Entity::find_by_id(name.as_str())
        .select_only()
        .column(configuration::Column::Revision)
        .into_tuple()
        .one(transaction)
        .await
        .map_err(failed(ACTION))?;
    if with_state == WithState::Yes {
        copy_state(transaction, name).await?;
    }
    Ok(predecessor::ActiveModel {
        plugin: Set(name.to_string()),
        digest: Set(active),
        configuration: Set(revision.unwrap_or(0)),
        state_kept: Set(i64::from(with_state == WithState::Yes)),
        replaced_at: Set(columns::from_time(time::OffsetDateTime::now_utc())),
        ..Default::default()
    })
}

async fn copy_state(transaction: &Transaction, name: &PluginName) -> Result<(), StoreError> {
    use predecessor_state::Column as To;
    use state::Column as From;
    let select = Query::select()
        .columns([From::Plugin, From::Key, From::Size, From::Value])
        .from(state::Entity.table_ref())
        .and_where(From::Plugin.eq(name.as_str()))
        .take();
    let mut insert = Query::insert();
    insert.into_table(predecessor_state::Entity.table_ref()).columns([To::Plugin, To::Key, To::Size, To::Value]);
    insert.select_from(select).map_err(|error| StoreError::Database { action: ACTION, source: Box::new(error) })?;
    transaction.execute(&insert).await.map(|_| ()).map_err(failed(ACTION))
}

async fn forget(transaction: &Transaction, name: &PluginName) -> Result<(), StoreError> {
    predecessor::Entity::delete_by_id(name.as_str())
        .exec(transaction)
        .await
        .map_err(failed("delete the predecessor of a plugin"))?;
    predecessor_state::Entity::delete_many()
        .filter(predecessor_state::Column::Plugin.eq(name.as_str()))
        .exec(transaction)
        .await
        .map_err(failed("delete the predecessor of a plugin"))?;
    Ok(())
}
