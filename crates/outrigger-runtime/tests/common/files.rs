//! A plugin that performs the file operations of a test.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use outrigger_contract::manifest::InstancePolicy;
use outrigger_contract::permission::{FileAccess, FileGrant};
use outrigger_contract::{Permissions, Value};
use outrigger_engine::runtime::{RevisionSpec, Runtime, RuntimeFault};
use outrigger_testkit::components;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::{Bench, Loaded, PLENTY, number, text};

/// `open-flags` and `descriptor-flags` of WASI.
pub(crate) const CREATE: u64 = 1;
pub(crate) const DIRECTORY: u64 = 2;
pub(crate) const TRUNCATE: u64 = 8;
pub(crate) const READ: u64 = 1;
pub(crate) const WRITE: u64 = 2;

/// Codes of `error-code`.
pub(crate) const ACCESS: u64 = 0;
pub(crate) const LOOP: u64 = 15;
pub(crate) const NO_ENTRY: u64 = 20;
pub(crate) const INSUFFICIENT_MEMORY: u64 = 22;
pub(crate) const INSUFFICIENT_SPACE: u64 = 23;
pub(crate) const UNSUPPORTED: u64 = 27;
pub(crate) const NOT_PERMITTED: u64 = 31;
pub(crate) const CROSS_DEVICE: u64 = 36;

pub(crate) fn files(grants: &[(&str, FileAccess)]) -> Permissions {
    let files = grants.iter().map(|(path, access)| FileGrant::new(path, *access).expect("a good path")).collect();
    Permissions { files, ..Permissions::default() }
}

/// The path of a folder as in a grant.
pub(crate) fn folder_path(path: &Path) -> String {
    format!("{}/", path.display())
}

/// One instance, whose handles stay open between calls.
pub(crate) struct Guest(pub(crate) Loaded);

impl Guest {
    pub(crate) async fn new(bench: &Bench, granted: Permissions) -> Self {
        Self::load(bench, |spec| spec.granted = granted).await.expect("it loads")
    }

    pub(crate) async fn load(bench: &Bench, change: impl FnOnce(&mut RevisionSpec)) -> Result<Self, RuntimeFault> {
        let mut spec = bench.spec(&components::files());
        let some = |number| NonZeroU32::new(number).expect("more than none");
        spec.instances = InstancePolicy::Warm { max_instances: some(1), max_calls: some(u32::MAX) };
        change(&mut spec);
        let graph = std::sync::Arc::clone(&spec.graph);
        let revision = bench.runtime.load(spec).await?;
        Ok(Self(Loaded { revision, graph, services: std::sync::Arc::default() }))
    }

    /// Calls a function; an error is one of WASI.
    pub(crate) async fn call(&self, function: &str, arguments: &[Value]) -> Result<Value, u64> {
        self.call_within(function, arguments, PLENTY).await
    }

    pub(crate) async fn call_within(&self, function: &str, arguments: &[Value], time: Duration) -> Result<Value, u64> {
        self.0.call_within(function, arguments, time).await.0.map_err(|fault| match fault.error_value.as_deref() {
            Some(Value::Unsigned(code)) => *code,
            _ => panic!("{function}: {fault}"),
        })
    }

    async fn number(&self, function: &str, arguments: &[Value]) -> Result<u64, u64> {
        match self.call(function, arguments).await? {
            Value::Unsigned(number) => Ok(number),
            other => panic!("{function} gave {other:?}"),
        }
    }

    /// A handle on a preopened folder.
    pub(crate) async fn folder(&self, index: u64) -> u64 {
        self.number("folder", &[number(index)]).await.expect("it is preopened")
    }

    pub(crate) async fn open(&self, folder: u64, path: &str, flags: (u64, u64)) -> Result<u64, u64> {
        self.number("open", &[number(folder), number(1), text(path), number(flags.0), number(flags.1)]).await
    }

    pub(crate) async fn close(&self, handle: u64) {
        self.call("close", &[number(handle)]).await.expect("it closes");
    }

