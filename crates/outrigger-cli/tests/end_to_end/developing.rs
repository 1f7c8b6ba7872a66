//! From nothing to a plugin that is called.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Outcome, Place};

/// Where this test was built. Below it are the standard library and the crates that building the bundled plugins left.
fn target_folder() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_outrigger")).ancestors().nth(2).unwrap().to_path_buf();
    std::env::var_os("CARGO_TARGET_DIR").map_or(built, PathBuf::from)
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// Makes a project whose dependencies are those of the bundled plugins to the last digit, so that they are there.
fn make(place: &Place, name: &str, more: &[&str]) {
    let arguments: Vec<_> = ["dev", "new", name].iter().chain(more).copied().collect();
    let made = place.run(&arguments).succeeded();
    assert!(made.stdout.contains(&format!("outrigger dev build {name}")), "{made:#?}");
    place.write(&format!("{name}/Cargo.lock"), std::fs::read(repository().join("plugins/Cargo.lock")).unwrap());
}

fn build_and_install(place: &Place, name: &str) {
    let mut command = place.command(&["dev", "build", name, "--install", "--yes"]);
    Outcome::of(command.env("CARGO_TARGET_DIR", target_folder())).succeeded();
}

#[test]
fn a_new_project_builds_and_its_plugin_can_be_called() {
    let place = Place::new();
    make(&place, "disk-report", &[]);
    build_and_install(&place, "disk-report");
    let call = ["call", "disk-report.shorten", "--text", "the quick brown fox", "--limit"];
    let with_limit = |limit| [&call[..], &[limit]].concat();
    assert_eq!(place.json(&with_limit("13")), json!({"text": "the quick…", "left-out": 10}));
    let cut_anywhere = [&with_limit("13")[..], &["--boundary", "character"]].concat();
    assert_eq!(place.json(&cut_anywhere), json!({"text": "the quick br…", "left-out": 7}));
    place.run(&with_limit("1")).failed(1, &["error[function_failed]", "limit-too-small"]);
    // The contract's documentation of the function is shown, including its parameters.
    let described = place.run(&["functions", "disk-report.shorten"]).succeeded();
    described.shows(&["Shorten a text", "One that is short enough stays as it is.", "where the text may be cut"]);

    // Its own tests pass.
    let tested = Command::new("cargo")
        .args(["test", "--quiet", "--offline"])
        .current_dir(place.path("disk-report"))
        .env("CARGO_TARGET_DIR", target_folder().join("plugins"))
        .output()
        .expect("cargo can be started");
    let told = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success(), "{told}");
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn a_new_project_with_the_sdk_logs_and_is_configured() {
    let place = Place::new();
    let sdk = repository().join("plugins/sdk");
    make(&place, "teaser", &["--sdk", sdk.to_str().unwrap()]);
    build_and_install(&place, "teaser");
    let call = ["call", "teaser.shorten", "--text", "the quick brown fox", "--limit", "16"];
    assert_eq!(place.json(&call)["text"], "the quick brown…");
    place.run(&["plugin", "config", "teaser", "--set", "ending= [more]"]).succeeded();
    assert_eq!(place.json(&call)["text"], "the quick [more]");
    place.run(&["plugin", "logs", "teaser"]).succeeded().shows(&["shortened", "left-out"]);
}

#[test]
fn a_new_service_is_called_by_a_hook_and_says_how_it_is() {
    let place = Place::new();
    make(&place, "events-log", &["--template", "rust-service", "--author", "Ada <ada@example.org>"]);
    build_and_install(&place, "events-log");
    // It is subscribed to installations, and hears of them in the background.
    place.run(&["plugin", "install", "pricing", "--yes"]).succeeded();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let latest = place.json(&["call", "events-log.latest"]);
        if latest.as_array().unwrap().iter().any(|line| line == "pricing 1.0.0") {
            break;
        }
        assert!(Instant::now() < deadline, "{latest}");
    }
    let event = json!({"plugin": "x", "version": "2.0.0", "digest": "d", "reason": "it\nfailed"});
    let event = json!({ "event": event }).to_string();
    place.run(&["plugin", "config", "events-log", "--set", "keep=1"]).succeeded();
    assert_eq!(place.json(&["call", "events-log.note", "--json", &event]), json!(1));
    assert_eq!(place.json(&["call", "events-log.latest"]), json!(["x 2.0.0: it failed"]));
    place.run(&["plugin", "config", "events-log", "--set", "keep=0"]).failed(2, &["invalid_configuration"]);
    let health = place.json(&["plugin", "health", "events-log"]);
    assert_eq!((&health[0]["status"], &health[0]["checks"][0]["name"]), (&json!("healthy"), &json!("state")));
    place.run(&["plugin", "info", "events-log"]).succeeded().shows(&["Ada <ada@example.org>"]);

    let tested = Command::new("cargo")
        .args(["test", "--quiet", "--offline"])
        .current_dir(place.path("events-log"))
        .env("CARGO_TARGET_DIR", target_folder().join("plugins"))
        .output()
        .expect("cargo can be started");
    let told = String::from_utf8_lossy(&tested.stderr);
    assert!(tested.status.success() && !told.contains("warning"), "{told}");
}

#[test]
fn a_project_that_cannot_be_made_leaves_nothing() {
    let place = Place::new();
    place.write("taken/notes.txt", "mine");
    place
        .run(&["dev", "new", "taken"])
        .failed(7, &["already_exists]: taken exists and is not empty", "choose another folder"]);
    place.run(&["dev", "new", "Taken"]).failed(2, &["`Taken` is not a plugin name"]);
    place.run(&["dev", "new", "fresh", "--sdk", "taken"]).failed(2, &["is not the Rust SDK", "plugins/sdk"]);
    assert!(!place.path("fresh").exists());
    let made = place.json(&["dev", "new", "fresh", "--path", "below/here"]);
    assert_eq!((&made["name"], &made["project"]), (&json!("fresh"), &json!("below/here")));
    assert!(place.path("below/here/src/lib.rs").is_file());
}
