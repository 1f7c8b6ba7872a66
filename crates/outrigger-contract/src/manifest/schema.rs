//! The JSON Schema of `plugin.toml`, published for editors. It is written beside the reader, not derived from types,
//! because its descriptions speak to the author of a plugin; a test holds its keys to those of the reader.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use semver::Version;
use serde_json::{Map, Value, json};

use super::{
    Category, HealthPolicy, InstancePolicy, LONGEST_STATE_KEY, Limits, PackagePath, Property, RestartPolicy, Retry,
};
use crate::hook::{DEFAULT_PRIORITY, DEFAULT_TIMEOUT, HookKind, HookName, OnError, PRIORITIES};
use crate::name::{FunctionName, PluginName};
use crate::permission::Permissions;
use crate::units::{ByteSize, Rate, Span};

/// Names the published schema. A name and no address: it is read from where it lies.
const ID: &str = "urn:outrigger:plugin-manifest:1";

/// A JSON Schema (2020-12) of the manifest, with descriptions and examples.
#[must_use]
pub fn json_schema() -> Value {
    let mut defs = Defs(SchemaSettings::draft2020_12().into_generator());
    let mut root = table(
        "The manifest of a plugin: the file `plugin.toml` at the root of its package.",
        json!({
            "name": defs.of::<PluginName>("The name of the plugin."),
            "version": defs.of::<Version>("The version, as in semver.org."),
            "title": text("The name for people.", 100, json!(["Hetzner Cloud"])),
            "description": text("A description of its purpose.", 4_000, json!(["Detects Hetzner Cloud and tunes hosts \
             for it."])),
            "authors": set("The authors, each as `Name <address>`.", &json!({ "type": "string", "minLength": 1 })),
            "license": text("An SPDX expression.", 200, json!(["Apache-2.0", "MIT OR Apache-2.0"])),
            "homepage": {
                "description": "Where to read more.",
                "type": "string", "format": "uri", "pattern": "^https?://", "examples": ["https://example.org"],
            },
            "keywords": set("Search keywords.", &json!({ "type": "string", "minLength": 1, "maxLength": 64 })),
            "categories": set("The categories of the plugin.", &defs.of::<Category>("")),
            "runtime": runtime(&mut defs),
            "functions": functions(&mut defs),
            "configuration": {
                "description": "The configuration keys that an administrator can set.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$" },
                "additionalProperties": { "$ref": "#/$defs/Property" },
                "examples": [{ "api-key": { "type": "string", "required": true, "secret": true } }],
            },
            "permissions": defs.of::<Permissions>("The permissions that the plugin requests. They are granted only \
             when an administrator approves them."),
            "dependencies": dependencies(),
            "hooks": hooks(&mut defs),
            "subscriptions": subscriptions(&mut defs),
            "migrations": migrations(),
            "limits": limits(&mut defs),
            "health": health(&mut defs),
        }),
        &["name", "version", "title", "description", "runtime"],
    );
    let mut definitions = defs.0.take_definitions(true);
    definitions.insert("Property".to_owned(), property());
    if let Some(version) = definitions.get_mut("SemVer") {
        version["description"] = json!("`MAJOR.MINOR.PATCH`, with a pre-release or build where it is one.");
        version["examples"] = json!(["1.2.0", "2.0.0-rc.1"]);
    }
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$id", json!(ID)),
        ("title", json!("Outrigger plugin manifest")),
    ];
    let mut schema: Map<String, Value> = head.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
    schema.append(&mut root);
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

/// The schemas of the types that write their own.
struct Defs(SchemaGenerator);

impl Defs {
    fn of<T: JsonSchema>(&mut self, description: &str) -> Value {
        let mut schema = self.0.subschema_for::<T>();
        if !description.is_empty() {
            schema.insert("description".to_owned(), json!(description));
        }
        schema.to_value()
    }

    fn with_default<T: JsonSchema>(&mut self, description: &str, default: &Value) -> Value {
        let mut schema = self.of::<T>(description);
        schema["default"] = default.clone();
        schema
    }
}

