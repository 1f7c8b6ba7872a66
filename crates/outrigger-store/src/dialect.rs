//! Where databases differ in what they call a thing. Everything else is written once, in sea-orm's terms.

use sea_orm::sea_query::{Alias, Expr, Func, IntoColumnRef, SimpleExpr};
use sea_orm::{DbBackend, DbErr, ExprTrait, RuntimeErr};

/// Whether a message contains `needle`, whatever the case. `folded` is the column with the folded message where that
/// differs from ASCII lower case, `message` the one with the message itself, `needle` folded already. Not with `LIKE`, which
/// has wildcards to be escaped, a bound on the pattern's length, and other rules for case in each database.
pub(crate) fn contains(
    backend: DbBackend,
    folded: impl IntoColumnRef,
    message: impl IntoColumnRef,
    needle: String,
) -> SimpleExpr {
    let position = match backend {
        DbBackend::Postgres => "strpos",
        _ => "instr",
    };
    let text = Func::coalesce([Expr::col(folded), Func::lower(Expr::col(message)).into()]);
    Func::cust(Alias::new(position)).arg(text).arg(Expr::val(needle)).gt(0)
}

/// A statement that inserts so many rows, and may leave half of them where it fails: the transaction around it is then
/// rolled back. SQLite is told so, or it keeps a journal for each statement.
pub(crate) fn insert(backend: DbBackend, table: &str, columns: &[&str], rows: usize) -> String {
    let (verb, values) = match backend {
        DbBackend::Postgres => {
            let row = |row| {
                let places = (1..=columns.len()).map(|column| format!("${}", row * columns.len() + column));
                format!("({})", places.collect::<Vec<_>>().join(", "))
            };
            ("INSERT", (0..rows).map(row).collect())
        }
        DbBackend::Sqlite => ("INSERT OR FAIL", vec![row_of(columns.len()); rows]),
        _ => ("INSERT", vec![row_of(columns.len()); rows]),
    };
    format!("{verb} INTO {table} ({}) VALUES {}", columns.join(", "), values.join(", "))
}

fn row_of(columns: usize) -> String {
    format!("({})", vec!["?"; columns].join(", "))
}

/// Whether the failure means that the file is damaged, or no database at all.
pub(crate) fn is_damage(error: &DbErr) -> bool {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    matches!(sqlite_code(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// Whether the failure means that another process holds a lock that was not waited for.
pub(crate) fn is_busy(error: &DbErr) -> bool {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    matches!(sqlite_code(error), Some(BUSY | LOCKED))
}

/// SQLite's primary result code.
fn sqlite_code(error: &DbErr) -> Option<u32> {
    let (DbErr::Conn(cause) | DbErr::Exec(cause) | DbErr::Query(cause)) = error else { return None };
    let RuntimeErr::SqlxError(cause) = cause else { return None };
    let code: u32 = cause.as_database_error()?.code()?.parse().ok()?;
    // The upper bits say in more detail what the lower eight say.
    Some(code & 0xff)
}
