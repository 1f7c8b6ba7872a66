//! A data directory whose server is killed again and again in the middle of work: what was acknowledged is there, what
//! was not is there whole or not at all, and what is sent again is not done again.

mod clients;
mod interrupted;
mod journal;
mod random;
mod server;
mod trial;

use std::time::{Duration, Instant};

use crate::harness::Place;
use random::Random;
use server::{Line, Server, kill, launch};
use trial::Trial;

const ROUNDS: u64 = 50;
/// A server is written to for no longer than this, in milliseconds, before it is killed.
const LONGEST: u64 = 600;
/// After so many rounds, the next server is killed once more while it starts.
const AT_START: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let place = Place::new();
    let data = place.path("data");
    let mut random = Random::seeded();
    let mut server = Server::start(&data);
    let key = server.key.clone().expect("the first start of a directory makes a key");
    let mut trial = Trial::new(&mut random, &place, &[]);
    trial.prepare(&Line::new(&server.address, &key)).await;
    let mut starting = Duration::ZERO;
    for round in 0..ROUNDS {
        let line = Line::new(&server.address, &key);
        let moment = Duration::from_millis(20 + random.below(LONGEST));
        trial
            .write_until(&line, async move {
                tokio::time::sleep(moment).await;
                server.kill_dead();
            })
            .await;
        let mut starts = 1;
        if round % AT_START == AT_START - 1 {
            let mut child = launch(&data);
            tokio::time::sleep(Duration::from_millis(random.below(300))).await;
            kill(&mut child);
            starts = 2;
        }
        let begun = Instant::now();
        server = Server::start(&data);
        starting += begun.elapsed();
        trial.check(&Line::new(&server.address, &key), starts).await;
    }
    trial.says_enough(starting / u32::try_from(ROUNDS).unwrap());
    let line = Line::new(&server.address, &key);
    let doctor = line.get("doctor").await;
    let checks = doctor["checks"].as_array().unwrap();
    assert!(!checks.is_empty() && checks.iter().all(|check| check["outcome"] != "failed"), "{doctor}");
    server.kill_dead();
    place.run(&["audit", "verify"]).succeeded();
}
