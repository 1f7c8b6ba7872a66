//! Addresses that could be one another. `/plugins/{plugin_id}` could be `/plugins/stats`, and of two addresses that fit, the
//! one with more fixed words is meant: so `stats` is not the name of a plugin there. The document has to say so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::endpoint::api::{Api, Operation};

/// Where an operation stands among the others.
pub struct Place {
    /// Words that its parameters cannot be.
    pub taken: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// With one of these words it is an address that is not for this method.
    pub refused: bool,
}

impl Place {
    pub fn of(path: &'static str, operation: &Operation, api: &Api) -> Self {
        let others = || api.routes.iter().map(|route| &route.operation);
        let addresses = || others().flat_map(Operation::addresses);
        let serves = |address: &str| {
            let same = |other: &&Operation| other.method == operation.method;
            others().filter(same).flat_map(Operation::addresses).any(|other| other == address)
        };
        Self {
            taken: taken(addresses(), path),
            refused: addresses().any(|other| goes_before(other, path) && !serves(other)),
        }
    }
}

impl Place {
    /// Says of a parameter of the path which words it cannot be. Its schema is written out then: some readers take
    /// nothing beside a `$ref` in.
    pub fn narrow(&self, parameter: &mut Value, definitions: &Map<String, Value>) {
        let Some(words) = parameter["name"].as_str().and_then(|name| self.taken.get(name)) else { return };
        let schema = &mut parameter["schema"];
        let named = schema["$ref"].as_str().and_then(|reference| definitions.get(reference.rsplit('/').next()?));
        if let Some(named) = named {
            *schema = named.clone();
        }
        schema["not"] = json!({"enum": words});
    }
}

/// The words that a parameter of an address cannot be, because another address has them in its place: by parameter.
fn taken<'a>(paths: impl Iterator<Item = &'a str>, path: &'a str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut taken: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, word) in paths.filter_map(|other| difference(path, other)) {
        taken.entry(name).or_default().insert(word);
    }
    taken
}

/// Whether some address goes before another where both fit.
fn goes_before(other: &str, path: &str) -> bool {
    difference(path, other).is_some()
}

/// The parameter of an address, and the word in its place in another that is the same otherwise.
fn difference<'a>(path: &'a str, other: &'a str) -> Option<(&'a str, &'a str)> {
    if path.split('/').count() != other.split('/').count() {
        return None;
    }
    let mut pairs = path.split('/').zip(other.split('/')).filter(|(own, other)| own != other);
    let (own, word) = pairs.next()?;
    let name = own.strip_prefix('{')?.strip_suffix('}')?;
    (pairs.next().is_none() && !word.is_empty() && !word.starts_with('{')).then_some((name, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_words_go_before_parameters() {
        let paths =
            ["/plugins", "/plugins/", "/plugins/{id}", "/plugins/stats", "/plugins/{id}/stats", "/plugins/bulk"];
        let taken = |path| taken(paths.into_iter(), path);
        assert_eq!(taken("/plugins/{id}"), BTreeMap::from([("id", BTreeSet::from(["bulk", "stats"]))]));
        assert_eq!(taken("/plugins/{id}/stats"), BTreeMap::new());
        assert_eq!(taken("/plugins/stats"), BTreeMap::new());
        assert!(goes_before("/plugins/{id}/config/diff", "/plugins/{id}/config/{key}"));
        assert!(!goes_before("/plugins/{id}/config/{key}", "/plugins/{id}/config/diff"));
        assert!(!goes_before("/plugins/{id}", "/plugins/{id}"));
    }
}
