//! Configurations of plugins, and the encryption keys of their secrets.

use async_trait::async_trait;
use outrigger_api::{
    ApiError, ApiResult, Code, Configuration, ConfigurationDiff, ConfigurationEdits, ConfigurationRevision,
    ConfigurationSource, Configurations, SecretsRotation,
};
use outrigger_contract::PluginName;
use outrigger_engine::access::Right;
use outrigger_engine::configuration::{ConfigurationView, Source};
use outrigger_engine::life::{Author, Configured, Edits};
use outrigger_engine::store;
use outrigger_engine::vault::VaultError;
use serde_json::{Map, Value, json};

use super::{Act, Session, Trace};
use crate::convert;
use crate::vault::Rotated;

#[async_trait]
impl Configurations for Session {
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        self.require(Right::CONFIGURATION_VIEW, name.as_str())?;
        let view = self.host.engine.configuration(name).await;
        let view = view.map_err(|failure| self.shown_error(convert::error(failure)))?;
        let ConfigurationView { schema, values, effective, sources, revision, problems } = view;
        let sources = sources.into_iter().map(|(key, source)| (key, self.source_of(source))).collect();
        let problems = problems.into_iter().map(|problem| self.shown_text(problem)).collect();
        Ok(Configuration { plugin: name.clone(), schema, values, effective, sources, revision, problems })
    }

    async fn configuration_put(&self, name: &PluginName, values: Map<String, Value>, expected: u64) -> ApiResult<u64> {
        let work = async {
            let author = self.author();
            let configured = self.host.engine.configure(name, values, expected, &author).await;
            configured.map(traced).map_err(convert::error)
        };
        self.act(Act::new(Right::CONFIGURATION_MODIFY, name.as_str()), work).await
    }

    async fn configuration_change(
        &self,
        name: &PluginName,
        edits: ConfigurationEdits,
        expected: Option<u64>,
    ) -> ApiResult<u64> {
        let ConfigurationEdits { set, create, unset } = edits;
        let edits = Edits { set, create, unset };
        let work = async {
            let author = self.author();
            let configured = self.host.engine.configuration_change(name, edits, expected, &author).await;
            configured.map(traced).map_err(convert::error)
        };
        self.act(Act::new(Right::CONFIGURATION_MODIFY, name.as_str()), work).await
    }

    async fn configuration_revisions(&self, name: &PluginName) -> ApiResult<Vec<ConfigurationRevision>> {
        self.require(Right::CONFIGURATION_VIEW, name.as_str())?;
        let revisions = self.host.engine.configuration_revisions(name).await.map_err(convert::error)?;
        Ok(revisions.into_iter().map(revision_of).collect())
    }

    async fn configuration_revision(&self, name: &PluginName, revision: u64) -> ApiResult<ConfigurationRevision> {
        self.require(Right::CONFIGURATION_VIEW, name.as_str())?;
        let found = self.host.engine.configuration_revision(name, revision).await;
        found.map(revision_of).map_err(convert::error)
    }

    async fn configuration_diff(&self, name: &PluginName, from: u64, to: Option<u64>) -> ApiResult<ConfigurationDiff> {
        self.require(Right::CONFIGURATION_VIEW, name.as_str())?;
        let engine = &self.host.engine;
        let to = match to {
            Some(to) => to,
            None => engine.configuration(name).await.map_err(convert::error)?.revision,
        };
        let differences = engine.configuration_differences(name, from, to).await.map_err(convert::error)?;
        let differences = differences.into_iter().map(convert::difference).collect();
        Ok(ConfigurationDiff { plugin: name.clone(), from, to, differences })
    }

    async fn configuration_rollback(&self, name: &PluginName, revision: u64) -> ApiResult<u64> {
        let work = async {
            let author = self.author();
            let configured = self.host.engine.configuration_rollback(name, revision, &author).await;
            configured.map(traced).map_err(convert::error)
        };
        self.act(Act::new(Right::CONFIGURATION_MODIFY, name.as_str()), work).await
    }

    async fn secrets_rotate(&self) -> ApiResult<SecretsRotation> {
        let work = async {
            let engine = &self.host.engine;
            let ring = &self.host.key_ring;
            // Waiting for another process blocks a thread.
            let _turn = self.host.rotations.begin(&self.caller().to_string()).await;
            let waiting = ring.clone();
            let lock = tokio::task::spawn_blocking(move || waiting.lock()).await;
            let lock = lock.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?.map_err(unusable)?;
            // First the new key, then what is sealed with it; the old keys stay at hand. Interrupted anywhere in between,
            // everything opens, and the next rotation goes on.
            let used = engine.sealing_keys().await.map_err(convert::error)?;
            let Rotated { key, dropped } = ring.rotate(&used, &lock).map_err(unusable)?;
            let rewritten = engine.reseal().await.map_err(convert::error)?;
            drop(lock);
            let rotation = SecretsRotation { key, rewritten, dropped: dropped.into_iter().collect() };
            let after = Some(json!({ "key": rotation.key, "rewritten": rewritten, "dropped": rotation.dropped }));
            Ok((rotation, Trace { before: None, after, revision: None }))
        };
        // Keys that nothing is sealed with any more are gone for good.
        self.act(Act::destroys(Right::CONFIGURATION_MODIFY, "*"), work).await
    }
}

impl Session {
    fn author(&self) -> Author {
        Author { name: self.caller().to_string(), correlation: self.correlation }
    }

    fn source_of(&self, source: Source) -> ConfigurationSource {
        match source {
            Source::Default => ConfigurationSource::Default,
            Source::Stored => ConfigurationSource::Stored,
            Source::File(path) => {
                ConfigurationSource::File { path: self.shown_path(self.shown_text(path.display().to_string())) }
            }
            Source::Environment(name) => ConfigurationSource::Environment { name },
        }
    }
}

fn unusable(error: VaultError) -> ApiError {
    ApiError::new(Code::SecretUnreadable, format!("the keys of secrets cannot be used: {error}"))
}

fn traced(Configured { revision, before, after }: Configured) -> (u64, Trace) {
    let (before, after) = (Some(Value::Object(before)), Some(Value::Object(after)));
    (revision, Trace { before, after, revision: None })
}

fn revision_of(record: store::ConfigurationRevision) -> ConfigurationRevision {
    let store::ConfigurationRevision { revision, at, author, correlation, restores, values } = record;
    ConfigurationRevision { revision, at, by: author, correlation: correlation.to_string(), restores, values }
}
