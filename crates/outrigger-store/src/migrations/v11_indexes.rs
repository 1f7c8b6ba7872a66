//! Indexes by which nothing is read in full that a server reads often: the queue of jobs, what is due of deliveries, how many of
//! them stand where, and which have ended long ago; and which runs failed.

use sea_orm::sea_query::{ConditionalStatement, Expr, ExprTrait, Index};

use super::Change;

pub(super) fn changes() -> Vec<Change> {
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut statement = Index::create().name(name).table(table).take();
        for column in columns {
            statement.col(*column);
        }
        Change::Index(Box::new(statement))
    };
    let no_index =
        |name: &str, table: &'static str| Change::NoIndex(Box::new(Index::drop().name(name).table(table).to_owned()));
    // Few runs fail, and those that do not cost this index nothing.
    let mut failures = Index::create().name("runs_that_failed").table("runs").col("started_at").take();
    failures.and_where(Expr::col("code").is_not_null());
    vec![
        Change::Index(Box::new(failures)),
        // Jobs that are not due, or whose concurrency key is busy, are skipped in the index.
        index("jobs_in_queue", "jobs", &["state", "id", "not_before", "concurrency_key"]),
        no_index("jobs_by_state", "jobs"),
        index("deliveries_in_queue", "deliveries", &["state", "next_at", "id", "webhook"]),
        no_index("deliveries_by_state", "deliveries"),
        index("deliveries_by_standing", "deliveries", &["webhook", "state", "id"]),
        index("deliveries_by_end", "deliveries", &["ended_at"]),
    ]
}
