//! The acknowledged writes of a client, and its last request without a response.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::random::Random;
use super::server::{Answer, Line, Request};

/// The kinds of objects that clients write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Key,
    Role,
    Hook,
    Subscription,
    Schedule,
    Plugin,
    Configuration,
    /// A number in the state of a plugin, which a call adds one to.
    Count,
    Job,
}

/// A thing, as all clients together name it.
pub(crate) type Thing = (Kind, String);

/// Something that changes one thing.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) thing: Thing,
    /// The object after the write; none if the write removes it.
    pub(crate) after: Option<Json>,
    /// The right under which the audit log has it.
    pub(crate) action: &'static str,
    pub(crate) request: Request,
}

/// The knowledge of one client.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) random: Random,
    pub(crate) present: BTreeMap<Thing, Json>,
    /// Asked for, and not answered.
    pub(crate) pending: Option<Write>,
    /// Correlation ids and rights of what was answered since the last look.
    pub(crate) acknowledged: Vec<(String, &'static str)>,
    /// The last that had an idempotency key, with its answer.
    pub(crate) answered: Option<(Request, Answer)>,
    /// All answers, for messages.
    told: Vec<(Write, Answer)>,
    /// Where jobs were seen to stand, and in which attempt.
    pub(crate) seen: BTreeMap<String, (String, u64)>,
    /// Under which ids the server has what has no name of its own.
    pub(crate) ids: BTreeMap<String, String>,
    pub(crate) writes: u64,
    /// Error codes of a server that cannot write. After such an error, the outcome is unknown.
    pub(crate) refusals: &'static [&'static str],
    numbers: u64,
}

impl Journal {
    pub(crate) fn new(random: Random, refusals: &'static [&'static str]) -> Self {
        Self {
            random,
            present: BTreeMap::new(),
            pending: None,
            acknowledged: Vec::new(),
            answered: None,
            told: Vec::new(),
            seen: BTreeMap::new(),
            ids: BTreeMap::new(),
            writes: 0,
            refusals,
            numbers: 0,
        }
    }

    /// A number that was not used yet.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// The objects of a kind.
    pub(crate) fn names(&self, kind: Kind) -> Vec<String> {
        self.present.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
    }

    pub(crate) fn value(&self, kind: Kind, name: &str) -> Json {
        self.present.get(&(kind, name.to_owned())).cloned().unwrap_or_default()
    }

    fn request(&mut self, method: reqwest::Method, path: String, body: Option<Json>) -> Request {
        // Only a POST can be sent again.
        let once = (method == reqwest::Method::POST).then(|| self.random.ulid());
        Request { method, path, body, once, correlation: self.random.ulid(), if_match: None }
    }

    pub(crate) fn post(&mut self, path: impl Into<String>, body: Option<Json>) -> Request {
        self.request(reqwest::Method::POST, path.into(), body)
    }

    pub(crate) fn put(&mut self, path: impl Into<String>, body: Json) -> Request {
        self.request(reqwest::Method::PUT, path.into(), Some(body))
    }

    pub(crate) fn delete(&mut self, path: impl Into<String>) -> Request {
        self.request(reqwest::Method::DELETE, path.into(), None)
    }

    /// Sends the request; none if the server died before it answered, or refused to write.
    pub(crate) async fn write(
        &mut self,
        line: &Line,
        (kind, name): (Kind, &str),
        after: Option<Json>,
        action: &'static str,
        request: Request,
    ) -> Option<Answer> {
        let write = Write { thing: (kind, name.to_owned()), after, action, request };
        self.pending = Some(write.clone());
        let answer = line.send(&write.request).await?;
        self.told.push((write.clone(), answer.clone()));
        if self.refusals.iter().any(|code| answer.body["code"] == *code) {
            return None;
        }
        assert!(answer.is_success(), "{write:?}: {answer:?}");
        self.pending = None;
        self.acknowledged.push((write.request.correlation.clone(), action));
        if write.request.once.is_some() {
            self.answered = Some((write.request, answer.clone()));
        }
        self.writes += 1;
        self.settle(write.thing, write.after);
        Some(answer)
    }

    /// All responses about the given objects.
    pub(crate) fn told(&self, things: &BTreeSet<Thing>) -> impl Iterator<Item = String> {
        let about = self.told.iter().filter(|(write, _)| things.contains(&write.thing));
        about.map(|(Write { request, after, .. }, answer)| {
            format!("{} {} {after:?}: {} {}", request.method, request.path, answer.status, answer.body)
        })
    }

    /// Notes how a thing is.
    pub(crate) fn settle(&mut self, thing: Thing, value: Option<Json>) {
        match value {
            Some(value) => self.present.insert(thing, value),
            None => self.present.remove(&thing),
        };
    }

    /// The possible states of an object, if its last write is unsettled.
    pub(crate) fn allowed(&self, thing: &Thing) -> Vec<Option<Json>> {
        let certain = self.present.get(thing).cloned();
        let pending = self.pending.iter().filter(|write| write.thing == *thing).map(|write| write.after.clone());
        std::iter::once(certain).chain(pending).collect()
    }
}

