//! From a package to an installed plugin, and back.

use serde_json::json;

use crate::harness::{Outcome, Place, bundled, is_empty};

const PERMISSIONS: &str = "[permissions]\nenvironment = [\"LANG\"]\nhttp = [\"api.example.org:443\"]\n";

#[test]
fn a_plugin_comes_and_goes() {
    let place = Place::new();
    place.run(&["plugin", "list"]).succeeded().shows(&["No plugins."]);
    place.run(&["plugin", "list", "--available"]).succeeded().shows(&["pricing", "bundled"]);
    let outcome = place.run(&["plugin", "install", "pricing"]).succeeded();
    assert!(outcome.stderr.contains("the plugin cannot use anything outside itself"), "{outcome:#?}");
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
    place.run(&["plugin", "uninstall", "pricing"]).failed(2, &["configuration and state", "--yes"]);
    place.run(&["plugin", "uninstall", "pricing", "--yes"]).succeeded().shows(&["pricing 1.0.0 removed"]);
    place.run(&["plugin", "info", "pricing"]).failed(3, &["no plugin `pricing` is installed"]);
    assert!(is_empty(&place.path("data/packages")));
}

#[test]
fn permissions_need_consent() {
    let place = Place::new();
    let package = place.package("pricing", PERMISSIONS);
    let refused = place.run(&["plugin", "install", &package]);
    let refused = refused.failed(4, &["error[grant_required]", "LANG", "api.example.org", "`--yes`"]);
    let (review, error) = refused.stderr.split_once("error[").unwrap();
    assert!(review.contains("api.example.org") && !error.contains("api.example.org"), "not listed once: {refused:#?}");
    place.run(&["plugin", "install", &package, "--quiet"]).failed(4, &["LANG", "api.example.org"]);
    let refused = place.run(&["plugin", "install", &package, "-o", "json"]);
    assert_eq!(refused.code, 4);
    let error: serde_json::Value = serde_json::from_str(&refused.stderr).unwrap();
    assert_eq!(error["detail"]["permissions"].as_array().unwrap().len(), 2, "{error}");
    assert_eq!(place.json(&["plugin", "list"]), json!([]));

    place.run(&["plugin", "install", &package, "--yes"]).succeeded();
    place.run(&["plugin", "info", "pricing"]).succeeded().shows(&["Permissions\n", "LANG"]);
    // The grant of one version does not cover further requests of the next one.
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
fn what_a_plugin_cannot_do_without_is_given_with_it() {
    let place = Place::new();
    let needs = "[configuration.api-token]\ntype = \"string\"\nrequired = true\nsecret = true\n\
                 [configuration.retries]\ntype = \"integer\"\nrequired = true\n";
    let package = place.package("pricing", needs);
    let lacks = ["error[invalid_configuration]", "`api-token`, `retries`", "--set api-token=… --set retries=…"];
    place.run(&["plugin", "install", &package]).failed(2, &lacks);
    place.run(&["plugin", "install", &package, "--dry-run"]).failed(2, &lacks);
    place.run(&["plugin", "install", &package, "--set", "retries"]).failed(2, &["write `--set retries=VALUE`"]);
    let wrong = ["plugin", "install", &package, "--set", "api-token=7", "--set", "retries=many"];
    place.run(&wrong).failed(2, &["/retries", "correct the values of `--set`"]);
    assert_eq!(place.json(&["plugin", "list"]), json!([]));

    let file = place.write("settings.yaml", "api-token: s3cret\nretries: 3\n");
    place.run(&["plugin", "install", &package, "--config", &file, "--set", "retries=5"]).succeeded();
    let configured = place.json(&["plugin", "config", "pricing"]);
    assert_eq!(configured["values"], json!({"api-token": {"$secret": "set"}, "retries": 5}));
    assert_eq!(configured["revision"], json!(1));
    place.run(&["call", "pricing.currencies"]).succeeded();
    assert_eq!(place.json(&["plugin", "install", &package, "--set", "retries=6"])["action"], "configured");
    assert_eq!(place.json(&["plugin", "config", "pricing"])["values"]["retries"], json!(6));
}

#[test]
fn what_cannot_be_installed_is_refused() {
    let place = Place::new();
    place.run(&["plugin", "install", "absent"]).failed(3, &["plugin list --available"]);
    place.run(&["plugin", "install", "./absent"]).failed(3, &["absent does not exist"]);
    place.run(&["plugin", "install", "pricing", "--version", "^9"]).failed(3, &["available: 1.0.0"]);
    place.run(&["plugin", "install", "./x", "--version", "^9"]).failed(2, &["`./x` is a path"]);
    let text = place.write("notes.txt", "text");
    place.run(&["plugin", "install", &text]).failed(2, &["neither a folder nor a supported archive"]);
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
    place.run(&["plugin", "validate", "absent"]).failed(3, &["absent does not exist"]);
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

#[test]
fn a_configuration_is_overridden_and_gone_back_to() {
    let place = Place::new();
    let keys = "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n\
                [configuration.retries]\ntype = \"integer\"\n\
                [configuration.api-token]\ntype = \"string\"\nsecret = true\n";
    place.run(&["plugin", "install", &place.package("pricing", keys)]).succeeded();
    let config = ["plugin", "config", "pricing"];
    let with = |more: &[&'static str]| [config.as_slice(), more].concat();
    let file = place.write("set.yaml", "region: us\napi-token: hunter2\n");
    place.run(&["plugin", "config", "pricing", "--file", &file]).succeeded();
    place.run(&with(&["--set", "retries=3"])).succeeded();
    place.run(&config).succeeded().shows(&["us", "(secret)", "3"]);
    place.run(&with(&["history"])).succeeded().shows(&["region=us", "api-token=(secret)", "local"]);
    place.run(&with(&["diff", "1"])).succeeded().shows(&["retries", "added", "3"]);
    place.run(&with(&["diff", "2", "2"])).succeeded().shows(&["are the same"]);
    place.run(&with(&["rollback", "1"])).succeeded().shows(&["revision 3"]);
    place.run(&with(&["rollback", "7"])).failed(3, &["not_found", "revision 7"]);
    place.run(&with(&["--set", "retries=1", "history"])).failed(2, &["history"]);
    let shown = place.json(&config);
    assert_eq!(shown["values"], json!({"region": "us", "api-token": {"$secret": "set"}}));
    place.run(&["secrets", "rotate"]).succeeded().shows(&["3 revisions"]);

    place.write("data/config/pricing.toml", "retries = 5\nregion = \"asia\"\n");
    place.write("data/config/test/pricing.json", "{\"region\": \"africa\"}");
    let over = |retries: &str| {
        let mut command = place.command(&with(&["-o", "json"]));
        command.env("OUTRIGGER_PROFILE", "test").env("OUTRIGGER_CONFIG__PRICING__RETRIES", retries);
        let shown: serde_json::Value = serde_json::from_str(&Outcome::of(&mut command).succeeded().stdout).unwrap();
        shown
    };
    let shown = over("7");
    assert_eq!((&shown["effective"]["region"], &shown["effective"]["retries"]), (&json!("africa"), &json!(7)));
    let variable = json!({"from": "environment", "name": "OUTRIGGER_CONFIG__PRICING__RETRIES"});
    assert_eq!(shown["sources"]["retries"], variable);
    let path = place.path("data/config/test/pricing.json").display().to_string();
    assert_eq!(shown["sources"]["region"], json!({"from": "file", "path": path}));
    let problem = over("often")["problems"][0].as_str().unwrap_or_default().to_owned();
    assert!(problem.contains("the variable OUTRIGGER_CONFIG__PRICING__RETRIES"), "{problem}");

    let key = place.command(&config).env("OUTRIGGER_SECRET_KEY", "hunter2").output().unwrap();
    let said = String::from_utf8_lossy(&key.stdout).into_owned();
    assert!(said.contains("OUTRIGGER_SECRET_KEY does not hold keys"), "{said}");
}

#[test]
fn s08_limits_above_the_defaults_need_consent_and_stay_below_the_ceiling() {
    let place = Place::new();
    place.hostile("[limits]\nmemory = \"256MiB\"\nconcurrency = 100\n");
    let sentence = "use 256MiB of memory in each instance (default: 64MiB)";
    let refused = place.run(&["plugin", "install", "./hostile"]);
    refused.failed(4, &["error[grant_required]", sentence, "run 100 calls at once", "`--yes`"]);
    let with_ceiling =
        |ceiling: &str, arguments: &[&str]| Outcome::of(place.command(arguments).env("OUTRIGGER_CEILING", ceiling));
    for arguments in [&["plugin", "install", "./hostile"][..], &["plugin", "install", "./hostile", "--yes"]] {
        with_ceiling("memory=128MiB", arguments).failed(
            5,
            &["error[above_ceiling]", "`memory` of 256MiB is above the ceiling of 128MiB", "OUTRIGGER_CEILING"],
        );
    }
    with_ceiling("memory=lots", &["plugin", "list"]).failed(2, &["OUTRIGGER_CEILING: `lots` is not a size"]);
    assert_eq!(place.json(&["plugin", "list"]), json!([]));
    place.run(&["plugin", "install", "./hostile", "--yes"]).succeeded();
    place.run(&["plugin", "info", "hostile"]).succeeded().shows(&["Permissions\n", sentence]);
    let lowered = with_ceiling("memory=128MiB", &["plugin", "info", "hostile"]).succeeded();
    lowered.shows(&["Limits that the operator's ceiling lowers", "`memory` is 128MiB instead of 256MiB"]);
    with_ceiling("memory=128MiB", &["doctor"]).shows(&["limits of hostile", "`memory` is 128MiB instead of 256MiB"]);
}

#[test]
fn r01_who_stops_a_guard_is_warned_of_what_is_closed() {
    let place = Place::new();
    let manifest = "name = \"callbacks\"\nversion = \"1.0.0\"\ntitle = \"Callbacks\"\ndescription = \"For tests.\"\n\
                    [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n";
    place.write("callbacks/plugin.toml", manifest);
    place.write("callbacks/x.wasm", outrigger_testkit::components::callbacks());
    place.run(&["plugin", "install", "./callbacks", "--yes"]).succeeded();
    place.run(&["hook", "add", "text.shown", "filter"]).succeeded();
    let subscribe = ["hook", "subscribe", "text.shown", "callbacks.append-a", "--on-error", "fail-closed"];
    let made = place.json(&subscribe);
    let id = made["id"].as_str().expect("an id");
    let closed = "hook `text.shown` is closed: its fail-closed subscriber `callbacks.append-a` is unavailable";
    let outcome = place.run(&["plugin", "disable", "callbacks"]).succeeded();
    assert!(
        outcome.stderr.contains(closed) && outcome.stderr.contains(&format!("outrigger hook disable {id}")),
        "{outcome:#?}"
    );
    let outcome = place.run(&["hook", "list"]).succeeded();
    assert!(outcome.stdout.contains("CLOSED") && outcome.stderr.contains(closed), "{outcome:#?}");
    place.run(&["doctor"]).shows(&["hook text.shown", "is disabled"]);
    let removed = place.json(&["plugin", "uninstall", "callbacks", "--yes"]);
    assert_eq!(removed["closed_hooks"][0]["subscription"], *id, "{removed}");
    let fired = place.json(&["hook", "fire", "text.shown", "\"x\""]);
    assert_eq!(fired["trace"]["callbacks"][0]["outcome"], "failed", "{fired}");
    place.run(&["hook", "unsubscribe", id]).succeeded();
    let outcome = place.run(&["hook", "list"]).succeeded();
    assert!(!outcome.stdout.contains("CLOSED") && outcome.stderr.is_empty(), "{outcome:#?}");
}
