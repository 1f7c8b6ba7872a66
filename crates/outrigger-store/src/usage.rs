//! Sums of runs: one statement finds the runs of a time span by an index and sums them up in the database.

use async_trait::async_trait;
use outrigger_contract::PluginName;
use outrigger_engine::store::{StoreError, Usage, UsageFilter, UsageKey, UsageRecord, UsageStore};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select, Statement,
};

use crate::SqliteStore;
use crate::columns;
use crate::database::failed;
use crate::dialect;
use crate::entities::run::{self, Column};
use crate::records::limit_of;

const SUM_UP: &str = "sum up runs";
const LIST: &str = "list the plugins that there are runs of";

/// The sums over the runs of a group. A sum has the type of its column in every database.
const SUMS: [(&str, &str); 6] = [
    ("calls", r#"coalesce(CAST(sum("runs"."calls") AS bigint), 0)"#),
    ("failures", r#"coalesce(CAST(sum(CASE WHEN "runs"."code" IS NOT NULL THEN "runs"."calls" END) AS bigint), 0)"#),
    (
        "cache_hits",
        r#"coalesce(CAST(sum(CASE WHEN "runs"."cache" IN ('hit', 'shared') THEN "runs"."calls" END) AS bigint), 0)"#,
    ),
    (
        "retries",
        r#"coalesce(CAST(sum(CASE WHEN "runs"."attempts" > "runs"."calls" THEN "runs"."attempts" - "runs"."calls" END) AS bigint), 0)"#,
    ),
    ("total_us", r#"coalesce(CAST(sum("runs"."duration_us") AS bigint), 0)"#),
    ("max_us", r#"coalesce(max(coalesce("runs"."max_us", "runs"."duration_us")), 0)"#),
];

/// From each plugin to the next, in the index: what lies between is not read.
const PLUGINS: &str = r#"WITH RECURSIVE "names"("name") AS (
    SELECT min("plugin") FROM "runs"
    UNION ALL
    SELECT (SELECT min("plugin") FROM "runs" WHERE "plugin" > "names"."name")
    FROM "names" WHERE "names"."name" IS NOT NULL
) SELECT "name" FROM "names" WHERE "name" IS NOT NULL ORDER BY "name""#;

#[async_trait]
impl UsageStore for SqliteStore {
    async fn run_usage(&self, filter: &UsageFilter) -> Result<Usage, StoreError> {
        let most = usize::try_from(limit_of(filter.limit)).unwrap_or(usize::MAX);
        let read = self.database().read.clone();
        let groups = groups(read.get_database_backend(), filter);
        self.alone().run(SUM_UP, sum_up(read, groups, most)).await
    }

    async fn run_plugins(&self) -> Result<Vec<PluginName>, StoreError> {
        self.alone().run(LIST, plugins(self.database().read.clone())).await
    }
}

async fn sum_up(read: DatabaseConnection, groups: Select<run::Entity>, most: usize) -> Result<Usage, StoreError> {
    let oldest = run::Entity::find().select_only().column_as(Column::StartedAt.min(), "oldest");
    let oldest = oldest.into_tuple::<Option<i64>>().one(&read).await.map_err(failed(SUM_UP))?.flatten();
    let mut rows = groups.into_model::<Group>().all(&read).await.map_err(failed(SUM_UP))?;
    // Of no runs at all the database makes a group, too, where there is nothing to tell groups apart by.
    rows.retain(|row| row.calls > 0);
    let truncated = rows.len() > most;
    rows.truncate(most);
    let groups = rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    Ok(Usage { groups, truncated, oldest: oldest.map(columns::to_time) })
}

async fn plugins(read: DatabaseConnection) -> Result<Vec<PluginName>, StoreError> {
    let statement = Statement::from_string(read.get_database_backend(), PLUGINS);
    let rows = read.query_all_raw(statement).await.map_err(failed(LIST))?;
    let name = |row: &sea_orm::QueryResult| {
        let name: String = row.try_get_by_index(0).map_err(failed(LIST))?;
        columns::parse::<PluginName>("a run", &name)
    };
    rows.iter().map(name).collect()
}

/// One more group than are wanted, which says whether there are more.
fn groups(backend: DbBackend, filter: &UsageFilter) -> Select<run::Entity> {
    let UsageFilter { since, until, plugins, function, caller, by, limit } = filter;
    let start = filter.step().map(|step| {
        let step = step.as_nanos();
        // Towards the past, also before 1970: `%` has the sign of what is divided.
        format!(r#""runs"."started_at" - (("runs"."started_at" % {step}) + {step}) % {step}"#)
    });
    let of = |key: UsageKey, column: &str| by.contains(&key).then(|| format!(r#""runs"."{column}""#));
    let names = [
        ("plugin", of(UsageKey::Plugin, "plugin")),
        ("function", of(UsageKey::Function, "function")),
        ("caller", of(UsageKey::Caller, "caller")),
        ("code", of(UsageKey::Outcome, "code")),
    ];
    let mut query = run::Entity::find()
        .select_only()
        .filter(Column::StartedAt.gte(columns::from_time(*since)))
        .filter(Column::StartedAt.lt(columns::from_time(*until)))
        .apply_if(plugins.as_ref(), |query, plugins| {
            query.filter(dialect::is_one_of(backend, Column::Plugin, plugins.iter().map(PluginName::as_str)))
        })
        .apply_if(function.as_ref(), |query, function| query.filter(Column::Function.eq(function.as_str())))
        .apply_if(caller.as_ref(), |query, caller| query.filter(Column::Caller.eq(caller.as_str())))
        .limit(u64::from(limit_of(*limit)) + 1);
    for (name, expression) in SUMS {
        query = query.expr_as(Expr::cust(expression), name);
    }
    query = query.expr_as(Expr::cust(start.clone().unwrap_or_else(|| "NULL".to_owned())), "start");
    if let Some(start) = start {
        query = query.group_by(Expr::cust(start.clone())).order_by_asc(Expr::cust(start));
    }
    query = query.order_by_desc(Expr::cust(r#"sum("runs"."calls")"#));
    for (name, column) in names {
        query = query.expr_as(Expr::cust(column.clone().unwrap_or_else(|| "NULL".to_owned())), name);
        if let Some(column) = column {
            // Databases do not agree on where NULL stands.
            let place = Expr::cust(format!("coalesce({column}, '')"));
            query = query.group_by(Expr::cust(column)).order_by_asc(place);
        }
    }
    query
}

/// A group, as it comes from the database.
#[derive(FromQueryResult)]
struct Group {
    start: Option<i64>,
    plugin: Option<String>,
    function: Option<String>,
    caller: Option<String>,
    code: Option<String>,
    calls: i64,
    failures: i64,
    cache_hits: i64,
    retries: i64,
    total_us: i64,
    max_us: i64,
}

impl TryFrom<Group> for UsageRecord {
    type Error = StoreError;

    fn try_from(row: Group) -> Result<Self, StoreError> {
        let Group { start, plugin, function, caller, code, calls, failures, cache_hits, retries, total_us, max_us } =
            row;
        let what = "a sum of runs";
        let count = |count| columns::to_count(what, count);
        Ok(Self {
            from: start.map(columns::to_time),
            plugin: plugin.map(|plugin| columns::parse(what, &plugin)).transpose()?,
            function: function.map(|function| columns::parse(what, &function)).transpose()?,
            caller,
            code: code.map(|name| run::to_code(format_args!("{what}"), &name)).transpose()?,
            calls: count(calls)?,
            failures: count(failures)?,
            cache_hits: count(cache_hits)?,
            retries: count(retries)?,
            total_us: count(total_us)?,
            max_us: count(max_us)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use outrigger_engine::store::Store as _;
    use time::OffsetDateTime;

    use super::*;
    use crate::alone::tests::begin_and_drop;

    const KEYS: [UsageKey; 6] =
        [UsageKey::Hour, UsageKey::Day, UsageKey::Plugin, UsageKey::Function, UsageKey::Caller, UsageKey::Outcome];

    async fn plan(store: &SqliteStore, sql: Statement) -> String {
        let query = Statement { sql: format!("EXPLAIN QUERY PLAN {}", sql.sql), ..sql };
        let rows = store.database().read.query_all_raw(query).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        steps.join("\n")
    }

    #[tokio::test]
    async fn only_runs_of_the_span_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        let since = OffsetDateTime::UNIX_EPOCH;
        let plain = UsageFilter::between(since, since + Duration::from_secs(60));
        let keys = KEYS.map(|key| BTreeSet::from([key]));
        for by in keys.into_iter().chain([BTreeSet::new(), BTreeSet::from(KEYS)]) {
            let check = async |filter: UsageFilter, expected: &str| {
                let steps = plan(&store, groups(DbBackend::Sqlite, &filter).build(DbBackend::Sqlite)).await;
                let reading: Vec<_> = steps.lines().filter(|step| step.contains(" runs ")).collect();
                assert_eq!(reading, [expected], "{filter:?}: {steps}");
            };
            let any = UsageFilter { by: by.clone(), ..plain.clone() };
            check(any.clone(), "SEARCH runs USING INDEX runs_by_time (started_at>? AND started_at<?)").await;
            let name = |text: &str| text.parse::<PluginName>().unwrap();
            for plugins in [BTreeSet::from([name("pricing")]), BTreeSet::from([name("pricing"), name("other")])] {
                let filter = UsageFilter { plugins: Some(plugins), caller: Some("local".to_owned()), ..any.clone() };
                let of_plugin = "SEARCH runs USING INDEX runs_by_plugin (plugin=? AND started_at>? AND started_at<?)";
                check(filter, of_plugin).await;
            }
        }
        let steps = plan(&store, Statement::from_string(DbBackend::Sqlite, PLUGINS)).await;
        let reading: Vec<_> = steps.lines().filter(|step| step.contains(" runs")).collect();
        let covering = "SEARCH runs USING COVERING INDEX runs_by_plugin";
        assert!(reading.len() == 2 && reading.iter().all(|step| step.starts_with(covering)), "{steps}");
    }

    #[tokio::test]
    async fn s13_abandoned_work_keeps_others_waiting() {
        async fn check(store: &SqliteStore, given_up: impl Future) {
            let pool = store.database().read.get_sqlite_connection_pool();
            // Without a connection a statement takes as long as the test wants it to.
            let mut connections = Vec::new();
            for _ in 0..pool.options().get_max_connections() {
                connections.push(pool.acquire().await.unwrap());
            }
            begin_and_drop(given_up).await;
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(store.alone().is_taken());
            drop(connections);
            assert!(store.run_plugins().await.unwrap().is_empty());
            assert!(!store.alone().is_taken());
        }
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("outrigger.db")).await.unwrap();
        let filter = UsageFilter::between(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::now_utc());
        check(&store, store.run_usage(&filter)).await;
        check(&store, store.run_plugins()).await;
        check(&store, store.check()).await;
    }
}
