//! Signatures: what is let in with which, and what is found out about it later.

use std::fs;
use std::path::PathBuf;

use outrigger_api::{
    ApiError, AuditQuery, CheckOutcome, Code, InstallOutcome, InstallRequest, PackageSource, PluginName,
    RollbackRequest, SignatureInfo, SignatureWord,
};
use outrigger_registry::{SIGNATURE_FILE, SigningKey, sign_package};
use outrigger_testkit::components::{self, Step};
use serde_json::json;
use time::OffsetDateTime;

use crate::bench::{Bench, call, entries, names, none};

fn hostile() -> PluginName {
    "hostile".parse().expect("a name")
}

/// An entry of `trust.toml`.
fn entry(key: &SigningKey, more: &str) -> String {
    format!("[[key]]\nname = \"team\"\npublic-key = \"\"\"\n{}\"\"\"\n{more}\n", key.public().to_pem())
}

fn trust(bench: &Bench, text: &str) {
    fs::write(bench.path("data/trust.toml"), text).expect("it is written");
}

fn signed(bench: &Bench, version: &str, key: &SigningKey) -> PathBuf {
    let folder = bench.hostile(version, "");
    sign_package(&folder, key, OffsetDateTime::now_utc()).expect("it is signed");
    folder
}

/// Signed, and changed afterwards.
fn tampered(bench: &Bench, version: &str, key: &SigningKey) -> PathBuf {
    let folder = signed(bench, version, key);
    fs::write(folder.join("more.txt"), "x").expect("it is written");
    folder
}

async fn state(bench: &Bench) -> SignatureInfo {
    bench.platform.plugin_signature(&hostile()).await.expect("it is read").signature
}

/// Where the files of a package lie that was installed.
fn place(bench: &Bench, outcome: &InstallOutcome) -> PathBuf {
    bench.path("data/packages").join(outcome.digest.trim_start_matches("sha256:"))
}

/// The error of the refusal.
#[track_caller]
fn code<T: std::fmt::Debug>(outcome: Result<T, ApiError>) -> Code {
    outcome.expect_err("it is refused").code
}

#[tokio::test]
async fn where_signatures_are_required_only_what_is_signed_comes_in() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    trust(&bench, &format!("require = true\n{}", entry(&key, "")));
    let (refused, _) = bench.refused(&bench.hostile("0.1.0", "")).await;
    assert_eq!(refused, "signature_required");
    let (refused, _) = bench.refused(&signed(&bench, "0.2.0", &SigningKey::generate().expect("a key"))).await;
    assert_eq!(refused, "signature_required");
    let (refused, error) = bench.refused(&tampered(&bench, "0.3.0", &key)).await;
    assert_eq!(refused, "signature_invalid");
    assert!(error.message.contains("`more.txt` was added"), "{}", error.message);

    let outcome = bench.install(&signed(&bench, "1.0.0", &key)).await.expect("it is installed");
    let expected = (SignatureWord::Valid, true, Some("team".to_owned()), vec![key.public().id().to_string()]);
    let found = |info: SignatureInfo| (info.state, info.accepted, info.signer, info.key_ids);
    assert_eq!(found(outcome.signature), expected);
    assert_eq!(found(state(&bench).await), expected);

    // An update is held to the same, and so is one that is only tried.
    let unsigned = bench.hostile("1.1.0", "");
    assert_eq!(code(bench.install(&unsigned).await), Code::SignatureRequired);
    let source = PackageSource::Path(unsigned.clone());
    let report = bench.platform.package_inspect(&source).await.expect("it may be looked at");
    assert_eq!((report.signature.state, report.signature.accepted), (SignatureWord::Unsigned, false));
    let tried = InstallRequest { dry_run: true, ..InstallRequest::new(source) };
    assert_eq!(code(bench.platform.plugin_install(tried).await), Code::SignatureRequired);
    assert_eq!(code(bench.install(&tampered(&bench, "1.2.0", &key)).await), Code::SignatureInvalid);
    let info = bench.platform.plugin_info(&hostile()).await.expect("it is installed");
    assert_eq!((info.summary.version.as_str(), info.revisions.len()), ("1.0.0", 1));
    bench.install(&signed(&bench, "1.3.0", &key)).await.expect("it is updated");

    // A plugin that is excepted needs no signature; one that it has must be right.
    trust(&bench, &format!("require = true\nunsigned = [\"hos*\"]\n{}", entry(&key, "")));
    bench.install(&bench.hostile("1.4.0", "")).await.expect("it is updated");
    assert_eq!(code(bench.install(&tampered(&bench, "1.5.0", &key)).await), Code::SignatureInvalid);
}

