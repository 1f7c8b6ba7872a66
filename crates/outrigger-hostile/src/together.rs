//! Fifty concurrent hostile plugins of all kinds, called as fast as they answer with several keys, beside an honest
//! plugin that is called at a steady rate. The honest plugin's durations are compared with those before and after the
//! attack.
//!
//! Each hostile plugin has one client, which sends its next call when the last one is answered: fifty calls are in
//! flight at any time, on two cores that the clients share with the server. A separate thread calls the honest plugin
//! at fixed times, regardless of earlier responses, and durations count from these times. It has a higher priority than
//! the other clients and the server: that a client waits for a processor says nothing about the server.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::json;

use crate::alone::prepare;
use crate::client::Client;
use crate::guests::{Attack, honest};
use crate::measure::{Watch, median, mib, p99};
use crate::server::Server;
use crate::table::Table;
use crate::{Options, say};

/// The interval between two calls of the honest plugin.
const PACE: Duration = Duration::from_millis(50);
/// The number of calls of the honest plugin per event, and per audit record.
const ANNOUNCED: u64 = 20;
/// The number of keys in the state with one prefix.
const KEYS_LISTED: u64 = 1_000;
/// Keys that call the hostile plugins.
const KEYS: usize = 5;
/// The number of attacking plugins. There are more, because some may be refused at installation.
const PLUGINS: usize = 50;

/// The bounds.
const MEMORY_MIB: u64 = 1024;
const DISK_MIB: u64 = 200;
const TIMES: u32 = 3;
/// Below this value, the p99 depends on the machine's scheduler and not on the server.
const FLOOR: Duration = Duration::from_millis(4);

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    let attacks = prepare(options, place).await?;
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let folder = server.package("honest", "1.0.0", &honest::component(), honest::MANIFEST)?;
    let refusal = server.install_folder(&folder)?;
    ensure!(refusal.is_none(), "the honest plugin is refused: {refusal:?}");
    let mut hostile = Vec::new();
    for attack in mixed(attacks) {
        if hostile.len() < PLUGINS && attack.name.contains(&options.only) && server.install(&attack)?.is_none() {
            hostile.push(attack);
        }
    }
    if options.only.is_empty() {
        table.equal("together: hostile plugins at once", hostile.len() as u64, PLUGINS as u64);
    }

    let quiet = Duration::from_secs(if options.full { 30 } else { 8 });
    let witness = Witness::new(&server).await?;
    // The first calls load the plugins.
    witness.clone().work(Duration::from_secs(1))?;
    say(&format!("the honest plugin alone, for {} s", quiet.as_secs()));
    let before = witness.clone().work(quiet)?;
    let (memory, disk) = (server.resident()?, server.disk());
    say(&format!("{} hostile plugins beside it, for {} s", hostile.len(), options.lasts.as_secs()));
    server.reset_peak()?;
    let watch = Watch::over(&server);
    let load = Load::start(&server, &hostile).await?;
    let during = witness.clone().work(options.lasts)?;
    let grown = server.disk().saturating_sub(disk);
    let threads = server.threads()?;
    let (calls, codes) = load.stop().await?;
    let peak = server.peak()?.max(watch.most());
    server.alive()?;
    say(&format!("{calls} hostile calls: {codes:?}"));
    say("the honest plugin alone again");
    let after = witness.clone().work(quiet)?;

    table.at_least("together: hostile calls", calls, hostile.len() as u64 * 2, "calls");
    table.at_most("together: resident memory", mib(peak), MEMORY_MIB, "MiB");
    say(&format!("it was {} MiB before, is {} MiB now", mib(memory), mib(server.resident()?)));
    table.at_most("together: threads of the server", threads, 200, "threads");
    table.at_most("together: new disk", mib(grown), DISK_MIB, "MiB");
    table.at_most("together: new disk at the end", mib(server.disk().saturating_sub(disk)), DISK_MIB, "MiB");
    for (kind, of) in
        [("changes", (|times| &times.changes) as fn(&Times) -> &[Duration]), ("reads", |times| &times.reads)]
    {
        let [before, during, after] = [&before, &during, &after].map(of);
        let calm = p99(before).max(p99(after)).max(FLOOR);
        let busy = p99(during);
        say(&format!(
            "honest {kind}, median and p99: before {:?} {:?}, during {:?} {busy:?}, after {:?} {:?}",
            median(before),
            p99(before),
            median(during),
            median(after),
            p99(after)
        ));
        table.holds(
            format!("together: p99 of the honest plugin, {kind}"),
            format!("≤ {TIMES} × {calm:.1?}"),
            format!("{busy:.1?}"),
            busy <= calm * TIMES,
        );
    }
    witness.check(&server, table).await
}

