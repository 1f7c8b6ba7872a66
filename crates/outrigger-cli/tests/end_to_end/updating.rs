//! Updates that change what a plugin keeps: tried, done, taken back, and killed on the way.
#![cfg(unix)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outrigger_testkit::migrating::{MigrateState, Migrating};
use serde_json::{Value as Json, json};

use crate::harness::{Place, bundled};

/// Version `number` of a plugin, whose key of the configuration and keys of the state are called after it.
fn version(place: &Place, number: u32, state: MigrateState) -> String {
    let before = number - 1;
    let key = |number| -> &'static str { Box::leak(format!("counter-{number}").into_boxed_str()) };
    let component = Migrating { number, key: key(number), old_key: key(before), state, ..Migrating::first() };
    let folder = format!("v{number}");
    place.write(&format!("{folder}/x.wasm"), component.component());
    let manifest = format!(
        "name = \"shifting\"\nversion = \"{number}.0.0\"\ntitle = \"Shifting\"\ndescription = \"For tests.\"\n\
         [runtime]\nkind = \"wasm\"\nentry = \"x.wasm\"\n\
         [configuration.key-{number}]\ntype = \"string\"\nsecret = true\n\
         [[migrations]]\nfrom = \"<{number}.0.0\"\nrename = {{ key-{before} = \"key-{number}\" }}\n\
         rename-state = {{ \"v{before}/\" = \"v{number}/\" }}\n"
    );
    place.write(&format!("{folder}/plugin.toml"), manifest);
    place.path(&folder).display().to_string()
}

/// Version 1, configured, with a state.
fn installed() -> Place {
    let place = Place::new();
    place.run(&["plugin", "install", &version(&place, 1, MigrateState::Moves)]).succeeded();
    place.run(&["plugin", "config", "shifting", "--set", "key-1=correct-horse"]).succeeded();
    place.run(&["call", "shifting.add"]).succeeded();
    for number in 1..4 {
        let key = format!("v1/{number}");
        place.run(&["call", "shifting.keep", "--key", &key, "--value", "kept"]).succeeded();
    }
    place
}

/// Which version is there. All that it keeps is there with it.
fn whole(place: &Place) -> u32 {
    let number =
        place.json(&["call", "shifting.number"]).as_u64().and_then(|number| u32::try_from(number).ok()).unwrap();
    let info = place.json(&["plugin", "info", "shifting"]);
    assert_eq!(info["version"], format!("{number}.0.0"));
    let values = &place.json(&["plugin", "config", "shifting"])["values"];
    assert_eq!(*values, json!({ format!("key-{number}"): {"$secret": "set"} }));
    let key = format!("key-{number}");
    assert_eq!(place.json(&["call", "shifting.setting", "--key", &key]), json!("\"correct-horse\""));
    assert_eq!(place.json(&["call", "shifting.count"]), json!(1));
    let places = [(number - 1, 1, Json::Null), (number, 1, json!("kept")), (number, 3, json!("kept"))];
    for (version, part, expected) in places.into_iter().chain([(number + 1, 1, Json::Null)]) {
        let key = format!("v{version}/{part}");
        assert_eq!(place.json(&["call", "shifting.recall", "--key", &key]), expected, "{number}: {key}");
    }
    number
}

/// Installs version `number` and kills that after a while. Answers how long it took where it was done before.
fn killed(place: &Place, number: u32, after: Duration) -> Option<Duration> {
    let package = version(place, number, MigrateState::Moves);
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["plugin", "install", &package])
        .env("OUTRIGGER_DATA", place.path("data"))
        .env("OUTRIGGER_BUNDLED", bundled())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while started.elapsed() < after {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return Some(started.elapsed());
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn after_kill_9_an_update_is_whole_or_not_at_all() {
    const ROUNDS: u32 = 12;
    let place = installed();
    let took = killed(&place, 2, Duration::from_secs(60)).expect("it is done in a minute");
    let mut present = whole(&place);
    assert_eq!(present, 2);
    let mut moved = 0;
    for round in 0..ROUNDS {
        // From its first moment to somewhat after its last one.
        killed(&place, present + 1, took * (round + 4) / ROUNDS);
        let found = whole(&place);
        assert!(found == present || found == present + 1, "{present} became {found}");
        moved += found - present;
        present = found;
    }
    assert!(moved < ROUNDS, "none was killed in time");
    place.run(&["plugin", "install", &version(&place, present + 1, MigrateState::Moves)]).succeeded();
    assert_eq!(whole(&place), present + 1);
    place.run(&["doctor"]).succeeded();
}

#[test]
fn an_update_is_tried_done_and_taken_back() {
    let place = installed();
    let second = version(&place, 2, MigrateState::Moves);
    let tried = place.run(&["plugin", "install", &second, "--dry-run"]).succeeded();
    tried.shows(&["from 1.0.0 to 2.0.0 would", "rename `key-1` to `key-2`", "(secret)", "v2/3", "counter-1"]);
    assert_eq!(whole(&place), 1);
    let tried = place.json(&["plugin", "install", &second, "--dry-run"]);
    assert_eq!((&tried["dry_run"], &tried["migration"]["state"]["added"][0]), (&json!(true), &json!("counter-2")));
    let failing = version(&place, 3, MigrateState::Fails);
    place.run(&["plugin", "install", &failing]).failed(1, &["error[migration_failed]", "it is not legible"]);
    assert_eq!(whole(&place), 1);
    place.run(&["plugin", "rollback", "shifting", "--yes"]).failed(7, &["nothing to roll back"]);

    place.run(&["plugin", "install", &second]).succeeded().shows(&["shifting updated from 1.0.0 to 2.0.0"]);
    assert_eq!(whole(&place), 2);
    place
        .run(&["plugin", "info", "shifting"])
        .succeeded()
        .shows(&["Migrations", "from <2.0.0: rename `key-1` to `key-2`"]);
    place.run(&["call", "shifting.keep", "--key", "v2/9", "--value", "new"]).succeeded();
    place.run(&["plugin", "rollback", "shifting"]).failed(2, &["--yes", "--dry-run"]);
    let tried = place.run(&["plugin", "rollback", "shifting", "--dry-run"]).succeeded();
    tried.shows(&["would", "1 write to the state since the update would be lost", "v2/9"]);
    assert_eq!(whole(&place), 2);
    place
        .run(&["plugin", "rollback", "shifting", "--yes"])
        .succeeded()
        .shows(&["shifting rolled back from 2.0.0 to 1.0.0"]);
    assert_eq!(whole(&place), 1);
    let first = version(&place, 1, MigrateState::Moves);
    place.run(&["plugin", "install", &second]).succeeded();
    place.run(&["plugin", "install", &first]).failed(7, &["is older", "--allow-downgrade", "plugin rollback shifting"]);
}
