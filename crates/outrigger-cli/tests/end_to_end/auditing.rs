//! An audit log that somebody changed is told from one that is whole.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::harness::{Outcome, Place, Server};

/// Makes a key, and says which record of the audit log tells of it.
fn make_key(place: &Place, name: &str) -> u64 {
    place.run(&["access", "key", "create", name, "--role", "viewer"]).succeeded();
    let records = place.json(&["audit", "list", "--resource", name, "--action", "key_create"]);
    records[0]["sequence"].as_u64().unwrap_or_else(|| panic!("no record tells of {name}: {records}"))
}

/// The head of the log, as it is noted elsewhere.
fn head(place: &Place) -> String {
    let verified = place.json(&["audit", "verify"]);
    let head = &verified["head"];
    format!("{}:{}", head["sequence"], head["hash"].as_str().unwrap())
}

/// Puts a backup into a data directory of this name. Its database is all in one file.
fn restore(place: &Place, backup: &str, name: &str) {
    place.run(&["backup", "restore", backup, "--data", name]).succeeded();
    assert!(!place.path(&format!("{name}/outrigger.db-wal")).exists(), "something is not in the file yet");
}

/// Verifies the log of another data directory.
fn verify(place: &Place, name: &str, head: Option<&str>) -> Outcome {
    let data = place.path(name).display().to_string();
    let head = head.map_or_else(Vec::new, |head| vec!["--head", head]);
    place.run(&[&["audit", "verify", "--data", &data], &head[..]].concat())
}

/// Puts text of the same length in the place of another, wherever it stands in a file.
fn replace(place: &Place, name: &str, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(place.path(name)).unwrap();
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!found.is_empty(), "{name} has no {from}");
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    place.write(name, bytes);
}

#[test]
fn one_byte_that_was_changed_is_found_and_its_record_named() {
    let place = Place::new();
    make_key(&place, "before");
    let sequence = make_key(&place, "deployer");
    make_key(&place, "after");
    place.run(&["backup", "create", "one.tar.gz"]).succeeded();
    for name in ["whole", "changed"] {
        restore(&place, "one.tar.gz", name);
    }
    // As the text of a record has it; what lists are narrowed by is left as it is.
    replace(&place, "changed/outrigger.db", "\"resource\":\"deployer\"", "\"resource\":\"deployed\"");
    let named = format!("record {sequence} was changed");
    verify(&place, "changed", None).failed(7, &["error[conflict]", "the audit log is damaged", &named]);
    verify(&place, "whole", None).succeeded().shows(&["no changes found"]);
}

#[test]
fn an_end_that_was_cut_off_shows_where_the_head_was_noted() {
    let place = Place::new();
    make_key(&place, "kept");
    let earlier = head(&place);
    place.run(&["backup", "create", "one.tar.gz"]).succeeded();
    make_key(&place, "forgotten");
    let noted = head(&place);
    assert_ne!(noted, earlier);
    for head in [&earlier, &noted] {
        place.run(&["audit", "verify", "--head", head]).succeeded();
    }
    place.run(&["audit", "verify", "--head", "nonsense"]).failed(2, &["is not a head"]);
    place
        .run(&["audit", "verify", "--head", "1:zz"])
        .failed(2, &["error[invalid_usage]", "`zz` is not a hash of 64 hexadecimal digits"]);
    // A hash that is right, in a place that is another's.
    let (sequence, hash) = noted.split_once(':').unwrap();
    place.run(&["audit", "verify", "--head", &format!("1:{hash}")]).failed(7, &["no longer holds record 1"]);

    // The result of replacing the log with an older copy.
    restore(&place, "one.tar.gz", "cut");
    verify(&place, "cut", None).succeeded().shows(&["no changes found"]);
    verify(&place, "cut", Some(&earlier)).succeeded();
    let gone = format!("no longer holds record {sequence}");
    verify(&place, "cut", Some(&noted)).failed(7, &["error[conflict]", &gone]);
}

/// Requests a server's plugins with this header; returns the status.
fn ask(server: &Server, header: &str) -> u16 {
    let address = server.address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let request = format!("GET /api/v1/plugins HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{header}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

fn lines(place: &Place, part: &str) -> Vec<String> {
    let log = std::fs::read_to_string(place.path("server.log")).expect("there is a log");
    log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

#[test]
fn s20_wrong_keys_are_in_the_servers_log_at_its_usual_level() {
    let place = Place::new();
    let server = Server::start_with_log(&place, &[]);
    let unknown = format!("outrigger_{}_{}", "ab".repeat(8), "cd".repeat(32));
    for _ in 0..20 {
        assert_eq!(ask(&server, &format!("x-api-key: {unknown}")), 401);
        assert_eq!(ask(&server, &format!("authorization: Bearer {unknown}x")), 401);
        // A malformed key counts as a wrong key.
        assert_eq!(ask(&server, "authorization: Basic dTpw"), 401);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while lines(&place, "wrong keys").is_empty() {
        assert!(Instant::now() < deadline, "there is no line");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let said = lines(&place, "wrong keys");
    assert_eq!(said.len(), 1, "the first at once, the others after a minute: {said:#?}");
    assert!(said[0].contains("127.0.0.1") && said[0].contains("WARN"), "{said:#?}");
    let log = std::fs::read_to_string(place.path("server.log")).expect("there is a log");
    assert!(!log.contains(&"cd".repeat(32)) && !log.contains("dTpw"), "no key is in it: {log}");
}

#[test]
fn s17_a_key_that_is_refused_in_a_loop_leaves_few_records() {
    let place = Place::new();
    let server = Server::start(&place);
    let list = |arguments: &[&str]| -> Json {
        let arguments = [&["audit", "list", "--limit", "1000", "--server", &server.address], arguments].concat();
        let mut command = place.command(&arguments);
        let outcome = Outcome::of(command.args(["-o", "json"]).env("OUTRIGGER_KEY", &server.key)).succeeded();
        serde_json::from_str(&outcome.stdout).expect("it is JSON")
    };
    let create = ["access", "key", "create", "nosy", "--role", "viewer", "--scope", "function_execute:nothing.*"];
    let mut command = place.command(&[&create[..], &["-o", "json", "--server", &server.address]].concat());
    let made = Outcome::of(command.env("OUTRIGGER_KEY", &server.key)).succeeded();
    let made: Json = serde_json::from_str(&made.stdout).expect("it is JSON");
    let key = made["key"].as_str().expect("the key").to_owned();
    for _ in 0..300 {
        assert_eq!(ask(&server, &format!("x-api-key: {key}")), 403);
    }
    let records = list(&["--denied", "--actor", "key nosy"]);
    let records = records.as_array().expect("a list");
    let count = |record: &Json| record["count"].as_u64().unwrap_or_default();
    assert_eq!(records.iter().map(count).sum::<u64>(), 300, "each is counted: {records:#?}");
    assert!(records.len() <= 14, "{} records", records.len());
    assert!(records.iter().any(|record| record["stage"] == "group" && count(record) > 100), "{records:#?}");
    let id = records[0]["key"].as_str().expect("the id of the key");
    assert_eq!(list(&["--key", id]).as_array().map(Vec::len), Some(records.len()));
    assert_eq!(list(&["--key", id, "--code", "conflict"]), Json::Array(Vec::new()));
    assert_eq!(list(&["--key", id, "--until", "1h"]), Json::Array(Vec::new()));
    let mut verify = place.command(&["audit", "verify", "--server", &server.address]);
    Outcome::of(verify.env("OUTRIGGER_KEY", &server.key)).succeeded().shows(&["no changes found"]);
}
