//! Fingerprints of objects, so that a change can be made conditional.

use std::fmt;

use outrigger_contract::Digest;
use serde::Serialize;

/// The changeable fields of a role, a webhook or a schedule, as one short value. It is computed from the object and not
/// stored: equal objects have the same fingerprint, and background changes, such as a run of a schedule, do not alter
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// A fingerprint that no object has.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self::of(&())
    }

    /// Of what can always be written as JSON: texts, numbers, truth values, and lists of these.
    pub(crate) fn of(seen: &impl Serialize) -> Self {
        Self(Digest::of(&serde_json::to_vec(seen).expect("there is nothing in it that is not JSON")))
    }
}

/// 64 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_has_the_same() {
        assert_eq!(Fingerprint::of(&("a", ["b"])), Fingerprint::of(&("a", ["b"])));
        assert_ne!(Fingerprint::of(&("a", ["b"])), Fingerprint::of(&("a", ["b", "b"])));
        assert_ne!(Fingerprint::of(&(["a"], ["b"])), Fingerprint::of(&(["a", "b"], [""; 0])));
        let text = Fingerprint::of(&"a").to_string();
        assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    }
}
