//! Text that a plugin chooses, where people read it: names, documentation, errors, log lines, permissions. Characters
//! that control a terminal or mislead its reader are escaped.

use outrigger_testkit::components;
use serde_json::Value;

use crate::harness::{Outcome, Place};

/// Clears the screen, sets a title, reverses the reading direction, hides letters, and starts a new line.
const MISLEADING: &str = "a\u{1b}[2J\u{9b}31m\u{7}\u{202e}b\u{200b}\u{e0041}\u{2028}\rerror[forged]: c";
/// The same, as far as a manifest accepts it.
const LET_IN: &str = "x\u{202e}y\u{200b}\u{2066}z\u{feff}\u{e0041}\u{61c}";

const WIT: &str = "package test:stranger;
world plugin {
  import outrigger:plugin/logging@1.0.0;
  /// Fails.
  export fail: func() -> result<string, string>;
  /// Answers.
  export answer: func() -> string;
  /// Says something.
  export say: func();
}";

/// One text at 64, which each function returns in its own way.
fn core() -> String {
    let data: String = MISLEADING.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let length = MISLEADING.len();
    format!(
        "(module
          (import \"outrigger:plugin/logging@1.0.0\" \"log\" (func $log (param i32 i32 i32 i32 i32)))
          (memory (export \"memory\") 1)
          (data (i32.const 64) \"{data}\")
          (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
          (func (export \"fail\") (result i32)
            (i32.store8 (i32.const 16) (i32.const 1))
            (i32.store (i32.const 20) (i32.const 64))
            (i32.store (i32.const 24) (i32.const {length}))
            (i32.const 16))
          (func (export \"answer\") (result i32)
            (i32.store (i32.const 32) (i32.const 64))
            (i32.store (i32.const 36) (i32.const {length}))
            (i32.const 32))
          (func (export \"say\")
            (call $log (i32.const 3) (i32.const 64) (i32.const {length}) (i32.const 0) (i32.const 0))))"
    )
}

fn stranger() -> Place {
    let place = Place::new();
    place.write("stranger/x.wasm", components::component(WIT, &core()));
    let manifest = format!(
        "name = \"stranger\"\nversion = \"1.0.0\"\ntitle = \"{LET_IN}\"\ndescription = \"{LET_IN}\"\n\
         authors = [\"{LET_IN}\"]\n[runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n"
    );
    place.write("stranger/plugin.toml", manifest);
    place
}

#[track_caller]
fn is_safe(outcome: &Outcome) {
    for text in [&outcome.stdout, &outcome.stderr] {
        let found = text.chars().find(|c| !matches!(c, '\n' | '\t') && outrigger_contract::text::is_misleading(*c));
        assert_eq!(found, None, "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("error[forged]")), "{text:?}");
    }
}

#[test]
fn s10_texts_of_a_plugin_are_shown_and_do_nothing() {
    let place = stranger();
    let installed = place.run(&["plugin", "install", "./stranger"]).succeeded();
    is_safe(&installed);
    assert!(installed.stderr.contains(r"x\u{202e}y\u{200b}\u{2066}z\u{feff}\u{e0041}\u{61c}"), "{installed:#?}");
    for words in [
        &["plugin", "list"][..],
        &["plugin", "info", "stranger"],
        &["functions"],
        &["functions", "stranger.answer"],
        &["call", "stranger.fail"],
        &["call", "stranger.answer", "--help"],
        &["call", "stranger.say"],
        &["plugin", "logs", "stranger"],
        &["runs", "stranger"],
        &["plugin", "validate", "./stranger"],
    ] {
        for format in ["table", "json", "yaml"] {
            let outcome = place.run(&[words, &["-o", format]].concat());
            assert!(outcome.code != 101, "{words:?}: {outcome:#?}");
            is_safe(&outcome);
        }
    }
    let failed = place.run(&["call", "stranger.fail"]);
    assert!(
        failed.stderr.contains(r"a\u{1b}[2J\u{9b}31m\u{7}\u{202e}b\u{200b}\u{e0041}\u{2028}\rerror[forged]: c"),
        "{failed:#?}"
    );
}

#[test]
fn s10_data_for_programs_is_what_the_plugin_said() {
    let place = stranger();
    place.run(&["plugin", "install", "./stranger"]).succeeded();
    let listed = place.json(&["plugin", "list"]);
    assert_eq!(listed[0]["title"], LET_IN);
    let called = place.json(&["call", "stranger.answer"]);
    assert_eq!(called, Value::from(MISLEADING));
    // In the form for a file.
    let raw = place.run(&["call", "stranger.answer"]).succeeded();
    assert_eq!(raw.stdout, format!("{MISLEADING}\n"));
    let failed = place.run(&["call", "stranger.fail", "-o", "json"]);
    let error: Value = serde_json::from_str(&failed.stderr).unwrap();
    assert!(error["message"].as_str().unwrap().contains(MISLEADING), "{error}");
}
