//! Ed25519 keys, in the files that OpenSSL and others make and read: PKCS#8 and SubjectPublicKeyInfo, in PEM (RFC 8410).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64_simd::STANDARD;
use outrigger_contract::Digest;
use zeroize::Zeroizing;

/// The prefix of the 32 bytes of a key in its SubjectPublicKeyInfo, constant for Ed25519.
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";

/// A key that signatures are checked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads a public key in PEM.
    ///
    /// # Errors
    /// It is something else, such as a private key or one that is not of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, PUBLIC)?;
        let key = der.strip_prefix(&PUBLIC_HEAD).ok_or(KeyError::NotEd25519)?;
        let key: [u8; 32] = key.try_into().map_err(|_| KeyError::NotEd25519)?;
        Ok(Self(key))
    }

    #[must_use]
    pub fn to_pem(self) -> String {
        encode(&self.der(), PUBLIC).to_string()
    }

    /// The id of the key in signatures: the SHA-256 of its SubjectPublicKeyInfo in DER, all of it.
    #[must_use]
    pub fn id(self) -> Digest {
        Digest::of(&self.der())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        [&PUBLIC_HEAD[..], &self.0].concat()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// A key that packages are signed with. Its `Debug` shows the public half alone.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Makes a key that nobody else has.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| KeyError::Failed)
    }

    /// Reads a private key in PEM.
    ///
    /// # Errors
    /// It is something else, such as a public key, one behind a password, or one that is not of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = decode(text, PRIVATE)?;
        Ed25519KeyPair::from_pkcs8(&der).map(Self).map_err(|_| KeyError::NotEd25519)
    }

    /// The private key in PEM.
    ///
    /// # Errors
    /// The cryptographic library refuses, which it has no reason to.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let document = self.0.to_pkcs8v1().map_err(|_| KeyError::Failed)?;
        Ok(encode(document.as_ref(), PRIVATE))
    }

    #[must_use]
    pub fn public(&self) -> PublicKey {
        let bytes: &[u8] = self.0.public_key().as_ref();
        PublicKey(bytes.try_into().expect("a public key of Ed25519 has 32 bytes"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.0.try_sign(message).map_err(|_| KeyError::Failed)?;
        let bytes: &[u8] = signature.as_ref();
        Ok(bytes.to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the lines `-----BEGIN {wanted}-----` and `-----END {wanted}-----` are missing")]
    NoPem { wanted: &'static str },
    #[error("found a `{found}`, expected a `{wanted}`")]
    Another { found: String, wanted: &'static str },
    #[error("the text between the first and the last line of the key is not base64")]
    NotBase64,
    #[error("it is not an Ed25519 key")]
    NotEd25519,
    #[error("the cryptographic library failed")]
    Failed,
}

impl KeyError {
    /// A hint for the next step.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Another { found, wanted: PUBLIC } if found == PRIVATE => {
                "never share a private key; `openssl pkey -in KEY -pubout` prints its public key"
            }
            Self::Another { found, .. } if found == "ENCRYPTED PRIVATE KEY" => {
                "a key behind a password cannot be asked for it here; `openssl pkey -in KEY -out OTHER` takes it off"
            }
            Self::Failed => "try again; if that does not help, report it",
            _ => "create a key pair with `outrigger dev keygen FILE` or `openssl genpkey -algorithm ed25519`",
        }
    }
}

/// The contents of a PEM block with this label. Text around it is ignored, as in RFC 7468.
fn decode(text: &str, wanted: &'static str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (begin, end) = (format!("-----BEGIN {wanted}-----"), format!("-----END {wanted}-----"));
    let Some((_, rest)) = text.split_once(&begin) else {
        let label = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----"));
        return Err(match label {
            Some((found, _)) if found.len() <= 40 => KeyError::Another { found: found.to_owned(), wanted },
            _ => KeyError::NoPem { wanted },
        });
    };
    let (body, _) = rest.split_once(&end).ok_or(KeyError::NoPem { wanted })?;
    // As long as it can get from the beginning: a text that grows leaves copies behind.
    let mut plain = Zeroizing::new(String::with_capacity(body.len()));
    body.split_ascii_whitespace().for_each(|line| plain.push_str(line));
    STANDARD.decode_to_vec(plain.as_bytes()).map(Zeroizing::new).map_err(|_| KeyError::NotBase64)
}

/// A block of PEM. A key of Ed25519 fits on one line of it.
fn encode(der: &[u8], label: &str) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode_to_string(der));
    Zeroizing::new(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", *body))
}
