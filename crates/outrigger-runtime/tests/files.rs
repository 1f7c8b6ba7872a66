//! Links, renames and replacements by a plugin never lead out of a grant.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use common::files::{
    CANARY, CROSS_DEVICE, DIRECTORY, Ground, Guest, LOOP, NO_ENTRY, NOT_PERMITTED, READ, TRUNCATE, WRITE, files,
};
use common::{Bench, number, text};
use outrigger_contract::permission::FileAccess::{Read, Write};
use outrigger_contract::{Code, Permissions, Value};
use outrigger_engine::runtime::Runtime;
use outrigger_runtime::{Protected, WasmOptions, WasmRuntime};
use tempfile::TempDir;

#[tokio::test]
async fn s01_a_renamed_inner_folder_leads_nowhere() {
    let ground = Ground::new();
    let granted = files(&[(&ground.grant("data"), Write), (&ground.grant("data/old"), Write)]);
    let guest = Guest::new(&ground.bench, granted.clone()).await;
    let (outer, inner) = (guest.folder(1).await, guest.folder(2).await);
    guest.two("rename", (outer, "old"), (outer, "gone")).await.expect("it may rename it");
    guest.symlink(outer, "../secret", "old").await.expect("a link is only a text");
    // Handle and path still lead to the granted folder.
    assert_eq!(guest.read(inner, "file").await, Ok(b"old".to_vec()));
    assert_eq!(guest.read(guest.folder(2).await, "file").await, Ok(b"old".to_vec()));
    let through_root = ground.path("data/old/file").display().to_string();
    assert_eq!(guest.read(guest.folder(0).await, &through_root[1..]).await, Ok(b"old".to_vec()));
    guest.write(inner, "new", b"new").await.expect("it may write");
    assert!(ground.path("data/gone/new").exists());
    // It does not lead out after a reload, either.
    let again = Guest::load(&ground.bench, |spec| spec.granted = granted).await.err().expect("the link is seen");
    assert_eq!(again.code, Code::FileGrantRefused, "{again}");
    assert!(again.message.contains("data/old") && !again.message.contains("link"), "{again}");
    ground.check();
}

#[tokio::test]
async fn s01_what_one_version_links_is_no_grant_for_the_next() {
    let ground = Ground::new();
    let first = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = first.folder(1).await;
    first.symlink(data, "../..", "x").await.expect("a link is only a text");
    first.symlink(data, "../secret", "y").await.expect("a link is only a text");
    first.at("mkdir", data, "sub").await.expect("it may write");
    first.symlink(data, "../../secret/file", "sub/z").await.expect("a link is only a text");
    let writable = [ground.grant("data")];
    for (path, is_folder) in [("data/x", true), ("data/y", true), ("data/y/inner", true), ("data/sub/z", false)] {
        let path = if is_folder { ground.grant(path) } else { ground.path(path).display().to_string() };
        let asked = files(&[(&path, Read)]);
        let fault = ground.bench.runtime.pin(&asked, &writable).await.expect_err("it leads through a link");
        assert_eq!(fault.code, Code::FileGrantRefused, "{path}: {fault}");
        let loaded = Guest::load(&ground.bench, |spec| {
            spec.granted = asked;
            spec.plugin_writable = writable.clone().into();
        });
        assert_eq!(loaded.await.err().expect("nor can it be loaded").code, Code::FileGrantRefused, "{path}");
    }
    ground.check();
}

#[tokio::test]
async fn s01_a_link_of_the_host_is_resolved_and_shown_when_it_is_granted() {
    let ground = Ground::new();
    symlink(ground.path("data"), ground.path("link")).expect("a link");
    let pinned =
        ground.bench.runtime.pin(&files(&[(&ground.grant("link"), Read)]), &[]).await.expect("it is the host's");
    assert_eq!(pinned.files[0].real(), ground.grant("data"));
    assert!(pinned.describe()[0].contains(&format!("(resolves to {})", ground.grant("data"))), "{pinned:?}");
    // A grant for the link's target covers it; a grant for another path does not, even if it looks similar.
    let covers = |granted: &Permissions| pinned.widens(granted).is_empty();
    let other = |path: &str| files(&[(&ground.grant(path), Write)]);
    assert!(covers(&other("data")));
    assert!(!covers(&other("data/old")) && !covers(&other("secret")) && !covers(&other("link")));
    // Afterwards, the link is no longer followed.
    fs::remove_file(ground.path("link")).expect("it was there");
    symlink(ground.path("secret"), ground.path("link")).expect("a link");
    let guest = Guest::new(&ground.bench, pinned).await;
    assert_eq!(guest.read(guest.folder(1).await, "file").await, Ok(b"data".to_vec()));
}

