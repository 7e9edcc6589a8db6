//! `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=…]`: HMAC-SHA256 over `t.body` under the whole secret.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use time::OffsetDateTime;

use crate::psp::SignatureError;

/// The header that carries it.
pub(in crate::psp) const SIGNATURE_HEADER: &str = "stripe-signature";

/// How far the signature's time may be from ours, either way, in seconds.
const TOLERANCE_S: u64 = 300;
/// The longest header, and the most signatures in it, that are looked at.
const LONGEST: usize = 1024;
const MOST_SIGNATURES: usize = 8;

/// Whether one of `secrets` signed exactly `raw_body` within the window around `now`.
pub(in crate::psp) fn verify(
    secrets: &[SecretString],
    header: &str,
    raw_body: &[u8],
    now: OffsetDateTime,
) -> Result<(), SignatureError> {
    let signature = Signature::parse(header).ok_or(SignatureError::Malformed)?;
    if signature.seconds()?.abs_diff(now.unix_timestamp()) > TOLERANCE_S {
        return Err(SignatureError::OutsideWindow);
    }
    for secret in secrets.iter().filter(|secret| !secret.expose_secret().is_empty()) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .map_err(|_| SignatureError::Forged)?;
        mac.update(signature.time.as_bytes());
        mac.update(b".");
        mac.update(raw_body);
        if signature.tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()) {
            return Ok(());
        }
    }
    Err(SignatureError::Forged)
}

/// The header, taken apart.
struct Signature<'a> {
    /// As written: what was signed.
    time: &'a str,
    tags: Vec<[u8; 32]>,
}

impl<'a> Signature<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        if header.len() > LONGEST {
            return None;
        }
        let mut time = None;
        let mut tags = Vec::new();
        for part in header.split(',') {
            let (scheme, value) = part.trim().split_once('=')?;
            match scheme {
                // a second time would leave open which one was signed
                "t" if time.is_some() => return None,
                "t" => time = Some(value),
                "v1" if tags.len() == MOST_SIGNATURES => return None,
                "v1" => tags.extend(tag(value)),
                // schemes of other times, such as v0 of test events, prove nothing
                _ => {}
            }
        }
        Some(Self { time: time?, tags })
    }

    /// The time in Unix seconds.
    fn seconds(&self) -> Result<i64, SignatureError> {
        if !self.time.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SignatureError::Malformed);
        }
        self.time.parse().map_err(|_| SignatureError::Malformed)
    }
}

/// A signature's bytes. What is no lower-case hex of the right length matches nothing; another one still may.
fn tag(hexadecimal: &str) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    let lower_case = hexadecimal.bytes().all(|byte| !byte.is_ascii_uppercase());
    (lower_case && hex::decode_to_slice(hexadecimal, &mut tag).is_ok()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_lab_0123456789abcdef";
    const TIME: i64 = 1_700_000_000;
    const BODY: &str = r#"{"id":"evt_lab_1","object":"event","type":"payment_intent.succeeded","created":1700000000,"livemode":false,"data":{"object":{"id":"pi_lab_1","object":"payment_intent","amount":1099,"currency":"eur"}}}"#;
    const TAG: &str = "bc73fc50b9c8ea3994a5589b05d625adf7e3209c053c51c5dbe8670b3f57a585";
    const OTHER_TAG: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn check(secrets: &[&str], header: &str, body: &str, age_s: i64) -> Result<(), SignatureError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|&secret| secret.into()).collect();
        let now = OffsetDateTime::from_unix_timestamp(TIME + age_s).unwrap();
        verify(&secrets, header, body.as_bytes(), now)
    }

    #[test]
    fn stripes_own_libraries_signature_is_accepted() {
        let plain = format!("t={TIME},v1={TAG}");
        assert_eq!(check(&[SECRET], &plain, BODY, 0), Ok(()));
        for header in [
            format!("t={TIME},v1={OTHER_TAG},v1={TAG}"),
            format!("v0={OTHER_TAG},v1={TAG},t={TIME}"),
            format!("t={TIME}, v1=short, v1={TAG}"),
        ] {
            assert_eq!(check(&[SECRET], &header, BODY, 0), Ok(()), "{header}");
        }
        assert_eq!(
            check(&["whsec_new", SECRET], &plain, BODY, 0),
            Ok(()),
            "an older secret that is still live"
        );
    }

    #[test]
    fn a_forged_or_tampered_event_is_refused() {
        let plain = format!("t={TIME},v1={TAG}");
        let tampered = BODY.replace("1099", "1");
        for (secrets, header, body) in [
            (&[SECRET][..], plain.clone(), tampered.as_str()),
            (&["whsec_other"], plain.clone(), BODY),
            (&[], plain.clone(), BODY),
            (&[""], plain, BODY),
            (&[SECRET], format!("t={},v1={TAG}", TIME + 1), BODY),
            (&[SECRET], format!("t={TIME},v1={OTHER_TAG}"), BODY),
            (&[SECRET], format!("t={TIME},v1={}", TAG.to_uppercase()), BODY),
            (&[SECRET], format!("t={TIME},v1={}", &TAG[..62]), BODY),
            (&[SECRET], format!("t={TIME},v0={TAG}"), BODY),
            (&[SECRET], format!("t={TIME}"), BODY),
        ] {
            assert_eq!(check(secrets, &header, body, 0), Err(SignatureError::Forged), "{header}");
        }
    }

    #[test]
    fn the_window_is_three_hundred_seconds_both_ways() {
        let header = format!("t={TIME},v1={TAG}");
        for (age_s, verdict) in [
            (300, Ok(())),
            (301, Err(SignatureError::OutsideWindow)),
            (-300, Ok(())),
            (-301, Err(SignatureError::OutsideWindow)),
        ] {
            assert_eq!(check(&[SECRET], &header, BODY, age_s), verdict, "{age_s} s");
        }
    }

    #[test]
    fn a_header_of_another_form_is_refused_before_anything_is_computed() {
        let many = format!("t={TIME}{}", format!(",v1={OTHER_TAG}").repeat(9));
        let long = format!("t={TIME},v1={TAG},v0={}", "a".repeat(1000));
        let twice = format!("t={TIME},t={TIME},v1={TAG}");
        let signed = format!("t=+{TIME},v1={TAG}");
        let no_time = format!("v1={TAG}");
        for header in [
            "",
            "nonsense",
            "t=,v1=",
            "t=99999999999999999999,v1=00",
            &many,
            &long,
            &twice,
            &signed,
            &no_time,
        ] {
            assert_eq!(check(&[SECRET], header, BODY, 0), Err(SignatureError::Malformed), "{header}");
        }
    }
}
