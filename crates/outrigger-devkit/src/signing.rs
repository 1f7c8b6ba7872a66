//! Keys in files, and packages that are signed with them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use outrigger_contract::Digest;
use outrigger_registry::{KeyError, Signed, SigningKey, sign_package};
use time::OffsetDateTime;

use crate::error::DevkitError;

/// The most that is read of the file of a key.
const LONGEST_KEY: u64 = 64 << 10;

/// A pair of keys that was made.
#[derive(Clone, Debug)]
pub struct KeyFiles {
    /// The file with the private key, which only its owner can read.
    pub private: PathBuf,
    /// The file with the public key: the name of the other, with `.pub` behind it.
    pub public: PathBuf,
    /// The id of the key in signatures.
    pub id: Digest,
    /// The public key, in PEM.
    pub public_pem: String,
}

/// Makes a pair of keys.
///
/// # Errors
/// One of the files is there already, or cannot be written. Then neither is left behind.
pub fn make_key(private: &Path) -> Result<KeyFiles, DevkitError> {
    let mut public = OsString::from(private.as_os_str());
    public.push(".pub");
    let public = PathBuf::from(public);
    let unusable = |source| DevkitError::Key { path: private.to_owned(), source };
    let key = SigningKey::generate().map_err(unusable)?;
    let public_pem = key.public().to_pem();
    if fs::symlink_metadata(&public).is_ok() {
        return Err(DevkitError::KeyExists { path: public });
    }
    create(private, 0o600, key.to_pem().map_err(unusable)?.as_bytes())?;
    if let Err(error) = create(&public, 0o644, public_pem.as_bytes()) {
        // It is not known to anybody yet.
        let _ = fs::remove_file(private);
        return Err(error);
    }
    Ok(KeyFiles { private: private.to_owned(), public, id: key.public().id(), public_pem })
}

/// Signs a package, a folder or a `.tar.gz`.
///
/// # Errors
/// The package cannot be signed.
pub fn sign(package: &Path, key: &SigningKey) -> Result<Signed, DevkitError> {
    Ok(sign_package(package, key, OffsetDateTime::now_utc())?)
}

/// Reads the private key in a file.
///
/// # Errors
/// The file cannot be read, or holds no such key.
pub fn read_key(path: &Path) -> Result<SigningKey, DevkitError> {
    // As long as it can get from the beginning: a buffer that grows would leave copies of the key behind.
    let mut text = zeroize::Zeroizing::new(String::with_capacity(4096));
    let file = File::open(path).map_err(DevkitError::io("read", path))?;
    match file.take(LONGEST_KEY).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let source = KeyError::NoPem { wanted: "PRIVATE KEY" };
            return Err(DevkitError::Key { path: path.to_owned(), source });
        }
        Err(error) => return Err(DevkitError::io("read", path)(error)),
    }
    SigningKey::from_pem(&text).map_err(|source| DevkitError::Key { path: path.to_owned(), source })
}

/// Writes a file that is not there yet.
fn create(path: &Path, mode: u32, content: &[u8]) -> Result<(), DevkitError> {
    let file = File::options().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => DevkitError::KeyExists { path: path.to_owned() },
        _ => DevkitError::io("write", path)(error),
    })?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a key is none.
        let _ = fs::remove_file(path);
        DevkitError::io("write", path)(error)
    })
}
