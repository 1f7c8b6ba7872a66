//! A backup of a directory that a server holds, and what becomes of it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Place, bundled, is_empty};

#[test]
fn a_backup_is_made_by_the_server_and_restored_without_it() {
    let place = Place::with("pricing");
    let quote = ["call", "pricing.quote", "--service", "compute-small", "--quantity", "3"];
    let answer = place.json(&quote);
    let mut server = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--listen", "127.0.0.1:0", "-o", "json"])
        .env("OUTRIGGER_DATA", place.path("data"))
        .env("OUTRIGGER_BUNDLED", bundled())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let announced: Json = serde_json::from_str(&line).unwrap();
    assert!(announced["administrator_key"].is_string(), "{line}");
    let made = place.json(&["backup", "create", "one.tar.gz"]);
    assert_eq!(
        (made["has_secret_key"].clone(), made["version"].clone()),
        (json!(false), json!(env!("CARGO_PKG_VERSION")))
    );
    place.run(&["backup", "create", "one.tar.gz"]).failed(7, &["error[already_exists]"]);
    assert!(Command::new("kill").args(["-INT", &server.id().to_string()]).status().unwrap().success());
    assert!(server.wait().unwrap().success());

    assert_eq!(place.json(&["backup", "verify", "one.tar.gz"]), made);
    place.run(&["backup", "verify", "one.tar.gz"]).succeeded().shows(&["is whole", "audit log up to"]);
    place.run(&["backup", "restore", "one.tar.gz"]).failed(7, &["error[already_exists]", "--data DIR"]);
    assert_eq!(place.json(&["backup", "restore", "one.tar.gz", "--data", "restored"]), made);
    let data = place.path("restored").display().to_string();
    // Compiled code is not in a backup: the first call compiles, on a machine that may be busy.
    let restored = place.json(&[&quote[..], &["--data", &data, "--timeout", "2m"]].concat());
    assert_eq!(restored, answer);
    let keys = place.json(&["access", "key", "list", "--data", &data]);
    assert_eq!(keys.as_array().unwrap().len(), 1, "the server's first key: {keys}");

    let mut bytes = std::fs::read(place.path("one.tar.gz")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("one.tar.gz", bytes);
    place.run(&["backup", "restore", "one.tar.gz", "--data", "again"]).failed(2, &["error[invalid_backup]"]);
    assert!(is_empty(&place.path("again")));
}
