//! What became of an operation, when its own answer cannot be had.

use super::server::{Reply, ScriptedPsp};
use super::*;

fn saved_500() -> Reply {
    Reply::json(500, &error("api_error", "", None)).with("Idempotent-Replayed", "true")
}

#[tokio::test]
async fn a_saved_500_is_looked_up_instead_of_resent() {
    let psp = ScriptedPsp::answering([
        Reply::json(500, &error("api_error", "", None)),
        saved_500(),
        Reply::json(200, &found(&[intent("requires_confirmation")])),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_charged(&exchange);
    assert_eq!(
        psp.calls(),
        [CREATE, CREATE, SEARCH, RETRIEVE],
        "a search is old news: the object itself counts"
    );
    let query = psp.requests()[2].query();
    let about = format!("metadata['payonce_operation']:'{}'", operation_id());
    assert_eq!(query[0], ("query".to_owned(), about));
    assert_eq!(
        steps(&exchange)[2..],
        [(Action::Search, AttemptOutcome::Unknown), (Action::Retrieve, AttemptOutcome::Succeeded)]
    );
}

#[tokio::test]
async fn what_a_search_does_not_show_stays_unknown() {
    let psp = ScriptedPsp::answering([saved_500(), Reply::json(200, &found(&[]))]).await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_unknown(&exchange, None, &Why::Absent);
    assert_eq!(steps(&exchange)[1], (Action::Search, AttemptOutcome::Absent));

    let mut foreign = intent("succeeded");
    foreign["metadata"] = json!({"payonce_operation": "another"});
    let psp = ScriptedPsp::answering([Reply::json(200, &found(&[foreign]))]).await;
    assert_unknown(&Shop::of(&psp).inquire(None).await, None, &Why::Absent);
}

#[tokio::test]
async fn a_charge_that_was_begun_and_never_tried_is_cancelled() {
    for begun in ["requires_payment_method", "requires_confirmation"] {
        let psp = ScriptedPsp::answering([
            saved_500(),
            Reply::json(200, &found(&[intent(begun)])),
            Reply::json(200, &intent(begun)),
            Reply::json(200, &intent("canceled")),
        ])
        .await;
        assert_declined(&Shop::of(&psp).authorize().await, "psp_error", None);
        assert_eq!(psp.calls(), [CREATE, SEARCH, RETRIEVE, CANCEL]);
    }
}

#[tokio::test]
async fn a_key_used_with_other_parameters_is_a_conflict_unless_its_charge_is_found() {
    let conflict = || Reply::json(400, &error("idempotency_error", "", None));
    let psp = ScriptedPsp::answering([conflict(), Reply::json(200, &found(&[]))]).await;
    assert_unknown(&Shop::of(&psp).authorize().await, None, &Why::KeyConflict);
    let psp = ScriptedPsp::answering([
        conflict(),
        Reply::json(200, &found(&[intent("succeeded")])),
        Reply::json(200, &intent("succeeded")),
    ])
    .await;
    assert_charged(&Shop::of(&psp).authorize().await);
}

#[tokio::test]
async fn an_inquiry_asks_for_the_object_it_knows() {
    for (status, code) in [("canceled", "canceled"), ("requires_confirmation", "psp_error")] {
        let psp = ScriptedPsp::answering([
            Reply::json(200, &intent(status)),
            Reply::json(200, &intent("canceled")),
        ])
        .await;
        assert_declined(&Shop::of(&psp).inquire(Some(&pi_1())).await, code, None);
        assert_eq!(psp.calls()[0], RETRIEVE);
    }
    let psp = ScriptedPsp::answering([Reply::json(200, &intent("succeeded"))]).await;
    assert_charged(&Shop::of(&psp).inquire(Some(&pi_1())).await);
    let psp = ScriptedPsp::answering([Reply::json(200, &intent("requires_action"))]).await;
    let waiting = Shop::of(&psp).inquire(Some(&pi_1())).await;
    assert!(
        matches!(waiting.outcome, Outcome::RequiresAction { .. }),
        "an inquiry does not take the buyer's chance"
    );
}

#[tokio::test]
async fn a_crash_between_decline_and_cancel_keeps_the_reason() {
    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "Lost."});
    let psp = ScriptedPsp::answering([
        Reply::json(200, &found(&[failed.clone()])),
        Reply::json(200, &failed),
        Reply::json(200, &intent("canceled")),
    ])
    .await;
    assert_declined(&Shop::of(&psp).inquire(None).await, "card_declined", Some("lost_card"));
}

#[tokio::test]
async fn several_objects_for_one_operation_are_for_a_person() {
    let mut other = intent("succeeded");
    other["id"] = json!("pi_2");
    let psp = ScriptedPsp::answering([Reply::json(200, &found(&[intent("succeeded"), other]))]).await;
    let why = Why::Mismatch("several objects: pi_1, pi_2".to_owned());
    assert_unknown(&Shop::of(&psp).inquire(None).await, None, &why);
}

#[tokio::test]
async fn an_inquiry_never_says_that_nothing_was_sent() {
    for (reply, why) in [
        (Reply::Nothing, Why::NoAnswer),
        (Reply::text(200, "garbage"), Why::Unreadable),
        (Reply::json(401, &error("invalid_request_error", "", None)), Why::Refused),
        (Reply::json(404, &error("invalid_request_error", "resource_missing", None)), Why::Absent),
        (Reply::json(429, &error("invalid_request_error", "rate_limit", None)), Why::Busy),
        (Reply::json(500, &error("api_error", "", None)), Why::ServerError),
    ] {
        let psp = ScriptedPsp::start(move |_| reply.clone()).await;
        let shop = Shop::of(&psp).hasty();
        assert_unknown(&shop.inquire(Some(&pi_1())).await, Some("pi_1"), &why);
    }
    let nobody = Shop::at("http://127.0.0.1:1").hasty();
    assert_unknown(&nobody.inquire(Some(&pi_1())).await, Some("pi_1"), &Why::NoAnswer);
    assert_unknown(&nobody.inquire(None).await, None, &Why::NoAnswer);
    assert_unknown(&nobody.cancel(None).await, None, &Why::NoAnswer);
    // a PSP without search has not said that there is nothing
    let psp = ScriptedPsp::answering([Reply::text(404, "no such page")]).await;
    let shop = Shop::of(&psp).hasty();
    let exchange = shop.inquire(None).await;
    assert!(matches!(&exchange.outcome, Outcome::Unknown { why, .. } if *why != Why::Absent), "{exchange:?}");
}
