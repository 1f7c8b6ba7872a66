//! The embedded store: one SQLite file, in WAL mode, which several processes may have open at once.

mod open;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use outrigger_contract::{Digest, FunctionName, HookName, PluginName, TemplateName};
use outrigger_engine::access::{Role, RoleName};
use outrigger_engine::audit::{AuditEntry, AuditRecord, Head, KeptRecord};
use outrigger_engine::events::NewEvent;
use outrigger_engine::hooks::{HookRecord, Subscription};
use outrigger_engine::jobs::{JobId, JobRecord, ScheduleRecord};
use outrigger_engine::store::{
    AccessStore, Amount, AuditFilter, AuditStore, ConfigurationRevision, GrantRecord, HookStore, JobFilter, JobStore,
    Keep, KeyRecord, LogRecord, PluginRecord, RecordBatch, RecordFilter, RequestRecord, RequestStore, RevisionRecord,
    RevisionSummary, RunRecord, Share, StateOutcome, StateWrite, StatisticsRow, Store, StoreError, TemplateRecord,
    TemplateStore, TemplateSummary, WriteFault,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use time::OffsetDateTime;

use crate::alone::Alone;
use crate::database::{Database, failed};
use crate::{
    access, audit, hooks, jobs, migrations, owners, plugins, prune, records, requests, reserve, state, statistics,
    templates,
};

use open::{connect, create, options};

/// The store in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    database: Database,
    path: PathBuf,
    alone: Alone,
}

impl SqliteStore {
    /// Checks every page, index and reference.
    ///
    /// # Errors
    /// One is invalid, or the database cannot be read.
    pub async fn check_unchanged(&self) -> Result<(), StoreError> {
        self.check_integrity().await
    }

