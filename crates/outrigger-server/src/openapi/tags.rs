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
    ("Plugins", "Installed plugins: found, switched on and off, called, looked after."),
    ("Packages", "Packages of plugins: looked at, installed, put in the place of others."),
    ("Configuration", "What administrators set for plugins, what it was before, and the keys of secrets."),
    ("Functions", "Functions of plugins: found, described, called."),
    ("Hooks", "Points at which functions take part in what happens, and who is subscribed to them."),
    ("Jobs", "Jobs are durable background calls; schedules create them."),
    ("Records", "What happened: runs, log lines, statistics, the audit log."),
    ("Access", "Keys, roles, and why something is allowed or refused."),
    ("Backups", "The whole of a data directory in one file."),
    ("Templates", "What new plugins are made from."),
    ("Events", "What happened to plugins, configurations and jobs, as a log and as it happens."),
    ("Webhooks", "HTTP endpoints notified of events, and the deliveries to them."),
    ("Server", "Whether the server is there, and what it can be asked."),
    ("Earlier names", "The same by the names of the earlier plugin API, where a function is called a plugin."),
];
