use outrigger_contract::Manifest;
use outrigger_testkit::traps;
use serde_json::{Value, json};

use super::*;

const MANIFEST: &str = r#"
name = "price-list"
version = "1.0.0"
title = "A test plugin"
description = "For tests."
[runtime]
kind = "wasm"
entry = "x.wasm"
[configuration.region]
type = "string"
[configuration.max-items]
type = "integer"
[configuration.tags]
type = "array"
[configuration.token]
type = "string"
secret = true
"#;

fn layers(overrides: &HostOverrides) -> Vec<Result<(String, Value), String>> {
    let manifest = Manifest::parse(MANIFEST).expect("a manifest");
    let layers = overrides.layers(&manifest.name, &manifest.configuration).into_iter();
    layers
        .map(|layer| {
            layer.map(|layer| (layer.source.to_string(), layer.values.into())).map_err(|failure| {
                assert_eq!(failure.code, Code::InvalidConfiguration);
                failure.message
            })
        })
        .collect()
}

fn variables(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn files_come_before_those_of_the_profile_and_variables_come_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("production")).expect("a folder");
    std::fs::write(at("price-list.yaml"), "region: eu\nmax-items: 3\n").expect("written");
    std::fs::write(at("production/price-list.toml"), "region = \"us\"\n").expect("written");
    let given = [
        ("OUTRIGGER_CONFIG__PRICE_LIST__REGION", "1"),
        ("OUTRIGGER_CONFIG__PRICE_LIST__MAX_ITEMS", "5"),
        ("OUTRIGGER_CONFIG__PRICE_LIST__TAGS", "[\"a\"]"),
        ("OUTRIGGER_CONFIG__OTHER__REGION", "not this one"),
    ];
    let file = |name: &str, values: Value| Ok((format!("the file {}", at(name).display()), values));
    let variable =
        |name: &str, values: Value| Ok((format!("the variable OUTRIGGER_CONFIG__PRICE_LIST__{name}"), values));
    let expected = [
        file("price-list.yaml", json!({"region": "eu", "max-items": 3})),
        file("production/price-list.toml", json!({"region": "us"})),
        variable("REGION", json!({"region": "1"})),
        variable("MAX_ITEMS", json!({"max-items": 5})),
        variable("TAGS", json!({"tags": ["a"]})),
    ];
    assert_eq!(layers(&HostOverrides::new(folder.path(), Some("production"), variables(&given))), expected);
    let without_profile = layers(&HostOverrides::new(folder.path(), None, BTreeMap::new()));
    assert_eq!(without_profile, [expected[0].clone()]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_nothing_of_it_is_quoted() {
    let check = |name: &str, text: &str, expected: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), text).expect("written");
        let found = layers(&HostOverrides::new(folder.path(), None, BTreeMap::new()));
        let [Err(message)] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert!(message.contains(&folder.path().join(name).display().to_string()), "{message}");
        assert!(message.contains(expected) && !message.contains("hunter2"), "{message}");
    };
    check("price-list.toml", "region = \"eu\"\ntoken = hunter2\n", "not valid TOML (line 2, column ");
    check("price-list.json", "{\"token\": hunter2}", "not valid JSON (line 1, column ");
    check("price-list.yaml", "token: [hunter2\n", "not valid YAML");
    check("price-list.yaml", "- hunter2\n", "not a table");
}

#[test]
fn two_files_for_the_same_are_refused() {
    for other in ["price-list.json", "price-list.yml"] {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["price-list.yaml", other] {
            std::fs::write(folder.path().join(name), "{}").expect("written");
        }
        let found = layers(&HostOverrides::new(folder.path(), None, BTreeMap::new()));
        assert!(matches!(&found[..], [Err(message)] if message.ends_with("exist")), "{found:?}");
    }
}

#[test]
fn a_file_may_end_with_yml() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("price-list.yml");
    std::fs::write(&path, "region: eu\n").expect("written");
    let found = layers(&HostOverrides::new(folder.path(), None, BTreeMap::new()));
    assert_eq!(found, [Ok((format!("the file {}", path.display()), json!({"region": "eu"})))]);
}

#[test]
fn files_that_set_nothing_are_told_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [
        "price-list.yaml",
        "prise-list.yaml",
        "price-list.ymal",
        "price-list.yaml.bak",
        "README.md",
        ".hidden.yaml",
        "eu/price-list.toml",
        "us/pricelist.json",
        "us/deeper/price-list.yaml",
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, "{}").expect("written");
    }
    let check = |profile: Option<&str>, expected: &[(&str, &str)], used: usize| {
        let overrides = HostOverrides::new(folder.path(), profile, BTreeMap::new());
        let found = overrides.files(&BTreeSet::from(["price-list".parse().expect("a name")]));
        let at = |name: &str| folder.path().join(name).display().to_string();
        let told: Vec<_> = found
            .idle
            .iter()
            .zip(expected)
            .filter(|(message, (name, why))| message.contains(&at(name)) && message.contains(why))
            .collect();
        assert_eq!((told.len(), found.idle.len(), found.used), (expected.len(), expected.len(), used), "{found:?}");
    };
    let idle = [
        ("price-list.yaml.bak", "is not read"),
        ("price-list.ymal", "is not read"),
        ("prise-list.yaml", "not installed"),
        ("us/pricelist.json", "not installed"),
    ];
    check(None, &idle, 2);
    check(Some("eu"), &idle, 2);
    check(Some("us/deeper"), &idle, 3);
    check(Some("uk"), &[&[("uk", "does not exist")][..], &idle[..]].concat(), 2);
    let nothing = HostOverrides::new(&folder.path().join("nowhere"), None, BTreeMap::new());
    assert_eq!(nothing.files(&BTreeSet::new()), Files::default());
}

