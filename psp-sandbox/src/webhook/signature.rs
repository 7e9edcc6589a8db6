//! `Stripe-Signature`.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The `v1` signature of a raw body: the key is the whole secret as it is shown, prefix included.
pub fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// The header, with one signature for each secret.
pub fn signature_header(secrets: &[String], timestamp: i64, body: &[u8]) -> String {
    let mut header = format!("t={timestamp}");
    for secret in secrets {
        // Writing to a string has no way to fail.
        let _ = write!(header, ",v1={}", sign(secret, timestamp, body));
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_lab_1","object":"event","type":"payment_intent.succeeded","created":1700000000,"livemode":false,"data":{"object":{"id":"pi_lab_1","object":"payment_intent","amount":1099,"currency":"eur"}}}"#;
    const SECRET: &str = "whsec_lab_0123456789abcdef";
    const SIGNED: &str = "bc73fc50b9c8ea3994a5589b05d625adf7e3209c053c51c5dbe8670b3f57a585";

    #[test]
    fn the_signature_is_the_one_the_official_libraries_make() {
        assert_eq!(sign(SECRET, 1_700_000_000, BODY), SIGNED);
    }

    #[test]
    fn each_secret_adds_its_signature() {
        let secrets = [SECRET.to_owned(), "whsec_other".to_owned()];
        let other = sign("whsec_other", 1_700_000_000, BODY);
        assert_eq!(
            signature_header(&secrets, 1_700_000_000, BODY),
            format!("t=1700000000,v1={SIGNED},v1={other}")
        );
    }
}
