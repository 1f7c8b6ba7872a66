//! The envelope that signatures come in: DSSE. Only bytes here; what they say is for [`super::statement`].

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};

use super::statement::PAYLOAD_TYPE;

/// How many signatures are looked at.
const MOST_SIGNATURES: usize = 64;
/// The longest name of a key that is looked at. Ours have 71 characters.
const LONGEST_KEY_ID: usize = 200;

/// The signed content and the keys that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) payload: Vec<u8>,
    pub(super) signatures: Vec<Signature>,
}

/// One signature. What it names as its key is only where to look: nobody has signed that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) key_id: String,
    pub(super) bytes: Vec<u8>,
}

/// The envelope as it is written. Others may have members of their own in it, as DSSE allows.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSignature {
    keyid: String,
    sig: String,
}

impl Envelope {
    /// Reads an envelope, or says what is wrong with it. Nothing of it is quoted: strangers wrote it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let Written { payload_type, payload, signatures } = serde_json::from_slice(bytes).map_err(|error| {
            format!("it is no DSSE envelope that can be read (line {}, column {})", error.line(), error.column())
        })?;
        if payload_type != PAYLOAD_TYPE {
            return Err(format!("its payload does not have the type {PAYLOAD_TYPE}"));
        }
        if signatures.is_empty() || signatures.len() > MOST_SIGNATURES {
            return Err(format!("it has {} signatures; 1 to {MOST_SIGNATURES} are read", signatures.len()));
        }
        let decode = |text: &str, what: &str| {
            STANDARD.decode_to_vec(text.as_bytes()).map_err(|_| format!("{what} in it is not base64"))
        };
        let signatures = signatures.into_iter().map(|WrittenSignature { keyid, sig }| {
            if keyid.is_empty() || keyid.len() > LONGEST_KEY_ID {
                return Err(format!("a key in it has a name that is empty or longer than {LONGEST_KEY_ID} bytes"));
            }
            // A stranger's text, which is shown: on terminals, in errors, in the audit log.
            if !keyid.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err("a key in it has a name with something else in it than letters, digits and signs of ASCII"
                    .to_owned());
            }
            Ok(Signature { key_id: keyid, bytes: decode(&sig, "a signature")? })
        });
        let signatures = signatures.collect::<Result<_, _>>()?;
        Ok(Self { payload: decode(&payload, "the payload")?, signatures })
    }

    /// The same bytes for the same envelope, and none that do not matter: whatever is changed in them shows.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { payload, signatures } = self;
        let written = Written {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: STANDARD.encode_to_string(payload),
            signatures: signatures
                .iter()
                .map(|Signature { key_id, bytes }| WrittenSignature {
                    keyid: key_id.clone(),
                    sig: STANDARD.encode_to_string(bytes),
                })
                .collect(),
        };
        serde_json::to_vec(&written).expect("texts can be written as JSON")
    }

    /// The signed bytes.
    pub(super) fn signed(&self) -> Vec<u8> {
        pae(PAYLOAD_TYPE, &self.payload)
    }
}

/// The bytes that DSSE signs for a payload: they include its type and both lengths, so that nothing can be moved from
/// one to the other.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
