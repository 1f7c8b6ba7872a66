//! Clients that write until they are stopped or the server is gone. Each uses its own objects, so that it knows which
//! must exist.

use std::path::Path;

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::journal::{Journal, Kind};
use super::server::Line;

/// A client's actions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Access,
    Hooks,
    Schedules,
    Configuration,
    State,
    Packages,
    Jobs,
}

pub(crate) const PARTS: [Part; 7] =
    [Part::Access, Part::Hooks, Part::Schedules, Part::Configuration, Part::State, Part::Packages, Part::Jobs];

/// How many of a kind there are at most.
const MOST: usize = 12;
/// Plugins that come and go.
const APPS: u64 = 4;

/// Writes until the end, or until the server is gone or refuses.
pub(crate) async fn write(part: Part, journal: &mut Journal, line: &Line, packages: &Path, over: &CancellationToken) {
    while !over.is_cancelled() {
        let goes_on = match part {
            Part::Access => access(journal, line).await,
            Part::Hooks => hooks(journal, line).await,
            Part::Schedules => schedules(journal, line).await,
            Part::Configuration => configuration(journal, line).await,
            Part::State => state(journal, line).await,
            Part::Packages => app(journal, line, packages).await,
            Part::Jobs => jobs(journal, line).await,
        };
        if goes_on.is_none() {
            return;
        }
    }
}

/// Keys and roles: one more, one less, or one changed.
async fn access(journal: &mut Journal, line: &Line) -> Option<()> {
    let (keys, roles) = (journal.names(Kind::Key), journal.names(Kind::Role));
    let choice = journal.random.below(4);
    if choice == 0 || keys.len() > MOST {
        if let Some(name) = journal.random.pick(&keys) {
            let request = journal.delete(format!("keys/{name}"));
            journal.write(line, (Kind::Key, &name), None, "key_delete", request).await?;
        }
    } else if choice == 1 {
        let name = format!("role-{}", journal.random.below(MOST as u64));
        let description = format!("as of {}", journal.number());
        let allow = json!(["function_execute:counter.*"]);
        let body = json!({"description": description, "allow": allow});
        let request = journal.put(format!("roles/{name}"), body);
        let after = json!([description, allow]);
        journal.write(line, (Kind::Role, &name), Some(after), "role_create", request).await?;
    } else if choice == 2 && roles.len() > 2 {
        let name = journal.random.pick(&roles)?;
        let request = journal.delete(format!("roles/{name}"));
        journal.write(line, (Kind::Role, &name), None, "role_delete", request).await?;
    } else {
        let name = format!("key-{}", journal.number());
        let roles = json!(["viewer"]);
        let request = journal.post("keys", Some(json!({"name": name, "roles": roles})));
        journal.write(line, (Kind::Key, &name), Some(roles), "key_create", request).await?;
    }
    Some(())
}

/// Hooks, each with a subscription for a while.
async fn hooks(journal: &mut Journal, line: &Line) -> Option<()> {
    let subscribed = journal.names(Kind::Subscription);
    let free: Vec<_> = journal.names(Kind::Hook).into_iter().filter(|hook| !subscribed.contains(hook)).collect();
    match journal.random.below(4) {
        0 if !subscribed.is_empty() => {
            let name = journal.random.pick(&subscribed)?;
            let id = journal.ids[&name].clone();
            let request = journal.delete(format!("subscriptions/{id}"));
            journal.write(line, (Kind::Subscription, &name), None, "hook_delete", request).await?;
        }
        1 if !subscribed.is_empty() => {
            let name = journal.random.pick(&subscribed)?;
            let enabled = journal.value(Kind::Subscription, &name)[1] == false;
            let (verb, action) = if enabled { ("enable", "hook_create") } else { ("disable", "hook_delete") };
            let request = journal.post(format!("subscriptions/{}/{verb}", journal.ids[&name]), None);
            let after = json!([name, enabled]);
            journal.write(line, (Kind::Subscription, &name), Some(after), action, request).await?;
        }
        2 if !free.is_empty() => {
            // A subscription is known by its description, the name of its hook.
            let name = journal.random.pick(&free)?;
            let body = json!({"hook": name, "function": "callbacks.greet", "description": name});
            let request = journal.post("subscriptions", Some(body));
            let after = json!([name, true]);
            let made = journal.write(line, (Kind::Subscription, &name), Some(after), "hook_create", request).await?;
            journal.ids.insert(name, made.body["id"].as_str().unwrap().to_owned());
        }
        _ if free.len() > MOST => {
            let name = journal.random.pick(&free)?;
            let request = journal.delete(format!("hooks/{name}"));
            journal.write(line, (Kind::Hook, &name), None, "hook_delete", request).await?;
        }
        _ => {
            let name = format!("test.hook-{}", journal.number());
            let description = "It is made and removed.";
            let body = json!({"name": name, "kind": "event", "description": description});
            let request = journal.post("hooks", Some(body));
            journal.write(line, (Kind::Hook, &name), Some(json!(description)), "hook_create", request).await?;
        }
    }
    Some(())
}

async fn schedules(journal: &mut Journal, line: &Line) -> Option<()> {
    let present = journal.names(Kind::Schedule);
    if journal.random.below(3) == 0
        && let Some(name) = journal.random.pick(&present)
    {
        let request = journal.delete(format!("schedules/{name}"));
        journal.write(line, (Kind::Schedule, &name), None, "job_modify", request).await?;
        return Some(());
    }
    let name = format!("schedule-{}", journal.random.below(MOST as u64));
    // At a minute that hardly comes while the test runs.
    let cron = format!("{} {} 29 2 *", journal.random.below(60), journal.random.below(24));
    let body = json!({"cron": cron, "job": {"function": "worker.good", "arguments": {"number": 0}}});
    let request = journal.put(format!("schedules/{name}"), body);
    journal.write(line, (Kind::Schedule, &name), Some(json!(cron)), "job_create", request).await?;
    Some(())
}