#[tokio::test]
async fn where_none_is_required_a_wrong_one_is_refused_all_the_same() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    let outcome = bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    assert_eq!((outcome.signature.state, outcome.signature.accepted), (SignatureWord::Unsigned, true));
    let outcome = bench.install(&signed(&bench, "1.1.0", &key)).await.expect("it is updated");
    assert_eq!(outcome.signature.state, SignatureWord::Untrusted);
    assert_eq!(outcome.signature.key_ids, [key.public().id().to_string()]);
    assert_eq!(code(bench.install(&tampered(&bench, "1.2.0", &key)).await), Code::SignatureInvalid);
    // It speaks for other plugins.
    trust(&bench, &entry(&key, "plugins = [\"pricing\"]"));
    assert_eq!(state(&bench).await.state, SignatureWord::Untrusted);
    trust(&bench, &entry(&key, ""));
    assert_eq!(state(&bench).await.state, SignatureWord::Valid);
}

#[tokio::test]
async fn a_key_that_is_revoked_lets_nothing_in_not_even_what_is_there() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    trust(&bench, &entry(&key, ""));
    let folder = signed(&bench, "1.0.0", &key);
    bench.install(&folder).await.expect("it is installed");
    assert_eq!(bench.install(&folder).await.expect("it is there").action, "unchanged");
    trust(&bench, &entry(&key, "revoked = true"));
    assert_eq!(code(bench.install(&folder).await), Code::SignatureInvalid);
    let found = state(&bench).await;
    assert_eq!((found.state, found.accepted), (SignatureWord::Invalid, false));
    assert!(found.detail.expect("it says why").contains("`team`, which was revoked"));
    // The running plugin continues; an administrator can disable it.
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
}

