//! The hostile suites: plugins, packages, keys and hosts that attack the real server; a disk that fills up; fuzz targets.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::{cargo, fuzz, run, say, target_directory, tools};

/// The options of a run.
#[derive(clap::Args, Default)]
pub struct Options {
    /// Run everything: fifty plugins for ten minutes, every attack, 200 full disks, five minutes of each fuzz target
    #[arg(long)]
    full: bool,
    /// How long the fifty plugins attack together
    #[arg(long)]
    minutes: Option<u64>,
    /// Attack the release build instead of the debug build
    #[arg(long)]
    release: bool,
    /// Suites to run: alone, together, storm, packages, keys, hosts, disk, fuzz
    suites: Vec<String>,
    /// Run only attacks whose names contain this
    #[arg(long)]
    only: Option<String>,
}

const SERVER: [&str; 6] = ["storm", "together", "alone", "packages", "keys", "hosts"];

/// The suites that are part of all tests. The others compare times, or take minutes.
const IN_TESTS: [&str; 1] = ["storm"];

impl Options {
    /// The short form for all tests.
    pub fn in_tests() -> Self {
        Self { suites: IN_TESTS.map(str::to_owned).to_vec(), ..Self::default() }
    }
}

/// Runs the suites, prints their results, and fails if one fails.
pub fn check(repository: &Path, options: &Options) -> Result<()> {
    let wanted = |suite: &str| options.suites.is_empty() || options.suites.iter().any(|name| name == suite);
    if let Some(unknown) = options
        .suites
        .iter()
        .find(|name| !SERVER.contains(&name.as_str()) && !["disk", "fuzz"].contains(&name.as_str()))
    {
        bail!("unknown suite `{unknown}`; the suites are {}, disk, fuzz", SERVER.join(", "));
    }
    let mut outcomes = Vec::new();
    let mut suite = |name: &str, run: &dyn Fn() -> Result<()>| {
        let started = Instant::now();
        let outcome = run();
        if let Err(error) = &outcome {
            say(&format!("{name}: {error:#}"));
        }
        outcomes.push((name.to_owned(), started.elapsed(), outcome.is_ok()));
    };
    let attacks: Vec<_> = SERVER.into_iter().filter(|suite| wanted(suite)).collect();
    if !attacks.is_empty() {
        suite("plugins, packages, keys and hosts", &|| attack(repository, options, &attacks));
    }
    if wanted("disk") {
        suite("full disk", &|| full_disk(repository, options));
    }
    if wanted("fuzz") {
        suite("fuzz targets", &|| fuzz::check(repository, &fuzz::Options::all(if options.full { 300 } else { 5 })));
    }
    for (name, took, passed) in &outcomes {
        say(&format!("{} {name}: {} s", if *passed { "✓" } else { "✗" }, took.as_secs()));
    }
    match outcomes.iter().filter(|(_, _, passed)| !passed).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} suites failed", outcomes.len()),
    }
}

/// Attacks the server; `outrigger-hostile` prints its own table.
fn attack(repository: &Path, options: &Options, suites: &[&str]) -> Result<()> {
    let profile = if options.release { "release" } else { "debug" };
    let mut build = cargo(repository);
    // The workspace, so that dependencies have the features that the tests have built.
    build.args(["build", "--quiet", "--workspace", "--bins"]);
    if options.release {
        build.arg("--release");
    }
    run(&mut build)?;
    if options.release {
        run(cargo(repository).args(["build", "--quiet", "--workspace", "--bins"]))?;
    }
    let target = target_directory(repository);
    let mut command = Command::new(target.join("debug/outrigger-hostile"));
    command.args(suites).arg("--program").arg(target.join(profile).join("outrigger")).arg("--folder").arg(&target);
    if options.full {
        command.arg("--full");
    }
    if let Some(minutes) = options.minutes {
        command.arg("--seconds").arg((minutes * 60).to_string());
    }
    command.args(options.only.iter().flat_map(|only| ["--only", only]));
    run(&mut command)
}

/// The store on a disk that fills up at random moments.
fn full_disk(repository: &Path, options: &Options) -> Result<()> {
    let mut command = cargo(repository);
    match tools::nextest() {
        Some(nextest) => command.args([nextest, "run", "-E", "binary(full_disk)", "--workspace", "--no-tests", "fail"]),
        None => command.args(["test", "--workspace", "--test", "full_disk"]),
    };
    if options.full {
        command.env("OUTRIGGER_ROUNDS", "200");
    }
    run(&mut command)
}
