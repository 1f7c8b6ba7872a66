//! Small typed readers over [`Node`]. A reader that meets something wrong reports it and gives `None`; the walk goes
//! on, so that all problems of a manifest are found in one go.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use super::node::{Entry, Node, NodeValue};
use crate::name::shorten;
use crate::near::Comparisons;

/// The message about an unknown key.
pub(super) const NO_SUCH_KEY: &str = "there is no such key";

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: RefCell<Vec<Found>>,
    /// The number of problems beyond [`MOST_PROBLEMS`].
    more: Cell<usize>,
}

/// The maximum number of problems that are reported for one manifest.
const MOST_PROBLEMS: usize = 100;
/// Maximum number of items in a list. Some lists compare their items with each other.
pub(super) const MOST_ITEMS: usize = 1_000;

#[derive(Debug)]
pub(super) struct Found {
    pub(super) span: Option<Range<usize>>,
    pub(super) key: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problems {
    pub(super) fn report(&self, span: Option<Range<usize>>, key: &str, message: &str, hint: Option<String>) {
        if self.is_full() {
            self.more.set(self.more.get() + 1);
            return;
        }
        let found = Found { span, key: key.to_owned(), message: message.to_owned(), hint };
        self.found.borrow_mut().push(found);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Whether further problems are only counted.
    fn is_full(&self) -> bool {
        self.found.borrow().len() == MOST_PROBLEMS
    }

    /// The first problems, and the number of further ones.
    pub(super) fn into_found(self) -> (Vec<Found>, usize) {
        (self.found.into_inner(), self.more.get())
    }
}

/// A value with its path, where problems are reported.
#[derive(Clone, Debug)]
pub(super) struct Item<'n> {
    pub(super) node: &'n Node,
    path: String,
    problems: &'n Problems,
}

impl<'n> Item<'n> {
    pub(super) fn root(node: &'n Node, problems: &'n Problems) -> Self {
        Self { node, path: String::new(), problems }
    }

    /// Reports a problem with this value. Always `None`, for the end of a reader.
    pub(super) fn fail<T>(&self, message: impl Display, hint: Option<String>) -> Option<T> {
        self.problems.report(self.node.span.clone(), &self.path, &message.to_string(), hint);
        None
    }

    fn wrong_kind<T>(&self, expected: &str) -> Option<T> {
        self.fail(format!("expected {expected}, found {}", self.node.kind()), None)
    }

    pub(super) fn text(&self) -> Option<&'n str> {
        match &self.node.value {
            NodeValue::Text(text) => Some(text),
            _ => self.wrong_kind("a text"),
        }
    }