#[tokio::test]
async fn s01_a_single_file_is_not_read_through_a_link_of_another_plugin() {
    let ground = Ground::new();
    let file = ground.path("data/file").display().to_string();
    let reader = Guest::new(&ground.bench, files(&[(&file, Read)])).await;
    let writer = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let (root, data) = (reader.folder(0).await, writer.folder(1).await);
    assert_eq!(reader.read(root, &file[1..]).await, Ok(b"data".to_vec()));
    writer.at("unlink", data, "file").await.expect("it may remove it");
    assert_eq!(reader.read(root, &file[1..]).await, Err(NO_ENTRY));
    writer.symlink(data, "../secret/file", "file").await.expect("a link is only a text");
    assert_eq!(reader.read(root, &file[1..]).await, Err(LOOP));
    assert_eq!(reader.probe(root, 1, &file[1..]).await, Err(LOOP));
    // A rewritten file is accepted.
    writer.at("unlink", data, "file").await.expect("it may remove it");
    writer.write(data, "file.new", b"next").await.expect("it may write");
    writer.two("rename", (data, "file.new"), (data, "file")).await.expect("it may rename it");
    assert_eq!(reader.read(root, &file[1..]).await, Ok(b"next".to_vec()));
    ground.check();
}

#[tokio::test]
async fn s01_another_folder_in_the_place_of_a_granted_one_is_not_taken_for_it() {
    let ground = Ground::new();
    fs::create_dir(ground.path("data/private")).expect("room on the disk");
    fs::write(ground.path("data/private/file"), "private").expect("room on the disk");
    let asked = files(&[(&ground.grant("data/old"), Read)]);
    let writable = [ground.grant("data")];
    let granted = ground.bench.runtime.pin(&asked, &writable).await.expect("it is there");
    let load = || {
        Guest::load(&ground.bench, |spec| {
            spec.granted = granted.clone();
            spec.plugin_writable = writable.clone().into();
        })
    };
    let reader = load().await.expect("it is as it was granted");
    let writer = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = writer.folder(1).await;
    writer.two("rename", (data, "old"), (data, "gone")).await.expect("it may rename it");
    writer.two("rename", (data, "private"), (data, "old")).await.expect("it may rename it");
    assert_eq!(reader.read(reader.folder(1).await, "file").await, Ok(b"old".to_vec()), "it holds on to the folder");
    let fault = load().await.err().expect("it is another folder");
    assert_eq!(fault.code, Code::FileGrantChanged, "{fault}");
    assert!(fault.message.contains("data/old") && fault.message.contains("install"), "{fault}");
    assert!(ground.bench.runtime.still_there(&granted, &writable).await.files.is_empty());
    // Where no plugin can write, the host can replace the folder.
    let unwatched = Guest::load(&ground.bench, |spec| spec.granted = granted.clone()).await;
    let unwatched = unwatched.expect("it is the host's own affair");
    assert_eq!(unwatched.read(unwatched.folder(1).await, "file").await, Ok(b"private".to_vec()));
    assert_eq!(ground.bench.runtime.still_there(&granted, &[]).await, granted);
    // Moved back, it is the granted folder again.
    writer.two("rename", (data, "old"), (data, "private")).await.expect("it may rename it");
    writer.two("rename", (data, "gone"), (data, "old")).await.expect("it may rename it");
    load().await.expect("it is as it was granted");
}

