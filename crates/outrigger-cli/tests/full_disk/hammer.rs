//! Writers that never stop, whatever the responses: before the disk is full, while it is full, and afterwards.
//! Acknowledged writes must exist and stay.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::REFUSALS;
use crate::server::{Line, Request};

/// Concurrent writers.
const WRITERS: u64 = 3;

#[derive(Debug, Default)]
pub(crate) struct Hammer {
    round: u64,
    pub(crate) acknowledged: u64,
    /// In the last round.
    pub(crate) refused: u64,
    /// Webhooks that were created in the last round, and must exist.
    present: BTreeSet<String>,
}

fn request(method: reqwest::Method, path: String, body: Option<Json>) -> Request {
    Request { method, path, body, once: None, correlation: String::new(), if_match: None }
}

/// Creates one webhook after the other. Returns the acknowledged ones, and the number of refused ones.
async fn write(line: Line, prefix: String, end: CancellationToken) -> (Vec<String>, u64) {
    let (mut made, mut refused) = (Vec::new(), 0);
    let mut number = 0;
    while !end.is_cancelled() {
        number += 1;
        let name = format!("{prefix}-{number}");
        let body = json!({"name": name, "url": "https://hooks.example.com/", "events": ["none"], "enabled": false,
                          "description": "x".repeat(3_000)});
        let answer = line.send(&request(reqwest::Method::POST, "webhooks".to_owned(), Some(body))).await;
        let answer = answer.expect("the server lives");
        if answer.is_success() {
            made.push(name);
        } else {
            let code = answer.body["code"].as_str().unwrap_or_default();
            assert!(REFUSALS.contains(&code) && answer.status >= 500, "{answer:?}");
            refused += 1;
        }
        // Keeps their number small.
        tokio::time::sleep(std::time::Duration::from_millis(15)).await;
    }
    (made, refused)
}

impl Hammer {
    /// Creates webhooks with different names until the other task is done.
    pub(crate) async fn write_during<T>(&mut self, line: &Line, until: impl Future<Output = T>) -> T {
        self.round += 1;
        let end = CancellationToken::new();
        let prefix = |writer| format!("hammer-{}-{writer}", self.round);
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(line.clone(), prefix(writer), end.clone()))).collect();
        let outcome = until.await;
        end.cancel();
        self.refused = 0;
        for writer in writers {
            let (made, refused) = writer.await.expect("it does not panic");
            self.acknowledged += made.len() as u64;
            self.refused += refused;
            self.present.extend(made);
        }
        outcome
    }

    /// Checks that all acknowledged webhooks exist, then removes them.
    pub(crate) async fn check(&mut self, line: &Line) {
        let found: BTreeSet<String> = line.list("webhooks").await.iter().map(name_of).collect();
        let lost: Vec<_> = self.present.difference(&found).collect();
        assert!(lost.is_empty(), "these were acknowledged and are lost: {lost:?}");
        for name in found {
            let removed = line.send(&request(reqwest::Method::DELETE, format!("webhooks/{name}"), None)).await;
            assert!(removed.expect("the server lives").is_success(), "{name}");
        }
        self.present.clear();
    }
}

fn name_of(webhook: &Json) -> String {
    webhook["name"].as_str().expect("it has a name").to_owned()
}
