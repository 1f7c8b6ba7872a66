//! `outrigger audit`: what was done or denied, and whether the log is whole.

use outrigger_api::{ApiError, AuditInfo, AuditQuery, Code};

use super::filters;
use crate::cli::{AuditCommand, AuditListArguments};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::output::table::{cell, status, table_or};
use crate::output::{count, moment, one_line};

/// Runs one of the commands.
///
/// # Errors
/// The platform's; or the log is not whole.
pub async fn run(context: &Context, command: AuditCommand) -> CliResult {
    match command {
        AuditCommand::List(arguments) => list(context, arguments).await,
        AuditCommand::Verify { head } => verify(context, head.as_deref()).await,
    }
}

async fn list(context: &Context, arguments: AuditListArguments) -> CliResult {
    let AuditListArguments { actor, key, action, resource, correlation, denied, code, since, until, limit } = arguments;
    let query = AuditQuery {
        actor,
        key,
        action,
        resource,
        correlation,
        allowed: denied.then_some(false),
        code,
        since: since.map(|since| since.0),
        until: until.map(|until| until.0),
        limit,
        ..AuditQuery::default()
    };
    let mut records = context.platform().await?.audit_list(&query).await?;
    records.reverse();
    context.output.print(&records, || {
        let head = ["SEQUENCE>", "WHEN", "WHO", "WHAT", "TO", "OUTCOME", "CORRELATION", "WHY"];
        let AuditQuery { actor, key, action, resource, correlation, allowed, code, since, until, .. } = &query;
        let texts = [actor, key, action, resource, correlation].map(Option::is_some);
        let others = [allowed.is_some(), code.is_some(), since.is_some(), until.is_some()];
        let empty = filters::empty("audit records", &[&texts[..], &others[..]].concat());
        table_or(&empty, &head, records.iter().map(row).collect())
    })?;
    if let (true, Some(key)) = (records.is_empty(), &query.key) {
        filters::check_key_id(context, key).await;
    }
    Ok(())
}

fn row(record: &AuditInfo) -> Vec<comfy_table::Cell> {
    let outcome = match (record.allowed, record.code, record.stage.as_str()) {
        (false, _, "group") => cell(format!("denied {}×", record.count)).fg(comfy_table::Color::Red),
        (false, ..) => cell("denied").fg(comfy_table::Color::Red),
        (true, Some(code), _) => cell(code.as_str()).fg(comfy_table::Color::Yellow),
        (true, None, "intent") => cell("begun"),
        (true, None, "group") => cell(count(usize::try_from(record.count).unwrap_or(usize::MAX), "call")),
        (true, None, _) => status("ok"),
    };
    vec![
        cell(record.sequence.to_string()),
        cell(moment(record.at)),
        cell(&record.actor),
        cell(&record.action),
        cell(&record.resource),
        outcome,
        cell(&record.correlation),
        cell(one_line(record.decision.as_deref().unwrap_or_default())),
    ]
}

async fn verify(context: &Context, noted: Option<&str>) -> CliResult {
    let noted = noted.map(head).transpose()?;
    let platform = context.platform().await?;
    let verification = {
        let _progress = context.output.spinner("reading the audit log");
        platform.audit_verify().await?
    };
    if let Some(fault) = &verification.fault {
        let message = format!("the audit log is damaged: {fault}");
        let hint = "keep the data directory as it is, and compare it with a backup";
        return Err(ApiError::new(Code::Conflict, message).with_hint(hint).into());
    }
    if let Some((sequence, hash)) = noted {
        let query = AuditQuery { before: Some(sequence + 1), limit: 1, ..AuditQuery::default() };
        let found = platform.audit_list(&query).await?;
        if !found.first().is_some_and(|record| record.sequence == sequence && record.hash == hash) {
            let message = format!("the audit log no longer holds record {sequence} with the hash {hash}");
            let hint = "its end was cut off, or the log was replaced; compare it with a backup";
            return Err(ApiError::new(Code::Conflict, message).with_hint(hint).into());
        }
    }
    context.output.print(&verification, || {
        let head = &verification.head;
        format!(
            "{} verified, no changes found{}\nhead {}:{}",
            count(usize::try_from(verification.records).unwrap_or(usize::MAX), "record"),
            match verification.refusals_pruned {
                0 => String::new(),
                pruned => format!("; {} pruned", count(usize::try_from(pruned).unwrap_or(usize::MAX), "refusal")),
            },
            head.sequence,
            head.hash
        )
    })
}

fn head(text: &str) -> CliResult<(u64, String)> {
    let hint = "a head is SEQUENCE:HASH, as `audit verify` prints it";
    let parsed = text.split_once(':').and_then(|(sequence, hash)| Some((sequence.parse().ok()?, hash)));
    let Some((sequence, hash)) = parsed else { return Err(usage(format!("`{text}` is not a head"), hint)) };
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(usage(format!("`{hash}` is not a hash of 64 hexadecimal digits"), hint));
    }
    Ok((sequence, hash.to_ascii_lowercase()))
}
