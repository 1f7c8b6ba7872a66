//! YAML: the only place that parses it.

use serde::de::DeserializeOwned;

/// Maximum number of nodes that all aliases of a document expand to. Nested aliases could expand to more than fits into
/// memory.
const MOST_OF_ALIASES: usize = 10_000;
/// Maximum number of uses of an alias.
const MOST_ALIASES: usize = 1_000;

/// Parses a document. The library limits the rest: depth 64, 250,000 nodes, 64 MiB of scalars.
///
/// # Errors
/// It is not valid YAML, does not match the type, or exceeds a limit.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_aliases: MOST_ALIASES },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_OF_ALIASES },
        // The error does not quote the text: it can be a secret, or long.
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        from_str(text).map_err(|error| error.to_string())
    }

    /// Each level expands to nine times the previous one, all of them to 2.8 billion texts.
    #[test]
    fn s03_laughs_are_not_counted_in_billions() {
        let laughs = |levels: usize| {
            let level = |number: usize| match number {
                0 => "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned(),
                _ => format!("a{number}: &a{number} [{}]\n", vec![format!("*a{}", number - 1); 9].join(", ")),
            };
            (0..levels).map(level).collect::<String>()
        };
        assert!(laughs(10).len() < 600);
        let error = read(&laughs(10)).unwrap_err();
        assert!(error.contains("10001") || error.contains("10000"), "{error}");
        let value = read(&laughs(3)).expect("it is little");
        assert_eq!(value["a2"][8][8], json!(vec!["lol"; 9]));
    }

    #[test]
    fn s03_what_a_document_may_consist_of_is_bounded() {
        let long = format!("a: &a {}\n", "x".repeat(100_000));
        for (what, text) in [
            ("aliases of a long text", format!("{long}b: [{}]\n", vec!["*a"; 20_000].join(","))),
            ("lists", format!("a: {}", "[".repeat(1_000_000))),
            ("lists by dashes", "- ".repeat(1_000_000)),
            ("keys", "? ".repeat(100_000)),
            ("indentation", (0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
            ("the same key", "a: 1\n".repeat(100_000)),
            ("an exponent", "a: 1e1000000000".to_owned()),
        ] {
            let error = read(&text).expect_err(what);
            assert!(error.len() < 500, "{what}: {} bytes", error.len());
        }
        read(&format!("a: {}", "1".repeat(5_000_000))).expect_err("it is no number");
        let honest = "base: &base {image: x, tags: [a, b]}\nother: {<<: *base, image: new}\n";
        assert_eq!(
            read(honest),
            Ok(json!({"base": {"image": "x", "tags": ["a", "b"]}, "other": {"image": "new", "tags": ["a", "b"]}}))
        );
    }
}
