//! From the words on the command line to an exit code: reads them, runs the command, watches for Ctrl-C, closes the
//! platform in every case, and shows the error, if any.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use outrigger_api::{ApiError, Code};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, ColorChoice, Command, GlobalOptions, JobCommand, ScheduleCommand};
use crate::commands;
use crate::context::Context;
use crate::error::{CliError, CliResult, report};
use crate::output::Output;
use crate::output::log::Log;

/// Runs the command line of this process.
#[must_use]
pub fn run() -> ExitCode {
    // Components are compiled in child processes that run this same program.
    if let Some(code) = outrigger_host::compile_if_asked() {
        return code;
    }
    // Answers a shell that asks for completions, and ends there. Costs a look at one variable otherwise.
    clap_complete::CompleteEnv::with_factory(crate::command).complete();
    let words: Vec<OsString> = std::env::args_os().collect();
    // Known before all is read, so that help and usage errors keep to it too.
    let early = GlobalOptions::scan(words.get(1..).unwrap_or_default());
    anstream::ColorChoice::from(early.color.unwrap_or(ColorChoice::Auto)).write_global();
    match read(&words) {
        Ok(cli) => execute(cli),
        Err(error) => ExitCode::from(report(&error.into(), &Output::new(&early))),
    }
}

fn read(words: &[OsString]) -> Result<Cli, clap::Error> {
    let matches = Cli::command().color(crate::output::help_color()).try_get_matches_from(words)?;
    Cli::from_arg_matches(&matches)
}

fn execute(mut cli: Cli) -> ExitCode {
    let words = match &cli.command {
        Command::Call(call) => Some(&call.words),
        Command::Job(JobCommand::Start(job)) => Some(&job.words),
        Command::Schedule(ScheduleCommand::Set(schedule)) => Some(&schedule.words),
        _ => None,
    };
    if let Some(words) = words {
        // Words after the function's name belong to the function, but global options among them still apply.
        cli.global = cli.global.overlaid(GlobalOptions::scan(words));
    }
    let output = Output::new(&cli.global);
    log(cli.global.verbose);
    let GlobalOptions { data, server, ca_certificate, .. } = cli.global;
    let context = Context::new(output, data, server).trusting(ca_certificate);
    let context = Arc::new(match cli.command.can_begin_data() {
        true => context,
        false => context.refusing_missing_data(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(&cli.command))
        // Under load, sockets and tasks that other threads have woken would otherwise wait for dozens of tasks: those that
        // the store's thread answers, often with a transaction open.
        .event_interval(8)
        .global_queue_interval(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = ApiError::new(Code::Internal, format!("failed to start threads: {error}"));
            return ExitCode::from(report(&error.into(), &context.output));
        }
    };
    let outcome = runtime.block_on(supervise(Arc::clone(&context), cli.command));
    // A thread that is still busy, after a second Ctrl-C or at a prompt, ends with the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(report(&error, &context.output)),
    }
}

/// Starting threads takes time, and most commands do one thing.
fn workers(command: &Command) -> usize {
    match command {
        Command::Batch(_) | Command::Serve(_) => std::thread::available_parallelism().map_or(2, usize::from).max(2),
        _ => 2,
    }
}

/// Logs of the program itself, to standard error. Setting up the filter takes time, so it is done only when asked for.
fn log(verbosity: u8) {
    let level = match verbosity {
        0 => {
            let quiet = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN);
            quiet.with_writer(Log::default()).with_target(false).without_time().init();
            return;
        }
        1 => "warn,outrigger=info",
        2 => "info,outrigger=debug",
        _ => "debug",
    };
    let filter = EnvFilter::new(level);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(Log::default()).init();
}

/// Runs a command until it ends or the user cancels it. The first Ctrl-C drops the command, which cancels what it was
/// waiting for, and closes the platform in order; the second one waits for nothing.
async fn supervise(context: Arc<Context>, command: Command) -> CliResult {
    context.refuse_idle_authorities()?;
    if let Command::Serve(arguments) = command {
        // It stops in an order of its own.
        return commands::serve::run(&context, arguments).await;
    }
    let waited_for = match &command {
        Command::Job(JobCommand::Wait { id, .. }) => Some(id.clone()),
        _ => None,
    };
    // Before anything begins, so that no signal meets the system's own handling half-way through.
    let mut interrupts = Interrupts::new()?;
    let mut task = tokio::spawn(commands::run(Arc::clone(&context), command));
    let outcome = tokio::select! {
        outcome = &mut task => match outcome {
            Ok(outcome) => outcome,
            Err(error) => Err(ApiError::new(Code::Internal, format!("the command panicked: {error}")).into()),
        },
        () = interrupts.next() => {
            task.abort();
            tokio::select! {
                // Either it is gone now or it had just ended; both are fine.
                _ = task => {}
                () = interrupts.next() => return Err(cancelled(waited_for.as_deref())),
            }
            Err(cancelled(waited_for.as_deref()))
        }
    };
    let closed = tokio::select! {
        closed = context.close() => closed,
        () = interrupts.next() => return Err(cancelled(waited_for.as_deref())),
    };
    outcome.and(closed.map_err(CliError::from))
}

/// Ctrl-C, and the request to end that a supervisor of processes sends.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(crate) fn new() -> CliResult<Self> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| ApiError::new(Code::Internal, format!("failed to listen for signals: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn cancelled(waited_for: Option<&str>) -> CliError {
    let (message, hint) = match waited_for {
        Some(job) => {
            (format!("stopped waiting; job {job} continues"), format!("`outrigger job cancel {job}` cancels the job"))
        }
        None => ("the command was cancelled".to_owned(), String::new()),
    };
    ApiError::new(Code::Cancelled, message).with_hint(hint).into()
}
