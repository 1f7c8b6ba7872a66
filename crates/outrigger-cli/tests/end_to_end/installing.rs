//! From a package to an installed plugin, and back.

use serde_json::json;

use crate::harness::{Place, bundled, is_empty};

const PERMISSIONS: &str = "[permissions]\nenvironment = [\"LANG\"]\nhttp = [\"api.example.org:443\"]\n";

#[test]
fn a_plugin_comes_and_goes() {
    let place = Place::new();
    place.run(&["plugin", "list"]).succeeded().shows(&["No plugins."]);
    place.run(&["plugin", "list", "--available"]).succeeded().shows(&["pricing", "bundled"]);
    let outcome = place.run(&["plugin", "install", "pricing"]).succeeded();
    assert!(outcome.stderr.contains("it can reach nothing outside itself"), "{outcome:#?}");
    assert_eq!(outcome.stdout, "pricing 1.0.0 installed\n");
    assert_eq!(place.json(&["plugin", "install", "pricing"])["action"], "unchanged");
    let listed = place.json(&["plugin", "list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&json!("pricing"), &json!("active")));
    place.run(&["plugin", "info", "pricing"]).succeeded().shows(&["Digest       sha256:", "• quote:", "Limits"]);
    place.run(&["plugin", "disable", "pricing"]).succeeded().shows(&["pricing disabled"]);
    place.run(&["call", "pricing.currencies"]).failed(7, &["plugin_not_active", "plugin enable pricing"]);
    assert_eq!(place.json(&["plugin", "list", "--state", "active"]), json!([]));
    place.run(&["plugin", "enable", "pricing"]).succeeded();
    place.run(&["plugin", "reload", "pricing"]).succeeded();
    assert_eq!(place.json(&["plugin", "warm", "pricing"])[0]["name"], "pricing");
    place.run(&["plugin", "health"]).succeeded().shows(&["pricing", "healthy"]);
    place.run(&["plugin", "uninstall", "pricing"]).failed(2, &["configuration and its state", "--yes"]);
    place.run(&["plugin", "uninstall", "pricing", "--yes"]).succeeded().shows(&["pricing 1.0.0 removed"]);
    place.run(&["plugin", "info", "pricing"]).failed(3, &["no plugin `pricing` is installed"]);
    assert!(is_empty(&place.path("data/packages")));
}

#[test]
fn permissions_need_consent() {
    let place = Place::new();
    let package = place.package("pricing", PERMISSIONS);
    let refused = place.run(&["plugin", "install", &package]);
    refused.failed(4, &["error[grant_required]", "LANG", "api.example.org", "`--yes`"]);
    let refused = place.run(&["plugin", "install", &package, "-o", "json"]);
    assert_eq!(refused.code, 4);
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(error["detail"]["permissions"].as_array().unwrap().len(), 2, "{error}");
    assert_eq!(place.json(&["plugin", "list"]), json!([]));

    place.run(&["plugin", "install", &package, "--yes"]).succeeded();
    place.run(&["plugin", "info", "pricing"]).succeeded().shows(&["Permissions\n", "LANG"]);
    // What was granted to a version does not cover what the next one asks for beyond it.
    let manifest = std::fs::read_to_string(place.path("pricing/plugin.toml")).unwrap();
    let wider =
        manifest.replace("\"LANG\"", "\"LANG\", \"TERM\"").replace("version = \"1.0.0\"", "version = \"1.1.0\"");
    place.write("pricing/plugin.toml", wider);
    let refused = place.run(&["plugin", "install", &package]).failed(4, &["TERM", "(new)"]);
    assert!(!refused.stderr.contains("api.example.org:443 (new)"), "{refused:#?}");
    let updated = place.json(&["plugin", "install", &package, "--yes"]);
    assert_eq!((&updated["action"], &updated["previous_version"]), (&json!("updated"), &json!("1.0.0")));
}

#[test]
fn what_cannot_be_installed_is_refused() {
    let place = Place::new();
    place.run(&["plugin", "install", "absent"]).failed(3, &["plugin list --available"]);
    place.run(&["plugin", "install", "./absent"]).failed(3, &["there is nothing at"]);
    place.run(&["plugin", "install", "pricing", "--version", "^9"]).failed(3, &["there is 1.0.0"]);
    place.run(&["plugin", "install", "./x", "--version", "^9"]).failed(2, &["`./x` is a path"]);
    let text = place.write("notes.txt", "text");
    place.run(&["plugin", "install", &text]).failed(2, &["neither a folder nor an archive"]);
    assert_eq!(place.json(&["plugin", "list"]), json!([]));
}

#[test]
fn packages_and_manifests_are_validated() {
    let place = Place::new();
    let valid = bundled().join("pricing");
    let valid = valid.to_str().unwrap();
    place.run(&["plugin", "validate", valid]).succeeded().shows(&["pricing 1.0.0 is a valid package"]);
    place.run(&["plugin", "validate", &format!("{valid}/plugin.toml")]).succeeded().shows(&["valid manifest"]);
    let wrong = place.write("wrong/plugin.toml", "name = \"Wrong\"\nversion = \"1.0.0\"\ntitel = \"x\"\n");
    let refused = place.run(&["plugin", "validate", "wrong"]);
    refused.failed(2, &["wrong/plugin.toml:1:8: `name`: ", "wrong/plugin.toml:3:1: `titel`: ", "hint: "]);
    let refused = place.run(&["plugin", "validate", &wrong, "-o", "json"]);
    let verdict: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!((refused.code, &verdict["valid"], &verdict["problems"][0]["column"]), (2, &json!(false), &json!(1)));
    let hollow = place.package("pricing", "");
    std::fs::remove_file(place.path("pricing/pricing.wasm")).unwrap();
    place.run(&["plugin", "validate", &hollow]).failed(2, &["error[invalid_package]", "pricing.wasm"]);
    place.run(&["plugin", "validate", "absent"]).failed(3, &["there is nothing at"]);
    // Validating is not using: no data directory was made.
    assert!(is_empty(&place.path("data")));
}

#[test]
fn a_plugin_is_configured() {
    let place = Place::new();
    let keys =
        "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n[configuration.retries]\ntype = \"integer\"\n";
    let package = place.package("pricing", keys);
    place.run(&["plugin", "install", &package]).succeeded();
    place.run(&["plugin", "config", "pricing"]).succeeded().shows(&["region", "default"]);
    place.run(&["plugin", "config", "pricing", "--set", "region=us", "--set", "retries=3"]).succeeded();
    assert_eq!(place.json(&["plugin", "config", "pricing"])["values"], json!({"region": "us", "retries": 3}));
    place.run(&["plugin", "config", "pricing", "--set", "retries=x"]).failed(2, &["invalid_configuration", "retries"]);
    place.run(&["plugin", "config", "pricing", "--unset", "region"]).succeeded();
    let configuration = place.json(&["plugin", "config", "pricing"]);
    assert_eq!(
        (&configuration["values"], &configuration["effective"]["region"]),
        (&json!({"retries": 3}), &json!("eu"))
    );
    place.run(&["plugin", "config", "pricing", "--json", "{}"]).succeeded();
    assert_eq!(place.json(&["plugin", "config", "pricing"])["values"], json!({}));
}
