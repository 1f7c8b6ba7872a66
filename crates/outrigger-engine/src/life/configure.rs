//! Configuring: a change is brought up before it is kept, kept as a revision, and can be taken back by going forward.

use std::collections::BTreeSet;
use std::sync::Arc;

use outrigger_contract::{Code, Manifest, PluginName};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::effects::SlotEffects;
use crate::configuration::{self, ConfigurationView, Difference, Whole};
use crate::correlation::{self, CorrelationId};
use crate::engine::{Engine, Inner};
use crate::error::Failure;
use crate::hooks::spec;
use crate::lifecycle::{Event, PluginState, drive};
use crate::plugins::Configuration;
use crate::store::{ConfigurationRecord, ConfigurationRevision, ConfigurationRewrite, StoreError};
use crate::vault::{self, Place};

/// The caller that changes a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// For a person to read: `local`, `key ci`.
    pub name: String,
    pub correlation: CorrelationId,
}

/// The change. Secrets are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    pub revision: u64,
    pub before: Map<String, Value>,
    pub after: Map<String, Value>,
}

/// Changes of single values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    pub set: Map<String, Value>,
    /// They must not be set yet.
    pub create: Map<String, Value>,
    /// They must be set.
    pub unset: Vec<String>,
}

impl Edits {
    /// The stored values with the change. Unchanged secrets stay sealed, behind the mark that keeps them.
    fn of(self, stored: &Map<String, Value>, plugin: &PluginName) -> Result<Map<String, Value>, Failure> {
        let Self { set, create, unset } = self;
        let mut named: Vec<&String> = set.keys().chain(create.keys()).chain(&unset).collect();
        named.sort();
        if let Some(pair) = named.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::new(Code::InvalidInput, format!("`{}` is listed twice in one change", pair[0])));
        }
        let mut values = vault::hide(stored, |_| false);
        for key in unset {
            if values.shift_remove(&key).is_none() {
                let failure = Failure::new(Code::NotFound, format!("`{key}` is not set for `{plugin}`"));
                return Err(failure.with_hint(format!("`outrigger plugin config {plugin}` shows the values")));
            }
        }
        if let Some(key) = create.keys().find(|key| values.contains_key(*key)) {
            let failure = Failure::new(Code::AlreadyExists, format!("`{key}` is already set"));
            return Err(failure.with_hint("change the value instead, or reset it first"));
        }
        values.extend(set);
        values.extend(create);
        Ok(values)
    }
}

/// Values to be stored, sealed.
struct Change {
    values: Map<String, Value>,
    restores: Option<u64>,
}

impl Engine {
    /// A plugin's configuration, for somebody to look at.
    ///
    /// # Errors
    /// The plugin is not installed, or the store failed.
    pub async fn configuration(&self, name: &PluginName) -> Result<ConfigurationView, Failure> {
        let manifest = self.manifest(name).await?;
        let ConfigurationRecord { values, revision } = self.present(name).await?;
        Ok(configuration::view(&self.inner, &manifest, &values, revision))
    }

