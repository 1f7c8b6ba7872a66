//! Backups of a directory that a server uses, and restoring them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Outcome, Place, bundled, is_empty};

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

    // The variable alone is no mistake, and what it names is not asked.
    let mut elsewhere = place.command(&["backup", "restore", "one.tar.gz"]);
    elsewhere.env("OUTRIGGER_DATA", place.path("elsewhere")).env("OUTRIGGER_SERVER", "http://127.0.0.1:1");
    let elsewhere = Outcome::of(&mut elsewhere).succeeded();
    let said =
        format!("OUTRIGGER_SERVER is ignored: the backup is restored into {}", place.path("elsewhere").display());
    assert!(elsewhere.stderr.contains(&said), "{elsewhere:#?}");

    let mut bytes = std::fs::read(place.path("one.tar.gz")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("one.tar.gz", bytes);
    place.run(&["backup", "restore", "one.tar.gz", "--data", "again"]).failed(2, &["error[invalid_backup]"]);
    assert!(is_empty(&place.path("again")));
}

#[test]
fn a_key_that_is_given_from_outside_is_not_put_into_a_backup_and_that_is_said() {
    let place = Place::new();
    place.hostile("[configuration.token]\ntype = \"string\"\nsecret = true\n");
    let run = |arguments: &[&str]| Outcome::of(place.command(arguments).env("OUTRIGGER_SECRET_KEY", "5a".repeat(32)));
    run(&["plugin", "install", "./hostile", "--yes"]).succeeded();
    let nothing = run(&["backup", "create", "nothing.tar.gz", "--include-secret-key"]).succeeded();
    assert!(nothing.stderr.contains("No secret is encrypted yet"), "{nothing:#?}");
    run(&["plugin", "config", "hostile", "--set", "token=hunter2"]).succeeded();
    run(&["backup", "create", "one.tar.gz", "--include-secret-key"])
        .failed(7, &["error[conflict]", "secret.key", "a key from OUTRIGGER_SECRET_KEY", "store that key separately"]);
    assert!(!place.path("one.tar.gz").exists());
    let made = run(&["backup", "create", "one.tar.gz"]).succeeded();
    assert!(!made.stdout.contains("key of the secrets"), "{made:#?}");
    // Nor is a backup made whole by a file that holds another key.
    let key = place.write("data/secret.key", "11".repeat(32));
    std::fs::set_permissions(key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    run(&["backup", "create", "two.tar.gz", "--include-secret-key"]).failed(7, &["error[conflict]"]);
}

#[test]
fn configuration_files_are_in_a_backup() {
    let place = Place::with("pricing");
    place.write("data/config/pricing.yml", "price-list: {}\n");
    place.write("data/config/production/pricing.toml", "");
    let shown = place.run(&["backup", "create", "one.tar.gz"]).succeeded();
    shown.shows(&["contains 2 configuration files, including any plain-text secrets in them"]);
    place.run(&["backup", "restore", "one.tar.gz", "--data", "restored"]).succeeded().shows(&["2 configuration files"]);
    assert_eq!(std::fs::read_to_string(place.path("restored/config/pricing.yml")).unwrap(), "price-list: {}\n");
    assert!(place.path("restored/config/production/pricing.toml").is_file());
}
