//! Answers as they are kept on disk: sealed, because an answer may hold what is shown only once, such as a new API key. What
//! opens them is derived from the caller's own key, which is nowhere on this side.

use bytes::Bytes;
use chacha20poly1305::aead::Aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};

use crate::endpoint::answer::{Answered, JSON};
use crate::endpoint::problem;

/// Bytes of a nonce, drawn at random.
const NONCE: usize = 24;
/// A longer answer is not kept.
const LONGEST: usize = 64 << 10;

/// Seals the answer to one request.
pub struct Seal(XChaCha20Poly1305);

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

/// All of an answer but its body.
#[derive(Serialize, Deserialize)]
struct Head {
    status: u16,
    media: String,
    etag: Option<String>,
    location: Option<String>,
    retry_after: Option<u64>,
}

impl Seal {
    pub fn new(key: [u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// None where it is not kept: it goes on without end, is too long, or the system gives no random numbers.
    pub fn close(&self, answered: &Answered) -> Option<Vec<u8>> {
        let Answered { status, media, body, etag, location, retry_after, content_policy: _, live, replayed: _ } =
            answered;
        if live.is_some() || body.len() > LONGEST {
            return None;
        }
        let text =
            |value: &Option<HeaderValue>| value.as_ref().and_then(|value| value.to_str().ok().map(str::to_owned));
        let head = Head {
            status: status.as_u16(),
            media: (*media).to_owned(),
            etag: text(etag),
            location: text(location),
            retry_after: *retry_after,
        };
        // JSON has no line break of its own here: the first one ends it.
        let mut message = serde_json::to_vec(&head).ok()?;
        message.push(b'\n');
        message.extend_from_slice(body);
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let sealed = self.0.encrypt(&XNonce::from(nonce), &*message).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// None where it was sealed otherwise, or was changed.
    pub fn open(&self, sealed: &[u8]) -> Option<Answered> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let message = self.0.decrypt(&XNonce::from(*nonce), sealed).ok()?;
        let end = message.iter().position(|byte| *byte == b'\n')?;
        let Head { status, media, etag, location, retry_after } = serde_json::from_slice(&message[..end]).ok()?;
        let media = [JSON, problem::MEDIA, ""].into_iter().find(|known| *known == media)?;
        let header = |text: Option<String>| text.and_then(|text| HeaderValue::from_str(&text).ok());
        Some(Answered {
            etag: header(etag),
            location: header(location),
            retry_after,
            ..Answered::new(StatusCode::from_u16(status).ok()?, media, Bytes::copy_from_slice(&message[end + 1..]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_and_only_to_who_asked() {
        let seal = |byte: u8| Seal::new([byte; 32]);
        let answered = Answered {
            etag: Some(HeaderValue::from_static("\"7\"")),
            location: Some(HeaderValue::from_static("/api/v1/keys/1")),
            retry_after: Some(3),
            ..Answered::new(StatusCode::CREATED, JSON, "{\"key\":\n\"secret\"}")
        };
        let sealed = seal(1).close(&answered).expect("it is short");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        let opened = seal(1).open(&sealed).expect("it was not changed");
        assert_eq!(format!("{opened:?}"), format!("{answered:?}"));
        assert!(seal(2).open(&sealed).is_none());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(seal(1).open(&changed).is_none(), "{place}");
        }
        let long = Answered::new(StatusCode::OK, JSON, vec![b' '; LONGEST + 1]);
        assert!(seal(1).close(&long).is_none());
    }
}
