//! Packages that mean harm, or are merely broken: each is refused for its own reason and leaves nothing behind.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use outrigger_contract::Code;
use outrigger_testkit::traps;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;

use super::fixtures::{Files, Tar, folder, gz, plugin_files, tar_gz, zip, zip_writer};
use super::{Package, PackageLimits, Yard};

/// A good package and one more file.
fn with(name: &str, bytes: &[u8]) -> Files {
    let mut files = plugin_files();
    files.push((name.to_owned(), bytes.to_vec()));
    files
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn names_that_lead_astray_are_refused_in_every_archive() {
    let yard = Yard::new();
    let cases = [
        ("../evil", "its path leads out of the package with `..`"),
        ("bin/../../evil", "its path leads out of the package with `..`"),
        ("/etc/evil", "its path is absolute"),
        ("C:/evil", "its path is absolute"),
        ("\\evil", "its path is absolute"),
        ("a\\..\\evil", "its path contains a backslash"),
        ("a/./evil", "its path contains an empty part or a `.`"),
        ("a//evil", "its path contains an empty part or a `.`"),
        ("a\nevil", "its path contains a control character"),
        ("u\u{308}vil", "its path is not in composed Unicode (NFC)"),
        ("docs", "there is another entry with this path"),
        ("plugin.toml/evil", "there is another entry with this path"),
    ];
    for (name, expected) in cases {
        // The writer of zips will not write such names itself, so one of the same length is put in its place.
        let stand_in = "z".repeat(name.len());
        let bytes = replace(&zip(&with(&stand_in, b"x")), stand_in.as_bytes(), name.as_bytes());
        let zipped = yard.file("a.zip", &bytes);
        let tarred = yard.file("a.tgz", &tar_gz(&with(name, b"x")));
        for path in [zipped, tarred] {
            let (text, code) = yard.refused(&path);
            assert!(text.contains(expected), "{name}: {text}");
            assert_eq!(code, Code::InvalidPackage);
        }
    }
    assert!(!yard.path("evil").exists() && !yard.path("staging/evil").exists());
}

#[test]
fn a_name_with_nul_or_too_long_is_refused() {
    let yard = Yard::new();
    let bytes = replace(&zip(&with("zzzz", b"x")), b"zzzz", b"a\0zz");
    insta::assert_snapshot!(yard.refused(&yard.file("a.zip", &bytes)).0, @r"`a\0zz` in a.zip: its path contains a control character; give the file another name and pack it again");
    let long = "n".repeat(300);
    assert!(yard.refused(&yard.file("b.zip", &zip(&with(&long, b"x")))).0.contains("its path is too long"));
    let mut tar = Tar::default();
    tar.long_file(&"a/".repeat(400), b"x");
    tar.long_file(&"d/d".repeat(300), b"x");
    assert!(yard.refused(&yard.file("c.tgz", &tar.gz())).0.contains("its path is too long"));
}

#[test]
fn links_and_special_files_are_refused() {
    let yard = Yard::new();
    let mut writer = zip_writer(&plugin_files());
    writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    insta::assert_snapshot!(yard.refused(&yard.file("a.zip", &writer.finish().unwrap().into_inner())).0, @"`link` in a.zip: it is a link; replace the link with the file");

    let tarred = |kind: u8| {
        let mut tar = Tar::default();
        tar.header(kind, "link", 0, "plugin.toml");
        for (name, bytes) in plugin_files() {
            tar.file(&name, &bytes);
        }
        yard.refused(&yard.file("a.tgz", &tar.gz())).0
    };
    for link in [b'1', b'2'] {
        assert!(tarred(link).contains("`link` in a.tgz: it is a link"));
    }
    for special in [b'3', b'4', b'6', b'7'] {
        assert!(tarred(special).contains("`link` in a.tgz: it is neither a file nor a folder"));
    }
    // A sparse file, which could unpack to any size; this one is not even well-formed.
    assert!(tarred(b'S').contains("the archive a.tgz cannot be read"));

    let path = folder(&yard.path("folder"), &plugin_files());
    symlink("../../outside", path.join("docs/link")).unwrap();
    insta::assert_snapshot!(yard.refused(&path).0, @"`docs/link` in folder: it is a link; replace the link with the file");
    fs::remove_file(path.join("docs/link")).unwrap();
    symlink("plugin.toml", path.join("inside")).unwrap();
    assert!(yard.refused(&path).0.contains("`inside` in folder: it is a link"));
    fs::remove_file(path.join("inside")).unwrap();
    let _socket = UnixListener::bind(path.join("socket")).unwrap();
    assert!(yard.refused(&path).0.contains("`socket` in folder: it is neither a file nor a folder"));
}

#[test]
fn s22_a_package_that_is_no_regular_file_is_refused() {
    let yard = Yard::new();
    let told = traps::refusals(&yard.path("a.zip"), |path| Package::open(path).unwrap_err().to_string());
    assert!(told.iter().all(|told| told.ends_with("is neither a folder nor a supported archive")), "{told:?}");

    let path = folder(&yard.path("folder"), &plugin_files());
    fs::remove_file(path.join("plugin.toml")).unwrap();
    let told = traps::refusals(&path.join("plugin.toml"), |manifest| {
        let package = Package::open(manifest.parent().unwrap()).unwrap();
        package.manifest().unwrap_err().to_string()
    });
    let expected = ["it is neither a file nor a folder", "it is a link"]
        .map(|fault| format!("`plugin.toml` in {}: {fault}", path.display()));
    assert_eq!(told, expected);
}

#[test]
fn duplicates_are_refused() {
    let yard = Yard::new();
    let bytes = replace(&zip(&with("bin/demo.wasn", b"other")), b"bin/demo.wasn", b"bin/demo.wasm");
    insta::assert_snapshot!(yard.refused(&yard.file("a.zip", &bytes)).0, @"the archive a.zip cannot be read: two entries have the same name; download or pack it again; it may be cut off, damaged or of another format");
    insta::assert_snapshot!(yard.refused(&yard.file("a.tgz", &tar_gz(&with("./bin/demo.wasm", b"other")))).0, @"`./bin/demo.wasm` in a.tgz: there is another entry with this path; pack it again, with each file once");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let yard = Yard::new();
    let zeros = vec![0; 10 << 20];
    for path in [
        yard.file("a.zip", &zip(&with("zeros", &zeros))),
        yard.file("a.tgz", &tar_gz(&with("zeros", &zeros))),
        yard.file("b.tgz", &gz(&zeros)),
    ] {
        assert!(fs::metadata(&path).unwrap().len() < 32 << 10);
    }
    insta::assert_snapshot!(yard.refused(&yard.path("a.zip")).0, @"the archive a.zip unpacks to more than 200 times its size, like a zip bomb; do not trust its source; real plugins stay far below this limit");
    assert_eq!(yard.refused(&yard.path("a.zip")).1, Code::PackageTooLarge);
    insta::assert_snapshot!(yard.refused(&yard.path("a.tgz")).0, @"the archive a.tgz unpacks to more than 200 times its size, like a zip bomb; do not trust its source; real plugins stay far below this limit");
    // No tar at all: the zeros are its end, and too many of them follow.
    insta::assert_snapshot!(yard.refused(&yard.path("b.tgz")).0, @"the archive b.tgz cannot be read: there is more to read between the files than a package needs; download or pack it again; it may be cut off, damaged or of another format");
    // The manifest alone is read with the same care.
    for name in ["a.zip", "a.tgz"] {
        let error = Package::open(yard.path(name)).unwrap().manifest().unwrap_err();
        assert_eq!(error.code(), Code::PackageTooLarge);
    }

    let mut tar = Tar::default();
    tar.entry(b'L', "././@LongLink", &vec![b'a'; 50 << 20]);
    tar.file("cut", b"");
    insta::assert_snapshot!(yard.refused(&yard.file("c.tgz", &tar.gz())).0, @"the archive c.tgz cannot be read: there is more to read between the files than a package needs; download or pack it again; it may be cut off, damaged or of another format");
}

#[test]
fn a_zip_that_lies_about_a_size_is_found_out() {
    let yard = Yard::new();
    let zeros = vec![0; 10 << 20];
    let bytes = zip(&with("zeros", &zeros));
    let lying = replace(&bytes, &u32::try_from(zeros.len()).unwrap().to_le_bytes(), &9_u32.to_le_bytes());
    insta::assert_snapshot!(yard.refused(&yard.file("a.zip", &lying)).0, @"the archive a.zip cannot be read: File is larger than its declared uncompressed size; download or pack it again; it may be cut off, damaged or of another format");
}

#[test]
fn too_many_entries_are_refused() {
    let yard = Yard::new();
    let mut files = plugin_files();
    files.extend((0..10_000).map(|number| (format!("many/{number}"), Vec::new())));
    let bytes = zip(&files);
    let (text, code) = yard.refused(&yard.file("a.zip", &bytes));
    assert!(text.contains("a.zip has more than 10000 files and folders"), "{text}");
    assert_eq!(code, Code::PackageTooLarge);
    // The same rule for the other shapes; with fewer files, because these are really made on the disk.
    let limits = PackageLimits { entries: 100, ..PackageLimits::default() };
    let few = &files[..101];
    for path in [yard.file("a.tgz", &tar_gz(few)), folder(&yard.path("folder"), few)] {
        let (text, code) = yard.refused_within(&path, limits.clone());
        assert!(text.contains("has more than 100 files and folders"), "{text}");
        assert_eq!(code, Code::PackageTooLarge);
    }
    // Folders count in every shape, whether or not an archive names them: three files in two of them are five entries.
    let exactly = |entries| PackageLimits { entries, ..PackageLimits::default() };
    let paths = [
        yard.file("d.zip", &zip(&plugin_files())),
        yard.file("d.tgz", &tar_gz(&plugin_files())),
        folder(&yard.path("d"), &plugin_files()),
    ];
    for path in paths {
        assert!(yard.refused_within(&path, exactly(4)).0.contains("has more than 4 files and folders"), "{path:?}");
        assert!(Package::open_within(&path, exactly(5)).unwrap().digest().is_ok(), "{path:?}");
    }
    files.truncate(9_000);
    assert!(Package::open(yard.file("b.zip", &zip(&files))).unwrap().digest().is_ok());

    // A table of contents so long that it is not even read to its end.
    files.extend((0..60_000).map(|number| (format!("more/{number:0>200}"), Vec::new())));
    let (text, _) = yard.refused(&yard.file("c.zip", &zip(&files)));
    assert!(text.contains("has more than 10000 files and folders"), "{text}");
}

/// A field of four bytes in the table takes ten times as much in memory.
#[test]
fn s02_the_table_of_a_zip_has_room_for_names_and_not_for_much_else() {
    let yard = Yard::new();
    let header = |name: u8| {
        let extra = [0x37, 0x13, 0, 0].repeat(16_000);
        let mut header = vec![0; 46];
        header[..4].copy_from_slice(b"PK\x01\x02");
        header[28] = 1;
        header[30..32].copy_from_slice(&64_000_u16.to_le_bytes());
        header.push(name);
        header.extend(extra);
        header
    };
    let table: Vec<u8> = (0..100).flat_map(header).collect();
    let mut end = vec![0; 22];
    end[..4].copy_from_slice(b"PK\x05\x06");
    (end[8], end[10]) = (100, 100);
    end[12..16].copy_from_slice(&u32::try_from(table.len()).unwrap().to_le_bytes());
    end[16..20].copy_from_slice(&1_000_u32.to_le_bytes());
    let (text, code) = yard.refused(&yard.file("a.zip", &[vec![0; 1_000], table, end].concat()));
    assert!(text.contains("a.zip has more than 10000 files and folders"), "{text}");
    assert_eq!(code, Code::PackageTooLarge);

    let mut files = plugin_files();
    files.extend((0..9_990).map(|number| (format!("{number:0>200}"), Vec::new())));
    assert!(Package::open(yard.file("b.zip", &zip(&files))).unwrap().digest().is_ok());
}

#[test]
fn large_files_are_refused_before_they_are_read() {
    let yard = Yard::new();
    let begin = Instant::now();
    let path = folder(&yard.path("folder"), &plugin_files());
    File::create(path.join("bin/demo.wasm")).unwrap().set_len(500 << 20).unwrap();
    insta::assert_snapshot!(yard.refused(&path).0, @"`bin/demo.wasm` in folder has 500MiB; the limit is 128MiB; build the plugin in release mode, and leave out files that it does not need at run time");
    assert_eq!(yard.refused(&path).1, Code::PackageTooLarge);
    File::create(yard.path("large.wasm")).unwrap().set_len(500 << 20).unwrap();
    insta::assert_snapshot!(yard.refused(&yard.path("large.wasm")).0, @"large.wasm is neither a folder nor a supported archive; a component alone is not a package: put it into a folder with a plugin.toml and give the folder");
    File::create(yard.path("large.zip")).unwrap().set_len(500 << 20).unwrap();
    insta::assert_snapshot!(yard.refused(&yard.path("large.zip")).0, @"the archive large.zip has 500MiB; the limit is 128MiB; build the plugin in release mode, and leave out files that it does not need at run time");
    let mut tar = Tar::default();
    tar.header(b'0', "large", 500 << 20, "");
    insta::assert_snapshot!(yard.refused(&yard.file("large.tgz", &tar.gz())).0, @"`large` in large.tgz has 500MiB; the limit is 128MiB; build the plugin in release mode, and leave out files that it does not need at run time");
    for number in 0..3 {
        File::create(path.join(format!("part{number}"))).unwrap().set_len(100 << 20).unwrap();
    }
    fs::remove_file(path.join("bin/demo.wasm")).unwrap();
    insta::assert_snapshot!(yard.refused(&path).0, @"the files in folder have more than 256MiB in total; build the plugin in release mode, and leave out files that it does not need at run time");
    assert!(begin.elapsed() < Duration::from_secs(5), "half a gigabyte was read: {:?}", begin.elapsed());
}

#[test]
fn archives_that_were_cut_off_are_refused() {
    let yard = Yard::new();
    let noise: Vec<u8> = (0..20_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for (name, bytes) in [("a.zip", zip(&with("noise", &noise))), ("a.tgz", tar_gz(&with("noise", &noise)))] {
        for left in [1, 10, 1_000, bytes.len() / 2, bytes.len() - 9, bytes.len() - 1] {
            let (text, code) = yard.refused(&yard.file(name, &bytes[..left]));
            assert_eq!(code, Code::InvalidPackage, "{name} cut to {left} bytes: {text}");
        }
    }
}

#[test]
fn damaged_content_is_refused() {
    let yard = Yard::new();
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut writer = zip_writer(&plugin_files());
    writer.start_file("note", options).unwrap();
    writer.write_all(b"all is well").unwrap();
    let bytes = replace(&writer.finish().unwrap().into_inner(), b"all is well", b"all is hell");
    insta::assert_snapshot!(yard.refused(&yard.file("a.zip", &bytes)).0, @"the archive a.zip cannot be read: Invalid checksum; download or pack it again; it may be cut off, damaged or of another format");
}

#[test]
fn limits_can_be_narrower() {
    let yard = Yard::new();
    let path = yard.file("a.zip", &zip(&plugin_files()));
    let limits = PackageLimits { entries: 2, ..PackageLimits::default() };
    insta::assert_snapshot!(yard.refused_within(&path, limits).0, @"a.zip has more than 2 files and folders; leave out files that the plugin does not need at run time, such as `target` and `.git`");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reading_never_panics_and_leaves_nothing(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let yard = Yard::new();
        for name in ["a.zip", "a.tgz"] {
            yard.refused(&yard.file(name, &bytes));
        }
        yard.refused(&yard.file("b.tgz", &gz(&bytes)));
    }

    #[test]
    fn reading_a_damaged_archive_never_panics(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let yard = Yard::new();
        let tar = { let mut tar = Vec::new(); std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(tar_gz(&plugin_files()).as_slice()), &mut tar).unwrap(); tar };
        for (name, mut bytes, packed) in [
            ("a.zip", zip(&plugin_files()), false),
            ("a.tgz", tar_gz(&plugin_files()), false),
            ("b.tgz", tar, true),
        ] {
            for (index, value) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *value;
            }
            let bytes = if packed { gz(&bytes) } else { bytes };
            if let Ok(package) = Package::open(yard.file(name, &bytes)) {
                let _ = package.stage(&yard.staging());
                let _ = package.manifest();
                prop_assert_eq!(fs::read_dir(yard.staging()).unwrap().count(), 0);
            }
        }
    }
}
