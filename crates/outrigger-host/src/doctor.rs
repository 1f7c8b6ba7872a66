//! `outrigger doctor`: checks everything an installation depends on, and says how to fix problems.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outrigger_api::{ApiResult, CheckOutcome, DoctorCheck, DoctorReport};
use outrigger_engine::Engine;
use outrigger_engine::health::{HealthView, Status};
use outrigger_engine::hooks::ClosedHook;
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::{StoreError, WriteFaultKind};
use outrigger_registry::Trust;

use crate::convert;
use crate::data_directory::ownership::{self, Finding, Severity};
use crate::host::Inner;
use crate::overrides::{Files, HostOverrides};
use crate::packages::{Packages, above_memory_share, in_background};
use crate::signatures::trust_error;
use crate::vault::KeyRing;

/// The names of checks whose findings are not for everyone.
const PERMISSIONS: &str = "permissions";
const SEARCH_PATHS: &str = "search paths";

/// A report that is younger than `age`. An examination reads the whole database and all packages, so there is one at a
/// time.
pub(crate) async fn report(host: &Arc<Inner>, age: Duration) -> ApiResult<DoctorReport> {
    host.doctor.get(age, Box::pin(examine(Arc::clone(host)))).await
}

async fn examine(host: Arc<Inner>) -> ApiResult<DoctorReport> {
    let reading = Arc::clone(&host);
    let Disk { directory, packages: files, signatures, configuration, secret_key } =
        in_background(move || Ok(on_disk(&reading))).await?;
    let (engine, packages) = (&host.engine, &host.packages);
    let mut checks = directory;
    checks.push(database(engine).await);
    checks.extend(plugins(engine));
    checks.extend(health(engine).await);
    checks.extend(hooks(engine));
    checks.extend(limits(engine).await);
    checks.extend([files, signatures]);
    checks.push(search_paths(packages).await);
    checks.extend([configuration, secret_key]);
    checks.push(variables(engine, &host.overrides).await);
    Ok(DoctorReport { checks })
}

/// A report for callers that may not see paths of the server's disk, which `shown` removes from a text. Findings about
/// permissions and search paths can name any other path as well.
pub(crate) fn without_paths(report: DoctorReport, shown: impl Fn(String) -> String) -> DoctorReport {
    let hide = |check: DoctorCheck| {
        let message = match &*check.name {
            _ if check.outcome == CheckOutcome::Ok => None,
            PERMISSIONS => Some("other users can change or read files of the server"),
            SEARCH_PATHS => Some("packages in the search paths cannot be read"),
            _ => None,
        };
        match message {
            Some(message) => {
                let found = DoctorCheck { message: message.to_owned(), ..check };
                advised(found, "a key with the right `path_use` sees which files these are")
            }
            None => DoctorCheck { message: shown(check.message), hint: check.hint.map(&shown), ..check },
        }
    };
    let mut checks: Vec<_> = report.checks.into_iter().map(hide).collect();
    // The hidden findings of a check are one, with the worst outcome.
    checks.dedup_by(|next, kept| {
        let same = next.name == kept.name && next.message == kept.message;
        if same {
            kept.outcome = kept.outcome.max(next.outcome);
        }
        same
    });
    DoctorReport { checks }
}

/// The checks of files.
struct Disk {
    directory: Vec<DoctorCheck>,
    packages: DoctorCheck,
    signatures: DoctorCheck,
    configuration: DoctorCheck,
    secret_key: DoctorCheck,
}

/// Checks everything that is read from the disk directly. Blocks.
fn on_disk(host: &Inner) -> Disk {
    let Inner { engine, packages, overrides, key_ring, .. } = host;
    let root = packages.directory().root();
    let mut directory = vec![data_directory(root)];
    directory.extend(permissions(root));
    directory.push(disk(engine));
    Disk {
        directory,
        packages: files(engine),
        signatures: signatures(&packages.directory().trust()),
        configuration: configuration_files(engine, overrides),
        secret_key: secret_key(key_ring),
    }
}

