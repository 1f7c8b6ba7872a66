//! One version in the place of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use outrigger_contract::PluginName;
use outrigger_engine::Store;
use outrigger_engine::store::{
    CONFIGURATION_REVISIONS_KEPT, Expected, Keeps, PluginRecord, RevisionRecord, StateChange, StateStamp, StateWrite,
    Switch,
};
use serde_json::json;

use super::configuration::set as configured;
use super::fixtures::{assert_conflict, grant, moment, name, plugin, put, revision};

/// All that a switch touches, as it is stored.
#[derive(Debug, PartialEq)]
struct Snapshot {
    record: PluginRecord,
    revisions: usize,
    configuration: String,
    state: BTreeMap<String, Vec<u8>>,
    stamp: StateStamp,
    predecessor: String,
    former_state: BTreeMap<String, Vec<u8>>,
}

async fn snapshot(store: &dyn Store, name: &PluginName) -> Snapshot {
    let mut state = BTreeMap::new();
    for key in store.state_keys(name, "", u32::MAX).await.unwrap() {
        let value = store.state_get(name, &key).await.unwrap().expect("it was listed");
        state.insert(key, value);
    }
    Snapshot {
        record: store.plugin_fetch(name).await.unwrap().expect("it is there"),
        revisions: store.revision_list(name).await.unwrap().len(),
        configuration: format!("{:?}", store.configuration_revisions(name).await.unwrap()),
        state,
        stamp: store.state_stamp(name).await.unwrap(),
        predecessor: format!("{:?}", store.predecessor_fetch(name).await.unwrap()),
        former_state: store.predecessor_state(name).await.unwrap(),
    }
}

async fn write(store: &dyn Store, name: &PluginName, key: &str, value: &[u8]) {
    let write = StateWrite { key, value, expected: Expected::Anything };
    store.state_set(name, write, u64::MAX).await.unwrap();
}

/// A plugin of version 1.0.0 with a configuration and a state, and the revision 2.0.0 that is not there yet.
async fn first(store: &dyn Store, name: &PluginName) -> RevisionRecord {
    put(store, name).await;
    store.configuration_put(name, &configured(1, json!({"region": "eu"}))).await.unwrap();
    write(store, name, "user/1", b"ada").await;
    write(store, name, "user/2", b"bob").await;
    write(store, name, "tmp", b"gone soon").await;
    revision(name, "2.0.0")
}

fn changes(changes: &[(&str, Option<&[u8]>)]) -> BTreeMap<String, Option<Vec<u8>>> {
    changes.iter().map(|(key, value)| ((*key).to_owned(), value.map(<[u8]>::to_vec))).collect()
}

/// The whole switch to version 2.0.0.
fn second(name: &PluginName, revision: &RevisionRecord) -> Switch {
    let changes = changes(&[
        ("user/1", None),
        ("user/2", None),
        ("users/1", Some(b"ada")),
        ("users/2", Some(b"Bob")),
        ("tmp", None),
    ]);
    Switch {
        plugin: PluginRecord { updated_at: moment(9), ..plugin(name, revision) },
        expected: 1,
        revision: revision.clone(),
        grant: Some(grant(revision, "somebody")),
        configuration: Some(configured(2, json!({"location": "eu"}))),
        state: Some(StateChange { expected: Some(3), changes }),
        keeps: Keeps::Predecessor,
    }
}

