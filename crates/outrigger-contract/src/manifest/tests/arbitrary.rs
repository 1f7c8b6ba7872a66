//! Arbitrary and almost right manifests: the reader reports problems and never panics.

use proptest::prelude::*;

use super::{FULL, LEAST};
use crate::manifest::Manifest;

/// A line of a manifest, right or not quite.
fn line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "name",
        "version",
        "title",
        "runtime.kind",
        "runtime.entry",
        "runtime.instances",
        "limits.memory",
        "limits",
        "functions.a.cache",
        "functions.a.retry",
        "functions.a.read-only",
        "configuration.k.type",
        "configuration.k",
        "configuration.k.default",
        "configuration.k.enum",
        "permissions.http",
        "permissions.files",
        "dependencies.x",
        "hooks.\"a.b\"",
        "hooks",
        "subscriptions",
        "migrations",
        "[runtime]",
        "[functions]",
        "\"\"",
        "[[limits]]",
    ]);
    let value = prop::sample::select(vec![
        "\"wasm\"",
        "\"a.wasm\"",
        "1",
        "-1",
        "0.5",
        "nan",
        "inf",
        "true",
        "[]",
        "{}",
        "[1, \"a\", {}]",
        "\"1.0.0\"",
        "\"string\"",
        "\"5m\"",
        "1979-05-27",
        "{ path = 1 }",
        "{ kind = \"event\", description = \"x\" }",
        "[{ hook = \"a.b\", function = \"c\", priority = -1 }]",
        "[{ from = \"<1.0.0\", rename = { a = \"b\" }, set = { c = 1 } }]",
        "[{ path = \"/a/\", access = \"write\" }]",
        "[\"*:*\"]",
        "99999999999999999999",
        "{ warm = { max-calls = 0 } }",
        "\"\"",
        "\"\\u0000\"",
        "\"ä\"",
    ]);
    (key, value).prop_map(|(key, value)| if key.starts_with('[') { key.to_owned() } else { format!("{key} = {value}") })
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC{0,200}|[a-z\\[\\]{}=\"'.,\n#äé0-9 ]{0,200}") {
        if let Err(error) = Manifest::parse(&text) {
            prop_assert!(!error.problems().is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn reading_almost_right_manifests_never_panics(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        for text in [text.clone(), format!("{LEAST}\n{text}"), format!("{text}\n{FULL}")] {
            match Manifest::parse(&text) {
                Ok(manifest) => {
                    let stored = serde_json::to_value(&manifest).unwrap();
                    prop_assert_eq!(serde_json::from_value::<Manifest>(stored).unwrap(), manifest);
                }
                Err(error) => prop_assert!(error.problems().iter().all(|problem| !problem.message.is_empty())),
            }
        }
    }

    #[test]
    fn a_removed_piece_never_panics(start in 0..FULL.len(), length in 0..200_usize) {
        let end = (start + length).min(FULL.len());
        let text = format!("{}{}", &FULL[..start], &FULL[end..]);
        if let Ok(manifest) = Manifest::parse(&text) {
            let stored = serde_json::to_value(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_value::<Manifest>(stored).unwrap(), manifest);
        }
    }
}
