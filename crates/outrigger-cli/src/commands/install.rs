//! `outrigger plugin install` and `uninstall`: look first, ask, then act.

use std::path::{Path, PathBuf};

use inquire::ui::RenderConfig;
use inquire::{Confirm, InquireError};
use outrigger_api::{
    ApiError, Code, InstallOutcome, InstallRequest, PackageReport, PackageSource, PluginName, PluginStanding,
    RollbackRequest, StopReport,
};
use serde_json::{Map, Value as Json, json};

use super::plugin::warn_of_closed;
use super::{configuration, functions, migration, signature, upload};
use crate::cli::{Argument, InstallArguments, RollbackArguments, UninstallArguments};
use crate::context::Context;
use crate::error::{CliError, CliResult, usage};
use crate::input;
use crate::output::table::{bullets, fields, section};
use crate::output::{Format, bold, bytes, can_ask, clean, count, one_line, yellow};

/// Installs the given packages.
///
/// # Errors
/// A package is refused, or the user does not approve what it asks for.
pub async fn install(context: &Context, arguments: InstallArguments) -> CliResult {
    let InstallArguments { package, yes, version, dry_run, allow_downgrade, set, config } = arguments;
    let source = source(package, version)?;
    install_source(context, source, Manner { yes, dry_run, allow_downgrade, set, config }).await
}

/// How a package is installed.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Approve without a question.
    pub yes: bool,
    pub dry_run: bool,
    pub allow_downgrade: bool,
    /// Values of the configuration; they go over those of the file.
    pub set: Vec<Argument>,
    /// A file with values of the configuration.
    pub config: Option<PathBuf>,
}

/// Looks at a package, asks where that is needed, and installs it.
///
/// # Errors
/// As [`install`].
pub async fn install_source(context: &Context, source: PackageSource, manner: Manner) -> CliResult {
    install_over(context, source, manner, None).await
}

/// Puts a package in the place of the installed version of its plugin.
///
/// # Errors
/// As [`install`]; or the plugin is not installed.
pub async fn update(context: &Context, arguments: InstallArguments) -> CliResult {
    let InstallArguments { package, yes, version, dry_run, allow_downgrade, set, config } = arguments;
    let source = upload::reachable(context, source(package, version)?).await?;
    let report = context.platform().await?.package_inspect(&source).await?;
    let name = report.manifest.name;
    let manner = Manner { yes, dry_run, allow_downgrade, set, config };
    install_over(context, source, manner, Some(PluginStanding { name, updated_at: None })).await
}

async fn install_over(
    context: &Context,
    source: PackageSource,
    manner: Manner,
    replaces: Option<PluginStanding>,
) -> CliResult {
    let Manner { yes, dry_run, allow_downgrade, .. } = manner;
    let source = upload::reachable(context, source).await?;
    let platform = context.platform().await?;
    let report = {
        let _progress = context.output.spinner("reading the package");
        platform.package_inspect(&source).await?
    };
    let configuration = given(&report, &manner)?;
    // The user is only asked to approve what was shown. If errors are data, they are written alone.
    if !yes && can_ask() {
        context.output.ask_about(&review(&report));
    } else if context.output.format() == Format::Table {
        context.output.remark(&review(&report));
    }
    // A package that will be refused needs no question. The attempt shows the reason, and never installs what the
    // inspection refused, whatever changed in the meantime.
    let accepted = report.signature.accepted && report.above_ceiling.is_empty();
    let approved = match accepted {
        true => consent(context, &report, &manner)?,
        false => None,
    };
    let outcome = {
        let doing = if dry_run { "trying" } else { "installing" };
        let _progress = context.output.spinner(format!("{doing} {}", report.manifest.name));
        let dry_run = dry_run || !accepted;
        let request = InstallRequest { source, approved, dry_run, allow_downgrade, replaces, configuration };
        platform.plugin_install(request).await?
    };
    if !accepted {
        let message = "the package changed since it was inspected: the inspection refused it, the installation did not";
        return Err(ApiError::new(Code::Conflict, message)
            .with_hint("run the command again to inspect the package again")
            .into());
    }
    context.output.print(&outcome, || outcome_text(&outcome))
}

/// The values that the package is to be configured with, as its manifest wants them. Whether they fit is for the platform
/// to say.
fn given(report: &PackageReport, manner: &Manner) -> CliResult<Map<String, Json>> {
    let mut values = match &manner.config {
        Some(file) => input::document("--config", file)?,
        None => Map::new(),
    };
    values.extend(configuration::settings(&report.manifest.configuration.to_json_schema(), &manner.set)?);
    Ok(values)
}