fn table(description: &str, properties: Value, required: &[&str]) -> Map<String, Value> {
    let pairs = [
        ("description", json!(description)),
        ("type", json!("object")),
        ("properties", properties),
        ("required", json!(required)),
        ("additionalProperties", json!(false)),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}

#[expect(clippy::needless_pass_by_value, reason = "a literal reads better without a reference in front")]
fn text(description: &str, max: u32, examples: Value) -> Value {
    json!({ "description": description, "type": "string", "minLength": 1, "maxLength": max, "examples": examples })
}

fn set(description: &str, items: &Value) -> Value {
    json!({ "description": description, "type": "array", "items": items, "uniqueItems": true })
}

fn count(description: &str, max: u32) -> Value {
    json!({ "description": description, "type": "integer", "minimum": 1, "maximum": max })
}

fn flag(description: &str) -> Value {
    json!({ "description": description, "type": "boolean", "default": false })
}

fn runtime(defs: &mut Defs) -> Value {
    let warm = table(
        "Instances are kept and reused, which is faster. Memory contents of one call are visible to the next.",
        json!({
            "max-instances": count("Instances kept at most. Default: 4; more need approval.", InstancePolicy::MAX_INSTANCES),
            "max-calls": count("Calls after which an instance is replaced. Default: 1000.", InstancePolicy::MAX_CALLS),
        }),
        &[],
    );
    let policy = table("Which instances are kept.", json!({ "warm": warm }), &["warm"]);
    let runtime = table(
        "How the plugin runs.",
        json!({
            "kind": {
                "description": "The runtime of the entry. This version supports WebAssembly components.",
                "const": "wasm",
            },
            "entry": defs.of::<PackagePath>("The file that is run: a path inside the package."),
            "instances": {
                "description": "How long an instance lives: `fresh`, a new one for each call, or `warm`, used again.",
                "default": "fresh",
                "examples": ["fresh", { "warm": { "max-instances": 4, "max-calls": 1000 } }],
                "anyOf": [{ "enum": ["fresh", "warm"] }, policy],
            },
        }),
        &["kind", "entry"],
    );
    Value::Object(runtime)
}

fn functions(defs: &mut Defs) -> Value {
    let mut retry = table(
        "How a failed call is tried again. Only for idempotent functions.",
        json!({
            "attempts": count("All attempts, the first one included.", Retry::MAX_ATTEMPTS),
            "backoff": defs.with_default::<Span>(
                "The time before the second attempt; it doubles with each further one.",
                &json!(Retry::DEFAULT_BACKOFF),
            ),
        }),
        &["attempts"],
    );
    retry.insert("examples".to_owned(), json!([{ "attempts": 3, "backoff": "200ms" }]));
    let function = table(
        "Settings of one function, all optional.",
        json!({
            "title": text("The name for people.", 100, json!(["Optimise the network"])),
            "description": text("Replaces the documentation that the types carry.", 4_000, json!(["Tunes the network."])),
            "tags": set("Search keywords.", &json!({ "type": "string", "minLength": 1, "maxLength": 64 })),
            "cache": defs.of::<Span>(
                "How long a result may be used again. Only for read-only functions. Results of more than 1 MiB, and \
                 results for more than 64 KiB of arguments, are not kept.",
            ),
            "rate-limit": defs.of::<Rate>("How many calls are allowed in how much time."),
            "timeout": defs.of::<Span>("Wall clock per call. Default: the plugin's limit."),
            "concurrency": count("Calls of this function at once. Default: the plugin's limit.", Limits::MAX_CONCURRENCY),
            "retry": retry,
            "read-only": flag("It changes nothing outside itself."),
            "destructive": {
                "description": "It may delete or overwrite something. Expected of any function that does not say.",
                "type": "boolean",
            },
            "idempotent": flag("A second call with equal arguments changes nothing more. Implied by `read-only`."),
            "requires-auth": flag("Only authenticated callers can call the function; hooks that Outrigger fires by \
             itself cannot."),
            "requires-admin": flag("Only for callers with the right `function_administer`: of the built-in roles, `admin` and `operator` have it."),
            "estimated-time": defs.of::<Span>("How long a call usually takes, for people."),
        }),
        &[],
    );
    json!({
        "description": "Settings of single functions. A function that is not listed uses the defaults.",
        "type": "object",
        "propertyNames": defs.of::<FunctionName>(""),
        "additionalProperties": function,
        "examples": [{ "quote": { "read-only": true, "cache": "5m" } }],
    })
}

fn dependencies() -> Value {
    let version = json!({
        "description": "A version requirement.",
        "type": "string",
        "minLength": 1,
        "examples": ["^1.2", ">=1.2, <3", "*"],
    });
    let table = table(
        "A version requirement, and whether the plugin works without it.",
        json!({ "version": version, "optional": flag("The plugin works without it.") }),
        &["version"],
    );
    json!({
        "description": "Other plugins that this one needs or can use.",
        "type": "object",
        "propertyNames": { "pattern": "^[a-z][a-z0-9_-]{0,63}$" },
        "additionalProperties": { "anyOf": [version, table] },
        "examples": [{ "pricing": "^1.2", "team-directory": { "version": "^1", "optional": true } }],
    })
}

fn hooks(defs: &mut Defs) -> Value {
    let hook = table(
        "A hook of the plugin. Other plugins subscribe to it; the plugin fires it (`outrigger:plugin/hooks`), or a \
         key over the API.",
        json!({
            "kind": defs.of::<HookKind>("The kind of the hook."),
            "description": text("When the hook is fired, and its payload.", 4_000, json!(["A customer was created."])),
            "payload": {
                "description": "The payload: an object with exactly these members. Payloads are validated against it, \
                 and subscribers must accept it. Without it, the payload can be any JSON.",
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$" },
                "additionalProperties": { "$ref": "#/$defs/Property" },
                "examples": [{ "name": { "type": "string", "required": true }, "country": { "type": "string" } }],
            },
        }),
        &["kind", "description"],
    );
    json!({
        "description": "The plugin's own hooks, by name.",
        "type": "object",
        "propertyNames": defs.of::<HookName>(""),
        "additionalProperties": hook,
        "examples": [{ "customer.created": { "kind": "event", "description": "A customer was created." } }],
    })
}

fn subscriptions(defs: &mut Defs) -> Value {
    let subscription = table(
        "A function of the plugin's own that is called when a hook is fired.",
        json!({
            "hook": defs.of::<HookName>("The hook."),
            "function": defs.of::<FunctionName>("The function. It has one parameter, which receives the payload: a \
             `string` as JSON text, any other type as a value."),
            "priority": {
                "description": "Lower numbers are called first; among equal numbers, earlier subscriptions first.",
                "type": "integer",
                "minimum": PRIORITIES.start(), "maximum": PRIORITIES.end(), "default": DEFAULT_PRIORITY,
                "examples": [50],
            },
            "condition": text(
                "A CEL expression; where it is false, the function is not called. It sees `event`, `hook`, `caller` \
                 and `origin`.",
                1_000,
                json!(["event.country == 'NO'"]),
            ),
            "on-error": defs.with_default::<OnError>("The policy for failures of the function.", &json!(OnError::FailOpen)),
            "timeout": defs.with_default::<Span>("How long one call may take, at most `60s`.", &json!(DEFAULT_TIMEOUT)),
            "description": text("A description of what the function does.", 4_000, json!(["Writes the customer to the \
             directory."])),
        }),
        &["hook", "function"],
    );
    json!({
        "description": "The plugin's functions that are called when a hook is fired. Subscriptions to hooks \
         of others need approval when the plugin is installed.",
        "type": "array",
        "items": subscription,
        "examples": [[{ "hook": "customer.created", "function": "note-customer" }]],
    })
}

fn migrations() -> Value {
    let key = || json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$" });
    let prefix = || json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_STATE_KEY });
    let renames = |description: &str, name: &dyn Fn() -> Value, example: Value| {
        json!({
            "description": description,
            "type": "object",
            "propertyNames": name(),
            "additionalProperties": name(),
            "examples": [example],
        })
    };
    let several = |description: &str, name: &dyn Fn() -> Value, example: &str| {
        let mut several = set(description, &name());
        several["examples"] = json!([[example]]);
        several
    };
    let step = table(
        "A step from older versions. It first removes keys, then renames keys, then sets new values.",
        json!({
            "from": text(
                "The installed versions that need this step; a pre-release counts as its release.",
                100,
                json!(["<2.0.0", ">=1.2, <3"]),
            ),
            "rename": renames("Old configuration keys and their new names.", &key, json!({ "region": "location" })),
            "remove": several("Keys of the configuration that are gone.", &key, "legacy-mode"),
            "set": {
                "description": "Configuration values to set, overriding any previous value.",
                "type": "object",
                "propertyNames": key(),
                "examples": [{ "retries": 3 }],
            },
            "rename-state": renames(
                "Old prefixes of state keys and their new prefixes.",
                &prefix,
                json!({ "user-": "users-" }),
            ),
            "remove-state": several("Prefixes of state keys to delete.", &prefix, "tmp/"),
        }),
        &["from"],
    );
    json!({
        "description": "Migrations of the configuration and state of an older version. Each step whose `from` matches \
         the installed version is applied, in this order; then the functions of `outrigger:plugin/migration`, if the \
         component exports them. A step for a higher version also allows replacing that version.",
        "type": "array",
        "items": step,
        "examples": [[{ "from": "<2.0.0", "rename": { "region": "location" } }]],
    })
}

