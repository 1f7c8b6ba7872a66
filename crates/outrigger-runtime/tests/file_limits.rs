//! No file operation blocks the host, and none takes memory or disk space from others.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use common::files::{
    ACCESS, CREATE, DIRECTORY, Ground, Guest, INSUFFICIENT_MEMORY, INSUFFICIENT_SPACE, READ, TRUNCATE, UNSUPPORTED,
    WRITE, files, folder_path, pipe,
};
use common::{Bench, number, text};
use outrigger_contract::permission::FileAccess::{Read, Write};
use outrigger_contract::{Code, Value};
use outrigger_engine::Account;
use outrigger_testkit::disk::SmallDisk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_a_pipe_is_not_opened_however_often_it_is_tried() {
    let ground = Ground::new();
    pipe(&ground.path("data/pipe"));
    symlink("pipe", ground.path("data/link")).expect("a link");
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = guest.folder(1).await;
    let started = Instant::now();
    let flags =
        [(0, READ), (0, WRITE), (0, READ | WRITE), (CREATE, WRITE), (TRUNCATE, WRITE), (CREATE | TRUNCATE, READ)];
    for round in 0..100 {
        for flags in flags {
            let path = if round % 2 == 0 { "pipe" } else { "link" };
            assert_eq!(guest.open(data, path, flags).await, Err(UNSUPPORTED), "{flags:?}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(guest.read(data, "file").await, Ok(b"data".to_vec()), "other files can be read");
    let host = tokio::task::spawn_blocking(|| 7);
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(10), host).await.expect("a thread is free").expect("it runs"),
        7
    );
    // Reading its metadata opens nothing, and neither does moving it.
    guest.probe(data, 1, "pipe").await.expect("it may be looked at");
    guest.two("rename", (data, "pipe"), (data, "moved")).await.expect("it may be renamed");
    guest.at("unlink", data, "moved").await.expect("it may be removed");
}

#[tokio::test]
async fn s22_a_pipe_in_the_place_of_a_granted_file_is_not_opened() {
    let ground = Ground::new();
    let file = ground.path("data/file").display().to_string();
    let guest = Guest::new(&ground.bench, files(&[(&file, Read)])).await;
    let root = guest.folder(0).await;
    fs::remove_file(&file).expect("it was there");
    pipe(Path::new(&file));
    for _ in 0..20 {
        assert_eq!(guest.open(root, &file[1..], (0, READ)).await, Err(UNSUPPORTED));
        assert_eq!(guest.probe(root, 1, &file[1..]).await, Err(UNSUPPORTED));
    }
}

#[tokio::test]
async fn s22_devices_and_sockets_are_not_opened() {
    let ground = Ground::new();
    let _socket = std::os::unix::net::UnixListener::bind(ground.path("data/socket")).expect("a socket");
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write), ("/dev/", Read)])).await;
    let (data, dev) = (guest.folder(1).await, guest.folder(2).await);
    assert_eq!(guest.open(data, "socket", (0, READ)).await, Err(UNSUPPORTED));
    assert_eq!(guest.open(data, "socket", (0, WRITE)).await, Err(UNSUPPORTED));
    for device in ["null", "zero", "tty", "ptmx"] {
        if Path::new("/dev").join(device).exists() {
            assert_eq!(guest.open(dev, device, (0, READ)).await, Err(UNSUPPORTED), "{device}");
        }
    }
    let (result, observed) = guest
        .0
        .call_within("open", &[number(dev), number(1), text("null"), number(0), number(READ)], common::PLENTY)
        .await;
    assert!(result.is_err());
    assert_eq!(observed.violations, ["open the device /dev/null; only files and folders can be opened"]);
}

#[tokio::test]
async fn s22_of_devices_those_that_give_bytes_can_be_granted_one_by_one() {
    let bench = Bench::new();
    let guest = Guest::new(
        &bench,
        files(&[("/dev/null", Read), ("/dev/urandom", Read), ("/dev/tty", Read), ("/dev/ptmx", Read)]),
    )
    .await;
    let root = guest.folder(0).await;
    assert_eq!(guest.read(root, "dev/null").await, Ok(Vec::new()));
    assert_eq!(guest.read(root, "dev/urandom").await.map(|bytes| bytes.len()), Ok(65_536));
    for device in ["dev/tty", "dev/ptmx"] {
        if Path::new("/").join(device).exists() {
            assert_eq!(guest.open(root, device, (0, READ)).await, Err(UNSUPPORTED), "{device}");
        }
    }
    assert_eq!(guest.open(root, "dev/zero", (0, READ)).await, Err(ACCESS));
}

/// The system refuses to synchronise `/dev/null`, so success shows that it was not asked.
#[tokio::test]
async fn s22_without_write_access_nothing_is_synchronised() {
    let ground = Ground::new();
    let guest = Guest::new(&ground.bench, files(&[("/dev/null", Read), (&ground.grant("data"), Write)])).await;
    let (root, data) = (guest.folder(0).await, guest.folder(1).await);
    let device = guest.open(root, "dev/null", (0, READ)).await.expect("it is granted");
    let file = guest.open(data, "file", (0, WRITE)).await.expect("it is granted");
    for handle in [root, device, file] {
        guest.call("sync", &[number(handle)]).await.expect("it succeeds");
    }
}

