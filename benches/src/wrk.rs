//! The load generator `wrk`: its script, and what it says at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

/// From one request of a connection to its next, where a rate is wanted. Long beside an answer, so that an answer that
/// is slow hardly changes the rate; and short enough that few connections do, since wrk looks through all their timers.
const TURN: Duration = Duration::from_millis(6);
/// How far from the rate a trial may end, and how many there are at most.
const NEAR: f64 = 0.03;
const TRIALS: usize = 6;
const TRIAL: Duration = Duration::from_secs(2);

/// What is asked, again and again.
pub struct Request {
    pub url: String,
    pub key: Option<String>,
    pub body: String,
}

/// How quickly it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub connections: usize,
    /// How long a connection waits, on average, from an answer to its next request; none, and it sends at once.
    pub pause: Option<Duration>,
}

impl Pace {
    /// As quickly as answers come.
    pub fn full(connections: usize) -> Self {
        Self { connections, pause: None }
    }

    /// The first guess at a rate: as though answers took no time.
    fn toward(rate: f64) -> Self {
        Self { connections: (rate * TURN.as_secs_f64()).ceil().max(1.0) as usize, pause: Some(TURN) }
    }

    /// What to try next after one rate was reached and another is wanted. Of a connection's turn only the pause can be
    /// chosen; the rest, the answer and how late wrk's timers are, is taken to stay as it was.
    fn corrected(self, reached: f64, wanted: f64) -> Result<Self> {
        let turn = |rate: f64| self.connections as f64 / rate;
        let pause = self.pause.unwrap_or_default().as_secs_f64() + turn(wanted) - turn(reached);
        ensure!(pause > 0.0, "{reached:.0} requests/s were reached, and {wanted:.0} leave no time to pause");
        let pause = Duration::try_from_secs_f64(pause).context("the rate is too low for a pause")?;
        Ok(Self { pause: Some(pause), ..self })
    }
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

    /// The pace that reaches a rate, found by short runs: how much of a connection's turn is left for the pause is only
    /// known once answers were waited for at about that rate. A measurement is a run of its own.
    pub fn pace(&self, request: &Request, rate: f64) -> Result<Pace> {
        let mut pace = Pace::toward(rate);
        for _ in 0..TRIALS {
            let figures = self.run(request, pace, TRIAL)?;
            ensure!(figures.failed() == 0 && figures.limited == 0, "{pace:?}: {figures:?}");
            let reached = figures.per_second();
            if (reached / rate - 1.0).abs() <= NEAR {
                return Ok(pace);
            }
            pace = pace.corrected(reached, rate)?;
        }
        bail!("{rate:.0} requests/s were not reached in {TRIALS} trials; the next would have been {pace:?}")
    }

    /// Sends the request for a time.
    pub fn run(&self, request: &Request, pace: Pace, time: Duration) -> Result<Figures> {
        // A delay of random length keeps the connections from going in step. wrk takes whole milliseconds: rounding up or
        // down by chance keeps the mean.
        let delay = pace.pause.map_or_else(String::new, |pause| {
            let longest = 2.0 * pause.as_secs_f64() * 1e3;
            format!("function delay() return math.floor(math.random() * {longest:.3} + math.random()) end\n")
        });
        let key = request
            .key
            .as_ref()
            .map_or_else(String::new, |key| format!("wrk.headers['Authorization'] = 'Bearer {key}'\n"));
        let script = format!(
            "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\n{key}wrk.body = [==[{}]==]\n{delay}{}",
            request.body, SCRIPT
        );
        std::fs::write(&self.script, script).context("the script of wrk cannot be written")?;
        let (connections, seconds) = (format!("-c{}", pace.connections), format!("-d{}s", time.as_secs().max(1)));
        let output = Command::new("wrk")
            .args(["-t1", &connections, &seconds, "--timeout", "10s", "-s"])
            .arg(&self.script)
            .arg(&request.url)
            .output()
            .context("`wrk` cannot be run")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        let line =
            text.lines().find_map(|line| line.strip_prefix("figures ")).with_context(|| format!("wrk said {text}"))?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [requests, duration, median, p99, longest, limited, refused, broken] = numbers[..] else {
            bail!("wrk said {line}");
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