fn limits(defs: &mut Defs) -> Value {
    let default = Limits::default();
    let (log_lines, concurrency) = (default.log_lines, default.concurrency.get());
    let limits = table(
        "Limits on each call. All of them are active, with these defaults. Higher limits need approval when the plugin \
         is installed, up to the operator's ceiling.",
        json!({
            "memory": defs.with_default::<ByteSize>("Linear memory of one instance, at most 4GiB.", &json!(default.memory)),
            "timeout": defs.with_default::<Span>("Wall clock of one call.", &json!(default.timeout)),
            "cpu": defs.of::<Span>("Time spent on computing in one call. Default and maximum: the longest timeout of the plugin and its functions. A caller can extend a timeout, but not this."),
            "output": defs.with_default::<ByteSize>("Size of one result.", &json!(default.output)),
            "concurrency": {
                "description": "Calls of the whole plugin at once.",
                "type": "integer", "minimum": 1, "maximum": Limits::MAX_CONCURRENCY, "default": concurrency,
            },
            "log-lines": {
                "description": "Log lines of one call; further lines are counted and dropped.",
                "type": "integer", "minimum": 0, "maximum": Limits::MAX_LOG_LINES, "default": log_lines,
            },
            "state": defs.with_default::<ByteSize>("Size of the key-value state that the plugin keeps.", &json!(default.state)),
        }),
        &[],
    );
    Value::Object(limits)
}

