//! Revisions of configurations, rollback, and encryption keys. Not below `config/`, where each name is that of a value.

use outrigger_api::{ApiResult, Code, ConfigurationDiff, ConfigurationRevision, PluginName, SecretsRotation};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{ConfigurationChange, FAILS, TAG, changed};
use crate::endpoint::answer::{Reply, Tagged};
use crate::endpoint::api::Api;
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::page::List;
use crate::routes::PluginPath;

pub(super) fn routes(api: &mut Api) {
    api.get("/api/v1/plugins/{plugin_id}/config-revisions", "configuration_revisions", list)
        .tag(TAG)
        .summary("List the revisions of a plugin's configuration, newest first")
        .describe("The newest 50 are kept, up to 4 MiB of them.")
        .right("configuration_view")
        .fails(&[Code::PluginNotFound]);
    api.get("/api/v1/plugins/{plugin_id}/config-revisions/{revision}", "configuration_revision", fetch)
        .tag(TAG)
        .summary("Show a revision of a plugin's configuration")
        .right("configuration_view")
        .fails(&[Code::PluginNotFound, Code::NotFound]);
    api.get("/api/v1/plugins/{plugin_id}/config-diff", "configuration_diff", diff)
        .tag(TAG)
        .summary("Compare two revisions of a configuration")
        .right("configuration_view")
        .fails(&[Code::PluginNotFound, Code::NotFound]);
    api.post("/api/v1/plugins/{plugin_id}/config-rollback", "configuration_rollback", rollback)
        .tag(TAG)
        .summary("Restore the values of an earlier revision, including secrets, as a new revision")
        .right("configuration_modify")
        .example(json!({"revision": 1}))
        .fails(FAILS);
    api.post("/api/v1/secrets/rotate", "secrets_rotate", rotate)
        .tag(TAG)
        .summary("Make a new encryption key and re-encrypt all secrets")
        .right("configuration_modify")
        .fails(&[Code::SecretUnreadable]);
}

/// The path of one revision.
#[derive(Debug, Deserialize, JsonSchema)]
struct RevisionPath {
    /// The plugin's name.
    #[schemars(example = &"policy-validator")]
    plugin_id: PluginName,
    /// The revision's number.
    #[schemars(example = 1)]
    revision: u64,
}

/// Which revisions to compare.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    /// 0, the default, for the empty configuration.
    #[serde(default)]
    from: u64,
    /// The present one without it.
    to: Option<u64>,
}

/// Which revision to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rollback {
    revision: u64,
}

async fn list(
    caller: Caller,
    input: Input<PluginPath, NoQuery, NoBody>,
) -> ApiResult<Reply<List<ConfigurationRevision>>> {
    let items = caller.platform.configuration_revisions(&input.path.plugin_id).await?;
    Ok(Reply(List { items }))
}

async fn fetch(caller: Caller, input: Input<RevisionPath, NoQuery, NoBody>) -> ApiResult<Reply<ConfigurationRevision>> {
    let RevisionPath { plugin_id, revision } = input.path;
    caller.platform.configuration_revision(&plugin_id, revision).await.map(Reply)
}

async fn diff(caller: Caller, input: Input<PluginPath, DiffQuery, NoBody>) -> ApiResult<Reply<ConfigurationDiff>> {
    let DiffQuery { from, to } = input.query;
    caller.platform.configuration_diff(&input.path.plugin_id, from, to).await.map(Reply)
}

async fn rollback(
    caller: Caller,
    input: Input<PluginPath, NoQuery, Rollback>,
) -> ApiResult<Tagged<ConfigurationChange>> {
    let plugin = input.path.plugin_id;
    let revision = caller.platform.configuration_rollback(&plugin, input.body.revision).await?;
    Ok(changed(plugin, revision))
}

async fn rotate(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<SecretsRotation>> {
    caller.platform.secrets_rotate().await.map(Reply)
}
