//! Plugins, packages and what comes of installing them.

use outrigger_contract::{Digest, Manifest, PluginName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{ClosedHook, FunctionSummary, MigrationReport, SignatureInfo};

/// An installed plugin, as lists show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginSummary {
    pub name: PluginName,
    pub version: String,
    pub title: String,
    pub description: String,
    pub categories: Vec<String>,
    /// Such as `active`, `disabled`, `failed`.
    pub state: String,
    /// The reason of the state, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many functions can be called.
    pub functions: u32,
    pub digest: String,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub installed_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: OffsetDateTime,
}

/// The details of an installed plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginDetails {
    #[serde(flatten)]
    pub summary: PluginSummary,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub manifest: Manifest,
    /// Where the package came from.
    pub source: String,
    /// The grant, one sentence each: permissions, limits above the defaults, subscriptions to hooks of others.
    pub granted: Vec<String>,
    /// The limits that the operator's ceiling lowers, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capped: Vec<String>,
    pub offered: Vec<FunctionSummary>,
    /// Exports that cannot be called, with the reason.
    pub refused: Vec<String>,
    /// Its imports.
    pub imports: Vec<String>,
    /// Which interfaces of the platform it exports: `lifecycle`, `health`, `migration`.
    pub exports: Vec<String>,
    /// All retained revisions, newest first.
    pub revisions: Vec<RevisionInfo>,
}

/// One revision of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionInfo {
    pub digest: String,
    pub version: String,
    pub active: bool,
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub installed_at: OffsetDateTime,
}

/// Where a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PackageSource {
    /// A folder or an archive on the host's disk.
    Path(std::path::PathBuf),
    /// A name in the search paths, with an optional version requirement such as `^1.2`.
    Named { name: PluginName, version: Option<String> },
    /// An uploaded package, by the digest of its files.
    Package(Digest),
}

/// The contents of an inspected package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PackageReport {
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub manifest: Manifest,
    pub digest: String,
    /// Bytes in all files.
    pub size: u64,
    pub files: u32,
    /// The requested grant, one sentence each: permissions, limits above the defaults, subscriptions to hooks of
    /// others.
    pub permissions: Vec<String>,
    /// The part of them that exceeds the grant of the installed version. All of them if none is installed.
    pub widened: Vec<String>,
    /// Its limits above the operator's ceiling, one sentence each. Such a package is not installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above_ceiling: Vec<String>,
    /// The data that it takes over from the installed plugin of the same name, unless both are known to have the same
    /// publisher. Taking it over requires the right `plugin_approve`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub take_over: Option<String>,
    pub offered: Vec<FunctionSummary>,
    pub refused: Vec<String>,
    pub imports: Vec<String>,
    /// Warnings, which do not prevent the installation.
    pub warnings: Vec<String>,
    /// The version that is installed now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_version: Option<String>,
    /// Where it was read from.
    pub source: String,
    /// The creator.
    pub signature: SignatureInfo,
}

/// The package to install.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstallRequest {
    pub source: PackageSource,
    /// The digest whose grant the administrator has seen and approves. Without it, a package that requests more than
    /// the grant of the installed version is refused; with it, any other package is refused, even if it requests
    /// nothing.
    #[serde(default)]
    pub approved: Option<String>,
    /// Only show the effect on the configuration and the state.
    #[serde(default)]
    pub dry_run: bool,
    /// Allow replacing a newer version with an older one that does not declare a migration from it.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// The plugin to replace, in the state that was read; otherwise nothing is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<PluginStanding>,
    /// Initial configuration values; in an update, they override the migrated values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub configuration: Map<String, Value>,
}

impl InstallRequest {
    /// Installs a package that requests nothing.
    #[must_use]
    pub fn new(source: PackageSource) -> Self {
        let configuration = Map::new();
        Self { source, approved: None, dry_run: false, allow_downgrade: false, replaces: None, configuration }
    }
}

/// A plugin as somebody saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginStanding {
    pub name: PluginName,
    /// When it was last changed. Without it, any state is accepted.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub updated_at: Option<OffsetDateTime>,
}

/// The outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InstallOutcome {
    pub name: PluginName,
    pub version: String,
    pub digest: String,
    /// `installed` or `updated`; if the same package was already installed, `restored` if its files had been changed,
    /// `configured` if values were given, or `unchanged`.
    pub action: String,
    /// The version it took the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// The creator.
    pub signature: SignatureInfo,
    /// A dry run: nothing was stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// The migration of the previous version's configuration and state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<MigrationReport>,
}

/// The effects of disabling or removing a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StopReport {
    /// Hooks that are now closed, because this plugin has a fail-closed subscription to them. They stay closed until
    /// the subscription is disabled or removed.
    pub closed_hooks: Vec<ClosedHook>,
}

/// Packages in the search paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AvailableReport {
    pub plugins: Vec<AvailablePlugin>,
    /// Packages with the same name and version in several places that are ignored, for people.
    pub duplicates: Vec<String>,
    /// Packages that could not be read, with the reason.
    pub problems: Vec<String>,
}

/// A package in a search path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AvailablePlugin {
    pub name: PluginName,
    pub version: String,
    pub title: String,
    pub description: String,
    pub path: String,
    /// `bundled`, `system`, `user` or `project`.
    pub origin: String,
    /// The version that is installed now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_version: Option<String>,
}
