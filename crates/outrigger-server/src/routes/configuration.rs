//! Configurations of plugins: the whole at once, or one value.

mod revisions;

use outrigger_api::{ApiError, ApiResult, Code, Configuration, ConfigurationEdits, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::PluginPath;
use crate::endpoint::NoQuery;
use crate::endpoint::answer::{Created, Done, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::etag::{self, Demand, ETag};

const TAG: &str = "Configuration";
const FAILS: &[Code] = &[
    Code::PluginNotFound,
    Code::NotFound,
    Code::Conflict,
    Code::InvalidConfiguration,
    Code::InvalidInput,
    Code::TooLarge,
    Code::SecretUnreadable,
];
/// How often a change of the whole is retried if someone else changed it in the meantime.
const TRIES: u32 = 8;

pub fn routes(api: &mut Api) {
    api.get("/api/v1/plugins/{plugin_id}/config", "configuration_fetch", fetch)
        .tag(TAG)
        .summary("Show a plugin's configuration with its schema")
        .describe(
            "The ETag is the revision, which counts changes. A secret is shown as `{\"$secret\": \"set\"}`; sending \
             this back keeps the secret.",
        )
        .right("configuration_view")
        .fails(&[Code::PluginNotFound]);
    api.put("/api/v1/plugins/{plugin_id}/config", "configuration_put", put)
        .tag(TAG)
        .summary("Replace a plugin's configuration")
        .describe("The body has a member for each value; omitted values are reset to their defaults.")
        .right("configuration_modify")
        .example(json!({"required-tags": ["owner"]}))
        .takes_if_match()
        .fails(FAILS);
    api.patch("/api/v1/plugins/{plugin_id}/config", "configuration_change", patch)
        .tag(TAG)
        .summary("Change single values, all of them or none")
        .describe(
            "`set` and `create` have a member for each value; values in `create` must not be set yet. `unset` names \
             values to reset to their defaults. Other values are kept.",
        )
        .right("configuration_modify")
        .example(json!({"set": {"currency": "EUR"}}))
        .takes_if_match()
        .fails(FAILS)
        .fails(&[Code::AlreadyExists]);
    api.post("/api/v1/plugins/{plugin_id}/config", "configuration_create", create)
        .tag(TAG)
        .summary("Create one value")
        .right("configuration_modify")
        .example(json!({"key": "required-tags", "value": ["owner"]}))
        .fails(FAILS)
        .fails(&[Code::AlreadyExists]);
    api.put("/api/v1/plugins/{plugin_id}/config/{config_id}", "configuration_update", update)
        .tag(TAG)
        .summary("Set one value")
        .right("configuration_modify")
        .example(json!({"value": ["owner"]}))
        .takes_if_match()
        .fails(FAILS);
    api.delete("/api/v1/plugins/{plugin_id}/config/{config_id}", "configuration_delete", delete)
        .tag(TAG)
        .summary("Reset one value to its default")
        .right("configuration_modify")
        .takes_if_match()
        .fails(FAILS);
    revisions::routes(api);
}

/// The path of one value.
#[derive(Debug, Deserialize, JsonSchema)]
struct ValuePath {
    /// The plugin's name.
    #[schemars(example = &"policy-validator")]
    plugin_id: PluginName,
    /// The name of the value in the configuration's schema.
    #[schemars(length(min = 1), example = &"required-tags")]
    config_id: String,
}

/// A value to create.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewValue {
    /// The name of the value in the configuration's schema.
    key: String,
    value: Value,
}

/// The new value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangedValue {
    value: Value,
}

/// The changed value, and the revision of the plugin's configuration.
#[derive(Debug, Serialize, JsonSchema)]
struct ConfigurationChange {
    plugin: PluginName,
    revision: u64,
}

fn tag(revision: u64) -> ETag {
    ETag::new(revision.to_string())
}

fn changed(plugin: PluginName, revision: u64) -> Tagged<ConfigurationChange> {
    Tagged(ConfigurationChange { plugin, revision }, tag(revision))
}

