//! Packages: looked at, installed, put in the place of others.

use std::path::PathBuf;

use outrigger_api::{
    ApiResult, AvailableReport, Code, Digest, InstallOutcome, InstallRequest, PackageReport, PackageSource, PluginName,
    PluginStanding, RollbackReport, RollbackRequest, UploadedPackage,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{LIFECYCLE, PACKAGE, PluginPath, plugins};
use crate::endpoint::answer::{CreatedOrTried, Reply, Tagged};
use crate::endpoint::api::{Api, Operation};
use crate::endpoint::input::{Input, NoBody};
use crate::endpoint::upload::Upload;
use crate::endpoint::who::Caller;
use crate::endpoint::{NoPath, NoQuery};
use crate::etag::Demand;

const TAG: &str = "Packages";
const INSTALL: &str = "The package is read and checked, and its requests are compared with the grant of the installed \
    version. If it requests more, it is refused with `grant_required` unless `approved` is the digest of the package, \
    as returned by `POST /api/v1/plugins/inspect`; approving requires the right `plugin_approve`. If `approved` is \
    another digest, nothing is installed. If the package replaces another version, configuration and state are \
    migrated, and everything is undone if the plugin does not become healthy. `dry_run` only shows the changes. A \
    package with an invalid signature is refused with `signature_invalid`; a package without a trusted signature is \
    refused with `signature_required` if one is required. Required configuration values are given in `configuration`, \
    which also requires the right `configuration_modify`.";

const UPLOAD: &str = "The body is a `.zip` or a `.tar.gz` of at most 128 MiB. It is checked completely, and refused if \
    it is invalid; nothing of it is run. It is kept for an hour, or until the server restarts. The response contains \
    the digest of its files, which identifies it as a source: `{\"source\": {\"package\": \"sha256:…\"}}`. Uploading \
    it again gives the same digest.";

pub fn routes(api: &mut Api) {
    described(api.post("/api/v1/plugins", "plugin_create", install).also("/api/v1/plugins/"), "Install a plugin");
    described(api.post("/api/v1/plugins/install", "plugin_install", install), "Install a plugin from a source");
    described(api.put("/api/v1/plugins/{plugin_id}", "plugin_update", update), "Update a plugin").takes_if_match();
    api.post("/api/v1/plugins/{plugin_id}/rollback", "plugin_rollback", rollback)
        .tag(TAG)
        .summary("Undo a plugin's last update")
        .describe(
            "Restores the previous revision, its configuration and its state. If the update changed the state, later \
             writes to it are lost; `lost_writes` is their number, also in a dry run. A rollback is refused if the \
             version could not be installed now, because of its signature or because its files were changed.",
        )
        .right("plugin_create")
        .example(json!({"dry_run": true}))
        .fails(LIFECYCLE)
        .fails(&[Code::NotFound, Code::MigrationFailed, Code::SignatureInvalid, Code::SignatureRequired]);
    api.get("/api/v1/plugins/registry", "plugin_available", available)
        .tag(TAG)
        .summary("List the packages that can be installed by name")
        .right("plugin_view");
    api.post("/api/v1/plugins/inspect", "package_inspect", inspect)
        .tag(TAG)
        .summary("Read and check a package without installing it")
        .right("plugin_create")
        .example(json!({"source": {"name": "pricing"}}))
        .fails(PACKAGE)
        .fails(&[Code::DigestMismatch]);
    api.post("/api/v1/packages", "package_upload", upload)
        .tag(TAG)
        .summary("Upload a package, to be installed by its digest")
        .describe(UPLOAD)
        .right("plugin_create")
        .fails(PACKAGE)
        .fails(&[Code::DigestMismatch, Code::Busy]);
}

fn described<'a>(operation: &'a mut Operation, summary: &'static str) -> &'a mut Operation {
    let example = json!({"source": {"name": "pricing", "version": "^1"}});
    let operation = operation.tag(TAG).summary(summary).describe(INSTALL).right("plugin_create").example(example);
    let more = &[Code::AlreadyExists, Code::MigrationFailed, Code::DigestMismatch];
    let signature = &[Code::SignatureInvalid, Code::SignatureRequired];
    operation.fails(PACKAGE).fails(LIFECYCLE).fails(more).fails(signature)
}

/// The package to install.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Installation {
    source: Source,
    /// The digest whose grant the administrator has seen and approves. No other package is installed then.
    #[serde(default)]
    approved: Option<String>,
    /// Only show the effect on configuration and state of the installed version.
    #[serde(default)]
    dry_run: bool,
    /// Allow replacing a newer version with an older one whose manifest does not declare a migration from it.
    #[serde(default)]
    allow_downgrade: bool,
    /// Initial configuration values; in an update, they override the migrated values.
    #[serde(default)]
    configuration: Map<String, Value>,
}

