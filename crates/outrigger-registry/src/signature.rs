//! Package signatures, and the trusted keys.
//!
//! ```text
//! signature.json        a DSSE envelope (https://github.com/secure-systems-lab/dsse), read by `envelope`
//!   payload             what was signed: name, version, and the digest of every other file, see `statement`
//!   signatures          by Ed25519 keys, see `key`; each names its key by the key's own digest
//! trust.toml            the keys that are trusted, and for which plugins, see `trust`
//! ```
//!
//! [`sign_package`] makes such an envelope, [`check_signature`] says what one is worth. Nothing here decides what may be
//! installed: that is the host's.

mod envelope;
mod key;
mod sign;
mod statement;
mod trust;
mod verify;

pub use envelope::pae;
pub use key::{KeyError, PublicKey, SigningKey};
pub use sign::{SignError, Signed, sign_package};
pub use statement::PAYLOAD_TYPE;
pub use trust::{Trust, TrustError, TrustedKey};
pub use verify::{SignatureState, check_signature};

/// The file in a package that holds its signature. It is the one file that the signature does not cover.
pub const SIGNATURE_FILE: &str = "signature.json";

/// The most that is read of it. The longest list of files that a package can have fits.
const LONGEST_ENVELOPE: u64 = 8 << 20;

#[cfg(test)]
mod tests;