fn check(name: &str, outcome: CheckOutcome, message: impl Into<String>) -> DoctorCheck {
    DoctorCheck { name: name.to_owned(), outcome, message: message.into(), hint: None }
}

/// The same with advice, unless the advice is to run the doctor.
fn advised(check: DoctorCheck, hint: impl Into<String>) -> DoctorCheck {
    DoctorCheck { hint: Some(hint.into()).filter(|hint| !hint.contains("`outrigger doctor`")), ..check }
}

fn data_directory(root: &Path) -> DoctorCheck {
    let name = "data directory";
    let probe = root.join(".write-probe");
    if let Err(error) = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        let found = check(name, CheckOutcome::Failed, format!("{} cannot be written to: {error}", root.display()));
        return advised(found, "give this user the right to write there, or name another with `--data DIR`");
    }
    check(name, CheckOutcome::Ok, format!("{} can be written to", root.display()))
}

/// Checks that other users cannot change or read the data directory.
fn permissions(root: &Path) -> Vec<DoctorCheck> {
    let name = PERMISSIONS;
    let findings = ownership::everything(root);
    if findings.is_empty() {
        return vec![check(name, CheckOutcome::Ok, "no other user can change the data directory")];
    }
    let shown = findings.into_iter().map(|Finding { severity, message, remedy }| {
        let outcome = match severity {
            Severity::Refused => CheckOutcome::Failed,
            Severity::Warning => CheckOutcome::Warning,
        };
        advised(check(name, outcome, message), remedy)
    });
    shown.collect()
}

/// Warn below this much free disk space, in bytes.
const LITTLE: u64 = 256 << 20;

/// Checks that the database accepts writes, and the free disk space.
fn disk(engine: &Engine) -> DoctorCheck {
    let name = "disk";
    let store = engine.store();
    if let Some(fault) = store.write_fault() {
        let is_full = fault.kind == WriteFaultKind::Full;
        let error = convert::store_error(StoreError::Unwritable(fault));
        let hint = if is_full {
            "free some disk space; the server then resumes writing by itself"
        } else {
            error.hint.as_str()
        };
        return advised(check(name, CheckOutcome::Failed, error.message), hint);
    }
    match store.free_bytes() {
        Some(free) if free < LITTLE => advised(
            check(name, CheckOutcome::Warning, format!("{} MiB of free disk space", free >> 20)),
            "free some disk space: when the disk is full, only audit records and deletions are written",
        ),
        Some(free) => check(name, CheckOutcome::Ok, format!("{} MiB of free disk space", free >> 20)),
        None => check(name, CheckOutcome::Ok, "the free disk space is unknown"),
    }
}

async fn database(engine: &Engine) -> DoctorCheck {
    match engine.store().check().await {
        Ok(found) => check("database", CheckOutcome::Ok, found),
        Err(error) => advised(
            check("database", CheckOutcome::Failed, error.to_string()),
            "restore the data directory from a backup, or name another with `--data DIR`",
        ),
    }
}

fn plugins(engine: &Engine) -> Vec<DoctorCheck> {
    let all = engine.plugins();
    let active = all.iter().filter(|(record, _)| record.state.is_enabled()).count();
    let mut checks = vec![check("plugins", CheckOutcome::Ok, format!("{} installed, {active} enabled", all.len()))];
    for (record, _) in all.iter().filter(|(record, _)| record.state == PluginState::Failed) {
        let reason = record.reason.as_deref().unwrap_or("no reason recorded");
        let hint =
            format!("`outrigger plugin logs {0}` has more; `outrigger plugin enable {0}` tries again", record.name);
        let found = check(&format!("plugin {}", record.name), CheckOutcome::Warning, format!("it failed: {reason}"));
        checks.push(advised(found, hint));
    }
    checks
}

