//! Authentication of callers.

use std::time::{Duration, Instant};

use outrigger_api::Door as _;
use outrigger_host::{Host, HostOptions};

#[tokio::test]
async fn whoever_asks_whether_it_is_ready_has_nothing_written_for_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let host = Host::open(HostOptions { data: data.clone(), search_paths: Vec::new() }).await.expect("it opens");
    let log = data.join("outrigger.db-wal");
    let written = || std::fs::metadata(&log).expect("the log of the database").len();
    loop {
        host.ready().await.expect("it can be written to");
        let (began, before) = (Instant::now(), written());
        let all = (0..200).map(|_| host.ready());
        futures::future::try_join_all(all).await.expect("it can be written to");
        let same = written() == before;
        // A machine that stood still for that long proves nothing.
        if began.elapsed() < Duration::from_millis(500) {
            assert!(same, "nothing was written");
            break;
        }
    }
    let (began, before) = (Instant::now(), written());
    while written() == before {
        assert!(began.elapsed() < Duration::from_secs(10), "it is tried again");
        tokio::time::sleep(Duration::from_millis(20)).await;
        host.ready().await.expect("it can be written to");
    }
}
