//! Configuration of plugins: secrets, revisions, and overrides.

use std::sync::Arc;

use outrigger_contract::manifest::ConfigurationSchema;
use outrigger_contract::{Code, PluginName};
use outrigger_engine::Failure;
use outrigger_engine::configuration::{Difference, Given, Layer, NoOverrides, Overrides, Source};
use outrigger_engine::life::Installation;
use outrigger_engine::vault::{Place, Sealed, Vault, VaultError};
use outrigger_store::MemoryStore;
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};

use crate::bench::{Bench, author, installation};

const MANIFEST: &str = "[configuration.colour]\ntype = \"string\"\ndefault = \"grey\"\n\
                        [configuration.size]\ntype = \"integer\"\nmaximum = 9\nrequired = true\n\
                        [configuration.token]\ntype = \"string\"\nsecret = true\npattern = \"^t\"\n\
                        [functions.setting]\nread-only = true\ncache = \"1h\"\n";

/// Turns bytes around. The engine does not know better; real ciphers are the host's.
#[derive(Debug, Default)]
struct Mirror {
    key: Mutex<String>,
}

fn place_of(place: Place<'_>) -> String {
    match place {
        Place::Configuration { plugin, key } => format!("{plugin} {key}"),
        Place::Webhook(name) => format!("webhook {name}"),
    }
}

impl Vault for Mirror {
    fn key(&self) -> Result<String, VaultError> {
        Ok(self.key.lock().clone())
    }

    fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Sealed, VaultError> {
        let text = String::from_utf8(secret.iter().rev().copied().collect()).expect("ASCII");
        Ok(Sealed { key: self.key()?, nonce: place_of(place), text })
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<zeroize::Zeroizing<Vec<u8>>, VaultError> {
        match () {
            () if sealed.key == "lost" => Err(VaultError::KeyMissing { key: sealed.key.clone() }),
            () if sealed.nonce != place_of(place) => Err(VaultError::Refused),
            () => Ok(zeroize::Zeroizing::new(sealed.text.bytes().rev().collect())),
        }
    }
}

/// What the test says.
#[derive(Debug, Default)]
struct Scripted {
    layers: Mutex<Vec<Result<Layer, Failure>>>,
}

impl Overrides for Scripted {
    fn layers(&self, _: &PluginName, _: &ConfigurationSchema) -> Vec<Result<Layer, Failure>> {
        self.layers.lock().clone()
    }
}

struct Configured {
    bench: Bench,
    vault: Arc<Mirror>,
    overrides: Arc<Scripted>,
}

impl Configured {
    async fn new() -> Self {
        let (vault, overrides) = (Arc::new(Mirror::default()), Arc::new(Scripted::default()));
        "first".clone_into(&mut vault.key.lock());
        let bench = Bench::with(Arc::new(MemoryStore::new()), vault.clone(), overrides.clone()).await;
        overrides.layers.lock().push(file(json!({"size": 1})));
        bench.demo(MANIFEST).await;
        Self { bench, vault, overrides }
    }

    fn over(&self, layers: Vec<Result<Layer, Failure>>) {
        *self.overrides.layers.lock() = layers;
    }

    async fn put(&self, values: Json, expected: u64) -> Result<u64, Failure> {
        let configured = self.bench.engine.configure(&demo(), object(values), expected, &author()).await;
        configured.map(|configured| configured.revision)
    }

    async fn seen(&self, key: &str) -> Json {
        let answer = self.bench.call("demo.setting", json!({"key": key})).await.expect("it answers");
        let text = serde_json::from_str::<String>(&answer.json().to_string()).expect("a text");
        serde_json::from_str(&text).expect("JSON")
    }

