mod fixtures;
mod hostile;

use std::fs;
use std::path::Path;

use outrigger_contract::Code;
use outrigger_contract::causes::chain;
use tempfile::TempDir;

use super::*;
use fixtures::{COMPONENT, MANIFEST, Tar, folder, plugin_files, tar_gz, zip};

/// A folder with a place for packages and one for staging.
struct Yard(TempDir);

impl Yard {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn staging(&self) -> PathBuf {
        self.path("staging")
    }

    /// The error with its causes and hint, as people read it, and its code. Nothing may be left behind.
    fn refused(&self, package: &Path) -> (String, Code) {
        self.refused_within(package, PackageLimits::default())
    }

    fn refused_within(&self, package: &Path, limits: PackageLimits) -> (String, Code) {
        let staged = Package::open_within(package, limits).and_then(|package| package.stage(&self.staging()));
        let error = staged.expect_err("the package is refused");
        let left: Vec<_> = fs::read_dir(self.staging()).into_iter().flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        (self.text(&error), error.code())
    }

    fn text(&self, error: &PackageError) -> String {
        let mut text = chain(error);
        if let Some(hint) = error.hint() {
            text.push_str(&format!("; {hint}"));
        }
        text.replace(&format!("{}/", self.0.path().display()), "")
    }
}

