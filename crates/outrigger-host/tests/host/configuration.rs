//! Configuration with a real component that reads it: secrets that nothing but the plugin gets to see, revisions, files
//! that override what is stored, and keys that are lost, changed and interrupted.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use outrigger_api::{
    ApiError, AuditQuery, Code, Configuration, ConfigurationSource, DifferenceKind, PluginName, RecordQuery,
};
use parking_lot::Mutex;
use serde_json::{Map, Value as Json, json};

use crate::bench::{Bench, call};

const SECRET: &str = "correct-horse-battery";
const MANIFEST: &str = "[configuration.region]\ntype = \"string\"\ndefault = \"eu\"\n\
                        [configuration.size]\ntype = \"integer\"\nmaximum = 9\n\
                        [configuration.token]\ntype = \"string\"\nsecret = true\nminLength = 8\n";

fn plugin() -> PluginName {
    "hostile".parse().expect("a name")
}

fn object(value: Json) -> Map<String, Json> {
    value.as_object().cloned().expect("an object")
}

fn hidden() -> Json {
    json!({"$secret": "set"})
}

async fn installed() -> Bench {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", MANIFEST)).await.expect("it is installed");
    bench
}

async fn put(bench: &Bench, values: Json) -> Result<u64, ApiError> {
    let present = fetch(bench).await.revision;
    bench.platform.configuration_put(&plugin(), object(values), present).await
}

async fn fetch(bench: &Bench) -> Configuration {
    bench.platform.configuration_fetch(&plugin()).await.expect("it is read")
}

/// The configuration as the plugin sees it.
async fn seen(bench: &Bench, key: &str) -> Json {
    bench.call("hostile.setting", json!({"key": key})).await.expect("it answers")
}

/// As the plugin sees it.
fn text(value: &str) -> Json {
    json!(format!("\"{value}\""))
}

/// Everything that is logged, down to the finest.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All files of a folder that hold these bytes.
fn holding(folder: &Path, bytes: &[u8], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            holding(&path, bytes, found);
        } else if fs::read(&path).is_ok_and(|text| text.windows(bytes.len()).any(|window| window == bytes)) {
            found.push(path.display().to_string());
        }
    }
}

#[tokio::test]
async fn a_secret_is_in_no_file_and_no_answer() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let bench = installed().await;
    put(&bench, json!({"region": "findable-region", "token": SECRET})).await.expect("it is kept");
    assert_eq!(seen(&bench, "token").await, text(SECRET));
    let wrong = put(&bench, json!({"size": 10, "token": SECRET})).await.expect_err("10 is more than 9");
    assert_eq!(wrong.code, Code::InvalidConfiguration);
    let short = put(&bench, json!({"token": "hunter2"})).await.expect_err("it is short");
    assert_eq!(
        short.message,
        "invalid configuration of `hostile`: /token: the secret is too short for its `minLength`"
    );
    let platform = &bench.platform;
    put(&bench, json!({"region": "us", "token": "another-secret"})).await.expect("it is kept");
    platform.configuration_rollback(&plugin(), 1).await.expect("it goes back");
    let answers = [
        format!("{:?}", fetch(&bench).await),
        format!("{:?}", platform.configuration_revisions(&plugin()).await.expect("it lists")),
        format!("{:?}", platform.configuration_diff(&plugin(), 0, None).await.expect("it compares")),
        format!("{:?}", platform.configuration_diff(&plugin(), 1, Some(2)).await.expect("it compares")),
        format!("{:?}", platform.plugin_info(&plugin()).await.expect("it is there")),
        format!(
            "{:?}",
            platform.audit_list(&AuditQuery { limit: 1000, ..AuditQuery::default() }).await.expect("it lists")
        ),
        format!(
            "{:?}",
            platform.log_list(&RecordQuery { limit: 1000, ..RecordQuery::default() }).await.expect("it lists")
        ),
        format!("{platform:?}"),
        format!("{wrong:?}{short:?}"),
    ];
    platform.close().await.expect("all is written");
    let log = String::from_utf8_lossy(&log.0.lock()).into_owned();
    assert!(log.contains("secret.key"), "the log is listened to");
    let answers = answers.into_iter().chain([log]).collect::<Vec<_>>();
    for answer in &answers {
        for secret in [SECRET, "another-secret", "hunter2"] {
            assert!(!answer.contains(secret), "{answer}");
        }
    }
    assert!(answers[5].contains("findable-region") && answers[5].contains("$secret"), "{}", answers[5]);
    let mut found = Vec::new();
    holding(&bench.path("data"), b"findable-region", &mut found);
    assert!(!found.is_empty(), "what is no secret is found");
    for secret in [SECRET, "another-secret", "hunter2"] {
        let mut found = Vec::new();
        holding(&bench.path("data"), secret.as_bytes(), &mut found);
        assert_eq!(found, Vec::<String>::new(), "{secret}");
    }
}

