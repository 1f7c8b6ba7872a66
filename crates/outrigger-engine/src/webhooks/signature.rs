//! Signatures by the scheme of Standard Webhooks (<https://www.standardwebhooks.com>): HMAC-SHA256 over the id, the time and
//! the body with dots in between. The secret is shown as `whsec_` and base64.

use aws_lc_rs::hmac;
use base64_simd::STANDARD;

use super::SecretText;

/// The prefix of a secret.
const PREFIX: &str = "whsec_";

/// A new secret of 256 random bits.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate() -> Result<SecretText, getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(SecretText::new(format!("{PREFIX}{}", STANDARD.encode_to_string(bytes.as_slice()))))
}

/// One signature, as it stands in `webhook-signature`. None where the text is no secret.
#[must_use]
pub fn sign(secret: &SecretText, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode_to_vec(secret.reveal().strip_prefix(PREFIX)?).ok()?;
    let signed = [id, &timestamp.to_string(), body].join(".");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), signed.as_bytes());
    Some(format!("v1,{}", STANDARD.encode_to_string(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the reference libraries.
        let secret = SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signature = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(sign(&SecretText::new("nonsense".to_owned()), "a", 1, ""), None);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let [a, b] = [(); 2].map(|()| generate().expect("there is randomness"));
        assert_ne!(a, b);
        assert_eq!(STANDARD.decode_to_vec(&a.reveal()[PREFIX.len()..]).expect("base64").len(), 32);
        assert!(!format!("{a:?}").contains(&a.reveal()[PREFIX.len()..]));
    }
}