#[tokio::test]
async fn s01_a_folder_that_was_not_there_yet_is_found_later_but_not_where_a_plugin_made_it() {
    let ground = Ground::new();
    let granted = ground.bench.runtime.pin(&files(&[(&ground.grant("later"), Read)]), &[]).await.expect("it may come");
    let guest = Guest::new(&ground.bench, granted).await;
    let through_root = ground.path("later/file").display().to_string();
    assert_eq!(guest.read(guest.folder(0).await, &through_root[1..]).await, Err(NO_ENTRY));
    fs::create_dir(ground.path("later")).expect("room on the disk");
    fs::write(ground.path("later/file"), "late").expect("room on the disk");
    assert_eq!(guest.read(guest.folder(0).await, &through_root[1..]).await, Ok(b"late".to_vec()));

    let writable = [ground.grant("data")];
    let asked = files(&[(&ground.grant("data/later"), Read)]);
    let granted = ground.bench.runtime.pin(&asked, &writable).await.expect("it may come");
    fs::create_dir(ground.path("data/later")).expect("room on the disk");
    let loaded = Guest::load(&ground.bench, |spec| {
        spec.granted = granted;
        spec.plugin_writable = writable.clone().into();
    });
    assert_eq!(loaded.await.err().expect("nobody has seen it").code, Code::FileGrantChanged);
}

#[tokio::test]
async fn s01_a_folder_that_is_moved_is_left_by_no_path() {
    let ground = Ground::new();
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = guest.folder(1).await;
    let old = guest.open(data, "old", (DIRECTORY, READ)).await.expect("it is granted");
    fs::rename(ground.path("data"), ground.path("secret/inner/moved")).expect("the host moves it");
    for path in ["../../file", "../file", "old/../../file", "old/../../../file", "/etc/passwd", "./../file"] {
        assert_eq!(guest.read(data, path).await, Err(NOT_PERMITTED), "{path}");
    }
    for path in ["..", "../file", "../../file"] {
        assert_eq!(guest.probe(old, 1, path).await, Err(NOT_PERMITTED), "{path}");
    }
    assert_eq!(guest.read(data, "old/file").await, Ok(b"old".to_vec()));
    guest.write(old, "new", b"new").await.expect("it is the same folder");
    fs::rename(ground.path("secret/inner/moved"), ground.path("data")).expect("the host moves it back");
    assert!(ground.path("data/old/new").exists());
    ground.check();
}

#[tokio::test]
async fn s01_no_operation_follows_a_link_out() {
    let ground = Ground::new();
    let guest = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let data = guest.folder(1).await;
    assert_eq!(guest.symlink(data, "/etc/passwd", "absolute").await, Err(NOT_PERMITTED));
    guest.symlink(data, "../secret", "out").await.expect("a link is only a text");
    guest.symlink(data, "../secret/file", "out-file").await.expect("a link is only a text");
    guest.symlink(data, "old/../../secret", "around").await.expect("a link is only a text");
    guest.symlink(data, "out", "twice").await.expect("a link is only a text");
    for folder in ["out", "around", "twice"] {
        let file = format!("{folder}/file");
        assert_eq!(guest.read(data, &file).await, Err(NOT_PERMITTED), "{folder}");
        assert_eq!(guest.write(data, &file, b"x").await, Err(NOT_PERMITTED), "{folder}");
        assert_eq!(guest.write(data, &format!("{folder}/new"), b"x").await, Err(NOT_PERMITTED), "{folder}");
        assert_eq!(guest.open(data, folder, (DIRECTORY, READ)).await, Err(NOT_PERMITTED), "{folder}");
        assert_eq!(guest.probe(data, 1, folder).await, Err(NOT_PERMITTED), "{folder}");
        for function in ["unlink", "mkdir", "rmdir"] {
            assert_eq!(guest.at(function, data, &file).await, Err(NOT_PERMITTED), "{function} {folder}");
        }
        assert_eq!(guest.symlink(data, "x", &format!("{folder}/link")).await, Err(NOT_PERMITTED));
        for function in ["link", "rename"] {
            let outside = format!("{folder}/inner");
            assert_eq!(guest.two(function, (data, &file), (data, "mine")).await, Err(NOT_PERMITTED), "{function}");
            assert_eq!(guest.two(function, (data, "file"), (data, &outside)).await, Err(NOT_PERMITTED), "{function}");
        }
        let target = guest.call("readlink", &[number(data), text(&format!("{folder}/"))]).await;
        assert!(target.is_err(), "not even whether something is there is told: {target:?}");
    }
    assert_eq!(guest.open(data, "out-file", (TRUNCATE, WRITE)).await, Err(NOT_PERMITTED));
    assert_eq!(guest.write(data, "out-file", b"x").await, Err(NOT_PERMITTED));
    // The link itself can be renamed, and then leads nowhere else.
    guest.two("link", (data, "out-file"), (data, "hard")).await.expect("it is its own link");
    assert_eq!(guest.read(data, "hard").await, Err(NOT_PERMITTED));
    assert_eq!(guest.read(data, "file").await, Ok(b"data".to_vec()));
    ground.check();
}

