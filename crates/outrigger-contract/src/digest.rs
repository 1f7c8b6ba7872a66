//! The SHA-256 digest by which packages, compiled code and grants are known. A tag or a version is resolved to a
//! digest once; after that everything speaks of the digest.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::name::{shorten, text_serde};

/// A SHA-256 digest, written `sha256:` and 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

text_serde!(Digest, {
    "type": "string",
    "pattern": "^sha256:[0-9a-fA-F]{64}$",
    "description": "A SHA-256 digest, written `sha256:` and 64 hexadecimal digits.",
});

impl Digest {
    const PREFIX: &'static str = "sha256:";

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere, piece by piece.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits without the prefix: what file names are made of.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The first 12 hexadecimal digits: enough for people, not for machines.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written in one go: an answer to a call has one of these.
        let mut text = [0; Self::PREFIX.len() + 64];
        let (prefix, digits) = text.split_at_mut(Self::PREFIX.len());
        prefix.copy_from_slice(Self::PREFIX.as_bytes());
        hex::encode_to_slice(self.0, digits).map_err(|_| fmt::Error)?;
        formatter.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or_else(|| DigestError::Prefix { value: shorten(text) })?;
        if digits.len() != 64 {
            return Err(DigestError::Length { length: digits.chars().count() });
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| DigestError::Digits { value: shorten(text) })?;
        Ok(Self(bytes))
    }
}

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("`{value}` is not a digest; write `sha256:` and 64 hexadecimal digits")]
    Prefix { value: String },
    #[error("a SHA-256 digest has 64 hexadecimal digits, not {length}")]
    Length { length: usize },
    #[error("`{value}` is not a digest: there is a character that is not a hexadecimal digit")]
    Digits { value: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-2, appendix B.1.
    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_written_and_read_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(digest.short(), "ba7816bf8f01");
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(ABC.replace("ba78", "BA78").parse(), Ok(digest));
        assert_eq!(serde_json::from_value::<Digest>(serde_json::to_value(digest).unwrap()).unwrap(), digest);
    }

    #[test]
    fn what_is_no_digest_is_named() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Digest>().unwrap_err().to_string(), expected);
        };
        check("latest", "`latest` is not a digest; write `sha256:` and 64 hexadecimal digits");
        check("sha256:abc", "a SHA-256 digest has 64 hexadecimal digits, not 3");
        check(
            &ABC.replace("ba78", "xy78"),
            "`sha256:xy7816bf8f01cfea414140de5dae2223b…` is not a digest: there is a character that is not a hexadecimal digit",
        );
    }
}
