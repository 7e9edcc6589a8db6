//! A decline counts once nothing can be paid any more.

use super::server::{Reply, ScriptedPsp};
use super::*;

fn unexpected(status: &str) -> Reply {
    Reply::json(400, &error("invalid_request_error", "payment_intent_unexpected_state", Some(intent(status))))
}

#[tokio::test]
async fn a_decline_is_cancelled_before_it_counts() {
    let psp =
        ScriptedPsp::answering([Reply::json(402, &declined()), Reply::json(200, &intent("canceled"))]).await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_declined(&exchange, "card_declined", Some("insufficient_funds"));
    assert_eq!(psp.calls(), [CREATE, CANCEL]);
    assert_eq!(psp.requests()[1].header("content-length"), Some("0"));
    assert_eq!(
        steps(&exchange),
        [(Action::Authorize, AttemptOutcome::Declined), (Action::Cancel, AttemptOutcome::Declined)]
    );
    assert_eq!(
        exchange.attempts[0].detail.as_deref(),
        Some("card_error card_declined insufficient_funds: The lab says no.")
    );
}

#[tokio::test]
async fn a_decline_without_an_object_leaves_nothing_to_cancel() {
    let psp = ScriptedPsp::answering([Reply::json(402, &error("card_error", "expired_card", None))]).await;
    assert_declined(&Shop::of(&psp).authorize().await, "card_declined", Some("expired_card"));
    let closed = error("card_error", "card_declined", Some(intent("canceled")));
    let psp = ScriptedPsp::answering([Reply::json(402, &closed)]).await;
    assert_declined(&Shop::of(&psp).authorize().await, "card_declined", Some("card_declined"));
    assert_eq!(psp.calls(), [CREATE]);
}

#[tokio::test]
async fn a_decline_whose_cancel_is_not_confirmed_is_unknown() {
    for reply in [
        Reply::Nothing,
        Reply::text(500, "oops"),
        Reply::text(200, "garbage"),
        Reply::json(401, &error("invalid_request_error", "", None)),
        Reply::json(429, &error("invalid_request_error", "rate_limit", None)),
        Reply::json(200, &intent("requires_payment_method")),
        unexpected("requires_payment_method"),
    ] {
        let mut first = true;
        let answer = reply.clone();
        let psp = ScriptedPsp::start(move |_| {
            if std::mem::take(&mut first) { Reply::json(402, &declined()) } else { answer.clone() }
        })
        .await;
        let shop = Shop::of(&psp).hasty();
        assert_unknown(&shop.authorize().await, Some("pi_1"), &Why::StillOpen);
        assert_eq!(psp.calls()[1], CANCEL, "{reply:?}");
    }
}

#[tokio::test]
async fn a_lost_cancel_is_found_done() {
    let psp =
        ScriptedPsp::answering([Reply::json(402, &declined()), Reply::Nothing, unexpected("canceled")]).await;
    assert_declined(&Shop::of(&psp).authorize().await, "card_declined", Some("insufficient_funds"));
    assert_eq!(psp.calls(), [CREATE, CANCEL, CANCEL]);
}

#[tokio::test]
async fn a_refusal_that_does_not_show_the_object_is_looked_into() {
    let bare = || Reply::json(400, &error("invalid_request_error", "payment_intent_unexpected_state", None));
    for (shown, outcome) in [("canceled", "declined"), ("succeeded", "charged"), ("requires_action", "acts")]
    {
        let psp =
            ScriptedPsp::answering([Reply::json(402, &declined()), bare(), Reply::json(200, &intent(shown))])
                .await;
        let exchange = Shop::of(&psp).authorize().await;
        let found = match &exchange.outcome {
            Outcome::Declined { .. } => "declined",
            Outcome::Succeeded(_) => "charged",
            Outcome::RequiresAction { .. } => "acts",
            other => panic!("{other:?}"),
        };
        assert_eq!((found, psp.calls()), (outcome, [CREATE, CANCEL, RETRIEVE].map(str::to_owned).to_vec()));
    }
}

#[tokio::test]
async fn what_was_paid_before_it_could_be_cancelled_is_a_charge() {
    for (shown, expected) in [("succeeded", None), ("processing", Some(Why::Processing))] {
        let psp = ScriptedPsp::answering([Reply::json(402, &declined()), unexpected(shown)]).await;
        let exchange = Shop::of(&psp).authorize().await;
        match expected {
            None => assert_charged(&exchange),
            Some(why) => assert_unknown(&exchange, Some("pi_1"), &why),
        }
    }
}

#[tokio::test]
async fn an_object_of_another_operation_is_never_cancelled() {
    let mut body = declined();
    body["error"]["payment_intent"]["metadata"] = json!({});
    let psp = ScriptedPsp::answering([Reply::json(402, &body)]).await;
    let mismatch = Why::Mismatch(format!("no operation instead of {}", operation_id()));
    assert_unknown(&Shop::of(&psp).authorize().await, None, &mismatch);
    assert_eq!(psp.calls(), [CREATE]);
}

#[tokio::test]
async fn a_buyer_who_never_came_back_is_cancelled_unless_he_was_quicker() {
    for (now, on_cancel, calls) in [
        ("requires_action", Some(Reply::json(200, &intent("canceled"))), &[RETRIEVE, CANCEL][..]),
        ("requires_action", Some(unexpected("canceled")), &[RETRIEVE, CANCEL]),
        ("canceled", None, &[RETRIEVE]),
    ] {
        let replies = [Some(Reply::json(200, &intent(now))), on_cancel];
        let psp = ScriptedPsp::answering(replies.into_iter().flatten()).await;
        let exchange = Shop::of(&psp).cancel(Some(&pi_1())).await;
        assert_declined(&exchange, "canceled", None);
        assert_eq!(psp.calls(), calls);
    }
    let psp =
        ScriptedPsp::answering([Reply::json(200, &intent("requires_action")), unexpected("succeeded")]).await;
    assert_charged(&Shop::of(&psp).cancel(Some(&pi_1())).await);
}
