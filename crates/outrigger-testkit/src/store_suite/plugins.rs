//! Plugins, revisions and grants.

use std::sync::Arc;

use outrigger_contract::permission::{FileAccess, FileGrant, FilePin};
use outrigger_contract::types::wit::OptionalExport;
use outrigger_contract::types::{Case, Label, NamedType, Outcome, Shape, Type, TypeId};
use outrigger_contract::{Digest, Manifest};
use outrigger_engine::Store;
use outrigger_engine::lifecycle::PluginState;
use outrigger_engine::store::{Expected, Keep, PluginRecord, RecordBatch, RecordFilter, StateWrite};
use serde_json::json;

use super::configuration_of;
use super::fixtures::{assert_conflict, grant, line, moment, name, plugin, put, revision, run, statistics};

pub async fn an_empty_store_has_nothing(store: Arc<dyn Store>) {
    let (absent, digest) = (name("absent"), Digest::of(b"absent"));
    assert_eq!(store.plugin_list().await.unwrap(), []);
    assert_eq!(store.plugin_fetch(&absent).await.unwrap(), None);
    assert!(!store.plugin_delete(&absent).await.unwrap());
    assert_eq!(store.revision_fetch(&digest).await.unwrap(), None);
    assert_eq!(store.revision_list(&absent).await.unwrap(), []);
    assert!(!store.revision_delete(&digest).await.unwrap());
    assert_eq!(store.grant_fetch(&digest).await.unwrap(), None);
    assert_eq!(store.configuration_fetch(&absent).await.unwrap(), None);
    assert_eq!(store.state_get(&absent, "key").await.unwrap(), None);
    store.state_delete(&absent, "key").await.unwrap();
    assert_eq!(store.state_keys(&absent, "", 10).await.unwrap(), Vec::<String>::new());
    store.record_append(&RecordBatch::default()).await.unwrap();
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap(), []);
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap(), []);
    assert_eq!(store.statistics_list(None).await.unwrap(), []);
    assert_eq!(store.prune(&Keep::since(moment(1_000))).await.unwrap(), 0);
}

pub async fn a_plugin_comes_back_as_it_was_put(store: Arc<dyn Store>) {
    let name = name("pricing");
    let revision = revision(&name, "1.0.0");
    let grant = grant(&revision, "zoë ☂");
    let mut plugin = plugin(&name, &revision);
    assert_eq!(store.plugin_put(&plugin, Some(&revision), Some(&grant), 0).await.unwrap(), 1);
    plugin.generation = 1;
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), Some(plugin.clone()));
    assert_eq!(store.revision_fetch(&revision.digest).await.unwrap(), Some(revision.clone()));
    assert_eq!(store.grant_fetch(&revision.digest).await.unwrap(), Some(grant));

    // What is written says which generation it was; what the record says of itself does not count.
    let reason = "it trapped: \"división\"\nby zero".to_owned();
    let failed = PluginRecord { state: PluginState::Failed, reason: Some(reason), generation: 77, ..plugin };
    assert_eq!(store.plugin_put(&failed, None, None, 1).await.unwrap(), 2);
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), Some(PluginRecord { generation: 2, ..failed }));
}

pub async fn plugins_are_listed_by_name_with_their_active_revision(store: Arc<dyn Store>) {
    for text in ["b-two", "a", "b_one", "b", "b2"] {
        put(&*store, &name(text)).await;
    }
    let first = store.plugin_fetch(&name("a")).await.unwrap().expect("it was put");
    let second = revision(&name("a"), "2.0.0-rc.1+build.5");
    let updated = PluginRecord { active: second.digest, state: PluginState::Disabled, ..first };
    store.plugin_put(&updated, Some(&second), None, 1).await.unwrap();

    let list = store.plugin_list().await.unwrap();
    let names: Vec<&str> = list.iter().map(|(plugin, _)| plugin.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "b-two", "b2", "b_one"]);
    assert_eq!(list[0], (PluginRecord { generation: 2, ..updated }, second.summary()));
    assert_eq!(list[0].1.categories, ["utility", "cloud"]);
    assert_eq!(list[0].1.functions, 1);
    for (plugin, summary) in list {
        assert_eq!((plugin.name, plugin.active), (summary.plugin, summary.digest));
    }
}

