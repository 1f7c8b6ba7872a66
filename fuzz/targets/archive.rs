//! An archive: zip or tar, compressed or not. Nothing is written outside the staging folder.
#![no_main]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

/// A folder with an inner folder for unpacked files.
static PLACE: LazyLock<TempDir> = LazyLock::new(|| {
    let place = tempfile::tempdir().expect("a folder");
    fs::create_dir(place.path().join("staging")).expect("a folder");
    place
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, content)) = bytes.split_first() else { return };
    let place = PLACE.path();
    let archive = place.join(if kind % 2 == 0 { "package.zip" } else { "package.tar.gz" });
    let mut file = fs::File::create(&archive).expect("a file");
    match kind % 4 {
        // The tar is packed here, because the fuzzer would not find the format.
        3 => file.write_all(&stored(content)).expect("written"),
        _ => file.write_all(content).expect("written"),
    }
    drop(file);
    let staging = place.join("staging");
    match outrigger_registry::stage(&archive, &staging) {
        Ok(staged) => assert!(staged.root().starts_with(&staging)),
        Err(error) => assert!(error.to_string().len() <= 64 << 10),
    }
    // The staged files are removed with their owner, and only the archive remains.
    assert_eq!(count(&staging), 0, "something is left behind");
    assert!(count(place) <= 3, "something lies outside");
});

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).expect("a folder").count()
}

/// Gzip without compression.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    let mut pieces = content.chunks(0xffff).peekable();
    while let Some(piece) = pieces.next() {
        let length = u16::try_from(piece.len()).expect("a short piece");
        gzip.push(u8::from(pieces.peek().is_none()));
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(piece);
    }
    gzip.extend(checksum(content).to_le_bytes());
    gzip.extend((content.len() as u32).to_le_bytes());
    gzip
}

fn checksum(content: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in content {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
        }
    }
    !sum
}