    async fn stored(&self) -> Json {
        let stored = self.bench.store.configuration_fetch(&demo()).await.expect("it reads");
        Json::Object(stored.expect("it is configured").values)
    }
}

fn demo() -> PluginName {
    "demo".parse().expect("a name")
}

fn object(value: Json) -> Map<String, Json> {
    value.as_object().cloned().expect("an object")
}

fn file(values: Json) -> Result<Layer, Failure> {
    Ok(Layer { source: Source::File("demo.yaml".into()), values: object(values) })
}

fn variable(values: Json) -> Result<Layer, Failure> {
    Ok(Layer { source: Source::Environment("DEMO".to_owned()), values: object(values) })
}

#[tokio::test]
async fn the_strongest_word_counts_and_no_answer_outlives_it() {
    let configured = Configured::new().await;
    assert_eq!((configured.seen("colour").await, configured.seen("size").await), (json!("grey"), json!(1)));
    configured.put(json!({"colour": "red", "size": 2}), 0).await.expect("it is kept");
    assert_eq!((configured.seen("colour").await, configured.seen("size").await), (json!("red"), json!(1)));
    configured.over(vec![file(json!({"colour": "green", "size": 3})), variable(json!({"size": 4}))]);
    configured.bench.engine.reload(&demo()).await.expect("it is loaded anew");
    assert_eq!((configured.seen("colour").await, configured.seen("size").await), (json!("green"), json!(4)));
    let view = configured.bench.engine.configuration(&demo()).await.expect("it is shown");
    assert_eq!(Json::Object(view.effective), json!({"colour": "green", "size": 4}));
    assert_eq!(view.sources["colour"], Source::File("demo.yaml".into()));
    assert_eq!(view.sources["size"], Source::Environment("DEMO".to_owned()));
    assert_eq!(Json::Object(view.values), json!({"colour": "red", "size": 2}));
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_source_and_the_last_good_one_runs() {
    let configured = Configured::new().await;
    configured.put(json!({"colour": "red"}), 0).await.expect("it is kept");
    let cases = [
        (file(json!({"size": 10})), "/size (from the file demo.yaml): 10 is greater than the maximum of 9"),
        (variable(json!({"size": "x"})), "/size (from the variable DEMO): \"x\" is not of type \"integer\""),
        (
            file(json!({"size": 1, "sice": 1})),
            "the file demo.yaml sets `sice`, which is not a configuration key of the plugin `demo`",
        ),
        (
            file(json!({"size": 1, "token": "hunter2"})),
            "/token (from the file demo.yaml): the secret does not match its `pattern`",
        ),
        (Err(Failure::new(Code::InvalidConfiguration, "it is no YAML")), "it is no YAML"),
    ];
    for (layer, expected) in cases {
        configured.over(vec![layer]);
        let failure = configured.bench.engine.reload(&demo()).await.expect_err("it is wrong");
        assert_eq!(failure.code, Code::InvalidConfiguration);
        assert!(failure.message.ends_with(expected), "{}", failure.message);
        assert!(!failure.message.contains("hunter2"));
        assert_eq!(failure.advice().contains("did you mean `size`?"), expected.contains("`sice`"), "{failure:?}");
        assert_eq!(configured.seen("colour").await, json!("red"));
    }
}

#[tokio::test]
async fn an_unknown_key_is_named_with_the_keys_that_exist() {
    const NESTED: &str = "[configuration.server]\ntype = \"object\"\n\
                          [configuration.server.properties]\nport = { type = \"integer\" }\n";
    let check = async |manifest: &str, values: Json, expected: &str, hint: &str| {
        let bench = Bench::new().await;
        bench.demo(manifest).await;
        let failure = bench.engine.configure(&demo(), object(values), 0, &author()).await.expect_err("it is unknown");
        assert_eq!(failure.code, Code::InvalidConfiguration);
        assert_eq!(failure.message, format!("invalid configuration of `demo`: {expected}"));
        assert_eq!(failure.advice(), hint);
    };
    let hint = "`outrigger plugin config demo` shows the keys and their types";
    let two = "[configuration.colour]\ntype = \"string\"\n[configuration.size]\ntype = \"integer\"\n";
    let meant = "there is no configuration key `sice`; did you mean `size`?";
    check(two, json!({"sice": "hunter2"}), meant, hint).await;
    let listed = "there is no configuration key `elephant`; expected one of `colour`, `size`";
    check(two, json!({"elephant": 1}), listed, hint).await;
    check(two, json!({"elephant": 1, "sice": 1}), &format!("{listed}; {meant}"), hint).await;
    let none = "there is no configuration key `size`; none is expected here";
    check("", json!({"size": "hunter2"}), none, hint).await;
    let inner = "/server: there is no property `prot`; did you mean `port`?";
    check(NESTED, json!({"server": {"prot": 1}}), inner, hint).await;
}

#[tokio::test]
async fn what_is_stored_is_valid_by_itself_but_for_what_is_required() {
    let configured = Configured::new().await;
    let failure = configured.put(json!({"size": 10}), 0).await.expect_err("though a file says 1");
    assert!(failure.message.ends_with("/size: 10 is greater than the maximum of 9"), "{}", failure.message);
    configured.put(json!({}), 0).await.expect("the file says what is required");
    configured.over(Vec::new());
    let failure = configured.put(json!({"colour": "red"}), 1).await.expect_err("now nobody does");
    assert!(failure.message.contains("\"size\" is a required property"), "{}", failure.message);
    assert_eq!(configured.put(json!({"size": 2}), 9).await.expect_err("it is not 9").code, Code::Conflict);
}

#[tokio::test]
async fn secrets_are_sealed_in_the_store_and_resealed_together() {
    let configured = Configured::new().await;
    let engine = &configured.bench.engine;
    configured.put(json!({"token": "t1"}), 0).await.expect("it is kept");
    let sealed =
        |key: &str, text: &str| json!({"token": {"$sealed": {"key": key, "nonce": "demo token", "text": text}}});
    assert_eq!(configured.stored().await, sealed("first", "\"1t\""));
    assert_eq!(configured.seen("token").await, json!("t1"));
    configured.put(json!({"token": "t2"}), 1).await.expect("it is kept");
    configured.put(json!({"token": {"$secret": "set"}, "colour": "red"}), 2).await.expect("it is kept");
    let hidden = Some(json!({"$secret": "set"}));
    let changed = Difference { key: "token".to_owned(), before: hidden.clone(), after: hidden };
    let differences = engine.configuration_differences(&demo(), 1, 2).await.expect("it compares");
    assert_eq!(differences, [changed]);

    "second".clone_into(&mut configured.vault.key.lock());
    assert_eq!(engine.reseal().await.expect("it seals"), 3);
    assert_eq!(engine.reseal().await.expect("it seals"), 0);
    assert_eq!(engine.sealing_keys().await.expect("it reads").into_iter().collect::<Vec<_>>(), ["second"]);
    let unchanged = engine.configuration_differences(&demo(), 2, 3).await.expect("it compares");
    assert_eq!(unchanged.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["colour"]);
    engine.configuration_rollback(&demo(), 1, &author()).await.expect("it goes back");
    assert_eq!(configured.seen("token").await, json!("t1"));
    assert_eq!(configured.stored().await, sealed("second", "\"1t\""));
    let shown = format!("{:?}{:?}", engine.configuration(&demo()).await, engine.configuration_revisions(&demo()).await);
    assert!(!shown.contains("t1") && !shown.contains("1t"), "{shown}");
}

#[tokio::test]
async fn a_secret_that_does_not_open_is_named_and_can_be_overridden() {
    let configured = Configured::new().await;
    let engine = &configured.bench.engine;
    "lost".clone_into(&mut configured.vault.key.lock());
    let failure = configured.put(json!({"token": "t1"}), 0).await.expect_err("it does not open");
    assert_eq!(failure.code, Code::SecretUnreadable);
    let moved = json!({"$sealed": {"key": "first", "nonce": "demo other", "text": "\"1t\""}});
    let moved = outrigger_testkit::store_suite::configuration_of(1, json!({"token": moved}));
    configured.bench.store.configuration_put(&demo(), &moved).await.expect("it is stored");
    let failure = engine.reload(&demo()).await.expect_err("it does not open");
    assert_eq!(
        (failure.code, failure.message.as_str()),
        (
            Code::SecretUnreadable,
            "the secret `token` of the plugin `demo` cannot be decrypted: it was changed, or moved from another place"
        )
    );
    assert_eq!(configured.seen("size").await, json!(1), "the last good one runs");
    configured.over(vec![file(json!({"size": 1, "token": "t3"}))]);
    engine.reload(&demo()).await.expect("it need not open");
    assert_eq!(configured.seen("token").await, json!("t3"));
}

#[tokio::test]
async fn without_keys_there_are_no_secrets() {
    let bench = Bench::new().await;
    bench.demo("[configuration.token]\ntype = \"string\"\nsecret = true\n").await;
    let failure = bench.engine.configure(&demo(), object(json!({"token": "t1"})), 0, &author()).await;
    assert_eq!(failure.expect_err("there is no key").code, Code::SecretUnreadable);
    assert_eq!(bench.store.configuration_fetch(&demo()).await.expect("it reads"), None);
}

/// Without overrides, but with keys for secrets.
async fn guarded() -> Bench {
    let vault = Arc::new(Mirror::default());
    "first".clone_into(&mut vault.key.lock());
    Bench::with(Arc::new(MemoryStore::new()), vault, Arc::new(NoOverrides)).await
}

/// What it cannot do without.
const NEEDS: &str = "[configuration.size]\ntype = \"integer\"\nmaximum = 9\nrequired = true\n\
                     [configuration.token]\ntype = \"string\"\nsecret = true\nrequired = true\npattern = \"^t\"\n";

fn with(values: Json, installation: Installation) -> Installation {
    Installation { configuration: Given(object(values)), ..installation }
}

async fn stored(bench: &Bench) -> Json {
    let stored = bench.store.configuration_fetch(&demo()).await.expect("it reads");
    Json::Object(stored.expect("it is configured").values)
}

fn sealed(key: &str, text: &str) -> Json {
    json!({"$sealed": {"key": "first", "nonce": format!("demo {key}"), "text": text}})
}

#[tokio::test]
async fn a_plugin_is_installed_with_what_it_cannot_do_without() {
    let bench = guarded().await;
    let lacks = "the configuration of `demo` lacks required keys: ";
    let cases = [
        (json!({}), format!("{lacks}`size`, `token`"), "--set size=… --set token=…"),
        (json!({"size": 1}), format!("{lacks}`token`"), "install … --set token=…`"),
        (
            json!({"size": 10, "token": "tulip"}),
            "/size: 10 is greater than the maximum of 9".to_owned(),
            "correct the values of",
        ),
        (
            json!({"size": 1, "token": "hunter2"}),
            "/token: the secret does not match its `pattern`".to_owned(),
            "correct the values of",
        ),
    ];
    for (values, message, hint) in cases {
        let attempt = || with(values.clone(), installation("demo", "1.0.0", NEEDS));
        let failure = bench.engine.install(attempt()).await.expect_err("it cannot be installed");
        assert_eq!(failure.code, Code::InvalidConfiguration, "{failure}");
        assert!(failure.message.ends_with(&message), "{failure}");
        assert!(failure.advice().contains(hint), "{}", failure.advice());
        assert_eq!(bench.engine.install_rehearse(&attempt()).await, Err(failure));
    }
    assert!(bench.engine.plugins().is_empty());
    assert_eq!(bench.runtime.count("demo:load"), 0);

    let whole = with(json!({"size": 2, "token": "tulip"}), installation("demo", "1.0.0", NEEDS));
    assert!(!format!("{whole:?}").contains("tulip"), "{whole:?}");
    bench.engine.install(whole).await.expect("it is installed");
    assert_eq!(stored(&bench).await, json!({"size": 2, "token": sealed("token", "\"pilut\"")}));
    let token = bench.call("demo.setting", json!({"key": "token"})).await.expect("it answers");
    assert_eq!(token.json(), json!("\"tulip\""));
    let revisions = bench.engine.configuration_revisions(&demo()).await.expect("it lists");
    let listed: Vec<_> = revisions.iter().map(|one| (one.revision, one.author.as_str())).collect();
    assert_eq!(listed, [(1, "the test")]);
}

#[tokio::test]
async fn an_update_that_needs_more_says_so_and_is_given_it() {
    let bench = guarded().await;
    bench.demo("[configuration.region]\ntype = \"string\"\n").await;
    bench.engine.configure(&demo(), object(json!({"region": "eu"})), 0, &author()).await.expect("it fits");
    let second = format!(
        "[configuration.place]\ntype = \"string\"\n{NEEDS}[[migrations]]\nfrom = \"<2.0.0\"\n\
         rename = {{ region = \"place\" }}\n"
    );
    let second = || installation("demo", "2.0.0", &second);
    let failure = bench.engine.update(second()).await.expect_err("it needs more");
    assert_eq!(failure.code, Code::InvalidConfiguration, "{failure}");
    assert!(failure.advice().contains("--set size=… --set token=…"), "{}", failure.advice());
    let tried = bench.engine.update_rehearse(second(), "/nowhere".into()).await;
    assert_eq!(tried.expect_err("it would need more"), failure);
    assert_eq!(stored(&bench).await, json!({"region": "eu"}));

    let given = with(json!({"size": 2, "token": "tulip"}), second());
    let migrated = bench.engine.update(given).await.expect("it is updated");
    let changed: Vec<_> = migrated.configuration.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(changed, ["place", "region", "size", "token"]);
    assert!(!format!("{migrated:?}").contains("tulip"), "{migrated:?}");
    assert_eq!(stored(&bench).await, json!({"place": "eu", "size": 2, "token": sealed("token", "\"pilut\"")}));
    let revisions = bench.engine.configuration_revisions(&demo()).await.expect("it lists");
    assert_eq!((revisions[0].revision, revisions[0].author.as_str()), (2, "the test"));
    // What is given goes over what is there, and the rest stays, secrets too.
    let third = with(json!({"size": 3}), installation("demo", "3.0.0", NEEDS));
    let failure = bench.engine.update(third).await.expect_err("it does not know `place`");
    assert!(failure.message.contains("place"), "{failure}");
    let third = format!("[configuration.place]\ntype = \"string\"\n{NEEDS}");
    bench.engine.update(with(json!({"size": 3}), installation("demo", "3.0.0", &third))).await.expect("it is updated");
    assert_eq!(stored(&bench).await, json!({"place": "eu", "size": 3, "token": sealed("token", "\"pilut\"")}));
}

#[tokio::test]
async fn what_becomes_a_secret_by_another_name_is_sealed_throughout() {
    let bench = guarded().await;
    let engine = &bench.engine;
    bench.demo("[configuration.password]\ntype = \"string\"\n").await;
    for (expected, password) in ["hunter1", "hunter2"].into_iter().enumerate() {
        let values = object(json!({ "password": password }));
        engine.configure(&demo(), values, expected as u64, &author()).await.expect("it fits");
    }
    // What was called so is a secret by another name, and something else is called so now.
    let second = "[configuration.token]\ntype = \"string\"\nsecret = true\n\
                  [configuration.password]\ntype = \"boolean\"\n\
                  [[migrations]]\nfrom = \"<1.5.0\"\nrename = { password = \"phrase\" }\n\
                  [[migrations]]\nfrom = \"<2.0.0\"\nrename = { phrase = \"token\" }\n";
    let second = || installation("demo", "2.0.0", second);
    let tried = engine.update_rehearse(second(), "/nowhere".into()).await.expect("it could be updated");
    let migrated = engine.update(second()).await.expect("it is updated");
    assert_eq!(tried, migrated);
    let hidden = json!({"$secret": "set"});
    let expected = [
        Difference { key: "password".to_owned(), before: Some(hidden.clone()), after: None },
        Difference { key: "token".to_owned(), before: None, after: Some(hidden.clone()) },
    ];
    assert_eq!(migrated.configuration, expected);
    let shown = async || {
        let history = engine.configuration_revisions(&demo()).await.expect("it lists");
        let stored = bench.store.configuration_revisions(&demo()).await.expect("it lists");
        let first = engine.configuration_differences(&demo(), 0, 1).await.expect("it compares");
        let second = engine.configuration_differences(&demo(), 1, 2).await.expect("it compares");
        format!("{history:?}{stored:?}{first:?}{second:?}")
    };
    assert!(!shown().await.contains("hunter"), "{}", shown().await);
    let values = object(json!({"token": hidden, "password": true}));
    engine.configure(&demo(), values, 3, &author()).await.expect("it fits");
    let newest = engine.configuration_revisions(&demo()).await.expect("it lists").remove(0);
    assert_eq!(newest.values["password"], json!(true), "it is no secret");

    // Where it goes back to its old name, it works and stays hidden.
    engine.rollback(&demo(), author().correlation).await.expect("it goes back");
    let password = bench.call("demo.setting", json!({"key": "password"})).await.expect("it answers");
    assert_eq!(password.json(), json!("\"hunter2\""));
    assert!(!shown().await.contains("hunter"), "{}", shown().await);
}

#[tokio::test]
async fn s06_a_configuration_is_bounded_in_bytes() {
    const LIMIT: usize = 256 << 10;
    const TEXT: &str = "[configuration.text]\ntype = \"string\"\n";
    let bench = guarded().await;
    let around = json!({"text": ""}).to_string().len();
    let sized = |bytes: usize| json!({"text": "x".repeat(bytes - around)});
    let check = |failure: Failure| assert!(failure.message.ends_with("the limit is 256KiB"), "{failure}");
    let first = || with(sized(LIMIT + 1), installation("demo", "1.0.0", TEXT));
    let refused = bench.engine.install(first()).await.expect_err("it is too large");
    assert_eq!(refused.code, Code::TooLarge, "{refused}");
    check(refused);
    check(bench.engine.install_rehearse(&first()).await.expect_err("it is too large"));
    bench.demo(TEXT).await;
    bench.engine.configure(&demo(), object(sized(LIMIT)), 0, &author()).await.expect("it fits");
    let refused = bench.engine.configure(&demo(), object(sized(LIMIT + 1)), 1, &author()).await;
    let refused = refused.expect_err("it is too large");
    assert_eq!(refused.code, Code::TooLarge, "{refused}");
    check(refused);
    let second = with(sized(LIMIT + 1), installation("demo", "2.0.0", TEXT));
    check(bench.engine.update(second).await.expect_err("it is too large"));
    let kept = bench.engine.configuration_revision(&demo(), 1).await.expect("it is kept");
    assert_eq!(kept.values, object(sized(LIMIT)));
    let missing = bench.engine.configuration_revision(&demo(), 2).await.expect_err("there is none");
    assert_eq!(missing.code, Code::NotFound, "{missing}");
}
