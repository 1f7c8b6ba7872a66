//! Calls: ours against bare wasmtime and against extism, for a fresh instance per call and for instances that are kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::contenders::bare::{Bare, Function, Instances, Stack};
use crate::contenders::extism::{Allocation, Extism};
use crate::contenders::outrigger::{Outrigger, Way};
use crate::guests::Guests;
use crate::measure::{Effort, Plan, Series, sustained, take_turns};
use crate::report::{Report, Section, Unit, micros, times};
use crate::say;

/// Calls at once.
const TASKS: [usize; 2] = [1, 8];

const OURS: &str = "Outrigger, JSON text to JSON text";
const OBJECT: &str = "Outrigger, JSON object to JSON text";
const BARE_SYNC: &str = "bare wasmtime, synchronous";
const BARE_ASYNC: &str = "bare wasmtime, asynchronous";
const EXTISM: &str = "extism, JSON text to JSON text";
const EXTISM_POOL: &str = "extism, the same with a pool of instances";
const HIT: &str = "Outrigger, answer from the cache";
const HIT_TEXT: &str = "Outrigger, answer from the cache, as JSON text";
const BYTES: &str = "Outrigger, bytes as values";
const BASE64: &str = "Outrigger, bytes as base64 in JSON text";

const EXTISM_NOTE: &str = "Extism runs as its documentation has it, and once more with the pool of instances that ours \
    has; targets are held against the former when instances are fresh, and against the better one when they are kept.";

/// Everyone who competes, started.
struct Field {
    outrigger: Arc<Outrigger>,
    bare: Arc<Bare>,
    extism: Arc<Extism>,
    extism_pool: Arc<Extism>,
}

pub async fn measure(guests: &Guests, effort: Effort, report: &mut Report) -> Result<()> {
    say("starting the contenders, and checking that all give the same answer");
    let field = Field {
        outrigger: Outrigger::start(&guests.component).await?,
        bare: Bare::start(&guests.component)?,
        extism: Extism::start(&guests.extism, Allocation::Default)?,
        extism_pool: Extism::start(&guests.extism, Allocation::Pool)?,
    };
    for tasks in TASKS {
        fresh(&field, tasks, effort, report).await?;
    }
    for tasks in TASKS {
        warm(&field, tasks, effort, report).await?;
    }
    cached(&field, effort, report).await?;
    for instances in [Instances::Fresh, Instances::Warm] {
        bytes(&field, instances, effort, report).await?;
    }
    throughput(&field, effort, report).await
}

/// Calls of one function for some time, with nothing else going on.
pub async fn profile(guests: &Guests, function: &str, time: Duration) -> Result<()> {
    let way = if function.ends_with(".echo") { Way::bytes() } else { Way::text() };
    let contender = Outrigger::start(&guests.component).await?.contender(OURS, function, way)?;
    let started = Instant::now();
    while started.elapsed() < time {
        let plan = Plan { rounds: 1, calls: 1_600 };
        let series = take_turns(std::slice::from_ref(&contender), 1, plan).await?;
        say(&format!("{function}: median {}, p99 {}", micros(series[0].median()), micros(series[0].p99())));
    }
    Ok(())
}

async fn fresh(field: &Field, tasks: usize, effort: Effort, report: &mut Report) -> Result<()> {
    say(&format!("a new instance for each call, {tasks} at once"));
    let Field { outrigger, bare, extism, extism_pool } = field;
    let contenders = [
        outrigger.contender(OURS, "peer-fresh.quote", Way::text())?,
        extism.contender(EXTISM, Instances::Fresh),
        extism_pool.contender(EXTISM_POOL, Instances::Fresh),
        outrigger.contender(OBJECT, "peer-fresh.quote", Way::json()?)?,
        bare.contender(BARE_SYNC, Function::Quote, Instances::Fresh, Stack::Sync),
        bare.contender(BARE_ASYNC, Function::Quote, Instances::Fresh, Stack::Async),
    ];
    let series =
        take_turns(&contenders, tasks, Plan { rounds: effort.pick(5, 40), calls: effort.pick(160, 480) }).await?;
    let at = |name| median(&series, name);
    let bare = at(BARE_SYNC).min(at(BARE_ASYNC));
    let shown = at_once(tasks);
    report.at_least(format!("fresh, {shown}: quicker than extism"), ratio(at(EXTISM), at(OURS)), 4.0, Unit::Times);
    report.at_most(format!("fresh, {shown}: of the time of bare wasmtime"), ratio(at(OURS), bare), 1.3, Unit::Times);
    section(report, format!("A new instance for each call, {shown}"), EXTISM_NOTE, &series, OURS);
    Ok(())
}

