//! The migration plan from one version of a plugin to another.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use outrigger_contract::manifest::MigrationStep;
use outrigger_contract::types::wit::OptionalExport;
use outrigger_contract::{Code, Manifest, PluginName};
use semver::Version;

use super::Downgrade;
use crate::configuration::Given;
use crate::error::Failure;
use crate::runtime::RuntimeFault;
use crate::store::RevisionRecord;

/// The way from one version to another.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    plugin: PluginName,
    pub(super) from: Version,
    pub(super) to: Version,
    /// In the order in which they are taken.
    pub(super) steps: Vec<MigrationStep>,
    /// The plugin's own functions are called after the steps.
    pub(super) own: bool,
    /// Values of the configuration that go over what all that has made of it.
    pub(super) given: Given,
}

impl Plan {
    /// The plan for a revision that is to take the place of version `from`.
    ///
    /// # Errors
    /// It is older, and neither says that it can take over from that version, nor is told to.
    pub(super) fn new(
        from: &Version,
        revision: &RevisionRecord,
        downgrade: Downgrade,
        given: Given,
    ) -> Result<Self, Failure> {
        let Manifest { name, version: to, migrations, .. } = &revision.manifest;
        let steps: Vec<_> = migrations.iter().filter(|step| step.applies_to(from)).cloned().collect();
        let migrates = match to.cmp_precedence(from) {
            Ordering::Greater => true,
            // The same version, built anew, finds what it left itself.
            Ordering::Equal => false,
            Ordering::Less if !steps.is_empty() => true,
            Ordering::Less if downgrade == Downgrade::Allowed => false,
            Ordering::Less => return Err(refused(name, from, to)),
        };
        let own = migrates && revision.inspection.exports.contains(&OptionalExport::Migration);
        let steps = if migrates { steps } else { Vec::new() };
        Ok(Self { plugin: name.clone(), from: from.clone(), to: to.clone(), steps, own, given })
    }

    /// Nothing has to be migrated.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && !self.own
    }

    /// Whether the state may be another one for the new version. What the old version writes to it from then on would be
    /// lost.
    pub(super) fn touches_state(&self) -> bool {
        self.own || self.steps.iter().any(MigrationStep::touches_state)
    }

    /// The keys whose values have become secrets, by all the names that they had on the way.
    pub(super) fn secrets(&self, manifest: &Manifest) -> BTreeSet<String> {
        let mut keys: BTreeSet<String> = manifest.configuration.secret_keys().map(str::to_owned).collect();
        for step in self.steps.iter().rev() {
            let renamed = step.rename.iter().filter(|(_, new)| keys.contains(*new));
            let former: Vec<_> = renamed.map(|(old, _)| old.clone()).collect();
            keys.extend(former);
        }
        keys
    }

    /// The same of one of the plugin's own functions, which is named.
    pub(super) fn failed_in(&self, function: &str, fault: RuntimeFault) -> Failure {
        let mut failure = Failure::from(fault);
        if !failure.message.contains(function) {
            failure.message = format!("`{function}`: {}", failure.message);
        }
        self.failed(failure)
    }

    /// The error for a failed migration. Errors that are not caused by the plugin or its data are kept unchanged.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        use Code::{Internal, Io, SecretUnreadable, StoreFailed};
        if self.is_empty() || matches!(failure.code, Internal | Io | SecretUnreadable | StoreFailed) {
            return failure;
        }
        let Self { plugin, from, to, .. } = self;
        let message = format!("`{plugin}` was not migrated from {from} to {to}: {}", failure.message);
        Failure { code: Code::MigrationFailed, message, hint: None, ..failure }
    }
}

fn refused(plugin: &PluginName, from: &Version, to: &Version) -> Failure {
    let message =
        format!("`{plugin}` {to} is older than the installed version {from}, and may not be able to read its data");
    Failure::new(Code::Conflict, message).with_hint(format!(
        "`outrigger plugin rollback {plugin}` undoes the last update, including its configuration and \
         state; `--allow-downgrade` replaces the installed version anyway"
    ))
}