pub async fn a_new_plugin_must_not_be_there(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    let other = revision(&name, "2.0.0");
    assert_conflict(store.plugin_put(&plugin(&name, &other), Some(&other), None, 0).await);
    assert_eq!(store.revision_list(&name).await.unwrap().len(), 1);
}

pub async fn a_plugin_begins_with_its_configuration(store: Arc<dyn Store>) {
    let (name, bare) = (name("pricing"), super::name("bare"));
    let (revision, of_bare) = (revision(&name, "1.0.0"), revision(&bare, "1.0.0"));
    let (grant, first) = (grant(&revision, "local"), configuration_of(1, json!({ "region": "eu" })));
    let record = plugin(&name, &revision);
    let second = configuration_of(2, json!({}));
    assert_conflict(store.plugin_create(&record, &revision, &grant, Some(&second)).await);
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), None, "nothing of it was written");
    assert_eq!(store.plugin_create(&record, &revision, &grant, Some(&first)).await.unwrap(), 1);
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), Some(PluginRecord { generation: 1, ..record.clone() }));
    assert_eq!(store.grant_fetch(&revision.digest).await.unwrap(), Some(grant.clone()));
    assert_eq!(store.configuration_revisions(&name).await.unwrap(), std::slice::from_ref(&first));
    let present = store.configuration_fetch(&name).await.unwrap().expect("it is set");
    assert_eq!((present.revision, present.values), (1, first.values.clone()));
    assert_conflict(store.plugin_create(&record, &revision, &grant, Some(&first)).await);

    let its_own = super::fixtures::grant(&of_bare, "local");
    assert_eq!(store.plugin_create(&plugin(&bare, &of_bare), &of_bare, &its_own, None).await.unwrap(), 1);
    assert_eq!(store.configuration_fetch(&bare).await.unwrap(), None);
}

pub async fn a_stale_generation_is_a_conflict_and_writes_nothing(store: Arc<dyn Store>) {
    let name = name("pricing");
    let first = put(&*store, &name).await;
    let kept = store.plugin_fetch(&name).await.unwrap();
    let second = revision(&name, "2.0.0");
    let update = PluginRecord { state: PluginState::Disabled, ..plugin(&name, &second) };
    for stale in [0, 2, 5, u64::MAX] {
        assert_conflict(store.plugin_put(&update, Some(&second), Some(&grant(&second, "local")), stale).await);
    }
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), kept);
    assert_eq!(store.revision_list(&name).await.unwrap(), [first.summary()]);
    assert_eq!(store.grant_fetch(&second.digest).await.unwrap(), None);

    // A plugin that is gone has no generation but 0.
    store.plugin_delete(&name).await.unwrap();
    assert_conflict(store.plugin_put(&update, Some(&second), None, 1).await);
    assert_eq!(store.revision_fetch(&second.digest).await.unwrap(), None);
}

pub async fn of_two_writers_of_a_generation_one_wins(store: Arc<dyn Store>) {
    let name = name("pricing");
    let revision = put(&*store, &name).await;
    for generation in 1..=5 {
        let writers = (0..8).map(|writer| {
            let (store, plugin) = (Arc::clone(&store), plugin(&name, &revision));
            let plugin = PluginRecord { reason: Some(format!("writer {writer}")), ..plugin };
            tokio::spawn(async move { store.plugin_put(&plugin, None, None, generation).await })
        });
        let mut won = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("no panic") {
                Ok(next) => {
                    assert_eq!(next, generation + 1);
                    won += 1;
                }
                conflict => assert_conflict(conflict),
            }
        }
        assert_eq!(won, 1, "generation {generation}");
    }
}

