//! Dependencies between plugins, as `[dependencies]` in their manifests declares them: a plugin must be installed in a
//! matching version. They are checked when a plugin is installed, updated, rolled back, enabled or removed. A disabled
//! plugin counts as installed: its dependents find out when they call it.

use outrigger_contract::manifest::Dependency;
use outrigger_contract::{Code, Manifest, PluginName};
use semver::Version;

use crate::engine::Engine;
use crate::error::Failure;

impl Engine {
    /// Whether all that a plugin cannot do without is there.
    pub(super) fn check_needs(&self, manifest: &Manifest) -> Result<(), Failure> {
        for (needed, dependency) in manifest.dependencies.iter().filter(|(_, dependency)| !dependency.optional) {
            let (name, version) = (&manifest.name, &dependency.version);
            let present = self.inner.plugins.get(needed).map(|slot| slot.record().1.version);
            let problem = match present {
                Some(present) if version.matches(&present) => continue,
                Some(present) => format!("`{name}` needs `{needed}` {version}, but {present} is installed"),
                None => format!("`{name}` needs `{needed}` {version}, which is not installed"),
            };
            return Err(Failure::new(Code::DependencyMissing, problem)
                .with_hint(format!("first install a matching version of `{needed}` with `outrigger plugin install`")));
        }
        Ok(())
    }

    /// Whether those that need a plugin can do with this version of it; without it where there is none.
    pub(super) async fn check_needed(&self, name: &PluginName, version: Option<&Version>) -> Result<(), Failure> {
        for slot in self.inner.plugins.all() {
            if slot.name == *name {
                continue;
            }
            let Some(other) = self.inner.store.revision_fetch(&slot.record().0.active).await? else { continue };
            let dependency = other.manifest.dependencies.get(name).filter(|dependency| !dependency.optional);
            let Some(Dependency { version: needs, .. }) = dependency else { continue };
            let problem = match version {
                Some(version) if needs.matches(version) => continue,
                Some(version) => format!("`{}` needs `{name}` {needs}; version {version} does not match", slot.name),
                None => format!("`{}` needs `{name}` {needs}", slot.name),
            };
            return Err(
                Failure::new(Code::Conflict, problem).with_hint(format!("update or remove `{}` first", slot.name))
            );
        }
        Ok(())
    }

    /// Both, for a version that is to take the place of another one.
    pub(super) async fn check_dependencies(&self, manifest: &Manifest) -> Result<(), Failure> {
        self.check_needs(manifest)?;
        self.check_needed(&manifest.name, Some(&manifest.version)).await
    }
}