#[tokio::test]
async fn trust_that_cannot_be_read_refuses_packages_and_nothing_else() {
    let bench = Bench::new().await;
    bench.install(&bench.hostile("1.0.0", "")).await.expect("it is installed");
    trust(&bench, "requires = true\n");
    let error = bench.install(&bench.hostile("1.1.0", "")).await.expect_err("nobody knows who is trusted");
    assert_eq!(error.code, Code::DataDirectory);
    assert!(error.message.contains("trust.toml, line 1: unknown field `requires`"), "{}", error.message);
    assert!(error.hint.contains("until then, installations and rollbacks are refused"), "{}", error.hint);
    let signature = bench.platform.plugin_signature(&hostile()).await;
    assert_eq!(signature.expect_err("nobody knows").code, Code::DataDirectory);
    assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
    // The next process is none the worse for it.
    let another = bench.another().await;
    assert_eq!(call(&another, "hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
    let doctor = async || {
        let report = bench.platform.doctor().await.expect("it looks");
        report.checks.into_iter().find(|check| check.name == "signatures").expect("it looks at these too")
    };
    assert_eq!(doctor().await.outcome, CheckOutcome::Failed);
    trust(&bench, "require = true\n");
    assert_eq!(doctor().await.outcome, CheckOutcome::Warning);
    trust(&bench, &entry(&SigningKey::generate().expect("a key"), ""));
    let found = doctor().await;
    assert_eq!(found.outcome, CheckOutcome::Ok);
    assert_eq!(found.message, "packages need none; keys that are trusted: 1, revoked: 0");
    bench.install(&bench.hostile("1.1.0", "")).await.expect("it is updated");
}

#[tokio::test]
async fn files_that_were_changed_on_the_disk_are_found_and_restored() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    trust(&bench, &entry(&key, ""));
    for (folder, before, expected) in [
        (bench.hostile("1.0.0", ""), SignatureWord::Unsigned, "their digest is sha256:"),
        (signed(&bench, "1.1.0", &key), SignatureWord::Valid, "`plugin.toml` was changed after it was signed"),
    ] {
        let outcome = bench.install(&folder).await.expect("it is installed");
        assert_eq!(state(&bench).await.state, before);
        let place = place(&bench, &outcome);
        let manifest = fs::read_to_string(place.join("plugin.toml")).expect("a manifest");
        fs::write(place.join("plugin.toml"), manifest + "# changed\n").expect("it is written");
        let found = state(&bench).await;
        assert_eq!((found.state, found.accepted), (SignatureWord::Modified, false));
        assert!(found.detail.as_deref().is_some_and(|detail| detail.contains(expected)), "{found:?}");
        assert_eq!(bench.install(&folder).await.expect("it is there").action, "restored");
        assert_eq!(state(&bench).await.state, before);
        assert_eq!(bench.call("hostile.good", json!({"number": 7})).await.expect("it answers"), json!(7));
        fs::remove_dir_all(&place).expect("they are removed");
        assert_eq!(state(&bench).await.state, SignatureWord::Modified);
        assert_eq!(bench.install(&folder).await.expect("it is there").action, "restored");
        assert_eq!(bench.install(&folder).await.expect("it is there").action, "unchanged");
    }
    let nothing = bench.platform.plugin_signature(&"nothing".parse().expect("a name")).await;
    assert_eq!(nothing.expect_err("it is not there").code, Code::PluginNotFound);
}

#[tokio::test]
async fn what_runs_is_of_the_files_that_were_restored() {
    let bench = Bench::new().await;
    let folder = bench.package("managed", "managed", "1.0.0", "", &components::managed(Step::Succeeds, 1));
    let outcome = bench.install(&folder).await.expect("it is installed");
    let plugin: PluginName = "managed".parse().expect("a name");
    let number = async || bench.call("managed.number", none()).await.expect("it answers");
    assert_eq!(number().await, json!(1));
    fs::write(place(&bench, &outcome).join("x.wasm"), components::managed(Step::Succeeds, 2)).expect("it is written");
    let compiled = bench.path("data/cache/compiled");
    for name in names(&compiled).iter().filter(|name| name.ends_with(".cwasm")) {
        fs::remove_file(compiled.join(name)).expect("it is removed");
    }
    bench.platform.plugin_reload(&plugin).await.expect("it is reloaded");
    assert_eq!(number().await, json!(2), "what runs is of the files that were changed");

    let again = InstallRequest::new(PackageSource::Path(folder));
    let tried = InstallRequest { dry_run: true, ..again.clone() };
    assert_eq!(bench.platform.plugin_install(tried).await.expect("it is tried").action, "restored");
    assert_eq!(number().await, json!(2), "it was only tried");
    assert_eq!(bench.platform.plugin_install(again).await.expect("it is there").action, "restored");
    assert_eq!(number().await, json!(1));
    bench.platform.plugin_reload(&plugin).await.expect("it is reloaded");
    assert_eq!(number().await, json!(1), "nothing of the other files is left in what is compiled");
    assert_eq!(entries(&bench.path("data/staging")), 0);
    let query = AuditQuery { action: Some("plugin_create".to_owned()), ..AuditQuery::default() };
    let records = bench.platform.audit_list(&query).await.expect("it lists");
    assert_eq!(records[0].after.as_ref().expect("there is something now")["action"], "restored", "{records:#?}");
}

#[tokio::test]
async fn what_would_not_be_installed_is_not_gone_back_to() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    trust(&bench, &entry(&key, ""));
    let first = bench.install(&signed(&bench, "1.0.0", &key)).await.expect("it is installed");
    bench.install(&bench.hostile("1.1.0", "")).await.expect("it is updated");
    let back = async |dry_run| bench.platform.plugin_rollback(&hostile(), RollbackRequest { dry_run }).await;
    let version = async || bench.platform.plugin_info(&hostile()).await.expect("it is there").summary.version;

    trust(&bench, &entry(&key, "revoked = true"));
    let error = back(false).await.expect_err("its key was revoked");
    assert_eq!((error.code, code(back(true).await)), (Code::SignatureInvalid, Code::SignatureInvalid));
    assert!(
        error.message.contains("cannot be rolled back") && error.message.contains("was revoked"),
        "{}",
        error.message
    );
    let query = AuditQuery { action: Some("plugin_create".to_owned()), ..AuditQuery::default() };
    let records = bench.platform.audit_list(&query).await.expect("it lists");
    assert_eq!(records[0].code, Some(Code::SignatureInvalid), "{records:#?}");
    trust(&bench, "requires = true\n");
    for dry_run in [true, false] {
        assert_eq!(code(back(dry_run).await), Code::DataDirectory);
    }

    // What was found out about the files is that they were changed, whatever became of the key.
    trust(&bench, &entry(&key, "revoked = true"));
    let more = place(&bench, &first).join("more.txt");
    fs::write(&more, "x").expect("it is written");
    for dry_run in [true, false] {
        let error = back(dry_run).await.expect_err("its files were changed");
        assert_eq!(error.code, Code::SignatureInvalid);
        assert!(error.message.contains("`more.txt` was added"), "{}", error.message);
        assert!(error.hint.contains("install the package of that version again"), "{}", error.hint);
    }
    assert_eq!(version().await, "1.1.0");
    trust(&bench, &entry(&key, ""));
    fs::remove_file(&more).expect("it is removed");
    back(true).await.expect("it is tried");
    back(false).await.expect("it goes back");
    assert_eq!(version().await, "1.0.0");

    bench.install(&bench.hostile("1.1.0", "")).await.expect("it is updated");
    bench.install(&signed(&bench, "1.2.0", &key)).await.expect("it is updated");
    trust(&bench, &format!("require = true\n{}", entry(&key, "")));
    for dry_run in [true, false] {
        assert_eq!(code(back(dry_run).await), Code::SignatureRequired);
    }
    assert_eq!(version().await, "1.2.0");
}

