//! The server under load from `wrk`, a client of its own process, beside a bare axum handler that reads the same JSON and
//! sends it back. Client and server share the machine, and take turns in short rounds.

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::guests::Guests;
use crate::measure::Effort;
use crate::report::{Report, Section, Unit, millis};
use crate::say;
use crate::server::{Bare, Outrigger, Plugin};
use crate::wrk::{Figures, Pace, Request, Wrk};

/// Connections of the comparison.
const CONNECTIONS: usize = 16;
/// What may be called half load, of the rate of the comparison. Less would be an easier load, more is a harder one: a machine
/// that got quicker since the pace was found, as a rented one does, spoils nothing.
const HALF: RangeInclusive<f64> = 0.475..=0.6;
/// Clients of the long run.
const CLIENTS: usize = 500;

/// The plugins: one component, kept instances, once with answers from the cache.
const WARM: Plugin = Plugin {
    name: "peer-warm",
    instances: "{ warm = { max-instances = 16, max-calls = 1000000000 } }",
    functions: "[functions.quote]\nread-only = true\n",
};
const CACHED: Plugin = Plugin {
    name: "peer-cached",
    instances: "\"fresh\"",
    functions: "[functions.quote]\nread-only = true\nidempotent = true\ncache = \"1h\"\n",
};

pub fn measure(guests: &Guests, effort: Effort, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let wrk = Wrk::find(folder.path())?;
    let bare = Bare::start()?;
    let outrigger = Outrigger::start(folder.path(), &guests.component, &[WARM, CACHED])?;
    let full = compare(&wrk, &bare, &outrigger, effort, report)?;
    halve(&wrk, &outrigger, full, effort, report)?;
    endure(&wrk, &outrigger, effort, report)?;
    outrigger.stop()
}

/// The call of a plugin's function over REST.
fn execute(outrigger: &Outrigger, plugin: &Plugin) -> Request {
    Request {
        url: format!("{}/api/v1/plugins/{}/execute", outrigger.address(), plugin.name),
        key: Some(outrigger.key().to_owned()),
        body: body(),
    }
}

