//! The life of payments, and what the wire says of it.

use serde_json::{Value, json};

use crate::support::{Caller, payment, start};

async fn intent(psp: &Caller, id: &str) -> Value {
    psp.get(&format!("/v1/payment_intents/{id}")).await.ok().json()
}

/// The types of all events, oldest first.
async fn event_types(psp: &Caller) -> Vec<String> {
    let events = psp.get("/v1/events?limit=100").await.ok().json();
    let types = events["data"].as_array().expect("events").iter().rev();
    types.map(|event| event["type"].as_str().expect("a type").to_owned()).collect()
}

#[tokio::test]
async fn a_payment_made_in_two_calls_is_the_same_as_in_one() {
    let (_sandbox, psp) = start().await;
    let form = [("amount", "1099"), ("currency", "EUR"), ("payment_method_types[]", "card")];
    let created = psp.post("/v1/payment_intents", "", &form).await.ok();
    assert_eq!(created.text_at("/status"), "requires_payment_method");
    assert_eq!(created.text_at("/currency"), "eur");
    let path = format!("/v1/payment_intents/{}/confirm", created.text_at("/id"));
    let missing = psp.post(&path, "", &[]).await;
    assert_eq!(missing.status, 400);
    assert_eq!(missing.text_at("/error/code"), "payment_intent_unexpected_state");
    let confirmed = psp.post(&path, "", &[("payment_method", "pm_card_visa")]).await.ok();
    assert_eq!(confirmed.text_at("/status"), "succeeded");
    assert!(confirmed.text_at("/latest_charge").starts_with("ch_"));
    let again = psp.post(&path, "", &[]).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.text_at("/error/code"), "payment_intent_unexpected_state");
    assert_eq!(again.text_at("/error/payment_intent/status"), "succeeded");
    let expected = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"];
    assert_eq!(event_types(&psp).await, expected);
}

#[tokio::test]
async fn each_declining_card_declines_in_its_own_way() {
    let (_sandbox, psp) = start().await;
    for (card, code, decline_code) in [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ] {
        let declined = psp.pay(card, card).await;
        assert_eq!(declined.status, 402, "{card}");
        assert_eq!(declined.text_at("/error/type"), "card_error");
        assert_eq!(declined.text_at("/error/code"), code);
        assert_eq!(declined.text_at("/error/decline_code"), decline_code);
        let status = declined.text_at("/error/payment_intent/status");
        assert_eq!(status, "requires_payment_method");
        let charge = declined.text_at("/error/charge");
        let charge = psp.get(&format!("/v1/charges/{charge}")).await.ok();
        assert_eq!(charge.text_at("/status"), "failed");
    }
    assert_eq!(psp.effects().await.len(), 0);
}

#[tokio::test]
async fn a_declined_payment_can_still_be_paid_or_cancelled() {
    let (_sandbox, psp) = start().await;
    let declined = psp.pay("op-1", "pm_card_visa_chargeDeclined").await;
    let id = declined.text_at("/error/payment_intent/id");
    let path = format!("/v1/payment_intents/{id}/confirm");
    let paid = psp.post(&path, "", &[("payment_method", "pm_card_visa")]).await.ok();
    assert_eq!(paid.text_at("/status"), "succeeded");
    assert_eq!(paid.json()["last_payment_error"], Value::Null);

    let declined = psp.pay("op-2", "pm_card_visa_chargeDeclined").await;
    let id = declined.text_at("/error/payment_intent/id");
    let path = format!("/v1/payment_intents/{id}/cancel");
    let cancelled = psp.post(&path, "", &[("cancellation_reason", "abandoned")]).await.ok();
    assert_eq!(cancelled.text_at("/status"), "canceled");
    let late = format!("/v1/payment_intents/{id}/confirm");
    let late = psp.post(&late, "", &[("payment_method", "pm_card_visa")]).await;
    assert_eq!(late.text_at("/error/code"), "payment_intent_unexpected_state");
    let kinds: Vec<_> = psp.effects().await.iter().map(|it| it["kind"].clone()).collect();
    assert_eq!(kinds, ["charge", "cancel"]);
}

