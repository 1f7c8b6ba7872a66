//! An audit log that somebody changed is told from one that is whole.

use crate::harness::{Outcome, Place};

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
    verify(&place, "changed", None).failed(7, &["error[conflict]", "the audit log is not whole", &named]);
    verify(&place, "whole", None).succeeded().shows(&["nothing was changed"]);
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
    // A hash that is right, in a place that is another's.
    let (sequence, hash) = noted.split_once(':').unwrap();
    place.run(&["audit", "verify", "--head", &format!("1:{hash}")]).failed(7, &["no longer holds record 1"]);

    // What is left when somebody puts the log as it was in the place of the log as it is.
    restore(&place, "one.tar.gz", "cut");
    verify(&place, "cut", None).succeeded().shows(&["nothing was changed"]);
    verify(&place, "cut", Some(&earlier)).succeeded();
    let gone = format!("no longer holds record {sequence}");
    verify(&place, "cut", Some(&noted)).failed(7, &["error[conflict]", &gone]);
}
