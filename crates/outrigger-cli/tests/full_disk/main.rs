//! The disk of a real server is full at random moments and then has space again: acknowledged writes exist, and the
//! server resumes by itself. `OUTRIGGER_ROUNDS` sets the number of rounds, `OUTRIGGER_SEED` repeats a run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers of tests included")]
#![allow(dead_code, reason = "the clients are those of another test, which needs more of them")]

#[path = "../end_to_end/kill/clients.rs"]
mod clients;
mod hammer;
#[path = "../end_to_end/harness.rs"]
mod harness;
#[path = "../end_to_end/kill/journal.rs"]
mod journal;
#[path = "../end_to_end/kill/random.rs"]
mod random;
#[path = "../end_to_end/kill/server.rs"]
mod server;
#[path = "../end_to_end/kill/trial.rs"]
mod trial;

use std::time::{Duration, Instant};

use outrigger_testkit::disk::SmallDisk;
use serde_json::Value as Json;

use hammer::Hammer;
use harness::Place;
use random::Random;
use server::{Line, Server};
use trial::Trial;

/// The default number of rounds.
const ROUNDS: u64 = 8;
/// The size of the disk, and the growth per round: the audit log is never pruned.
const DISK: u64 = 64 << 20;
const A_ROUND: u64 = 1 << 20;
/// The maximum time until a server accepts writes again.
const RECOVERY: Duration = Duration::from_secs(30);

/// Error codes of a server that cannot write.
const REFUSALS: &[&str] =
    &["disk_full", "store_failed", "store_read_only", "data_directory", "io", "lifecycle_failed", "trapped"];

fn rounds() -> u64 {
    std::env::var("OUTRIGGER_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("OUTRIGGER_ROUNDS is a number"))
}

/// The response of `/readyz`.
async fn ready(http: &reqwest::Client, server: &Server) -> (u16, Json) {
    let answer = http.get(format!("{}/readyz", server.address)).send().await.expect("the server lives");
    (answer.status().as_u16(), answer.json().await.expect("it is JSON"))
}

/// Waits until the server is ready. Returns the time that it took.
async fn recovered(http: &reqwest::Client, server: &Server) -> Duration {
    let begun = Instant::now();
    loop {
        let (status, said) = ready(http, server).await;
        if status == 200 {
            return begun.elapsed();
        }
        assert_eq!(status, 503, "{said}");
        assert!(begun.elapsed() < RECOVERY, "it does not go on by itself: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fills the disk for a while, once or twice, including the server's reserve if it was released.
async fn fill(disk: &SmallDisk, random: &mut Random) {
    tokio::time::sleep(Duration::from_millis(20 + random.below(400))).await;
    let first = disk.fill();
    tokio::time::sleep(Duration::from_millis(20 + random.below(300))).await;
    let second = (random.below(2) == 0).then(|| disk.fill());
    tokio::time::sleep(Duration::from_millis(20 + random.below(300))).await;
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s18_a_full_disk_at_random_moments_loses_nothing_that_was_acknowledged() {
    let Some(disk) = SmallDisk::mount(DISK + rounds() * A_ROUND) else { return };
    let place = Place::new();
    let data = disk.path().to_owned();
    let mut random = Random::seeded();
    let mut server = Server::start(&data);
    let key = server.key.clone().expect("the first start of a directory makes a key");
    let mut trial = Trial::new(&mut random, &place, REFUSALS);
    let http = reqwest::Client::builder().timeout(RECOVERY).build().unwrap();
    trial.prepare(&Line::new(&server.address, &key)).await;
    let mut hammer = Hammer::default();
    let (mut longest, mut refused) = (Duration::ZERO, 0);
    for round in 0..rounds() {
        let line = Line::new(&server.address, &key);
        let mut moments = random.fork();
        let filling = async {
            fill(&disk, &mut moments).await;
            recovered(&http, &server).await
        };
        let took = trial.write_until(&line, hammer.write_during(&line, filling)).await;
        longest = longest.max(took);
        refused += hammer.refused;
        // From time to time, the server is also killed.
        let mut starts = 0;
        if random.below(10) == 0 {
            server.kill_dead();
            server = Server::start(&data);
            starts = 1;
        }
        let line = Line::new(&server.address, &key);
        trial.check(&line, starts).await;
        hammer.check(&line).await;
        if round % 20 == 19 {
            eprintln!("{} rounds; {} acknowledged by the hammer, {refused} refused", round + 1, hammer.acknowledged);
        }
    }
    eprintln!("recovered within {longest:?} after there was room; {refused} writes were refused");
    eprintln!("the hammer: {} acknowledged", hammer.acknowledged);
    assert!(refused > 0 && hammer.acknowledged > 0, "the disk was never full, or always: this has shown nothing");
    let line = Line::new(&server.address, &key);
    let doctor = line.get("doctor").await;
    let checks = doctor["checks"].as_array().unwrap();
    assert!(!checks.is_empty() && checks.iter().all(|check| check["outcome"] != "failed"), "{doctor}");
    server.kill_dead();
    let verified = harness::Outcome::of(place.command(&["audit", "verify"]).env("OUTRIGGER_DATA", &data));
    verified.succeeded();
    let _ = std::fs::remove_file(data.with_extension("log"));
}
