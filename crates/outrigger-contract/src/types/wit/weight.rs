//! Computes the expanded size of a function's types. Types refer to each other, so a few bytes of a component can
//! expand to more than fits into memory: `tuple<t, t>` of such a tuple doubles at each step. The size is computed
//! before any type is expanded, each type once.

use std::collections::HashMap;

use wit_parser as wit;

use super::{Builder, Obstacle, Offered};
use crate::name::shorten;

/// The maximum expanded size of one function. A value, field, case or label counts as one.
const MOST_OF_A_FUNCTION: u64 = 10_000;
/// The maximum expanded size of all functions of a component. Types count for each function, because each description
/// of a function contains its types.
const MOST_OF_ALL: u64 = 100_000;
/// The size of a 64-bit integer: its schema is larger, because JSON can have it as a number or as a string.
const WIDE: u64 = 4;
/// Bytes of names and documentation that count as one.
const BYTES: u64 = 64;
/// The maximum nesting that is followed. Deeper types are refused when they are read.
const DEEPEST: usize = 128;

/// The known sizes.
#[derive(Default)]
pub(super) struct Weights {
    types: HashMap<wit::TypeId, u64>,
    /// The first type that is too large by itself.
    culprit: Option<String>,
    /// The size so far.
    spent: u64,
}

impl Builder<'_> {
    /// Adds the size of a function, and marks it as accepted.
    pub(super) fn weigh(&mut self, offered: &Offered<'_>) -> Result<(), Obstacle> {
        let Offered { function, docs, .. } = offered;
        let mut weight = 1 + text(&function.name) + text(docs);
        for param in &function.params {
            // The documentation of a parameter is a part of the function's.
            weight = weight.saturating_add(text(&param.name)).saturating_add(self.weight(&param.ty, 0)?);
        }
        if let Some(result) = &function.result {
            weight = weight.saturating_add(self.weight(result, 0)?);
        }
        let weights = &mut self.weights;
        if weight > MOST_OF_A_FUNCTION {
            let what = match weights.culprit.take() {
                Some(culprit) => format!("its type `{culprit}` is"),
                None => "its types are".to_owned(),
            };
            let reason = format!("{what} too large: more than {MOST_OF_A_FUNCTION} values when expanded");
            return Err(Obstacle::Refused(reason));
        }
        weights.spent = weights.spent.saturating_add(weight);
        if weights.spent > MOST_OF_ALL {
            let reason = format!(
                "the types of this function and the previous ones are too large: more than {MOST_OF_ALL} values when \
                 expanded"
            );
            return Err(Obstacle::Refused(reason));
        }
        Ok(())
    }

    fn weight(&mut self, ty: &wit::Type, depth: usize) -> Result<u64, Obstacle> {
        let id = match ty {
            wit::Type::U64 | wit::Type::S64 => return Ok(WIDE),
            wit::Type::Id(id) => *id,
            _ => return Ok(1),
        };
        if let Some(known) = self.weights.types.get(&id) {
            return Ok(*known);
        }
        if depth == DEEPEST {
            return Err(Obstacle::TooDeep);
        }
        let weight = self.weight_of(id, depth + 1)?;
        if weight > MOST_OF_A_FUNCTION && self.weights.culprit.is_none() {
            self.weights.culprit = self.resolve.types[id].name.as_deref().map(shorten);
        }
        self.weights.types.insert(id, weight);
        Ok(weight)
    }

    fn weight_of(&mut self, id: wit::TypeId, depth: usize) -> Result<u64, Obstacle> {
        let docs = self.type_docs(id);
        let named = |name: &str| 1 + text(name) + text(&docs.item(name));
        let resolve = self.resolve;
        let definition = &resolve.types[id];
        let mut weight = 1 + definition.name.as_deref().map_or(0, text) + text(&docs.text());
        let mut add = |more: u64| weight = weight.saturating_add(more);
        let inner: Vec<&wit::Type> = match &definition.kind {
            wit::TypeDefKind::Type(inner) | wit::TypeDefKind::List(inner) | wit::TypeDefKind::Option(inner) => {
                vec![inner]
            }
            wit::TypeDefKind::Tuple(tuple) => tuple.types.iter().collect(),
            wit::TypeDefKind::Result(result) => result.ok.iter().chain(&result.err).collect(),
            wit::TypeDefKind::Record(record) => {
                record.fields.iter().for_each(|field| add(named(&field.name)));
                record.fields.iter().map(|field| &field.ty).collect()
            }
            wit::TypeDefKind::Variant(variant) => {
                variant.cases.iter().for_each(|case| add(named(&case.name)));
                variant.cases.iter().filter_map(|case| case.ty.as_ref()).collect()
            }
            wit::TypeDefKind::Enum(labels) => {
                labels.cases.iter().for_each(|case| add(named(&case.name)));
                Vec::new()
            }
            wit::TypeDefKind::Flags(labels) => {
                labels.flags.iter().for_each(|flag| add(named(&flag.name)));
                Vec::new()
            }
            // Other types are refused when they are read.
            _ => Vec::new(),
        };
        for ty in inner {
            let more = self.weight(ty, depth)?;
            weight = weight.saturating_add(more);
        }
        Ok(weight)
    }
}

fn text(text: &str) -> u64 {
    text.len() as u64 / BYTES
}
