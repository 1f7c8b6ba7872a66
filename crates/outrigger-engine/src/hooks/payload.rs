//! The payload of a hook. It is shared and measured once, because copying or writing a large one takes milliseconds.
//! For the same reason, a large one is freed in the pool for long computations.

use std::ops::Deref;
use std::sync::Arc;

use outrigger_compute::blocking;
use serde_json::Value as Json;

use super::schema::{json_length, json_length_within};
use crate::call::Caller;
use crate::error::Failure;

/// Payloads of more JSON text than this, in bytes, are large.
const LARGE: usize = 64 << 10;

/// A payload. All clones are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload(Arc<Measured>);

#[derive(Debug, Default)]
struct Measured {
    json: Json,
    length: usize,
}

impl Payload {
    /// A payload that a caller sends, which may have any size. A large one is measured in the pool for long computations,
    /// in the turn of the caller.
    ///
    /// # Errors
    /// The computation panicked.
    pub async fn of(caller: &Caller, json: Json) -> Result<Self, Failure> {
        match json_length_within(&json, LARGE) {
            Some(length) => Ok(Self(Arc::new(Measured { json, length }))),
            None => Ok(blocking(&caller.owner(), move || Self::from(json)).await?),
        }
    }

    /// Its size as JSON text, in bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.length
    }

    pub(crate) fn is_large(&self) -> bool {
        self.length() > LARGE
    }

    /// The payload, copied if others share it.
    #[must_use]
    pub fn into_json(self) -> Json {
        match Arc::try_unwrap(self.0) {
            Ok(mut measured) => {
                measured.length = 0;
                measured.json.take()
            }
            Err(shared) => shared.json.clone(),
        }
    }
}

impl From<Json> for Payload {
    fn from(json: Json) -> Self {
        let length = json_length(&json);
        Self(Arc::new(Measured { json, length }))
    }
}

impl Deref for Payload {
    type Target = Json;

    fn deref(&self) -> &Json {
        &self.0.json
    }
}

impl PartialEq for Measured {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.json == other.json
    }
}

/// Also lets an `Arc` compare pointers first.
impl Eq for Measured {}

impl Drop for Measured {
    fn drop(&mut self) {
        if self.length > LARGE {
            outrigger_compute::discard(self.json.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn s19_a_payload_from_outside_is_measured_whatever_its_size() {
        for length in [0, LARGE - 2, LARGE - 1, 10 * LARGE] {
            let json = Json::from("x".repeat(length));
            let payload = Payload::of(&Caller::Local, json.clone()).await.expect("it is measured");
            assert_eq!((payload.length(), payload), (length + 2, Payload::from(json)));
        }
    }

    #[test]
    fn s02_a_payload_is_shared_and_measured_once() {
        let payload = Payload::from(json!({"text": "x".repeat(LARGE)}));
        assert_eq!((payload.length(), payload.is_large()), (LARGE + 11, true));
        let shared = payload.clone();
        assert!(Arc::ptr_eq(&payload.0, &shared.0));
        assert_eq!(payload.into_json(), *shared);
        assert_eq!(shared.into_json()["text"].as_str().map(str::len), Some(LARGE));
    }
}
