//! `outrigger plugin config`: what a plugin can be told, what it was told, and telling it.

use outrigger_api::Configuration;
use serde_json::{Map, Value as Json, json};

use crate::cli::{Argument, ConfigArguments};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::input;
use crate::output::one_line;
use crate::output::table::{cell, table};

/// Shows the configuration, or sets it.
///
/// # Errors
/// The platform's; also a key without a value.
pub async fn run(context: &Context, arguments: ConfigArguments) -> CliResult {
    let ConfigArguments { name, set, unset, json } = arguments;
    let platform = context.platform().await?;
    let current = platform.configuration_fetch(&name).await?;
    let values = match json {
        Some(text) => input::object("--json", &text)?,
        None if set.is_empty() && unset.is_empty() => return context.output.print(&current, || text(&current)),
        None => changed(&current, &set, &unset)?,
    };
    let keys = values.len();
    let revision = platform.configuration_put(&name, values, current.revision).await?;
    let outcome = json!({"plugin": name, "revision": revision});
    context.output.print(&outcome, || format!("{name} is configured: {keys} set, revision {revision}"))
}

/// The values that were set, with some of them changed.
fn changed(current: &Configuration, set: &[Argument], unset: &[String]) -> CliResult<Map<String, Json>> {
    let mut values = current.values.clone();
    for key in unset {
        if values.shift_remove(key).is_none() {
            let hint = format!("`outrigger plugin config {}` shows what is", current.plugin);
            return Err(usage(format!("--unset {key}: `{key}` is not set"), hint));
        }
    }
    for Argument { name, value } in set {
        let Some(value) = value else {
            return Err(usage(format!("--set {name} has no value"), format!("write `--set {name}=VALUE`")));
        };
        values.insert(name.clone(), typed(&current.schema["properties"][name.as_str()], value));
    }
    Ok(values)
}

/// A value as its schema wants it: a text as it is where a text is wanted, otherwise JSON where it is JSON. Whether it
/// fits is for the platform to say.
fn typed(schema: &Json, text: &str) -> Json {
    match schema["type"].as_str() {
        Some("string") => text.into(),
        _ => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
    }
}

fn text(configuration: &Configuration) -> String {
    let Configuration { plugin, schema, values, effective, sources: _, revision: _, problems: _ } = configuration;
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() {
        return format!("{plugin} cannot be configured.");
    }
    let rows = properties.iter().map(|(key, property)| {
        let (value, from) = match (values.get(key), effective.get(key)) {
            (Some(_), _) if is_secret(property) => ("(secret)".to_owned(), "set"),
            (Some(value), _) => (shown(value), "set"),
            (None, Some(value)) => (shown(value), "default"),
            (None, None) if is_required(schema, key) => ("-".to_owned(), "required"),
            (None, None) => ("-".to_owned(), ""),
        };
        vec![cell(key), cell(kind(property)), cell(value), cell(from), cell(about(property))]
    });
    table(&["KEY", "TYPE", "VALUE", "", "DESCRIPTION"], rows)
}

/// What can be configured, without values.
pub(crate) fn schema_table(schema: &Json) -> String {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() {
        return String::new();
    }
    let rows = properties.iter().map(|(key, property)| {
        let mut notes = Vec::new();
        notes.extend(is_required(schema, key).then(|| "required".to_owned()));
        notes.extend(is_secret(property).then(|| "secret".to_owned()));
        notes.extend(property.get("default").map(|default| format!("default {}", shown(default))));
        vec![cell(key), cell(kind(property)), cell(notes.join(", ")), cell(about(property))]
    });
    table(&["KEY", "TYPE", "", "DESCRIPTION"], rows)
}

fn kind(property: &Json) -> String {
    match (&property["enum"], &property["type"]) {
        (Json::Array(values), _) => values.iter().map(shown).collect::<Vec<_>>().join(" | "),
        (_, Json::String(name)) => name.clone(),
        (_, Json::Array(names)) => names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" | "),
        _ => "any".to_owned(),
    }
}

fn about(property: &Json) -> String {
    one_line(property["description"].as_str().unwrap_or_default())
}

fn is_secret(property: &Json) -> bool {
    property["writeOnly"] == json!(true)
}

fn is_required(schema: &Json, key: &str) -> bool {
    schema["required"].as_array().is_some_and(|keys| keys.iter().any(|required| required == key))
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn configuration() -> Configuration {
        let schema = json!({
            "properties": {
                "region": {"type": "string", "default": "eu", "description": "Where."},
                "retries": {"type": "integer"},
                "token": {"type": "string", "writeOnly": true},
            },
            "required": ["retries"],
        });
        let members = |value: Json| value.as_object().cloned().unwrap();
        Configuration {
            plugin: "p".parse().unwrap(),
            schema,
            values: members(json!({"token": "hidden"})),
            effective: members(json!({"token": "hidden", "region": "eu"})),
            sources: BTreeMap::new(),
            revision: 1,
            problems: Vec::new(),
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = anstream::adapter::strip_str(&text(&configuration())).to_string();
        insta::assert_snapshot!(text, @r"
        KEY      TYPE     VALUE               DESCRIPTION
        region   string   eu        default   Where.
        retries  integer  -         required
        token    string   (secret)  set
        ");
    }

    #[test]
    fn values_are_read_by_their_schema() {
        let set = |text: &str| -> Vec<Argument> { text.split(' ').map(|one| one.parse().unwrap()).collect() };
        let values = changed(&configuration(), &set("region=1 retries=3"), &["token".to_owned()]).unwrap();
        assert_eq!(Json::from(values), json!({"region": "1", "retries": 3}));
        assert!(changed(&configuration(), &set("region"), &[]).is_err());
        assert!(changed(&configuration(), &[], &["retries".to_owned()]).is_err());
    }
}
