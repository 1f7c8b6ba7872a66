//! A database that an older version wrote is taken over as it is.

use std::path::Path;

use outrigger_engine::Store;
use outrigger_engine::store::{
    AccessStore, AuditStore, EventStore, HealthStore, HookStore, JobFilter, JobStore, LogRecord, RecordFilter,
    RevisionRecord, RunRecord, TemplateStore, WebhookStore,
};
use outrigger_testkit::store_suite::{entry, event, job, key, line, moment, name, plugin, revision, run, statistics};
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sea_orm::{DatabaseConnection, DbBackend, QueryTrait, SqlxSqliteConnector, Statement, Value};

use super::*;
use crate::SqliteStore;

/// A new file with the first so many migrations and nothing else.
async fn database_of(path: &Path, version: usize) -> DatabaseConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.expect("a new database");
    let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
    connection.execute(&v1_initial::schema_version()).await.expect("valid SQL");
    for (version, changes) in (1..).zip(MIGRATIONS).take(version) {
        apply(&connection, version, changes()).await.expect("the migration fits those before it");
    }
    connection
}

/// Writes rows as version 1 did: in SQL, and not by way of the entities, which are those of the schema of today.
async fn write_as_version_1(
    connection: &DatabaseConnection,
    revision: &RevisionRecord,
    run: &RunRecord,
    line: &LogRecord,
) {
    let insert = async |into: &str, values: Vec<Value>| {
        let sql = format!("INSERT INTO {into} VALUES ({})", vec!["?"; values.len()].join(", "));
        let statement = Statement::from_sql_and_values(connection.get_database_backend(), sql, values);
        connection.execute_raw(statement).await.expect("valid SQL");
    };
    let digest = || Value::from(revision.digest.to_string());
    let at = || Value::from(columns::from_time(run.started_at));

    let columns = "(name, active, state, installed_at, updated_at, generation)";
    let values = vec!["pricing".into(), digest(), "active".into(), at(), at(), 3.into()];
    insert(&format!("plugins {columns}"), values).await;

    let columns = "(digest, plugin, version, title, description, categories, functions, installed_at, source, manifest, \
                   inspection)";
    let document = |text: Result<String, serde_json::Error>| Value::from(text.expect("it can be written as JSON"));
    let values = vec![
        digest(),
        "pricing".into(),
        "1.0.0".into(),
        "pricing 1.0.0".into(),
        "For tests.".into(),
        "utility\ncloud".into(),
        1.into(),
        columns::from_time(revision.installed_at).into(),
        revision.source.as_str().into(),
        document(serde_json::to_string(&revision.manifest)),
        document(serde_json::to_string(&revision.inspection)),
    ];
    insert(&format!("revisions {columns}"), values).await;

    let columns = "(id, correlation, caller, started_at, plugin, function, duration_us, cache, attempts)";
    let id = vec![run.id.to_string().into(), run.correlation.to_string().into(), "local".into(), at()];
    let values = vec!["pricing".into(), "echo".into(), 1_500.into(), "bypass".into(), 1.into()];
    insert(&format!("runs {columns}"), [id, values].concat()).await;

    let columns = "(at, correlation, message, plugin, function, level, fields)";
    let id = vec![at(), line.correlation.to_string().into(), line.message.as_str().into()];
    let values = vec!["pricing".into(), "echo".into(), 2.into(), "[]".into()];
    insert(&format!("logs {columns}"), [id, values].concat()).await;

    for (kind, name) in [(0, "calls"), (1, "1000")] {
        let values = vec!["pricing".into(), "echo".into(), kind.into(), name.into(), 4.into()];
        insert("statistics (plugin, function, kind, name, value)", values).await;
    }
}