#[tokio::test]
async fn s01_hard_links_stay_within_one_grant() {
    let ground = Ground::new();
    for folder in ["one", "other", "fixed"] {
        fs::create_dir(ground.path(folder)).expect("room on the disk");
        fs::write(ground.path(folder).join("file"), folder).expect("room on the disk");
    }
    let granted =
        [("one", Write), ("other", Write), ("fixed", Read)].map(|(path, access)| (ground.grant(path), access));
    let granted: Vec<_> = granted.iter().map(|(path, access)| (path.as_str(), *access)).collect();
    let guest = Guest::new(&ground.bench, files(&granted)).await;
    let [one, other, fixed] = [guest.folder(1).await, guest.folder(2).await, guest.folder(3).await];
    guest.two("link", (one, "file"), (one, "second")).await.expect("both are in one grant");
    assert_eq!(guest.two("link", (other, "file"), (one, "third")).await, Err(CROSS_DEVICE));
    assert_eq!(guest.two("link", (fixed, "file"), (one, "third")).await, Err(NOT_PERMITTED));
    assert_eq!(guest.two("link", (one, "file"), (fixed, "third")).await, Err(NOT_PERMITTED));
    assert_eq!(guest.two("rename", (fixed, "file"), (one, "third")).await, Err(NOT_PERMITTED));
    assert_eq!(guest.two("rename", (one, "file"), (fixed, "file")).await, Err(NOT_PERMITTED));
    for function in ["unlink", "mkdir", "rmdir"] {
        assert_eq!(guest.at(function, fixed, "file").await, Err(NOT_PERMITTED), "{function}");
    }
    assert_eq!(guest.symlink(fixed, "file", "link").await, Err(NOT_PERMITTED));
    let file = guest.open(fixed, "file", (0, READ)).await.expect("it may be read");
    assert_eq!(guest.call("set-size", &[number(file), number(0)]).await, Err(NOT_PERMITTED));
    let bytes = Value::Bytes(b"x".to_vec().into());
    assert_eq!(guest.call("write", &[number(file), bytes.clone(), number(0)]).await, Err(NOT_PERMITTED));
    assert_eq!(
        guest.call("stream-write", &[number(file), bytes, number(0), Value::Bool(true)]).await,
        Err(NOT_PERMITTED)
    );
    assert_eq!(fs::read(ground.path("fixed/file")).expect("it is there"), b"fixed");
}

#[tokio::test]
async fn s01_nothing_is_renamed_from_one_grant_to_another() {
    let ground = Ground::new();
    for folder in ["one", "other", "data/new", "data/new/sub"] {
        fs::create_dir(ground.path(folder)).expect("room on the disk");
    }
    fs::write(ground.path("one/file"), "one").expect("room on the disk");
    let granted = ["one", "other", "data", "data/old", "data/new"].map(|path| ground.grant(path));
    let granted: Vec<_> = granted.iter().map(|path| (path.as_str(), Write)).collect();
    let guest = Guest::new(&ground.bench, files(&granted)).await;
    let mut folders = Vec::new();
    for index in 1..=5 {
        folders.push(guest.folder(index).await);
    }
    let [one, other, data, old, new] = folders[..] else { panic!("five folders are granted") };
    let link_and_rename = async |from: (u64, &str), to: (u64, &str)| {
        for function in ["link", "rename"] {
            assert_eq!(guest.two(function, from, to).await, Err(CROSS_DEVICE), "{function} {} → {}", from.1, to.1);
        }
    };
    // A renamed link reaches no more than the link did.
    guest.two("link", (one, "file"), (one, "second")).await.expect("both are in one grant");
    link_and_rename((one, "second"), (other, "second")).await;
    // An outer grant is no way around, either, with its folder or the inner ones.
    link_and_rename((data, "file"), (data, "old/second")).await;
    link_and_rename((data, "old/file"), (data, "second")).await;
    link_and_rename((data, "old/file"), (data, "new/second")).await;
    link_and_rename((old, "file"), (new, "second")).await;
    assert_eq!(guest.two("rename", (data, "new/sub"), (data, "old/sub")).await, Err(CROSS_DEVICE));
    // An open folder belongs to the grant in which it lies now.
    let sub = guest.open(new, "sub", (DIRECTORY, READ)).await.expect("it is there");
    guest.write(sub, "file", b"sub").await.expect("it may write");
    guest.two("rename", (sub, "file"), (new, "file")).await.expect("it lies in the same grant");
    guest.two("link", (new, "file"), (sub, "file")).await.expect("it lies in the same grant");
    fs::rename(ground.path("data/new/sub"), ground.path("data/old/sub")).expect("the host moves it");
    link_and_rename((sub, "file"), (new, "second")).await;
    // Within a grant everything is as before, a granted folder's own name included.
    guest.two("rename", (data, "old"), (data, "renamed")).await.expect("both names are in one grant");
    guest.two("rename", (old, "file"), (old, "sub/moved")).await.expect("both are in one grant");
    assert_eq!(guest.read(old, "sub/moved").await, Ok(b"old".to_vec()));
    ground.check();
}

