//! `outrigger dev`: from a new project to a package.

use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, Code, PackageSource, TemplateValues};
use outrigger_devkit::{BuildOptions, Built, Created, DevkitError, Progress, TemplateError};
use serde_json::json;

use super::install;
use crate::cli::{Argument, DevCommand, NewArguments};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::output::bytes;

/// Runs one of the commands for authors.
///
/// # Errors
/// The project could not be made or built.
pub async fn run(context: &Context, command: DevCommand) -> CliResult {
    match command {
        DevCommand::New(arguments) => new(context, arguments).await,
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

async fn new(context: &Context, arguments: NewArguments) -> CliResult {
    let NewArguments { name, path, template, set, title, description, author, sdk } = arguments;
    let folder = path.unwrap_or_else(|| PathBuf::from(name.as_str()));
    let mut values = TemplateValues { title, description, author, ..TemplateValues::new(name) };
    for Argument { name, value } in set {
        let Some(value) = value else {
            return Err(usage(format!("--set {name} has no value"), format!("write `--set {name}=VALUE`")));
        };
        values.variables.insert(name, value);
    }
    if let Some(sdk) = sdk {
        let path = outrigger_devkit::sdk_path(&sdk).map_err(|error| failure(&error))?;
        values.variables.insert("sdk".to_owned(), path);
    }
    let files = match outrigger_devkit::built_in(&template) {
        // What is built in needs neither a server nor a data directory.
        Some(built_in) => outrigger_devkit::render(built_in, &values).map_err(|error| failure(&error))?,
        None => context.platform().await?.template_render(&template, values.clone()).await?.files,
    };
    let created = outrigger_devkit::new(&values.name, &folder, &files).map_err(|error| failure(&error))?;
    print_created(context, &created)
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
        DevkitError::Template(error) => return template_failure(error),
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

/// A failure of a template with its code.
pub(super) fn template_failure(error: &TemplateError) -> ApiError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let shown = ApiError::new(error.code(), message);
    match error.hint() {
        Some(hint) => shown.with_hint(hint),
        None => shown,
    }
}