pub async fn a_plugin_is_never_without_its_revision(store: Arc<dyn Store>) {
    let (name, other) = (name("pricing"), name("other"));
    let revision_absent = revision(&name, "1.0.0");
    assert_conflict(store.plugin_put(&plugin(&name, &revision_absent), None, None, 0).await);
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), None, "nothing was written");

    let of_other = put(&*store, &other).await;
    assert_conflict(store.plugin_put(&plugin(&name, &of_other), None, None, 0).await);
    assert_conflict(store.plugin_put(&plugin(&name, &of_other), Some(&of_other), None, 0).await);
    let foreign_grant = grant(&of_other, "local");
    let plugin = plugin(&name, &revision_absent);
    assert_conflict(store.plugin_put(&plugin, Some(&revision_absent), Some(&foreign_grant), 0).await);
    assert_eq!(store.plugin_fetch(&name).await.unwrap(), None, "nothing was written");
    assert_eq!(store.revision_fetch(&revision_absent.digest).await.unwrap(), None, "nothing was written");
}

pub async fn a_revision_is_immutable(store: Arc<dyn Store>) {
    let name = name("pricing");
    let kept = put(&*store, &name).await;
    let mut again = kept.clone();
    again.source = "elsewhere".to_owned();
    again.installed_at = moment(99);
    assert_eq!(store.plugin_put(&plugin(&name, &kept), Some(&again), None, 1).await.unwrap(), 2);
    assert_eq!(store.revision_fetch(&kept.digest).await.unwrap(), Some(kept.clone()));
    assert!(store.grant_fetch(&kept.digest).await.unwrap().is_some(), "its grant stays");
}

pub async fn a_grant_is_replaced(store: Arc<dyn Store>) {
    let name = name("pricing");
    let revision = put(&*store, &name).await;
    let mut second = grant(&revision, "an administrator");
    second.grant.permissions.http.clear();
    second.granted_at = moment(50);
    store.plugin_put(&plugin(&name, &revision), None, Some(&second), 1).await.unwrap();
    assert_eq!(store.grant_fetch(&revision.digest).await.unwrap(), Some(second));
}

pub async fn folders_that_plugins_could_write_to_are_kept(store: Arc<dyn Store>) {
    let name = name("pricing");
    let revision = put(&*store, &name).await;
    assert_eq!(store.writable_folder_list().await.unwrap(), [""; 0]);
    let mut granted = grant(&revision, "an administrator");
    for (path, access) in [("/srv/data/", FileAccess::Write), ("/srv/other/", FileAccess::Read)] {
        granted.grant.permissions.files.push(FileGrant::new(path, access).expect("a valid grant"));
    }
    let pin = FilePin { real: "/mnt/real/".to_owned(), identity: None };
    let linked = FileGrant::new("/srv/link/", FileAccess::Write).expect("a valid grant").pinned(pin);
    granted.grant.permissions.files.push(linked);
    store.plugin_put(&plugin(&name, &revision), None, Some(&granted), 1).await.unwrap();
    assert_eq!(store.writable_folder_list().await.unwrap(), ["/mnt/real/", "/srv/data/"]);
    store.plugin_put(&plugin(&name, &revision), None, Some(&grant(&revision, "local")), 2).await.unwrap();
    assert!(store.plugin_delete(&name).await.unwrap());
    assert_eq!(store.writable_folder_list().await.unwrap(), ["/mnt/real/", "/srv/data/"]);
}