    /// Waits for what is running and closes the file; what is called afterwards fails. Without it the file is as whole,
    /// only its log is left to whoever opens it next.
    pub async fn close(&self) {
        let Database { read, write, writing: _ } = &self.database;
        // Errors can only come from a connection that is gone already.
        let _ = read.close_by_ref().await;
        let _ = write.close_by_ref().await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Where those that read a lot wait for each other.
    pub(crate) fn alone(&self) -> &Alone {
        &self.alone
    }

    /// The first value of the first row, as text.
    async fn ask(&self, connection: &DatabaseConnection, question: &str) -> Result<String, DbErr> {
        let statement = Statement::from_string(connection.get_database_backend(), question);
        let row = connection.query_one_raw(statement).await?;
        row.map_or_else(|| Ok(String::new()), |row| row.try_get_by_index(0))
    }

    /// Reads all of the database, and writes to it.
    async fn check_all(&self) -> Result<String, StoreError> {
        self.check_integrity().await?;
        migrations::touch(&self.database).await?;
        let counts = "SELECT 'plugins: ' || (SELECT count(*) FROM plugins) \
                      || ', runs: ' || (SELECT count(*) FROM runs) || ', log lines: ' || (SELECT count(*) FROM logs)";
        let counts = self.ask(&self.database.read, counts).await.map_err(failed("count its records"))?;
        let version =
            self.ask(&self.database.read, "SELECT sqlite_version()").await.map_err(failed("ask its version"))?;
        Ok(format!(
            "{}: intact and writable; {counts}; schema {}, SQLite {version}",
            self.path.display(),
            migrations::VERSION
        ))
    }

    /// SQLite's own look at every page and index.
    async fn check_integrity(&self) -> Result<(), StoreError> {
        const ACTION: &str = "check the database";
        let verdict = self.ask(&self.database.read, "PRAGMA integrity_check(1)").await.map_err(failed(ACTION))?;
        let orphan = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1";
        let orphan = self.ask(&self.database.read, orphan).await.map_err(failed(ACTION))?;
        let reason = match (verdict.as_str(), orphan.as_str()) {
            ("ok", "") => return Ok(()),
            ("ok", table) => format!("a row of the table {table} belongs to nothing"),
            (fault, _) => fault.to_owned(),
        };
        Err(StoreError::Corrupt {
            what: "the database".to_owned(),
            reason: format!(
                "{reason}; restore the data directory from a backup, or move it away to start with an empty one"
            ),
        })
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn plugin_list(&self) -> Result<Vec<(PluginRecord, RevisionSummary)>, StoreError> {
        plugins::list(&self.database).await
    }

    async fn plugin_fetch(&self, name: &PluginName) -> Result<Option<PluginRecord>, StoreError> {
        plugins::fetch(&self.database, name).await
    }

    async fn plugin_put(
        &self,
        plugin: &PluginRecord,
        revision: Option<&RevisionRecord>,
        grant: Option<&GrantRecord>,
        expected: u64,
    ) -> Result<u64, StoreError> {
        plugins::put(&self.database, plugin, revision, grant, expected).await
    }

    async fn plugin_create(
        &self,
        plugin: &PluginRecord,
        revision: &RevisionRecord,
        grant: &GrantRecord,
        configuration: Option<&ConfigurationRevision>,
    ) -> Result<u64, StoreError> {
        plugins::create(&self.database, plugin, revision, grant, configuration).await
    }

    async fn plugin_delete(&self, name: &PluginName) -> Result<bool, StoreError> {
        plugins::delete(&self.database, name).await
    }

    async fn revision_fetch(&self, digest: &Digest) -> Result<Option<RevisionRecord>, StoreError> {
        plugins::revision_fetch(&self.database, digest).await
    }

    async fn revision_exists(&self, digest: &Digest) -> Result<bool, StoreError> {
        plugins::revision_exists(&self.database, digest).await
    }

    async fn revision_list(&self, name: &PluginName) -> Result<Vec<RevisionSummary>, StoreError> {
        plugins::revision_list(&self.database, name).await
    }

    async fn revision_delete(&self, digest: &Digest) -> Result<bool, StoreError> {
        plugins::revision_delete(&self.database, digest).await
    }

    async fn grant_fetch(&self, digest: &Digest) -> Result<Option<GrantRecord>, StoreError> {
        plugins::grant_fetch(&self.database, digest).await
    }

    async fn grant_list(&self) -> Result<Vec<GrantRecord>, StoreError> {
        plugins::grant_list(&self.database).await
    }

    async fn writable_folder_list(&self) -> Result<Vec<String>, StoreError> {
        plugins::writable_folder_list(&self.database.read).await
    }

    async fn state_get(&self, name: &PluginName, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        state::get(&self.database, name, key).await
    }

    async fn state_set(
        &self,
        name: &PluginName,
        write: StateWrite<'_>,
        capacity: u64,
    ) -> Result<StateOutcome, StoreError> {
        state::set(&self.database, name, write, capacity).await
    }

    async fn state_delete(&self, name: &PluginName, key: &str) -> Result<(), StoreError> {
        state::delete(&self.database, name, key).await
    }

    async fn state_keys(&self, name: &PluginName, prefix: &str, limit: u32) -> Result<Vec<String>, StoreError> {
        state::keys(&self.database, name, prefix, limit).await
    }

    async fn record_append(&self, batch: &RecordBatch) -> Result<(), StoreError> {
        records::append(&self.database, batch).await
    }

    async fn run_list(&self, filter: &RecordFilter) -> Result<Vec<RunRecord>, StoreError> {
        records::run_list(&self.database, filter).await
    }

    async fn log_list(&self, filter: &RecordFilter) -> Result<Vec<LogRecord>, StoreError> {
        records::log_list(&self.database, filter).await
    }

    async fn statistics_list(&self, name: Option<&PluginName>) -> Result<Vec<StatisticsRow>, StoreError> {
        statistics::list(&self.database, name).await
    }

    async fn statistics_retain(&self, name: &PluginName, functions: &BTreeSet<FunctionName>) -> Result<(), StoreError> {
        statistics::retain(&self.database, name, functions).await
    }

    async fn prune(&self, keep: &Keep) -> Result<u64, StoreError> {
        prune::prune(&self.database, keep).await
    }

    async fn share_list(&self) -> Result<Vec<Share>, StoreError> {
        owners::list(&self.database).await
    }

    fn write_fault(&self) -> Option<WriteFault> {
        self.database.writing.fault()
    }

    fn free_bytes(&self) -> Option<u64> {
        reserve::free_bytes(self.path.parent()?).ok()
    }

    async fn touch(&self) -> Result<(), StoreError> {
        migrations::touch(&self.database).await
    }

    async fn check(&self) -> Result<String, StoreError> {
        let store = self.clone();
        self.alone.run("check the database", async move { store.check_all().await }).await
    }

    async fn copy(&self, to: &Path) -> Result<(), StoreError> {
        const ACTION: &str = "copy itself";
        let Some(path) = to.to_str() else {
            return Err(StoreError::Unsupported { action: "be copied to a path that is not Unicode" });
        };
        // On a connection of its own: writers of this process go on meanwhile, and so do those of others.
        let connection = connect(&self.path, options(&self.path)).await?;
        // SQLite takes a file that is there and empty, and would make one that the whole machine can read.
        create(to)?;
        let statement =
            Statement::from_sql_and_values(connection.get_database_backend(), "VACUUM INTO ?", [path.into()]);
        let copied = connection.execute_raw(statement).await;
        // The copy is written, or it is not; that the connection could not be closed changes neither.
        let _ = connection.close().await;
        copied.map(drop).map_err(failed(ACTION))
    }
}

#[async_trait]
impl AccessStore for SqliteStore {
    async fn key_list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        access::key_list(&self.database).await
    }

    async fn key_create(&self, key: &KeyRecord) -> Result<(), StoreError> {
        access::key_create(&self.database, key).await
    }

    async fn key_create_first(&self, key: &KeyRecord) -> Result<bool, StoreError> {
        access::key_create_first(&self.database, key).await
    }

    async fn key_delete(&self, id: &str) -> Result<bool, StoreError> {
        access::key_delete(&self.database, id).await
    }

    async fn key_used(&self, used: &[(String, OffsetDateTime)]) -> Result<(), StoreError> {
        access::key_used(&self.database, used).await
    }

    async fn role_list(&self) -> Result<Vec<Role>, StoreError> {
        access::role_list(&self.database).await
    }

    async fn role_put(&self, role: &Role) -> Result<(), StoreError> {
        access::role_put(&self.database, role).await
    }

    async fn role_delete(&self, name: &RoleName) -> Result<bool, StoreError> {
        access::role_delete(&self.database, name).await
    }
}

#[async_trait]
impl HookStore for SqliteStore {
    async fn hook_list(&self) -> Result<Vec<HookRecord>, StoreError> {
        hooks::hook_list(&self.database).await
    }

