//! Payouts: what is sent for one, what its object says, and how it is found.

use payment_service::psp::{Decline, Success};
use time::OffsetDateTime;

use super::server::{Reply, ScriptedPsp};
use super::*;

const PAY_OUT: &str = "POST /v1/payouts";
const LIST: &str = "GET /v1/payouts";
const ASKED_AT: i64 = 1_800_000_000;

fn to_anna() -> Expected {
    Expected {
        operation_id: operation_id(),
        amount: amount(),
        aim: Aim::Payout {
            to: PspReference::parse("ba_1").unwrap(),
            statement_descriptor: Some("SHOP 47".to_owned()),
            asked_at: OffsetDateTime::from_unix_timestamp(ASKED_AT).unwrap(),
        },
    }
}

/// Our payout in this state.
fn payout(status: &str) -> Value {
    json!({
        "id": "po_1", "object": "payout", "amount": 1099, "currency": "eur", "status": status, "destination": "ba_1",
        "automatic": false, "failure_code": null, "failure_message": null,
        "metadata": {"payonce_operation": operation_id().to_string()},
    })
}

/// One that the PSP makes by itself.
fn automatic(id: &str) -> Value {
    json!({
        "id": id, "object": "payout", "amount": 5, "currency": "eur", "status": "paid", "destination": "ba_own",
        "automatic": true, "metadata": {},
    })
}

fn page(payouts: &[Value], has_more: bool) -> Reply {
    Reply::json(200, &json!({"object": "list", "data": payouts, "has_more": has_more}))
}

async fn send(psp: &ScriptedPsp) -> Exchange {
    let shop = Shop::of(psp).hasty();
    let mut errand = shop.errand();
    errand.expected = to_anna();
    shop.connectors.send(&shop.account, &errand, false, Instant::now() + shop.patience).await
}

async fn look_up(psp: &ScriptedPsp, reference: Option<&PspReference>) -> Exchange {
    let shop = Shop::of(psp);
    let inquiry = Inquiry { expected: &to_anna(), reference };
    shop.connectors.inquire(&shop.account, &inquiry, Instant::now() + shop.patience).await
}

#[track_caller]
fn assert_sent(exchange: &Exchange, is_there: bool) {
    match &exchange.outcome {
        Outcome::Succeeded(Success { reference, captured, amount: sent, .. }) => {
            assert_eq!((reference.as_str(), *captured, *sent), ("po_1", is_there, amount()));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_payout_is_one_request_that_names_its_operation_in_description_and_metadata() {
    let psp = ScriptedPsp::answering([Reply::json(200, &payout("paid"))]).await;
    assert_sent(&send(&psp).await, true);
    let [request] = psp.requests().try_into().unwrap();
    let id = operation_id().to_string();
    let fields = [
        ("amount", "1099"),
        ("currency", "eur"),
        ("destination", "ba_1"),
        ("method", "standard"),
        ("description", &id),
        ("metadata[payonce_operation]", &id),
        ("statement_descriptor", "SHOP 47"),
    ];
    assert_eq!(request.form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((request.call().as_str(), request.header("idempotency-key")), (PAY_OUT, Some(id.as_str())));
}

#[tokio::test]
async fn what_the_object_says_is_what_became_of_it() {
    for (status, is_there) in [("pending", false), ("in_transit", false), ("paid", true)] {
        let psp = ScriptedPsp::answering([Reply::json(200, &payout(status))]).await;
        assert_sent(&send(&psp).await, is_there);
    }
    let mut failed = payout("failed");
    failed["failure_code"] = json!("account_closed");
    failed["failure_message"] = json!("The bank account has been closed.");
    for (object, code, decline_code) in
        [(failed, "payout_failed", Some("account_closed")), (payout("canceled"), "canceled", None)]
    {
        let psp = ScriptedPsp::answering([Reply::json(200, &object)]).await;
        assert_declined(&send(&psp).await, code, decline_code);
    }
    let psp = ScriptedPsp::start(|_| Reply::json(200, &payout("somewhere"))).await;
    assert_unknown(&send(&psp).await, None, &Why::Unreadable);
}

#[tokio::test]
async fn a_balance_that_is_too_small_declines_and_an_error_without_a_word_does_not() {
    let refused = error("invalid_request_error", "balance_insufficient", None);
    let psp = ScriptedPsp::answering([Reply::json(400, &refused)]).await;
    match &send(&psp).await.outcome {
        Outcome::Declined { decline: Decline { decline_code, .. }, .. } => {
            assert_eq!(decline_code.as_deref(), Some("balance_insufficient"));
        }
        other => panic!("{other:?}"),
    }
    let psp = ScriptedPsp::start(|_| Reply::json(500, &error("api_error", "", None))).await;
    assert_unknown(&send(&psp).await, None, &Why::ServerError);
}

#[tokio::test]
async fn another_s_payout_or_another_amount_or_bank_is_not_ours() {
    for (field, value, reference) in [
        ("amount", json!(1098), Some("po_1")),
        ("destination", json!("ba_2"), Some("po_1")),
        ("metadata", json!({"payonce_operation": "another"}), None),
        ("metadata", json!({}), None),
    ] {
        let mut other = payout("paid");
        other[field] = value;
        let psp = ScriptedPsp::start(move |_| Reply::json(200, &other.clone())).await;
        match send(&psp).await.outcome {
            Outcome::Unknown { reference: found, why: Why::Mismatch(_) } => {
                assert_eq!(found.as_ref().map(PspReference::as_str), reference, "{field}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_payout_is_found_in_the_list_however_long_it_is() {
    let psp = ScriptedPsp::answering([
        page(&[automatic("po_9"), automatic("po_8")], true),
        page(&[automatic("po_7"), payout("in_transit")], true),
        page(&[automatic("po_0")], false),
    ])
    .await;
    assert_sent(&look_up(&psp, None).await, false);
    let requests = psp.requests();
    assert!(requests.iter().all(|request| request.call() == LIST), "{:?}", psp.calls());
    let asked = |number: usize, name: &str| {
        requests[number].query().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    };
    // for as long before and after as the PSP keeps a key, and clocks differ
    let day = 25 * 3600;
    let (first, last) = ((ASKED_AT - day).to_string(), (ASKED_AT + day).to_string());
    for (number, after) in [(0, None), (1, Some("po_8".to_owned())), (2, Some("po_1".to_owned()))] {
        assert_eq!(asked(number, "created[gte]").as_ref(), Some(&first));
        assert_eq!(asked(number, "created[lte]").as_ref(), Some(&last));
        assert_eq!(asked(number, "starting_after"), after);
    }
}

#[tokio::test]
async fn a_payout_that_no_list_shows_may_be_there_all_the_same() {
    let psp = ScriptedPsp::answering([page(&[automatic("po_9")], false)]).await;
    assert_unknown(&look_up(&psp, None).await, None, &Why::Absent);
}

#[tokio::test]
async fn a_payout_of_a_known_name_is_asked_for_by_it() {
    let name = PspReference::parse("po_1").unwrap();
    let psp = ScriptedPsp::answering([Reply::json(200, &payout("paid"))]).await;
    assert_sent(&look_up(&psp, Some(&name)).await, true);
    assert_eq!(psp.calls(), ["GET /v1/payouts/po_1"]);
}