    /// A text for people: not empty, not too long, and in one line unless `lines` says otherwise.
    pub(super) fn prose(&self, max: usize, lines: Lines) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            return self.fail("the text is empty", None);
        }
        if text.chars().count() > max {
            return self.fail(format!("the text is longer than {max} characters"), None);
        }
        let allowed = |c: char| !c.is_control() || (lines == Lines::Many && matches!(c, '\n' | '\r' | '\t'));
        if !text.chars().all(allowed) {
            let hint = (lines == Lines::One).then(|| "write it in one line".to_owned());
            return self.fail("the text contains a control character", hint);
        }
        Some(text.to_owned())
    }

    /// A text that a type of ours reads.
    pub(super) fn parse<T: FromStr<Err: Display>>(&self) -> Option<T> {
        self.parse_with(|error: &T::Err| (error.to_string(), None))
    }

    pub(super) fn parse_with<T: FromStr>(
        &self,
        explain: impl FnOnce(&T::Err) -> (String, Option<String>),
    ) -> Option<T> {
        match self.text()?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let (message, hint) = explain(&error);
                self.fail(message, hint)
            }
        }
    }

    /// An amount: a text with a unit, or a plain number.
    pub(super) fn amount<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let text = match &self.node.value {
            NodeValue::Text(text) => text.clone(),
            NodeValue::Integer(integer) => integer.to_string(),
            NodeValue::Float(float) => float.to_string(),
            _ => return self.wrong_kind("a number or a text with a unit"),
        };
        match text.parse() {
            Ok(amount) => Some(amount),
            Err(error) => self.fail(error, None),
        }
    }

    /// An amount between two bounds.
    pub(super) fn amount_in<T>(&self, range: &RangeInclusive<T>) -> Option<T>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let amount = self.amount()?;
        if range.contains(&amount) {
            return Some(amount);
        }
        self.fail(format!("{amount} is not between {} and {}", range.start(), range.end()), None)
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            NodeValue::Boolean(value) => Some(value),
            _ => self.wrong_kind("`true` or `false`"),
        }
    }

    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let NodeValue::Integer(integer) = self.node.value else {
            return self.wrong_kind("an integer");
        };
        let within = u32::try_from(integer).ok().filter(|value| range.contains(value));
        within.or_else(|| self.fail(format!("{integer} is not between {} and {}", range.start(), range.end()), None))
    }

    /// A number that may be below zero.
    pub(super) fn signed(&self, range: &RangeInclusive<i32>) -> Option<i32> {
        let NodeValue::Integer(integer) = self.node.value else {
            return self.wrong_kind("an integer");
        };
        let within = i32::try_from(integer).ok().filter(|value| range.contains(value));
        within.or_else(|| self.fail(format!("{integer} is not between {} and {}", range.start(), range.end()), None))
    }

    /// A number of things, at least one.
    pub(super) fn count(&self, max: u32) -> Option<NonZeroU32> {
        self.integer(1..=max).and_then(NonZeroU32::new)
    }

    /// Every item of a list; those that are wrong are reported and left out.
    pub(super) fn list<T>(&self, read: impl Fn(&Item<'n>) -> Option<T>) -> Option<Vec<T>> {
        let NodeValue::Array(nodes) = &self.node.value else {
            return self.wrong_kind("a list");
        };
        if nodes.len() > MOST_ITEMS {
            return self.fail(format!("{} items are too many; the limit is {MOST_ITEMS}", nodes.len()), None);
        }
        let items = nodes.iter().enumerate().map(|(index, node)| Item {
            node,
            path: format!("{}[{index}]", self.path),
            problems: self.problems,
        });
        Some(items.filter_map(|item| read(&item)).collect())
    }

    /// A list of which no item stands twice.
    pub(super) fn set<T: Display>(&self, read: impl Fn(&Item<'n>) -> Option<T>) -> Option<Vec<T>> {
        let seen = RefCell::new(HashSet::new());
        self.list(|item| {
            let value = read(item)?;
            if seen.borrow_mut().insert(value.to_string()) {
                return Some(value);
            }
            item.fail(format!("`{}` is listed twice", shorten(&value.to_string())), None)
        })
    }

    /// A table with these keys and no others.
    pub(super) fn table(&self, keys: &'static [&'static str]) -> Option<Table<'n>> {
        let table = self.open_table(keys)?;
        table.refuse_unknown(NO_SUCH_KEY, "the keys here are");
        Some(table)
    }

    /// A table whose unknown keys the caller refuses.
    pub(super) fn open_table(&self, keys: &'static [&'static str]) -> Option<Table<'n>> {
        match &self.node.value {
            NodeValue::Table(entries) => Some(Table { item: self.clone(), entries, keys }),
            _ => self.wrong_kind("a table"),
        }
    }

    /// The entries of a table whose keys are names. Each is given with the place of its key.
    pub(super) fn named<K: FromStr<Err: Display>>(&self) -> Option<Vec<(K, Item<'n>)>> {
        let NodeValue::Table(entries) = &self.node.value else {
            return self.wrong_kind("a table");
        };
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries {
            let item = self.child(entry);
            match entry.key.parse::<K>() {
                Ok(name) => named.push((name, item)),
                Err(error) => self.problems.report(entry.span.clone(), &item.path, &error.to_string(), None),
            }
        }
        Some(named)
    }

    fn child(&self, entry: &'n Entry) -> Item<'n> {
        let key = shorten(&entry.key);
        let path = if self.path.is_empty() { key } else { format!("{}.{key}", self.path) };
        Item { node: &entry.node, path, problems: self.problems }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.node.value, NodeValue::Text(_))
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.node.value, NodeValue::Table(_))
    }
}

/// Whether a text for people may have several lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    One,
    Many,
}

/// A table whose keys are known.
#[derive(Debug)]
pub(super) struct Table<'n> {
    item: Item<'n>,
    entries: &'n [Entry],
    keys: &'static [&'static str],
}

impl<'n> Table<'n> {
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'n>> {
        debug_assert!(self.keys.contains(&key), "`{key}` is missing in the list of keys");
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.item.child(entry))
    }

    /// A key that must be there.
    pub(super) fn require(&self, key: &'static str, example: &str) -> Option<Item<'n>> {
        self.get(key)
            .or_else(|| self.item.fail(format!("the key `{key}` is missing"), Some(format!("add `{example}`"))))
    }

    /// Reports each key that is not known, with the name of the one that was meant, or of all that could stand there.
    pub(super) fn refuse_unknown(&self, message: &str, all: &str) {
        for entry in self.entries.iter().filter(|entry| !self.keys.contains(&entry.key.as_str())) {
            // No hint is needed for problems that are only counted.
            let hint = (!self.item.problems.is_full()).then(|| match did_you_mean(&entry.key, self.keys) {
                Some(key) => format!("did you mean `{key}`?"),
                None => format!("{all} {}", self.keys.join(", ")),
            });
            let path = self.item.child(entry).path;
            self.item.problems.report(entry.span.clone(), &path, message, hint);
        }
    }
}

/// The candidate that was most likely meant, if any is near enough.
pub(super) fn did_you_mean<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let plain = |text: &str| text.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let meant = plain(text);
    // A foreign text can be long, and the comparison takes time in proportion to its length.
    if meant.is_empty() || meant.len() > 64 {
        return None;
    }
    let mut comparisons = Comparisons::new();
    let near = |candidate: &&'a str| {
        let candidate_plain = plain(candidate);
        let distance = comparisons.distance(&meant, &candidate_plain)?;
        let close = distance <= meant.len().max(candidate_plain.len()) / 3;
        let begins = meant.len() >= 3 && candidate_plain.starts_with(&meant);
        (close || begins).then_some((distance, *candidate))
    };
    candidates.iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}
