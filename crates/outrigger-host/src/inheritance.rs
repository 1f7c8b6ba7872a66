//! What a package takes over from the plugin of the same name: secrets, state, grants, subscriptions, and the
//! schedules, jobs and calls of other plugins. A caller without the right to grant these cannot hand them to other
//! code. Without approval, a package inherits them only if both packages are signed with the same trusted key; see ADR
//! 31.

use std::collections::{BTreeSet, HashSet};

use outrigger_api::{ApiError, ApiResult, Code, SignatureInfo, SignatureWord};
use outrigger_contract::{Grant, Manifest, PluginName};
use outrigger_engine::access::Right;
use outrigger_engine::configuration::Overrides as _;
use outrigger_engine::hooks::{Source, Subscription};
use outrigger_engine::store::{GrantRecord, RevisionRecord};
use outrigger_engine::vault::is_sealed;
use outrigger_engine::{Caller, Engine};
use serde_json::Value;

use crate::convert;
use crate::data_directory::PackagesLock;
use crate::packages::Packages;
use crate::signatures;

/// The data and references that a package takes over from a plugin of another publisher.
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

/// Everything that a package of this name would take over. `manifest` is the package's. Jobs and schedules of the
/// installing key do not count.
async fn held(
    packages: &Packages,
    installed: Option<&RevisionRecord>,
    manifest: &Manifest,
    by: &Caller,
) -> ApiResult<Vec<String>> {
    let (engine, name) = (packages.engine(), &manifest.name);
    let store = engine.store();
    let mut held = Vec::new();
    if let Some(revision) = installed {
        held.extend(list_of("the secrets", secrets(engine, &revision.manifest).await?));
        if store.state_stamp(name).await.map_err(convert::store_error)?.bytes > 0 {
            held.push("the state".to_owned());
        }
        let grant = store.grant_fetch(&revision.digest).await.map_err(convert::store_error)?;
        let granted = grant.map(|record| record.grant).unwrap_or_default();
        if !granted.is_empty() {
            held.push(format!("the grants ({})", described_for(granted, name, by).join("; ")));
        }
    }
    // The package's own manifest cannot decide which keys are secrets; the manifest of the installed version does.
    let is_plain = |key: &str| {
        let known = installed.and_then(|revision| revision.manifest.configuration.get(key));
        known.is_some_and(|property| !property.secret)
    };
    let layers = packages.overrides().layers(name, &manifest.configuration);
    let set = layers.into_iter().any(|layer| match layer {
        Ok(layer) => layer.values.keys().any(|key| !is_plain(key)),
        Err(_) => true,
    });
    if set {
        held.push("values set by the host's configuration files or environment variables".to_owned());
    }
    let subscriptions = engine.subscriptions();
    let lasting = |one: &&Subscription| {
        one.enabled && one.function.plugin == *name && (one.source == Source::Api || installed.is_none())
    };
    let hooks = subscriptions.iter().filter(lasting).map(|one| one.hook.to_string());
    held.extend(list_of("the subscriptions to", hooks.collect()));
    // Its firings of such a hook call functions of other plugins.
    let told =
        |one: &&Subscription| one.enabled && one.function.plugin != *name && manifest.hooks.contains_key(&one.hook);
    let told = subscriptions.iter().filter(told).map(|one| one.hook.to_string());
    held.extend(list_of("the subscribers to", told.collect()));
    let schedules = store.schedule_list().await.map_err(convert::store_error)?;
    let schedules = schedules.into_iter().filter(|schedule| {
        let is_own = schedule.owner.key.is_some() && schedule.owner.key.as_deref() == by.key();
        schedule.task.function.plugin == *name && !is_own
    });
    held.extend(list_of("the schedules", schedules.map(|schedule| schedule.name).collect()));
    match store.job_unfinished(name, by.key()).await.map_err(convert::store_error)? {
        0 => {}
        1 => held.push("a job that has not succeeded".to_owned()),
        many => held.push(format!("{many} jobs that have not succeeded")),
    }
    held.extend(list_of("the calls from", callers(engine, name).await?));
    Ok(held)
}

/// The keys of secrets, in all revisions of the configuration that a rollback can restore.
async fn secrets(engine: &Engine, manifest: &Manifest) -> ApiResult<BTreeSet<String>> {
    let (store, name) = (engine.store(), &manifest.name);
    let kept = store.configuration_revisions(name).await.map_err(convert::store_error)?;
    let present = store.configuration_fetch(name).await.map_err(convert::store_error)?;
    let all = kept.into_iter().map(|kept| kept.values).chain(present.map(|present| present.values));
    let is_secret =
        |key: &str, value: &Value| is_sealed(value) || manifest.configuration.secret_keys().any(|secret| secret == key);
    Ok(all.flatten().filter(|(key, value)| is_secret(key, value)).map(|(key, _)| key).collect())
}

