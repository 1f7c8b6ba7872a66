//! Requests memory for reading JSON before it is allocated: values can be a thousand times as large as their JSON.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

use super::size::map_size;
use crate::types::value::Value;

/// The overhead of an allocation, in bytes.
pub(crate) const ALLOCATION: usize = 16;

/// The size of the first request. Each further request is twice as large, up to the maximum.
const FIRST: usize = 2 << 10;
const LAST: usize = 64 << 10;

/// Counts the bytes of values, and requests more in steps.
pub struct Meter<'a> {
    left: Cell<usize>,
    step: Cell<usize>,
    is_over: Cell<bool>,
    /// Returns whether this many more bytes are granted.
    more: &'a dyn Fn(usize) -> bool,
}

impl std::fmt::Debug for Meter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("left", &self.left).field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl<'a> Meter<'a> {
    /// A meter that requests bytes from `more`.
    #[must_use]
    pub const fn new(more: &'a dyn Fn(usize) -> bool) -> Self {
        Self::with_allowance(0, more)
    }

    /// A meter that requests bytes from `more` beyond an allowance.
    #[must_use]
    pub const fn with_allowance(bytes: usize, more: &'a dyn Fn(usize) -> bool) -> Self {
        Self { left: Cell::new(bytes), step: Cell::new(FIRST), is_over: Cell::new(false), more }
    }

    /// A meter without a limit, for data that is known to be small.
    #[must_use]
    pub const fn unbounded() -> Meter<'static> {
        Meter::new(&|_| true)
    }

    /// Whether a request was refused.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Bytes that were granted and are not used yet.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left.get()
    }

    /// Takes bytes; none if the request is refused.
    #[inline]
    pub(super) fn take(&self, bytes: usize) -> Option<()> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Some(())
            }
            None => self.take_more(bytes),
        }
    }

    #[cold]
    fn take_more(&self, bytes: usize) -> Option<()> {
        let step = self.step.get();
        let missing = (bytes - self.left.get()).max(step);
        if self.is_over.get() || !(self.more)(missing) {
            self.is_over.set(true);
            return None;
        }
        self.step.set((step * 2).min(LAST));
        self.left.set(self.left.get() + missing - bytes);
        Some(())
    }

    /// Takes one allocation of this size.
    #[inline]
    pub(super) fn allocation(&self, bytes: usize) -> Option<()> {
        if bytes == 0 { Some(()) } else { self.take(bytes.saturating_add(ALLOCATION)) }
    }

    /// A value in a box.
    #[inline]
    pub(super) fn boxed(&self) -> Option<()> {
        self.allocation(size_of::<Value>())
    }

    /// An empty list with this capacity.
    #[inline]
    pub(super) fn list<T>(&self, length: usize) -> Option<Vec<T>> {
        self.allocation(length.saturating_mul(size_of::<T>()))?;
        Some(Vec::with_capacity(length))
    }

    /// Appends an item to a list. While the list grows, the old and the new allocation exist at the same time.
    pub(super) fn push<T>(&self, list: &mut Vec<T>, item: T) -> Option<()> {
        if list.len() == list.capacity() {
            let had = list.capacity();
            let more = had.max(4);
            self.allocation((had + more) * size_of::<T>())?;
            list.reserve_exact(more);
            self.left.set(self.left.get() + had * size_of::<T>());
        }
        list.push(item);
        Some(())
    }
}

/// Reads JSON as a tree.
#[derive(Clone, Copy)]
pub(super) struct Tree<'a>(pub(super) &'a Meter<'a>);

impl Tree<'_> {
    fn of<T, E: Error>(taken: Option<T>) -> Result<T, E> {
        taken.ok_or_else(|| E::custom("memory limit exceeded"))
    }

    fn text<E: Error>(self, text: &str) -> Result<String, E> {
        Self::of(self.0.allocation(text.len()))?;
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        self.text(text).map(Json::String)
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            Self::of(self.0.push(&mut list, item))?;
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key_seed(Name(self))? {
            let value = members.next_value_seed(self)?;
            // While a map grows, the old and the new table exist at the same time.
            let (had, needed) = (map_size(map.len()), map_size(map.len() + 1));
            if needed > had {
                Self::of(self.0.take(needed))?;
                self.0.left.set(self.0.left.get() + had);
            }
            map.insert(name, value);
        }
        Ok(Json::Object(map))
    }
}

/// The name of a member.
struct Name<'a>(Tree<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = String;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        self.0.text(text)
    }
}
