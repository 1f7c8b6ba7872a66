//! The reference of `plugin.toml`, rendered from its JSON Schema.

use std::fmt::Write;

use outrigger_contract::Manifest;
use outrigger_contract::manifest::json_schema;
use outrigger_testkit::golden;
use serde_json::{Map, Value};

use super::{NOTE, cell};

const LEAST: &str = include_str!("least.toml");
const FULL: &str = include_str!("full.toml");

/// Every table of the manifest: its heading, and where it stands in the schema. What has no example there has one in
/// [`FULL`].
const TABLES: &[(&str, &str)] = &[
    ("Top level", ""),
    ("`[runtime]`", "/properties/runtime"),
    ("`runtime.instances`", "/properties/runtime/properties/instances/anyOf/1"),
    ("`runtime.instances.warm`", "/properties/runtime/properties/instances/anyOf/1/properties/warm"),
    ("`[functions.NAME]`", "/properties/functions/additionalProperties"),
    ("`functions.NAME.retry`", "/properties/functions/additionalProperties/properties/retry"),
    ("`[configuration.KEY]`", "/$defs/Property"),
    ("`[permissions]`", "/$defs/Permissions"),
    ("`[dependencies]`, the longer form", "/properties/dependencies/additionalProperties/anyOf/1"),
    ("`[hooks.\"NAME\"]`", "/properties/hooks/additionalProperties"),
    ("`[[subscriptions]]`", "/properties/subscriptions/items"),
    ("`[[migrations]]`", "/properties/migrations/items"),
    ("`[limits]`", "/properties/limits"),
    ("`[health]`", "/properties/health"),
];

/// Tables that are described among the values.
const TABLES_OF_VALUES: &[&str] = &["/$defs/FileGrant", "/$defs/HostPattern/anyOf/1", "/$defs/Rate/anyOf/1"];

#[test]
fn generated_manifest_schema() {
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap();
    golden::check("docs/reference/plugin.schema.json", &schema);
}

#[test]
fn generated_manifest_reference() {
    let full = serde_json::to_value(toml::from_str::<toml::Table>(FULL).unwrap()).unwrap();
    golden::check("docs/reference/manifest.md", &Page { schema: json_schema(), full }.render());
}

#[test]
fn the_examples_are_manifests() {
    for text in [LEAST, FULL] {
        let error = Manifest::parse(text).err().map(|error| error.to_string());
        assert_eq!(error, None);
    }
}

#[test]
fn every_table_is_described() {
    fn visit(schema: &Value, pointer: &str, found: &mut Vec<String>) {
        if let Some(table) = schema.as_object() {
            if table.get("properties").is_some_and(Value::is_object) && !pointer.ends_with("/properties") {
                found.push(pointer.to_owned());
            }
            for (name, inner) in table {
                visit(inner, &format!("{pointer}/{name}"), found);
            }
        }
        for (index, inner) in schema.as_array().into_iter().flatten().enumerate() {
            visit(inner, &format!("{pointer}/{index}"), found);
        }
    }
    let mut found = Vec::new();
    visit(&json_schema(), "", &mut found);
    let mut described: Vec<_> =
        TABLES.iter().map(|(_, pointer)| *pointer).chain(TABLES_OF_VALUES.iter().copied()).collect();
    found.sort_unstable();
    described.sort_unstable();
    assert_eq!(found, described);
}

struct Page {
    schema: Value,
    full: Value,
}

impl Page {
    fn render(&self) -> String {
        let mut page = format!("# plugin.toml\n\n{NOTE}");
        page.push_str(
            "The manifest of a plugin: the file `plugin.toml` at the root of its package. Only the first table and \
             `[runtime]` are required. A key that is not listed here is an error, and so is a value of another type; \
             all errors are reported at once, each with its line and a hint (`outrigger plugin validate`).\n\n\
             The same as a JSON Schema, for editors: [plugin.schema.json](plugin.schema.json). With \
             `#:schema PATH/plugin.schema.json` as its first line, editors that know TOML complete and check the file.\n\n",
        );
        write!(page, "## The least\n\n```toml\n{LEAST}```\n\n## Everything\n\n```toml\n{FULL}```\n\n").unwrap();
        page.push_str("## Keys\n\n");
        for (heading, pointer) in TABLES {
            self.table(&mut page, heading, self.schema.pointer(pointer).unwrap());
        }
        page.push_str("## Values\n\nThe types in the column “type” above.\n\n");
        for (name, definition) in self.schema["$defs"].as_object().unwrap() {
            if !["Permissions", "Property"].contains(&name.as_str()) {
                self.value(&mut page, name, definition);
            }
        }
        page
    }

    fn table(&self, page: &mut String, heading: &str, table: &Value) {
        let description = table["description"].as_str().unwrap_or_default();
        write!(page, "### {heading}\n\n{description}\n\n").unwrap();
        self.keys(page, table);
    }

