//! One file a command. Each asks the platform and prints the answer; none decides anything that another face would have
//! to decide too.

pub mod access;
pub mod audit;
pub mod backup;
pub mod batch;
pub mod call;
pub mod configuration;
pub mod dev;
pub mod doctor;
pub mod errors;
pub mod event;
mod filters;
pub mod functions;
pub mod health;
pub mod hook;
pub mod install;
pub mod job;
mod migration;
pub mod plugin;
pub mod profile;
pub mod records;
pub mod serve;
pub mod signature;
pub mod template;
pub mod upload;
pub mod usage;
pub mod validate;
pub mod webhook;

use std::sync::Arc;

use clap_complete::env::{EnvCompleter, Shells};
use outrigger_api::{ApiError, Code};
use serde_json::json;

use crate::cli::{Command, Shell};
use crate::context::Context;
use crate::error::CliResult;

/// Runs a command to its end.
///
/// # Errors
/// The error of the command.
pub async fn run(context: Arc<Context>, command: Command) -> CliResult {
    match command {
        Command::Plugin(command) => plugin::run(&context, command).await,
        Command::Functions(arguments) => functions::run(&context, arguments).await,
        Command::Call(arguments) => call::run(&context, arguments).await,
        Command::Batch(arguments) => batch::run(&context, arguments).await,
        Command::Runs(arguments) => records::runs(&context, arguments).await,
        Command::Usage(arguments) => usage::run(&context, arguments).await,
        Command::Serve(arguments) => serve::run(&context, arguments).await,
        Command::Hook(command) => hook::run(&context, command).await,
        Command::Job(command) => job::run(&context, command).await,
        Command::Schedule(command) => job::schedule(&context, command).await,
        Command::Events(arguments) => event::run(&context, arguments).await,
        Command::Webhook(command) => webhook::run(&context, command).await,
        Command::Access(command) => access::run(&context, command).await,
        Command::Audit(command) => audit::run(&context, command).await,
        Command::Backup(command) => backup::run(&context, command).await,
        Command::Secrets(command) => configuration::secrets(&context, command).await,
        Command::Dev(command) => dev::run(&context, command).await,
        Command::Template(command) => template::run(&context, command).await,
        Command::Doctor => doctor::run(&context).await,
        Command::Completions { shell } => completions(&context, shell),
        Command::Errors { code } => errors::run(&context, code.as_deref()),
        Command::Version => version(&context),
    }
}

/// Prints a script that asks this program for completions, so that they know the installed plugins and functions.
fn completions(context: &Context, shell: Shell) -> CliResult {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Elvish => "elvish",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
        Shell::Zsh => "zsh",
    };
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer: Option<&dyn EnvCompleter> = shells.completer(name);
    let written = match completer {
        Some(completer) => completer.write_registration("COMPLETE", "outrigger", "outrigger", "outrigger", &mut script),
        None => Err(std::io::Error::other("no such shell")),
    };
    written.map_err(|error| ApiError::new(Code::Internal, format!("no completions for {name}: {error}")))?;
    context.output.write_raw(&String::from_utf8_lossy(&script))
}

fn version(context: &Context) -> CliResult {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({"version": version, "system": std::env::consts::OS, "architecture": std::env::consts::ARCH});
    context.output.print(&value, || format!("outrigger {version}"))
}
