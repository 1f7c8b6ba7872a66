//! `outrigger dev`: from a new project to a package.

use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, Code, PackageSource, TemplateValues};
use outrigger_devkit::{
    BuildOptions, Built, Created, DevkitError, KeyFiles, Progress, Signed, SigningKey, TemplateError,
};
use outrigger_host::environment;
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
        DevCommand::Keygen { file } => keygen(context, &file),
        DevCommand::Sign { package, key } => sign(context, &package, key),
        DevCommand::Build { path, out, install, yes, sign } => {
            // A key that cannot be used is known at once, and not when all is compiled.
            let key = sign.as_deref().map(signing_key).transpose()?;
            let built = build(context, &path, out)?;
            let signed = key.map(|key| signed(&built.package, &key)).transpose()?;
            if !install {
                return print(context, &built, signed.as_ref());
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
        // Built-in templates need neither a server nor a data directory.
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
        format!("Created {folder}. Next: outrigger dev build {folder} --install")
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

fn print(context: &Context, built: &Built, signed: Option<&Signed>) -> CliResult {
    let Built { name, package, component, size, target, took } = built;
    let mut value = json!({
        "name": name,
        "package": package,
        "component": component,
        "size": size,
        "target": target.to_string(),
        "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    let mut facts = bytes(*size);
    if let Some(Signed { key_id, digest, .. }) = signed {
        value["signature"] = json!({ "key_id": key_id.to_string(), "digest": digest.to_string() });
        facts.push_str(&format!(", signed with {key_id}"));
    }
    context.output.print(&value, || {
        let package = package.display();
        format!("{package} ({facts}); install it with `outrigger plugin install {package}`")
    })
}

fn keygen(context: &Context, file: &Path) -> CliResult {
    let made = outrigger_devkit::make_key(file).map_err(|error| failure(&error))?;
    let KeyFiles { private, public, id, public_pem } = &made;
    let value = json!({ "private": private, "public": public, "key_id": id.to_string(), "public_key": public_pem });
    context.output.print(&value, || {
        format!(
            "{} contains the private key: keep it secret.\n{} contains the public key, {id}.\n\n\
             Where your packages are installed, this goes into trust.toml of the data directory:\n\n\
             [[key]]\nname = \"your name\"\npublic-key = \"\"\"\n{public_pem}\"\"\"\nplugins = [\"*\"]\n",
            private.display(),
            public.display()
        )
    })
}

fn sign(context: &Context, package: &Path, key: Option<PathBuf>) -> CliResult {
    let key = key.or_else(|| environment::path(environment::SIGNING_KEY)).ok_or_else(|| {
        usage("there is no key to sign with", "name the file of one with `--key FILE` or OUTRIGGER_SIGNING_KEY")
    })?;
    let signed = signed(package, &signing_key(&key)?)?;
    let Signed { plugin, version, digest: _, key_id, signatures, signed_at: _ } = &signed;
    context.output.print(&signed, || match signatures {
        1 => format!("{plugin} {version} is signed with {key_id}"),
        several => format!("{plugin} {version} is signed with {key_id}, and with {} more", several - 1),
    })
}

fn signing_key(file: &Path) -> CliResult<SigningKey> {
    Ok(outrigger_devkit::read_key(file).map_err(|error| failure(&error))?)
}

fn signed(package: &Path, key: &SigningKey) -> CliResult<Signed> {
    Ok(tokio::task::block_in_place(|| outrigger_devkit::sign(package, key)).map_err(|error| failure(&error))?)
}

/// A failure of the devkit with its code.
fn failure(error: &DevkitError) -> ApiError {
    let code = match error {
        DevkitError::Io { .. } | DevkitError::Run { .. } => Code::Io,
        DevkitError::NotAProject { .. } | DevkitError::NotTheSdk { .. } => Code::InvalidUsage,
        DevkitError::ProjectFile { .. } => Code::InvalidManifest,
        DevkitError::NoToolchain { .. } => Code::Unsupported,
        DevkitError::NotEmpty { .. } | DevkitError::KeyExists { .. } => Code::AlreadyExists,
        DevkitError::Key { .. } => Code::InvalidUsage,
        DevkitError::Sign(error) => error.code(),
        DevkitError::Template(error) => return template_failure(error),
        _ => Code::InvalidComponent,
    };
    ApiError::caused(code, error, error.hint())
}

/// A failure of a template with its code.
pub(super) fn template_failure(error: &TemplateError) -> ApiError {
    ApiError::caused(error.code(), error, error.hint())
}
