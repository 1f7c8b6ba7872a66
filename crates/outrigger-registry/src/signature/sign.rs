//! Signing a package: a folder gets a `signature.json`, an archive is written anew with one in it.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outrigger_contract::{Code, Digest, PluginName};
use semver::Version;
use serde::Serialize;
use time::OffsetDateTime;

use super::envelope::{Envelope, Signature};
use super::key::{KeyError, SigningKey};
use super::statement::Statement;
use super::verify::read_envelope;
use super::{LONGEST_ENVELOPE, SIGNATURE_FILE};
use crate::package::{Package, PackageContents, PackageError, PackageFile, PackageLimits, Shape, pack, package_digest};

/// The prefix of temporary files and folders during signing.
const TEMPORARY: &str = ".outrigger-sign-";

/// A package that was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    pub plugin: PluginName,
    pub version: Version,
    /// The digest that the package has with the signature in it.
    pub digest: Digest,
    /// The id of the key in signatures.
    pub key_id: Digest,
    /// How many keys have signed the package by now.
    pub signatures: usize,
    /// When the first of them did.
    #[serde(with = "time::serde::rfc3339")]
    pub signed_at: OffsetDateTime,
}

/// Signs a package in one step: whoever reads it meanwhile finds it as it was, or signed. Where others have signed what is
/// there now, their signatures stay; those of what was there before go.
///
/// # Errors
/// It is not a package, or is a `.zip`; or something cannot be read or written.
pub fn sign_package(path: &Path, key: &SigningKey, at: OffsetDateTime) -> Result<Signed, SignError> {
    let package = Package::open(path)?;
    match package.shape() {
        Shape::Folder => sign_folder(path, key, at),
        Shape::TarGz => sign_archive(&package, key, at),
        Shape::Zip => Err(SignError::Zip { path: path.to_owned() }),
    }
}

fn sign_folder(folder: &Path, key: &SigningKey, at: OffsetDateTime) -> Result<Signed, SignError> {
    let contents = Package::open_within(folder, room_for_signature(folder))?.contents()?;
    let (envelope, statement) = renewed(folder, &contents, key, at)?;
    let bytes = envelope.to_bytes();
    if bytes.len() as u64 > LONGEST_ENVELOPE {
        return Err(SignError::TooLong { path: folder.to_owned() });
    }
    put(folder, &bytes)?;
    let PackageContents { manifest, digest: _, mut files } = contents;
    files.retain(|file| file.path.as_str() != SIGNATURE_FILE);
    let path = SIGNATURE_FILE.parse().expect("it is a path inside a package");
    files.push(PackageFile { path, size: bytes.len() as u64, sha256: Digest::of(&bytes) });
    Ok(Signed {
        plugin: manifest.name,
        version: manifest.version,
        digest: package_digest(&files),
        key_id: key.public().id(),
        signatures: envelope.signatures.len(),
        signed_at: statement.signed_at,
    })
}

/// The limits for packages to sign: the signed package must not be too large to install.
fn room_for_signature(folder: &Path) -> PackageLimits {
    let limits = PackageLimits::default();
    match fs::symlink_metadata(folder.join(SIGNATURE_FILE)) {
        // It takes the place of the one that is there.
        Ok(_) => limits,
        Err(_) => PackageLimits { entries: limits.entries - 1, ..limits },
    }
}

/// Unpacks the archive beside itself, signs what was in it, and puts another archive in its place.
fn sign_archive(package: &Package, key: &SigningKey, at: OffsetDateTime) -> Result<Signed, SignError> {
    let failed = |source: io::Error| SignError::Write { path: package.path().to_owned(), source };
    // A link stays one: what it leads to is signed.
    let path = fs::canonicalize(package.path()).map_err(failed)?;
    let beside = path.parent().unwrap_or(Path::new("/"));
    let workshop = tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(beside).map_err(failed)?;
    let staged = package.stage(workshop.path())?;
    let signed = sign_folder(staged.root(), key, at)?;
    let archive = workshop.path().join("signed.tar.gz");
    pack(staged.root(), &archive)?;
    let permissions = fs::metadata(&path).map_err(failed)?.permissions();
    fs::set_permissions(&archive, permissions).map_err(failed)?;
    fs::File::open(&archive).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&archive, &path).map_err(failed)?;
    Ok(signed)
}

/// The envelope that is there, with one more signature, where it is of what is there; otherwise a new one.
fn renewed(
    folder: &Path,
    contents: &PackageContents,
    key: &SigningKey,
    at: OffsetDateTime,
) -> Result<(Envelope, Statement), SignError> {
    let PackageContents { manifest, digest: _, files } = contents;
    let present = match files.iter().find(|file| file.path.as_str() == SIGNATURE_FILE) {
        Some(file) if file.size <= LONGEST_ENVELOPE => Some(read_envelope(folder)?),
        _ => None,
    };
    let kept = present.and_then(|bytes| {
        let envelope = Envelope::read(&bytes).ok()?;
        let statement = Statement::read(&envelope.payload).ok()?;
        statement.check(manifest, files).ok()?;
        Some((envelope, statement))
    });
    let (mut envelope, statement) = kept.unwrap_or_else(|| {
        let statement = Statement::of(manifest, files, at);
        (Envelope { payload: statement.to_bytes(), signatures: Vec::new() }, statement)
    });
    let key_id = key.public().id().to_string();
    envelope.signatures.retain(|signature| signature.key_id != key_id);
    let bytes = key.sign(&envelope.signed()).map_err(|source| SignError::Key { source })?;
    envelope.signatures.push(Signature { key_id, bytes });
    Ok((envelope, statement))
}

/// Writes the signature elsewhere and moves it to its place. Beside the package where that can be: whoever reads the package
/// meanwhile would find half a signature in it.
fn put(folder: &Path, bytes: &[u8]) -> Result<(), SignError> {
    let path = folder.join(SIGNATURE_FILE);
    let itself = fs::canonicalize(folder).ok();
    if let Some(beside) = itself.as_deref().and_then(Path::parent)
        && put_by_way_of(beside, &path, bytes).is_ok()
    {
        return Ok(());
    }
    // It is another file system, or a folder that is not ours to write to.
    put_by_way_of(folder, &path, bytes).map_err(|source| SignError::Write { path, source })
}

fn put_by_way_of(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
    file.write_all(bytes)?;
    // It is for everybody who may read the other files of the package.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Why a package could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    #[error(transparent)]
    Package(#[from] PackageError),
    #[error("{} is a `.zip`; only folders and `.tar.gz` archives can be signed", path.display())]
    Zip { path: PathBuf },
    #[error("{} has too many files for a signature: the list of them is longer than 8 MiB", path.display())]
    TooLong { path: PathBuf },
    #[error("{} was not written", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the key could not be used")]
    Key { source: KeyError },
}

impl SignError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Package(error) => error.code(),
            Self::Zip { .. } => Code::Unsupported,
            Self::TooLong { .. } => Code::PackageTooLarge,
            Self::Write { .. } => Code::Io,
            Self::Key { .. } => Code::Internal,
        }
    }

    /// A hint for the next step.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Package(error) => return error.hint(),
            Self::Zip { .. } => {
                "sign the folder that it is packed from and pack that, or pack it as `.tar.gz`".to_owned()
            }
            Self::TooLong { .. } => "leave out files that the plugin does not need at run time".to_owned(),
            Self::Write { .. } => return None,
            Self::Key { source } => source.hint().to_owned(),
        })
    }
}
