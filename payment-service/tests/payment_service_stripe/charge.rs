//! Resends: same bytes, one charge, and no more of them than the PSP can bear.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use payment_service::psp::{Action, AttemptOutcome, Idempotency, Outcome, Settings, Why};

use super::server::{Reply, ScriptedPsp};
use super::*;

/// A PSP that charges once for a key and loses the first `lost` replies after it did.
async fn charging_psp(mut lost: usize) -> (ScriptedPsp, Arc<Mutex<HashMap<String, u32>>>) {
    let charges = Arc::new(Mutex::new(HashMap::new()));
    let effects = Arc::clone(&charges);
    let psp = ScriptedPsp::start(move |request| {
        let key = request.header("idempotency-key").unwrap().to_owned();
        let mut charges = effects.lock().unwrap();
        let replay = charges.contains_key(&key);
        charges.entry(key).or_insert(1);
        if lost > 0 {
            lost -= 1;
            return Reply::Nothing;
        }
        Reply::json(200, &intent("succeeded")).with("Idempotent-Replayed", replay.to_string())
    })
    .await;
    (psp, charges)
}

#[tokio::test]
async fn a_charge_is_one_request_that_says_all_and_no_more() {
    let psp = ScriptedPsp::answering([Reply::json(200, &intent("succeeded"))]).await;
    let mut shop = Shop::of(&psp);
    shop.order_id = "Bestellung 12/ä&b=c".parse().unwrap();
    let exchange = shop.authorize().await;
    assert_charged(&exchange);

    let [request] = psp.requests().try_into().unwrap();
    let fields = [
        ("amount", "1099"),
        ("currency", "eur"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("capture_method", "automatic"),
        ("payment_method_types[0]", "card"),
        ("metadata[payonce_operation]", "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"),
        ("metadata[order_id]", "Bestellung 12/ä&b=c"),
    ];
    assert_eq!(request.form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(request.call(), CREATE);
    for (name, value) in [
        ("authorization", format!("Bearer {SECRET}").as_str()),
        ("idempotency-key", "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"),
        ("stripe-version", "2026-08-26.dahlia"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", "payonce/1"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }

    let [attempt] = exchange.attempts.as_slice() else { panic!("{exchange:?}") };
    assert_eq!((attempt.action, attempt.outcome), (Action::Authorize, AttemptOutcome::Succeeded));
    assert_eq!((attempt.http_status, attempt.psp_request_id.as_deref()), (Some(200), Some("req_lab")));
    assert_eq!((attempt.psp_reference.as_ref(), attempt.detail.as_deref()), (Some(&pi_1()), None));
    assert!(attempt.answered_at >= attempt.sent_at);
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_byte_for_byte_and_charges_once() {
    let (psp, charges) = charging_psp(3).await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_charged(&exchange);
    let requests = psp.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| request.raw == requests[0].raw), "{requests:#?}");
    assert_eq!(*charges.lock().unwrap(), HashMap::from([(operation_id().to_string(), 1)]));
    assert_eq!(exchange.attempts.len(), 4);
    assert_eq!(steps(&exchange)[0], (Action::Authorize, AttemptOutcome::Unknown));
}

#[tokio::test]
async fn another_process_sends_the_same_bytes_for_the_same_intent() {
    let psp = ScriptedPsp::start(|_| Reply::json(200, &intent("succeeded"))).await;
    for resent in [false, true] {
        let shop = Shop { resent, ..Shop::of(&psp) };
        assert_charged(&shop.authorize().await);
    }
    let [first, second] = psp.requests().try_into().unwrap();
    assert_eq!(first.raw, second.raw);
}

#[tokio::test]
async fn what_stays_doubtful_is_unknown() {
    for (reply, why) in [
        (Reply::Nothing, Why::NoAnswer),
        (Reply::BrokenOff, Why::NoAnswer),
        (Reply::text(200, "<html>garbage</html>"), Why::Unreadable),
        (Reply::text(404, "not here"), Why::Unreadable),
        (Reply::json(500, &error("api_error", "", None)), Why::ServerError),
        (Reply::text(502, "bad gateway"), Why::ServerError),
        (Reply::json(424, &error("api_error", "", None)), Why::ServerError),
        (Reply::json(409, &error("idempotency_error", "idempotency_key_in_use", None)), Why::InFlight),
    ] {
        let answer = reply.clone();
        let psp = ScriptedPsp::start(move |_| answer.clone()).await;
        let shop = Shop::of(&psp).hasty();
        let exchange = shop.authorize().await;
        assert_unknown(&exchange, None, &why);
        let requests = psp.requests();
        assert_eq!(requests.len(), 4, "{reply:?} is worth another try");
        assert!(requests.iter().all(|request| request.raw == requests[0].raw), "{reply:?}");
    }
}

#[tokio::test]
async fn garbage_is_asked_for_again_and_a_key_in_flight_is_waited_for() {
    let psp = ScriptedPsp::answering([
        Reply::text(200, "{\"id\":"),
        Reply::json(409, &error("idempotency_error", "idempotency_key_in_use", None)),
        Reply::json(503, &error("api_error", "", None)),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    assert_charged(&Shop::of(&psp).authorize().await);
    assert_eq!(psp.calls(), [CREATE; 4]);
}

#[tokio::test]
async fn a_throttled_charge_waits_as_long_as_it_is_told() {
    let psp = ScriptedPsp::answering([
        Reply::json(429, &error("invalid_request_error", "rate_limit", None)).with("Retry-After", "1"),
        Reply::json(429, &error("invalid_request_error", "lock_timeout", None)),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_charged(&exchange);
    let [first, second, _] = exchange.attempts.as_slice() else { panic!("{exchange:?}") };
    assert!(second.sent_at - first.answered_at >= Duration::from_secs(1));
    assert_eq!((first.outcome, second.outcome), (AttemptOutcome::NotSent, AttemptOutcome::NotSent));
}

#[tokio::test]
async fn a_throttled_charge_that_cannot_wait_was_never_sent() {
    let throttled = || Reply::json(429, &error("invalid_request_error", "rate_limit", None));
    let psp = ScriptedPsp::answering([throttled().with("Retry-After", "60")]).await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_eq!((not_sent(&exchange), exchange.attempts.len()), ("psp_busy", 1));

    // unless an earlier try, of this call or of another, may have been executed
    let psp = ScriptedPsp::answering([Reply::Nothing, throttled().with("Retry-After", "60")]).await;
    assert_unknown(&Shop::of(&psp).authorize().await, None, &Why::NoAnswer);
    let psp = ScriptedPsp::answering([throttled().with("Retry-After", "60")]).await;
    let resent = Shop { resent: true, ..Shop::of(&psp) };
    assert_unknown(&resent.authorize().await, None, &Why::Busy);
}

#[tokio::test]
async fn stripe_s_own_word_on_resending_counts() {
    // never again: what became of it is asked instead
    let psp = ScriptedPsp::answering([
        Reply::json(500, &error("api_error", "", None)).with("Stripe-Should-Retry", "false"),
        Reply::json(200, &found(&[])),
    ])
    .await;
    assert_unknown(&Shop::of(&psp).authorize().await, None, &Why::Absent);
    assert_eq!(psp.calls(), [CREATE, SEARCH]);

    // again, though the status alone would not say so
    let psp = ScriptedPsp::answering([
        Reply::json(400, &error("invalid_request_error", "odd", None)).with("Stripe-Should-Retry", "true"),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    assert_charged(&Shop::of(&psp).authorize().await);
}

#[tokio::test]
async fn an_outage_is_not_amplified() {
    let psp = ScriptedPsp::start(|_| Reply::json(503, &error("api_error", "", None))).await;
    let shop = Shop::of(&psp).with(Settings { resend_burst: 10, resends_per_second: 0, ..settings() });
    for _ in 0..50 {
        assert_unknown(&shop.authorize().await, None, &Why::ServerError);
    }
    let requests = psp.requests().len();
    assert!(
        (60..=70).contains(&requests),
        "50 calls, 10 resends saved up, 10 paid for by the calls: {requests}"
    );
}

#[tokio::test]
async fn a_request_that_is_refused_was_not_executed() {
    let psp =
        ScriptedPsp::answering([Reply::json(400, &error("invalid_request_error", "amount_too_small", None))])
            .await;
    assert_declined(&Shop::of(&psp).authorize().await, "rejected", Some("amount_too_small"));
    let psp =
        ScriptedPsp::answering([Reply::json(404, &error("invalid_request_error", "resource_missing", None))])
            .await;
    assert_declined(&Shop::of(&psp).authorize().await, "rejected", Some("resource_missing"));
}

#[tokio::test]
async fn a_resend_that_is_refused_is_looked_into_unless_it_repeats_a_saved_answer() {
    let refusal = || Reply::json(400, &error("invalid_request_error", "account_invalid", None));
    let psp = ScriptedPsp::answering([
        Reply::Nothing,
        refusal(),
        Reply::json(200, &found(&[intent("succeeded")])),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    assert_charged(&Shop::of(&psp).authorize().await);
    assert_eq!(psp.calls(), [CREATE, CREATE, SEARCH, RETRIEVE]);

    // that nothing is found is no evidence: what is refused now may have been taken before
    let card = || Reply::json(402, &error("card_error", "card_declined", None));
    let missing = || Reply::json(404, &error("invalid_request_error", "resource_missing", None));
    for refusal in [refusal(), card(), missing()] {
        let psp = ScriptedPsp::answering([refusal, Reply::json(200, &found(&[]))]).await;
        let resent = Shop { resent: true, ..Shop::of(&psp) };
        assert_unknown(&resent.authorize().await, None, &Why::Refused);
        assert_eq!(psp.calls(), [CREATE, SEARCH]);
    }

    let psp =
        ScriptedPsp::answering([refusal(), Reply::json(401, &error("invalid_request_error", "", None))])
            .await;
    let resent = Shop { resent: true, ..Shop::of(&psp) };
    assert_unknown(&resent.authorize().await, None, &Why::Refused);

    let psp = ScriptedPsp::answering([Reply::Nothing, refusal().with("Idempotent-Replayed", "true")]).await;
    assert_declined(&Shop::of(&psp).authorize().await, "rejected", Some("account_invalid"));
    assert_eq!(psp.calls(), [CREATE; 2]);
}

#[tokio::test]
async fn refused_credentials_say_nothing_of_an_earlier_try() {
    for status in [401, 403] {
        let refusal = || Reply::json(status, &error("invalid_request_error", "", None));
        let psp = ScriptedPsp::answering([refusal()]).await;
        let exchange = Shop::of(&psp).authorize().await;
        assert_eq!((not_sent(&exchange), exchange.attempts.len()), ("psp_refused_credentials", 1));

        let psp = ScriptedPsp::answering([Reply::Nothing, refusal()]).await;
        assert_unknown(&Shop::of(&psp).authorize().await, None, &Why::NoAnswer);

        let psp = ScriptedPsp::answering([refusal()]).await;
        let resent = Shop { resent: true, ..Shop::of(&psp) };
        assert_unknown(&resent.authorize().await, None, &Why::Refused);
    }
}

#[tokio::test]
async fn a_wrong_amount_is_unknown_and_names_the_object() {
    let mut wrong = intent("succeeded");
    wrong["amount"] = serde_json::json!(1);
    let psp = ScriptedPsp::answering([Reply::json(200, &wrong)]).await;
    let mismatch = Why::Mismatch("0.01 EUR instead of 10.99 EUR".to_owned());
    let exchange = Shop::of(&psp).authorize().await;
    assert_unknown(&exchange, Some("pi_1"), &mismatch);
    assert_eq!(steps(&exchange), [(Action::Authorize, AttemptOutcome::Unknown)]);
}

#[tokio::test]
async fn a_buyer_who_has_to_act_is_told_where() {
    let mut object = intent("requires_action");
    object["next_action"] = serde_json::json!({"redirect_to_url": {"url": "https://bank.example/3ds"}});
    let psp = ScriptedPsp::answering([Reply::json(200, &object)]).await;
    match Shop::of(&psp).authorize().await.outcome {
        Outcome::RequiresAction { reference, redirect_url } => {
            assert_eq!((reference, redirect_url.as_deref()), (pi_1(), Some("https://bank.example/3ds")));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_amount_that_stripe_cannot_charge_is_never_sent() {
    let psp = ScriptedPsp::answering([]).await;
    let shop = Shop::of(&psp);
    let odd = Expected { amount: Money::new(1234, Currency::KWD), ..expected() };
    let errand = Errand { expected: odd, ..shop.errand() };
    let until = Instant::now() + shop.patience;
    let exchange = shop.connectors.send(&shop.account, &errand, false, until).await;
    assert_eq!(not_sent(&exchange), "amount_not_supported");
    assert_eq!((exchange.attempts.len(), psp.calls().len()), (0, 0));
}

#[test]
fn stripe_remembers_keys_for_a_day_less_a_margin() {
    assert_eq!(Psp::Stripe.key_window(), Duration::from_secs(23 * 3600));
}

#[tokio::test]
async fn a_psp_that_forgets_keys_is_never_sent_again_what_it_may_have_done() {
    for idempotency in [Idempotency::Lookup, Idempotency::None] {
        for doubtful in [
            || Reply::Nothing,
            || Reply::json(500, &error("api_error", "", None)),
            || Reply::json(409, &error("idempotency_error", "idempotency_key_in_use", None)),
            || Reply::json(200, &json!({"id": 1})),
        ] {
            let psp = ScriptedPsp::start(move |_| doubtful()).await;
            let shop = Shop { account: Account { idempotency, ..account(&psp.base_url) }, ..Shop::of(&psp) };
            let exchange = shop.authorize().await;
            assert!(matches!(exchange.outcome, Outcome::Unknown { .. }), "{exchange:?}");
            let calls = psp.calls();
            let sent = calls.iter().filter(|call| call.as_str() == CREATE).count();
            assert_eq!(sent, 1, "{idempotency}: {calls:?}");
        }
        let mut throttled = 2;
        let psp = ScriptedPsp::start(move |_| {
            if throttled == 0 {
                return Reply::json(200, &intent("succeeded"));
            }
            throttled -= 1;
            Reply::json(429, &error("invalid_request_error", "rate_limit", None))
        })
        .await;
        let shop = Shop { account: Account { idempotency, ..account(&psp.base_url) }, ..Shop::of(&psp) };
        assert_charged(&shop.authorize().await);
    }
}
