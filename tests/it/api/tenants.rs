//! What one merchant can learn of another: nothing, not even that it is there.

use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tests::installation::Shop;
use uuid::Uuid;

use super::{Answer, Api, open_shop, order_of};
use crate::world::{World, payout};

/// A merchant with a payment of 1000 to each of two sellers, one of whom has the same name at both merchants.
struct Tenant {
    shop: Shop,
    payments: Vec<Value>,
    operation_id: String,
}

async fn trade(api: &Api, shop: Shop, own_seller: &str, orders: [&str; 2]) -> Tenant {
    let mut payments = Vec::new();
    // the same keys at both merchants
    for (number, (seller, order)) in ["both", own_seller].into_iter().zip(orders).enumerate() {
        let told = api.pay(&shop.api_key, &format!("key-{number}"), &order_of(seller, order, 1000)).await;
        assert_eq!((told.status, told.header("idempotent-replayed")), (201, None), "{}", told.text);
        payments.push(told.json());
    }
    let id = payments[0]["payment_id"].as_str().unwrap();
    let timeline = api.get(&shop.api_key, &format!("/v1/payments/{id}/timeline")).await.json();
    let operation_id =
        timeline["entries"].as_array().unwrap().iter().find_map(|entry| entry["operation_id"].as_str());
    Tenant { operation_id: operation_id.unwrap().to_owned(), shop, payments }
}

async fn two_tenants() -> (World, Api, Tenant, Tenant) {
    let world = World::new(&[]);
    let api = Api::of(&world).await;
    let (one, other) = (world.stage.shop.clone(), open_shop(&world, "Other"));
    let one = trade(&api, one, "of-one", ["order-1", "order-of-one"]).await;
    let other = trade(&api, other, "of-other", ["order-1", "order-of-other"]).await;
    (world, api, one, other)
}

