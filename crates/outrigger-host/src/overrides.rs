//! What overrides the stored configuration of a plugin where the host runs: files, the general ones before those of the
//! profile, and environment variables over them.
//!
//! ```text
//! config/<plugin>.{yaml,yml,toml,json}              in the data directory
//! config/<profile>/<plugin>.{yaml,yml,toml,json}    where OUTRIGGER_PROFILE names the profile
//! OUTRIGGER_CONFIG__<PLUGIN>__<KEY>                 one value
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use outrigger_contract::manifest::{ConfigurationSchema, Property, PropertyKind};
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, PluginName};
use outrigger_engine::configuration::{Layer, Overrides, Source};
use outrigger_engine::{Engine, Failure};
use outrigger_registry::file::{self, Links};
use serde_json::{Map, Value};

use crate::{environment, yaml};

/// Files and environment variables.
pub(crate) struct HostOverrides {
    /// The weakest first.
    folders: Vec<PathBuf>,
    /// Those that begin as ours do. They may hold secrets.
    variables: BTreeMap<String, String>,
    /// Names the plugins that are installed, once somebody can tell.
    installed: OnceLock<Box<dyn Fn() -> BTreeSet<PluginName> + Send + Sync>>,
}

impl std::fmt::Debug for HostOverrides {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folders, variables, installed: _ } = self;
        let names = variables.keys();
        f.debug_struct("HostOverrides").field("folders", folders).field("variables", &names).finish_non_exhaustive()
    }
}

/// The files in the configuration folders.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// How many set something.
    pub(crate) used: usize,
    /// Those that set nothing, each with the reason.
    pub(crate) idle: Vec<String>,
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
        Self { folders, variables, installed: OnceLock::new() }
    }

    /// Has it know whose names a variable fits, so that one is not taken for a plugin that was meant for another.
    pub(crate) fn know(&self, installed: impl Fn() -> BTreeSet<PluginName> + Send + Sync + 'static) {
        self.installed.get_or_init(|| Box::new(installed));
    }

    /// How many variables there are.
    pub(crate) fn variables(&self) -> usize {
        self.variables.len()
    }

    /// The variables that set nothing, and those of which nobody can say what they set, each with the reason. Nobody would be
    /// told otherwise: to a plugin, a key that is misspelt is not there.
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

    /// The files that set something, and those that do not. Those of all profiles are looked at: what is wrong in another one
    /// would be found out when it is needed.
    pub(crate) fn files(&self, installed: &BTreeSet<PluginName>) -> Files {
        let mut files = Files::default();
        let Some((general, of_profile)) = self.folders.split_first() else { return files };
        for missing in of_profile.iter().filter(|folder| !folder.is_dir()) {
            let message = format!("the folder {} of the profile does not exist", missing.display());
            files.idle.push(message);
        }
        let mut folders: BTreeSet<PathBuf> = inside(general).into_iter().filter(|path| path.is_dir()).collect();
        folders.extend(self.folders.iter().cloned());
        for path in folders.iter().flat_map(|folder| inside(folder)).filter(|path| path.is_file()) {
            match idle_file(&path, installed) {
                Some(why) => files.idle.push(why),
                None if is_configuration(&path) => files.used += 1,
                None => {}
            }
        }
        files
    }

    fn file(folder: &Path, plugin: &PluginName) -> Result<Option<Layer>, Failure> {
        let mut found: Option<(PathBuf, String)> = None;
        for extension in EXTENSIONS {
            let path = folder.join(format!("{plugin}.{extension}"));
            match file::read_text(&path, Links::Follow, LONGEST) {
                Ok(text) => match &found {
                    None => found = Some((path, text)),
                    Some((other, _)) => {
                        let message = format!("both {} and {} exist", other.display(), path.display());
                        return Err(invalid(message).with_hint("keep one of them"));
                    }
                },
                Err(error) if error.is_not_found() => {}
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
            // Invalid JSON is kept as text; the validation then refuses it without quoting a secret.
            _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str())),
        };
        let values = Map::from_iter([(key.to_owned(), value)]);
        Some(Layer { source: Source::Environment(name), values })
    }

    /// The variables of which nobody can say which key of the plugin they set, or whether they are meant for this plugin.
    fn ambiguous(&self, plugin: &PluginName, schema: &ConfigurationSchema) -> Vec<Failure> {
        let mut keys: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (key, _) in schema.iter() {
            keys.entry(variable_name(plugin, key)).or_default().push(key);
        }
        keys.retain(|name, _| self.variables.contains_key(name));
        // Most often there is none, and nobody need be asked for the others.
        let alike = if keys.is_empty() { BTreeSet::new() } else { self.alike(plugin) };
        let told = keys.into_iter().filter_map(|(name, keys)| match (alike.len() > 1, keys.len() > 1) {
            (true, _) => {
                Some(invalid(format!("the variable {name} could be for {}", either(&alike))).with_hint(CANNOT_TELL))
            }
            (false, true) => {
                let message = format!("the variable {name} could set {}", either(&keys));
                Some(invalid(message).with_hint("set them in a file or with `outrigger plugin config` instead"))
            }
            (false, false) => None,
        });
        told.collect()
    }

    /// This plugin, and those installed that variables cannot tell from it.
    fn alike(&self, plugin: &PluginName) -> BTreeSet<PluginName> {
        let installed = self.installed.get().map(|installed| installed()).unwrap_or_default();
        let alike = installed.into_iter().filter(|other| part(other.as_str()) == part(plugin.as_str()));
        alike.chain([plugin.clone()]).collect()
    }
}