#[tokio::test]
async fn s01_a_grant_to_read_inside_one_to_write_is_refused() {
    let ground = Ground::new();
    symlink(ground.path("data/old"), ground.path("elsewhere")).expect("a link");
    let file = ground.path("data/file").display().to_string();
    for inner in [ground.grant("data/old"), ground.grant("elsewhere"), ground.grant("data"), file] {
        let granted = files(&[(&inner, Read), (&ground.grant("data"), Write)]);
        let fault = Guest::load(&ground.bench, |spec| spec.granted = granted).await.err().expect("it has no effect");
        assert_eq!(fault.code, Code::FileGrantRefused, "{inner}: {fault}");
    }
    // In the other order, both are accepted.
    let guest =
        Guest::new(&ground.bench, files(&[(&ground.grant("data"), Read), (&ground.grant("data/old"), Write)])).await;
    let (outer, inner) = (guest.folder(1).await, guest.folder(2).await);
    assert_eq!(guest.write(outer, "old/new", b"x").await, Err(NOT_PERMITTED));
    guest.write(inner, "new", b"x").await.expect("it may write here");
}

#[tokio::test]
async fn s01_the_data_directory_is_granted_to_nobody() {
    let ground = Ground::new();
    symlink(ground.path("secret"), ground.path("link")).expect("a link");
    let options = WasmOptions {
        protected: vec![Protected { path: ground.path("secret"), what: "Outrigger's data directory" }],
        ..WasmOptions::new(ground.bench.folder.path().join("protecting"))
    };
    let runtime = WasmRuntime::new(options).expect("a runtime");
    let file = ground.path("secret/file").display().to_string();
    let bench = Bench { folder: TempDir::new().expect("a folder"), runtime };
    for path in [
        ground.grant("secret"),
        ground.grant("secret/inner"),
        ground.grant("link"),
        ground.grant(""),
        file,
        "/".to_owned(),
    ] {
        for access in [Read, Write] {
            if access == Write && !path.ends_with('/') {
                continue;
            }
            let path = if path.ends_with("//") { path.trim_end_matches('/').to_owned() + "/" } else { path.clone() };
            let asked = files(&[(&path, access)]);
            let fault = bench.runtime.pin(&asked, &[]).await.expect_err("it holds the keys");
            assert_eq!(fault.code, Code::FileGrantRefused, "{path}: {fault}");
            assert!(fault.message.contains("data directory"), "{fault}");
            let loaded = Guest::load(&bench, |spec| spec.granted = asked).await;
            let fault = loaded.err().expect("nor is it loaded");
            assert_eq!(fault.code, Code::FileGrantRefused, "{path}");
            assert!(!fault.message.contains("data directory"), "where it is is for the operator: {fault}");
        }
    }
    bench.runtime.pin(&files(&[(&ground.grant("data"), Write)]), &[]).await.expect("it lies beside it");
}

