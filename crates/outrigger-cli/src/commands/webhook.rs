//! `outrigger webhook`: HTTP endpoints notified of events.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use outrigger_api::{
    ApiError, Code, DeliveryInfo, DeliveryQuery, Secret, WebhookChange, WebhookInfo, WebhookName, WebhookRequest,
};
use serde_json::json;
use time::OffsetDateTime;

use super::filters;
use crate::cli::{Header, WebhookAddArguments, WebhookCommand, WebhookOptions, WebhookUpdateArguments};
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, fields, status, table_or};
use crate::output::{moment, one_line};

/// How often a delivery is looked at,
const POLL: Duration = Duration::from_millis(200);
/// and for how long: a little longer than an attempt may take.
const PATIENCE: Duration = Duration::from_secs(13);

const KEEP: &str = "Keep this secret safe: it is not shown again. Receivers check with it that a delivery is ours.";

/// Runs one of the commands.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, command: WebhookCommand) -> CliResult {
    match command {
        WebhookCommand::List => list(context).await,
        WebhookCommand::Info { name } => {
            let webhook = context.platform().await?.webhook_fetch(&name).await?;
            context.output.print(&webhook, || webhook_text(&webhook))
        }
        WebhookCommand::Add(arguments) => add(context, arguments).await,
        WebhookCommand::Update(arguments) => update(context, arguments).await,
        WebhookCommand::Remove { name } => {
            context.platform().await?.webhook_delete(&name).await?;
            context.output.print(&json!({"webhook": name, "action": "removed"}), || format!("webhook {name} removed"))
        }
        WebhookCommand::Test { name } => test(context, &name).await,
        WebhookCommand::Deliveries { name, state, limit } => {
            let query = DeliveryQuery { state, before: None, limit };
            let deliveries = context.platform().await?.delivery_list(&name, &query).await?;
            context.output.print(&deliveries, || {
                let head = ["ID", "EVENT", "STATE", "ATTEMPTS>", "NEXT OR ENDED", "MESSAGE"];
                let empty = filters::empty("deliveries", &[query.state.is_some()]);
                table_or(&empty, &head, deliveries.iter().map(delivery_row).collect())
            })
        }
        WebhookCommand::Retry { name, delivery, all: _ } => {
            let retry = context.platform().await?.delivery_retry(&name, delivery.as_deref()).await?;
            remark_on_server(context);
            context.output.print(&retry, || match retry.retried {
                1 => "1 dead letter queued to be sent again".to_owned(),
                count => format!("{count} dead letters queued to be sent again"),
            })
        }
    }
}

async fn list(context: &Context) -> CliResult {
    let webhooks = context.platform().await?.webhook_list().await?;
    let row = |webhook: &WebhookInfo| {
        vec![
            cell(webhook.name.as_str()),
            cell(&webhook.url),
            cell(patterns(webhook)),
            cell(state(webhook)),
            cell(webhook.pending.to_string()),
            cell(webhook.dead.to_string()),
        ]
    };
    context.output.print(&webhooks, || {
        let head = ["NAME", "ADDRESS", "EVENTS", "STATE", "PENDING>", "DEAD>"];
        table_or("No webhooks.", &head, webhooks.iter().map(row).collect())
    })
}

fn patterns(webhook: &WebhookInfo) -> String {
    webhook.events.iter().map(outrigger_api::Pattern::as_str).collect::<Vec<_>>().join(", ")
}

fn state(webhook: &WebhookInfo) -> String {
    match (webhook.enabled, &webhook.reason, webhook.failing_since) {
        (true, _, None) => "on".to_owned(),
        (true, _, Some(since)) => format!("on, failing since {}", moment(since)),
        (false, None, _) => "off".to_owned(),
        (false, Some(reason), _) => format!("off: {}", one_line(reason)),
    }
}

