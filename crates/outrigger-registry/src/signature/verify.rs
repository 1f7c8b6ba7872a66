//! Verifies the signature of a package.

use std::io::Read as _;
use std::path::Path;

use outrigger_contract::Digest;
use outrigger_contract::manifest::Manifest;
use time::OffsetDateTime;

use super::envelope::Envelope;
use super::statement::Statement;
use super::trust::Trust;
use super::{LONGEST_ENVELOPE, SIGNATURE_FILE};
use crate::file::{self, Links};
use crate::package::{PackageError, PackageFile};

/// The result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureState {
    /// A key that is trusted for this plugin has signed exactly what is there.
    Valid {
        /// The name of the key in `trust.toml`.
        signer: String,
        key: Digest,
        /// By the clock of whoever signed it first.
        signed_at: OffsetDateTime,
    },
    /// There is no signature.
    Unsigned,
    /// There are signatures, none by a key that is trusted for this plugin. Whether they are good cannot be told; what
    /// they say is true of what is there.
    Untrusted {
        /// The ids of the keys in it.
        keys: Vec<String>,
    },
    /// There is a signature, and the package is not what it should be: damaged, changed, or signed with a key that was
    /// revoked.
    Invalid { why: String },
}

/// Says what the signature of a package is worth, whose files lie in a folder and have these digests.
///
/// # Errors
/// The file with the signature cannot be read.
pub fn check_signature(
    root: &Path,
    manifest: &Manifest,
    files: &[PackageFile],
    trust: &Trust,
) -> Result<SignatureState, PackageError> {
    let Some(file) = files.iter().find(|file| file.path.as_str() == SIGNATURE_FILE) else {
        return Ok(SignatureState::Unsigned);
    };
    if file.size > LONGEST_ENVELOPE {
        return Ok(SignatureState::Invalid { why: format!("`{SIGNATURE_FILE}` is longer than 8 MiB") });
    }
    let envelope = read_envelope(root)?;
    if Digest::of(&envelope) != file.sha256 {
        return Ok(SignatureState::Invalid { why: format!("`{SIGNATURE_FILE}` was changed while it was read") });
    }
    Ok(judge(&envelope, manifest, files, trust).unwrap_or_else(|why| SignatureState::Invalid { why }))
}

/// The file with the signature, or as much of it as is read.
pub(super) fn read_envelope(root: &Path) -> Result<Vec<u8>, PackageError> {
    let path = root.join(SIGNATURE_FILE);
    let mut bytes = Vec::new();
    let file = file::open(&path, Links::Refuse).map_err(|error| PackageError::of_file(root, SIGNATURE_FILE, error))?;
    let read = file.take(LONGEST_ENVELOPE).read_to_end(&mut bytes);
    read.map_err(|source| PackageError::from_io(&path, "read", source))?;
    Ok(bytes)
}

/// The signatures are looked at before anything is made of what they are said to sign.
pub(super) fn judge(
    envelope: &[u8],
    manifest: &Manifest,
    files: &[PackageFile],
    trust: &Trust,
) -> Result<SignatureState, String> {
    let envelope = Envelope::read(envelope)?;
    let signed = envelope.signed();
    let (mut good, mut wrong, mut revoked) = (None, None, None);
    for signature in &envelope.signatures {
        let Some(key) = trust.key(&signature.key_id) else { continue };
        if key.revoked {
            revoked = revoked.or(Some(key));
        } else if !key.is_for(&manifest.name) {
            // As good as unknown: whoever has it speaks for other plugins.
        } else if key.public.verifies(&signed, &signature.bytes) {
            good = good.or(Some(key));
        } else {
            wrong = wrong.or(Some(key));
        }
    }
    match (good, wrong, revoked) {
        (None, Some(key), _) => return Err(format!("the key `{}` did not make the signature that names it", key.name)),
        (None, None, Some(key)) => return Err(format!("it is signed with the key `{}`, which was revoked", key.name)),
        _ => {}
    }
    let statement = Statement::read(&envelope.payload)?;
    statement.check(manifest, files)?;
    Ok(match good {
        Some(key) => {
            SignatureState::Valid { signer: key.name.clone(), key: key.public.id(), signed_at: statement.signed_at }
        }
        None => {
            let keys = envelope.signatures.into_iter().map(|signature| signature.key_id).collect();
            SignatureState::Untrusted { keys }
        }
    })
}