/// The single revision in a precondition.
fn named(demand: &Demand) -> Option<u64> {
    match demand {
        Demand::OneOf(tags) => tags.first().filter(|_| tags.len() == 1)?.parse().ok(),
        Demand::Nothing | Demand::Something => None,
    }
}

async fn fetch(caller: Caller, input: Input<PluginPath, NoQuery, NoBody>) -> ApiResult<Tagged<Configuration>> {
    let configuration = caller.platform.configuration_fetch(&input.path.plugin_id).await?;
    let tag = tag(configuration.revision);
    Ok(Tagged(configuration, tag))
}

async fn put(
    caller: Caller,
    input: Input<PluginPath, NoQuery, Map<String, Value>>,
) -> ApiResult<Tagged<ConfigurationChange>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let plugin = input.path.plugin_id;
    let platform = &caller.platform;
    for remaining in (0..TRIES).rev() {
        let expected = match expected(&caller, &plugin, &demand).await? {
            // The revision is known, so nothing has to be read: who may change but not see can do this.
            Some(expected) => expected,
            None => platform.configuration_fetch(&plugin).await?.revision,
        };
        match platform.configuration_put(&plugin, input.body.clone(), expected).await {
            Err(error) if matches!(demand, Demand::OneOf(_)) => return Err(etag::stale(error)),
            Err(error) if error.code == Code::Conflict && remaining > 0 => {}
            result => return Ok(changed(plugin, result?)),
        }
    }
    Err(ApiError::new(Code::Conflict, format!("the configuration of `{plugin}` changed repeatedly during the update")))
}

async fn patch(
    caller: Caller,
    input: Input<PluginPath, NoQuery, ConfigurationEdits>,
) -> ApiResult<Tagged<ConfigurationChange>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let plugin = input.path.plugin_id;
    let revision = change(&caller, &plugin, &demand, input.body).await?;
    Ok(changed(plugin, revision))
}

async fn create(
    caller: Caller,
    input: Input<PluginPath, NoQuery, NewValue>,
) -> ApiResult<Created<ConfigurationChange>> {
    let NewValue { key, value } = input.body;
    let plugin = input.path.plugin_id;
    let revision = change(&caller, &plugin, &Demand::Nothing, ConfigurationEdits::create(key, value)).await?;
    let location = format!("/api/v1/plugins/{plugin}/config");
    Ok(Created(ConfigurationChange { plugin, revision }, location))
}

async fn update(
    caller: Caller,
    input: Input<ValuePath, NoQuery, ChangedValue>,
) -> ApiResult<Tagged<ConfigurationChange>> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let ValuePath { plugin_id: plugin, config_id } = input.path;
    let edits = ConfigurationEdits::set(config_id, input.body.value);
    let revision = change(&caller, &plugin, &demand, edits).await?;
    Ok(changed(plugin, revision))
}

async fn delete(caller: Caller, input: Input<ValuePath, NoQuery, NoBody>) -> ApiResult<Done> {
    let demand = Demand::read(input.if_match.as_ref())?;
    let ValuePath { plugin_id: plugin, config_id } = input.path;
    change(&caller, &plugin, &demand, ConfigurationEdits::unset(config_id)).await?;
    Ok(Done)
}

/// Changes single values, if the precondition holds.
async fn change(caller: &Caller, plugin: &PluginName, demand: &Demand, edits: ConfigurationEdits) -> ApiResult<u64> {
    let expected = expected(caller, plugin, demand).await?;
    let changed = caller.platform.configuration_change(plugin, edits, expected).await;
    changed.map_err(|error| if expected.is_some() { etag::stale(error) } else { error })
}

/// The revision in a precondition; none if any is accepted.
async fn expected(caller: &Caller, plugin: &PluginName, demand: &Demand) -> ApiResult<Option<u64>> {
    match (demand, named(demand)) {
        (_, Some(expected)) => Ok(Some(expected)),
        (Demand::OneOf(_), None) => {
            let present = caller.platform.configuration_fetch(plugin).await?.revision;
            demand.check(&tag(present))?;
            Ok(Some(present))
        }
        (Demand::Nothing | Demand::Something, None) => Ok(None),
    }
}
