//! The manifest of a plugin: the file `plugin.toml` at the root of its package.
//!
//! A manifest is walked by a reader of our own instead of a derived one, because an author deserves *all* problems
//! at once, each with its place and a way out, and because what the host would not enforce must be refused here.
//! The same reader reads the JSON form, so a stored manifest has passed the same checks as a fresh one.

mod categories;
mod configuration;
mod exports;
mod functions;
mod health;
mod hooks;
mod limits;
mod migrations;
mod node;
mod problem;
mod read;
mod reader;
mod runtime;
mod schema;

use indexmap::IndexMap;
use semver::{Version, VersionReq};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::de::DeTable;

use crate::hook::HookName;
use crate::name::{FunctionName, PluginName};
use crate::permission::Permissions;

pub use categories::{Category, UnknownCategory};
pub use configuration::{AdditionalProperties, ConfigurationSchema, Property, PropertyKind};
pub use exports::UnknownFunction;
pub use functions::{FunctionOptions, Retry};
pub use health::{HealthPolicy, RestartPolicy, RestartPolicyError};
pub use hooks::{HookDeclaration, PayloadSchema, SubscriptionDeclaration};
pub use limits::Limits;
pub use migrations::{LONGEST_STATE_KEY, MigrationConflict, MigrationStep};
pub use problem::{ManifestError, Place, Problem};
pub use runtime::{InstancePolicy, PackagePath, PackagePathError, RuntimeKind, RuntimeSection};
pub use schema::json_schema;

use node::Node;
use reader::{Item, Problems};

/// The name of the manifest's file, at the root of a package.
pub const FILE_NAME: &str = "plugin.toml";

/// Maximum length of a version requirement, in bytes.
pub const LONGEST_REQUIREMENT: usize = 256;

/// The manifest of a plugin. Every value is validated; see [`Manifest::parse`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    pub name: PluginName,
    pub version: Version,
    /// The name for people, one line.
    pub title: String,
    /// A description of its purpose.
    pub description: String,
    /// Each as `Name <address>` or only a name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authors: Vec<String>,
    /// An SPDX expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// A URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<Category>,
    /// How it runs.
    pub runtime: RuntimeSection,
    /// Settings of single functions. A function that is not listed uses the defaults.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub functions: IndexMap<FunctionName, FunctionOptions>,
    /// The configuration keys.
    #[serde(skip_serializing_if = "ConfigurationSchema::is_empty")]
    pub configuration: ConfigurationSchema,
    /// The permissions that the plugin requests. They are granted only when an administrator approves them.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub permissions: Permissions,
    /// Other plugins that it needs or can use.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub dependencies: IndexMap<PluginName, Dependency>,
    /// Hooks of its own.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub hooks: IndexMap<HookName, HookDeclaration>,
    /// Functions of its own that are called when a hook is fired.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscriptions: Vec<SubscriptionDeclaration>,
    /// Steps from what older versions left, in the order in which they are taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationStep>,
    /// Limits on each call, with the defaults filled in.
    pub limits: Limits,
    /// How it is looked after.
    #[serde(skip_serializing_if = "HealthPolicy::is_default")]
    pub health: HealthPolicy,
}

impl Manifest {
    /// The longest manifest that is read, in bytes.
    pub const MAX_LENGTH: usize = 1 << 20;
    /// The most memory that parsing a manifest may take, in bytes.
    const MOST_MEMORY: usize = 48 << 20;

    /// Reads a manifest in TOML.
    ///
    /// # Errors
    /// All problems that were found, each with its place in the text.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(ManifestError::too_long(Self::MAX_LENGTH));
        }
        if memory(text) > Self::MOST_MEMORY {
            return Err(ManifestError::too_many_values());
        }
        let (root, problems) = parsed(text)?;
        Self::read(&root, &problems).ok_or_else(|| ManifestError::from_problems(text, problems))
    }

    fn read(root: &Node, problems: &Problems) -> Option<Self> {
        read::manifest(&Item::root(root, problems)).filter(|_| problems.is_empty())
    }

    /// The settings of a function; defaults if the manifest does not list it.
    #[must_use]
    pub fn function(&self, name: &FunctionName) -> FunctionOptions {
        self.functions.get(name).cloned().unwrap_or_default()
    }
}

/// About the most memory that parsing a text takes, in bytes. A table allocates room for 11 entries with the first one,
/// so a key such as `a.a.a` can take 500 times its length.
fn memory(text: &str) -> usize {
    const TABLE: usize = 1_200;
    const VALUE: usize = 400;
    // A broken line is a fault.
    const LINE: usize = 300;
    const TOKEN: usize = 100;
    let (mut bytes, mut last) = (0, b'\n');
    for byte in text.bytes().filter(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric()) {
        bytes += match byte {
            b'.' | b'[' => TABLE,
            b'=' | b',' => VALUE,
            b'\n' => LINE,
            b'-' | b'_' => 0,
            _ => TOKEN,
        };
        if matches!(byte, b' ' | b'\t' | b'-' | b'_') {
            continue;
        }
        // `{}` allocates nothing.
        if last == b'{' && byte != b'}' {
            bytes += TABLE;
        }
        last = byte;
    }
    bytes
}

/// Parses TOML on a thread of its own. The parser nests 80 inline tables, each with a key of 80 parts: 6,400 tables.
/// Following them down takes more stack than other threads have. The result is nested less deep.
fn parsed(text: &str) -> Result<(Node, Problems), ManifestError> {
    const STACK: usize = 64 << 20;
    let parse = || {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // Values recovered from a broken text would only cause misleading errors.
            return Err(ManifestError::from_syntax(text, &errors));
        }
        let problems = Problems::default();
        let root = Node::from_toml(root, &problems);
        Ok((root, problems))
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("manifest".to_owned()).stack_size(STACK);
        let running = thread.spawn_scoped(scope, parse).map_err(|error| ManifestError::unreadable(&error))?;
        running.join().unwrap_or_else(|_| Err(ManifestError::unreadable("the parser panicked")))
    })
}

impl<'de> Deserialize<'de> for Manifest {
    /// From the JSON form that [`Serialize`] writes, with the same checks as [`Manifest::parse`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let problems = Problems::default();
        let root = Node::from_json(&value);
        Self::read(&root, &problems).ok_or_else(|| serde::de::Error::custom(ManifestError::from_problems("", problems)))
    }
}

/// Another plugin that this one needs, or uses when it is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dependency {
    pub version: VersionReq,
    /// The plugin works without it.
    pub optional: bool,
}

impl Serialize for Dependency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.optional {
            return self.version.serialize(serializer);
        }
        let mut table = serializer.serialize_struct("Dependency", 2)?;
        table.serialize_field("version", &self.version)?;
        table.serialize_field("optional", &true)?;
        table.end()
    }
}

#[cfg(test)]
mod tests;