/// Other plugins that were granted calls to this one.
async fn callers(engine: &Engine, name: &PluginName) -> ApiResult<BTreeSet<String>> {
    let grants = engine.store().grant_list().await.map_err(convert::store_error)?;
    let calls = |record: &GrantRecord| record.grant.permissions.plugins.iter().any(|pattern| pattern.plugin() == name);
    let calling: HashSet<_> = grants.iter().filter(|record| calls(record)).map(|record| record.digest).collect();
    let plugins = engine.plugins().into_iter().map(|(plugin, _)| plugin);
    let plugins = plugins.filter(|plugin| plugin.name != *name && calling.contains(&plugin.active));
    Ok(plugins.map(|plugin| plugin.name.to_string()).collect())
}

/// `what` and the first names; none if there are no names.
fn list_of(what: &str, names: BTreeSet<String>) -> Option<String> {
    const SHOWN: usize = 5;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => None,
        few if few <= SHOWN => Some(format!("{what} {shown}")),
        many => Some(format!("{what} {shown} and {} more", many - SHOWN)),
    }
}

/// What a package takes over, unless it is proven to be from the publisher of the installed version.
pub(crate) async fn take_over(
    packages: &Packages,
    installed: Option<&RevisionRecord>,
    manifest: &Manifest,
    signature: &SignatureInfo,
    by: &Caller,
) -> ApiResult<Option<TakeOver>> {
    let held = held(packages, installed, manifest, by).await?;
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

/// Refuses a rollback that needs an approval which the caller cannot give: the previous version has a larger grant than
/// the installed version, removes guards, or is from another publisher.
pub(crate) async fn admit_rollback(
    packages: &Packages,
    _lock: &PackagesLock,
    name: &PluginName,
    by: &Caller,
) -> ApiResult<()> {
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
    let needs = needs_approval(engine, &former.manifest, &Grant { permissions, ..asked }, &granted, by);
    if !needs.is_empty() {
        let message =
            format!("the rollback needs approval: the previous version of `{name}` asks to {}", needs.join("; to "));
        return Err(ApiError::new(Code::GrantRequired, message)
            .with_hint(format!("a key with the right `plugin_approve` over `{name}` can roll back")));
    }
    let signature = signatures::of_revision(packages, name, former.digest).await?;
    match take_over(packages, Some(&installed), &former.manifest, &signature, by).await? {
        Some(found) => Err(found.refusal()),
        None => Ok(()),
    }
}

/// A grant of a plugin as a caller may see it. Where links on the server's disk lead is only for callers that may use
/// paths there, or approve the grant.
pub(crate) fn described_for(grant: Grant, plugin: &PluginName, by: &Caller) -> Vec<String> {
    let sees_paths = match by {
        Caller::Local => true,
        Caller::Key(key) => key.may(Right::PATH_USE, "*") || key.may(Right::PLUGIN_APPROVE, plugin.as_str()),
        Caller::Plugin(_) | Caller::Hook(_) => false,
    };
    if sees_paths { grant.describe() } else { grant.unresolved().describe() }
}

/// Everything that needs approval, as `by` may see it: requests of a package beyond its grant, and guards that its
/// manifest gives up.
pub(crate) fn needs_approval(
    engine: &Engine,
    manifest: &Manifest,
    asked: &Grant,
    granted: &Grant,
    by: &Caller,
) -> Vec<String> {
    let mut needs = described_for(asked.beyond(granted), &manifest.name, by);
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
    fn of_many_names_the_first_few_are_listed() {
        let names = |count: usize| (0..count).map(|number| number.to_string()).collect();
        assert_eq!(list_of("the schedules", names(0)), None);
        assert_eq!(list_of("the schedules", names(2)).as_deref(), Some("the schedules `0`, `1`"));
        let many = list_of("the schedules", names(7));
        assert_eq!(many.as_deref(), Some("the schedules `0`, `1`, `2`, `3`, `4` and 2 more"));
    }

    #[test]
    fn what_is_held_is_listed_as_people_list_things() {
        let texts = |parts: &[&str]| list(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&["a"]), "a");
        assert_eq!(texts(&["a", "b"]), "a and b");
        assert_eq!(texts(&["a", "b", "c"]), "a, b and c");
    }
}
