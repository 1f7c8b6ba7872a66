//! The keys of secrets. A ring of them: the first seals, all of them open. XChaCha20-Poly1305, with the place of the secret
//! as associated data, so that a sealed value opens nowhere else.
//!
//! Keys come from `OUTRIGGER_SECRET_KEY`, from the file that `OUTRIGGER_SECRET_KEY_FILE` names or from the entry of the kernel's
//! keyring that `OUTRIGGER_SECRET_KEYRING` names, and from `secret.key` in the data directory, which is made when the first
//! secret is set and no other key is given. Only that file is ever written here. Keyrings of desktops are not asked: a
//! server has no session that they would be unlocked for.

mod key;
mod keyring;
mod ring;

use std::collections::BTreeSet;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use outrigger_engine::vault::{Place, Sealed, Vault, VaultError};
use zeroize::Zeroizing;

pub(crate) use ring::{KeyRing, RotationLock};

use key::SecretKey;

/// Bytes of a nonce. Long enough to be drawn at random for every secret.
const NONCE: usize = 24;

impl Vault for KeyRing {
    fn key(&self) -> Result<String, VaultError> {
        Ok(self.sealing()?.id())
    }

    fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Sealed, VaultError> {
        let key = self.sealing()?;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce)
            .map_err(|error| VaultError::Unusable(format!("there is no randomness: {error}")))?;
        let payload = Payload { msg: secret, aad: &associated(place) };
        let sealed = cipher(&key).encrypt(&XNonce::from(nonce), payload);
        let text = sealed.map_err(|_| VaultError::Unusable("it is too large".to_owned()))?;
        Ok(Sealed { key: key.id(), nonce: base64(&nonce), text: base64(&text) })
    }

    fn open(&self, place: Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let keys = self.all()?;
        let missing = || VaultError::KeyMissing { key: sealed.key.clone() };
        let key = keys.iter().find(|key| key.id() == sealed.key).ok_or_else(missing)?;
        let (nonce, text) = (bytes(&sealed.nonce)?, bytes(&sealed.text)?);
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| VaultError::Refused)?;
        let payload = Payload { msg: &text, aad: &associated(place) };
        let opened = cipher(key).decrypt(&XNonce::from(nonce), payload);
        opened.map(Zeroizing::new).map_err(|_| VaultError::Refused)
    }
}

/// A rotation of keys: what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotated {
    /// The id of the key that seals from now on.
    pub(crate) key: String,
    /// The ids of the keys that were dropped, because nothing was sealed with them any more.
    pub(crate) dropped: BTreeSet<String>,
}

fn cipher(key: &SecretKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.bytes().into())
}

/// The place as bytes. Names hold no zero byte, so no two places give the same.
fn associated(place: Place<'_>) -> Vec<u8> {
    match place {
        Place::Configuration { plugin, key } => {
            [b"outrigger configuration 1".as_slice(), plugin.as_str().as_bytes(), key.as_bytes()].join(&0)
        }
        Place::Webhook(name) => [b"outrigger webhook 1".as_slice(), name.as_str().as_bytes()].join(&0),
    }
}

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn bytes(text: &str) -> Result<Vec<u8>, VaultError> {
    base64_simd::STANDARD.decode_to_vec(text).map_err(|_| VaultError::Refused)
}

#[cfg(test)]
mod tests;