pub async fn revisions_are_listed_newest_first(store: Arc<dyn Store>) {
    let name = name("pricing");
    put(&*store, &name).await;
    put(&*store, &super::name("other")).await;
    for (generation, (version, installed_at)) in (1..).zip([("3.0.0", 30), ("2.0.0", 20), ("4.0.0", 10)]) {
        let mut revision = revision(&name, version);
        revision.installed_at = moment(installed_at);
        store.plugin_put(&plugin(&name, &revision), Some(&revision), None, generation).await.unwrap();
    }
    let list = store.revision_list(&name).await.unwrap();
    let versions: Vec<String> = list.iter().map(|revision| revision.version.to_string()).collect();
    assert_eq!(versions, ["3.0.0", "2.0.0", "4.0.0", "1.0.0"]);
}

pub async fn only_an_inactive_revision_is_removed(store: Arc<dyn Store>) {
    let name = name("pricing");
    let first = put(&*store, &name).await;
    assert_conflict(store.revision_delete(&first.digest).await);
    let second = revision(&name, "2.0.0");
    store.plugin_put(&plugin(&name, &second), Some(&second), None, 1).await.unwrap();
    assert_conflict(store.revision_delete(&second.digest).await);
    assert!(store.revision_exists(&first.digest).await.unwrap());
    assert!(store.revision_delete(&first.digest).await.unwrap());
    assert!(!store.revision_delete(&first.digest).await.unwrap());
    assert!(!store.revision_exists(&first.digest).await.unwrap());
    assert_eq!(store.revision_fetch(&first.digest).await.unwrap(), None);
    assert_eq!(store.grant_fetch(&first.digest).await.unwrap(), None, "its grant went with it");
    assert_eq!(store.revision_list(&name).await.unwrap(), [second.summary()]);
    // Put again, it has to be granted again.
    store.plugin_put(&plugin(&name, &first), Some(&first), None, 2).await.unwrap();
    assert_eq!(store.grant_fetch(&first.digest).await.unwrap(), None);
}

pub async fn what_belongs_to_a_plugin_goes_with_it(store: Arc<dyn Store>) {
    let (gone, stays) = (name("gone"), name("stays"));
    for name in [&gone, &stays] {
        put(&*store, name).await;
        store.configuration_put(name, &configuration_of(1, json!({ "region": "eu" }))).await.unwrap();
        let write = StateWrite { key: "k", value: b"v", expected: Expected::Anything };
        store.state_set(name, write, 1_000).await.unwrap();
    }
    let batch = RecordBatch {
        runs: vec![run(&gone, 1), run(&stays, 2)],
        logs: vec![line(&gone, moment(1), "from gone"), line(&stays, moment(2), "from stays")],
        statistics: vec![statistics(&gone, "echo", 3), statistics(&stays, "echo", 4)],
        audit: Vec::new(),
        ..RecordBatch::default()
    };
    store.record_append(&batch).await.unwrap();
    let digest = store.plugin_fetch(&gone).await.unwrap().expect("it was put").active;

    assert!(store.plugin_delete(&gone).await.unwrap());
    assert_eq!(store.plugin_fetch(&gone).await.unwrap(), None);
    assert_eq!(store.revision_fetch(&digest).await.unwrap(), None);
    assert_eq!(store.revision_list(&gone).await.unwrap(), []);
    assert_eq!(store.grant_fetch(&digest).await.unwrap(), None);
    assert_eq!(store.configuration_fetch(&gone).await.unwrap(), None);
    assert_eq!(store.state_keys(&gone, "", 10).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.statistics_list(Some(&gone)).await.unwrap(), []);
    assert_eq!(store.run_list(&RecordFilter::default()).await.unwrap().len(), 2, "runs stay");
    assert_eq!(store.log_list(&RecordFilter::default()).await.unwrap().len(), 2, "log lines stay");

    assert_eq!(store.plugin_list().await.unwrap().len(), 1);
    assert!(store.configuration_fetch(&stays).await.unwrap().is_some());
    assert_eq!(store.state_get(&stays, "k").await.unwrap().as_deref(), Some(b"v".as_slice()));
    assert_eq!(store.statistics_list(None).await.unwrap(), [statistics(&stays, "echo", 4)]);

    // Installed again, it begins anew.
    put(&*store, &gone).await;
    assert_eq!(store.configuration_fetch(&gone).await.unwrap(), None);
    assert_eq!(store.state_get(&gone, "k").await.unwrap(), None);
    assert_eq!(store.statistics_list(Some(&gone)).await.unwrap(), []);
    let write = StateWrite { key: "k", value: b"v", expected: Expected::Nothing };
    assert_eq!(store.state_set(&gone, write, 1_000).await.unwrap(), outrigger_engine::store::StateOutcome::Written);
}