    async fn hook_create(&self, hook: &HookRecord) -> Result<(), StoreError> {
        hooks::hook_create(&self.database, hook).await
    }

    async fn hook_delete(&self, name: &HookName) -> Result<bool, StoreError> {
        hooks::hook_delete(&self.database, name).await
    }

    async fn subscription_list(&self) -> Result<Vec<Subscription>, StoreError> {
        hooks::subscription_list(&self.database).await
    }

    async fn subscription_put(&self, subscription: &Subscription) -> Result<(), StoreError> {
        hooks::subscription_put(&self.database, subscription).await
    }

    async fn subscription_delete(&self, id: &str) -> Result<bool, StoreError> {
        hooks::subscription_delete(&self.database, id).await
    }

    async fn hook_replace(
        &self,
        plugin: &PluginName,
        new: &[HookRecord],
        subscriptions: &[Subscription],
    ) -> Result<(), StoreError> {
        hooks::hook_replace(&self.database, plugin, new, subscriptions).await
    }
}

#[async_trait]
impl AuditStore for SqliteStore {
    async fn audit_append(&self, entries: &[AuditEntry]) -> Result<Head, StoreError> {
        audit::append(&self.database, entries).await
    }

    async fn audit_list(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        audit::list(&self.database, filter).await
    }

    async fn audit_read(&self, after: Option<u64>, limit: u32) -> Result<Vec<KeptRecord>, StoreError> {
        audit::read(&self.database, after, limit).await
    }

    async fn audit_head(&self) -> Result<Head, StoreError> {
        audit::head(&self.database).await
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn job_create(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<(), StoreError> {
        jobs::create(&self.database, job, event).await
    }

    async fn job_fetch(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        jobs::fetch(&self.database, id).await
    }

    async fn job_exists(&self, id: JobId) -> Result<bool, StoreError> {
        jobs::exists(&self.database, id).await
    }

    async fn job_list(&self, filter: &JobFilter) -> Result<Vec<JobRecord>, StoreError> {
        jobs::list(&self.database, filter).await
    }

    async fn job_next(
        &self,
        now: OffsetDateTime,
        busy: &[String],
        except: &[String],
    ) -> Result<Option<JobRecord>, StoreError> {
        jobs::next(&self.database, now, busy, except).await
    }

    async fn job_backlog(&self, account: Option<&str>) -> Result<Amount, StoreError> {
        jobs::backlog(&self.database, account).await
    }

    async fn job_unfinished(&self, plugin: &PluginName, except: Option<&str>) -> Result<u64, StoreError> {
        jobs::unfinished(&self.database, plugin, except).await
    }

    async fn job_put(&self, job: &JobRecord, event: Option<&NewEvent>) -> Result<u64, StoreError> {
        jobs::put(&self.database, job, event).await
    }

    async fn schedule_list(&self) -> Result<Vec<ScheduleRecord>, StoreError> {
        jobs::schedule_list(&self.database).await
    }

    async fn schedule_put(
        &self,
        schedule: &ScheduleRecord,
        job: Option<(&JobRecord, &NewEvent)>,
    ) -> Result<u64, StoreError> {
        jobs::schedule_put(&self.database, schedule, job).await
    }

    async fn schedule_delete(&self, name: &str) -> Result<bool, StoreError> {
        jobs::schedule_delete(&self.database, name).await
    }
}

#[async_trait]
impl TemplateStore for SqliteStore {
    async fn template_list(&self) -> Result<Vec<TemplateSummary>, StoreError> {
        templates::list(&self.database).await
    }

    async fn template_fetch(&self, name: &TemplateName) -> Result<Option<TemplateRecord>, StoreError> {
        templates::fetch(&self.database, name).await
    }

    async fn template_put(&self, record: &TemplateRecord) -> Result<u64, StoreError> {
        templates::put(&self.database, record).await
    }

    async fn template_delete(&self, name: &TemplateName) -> Result<bool, StoreError> {
        templates::delete(&self.database, name).await
    }
}

#[async_trait]
impl RequestStore for SqliteStore {
    async fn request_begin(&self, request: &RequestRecord) -> Result<Option<RequestRecord>, StoreError> {
        requests::begin(&self.database, request).await
    }

    async fn request_end(&self, place: &[u8; 32], answer: Option<&[u8]>) -> Result<(), StoreError> {
        requests::end(&self.database, place, answer).await
    }

    async fn request_forget(&self, place: &[u8; 32]) -> Result<(), StoreError> {
        requests::forget(&self.database, place).await
    }
}