/// A refusal without what is different in each.
fn without_its_request(answer: &Answer) -> (u16, Value) {
    let mut document = answer.problem();
    document.as_object_mut().unwrap().remove("request_id");
    (answer.status, document)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_s_is_as_if_it_were_not_there() {
    let (_world, api, one, other) = two_tenants().await;
    for (reader, owner, seller) in [(&one, &other, "of-other"), (&other, &one, "of-one")] {
        let key = &reader.shop.api_key;
        let theirs = owner.payments[1]["payment_id"].as_str().unwrap();
        let nobodys = Uuid::now_v7().to_string();
        for (path, unknown) in [
            (format!("/v1/payments/{theirs}"), format!("/v1/payments/{nobodys}")),
            (format!("/v1/payments/{theirs}/timeline"), format!("/v1/payments/{nobodys}/timeline")),
            (format!("/v1/payments/{theirs}/operations"), format!("/v1/payments/{nobodys}/operations")),
            (format!("/v1/payments/{theirs}/refunds"), format!("/v1/payments/{nobodys}/refunds")),
            (format!("/v1/operations/{}", owner.operation_id), format!("/v1/operations/{nobodys}")),
            (format!("/v1/reviews/{}", owner.operation_id), format!("/v1/reviews/{nobodys}")),
            (format!("/v1/wallets/{seller}"), "/v1/wallets/nobody".to_owned()),
            (
                format!("/v1/wallets/{seller}/entries?currency=EUR"),
                "/v1/wallets/nobody/entries?currency=EUR".to_owned(),
            ),
        ] {
            let (found, expected) = (api.get(key, &path).await, api.get(key, &unknown).await);
            found.refused(&path, 404, "not_found");
            assert_eq!(without_its_request(&found), without_its_request(&expected), "{path}");
        }
        for what in ["capture", "void", "refunds"] {
            let path = format!("/v1/payments/{theirs}/{what}");
            let unknown = format!("/v1/payments/{nobodys}/{what}");
            let found = api.follow(key, &path, &format!("theirs-{what}"), &json!({})).await;
            let expected = api.follow(key, &unknown, &format!("nobodys-{what}"), &json!({})).await;
            found.refused(&path, 404, "not_found");
            assert_eq!(without_its_request(&found), without_its_request(&expected), "{path}");
        }
        // a list of what is there for nobody is empty
        let account = &owner.shop.psp_account_id;
        for path in [
            format!("/v1/ledger/transactions?source_id={}", owner.operation_id),
            format!("/v1/ledger/transactions?account=psp_receivable/{account}"),
            format!("/v1/ledger/transactions?account=seller_pending/{seller}"),
            format!("/v1/payments?order_id={}", owner.payments[1]["order_id"].as_str().unwrap()),
        ] {
            assert_eq!(api.get(key, &path).await.json(), json!({"data": [], "next_cursor": null}), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_sums_are_of_one_merchant() {
    let (_world, api, one, other) = two_tenants().await;
    for (reader, stranger, seller) in [(&one, &other, "of-one"), (&other, &one, "of-other")] {
        let key = &reader.shop.api_key;
        let mut listed = api.all(key, "/v1/payments?status=captured", 1).await;
        listed.reverse();
        assert_eq!(listed, reader.payments);
        for path in ["/v1/wallets/both", &format!("/v1/wallets/{seller}")] {
            assert_eq!(api.get(key, path).await.json()["balances"][0]["pending"], 900, "{path}");
        }
        assert_eq!(api.all(key, "/v1/wallets/both/entries?currency=EUR", 1).await.len(), 1);
        assert_eq!(api.all(key, "/v1/ledger/transactions?account=seller_pending/both", 1).await.len(), 1);
        let transactions = api.all(key, "/v1/ledger/transactions?", 1).await;
        assert_eq!(transactions.len(), 2);
        let accounts = api.all(key, "/v1/ledger/accounts?", 2).await;
        let receivable = format!("psp_receivable/{}", reader.shop.psp_account_id);
        let mut codes: Vec<_> = accounts.iter().map(|account| account["code"].as_str().unwrap()).collect();
        codes.sort_unstable();
        let pending = format!("seller_pending/{seller}");
        assert_eq!(codes, ["platform_fees", receivable.as_str(), "seller_pending/both", pending.as_str()]);
        let balance = &api.get(key, "/v1/ledger/trial-balance").await.json()["currencies"][0];
        assert_eq!((&balance["debits"], &balance["credits"]), (&json!(2000), &json!(2000)));
        let everything = json!([listed, transactions, accounts]).to_string();
        let foreign = stranger.payments.iter().map(|payment| payment["payment_id"].as_str().unwrap());
        for foreign in foreign.chain([stranger.shop.psp_account_id.as_str(), stranger.operation_id.as_str()])
        {
            assert!(!everything.contains(foreign), "{foreign} in {everything}");
        }
        // where a stranger's list goes on is a place in one's own, and shows nothing more of it
        let cursor = stranger.payments[0]["payment_id"].as_str().unwrap();
        for payment in api.all(key, &format!("/v1/payments?cursor={cursor}"), 200).await {
            assert!(reader.payments.contains(&payment), "{payment}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_pays_through_another_s_account() {
    let (world, api, one, other) = two_tenants().await;
    let mut order = order_of("anna", "order-2", 500);
    for (id, what) in [(&one.shop.psp_account_id, "another's"), (&Uuid::now_v7().to_string(), "nobody's")] {
        order["psp_account_id"] = json!(id);
        let told = api.pay(&other.shop.api_key, &format!("through {what}"), &order).await;
        told.refused_field(what, 422, "validation_failed", "psp_account_id");
    }
    assert_eq!(world.count("select count(*) from payment").await, 4);
    assert_eq!(world.charges().await.len(), 4);
}

/// An event about a payment of `of`, signed by `by`.
async fn deliver(api: &Api, to: &str, by: &Shop, of: &Tenant) -> Answer {
    use hmac::{Hmac, KeyInit as _, Mac as _};

    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let event = json!({
        "id": "evt_forged", "object": "event", "type": "payment_intent.payment_failed", "created": now,
        "livemode": false, "data": {"object": {
            "id": "pi_forged", "object": "payment_intent", "status": "canceled", "amount": 1000,
            "amount_received": 0, "currency": "eur", "livemode": false,
            "metadata": {"payonce_operation": of.operation_id},
        }},
    });
    let body = event.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(by.webhook_secret.as_bytes()).unwrap();
    mac.update(format!("{now}.{body}").as_bytes());
    let signature = format!("t={now},v1={}", hex::encode(mac.finalize().into_bytes()));
    let request = api.request(Method::POST, &format!("/v1/webhooks/{to}"));
    let request = request.header("content-type", "application/json").header("stripe-signature", signature);
    api.send(request.body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_speaks_for_the_merchant_whose_secret_signed_it_alone() {
    let (world, api, one, other) = two_tenants().await;
    let unknown = Uuid::now_v7().to_string();
    let (to_one, to_nobody) = (one.shop.psp_account_id.as_str(), unknown.as_str());
    let refusals =
        [deliver(&api, to_one, &other.shop, &one).await, deliver(&api, to_nobody, &other.shop, &one).await];
    for refusal in &refusals {
        refusal.refused("signed by another", 401, "webhook_signature_invalid");
    }
    assert_eq!(without_its_request(&refusals[0]), without_its_request(&refusals[1]));
    assert_eq!(world.count("select count(*) from webhook_event").await, 0);

    // a merchant that signs for itself a word about another's operation
    let before = api.get(&one.shop.api_key, "/v1/payments?limit=10").await.json();
    assert_eq!(deliver(&api, &other.shop.psp_account_id, &other.shop, &one).await.status, 200);
    world
        .eventually("the event was looked at", async || {
            world.count("select count(*) from webhook_event where status = 'parked'").await == 1
        })
        .await;
    assert_eq!(api.get(&one.shop.api_key, "/v1/payments?limit=10").await.json(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sends_or_sees_what_is_anothers_to_pay_out() {
    let world = World::new(&[]);
    let (api, one, other) = (Api::of(&world).await, world.stage.shop.clone(), open_shop(&world, "Other"));
    world.fund("anna", 1000).await;
    let send = async |shop: &Shop, key: &str, body: &Value| {
        let request = api.request(Method::POST, "/v1/payouts").bearer_auth(&shop.api_key);
        api.send(request.header("idempotency-key", key).json(body)).await
    };
    let mut body = payout("anna", 600);
    let sent = send(&one, "both", &body).await.json();
    // a seller of the same name, who has nothing
    let nothing = send(&other, "both", &body).await;
    nothing.refused("the other's", 409, "payout_exceeds_available");
    assert_eq!(nothing.problem()["available_amount"], 0);
    body["psp_account_id"] = json!(one.psp_account_id);
    let through = send(&other, "through", &body).await;
    through.refused_field("another's", 422, "validation_failed", "psp_account_id");

    let key = &other.api_key;
    let (theirs, nobodys) = (sent["payout_id"].as_str().unwrap(), Uuid::now_v7());
    let found = api.get(key, &format!("/v1/payouts/{theirs}")).await;
    found.refused(theirs, 404, "not_found");
    let unknown = api.get(key, &format!("/v1/payouts/{nobodys}")).await;
    assert_eq!(without_its_request(&found), without_its_request(&unknown));
    for query in ["", "?seller=anna", &format!("?cursor={nobodys}")] {
        let listed = api.get(key, &format!("/v1/payouts{query}")).await.json();
        assert_eq!(listed, json!({"data": [], "next_cursor": null}), "{query}");
    }
    assert_eq!(api.all(&one.api_key, "/v1/payouts?seller=anna", 1).await, [sent]);
}