async fn warm(field: &Field, tasks: usize, effort: Effort, report: &mut Report) -> Result<()> {
    say(&format!("instances that are kept, {tasks} at once"));
    let Field { outrigger, bare, extism, extism_pool } = field;
    let contenders = [
        outrigger.contender(OURS, "peer-warm.quote", Way::text())?,
        extism.contender(EXTISM, Instances::Warm),
        extism_pool.contender(EXTISM_POOL, Instances::Warm),
        outrigger.contender(OBJECT, "peer-warm.quote", Way::json()?)?,
        bare.contender(BARE_SYNC, Function::Quote, Instances::Warm, Stack::Sync),
        bare.contender(BARE_ASYNC, Function::Quote, Instances::Warm, Stack::Async),
    ];
    let plan = Plan { rounds: effort.pick(5, 40), calls: effort.pick(400, 1_600) };
    let series = take_turns(&contenders, tasks, plan).await?;
    let at = |name| median(&series, name);
    let (bare, extism) = (at(BARE_SYNC).min(at(BARE_ASYNC)), at(EXTISM).min(at(EXTISM_POOL)));
    let shown = at_once(tasks);
    report.at_most(format!("warm, {shown}: of the time of extism"), ratio(at(OURS), extism), 1.0, Unit::Times);
    let over = at(OURS).saturating_sub(bare);
    report.at_most(format!("warm, {shown}: more than bare wasmtime"), over.as_secs_f64() * 1e6, 5.0, Unit::Micros);
    section(report, format!("Instances that are kept, {shown}"), EXTISM_NOTE, &series, OURS);
    Ok(())
}

async fn cached(field: &Field, effort: Effort, report: &mut Report) -> Result<()> {
    say("answers from the cache");
    let contenders = [
        field.outrigger.contender(HIT, "peer-cached.quote", Way::text_to_value())?,
        field.outrigger.contender(HIT_TEXT, "peer-cached.quote", Way::text())?,
    ];
    let plan = Plan { rounds: effort.pick(5, 40), calls: effort.pick(400, 1_600) };
    let series = take_turns(&contenders, 1, plan).await?;
    let hit = median(&series, HIT);
    report.at_most("an answer from the cache".to_owned(), hit.as_secs_f64() * 1e6, 3.0, Unit::Micros);
    let intro = "The arguments are checked against their types first, and the call is recorded, as always.";
    section(report, "Answers from the cache, one call at a time".to_owned(), intro, &series, HIT);
    Ok(())
}

async fn bytes(field: &Field, instances: Instances, effort: Effort, report: &mut Report) -> Result<()> {
    let (function, shown) = match instances {
        Instances::Fresh => ("peer-fresh.echo", "a new instance for each call"),
        Instances::Warm => ("peer-warm.echo", "instances that are kept"),
    };
    say(&format!("64 KiB in and out, {shown}"));
    let Field { outrigger, bare, .. } = field;
    let contenders = [
        outrigger.contender(BYTES, function, Way::bytes())?,
        bare.contender(BARE_SYNC, Function::Echo, instances, Stack::Sync),
        bare.contender(BARE_ASYNC, Function::Echo, instances, Stack::Async),
        outrigger.contender(BASE64, function, Way::base64())?,
    ];
    let plan = Plan { rounds: effort.pick(5, 40), calls: effort.pick(160, 480) };
    let series = take_turns(&contenders, 1, plan).await?;
    let bare = median(&series, BARE_SYNC).min(median(&series, BARE_ASYNC));
    let what = format!("64 KiB of bytes in and out, {shown}: of the time of wasmtime's typed call");
    report.at_most(what, ratio(median(&series, BYTES), bare), 3.0, Unit::Times);
    let intro = "Bare wasmtime calls with Rust's own types here, which is its quickest way.";
    section(report, format!("64 KiB of bytes in and out, {shown}"), intro, &series, BYTES);
    Ok(())
}

/// How many calls in a second, for as long as one likes: every call is in the store when the time is over.
async fn throughput(field: &Field, effort: Effort, report: &mut Report) -> Result<()> {
    say("calls in a row, until all are recorded");
    let calls = effort.pick(4_000, 60_000);
    let mut rows = Vec::new();
    for (name, function, way) in [
        ("a new instance for each call", "peer-fresh.quote", Way::text()),
        ("instances that are kept", "peer-warm.quote", Way::text()),
        ("answers from the cache", "peer-cached.quote", Way::text()),
    ] {
        let contender = field.outrigger.contender(name, function, way)?;
        let rate = sustained(&contender, 8, calls).await?;
        rows.push(vec![name.to_owned(), format!("{rate:.0}")]);
    }
    report.section(Section {
        title: format!("Sustained, 8 calls at once, {calls} in a row"),
        intro:
            "The clock stops when the last call is recorded in SQLite; the queue to the store is bounded, so past its \
                end calls go at the store's pace."
                .to_owned(),
        columns: vec!["Outrigger", "calls/s"],
        rows,
    });
    Ok(())
}

fn section(report: &mut Report, title: String, intro: &str, series: &[Series], against: &str) {
    let unit = median(series, against);
    let row = |series: &Series| {
        vec![
            series.name.to_owned(),
            micros(series.median()),
            micros(series.p99()),
            times(ratio(series.median(), unit)),
            format!("{:.0}", series.per_second()),
        ]
    };
    let calls = series.first().map_or(0, Series::calls);
    report.section(Section {
        title,
        intro: format!("{intro} {calls} calls of each, in turns.").trim_start().to_owned(),
        columns: vec!["", "median", "p99", "ratio of medians", "calls/s"],
        rows: series.iter().map(row).collect(),
    });
}

fn median(series: &[Series], name: &str) -> Duration {
    series.iter().find(|series| series.name == name).map(Series::median).unwrap_or_default()
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn at_once(tasks: usize) -> String {
    if tasks == 1 { "one call at a time".to_owned() } else { format!("{tasks} calls at once") }
}
