//! The connections, and what becomes of the driver's errors.

use outrigger_engine::store::StoreError;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use crate::dialect;

/// A database that is open and has the schema of this version.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// Several connections, which only read: each read is one statement, and so one consistent view.
    pub(crate) read: DatabaseConnection,
    /// One connection. Writers of this process queue for it in order, instead of fighting for the database's lock.
    pub(crate) write: DatabaseConnection,
}

impl Database {
    /// Begins a transaction that writes. It holds the database's lock from the start: one that began as a reader could
    /// not become a writer once another process has written. Dropped, it is rolled back.
    pub(crate) async fn begin(&self, action: &'static str) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.write.begin_with_options(options).await.map_err(failed(action))
    }
}

/// Says what was being done when the database failed. `action` follows "while it was to".
pub(crate) fn failed(action: &'static str) -> impl Fn(DbErr) -> StoreError {
    move |source| {
        if dialect::is_damage(&source) {
            return StoreError::Corrupt {
                what: "the database".to_owned(),
                reason: format!(
                    "{source}; restore the data directory from a backup, or move its database away to begin anew"
                ),
            };
        }
        StoreError::Database { action, source: Box::new(source) }
    }
}