#[tokio::test]
async fn reserved_money_is_captured_in_part_or_let_go() {
    let (_sandbox, psp) = start().await;
    let mut form = payment("op-1", "pm_card_visa").to_vec();
    form.push(("capture_method", "manual"));
    let held = psp.post("/v1/payment_intents", "", &form).await.ok();
    assert_eq!(held.text_at("/status"), "requires_capture");
    assert_eq!(held.json()["amount_capturable"], 1099);
    let id = held.text_at("/id");
    let capture = format!("/v1/payment_intents/{id}/capture");
    let much = psp.post(&capture, "", &[("amount_to_capture", "1100")]).await;
    assert_eq!(much.status, 400);
    let captured = psp.post(&capture, "", &[("amount_to_capture", "1000")]).await.ok().json();
    assert_eq!(captured["status"], "succeeded");
    assert_eq!(captured["amount_received"], 1000);
    let refund = psp.post("/v1/refunds", "", &[("payment_intent", &id)]).await.ok();
    assert_eq!(refund.json()["amount"], 1000);

    let held = psp.post("/v1/payment_intents", "", &form).await.ok();
    let id = held.text_at("/id");
    psp.post(&format!("/v1/payment_intents/{id}/cancel"), "", &[]).await.ok();
    let summary = psp.control("GET", "effects/summary", json!({})).await;
    let totals = &summary["totals"];
    assert_eq!(totals["authorization"]["eur"], json!({"count": 2, "amount": 2198}));
    assert_eq!(totals["capture"]["eur"], json!({"count": 1, "amount": 1000}));
    assert_eq!(totals["cancel"]["eur"], json!({"count": 1, "amount": 1099}));
    assert_eq!(totals["refund"]["eur"], json!({"count": 1, "amount": 1000}));
}

#[tokio::test]
async fn a_buyer_authenticates_or_fails_to_on_the_page_they_are_sent_to() {
    let (_sandbox, psp) = start().await;
    for (outcome, status, result) in
        [("complete", "succeeded", "succeeded"), ("fail", "requires_payment_method", "failed")]
    {
        let mut form = payment(outcome, "pm_card_threeDSecure2Required").to_vec();
        form.push(("return_url", "http://shop.example/back?x=1"));
        let waiting = psp.post("/v1/payment_intents", outcome, &form).await.ok();
        assert_eq!(waiting.text_at("/status"), "requires_action");
        let url = waiting.text_at("/next_action/redirect_to_url/url");
        let page = psp.http.get(&url).send().await.expect("a page");
        assert_eq!(page.status().as_u16(), 200);
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.build().expect("a client");
        let back = http.post(&url).form(&[("outcome", outcome)]).send().await.expect("a redirect");
        assert_eq!(back.status().as_u16(), 303);
        let back = back.headers()["location"].to_str().expect("a URL").to_owned();
        assert!(back.starts_with("http://shop.example/back?x=1&payment_intent=pi_"), "{back}");
        assert!(back.ends_with(&format!("&redirect_status={result}")), "{back}");
        let now = intent(&psp, &waiting.text_at("/id")).await;
        assert_eq!(now["status"], status);
        let twice = http.post(&url).form(&[("outcome", outcome)]).send().await.expect("an answer");
        assert_eq!(twice.status().as_u16(), 400);
    }
    assert_eq!(psp.effects().await.len(), 1);
}

#[tokio::test]
async fn an_absent_buyer_cannot_authenticate() {
    let (_sandbox, psp) = start().await;
    for parameter in ["off_session", "error_on_requires_action"] {
        let mut form = payment(parameter, "pm_card_authenticationRequired").to_vec();
        form.push((parameter, "true"));
        let declined = psp.post("/v1/payment_intents", parameter, &form).await;
        assert_eq!(declined.status, 402);
        assert_eq!(declined.text_at("/error/code"), "authentication_required");
    }
}