/// Of this process, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is told");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

#[tokio::test]
async fn s21_listings_are_read_as_they_are_asked_for() {
    const NAMES: u64 = 100_000;
    let ground = Ground::new();
    for number in 0..NAMES {
        // Links are faster to create than files.
        let link = || {
            fs::hard_link(
                ground.path(&format!("data/old/file{}", number / 30_000)),
                ground.path("data/old").join(number.to_string()),
            )
        };
        if number % 30_000 == 0 {
            fs::write(ground.path(&format!("data/old/file{}", number / 30_000)), "").expect("room on the disk");
        }
        link().expect("room on the disk");
    }
    let expected = NAMES + 1 + NAMES.div_ceil(30_000);
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data/old"), Read)])).await;
    let folder = guest.folder(1).await;
    assert_eq!(guest.call("count", &[number(folder)]).await, Ok(number(expected)));
    let before = resident();
    let mut listings = Vec::new();
    for _ in 0..100 {
        let Ok(Value::Unsigned(listing)) = guest.call("listing", &[number(folder)]).await else { panic!("it opens") };
        guest.call("next", &[number(listing)]).await.expect("it can be read");
        listings.push(listing);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 8 << 20, "100 listings of {expected} names take {grown} bytes");
    for listing in listings {
        guest.call("close-listing", &[number(listing)]).await.expect("it closes");
    }
}

#[tokio::test]
async fn s21_open_listings_are_counted() {
    let ground = Ground::new();
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Read)])).await;
    let data = guest.folder(1).await;
    let mut listings = Vec::new();
    let refused = loop {
        match guest.call("listing", &[number(data)]).await {
            Ok(Value::Unsigned(listing)) => listings.push(listing),
            other => break other,
        }
    };
    assert_eq!(refused, Err(INSUFFICIENT_MEMORY));
    assert_eq!(listings.len(), 128);
    assert!(guest.0.services.messages().iter().any(|line| line.contains("128 directory listings")), "it is said why");
    guest.call("close-listing", &[number(listings[0])]).await.expect("it closes");
    assert_eq!(guest.names(data).await, ["file", "old"], "there is room again");
}

#[tokio::test]
async fn s21_streams_are_charged_as_they_are_made() {
    const BUFFER: u64 = 64 << 10;
    let ground = Ground::new();
    let account = Account::all(512 << 20).plugin(8 << 20);
    let granted = files(&[(&ground.grant("data"), Read)]);
    let load = |account: &Account| {
        let (granted, account) = (granted.clone(), account.clone());
        Guest::load(&ground.bench, |spec| (spec.granted, spec.account) = (granted, account))
    };
    let guest = load(&account).await.expect("it loads");
    let data = guest.folder(1).await;
    let file = guest.open(data, "file", (0, READ)).await.expect("it is there");
    let before = account.held();
    assert_eq!(guest.call("streams", &[number(file), number(16)]).await, Ok(number(16)));
    assert!(account.held() >= before + 16 * BUFFER, "what is kept is charged: {}", account.held());
    guest.0.fails("streams", &[number(file), number(900)], Code::HostMemoryLimit).await;
    assert!(account.peak() <= 8 << 20, "{}", account.peak());
    assert!(account.held() < before, "the instance is gone: {}", account.held());
    // An instance that leaves many handles open is not reused, whatever its limit.
    let account = Account::all(512 << 20).plugin(256 << 20);
    let guest = load(&account).await.expect("it loads");
    let data = guest.folder(1).await;
    let file = guest.open(data, "file", (0, READ)).await.expect("it is there");
    assert_eq!(guest.call("streams", &[number(file), number(900)]).await, Ok(number(900)));
    assert!(account.peak() >= 900 * BUFFER, "{}", account.peak());
    assert!(account.held() < BUFFER, "the instance is gone: {}", account.held());
}

