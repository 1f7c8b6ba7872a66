//! A value of a type in the graph. It carries no names: a record is its fields in order, a case its index. Names are
//! the type's, and are looked up only where a value becomes JSON.

use std::hash::{Hash, Hasher};

use bytes::Bytes;

use super::json::ALLOCATION;

/// A value. Which variant it is follows from its type; see each.
#[derive(Clone, Debug)]
pub enum Value {
    Bool(bool),
    /// `u8`, `u16`, `u32`, `u64`.
    Unsigned(u64),
    /// `s8`, `s16`, `s32`, `s64`.
    Signed(i64),
    Float32(f32),
    Float64(f64),
    Char(char),
    String(String),
    /// `list<u8>`. Cloning it copies no bytes.
    Bytes(Bytes),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// The fields in the order of their declaration.
    Record(Vec<Value>),
    Option(Option<Box<Value>>),
    Result(Result<Option<Box<Value>>, Option<Box<Value>>>),
    /// The index of the case, and its payload where it has one.
    Variant(u32, Option<Box<Value>>),
    /// The index of the case.
    Enum(u32),
    /// The indices of the flags that are set, ascending.
    Flags(Vec<u32>),
}

/// Equal as values: all NaNs are equal to each other, and `0.0` differs from `-0.0`. So a value always equals itself,
/// which a cache key and a round trip need.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Unsigned(a), Self::Unsigned(b)) => a == b,
            (Self::Signed(a), Self::Signed(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => canonical_f32(*a) == canonical_f32(*b),
            (Self::Float64(a), Self::Float64(b)) => canonical_f64(*a) == canonical_f64(*b),
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) | (Self::Record(a), Self::Record(b)) => {
                a == b
            }
            (Self::Option(a), Self::Option(b)) => a == b,
            (Self::Result(a), Self::Result(b)) => a == b,
            (Self::Variant(a, x), Self::Variant(b, y)) => a == b && x == y,
            (Self::Enum(a), Self::Enum(b)) => a == b,
            (Self::Flags(a), Self::Flags(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Equal values have equal hashes; every part is length-prefixed or tagged, so that different values of one type
/// never feed a hasher the same bytes.
impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Unsigned(value) => value.hash(state),
            Self::Signed(value) => value.hash(state),
            Self::Float32(value) => canonical_f32(*value).hash(state),
            Self::Float64(value) => canonical_f64(*value).hash(state),
            Self::Char(value) => value.hash(state),
            Self::String(value) => value.hash(state),
            Self::Bytes(value) => value.hash(state),
            Self::List(values) | Self::Tuple(values) | Self::Record(values) => values.hash(state),
            Self::Option(value) => value.hash(state),
            Self::Result(value) => value.hash(state),
            Self::Variant(case, payload) => (case, payload).hash(state),
            Self::Enum(case) => case.hash(state),
            Self::Flags(flags) => flags.hash(state),
        }
    }
}

fn canonical_f32(value: f32) -> u32 {
    if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() }
}

fn canonical_f64(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

impl Value {
    /// The heap size of the value, in bytes: all allocations in it.
    #[must_use]
    pub fn heap(&self) -> usize {
        let allocation = |bytes: usize| if bytes == 0 { 0 } else { bytes + ALLOCATION };
        match self {
            Self::Bool(_)
            | Self::Unsigned(_)
            | Self::Signed(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Char(_)
            | Self::Enum(_) => 0,
            Self::String(text) => allocation(text.capacity()),
            Self::Bytes(bytes) => allocation(bytes.len()),
            Self::List(items) | Self::Tuple(items) | Self::Record(items) => {
                allocation(items.capacity() * size_of::<Self>()) + items.iter().map(Self::heap).sum::<usize>()
            }
            Self::Option(inner) | Self::Variant(_, inner) | Self::Result(Ok(inner) | Err(inner)) => {
                inner.as_deref().map_or(0, |value| allocation(size_of::<Self>()) + value.heap())
            }
            Self::Flags(flags) => allocation(flags.capacity() * size_of::<u32>()),
        }
    }

    /// The size in bytes of the data in it: text and bytes by length, everything else by its width.
    /// Limits on output are measured with it.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Bool(_) => 1,
            Self::Unsigned(_) | Self::Signed(_) | Self::Float64(_) => 8,
            Self::Float32(_) | Self::Char(_) | Self::Enum(_) => 4,
            Self::String(text) => 8 + text.len(),
            Self::Bytes(bytes) => 8 + bytes.len(),
            Self::List(items) | Self::Tuple(items) | Self::Record(items) => {
                8 + items.iter().map(Self::size).sum::<usize>()
            }
            Self::Option(inner) | Self::Variant(_, inner) => 4 + inner.as_deref().map_or(0, Self::size),
            Self::Result(Ok(inner) | Err(inner)) => 4 + inner.as_deref().map_or(0, Self::size),
            Self::Flags(flags) => 8 + 4 * flags.len(),
        }
    }

    /// What is left of a number of bytes after the [`Self::size`] of this value; `None` if it is larger. Stops counting
    /// there.
    #[must_use]
    pub fn left_of(&self, bytes: usize) -> Option<usize> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Record(items) => {
                items.iter().try_fold(bytes.checked_sub(8)?, |left, item| item.left_of(left))
            }
            Self::Option(Some(inner))
            | Self::Variant(_, Some(inner))
            | Self::Result(Ok(Some(inner)) | Err(Some(inner))) => inner.left_of(bytes.checked_sub(4)?),
            flat => bytes.checked_sub(flat.size()),
        }
    }
}
