//! Runs each hostile plugin by itself, with several concurrent calls, against an otherwise idle server. Each must stay
//! within its stated bound.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use serde_json::Value as Json;

use crate::Options;
use crate::guests::{self, Attack, Bound, Scenery};
use crate::hosts::BadHost;
use crate::measure::mib;
use crate::server::Server;
use crate::table::Table;

/// Calls of one function at once.
const AT_ONCE: usize = 4;
/// Limits for the server's threads, and for its open files and connections after the calls.
const THREADS: u64 = 96;
const DESCRIPTORS: u64 = 256;

/// Creates the plugins' environment: a folder with many names, a writable folder, and an HTTP host.
pub fn scenery(place: &Path, names: usize) -> Result<()> {
    let crowd = place.join("crowd");
    std::fs::create_dir_all(&crowd)?;
    std::fs::create_dir_all(place.join("scratch"))?;
    for number in 0..names {
        std::fs::File::create(crowd.join(format!("a-file-with-a-name-of-some-length-{number:06}")))?;
    }
    let made = std::process::Command::new("mkfifo").arg(crowd.join("fifo")).status()?;
    anyhow::ensure!(made.success(), "mkfifo ended with {made}");
    // A sparse file: much to read, no disk blocks.
    std::fs::File::create(crowd.join("large"))?.set_len(1 << 30)?;
    Ok(())
}

/// Creates the environment, and all plugins.
pub async fn prepare(options: &Options, place: &Path) -> Result<Vec<Attack>> {
    scenery(place, if options.full { 100_000 } else { 20_000 })?;
    let host = BadHost::start().await?;
    let (crowd, scratch) = (place.join("crowd"), place.join("scratch"));
    Ok(guests::all(&Scenery { crowd: &crowd, scratch: &scratch, host: &host.address }))
}

pub async fn run(options: &Options, place: &Path, table: &mut Table) -> Result<()> {
    let attacks = prepare(options, place).await?;
    let mut server = Server::start(&options.program, &place.join("server"), &[])?;
    let mut seen = std::collections::BTreeSet::new();
    for attack in attacks.iter().filter(|attack| attack.name.contains(&options.only)) {
        // The short form runs the first one of each kind.
        let kind = attack.name.split('-').next().unwrap_or_default().to_owned();
        if !seen.insert(kind) && !options.full && options.only.is_empty() {
            continue;
        }
        one(options, &server, attack, table).await?;
        server.alive()?;
    }
    Ok(())
}

async fn one(options: &Options, server: &Server, attack: &Attack, table: &mut Table) -> Result<()> {
    let Attack { name, calls, bound, .. } = attack;
    let Bound { memory, disk, answer, seconds } = *bound;
    server.reset_peak()?;
    let (resident, used) = (server.resident()?, server.disk());
    let started = Instant::now();
    if let Some(refusal) = server.install(attack)? {
        let code = refusal
            .lines()
            .find_map(|line| serde_json::from_str::<Json>(line).ok()?["code"].as_str().map(str::to_owned));
        let coded = code.is_some();
        table.holds(format!("{name}: installation"), "works, or a coded refusal", code.unwrap_or(refusal), coded);
        table.at_most(format!("{name}: seconds to refuse it"), started.elapsed().as_secs(), 5, "s");
        return memory_and_disk(server, name, resident, used, *bound, table);
    }
    let client = server.administrator()?;
    let timeout = (!options.full).then(|| Duration::from_millis(1_500));
    let (mut longest, mut largest, mut codes) = (Duration::ZERO, 0, std::collections::BTreeSet::new());
    for (function, arguments) in calls {
        let function = format!("{name}.{function}");
        let answers = join_all((0..AT_ONCE).map(|_| client.call(&function, arguments.clone(), timeout))).await;
        for answer in answers {
            let answer = answer?;
            longest = longest.max(answer.took);
            largest = largest.max(answer.body.len() as u64);
            codes.insert(answer.code());
        }
    }
    let codes = codes.into_iter().collect::<Vec<_>>().join(", ");
    let coded = !["no code", "no answer", "internal"].iter().any(|wrong| codes.contains(wrong));
    table.holds(format!("{name}: answers"), "a result, or a code", codes, coded);
    table.at_most(format!("{name}: threads of the server"), server.threads()?, THREADS, "threads");
    let descriptors = settled_descriptors(server).await?;
    table.at_most(format!("{name}: files that are open afterwards"), descriptors, DESCRIPTORS, "files");
    table.at_most(format!("{name}: longest call"), longest.as_secs(), seconds, "s");
    table.at_most(format!("{name}: longest answer"), largest.div_ceil(1024), answer, "KiB");
    memory_and_disk(server, name, resident, used, Bound { memory, disk, answer, seconds }, table)?;
    // Its runs can be listed, and the list is not too large.
    let runs = client.get(&format!("runs?plugin={name}&limit=100")).await?;
    table.at_most(format!("{name}: its list of runs"), (runs.body.len() as u64).div_ceil(1024), 1024, "KiB");
    Ok(())
}

/// The open files. Those of aborted calls are closed in the background.
async fn settled_descriptors(server: &Server) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let descriptors = server.descriptors()?;
        if descriptors <= DESCRIPTORS || Instant::now() > deadline {
            return Ok(descriptors);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn memory_and_disk(
    server: &Server,
    name: &str,
    resident: u64,
    used: u64,
    bound: Bound,
    table: &mut Table,
) -> Result<()> {
    let grown = mib(server.peak()?.saturating_sub(resident));
    table.at_most(format!("{name}: memory"), grown, bound.memory, "MiB");
    table.at_most(format!("{name}: disk"), mib(server.disk().saturating_sub(used)), bound.disk, "MiB");
    Ok(())
}
