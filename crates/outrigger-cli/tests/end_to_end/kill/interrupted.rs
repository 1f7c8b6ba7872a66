//! Backups, restores and rotations of keys that are cut off.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::journal::{Journal, call};
use super::random::Random;
use super::server::{Answer, Line, Server, kill};
use super::trial::Trial;
use crate::harness::{Place, is_empty};

/// How often each is cut off.
const TIMES: u64 = 6;

/// A directory with plugins, a configuration of several revisions with a secret, and records; and its administrator's key.
async fn furnished(place: &Place, random: &mut Random) -> (Server, String) {
    let server = Server::start(&place.path("data"));
    let key = server.key.clone().expect("the first start of a directory makes a key");
    let line = Line::new(&server.address, &key);
    Trial::new(random, place, &[]).prepare(&line).await;
    let mut journal = Journal::new(random.fork(), &[]);
    for number in 1..=8 {
        set(&mut journal, &line, number).await;
        call(&line, "counter", json!({"function": "add"})).await;
        call(&line, "worker", json!({"function": "log", "args": {"lines": 50}})).await;
    }
    (server, key)
}

async fn set(journal: &mut Journal, line: &Line, number: u64) {
    let body = json!({"number": number, "token": format!("token of {number}")});
    let request = journal.put("plugins/settings/config", body);
    let answer = line.send(&request).await.expect("the server is there");
    assert!(answer.is_success(), "{answer:?}");
}

async fn post(journal: &mut Journal, line: &Line, path: &str, body: Option<serde_json::Value>) -> Option<Answer> {
    let mut request = journal.post(path, body);
    request.once = None;
    line.send(&request).await
}

/// Has something done, and the server killed after this part of the time that it takes.
async fn cut_off(work: impl Future<Output = Option<Answer>>, server: Server, after: Duration) -> Option<Answer> {
    let death = async {
        tokio::time::sleep(after).await;
        server.kill_dead();
    };
    futures::future::join(work, death).await.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_cut_off_is_whole_or_not_there() {
    let place = Place::new();
    let mut random = Random::seeded();
    let (mut server, key) = furnished(&place, &mut random).await;
    let mut journal = Journal::new(random.fork(), &[]);
    let create = async |journal: &mut Journal, line: &Line, path: &Path| {
        post(journal, line, "backups", Some(json!({"path": path}))).await
    };
    let begun = Instant::now();
    let whole = place.path("whole.tar.gz");
    let made = create(&mut journal, &Line::new(&server.address, &key), &whole).await;
    assert!(made.is_some_and(|answer| answer.is_success()));
    let takes = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for round in 0..TIMES {
        let path = place.path(&format!("backup-{round}.tar.gz"));
        let line = Line::new(&server.address, &key);
        let after = Duration::from_micros(random.below(takes));
        let answer = cut_off(create(&mut journal, &line, &path), server, after).await;
        let file = path.display().to_string();
        assert!(path.exists() || answer.is_none(), "{file} was said to be made");
        if path.exists() {
            place.run(&["backup", "verify", &file]).succeeded();
        }
        server = Server::start(&place.path("data"));
        // Leftovers do not block anything.
        let after = place.path(&format!("after-{round}.tar.gz"));
        let made = create(&mut journal, &Line::new(&server.address, &key), &after).await;
        assert!(made.is_some_and(|answer| answer.is_success()));
    }
    assert!(is_empty(&place.path("data/staging")), "a backup leaves its copies behind");
    server.kill_dead();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_cut_off_leaves_a_whole_directory_or_none() {
    let place = Place::new();
    let mut random = Random::seeded();
    let (server, _) = furnished(&place, &mut random).await;
    place.run(&["backup", "create", "one.tar.gz", "--include-secret-key"]).succeeded();
    let plugins = place.json(&["plugin", "list"]);
    server.kill_dead();
    let restore = |target: &str| {
        Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(["backup", "restore"])
            .args([place.path("one.tar.gz"), "--data".into(), place.path(target)])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let begun = Instant::now();
    assert!(restore("whole").wait().unwrap().success());
    let takes = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let mut cut_off = 0;
    for round in 0..TIMES {
        let target = format!("restored-{round}");
        let mut child = restore(&target);
        tokio::time::sleep(Duration::from_micros(random.below(takes))).await;
        kill(&mut child);
        let data = place.path(&target);
        if is_empty(&data) {
            cut_off += 1;
            assert!(restore(&target).wait().unwrap().success());
        }
        let data = data.display().to_string();
        assert_eq!(place.json(&["plugin", "list", "--data", &data]), plugins);
        let token = ["call", "settings.setting", "--key", "token", "--data", &data];
        assert_eq!(place.json(&token), json!("\"token of 8\""));
        place.run(&["audit", "verify", "--data", &data]).succeeded();
    }
    assert!(cut_off > 0, "no restore was cut off: this has shown nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_rotation_that_is_cut_off_every_secret_opens() {
    let place = Place::new();
    let mut random = Random::seeded();
    let (mut server, key) = furnished(&place, &mut random).await;
    let mut journal = Journal::new(random.fork(), &[]);
    let begun = Instant::now();
    let rotated = post(&mut journal, &Line::new(&server.address, &key), "secrets/rotate", None).await;
    assert_eq!(rotated.expect("the server is there").body["rewritten"], 8);
    let takes = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for round in 0..TIMES {
        let line = Line::new(&server.address, &key);
        let after = Duration::from_micros(random.below(takes));
        cut_off(post(&mut journal, &line, "secrets/rotate", None), server, after).await;
        server = Server::start(&place.path("data"));
        let line = Line::new(&server.address, &key);
        // Each revision in turn: its secret is sealed with whatever key was the one when it was last written.
        let revision = 1 + round % 8;
        let rolled = post(&mut journal, &line, "plugins/settings/config-rollback", Some(json!({"revision": revision})));
        let rolled = rolled.await.expect("the server is there");
        assert!(rolled.is_success(), "{rolled:?}");
        let seen = call(&line, "settings", json!({"function": "setting", "args": {"key": "token"}})).await;
        assert_eq!(seen, json!(format!("\"token of {revision}\"")));
        let rotated = post(&mut journal, &line, "secrets/rotate", None).await.expect("the server is there");
        assert!(rotated.is_success(), "{rotated:?}");
    }
    server.kill_dead();
}