/// The secret that goes with a number.
pub(crate) fn token(number: u64) -> String {
    format!("token of {number}")
}

async fn configuration(journal: &mut Journal, line: &Line) -> Option<()> {
    let name = "settings";
    let revision = journal.value(Kind::Configuration, name)[0].as_u64().unwrap_or(0);
    let number = journal.number();
    let body = json!({"number": number, "token": token(number)});
    let mut request = journal.put(format!("plugins/{name}/config"), body);
    request.if_match = Some(revision);
    let after = json!([revision + 1, number]);
    journal.write(line, (Kind::Configuration, name), Some(after), "configuration_modify", request).await?;
    Some(())
}

async fn state(journal: &mut Journal, line: &Line) -> Option<()> {
    let name = "counter";
    let next = journal.value(Kind::Count, name).as_u64().unwrap_or(0) + 1;
    let request = journal.post(format!("plugins/{name}/execute"), Some(json!({"function": "add"})));
    let after = Some(json!(next));
    let answer = journal.write(line, (Kind::Count, name), after, "function_execute", request).await?;
    assert_eq!(answer.body["result"], next, "a call was done twice, or never");
    Some(())
}

/// Where the package of a version of an app is.
pub(crate) fn package(packages: &Path, name: &str, version: &str) -> std::path::PathBuf {
    packages.join(format!("{name}-{version}"))
}

pub(crate) const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

/// The names of plugins that come and go.
pub(crate) fn apps() -> Vec<String> {
    (0..APPS).map(|number| format!("app-{number}")).collect()
}

async fn app(journal: &mut Journal, line: &Line, packages: &Path) -> Option<()> {
    let name = journal.random.pick(&apps())?;
    let present = journal.value(Kind::Plugin, &name);
    let (version, enabled) = (present[0].as_str().map(str::to_owned), present[1] == true);
    match (version, journal.random.below(4)) {
        (Some(_), 0) => {
            let request = journal.delete(format!("plugins/{name}"));
            journal.write(line, (Kind::Plugin, &name), None, "plugin_delete", request).await?;
        }
        (Some(version), 1 | 2) => {
            let verb = if enabled { "disable" } else { "enable" };
            let request = journal.post(format!("plugins/{name}/{verb}"), None);
            let after = json!([version, !enabled]);
            journal.write(line, (Kind::Plugin, &name), Some(after), "plugin_modify", request).await?;
        }
        (version, _) => {
            let next = VERSIONS[usize::from(version.as_deref() == Some(VERSIONS[0]))];
            let body = json!({"source": {"path": package(packages, &name, next)}, "allow_downgrade": true});
            let request = journal.post("plugins/install", Some(body));
            // A plugin that was disabled gets the new version, disabled.
            let after = json!([next, version.is_none() || enabled]);
            journal.write(line, (Kind::Plugin, &name), Some(after), "plugin_create", request).await?;
        }
    }
    Some(())
}

/// How long a job takes that is not to end by itself, in nanoseconds; more for each.
const LONG: u64 = 200_000_000_000;
const POLICIES: [&str; 3] = ["fail", "ask", "retry"];

/// Jobs that end, and jobs that do not, of each policy; now and then a look at where one stands.
async fn jobs(journal: &mut Journal, line: &Line) -> Option<()> {
    let unfinished: Vec<_> = journal.seen.iter().filter(|(_, (state, _))| !has_ended(state)).collect();
    let long = unfinished.iter().filter(|(name, _)| name.starts_with("worker.sleep")).count();
    let some: Vec<String> = unfinished.into_iter().map(|(name, _)| name.clone()).collect();
    match journal.random.below(3) {
        // One place is left for those that end.
        0 if long < POLICIES.len() => {
            let (number, policy) = (LONG + journal.number(), POLICIES[long]);
            start(journal, line, ("sleep", "nanoseconds"), number, policy).await?;
        }
        1 => {
            let (number, policy) = (journal.number(), journal.random.pick(&POLICIES)?);
            start(journal, line, ("good", "number"), number, policy).await?;
        }
        _ => {
            if let Some(name) = journal.random.pick(&some) {
                let mut request = journal.post(format!("jobs/{}", journal.ids[&name]), None);
                (request.method, request.once) = (reqwest::Method::GET, None);
                let job = line.send(&request).await?;
                assert!(job.is_success(), "{name}: {job:?}");
                journal.seen.insert(name, standing(&job.body));
            }
        }
    }
    // Keeps their number small.
    tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    Some(())
}

async fn start(
    journal: &mut Journal,
    line: &Line,
    (function, parameter): (&str, &str),
    number: u64,
    policy: &'static str,
) -> Option<()> {
    let name = format!("worker.{function} {number}");
    let body = json!({
        "function": format!("worker.{function}"),
        "arguments": {parameter: number},
        "on_interruption": policy,
    });
    let request = journal.post("jobs", Some(body));
    let job = journal.write(line, (Kind::Job, &name), Some(json!(policy)), "job_create", request).await?;
    journal.seen.insert(name.clone(), standing(&job.body));
    journal.ids.insert(name, job.body["id"].as_str().unwrap().to_owned());
    Some(())
}

pub(crate) fn standing(job: &Json) -> (String, u64) {
    (job["state"].as_str().unwrap().to_owned(), job["attempt"].as_u64().unwrap())
}

pub(crate) fn has_ended(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "cancelled")
}