impl Overrides for HostOverrides {
    fn layers(&self, plugin: &PluginName, schema: &ConfigurationSchema) -> Vec<Result<Layer, Failure>> {
        let files = self.folders.iter().filter_map(|folder| Self::file(folder, plugin).transpose());
        let variables = schema.iter().filter_map(|(key, property)| self.variable(plugin, key, property).map(Ok));
        files.chain(variables).chain(self.ambiguous(plugin, schema).into_iter().map(Err)).collect()
    }
}

/// Why a variable sets nothing of these plugins, or may not, where that is so. Of a plugin without a list of keys, none is
/// known.
fn idle(name: &str, plugins: &[(PluginName, Option<Vec<String>>)]) -> Option<String> {
    let mut of_plugin: Option<(&PluginName, &[String])> = None;
    let mut set: Option<&PluginName> = None;
    for (plugin, keys) in plugins {
        if !name.starts_with(&variable_name(plugin, "")) {
            continue;
        }
        let keys = keys.as_deref()?;
        if keys.iter().any(|key| variable_name(plugin, key) == name) {
            set = set.or(Some(plugin));
        }
        of_plugin = of_plugin.or(Some((plugin, keys)));
    }
    if let Some(set) = set {
        let alike: Vec<_> = plugins
            .iter()
            .map(|(plugin, _)| plugin)
            .filter(|other| part(other.as_str()) == part(set.as_str()))
            .collect();
        return (alike.len() > 1).then(|| format!("{name} could be for {}: {CANNOT_TELL}", either(alike)));
    }
    Some(match of_plugin {
        None => format!("{name} is for a plugin that is not installed"),
        Some((plugin, [])) => format!("{name} is for the plugin `{plugin}`, which has no configuration"),
        Some((plugin, keys)) => {
            let names: Vec<_> = keys.iter().map(|key| variable_name(plugin, key)).collect();
            format!("{name} names no key of the plugin `{plugin}`; there are {}", names.join(", "))
        }
    })
}

/// Maximum size of a configuration file.
const LONGEST: ByteSize = ByteSize::mib(4);

const EXTENSIONS: [&str; 4] = ["yaml", "yml", "toml", "json"];

/// A hint for plugins with similar names.
const CANNOT_TELL: &str =
    "a variable cannot tell `-` from `_`; unset it, and set the key in a file or with `outrigger plugin config`";

/// Whether a file is one that sets something, by its name.
pub(crate) fn is_configuration(path: &Path) -> bool {
    path.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
}

/// Why a file sets nothing of these plugins, where that is so. Others may lie there that are not meant to.
fn idle_file(path: &Path, installed: &BTreeSet<PluginName>) -> Option<String> {
    let is_installed = |name: &str| name.parse::<PluginName>().is_ok_and(|name| installed.contains(&name));
    let name = path.file_name()?.to_str()?;
    if !is_configuration(path) {
        let (plugin, _) = name.split_once('.').unwrap_or((name, ""));
        let ends = "those that are end with .yaml, .yml, .toml or .json";
        return is_installed(plugin).then(|| format!("{} is not read: {ends}", path.display()));
    }
    let plugin = path.file_stem()?.to_str()?;
    (!is_installed(plugin)).then(|| format!("{} is for a plugin that is not installed", path.display()))
}

/// The entries of a folder, sorted, without hidden ones; none if it cannot be read, which shows when a plugin is
/// configured.
fn inside(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")).map(|entry| entry.path()).collect()
}

/// A part of a variable's name.
fn part(text: &str) -> String {
    text.to_uppercase().replace(['-', '.'], "_")
}

/// The variable that sets a key of a plugin.
fn variable_name(plugin: &PluginName, key: &str) -> String {
    format!("{}{}__{}", environment::CONFIG_PREFIX, part(plugin.as_str()), part(key))
}

fn either<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
}

/// Reads a configuration file. Errors name the place and quote nothing, because the file may contain secrets.
fn parse(path: &Path, text: &str) -> Result<Map<String, Value>, Failure> {
    let at = |line: usize, column: usize| format!(" (line {line}, column {column})");
    let parsed: Result<Value, String> = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            at(before.matches('\n').count() + 1, column)
        }),
        Some("json") => serde_json::from_str(text).map_err(|error| at(error.line(), error.column())),
        _ => yaml::from_str(text).map_err(|error| {
            error.location().map(|place| at(place.line() as usize, place.column() as usize)).unwrap_or_default()
        }),
    };
    match parsed {
        Ok(Value::Object(values)) => Ok(values),
        // An empty YAML file sets nothing.
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(invalid(format!("the file {} is not a table of keys and values", path.display()))),
        Err(place) => {
            let kind = path.extension().map(|kind| kind.to_string_lossy().to_uppercase()).unwrap_or_default();
            let kind = if kind == "YML" { "YAML" } else { &kind };
            Err(invalid(format!("the file {} is not valid {kind}{place}", path.display())))
        }
    }
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::InvalidConfiguration, message)
}

#[cfg(test)]
mod tests;
