//! A thousand plugins at work: the program serves them, ten thousand runs a minute come in over HTTP, spread over all of
//! them, and meanwhile somebody looks at lists and statistics.
//!
//! Runs and questions come at fixed times, whether or not the ones before were answered; times are counted from then, so
//! that a server that falls behind shows.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value as Json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use crate::contenders::{ANSWER, ARGUMENTS};
use crate::guests::Guests;
use crate::measure::{Effort, Series};
use crate::report::{Report, Section, Unit, millis};
use crate::say;
use crate::scale::{PLUGINS, populate};
use crate::server::Outrigger;

/// Ten thousand a minute.
const BETWEEN_RUNS: Duration = Duration::from_millis(6);
/// Four times a second, each question.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(250);
/// Connections that runs come in over.
const CONNECTIONS: usize = 16;
/// What a question may take, at p99.
const LIMIT: Duration = Duration::from_millis(50);

/// What is asked meanwhile: how the report calls it, its path, and whether it has to keep to the limit.
const QUESTIONS: [(&str, &str, bool); 7] = [
    ("list, the first 100", "/api/v1/plugins?limit=100", true),
    ("list, filtered and sorted", "/api/v1/plugins?q=orders-05&state=active&sort=-updated_at&limit=50", true),
    ("statistics of all plugins", "/api/v1/plugins/stats", true),
    ("statistics of one plugin", "/api/v1/plugins/orders-0042/stats", true),
    ("the newest 100 runs", "/api/v1/runs?limit=100", false),
    ("the newest 100 runs of one plugin", "/api/v1/runs?plugin=orders-0042&limit=100", false),
    ("log lines of one plugin", "/api/v1/plugins/logs?plugin=orders-0042", false),
];

pub async fn measure(guests: &Guests, effort: Effort, report: &mut Report) -> Result<()> {
    let lasts = Duration::from_secs(effort.pick(20, 300) as u64);
    let data = tempfile::tempdir()?;
    say(&format!("{PLUGINS} installed plugins"));
    populate(data.path(), &guests.component).await?;
    let server = Outrigger::over(data.path())?;
    let started = server.resident()?;

    say("calling each of them once");
    let mut line = Line::to(&server).await?;
    for number in 0..PLUGINS {
        let answer: Json = serde_json::from_slice(&line.post(&path_of(number as u64), &body()?).await?)?;
        let result = answer["result"].to_string();
        ensure!(result == ANSWER, "plugin {number} answers {result}");
    }
    let (warm, size) = (server.resident()?, size_of(data.path())?);

    say(&format!("ten thousand runs a minute for {} s", lasts.as_secs()));
    let begin = Instant::now() + Duration::from_millis(100);
    let end = begin + lasts;
    let next = Arc::new(AtomicU64::new(0));
    let mut runs = Vec::new();
    for _ in 0..CONNECTIONS {
        runs.push(tokio::spawn(run(Line::to(&server).await?, Arc::clone(&next), begin, end)));
    }
    let mut questions = Vec::new();
    for (number, (_, path, _)) in (0_u32..).zip(QUESTIONS) {
        let first = begin + BETWEEN_QUESTIONS * number / QUESTIONS.len() as u32;
        questions.push(tokio::spawn(ask(Line::to(&server).await?, path, first, end)));
    }
    let mut times = Vec::new();
    for task in runs {
        times.extend(task.await??);
    }
    let mut answers = Vec::new();
    for task in questions {
        answers.push(Series::of("", task.await??));
    }
    let took = begin.elapsed();
    let made = times.len();
    let runs = Series::of("", times);

    // All of them are counted, and none twice. Over a new connection: the server hangs up on who is silent for so long.
    let mut line = Line::to(&server).await?;
    let counted: Json = serde_json::from_slice(&line.get("/api/v1/plugins/stats").await?)?;
    let calls = counted["total"]["calls"].as_u64();
    ensure!(calls == Some((made + PLUGINS) as u64), "{made} runs were made after {PLUGINS}, and {calls:?} are counted");

    let mut rows = vec![row("execute", &runs)];
    for ((what, _, limited), series) in QUESTIONS.iter().zip(&answers) {
        rows.push(row(what, series));
        if *limited {
            let limit = LIMIT.as_secs_f64() * 1e3;
            report.at_most(format!("{what}: p99"), series.p99().as_secs_f64() * 1e3, limit, Unit::Millis);
        }
    }
    report.at_least("runs a minute".to_owned(), made as f64 * 60.0 / took.as_secs_f64(), 9_900.0, Unit::Count);
    report.section(Section {
        title: format!("{PLUGINS} plugins, ten thousand runs a minute for {} s", lasts.as_secs()),
        intro: format!(
            "Runs come in over {CONNECTIONS} connections, one every {} ms, spread over all plugins; each question four times \
             a second. Times are from when a request was due to the last byte of its answer. {made} runs were made; the \
             statistics count every one of them.",
            BETWEEN_RUNS.as_millis()
        ),
        columns: vec!["", "median", "p99", "longest", "requests"],
        rows,
    });
    let memory = |kibibytes: u64| format!("{:.0} MiB", kibibytes as f64 / 1024.0);
    let disk = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    report.section(Section {
        title: "What it takes".to_owned(),
        intro: "The server's resident memory, and its data directory with all that is in it.".to_owned(),
        columns: vec!["", "memory", "data directory"],
        rows: vec![
            vec!["after the start".to_owned(), memory(started), String::new()],
            vec!["after a first call of each plugin".to_owned(), memory(warm), disk(size)],
            vec!["after all runs".to_owned(), memory(server.resident()?), disk(size_of(data.path())?)],
        ],
    });
    server.stop()
}

