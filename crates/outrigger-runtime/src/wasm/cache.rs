//! Compiled code on disk, by digest and by the engine's settings. Loading it maps the file, which takes a millisecond;
//! compiling takes seconds.
//!
//! Compiled code is machine code: anyone who can write it can run code as this process. So the folder is refused unless
//! only its owner can write to it. A checksum beside each file detects files that were truncated by a full disk or a
//! crash; they are compiled again. A component that exceeded the compile limits is remembered here too, and refused at
//! once.

use std::collections::HashMap;
use std::fs::{DirBuilder, DirEntry, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outrigger_contract::{Code, Digest};
use outrigger_engine::runtime::RuntimeFault;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler::{self, CodeBound, CompileLimits};
use super::component;
use super::engine::Layout;
use super::measure::{self, Measure};

/// Maximum number of larger components that are compiled at the same time. Each uses several threads.
const COMPILED_AT_ONCE: usize = 2;
/// Maximum number of components that are read and measured, and compiled if small, at the same time. They do not wait
/// for the larger ones.
const SMALL_AT_ONCE: usize = 1;
/// Maximum number of remembered components that exceeded a limit.
const MOST_REFUSED: usize = 500;
/// Free disk space that is left for the database, in bytes.
const LEFT: u64 = 4 << 20;

/// How components are compiled.
#[derive(Clone, Debug)]
pub(super) struct Compiling {
    /// The program that compiles larger components.
    pub(super) program: Option<PathBuf>,
    pub(super) layout: Layout,
    pub(super) limits: CompileLimits,
}

/// The folder with compiled code. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    compiling: Compiling,
    permits: Semaphore,
    small: Semaphore,
    /// Differs between versions of wasmtime, settings and processors.
    compatibility: u64,
    /// One compilation at a time for each digest: the second caller finds the result of the first.
    busy: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cache {
    /// Opens the folder, and makes it where it is not there yet.
    ///
    /// # Errors
    /// It cannot be made, or others than its owner may write to it.
    pub(super) fn open(folder: &Path, engine: &Engine, compiling: Compiling) -> Result<Self, RuntimeFault> {
        let fault = |problem: String| RuntimeFault::new(Code::DataDirectory, problem);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
            fault(format!("failed to create the folder {} for compiled code: {error}", folder.display()))
        })?;
        let mode = std::fs::metadata(folder)
            .map_err(|error| {
                fault(format!("failed to read the folder {} for compiled code: {error}", folder.display()))
            })?
            .mode();
        if mode & 0o022 != 0 {
            return Err(fault(format!(
                "other users can write to {}, which contains code that runs without further checks; \
                 forbid it: chmod go-w {}",
                folder.display(),
                folder.display()
            )));
        }
        forget_unfinished(folder);
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let inner = Inner {
            folder: folder.to_owned(),
            compiling,
            permits: Semaphore::new(COMPILED_AT_ONCE),
            small: Semaphore::new(SMALL_AT_ONCE),
            compatibility: hasher.finish(),
            busy: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The compiled component: from the cache, or compiled from the file at `path` and stored there. Compiling
    /// continues if the caller gives up, so that the next caller finds the result.
    pub(super) async fn component(
        &self,
        engine: &Engine,
        digest: &Digest,
        path: PathBuf,
        max_bytes: u64,
    ) -> Result<Component, RuntimeFault> {
        let (cache, engine, digest) = (self.clone(), engine.clone(), *digest);
        let work = async move {
            let turn = Arc::clone(cache.inner.busy.lock().entry(digest).or_default());
            let result = {
                let _turn = turn.lock().await;
                cache.inner.component(&engine, &digest, path, max_bytes).await
            };
            drop(turn);
            cache.inner.busy.lock().retain(|_, turn| Arc::strong_count(turn) > 1);
            result
        };
        tokio::spawn(work).await.unwrap_or_else(|error| Err(stopped(&error)))
    }

    /// Removes the compiled code of a digest, for every version of the engine. An exceeded limit stays remembered,
    /// because the same component would exceed it again.
    pub(super) fn forget(&self, digest: &Digest) {
        let prefix = digest.hex();
        let Ok(entries) = std::fs::read_dir(&self.inner.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix)
                && !name.ends_with(REFUSED)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "failed to remove compiled code");
            }
        }
    }
}