    /// All of a small file.
    pub(crate) async fn read(&self, folder: u64, path: &str) -> Result<Vec<u8>, u64> {
        let file = self.open(folder, path, (0, READ)).await?;
        let bytes = self.call("read", &[number(file), number(65_536), number(0)]).await;
        self.close(file).await;
        match bytes? {
            Value::Bytes(bytes) => Ok(bytes.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn write(&self, folder: u64, path: &str, content: &[u8]) -> Result<(), u64> {
        let file = self.open(folder, path, (CREATE, WRITE)).await?;
        let bytes = Value::Bytes(content.to_vec().into());
        let written = self.number("write", &[number(file), bytes, number(0)]).await;
        self.close(file).await;
        written.map(|written| assert_eq!(written, content.len() as u64))
    }

    /// A function of a folder and a path: `unlink`, `mkdir`, `rmdir`.
    pub(crate) async fn at(&self, function: &str, folder: u64, path: &str) -> Result<(), u64> {
        self.call(function, &[number(folder), text(path)]).await.map(drop)
    }

    pub(crate) async fn symlink(&self, folder: u64, target: &str, path: &str) -> Result<(), u64> {
        self.call("symlink", &[number(folder), text(target), text(path)]).await.map(drop)
    }

    pub(crate) async fn probe(&self, folder: u64, follow: u64, path: &str) -> Result<u64, u64> {
        self.number("probe", &[number(folder), number(follow), text(path)]).await
    }

    /// `link` or `rename`.
    pub(crate) async fn two(&self, function: &str, old: (u64, &str), new: (u64, &str)) -> Result<(), u64> {
        self.call(function, &[number(old.0), text(old.1), number(new.0), text(new.1)]).await.map(drop)
    }

    /// The names in a folder, sorted.
    pub(crate) async fn names(&self, folder: u64) -> Vec<String> {
        let listing = self.number("listing", &[number(folder)]).await.expect("it can be listed");
        let mut names = Vec::new();
        loop {
            match self.call("next", &[number(listing)]).await.expect("it can be read") {
                Value::String(name) if name.is_empty() => break,
                Value::String(name) => names.push(name),
                other => panic!("{other:?}"),
            }
        }
        self.call("close-listing", &[number(listing)]).await.expect("it closes");
        names.sort();
        names
    }
}

pub(crate) const CANARY: &[u8] = b"canary";

/// `data/` with `old/` in it, and beside it `secret/`, which is never granted.
pub(crate) struct Ground {
    folder: TempDir,
    pub(crate) bench: Bench,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let ground = Self { folder: TempDir::new().expect("a temporary folder"), bench: Bench::new() };
        for folder in ["data", "data/old", "secret", "secret/inner"] {
            fs::create_dir(ground.path(folder)).expect("room on the disk");
        }
        fs::write(ground.path("data/old/file"), "old").expect("room on the disk");
        fs::write(ground.path("data/file"), "data").expect("room on the disk");
        for file in ["secret/file", "secret/inner/file"] {
            fs::write(ground.path(file), CANARY).expect("room on the disk");
        }
        ground
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there").join(path)
    }

    pub(crate) fn grant(&self, path: &str) -> String {
        folder_path(&self.path(path))
    }

    /// Nothing in `secret/` was touched.
    pub(crate) fn check(&self) {
        let found = tree(&self.path("secret"));
        let expected = [("file", Some(CANARY.to_vec())), ("inner", None), ("inner/file", Some(CANARY.to_vec()))];
        assert_eq!(found, expected.map(|(path, content)| (path.to_owned(), content)).into());
    }
}

fn tree(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("it can be listed") {
            let path = entry.expect("it can be read").path();
            let content = if path.is_dir() { None } else { Some(fs::read(&path).expect("it can be read")) };
            if content.is_none() {
                open.push(path.clone());
            }
            let name = path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
            found.insert(name, content);
        }
    }
    found
}

pub(crate) fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a named pipe");
}
