//! One key.

use std::fmt;

use outrigger_engine::vault::VaultError;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Bytes of a key.
const LENGTH: usize = 32;

/// A key of 32 bytes. Never shown; forgotten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretKey(Zeroizing<[u8; LENGTH]>);

impl SecretKey {
    pub(super) fn random() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        getrandom::fill(&mut *bytes)
            .map_err(|error| VaultError::Unusable(format!("there is no randomness: {error}")))?;
        Ok(Self(bytes))
    }

    /// A key as it is written: 32 bytes in hexadecimal or in base64. None for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let decoded = match text.len() {
            64 => hex::decode(text).ok()?,
            43 => base64_simd::STANDARD_NO_PAD.decode_to_vec(text).ok()?,
            _ => base64_simd::STANDARD.decode_to_vec(text).ok()?,
        };
        let decoded = Zeroizing::new(decoded);
        let mut bytes = Zeroizing::new([0; LENGTH]);
        if decoded.len() != LENGTH {
            return None;
        }
        bytes.copy_from_slice(&decoded);
        Some(Self(bytes))
    }

    /// The key as it is written.
    pub(super) fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(*self.0))
    }

    /// Says which key it is, and nothing of what it is.
    pub(super) fn id(&self) -> String {
        let hash = Sha256::new().chain_update(b"outrigger key id\0").chain_update(*self.0).finalize();
        hex::encode(&hash[..8])
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.id())
    }
}
