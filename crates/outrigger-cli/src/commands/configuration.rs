//! `outrigger plugin config`: what a plugin can be told, what it was told, and telling it.

pub(super) mod revisions;

use outrigger_api::{Configuration, ConfigurationEdits, ConfigurationSource};
use serde_json::{Map, Value as Json, json};

use crate::cli::{Argument, ConfigArguments, SecretsCommand};
use crate::context::Context;
use crate::error::{CliResult, usage};
use crate::input;
use crate::output::table::{cell, table};
use crate::output::{count, one_line};

/// Shows the configuration, or sets it.
///
/// # Errors
/// The platform's; also a key without a value.
pub async fn run(context: &Context, arguments: ConfigArguments) -> CliResult {
    let ConfigArguments { name, set, unset, json, file, action } = arguments;
    if let Some(action) = action {
        if !set.is_empty() || !unset.is_empty() || json.is_some() || file.is_some() {
            return Err(usage("a change cannot be combined with history, diff or rollback", "run two commands"));
        }
        return revisions::run(context, &name, action).await;
    }
    let platform = context.platform().await?;
    let current = platform.configuration_fetch(&name).await?;
    let values = match (json, file) {
        (Some(text), _) => input::object("--json", &text)?,
        (None, Some(file)) => input::document("--file", &file)?,
        _ if set.is_empty() && unset.is_empty() => return context.output.print(&current, || text(&current)),
        _ => {
            let edits = edits(&current, &set, unset)?;
            // Made to what is there by then: what others set meanwhile stays.
            let revision = platform.configuration_change(&name, edits, None).await?;
            let outcome = json!({"plugin": name, "revision": revision});
            return context.output.print(&outcome, || format!("{name} is configured, revision {revision}"));
        }
    };
    let keys = values.len();
    let revision = platform.configuration_put(&name, values, current.revision).await?;
    let outcome = json!({"plugin": name, "revision": revision});
    context.output.print(&outcome, || format!("{name} is configured: {keys} set, revision {revision}"))
}

/// Runs one of `outrigger secrets`.
///
/// # Errors
/// The platform's.
pub async fn secrets(context: &Context, command: SecretsCommand) -> CliResult {
    let SecretsCommand::Rotate = command;
    let rotation = context.platform().await?.secrets_rotate().await?;
    context.output.print(&rotation, || {
        let rewritten = count(usize::try_from(rotation.rewritten).unwrap_or(usize::MAX), "revision");
        format!("secrets are now encrypted with the key {}; {rewritten} encrypted again", rotation.key)
    })
}

/// The changes that the options ask for.
fn edits(current: &Configuration, set: &[Argument], unset: Vec<String>) -> CliResult<ConfigurationEdits> {
    let set = settings(&current.schema, set)?;
    Ok(ConfigurationEdits { set, unset, ..ConfigurationEdits::default() })
}

/// The values of `--set KEY=VALUE`, as the schema wants them.
///
/// # Errors
/// A key without a value.
pub(super) fn settings(schema: &Json, set: &[Argument]) -> CliResult<Map<String, Json>> {
    let mut values = Map::new();
    for Argument { name, value } in set {
        let Some(value) = value else {
            return Err(usage(format!("--set {name} has no value"), format!("write `--set {name}=VALUE`")));
        };
        values.insert(name.clone(), typed(&schema["properties"][name.as_str()], value));
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
    let Configuration { plugin, schema, values, effective, sources, revision: _, problems } = configuration;
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() {
        return format!("{plugin} cannot be configured.");
    }
    let rows = properties.iter().map(|(key, property)| {
        let value = effective.get(key).map_or_else(|| "-".to_owned(), |value| shown(property, value));
        let from = match (sources.get(key), effective.get(key)) {
            (Some(ConfigurationSource::File { path }), _) => path.clone(),
            (Some(ConfigurationSource::Environment { name }), _) => name.clone(),
            (Some(ConfigurationSource::Stored), _) => "set".to_owned(),
            (Some(ConfigurationSource::Default), _) => "default".to_owned(),
            // A server of an earlier version does not say.
            (None, Some(_)) => if values.contains_key(key) { "set" } else { "default" }.to_owned(),
            (None, None) if is_required(schema, key) => "required".to_owned(),
            (None, None) => String::new(),
        };
        vec![cell(key), cell(kind(property)), cell(value), cell(from), cell(about(property))]
    });
    let mut text = table(&["KEY", "TYPE", "VALUE", "", "DESCRIPTION"], rows);
    for problem in problems {
        text.push_str(&format!("\n\nThe plugin cannot start with this configuration: {problem}"));
    }
    text
}

/// The configuration keys, without values.
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
        notes.extend(property.get("default").map(|default| format!("default {}", shown(property, default))));
        vec![cell(key), cell(kind(property)), cell(notes.join(", ")), cell(about(property))]
    });
    table(&["KEY", "TYPE", "", "DESCRIPTION"], rows)
}

fn kind(property: &Json) -> String {
    match (&property["enum"], &property["type"]) {
        (Json::Array(values), _) => values.iter().map(plain).collect::<Vec<_>>().join(" | "),
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

/// A value, unless it is secret.
fn shown(property: &Json, value: &Json) -> String {
    if is_secret(property) || is_hidden(value) { "(secret)".to_owned() } else { plain(value) }
}

/// Whether this stands where a secret is.
fn is_hidden(value: &Json) -> bool {
    value.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("$secret"))
}

fn plain(value: &Json) -> String {
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
        let edits = super::edits(&configuration(), &set("region=1 retries=3"), vec!["token".to_owned()]).unwrap();
        assert_eq!(Json::from(edits.set), json!({"region": "1", "retries": 3}));
        assert_eq!(edits.unset, ["token"]);
        assert!(super::edits(&configuration(), &set("region"), Vec::new()).is_err());
    }
}