    /// Sets a plugin's configuration, all of it, and has the plugin run with it from the next call on. Secrets are sealed;
    /// what is shown instead of one keeps it.
    ///
    /// # Errors
    /// It does not fit the schema in the manifest, the plugin did not start with it, or it was changed since `expected`
    /// was read. The old one stays then.
    pub async fn configure(
        &self,
        name: &PluginName,
        values: Map<String, Value>,
        expected: u64,
        author: &Author,
    ) -> Result<Configured, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let manifest = self.manifest(name).await?;
        let present = self.present(name).await?;
        if present.revision != expected {
            return Err(StoreError::Conflict { what: format!("the configuration of the plugin {name}") }.into());
        }
        let values = configuration::seal(&*self.inner.vault, &manifest, values, &present.values)?;
        self.put(&slot, &manifest, present, Change { values, restores: None }, author).await
    }

    /// Changes single values, all of them or none; the others stay as they are stored. `expected` is the revision that was
    /// read; without it the change is made to what is there now.
    ///
    /// # Errors
    /// As for [`Engine::configure`]; or a value is set that must not be yet, or one is not set that is to be unset.
    pub async fn configuration_change(
        &self,
        name: &PluginName,
        edits: Edits,
        expected: Option<u64>,
        author: &Author,
    ) -> Result<Configured, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let manifest = self.manifest(name).await?;
        let present = self.present(name).await?;
        if expected.is_some_and(|expected| expected != present.revision) {
            return Err(StoreError::Conflict { what: format!("the configuration of the plugin {name}") }.into());
        }
        let values = edits.of(&present.values, name)?;
        let values = configuration::seal(&*self.inner.vault, &manifest, values, &present.values)?;
        self.put(&slot, &manifest, present, Change { values, restores: None }, author).await
    }

    /// Takes up the values of an earlier revision again, secrets too, as a new revision.
    ///
    /// # Errors
    /// As for [`Engine::configure`]; or the revision is not kept.
    pub async fn configuration_rollback(
        &self,
        name: &PluginName,
        revision: u64,
        author: &Author,
    ) -> Result<Configured, Failure> {
        let slot = self.slot(name)?;
        let _changing = slot.changing.lock().await;
        let manifest = self.manifest(name).await?;
        let present = self.present(name).await?;
        let values = self.kept(name, revision).await?;
        self.put(&slot, &manifest, present, Change { values, restores: Some(revision) }, author).await
    }

    /// The retained revisions, newest first, secrets hidden.
    ///
    /// # Errors
    /// The plugin is not installed, or the store failed.
    pub async fn configuration_revisions(&self, name: &PluginName) -> Result<Vec<ConfigurationRevision>, Failure> {
        let manifest = self.manifest(name).await?;
        let mut revisions = self.inner.store.configuration_revisions(name).await?;
        for revision in &mut revisions {
            revision.values = configuration::hide(&manifest, &revision.values);
        }
        Ok(revisions)
    }

    /// One retained revision, secrets hidden.
    ///
    /// # Errors
    /// It is not kept, the plugin is not installed, or the store failed.
    pub async fn configuration_revision(
        &self,
        name: &PluginName,
        revision: u64,
    ) -> Result<ConfigurationRevision, Failure> {
        let manifest = self.manifest(name).await?;
        let found = self.inner.store.configuration_revision(name, revision).await?;
        let mut found = found.ok_or_else(|| not_kept(name, revision))?;
        found.values = configuration::hide(&manifest, &found.values);
        Ok(found)
    }

    /// The keys in which two revisions differ. Revision 0 is the time before anything was set.
    ///
    /// # Errors
    /// One of them is not kept, the plugin is not installed, or the store failed.
    pub async fn configuration_differences(
        &self,
        name: &PluginName,
        from: u64,
        to: u64,
    ) -> Result<Vec<Difference>, Failure> {
        let manifest = self.manifest(name).await?;
        let (before, after) = (self.kept(name, from).await?, self.kept(name, to).await?);
        Ok(configuration::differences(&*self.inner.vault, &manifest, &before, &after, &BTreeSet::new()))
    }

    /// Seals every secret that is not under the present key anew, those of configurations in one transaction. Answers how many
    /// revisions and webhooks were rewritten.
    ///
    /// # Errors
    /// A secret does not open, or the store failed; then no configuration was changed.
    pub async fn reseal(&self) -> Result<u64, Failure> {
        let mut rewrites = Vec::new();
        for name in self.inner.plugins.names() {
            let manifest = self.manifest(&name).await?;
            let is_secret = |_: u64, key: &str| configuration::is_secret(&manifest, key);
            rewrites.extend(self.rewrites(&name, &is_secret).await?);
        }
        let webhooks = self.reseal_webhooks().await?;
        if rewrites.is_empty() {
            return Ok(webhooks);
        }
        Ok(self.inner.store.configuration_rewrite(&rewrites).await? + webhooks)
    }

    /// The ids of the keys that stored secrets are sealed with.
    ///
    /// # Errors
    /// The store failed.
    pub async fn sealing_keys(&self) -> Result<BTreeSet<String>, Failure> {
        let mut keys = BTreeSet::new();
        for name in self.inner.plugins.names() {
            for (_, values) in self.all_values(&name).await? {
                keys.extend(values.values().filter_map(vault::key_of).map(str::to_owned));
            }
        }
        let webhooks = self.inner.store.webhook_list().await?;
        keys.extend(webhooks.iter().filter_map(|webhook| vault::key_of(&webhook.sealed)).map(str::to_owned));
        Ok(keys)
    }

    /// Seals what was stored in the open before an update made it a secret. `secrets` are the keys that led to one, by all
    /// names that they had up to the revision `until`: from there on, another value may stand under an old name.
    pub(super) async fn seal_what_became_secret(
        &self,
        name: &PluginName,
        manifest: &Manifest,
        secrets: &BTreeSet<String>,
        until: Option<u64>,
    ) -> Result<(), Failure> {
        let is_secret = |revision: u64, key: &str| {
            configuration::is_secret(manifest, key)
                || until.is_none_or(|until| revision < until) && secrets.contains(key)
        };
        let stored = self.all_values(name).await?;
        let is_open = |(revision, values): &(u64, Map<String, Value>)| {
            values.iter().any(|(key, value)| is_secret(*revision, key) && !vault::is_sealed(value))
        };
        if !stored.iter().any(is_open) {
            return Ok(());
        }
        let rewrites = self.rewrites(name, &is_secret).await?;
        self.inner.store.configuration_rewrite(&rewrites).await?;
        Ok(())
    }

    /// The values to rewrite so that all secrets of a plugin are encrypted with the current key. Which keys of which
    /// revision are secrets is for `is_secret` to say; what is sealed is one.
    async fn rewrites(
        &self,
        name: &PluginName,
        is_secret: &(dyn Fn(u64, &str) -> bool + Sync),
    ) -> Result<Vec<ConfigurationRewrite>, Failure> {
        let vault = &*self.inner.vault;
        let mut rewrites = Vec::new();
        let mut current = None;
        for (revision, before) in self.all_values(name).await? {
            let mut after = before.clone();
            for (key, value) in &mut after {
                if !vault::is_sealed(value) && !is_secret(revision, key) {
                    continue;
                }
                let place = Place::Configuration { plugin: name, key };
                let current = match &current {
                    Some(current) => current,
                    None => current.insert(vault.key().map_err(|error| error.failure("secrets cannot be encrypted"))?),
                };
                if vault::key_of(value) != Some(current.as_str()) {
                    *value = vault::seal(vault, place, &vault::open(vault, place, value)?)?;
                }
            }
            if after != before {
                rewrites.push(ConfigurationRewrite { plugin: name.clone(), revision, before, after });
            }
        }
        Ok(rewrites)
    }

    /// All that is stored: the kept revisions, and the present one also where it was set before revisions were kept.
    async fn all_values(&self, name: &PluginName) -> Result<Vec<(u64, Map<String, Value>)>, Failure> {
        let revisions = self.inner.store.configuration_revisions(name).await?;
        let mut all: Vec<_> = revisions.into_iter().map(|revision| (revision.revision, revision.values)).collect();
        let ConfigurationRecord { values, revision } = self.present(name).await?;
        if revision > 0 && all.iter().all(|(kept, _)| *kept != revision) {
            all.push((revision, values));
        }
        Ok(all)
    }

    /// Brings the plugin up with a change, then keeps it. The caller holds the slot's lock.
    async fn put(
        &self,
        slot: &Arc<crate::plugins::Slot>,
        manifest: &Manifest,
        present: ConfigurationRecord,
        change: Change,
        author: &Author,
    ) -> Result<Configured, Failure> {
        let Inner { store, vault, .. } = &*self.inner;
        let Change { values, restores } = change;
        configuration::check_size(&manifest.name, &values)?;
        // By itself first: what is overridden now will not be for ever.
        let opened = configuration::open(&**vault, &manifest.name, &values)?;
        let hidden = |key: &str| configuration::is_hidden(manifest, key, &values);
        configuration::check(manifest, &opened, &hidden, |_| None, Whole::No)?;
        let resolved = configuration::resolve(&self.inner, manifest, &values)?;
        // A plugin may refuse what its schema accepts. It is brought up with the new configuration before that is kept,
        // whether it was loaded before or not: a command has just begun, and nobody has called it yet.
        let mut successor = None;
        if slot.record().0.state.is_enabled() {
            let mut effects =
                SlotEffects { configuration: Some(Configuration::new(resolved)), ..SlotEffects::new(self, slot, None) };
            drive(PluginState::Registered, Event::Enable, &mut effects).await.map_err(|(_, failure)| failure)?;
            successor = effects.revision;
        }
        let revision = ConfigurationRevision {
            revision: present.revision + 1,
            at: OffsetDateTime::now_utc(),
            author: author.name.clone(),
            correlation: author.correlation,
            restores,
            values,
        };
        store.configuration_put(&manifest.name, &revision).await?;
        if let Some(successor) = successor {
            self.put_into_service(slot, successor).await;
        }
        let told = self.tell_configured(&manifest.name, revision.revision);
        correlation::within(author.correlation, told).await;
        Ok(Configured {
            revision: revision.revision,
            before: configuration::hide(manifest, &present.values),
            after: configuration::hide(manifest, &revision.values),
        })
    }

    /// Tells who wants to know that a configuration is another one.
    pub(super) async fn tell_configured(&self, plugin: &PluginName, revision: u64) {
        self.tell(spec::CONFIGURATION_CHANGED, || json!({"plugin": plugin, "revision": revision})).await;
    }

    async fn manifest(&self, name: &PluginName) -> Result<Manifest, Failure> {
        let (record, _) = self.plugin(name)?;
        Ok(self.revision(&record.active).await?.manifest)
    }

    pub(super) async fn present(&self, name: &PluginName) -> Result<ConfigurationRecord, Failure> {
        let stored = self.inner.store.configuration_fetch(name).await?;
        Ok(stored.unwrap_or_else(|| ConfigurationRecord { values: Map::new(), revision: 0 }))
    }

    /// The values of a revision as they are stored.
    pub(super) async fn kept(&self, name: &PluginName, revision: u64) -> Result<Map<String, Value>, Failure> {
        if revision == 0 {
            return Ok(Map::new());
        }
        if let Some(kept) = self.inner.store.configuration_revision(name, revision).await? {
            return Ok(kept.values);
        }
        let present = self.present(name).await?;
        if present.revision == revision {
            return Ok(present.values);
        }
        Err(not_kept(name, revision))
    }
}

fn not_kept(name: &PluginName, revision: u64) -> Failure {
    let message = format!("revision {revision} of the configuration of `{name}` does not exist or was pruned");
    Failure::new(Code::NotFound, message).with_hint(format!("`outrigger plugin config {name} history` lists them"))
}
