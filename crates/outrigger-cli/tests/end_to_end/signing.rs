//! From a key to a plugin of which is known who made it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::harness::{Outcome, Place};

/// A key in `key.pem`, trusted for all plugins of the place, which need a signature. Answers its id.
fn trusted_key(place: &Place) -> String {
    let made = place.json(&["dev", "keygen", "key.pem"]);
    let trust = format!(
        "require = true\n[[key]]\nname = \"platform-team\"\npublic-key = \"\"\"\n{}\"\"\"\n",
        made["public_key"].as_str().unwrap()
    );
    place.write("data/trust.toml", trust);
    made["key_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_signed_package_is_installed_and_checked() {
    let place = Place::new();
    let id = trusted_key(&place);
    let package = place.package("pricing", "");
    let refused = place.run(&["plugin", "install", &package, "--yes"]);
    refused.failed(4, &["not signed", "error[signature_required]", "trust.toml"]);
    place.run(&["plugin", "install", &package, "--dry-run"]).failed(4, &["signature_required"]);

    let signed = place.run(&["dev", "sign", &package, "--key", "key.pem"]).succeeded();
    assert_eq!(signed.stdout, format!("pricing 1.0.0 is signed with {id}\n"));
    let validated = place.run(&["plugin", "validate", &package]).succeeded();
    validated.shows(&["Signature", &format!("names the key {id}")]);
    let validated = place.json(&["plugin", "validate", &package]);
    assert_eq!(validated["signature"]["state"], "untrusted");
    assert!(validated["signature"].get("accepted").is_none(), "nobody's trust was asked for: {validated}");
    let installed = place.run(&["plugin", "install", &package, "--yes"]).succeeded();
    assert_eq!(installed.stdout, "pricing 1.0.0 installed, signed by platform-team\n");
    assert!(installed.stderr.contains("signed by platform-team"), "{installed:#?}");
    let outcome = place.json(&["plugin", "install", &package, "--yes"]);
    assert_eq!((&outcome["action"], &outcome["signature"]["state"]), (&json!("unchanged"), &json!("valid")));
    place.run(&["plugin", "verify", "pricing"]).succeeded().shows(&["pricing 1.0.0: signed by platform-team", &id]);
    let found = place.run(&["plugin", "verify", "nothing", "pricing"]);
    assert_ne!(found.code, 0, "{found:#?}");
    found.shows(&["nothing: cannot be verified", "pricing 1.0.0: signed by platform-team"]);
    place.run(&["plugin", "verify", "nothing"]).failed(3, &["plugin_not_found"]);
    place.run(&["doctor"]).succeeded().shows(&["packages need one; keys that are trusted: 1, revoked: 0"]);

    // A package that was changed after signing is refused everywhere.
    let digest = outcome["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let manifest = std::fs::read_to_string(place.path("pricing/plugin.toml")).unwrap();
    place.write(&format!("data/packages/{digest}/plugin.toml"), format!("{manifest}# changed\n"));
    let found = place.run(&["plugin", "verify"]);
    assert_eq!(found.code, 2, "{found:#?}");
    found.shows(&["`plugin.toml` was changed after it was signed", "install the same package again"]);
    let tried = place.run(&["plugin", "install", &package, "--dry-run"]).succeeded();
    tried.shows(&["its files were changed and would be restored"]);
    place
        .run(&["plugin", "install", &package, "--yes"])
        .succeeded()
        .shows(&["files were restored, signed by platform-team"]);
    assert_eq!(place.json(&["plugin", "verify"])[0]["signature"]["state"], "valid");
    place.write("pricing/more.txt", "x");
    place.run(&["plugin", "validate", &package]).failed(2, &["signature_invalid", "`more.txt` was added"]);
    place.run(&["plugin", "install", &package, "--yes"]).failed(2, &["signature_invalid", "`more.txt` was added"]);

    let mut sign = place.command(&["dev", "sign", &package]);
    Outcome::of(sign.env("OUTRIGGER_SIGNING_KEY", place.path("key.pem"))).succeeded();
    place.run(&["plugin", "update", &package, "--yes"]).succeeded().shows(&["signed by platform-team"]);
}

#[test]
fn keys_are_kept_to_their_owner_and_never_written_over() {
    let place = Place::new();
    let made = place.run(&["dev", "keygen", "key.pem"]).succeeded();
    made.shows(&["key.pem contains the private key", "key.pem.pub", "[[key]]", "-----BEGIN PUBLIC KEY-----"]);
    let mode = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("key.pem"), 0o600);
    let before = std::fs::read(place.path("key.pem")).unwrap();
    place.run(&["dev", "keygen", "key.pem"]).failed(7, &["already_exists]: key.pem.pub already exists"]);
    std::fs::remove_file(place.path("key.pem.pub")).unwrap();
    place.run(&["dev", "keygen", "key.pem"]).failed(7, &["already_exists]: key.pem already exists"]);
    assert_eq!(std::fs::read(place.path("key.pem")).unwrap(), before);
    assert!(!place.path("key.pem.pub").exists());

    let package = place.package("pricing", "");
    place.run(&["dev", "sign", &package]).failed(2, &["no key to sign with", "OUTRIGGER_SIGNING_KEY"]);
    place.run(&["dev", "sign", &package, "--key", "nowhere.pem"]).failed(9, &["cannot read nowhere.pem"]);
    // It is not begun without the key.
    place.run(&["dev", "build", "nowhere", "--sign", "nowhere.pem"]).failed(9, &["cannot read nowhere.pem"]);
    place.write("notes.txt", "no key");
    place.run(&["dev", "sign", &package, "--key", "notes.txt"]).failed(2, &["the key in notes.txt cannot be used"]);
    place.write("package.zip", "PK");
    place.run(&["dev", "sign", "package.zip", "--key", "key.pem"]).failed(2, &["unsupported]", "`.tar.gz`"]);
}
