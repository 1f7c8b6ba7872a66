//! What administrators set for plugins.

use async_trait::async_trait;
use outrigger_api::{ApiResult, Configuration, Configurations};
use outrigger_contract::PluginName;
use outrigger_engine::access::Right;
use serde_json::{Map, Value};

use super::{Act, Session, Trace};
use crate::convert;

#[async_trait]
impl Configurations for Session {
    async fn configuration_fetch(&self, name: &PluginName) -> ApiResult<Configuration> {
        self.require(Right::CONFIGURATION_VIEW, name.as_str())?;
        let (record, _) = self.host.engine.plugin(name).map_err(convert::error)?;
        let revision = self.host.engine.revision(&record.active).await.map_err(convert::error)?;
        let (values, number) = self.stored(name).await?;
        let schema = &revision.manifest.configuration;
        Ok(Configuration {
            plugin: name.clone(),
            schema: schema.to_json_schema(),
            effective: schema.with_defaults(values.clone()),
            values,
            revision: number,
        })
    }

    async fn configuration_put(&self, name: &PluginName, values: Map<String, Value>, expected: u64) -> ApiResult<u64> {
        let work = async {
            let (before, _) = self.stored(name).await?;
            let revision = self.host.engine.configure(name, values.clone(), expected).await.map_err(convert::error)?;
            let (before, after) = (Some(Value::Object(before)), Some(Value::Object(values)));
            Ok((revision, Trace { before, after, revision: None }))
        };
        self.act(Act::new(Right::CONFIGURATION_MODIFY, name.as_str()), work).await
    }
}

impl Session {
    async fn stored(&self, name: &PluginName) -> ApiResult<(Map<String, Value>, u64)> {
        let stored = self.host.engine.store().configuration_fetch(name).await.map_err(convert::store_error)?;
        Ok(stored.map(|stored| (stored.values, stored.revision)).unwrap_or_default())
    }
}
