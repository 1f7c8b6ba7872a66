//! A plugin's configuration, in order of precedence: the defaults of its manifest, the stored values, then the
//! overrides on the host. Validated as a whole, without ever quoting a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::path::PathBuf;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use outrigger_compute::in_place;
use outrigger_contract::excerpt::{cut, excerpt_of, excerpt_of_display};
use outrigger_contract::manifest::ConfigurationSchema;
use outrigger_contract::units::ByteSize;
use outrigger_contract::{Code, Manifest, PluginName, near};
use serde_json::{Map, Value};

use crate::engine::Inner;
use crate::error::Failure;
use crate::schema::{CompiledSchema, MOST_WORK};
use crate::vault::{self, Place, Vault};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The manifest.
    Default,
    /// An administrator set it.
    Stored,
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::Stored => f.write_str("the stored configuration"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the variable {name}"),
        }
    }
}

/// Values that go over those that are stored. They may hold secrets, so they are not shown.
#[derive(Clone, PartialEq)]
pub struct Layer {
    pub source: Source,
    pub values: Map<String, Value>,
}

impl Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, values } = self;
        f.debug_struct("Layer").field("source", source).field("keys", &values.keys()).finish()
    }
}

/// Values that a caller gives together with a package. They may be secrets, so they are not shown.
#[derive(Clone, Default, PartialEq)]
pub struct Given(pub Map<String, Value>);

impl Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Given").field(&self.0.keys()).finish()
    }
}

/// Finds what overrides the stored configuration of a plugin.
pub trait Overrides: Debug + Send + Sync {
    /// The layers, the weakest first. One that cannot be read says why in its place.
    fn layers(&self, plugin: &PluginName, schema: &ConfigurationSchema) -> Vec<Result<Layer, Failure>>;
}

/// Nothing is overridden.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoOverrides;

impl Overrides for NoOverrides {
    fn layers(&self, _: &PluginName, _: &ConfigurationSchema) -> Vec<Result<Layer, Failure>> {
        Vec::new()
    }
}

/// A plugin's configuration for display. Secrets are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigurationView {
    /// JSON Schema.
    pub schema: Value,
    /// The stored values.
    pub values: Map<String, Value>,
    /// The values that the plugin sees.
    pub effective: Map<String, Value>,
    /// Where each effective value comes from.
    pub sources: BTreeMap<String, Source>,
    /// 0 while nothing was ever stored.
    pub revision: u64,
    /// Why the plugin cannot be started with it, where that is so.
    pub problems: Vec<String>,
}

/// One key in which two configurations differ. Secrets are hidden.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub key: String,
    /// None where the key was added.
    pub before: Option<Value>,
    /// None where it was removed.
    pub after: Option<Value>,
}

/// The configuration as the plugin gets it, secrets opened.
pub(crate) fn resolve(
    inner: &Inner,
    manifest: &Manifest,
    stored: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    let schema = &manifest.configuration;
    let layers: Vec<Layer> = inner.overrides.layers(&manifest.name, schema).into_iter().collect::<Result<_, _>>()?;
    let mut values = schema.defaults();
    let mut sources = BTreeMap::new();
    for (key, value) in stored {
        // One that is overridden need not open.
        if !layers.iter().any(|layer| layer.values.contains_key(key)) {
            let value = vault::open(&*inner.vault, Place::Configuration { plugin: &manifest.name, key }, value)?;
            values.insert(key.clone(), value);
        }
    }
    for Layer { source, values: over } in layers {
        for (key, value) in over {
            if schema.get(&key).is_none() {
                let message = format!(
                    "{source} sets `{key}`, which is not a configuration key of the plugin `{}`",
                    manifest.name
                );
                let hint = match near::nearest(&key, keys(schema)) {
                    Some(candidate) => format!("did you mean `{candidate}`?"),
                    None => keys_hint(&manifest.name),
                };
                return Err(Failure::new(Code::InvalidConfiguration, message).with_hint(hint));
            }
            sources.insert(key.clone(), source.clone());
            values.insert(key, value);
        }
    }
    let hidden = |key: &str| is_hidden(manifest, key, stored);
    check(manifest, &values, &hidden, |key| sources.get(key), Whole::Yes)?;
    Ok(values)
}