/// The first of each kind, then the second of each kind, and so on.
fn mixed(attacks: Vec<Attack>) -> Vec<Attack> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered: Vec<_> = attacks
        .into_iter()
        .map(|attack| {
            let kind = attack.name.split('-').next().unwrap_or_default().to_owned();
            let number = kinds.entry(kind).or_default();
            *number += 1;
            (*number, attack)
        })
        .collect();
    numbered.sort_by_key(|(number, _)| *number);
    numbered.into_iter().map(|(_, attack)| attack).collect()
}

/// The honest plugin's caller, which knows the expected records.
#[derive(Clone, Debug)]
struct Witness {
    client: Client,
    administrator: Client,
    counts: Arc<Counts>,
}

/// The durations of the honest plugin's calls: those that change its state, and those that read it.
#[derive(Debug, Default)]
struct Times {
    changes: Vec<Duration>,
    reads: Vec<Duration>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Keys that were to be added.
    keys: AtomicU64,
    added: AtomicU64,
    read: AtomicU64,
    announced: AtomicU64,
    audited: AtomicU64,
    failed: AtomicU64,
}

impl Witness {
    async fn new(server: &Server) -> Result<Self> {
        let client = server.client("honest", &["developer"], None).await?;
        Ok(Self { client, administrator: server.administrator()?, counts: Arc::default() })
    }

    /// Calls at its rate for a time, on a separate thread. Returns the durations of its calls.
    fn work(self, lasts: Duration) -> Result<Times> {
        let thread = std::thread::spawn(move || {
            // On Linux, this concerns only the calling thread.
            if let Err(error) = rustix::process::setpriority_process(None, -10) {
                say(&format!(
                    "the honest caller has the usual priority, so its times include its own waiting: {error}"
                ));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.work_here(lasts))
        });
        thread.join().map_err(|_| anyhow::anyhow!("the honest caller panicked"))?
    }

    async fn work_here(self, lasts: Duration) -> Result<Times> {
        // Connections belong to the runtime that opened them.
        let client = Client::new(&self.client.address, &self.client.key)?;
        let administrator = Client::new(&self.administrator.address, &self.administrator.key)?;
        let begin = tokio::time::Instant::now();
        let (mut changes, mut reads) = (Vec::new(), Vec::new());
        for number in 0.. {
            let due = begin + PACE * u32::try_from(number)?;
            if due >= begin + lasts {
                break;
            }
            tokio::time::sleep_until(due).await;
            let (client, administrator, counts) = (client.clone(), administrator.clone(), Arc::clone(&self.counts));
            let (reader, counted) = (client.clone(), Arc::clone(&counts));
            reads.push(tokio::spawn(async move {
                let due = due + PACE / 2;
                tokio::time::sleep_until(due).await;
                let answer = reader.call("honest.look", json!({"key": "none"}).to_string().into(), None).await;
                let took = due.elapsed();
                counted.note(&counted.read, answer);
                took
            }));
            changes.push(tokio::spawn(async move {
                let added = counts.keys.fetch_add(1, Ordering::Relaxed);
                let arguments = json!({"key": format!("{}-{added}", added / KEYS_LISTED)}).to_string();
                let answer = client.call("honest.add", arguments.into(), None).await;
                let took = due.elapsed();
                counts.note(&counts.added, answer);
                if number % ANNOUNCED == 0 {
                    let answer = client.call("honest.announce", Bytes::from_static(b"{}"), None).await;
                    counts.note(&counts.announced, answer);
                    let name = format!("witness-{}", counts.audited.load(Ordering::Relaxed));
                    let body = json!({"name": name, "roles": ["viewer"]});
                    counts.note(&counts.audited, administrator.post("keys", &body).await);
                }
                took
            }));
        }
        let mut times = Times::default();
        for (tasks, times) in [(changes, &mut times.changes), (reads, &mut times.reads)] {
            for task in tasks {
                times.push(task.await.context("a call panicked")?);
            }
        }
        Ok(times)
    }