#[test]
fn a_variable_that_could_be_for_two_plugins_is_for_neither() {
    let given = [("OUTRIGGER_CONFIG__PRICE_LIST__REGION", "eu")];
    let folder = tempfile::tempdir().expect("a folder");
    let check = |installed: &[&str], refused: bool| {
        let overrides = HostOverrides::new(folder.path(), None, variables(&given));
        let installed: BTreeSet<PluginName> = installed.iter().map(|name| name.parse().expect("a name")).collect();
        overrides.know(move || installed.clone());
        let found = layers(&overrides);
        let errors: Vec<_> = found.iter().filter_map(|layer| layer.as_ref().err()).collect();
        assert_eq!(errors.len(), usize::from(refused), "{found:?}");
        assert!(errors.iter().all(|error| error.contains("could be for `price-list` or `price_list`")), "{errors:?}");
    };
    check(&[], false);
    check(&["price-list", "price-lists"], false);
    check(&["price-list", "price_list"], true);
    // One that is being installed beside it is not there yet.
    check(&["price_list"], true);
    let untouched = HostOverrides::new(folder.path(), None, BTreeMap::new());
    untouched.know(|| panic!("nobody need be asked"));
    assert_eq!(layers(&untouched), []);
}

#[test]
fn variables_that_set_nothing_are_told_with_the_reason() {
    let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect());
    let plugins: Vec<(PluginName, Option<Vec<String>>)> = vec![
        ("pricing".parse().unwrap(), keys(&["currency", "vat-rate"])),
        ("host-tuning".parse().unwrap(), keys(&[])),
        ("broken".parse().unwrap(), None),
        ("billing-api".parse().unwrap(), keys(&["token"])),
        ("billing_api".parse().unwrap(), keys(&["region"])),
    ];
    let check = |name: &str, expected: Option<&str>| {
        let found = super::idle(&format!("OUTRIGGER_CONFIG__{name}"), &plugins);
        match (found, expected) {
            (None, None) => {}
            (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
            (found, _) => panic!("{name}: {found:?}"),
        }
    };
    check("PRICING__CURRENCY", None);
    check("PRICING__VAT_RATE", None);
    check(
        "PRICING__CURENCY",
        Some("there are OUTRIGGER_CONFIG__PRICING__CURRENCY, OUTRIGGER_CONFIG__PRICING__VAT_RATE"),
    );
    check("PRICNG__CURRENCY", Some("is not installed"));
    check("HOST_TUNING__X", Some("which has no configuration"));
    check("BROKEN__X", None);
    check("PRICING_CURRENCY", Some("is not installed"));
    check("BILLING_API__TOKEN", Some("could be for `billing-api` or `billing_api`: a variable cannot tell"));
    check("BILLING_API__TOKN", Some("names no key of the plugin `billing-api`"));
}

#[test]
fn s03_a_configuration_file_of_megabytes_is_not_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let overrides = HostOverrides::new(folder.path(), None, BTreeMap::new());
    let manifest = Manifest::parse(MANIFEST).expect("a manifest");
    for (name, text) in [("price-list.json", "[".repeat(5 << 20)), ("price-list.yaml", "é".repeat(5 << 20))] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        let failure = overrides.layers(&manifest.name, &manifest.configuration).remove(0).expect_err("it is refused");
        assert_eq!(failure.code, Code::Io, "{failure}");
        std::fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn s22_only_regular_files_configure_a_plugin() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("price-list.yaml");
    let told = traps::refusals(&path, |path| {
        let overrides = HostOverrides::new(path.parent().expect("a folder"), None, BTreeMap::new());
        let manifest = Manifest::parse(MANIFEST).expect("a manifest");
        let failure = overrides.layers(&manifest.name, &manifest.configuration).remove(0).expect_err("it is refused");
        assert_eq!(failure.code, Code::Io, "{failure}");
        failure.message
    });
    let expected = ["a pipe", "a device"]
        .map(|kind| format!("the file {} cannot be read: it is {kind}, not a regular file", path.display()));
    assert_eq!(told, expected);
    // As Kubernetes mounts a file.
    std::fs::create_dir(folder.path().join("..data")).expect("a folder");
    std::fs::write(folder.path().join("..data/price-list.yaml"), "region: eu\n").expect("written");
    std::os::unix::fs::symlink("..data/price-list.yaml", &path).expect("a link");
    let found = layers(&HostOverrides::new(folder.path(), None, BTreeMap::new()));
    assert_eq!(found, [Ok((format!("the file {}", path.display()), json!({"region": "eu"})))]);
}
