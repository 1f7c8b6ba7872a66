//! `outrigger hook`: hooks, who is subscribed to them, and what was done when they were fired.

use outrigger_api::{
    FireReport, FireRequest, HookCallbackInfo, HookInfo, HookName, HookRequest, HookTraceInfo, HookTraceQuery,
    SubscriptionInfo, SubscriptionQuery, SubscriptionRequest,
};
use serde_json::json;

use super::filters;
use super::plugin::warn_of_closed;
use crate::cli::{HookCommand, SubscribeArguments};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::input;
use crate::output::table::{cell, fields, table_or};
use crate::output::{duration, moment, one_line};

/// Runs one of the commands.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, command: HookCommand) -> CliResult {
    match command {
        HookCommand::List { plugin } => list(context, SubscriptionQuery { plugin, hook: None }).await,
        HookCommand::Show { name } => show(context, name).await,
        HookCommand::Add { name, kind, description, schema } => {
            let schema = schema.map(|schema| input::object("--schema", &schema)).transpose()?;
            let request = HookRequest { name, kind, description, schema };
            let hook = context.platform().await?.hook_create(request).await?;
            context.output.print(&hook, || format!("hook {} added", hook.name))
        }
        HookCommand::Remove { name } => {
            context.platform().await?.hook_delete(&name).await?;
            context.output.print(&json!({"hook": name, "action": "removed"}), || format!("hook {name} removed"))
        }
        HookCommand::Subscribe(arguments) => subscribe(context, arguments).await,
        HookCommand::Unsubscribe { id } => {
            context.platform().await?.subscription_delete(&id).await?;
            context.output.print(&json!({"subscription": id, "action": "ended"}), || format!("subscription {id} ended"))
        }
        HookCommand::Enable { id } => switch(context, &id, true).await,
        HookCommand::Disable { id } => switch(context, &id, false).await,
        HookCommand::Fire { name, payload, dry_run } => {
            let payload = serde_json::from_str(&payload).map_err(|error| {
                usage(format!("the payload is not JSON: {error}"), "a text is JSON in quotes: '\"Ada\"'")
            })?;
            let report = context.platform().await?.hook_fire(&name, FireRequest { payload, dry_run }).await?;
            context.output.print(&report, || report_text(&report))
        }
        HookCommand::Trace { name, correlation, limit } => {
            let query = HookTraceQuery { hook: name, correlation, limit };
            let mut traces = context.platform().await?.hook_traces(&query).await?;
            traces.reverse();
            let filters = [query.hook.is_some(), query.correlation.is_some()];
            context.output.print(&traces, || match traces.is_empty() {
                true => filters::empty("traces", &filters),
                false => traces.iter().map(trace_text).collect::<Vec<_>>().join("\n\n"),
            })?;
            if let (true, Some(hook)) = (traces.is_empty(), &query.hook) {
                filters::check_hook(context, hook).await;
            }
            Ok(())
        }
    }
}

async fn list(context: &Context, query: SubscriptionQuery) -> CliResult {
    let platform = context.platform().await?;
    let (hooks, subscriptions) = (platform.hook_list().await?, platform.subscription_list(&query).await?);
    let hook = |hook: &HookInfo| {
        let HookInfo { name, kind, description, subscriptions, closed_by, .. } = hook;
        let description = match closed_by.is_empty() {
            true => one_line(description),
            false => format!("CLOSED: {}", one_line(description)),
        };
        vec![
            cell(name.as_str()),
            cell(kind.as_str()),
            cell(origin(hook)),
            cell(subscriptions.to_string()),
            cell(description),
        ]
    };
    context.output.print(&json!({"hooks": hooks, "subscriptions": subscriptions}), || {
        let hooks = table_or(
            "No hooks.",
            &["HOOK", "KIND", "FROM", "SUBSCRIBED>", "DESCRIPTION"],
            hooks.iter().map(hook).collect(),
        );
        format!("{hooks}\n\n{}", subscriptions_text(&subscriptions))
    })?;
    if subscriptions.is_empty() {
        filters::check_plugin(context, query.plugin.as_ref(), None).await;
    }
    let closed: Vec<_> = hooks.into_iter().flat_map(|hook| hook.closed_by).collect();
    warn_of_closed(context, &closed);
    Ok(())
}