    /// Checks that all records exist.
    async fn check(&self, server: &Server, table: &mut Table) -> Result<()> {
        let Counts { keys: _, added, read, announced, audited, failed } = &*self.counts;
        let [added, read, announced, audited, failed] =
            [added, read, announced, audited, failed].map(|count| count.load(Ordering::Relaxed));
        table.equal("together: honest requests that failed", failed, 0);
        let mut total = 0;
        for prefix in 0..=self.counts.keys.load(Ordering::Relaxed) / KEYS_LISTED {
            let arguments = json!({"prefix": format!("{prefix}-")}).to_string();
            let counted = self.client.call("honest.total", arguments.into(), None).await?;
            total += counted.json()["result"].as_u64().unwrap_or_default();
        }
        table.equal("together: honest state", total, added);
        let administrator = server.administrator()?;
        // Runs are written in the background.
        let deadline = Instant::now() + Duration::from_secs(20);
        let runs = loop {
            let usage = administrator.fetch("usage?plugin=honest&function=add").await?;
            let count = usage["groups"][0]["calls"].as_u64().unwrap_or_default();
            if count >= added || Instant::now() > deadline {
                break count;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        table.equal("together: honest runs in the usage", runs, added);
        let statistics = administrator.fetch("plugins/honest/stats").await?;
        let counted = statistics["total"]["calls"].as_u64().unwrap_or_default();
        table.at_least("together: honest runs in the statistics", counted, added + announced, "calls");
        let events = pages(&administrator, &format!("events/log?name={}", honest::HOOK), "id").await?;
        table.equal("together: honest events", events, announced);
        let entries = pages(&administrator, "audit?action=key_create", "sequence").await?;
        // The keys of the administrator, of the hostile callers and of the honest one.
        table.equal("together: audit entries", entries, audited + KEYS as u64 + 2);
        let verified = administrator.get("audit/verify").await?;
        table.holds("together: the audit log verifies", "200", verified.status.to_string(), verified.status == 200);
        let listed = administrator.fetch("runs?plugin=honest&limit=1000").await?;
        let listed = listed["items"].as_array().map_or(0, Vec::len) as u64;
        table.equal("together: newest honest runs listed", listed, (added + read + announced).min(1_000));
        Ok(())
    }
}

impl Counts {
    fn note(&self, counter: &AtomicU64, answer: Result<crate::client::Answer>) {
        let succeeded = answer.as_ref().is_ok_and(|answer| (200..300).contains(&answer.status));
        if !succeeded && self.failed.load(Ordering::Relaxed) < 5 {
            say(&format!("an honest request failed: {:?}", answer.map(|answer| answer.text())));
        }
        if succeeded { counter } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of entries of a list, read page by page.
async fn pages(client: &Client, path: &str, field: &str) -> Result<u64> {
    let (mut count, mut before) = (0, String::new());
    loop {
        let page = client.fetch(&format!("{path}&limit=1000{before}")).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        count += items.len() as u64;
        let Some(last) = items.last().filter(|_| items.len() == 1_000) else { return Ok(count) };
        let last = last[field].as_str().map_or_else(|| last[field].to_string(), str::to_owned);
        before = format!("&before={last}");
    }
}

/// The running hostile callers.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<(u64, BTreeMap<String, u64>)>>,
}

impl Load {
    async fn start(server: &Server, attacks: &[Attack]) -> Result<Self> {
        let mut clients = Vec::new();
        for number in 0..KEYS {
            clients.push(server.client(&format!("hostile-{number}"), &["developer"], None).await?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = attacks.iter().zip(clients.iter().cycle());
        let tasks =
            tasks.map(|(attack, client)| tokio::spawn(attacker(attack.clone(), client.clone(), Arc::clone(&stop))));
        Ok(Self { stop: Arc::clone(&stop), tasks: tasks.collect() })
    }

    async fn stop(self) -> Result<(u64, BTreeMap<String, u64>)> {
        self.stop.store(true, Ordering::Relaxed);
        let (mut calls, mut codes) = (0, BTreeMap::new());
        for task in self.tasks {
            let (more, counted) = task.await.context("a hostile caller panicked")?;
            calls += more;
            for (code, count) in counted {
                *codes.entry(code).or_default() += count;
            }
        }
        Ok((calls, codes))
    }
}

/// Calls the functions of a plugin again and again.
async fn attacker(attack: Attack, client: Client, stop: Arc<AtomicBool>) -> (u64, BTreeMap<String, u64>) {
    let (mut calls, mut codes) = (0, BTreeMap::new());
    for (function, arguments) in attack.calls.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let answer = client.call(&format!("{}.{function}", attack.name), arguments.clone(), None).await;
        let code = answer.map_or_else(|error| error.to_string(), |answer| answer.code());
        calls += 1;
        *codes.entry(code).or_default() += 1;
    }
    (calls, codes)
}