impl Inner {
    async fn component(
        &self,
        engine: &Engine,
        digest: &Digest,
        component: PathBuf,
        max_bytes: u64,
    ) -> Result<Component, RuntimeFault> {
        let path = self.path(digest);
        let loading = {
            let (engine, path) = (engine.clone(), path.clone());
            move || load(&engine, &path)
        };
        if let Some(component) = in_background(loading).await? {
            return Ok(component);
        }
        if let Some(refused) = self.refused(&path) {
            return Err(refused);
        }
        let outcome = self.compile(engine, &path, component, max_bytes).await;
        if let Err(fault) = &outcome
            && fault.code == Code::CompileLimit
        {
            self.remember(&path, &fault.message);
        }
        outcome
    }

    async fn compile(
        &self,
        engine: &Engine,
        path: &Path,
        component: PathBuf,
        max_bytes: u64,
    ) -> Result<Component, RuntimeFault> {
        let reading = {
            let component = component.clone();
            move || {
                let wasm = component::read(&component, max_bytes)?;
                component::measure(&wasm).map(|measure| (wasm, measure))
            }
        };
        let small = self.small.acquire().await;
        let (wasm, measure) = in_background(reading.clone()).await??;
        if measure.within(&measure::SMALL).is_ok() {
            let (engine, path) = (engine.clone(), path.to_owned());
            return in_background(move || compile(&engine, &path, &wasm)).await?;
        }
        drop((wasm, small));
        let _permit = self.permits.acquire().await;
        if let Some(program) = &self.compiling.program {
            match self.compile_outside(engine, path, &component, program, &measure).await {
                // The compiler process could not be run, or its code could not be loaded. Smaller components are
                // compiled here.
                Err(fault) if matches!(fault.code, Code::Internal | Code::Io) => {
                    tracing::warn!(path = %path.display(), %fault, "the compiler process failed; compiling the \
                        component in this process");
                }
                outcome => return outcome,
            }
        }
        measure.within(&measure::ALONE).map_err(|problem| {
            let message = format!("the component is too large to be compiled in this process: {problem}");
            RuntimeFault::new(Code::CompileLimit, message)
        })?;
        let (engine, path) = (engine.clone(), path.to_owned());
        in_background(move || reading().and_then(|(wasm, _)| compile(&engine, &path, &wasm))).await?
    }

    /// Compiles in a child process.
    async fn compile_outside(
        &self,
        engine: &Engine,
        path: &Path,
        component: &Path,
        program: &Path,
        measure: &Measure,
    ) -> Result<Component, RuntimeFault> {
        let io = |error: io::Error| {
            RuntimeFault::new(Code::Io, format!("{} cannot be compiled: {error}", component.display()))
        };
        let started = std::time::Instant::now();
        let limits = self.compiling.limits.of(measure);
        let component = File::open(component).map_err(io)?;
        // Other components that are compiled at the same time can write as much.
        let room = free(&self.folder).map_or(u64::MAX, |free| free.saturating_sub(LEFT) / COMPILED_AT_ONCE as u64);
        let size = component.metadata().map_err(io)?.len();
        let size = CodeBound::of(size, room).ok_or_else(compiler::no_room)?;
        let (code, temporary) = temporary(path).map_err(io)?;
        let compiled = compiler::compile(program, self.compiling.layout, limits, size, component, code).await;
        let (engine, path) = (engine.clone(), path.to_owned());
        let loading = move || {
            let stored = compiled.and_then(|()| {
                // As in `store`: the checksum is written first.
                let stored = File::open(&temporary)
                    .and_then(checksum)
                    .and_then(|sum| replace(&checksum_path(&path), sum.as_bytes()))
                    .and_then(|()| std::fs::rename(&temporary, &path));
                stored.map_err(|error| RuntimeFault::new(Code::Io, format!("failed to store compiled code: {error}")))
            });
            if let Err(fault) = stored {
                _ = std::fs::remove_file(&temporary);
                return Err(fault);
            }
            tracing::debug!(path = %path.display(), elapsed = ?started.elapsed(), "compiled in a child process");
            load(&engine, &path).ok_or_else(|| {
                RuntimeFault::new(Code::Internal, "failed to load code from the compiler process".to_owned())
            })
        };
        in_background(loading).await?
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{}-{:016x}.cwasm", digest.hex(), self.compatibility))
    }

