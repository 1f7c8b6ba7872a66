//! The ring of keys: those that are given from outside, and the file in the data directory.
//!
//! The file holds a key a line, the newest first. It is read anew for every secret, because another process may have
//! rotated the keys, and it is only ever replaced as a whole.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use outrigger_api::{ApiError, ApiResult, Code};
use outrigger_contract::units::ByteSize;
use outrigger_engine::vault::VaultError;
use outrigger_registry::file::{self, Links};
use zeroize::Zeroizing;

use super::key::SecretKey;
use super::{Rotated, keyring};
use crate::environment;

/// The header of the file.
const HEADER: &str =
    "# Encryption keys of secrets, newest first. Anyone with these keys can read the secrets in outrigger.db.\n";

/// The maximum size of a key file.
const LONGEST: ByteSize = ByteSize::mib(1);

/// The keys of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct KeyRing {
    given: Result<Vec<SecretKey>, VaultError>,
    file: PathBuf,
}

/// Held while keys are rotated.
#[derive(Debug)]
pub(crate) struct RotationLock {
    _file: File,
}

impl KeyRing {
    /// The keys that the environment gives, and those in the data directory.
    pub(crate) fn from_environment(file: PathBuf) -> Self {
        Self { given: given(), file }
    }

    /// The keys in this file, and no others.
    #[cfg(test)]
    pub(super) fn of_file(file: PathBuf) -> Self {
        Self { given: Ok(Vec::new()), file }
    }

    /// The keys written in this text, and those in the file.
    #[cfg(test)]
    pub(super) fn of(text: &str, file: PathBuf) -> Self {
        Self { given: parse("the test", text), file }
    }

    /// All keys, those that seal first.
    pub(super) fn all(&self) -> Result<Vec<SecretKey>, VaultError> {
        let mut keys = self.given.clone()?;
        keys.extend(self.kept()?);
        Ok(keys)
    }

    /// Checks that all keys can be read, and returns their number. Blocks.
    pub(crate) fn check(&self) -> ApiResult<usize> {
        let keys = self.all().map_err(|error| {
            ApiError::new(Code::SecretUnreadable, format!("the encryption keys of secrets cannot be read: {error}"))
                .with_hint(VaultError::HINT_UNUSABLE)
        })?;
        Ok(keys.len())
    }

    /// The key that seals. Makes the file where there is no key at all yet.
    pub(super) fn sealing(&self) -> Result<SecretKey, VaultError> {
        if let Some(key) = self.all()?.into_iter().next() {
            return Ok(key);
        }
        let made = write_new(&self.file, &SecretKey::random()?);
        match made {
            Ok(()) => {
                tracing::info!(file = %self.file.display(), "created an encryption key for secrets; keep a copy of it \
                in a safe place");
            }
            // Another process was quicker; its key is the one.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unwritable(&self.file, &error)),
        }
        let unusable = || VaultError::Unusable(format!("{} holds no key", self.file.display()));
        self.kept()?.into_iter().next().ok_or_else(unusable)
    }

    /// Waits until nobody else rotates. Blocks.
    pub(crate) fn lock(&self) -> Result<RotationLock, VaultError> {
        let path = self.file.with_extension("lock");
        let file = crate::data_directory::lock_file().open(&path);
        let file = file.and_then(|file| file.lock().map(|()| file)).map_err(|error| unwritable(&path, &error))?;
        Ok(RotationLock { _file: file })
    }