fn body() -> String {
    format!(r#"{{"function":"quote","args":{}}}"#, crate::contenders::ARGUMENTS)
}

/// Requests per second; answers with those of the instances that are kept.
fn compare(wrk: &Wrk, bare: &Bare, outrigger: &Outrigger, effort: Effort, report: &mut Report) -> Result<f64> {
    say("requests per second beside a bare axum handler");
    let contenders = [
        ("bare axum, echo of the same JSON", Request { url: bare.address().to_owned(), key: None, body: body() }),
        ("Outrigger, instances that are kept", execute(outrigger, &WARM)),
        ("Outrigger, answers from the cache", execute(outrigger, &CACHED)),
    ];
    let round = Duration::from_secs(effort.pick(1, 4) as u64);
    let mut rates: [Vec<f64>; 3] = Default::default();
    let mut last: [Figures; 3] = Default::default();
    for turn in 0..=effort.pick(2, 7) {
        for (at, (name, request)) in contenders.iter().enumerate() {
            let figures = wrk.run(request, Pace::full(CONNECTIONS), round).with_context(|| (*name).to_owned())?;
            ensure!(figures.failed() == 0 && figures.limited == 0, "{name}: {figures:?}");
            // The first turn warms up.
            if turn > 0 {
                rates[at].push(figures.per_second());
                last[at] = figures;
            }
        }
    }
    let rates = rates.map(median);
    let mut rows = Vec::new();
    for (at, (name, _)) in contenders.iter().enumerate() {
        let share = rates[at] / rates[0];
        rows.push(vec![
            (*name).to_owned(),
            format!("{:.0}", rates[at]),
            format!("{:.0} %", share * 100.0),
            millis(last[at].median),
            millis(last[at].p99),
        ]);
    }
    report.section(Section {
        title: "Execute over REST".to_owned(),
        intro: format!(
            "`wrk` with one thread and {CONNECTIONS} connections on the same machine; a body of {} bytes. The bare handler \
             is axum's `Json<serde_json::Value>` in and out, in a process of its own. Medians of turns.",
            body().len()
        ),
        columns: vec!["", "requests/s", "of bare axum", "median", "p99"],
        rows,
    });
    report.at_least("REST, kept instances: of the rate of bare axum".to_owned(), rates[1] / rates[0], 0.7, Unit::Times);
    report.at_least("REST, from the cache: of the rate of bare axum".to_owned(), rates[2] / rates[0], 0.8, Unit::Times);
    Ok(rates[1])
}

/// The latency at half of the full rate, in requests per second.
fn halve(wrk: &Wrk, outrigger: &Outrigger, full: f64, effort: Effort, report: &mut Report) -> Result<()> {
    say("latency at half load");
    let request = execute(outrigger, &WARM);
    let wanted = full / 2.0;
    let pace = wrk.pace(&request, wanted).context("half load")?;
    let half = wrk.run(&request, pace, Duration::from_secs(effort.pick(3, 12) as u64))?;
    ensure!(half.failed() == 0 && half.limited == 0, "half load: {half:?}");
    let share = half.per_second() / full;
    // Not tried again: a run that stalled would be the one that is thrown away.
    ensure!(
        HALF.contains(&share),
        "half load: {:.0} requests/s were reached, {:.1} % of {full:.0}; the latency would be that of another load",
        half.per_second(),
        share * 100.0
    );
    report.at_most("REST, kept instances, at half load: p99".to_owned(), ms(half.p99), 5.0, Unit::Millis);
    report.section(Section {
        title: "Half load".to_owned(),
        intro: format!(
            "The same calls, {wanted:.0} a second wanted: half of what {CONNECTIONS} connections reach without a pause. \
             {} connections, each of which waits {} on average between an answer and its next request; short runs before \
             found that pause.",
            pace.connections,
            millis(pace.pause.unwrap_or_default())
        ),
        columns: vec!["", "requests/s", "of full load", "median", "p99", "longest"],
        rows: vec![vec![
            "Outrigger, instances that are kept".to_owned(),
            format!("{:.0}", half.per_second()),
            format!("{:.0} %", share * 100.0),
            millis(half.median),
            millis(half.p99),
            millis(half.longest),
        ]],
    });
    Ok(())
}

/// Many clients for a minute: no error, no growth.
fn endure(wrk: &Wrk, outrigger: &Outrigger, effort: Effort, report: &mut Report) -> Result<()> {
    let seconds = effort.pick(6, 60);
    say(&format!("{CLIENTS} clients for {seconds} s"));
    let request = execute(outrigger, &WARM);
    let time = Duration::from_secs(seconds as u64);
    let (figures, memory) = outrigger.watched(|| wrk.run(&request, Pace::full(CLIENTS), time))?;
    let figures = figures?;
    // The first sixth fills buffers and pools; from there on it has to stay. A single look is no measure of that: while the
    // disk is slow, up to 50,000 records wait for it (see the engine's recorder) and are gone a moment later.
    let sixth = memory.len() / 6;
    let settled = median(memory[sixth..2 * sixth].to_vec());
    let last = median(memory[memory.len() - sixth..].to_vec());
    let peak = memory.iter().copied().max().unwrap_or_default();
    report.at_most(
        format!("{CLIENTS} clients for {seconds} s: errors that are no rate limit"),
        figures.failed() as f64,
        0.0,
        Unit::Count,
    );
    report.at_most(
        format!("{CLIENTS} clients for {seconds} s: memory that is added from the second sixth to the last"),
        last.saturating_sub(settled) as f64 / 1024.0,
        16.0,
        Unit::Mebibytes,
    );
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    report.section(Section {
        title: format!("{CLIENTS} clients for {seconds} s"),
        intro: "The same calls, as many as the server takes. Memory is what is resident, seen every half second; of a sixth, the \
                median."
            .to_owned(),
        columns: vec!["requests", "requests/s", "rate limited", "errors", "median", "p99", "memory: begin", "second sixth", "last sixth", "peak"],
        rows: vec![vec![
            figures.requests.to_string(),
            format!("{:.0}", figures.per_second()),
            figures.limited.to_string(),
            figures.failed().to_string(),
            millis(figures.median),
            millis(figures.p99),
            mib(memory[0]),
            mib(settled),
            mib(last),
            mib(peak),
        ]],
    });
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median<T: PartialOrd + Copy + Default>(mut figures: Vec<T>) -> T {
    figures.sort_by(|one, other| one.partial_cmp(other).unwrap_or(Ordering::Equal));
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
