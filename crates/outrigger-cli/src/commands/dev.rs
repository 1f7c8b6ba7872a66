//! `outrigger dev`: from a new project to a package.

use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, Code, PackageSource};
use outrigger_devkit::{BuildOptions, Built, Created, DevkitError, NewOptions, Progress};
use serde_json::json;

use super::install;
use crate::cli::DevCommand;
use crate::context::Context;
use crate::error::CliResult;
use crate::output::bytes;

/// Runs one of the commands for authors.
///
/// # Errors
/// The project could not be made or built.
pub async fn run(context: &Context, command: DevCommand) -> CliResult {
    match command {
        DevCommand::New { name, path, sdk } => {
            let folder = path.unwrap_or_else(|| PathBuf::from(name.as_str()));
            let options = NewOptions { name, folder, sdk };
            let created = outrigger_devkit::new(&options).map_err(|error| failure(&error))?;
            print_created(context, &created)
        }
        DevCommand::Build { path, out, install, yes } => {
            let built = build(context, &path, out)?;
            if !install {
                return print(context, &built);
            }
            let package = std::path::absolute(&built.package).unwrap_or(built.package);
            let manner = install::Manner { yes, ..install::Manner::default() };
            install::install_source(context, PackageSource::Path(package), manner).await
        }
    }
}

fn print_created(context: &Context, created: &Created) -> CliResult {
    let Created { name, folder, files } = created;
    context.output.print(&json!({ "name": name, "project": folder, "files": files }), || {
        let folder = folder.display();
        format!("{folder} is the new project of {name}; build it with `outrigger dev build {folder}`")
    })
}

fn build(context: &Context, path: &Path, out: Option<PathBuf>) -> CliResult<Built> {
    let mut options = BuildOptions::new(path, out.unwrap_or_else(|| path.join("dist")));
    if context.output.is_quiet() {
        options.progress = Progress::Silent;
    }
    // Compiling blocks this thread for long, so the runtime is told to use another. What is done is told by the devkit
    // itself, line by line, because a compiler's words are worth more than a spinner.
    let built = tokio::task::block_in_place(|| outrigger_devkit::build(&options)).map_err(|error| failure(&error))?;
    Ok(built)
}

fn print(context: &Context, built: &Built) -> CliResult {
    let Built { name, package, component, size, target, took } = built;
    let value = json!({
        "name": name,
        "package": package,
        "component": component,
        "size": size,
        "target": target.to_string(),
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    context.output.print(&value, || {
        let package = package.display();
        format!("{package} ({}); install it with `outrigger plugin install {package}`", bytes(*size))
    })
}

/// A failure of the devkit with its code.
fn failure(error: &DevkitError) -> ApiError {
    let code = match error {
        DevkitError::Io { .. } | DevkitError::Run { .. } => Code::Io,
        DevkitError::NotAProject { .. } | DevkitError::NotTheSdk { .. } => Code::InvalidUsage,
        DevkitError::ProjectFile { .. } => Code::InvalidManifest,
        DevkitError::NoToolchain { .. } => Code::Unsupported,
        DevkitError::NotEmpty { .. } => Code::AlreadyExists,
        _ => Code::InvalidComponent,
    };
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let shown = ApiError::new(code, message);
    match error.hint() {
        Some(hint) => shown.with_hint(hint),
        None => shown,
    }
}
