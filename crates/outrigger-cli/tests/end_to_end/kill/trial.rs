//! The clients together: set to work, and held against what is there after their server was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use outrigger_testkit::components;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::clients::{self, PARTS, Part, VERSIONS, apps, has_ended, standing, token};
use super::journal::{Journal, Kind, Thing, call, job_name, jobs, look};
use super::random::Random;
use super::server::Line;
use crate::harness::Place;

/// The code of a request that was begun and not ended when its server died.
const INTERRUPTED: &str = "request_interrupted";
/// For whatever has to be so after a while.
const PATIENCE: Duration = Duration::from_secs(30);

/// The clients, and what they know.
pub(crate) struct Trial {
    clients: Vec<(Part, Journal)>,
    /// The objects that existed before.
    setting: Journal,
    packages: PathBuf,
    /// The last record of the audit log that was looked at.
    audited: u64,
    /// Requests without an answer: how many were found done, and how many were not.
    done: u64,
    undone: u64,
}

impl Trial {
    /// `refusals` are error codes of a server that cannot write.
    pub(crate) fn new(random: &mut Random, place: &Place, refusals: &'static [&'static str]) -> Self {
        let counting = "[functions.total]\nread-only = true\n";
        for (name, version) in apps().iter().flat_map(|name| VERSIONS.map(|version| (name, version))) {
            package(place, name, version, &components::counter(), counting);
        }
        package(place, "counter", "1.0.0", &components::counter(), counting);
        package(place, "callbacks", "1.0.0", &components::callbacks(), "");
        package(place, "worker", "1.0.0", &components::hostile(), "[limits]\ntimeout = \"5m\"\n");
        let configured = "[configuration.number]\ntype = \"integer\"\n\
                          [configuration.token]\ntype = \"string\"\nsecret = true\n";
        package(place, "settings", "1.0.0", &components::hostile(), configured);
        Self {
            clients: PARTS.iter().map(|part| (*part, Journal::new(random.fork(), refusals))).collect(),
            setting: Journal::new(random.fork(), refusals),
            packages: place.path("packages"),
            audited: 0,
            done: 0,
            undone: 0,
        }
    }

    /// Installs what the clients work with.
    pub(crate) async fn prepare(&mut self, line: &Line) {
        for name in ["worker", "settings", "callbacks", "counter"] {
            let path = clients::package(&self.packages, name, "1.0.0");
            // The grant is approved for the inspected package.
            let look = self.setting.post("plugins/inspect", Some(json!({"source": {"path": &path}})));
            let report = line.send(&look).await.expect("the server is there").body;
            let body = json!({"source": {"path": path}, "approved": report["digest"]});
            let request = self.setting.post("plugins/install", Some(body));
            let after = Some(json!(["1.0.0", true]));
            let answer = self.setting.write(line, (Kind::Plugin, name), after, "plugin_create", request).await;
            answer.expect("the server is there");
        }
    }

    /// Lets all clients write until the end, or until they are refused or get no response.
    pub(crate) async fn write_until<T>(&mut self, line: &Line, end: impl Future<Output = T>) -> T {
        let (packages, over) = (&self.packages, CancellationToken::new());
        let writing =
            self.clients.iter_mut().map(|(part, journal)| clients::write(*part, journal, line, packages, &over));
        let ended = async {
            let outcome = end.await;
            over.cancel();
            outcome
        };
        futures::future::join(futures::future::join_all(writing), ended).await.1
    }

    /// Holds what is there against what the clients know. `starts` servers were started since they wrote.
    pub(crate) async fn check(&mut self, line: &Line, starts: u64) {
        let found = look(line).await;
        self.compare(&found);
        for journal in self.journals() {
            repeat_answered(journal, line).await;
        }
        let (mut done, mut undone) = (0, 0);
        let mut interrupted = BTreeSet::new();
        for journal in self.journals() {
            let Some(write) = journal.pending.take() else { continue };
            interrupted.insert(write.request.correlation.clone());
            let present = found.get(&write.thing).cloned();
            let is_done = present == write.after;
            *if is_done { &mut done } else { &mut undone } += 1;
            journal.settle(write.thing.clone(), present);
            if write.request.once.is_none() {
                continue;
            }
            // Clients without a response repeat their request.
            let answer = line.send(&write.request).await.expect("the server is there");
            match (is_done, answer.is_success()) {
                (true, true) => assert!(answer.replayed, "done twice: {write:?}, {answer:?}"),
                (false, true) => {
                    assert!(!answer.replayed, "said to be done: {write:?}, {answer:?}");
                    journal.settle(write.thing, write.after);
                }
                // The repeated response is the same.
                (false, false) if journal.refusals.iter().any(|code| answer.body["code"] == *code) => continue,
                (_, false) => {
                    assert_eq!((answer.status, &answer.body["code"]), (409, &json!(INTERRUPTED)), "{write:?}");
                    continue;
                }
            }
            journal.acknowledged.push((write.request.correlation, write.action));
        }
        (self.done, self.undone) = (self.done + done, self.undone + undone);
        self.compare(&look(line).await);
        self.check_plugins(line).await;
        self.check_audit(line, &interrupted).await;
        self.check_jobs(line, starts).await;
        self.learn_ids(line).await;
    }

    fn journals(&mut self) -> impl Iterator<Item = &mut Journal> {
        self.clients.iter_mut().map(|(_, journal)| journal).chain([&mut self.setting])
    }

    /// All that must be there is, and nothing else.
    fn compare(&mut self, found: &BTreeMap<Thing, Json>) {
        let mut unclaimed: BTreeSet<_> = found.keys().cloned().collect();
        for journal in self.journals() {
            let pending = journal.pending.iter().map(|write| &write.thing);
            let things: BTreeSet<_> = journal.present.keys().chain(pending).cloned().collect();
            for thing in things {
                let (actual, allowed) = (found.get(&thing).cloned(), journal.allowed(&thing));
                assert!(allowed.contains(&actual), "{thing:?} is {actual:?}, and can only be one of {allowed:?}");
                unclaimed.remove(&thing);
            }
        }
        let told = self.clients.iter().flat_map(|(_, journal)| journal.told(&unclaimed));
        let told: Vec<_> = told.collect();
        assert!(unclaimed.is_empty(), "nobody asked for these: {unclaimed:?}; what was told of them: {told:#?}");
    }

    /// Plugins that are there answer, and see the configuration that was set for them, secrets included.
    async fn check_plugins(&mut self, line: &Line) {
        let mut answering = Vec::new();
        let mut number = None;
        for journal in self.journals() {
            number = number.or_else(|| journal.value(Kind::Configuration, "settings")[1].as_u64());
            let apps = journal.names(Kind::Plugin).into_iter().filter(|name| name.starts_with("app-"));
            answering.extend(apps.filter(|name| journal.value(Kind::Plugin, name)[1] == true));
        }
        for name in answering {
            assert_eq!(call(line, &name, json!({"function": "total"})).await, 0, "{name}");
        }
        if let Some(number) = number {
            let seen = call(line, "settings", json!({"function": "setting", "args": {"key": "token"}})).await;
            assert_eq!(seen, json!(format!("{:?}", token(number))), "the secret of revision {number}");
        }
    }

    /// The chain is whole, and says of every change that was answered who did it.
    async fn check_audit(&mut self, line: &Line, interrupted: &BTreeSet<String>) {
        let verification = line.get("audit/verify").await;
        assert_eq!(verification["whole"], true, "{verification}");
        // Keys share a verification for some seconds, so it may not know the latest records.
        let newest = line.list("audit?limit=1").await[0]["sequence"].as_u64().unwrap();
        let (mut ended, mut begun) = (BTreeSet::new(), BTreeSet::new());
        let mut before = newest + 1;
        while before > self.audited + 1 {
            let page = line.list(&format!("audit?limit=1000&before={before}")).await;
            for record in page {
                before = record["sequence"].as_u64().unwrap();
                if before <= self.audited {
                    break;
                }
                let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
                let entry = (text("correlation"), text("action"));
                match record["stage"].as_str() {
                    Some("done") if record["allowed"] == true && record["code"].is_null() => ended.insert(entry),
                    Some("intent") => begun.insert(entry),
                    // The plugin is called often. Calls that are about to run have their own group.
                    Some("group") if record["decision"] != "begun" => {
                        let calls =
                            record["calls"].as_array().into_iter().flatten().filter(|call| call["code"].is_null());
                        let ids = calls.flat_map(|call| call["correlations"].as_array().into_iter().flatten());
                        ended.extend(ids.map(|id| (id.as_str().unwrap_or_default().to_owned(), text("action"))));
                        true
                    }
                    _ => false,
                };
            }
        }
        self.audited = newest;
        // A job that was cut off has begun its call and not ended it. The call has the job's id.
        let of_jobs: BTreeSet<_> = jobs(line).await.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        for journal in self.journals() {
            for (correlation, action) in std::mem::take(&mut journal.acknowledged) {
                assert!(
                    ended.contains(&(correlation.clone(), action.to_owned())),
                    "no record of {action} {correlation}"
                );
            }
        }
        for (correlation, action) in begun.difference(&ended) {
            if !interrupted.contains(correlation) && !of_jobs.contains(correlation) {
                let records = line.list(&format!("audit?correlation={correlation}")).await;
                panic!("{action} {correlation} has no end: {records:#?}");
            }
        }
    }

    /// Jobs are where their policy says. Then those that have not ended are cancelled, to make room.
    async fn check_jobs(&mut self, line: &Line, starts: u64) {
        let (_, journal) = self.clients.iter_mut().find(|(part, _)| matches!(part, Part::Jobs)).unwrap();
        let all = jobs(line).await;
        for job in &all {
            let name = job_name(job);
            let policy = job["on_interruption"].as_str().unwrap();
            let Some(before) = journal.seen.get(&name) else { continue };
            // A call that could not be recorded was not made, and its job reports that.
            if job["state"] == "failed" && journal.refusals.iter().any(|code| job["error"]["code"] == *code) {
                continue;
            }
            assert!(follows(policy, &name, before, &standing(job), starts), "{name} was {before:?}: {job}");
            if job["state"] == "failed" {
                assert_eq!(job["error"]["message"], "the server stopped while the job ran", "{job}");
            }
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut left = Vec::new();
            for state in ["queued", "running", "waiting_for_approval"] {
                left.extend(line.list(&format!("jobs?limit=1000&state={state}")).await);
            }
            if left.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "they do not end: {left:?}");
            for job in left {
                let request = journal.post(format!("jobs/{}/cancel", job["id"].as_str().unwrap()), None);
                let answer = line.send(&request).await.expect("the server is there");
                // It may have ended just now.
                assert!(answer.is_success() || answer.status == 409, "{answer:?}");
            }
        }
        journal.seen = jobs(line).await.iter().map(|job| (job_name(job), standing(job))).collect();
    }

    /// Under which ids the server has what clients know by another name.
    async fn learn_ids(&mut self, line: &Line) {
        let mut ids = BTreeMap::new();
        for subscription in line.list("subscriptions").await {
            let text = |name: &str| subscription[name].as_str().unwrap().to_owned();
            ids.insert(text("description"), text("id"));
        }
        for (part, journal) in &mut self.clients {
            if matches!(part, Part::Hooks) {
                journal.ids = std::mem::take(&mut ids);
            }
        }
    }

    /// That nothing was lost says little where little was written.
    #[expect(clippy::print_stderr, reason = "what was shown, for whoever looks")]
    pub(crate) fn says_enough(&self, start: Duration) {
        for (part, journal) in &self.clients {
            eprintln!("{part:?}: {} writes were answered", journal.writes);
            assert!(journal.writes > 5, "{part:?} wrote no more than {}: this has shown nothing", journal.writes);
        }
        let Self { done, undone, audited, .. } = self;
        eprintln!("not answered: {done} found done, {undone} not; {audited} audit records; a start took {start:?}");
        assert!(*done > 0 && *undone > 0, "no write was ever interrupted");
    }
}

