//! The groups that operations are in, with a line about each.

use serde_json::{Value, json};

use crate::endpoint::api::Api;

/// Every tag, in the order in which the routes name them.
pub fn all(api: &Api) -> Vec<Value> {
    let mut tags: Vec<&str> = Vec::new();
    for route in &api.routes {
        if !tags.contains(&route.operation.tag) {
            tags.push(route.operation.tag);
        }
    }
    let described = |tag: &str| match TABLE.iter().find(|(name, _)| *name == tag) {
        Some((_, about)) => json!({"name": tag, "description": about}),
        None => json!({"name": tag}),
    };
    tags.into_iter().map(described).collect()
}

const TABLE: &[(&str, &str)] = &[
    ("Plugins", "Installed plugins: list, enable, disable, call and monitor them."),
    ("Packages", "Packages of plugins: inspect, install and update them."),
    ("Configuration", "Configurations of plugins, their revisions, and the encryption keys of secrets."),
    ("Functions", "Functions of plugins: find, describe and call them."),
    ("Hooks", "Hooks, their subscriptions, and traces of their firings."),
    ("Jobs", "Jobs are durable background calls; schedules create them."),
    ("Records", "Runs, log lines, statistics and the audit log."),
    ("Access", "Keys, roles, and explanations of decisions."),
    ("Backups", "Backups of the data directory."),
    ("Templates", "Templates for new plugins."),
    ("Events", "Events about plugins, configurations and jobs: the log, and a live stream."),
    ("Webhooks", "HTTP endpoints notified of events, and the deliveries to them."),
    ("Server", "Health, readiness and metrics of the server, and this document."),
    ("Earlier names", "Endpoints with the names of the earlier plugin API, where a function is called a plugin."),
];