fn webhook_text(webhook: &WebhookInfo) -> String {
    let yes = |said: bool| if said { "yes".to_owned() } else { String::new() };
    fields(&[
        ("Webhook", webhook.name.to_string()),
        ("Address", webhook.url.clone()),
        ("Events", patterns(webhook)),
        ("Plugin", webhook.plugin.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("State", state(webhook)),
        ("Description", webhook.description.clone()),
        ("Headers", webhook.headers.join(", ")),
        ("Plain HTTP", yes(webhook.allow_http)),
        ("Private network", yes(webhook.allow_private_network)),
        ("Pending", webhook.pending.to_string()),
        ("Dead letters", webhook.dead.to_string()),
        ("Added by", webhook.created_by.clone()),
        ("Added", moment(webhook.created_at)),
        ("Changed", moment(webhook.updated_at)),
    ])
}

async fn add(context: &Context, arguments: WebhookAddArguments) -> CliResult {
    let WebhookAddArguments { name, url, options, allow_http, allow_private_network, disabled } = arguments;
    let WebhookOptions { events, plugin, description, headers } = options;
    let events = if events.is_empty() { vec!["*".parse().expect("a star is a pattern")] } else { events };
    let request = WebhookRequest {
        name,
        url,
        events,
        plugin,
        enabled: !disabled,
        description: description.unwrap_or_default(),
        headers: secret(headers),
        allow_http,
        allow_private_network,
    };
    let made = context.platform().await?.webhook_create(request).await?;
    context.output.remark(KEEP);
    remark_on_server(context);
    context.output.print(&made, || made.secret.reveal().to_owned())
}

fn secret(headers: Vec<Header>) -> BTreeMap<String, Secret> {
    headers.into_iter().map(|Header { name, value }| (name, Secret::new(value))).collect()
}

async fn update(context: &Context, arguments: WebhookUpdateArguments) -> CliResult {
    let WebhookUpdateArguments {
        name,
        url,
        options,
        no_headers,
        allow_http,
        allow_private_network,
        enable,
        disable,
        rotate_secret,
    } = arguments;
    let platform = context.platform().await?;
    let present = platform.webhook_fetch(&name).await?;
    // Fields that are not given keep their read values, so a concurrent change must be detected, or it would be undone.
    let seen = present.fingerprint();
    let WebhookOptions { events, plugin, description, headers } = options;
    let change = WebhookChange {
        url: url.unwrap_or(present.url),
        events: if events.is_empty() { present.events } else { events },
        plugin: plugin.or(present.plugin),
        enabled: (present.enabled || enable) && !disable,
        description: description.unwrap_or(present.description),
        headers: (no_headers || !headers.is_empty()).then(|| secret(headers)),
        allow_http: allow_http.unwrap_or(present.allow_http),
        allow_private_network: allow_private_network.unwrap_or(present.allow_private_network),
    };
    let changed = platform.webhook_update(&name, change, Some(seen)).await.map_err(|error| match error.code {
        // A server speaks of its header `If-Match`, which nobody wrote here.
        Code::Conflict => {
            ApiError::new(Code::Conflict, format!("the webhook {name} was changed by someone else in the meantime"))
                .with_hint(format!("check it with `outrigger webhook info {name}`, then try again"))
        }
        _ => error,
    })?;
    if !rotate_secret {
        return context.output.print(&changed, || webhook_text(&changed));
    }
    let rotated = platform.webhook_rotate(&name).await?;
    context.output.remark(KEEP);
    context.output.print(&rotated, || rotated.secret.reveal().to_owned())
}

/// Warns if no server is running, because nothing happens until one starts.
fn remark_on_server(context: &Context) {
    if !context.has_server() {
        context
            .output
            .remark("No server runs over this data directory: webhooks wait until `outrigger serve` tells them.");
    }
}

/// Sends something, and waits for the first attempt.
async fn test(context: &Context, name: &WebhookName) -> CliResult {
    let platform = context.platform().await?;
    let made = platform.webhook_test(name).await?;
    if !context.has_server() {
        remark_on_server(context);
        return context.output.print(&made, || format!("delivery {} waits", made.id));
    }
    let started = Instant::now();
    let mut ticks = tokio::time::interval(POLL);
    let delivery = loop {
        ticks.tick().await;
        let delivery = platform.delivery_fetch(name, &made.id).await?;
        if delivery.state != "pending" || delivery.attempts > 0 || started.elapsed() > PATIENCE {
            break delivery;
        }
    };
    if delivery.state == "delivered" {
        return context.output.print(&delivery, || match delivery.status {
            Some(status) => format!("delivered: the receiver answered {status}"),
            None => "delivered".to_owned(),
        });
    }
    let why = delivery.error.unwrap_or_else(|| "there was no attempt yet".to_owned());
    let hint = match delivery.next_at {
        Some(next) => {
            format!("the next attempt is at {}; `outrigger webhook deliveries {name}` lists attempts", moment(next))
        }
        None => format!("`outrigger webhook info {name}` shows the state of the webhook"),
    };
    Err(ApiError::new(Code::Unreachable, format!("the delivery to webhook `{name}` failed: {why}"))
        .with_hint(hint)
        .into())
}

fn delivery_row(delivery: &DeliveryInfo) -> Vec<comfy_table::Cell> {
    let DeliveryInfo { id, name, state, attempts, next_at, status: answered, error, ended_at, .. } = delivery;
    let at = |time: Option<OffsetDateTime>| time.map_or_else(|| "-".to_owned(), moment);
    let message = error.clone().or_else(|| answered.map(|status| format!("the receiver answered {status}")));
    vec![
        cell(id),
        cell(name.as_str()),
        status(state),
        cell(attempts.to_string()),
        cell(at(next_at.or(*ended_at))),
        cell(one_line(&message.unwrap_or_default())),
    ]
}
