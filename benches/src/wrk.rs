//! The load generator `wrk`: its script, and what it says at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// What is asked, again and again.
pub struct Request {
    pub url: String,
    pub key: Option<String>,
    pub body: String,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub requests: u64,
    pub duration: Duration,
    pub median: Duration,
    pub p99: Duration,
    pub longest: Duration,
    /// Answers 429.
    pub limited: u64,
    /// Other answers from 400 on.
    pub refused: u64,
    /// Connections that were not made, or broke, and answers that did not come in time.
    pub broken: u64,
}

impl Figures {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.duration.as_secs_f64()
    }

    /// Everything that is neither an answer nor a rate limit.
    pub fn failed(&self) -> u64 {
        self.refused + self.broken
    }
}

/// The program, and where its scripts are written.
pub struct Wrk {
    script: PathBuf,
}

impl Wrk {
    pub fn find(folder: &Path) -> Result<Self> {
        let found = Command::new("wrk").arg("-v").output();
        ensure!(found.is_ok(), "`wrk` is not installed; on Debian: apt-get install wrk");
        Ok(Self { script: folder.join("load.lua") })
    }

    /// Sends the request over so many connections for a time; at a rate, or as fast as answers come.
    pub fn run(&self, request: &Request, connections: usize, time: Duration, rate: Option<f64>) -> Result<Figures> {
        // A delay of random length keeps the connections from going in step.
        let delay = rate.map_or_else(String::new, |rate| {
            let longest = 2.0 * connections as f64 / rate * 1e3;
            format!("function delay() return math.floor(math.random() * {longest:.3} + 0.5) end\n")
        });
        let key = request.key.as_ref().map_or_else(String::new, |key| {
            format!("wrk.headers['Authorization'] = 'Bearer {key}'\n")
        });
        let script = format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n{key}wrk.body = [==[{}]==]\n{delay}{}",
            request.body, SCRIPT
        );
        std::fs::write(&self.script, script).context("the script of wrk cannot be written")?;
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{connections}"), &format!("-d{}s", time.as_secs().max(1)), "--timeout", "10s", "-s"])
            .arg(&self.script)
            .arg(&request.url)
            .output()
            .context("`wrk` cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        let line = text.lines().find_map(|line| line.strip_prefix("figures ")).with_context(|| format!("wrk said {text}"))?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [requests, duration, median, p99, longest, limited, refused, broken] = numbers[..] else {
            anyhow::bail!("wrk said {line}");
        };
        let micros = Duration::from_micros;
        Ok(Figures {
            requests,
            duration: micros(duration),
            median: micros(median),
            p99: micros(p99),
            longest: micros(longest),
            limited,
            refused: refused.saturating_sub(limited),
            broken,
        })
    }
}

/// Counts the answers 429, and prints one line of whole numbers: times in microseconds.
const SCRIPT: &str = "
limited = 0
local threads = {}
function setup(thread) table.insert(threads, thread) end
function response(status) if status == 429 then limited = limited + 1 end end
function done(summary, latency, requests)
    local limited = 0
    for _, thread in ipairs(threads) do limited = limited + thread:get('limited') end
    local errors = summary.errors
    print(string.format('figures %d %d %d %d %d %d %d %d', summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(99), latency.max, limited, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
";
