//! Inheritance: a package takes over secrets, state, grants and subscriptions from the installed plugin of the same
//! name. A caller who may not grant these may not give them to other code either. No approval is needed if both
//! versions are signed with the same trusted key; see ADR 31.

use outrigger_api::{ApiError, ApiResult, Code, SignatureInfo, SignatureWord};
use outrigger_contract::{Grant, HookKind, Manifest, PluginName};
use outrigger_engine::Engine;
use outrigger_engine::configuration::Overrides as _;
use outrigger_engine::hooks::{Source, Subscription};
use outrigger_engine::store::RevisionRecord;
use outrigger_engine::vault::is_sealed;

use crate::convert;
use crate::data_directory::PackagesLock;
use crate::overrides::HostOverrides;
use crate::packages::Packages;
use crate::signatures;

/// What a package takes over from a plugin of another publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakeOver {
    plugin: PluginName,
    held: Vec<String>,
    reason: String,
}

impl TakeOver {
    /// A sentence with what it takes over, and why this needs approval.
    pub(crate) fn sentence(&self) -> String {
        let Self { plugin, held, reason } = self;
        format!("it takes over {} of `{plugin}`, but may be from another publisher: {reason}", list(held))
    }

    /// The error for a caller who may not approve it.
    pub(crate) fn refusal(&self) -> ApiError {
        let message = format!("the package needs approval: {}", self.sentence());
        ApiError::new(Code::GrantRequired, message).with_hint(format!(
            "a key with the right `plugin_approve` over `{}` can install it; updates signed with the same trusted \
             key need no \
             approval",
            self.plugin
        ))
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Why a package is not known to have the same publisher as the installed version. None if it is.
fn other_maker(installed: Option<&SignatureInfo>, package: &SignatureInfo) -> Option<String> {
    let is_valid = |signature: &SignatureInfo| signature.state == SignatureWord::Valid;
    let signer = |signature: &SignatureInfo| {
        let name = signature.signer.as_deref().unwrap_or("an unknown signer");
        format!("{name} with {}", outrigger_api::name_keys(&signature.key_ids))
    };
    match installed {
        _ if !is_valid(package) => Some("the package is not signed with a trusted key".to_owned()),
        None => Some("no version is installed to compare its signature with".to_owned()),
        Some(installed) if !is_valid(installed) => {
            Some("the installed version is not signed with a trusted key".to_owned())
        }
        Some(installed) if installed.key_ids != package.key_ids => {
            Some(format!("it is signed by {}, the installed version by {}", signer(package), signer(installed)))
        }
        Some(_) => None,
    }
}

/// Everything that a package would take over from the plugin of the same name. `manifest` is the package's.
async fn held(
    engine: &Engine,
    overrides: &HostOverrides,
    installed: Option<&RevisionRecord>,
    manifest: &Manifest,
) -> ApiResult<Vec<String>> {
    let (store, name) = (engine.store(), &manifest.name);
    let mut held = Vec::new();
    if let Some(revision) = installed {
        let stored = store.configuration_fetch(name).await.map_err(convert::store_error)?;
        let stored = stored.map(|stored| stored.values).unwrap_or_default();
        let secrets = stored.iter().filter(|(key, value)| {
            is_sealed(value) || revision.manifest.configuration.secret_keys().any(|secret| secret == *key)
        });
        let secrets: Vec<_> = secrets.map(|(key, _)| format!("`{key}`")).collect();
        if !secrets.is_empty() {
            held.push(format!("the secrets {}", secrets.join(", ")));
        }
        if store.state_stamp(name).await.map_err(convert::store_error)?.bytes > 0 {
            held.push("the state".to_owned());
        }
        let grant = store.grant_fetch(&revision.digest).await.map_err(convert::store_error)?;
        let granted = grant.map(|record| record.grant).unwrap_or_default();
        if !granted.is_empty() {
            held.push(format!("the grants ({})", granted.describe().join("; ")));
        }
    }
    // The package's own manifest cannot decide which keys are secrets; the manifest of the installed version does.
    let is_plain = |key: &str| {
        let known = installed.and_then(|revision| revision.manifest.configuration.get(key));
        known.is_some_and(|property| !property.secret)
    };
    let layers = overrides.layers(name, &manifest.configuration);
    let set = layers.into_iter().any(|layer| match layer {
        Ok(layer) => layer.values.keys().any(|key| !is_plain(key)),
        Err(_) => true,
    });
    if set {
        held.push("values set by the host's configuration files or environment variables".to_owned());
    }
    let takes_part = |one: &Subscription| one.enabled && one.function.plugin == *name && one.kind != HookKind::Event;
    let lasting = |one: &Subscription| one.source == Source::Api || installed.is_none();
    let mut hooks: Vec<_> = engine
        .subscriptions()
        .into_iter()
        .filter(|one| takes_part(one) && lasting(one))
        .map(|one| format!("`{}`", one.hook))
        .collect();
    hooks.dedup();
    if !hooks.is_empty() {
        held.push(format!("the subscriptions to {}", hooks.join(", ")));
    }
    Ok(held)
}

/// What a package takes over, if it is not known to have the same publisher as the installed version.
pub(crate) async fn take_over(
    packages: &Packages,
    installed: Option<&RevisionRecord>,
    manifest: &Manifest,
    signature: &SignatureInfo,
) -> ApiResult<Option<TakeOver>> {
    let (engine, overrides) = (packages.engine(), packages.overrides());
    let held = held(engine, overrides, installed, manifest).await?;
    if held.is_empty() {
        return Ok(None);
    }
    let present = match installed {
        Some(revision) => Some(signatures::of_revision(packages, &manifest.name, revision.digest).await?),
        None => None,
    };
    let reason = other_maker(present.as_ref(), signature);
    Ok(reason.map(|reason| TakeOver { plugin: manifest.name.clone(), held, reason }))
}

/// Refuses a rollback that needs an approval which the caller may not give: the previous version asks for more than was
/// granted, gives up guards, or has another publisher.
pub(crate) async fn admit_rollback(packages: &Packages, _lock: &PackagesLock, name: &PluginName) -> ApiResult<()> {
    let engine = packages.engine();
    let predecessor = engine.store().predecessor_fetch(name).await.map_err(convert::store_error)?;
    // Without a previous version, the engine reports the error.
    let Some(predecessor) = predecessor else { return Ok(()) };
    let (record, _) = engine.plugin(name).map_err(convert::error)?;
    let installed = engine.revision(&record.active).await.map_err(convert::error)?;
    let former = engine.revision(&predecessor.digest).await.map_err(convert::error)?;
    let granted = engine.store().grant_fetch(&record.active).await.map_err(convert::store_error)?;
    let granted = granted.map(|record| record.grant).unwrap_or_default();
    // Its paths are compared as they were resolved for its own grant.
    let own = engine.store().grant_fetch(&former.digest).await.map_err(convert::store_error)?;
    let asked = engine.asked(&former.manifest);
    let permissions = own.map_or_else(|| asked.permissions.clone(), |record| record.grant.permissions);
    let needs = needs_approval(engine, &former.manifest, &Grant { permissions, ..asked }, &granted);
    if !needs.is_empty() {
        let message =
            format!("the rollback needs approval: the previous version of `{name}` asks to {}", needs.join("; to "));
        return Err(ApiError::new(Code::GrantRequired, message)
            .with_hint(format!("a key with the right `plugin_approve` over `{name}` can roll back")));
    }
    let signature = signatures::of_revision(packages, name, former.digest).await?;
    match take_over(packages, Some(&installed), &former.manifest, &signature).await? {
        Some(found) => Err(found.refusal()),
        None => Ok(()),
    }
}

/// Everything that needs approval: what a package asks for beyond its grant, and guards that its manifest gives up.
pub(crate) fn needs_approval(engine: &Engine, manifest: &Manifest, asked: &Grant, granted: &Grant) -> Vec<String> {
    let mut needs = asked.beyond(granted).describe();
    needs.extend(
        engine.guards_given_up(manifest).into_iter().map(|guard| {
            format!("end or change its fail-closed subscription to `{}` (`{}`)", guard.hook, guard.function)
        }),
    );
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(state: SignatureWord, keys: &[&str]) -> SignatureInfo {
        let signer = (state == SignatureWord::Valid).then(|| "Acme".to_owned());
        let key_ids = keys.iter().map(|key| (*key).to_owned()).collect();
        SignatureInfo { state, accepted: true, signer, key_ids, signed_at: None, detail: None }
    }

    #[test]
    fn s14_only_the_same_trusted_key_is_the_same_maker() {
        let valid = |key: &str| signature(SignatureWord::Valid, &[key]);
        let check = |installed: Option<SignatureInfo>, package: SignatureInfo, expected: Option<&str>| {
            let reason = other_maker(installed.as_ref(), &package);
            let matches = match (&reason, expected) {
                (None, None) => true,
                (Some(reason), Some(part)) => reason.contains(part),
                _ => false,
            };
            assert!(matches, "{reason:?}, not {expected:?}");
        };
        check(Some(valid("a")), valid("a"), None);
        check(Some(valid("a")), valid("b"), Some("it is signed by Acme with b, the installed version by Acme with a"));
        check(None, valid("a"), Some("no version is installed"));
        for other in
            [SignatureWord::Unsigned, SignatureWord::Untrusted, SignatureWord::Invalid, SignatureWord::Modified]
        {
            check(Some(signature(other, &["a"])), valid("a"), Some("the installed version is not signed"));
            check(Some(valid("a")), signature(other, &["a"]), Some("the package is not signed"));
            check(Some(signature(other, &["a"])), signature(other, &["a"]), Some("the package is not signed"));
        }
    }

    #[test]
    fn what_is_held_is_listed_as_people_list_things() {
        let texts = |parts: &[&str]| list(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&["a"]), "a");
        assert_eq!(texts(&["a", "b"]), "a and b");
        assert_eq!(texts(&["a", "b", "c"]), "a, b and c");
    }
}
