//! Opens the file: the options of each connection, and the errors if it cannot be opened.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use outrigger_engine::store::StoreError;
use sea_orm::sqlx::ConnectOptions;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqliteSynchronous};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, SqlxSqliteConnector, Statement};

use super::SqliteStore;
use crate::alone::Alone;
use crate::database::Database;
use crate::writing::Writing;
use crate::{dialect, migrations};

/// How long a write waits for one of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a write waits for those of this process that came before it.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads at once. Each is a thread of its own, made when it is first needed.
const READERS: u32 = 4;

impl SqliteStore {
    /// Opens the database at `path`, and creates it if it does not exist. Its directory must exist.
    ///
    /// # Errors
    /// It cannot be opened, is not a database, or was written by a newer version.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with_reserve(path, None).await
    }

    /// The same, with this many bytes of reserved disk space.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub async fn open_with_reserve(path: impl AsRef<Path>, reserve: Option<u64>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_path_buf();
        let at = |source| at_path(&path, source);
        create(&path)?;
        let (options, pool) = (options(&path), pool());
        let writing = Writing::new(path.parent().unwrap_or(Path::new(".")), reserve);
        let write = writing.watch(pool.clone()).max_connections(1).connect_with(options.clone()).await;
        let write = SqlxSqliteConnector::from_sqlx_sqlite_pool(write.map_err(|source| at(failure(source)))?);
        let read = pool.max_connections(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        let read = SqlxSqliteConnector::from_sqlx_sqlite_pool(read);

        use_wal(&write).await.map_err(at)?;
        let database = Database { read, write, writing };
        migrations::migrate(&database, &path.display().to_string()).await?;
        // One reader stays open: closing the last connection deletes the write-ahead log, which could not be recreated
        // on a full disk.
        migrations::present(&database, &path.display().to_string()).await?;
        database.writing.take_reserve(&database);
        Ok(Self { database, path, alone: Alone::default() })
    }

    /// Opens a database read-only, such as one from a backup: writes fail, and no files are created beside it. Also
    /// returns the version of its schema.
    ///
    /// # Errors
    /// It does not exist, is damaged, or was written by a newer version.
    pub async fn open_unchanged(path: impl AsRef<Path>) -> Result<(Self, i64), StoreError> {
        let path = path.as_ref().to_path_buf();
        let options = options(&path).read_only(true).immutable(true);
        let connection = connect(&path, options).await?;
        let writing = Writing::new(path.parent().unwrap_or(Path::new(".")), None);
        let database = Database { read: connection.clone(), write: connection, writing };
        let version = migrations::present(&database, &path.display().to_string()).await?;
        Ok((Self { database, path, alone: Alone::default() }, version))
    }
}

/// How each connection is made.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    // FULL and not NORMAL: in WAL mode NORMAL leaves a commit in the operating system's memory until the next
    // checkpoint. That outlives `kill -9` but not a power cut, and the trait promises that what was written stays
    // written. It costs one `fdatasync` a transaction; what is frequent (records) comes in batches.
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .disable_statement_logging()
}

fn pool() -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .acquire_timeout(QUEUE_TIMEOUT)
        // A connection to a file does not go stale.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// A single connection to the file.
pub(super) async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<DatabaseConnection, StoreError> {
    let connection = pool().max_connections(1).connect_with(options).await;
    let connection = connection.map_err(|source| at_path(path, failure(source)))?;
    Ok(SqlxSqliteConnector::from_sqlx_sqlite_pool(connection))
}

/// Makes the file before SQLite does, because SQLite would let the whole machine read it.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(source) => {
            Err(StoreError::Database { action: "open", source: Box::new(AtPath { path: path.into(), source }) })
        }
    }
}

/// Changes a new database to a write-ahead log, which is kept in the file. SQLite does not wait for locks while it
/// does so; another process that opens the same new database is waited for here.
async fn use_wal(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let ask = async |pragma: &str| {
        let row = connection.query_one_raw(Statement::from_string(connection.get_database_backend(), pragma)).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("{pragma} returned nothing")))?;
        row.try_get_by_index::<String>(0)
    };
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = match ask("PRAGMA journal_mode").await {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => ask("PRAGMA journal_mode = WAL").await,
            Err(error) => Err(error),
        };
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(DbErr::Custom(format!("it stays in the journal mode {mode}: is it on a network drive?")));
            }
            Err(error) if dialect::is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn failure(source: sea_orm::sqlx::Error) -> DbErr {
    DbErr::Conn(sea_orm::RuntimeErr::SqlxError(source.into()))
}

/// A failure to open, with the path in it.
fn at_path(path: &Path, source: DbErr) -> StoreError {
    if dialect::is_damage(&source) {
        return StoreError::Corrupt {
            what: format!("the file {}", path.display()),
            reason: format!(
                "it is damaged or not a database ({source}); restore it from a backup, or move it away to start with \
                 an empty one"
            ),
        };
    }
    StoreError::Database { action: "open", source: Box::new(AtPath { path: path.into(), source }) }
}

/// An error that names the file.
#[derive(Debug, thiserror::Error)]
#[error("{}", path.display())]
struct AtPath<E: std::error::Error + 'static> {
    path: PathBuf,
    source: E,
}