    fn keys(&self, page: &mut String, table: &Value) {
        page.push_str("| key | type | default | meaning | example |\n|---|---|---|---|---|\n");
        let required: Vec<_> = table["required"].as_array().into_iter().flatten().collect();
        for (key, schema) in table["properties"].as_object().unwrap() {
            let default = match schema.get("default") {
                Some(default) => code(&toml(default)),
                None if required.iter().any(|name| *name == key) => "required".to_owned(),
                None => String::new(),
            };
            let meaning = cell(self.description(schema));
            let example = self.example(key, schema).map(|example| code(&toml(example))).unwrap_or_default();
            writeln!(page, "| `{key}` | {} | {default} | {meaning} | {example} |", self.kind(schema)).unwrap();
        }
        page.push('\n');
    }

    fn value(&self, page: &mut String, name: &str, definition: &Value) {
        let description = definition["description"].as_str().unwrap_or_default();
        write!(page, "### {}\n\n{description}\n\n", words(name)).unwrap();
        let choices: Vec<_> = definition["oneOf"].as_array().into_iter().flatten().collect();
        for choice in &choices {
            let meaning = choice["description"].as_str().unwrap_or_default();
            writeln!(page, "- {}: {meaning}", code(&toml(&choice["const"]))).unwrap();
        }
        if !choices.is_empty() {
            page.push('\n');
        }
        let examples: Vec<_> = definition["examples"].as_array().into_iter().flatten().collect();
        if !examples.is_empty() {
            let examples: Vec<_> = examples.into_iter().map(|example| code(&toml(example))).collect();
            write!(page, "Examples: {}\n\n", examples.join(", ")).unwrap();
        }
        let forms = definition["anyOf"].as_array().into_iter().flatten().chain([definition]);
        if let Some(table) = forms.into_iter().find(|form| form.get("properties").is_some()) {
            self.keys(page, table);
        }
    }

    fn definition(&self, schema: &Value) -> Option<(&str, &Value)> {
        let name = schema["$ref"].as_str()?.strip_prefix("#/$defs/")?;
        let (name, definition) = self.schema["$defs"].as_object()?.get_key_value(name)?;
        Some((name, definition))
    }

    fn description<'a>(&'a self, schema: &'a Value) -> &'a str {
        let own = schema["description"].as_str();
        own.or_else(|| self.definition(schema)?.1["description"].as_str()).unwrap_or_default()
    }

    fn example<'a>(&'a self, key: &str, schema: &'a Value) -> Option<&'a Value> {
        let in_schema = schema["examples"].get(0).or_else(|| schema.get("const"));
        let of_type = || self.definition(schema).and_then(|(_, definition)| definition["examples"].get(0));
        let any = || schema.get("default").or_else(|| schema["enum"].get(0));
        in_schema.or_else(|| find(&self.full, key)).or_else(of_type).or_else(any)
    }

    /// The type of a value, in words.
    fn kind(&self, schema: &Value) -> String {
        if let Some((name, _)) = self.definition(schema) {
            let words = words(name);
            let anchor = match name {
                "Permissions" => "permissions".to_owned(),
                "Property" => "configurationkey".to_owned(),
                _ => words.replace(' ', "-"),
            };
            return format!("[{words}](#{anchor})");
        }
        if let Some(only) = schema.get("const") {
            return code(&toml(only));
        }
        if let Some(choices) = schema.get("enum").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            return any_of(choices.iter().map(|choice| code(&toml(choice.get("const").unwrap_or(choice)))));
        }
        if let Some(forms) = schema["anyOf"].as_array() {
            return any_of(forms.iter().map(|form| self.kind(form)));
        }
        // `null` beside another type is how JSON says that a key is left out.
        match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
            Some("array") => match schema.get("items") {
                Some(items) => format!("list of {}", self.kind(items)),
                None => "list".to_owned(),
            },
            Some("object") => match schema.get("additionalProperties").filter(|inner| inner.is_object()) {
                Some(_) => "a table for each name".to_owned(),
                None => "table".to_owned(),
            },
            Some(kind) => format!("{kind}{}", bounds(schema)),
            None => "any value".to_owned(),
        }
    }
}

fn bounds(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number());
    match (number("minimum"), number("maximum"), number("maxLength")) {
        (Some(least), Some(most), _) => format!(", {least} to {most}"),
        (Some(least), None, _) => format!(", {least} or more"),
        (_, _, Some(most)) => format!(", at most {most} characters"),
        _ => String::new(),
    }
}

fn any_of(forms: impl Iterator<Item = String>) -> String {
    let mut forms: Vec<_> = forms.collect();
    forms.dedup();
    forms.join(" or ")
}

/// The first value of a key, wherever it stands.
fn find<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let table = value.as_object()?;
    let simple = table.get(key).filter(|value| !value.is_object());
    simple.or_else(|| table.values().find_map(|inner| find(inner, key)))
}

/// `HostPattern` → `host pattern`.
fn words(name: &str) -> String {
    match name {
        "Span" => return "duration".to_owned(),
        "SemVer" => return "version".to_owned(),
        _ => {}
    }
    let mut words = String::new();
    for character in name.chars() {
        if character.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(character.to_lowercase());
    }
    words
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A value as it stands behind a `=` in TOML.
fn toml(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(toml).collect::<Vec<_>>().join(", ");
    let table = |members: &Map<String, Value>| {
        members.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect::<Vec<_>>().join(", ")
    };
    match value {
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Object(members) => format!("{{ {} }}", table(members)),
        simple => simple.to_string(),
    }
}