/// Checks that a plugin which is to be installed or updated gets all required values. This is checked before it is
/// loaded, because `outrigger plugin config` works only on installed plugins: the values come with the package.
pub(crate) fn require(inner: &Inner, manifest: &Manifest, stored: &Map<String, Value>) -> Result<(), Failure> {
    let Manifest { name, configuration: schema, .. } = manifest;
    let Ok(layers) = inner.overrides.layers(name, schema).into_iter().collect::<Result<Vec<Layer>, _>>() else {
        // An unreadable value is reported when it is read.
        return Ok(());
    };
    let is_set = |key: &str| stored.contains_key(key) || layers.iter().any(|layer| layer.values.contains_key(key));
    let missing: Vec<_> = schema.required_keys().filter(|key| !is_set(key)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let keys = missing.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let settings = missing.iter().map(|key| format!("--set {key}=…")).collect::<Vec<_>>().join(" ");
    let message = format!("the configuration of `{name}` lacks required keys: {keys}");
    Err(Failure::new(Code::InvalidConfiguration, message)
        .with_hint(format!("set them with `outrigger plugin install … {settings}`, or in a file with `--config FILE`")))
}

/// The values to store when given values override present ones, sealed.
pub(crate) fn lay_over(
    vault: &dyn Vault,
    manifest: &Manifest,
    Given(given): &Given,
    present: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    // Values that are not given stay sealed, behind the mark that keeps them.
    let mut values = vault::hide(present, |_| false);
    values.extend(given.clone());
    seal(vault, manifest, values, present)
}

/// Maximum size of the stored values of a plugin, as JSON text with encrypted secrets.
const MOST_BYTES: u64 = 256 << 10;
/// Maximum length of the text of a configuration that a plugin returns. Characters can be escaped in it. As values, it
/// takes up to 40 times its length, which nothing counts.
pub(crate) const LONGEST_TEXT: usize = 1 << 20;

/// Checks that the values to store are not too large. They are kept as a revision, and read with the others.
pub(crate) fn check_size(plugin: &PluginName, values: &Map<String, Value>) -> Result<(), Failure> {
    let bytes = crate::cap::size_of(values);
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let (size, limit) = (ByteSize::bytes(bytes).rounded(), ByteSize::bytes(MOST_BYTES));
    let message = format!("the configuration of `{plugin}` would take {size}; the limit is {limit}");
    Err(Failure::new(Code::TooLarge, message).with_hint("store large values in a file that the plugin may read"))
}

/// The maximum number of reported faults of a configuration.
const MOST_FAULTS: usize = 50;
/// Maximum size of a reported fault, in bytes. It can quote the value.
const LONGEST_FAULT: usize = 300;

fn keys(schema: &ConfigurationSchema) -> impl Iterator<Item = &str> {
    schema.iter().map(|(key, _)| key)
}

fn keys_hint(plugin: &PluginName) -> String {
    format!("`outrigger plugin config {plugin}` shows the keys and their types")
}

fn compiled(plugin: &PluginName, schema: &Value) -> Result<CompiledSchema, Failure> {
    in_place(|| CompiledSchema::compile(schema)).map_err(|error| {
        Failure::new(Code::InvalidManifest, format!("the configuration schema of `{plugin}` is not valid: {error}"))
            .with_hint("a `pattern` must match in linear time: look-around and back-references are not supported")
    })
}

/// Whether all that is required has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    Yes,
    /// It may still come from elsewhere.
    No,
}

