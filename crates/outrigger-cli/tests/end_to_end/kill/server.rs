//! A server that is killed in the middle of its work, and what is said to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value as Json;

use crate::harness::bundled;

/// A server. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    /// The administrator's, from the first start of a directory.
    pub(crate) key: Option<String>,
}

/// A process that begins to serve, and has not said yet that it does.
pub(crate) fn launch(data: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--listen", "127.0.0.1:0", "--acts-per-minute", "1000000", "-o", "json"])
        .env("OUTRIGGER_DATA", data)
        .env("OUTRIGGER_BUNDLED", bundled())
        .env_remove("OUTRIGGER_PLUGIN_PATH")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the binary can be started")
}

/// SIGKILL, which nothing can be done about.
pub(crate) fn kill(child: &mut Child) {
    // It may be gone already.
    let _ = child.kill();
    child.wait().expect("it is our child");
}

impl Server {
    /// Starts one, and waits until it serves.
    pub(crate) fn start(data: &Path) -> Self {
        let mut child = launch(data);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Json>(&line) else {
            kill(&mut child);
            let log = std::fs::read_to_string(data.with_extension("log")).unwrap_or_default();
            panic!("the directory does not open: `{line}`\n{log}");
        };
        let key = said["administrator_key"].as_str().map(str::to_owned);
        Self { child, address: said["address"].as_str().unwrap().to_owned(), key }
    }

    pub(crate) fn kill_dead(mut self) {
        kill(&mut self.child);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(&mut self.child);
    }
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: reqwest::Method,
    pub(crate) path: String,
    pub(crate) body: Option<Json>,
    /// Its idempotency key.
    pub(crate) once: Option<String>,
    /// Under which the audit log has it.
    pub(crate) correlation: String,
    /// The revision that it is to change.
    pub(crate) if_match: Option<u64>,
}

/// The response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) body: Json,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Speaks to a server with one key.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    http: reqwest::Client,
    address: String,
    key: String,
}

impl Line {
    pub(crate) fn new(address: &str, key: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        Self { http, address: address.to_owned(), key: key.to_owned() }
    }

    /// None where no whole answer came.
    pub(crate) async fn send(&self, request: &Request) -> Option<Answer> {
        let Request { method, path, body, once, correlation, if_match } = request;
        let mut sent = self.http.request(method.clone(), format!("{}/api/v1/{path}", self.address));
        sent = sent.bearer_auth(&self.key).header("X-Correlation-Id", correlation);
        if let Some(once) = once {
            sent = sent.header("Idempotency-Key", once);
        }
        if let Some(revision) = if_match {
            sent = sent.header("If-Match", format!("\"{revision}\""));
        }
        if let Some(body) = body {
            sent = sent.json(body);
        }
        let answer = sent.send().await.ok()?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.bytes().await.ok()?;
        let body = if text.is_empty() { Json::Null } else { serde_json::from_slice(&text).ok()? };
        Some(Answer { status, replayed: headers.contains_key("idempotency-replayed"), body })
    }

    /// Reads something that is there.
    pub(crate) async fn get(&self, path: &str) -> Json {
        let request = Request {
            method: reqwest::Method::GET,
            path: path.to_owned(),
            body: None,
            once: None,
            correlation: String::new(),
            if_match: None,
        };
        let answer = self.send(&request).await.unwrap_or_else(|| panic!("`{path}` was not answered"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    /// The members of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Json> {
        let mut body = self.get(path).await;
        match body["items"].take() {
            Json::Array(items) => items,
            other => panic!("`{path}` is no list: {other}"),
        }
    }
}
