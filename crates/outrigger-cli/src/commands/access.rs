//! `outrigger access`: keys, roles, and why something is allowed or refused.

use outrigger_api::{
    AccessMatrix, AccessMatrixCell, AccessMatrixRow, ExplainRequest, Explanation, KeyInfo, KeyRequest, KeyRevocation,
    NewKey, RoleInfo, RoleRequest,
};
use serde_json::json;

use crate::cli::{AccessCommand, KeyCommand, KeyCreateArguments, RoleCommand};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, status, table, table_or};
use crate::output::{Format, bold, clean, green, moment, red, yellow};

/// Runs one of the commands.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, command: AccessCommand) -> CliResult {
    match command {
        AccessCommand::Key(KeyCommand::Create(arguments)) => create_key(context, arguments).await,
        AccessCommand::Key(KeyCommand::List) => list_keys(context).await,
        AccessCommand::Key(KeyCommand::Revoke { key }) => revoke_key(context, &key).await,
        AccessCommand::Role(RoleCommand::List) => list_roles(context).await,
        AccessCommand::Role(RoleCommand::Set { name, description, allow, deny }) => {
            let request = RoleRequest { description, allow, deny };
            let role = context.platform().await?.role_put(&name, request, None).await?;
            context.output.print(&role, || role_text(&role))
        }
        AccessCommand::Role(RoleCommand::Remove { name }) => {
            context.platform().await?.role_delete(&name).await?;
            context.output.print(&json!({"role": name, "action": "removed"}), || format!("role {name} removed"))
        }
        AccessCommand::Explain { key, right, name } => explain(context, ExplainRequest { key, right, name }).await,
        AccessCommand::Matrix => matrix(context).await,
    }
}

async fn create_key(context: &Context, arguments: KeyCreateArguments) -> CliResult {
    let KeyCreateArguments { name, roles, scope, expires } = arguments;
    let request = KeyRequest {
        name,
        roles,
        scope: (!scope.is_empty()).then_some(scope),
        expires_in_s: expires.map(|expires| expires.as_duration().as_secs()),
    };
    let made: NewKey = context.platform().await?.key_create(request).await?;
    context.output.remark("Keep this key safe: it is not shown again.");
    context.output.print(&made, || made.key.clone())
}

async fn list_keys(context: &Context) -> CliResult {
    let keys = context.platform().await?.key_list().await?;
    let row = |key: &KeyInfo| {
        let KeyInfo { id, name, roles, scope, created_at: _, created_by, expires_at, last_used_at } = key;
        let never = || "never".to_owned();
        vec![
            cell(name),
            cell(id),
            cell(roles.join(", ")),
            cell(scope.as_ref().map_or_else(String::new, |scope| scope.join(", "))),
            cell(expires_at.map_or_else(never, moment)),
            cell(last_used_at.map_or_else(never, moment)),
            cell(created_by),
        ]
    };
    context.output.print(&keys, || {
        let head = ["NAME", "ID", "ROLES", "SCOPE", "EXPIRES", "LAST USED", "MADE BY"];
        table_or("No keys.", &head, keys.iter().map(row).collect())
    })
}

async fn revoke_key(context: &Context, key: &str) -> CliResult {
    let left = context.platform().await?.key_delete(key).await?;
    let value = json!({"key": key, "action": "revoked", "left": left});
    context.output.print(&value, || format!("key {key} revoked"))?;
    let KeyRevocation { subscriptions, webhooks, schedules, grants, keys } = left;
    let kinds = [
        ("subscriptions that are still called", subscriptions),
        ("webhooks that receive nothing until they are updated", webhooks),
        ("schedules whose jobs fail until they are set again", schedules),
        ("plugins that keep what it granted", grants),
        ("keys that stay valid", keys),
    ];
    for (what, names) in kinds.iter().filter(|(_, names)| !names.is_empty() && context.output.format() == Format::Table)
    {
        let text = format!("{} the key made {what}: {}", yellow("warning:"), clean(&names.join(", ")));
        context.output.remark(&text);
    }
    Ok(())
}

async fn list_roles(context: &Context) -> CliResult {
    let roles = context.platform().await?.role_list().await?;
    context.output.print(&roles, || roles.iter().map(role_text).collect::<Vec<_>>().join("\n\n"))
}

fn role_text(role: &RoleInfo) -> String {
    let RoleInfo { name, description, allow, deny, built_in } = role;
    let kind = if *built_in { " (built in)" } else { "" };
    let mut text = format!("{}{kind}", bold(name));
    if !description.is_empty() {
        text = format!("{text}: {description}");
    }
    for (sign, rules) in [(green("allow"), allow), (red("deny"), deny)] {
        for rule in rules {
            text = format!("{text}\n  {sign}  {rule}");
        }
    }
    text
}

async fn explain(context: &Context, request: ExplainRequest) -> CliResult {
    let explanation: Explanation = context.platform().await?.access_explain(request).await?;
    context.output.print(&explanation, || explanation.text.clone())
}

async fn matrix(context: &Context) -> CliResult {
    let matrix = context.platform().await?.access_matrix().await?;
    context.output.print(&matrix, || matrix_text(&matrix))
}

fn matrix_text(matrix: &AccessMatrix) -> String {
    let AccessMatrix { roles, rows } = matrix;
    let names: Vec<_> = roles.iter().map(|role| role.to_uppercase()).collect();
    let head: Vec<_> = ["RIGHT", "OVER"].into_iter().chain(names.iter().map(String::as_str)).chain(["MEANS"]).collect();
    let row = |row: &AccessMatrixRow| {
        let AccessMatrixRow { right, meaning, over, cells } = row;
        let mut line = vec![cell(right), cell(over)];
        line.extend(cells.iter().map(|said| match (said.allow.as_slice(), said.deny.as_slice()) {
            ([], []) => cell("-"),
            ([all], []) if all == "*" => status("yes"),
            _ => cell(cell_text(said)),
        }));
        line.push(cell(meaning));
        line
    };
    table(&head, rows.iter().map(row))
}

fn cell_text(said: &AccessMatrixCell) -> String {
    let deny = said.deny.iter().map(|names| format!("not {names}"));
    said.allow.iter().cloned().chain(deny).collect::<Vec<_>>().join(", ")
}