/// A file system of 128 MiB, 32 MiB of which stay free.
#[tokio::test]
async fn s18_a_plugin_leaves_space_on_the_disk_to_others() {
    const LEFT: u64 = 32 << 20;
    let Some(disk) = SmallDisk::mount(128 << 20) else { return };
    let bench = Bench::new();
    let guest = Guest::new(&bench, files(&[(&folder_path(disk.path()), Write)])).await;
    let folder = guest.folder(1).await;
    let free = || {
        let stat = rustix::fs::statvfs(disk.path()).expect("it tells");
        stat.f_bavail * stat.f_frsize
    };
    let chunk = || Value::Bytes(vec![7; 1 << 20].into());
    let full = Err(INSUFFICIENT_SPACE);
    let fill = async || {
        let file = guest.open(folder, "big", (CREATE, WRITE)).await.expect("it may write");
        let mut at = 0;
        let refused = loop {
            match guest.call("write", &[number(file), chunk(), number(at << 20)]).await {
                Ok(_) => at += 1,
                refused => break refused.map(drop),
            }
        };
        assert_eq!(refused, full);
        assert!(at > 80 && free() >= LEFT && free() < LEFT + (3 << 20), "{at} MiB were written, {} are free", free());
        file
    };
    guest.write(folder, "small", b"small").await.expect("it may write");
    let file = fill().await;
    // Until even a small write is refused.
    let rest = free() - LEFT;
    let host = vec![0; usize::try_from(rest).expect("it is small") + 4_096];
    fs::write(disk.path().join("of-the-host"), host).expect("the host still has room");
    assert_eq!(guest.open(folder, "new", (CREATE, WRITE)).await.map(drop), full);
    assert_eq!(guest.at("mkdir", folder, "new").await, full);
    assert_eq!(guest.symlink(folder, "small", "new").await, full);
    assert_eq!(guest.two("link", (folder, "small"), (folder, "new")).await, full);
    assert_eq!(guest.call("set-size", &[number(file), number(1 << 40)]).await.map(drop), full);
    for append in [false, true] {
        let bytes = Value::Bytes(b"x".to_vec().into());
        let written = guest.call("stream-write", &[number(file), bytes, number(0), Value::Bool(append)]).await;
        assert_eq!(written, Err(1000), "the stream fails");
    }
    // Operations that need no space still work, and so do deletions.
    assert_eq!(guest.read(folder, "small").await, Ok(b"small".to_vec()));
    guest.two("rename", (folder, "small"), (folder, "other")).await.expect("it takes nothing");
    guest.call("set-size", &[number(file), number(0)]).await.expect("it gives space back");
    // Holes do not bypass the limit.
    guest.call("set-size", &[number(file), number(90 << 20)]).await.expect("there is room again");
    fill().await;
    guest.at("unlink", folder, "big").await.expect("it gives space back");
}

#[tokio::test]
async fn s21_a_listing_has_every_name_once() {
    let ground = Ground::new();
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = guest.folder(1).await;
    let mut expected: Vec<String> = (0..500).map(|number| format!("{number:0>250}")).collect();
    expected.extend(["file".to_owned(), "old".to_owned(), "ä ö".to_owned(), "...".to_owned()]);
    for name in &expected[..500] {
        fs::write(ground.path("data").join(name), "").expect("room on the disk");
    }
    fs::write(ground.path("data/ä ö"), "").expect("room on the disk");
    fs::write(ground.path("data/..."), "").expect("room on the disk");
    expected.sort();
    assert_eq!(guest.names(data).await, expected);
    guest.at("mkdir", data, "empty").await.expect("it may write");
    let empty = guest.open(data, "empty", (DIRECTORY, READ)).await.expect("it is there");
    assert_eq!(guest.names(empty).await, [""; 0]);
    assert_eq!(guest.names(guest.folder(0).await).await, [""; 0], "the root shows nothing");
    let file = guest.open(data, "file", (0, READ)).await.expect("it is there");
    assert!(guest.call("listing", &[number(file)]).await.is_err());
}

#[tokio::test]
async fn s21_reads_and_writes_are_cut_to_a_size() {
    let ground = Ground::new();
    fs::write(ground.path("data/big"), vec![7; 3 << 20]).expect("room on the disk");
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = guest.folder(1).await;
    let big = guest.open(data, "big", (0, READ | WRITE)).await.expect("it is there");
    for function in ["read", "stream-read"] {
        let read = guest.call(function, &[number(big), number(u64::MAX), number(0)]).await;
        let Ok(Value::Bytes(bytes)) = read else { panic!("{function}: {read:?}") };
        assert_eq!(bytes.len(), 64 << 10, "{function}");
        let ended = guest.call(function, &[number(big), number(10), number(1 << 40)]).await;
        assert!(matches!(&ended, Ok(Value::Bytes(bytes)) if bytes.is_empty()) || ended == Err(1000), "{ended:?}");
    }
    let bytes = Value::Bytes(vec![9; (1 << 20) + 5].into());
    assert_eq!(guest.call("write", &[number(big), bytes, number(0)]).await, Ok(number(1 << 20)));
    // Through streams, at a place and at the end.
    let write =
        |bytes: &[u8], append| [number(big), Value::Bytes(bytes.to_vec().into()), number(4), Value::Bool(append)];
    guest.call("stream-write", &write(b"abc", false)).await.expect("it may write");
    guest.call("stream-write", &write(b"end", true)).await.expect("it may write");
    guest.call("sync", &[number(big)]).await.expect("it may be synchronised");
    let content = fs::read(ground.path("data/big")).expect("it is there");
    assert_eq!((&content[..8], content.len()), (&b"\x09\x09\x09\x09abc\x09"[..], (3 << 20) + 3));
    assert_eq!(&content[3 << 20..], b"end");
    guest.call("set-size", &[number(big), number(2)]).await.expect("it may be cut");
    assert_eq!(guest.read(data, "big").await, Ok(vec![9, 9]));
}