fn bytes(state: &BTreeMap<String, Vec<u8>>) -> u64 {
    state.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

pub async fn a_switch_shows_all_of_it_at_once(store: Arc<dyn Store>) {
    let (name, other) = (name("pricing"), super::name("other"));
    put(&*store, &other).await;
    write(&*store, &other, "user/1", b"not mine").await;
    let new = first(&*store, &name).await;
    let before = snapshot(&*store, &name).await;
    assert_eq!((before.stamp.writes, before.stamp.bytes), (3, bytes(&before.state)));

    assert_eq!(store.plugin_switch(&second(&name, &new)).await.unwrap(), 2);
    let after = snapshot(&*store, &name).await;
    assert_eq!((after.record.active, after.record.generation, after.revisions), (new.digest, 2, 2));
    assert_eq!(store.grant_fetch(&new.digest).await.unwrap(), Some(grant(&new, "somebody")));
    let present = store.configuration_fetch(&name).await.unwrap().expect("it is set");
    assert_eq!((present.revision, json!(present.values)), (2, json!({"location": "eu"})));
    let state = [("users/1", b"ada".to_vec()), ("users/2", b"Bob".to_vec())];
    assert_eq!(after.state, state.map(|(key, value)| (key.to_owned(), value)).into());
    assert_eq!((after.stamp.writes, after.stamp.bytes), (8, bytes(&after.state)));

    let kept = store.predecessor_fetch(&name).await.unwrap().expect("it is kept");
    assert_eq!((kept.digest, kept.configuration, kept.state_kept), (before.record.active, 1, true));
    assert_eq!(kept.writes, 8, "what comes after is the successor's");
    assert_eq!(after.former_state, before.state);
    assert_eq!(store.state_get(&other, "user/1").await.unwrap().as_deref(), Some(b"not mine".as_slice()));
    assert_eq!(store.predecessor_fetch(&other).await.unwrap(), None);
}

pub async fn a_switch_that_does_not_fit_changes_nothing(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    let before = snapshot(&*store, &name).await;
    let good = second(&name, &new);
    let stale_state = StateChange { expected: Some(2), ..good.state.clone().expect("it has one") };
    let wrong = [
        Switch { expected: 2, ..good.clone() },
        Switch { configuration: Some(configured(3, json!({}))), ..good.clone() },
        Switch { configuration: Some(configured(1, json!({}))), ..good.clone() },
        Switch { state: Some(stale_state), ..good.clone() },
        Switch { plugin: plugin(&super::name("absent"), &new), ..good.clone() },
        Switch { plugin: plugin(&name, &revision(&name, "3.0.0")), ..good.clone() },
    ];
    for wrong in wrong {
        assert_conflict(store.plugin_switch(&wrong).await);
        assert_eq!(snapshot(&*store, &name).await, before, "{wrong:?}");
    }
    store.plugin_switch(&good).await.unwrap();
}

pub async fn what_is_not_given_stays(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    let before = snapshot(&*store, &name).await;
    let keeps = Keeps::PredecessorWithoutState;
    let bare = Switch { configuration: None, state: None, grant: None, keeps, ..second(&name, &new) };
    store.plugin_switch(&bare).await.unwrap();
    let after = snapshot(&*store, &name).await;
    assert_eq!((after.state, after.stamp, after.configuration), (before.state, before.stamp, before.configuration));
    assert_eq!(store.grant_fetch(&new.digest).await.unwrap(), None);
    let kept = store.predecessor_fetch(&name).await.unwrap().expect("it is kept");
    assert_eq!((kept.configuration, kept.state_kept, kept.writes), (1, false, 3));
    assert_eq!(after.former_state, BTreeMap::new());
}

pub async fn only_the_last_predecessor_is_kept(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    store.plugin_switch(&second(&name, &new)).await.unwrap();
    let third = revision(&name, "3.0.0");
    let next = Switch {
        plugin: plugin(&name, &third),
        expected: 2,
        revision: third.clone(),
        grant: None,
        configuration: None,
        state: Some(StateChange { expected: Some(8), changes: changes(&[("users/1", Some(b"Ada"))]) }),
        keeps: Keeps::Predecessor,
    };
    store.plugin_switch(&next).await.unwrap();
    let kept = store.predecessor_fetch(&name).await.unwrap().expect("it is kept");
    assert_eq!((kept.digest, kept.configuration, kept.writes), (new.digest, 2, 9));
    let former = store.predecessor_state(&name).await.unwrap();
    assert_eq!(former.keys().map(String::as_str).collect::<Vec<_>>(), ["users/1", "users/2"]);
    assert_eq!(former["users/1"], b"ada");

    // And back: nothing is kept of what that replaces.
    let back = Switch {
        plugin: plugin(&name, &new),
        expected: 3,
        revision: new.clone(),
        state: Some(StateChange { expected: None, changes: changes(&[("users/1", Some(b"ada"))]) }),
        keeps: Keeps::Nothing,
        ..next
    };
    store.plugin_switch(&back).await.unwrap();
    let after = snapshot(&*store, &name).await;
    assert_eq!((after.record.active, after.predecessor.as_str(), after.revisions), (new.digest, "None", 3));
    assert_eq!(after.former_state, BTreeMap::new());
    assert_eq!(after.state["users/1"], b"ada");
}

pub async fn what_can_be_gone_back_to_is_kept(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    let old = store.plugin_fetch(&name).await.unwrap().expect("it is there").active;
    store.plugin_switch(&second(&name, &new)).await.unwrap();
    assert_conflict(store.revision_delete(&old).await);
    let configure = async |revisions: std::ops::RangeInclusive<u64>| {
        for revision in revisions {
            store.configuration_put(&name, &configured(revision, json!({"number": revision}))).await.unwrap();
        }
        let kept = store.configuration_revisions(&name).await.unwrap();
        kept.iter().map(|kept| kept.revision).collect::<Vec<_>>()
    };
    let newest = CONFIGURATION_REVISIONS_KEPT + 5;
    let kept = configure(3..=newest).await;
    assert_eq!(kept, (6..=newest).rev().chain([1]).collect::<Vec<_>>(), "revision 1 belongs to the old version");
    let former = store.configuration_revision(&name, 1).await.unwrap().expect("it is kept");
    assert_eq!(json!(former.values), json!({"region": "eu"}));

    // Once nothing leads back there, it goes as the others do.
    let third = revision(&name, "3.0.0");
    let next = Switch {
        plugin: plugin(&name, &third),
        expected: 2,
        revision: third.clone(),
        configuration: None,
        state: None,
        grant: None,
        keeps: Keeps::PredecessorWithoutState,
    };
    store.plugin_switch(&next).await.unwrap();
    assert_eq!(configure(newest + 1..=newest + 1).await, (7..=newest + 1).rev().collect::<Vec<_>>());
    assert!(store.revision_delete(&old).await.unwrap());
    assert_conflict(store.revision_delete(&new.digest).await);
}

pub async fn every_write_to_a_state_counts(store: Arc<dyn Store>) {
    let name = name("pricing");
    assert_conflict(store.state_stamp(&name).await);
    put(&*store, &name).await;
    assert_eq!(store.state_stamp(&name).await.unwrap(), StateStamp { writes: 0, bytes: 0 });
    write(&*store, &name, "k", b"1").await;
    write(&*store, &name, "k", b"1").await;
    assert_eq!(store.state_stamp(&name).await.unwrap(), StateStamp { writes: 2, bytes: 2 });
    let refused = StateWrite { key: "k", value: b"2", expected: Expected::Nothing };
    store.state_set(&name, refused, u64::MAX).await.unwrap();
    store.state_delete(&name, "absent").await.unwrap();
    assert_eq!(store.state_stamp(&name).await.unwrap().writes, 2, "what changes nothing does not");
    store.state_delete(&name, "k").await.unwrap();
    assert_eq!(store.state_stamp(&name).await.unwrap(), StateStamp { writes: 3, bytes: 0 });
}

pub async fn what_is_kept_goes_with_its_plugin(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    store.plugin_switch(&second(&name, &new)).await.unwrap();
    assert!(store.plugin_delete(&name).await.unwrap());
    assert_eq!(store.predecessor_fetch(&name).await.unwrap(), None);
    assert_eq!(store.predecessor_state(&name).await.unwrap(), BTreeMap::new());
    put(&*store, &name).await;
    assert_eq!(store.state_stamp(&name).await.unwrap(), StateStamp { writes: 0, bytes: 0 });
    store.check().await.unwrap();
}

pub async fn of_two_switches_one_wins(store: Arc<dyn Store>) {
    let name = name("pricing");
    let new = first(&*store, &name).await;
    let switches = (0..6).map(|_| {
        let (store, switch) = (Arc::clone(&store), second(&name, &new));
        tokio::spawn(async move { store.plugin_switch(&switch).await })
    });
    let mut won = 0;
    for switch in switches.collect::<Vec<_>>() {
        match switch.await.expect("no panic") {
            Ok(generation) => {
                assert_eq!(generation, 2);
                won += 1;
            }
            conflict => assert_conflict(conflict),
        }
    }
    assert_eq!(won, 1);
}