#[tokio::test]
async fn s01_a_file_of_the_platform_outside_the_data_directory_is_granted_to_nobody() {
    let ground = Ground::new();
    let key = ground.path("secret/file");
    symlink(&key, ground.path("data/link")).expect("a link");
    std::fs::hard_link(&key, ground.path("data/same")).expect("a hard link");
    let options = WasmOptions {
        protected: vec![Protected { path: key.clone(), what: "Outrigger's secret key file" }],
        ..WasmOptions::new(ground.bench.folder.path().join("protecting"))
    };
    let runtime = WasmRuntime::new(options).expect("a runtime");
    let text = |name: &str| ground.path(name).display().to_string();
    for path in [text("secret/file"), text("data/link"), text("data/same"), ground.grant("secret")] {
        let fault = runtime.pin(&files(&[(&path, Read)]), &[]).await.expect_err("it is or holds the key");
        assert_eq!(fault.code, Code::FileGrantRefused, "{path}: {fault}");
        assert!(fault.message.contains("secret key"), "{fault}");
    }
    runtime.pin(&files(&[(&ground.grant("secret/inner"), Read)]), &[]).await.expect("it lies beside it");
}

#[tokio::test]
async fn s01_the_servers_own_process_is_granted_to_nobody() {
    let bench = Bench::new();
    let own = format!("/proc/{}/environ", std::process::id());
    for path in ["/proc/", "/proc/self/", "/proc/self/environ", "/proc/thread-self/mem", &own, "/dev/fd/"] {
        let fault = bench.runtime.pin(&files(&[(path, Read)]), &[]).await.expect_err("it is the server's");
        assert_eq!(fault.code, Code::FileGrantRefused, "{path}: {fault}");
    }
    let guest = Guest::new(&bench, files(&[("/proc/loadavg", Read)])).await;
    assert!(!guest.read(guest.folder(0).await, "proc/loadavg").await.expect("it may be read").is_empty());
}

/// Two plugins rename, link and remove in overlapping grants as fast as possible, while both read and write everything
/// they can reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s01_two_plugins_race_and_reach_nothing_outside() {
    const TIME: Duration = Duration::from_secs(4);
    let ground = Ground::new();
    let file = ground.path("data/old/file").display().to_string();
    let mover = Guest::new(&ground.bench, files(&[(&ground.grant("data"), Write)])).await;
    let user = Guest::new(&ground.bench, files(&[(&ground.grant("data/old"), Write)])).await;
    let reader = Guest::new(&ground.bench, files(&[(&file, Read)])).await;
    let until = Instant::now() + TIME;
    let moves = async {
        let data = mover.folder(1).await;
        let mut turns = 0;
        while Instant::now() < until {
            _ = mover.two("rename", (data, "old"), (data, "aside")).await;
            _ = mover.symlink(data, "../secret", "old").await;
            _ = mover.symlink(data, "../../secret", "aside/up").await;
            _ = mover.write(data, "old/file", b"from the mover").await;
            _ = mover.two("link", (data, "old/file"), (data, "hard")).await;
            _ = mover.at("unlink", data, "hard").await;
            _ = mover.at("unlink", data, "old").await;
            _ = mover.at("unlink", data, "aside/up").await;
            _ = mover.two("rename", (data, "aside"), (data, "old")).await;
            turns += 1;
        }
        turns
    };
    let uses = async {
        let old = user.folder(1).await;
        let mut turns = 0;
        while Instant::now() < until {
            _ = user.at("mkdir", old, "in").await;
            for path in ["file", "in/../file", "up/file", "up/inner/file", "in/../up/file", "../secret/file"] {
                let read = user.read(old, path).await;
                assert_ne!(read.as_deref(), Ok(CANARY), "{path}");
                if path != "file" && path != "in/../file" {
                    assert!(user.write(old, path, b"x").await.is_err(), "{path}");
                }
            }
            _ = user.two("rename", (old, "up"), (old, "in/up")).await;
            _ = user.write(old, "in/up/planted", b"x").await;
            _ = user.at("unlink", old, "in/up").await;
            _ = user.write(old, "file", b"from the user").await;
            turns += 1;
        }
        turns
    };
    let reads = async {
        let root = reader.folder(0).await;
        let mut turns = 0;
        while Instant::now() < until {
            assert_ne!(reader.read(root, &file[1..]).await.as_deref(), Ok(CANARY));
            turns += 1;
        }
        turns
    };
    let (moves, uses, reads) = tokio::join!(moves, uses, reads);
    assert!(moves > 50 && uses > 50 && reads > 50, "{moves} {uses} {reads}");
    ground.check();
}
