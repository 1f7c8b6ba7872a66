//! Documents that nobody wrote: made of the words that rules look for, in every wrong place, and texts with a piece
//! broken out. The generator is seeded, so a failure comes again.

use serde_json::{Map, Value};

use super::{ALL, cloudformation, terraform};
use crate::report::validate;
use crate::rule::{Check, built_in};

/// A xorshift generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below the bound")
    }

    fn one<'w>(&mut self, words: &'w [String]) -> &'w str {
        &words[self.below(words.len())]
    }

    fn value(&mut self, words: &[String], depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::from(i64::try_from(self.below(70_000)).expect("small") - 1),
            3 | 4 => Value::from(self.one(words)),
            5 | 6 => (0..self.below(4)).map(|_| self.value(words, depth - 1)).collect(),
            _ => {
                let entries = (0..self.below(6)).map(|_| (self.one(words).to_owned(), self.value(words, depth - 1)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}

/// Every word of the rules' paths and types, and some that the readers look for.
fn words() -> Vec<String> {
    let mut words: Vec<String> = [
        "Resources",
        "Type",
        "Properties",
        "resources",
        "type",
        "properties",
        "planned_values",
        "root_module",
        "values",
        "address",
        "Ref",
        "Fn::If",
        "Fn::Sub",
        "AWS::NoValue",
        "Statement",
        "Effect",
        "Allow",
        "Principal",
        "Action",
        "*",
        "Resource",
        "Inbound",
        "access",
        "direction",
        "0.0.0.0/0",
        "::/0",
        "22-3389",
        "tcp",
        "-1",
        "[parameters('x')]",
        "parameters",
        "defaultValue",
        "kind",
        "bindings",
        "items",
        "value",
        "format_version",
        "contentVersion",
        "bucket",
        "after_unknown",
        "change",
        "resource_changes",
        "configuration",
        "Tags",
        "tags",
        "Key",
        "[",
        "]",
        "",
        "~",
        "/",
        "existing",
        "template",
        "Microsoft.Resources/deployments",
        "forward",
        "HTTP",
        "\u{0}",
        "ä",
    ]
    .map(str::to_owned)
    .into();
    for rule in built_in() {
        for target in rule.targets {
            words.push(target.kind.into_owned());
            if let Check::All(expected) | Check::Any(expected) = target.check {
                words.extend(expected.iter().flat_map(|(path, _)| path.split('/').map(str::to_owned)));
            }
        }
    }
    words
}

#[test]
fn no_document_makes_it_panic() {
    let rules = built_in();
    let words = words();
    let kinds: Vec<String> =
        rules.iter().flat_map(|rule| rule.targets.iter().map(|target| target.kind.to_string())).collect();
    let tags = ["owner".to_owned()];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut reports = 0;
    for round in 0..4000 {
        let value = dice.value(&words, 5);
        let kind = dice.one(&kinds).to_owned();
        let document = match round % 4 {
            0 => value,
            1 => cloudformation(&kind, value),
            2 => terraform(&[(&kind, value), ("aws_s3_bucket_versioning", dice.value(&words, 3))]),
            _ => super::arm(&kind, value),
        };
        if let Ok(report) = validate(&document.to_string(), None, &rules, ALL, &tags) {
            reports += 1;
            let pointers = report.findings.iter().map(|finding| &finding.path);
            assert!(pointers.clone().all(|path| path.is_empty() || path.starts_with('/')), "{document}");
        }
    }
    assert!(reports >= 3000, "{reports}");
}

#[test]
fn no_text_makes_it_panic() {
    let yaml = "A: &a !If [x, {b: !Ref c, ? d : \"e\\u00e4\"}, *a]\nB:\n  - |-\n    text\n  - !!int 0x1f\n  - {<<: *a}\n---\n%TAG ! y\n";
    let json = cloudformation("AWS::S3::Bucket", serde_json::json!({ "Tags": [{ "Key": "\u{1F600}" }] })).to_string();
    let pieces =
        [": ", "\n", "- ", "!", "&a ", "*a", "{", "]", "\"", "'", "\t", "|", "%", "\u{feff}", "ä", "\u{0}", "<<", "? "];
    let rules = built_in();
    let mut dice = Dice(42);
    for round in 0..6000 {
        let mut text: Vec<char> = if round % 2 == 0 { yaml } else { &json }.chars().collect();
        for _ in 0..=dice.below(4) {
            let at = dice.below(text.len().max(1)).min(text.len());
            let until = (at + dice.below(6)).min(text.len());
            let piece: Vec<char> = pieces[dice.below(pieces.len())].chars().collect();
            text.splice(at..until, piece);
        }
        let text: String = text.into_iter().collect();
        let _ = validate(&text, None, &rules, ALL, &[]);
    }
}
