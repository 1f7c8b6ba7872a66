//! Steps from older versions: which are for whom, what they move, and that they never lose a value.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use semver::Version;
use serde_json::{Map, Value, json};

use super::LEAST;
use crate::manifest::{LONGEST_STATE_KEY, Manifest, MigrationConflict, MigrationStep};

fn step(text: &str) -> MigrationStep {
    let manifest = Manifest::parse(&format!("{LEAST}[[migrations]]\n{text}\n"));
    manifest.unwrap_or_else(|error| panic!("{error}\n{text}")).migrations.remove(0)
}

fn problems(text: &str) -> Vec<String> {
    let error = Manifest::parse(&format!("{LEAST}[[migrations]]\n{text}\n")).expect_err("it is wrong");
    error.problems().iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn keys(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(ToString::to_string).collect()
}

#[test]
fn a_step_is_for_the_versions_it_names() {
    let check = |from: &str, version: &str, expected: bool| {
        let step = step(&format!("from = \"{from}\""));
        assert_eq!(step.applies_to(&version.parse::<Version>().unwrap()), expected, "{from} {version}");
    };
    check("<2.0.0", "1.9.9", true);
    check("<2.0.0", "2.0.0", false);
    check("<2.0.0", "1.4.0-beta.1", true);
    check("<2.0.0", "2.0.0-rc.1", false);
    check("=2.0.0-rc.1", "2.0.0-rc.1", true);
    check("=2.0.0-rc.1", "2.0.0", false);
    check(">=1.2, <3", "1.1.0", false);
    check("*", "0.0.1-alpha", true);
}

#[test]
fn what_goes_makes_room_for_what_comes() {
    let check = |text: &str, before: Value, after: Value| {
        let step = step(&format!("from = \"*\"\n{text}"));
        assert_eq!(step.configuration(&object(before)), Ok(object(after)), "{text}");
    };
    check("rename = { a = \"b\" }", json!({"a": 1, "c": 2}), json!({"b": 1, "c": 2}));
    check("rename = { a = \"b\" }", json!({"b": 1}), json!({"b": 1}));
    check("rename = { a = \"b\", b = \"a\" }", json!({"a": 1, "b": 2}), json!({"b": 1, "a": 2}));
    check("remove = [\"b\"]\nrename = { a = \"b\" }", json!({"a": 1, "b": 2}), json!({"b": 1}));
    check("rename = { a = \"b\" }\nset = { b = 3 }", json!({"a": 1}), json!({"b": 3}));
    check("remove = [\"a\"]\nset = { a = 3 }", json!({"a": 1}), json!({"a": 3}));
    let taken = step("from = \"*\"\nrename = { a = \"b\" }").configuration(&object(json!({"a": 1, "b": 2})));
    assert_eq!(taken, Err(MigrationConflict::ConfigurationTaken { old: "a".to_owned(), new: "b".to_owned() }));
}

#[test]
fn keys_of_the_state_are_renamed_by_what_they_begin_with() {
    let check = |text: &str, before: &[&str], expected: &[(&str, Option<&str>)]| {
        let step = step(&format!("from = \"*\"\n{text}"));
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(old, new)| ((*old).to_owned(), new.map(str::to_owned))).collect();
        assert_eq!(step.state(&keys(before)), Ok(expected), "{text}");
    };
    let users = "rename-state = { \"user/\" = \"users/\" }";
    check(users, &["user/1", "user/2", "users", "other"], &[("user/1", Some("users/1")), ("user/2", Some("users/2"))]);
    let both = "rename-state = { \"user/\" = \"users/\", \"user/admin/\" = \"admins/\" }\nremove-state = [\"tmp/\"]";
    check(
        both,
        &["user/1", "user/admin/1", "tmp/1"],
        &[("user/1", Some("users/1")), ("user/admin/1", Some("admins/1")), ("tmp/1", None)],
    );
    check("rename-state = { a = \"b\", b = \"a\" }", &["a", "b"], &[("a", Some("b")), ("b", Some("a"))]);

    let users = step(&format!("from = \"*\"\n{users}"));
    let taken = users.state(&keys(&["user/1", "users/1"]));
    assert_eq!(taken, Err(MigrationConflict::StateTaken { old: "user/1".to_owned(), new: "users/1".to_owned() }));
    let long = format!("user/{}", "x".repeat(LONGEST_STATE_KEY - 5));
    let too_long = users.state(&BTreeSet::from([long.clone()]));
    assert_eq!(too_long, Err(MigrationConflict::StateKeyTooLong { old: long, length: LONGEST_STATE_KEY + 1 }));
}

