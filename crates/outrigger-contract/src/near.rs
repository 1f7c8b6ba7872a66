//! Suggests a similar name for an unknown one. The cost of comparing two names is the product of their lengths, and
//! both can be untrusted, so the number of comparisons is limited.

/// Maximum number of character pairs that are compared for one name. A pair takes about ten nanoseconds.
const MOST_WORK: usize = 200_000;

/// The remaining number of comparisons.
pub(crate) struct Comparisons(usize);

impl Comparisons {
    pub(crate) const fn new() -> Self {
        Self(MOST_WORK)
    }

    /// The edit distance of two names; none if comparing them exceeds the remaining work.
    pub(crate) fn distance(&mut self, one: &str, other: &str) -> Option<usize> {
        self.0 = self.0.checked_sub(one.len().saturating_mul(other.len()))?;
        Some(strsim::damerau_levenshtein(one, other))
    }
}

/// The most similar name, if one is similar enough.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &str| 1 + candidate.len() / 4;
    let mut comparisons = Comparisons::new();
    let alike = known.into_iter().filter(|candidate| candidate.len().abs_diff(name.len()) <= near(candidate));
    let compared = alike.map_while(|candidate| Some((comparisons.distance(candidate, name)?, candidate)));
    compared.filter(|(distance, candidate)| *distance <= near(candidate)).min().map(|(_, candidate)| candidate)
}

/// Maximum number of names that are listed if none is similar.
const LISTED: usize = 30;

/// The first names for a message, and whether there are more.
#[must_use]
pub fn list<T: std::fmt::Display>(known: impl IntoIterator<Item = T>) -> String {
    let mut known = known.into_iter().map(|name| name.to_string());
    let listed = known.by_ref().take(LISTED).collect::<Vec<_>>().join(", ");
    if known.next().is_some() { listed + " and more" } else { listed }
}

/// The fault of an unknown name: with a similar name, or else with the names that exist.
#[must_use]
pub fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let shown: String = name.chars().take(60).collect();
    match nearest(name, known.clone()) {
        Some(candidate) => format!("there is no {what} `{shown}`; did you mean `{candidate}`?"),
        None => match list(known.map(|name| format!("`{name}`"))) {
            none if none.is_empty() => format!("there is no {what} `{shown}`; none is expected here"),
            known => format!("there is no {what} `{shown}`; expected one of {known}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen() {
        assert_eq!(nearest("qoute", ["quit", "quote"]), Some("quote"));
        assert_eq!(nearest("elephant", ["quit", "quote"]), None);
        assert_eq!(list(["a", "b"]), "a, b");
        assert_eq!(list(vec!["a"; 31]), format!("{} and more", vec!["a"; 30].join(", ")));
    }

    #[test]
    fn s03_only_so_many_names_are_compared() {
        // Each pair takes the product of the lengths.
        for (name, of_candidates, compared) in [(128, 128, 12), (10, 10, 2_000), (1 << 20, 1 << 20, 0)] {
            let candidate = "x".repeat(of_candidates);
            let asked = std::cell::Cell::new(0);
            let known = std::iter::repeat_n(candidate.as_str(), 1_000_000).inspect(|_| asked.set(asked.get() + 1));
            let found = nearest(&"y".repeat(name), known);
            assert_eq!((found, asked.get()), (None, compared + 1));
        }
    }
}
