//! The walk over `[configuration]`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde_json::{Number, Value};

use super::fits::compare;
use super::{AdditionalProperties, ConfigurationSchema, KEYWORDS, Property, PropertyKind};
use crate::manifest::node::NodeValue;
use crate::manifest::reader::{Item, Lines, Table, did_you_mean};
use crate::name::shorten;

/// All words, in the order of [`KEYWORDS`].
const WORDS: &[&str] = &{
    let mut words = [""; KEYWORDS.len()];
    let mut index = 0;
    while index < words.len() {
        words[index] = KEYWORDS[index].0;
        index += 1;
    }
    words
};

/// Whether a property is a whole key of the configuration or a part of one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Key,
    Part,
}

pub(in crate::manifest) fn read(item: &Item<'_>) -> Option<ConfigurationSchema> {
    Some(ConfigurationSchema { properties: properties(item, Level::Key)? })
}

/// The properties of an object that is no configuration: nothing in it is a secret or has a default.
pub(in crate::manifest) fn parts(item: &Item<'_>) -> Option<IndexMap<String, Property>> {
    properties(item, Level::Part)
}

fn properties(item: &Item<'_>, level: Level) -> Option<IndexMap<String, Property>> {
    let named = item.named::<Key>()?;
    Some(named.into_iter().filter_map(|(Key(key), item)| Some((key, property(&item, level)?))).collect())
}

fn property(item: &Item<'_>, level: Level) -> Option<Property> {
    let table = item.table(WORDS)?;
    let kind = kind(&table)?;
    refuse_misplaced(&table, kind, level);
    let flag = |key| table.get(key).and_then(|item| item.boolean()).unwrap_or(false);
    let count = |key| table.get(key).and_then(|item| item.integer(0..=u32::MAX));
    let numeric = |key| table.get(key).and_then(|item| number(&item));
    let mut property = Property {
        kind,
        title: table.get("title").and_then(|item| item.prose(100, Lines::One)),
        description: table.get("description").and_then(|item| item.prose(4_000, Lines::Many)),
        required: table.get("required").and_then(|item| required(&item)).unwrap_or(false),
        secret: level == Level::Key && (flag("secret") || flag("encrypted")),
        default: None,
        choices: Vec::new(),
        examples: Vec::new(),
        minimum: numeric("minimum"),
        maximum: numeric("maximum"),
        exclusive_minimum: numeric("exclusiveMinimum"),
        exclusive_maximum: numeric("exclusiveMaximum"),
        multiple_of: table.get("multipleOf").and_then(|item| step(&item)),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        pattern: table.get("pattern").and_then(|item| item.prose(1_000, Lines::One)),
        format: table.get("format").and_then(|item| format(&item)),
        items: table.get("items").and_then(|item| self::property(&item, Level::Part)).map(Box::new),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        unique_items: flag("uniqueItems"),
        properties: table.get("properties").and_then(|item| properties(&item, Level::Part)).unwrap_or_default(),
        additional_properties: table.get("additionalProperties").and_then(|item| additional(&item)),
    };
    check_bounds(&table, &property);
    // Values are read when all else is known, each against the words read before it.
    property.choices = values(&table, "enum", &property);
    if let Some(choices) = table.get("enum").filter(|item| item.node.value.is_empty_array()) {
        return choices.fail("the list of values is empty", Some("list the values allowed".to_owned()));
    }
    property.examples = values(&table, "examples", &property);
    property.default = table.get("default").filter(|_| level == Level::Key).and_then(|item| default(&item, &property));
    Some(property)
}

fn kind(table: &Table<'_>) -> Option<PropertyKind> {
    let item = table.require("type", "type = \"string\"")?;
    if !item.is_text() {
        let hint = format!("write one of {}; optional keys can be left out", PropertyKind::NAMES.join(", "));
        return item.fail("a property has exactly one type, written as a string", Some(hint));
    }
    let name = item.text()?;
    PropertyKind::from_name(name).or_else(|| {
        let hint = match did_you_mean(name, PropertyKind::NAMES) {
            Some(kind) => format!("did you mean `{kind}`?"),
            None => format!("the types are {}", PropertyKind::NAMES.join(", ")),
        };
        item.fail(format!("`{}` is not a type", shorten(name)), Some(hint))
    })
}

