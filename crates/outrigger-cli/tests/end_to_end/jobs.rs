//! Jobs, and their recovery after a server crash.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::harness::{Outcome, Place, Server, bundled};

/// A plugin with a function that takes as long as it is told.
fn slow(place: &Place) {
    place.install_hostile("[limits]\ntimeout = \"5m\"\n");
}

/// Starts a job that takes five minutes, and gives its id.
fn start(place: &Place, options: &[&str]) -> String {
    let sleep = ["hostile.sleep", "--nanoseconds", "299000000000"];
    let job = place.json(&[&["job", "start"], options, &sleep].concat());
    job["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn reaches(place: &Place, id: &str, state: &str) -> Json {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let job = place.json(&["job", "show", id]);
        if job["state"] == state {
            return job;
        }
        assert!(Instant::now() < deadline, "it is not {state}: {job}");
    }
}

#[test]
fn after_kill_9_jobs_are_where_their_policy_says() {
    let place = Place::new();
    slow(&place);
    let server = Server::start(&place);
    let failing = start(&place, &["--on-interruption", "fail", "--key", "network"]);
    let asking = start(&place, &["--on-interruption", "ask"]);
    let retried = start(&place, &["--on-interruption", "retry"]);
    let behind = start(&place, &["--key", "network"]);
    let guarded = start(&place, &["--needs-approval"]);
    for id in [&failing, &asking, &retried] {
        assert_eq!(reaches(&place, id, "running")["attempt"], 1);
    }
    assert_eq!(place.json(&["job", "show", &behind])["state"], "queued");
    let done = place.json(&["job", "start", "hostile.good", "--number", "7"]);
    let done = done["id"].as_str().unwrap();
    place.run(&["job", "wait", done, "--timeout", "30s"]).succeeded().shows(&["succeeded", "7"]);
    server.kill_dead();

    // Dead is dead: nothing but the next server decides.
    let stopped = place.json(&["job", "list", "--state", "running"]);
    assert_eq!(stopped.as_array().unwrap().len(), 3, "{stopped}");

    let server = Server::start(&place);
    let failed = reaches(&place, &failing, "failed");
    assert_eq!(failed["error"]["message"], "the server stopped while the job ran");
    place.run(&["job", "wait", &failing]).failed(8, &["the server stopped while the job ran", "job retry"]);
    assert_eq!(reaches(&place, &asking, "waiting_for_approval")["attempt"], 1);
    assert_eq!(reaches(&place, &retried, "running")["attempt"], 2);
    // Its key is free again, and this is its first attempt.
    assert_eq!(reaches(&place, &behind, "running")["attempt"], 1);
    assert_eq!(reaches(&place, &guarded, "waiting_for_approval")["attempt"], 0);
    assert_eq!(reaches(&place, done, "succeeded")["result"], 7);

    place.run(&["job", "approve", &asking]).succeeded();
    let approved = reaches(&place, &asking, "running");
    assert_eq!((&approved["attempt"], &approved["approved_by"]), (&json!(2), &json!("local")));
    for id in [&asking, &retried, &behind, &guarded] {
        place.run(&["job", "cancel", id]).succeeded();
        reaches(&place, id, "cancelled");
    }
    place.run(&["job", "retry", &failing]).succeeded();
    assert_eq!(reaches(&place, &failing, "running")["attempt"], 1);
    let runs = place.json(&["runs", "--correlation", &asking]);
    assert_eq!(runs[0]["outcome"], "cancelled", "{runs}");
    let actions = place.json(&["audit", "list", "--resource", "hostile.sleep", "--action", "job_approve"]);
    assert_eq!(actions.as_array().unwrap().len(), 1, "{actions}");
    server.kill_dead();
}

#[test]
fn without_a_server_a_job_waits_in_the_queue() {
    let place = Place::new();
    slow(&place);
    let outcome = place.run(&["job", "start", "hostile.log", "--lines", "3"]).succeeded();
    assert!(outcome.stderr.contains("outrigger serve"), "{outcome:?}");
    let id = outcome.stdout.trim();
    assert_eq!(place.json(&["job", "show", id])["state"], "queued");
    place.run(&["schedule", "set", "often", "* * * *", "hostile.good", "--number", "1"]).failed(2, &["cron"]);
    place.run(&["schedule", "set", "often", "* * * * * *", "hostile.good", "--number", "1"]).succeeded();

    let server = Server::start(&place);
    place.run(&["job", "wait", id, "--timeout", "30s"]).succeeded();
    let lines = place.run(&["job", "logs", id, "--follow"]).succeeded();
    assert_eq!(lines.stdout.lines().count(), 3, "{lines:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while place.json(&["job", "list", "--schedule", "often", "--state", "succeeded"]).as_array().unwrap().len() < 2 {
        assert!(Instant::now() < deadline, "no two jobs were made");
    }
    assert_eq!(place.json(&["schedule", "list"])[0]["job"]["function"], "hostile.good");
    place.run(&["schedule", "remove", "often"]).succeeded();
    assert_eq!(place.json(&["schedule", "list"]), json!([]));
    place.run(&["job", "show", "nonsense"]).failed(3, &["error[not_found]"]);
    server.kill_dead();
}