    /// Why a component is refused at once: it exceeded the same limits before.
    fn refused(&self, path: &Path) -> Option<RuntimeFault> {
        let text = std::fs::read_to_string(path.with_extension(REFUSED)).ok()?;
        let (limits, message) = text.split_once('\n')?;
        (limits == self.limits()).then(|| RuntimeFault::new(Code::CompileLimit, message))
    }

    fn remember(&self, path: &Path, message: &str) {
        self.forget_refused();
        if let Err(error) = replace(&path.with_extension(REFUSED), format!("{}\n{message}", self.limits()).as_bytes()) {
            tracing::warn!(path = %path.display(), %error, "failed to record that a component exceeds the compile \
                limits");
        }
    }

    /// The limits under which a component was refused. With other limits, it is compiled again.
    fn limits(&self) -> String {
        let Compiling { program, layout: _, limits: CompileLimits { cpu, memory } } = &self.compiling;
        format!("{} {} {memory}", program.is_some(), cpu.as_secs())
    }

    /// Removes the oldest entry if the limit is reached.
    fn forget_refused(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        let refused = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(REFUSED));
        let mut refused: Vec<_> =
            refused.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
        refused.sort();
        for (_, path) in refused.iter().take((refused.len() + 1).saturating_sub(MOST_REFUSED)) {
            _ = std::fs::remove_file(path);
        }
    }
}

/// The file extension of remembered components that exceeded the limits.
const REFUSED: &str = "refused";
/// The suffix of unfinished files.
const TEMPORARY: &str = ".tmp";

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RuntimeFault> {
    tokio::task::spawn_blocking(work).await.map_err(|error| stopped(&error))
}

fn stopped(error: &tokio::task::JoinError) -> RuntimeFault {
    RuntimeFault::new(Code::Internal, format!("compiling stopped: {error}"))
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
        tracing::warn!(path = %path.display(), %error, "failed to store compiled code");
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
    // The code can be compiled again; the database needs the space more.
    if free(path.parent().unwrap_or(Path::new(".")))? < LEFT + code.len() as u64 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    replace(&checksum_path(path), sum.as_bytes())?;
    replace(path, code)
}

/// Free space on the disk of a folder, in bytes.
fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Deletes unfinished files of dead processes. No compilation takes this long.
fn forget_unfinished(folder: &Path) {
    const LONGEST: Duration = Duration::from_secs(3_600);
    let is_old = |entry: &DirEntry| {
        let changed = entry.metadata().and_then(|found| found.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > LONGEST))
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().ends_with(TEMPORARY.as_bytes()) && is_old(&entry) {
            _ = std::fs::remove_file(entry.path());
        }
    }
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let (mut file, temporary) = temporary(path)?;
    let written = file.write_all(content).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        _ = std::fs::remove_file(&temporary);
    }
    written
}

/// A temporary file beside the file that it will replace.
fn temporary(path: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}.{number}{TEMPORARY}", std::process::id()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    Ok((file, temporary))
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn s09_what_was_left_half_done_is_removed() {
        let folder = tempfile::tempdir().expect("made");
        let old = SystemTime::now() - Duration::from_secs(7_200);
        for (name, modified) in [("a.1.0.tmp", old), ("b.1.0.tmp", SystemTime::now()), ("c.cwasm", old)] {
            let file = File::create(folder.path().join(name)).expect("made");
            file.set_modified(modified).expect("set");
        }
        forget_unfinished(folder.path());
        let left = std::fs::read_dir(folder.path()).expect("read").flatten().map(|entry| entry.file_name());
        let mut left: Vec<_> = left.collect();
        left.sort();
        assert_eq!(left, ["b.1.0.tmp", "c.cwasm"]);
    }
}
