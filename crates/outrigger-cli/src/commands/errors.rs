//! `outrigger errors`: the table of error codes.

use outrigger_api::{ApiError, Code};
use outrigger_contract::code::{CodeInfo, TABLE};

use crate::context::Context;
use crate::error::CliResult;
use crate::output::bold;
use crate::output::table::{cell, fields, table};

/// Shows all codes, or explains one.
///
/// # Errors
/// There is no such code.
pub fn run(context: &Context, code: Option<&str>) -> CliResult {
    let Some(name) = code else {
        return context.output.print(&TABLE, || {
            let rows = TABLE.iter().map(|row| vec![cell(row.name), cell(row.exit.to_string()), cell(row.meaning)]);
            table(&["CODE", "EXIT>", "MEANING"], rows)
        });
    };
    let wanted = name.to_ascii_lowercase().replace('-', "_");
    let Some(row) = TABLE.iter().find(|row| row.name == wanted) else { return Err(unknown(name).into()) };
    context.output.print(row, || explain(row))
}

fn explain(row: &CodeInfo) -> String {
    let CodeInfo { code: _, name, http, mcp, exit, meaning, help } = row;
    let numbers =
        fields(&[("Exit code", exit.to_string()), ("HTTP status", http.to_string()), ("MCP code", mcp.to_string())]);
    format!("{}\n{meaning}\n\nWhat to do: {help}\n\n{numbers}", bold(name))
}

fn unknown(name: &str) -> ApiError {
    let near = TABLE.iter().map(|row| (strsim::damerau_levenshtein(row.name, name), row.name)).min();
    let hint = match near {
        Some((distance, near)) if distance <= 3 => format!("did you mean `{near}`?"),
        _ => "`outrigger errors` lists all codes".to_owned(),
    };
    ApiError::new(Code::NotFound, format!("there is no error code `{name}`")).with_hint(hint)
}
