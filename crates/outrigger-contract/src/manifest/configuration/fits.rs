//! Whether a value fits a property: for the defaults, choices and examples that stand in the manifest itself. What
//! an administrator sets is checked by the host with the JSON Schema, which also knows patterns and formats.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{AdditionalProperties, Property, PropertyKind};

/// The maximum number of choices that an error lists.
const SHOWN: usize = 20;
/// The maximum number of items of a list with `uniqueItems` in a manifest.
const MOST_UNIQUE: usize = 500;
/// Maximum number of list items or object members in a manifest. Each can be compared with all choices.
const MOST_PARTS: usize = 5_000;

impl Property {
    /// Why a value does not fit; `Ok` when nothing is known against it.
    pub(super) fn fits(&self, value: &Value) -> Result<(), String> {
        let right_kind = match self.kind {
            PropertyKind::String => value.is_string(),
            PropertyKind::Integer => value.as_number().is_some_and(is_integer),
            PropertyKind::Number => value.is_number(),
            PropertyKind::Boolean => value.is_boolean(),
            PropertyKind::Array => value.is_array(),
            PropertyKind::Object => value.is_object(),
        };
        if !right_kind {
            return Err(format!("{value} is not of the type `{}`", self.kind.name()));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let choices: Vec<_> = self.choices.iter().take(SHOWN).map(Value::to_string).collect();
            let more = if self.choices.len() > SHOWN { ", …" } else { "" };
            return Err(format!("{value} is not one of {}{more}", choices.join(", ")));
        }
        match value {
            Value::Number(number) => self.fits_number(number),
            Value::String(text) => self.fits_length(text),
            Value::Array(items) => self.fits_items(items),
            Value::Object(members) => self.fits_members(members),
            Value::Null | Value::Bool(_) => Ok(()),
        }
    }

    fn fits_number(&self, number: &Number) -> Result<(), String> {
        use Ordering::{Equal, Greater, Less};
        let bounds: [(&Option<Number>, &[Ordering], &str); 4] = [
            (&self.minimum, &[Equal, Greater], "less than the minimum"),
            (&self.maximum, &[Equal, Less], "more than the maximum"),
            (&self.exclusive_minimum, &[Greater], "not more than the exclusive minimum"),
            (&self.exclusive_maximum, &[Less], "not less than the exclusive maximum"),
        ];
        for (bound, allowed, wrong) in bounds {
            if let Some(bound) = bound
                && !allowed.contains(&compare(number, bound))
            {
                return Err(format!("{number} is {wrong} {bound}"));
            }
        }
        let step = self.multiple_of.as_ref().and_then(Number::as_i128).filter(|step| *step > 0);
        match (number.as_i128(), step) {
            (Some(number), Some(step)) if number % step != 0 => Err(format!("{number} is not a multiple of {step}")),
            _ => Ok(()),
        }
    }

    fn fits_length(&self, text: &str) -> Result<(), String> {
        within(text.chars().count(), self.min_length, self.max_length, "characters")
    }

    fn fits_items(&self, items: &[Value]) -> Result<(), String> {
        within(items.len(), self.min_items, self.max_items, "items")?;
        if self.unique_items && items.len() > MOST_UNIQUE {
            return Err(format!("{} items are too many for `uniqueItems`; the limit is {MOST_UNIQUE}", items.len()));
        }
        if self.unique_items && (1..items.len()).any(|index| items[..index].contains(&items[index])) {
            return Err("an item is listed twice".to_owned());
        }
        few(items.len(), "items")?;
        match &self.items {
            Some(property) => items.iter().try_for_each(|item| property.fits(item)),
            None => Ok(()),
        }
    }

    fn fits_members(&self, members: &serde_json::Map<String, Value>) -> Result<(), String> {
        if let Some((name, _)) =
            self.properties.iter().find(|(name, property)| property.required && !members.contains_key(*name))
        {
            return Err(format!("the property `{name}` is missing"));
        }
        few(members.len(), "members")?;
        members.iter().try_for_each(|(name, value)| match (self.properties.get(name), &self.additional_properties) {
            (Some(property), _) => property.fits(value),
            (None, Some(AdditionalProperties::Each(property))) => property.fits(value),
            (None, Some(AdditionalProperties::Allowed(true))) => Ok(()),
            (None, None) if self.properties.is_empty() => Ok(()),
            (None, _) => Err(format!("there is no property `{name}`")),
        })
    }
}

fn few(count: usize, of: &str) -> Result<(), String> {
    if count <= MOST_PARTS { Ok(()) } else { Err(format!("{count} {of} are too many; the limit is {MOST_PARTS}")) }
}

fn within(count: usize, least: Option<u32>, most: Option<u32>, of: &str) -> Result<(), String> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    match (least, most) {
        (Some(least), _) if count < least => Err(format!("{count} {of} are fewer than {least}")),
        (_, Some(most)) if count > most => Err(format!("{count} {of} are more than {most}")),
        _ => Ok(()),
    }
}

/// JSON Schema counts `1.0` as an integer.
fn is_integer(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

pub(super) fn compare(left: &Number, right: &Number) -> Ordering {
    if let (Some(left), Some(right)) = (left.as_i128(), right.as_i128()) {
        return left.cmp(&right);
    }
    let float = |number: &Number| number.as_f64().unwrap_or(f64::NAN);
    float(left).total_cmp(&float(right))
}