/// A path where it looks like one or is one; otherwise a name in the search paths.
fn source(package: String, version: Option<String>) -> CliResult<PackageSource> {
    let path = Path::new(&package);
    let is_package = path.join(outrigger_contract::manifest::FILE_NAME).is_file() || path.is_file();
    match package.parse::<PluginName>() {
        Ok(name) if version.is_some() || !is_package => Ok(PackageSource::Named { name, version }),
        _ if version.is_some() => Err(usage(
            format!("--version is for installing by name, and `{package}` is a path"),
            "leave --version out: the path says which package is meant",
        )),
        _ => Ok(PackageSource::Path(std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path)))),
    }
}

/// The summary of a package and its requests.
fn review(report: &PackageReport) -> String {
    let PackageReport {
        manifest,
        digest,
        size,
        files,
        permissions,
        widened,
        above_ceiling,
        take_over,
        offered,
        refused,
        imports: _,
        warnings,
        installed_version,
        source,
        signature,
    } = report;
    let publisher = match manifest.authors.is_empty() {
        true => "unknown".to_owned(),
        false => manifest.authors.join(", "),
    };
    let mut text =
        format!("{}\n{}\n", bold(&format!("{} {}", manifest.name, manifest.version)), clean(&manifest.title));
    text.push_str(&fields(&[
        ("Publisher", format!("{publisher} (as the package says)")),
        ("Signature", signature::sentence(signature)),
        ("Licence", manifest.license.clone().unwrap_or_default()),
        ("Source", source.clone()),
        ("Contents", format!("{}, {}", count(*files as usize, "file"), bytes(*size))),
        ("Digest", digest.clone()),
        ("Replaces", installed_version.as_ref().map(|version| format!("version {version}")).unwrap_or_default()),
    ]));
    text.push_str(&section("Functions", &functions::offered(offered)));
    text.push_str(&section("Exports that cannot be called", &bullets(refused)));
    let asked = match permissions.is_empty() {
        true => "none: the plugin cannot use anything outside itself".to_owned(),
        false => bullets(permissions.iter().map(|one| match installed_version.is_some() && widened.contains(one) {
            true => format!("{one} (new)"),
            false => one.clone(),
        })),
    };
    // Giving up a fail-closed subscription needs approval too.
    let gives_up = widened.iter().filter(|one| !permissions.contains(*one));
    text.push_str(&section("Requested permissions", &asked));
    text.push_str(&section("Fail-closed subscriptions it changes", &bullets(gives_up)));
    text.push_str(&section("Limits above the operator's ceiling", &bullets(above_ceiling)));
    if let Some(take_over) = take_over {
        text.push_str(&format!("\n{} {}", yellow("warning:"), clean(take_over)));
    }
    for warning in warnings {
        text.push_str(&format!("\n{} {}", yellow("warning:"), clean(warning)));
    }
    text.trim_end().to_owned() + "\n"
}

/// The digest that the user agrees to, and without asking the one that was shown: only that is installed. Only what asks for
/// more than it has needs agreement; on a terminal every installation is asked about.
fn consent(context: &Context, report: &PackageReport, manner: &Manner) -> CliResult<Option<String>> {
    if manner.yes {
        return Ok(Some(report.digest.clone()));
    }
    // A dry run only needs approval for permissions that it grants temporarily.
    if manner.dry_run && report.widened.is_empty() {
        return Ok(Some(report.digest.clone()));
    }
    let name = format!("{} {}", report.manifest.name, report.manifest.version);
    if can_ask() {
        let question = match report.widened.is_empty() {
            true => format!("Install {name}?"),
            false if manner.dry_run => format!("Try {name} with these permissions?"),
            false => format!("Install {name} and grant it these permissions?"),
        };
        return match ask(&question)? {
            true => Ok(Some(report.digest.clone())),
            false => Err(declined("nothing was installed")),
        };
    }
    if report.widened.is_empty() {
        return Ok(Some(report.digest.clone()));
    }
    let mut message = format!("`{}` requests permissions that were not granted", report.manifest.name);
    // The review above lists them already.
    if context.output.format() != Format::Table || context.output.is_quiet() {
        message.push_str(&format!(":\n{}", bullets(&report.widened)));
    }
    let mut error =
        ApiError::new(Code::GrantRequired, message).with_hint("to approve them, repeat the command with `--yes`");
    error.detail = Some(json!({"digest": report.digest, "permissions": report.widened}));
    Err(error.into())
}