#[test]
fn all_shapes_have_the_same_digest_and_content() {
    let yard = Yard::new();
    let files = plugin_files();
    let below: Vec<_> = files.iter().map(|(name, bytes)| (format!("demo-1.0.0/{name}"), bytes.clone())).collect();
    let dotted: Vec<_> = files.iter().map(|(name, bytes)| (format!("./{name}"), bytes.clone())).collect();
    let reversed: Vec<_> = files.iter().rev().cloned().collect();
    let packages = [
        folder(&yard.path("folder"), &files),
        yard.file("a.zip", &zip(&files)),
        yard.file("b.ZIP", &zip(&reversed)),
        yard.file("c.zip", &zip(&below)),
        yard.file("d.tar.gz", &tar_gz(&files)),
        yard.file("e.tgz", &tar_gz(&below)),
        yard.file("f.tgz", &tar_gz(&dotted)),
    ];
    let mut digests = Vec::new();
    for path in packages {
        let package = Package::open(&path).unwrap();
        let staged = package.stage(&yard.staging()).unwrap();
        assert_eq!(staged.name(), "demo");
        assert_eq!(staged.version().to_string(), "1.0.0");
        assert_eq!(staged.manifest_text(), MANIFEST);
        let names: Vec<_> = staged.files().iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["bin/demo.wasm", "docs/ä.txt", "plugin.toml"]);
        for (name, bytes) in &files {
            assert_eq!(fs::read(staged.root().join(name)).unwrap(), *bytes, "{name} of {path:?}");
        }
        assert_eq!(staged.size(), files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
        assert_eq!(package.digest().unwrap(), staged.digest());
        assert_eq!(package.manifest().unwrap(), *staged.manifest());
        digests.push(staged.digest());
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
    assert_eq!(fs::read_dir(yard.staging()).unwrap().count(), 0, "a dropped package leaves nothing behind");
}

#[test]
fn the_digest_is_stable_and_depends_on_names_and_bytes() {
    let yard = Yard::new();
    let digest = |name: &str, files: &[(String, Vec<u8>)]| {
        Package::open(yard.file(name, &zip(files))).unwrap().digest().unwrap().to_string()
    };
    let files = plugin_files();
    let first = digest("a.zip", &files);
    insta::assert_snapshot!(first, @"sha256:0c0d4ac65295b50b909a0cea9cca40d9c8ab7dd6274ec81cdc9fa210d262f09d");
    let mut renamed = files.clone();
    renamed[2].0 = "docs/b.txt".to_owned();
    assert_ne!(digest("b.zip", &renamed), first);
    let mut changed = files;
    changed[2].1.push(b'!');
    assert_ne!(digest("c.zip", &changed), first);
}

#[test]
fn a_package_is_moved_in_one_step() {
    let yard = Yard::new();
    for (round, name) in ["flat.zip", "below.tgz"].into_iter().enumerate() {
        let files = plugin_files();
        let path = match round {
            0 => yard.file(name, &zip(&files)),
            _ => {
                let below: Vec<_> = files.iter().map(|(name, bytes)| (format!("x/{name}"), bytes.clone())).collect();
                yard.file(name, &tar_gz(&below))
            }
        };
        let destination = yard.path(&format!("plugins/{round}"));
        stage(&path, &yard.staging()).unwrap().persist(&destination).unwrap();
        assert_eq!(fs::read(destination.join("bin/demo.wasm")).unwrap(), COMPONENT);
        stage(&path, &yard.staging()).unwrap().persist(&destination).unwrap();
        assert_eq!(fs::read_dir(yard.staging()).unwrap().count(), 0);
    }
}

#[test]
fn what_is_no_package_is_said_so() {
    let yard = Yard::new();
    let check = |path: &Path, code: Code| {
        let (text, found) = yard.refused(path);
        assert_eq!(found, code, "{text}");
        text
    };
    insta::assert_snapshot!(check(&yard.path("nowhere"), Code::NotFound), @"nowhere does not exist; check the path");
    insta::assert_snapshot!(check(&yard.file("a.wasm", COMPONENT), Code::Unsupported), @"a.wasm is neither a folder nor a supported archive; a component alone is not a package: put it into a folder with a plugin.toml and give the folder");
    insta::assert_snapshot!(check(&yard.file("a.rar", b"Rar!"), Code::Unsupported), @"a.rar is neither a folder nor a supported archive; give a folder, a `.zip`, a `.tar.gz` or a `.tgz`");
    insta::assert_snapshot!(check(&yard.file("a.zip", b"not a zip"), Code::InvalidPackage), @"the archive a.zip cannot be read: invalid Zip archive: Could not find EOCD; download or pack it again; it may be cut off, damaged or of another format");
    insta::assert_snapshot!(check(&yard.file("a.tgz", b"not a tar"), Code::InvalidPackage), @"the archive a.tgz cannot be read: unexpected end of file; download or pack it again; it may be cut off, damaged or of another format");
    insta::assert_snapshot!(check(&yard.file("empty.zip", b""), Code::InvalidPackage), @"the archive empty.zip cannot be read: invalid Zip archive: Could not find EOCD; download or pack it again; it may be cut off, damaged or of another format");
    insta::assert_snapshot!(check(&yard.file("empty.tgz", b""), Code::InvalidPackage), @"the archive empty.tgz cannot be read: unexpected end of file; download or pack it again; it may be cut off, damaged or of another format");
}

#[test]
fn a_missing_or_wrong_manifest_is_said_so() {
    let yard = Yard::new();
    let check = |path: &Path| {
        let (text, code) = yard.refused(path);
        assert_eq!(code, Code::InvalidManifest, "{text}");
        let error = Package::open(path).and_then(|package| package.manifest()).expect_err("there is no manifest");
        assert_eq!(error.code(), Code::InvalidManifest);
        text
    };
    let named = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let wasm = named("a.wasm", COMPONENT);
    insta::assert_snapshot!(check(&folder(&yard.path("bare"), std::slice::from_ref(&wasm))), @"there is no plugin.toml in bare; every package has a plugin.toml at its root; `outrigger dev new` makes one");
    insta::assert_snapshot!(check(&yard.file("bare.zip", &zip(std::slice::from_ref(&wasm)))), @"there is no plugin.toml in bare.zip; every package has a plugin.toml at its root; `outrigger dev new` makes one");
    let two = [named("a/plugin.toml", MANIFEST.as_bytes()), named("b/x", b"")];
    insta::assert_snapshot!(check(&yard.file("two.zip", &zip(&two))), @"there is no plugin.toml in two.zip; there is one at `a/plugin.toml`; give or pack that folder itself");
    insta::assert_snapshot!(check(&folder(&yard.path("two"), &two)), @"there is no plugin.toml in two; there is one at `a/plugin.toml`; give or pack that folder itself");
    insta::assert_snapshot!(check(&yard.file("deep.tgz", &tar_gz(&[named("a/b/plugin.toml", b"")]))), @"there is no plugin.toml in deep.tgz; there is one at `a/b/plugin.toml`; give or pack that folder itself");
    let wrong = [named("plugin.toml", b"name = 'Demo'\nversion = '1'\n"), wasm.clone()];
    insta::assert_snapshot!(check(&yard.file("wrong.zip", &zip(&wrong))), @r#"
    the plugin.toml in wrong.zip has errors: line 1, column 1: the key `title` is missing; add `title = "My plugin"`
    line 1, column 1: the key `description` is missing; add `description = "A description of its purpose."`
    line 1, column 1: the key `runtime` is missing; add `runtime = { kind = "wasm", entry = "my_plugin.wasm" }`
    line 1, column 8: `name`: `Demo` is not a plugin name because of the character `D`; use lowercase letters, digits, `-` and `_`
    line 2, column 11: `version`: this is not a version: unexpected end of input while parsing major version number; write three numbers, as in `1.2.0` or `1.2.0-beta.1` (semver.org); fix plugin.toml as described, then try again
    "#);
    let binary = [named("plugin.toml", b"\xff\xfe"), wasm.clone()];
    insta::assert_snapshot!(check(&yard.file("binary.zip", &zip(&binary))), @r"
    the plugin.toml in binary.zip has errors: line 1, column 1: this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
    line 1, column 3: this is not TOML: key with no value, expected `=`; fix plugin.toml as described, then try again
    ");
    let mut long = MANIFEST.as_bytes().to_vec();
    long.extend((0..200_000).flat_map(|line: u32| format!("# {line}\n").into_bytes()));
    let long = [named("plugin.toml", &long), wasm];
    insta::assert_snapshot!(check(&yard.file("long.zip", &zip(&long))), @"the plugin.toml in long.zip has errors: the manifest is longer than 1MiB; move long texts into a README file of the package; fix plugin.toml as described, then try again");
}

#[test]
fn the_entry_must_be_a_component() {
    let yard = Yard::new();
    let check = |bytes: Option<&[u8]>, code: Code| {
        let mut files = plugin_files();
        match bytes {
            Some(bytes) => files[1].1 = bytes.to_vec(),
            None => files[1].0 = "demo.wasm".to_owned(),
        }
        let (text, found) = yard.refused(&yard.file("a.zip", &zip(&files)));
        assert_eq!(found, code, "{text}");
        text
    };
    insta::assert_snapshot!(check(None, Code::InvalidPackage), @r#"the manifest in a.zip names the entry `bin/demo.wasm`, which is not in the package; did you mean `entry = "demo.wasm"`?"#);
    insta::assert_snapshot!(check(Some(b"fn main() {}"), Code::InvalidComponent), @"the entry `bin/demo.wasm` in a.zip is not WebAssembly; name the compiled component as the entry, not its source");
    insta::assert_snapshot!(check(Some(b"\0as"), Code::InvalidComponent), @"the entry `bin/demo.wasm` in a.zip is not WebAssembly; name the compiled component as the entry, not its source");
    insta::assert_snapshot!(check(Some(b"\0asm\x01\0\0\0"), Code::InvalidComponent), @"the entry `bin/demo.wasm` in a.zip is a core module, not a component; build it as a component, with `outrigger dev build`");
    insta::assert_snapshot!(check(Some(b"\0asm\x0e\0\x02\0"), Code::InvalidComponent), @"the entry `bin/demo.wasm` in a.zip has an unknown WebAssembly format (version 14, layer 2); build it again with a current toolchain");
}

#[test]
fn what_packers_write_on_their_own_account_is_no_fault() {
    let yard = Yard::new();
    let mut tar = Tar::default();
    tar.folder("./");
    tar.folder("./bin/");
    tar.entry(b'g', "pax_global_header", b"52 comment=0123456789012345678901234567890123456789\n");
    let long = format!("docs/{}.txt", "n".repeat(150));
    tar.long_file(&long, b"long");
    for (name, bytes) in plugin_files() {
        tar.file(&format!("./{name}"), &bytes);
    }
    let staged = stage(&yard.file("a.tar.gz", &tar.gz()), &yard.staging()).unwrap();
    assert!(staged.files().iter().any(|file| file.path.as_str() == long));
}

#[test]
fn a_folder_is_always_packed_to_the_same_bytes() {
    let yard = Yard::new();
    let files = plugin_files();
    let first = folder(&yard.path("first"), &files);
    let backwards: Vec<_> = files.iter().rev().cloned().collect();
    let second = folder(&yard.path("second"), &backwards);
    let old = fs::File::options().write(true).open(second.join("plugin.toml")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    let packed = |from: &Path, name: &str| {
        pack(from, &yard.path(name)).unwrap();
        fs::read(yard.path(name)).unwrap()
    };
    assert!(packed(&first, "1.tar.gz") == packed(&second, "2.tar.gz"));
    let digest = Package::open(&first).unwrap().digest().unwrap();
    assert_eq!(Package::open(yard.path("1.tar.gz")).unwrap().digest().unwrap(), digest);
    std::os::unix::fs::symlink("/etc/passwd", first.join("link")).unwrap();
    assert_eq!(pack(&first, &yard.path("3.tar.gz")).unwrap_err().code(), Code::InvalidPackage);
    assert_eq!(pack(&yard.path("1.tar.gz"), &yard.path("4.tar.gz")).unwrap_err().code(), Code::Unsupported);
}
