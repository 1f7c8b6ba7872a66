//! Objects only. The code that serde derives for a struct also accepts a list of the members' values in order, without
//! some at the end. No schema documents that, and a client that sends such a list made a mistake.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a nested struct, for `#[serde(deserialize_with = "…")]`.
///
/// # Errors
/// It is not an object, or does not match the struct.
pub fn only<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Members(PhantomData))
}

/// The same for a list of them.
///
/// # Errors
/// It is not a list, or an item does not match the struct.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(read)| read).collect())
}

/// Like `list`, for a list with a maximum number of items. No further items are read.
///
/// # Errors
/// Like `list`, or the list has too many items.
pub fn list_up_to<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(UpTo::<T, MOST>(PhantomData))
}

struct UpTo<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for UpTo<T, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MOST} objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(Object(item)) = items.next_element()? {
            if all.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            all.push(item);
        }
        Ok(all)
    }
}

struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        only(deserializer).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        name: String,
        #[serde(default)]
        count: u32,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[serde(deserialize_with = "only")]
        one: Inner,
        #[serde(default, deserialize_with = "list")]
        all: Vec<Inner>,
    }

    #[test]
    fn structs_are_read_from_objects_alone() {
        let check = |text: &str, expected: Result<&str, &str>| match (serde_json::from_str::<Outer>(text), expected) {
            (Ok(Outer { one, all }), Ok(expected)) => {
                let read: Vec<_> = [one].into_iter().chain(all).map(|Inner { name, count }| (name, count)).collect();
                assert_eq!(format!("{read:?}"), expected, "{text}");
            }
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{text}: {error}"),
            (read, _) => panic!("{text}: {read:?}"),
        };
        check(r#"{"one": {"name": "a"}}"#, Ok(r#"[("a", 0)]"#));
        check(r#"{"one": {"name": "a"}, "all": [{"count": 2, "name": "b"}]}"#, Ok(r#"[("a", 0), ("b", 2)]"#));
        check(r#"{"one": ["a"]}"#, Err("invalid type: sequence, expected an object"));
        check(r#"{"one": {"name": "a"}, "all": [["b", 2]]}"#, Err("invalid type: sequence, expected an object"));
        check(r#"{"one": null}"#, Err("expected an object"));
        check(r#"{"one": {"name": "a", "size": 1}}"#, Err("unknown field `size`"));
        check(r#"{"one": {"count": 1}}"#, Err("missing field `name`"));
        check(r#"{"all": []}"#, Err("missing field `one`"));
    }
}