pub async fn documents_come_back_whole(store: Arc<dyn Store>) {
    let name = name("documents");
    let mut record = revision(&name, "1.2.3-beta.4+build.5");
    record.manifest = Manifest::parse(
        r#"
        name = "documents"
        version = "1.2.3-beta.4+build.5"
        title = "Títle with \"quotes\" and ☃"
        description = "Line one.\nLine 'two'; -- DROP TABLE plugins"
        authors = ["Zoë <zoe@example.org>"]
        license = "Apache-2.0"
        keywords = ["a", "b"]
        categories = ["cloud"]
        [runtime]
        kind = "wasm"
        entry = "sub/x.wasm"
        instances = { warm = { max-instances = 2, max-calls = 10 } }
        [functions.zulu]
        read-only = true
        cache = "10m"
        [functions.alpha]
        rate-limit = { calls = 600, per = "1m", burst = 100 }
        timeout = "2s"
        [permissions]
        http = ["api.example.org:443"]
        files = [{ path = "/etc/os-release", access = "read" }]
        [limits]
        memory = "16MiB"
        "#,
    )
    .expect("a valid manifest");
    let graph = &mut record.inspection.graph;
    let case = |name: &str, ty| Case { name: name.to_owned(), docs: "Ünïcode".to_owned(), ty };
    let cases = vec![case("none", None), case("some", Some(Type::Option(Box::new(Type::Bytes))))];
    graph.types.push(NamedType::new("choice", "", Shape::Variant(cases)));
    let label = Label { name: "read".to_owned(), docs: String::new() };
    graph.types.push(NamedType::new("rights", "", Shape::Flags(vec![label])));
    graph.functions[0].outcome = Outcome { ok: Some(Type::Named(TypeId(0))), err: Some(None) };
    record.inspection.exports = vec![OptionalExport::Health];
    record.inspection.imports = vec!["wasi:http/outgoing-handler@0.2.0".to_owned()];
    record.inspection.warnings = vec!["w".repeat(100_000)];

    store.plugin_put(&plugin(&name, &record), Some(&record), None, 0).await.unwrap();
    let found = store.revision_fetch(&record.digest).await.unwrap().expect("it was put");
    assert!(found == record, "the documents differ");
    let order: Vec<_> = found.manifest.functions.keys().map(ToString::to_string).collect();
    assert_eq!(order, ["zulu", "alpha"], "the author's order is kept");
    assert_eq!(store.plugin_list().await.unwrap()[0].1, record.summary());
}

pub async fn many_plugins_are_listed(store: Arc<dyn Store>) {
    for number in 0..150 {
        put(&*store, &name(&format!("plugin-{:03}", (number * 37) % 150))).await;
    }
    let list = store.plugin_list().await.unwrap();
    let names: Vec<String> = list.iter().map(|(plugin, _)| plugin.name.to_string()).collect();
    assert_eq!(names, (0..150).map(|number| format!("plugin-{number:03}")).collect::<Vec<_>>());
}

pub async fn the_store_checks_itself(store: Arc<dyn Store>) {
    put(&*store, &name("pricing")).await;
    let verdict = store.check().await.unwrap();
    assert!(verdict.contains("plugins: 1, runs: 0, log lines: 0"), "{verdict}");
}