#[tokio::test]
async fn refunds_never_exceed_what_was_captured() {
    let (_sandbox, psp) = start().await;
    let id = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    let refund = |amount: &'static str| {
        let (psp, id) = (psp.clone(), id.clone());
        async move {
            let form = [
                ("payment_intent", id.as_str()),
                ("amount", amount),
                ("metadata[payonce_operation]", "re-1"),
            ];
            psp.post("/v1/refunds", "", &form).await
        }
    };
    let first = refund("600").await.ok();
    assert_eq!(first.text_at("/status"), "succeeded");
    let second = refund("500").await;
    assert_eq!(second.status, 400);
    assert_eq!(second.text_at("/error/param"), "amount");
    refund("499").await.ok();
    assert_eq!(refund("1").await.text_at("/error/code"), "charge_already_refunded");
    let list = psp.get(&format!("/v1/refunds?payment_intent={id}")).await.ok().json();
    let amounts: Vec<_> = list["data"].as_array().expect("refunds").iter().map(|it| &it["amount"]).collect();
    assert_eq!(amounts, [499, 600]);
    let effects = psp.effects().await;
    assert_eq!(effects.len(), 3);
    assert_eq!(effects[1]["refund_metadata"]["payonce_operation"], "re-1");
    assert_eq!(effects[1]["metadata"]["payonce_operation"], "op-1");

    let refund = first.text_at("/id");
    let failed = psp.control("POST", &format!("refunds/{refund}/fail"), json!({})).await;
    assert_eq!(failed["status"], "failed");
    let charge = psp.get(&format!("/v1/charges/{}", first.text_at("/charge"))).await.ok().json();
    assert_eq!(charge["amount_refunded"], 499);
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let (_sandbox, psp) = start().await;
    for (change, status, code, param) in [
        (("amount", ""), 400, Some("parameter_missing"), "amount"),
        (("amount", "ten"), 400, Some("parameter_invalid_integer"), "amount"),
        (("amount", "49"), 400, Some("amount_too_small"), "amount"),
        (("amount", "100000000"), 400, Some("amount_too_large"), "amount"),
        (("currency", "xyz"), 400, None, "currency"),
        (("currency", ""), 400, Some("parameter_missing"), "currency"),
        (("payment_method", "pm_nothing"), 400, Some("resource_missing"), "payment_method"),
        (("payment_method", ""), 400, Some("parameter_missing"), "payment_method"),
        (("payment_method_types[0]", "cash"), 400, None, "payment_method_types"),
        (("payment_method_types[0]", ""), 400, None, "payment_method_types"),
        (("capture_method", "later"), 400, None, "capture_method"),
        (("amuont", "1"), 400, Some("parameter_unknown"), "amuont"),
    ] {
        let mut form: Vec<_> = payment("op", "pm_card_visa").to_vec();
        form.retain(|(key, _)| *key != change.0);
        form.push(change);
        let refused = psp.post("/v1/payment_intents", "", &form).await;
        assert_eq!(refused.status, status, "{change:?}: {}", refused.text);
        let error = &refused.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{change:?}");
        assert_eq!(error["code"].as_str(), code, "{change:?}");
        assert_eq!(error["param"], param, "{change:?}");
    }
    for path in ["/v1/payment_intents/pi_nothing", "/v1/charges/ch_1", "/v1/events/evt_1", "/v1/payouts/po_1"]
    {
        let missing = psp.get(path).await;
        assert_eq!(missing.status, 404, "{path}");
        assert_eq!(missing.text_at("/error/code"), "resource_missing", "{path}");
    }
    assert_eq!(psp.get("/v1/nonsense").await.status, 404);
}

#[tokio::test]
async fn methods_that_redirect_need_somewhere_to_come_back_to() {
    let (_sandbox, psp) = start().await;
    let mut form = payment("op-1", "pm_card_visa").to_vec();
    form.retain(|(key, _)| *key != "payment_method_types[0]");
    let refused = psp.post("/v1/payment_intents", "", &form).await;
    assert_eq!(refused.text_at("/error/param"), "return_url");
    for extra in
        [("return_url", "http://shop.example"), ("automatic_payment_methods[allow_redirects]", "never")]
    {
        let mut form = form.clone();
        form.push(("automatic_payment_methods[enabled]", "true"));
        form.push(extra);
        psp.post("/v1/payment_intents", "", &form).await.ok();
    }
}

#[tokio::test]
async fn a_live_key_has_an_account_of_its_own_that_says_so() {
    let (_sandbox, psp) = start().await;
    let live = psp.with_secret("sk_live_first");
    assert_eq!(live.pay("op-1", "pm_card_visa").await.ok().json()["livemode"], true);
    assert_eq!(psp.pay("op-1", "pm_card_visa").await.ok().json()["livemode"], false);
    let effects = psp.effects().await;
    assert_ne!(effects[0]["account"], effects[1]["account"]);
}

#[tokio::test]
async fn what_is_configured_is_merged_or_replaced_and_nonsense_is_refused() {
    let (_sandbox, psp) = start().await;
    let patch = json!({"fees": {"currencies": {"eur": {"percent": "2", "fixed_minor": 0}}}});
    let merged = psp.control("PATCH", "config", patch).await;
    assert_eq!(merged["search_lag_ms"], 0);
    psp.pay("op-1", "pm_card_visa").await.ok();
    let moved = psp.get("/v1/balance_transactions").await.ok().json();
    assert_eq!(moved["data"][0]["fee"], 22);
    assert_eq!(moved["data"][0]["net"], 1077);
    let replaced = psp.control("PUT", "config", json!({"settlement_days": 7})).await;
    assert_eq!(replaced["fees"]["currencies"], json!({}));
    let url = format!("{}/_sandbox/config", psp.url);
    let answer = psp.http.put(url).json(&json!({"latency": 3})).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 400);
}