fn row(what: &str, series: &Series) -> Vec<String> {
    vec![
        what.to_owned(),
        millis(series.median()),
        millis(series.p99()),
        millis(series.longest()),
        series.calls().to_string(),
    ]
}

/// Where a run of a plugin is asked for. Numbers that follow each other are of plugins that lie far apart.
fn path_of(number: u64) -> String {
    format!("/api/v1/plugins/orders-{:04}/execute", number * 367 % PLUGINS as u64)
}

fn body() -> Result<String> {
    let arguments: Json = serde_json::from_str(ARGUMENTS)?;
    Ok(serde_json::json!({"function": "quote", "args": arguments}).to_string())
}

/// Makes those runs of all that nobody else does, each when its time has come.
async fn run(mut line: Line, next: Arc<AtomicU64>, begin: Instant, end: Instant) -> Result<Vec<Duration>> {
    let body = body()?;
    let mut times = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = begin + BETWEEN_RUNS * u32::try_from(number)?;
        if due >= end {
            return Ok(times);
        }
        sleep_until(due).await;
        line.post(&path_of(number), &body).await?;
        times.push(due.elapsed());
    }
}

/// Asks one question again and again.
async fn ask(mut line: Line, path: &'static str, first: Instant, end: Instant) -> Result<Vec<Duration>> {
    let (mut due, mut times) = (first, Vec::new());
    while due < end {
        sleep_until(due).await;
        line.get(path).await?;
        times.push(due.elapsed());
        due += BETWEEN_QUESTIONS;
    }
    Ok(times)
}

/// A connection that is kept. As little of HTTP as the server speaks: the client is not to be what is measured.
struct Line {
    stream: BufReader<TcpStream>,
    key: String,
}

impl Line {
    async fn to(server: &Outrigger) -> Result<Self> {
        let stream = TcpStream::connect(server.address().trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), key: server.key().to_owned() })
    }

    async fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.exchange("GET", path, "").await
    }

    async fn post(&mut self, path: &str, body: &str) -> Result<Vec<u8>> {
        self.exchange("POST", path, body).await
    }

    async fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let (key, length) = (&self.key, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the server hung up over {path}");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match (&status, line.split_once(": ")) {
                (None, _) => status = line.split(' ').nth(1).map(str::to_owned),
                (_, Some((name, value))) if name.eq_ignore_ascii_case("content-length") => length = value.parse()?,
                _ => {}
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).await?;
        let status = status.unwrap_or_default();
        ensure!(status == "200", "{path} answers {status}: {}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        size += match entry.metadata()? {
            found if found.is_dir() => size_of(&entry.path())?,
            found => found.len(),
        };
    }
    Ok(size)
}
