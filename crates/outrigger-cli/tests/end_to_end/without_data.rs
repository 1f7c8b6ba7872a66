//! Commands without a data directory, and errors when there is none.

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
    broken(&place, &["access", "role", "set", "reader", "--allow", "plugin_view", "--data", &data]).succeeded();
    broken(&place, &["plugin", "list", "--data", &data]).succeeded();
    broken(&place, &["call", "a.b", "--data", &data]).failed(3, &["plugin_not_found"]);
}

#[test]
fn a_mistyped_data_directory_is_told_and_not_made() {
    let place = Place::new();
    let refused = |data: &str| {
        for command in [
            &["plugin", "list"][..],
            &["runs"],
            &["audit", "list"],
            &["call", "a.b"],
            &["plugin", "uninstall", "a", "--yes"],
            &["backup", "create", "x.tar.gz"],
        ] {
            let outcome = place.run(&[command, &["--data", data]].concat());
            outcome
                .failed(9, &["error[data_directory]", "there is no Outrigger data in ", data, "hint: check the path"]);
        }
        let doctor = place.run(&["doctor", "--data", data]);
        assert_eq!(doctor.code, 9, "{doctor:#?}");
        doctor.shows(&["✗ data directory", "there is no Outrigger data in "]);
    };
    refused("mistyped");
    assert!(!place.path("mistyped").exists(), "it was made");
    // Nor is anything put into a folder of something else.
    place.write("other/file", "");
    refused("other");
    assert_eq!(std::fs::read_dir(place.path("other")).unwrap().count(), 1);
    // The default is empty until something is put into it.
    place.run(&["plugin", "list"]).succeeded().shows(&["No plugins."]);
    place.run(&["plugin", "install", "pricing", "--yes", "--data", "new"]).succeeded();
    place.run(&["plugin", "list", "--data", "new"]).succeeded().shows(&["pricing"]);
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

#[test]
fn options_that_would_not_be_heeded_are_refused() {
    let place = Place::new();
    let server = ["--server", "http://127.0.0.1:1"];
    for command in [&["backup", "verify", "x.tar.gz"][..], &["backup", "restore", "x.tar.gz"], &["serve"]] {
        let refused = place.run(&[command, &server].concat());
        refused.failed(2, &["error[invalid_usage]", "takes no `--server`", "hint: "]);
    }
    assert!(!place.path("data").exists(), "nothing was restored");
    place.run(&["events", "--follow", "--limit", "3"]).failed(2, &["cannot be used with"]);
}

#[test]
fn options_of_a_call_that_somebody_waits_for_are_not_those_of_a_job() {
    let place = Place::with("pricing");
    for option in ["--no-cache", "--details", "--profile", "--correlation=01KAJ5M3V8Q2ZTRX7N4C6D9EFG"] {
        let name = option.split('=').next().unwrap();
        let start = place.run(&["job", "start", "pricing.currencies", option]);
        start.failed(2, &[&format!("unexpected argument '{name}'")]);
        let set = place.run(&["schedule", "set", "nightly", "30 2 * * *", "pricing.currencies", option]);
        set.failed(2, &[&format!("unexpected argument '{name}'")]);
        place.run(&["job", "start", option, "pricing.currencies"]).failed(2, &["comes before the name"]);
    }
    let job = ["job", "start", "--timeout", "7s", "pricing.quote", "--quantity", "1", "--arg", "service=backup"];
    let job = place.json(&job);
    assert_eq!((&job["function"], &job["state"]), (&serde_json::json!("pricing.quote"), &serde_json::json!("queued")));
}
