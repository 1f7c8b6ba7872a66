//! Packages: looked at, installed, put in the place of others.

use std::path::PathBuf;

use outrigger_api::{
    ApiResult, AvailableReport, Code, InstallOutcome, InstallRequest, PackageReport, PackageSource, PluginName,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{LIFECYCLE, PACKAGE, PluginPath, plugins};
use crate::endpoint::answer::{Created, Reply, Tagged};
use crate::endpoint::api::{Api, Operation};
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::Demand;

const TAG: &str = "Packages";
const INSTALL: &str = "The package is read and checked, and its permissions are held against what its installed version \
    was granted. If it asks for more, the request is refused with `grant_required` unless `approved` is the digest of \
    the package, which `POST /api/v1/plugins/inspect` tells; to approve takes the right `plugin_approve`.";

pub fn routes(api: &mut Api) {
    described(api.post("/api/v1/plugins", "plugin_create", install).also("/api/v1/plugins/"), "Install a plugin");
    described(api.post("/api/v1/plugins/install", "plugin_install", install), "Install a plugin from a source");
    described(
        api.put("/api/v1/plugins/{plugin_id}", "plugin_update", update),
        "Put another package in a plugin's place",
    )
    .takes_if_match();
    api.get("/api/v1/plugins/registry", "plugin_available", available)
        .tag(TAG)
        .summary("List the packages that could be installed by name")
        .right("plugin_view");
    api.post("/api/v1/plugins/inspect", "package_inspect", inspect)
        .tag(TAG)
        .summary("Read and check a package without installing it")
        .right("plugin_create")
        .example(json!({"source": {"name": "pricing"}}))
        .fails(PACKAGE);
}

fn described<'a>(operation: &'a mut Operation, summary: &'static str) -> &'a mut Operation {
    let example = json!({"source": {"name": "pricing", "version": "^1"}});
    let operation = operation.tag(TAG).summary(summary).describe(INSTALL).right("plugin_create").example(example);
    operation.fails(PACKAGE).fails(LIFECYCLE).fails(&[Code::AlreadyExists])
}

/// What to install.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Installation {
    source: Source,
    /// The digest whose permissions the administrator has seen and grants.
    #[serde(default)]
    approved: Option<String>,
}

/// What to look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inspection {
    source: Source,
}

/// Where a package is: `{"path": …}`, or `{"name": …, "version": …}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a source is {\"path\": …}, or {\"name\": …, \"version\": …}")]
#[schemars(rename = "Source")]
enum Source {
    Path(PathSource),
    Named(NamedSource),
}

/// A folder or an archive on the server's disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PathSource {
    path: PathBuf,
}

/// A name to be looked up in the search paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedSource {
    name: PluginName,
    /// A version requirement, such as `^1.2`.
    #[serde(default)]
    version: Option<String>,
}

impl From<Source> for PackageSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Path(PathSource { path }) => Self::Path(path),
            Source::Named(NamedSource { name, version }) => Self::Named { name, version },
        }
    }
}

impl From<Installation> for InstallRequest {
    fn from(installation: Installation) -> Self {
        let Installation { source, approved } = installation;
        Self { source: source.into(), approved }
    }
}

async fn install(caller: Caller, input: Input<NoPath, NoQuery, Installation>) -> ApiResult<Created<InstallOutcome>> {
    let outcome = caller.platform.plugin_install(input.body.into()).await?;
    let location = format!("/api/v1/plugins/{}", outcome.name);
    Ok(Created(outcome, location))
}

async fn update(caller: Caller, input: Input<PluginPath, NoQuery, Installation>) -> ApiResult<Tagged<InstallOutcome>> {
    let name = input.path.plugin_id;
    let platform = &caller.platform;
    let demand = Demand::read(input.if_match.as_ref())?;
    demand.check(&plugins::etag(&platform.plugin_info(&name).await?.summary))?;
    let request = InstallRequest::from(input.body);
    let package = platform.package_inspect(&request.source).await?.manifest.name;
    if package != name {
        let message = format!("the package is of the plugin `{package}`, not of `{name}`");
        return Err(outrigger_api::ApiError::new(Code::Conflict, message)
            .with_hint("send it to `POST /api/v1/plugins` to install it as what it is"));
    }
    let outcome = platform.plugin_install(request).await?;
    let present = platform.plugin_info(&name).await?;
    Ok(Tagged(outcome, plugins::etag(&present.summary)))
}

async fn available(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<AvailableReport>> {
    caller.platform.plugin_available().await.map(Reply)
}

async fn inspect(caller: Caller, input: Input<NoPath, NoQuery, Inspection>) -> ApiResult<Reply<PackageReport>> {
    caller.platform.package_inspect(&input.body.source.into()).await.map(Reply)
}
