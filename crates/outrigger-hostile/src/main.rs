//! Attacks on the real server from outside: hostile plugins, packages, keys and hosts. `cargo xtask hostile` builds the
//! server and runs this.
//!
//! Each suite starts its own server with a new data directory, attacks it, and compares its memory and disk usage (from
//! the kernel) and the records of others (from the server) with bounds. Read [`guests`] for the plugins, then
//! [`together`] (fifty at once beside an honest one), [`alone`] (each by itself), [`storm`] (links and renames),
//! [`packages`], [`keys`] and [`hosts`].

mod alone;
mod client;
mod guests;
mod hosts;
mod keys;
mod measure;
mod packages;
mod server;
mod storm;
mod table;
mod together;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use table::Table;

const SUITES: [&str; 6] = ["alone", "together", "storm", "packages", "keys", "hosts"];

/// The suites to run, and their durations.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `outrigger`.
    pub program: PathBuf,
    /// The parent folder of the data directories.
    pub folder: PathBuf,
    /// Whether to run the full suites.
    pub full: bool,
    /// How long fifty plugins attack at once.
    pub lasts: Duration,
    /// Only plugins and attacks whose names contain this.
    pub only: String,
    suites: Vec<String>,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options {
        program: PathBuf::new(),
        folder: std::env::temp_dir(),
        full: false,
        lasts: Duration::ZERO,
        only: String::new(),
        suites: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--program" => options.program = value()?.into(),
            "--folder" => options.folder = value()?.into(),
            "--seconds" => options.lasts = Duration::from_secs(value()?.parse()?),
            "--only" => options.only = value()?,
            "--full" => options.full = true,
            suite if SUITES.contains(&suite) => options.suites.push(suite.to_owned()),
            other => bail!("`{other}` is unknown; suites are {}", SUITES.join(", ")),
        }
    }
    if options.lasts.is_zero() {
        options.lasts = Duration::from_secs(if options.full { 600 } else { 30 });
    }
    if options.suites.is_empty() {
        options.suites = SUITES.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool> {
    let folder = tempfile::Builder::new().prefix("outrigger-hostile-").tempdir_in(&options.folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut table = Table::default();
    for suite in &options.suites {
        say(&format!("— {suite}"));
        let place = folder.path().join(suite);
        std::fs::create_dir_all(&place)?;
        runtime.block_on(async {
            match suite.as_str() {
                "alone" => alone::run(options, &place, &mut table).await,
                "together" => together::run(options, &place, &mut table).await,
                "storm" => storm::run(options, &place, &mut table).await,
                "packages" => packages::run(options, &place, &mut table).await,
                "keys" => keys::run(options, &place, &mut table).await,
                _ => hosts::run(options, &place, &mut table).await,
            }
        })?;
        // Deletes the listings of a hundred thousand names before the next suite.
        std::fs::remove_dir_all(&place)?;
    }
    say(&format!("\n{}", table.render()));
    say(&match table.failures() {
        0 => "every bound holds".to_owned(),
        failures => format!("{failures} bounds do not hold"),
    });
    Ok(table.passed())
}

/// Prints progress.
#[expect(clippy::print_stderr, reason = "a command for people")]
pub fn say(text: &str) {
    eprintln!("{text}");
}