#[tokio::test]
async fn what_is_shown_instead_of_a_secret_keeps_it() {
    let bench = installed().await;
    let nothing = put(&bench, json!({"token": hidden()})).await.expect_err("there is none");
    assert_eq!(nothing.code, Code::InvalidConfiguration);
    put(&bench, json!({"token": SECRET})).await.expect("it is kept");
    let shown = fetch(&bench).await;
    assert_eq!(shown.values, object(json!({"token": hidden()})));
    assert_eq!(shown.effective, object(json!({"region": "eu", "token": hidden()})));
    let mut values = shown.values;
    values.insert("region".to_owned(), json!("us"));
    put(&bench, Json::Object(values)).await.expect("it is kept");
    assert_eq!(seen(&bench, "token").await, text(SECRET));
    assert_eq!(seen(&bench, "region").await, text("us"));
    let sealed = json!({"token": {"$sealed": {"key": "k", "nonce": "n", "text": "t"}}});
    assert_eq!(put(&bench, sealed).await.expect_err("not from outside").code, Code::InvalidConfiguration);
}

#[tokio::test]
async fn going_back_is_a_new_revision_with_the_old_secret() {
    let bench = installed().await;
    put(&bench, json!({"region": "us", "token": SECRET})).await.expect("it is kept");
    put(&bench, json!({"size": 3, "token": "another-secret"})).await.expect("it is kept");
    let platform = &bench.platform;
    let diff = platform.configuration_diff(&plugin(), 1, None).await.expect("it compares");
    let found: Vec<_> = diff
        .differences
        .iter()
        .map(|one| (one.key.as_str(), one.kind, one.before.clone(), one.after.clone()))
        .collect();
    let expected = [
        ("region", DifferenceKind::Removed, Some(json!("us")), None),
        ("size", DifferenceKind::Added, None, Some(json!(3))),
        ("token", DifferenceKind::Changed, Some(hidden()), Some(hidden())),
    ];
    assert_eq!((diff.from, diff.to, found), (1, 2, expected.to_vec()));

    assert_eq!(platform.configuration_rollback(&plugin(), 1).await.expect("it goes back"), 3);
    assert_eq!((seen(&bench, "token").await, seen(&bench, "region").await), (text(SECRET), text("us")));
    assert_eq!(platform.configuration_diff(&plugin(), 1, Some(3)).await.expect("it compares").differences, []);
    let revisions = platform.configuration_revisions(&plugin()).await.expect("it lists");
    let listed: Vec<_> = revisions.iter().map(|one| (one.revision, one.restores, one.by.as_str())).collect();
    assert_eq!(listed, [(3, Some(1), "local"), (2, None, "local"), (1, None, "local")]);
    let absent = platform.configuration_rollback(&plugin(), 9).await.expect_err("it is not kept");
    assert_eq!(absent.code, Code::NotFound);
}

#[tokio::test]
async fn files_go_over_what_is_stored_and_a_wrong_one_stops_nothing() {
    let bench = installed().await;
    put(&bench, json!({"size": 3})).await.expect("it is kept");
    let folder = bench.path("data/config");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("hostile.toml");
    fs::write(&file, format!("size = 5\ntoken = \"{SECRET}\"\n")).expect("written");
    assert_eq!(seen(&bench, "size").await, json!("3"), "it is read when the plugin is loaded");
    bench.platform.plugin_reload(&plugin()).await.expect("it is loaded anew");
    assert_eq!((seen(&bench, "size").await, seen(&bench, "token").await), (json!("5"), text(SECRET)));
    let shown = fetch(&bench).await;
    let from_file = ConfigurationSource::File { path: file.display().to_string() };
    assert_eq!(shown.effective, object(json!({"region": "eu", "size": 5, "token": hidden()})));
    assert_eq!(shown.values, object(json!({"size": 3})));
    assert_eq!(shown.sources["region"], ConfigurationSource::Default);
    assert_eq!((&shown.sources["size"], &shown.sources["token"]), (&from_file, &from_file));
    assert_eq!(shown.problems, Vec::<String>::new());

    for (wrong, expected) in [("size = 50\n", "/size"), ("sice = 5\n", "`sice`"), ("size =\n", "line 1")] {
        fs::write(&file, wrong).expect("written");
        let error = bench.platform.plugin_reload(&plugin()).await.expect_err("it is wrong");
        assert_eq!(error.code, Code::InvalidConfiguration);
        assert!(error.message.contains(&file.display().to_string()) && error.message.contains(expected), "{error:?}");
        assert_eq!(seen(&bench, "size").await, json!("5"), "the last good one stays");
        assert_eq!(fetch(&bench).await.problems, [error.message]);
    }
}

