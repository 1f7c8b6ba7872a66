//! Only a server prunes old and excess records.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Place, bundled};

#[test]
fn a_server_keeps_as_much_as_it_is_told_to() {
    let place = Place::with("pricing");
    let quote = ["call", "pricing.quote", "--service", "compute-small", "--quantity"];
    for quantity in ["1", "2", "3", "4"] {
        place.run(&[&quote[..], &[quantity]].concat()).succeeded();
    }
    let runs = || place.json(&["runs", "--limit", "1000"]).as_array().unwrap().len();
    assert_eq!(runs(), 4);
    let mut server = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--listen", "127.0.0.1:0", "--keep-runs", "3", "--keep", "1h"])
        .env("OUTRIGGER_DATA", place.path("data"))
        .env("OUTRIGGER_BUNDLED", bundled())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while runs() > 3 {
        assert!(Instant::now() < deadline, "the oldest run is still there");
    }
    assert_eq!(runs(), 3);
    // Counters stay, and the audit log is intact.
    assert_eq!(place.json(&["plugin", "stats"])["total"]["calls"], 4);
    place.run(&["audit", "verify"]).succeeded();
    server.kill().unwrap();
    server.wait().unwrap();
}