#[tokio::test]
async fn a_database_of_version_1_is_migrated_with_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("outrigger.db");
    let (pricing, at) = (name("pricing"), moment(7));
    let revision = revision(&pricing, "1.0.0");
    let (run, line) = (run(&pricing, 7), line(&pricing, at, "from version 1"));
    let connection = database_of(&path, 1).await;
    write_as_version_1(&connection, &revision, &run, &line).await;
    assert_eq!(version(&connection).await.unwrap(), Some(1));
    connection.close().await.unwrap();

    // The second time there is nothing left to do.
    for times in 1..=2_usize {
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(version(&store.database().read).await.unwrap(), Some(VERSION));
        let record = store.plugin_fetch(&pricing).await.unwrap().expect("it was there");
        assert_eq!((record.active, record.updated_at, record.generation), (revision.digest, at, 3));
        assert_eq!(record.state, plugin(&pricing, &revision).state);
        assert_eq!(store.revision_fetch(&revision.digest).await.unwrap().as_ref(), Some(&revision));
        let any = RecordFilter::default();
        assert_eq!(store.run_list(&any).await.unwrap(), std::slice::from_ref(&run));
        assert_eq!(store.log_list(&any).await.unwrap(), std::slice::from_ref(&line));
        assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&pricing, "echo", 4)]);
        store.check().await.unwrap();

        // What is new is there, and empty until it is used.
        assert_eq!(store.key_list().await.unwrap().len(), times - 1);
        assert_eq!(store.role_list().await.unwrap(), []);
        assert_eq!(store.job_list(&JobFilter::default()).await.unwrap().len(), times - 1);
        store.job_create(&job(times as u64), None).await.unwrap();
        assert_eq!(store.schedule_list().await.unwrap(), []);
        assert_eq!(store.event_read(None, 10).await.unwrap().len(), times - 1);
        store.event_append(&[event(times as u64)]).await.unwrap();
        assert_eq!(store.webhook_list().await.unwrap(), []);
        store.key_create(&key(&format!("key-{times}"))).await.unwrap();
        assert_eq!(store.health_list().await.unwrap(), []);
        assert_eq!(store.hook_list().await.unwrap(), []);
        assert_eq!(store.subscription_list().await.unwrap(), []);
        assert_eq!(store.template_list().await.unwrap(), []);
        let head = store.audit_append(&[entry(1)]).await.unwrap();
        assert_eq!(head.sequence, u64::try_from(times).unwrap());
        store.close().await;
    }
}

/// How SQLite goes about a query, as its planner says.
async fn plan(store: &SqliteStore, mut query: Statement) -> String {
    query.sql = format!("EXPLAIN QUERY PLAN {}", query.sql);
    let rows = store.database().read.query_all_raw(query).await.expect("valid SQL");
    let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("a text")).collect();
    steps.join("\n")
}

#[tokio::test]
async fn queues_are_read_from_an_index_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
    let check = async |query: Statement, expected: &str| assert_eq!(plan(&store, query).await, expected);
    let expected = "SEARCH jobs USING INDEX jobs_in_queue (state=?)";
    check(crate::jobs::queue(moment(1), &[], &[]).build(DbBackend::Sqlite), expected).await;
    check(crate::jobs::queue(moment(1), &["key".to_owned()], &[]).build(DbBackend::Sqlite), expected).await;
    let expected = "SEARCH deliveries USING INDEX deliveries_in_queue (state=? AND next_at<?)";
    check(crate::webhooks::due(moment(1), &[], 3).build(DbBackend::Sqlite), expected).await;
    let busy = ["chat".parse().expect("a name")];
    check(crate::webhooks::due(moment(1), &busy, 3).build(DbBackend::Sqlite), expected).await;
    // As the store asks them.
    let raw = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql);
    let counts = "SELECT webhook, state, COUNT(id) FROM deliveries GROUP BY webhook, state ORDER BY webhook, state";
    check(raw(counts), "SCAN deliveries USING COVERING INDEX deliveries_by_standing").await;
    let ended = "SELECT id FROM deliveries WHERE ended_at < 7 ORDER BY ended_at LIMIT 500";
    check(raw(ended), "SEARCH deliveries USING INDEX deliveries_by_end (ended_at<?)").await;
    for account in [None, Some("id-of-ci")] {
        let unended = plan(&store, crate::jobs::unended(DbBackend::Sqlite, account)).await;
        let expected = "SEARCH jobs USING COVERING INDEX jobs_by_owner (owner=? AND ended_at=?)\n";
        assert!(unended.starts_with(expected), "{unended}");
    }
}
