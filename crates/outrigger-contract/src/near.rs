//! The name that was probably meant where one is not known. Comparing two names takes the product of their lengths, and strangers
//! choose both sides, so only so much is compared.

/// Pairs of characters that are compared for one name. A pair takes about ten nanoseconds.
const MOST_WORK: usize = 200_000;

/// What may still be compared.
pub(crate) struct Comparisons(usize);

impl Comparisons {
    pub(crate) const fn new() -> Self {
        Self(MOST_WORK)
    }

    /// How far two names are apart; none where comparing them is more than is left.
    pub(crate) fn distance(&mut self, one: &str, other: &str) -> Option<usize> {
        self.0 = self.0.checked_sub(one.len().saturating_mul(other.len()))?;
        Some(strsim::damerau_levenshtein(one, other))
    }
}

/// The name that was probably meant, if one of them is near enough.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &str| 1 + candidate.len() / 4;
    let mut comparisons = Comparisons::new();
    let alike = known.into_iter().filter(|candidate| candidate.len().abs_diff(name.len()) <= near(candidate));
    let compared = alike.map_while(|candidate| Some((comparisons.distance(candidate, name)?, candidate)));
    compared.filter(|(distance, candidate)| *distance <= near(candidate)).min().map(|(_, candidate)| candidate)
}

/// Names that are listed where none is near.
const LISTED: usize = 30;

/// Names in a message: the first of them, and whether there are more.
#[must_use]
pub fn list<T: std::fmt::Display>(known: impl IntoIterator<Item = T>) -> String {
    let mut known = known.into_iter().map(|name| name.to_string());
    let listed = known.by_ref().take(LISTED).collect::<Vec<_>>().join(", ");
    if known.next().is_some() { listed + " and more" } else { listed }
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
