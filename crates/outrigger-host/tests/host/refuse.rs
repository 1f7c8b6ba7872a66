//! Packages that are refused: each with its own code, in time, and with nothing left behind.

use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use outrigger_testkit::components;

use crate::bench::{Bench, manifest_text, zip};

#[tokio::test]
async fn entries_that_are_no_component() {
    let bench = Bench::new().await;
    let component = components::hostile();
    let core = b"\0asm\x01\0\0\0".as_slice();
    let cases: [(&str, &[u8], &str); 5] = [
        ("text", b"hello", "invalid_component"),
        ("empty", b"", "invalid_component"),
        ("core", core, "core module"),
        ("truncated", &component[..component.len() / 2], "invalid_component"),
        ("unknown-import", &components::unknown_import(), "test:unknown/engine"),
    ];
    for (name, bytes, expected) in cases {
        let path = bench.package(name, "broken", "1.0.0", "", bytes);
        let (code, error) = bench.refused(&path).await;
        assert_eq!(code, "invalid_component", "{name}: {}", error.message);
        assert!(code == expected || error.message.contains(expected), "{name}: {}", error.message);
    }
}

#[tokio::test]
async fn a_huge_file_is_refused_at_once() {
    let bench = Bench::new().await;
    let path = bench.package("huge", "huge", "1.0.0", "", b"\0asm\x0d\0\x01\0");
    let file = fs::File::options().write(true).open(path.join("x.wasm")).expect("a file");
    file.set_len(500 << 20).expect("it grows");
    let started = Instant::now();
    let (code, error) = bench.refused(&path).await;
    assert_eq!(code, "package_too_large", "{}", error.message);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn manifests_that_are_missing_or_wrong() {
    let bench = Bench::new().await;
    let missing = bench.package("missing", "x", "1.0.0", "", &components::hostile());
    fs::remove_file(missing.join("plugin.toml")).expect("it is removed");
    assert_eq!(bench.refused(&missing).await.0, "invalid_manifest");
    let wrong = bench.package("wrong", "x", "1.0.0", "[limits]\nmemry = \"1GiB\"\n", &components::hostile());
    let (code, error) = bench.refused(&wrong).await;
    assert_eq!(code, "invalid_manifest");
    assert!(error.message.contains("memry"), "{}", error.message);
    let (code, _) = bench.refused(&bench.path("nowhere")).await;
    assert_eq!(code, "not_found");
}

#[tokio::test]
async fn archives_that_would_do_harm() {
    let bench = Bench::new().await;
    let manifest = manifest_text("bomb", "1.0.0", "");
    let zeros = vec![0; 64 << 20];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a [u8])], &'a str);
    let cases: [Case<'_>; 3] = [
        ("bomb.zip", &[("plugin.toml", manifest.as_bytes()), ("x.wasm", &zeros)], "zip bomb"),
        ("escape.zip", &[("plugin.toml", manifest.as_bytes()), ("../x.wasm", b"")], ".."),
        ("absolute.zip", &[("plugin.toml", manifest.as_bytes()), ("/tmp/x.wasm", b"")], "/tmp"),
    ];
    for (name, entries, expected) in cases {
        let path = bench.path(name);
        let mut archive = zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
        for (entry, bytes) in entries {
            archive.start_file(*entry, zip::write::SimpleFileOptions::default()).expect("an entry");
            archive.write_all(bytes).expect("it is written");
        }
        archive.finish().expect("it is finished");
        let (code, error) = bench.refused(&path).await;
        assert!(["invalid_package", "package_too_large"].contains(&code.as_str()), "{name}: {code}: {}", error.message);
        assert!(error.message.contains(expected), "{name}: {}", error.message);
    }
    assert!(!bench.path("data/x.wasm").exists() && !bench.path("x.wasm").exists());
}

#[tokio::test]
async fn an_archive_that_was_cut_off() {
    let bench = Bench::new().await;
    let folder = bench.hostile("1.0.0", "");
    let path = bench.path("cut.zip");
    zip(&folder, &path);
    let length = fs::metadata(&path).expect("a file").len();
    fs::File::options().write(true).open(&path).expect("a file").set_len(length / 2).expect("it is cut");
    assert_eq!(bench.refused(&path).await.0, "invalid_package");
}
