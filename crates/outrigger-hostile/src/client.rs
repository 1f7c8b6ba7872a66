//! A client of the server with one key.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::Value as Json;

/// The timeout of a request.
const LONGEST: Duration = Duration::from_secs(30);

/// A client with one key and kept-alive connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    pub address: String,
    pub key: String,
}

/// The response. The status is 0 if there was none.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    pub took: Duration,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The beginning of the body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(500).collect()
    }

    /// The error code; `ok` for success.
    pub fn code(&self) -> String {
        match self.status {
            200..300 => "ok".to_owned(),
            0 => "no answer".to_owned(),
            _ => self.json()["code"].as_str().unwrap_or("no code").to_owned(),
        }
    }
}

impl Client {
    pub fn new(address: &str, key: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(LONGEST).build()?;
        Ok(Self { http, address: address.to_owned(), key: key.to_owned() })
    }

    /// Calls a function, with this much time.
    pub async fn call(&self, function: &str, arguments: Bytes, timeout: Option<Duration>) -> Result<Answer> {
        let query = timeout.map(|timeout| format!("?timeout_ms={}", timeout.as_millis())).unwrap_or_default();
        self.send("POST", &format!("functions/{function}/call{query}"), Some(arguments)).await
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: &Json) -> Result<Answer> {
        self.send("POST", path, Some(body.to_string().into())).await
    }

    /// Gets a resource that must exist.
    pub async fn fetch(&self, path: &str) -> Result<Json> {
        let answer = self.get(path).await?;
        ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, answer.text());
        Ok(answer.json())
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Bytes>) -> Result<Answer> {
        let started = Instant::now();
        let mut request = self.http.request(method.parse()?, format!("{}/api/v1/{path}", self.address));
        request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        Ok(answer(request, started).await)
    }

    /// Uploads a package.
    pub async fn upload(&self, media: &'static str, archive: Bytes) -> Result<Answer> {
        let started = Instant::now();
        let request = self.http.post(format!("{}/api/v1/packages", self.address)).bearer_auth(&self.key);
        Ok(answer(request.header("Content-Type", media).body(archive), started).await)
    }
}

async fn answer(request: reqwest::RequestBuilder, started: Instant) -> Answer {
    let sent = async {
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        reqwest::Result::Ok((status, answer.bytes().await?))
    };
    let (status, body) = sent.await.unwrap_or_else(|error| (0, error.to_string().into()));
    Answer { status, body, took: started.elapsed() }
}
