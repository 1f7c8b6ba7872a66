//! The configuration of the plugins: one for all of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use outrigger_api::*;
use serde_json::{Map, Value, json};

use super::Seen;

#[async_trait]
impl Configurations for Seen {
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        self.plugin(name)?;
        let (values, revision) = self.state.configuration.lock().clone();
        let effective = values.clone();
        let (sources, problems) = (BTreeMap::new(), Vec::new());
        Ok(Configuration { plugin: name.clone(), schema: json!({}), values, effective, sources, revision, problems })
    }

    async fn configuration_put(&self, name: &PluginName, values: Map<String, Value>, expected: u64) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if present.1 != expected {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        *present = (values, expected + 1);
        Ok(present.1)
    }

    async fn configuration_change(
        &self,
        name: &PluginName,
        edits: ConfigurationEdits,
        expected: Option<u64>,
    ) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if expected.is_some_and(|expected| expected != present.1) {
            return Err(ApiError::new(Code::Conflict, "somebody else was quicker"));
        }
        let ConfigurationEdits { set, create, unset } = edits;
        if create.keys().any(|key| present.0.contains_key(key)) {
            return Err(ApiError::new(Code::AlreadyExists, "it is set already"));
        }
        for key in unset {
            present.0.shift_remove(&key).ok_or_else(|| ApiError::new(Code::NotFound, "it is not set"))?;
        }
        present.0.extend(set);
        present.0.extend(create);
        present.1 += 1;
        Ok(present.1)
    }

    async fn configuration_revisions(&self, name: &PluginName) -> ApiResult<Vec<ConfigurationRevision>> {
        self.plugin(name)?;
        let (values, revision) = self.state.configuration.lock().clone();
        let at = time::OffsetDateTime::UNIX_EPOCH;
        let (by, correlation) = (self.name.clone(), ulid::Ulid::nil().to_string());
        // It was configured before the test began.
        let revision = revision.max(1);
        Ok(vec![ConfigurationRevision { revision, at, by, correlation, restores: None, values }])
    }

    async fn configuration_revision(&self, name: &PluginName, revision: u64) -> ApiResult<ConfigurationRevision> {
        let revisions = self.configuration_revisions(name).await?;
        let found = revisions.into_iter().find(|kept| kept.revision == revision);
        found.ok_or_else(|| ApiError::new(Code::NotFound, "it is not kept"))
    }

    async fn configuration_diff(&self, name: &PluginName, from: u64, to: Option<u64>) -> ApiResult<ConfigurationDiff> {
        self.plugin(name)?;
        let to = to.unwrap_or_else(|| self.state.configuration.lock().1);
        Ok(ConfigurationDiff { plugin: name.clone(), from, to, differences: Vec::new() })
    }

    async fn configuration_rollback(&self, name: &PluginName, revision: u64) -> ApiResult<u64> {
        self.plugin(name)?;
        let mut present = self.state.configuration.lock();
        if revision > present.1.max(1) {
            return Err(ApiError::new(Code::NotFound, "it is not kept"));
        }
        present.1 += 1;
        Ok(present.1)
    }

    async fn secrets_rotate(&self) -> ApiResult<SecretsRotation> {
        self.allowed()?;
        Ok(SecretsRotation { key: "key".to_owned(), rewritten: 0, dropped: Vec::new() })
    }
}
