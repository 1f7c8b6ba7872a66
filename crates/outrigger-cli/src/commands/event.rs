//! `outrigger events`: the log of events, and what comes.

use std::time::Duration;

use futures::StreamExt as _;
use outrigger_api::{ApiError, Code, EventInfo, EventQuery, FollowQuery, PluginName};

use super::filters;
use crate::cli::EventsArguments;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::table::{cell, table_or};
use crate::output::{bold, clean, dim, moment, one_line, shortened};

/// How long to wait before a server that has gone is looked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked for before it is given up.
const TRIES: u32 = 30;

/// Lists events, or shows them as they happen.
///
/// # Errors
/// The platform's.
pub async fn run(context: &Context, arguments: EventsArguments) -> CliResult {
    let EventsArguments { name, plugin, since, after, limit, follow } = arguments;
    if follow {
        return self::follow(context, FollowQuery { name, plugin, after }).await;
    }
    let query = EventQuery { name, plugin, after, before: None, since: since.map(|since| since.0), limit };
    let mut events = context.platform().await?.event_list(&query).await?;
    events.reverse();
    let row = |event: &EventInfo| {
        let EventInfo { id, at, name, plugin: _, caller, correlation: _, payload } = event;
        let by = caller.as_deref().unwrap_or_default();
        let used = id.len() + name.as_str().len() + by.len() + 32;
        vec![
            cell(id),
            cell(moment(*at)),
            cell(name.as_str()),
            cell(shortened(one_line(payload.as_str()), used)),
            cell(by),
        ]
    };
    let data = serde_json::to_value(&events).map_err(std::io::Error::other)?;
    context.output.print(&data, || {
        let filters = [query.name.is_some(), query.plugin.is_some(), query.since.is_some(), query.after.is_some()];
        let head = ["ID", "WHEN", "EVENT", "CARRIES", "FIRED BY"];
        table_or(&filters::empty("events", &filters), &head, events.iter().map(row).collect())
    })?;
    if events.is_empty() {
        // A pattern with a star is no name.
        let plugin = query.plugin.as_ref().and_then(|pattern| pattern.as_str().parse::<PluginName>().ok());
        filters::check_plugin(context, plugin.as_ref(), None).await;
    }
    Ok(())
}

/// Shows events one a line. A server that is started anew is followed on, from the last event that was shown.
async fn follow(context: &Context, mut query: FollowQuery) -> CliResult {
    let platform = context.platform().await?;
    let mut events = platform.event_follow(&query).await?;
    let mut failed = 0;
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                failed = 0;
                let data = serde_json::to_value(&event).map_err(std::io::Error::other)?;
                context.output.print_line(&data, || line(&event))?;
                query.after = Some(event.id);
                continue;
            }
            Some(Err(error)) if error.code != Code::Unreachable => return Err(error.into()),
            Some(Err(_)) | None => {}
        }
        if !context.has_server() {
            return Ok(());
        }
        context.output.remark("the server has gone; waiting for it");
        events = loop {
            match platform.event_follow(&query).await {
                Ok(events) => break events,
                Err(error) if passes(&error) && failed < TRIES => failed += 1,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(AGAIN).await;
        };
    }
}

const fn passes(error: &ApiError) -> bool {
    matches!(error.code, Code::Unreachable | Code::ShuttingDown)
}

fn line(event: &EventInfo) -> String {
    let EventInfo { id: _, at, name, plugin: _, caller, correlation, payload } = event;
    let payload = clean(payload.as_str());
    let by = caller.as_ref().map(|caller| format!(" by {}", clean(caller))).unwrap_or_default();
    format!("{} {} {payload}{by} {}\n", dim(&moment(*at)), bold(name.as_str()), dim(correlation))
}
