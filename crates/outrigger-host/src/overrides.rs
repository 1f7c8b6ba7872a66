//! What overrides the stored configuration of a plugin where the host runs: files, the general ones before those of the
//! profile, and environment variables over them.
//!
//! ```text
//! config/<plugin>.{yaml,toml,json}              in the data directory
//! config/<profile>/<plugin>.{yaml,toml,json}    where OUTRIGGER_PROFILE names the profile
//! OUTRIGGER_CONFIG__<PLUGIN>__<KEY>             one value
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use outrigger_contract::manifest::{ConfigurationSchema, Property, PropertyKind};
use outrigger_contract::{Code, PluginName};
use outrigger_engine::configuration::{Layer, Overrides, Source};
use outrigger_engine::{Engine, Failure};
use serde_json::{Map, Value};

use crate::environment;

/// Files and environment variables.
pub(crate) struct HostOverrides {
    /// The weakest first.
    folders: Vec<PathBuf>,
    /// Those that begin as ours do. They may hold secrets.
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for HostOverrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folders, variables } = self;
        f.debug_struct("HostOverrides").field("folders", folders).field("variables", &variables.keys()).finish()
    }
}

impl HostOverrides {
    /// For this folder, with the profile and the variables of this process.
    pub(crate) fn from_environment(folder: &Path) -> Self {
        let profile = environment::text(environment::PROFILE);
        Self::new(folder, profile.as_deref(), environment::configuration())
    }

    fn new(folder: &Path, profile: Option<&str>, variables: BTreeMap<String, String>) -> Self {
        let mut folders = vec![folder.to_owned()];
        folders.extend(profile.map(|profile| folder.join(profile)));
        Self { folders, variables }
    }

    /// How many variables there are.
    pub(crate) fn variables(&self) -> usize {
        self.variables.len()
    }

    /// The variables that set nothing, each with the reason. Nobody would be told otherwise: to a plugin, a key that is
    /// misspelt is not there.
    pub(crate) async fn idle(&self, engine: &Engine) -> Vec<String> {
        if self.variables.is_empty() {
            return Vec::new();
        }
        let mut plugins = Vec::new();
        for (record, _) in engine.plugins() {
            // One that cannot be read is told of elsewhere, and what is set for it is not called wrong.
            let revision = engine.revision(&record.active).await.ok();
            let keys = revision
                .map(|revision| revision.manifest.configuration.iter().map(|(key, _)| key.to_owned()).collect());
            plugins.push((record.name, keys));
        }
        self.variables.keys().filter_map(|name| idle(name, &plugins)).collect()
    }

    fn file(folder: &Path, plugin: &PluginName) -> Result<Option<Layer>, Failure> {
        let mut found: Option<(PathBuf, String)> = None;
        for extension in EXTENSIONS {
            let path = folder.join(format!("{plugin}.{extension}"));
            match std::fs::read_to_string(&path) {
                Ok(text) => match &found {
                    None => found = Some((path, text)),
                    Some((other, _)) => {
                        let message = format!("{} and {} are both there", other.display(), path.display());
                        return Err(invalid(message).with_hint("keep one of them"));
                    }
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Failure::new(Code::Io, format!("the file {} cannot be read: {error}", path.display())));
                }
            }
        }
        let Some((path, text)) = found else { return Ok(None) };
        let values = parse(&path, &text)?;
        Ok(Some(Layer { source: Source::File(path), values }))
    }

    fn variable(&self, plugin: &PluginName, key: &str, property: &Property) -> Option<Layer> {
        let name = variable_name(plugin, key);
        let text = self.variables.get(&name)?;
        let value = match property.kind {
            PropertyKind::String => Value::from(text.as_str()),
            // What is not JSON does not fit, which the check says without quoting a secret.
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
        };
        let values = Map::from_iter([(key.to_owned(), value)]);
        Some(Layer { source: Source::Environment(name), values })
    }

    /// The variables for a plugin that name no key of it, or more than one.
    fn stray(&self, plugin: &PluginName, schema: &ConfigurationSchema) -> Vec<Failure> {
        let mut keys: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (key, _) in schema.iter() {
            keys.entry(variable_name(plugin, key)).or_default().push(key);
        }
        let ambiguous = keys.into_iter().filter(|(name, keys)| keys.len() > 1 && self.variables.contains_key(name));
        let ambiguous = ambiguous.map(|(name, keys)| {
            invalid(format!(
                "the variable {name} could set {}",
                keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" or ")
            ))
            .with_hint("set them in a file or with `outrigger plugin config` instead")
        });
        ambiguous.collect()
    }
}

impl Overrides for HostOverrides {
    fn layers(&self, plugin: &PluginName, schema: &ConfigurationSchema) -> Vec<Result<Layer, Failure>> {
        let files = self.folders.iter().filter_map(|folder| Self::file(folder, plugin).transpose());
        let variables = schema.iter().filter_map(|(key, property)| self.variable(plugin, key, property).map(Ok));
        files.chain(variables).chain(self.stray(plugin, schema).into_iter().map(Err)).collect()
    }
}

/// Why a variable sets nothing of these plugins, where that is so. Of a plugin without a list of keys, none is known.
fn idle(name: &str, plugins: &[(PluginName, Option<Vec<String>>)]) -> Option<String> {
    let mut of_plugin: Option<(&PluginName, &[String])> = None;
    for (plugin, keys) in plugins {
        if !name.starts_with(&variable_name(plugin, "")) {
            continue;
        }
        let keys = keys.as_deref()?;
        if keys.iter().any(|key| variable_name(plugin, key) == name) {
            return None;
        }
        of_plugin = of_plugin.or(Some((plugin, keys)));
    }
    Some(match of_plugin {
        None => format!("{name} is for a plugin that is not installed"),
        Some((plugin, [])) => format!("{name} is for the plugin `{plugin}`, which has nothing to configure"),
        Some((plugin, keys)) => {
            let names: Vec<_> = keys.iter().map(|key| variable_name(plugin, key)).collect();
            format!("{name} names no key of the plugin `{plugin}`; there are {}", names.join(", "))
        }
    })
}

const EXTENSIONS: [&str; 3] = ["yaml", "toml", "json"];

/// The variable that sets a key of a plugin.
fn variable_name(plugin: &PluginName, key: &str) -> String {
    let part = |text: &str| text.to_uppercase().replace(['-', '.'], "_");
    format!("{}{}__{}", environment::CONFIG_PREFIX, part(plugin.as_str()), part(key))
}

/// What stands in a configuration file. Errors name the place and quote nothing, because it may hold secrets.
fn parse(path: &Path, text: &str) -> Result<Map<String, Value>, Failure> {
    let at = |line: usize, column: usize| format!(" (line {line}, column {column})");
    let parsed: Result<Value, String> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            at(before.matches('\n').count() + 1, column)
        }),
        Some("json") => serde_json::from_str(text).map_err(|error| at(error.line(), error.column())),
        _ => serde_saphyr::from_str(text).map_err(|error| {
            error.location().map(|place| at(place.line() as usize, place.column() as usize)).unwrap_or_default()
        }),
    };
    match parsed {
        Ok(Value::Object(values)) => Ok(values),
        // An empty YAML file sets nothing.
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(invalid(format!("the file {} is no table of keys and values", path.display()))),
        Err(place) => {
            let kind = path.extension().map(|kind| kind.to_string_lossy().to_uppercase()).unwrap_or_default();
            Err(invalid(format!("the file {} is not {kind} that can be read{place}", path.display())))
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidConfiguration, message)
}

#[cfg(test)]
mod tests;
