use std::fs;
use std::io::{Cursor, Write};

use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn manifest(name: &str, version: &str) -> String {
    format!(
        "name = '{name}'\nversion = '{version}'\ntitle = 'T'\ndescription = 'D'\n[runtime]\nkind = 'wasm'\nentry = 'a.wasm'\n"
    )
}

fn put_folder(path: &Path, name: &str, version: &str) {
    fs::create_dir_all(path).unwrap();
    fs::write(path.join(FILE_NAME), manifest(name, version)).unwrap();
}

fn put_zip(path: &Path, name: &str, version: &str) {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("top/plugin.toml", SimpleFileOptions::default()).unwrap();
    writer.write_all(manifest(name, version).as_bytes()).unwrap();
    fs::write(path, writer.finish().unwrap().into_inner()).unwrap();
}

fn put_tar_gz(path: &Path, name: &str, version: &str) {
    let mut header = tar::Header::new_gnu();
    let text = manifest(name, version);
    header.set_size(text.len() as u64);
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut builder = tar::Builder::new(encoder);
    builder.append_data(&mut header, "plugin.toml", text.as_bytes()).unwrap();
    fs::write(path, builder.into_inner().unwrap().finish().unwrap()).unwrap();
}

fn summary(root: &TempDir, discovered: &Discovered) -> String {
    let path = |path: &Path| path.strip_prefix(root.path()).unwrap().display().to_string();
    let mut lines = Vec::new();
    for Candidate { name, version, origin, shape, path: place, .. } in &discovered.found {
        lines.push(format!("found {name} {version} ({origin}, {shape:?}) {}", path(place)));
    }
    for Duplicate { name, version, kept, ignored, origin } in &discovered.duplicates {
        lines.push(format!("duplicate {name} {version} ({origin}) {} for {}", path(ignored), path(kept)));
    }
    for DiscoveryProblem { path: place, origin, error } in &discovered.problems {
        lines.push(format!("problem ({origin}) {} {}", path(place), error.code().info().name));
    }
    lines.join("\n")
}

fn search(root: &TempDir) -> Vec<SearchPath> {
    let origins = [
        (Origin::Bundled, "bundled"),
        (Origin::System, "system"),
        (Origin::User, "user"),
        (Origin::User, "user2"),
        (Origin::Project, "project"),
    ];
    origins.map(|(origin, name)| SearchPath { origin, path: root.path().join(name) }).into()
}

fn yard() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["bundled", "user", "user2", "project"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    root
}

#[test]
fn all_shapes_are_found_and_the_nearest_copy_counts() {
    let root = yard();
    let at = |name: &str| root.path().join(name);
    put_folder(&at("bundled/pricing"), "pricing", "1.0.0");
    put_folder(&at("bundled/os-facts"), "os-facts", "0.9.0");
    put_zip(&at("user/pricing-2.zip"), "pricing", "2.0.0");
    put_zip(&at("user/pricing.zip"), "pricing", "1.0.0");
    put_tar_gz(&at("user2/pricing.tgz"), "pricing", "1.0.0");
    put_tar_gz(&at("project/pricing.tar.gz"), "pricing", "3.0.0-beta.1");
    put_folder(&at("project/facts"), "os-facts", "0.9.0");
    // What is no package, and what is hidden.
    fs::create_dir(at("user/empty")).unwrap();
    fs::write(at("user/notes.txt"), "hello").unwrap();
    put_folder(&at("user/.git"), "hidden", "1.0.0");
    put_folder(&at("user/deep/down"), "deep", "1.0.0");
    // What is broken.
    fs::write(at("user/broken.zip"), "no zip").unwrap();
    fs::create_dir(at("user/wrong")).unwrap();
    fs::write(at("user/wrong/plugin.toml"), "name = 1").unwrap();
    let discovered = discover(&search(&root));
    insta::assert_snapshot!(summary(&root, &discovered), @r"
    found os-facts 0.9.0 (project, Folder) project/facts
    found pricing 3.0.0-beta.1 (project, TarGz) project/pricing.tar.gz
    found pricing 2.0.0 (user, Zip) user/pricing-2.zip
    found pricing 1.0.0 (user, Zip) user/pricing.zip
    duplicate pricing 1.0.0 (user) user2/pricing.tgz for user/pricing.zip
    duplicate os-facts 0.9.0 (bundled) bundled/os-facts for project/facts
    duplicate pricing 1.0.0 (bundled) bundled/pricing for user/pricing.zip
    problem (user) user/broken.zip invalid_package
    problem (user) user/wrong invalid_manifest
    ");
}

#[test]
fn the_highest_version_that_fits_is_best() {
    let root = yard();
    for version in ["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0", "3.0.0-beta.1"] {
        put_folder(&root.path().join("user").join(version), "pricing", version);
    }
    let discovered = discover(&search(&root));
    let check = |requirement: Option<&str>, expected: Option<&str>| {
        let requirement = requirement.map(|text| VersionReq::parse(text).unwrap());
        let best = discovered.best(&"pricing".parse().unwrap(), requirement.as_ref());
        assert_eq!(best.map(|candidate| candidate.version.to_string()).as_deref(), expected, "{requirement:?}");
    };
    check(None, Some("2.0.0"));
    check(Some("*"), Some("2.0.0"));
    check(Some("^1"), Some("1.10.0"));
    check(Some("~1.9"), Some("1.9.0"));
    check(Some(">=3.0.0-beta"), Some("3.0.0-beta.1"));
    check(Some("^4"), None);
    assert_eq!(discovered.best(&"other".parse().unwrap(), None), None);
}

#[test]
fn a_search_path_that_cannot_be_read_is_a_problem_and_a_missing_one_is_not() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("user"), "a file, not a folder").unwrap();
    let discovered = discover(&search(&root));
    insta::assert_snapshot!(summary(&root, &discovered), @"problem (user) user io");
}