/// Everything that is there, by one look.
pub(crate) async fn look(line: &Line) -> BTreeMap<Thing, Json> {
    let mut found = BTreeMap::new();
    let mut add = |kind: Kind, name: &Json, value: Json| {
        let name = name.as_str().unwrap_or_else(|| panic!("{kind:?} without a name: {value}")).to_owned();
        let before = found.insert((kind, name.clone()), value);
        assert!(before.is_none(), "{kind:?} `{name}` was made twice");
    };
    for key in line.list("keys").await {
        if key["name"] != "administrator" {
            add(Kind::Key, &key["name"], json!(key["roles"]));
        }
    }
    for role in line.list("roles").await {
        if role["built_in"] == false {
            add(Kind::Role, &role["name"], json!([role["description"], role["allow"]]));
        }
    }
    for hook in line.list("hooks").await {
        if hook["built_in"] == false {
            add(Kind::Hook, &hook["name"], hook["description"].clone());
        }
    }
    for subscription in line.list("subscriptions").await {
        add(Kind::Subscription, &subscription["description"], json!([subscription["hook"], subscription["enabled"]]));
    }
    for schedule in line.list("schedules").await {
        add(Kind::Schedule, &schedule["name"], schedule["cron"].clone());
    }
    for plugin in line.list("plugins?limit=1000").await {
        let enabled = ["registered", "active"].contains(&plugin["state"].as_str().unwrap());
        add(Kind::Plugin, &plugin["name"], json!([plugin["version"], enabled]));
    }
    let configuration = line.get("plugins/settings/config").await;
    assert_eq!(configuration["problems"], Json::Null, "{configuration}");
    if configuration["revision"] != 0 {
        let newest = &line.list("plugins/settings/config-revisions").await[0];
        assert_eq!(newest["revision"], configuration["revision"]);
        assert_eq!(newest["values"], configuration["values"]);
        let value = json!([configuration["revision"], configuration["values"]["number"]]);
        add(Kind::Configuration, &json!("settings"), value);
    }
    for job in jobs(line).await {
        add(Kind::Job, &json!(job_name(&job)), job["on_interruption"].clone());
    }
    let counted = call(line, "counter", json!({"function": "total"})).await;
    if counted != 0 {
        add(Kind::Count, &json!("counter"), counted);
    }
    found
}

/// All jobs.
pub(crate) async fn jobs(line: &Line) -> Vec<Json> {
    let mut all: Vec<Json> = Vec::new();
    loop {
        let before = all.last().map_or(String::new(), |job| format!("&before={}", job["id"].as_str().unwrap()));
        let page = line.list(&format!("jobs?limit=1000{before}")).await;
        let last = page.len() < 1_000;
        all.extend(page);
        if last {
            return all;
        }
    }
}

/// Each job has a number of its own among its arguments, by which the client knows it.
pub(crate) fn job_name(job: &Json) -> String {
    let number = job["arguments"].as_object().unwrap().values().next().unwrap();
    format!("{} {number}", job["function"].as_str().unwrap())
}

/// The result of a call.
pub(crate) async fn call(line: &Line, plugin: &str, body: Json) -> Json {
    let request = Request {
        method: reqwest::Method::POST,
        path: format!("plugins/{plugin}/execute"),
        body: Some(body),
        once: None,
        correlation: String::new(),
        if_match: None,
    };
    let answer = line.send(&request).await.unwrap_or_else(|| panic!("`{plugin}` did not answer"));
    assert!(answer.is_success(), "{plugin}: {answer:?}");
    answer.body["result"].clone()
}