#[test]
fn a_job_has_the_rights_that_its_key_has_when_it_runs() {
    let place = Place::new();
    slow(&place);
    let server = Server::start(&place);
    let key = place.json(&["access", "key", "create", "ci", "--role", "developer"]);
    let as_key = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("OUTRIGGER_SERVER", &server.address).env("OUTRIGGER_KEY", key["key"].as_str().unwrap());
        Outcome::of(command.env_remove("OUTRIGGER_DATA"))
    };
    let quick = ["job", "start", "--needs-approval", "hostile.good", "--number", "1"];
    let [kept, orphaned] = [(); 2].map(|()| as_key(&quick).succeeded().stdout.trim().to_owned());
    // Developers start jobs; others approve them.
    as_key(&["job", "approve", &kept]).failed(4, &["job_approve"]);
    place.run(&["job", "approve", &kept]).succeeded();
    assert_eq!(reaches(&place, &kept, "succeeded")["caller"], "key ci");
    place.run(&["access", "key", "revoke", "ci"]).succeeded();
    place.run(&["job", "approve", &orphaned]).succeeded();
    let failed = reaches(&place, &orphaned, "failed");
    assert_eq!(failed["error"]["code"], "forbidden", "{failed}");
    assert_eq!(place.json(&["runs", "--correlation", &orphaned]), json!([]));
    server.kill_dead();
}

#[test]
fn all_lines_of_a_job_are_shown_however_many_there_are() {
    let place = Place::new();
    place.install_hostile("[limits]\nlog-lines = 5000\n");
    let server = Server::start(&place);
    let job = place.json(&["job", "start", "hostile.log", "--lines", "2500"]);
    let id = job["id"].as_str().unwrap();
    place.run(&["job", "wait", id, "--timeout", "30s"]).succeeded();
    let shown = |options: &[&str]| -> Vec<String> {
        let outcome = place.run(&[&["job", "logs", id], options].concat()).succeeded();
        outcome.stdout.lines().map(str::to_owned).collect()
    };
    let all = shown(&[]);
    assert_eq!(all.len(), 2_500);
    assert_eq!(shown(&["--follow"]), all, "the older ones are not left out");
    assert_eq!(shown(&["--limit", "1200"]), all[1_300..]);
    assert_eq!(shown(&["--limit", "7", "--follow"]), all[2_493..]);
    let of_plugin = place.run(&["plugin", "logs", "hostile", "--limit", "2000"]).succeeded();
    assert_eq!(of_plugin.stdout.lines().count(), 2_000);
    server.kill_dead();
    assert_eq!(shown(&[]), all, "nor without a server");
}

#[test]
fn lines_of_a_job_are_shown_while_it_runs() {
    let place = Place::new();
    // It writes lines for longer than this test takes, of which three are kept.
    place.install_hostile("[limits]\ntimeout = \"5m\"\ncpu = \"5m\"\nlog-lines = 3\n");
    let server = Server::start(&place);
    let job = place.json(&["job", "start", "hostile.log", "--lines", "4294967295"]);
    let id = job["id"].as_str().unwrap();
    let mut follower = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["job", "logs", id, "--follow"])
        .env("OUTRIGGER_DATA", place.path("data"))
        .env("OUTRIGGER_BUNDLED", bundled())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(follower.stdout.take().unwrap());
    // Read beside the test, which would otherwise wait for ever for a line that does not come.
    let (sender, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            // The test may be over.
            let _ = sender.send(line);
        }
    });
    for number in 1..=3 {
        let line = lines.recv_timeout(Duration::from_secs(30));
        let line = line.unwrap_or_else(|error| panic!("line {number} is not shown: {error}"));
        assert!(line.contains("a line of the log"), "{line}");
    }
    assert_eq!(place.json(&["job", "show", id])["state"], "running");
    assert!(follower.try_wait().unwrap().is_none(), "more could come");

    place.run(&["job", "cancel", id]).succeeded();
    reaches(&place, id, "cancelled");
    assert!(follower.wait().unwrap().success(), "it ends with the job");
    reader.join().unwrap();
    assert_eq!(lines.try_iter().count(), 0, "each line is shown once");
    server.kill_dead();
}