/// The findings of a server's health monitor, including plugins that it disabled. No plugin is called here.
async fn health(engine: &Engine) -> Vec<DoctorCheck> {
    let name = "health";
    let views = match engine.health_list().await {
        Ok(views) => views,
        Err(failure) => {
            let error = convert::error(failure);
            return vec![advised(check(name, CheckOutcome::Warning, error.message), error.hint)];
        }
    };
    let unwell: Vec<_> = views.into_iter().filter_map(|view| unwell(engine, view)).collect();
    match unwell.is_empty() {
        true => vec![check(name, CheckOutcome::Ok, "no plugin is known to be unwell")],
        false => unwell,
    }
}

/// A plugin that is or was unhealthy. Failed plugins are reported elsewhere, and plugins disabled by an administrator
/// are meant to be.
fn unwell(engine: &Engine, HealthView { record, next_check: _ }: HealthView) -> Option<DoctorCheck> {
    let plugin = &record.plugin;
    let (installed, _) = engine.plugin(plugin).ok()?;
    let found = |message: String| check(&format!("health of {plugin}"), CheckOutcome::Warning, message);
    match (installed.state, installed.reason, record.standing.status) {
        (PluginState::Disabled, Some(reason), _) => Some(advised(
            found(format!("the health monitor disabled it: {reason}")),
            format!("fix the cause; then `outrigger plugin enable {plugin}`"),
        )),
        (state, _, status @ (Status::Degraded | Status::Unhealthy)) if state.is_enabled() => {
            let last = record.last_check.and_then(|check| check.reason);
            let why = last.map(|reason| format!(": {reason}")).unwrap_or_default();
            let hint = format!("`outrigger plugin health {plugin}` checks it now and shows earlier results");
            Some(advised(found(format!("it is {}{why}", status.as_str())), hint))
        }
        _ => None,
    }
}

/// Plugins whose limits are lowered by the operator's ceiling, or are above their share of the memory.
async fn limits(engine: &Engine) -> Vec<DoctorCheck> {
    let mut checks = Vec::new();
    for (record, _) in engine.plugins() {
        // Another check reports unreadable revisions.
        let Ok(revision) = engine.revision(&record.active).await else { continue };
        let mut manifest = revision.manifest.clone();
        let capped = engine.options().ceiling.cap(&mut manifest);
        if let Some(message) = above_memory_share(engine.options().memory, manifest.limits.memory) {
            let found = check(&format!("limits of {}", record.name), CheckOutcome::Warning, message);
            checks.push(advised(
                found,
                "raise OUTRIGGER_PLUGIN_MEMORY and OUTRIGGER_MEMORY, or install a version that asks for less",
            ));
        }
        if !capped.is_empty() {
            let message = format!("the operator's ceiling lowers its limits: {}", capped.join("; "));
            let found = check(&format!("limits of {}", record.name), CheckOutcome::Warning, message);
            checks
                .push(advised(found, "raise the ceiling (OUTRIGGER_CEILING), or install a version that asks for less"));
        }
    }
    if checks.is_empty() {
        checks.push(check("limits", CheckOutcome::Ok, "every plugin runs with the limits that it was granted"));
    }
    checks
}

/// Whether the encryption keys of secrets can be read.
fn secret_key(ring: &KeyRing) -> DoctorCheck {
    let name = "secret key";
    match ring.check() {
        Ok(0) => check(name, CheckOutcome::Ok, "none yet; one is created with the first secret"),
        Ok(_) => check(name, CheckOutcome::Ok, "the encryption keys of secrets can be read"),
        Err(error) => advised(check(name, CheckOutcome::Failed, error.message), error.hint),
    }
}

/// Hooks that refuse everything, because a fail-closed subscriber is unavailable.
fn hooks(engine: &Engine) -> Vec<DoctorCheck> {
    let closed = engine.closed_hooks();
    if closed.is_empty() {
        return vec![check("hooks", CheckOutcome::Ok, "no hook is closed")];
    }
    let closed = closed.into_iter().map(|closed| {
        let ClosedHook { hook, subscription, function, reason } = closed;
        let message = format!("closed: its fail-closed subscriber `{function}` is unavailable ({reason})");
        let hint = format!(
            "restore the plugin `{}`, or disable the subscription with `outrigger hook disable {subscription}`",
            function.plugin
        );
        advised(check(&format!("hook {hook}"), CheckOutcome::Warning, message), hint)
    });
    closed.collect()
}