    /// Puts a new key in front, where the keys are ours to write, and drops those of the old ones that nothing is sealed
    /// with. A key that is given from outside is in front as it is.
    pub(crate) fn rotate(&self, used: &BTreeSet<String>, _lock: &RotationLock) -> Result<Rotated, VaultError> {
        let kept = self.kept()?;
        let given = self.given.clone()?;
        // The newest may have been taken up by somebody who has not written yet.
        let newest = kept.first().map(SecretKey::id);
        let (mut left, dropped): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|key| used.contains(&key.id()) || Some(key.id()) == newest);
        let dropped = dropped.iter().map(SecretKey::id).collect();
        let key = match given.into_iter().next() {
            Some(given) => given,
            None => {
                left.insert(0, SecretKey::random()?);
                left[0].clone()
            }
        };
        if !left.is_empty() {
            replace(&self.file, &left).map_err(|error| unwritable(&self.file, &error))?;
        }
        Ok(Rotated { key: key.id(), dropped })
    }

    /// The ids of the keys in the file.
    pub(crate) fn ids_in_file(&self) -> Result<BTreeSet<String>, VaultError> {
        Ok(self.kept()?.iter().map(SecretKey::id).collect())
    }

    /// The ids of the keys that are given from outside.
    pub(crate) fn ids_given(&self) -> Result<BTreeSet<String>, VaultError> {
        Ok(self.given.clone()?.iter().map(SecretKey::id).collect())
    }

    fn kept(&self) -> Result<Vec<SecretKey>, VaultError> {
        match read(&self.file)? {
            Some(text) => parse(&self.file.display().to_string(), &text),
            None => Ok(Vec::new()),
        }
    }
}

/// The keys that the environment gives. The first place that is named is the only one that is looked at.
fn given() -> Result<Vec<SecretKey>, VaultError> {
    use environment::{SECRET_KEY, SECRET_KEY_FILE, SECRET_KEYRING};
    if let Some(text) = environment::text(SECRET_KEY) {
        return parse(SECRET_KEY.name, &Zeroizing::new(text));
    }
    if let Some(path) = environment::path(SECRET_KEY_FILE) {
        let missing =
            || VaultError::Unusable(format!("{} names {}, which is not there", SECRET_KEY_FILE.name, path.display()));
        return parse(&path.display().to_string(), &read(&path)?.ok_or_else(missing)?);
    }
    match environment::text(SECRET_KEYRING) {
        Some(name) => in_keyring(&name),
        None => Ok(Vec::new()),
    }
}

/// The keys in an entry of the kernel's keyring.
pub(super) fn in_keyring(name: &str) -> Result<Vec<SecretKey>, VaultError> {
    parse(&format!("the key `{name}` in the kernel's keyring"), &keyring::read(name)?)
}

/// The keys in a text, separated by white space or commas; lines that begin with `#` are comments. There is at least
/// one. Invalid text is never quoted: it may be most of a key.
fn parse(origin: &str, text: &str) -> Result<Vec<SecretKey>, VaultError> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words =
        lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == ',')).filter(|word| !word.is_empty());
    let keys: Option<Vec<_>> = words.map(SecretKey::parse).collect();
    let wrong = || VaultError::Unusable(format!("{origin} does not hold keys of 32 bytes in hexadecimal or base64"));
    keys.filter(|keys| !keys.is_empty()).ok_or_else(wrong)
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, VaultError> {
    match file::read_text(path, Links::Follow, LONGEST) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(VaultError::Unusable(format!("{} cannot be read: {error}", path.display()))),
    }
}

/// Writes a file that is not there yet, so that of several processes one does it.
fn write_new(path: &Path, key: &SecretKey) -> std::io::Result<()> {
    written(path, std::slice::from_ref(key))?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_folder(path)
}

fn replace(path: &Path, keys: &[SecretKey]) -> std::io::Result<()> {
    written(path, keys)?.persist(path).map_err(|error| error.error)?;
    sync_folder(path)
}

/// A file beside the place where it will be, on the disk in full, that only its owner can read.
fn written(path: &Path, keys: &[SecretKey]) -> std::io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".secret.key.").tempfile_in(folder)?;
    file.write_all(HEADER.as_bytes())?;
    for key in keys {
        file.write_all(key.text().as_bytes())?;
        file.write_all(b"\n")?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// The name of a file is in its folder.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn unwritable(path: &Path, error: &std::io::Error) -> VaultError {
    VaultError::Unusable(format!("{} cannot be written: {error}", path.display()))
}
