//! What works without a data directory, and what is said when there is none.

use crate::harness::{Outcome, Place};

/// A path that cannot be a folder.
fn broken(place: &Place, arguments: &[&str]) -> Outcome {
    let file = place.write("a-file", "");
    Outcome::of(place.command(arguments).env("OUTRIGGER_DATA", file))
}

#[test]
fn help_and_references_need_no_data() {
    let place = Place::new();
    broken(&place, &["version"]).succeeded().shows(&["outrigger "]);
    broken(&place, &["errors"]).succeeded().shows(&["rate_limited", "EXIT"]);
    broken(&place, &["errors", "rate-limited", "-o", "json"]).succeeded().shows(&["\"exit\": 5"]);
    broken(&place, &["errors", "rate_limitd"]).failed(3, &["did you mean `rate_limited`?"]);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        broken(&place, &["completions", shell]).succeeded().shows(&["COMPLETE", "outrigger"]);
    }
    let nothing = broken(&place, &[]);
    assert_eq!(nothing.code, 2, "{nothing:#?}");
}

#[test]
fn a_broken_data_directory_is_told() {
    let place = Place::new();
    broken(&place, &["plugin", "list"]).failed(9, &["error[data_directory]", "a-file is not a folder", "hint:"]);
    let doctor = broken(&place, &["doctor"]);
    assert_eq!(doctor.code, 9, "{doctor:#?}");
    doctor.shows(&["✗ data directory", "a-file is not a folder"]);
    // An option goes before the environment, also behind the name of a function.
    let data = place.path("other").display().to_string();
    broken(&place, &["plugin", "list", "--data", &data]).succeeded();
    broken(&place, &["call", "a.b", "--data", &data]).failed(3, &["plugin_not_found"]);
}

#[test]
fn shells_are_told_what_is_installed() {
    let place = Place::with("pricing");
    let complete = |index: &str, words: &[&str]| {
        let mut command = place.command(&[&["--", "outrigger"], words].concat());
        Outcome::of(command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index)).succeeded()
    };
    complete("2", &["call", "pricing.q"]).shows(&["pricing.quote"]);
    complete("3", &["plugin", "info", "p"]).shows(&["pricing"]);
    complete("1", &["plu"]).shows(&["plugin"]);
}