fn health(defs: &mut Defs) -> Value {
    let HealthPolicy { interval, timeout, failures, successes, restart, max_restarts } = HealthPolicy::default();
    let counted = |description: &str, max: u32, default: u32| {
        let mut schema = count(description, max);
        schema["default"] = json!(default);
        schema
    };
    let checks = HealthPolicy::MAX_CHECKS;
    let health = table(
        "Health checks by a server, once the plugin was called.",
        json!({
            "interval": defs.with_default::<Span>("The time between two checks, from `1s` to `1d`, give or take a tenth.", &json!(interval)),
            "timeout": defs.with_default::<Span>("How long a check may take, at most `60s`. The timeout of a call holds too.", &json!(timeout)),
            "failures": counted("Number of consecutive failed checks after which the plugin is unhealthy.", checks, failures.get()),
            "successes": counted("Number of consecutive successful checks after which it is healthy again.", checks, successes.get()),
            "restart": defs.with_default::<RestartPolicy>("Whether it is restarted when it is unhealthy.", &json!(restart)),
            "max-restarts": counted(
                "Maximum number of restarts within an hour. One more disables the plugin.",
                HealthPolicy::MAX_RESTARTS,
                max_restarts.get(),
            ),
        }),
        &[],
    );
    Value::Object(health)
}

fn property() -> Value {
    let nested = json!({ "$ref": "#/$defs/Property" });
    let length =
        |description: &str| json!({ "description": description, "type": "integer", "minimum": 0, "examples": [3] });
    let number = |description: &str| json!({ "description": description, "type": "number", "examples": [100] });
    let property = table(
        "One value of the configuration, in the words of JSON Schema.",
        json!({
            "type": {
                "description": "The type of the value.",
                "enum": ["string", "integer", "number", "boolean", "array", "object"],
            },
            "title": text("The name for people.", 100, json!(["API token"])),
            "description": text("A description of its purpose.", 4_000, json!(["A token with read access."])),
            "required": flag("Without it the plugin cannot be enabled."),
            "secret": flag("Encrypted at rest and never shown again."),
            "encrypted": flag("Another word for `secret`."),
            "default": { "description": "The value when none is set.", "examples": ["fsn1"] },
            "enum": {
                "description": "The only values allowed.",
                "type": "array", "minItems": 1, "examples": [["fsn1", "nbg1"]],
            },
            "examples": {
                "description": "Values for people to start from.",
                "type": "array", "examples": [["fsn1"]],
            },
            "minimum": number("The least number allowed."),
            "maximum": number("The greatest number allowed."),
            "exclusiveMinimum": number("The number must be greater than this."),
            "exclusiveMaximum": number("The number must be less than this."),
            "multipleOf": {
                "description": "The step between numbers.",
                "type": "number", "exclusiveMinimum": 0, "examples": [0.5],
            },
            "minLength": length("The least length of a text, in characters."),
            "maxLength": length("The greatest length of a text, in characters."),
            "pattern": {
                "description": "A regular expression that a text must match, in linear time: no look-around, no back-references.",
                "type": "string", "examples": ["^[a-z]+$"],
            },
            "format": { "description": "The format of a text.", "enum": Property::FORMATS },
            "items": { "description": "The schema of the items of an array.", "$ref": "#/$defs/Property", "examples": [{ "type": "string" }] },
            "minItems": length("The least number of items."),
            "maxItems": length("The greatest number of items."),
            "uniqueItems": flag("Items must be unique."),
            "properties": {
                "description": "The named properties of an object.",
                "type": "object",
                "additionalProperties": nested,
                "examples": [{ "port": { "type": "integer", "minimum": 1 } }],
            },
            "additionalProperties": {
                "description": "Whether an object may have other properties, or their schema.",
                "anyOf": [{ "type": "boolean" }, nested],
                "examples": [false, { "type": "string" }],
            },
        }),
        &["type"],
    );
    Value::Object(property)
}