#[tokio::test]
async fn a_lost_key_is_said_and_another_one_does_not_open() {
    let bench = installed().await;
    put(&bench, json!({"token": SECRET})).await.expect("it is kept");
    bench.platform.close().await.expect("all is written");
    let key = bench.path("data/secret.key");
    let right = fs::read(&key).expect("it reads");
    fs::write(&key, "11".repeat(32)).expect("written");
    let another = bench.another().await;
    let error = call(&another, "hostile.setting", json!({"key": "token"})).await.expect_err("it does not open");
    assert_eq!(error.code, Code::SecretUnreadable);
    assert!(error.message.contains("`token` of the plugin `hostile`"), "{error:?}");
    assert_eq!(another.configuration_fetch(&plugin()).await.expect("it reads").problems.len(), 1);
    assert_eq!(another.secrets_rotate().await.expect_err("nor can it be moved").code, Code::SecretUnreadable);
    // Given back, also in front of it, all is well; what the rotation made is still there.
    let rotated = fs::read(&key).expect("it reads");
    fs::write(&key, [right, rotated].concat()).expect("written");
    assert_eq!(call(&another, "hostile.setting", json!({"key": "token"})).await.expect("it opens"), text(SECRET));
    // A secret can also be set anew.
    fs::write(&key, "22".repeat(32)).expect("written");
    another.configuration_put(&plugin(), object(json!({"token": "set-anew"})), 1).await.expect("it is kept");
    assert_eq!(bench.another().await.configuration_fetch(&plugin()).await.expect("it reads").revision, 2);
}

#[tokio::test]
async fn a_rotation_encrypts_everything_anew_and_may_be_interrupted() {
    let bench = installed().await;
    put(&bench, json!({"token": SECRET})).await.expect("it is kept");
    put(&bench, json!({"token": "another-secret"})).await.expect("it is kept");
    let key = bench.path("data/secret.key");
    let first = fs::read_to_string(&key).expect("it reads");
    let rotation = bench.platform.secrets_rotate().await.expect("it rotates");
    assert_eq!((rotation.rewritten, rotation.dropped.len()), (2, 0));
    // A process died after the new key was written, before anything was encrypted with it.
    let second = fs::read_to_string(&key).expect("it reads");
    fs::write(&key, format!("{}\n{second}", "33".repeat(32))).expect("written");
    let another = bench.another().await;
    assert_eq!(
        call(&another, "hostile.setting", json!({"key": "token"})).await.expect("it opens"),
        text("another-secret")
    );
    let rotation = another.secrets_rotate().await.expect("it rotates");
    assert_eq!((rotation.rewritten, rotation.dropped.len()), (2, 1), "the first key is used no more");
    let third = fs::read_to_string(&key).expect("it reads");
    assert!(!third.contains(first.lines().last().expect("a key")));
    // Stored secrets open with the newest key alone.
    fs::write(&key, third.lines().nth(1).expect("the newest key")).expect("written");
    another.configuration_rollback(&plugin(), 1).await.expect("it goes back");
    assert_eq!(call(&another, "hostile.setting", json!({"key": "token"})).await.expect("it opens"), text(SECRET));
}

#[tokio::test]
async fn what_an_update_makes_a_secret_is_sealed() {
    let bench = Bench::new().await;
    let open = MANIFEST.replace("secret = true\n", "");
    bench.install(&bench.hostile("1.0.0", &open)).await.expect("it is installed");
    put(&bench, json!({"token": SECRET})).await.expect("it is kept");
    assert_eq!(fetch(&bench).await.values, object(json!({"token": SECRET})));
    bench.install(&bench.hostile("1.1.0", MANIFEST)).await.expect("it is updated");
    assert_eq!(seen(&bench, "token").await, text(SECRET));
    // And it stays hidden when another update takes that back.
    bench.install(&bench.hostile("1.2.0", &open)).await.expect("it is updated");
    assert_eq!(seen(&bench, "token").await, text(SECRET));
    assert_eq!(fetch(&bench).await.values, object(json!({"token": hidden()})));
}