async fn show(context: &Context, name: HookName) -> CliResult {
    let platform = context.platform().await?;
    let query = SubscriptionQuery { plugin: None, hook: Some(name.clone()) };
    let (hook, subscriptions) = (platform.hook_fetch(&name).await?, platform.subscription_list(&query).await?);
    context.output.print(&json!({"hook": hook, "subscriptions": subscriptions}), || {
        let schema = hook.schema.as_ref().map_or("any JSON".to_owned(), |schema| format!("{schema:#}"));
        let lines = [
            ("Hook", hook.name.to_string()),
            ("Kind", hook.kind.to_string()),
            ("From", origin(&hook).to_owned()),
            ("Description", one_line(&hook.description)),
            ("Carries", schema),
        ];
        format!("{}\n{}", fields(&lines), subscriptions_text(&subscriptions))
    })?;
    warn_of_closed(context, &hook.closed_by);
    Ok(())
}

/// Where a hook comes from.
fn origin(hook: &HookInfo) -> &str {
    match &hook.plugin {
        Some(plugin) => plugin.as_str(),
        None if hook.built_in => "built in",
        None => "added",
    }
}

fn subscriptions_text(subscriptions: &[SubscriptionInfo]) -> String {
    let head = ["SUBSCRIPTION", "HOOK", "PRIORITY>", "FUNCTION", "CONDITION", "ON ERROR", "STATE"];
    table_or("No subscribers.", &head, subscriptions.iter().map(subscription_row).collect())
}

fn subscription_row(subscription: &SubscriptionInfo) -> Vec<comfy_table::Cell> {
    let state = match (subscription.enabled, &subscription.reason) {
        (true, _) => "on".to_owned(),
        (false, None) => "off".to_owned(),
        (false, Some(reason)) => format!("off: {}", one_line(reason)),
    };
    vec![
        cell(&subscription.id),
        cell(subscription.hook.as_str()),
        cell(subscription.priority.to_string()),
        cell(subscription.function.to_string()),
        cell(one_line(subscription.condition.as_deref().unwrap_or_default())),
        cell(subscription.on_error.to_string()),
        cell(state),
    ]
}

async fn subscribe(context: &Context, arguments: SubscribeArguments) -> CliResult {
    let SubscribeArguments { hook, function, priority, condition, on_error, timeout, description } = arguments;
    let request = SubscriptionRequest { hook, function, priority, condition, on_error, timeout, description };
    let made = context.platform().await?.subscription_create(request).await?;
    context.output.print(&made, || format!("subscription {}: {} calls {}", made.id, made.hook, made.function))
}

async fn switch(context: &Context, id: &str, enabled: bool) -> CliResult {
    let changed = context.platform().await?.subscription_switch(id, enabled).await?;
    let state = if changed.enabled { "enabled" } else { "disabled" };
    context.output.print(&changed, || format!("subscription {id} {state}"))
}

fn report_text(report: &FireReport) -> String {
    let FireReport { value, message, trace } = report;
    let mut text = format!("{}\n\n{value:#}", trace_text(trace));
    if let Some(message) = message {
        text = format!("{text}\n\n{}", one_line(message));
    }
    text
}

fn trace_text(trace: &HookTraceInfo) -> String {
    let dry = if trace.dry_run { ", a dry run" } else { "" };
    let HookTraceInfo { hook, caller, started_at, duration_us, result, correlation, callbacks, .. } = trace;
    let took = duration(*duration_us);
    let title = format!("{hook} {result} in {took}{dry}, by {caller}, {}, {correlation}", moment(*started_at));
    let row = |callback: &HookCallbackInfo| {
        let why = callback.skipped.as_deref().or(callback.code.map(outrigger_api::Code::as_str));
        let outcome = why.map_or(callback.outcome.clone(), |why| format!("{}: {why}", callback.outcome));
        vec![
            cell(callback.function.to_string()),
            cell(callback.priority.to_string()),
            cell(outcome),
            cell(duration(callback.duration_us)),
            cell(if callback.value_changed { "yes" } else { "no" }),
            cell(one_line(callback.message.as_deref().unwrap_or_default())),
        ]
    };
    let head = ["FUNCTION", "PRIORITY>", "OUTCOME", "TOOK>", "CHANGED", "MESSAGE"];
    format!("{title}\n{}", table_or("No subscribers.", &head, callbacks.iter().map(row).collect()))
}
