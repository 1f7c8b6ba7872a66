//! A server's status of a plugin's health, and its recovery after a crash.

use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::harness::Server;
use crate::harness::{Outcome, Place};

/// A plugin that is as well as it is told to be.
fn moody(place: &Place) {
    place.write("moody/moody.wasm", outrigger_testkit::components::moody());
    let manifest = "name = \"moody\"\nversion = \"1.0.0\"\ntitle = \"Moody\"\ndescription = \"As it is told.\"\n\
        [runtime]\nkind = \"wasm\"\nentry = \"moody.wasm\"\n[health]\ninterval = \"1s\"\nrestart = \"never\"\n";
    place.write("moody/plugin.toml", manifest);
    place.run(&["plugin", "install", "./moody", "--yes"]).succeeded();
}

/// The server's status of it, and the exit code of the command.
fn known(place: &Place) -> (Json, i32) {
    let outcome = Outcome::of(&mut place.command(&["plugin", "health", "-o", "json"]));
    let mut known: Json = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:#?}"));
    (known[0]["monitor"].take(), outcome.code)
}

#[track_caller]
fn until(place: &Place, what: &str, condition: impl Fn(&Json) -> bool) -> (Json, i32) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (known, code) = known(place);
        if condition(&known) {
            return (known, code);
        }
        assert!(Instant::now() < deadline, "it is not {what}: {known}");
    }
}

/// A command shows something, and ends as for a plugin that is unhealthy.
#[track_caller]
fn tells(place: &Place, command: &[&str], parts: &[&str]) {
    let outcome = place.run(command);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    outcome.shows(parts);
}

#[test]
fn after_kill_9_failures_are_counted_on() {
    let place = Place::new();
    moody(&place);
    let server = Server::start(&place);
    place.run(&["call", "moody.feel", "--mood", "2"]).succeeded();
    let (_, code) = until(&place, "sick", |known| known["consecutive_failures"] == 2);
    assert_eq!(code, 0, "two failures make nothing unhealthy");
    server.kill_dead();

    // Without a server the plugin itself is asked, which says that it is unhealthy.
    tells(&place, &["plugin", "health"], &["moody", "unhealthy", "as it was told"]);
    let _server = Server::start(&place);
    let (first, _) = known(&place);
    assert!(first["consecutive_failures"].as_u64().unwrap() >= 2, "{first}");
    let (sick, code) = until(&place, "unhealthy", |known| known["status"] == "unhealthy");
    assert_eq!(code, 1, "{sick}");
    let reason = sick["changes"][0]["reason"].as_str().unwrap();
    assert_eq!(reason, "3 consecutive checks failed; the last one: mood: as it was told");
    tells(&place, &["plugin", "health", "moody"], &["Monitor", "unhealthy", "Changes", reason]);
}
