//! Sockets count as open files. In a program of its own, because the test lowers the limit of its process.

mod common;

use common::{Bench, number};
use outrigger_testkit::greedy;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn s22_tcp_sockets_count_as_open_files() {
    const NEW_SOCKET_LIMIT: u64 = 10;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(400), maximum }).expect("it can be lowered");
    let (bench, wasm) = (Bench::new(), greedy::sockets());
    let load = || bench.load(&wasm, |spec| spec.granted.tcp = vec!["localhost:80".parse().expect("a host")]);
    let (plugin, other) = (load().await, load().await);
    // A closed socket counts no longer.
    assert_eq!(plugin.call("again", &[number(1_000)]).await.expect("it answers"), number(1_000));
    // A plugin has a quarter of the limit, and leaves the rest to others.
    let opened = plugin.call("open", &[number(300)]).await;
    assert_eq!(opened.expect("it answers"), number(1_000 * NEW_SOCKET_LIMIT + 100));
    assert_eq!(other.call("open", &[number(50)]).await.expect("it answers"), number(50));
}
