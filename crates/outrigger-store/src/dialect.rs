//! Differences between databases. Everything else is written once, in sea-orm's terms.

use outrigger_engine::store::WriteFaultKind;
use sea_orm::sea_query::{Alias, Expr, Func, IntoColumnRef, SimpleExpr};
use sea_orm::{ColumnTrait, DbBackend, DbErr, ExprTrait, RuntimeErr};

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

/// Whether a column has one of these values. A statement has a limited number of variables (32,766 in SQLite) and there
/// may be more values, so they are one variable if the database can split them.
pub(crate) fn is_one_of<'a>(
    backend: DbBackend,
    column: impl ColumnTrait,
    values: impl Iterator<Item = &'a str>,
) -> SimpleExpr {
    if backend != DbBackend::Sqlite {
        return column.is_in(values);
    }
    let values = serde_json::Value::from_iter(values).to_string();
    let each = "? IN (SELECT value FROM json_each(?))";
    Expr::cust_with_exprs(each, [Expr::col(column.as_column_ref()), Expr::val(values)])
}

/// A statement that inserts several rows, and may leave half of them if it fails, because its transaction is then
/// rolled back. Without this hint, SQLite keeps a journal for each statement.
pub(crate) fn insert(backend: DbBackend, table: &str, columns: &[&str], rows: usize) -> String {
    let verb = if backend == DbBackend::Sqlite { "INSERT OR FAIL" } else { "INSERT" };
    let values = places(backend, columns.len(), rows);
    format!("{verb} INTO {table} ({}) VALUES {values}", columns.join(", "))
}

/// The same for rows that agree in some columns: the values of those come once, before the values of the rows. None where
/// the database has no such statement.
pub(crate) fn insert_alike(
    backend: DbBackend,
    table: &str,
    shared: &[&str],
    own: &[&str],
    rows: usize,
) -> Option<String> {
    if backend != DbBackend::Sqlite {
        return None;
    }
    let columns = [shared, own].concat().join(", ");
    let same = vec!["?"; shared.len()].join(", ");
    // SQLite's names of the columns of `VALUES`.
    let each: Vec<_> = (1..=own.len()).map(|column| format!("column{column}")).collect();
    let (each, values) = (each.join(", "), places(backend, own.len(), rows));
    Some(format!("INSERT OR FAIL INTO {table} ({columns}) SELECT {same}, {each} FROM (VALUES {values})"))
}

/// Placeholders for the values of these rows.
fn places(backend: DbBackend, columns: usize, rows: usize) -> String {
    if backend == DbBackend::Postgres {
        let row = |row| {
            let places: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
            format!("({})", places.join(", "))
        };
        return (0..rows).map(row).collect::<Vec<_>>().join(", ");
    }
    let row = format!("({})", vec!["?"; columns].join(", "));
    vec![&*row; rows].join(", ")
}

/// Whether the failure means that the file is damaged, or no database at all.
pub(crate) fn is_damage(error: &DbErr) -> bool {
    const CORRUPT: u32 = 11;
    const NOT_A_DATABASE: u32 = 26;
    matches!(sqlite_code(error), Some(CORRUPT | NOT_A_DATABASE))
}

/// Whether it is a disk failure, so that the next write would probably fail too.
pub(crate) fn write_fault(error: &DbErr) -> Option<WriteFaultKind> {
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    match sqlite_code(error)? {
        FULL => Some(WriteFaultKind::Full),
        READ_ONLY => Some(WriteFaultKind::ReadOnly),
        IO | CANNOT_OPEN => Some(WriteFaultKind::Failed),
        _ => None,
    }
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
