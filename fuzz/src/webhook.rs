//! Webhooks: the body, and the signature over it.

use hmac::{Hmac, KeyInit, Mac};
use money::{Currency, Money, OperationId};
use payment_service::psp::{
    Account, Aim, CaptureMethod, DisputeEvidence, Expected, Idempotency, Judgement, Outcome, Psp,
    PspReference, Subject, parse_event, verify_webhook,
};
use sha2::Sha256;
use time::OffsetDateTime;
use uuid::Uuid;

const SECRET: &str = "whsec_fuzz";
/// When webhooks come, in Unix seconds.
const NOW: i64 = 1_700_000_000;

/// An event is read alike each time, and ends no operation that it does not name.
pub(crate) fn body(data: &[u8]) {
    let Ok(event) = parse_event(Psp::Stripe, data) else { return };
    assert_eq!(parse_event(Psp::Stripe, data).unwrap(), event);
    assert!(
        (1..=255).contains(&event.event_id.len())
            && event.event_id.bytes().all(|byte| byte.is_ascii_graphic())
    );
    let of = PspReference::parse("pi_of_another").unwrap();
    let amount = Money::new(500, Currency::EUR);
    for aim in [
        Aim::Authorize { capture: CaptureMethod::Automatic },
        Aim::Authorize { capture: CaptureMethod::Manual },
        Aim::Capture { of: of.clone(), captured_before: 0, last: true },
        Aim::Void { of: of.clone(), captured_before: 0 },
        Aim::Refund { of },
        payout(),
    ] {
        let expected = Expected { operation_id: OperationId::from_uuid(Uuid::nil()), amount, aim };
        let judgement = match &event.subject {
            Subject::Payment(evidence) => evidence.judge(&expected),
            Subject::Refund(evidence) => evidence.judge(&expected),
            Subject::Payout(evidence) => evidence.judge(&expected),
            Subject::Dispute(evidence) => return assert_sound(evidence),
            Subject::Other => return,
        };
        assert_names_it(&event.subject, &expected, &judgement);
    }
}

/// A dispute is of some money, and has a name.
fn assert_sound(evidence: &DisputeEvidence) {
    let word = &evidence.word;
    assert!(word.amount.minor > 0 && !word.psp_reference.is_empty(), "{word:?}");
}

fn assert_names_it(subject: &Subject, expected: &Expected, judgement: &Judgement) {
    let (operation_id, reference, page) = match subject {
        Subject::Payment(evidence) => (evidence.operation_id, &evidence.reference, evidence.page.as_ref()),
        Subject::Refund(evidence) => (evidence.operation_id, &evidence.reference, None),
        Subject::Payout(evidence) => (evidence.operation_id, &evidence.reference, None),
        Subject::Dispute(_) | Subject::Other => return,
    };
    let is_named = match &expected.aim {
        Aim::Authorize { .. } | Aim::Refund { .. } | Aim::Payout { .. } => {
            operation_id == Some(expected.operation_id)
        }
        Aim::Capture { of, .. } | Aim::Void { of, .. } => of == reference || Some(of) == page,
    };
    let ends = matches!(
        judgement,
        Judgement::Open { .. } | Judgement::Said(Outcome::Succeeded(_) | Outcome::Declined { .. })
    );
    assert!(is_named || !ends, "{expected:?} was ended by {subject:?}");
    if let Judgement::Said(Outcome::Succeeded(success)) = judgement {
        assert_eq!(success.amount, expected.amount);
    }
}

/// The first line is a header, the rest a body. Only what the secret signed is genuine, and nothing of it may differ.
pub(crate) fn signature(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = (String::from_utf8_lossy(&data[..end]), data.get(end + 1..).unwrap_or_default());
    let account = account();
    let now = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
    if verify_webhook(&account, &header, body, now).is_ok() {
        let time = header.split(',').find_map(|part| part.trim().strip_prefix("t=")).unwrap();
        let genuine = sign(time, body);
        assert!(header.contains(&genuine), "{header:?} was taken for a signature of {body:?}");
    }
    let time = NOW.to_string();
    let genuine = format!("t={time},v1={}", sign(&time, body));
    assert_eq!(verify_webhook(&account, &genuine, body, now), Ok(()));
    for altered in
        [[body, b" "].concat(), body.split_last().map_or_else(|| vec![0], |(_, rest)| rest.to_vec())]
    {
        assert!(verify_webhook(&account, &genuine, &altered, now).is_err());
    }
    assert!(verify_webhook(&account, &genuine, body, now + time::Duration::seconds(301)).is_err());
    let flipped = genuine.replacen("v1=", "v1=0", 1);
    assert!(
        verify_webhook(&account, &flipped[..genuine.len()], body, now).is_err()
            || flipped[..genuine.len()] == genuine
    );
}

fn sign(time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// A payout to the bank account `ba_1`.
pub(crate) fn payout() -> Aim {
    let to = PspReference::parse("ba_1").unwrap();
    Aim::Payout { to, statement_descriptor: None, asked_at: OffsetDateTime::UNIX_EPOCH }
}

/// An account with a secret of its own for each use.
pub(crate) fn account() -> Account {
    Account {
        psp: Psp::Stripe,
        base_url: "http://127.0.0.1:1".to_owned(),
        api_secret: "sk_test_fuzz_fuzz_fuzz".into(),
        webhook_secrets: vec![SECRET.into()],
        idempotency: Idempotency::Native,
    }
}