/// Whether the files of every active revision are there.
fn files(engine: &Engine) -> DoctorCheck {
    let missing: Vec<_> = engine
        .plugins()
        .into_iter()
        .filter(|(record, _)| !engine.options().package(&record.active).is_dir())
        .map(|(record, _)| record.name.to_string())
        .collect();
    match missing.is_empty() {
        true => check("packages", CheckOutcome::Ok, "the files of every plugin are there"),
        false => advised(
            check("packages", CheckOutcome::Failed, format!("files are missing of {}", missing.join(", "))),
            "install these plugins again",
        ),
    }
}

/// Whether signatures can be checked, and whether any key is trusted.
fn signatures(trust_file: &Path) -> DoctorCheck {
    let name = "signatures";
    let trust = match Trust::read(trust_file) {
        Ok(trust) => trust,
        Err(error) => {
            let error = trust_error(&error);
            return advised(check(name, CheckOutcome::Failed, error.message), error.hint);
        }
    };
    let revoked = trust.keys().iter().filter(|key| key.revoked).count();
    let trusted = trust.keys().len() - revoked;
    let required = if trust.is_required() { "packages need one" } else { "packages need none" };
    let found = format!("{required}; keys that are trusted: {trusted}, revoked: {revoked}");
    match trust.is_required() && trusted == 0 {
        true => advised(
            check(name, CheckOutcome::Warning, found),
            format!("add a `[[key]]` to {}, or nothing can be installed", trust_file.display()),
        ),
        false => check(name, CheckOutcome::Ok, found),
    }
}

async fn search_paths(packages: &Packages) -> DoctorCheck {
    let name = SEARCH_PATHS;
    match packages.available(Duration::ZERO).await {
        Ok(report) if report.problems.is_empty() => {
            check(name, CheckOutcome::Ok, format!("{} packages can be installed by name", report.plugins.len()))
        }
        Ok(report) => {
            advised(check(name, CheckOutcome::Warning, report.problems.join("; ")), "correct or remove these packages")
        }
        Err(error) => advised(check(name, CheckOutcome::Warning, error.message), error.hint),
    }
}

/// Whether every configuration file is for a plugin.
fn configuration_files(engine: &Engine, overrides: &HostOverrides) -> DoctorCheck {
    let name = "configuration files";
    let installed = engine.plugins().into_iter().map(|(record, _)| record.name).collect();
    let Files { used, idle } = overrides.files(&installed);
    match idle.is_empty() {
        true => check(name, CheckOutcome::Ok, format!("{used} there, each for a plugin")),
        false => advised(
            check(name, CheckOutcome::Warning, idle.join("; ")),
            "correct their names, or move them away; the names are config/PLUGIN.yaml and config/PROFILE/PLUGIN.yaml",
        ),
    }
}

/// Whether every environment variable for a plugin's configuration sets something.
async fn variables(engine: &Engine, overrides: &HostOverrides) -> DoctorCheck {
    let name = "configuration variables";
    let idle = overrides.idle(engine).await;
    match idle.is_empty() {
        true => check(name, CheckOutcome::Ok, format!("{} set, each for a key of a plugin", overrides.variables())),
        false => advised(
            check(name, CheckOutcome::Warning, idle.join("; ")),
            "correct their names, or unset them; the names are OUTRIGGER_CONFIG__PLUGIN__KEY",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doctor_does_not_send_people_to_the_doctor() {
        let found = |hint: &str| advised(check("x", CheckOutcome::Failed, "found"), hint).hint;
        assert_eq!(found("`outrigger doctor` shows the problem"), None);
        assert_eq!(found("do this").as_deref(), Some("do this"));
    }
}