/// The package to inspect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Inspection {
    source: Source,
}

/// Where a package is: `{"path": …}`, `{"name": …, "version": …}`, or `{"package": "sha256:…"}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a source is {\"path\": …}, or {\"name\": …, \"version\": …}, or {\"package\": \"sha256:…\"}"
)]
#[schemars(rename = "Source")]
enum Source {
    Path(#[serde(deserialize_with = "outrigger_api::object::only")] PathSource),
    Named(#[serde(deserialize_with = "outrigger_api::object::only")] NamedSource),
    Package(#[serde(deserialize_with = "outrigger_api::object::only")] SentSource),
}

/// A folder or an archive on the server's disk.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PathSource {
    path: PathBuf,
}

/// A name in the search paths.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NamedSource {
    name: PluginName,
    /// A version requirement, such as `^1.2`.
    #[serde(default)]
    version: Option<String>,
}

/// A package that was uploaded to `POST /api/v1/packages`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SentSource {
    /// The digest in the response of the upload.
    package: Digest,
}

impl From<Source> for PackageSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Path(PathSource { path }) => Self::Path(path),
            Source::Named(NamedSource { name, version }) => Self::Named { name, version },
            Source::Package(SentSource { package }) => Self::Package(package),
        }
    }
}

impl From<Installation> for InstallRequest {
    fn from(installation: Installation) -> Self {
        let Installation { source, approved, dry_run, allow_downgrade, configuration } = installation;
        Self { source: source.into(), approved, dry_run, allow_downgrade, replaces: None, configuration }
    }
}

async fn install(
    caller: Caller,
    input: Input<NoPath, NoQuery, Installation>,
) -> ApiResult<CreatedOrTried<InstallOutcome>> {
    let outcome = caller.platform.plugin_install(input.body.into()).await?;
    let location = (!outcome.dry_run).then(|| format!("/api/v1/plugins/{}", outcome.name));
    Ok(CreatedOrTried(outcome, location))
}

async fn rollback(
    caller: Caller,
    input: Input<PluginPath, NoQuery, RollbackRequest>,
) -> ApiResult<Reply<RollbackReport>> {
    caller.platform.plugin_rollback(&input.path.plugin_id, input.body).await.map(Reply)
}

async fn update(caller: Caller, input: Input<PluginPath, NoQuery, Installation>) -> ApiResult<Tagged<InstallOutcome>> {
    let name = input.path.plugin_id;
    let platform = &caller.platform;
    let demand = Demand::read(input.if_match.as_ref())?;
    let present = platform.plugin_info(&name).await?.summary;
    demand.check(&plugins::etag(&present))?;
    // The precondition is checked again under the installation lock.
    let updated_at = matches!(demand, Demand::OneOf(_)).then_some(present.updated_at);
    let replaces = Some(PluginStanding { name: name.clone(), updated_at });
    let outcome = match platform.plugin_install(InstallRequest { replaces, ..InstallRequest::from(input.body) }).await {
        Ok(outcome) => outcome,
        Err(error) if error.code == Code::Conflict => {
            demand.check(&plugins::etag(&platform.plugin_info(&name).await?.summary))?;
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    let present = platform.plugin_info(&name).await?;
    Ok(Tagged(outcome, plugins::etag(&present.summary)))
}

async fn available(caller: Caller, _: Input<NoPath, NoQuery, NoBody>) -> ApiResult<Reply<AvailableReport>> {
    caller.platform.plugin_available().await.map(Reply)
}

async fn inspect(caller: Caller, input: Input<NoPath, NoQuery, Inspection>) -> ApiResult<Reply<PackageReport>> {
    caller.platform.package_inspect(&input.body.source.into()).await.map(Reply)
}

async fn upload(caller: Caller, input: Input<NoPath, NoQuery, Upload>) -> ApiResult<Reply<UploadedPackage>> {
    caller.platform.package_upload(input.body.0).await.map(Reply)
}