/// A repeated request gets the response from before the server died, and is not executed again.
async fn repeat_answered(journal: &mut Journal, line: &Line) {
    let Some((request, first)) = journal.answered.take() else { return };
    let again = line.send(&request).await.expect("the server is there");
    // On a full disk the answer may be given and not be kept: the write itself is looked for elsewhere.
    if !journal.refusals.is_empty() && again.body["code"] == "request_interrupted" {
        return;
    }
    assert!(again.replayed, "{request:?}: {again:?}");
    assert_eq!((again.status, again.body), (first.status, first.body), "{request:?}");
}

/// Whether a job can stand where it does, when it was seen where it was before the server died.
fn follows(policy: &str, name: &str, before: &(String, u64), now: &(String, u64), starts: u64) -> bool {
    let ((state_before, attempt_before), (state, attempt)) = (before, now);
    if has_ended(state_before) {
        return before == now;
    }
    if starts == 0 && before == now {
        return true;
    }
    let ran = state_before == "running";
    match state.as_str() {
        "succeeded" => name.starts_with("worker.good"),
        "failed" => policy == "fail" && *attempt == 1,
        "waiting_for_approval" => policy == "ask" && *attempt == 1,
        // Begun once more by each server since, and once before unless that was seen.
        "queued" | "running" if policy == "retry" => *attempt <= attempt_before + starts + u64::from(!ran),
        // For the first time.
        "queued" | "running" => !ran && *attempt <= 1,
        _ => false,
    }
}

/// A package of a component.
fn package(place: &Place, name: &str, version: &str, component: &[u8], more: &str) {
    place.write(&format!("packages/{name}-{version}/x.wasm"), component);
    let manifest = format!(
        "name = \"{name}\"\nversion = \"{version}\"\ntitle = \"A test plugin\"\ndescription = \"For tests.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n{more}"
    );
    place.write(&format!("packages/{name}-{version}/plugin.toml"), manifest);
}