/// Checks values against the schema. For hidden values, only the violated rule is named.
pub(crate) fn check<'a>(
    manifest: &Manifest,
    values: &Map<String, Value>,
    hidden: &(dyn Fn(&str) -> bool + Sync),
    source: impl Fn(&str) -> Option<&'a Source>,
    whole: Whole,
) -> Result<(), Failure> {
    let plugin = &manifest.name;
    let document = Value::Object(values.clone());
    let schema = manifest.configuration.to_json_schema();
    let compiled = compiled(plugin, &schema)?;
    compiled.cost(&document, MOST_WORK).map_err(|error| {
        Failure::new(Code::InvalidConfiguration, format!("failed to validate the configuration of `{plugin}`: {error}"))
            .with_hint("set a shorter value, or ask the plugin's author to simplify `[configuration]`")
    })?;
    let mut faults = in_place(|| unknown_keys(&manifest.configuration, values));
    for error in in_place(|| compiled.validator.iter_errors(&document).take(MOST_FAULTS).collect::<Vec<_>>()) {
        let path = error.instance_path().as_str();
        let rule = error.schema_path().as_str().rsplit('/').next().unwrap_or_default().to_owned();
        let Some(inner) = path.strip_prefix('/') else {
            // Unknown keys are reported already.
            if rule != "additionalProperties" && (whole == Whole::Yes || rule != "required") {
                faults.push(excerpt_of_display(&error, LONGEST_FAULT));
            }
            continue;
        };
        let key = inner.split('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~");
        let from = source(&key).map(|source| format!(" (from {source})")).unwrap_or_default();
        let path = excerpt_of(path);
        faults.push(match hidden(&key) {
            true => format!("/{key}{from}: the secret {}", secret_fault(&rule)),
            false => format!("{path}{from}: {}", fault(&error, &schema)),
        });
    }
    if faults.is_empty() {
        return Ok(());
    }
    if faults.len() >= MOST_FAULTS {
        faults.truncate(MOST_FAULTS);
        faults.push("and more".to_owned());
    }
    let message = format!("invalid configuration of `{plugin}`: {}", faults.join("; "));
    Err(Failure::new(Code::InvalidConfiguration, message).with_hint(keys_hint(plugin)))
}

/// The keys that the schema does not have, one fault each. Their values are not shown, because they can be secrets that
/// were set for a mistyped key.
fn unknown_keys(schema: &ConfigurationSchema, values: &Map<String, Value>) -> Vec<String> {
    let known: Vec<_> = keys(schema).collect();
    let unknown = values.keys().filter(|key| schema.get(key).is_none()).take(MOST_FAULTS);
    unknown.map(|key| near::unknown("configuration key", key, known.iter().copied())).collect()
}

/// Describes what is wrong with a part of a value.
fn fault(error: &ValidationError<'_>, schema: &Value) -> String {
    let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
        return excerpt_of_display(error, LONGEST_FAULT);
    };
    let object = error.schema_path().as_str().strip_suffix("/additionalProperties");
    let properties = object.and_then(|object| schema.pointer(object)?.get("properties")?.as_object());
    let known: Vec<_> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
    // The next attempt names the next one.
    let name = unexpected.first().map_or("", String::as_str);
    cut(near::unknown("property", name, known.into_iter()), LONGEST_FAULT)
}

/// Describes a secret that breaks a rule of its schema, without showing the secret.
fn secret_fault(rule: &str) -> String {
    match rule {
        "minLength" => "is too short for its `minLength`".to_owned(),
        "maxLength" => "is too long for its `maxLength`".to_owned(),
        "pattern" => "does not match its `pattern`".to_owned(),
        rule => format!("does not satisfy its `{rule}`"),
    }
}

/// The values to store for values that a caller sent: secrets sealed, hidden ones kept unchanged.
pub(crate) fn seal(
    vault: &dyn Vault,
    manifest: &Manifest,
    values: Map<String, Value>,
    present: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    let plugin = &manifest.name;
    let refused = |message: String| Failure::new(Code::InvalidConfiguration, message);
    let mut sealed = Map::new();
    for (key, value) in values {
        let place = Place::Configuration { plugin, key: &key };
        let kept = present.get(&key);
        let secret = is_secret(manifest, &key);
        let value = match value {
            value if vault::is_sealed(&value) => {
                return Err(refused(format!(
                    "`{key}` is already encrypted; send secrets as plain text, Outrigger encrypts them"
                )));
            }
            value if vault::is_marker(&value) && (secret || kept.is_some_and(vault::is_sealed)) => match kept {
                Some(kept) if vault::is_sealed(kept) => kept.clone(),
                Some(kept) => vault::seal(vault, place, kept)?,
                None => return Err(refused(format!("the secret `{key}` cannot be kept, because it is not set"))),
            },
            value if secret => match kept {
                // The same secret again is no change.
                Some(kept)
                    if vault::open(vault, place, kept).is_ok_and(|opened| opened == value)
                        && vault::is_sealed(kept) =>
                {
                    kept.clone()
                }
                _ => vault::seal(vault, place, &value)?,
            },
            value => value,
        };
        sealed.insert(key, value);
    }
    Ok(sealed)
}