/// Reports words that would say nothing: for another type, or only of use on a whole key.
fn refuse_misplaced(table: &Table<'_>, kind: PropertyKind, level: Level) {
    for (word, kinds) in KEYWORDS {
        let Some(item) = table.get(word) else { continue };
        if !kinds.is_empty() && !kinds.contains(&kind) {
            let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
            let message = format!("`{word}` does not apply to the type `{}`", kind.name());
            item.fail::<()>(message, Some(format!("it is for {}", names.join(" and "))));
        }
        if level == Level::Part && ["secret", "encrypted", "default"].contains(word) {
            let message = format!("`{word}` applies only to a top-level configuration key");
            item.fail::<()>(message, Some("remove it, or set it on the top-level key".to_owned()));
        }
    }
}

fn required(item: &Item<'_>) -> Option<bool> {
    if matches!(item.node.value, NodeValue::Array(_)) {
        let hint = "write `required = true` in each property that is required";
        return item.fail("`required` is not a list here", Some(hint.to_owned()));
    }
    item.boolean()
}

fn number(item: &Item<'_>) -> Option<Number> {
    match (&item.node.value, item.node.to_json()) {
        (NodeValue::Integer(_) | NodeValue::Float(_), Some(Value::Number(number))) => Some(number),
        _ => item.fail("expected a finite number", None),
    }
}

fn step(item: &Item<'_>) -> Option<Number> {
    let step = number(item)?;
    if step.as_f64().is_some_and(|step| step > 0.0) {
        return Some(step);
    }
    item.fail(format!("{step} is not more than zero"), None)
}

fn format(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if Property::FORMATS.contains(&name) {
        return Some(name.to_owned());
    }
    let hint = match did_you_mean(name, &Property::FORMATS) {
        Some(format) => format!("did you mean `{format}`?"),
        None => format!("the formats are {}; for another shape use `pattern`", Property::FORMATS.join(", ")),
    };
    item.fail(format!("`{}` is not a supported format", shorten(name)), Some(hint))
}

fn additional(item: &Item<'_>) -> Option<AdditionalProperties> {
    if item.is_table() {
        return property(item, Level::Part).map(|property| AdditionalProperties::Each(Box::new(property)));
    }
    item.boolean().map(AdditionalProperties::Allowed)
}

fn check_bounds(table: &Table<'_>, property: &Property) {
    let numbers = |least: &Option<Number>, most: &Option<Number>| match (least, most) {
        (Some(least), Some(most)) => compare(least, most) == Ordering::Greater,
        _ => false,
    };
    let counts = |least: Option<u32>, most: Option<u32>| least.zip(most).is_some_and(|(least, most)| least > most);
    let crossed = [
        ("minimum", "maximum", numbers(&property.minimum, &property.maximum)),
        ("minLength", "maxLength", counts(property.min_length, property.max_length)),
        ("minItems", "maxItems", counts(property.min_items, property.max_items)),
    ];
    for (least, most, crossed) in crossed {
        if let Some(item) = table.get(least).filter(|_| crossed) {
            item.fail::<()>(format!("`{least}` is more than `{most}`, so no value fits"), None);
        }
    }
}

/// The maximum number of `enum` values, and of examples, of one property. Each example is compared with each value.
const MOST_VALUES: usize = 500;

fn values(table: &Table<'_>, word: &'static str, property: &Property) -> Vec<Value> {
    if let Some(item) = table.get(word)
        && let NodeValue::Array(items) = &item.node.value
        && items.len() > MOST_VALUES
    {
        item.fail::<()>(format!("{} values are too many; the limit is {MOST_VALUES}", items.len()), None);
        return Vec::new();
    }
    table.get(word).and_then(|item| item.list(|item| value(item, property))).unwrap_or_default()
}

fn default(item: &Item<'_>, property: &Property) -> Option<Value> {
    if property.secret {
        let hint = "remove the default, because anyone with the package can read it";
        return item.fail("a secret cannot have a default", Some(hint.to_owned()));
    }
    value(item, property)
}

fn value(item: &Item<'_>, property: &Property) -> Option<Value> {
    let Some(value) = item.node.to_json() else {
        return item.fail("JSON cannot represent this number", Some("write a finite number".to_owned()));
    };
    match property.fits(&value) {
        Ok(()) => Some(value),
        Err(reason) => item.fail(format!("the value does not match the property: {reason}"), None),
    }
}

/// The name of a key of the configuration.
pub(in crate::manifest) struct Key(String);

#[derive(Debug)]
pub(in crate::manifest) struct KeyError(String);

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if good && text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(Self(text.to_owned()));
        }
        Err(KeyError(shorten(text)))
    }
}

impl From<Key> for String {
    fn from(Key(text): Key) -> Self {
        text
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(key) = self;
        write!(
            formatter,
            "`{key}` is not a key of a configuration: use letters, digits, `_` and `-`, starting with a letter, at most 64"
        )
    }
}
