//! Compiled code on disk, by digest and by what the engine would compile it to. Loading it maps the file, which takes a
//! millisecond where compiling takes seconds.
//!
//! Compiled code is machine code: whoever can write it can run anything as this process. So the folder must be
//! writable by its owner alone, and it is refused otherwise. A file that was cut short by a full disk or a
//! crash is told by the checksum beside it, and compiled again.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outrigger_contract::{Code, Digest};
use outrigger_engine::runtime::RuntimeFault;
use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder with compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Differs between versions of wasmtime, settings and processors.
    compatibility: u64,
    /// One at a time for each digest: whoever comes second finds what the first has made.
    busy: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    /// Opens the folder, and makes it where it is not there yet.
    ///
    /// # Errors
    /// It cannot be made, or others than its owner may write to it.
    pub(super) fn open(folder: &Path, engine: &Engine) -> Result<Self, RuntimeFault> {
        let fault = |problem: String| RuntimeFault::new(Code::DataDirectory, problem);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            fault(format!("the folder {} for compiled code cannot be made: {error}", folder.display()))
        })?;
        let mode = std::fs::metadata(folder)
            .map_err(|error| {
                fault(format!("the folder {} for compiled code cannot be read: {error}", folder.display()))
            })?
            .mode();
        if mode & 0o022 != 0 {
            return Err(fault(format!(
                "others than its owner may write to {}, which holds code that is run without further checks; \
                 forbid it: chmod go-w {}",
                folder.display(),
                folder.display()
            )));
        }
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { folder: folder.to_owned(), compatibility: hasher.finish(), busy: Mutex::default() })
    }

    /// The compiled component: from the cache, or compiled from what `read` gives and put there.
    pub(super) async fn component(
        &self,
        engine: &Engine,
        digest: &Digest,
        read: impl FnOnce() -> Result<Vec<u8>, RuntimeFault> + Send + 'static,
    ) -> Result<Component, RuntimeFault> {
        let turn = Arc::clone(self.busy.lock().entry(*digest).or_default());
        let result = {
            let _turn = turn.lock().await;
            let (engine, path) = (engine.clone(), self.path(digest));
            let work = move || match load(&engine, &path) {
                Some(component) => Ok(component),
                None => compile(&engine, &path, &read()?),
            };
            tokio::task::spawn_blocking(work).await
        };
        drop(turn);
        self.busy.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
        result.unwrap_or_else(|error| Err(RuntimeFault::new(Code::Internal, format!("compiling stopped: {error}"))))
    }

    /// Removes what is compiled of a digest, for every version of the engine.
    pub(super) fn forget(&self, digest: &Digest) {
        let prefix = digest.hex();
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "compiled code could not be removed");
            }
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{:016x}.cwasm", digest.hex(), self.compatibility))
    }
}

/// Compiles and stores. That it could not be stored is no reason to fail: it is compiled again next time.
fn compile(engine: &Engine, path: &Path, wasm: &[u8]) -> Result<Component, RuntimeFault> {
    let started = std::time::Instant::now();
    let component = Component::from_binary(engine, wasm).map_err(|error| {
        RuntimeFault::new(Code::InvalidComponent, format!("the component cannot be compiled: {error:#}"))
    })?;
    tracing::debug!(path = %path.display(), elapsed = ?started.elapsed(), "compiled");
    let stored = component.serialize().map_err(io::Error::other).and_then(|code| store(path, &code));
    if let Err(error) = stored {
        tracing::warn!(path = %path.display(), %error, "compiled code could not be stored");
    }
    Ok(component)
}

fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let expected = std::fs::read_to_string(checksum_path(path)).ok()?;
    if !File::open(path).and_then(checksum).is_ok_and(|found| found == expected) {
        tracing::warn!(path = %path.display(), "compiled code is damaged; compiling again");
        return None;
    }
    #[expect(unsafe_code, reason = "compiled code can only be trusted, not checked")]
    // SAFETY: the file was written by this program into a folder that only its owner may write to, which was checked
    // when it was opened, and it is whole, by the checksum above. Files are replaced by renaming, never changed in
    // place, so that the mapping stays as it is. Wasmtime itself refuses what another version of it has compiled.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component
        .inspect_err(
            |error| tracing::warn!(path = %path.display(), %error, "compiled code is not usable; compiling again"),
        )
        .ok()
}

fn store(path: &Path, code: &[u8]) -> io::Result<()> {
    // The checksum is there first: code without one is never loaded, and code that does not match is made again.
    let sum = checksum(code)?;
    replace(&checksum_path(path), sum.as_bytes())?;
    replace(path, code)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let unique = format!("{}.{:?}.tmp", std::process::id(), std::thread::current().id());
    let temporary = path.with_extension(unique);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        _ = std::fs::remove_file(&temporary);
    }
    written
}

fn checksum_path(path: &Path) -> PathBuf {
    path.with_extension("sum")
}

/// Length and CRC-32: against accidents, not against people, whom the folder's mode keeps out.
fn checksum(mut from: impl Read) -> io::Result<String> {
    let (mut hasher, mut length, mut buffer) = (crc32fast::Hasher::new(), 0_u64, vec![0; 128 << 10]);
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(format!("{length} {:08x}", hasher.finalize())),
            count => {
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
    }
}