/// The values to store for a configuration that a plugin migrated: secrets sealed. Values that were secret stay secret:
/// at their key, and as a text wherever the plugin moved them.
pub(crate) fn seal_migrated(
    vault: &dyn Vault,
    manifest: &Manifest,
    values: Map<String, Value>,
    present: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    let plugin = &manifest.name;
    let secrets: Map<String, Value> = present
        .iter()
        .filter(|(_, value)| vault::is_sealed(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let opened = open(vault, plugin, &secrets)?;
    let mut sealed = seal(vault, manifest, values, present)?;
    for (key, value) in &mut sealed {
        let moved =
            || value.as_str().is_some_and(|text| !text.is_empty()) && opened.values().any(|secret| secret == value);
        if vault::is_sealed(value) || !(opened.contains_key(key) || moved()) {
            continue;
        }
        *value = match opened.get(key) == Some(&*value) {
            true => secrets[key].clone(),
            false => vault::seal(vault, Place::Configuration { plugin, key }, value)?,
        };
    }
    Ok(sealed)
}

/// Opens sealed values.
pub(crate) fn open(
    vault: &dyn Vault,
    plugin: &PluginName,
    values: &Map<String, Value>,
) -> Result<Map<String, Value>, Failure> {
    let opened = values
        .iter()
        .map(|(key, value)| Ok((key.clone(), vault::open(vault, Place::Configuration { plugin, key }, value)?)));
    opened.collect()
}

pub(crate) fn is_secret(manifest: &Manifest, key: &str) -> bool {
    manifest.configuration.get(key).is_some_and(|property| property.secret)
}

/// Whether a value is to be hidden: it is a secret, or it was one when it was stored.
pub(crate) fn is_hidden(manifest: &Manifest, key: &str, stored: &Map<String, Value>) -> bool {
    is_secret(manifest, key) || stored.get(key).is_some_and(vault::is_sealed)
}

/// The values with secrets hidden.
pub(crate) fn hide(manifest: &Manifest, values: &Map<String, Value>) -> Map<String, Value> {
    vault::hide(values, |key| is_secret(manifest, key))
}

/// The configuration for display. It need not be valid, and sealed values need not open.
pub(crate) fn view(
    inner: &Inner,
    manifest: &Manifest,
    stored: &Map<String, Value>,
    revision: u64,
) -> ConfigurationView {
    let schema = &manifest.configuration;
    let mut effective = hide(manifest, &schema.defaults());
    let mut sources: BTreeMap<_, _> = effective.keys().map(|key| (key.clone(), Source::Default)).collect();
    let mut put = |source: &Source, values: Map<String, Value>| {
        for (key, value) in values {
            sources.insert(key.clone(), source.clone());
            effective.insert(key, value);
        }
    };
    let values = hide(manifest, stored);
    put(&Source::Stored, values.clone());
    for layer in inner.overrides.layers(&manifest.name, schema).into_iter().flatten() {
        put(&layer.source, hide(manifest, &layer.values));
    }
    let problems = resolve(inner, manifest, stored).err().map(|failure| failure.message).into_iter().collect();
    ConfigurationView { schema: schema.to_json_schema(), values, effective, sources, revision, problems }
}

/// Key by key, in order. Secrets are compared by what is in them, where that can be opened. Those of `former` are hidden in
/// what was before, too: they lead to secrets that have another name now.
pub(crate) fn differences(
    vault: &dyn Vault,
    manifest: &Manifest,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    former: &BTreeSet<String>,
) -> Vec<Difference> {
    let same = |key: &str, left: &Value, right: &Value| {
        let opened = |value| vault::open(vault, Place::Configuration { plugin: &manifest.name, key }, value);
        left == right
            || (vault::is_sealed(left) || vault::is_sealed(right))
                && matches!((opened(left), opened(right)), (Ok(left), Ok(right)) if left == right)
    };
    let mut keys: Vec<_> = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))).collect();
    keys.sort();
    let hidden_before = vault::hide(before, |key| is_secret(manifest, key) || former.contains(key));
    let hidden_after = hide(manifest, after);
    keys.into_iter()
        .filter(|key| match (before.get(*key), after.get(*key)) {
            (Some(left), Some(right)) => !same(key, left, right),
            _ => true,
        })
        .map(|key| Difference {
            key: key.clone(),
            before: hidden_before.get(key).cloned(),
            after: hidden_after.get(key).cloned(),
        })
        .collect()
}