#[test]
fn what_a_step_cannot_mean_is_refused() {
    assert_eq!(problems("rename = {}"), ["migrations[0]: the key `from` is missing"]);
    assert_eq!(problems("from = \"two\"").len(), 1);
    let same = "from = \"*\"\nrename = { a = \"a\" }";
    assert_eq!(problems(same), ["migrations[0].rename.a: the new name is the old one"]);
    let twice = "from = \"*\"\nrename-state = { a = \"c\", b = \"c\" }";
    assert_eq!(problems(twice), ["migrations[0].rename-state.b: two keys would be renamed to `c`"]);
    assert_eq!(problems("from = \"*\"\nremove-state = [\"\"]").len(), 1);
    assert_eq!(problems("from = \"*\"\nremove = [\"a b\"]").len(), 1);
    assert_eq!(problems("from = \"*\"\nset = { a = nan }"), ["migrations[0].set.a: JSON cannot represent this number"]);
}

#[test]
fn a_step_says_what_it_does() {
    let step = step(
        "from = \"<2.0.0\"\nrename = { a = \"b\" }\nremove = [\"c\"]\nset = { d = 1 }\n\
         rename-state = { \"u/\" = \"v/\" }\nremove-state = [\"t/\"]",
    );
    let said = "from <2.0.0: remove `c`, rename `a` to `b`, set `d`, remove `t/…` from the state, rename `u/…` in the \
                state to `v/…`";
    assert_eq!(step.describe(), said);
}

fn name() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

prop_compose! {
    /// Any step that a manifest can hold: the new names of a kind differ.
    fn any_step()(
        rename in prop::collection::btree_map(name(), name(), 0..4),
        remove in prop::collection::btree_set(name(), 0..3),
        set in prop::collection::btree_map(name(), 100..200_u32, 0..3),
        rename_state in prop::collection::btree_map(name(), name(), 0..4),
        remove_state in prop::collection::btree_set(name(), 0..2),
    ) -> MigrationStep {
        let distinct = |renames: BTreeMap<String, String>| {
            let mut taken = BTreeSet::new();
            renames.into_iter().filter(|(old, new)| old != new && taken.insert(new.clone())).collect()
        };
        MigrationStep {
            from: "*".parse().unwrap(),
            rename: distinct(rename),
            remove: remove.into_iter().collect(),
            set: set.into_iter().map(|(key, value)| (key, value.into())).collect(),
            rename_state: distinct(rename_state),
            remove_state: remove_state.into_iter().collect(),
        }
    }
}

proptest! {
    #[test]
    fn a_step_loses_only_what_it_removes(step in any_step(), before in prop::collection::btree_map(name(), 0..100_u32, 0..6)) {
        let before: Map<String, Value> = before.into_iter().map(|(key, value)| (key, value.into())).collect();
        let expected = |key: &String| step.rename.get(key).unwrap_or(key).clone();
        let staying: Vec<_> = before.keys().filter(|key| !step.remove.contains(key)).collect();
        match step.configuration(&before) {
            Ok(after) => {
                for key in &staying {
                    let place = expected(key);
                    let value = step.set.get(&place).unwrap_or(&before[*key]);
                    prop_assert_eq!(after.get(&place), Some(value));
                }
                let places: BTreeSet<_> = staying.iter().map(|key| expected(key)).chain(step.set.keys().cloned()).collect();
                prop_assert_eq!(after.keys().cloned().collect::<BTreeSet<_>>(), places);
            }
            Err(_) => {
                let places: BTreeSet<_> = staying.iter().map(|key| expected(key)).collect();
                prop_assert!(places.len() < staying.len(), "it is refused only where two would be one");
            }
        }
    }

    #[test]
    fn no_two_keys_of_the_state_become_one(step in any_step(), before in prop::collection::btree_set("[a-c]{1,3}", 0..8)) {
        match step.state(&before) {
            Ok(changes) => {
                let after: Vec<_> = before
                    .iter()
                    .filter_map(|key| changes.get(key).map_or(Some(key.clone()), Clone::clone))
                    .collect();
                prop_assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), after.len());
                let removed = before.iter().filter(|key| step.remove_state.iter().any(|prefix| key.starts_with(prefix)));
                prop_assert_eq!(before.len() - after.len(), removed.count());
                prop_assert!(changes.keys().all(|key| before.contains(key)));
            }
            Err(MigrationConflict::StateTaken { old, .. }) => prop_assert!(before.contains(&old)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
