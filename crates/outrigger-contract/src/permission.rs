//! Permissions: requested by a plugin and, in the same form, granted by an administrator. Everything is denied that is
//! not listed here. There is no kind of permission that the host does not enforce: an entry that could not be enforced
//! is refused when it is read.

mod environment;
mod file;
mod function;
mod host;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{FunctionName, NameError, PluginName};

pub use environment::VariableName;
pub use file::{FileAccess, FileGrant, FileIdentity, FilePin};
pub use function::FunctionPattern;
pub use host::{HostAccess, HostPattern};

/// A set of permissions. Asked for in a manifest, given in a grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Permissions {
    /// Files and folders of the host. A path that ends in `/` is a folder with all below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileGrant>,
    /// Environment variables of the host, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<VariableName>,
    /// Hosts to which HTTP requests may be sent, as `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HostPattern>,
    /// Hosts to which TCP connections may be opened, as `host:port`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<HostPattern>,
    /// Functions of other plugins that may be called, as `plugin.function` or `plugin.*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<FunctionPattern>,
}

impl Permissions {
    /// The kinds that the host enforces, by their key in the manifest. No other kind can be asked for.
    pub const KINDS: [&str; 5] = ["files", "environment", "http", "tcp", "plugins"];

    /// Nothing is asked for or given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { files, environment, http, tcp, plugins } = self;
        files.is_empty() && environment.is_empty() && http.is_empty() && tcp.is_empty() && plugins.is_empty()
    }

    /// Whether this absolute path without `.` and `..` may be used in this way.
    #[must_use]
    pub fn allows_file(&self, path: &str, access: FileAccess) -> bool {
        self.files.iter().any(|grant| grant.matches(path, access))
    }

    /// Whether this environment variable may be seen.
    #[must_use]
    pub fn allows_variable(&self, name: &str) -> bool {
        self.environment.iter().any(|variable| variable.matches(name))
    }

    /// The folders that may be written to, resolved if that is known; each ends in `/`.
    pub fn writable_folders(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|file| file.access() == FileAccess::Write).map(FileGrant::real)
    }

    /// Whether HTTP requests may go to this host, and to which of the addresses that its name resolves to.
    #[must_use]
    pub fn allows_http(&self, host: &str, port: u16) -> Option<HostAccess> {
        HostPattern::best(&self.http, host, port)
    }

    /// Whether TCP connections may go to this host, and to which of the addresses that its name resolves to.
    #[must_use]
    pub fn allows_tcp(&self, host: &str, port: u16) -> Option<HostAccess> {
        HostPattern::best(&self.tcp, host, port)
    }

    /// Whether this function of another plugin may be called.
    #[must_use]
    pub fn allows_function(&self, plugin: &PluginName, function: &FunctionName) -> bool {
        self.plugins.iter().any(|pattern| pattern.matches(plugin, function))
    }

    /// The requests in `self` beyond the grant, as sentences for people. Empty if the grant is sufficient.
    #[must_use]
    pub fn widens(&self, granted: &Self) -> Vec<String> {
        self.beyond(granted).describe()
    }

    /// The entries of `self` that no single entry of `granted` covers.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Self {
        let Self { files, environment, http, tcp, plugins } = self;
        Self {
            files: uncovered(files, &granted.files, FileGrant::covers),
            environment: uncovered(environment, &granted.environment, VariableName::eq),
            http: uncovered(http, &granted.http, HostPattern::covers),
            tcp: uncovered(tcp, &granted.tcp, HostPattern::covers),
            plugins: uncovered(plugins, &granted.plugins, FunctionPattern::covers),
        }
    }

    /// Each permission as a sentence that follows "this plugin asks to".
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let Self { files, environment, http, tcp, plugins } = self;
        let mut sentences: Vec<String> = files.iter().map(FileGrant::describe).collect();
        sentences.extend(environment.iter().map(VariableName::describe));
        sentences.extend(http.iter().map(|pattern| format!("send HTTP requests to {}", pattern.describe())));
        sentences.extend(tcp.iter().map(|pattern| format!("open TCP connections to {}", pattern.describe())));
        sentences.extend(plugins.iter().map(FunctionPattern::describe));
        sentences
    }
}

pub(crate) fn uncovered<T: Clone>(asked: &[T], granted: &[T], covers: impl Fn(&T, &T) -> bool) -> Vec<T> {
    asked.iter().filter(|entry| !granted.iter().any(|grant| covers(grant, entry))).cloned().collect()
}

/// Why an entry is not a permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    #[error("the path `{path}` is not absolute")]
    RelativePath { path: String },
    #[error("the path `{path}` has a `{part}` in it")]
    UnsafePath { path: String, part: &'static str },
    #[error("`{path}` requests write access to a single file; single files can only be read")]
    WriteToFile { path: String },
    #[error("`{path}` requests read access, but is inside `{folder}`, which requests write access")]
    NarrowerFile { path: String, folder: String },
    #[error("`{value}` is not the name of an environment variable")]
    Variable { value: String },
    #[error("`{value}` names no port")]
    NoPort { value: String },
    #[error("`{port}` in `{value}` is not a port")]
    Port { value: String, port: String },
    #[error("`{value}` is a URL; a permission names only a host and a port")]
    Url { value: String },
    #[error("`{host}` is not the name of a host: {reason}")]
    Host { host: String, reason: &'static str },
    #[error("`{value}` does not name functions of a plugin")]
    Function { value: String },
    #[error(transparent)]
    Name(#[from] NameError),
}

impl PermissionError {
    /// A hint: the correct form.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::RelativePath { .. } => "write an absolute path, for example `/etc/os-release`".to_owned(),
            Self::UnsafePath { .. } => {
                "write the path in its plain form, without `.`, `..`, `//` or control characters".to_owned()
            }
            Self::WriteToFile { path } => {
                format!("write `{path}/` if it is a folder; otherwise ask for the folder that the file is in")
            }
            Self::NarrowerFile { .. } => {
                "remove one of the two: write access to a folder includes everything in it".to_owned()
            }
            Self::Variable { .. } => {
                "use letters, digits and `_`, starting with no digit; there are no wildcards".to_owned()
            }
            Self::NoPort { value } => format!("write `{value}:443`, or `{value}:*` for every port"),
            Self::Port { .. } => "use a number from 1 to 65535, or `*` for every port".to_owned(),
            Self::Url { .. } => "write `host:port`, for example `api.example.org:443`".to_owned(),
            Self::Host { .. } => {
                "write a name (`api.example.org`), all names below one (`*.example.org`), an address, or `*`".to_owned()
            }
            Self::Function { .. } => "write `plugin.function`, or `plugin.*` for all of its functions".to_owned(),
            Self::Name(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests;
