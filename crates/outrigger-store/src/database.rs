//! Connections, and the handling of driver errors.

use std::sync::Arc;

use outrigger_engine::store::{StoreError, WriteFault, WriteFaultKind};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use time::OffsetDateTime;

use crate::dialect;
use crate::writing::{Need, Writing};

/// A database that is open and has the schema of this version.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// Several connections, which only read: each read is one statement, and so one consistent view.
    pub(crate) read: DatabaseConnection,
    /// One connection. Writers of this process queue for it in order, instead of fighting for the database's lock.
    pub(crate) write: DatabaseConnection,
    /// Whether writes are accepted.
    pub(crate) writing: Arc<Writing>,
}

impl Database {
    /// Begins a transaction that writes. It holds the database's lock from the start: one that began as a reader could
    /// not become a writer once another process has written. Dropped, it is rolled back. Refused while the database cannot
    /// be written to.
    pub(crate) async fn begin(&self, action: &'static str) -> Result<Transaction, StoreError> {
        self.begin_for(Need::Ordinary, action).await
    }

    /// The same for a write that may use the reserved disk space: an audit record, a completion, or a deletion.
    pub(crate) async fn begin_essential(&self, action: &'static str) -> Result<Transaction, StoreError> {
        self.begin_for(Need::Essential, action).await
    }

    async fn begin_for(&self, need: Need, action: &'static str) -> Result<Transaction, StoreError> {
        self.writing.admit(need)?;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = self.write.begin_with_options(options).await;
        let transaction = self.noted(begun).map_err(failed(action))?;
        // An earlier write may have failed while this one waited.
        self.writing.admit(need)?;
        Ok(Transaction { transaction, database: self.clone() })
    }

    /// Reports a disk failure.
    fn noted<T>(&self, outcome: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &outcome {
            self.writing.note(self, error);
        }
        outcome
    }
}

/// A write transaction. Each failed statement is checked for a disk failure: see [`Writing`].
#[derive(Debug)]
pub(crate) struct Transaction {
    transaction: DatabaseTransaction,
    database: Database,
}

impl Transaction {
    /// When it returns, the writes are durable. If it fails, none of them is visible to any process.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        let Self { transaction, database } = self;
        let verdict = database.writing.verdict().await;
        let outcome = transaction.commit().await;
        if outcome.is_ok() {
            verdict.acquit();
        }
        database.noted(outcome)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.transaction.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.database.noted(self.transaction.execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.database.noted(self.transaction.execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.database.noted(self.transaction.query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.database.noted(self.transaction.query_all_raw(statement).await)
    }
}

/// Adds the attempted action to a database error. `action` follows "failed to".
pub(crate) fn failed(action: &'static str) -> impl Fn(DbErr) -> StoreError {
    move |source| {
        if dialect::is_damage(&source) {
            return StoreError::Corrupt {
                what: "the database".to_owned(),
                reason: format!(
                    "{source}; restore the data directory from a backup, or move its database away to start with an empty one"
                ),
            };
        }
        match dialect::write_fault(&source) {
            Some(kind @ (WriteFaultKind::Full | WriteFaultKind::ReadOnly)) => {
                let reason = format!("failed to {action}: {source}");
                StoreError::Unwritable(WriteFault { kind, reason, since: OffsetDateTime::now_utc() })
            }
            _ => StoreError::Database { action, source: Box::new(source) },
        }
    }
}
