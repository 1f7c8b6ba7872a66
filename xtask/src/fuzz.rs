//! Fuzz targets for untrusted input, run with libFuzzer for a limited time. They are built with the stable compiler;
//! only the crates of this workspace are instrumented, see `fuzz/rustc.sh`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{cargo, run, say, target_directory};

/// The targets in `fuzz/targets`.
const TARGETS: [&str; 7] = ["manifest", "archive", "component", "values", "condition", "template", "payload"];
/// How many targets run at the same time.
const AT_ONCE: usize = 2;

/// The options of a run.
#[derive(clap::Args)]
pub struct Options {
    /// Only this target: manifest, archive, component, values, condition, template or payload
    target: Option<String>,
    /// How long each target is fuzzed, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

impl Options {
    /// All targets.
    pub fn all(seconds: u64) -> Self {
        Self { target: None, seconds }
    }
}

/// Builds the targets and fuzzes each. A failing input is kept, and its path is printed.
pub fn check(repository: &Path, options: &Options) -> Result<()> {
    let Options { target, seconds } = options;
    let wanted: Vec<_> = TARGETS.into_iter().filter(|name| target.as_ref().is_none_or(|only| only == name)).collect();
    ensure!(!wanted.is_empty(), "unknown target; the targets are {}", TARGETS.join(", "));
    say("building the fuzz targets");
    let mut build = cargo(repository);
    build.args(["build", "--quiet", "-p", "outrigger-fuzz", "--bins"]);
    run(build.env("RUSTC_WORKSPACE_WRAPPER", repository.join("fuzz/rustc.sh")))?;
    let mut failed = Vec::new();
    for names in wanted.chunks(AT_ONCE) {
        let begun: Vec<_> =
            names.iter().map(|name| Fuzzed::begin(repository, name, *seconds)).collect::<Result<_>>()?;
        for one in begun {
            let name = one.name;
            match one.end() {
                Ok(runs) => say(&format!("fuzz {name}: {runs} inputs in {seconds} s, no failure")),
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// A running target.
struct Fuzzed<'a> {
    name: &'a str,
    child: Child,
    log: PathBuf,
    found: PathBuf,
}

impl<'a> Fuzzed<'a> {
    fn begin(repository: &Path, name: &'a str, seconds: u64) -> Result<Self> {
        let place = target_directory(repository).join("fuzz").join(name);
        let (corpus, found, log) = (place.join("corpus"), place.join("found"), place.join("log"));
        for folder in [&corpus, &found] {
            std::fs::create_dir_all(folder)?;
        }
        let mut command = Command::new(target_directory(repository).join("debug").join(format!("fuzz_{name}")));
        command.arg(&corpus).arg(repository.join("fuzz/seeds").join(name));
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
        // An input above this time or memory fails like a crash.
        command.args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=16384", "-print_final_stats=1"]);
        let output = std::fs::File::create(&log)?;
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
        let child = child.with_context(|| format!("the target `{name}` cannot be started"))?;
        Ok(Self { name, child, log, found })
    }

    /// How many inputs were tried.
    fn end(mut self) -> Result<u64> {
        let status = self.child.wait()?;
        let log = String::from_utf8_lossy(&std::fs::read(&self.log)?).into_owned();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        ensure!(
            status.success(),
            "the fuzz target `{}` failed with {status}; the input is in {}:\n{last}",
            self.name,
            self.found.display()
        );
        let runs = lines.iter().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        Ok(runs.and_then(|runs| runs.trim().parse().ok()).unwrap_or_default())
    }
}