#[tokio::test]
async fn files_of_a_version_that_is_kept_are_not_taken_unseen() {
    let bench = Bench::new().await;
    let one = bench.hostile("1.0.0", "");
    let outcome = bench.install(&one).await.expect("it is installed");
    bench.install(&bench.hostile("1.1.0", "")).await.expect("it is updated");
    let place = place(&bench, &outcome);
    fs::write(place.join("more.txt"), "x").expect("it is written");
    let older = InstallRequest { allow_downgrade: true, ..InstallRequest::new(PackageSource::Path(one)) };
    bench.platform.plugin_install(older).await.expect("it is installed");
    assert!(!place.join("more.txt").exists(), "what was looked at is what is there");
    assert_eq!(state(&bench).await.state, SignatureWord::Unsigned);
}

#[tokio::test]
async fn the_audit_log_says_who_signed_what_was_installed_and_what_was_refused() {
    let bench = Bench::new().await;
    let key = SigningKey::generate().expect("a key");
    trust(&bench, &format!("require = true\n{}", entry(&key, "")));
    let folder = signed(&bench, "1.0.0", &key);
    bench.install(&folder).await.expect("it is installed");
    fs::remove_file(folder.join(SIGNATURE_FILE)).expect("it is removed");
    assert_eq!(code(bench.install(&folder).await), Code::SignatureRequired);
    let query = AuditQuery { action: Some("plugin_create".to_owned()), ..AuditQuery::default() };
    let records = bench.platform.audit_list(&query).await.expect("it lists");
    assert_eq!(records[0].code, Some(Code::SignatureRequired), "{records:#?}");
    let signature = &records[1].after.as_ref().expect("there is something now")["signature"];
    assert_eq!((&signature["state"], &signature["signer"]), (&json!("valid"), &json!("team")), "{records:#?}");
}