fn outcome_text(outcome: &InstallOutcome) -> String {
    let InstallOutcome { name, version, digest: _, action, previous_version, signature, dry_run, migration } = outcome;
    let changes = migration.as_ref().map(migration::text).unwrap_or_default();
    if *dry_run {
        return match previous_version {
            _ if action == "unchanged" => format!("{name} {version} is already installed\n"),
            _ if action == "restored" => {
                format!("{name} {version} is already installed; its files were changed and would be restored\n")
            }
            _ if action == "granted" => {
                format!("{name} {version} is already installed; its permissions would be granted again\n")
            }
            Some(previous) => {
                format!("Updating {name} from {previous} to {version} would make these changes:\n{changes}")
            }
            None => format!("{name} {version} would be installed\n"),
        };
    }
    let done = match (action.as_str(), previous_version) {
        ("unchanged", _) => format!("{name} {version} is already installed"),
        ("restored", _) => format!("{name} {version} is already installed; its changed files were restored"),
        ("granted", _) => format!("{name} {version} is already installed; its permissions were granted again"),
        ("updated", Some(previous)) if previous == version => format!("{name} {version} replaced by a changed package"),
        ("updated", Some(previous)) => format!("{name} updated from {previous} to {version}"),
        _ => format!("{name} {version} {action}"),
    };
    let done = match &signature.signer {
        Some(signer) => format!("{done}, signed by {}", clean(signer)),
        None => done,
    };
    match migration.as_ref().is_some_and(migration::is_notable) {
        true => format!("{done}\n{changes}"),
        false => done,
    }
}

/// Rolls a plugin back to the state before its last update.
///
/// # Errors
/// There is no previous version, or the user does not agree.
pub async fn rollback(context: &Context, arguments: RollbackArguments) -> CliResult {
    let RollbackArguments { name, yes, dry_run } = arguments;
    let platform = context.platform().await?;
    let tried = platform.plugin_rollback(&name, RollbackRequest { dry_run: true }).await?;
    if dry_run {
        return context.output.print(&tried, || migration::rollback_text(&tried));
    }
    if !yes {
        if !can_ask() {
            return Err(usage(
                format!("rolling back `{name}` changes its configuration or state, and needs confirmation"),
                "`--dry-run` shows the changes; to confirm, repeat the command with `--yes`",
            ));
        }
        context.output.ask_about(&migration::rollback_text(&tried));
        if !ask(&format!("Roll back to {name} {}?", tried.migration.to))? {
            return Err(declined("nothing was changed"));
        }
    }
    let done = {
        let _progress = context.output.spinner(format!("rolling back to {name} {}", tried.migration.to));
        platform.plugin_rollback(&name, RollbackRequest { dry_run: false }).await?
    };
    context.output.print(&done, || migration::rollback_text(&done))
}

/// Removes a plugin.
///
/// # Errors
/// There is no plugin of this name, or the user does not agree.
pub async fn uninstall(context: &Context, arguments: UninstallArguments) -> CliResult {
    let UninstallArguments { name, yes } = arguments;
    let platform = context.platform().await?;
    let details = platform.plugin_info(&name).await?;
    if !yes {
        if !can_ask() {
            return Err(usage(
                format!("removing `{name}` also removes its configuration and state, and needs confirmation"),
                "to confirm, repeat the command with `--yes`",
            ));
        }
        let lost = format!(
            "This also deletes its configuration and state, with {}.",
            count(details.revisions.len(), "revision")
        );
        context.output.ask_about(&lost);
        if !ask(&format!("Remove {name} {}?", details.summary.version))? {
            return Err(declined("nothing was removed"));
        }
    }
    let StopReport { closed_hooks } = {
        let _progress = context.output.spinner(format!("removing {name}"));
        platform.plugin_uninstall(&name).await?
    };
    let mut value = json!({"name": name, "version": details.summary.version, "action": "removed"});
    if !closed_hooks.is_empty() {
        value["closed_hooks"] = json!(closed_hooks);
    }
    context.output.print(&value, || format!("{name} {} removed", details.summary.version))?;
    warn_of_closed(context, &closed_hooks);
    Ok(())
}

/// Asks a question that can be answered with yes or no; no is the default.
fn ask(question: &str) -> CliResult<bool> {
    // Waiting for the user blocks this thread, so the runtime moves its other work to another thread.
    let question = one_line(question);
    let mut question = Confirm::new(&question).with_default(false);
    if anstream::ColorChoice::global() == anstream::ColorChoice::Never {
        question = question.with_render_config(RenderConfig::empty());
    }
    match tokio::task::block_in_place(|| question.prompt()) {
        Ok(answer) => Ok(answer),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => Err(declined("cancelled")),
        Err(error) => {
            Err(usage(format!("no answer could be read: {error}"), "answer with `--yes` on the command line"))
        }
    }
}

fn declined(message: &str) -> CliError {
    // Declining needs no advice.
    ApiError::new(Code::Cancelled, message).with_hint("").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_a_path_or_a_name() {
        let folder = std::env::temp_dir();
        let folder = folder.to_str().unwrap();
        assert_eq!(source(folder.to_owned(), None).unwrap(), PackageSource::Path(folder.into()));
        let name: PluginName = "pricing".parse().unwrap();
        assert_eq!(
            source("pricing".to_owned(), None).unwrap(),
            PackageSource::Named { name: name.clone(), version: None }
        );
        let version = Some("^1".to_owned());
        assert_eq!(
            source("pricing".to_owned(), version.clone()).unwrap(),
            PackageSource::Named { name, version: version.clone() }
        );
        assert!(source("./pricing".to_owned(), version).is_err());
    }
}
