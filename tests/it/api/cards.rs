//! Card numbers: refused wherever they stand, and kept nowhere.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Api, order_of};
use crate::world::World;

const CARD: &str = "4242424242424242";

/// The number as people and programs write it.
const FORMS: [&str; 6] = [
    CARD,
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "4242.4242.4242.4242",
    "4242\u{a0}4242\u{a0}4242\u{a0}4242",
    "paid with 4242 4242 4242 4242, exp 12/30",
];

/// What of a text, of a log for instance, may not be there: the number's digits, however they are separated.
fn has_the_card(text: &str) -> bool {
    let is_separator = |character: &char| " -.\u{a0}".contains(*character);
    text.chars().filter(|character| !is_separator(character)).collect::<String>().contains(CARD)
}

/// The number, every character of it percent-encoded so many times.
fn encoded(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| text.bytes().map(|byte| format!("%{byte:02X}")).collect())
}

fn bodies() -> Vec<(Value, String)> {
    let mut bodies = Vec::new();
    for form in FORMS {
        for field in ["order_id", "currency", "payment_method", "psp_account_id", "capture", "unknown"] {
            let mut body = order_of("anna", "order-1", 1000);
            body[field] = json!(form);
            bodies.push((body, field.to_owned()));
        }
        let mut body = order_of("anna", "order-1", 1000);
        body["metadata"] = json!({"note": form});
        bodies.push((body, "metadata.note".to_owned()));
        let mut body = order_of("anna", "order-1", 1000);
        body["metadata"] = json!({form: "note"});
        bodies.push((body, "a key of metadata".to_owned()));
        bodies.push((order_of(form, "order-1", 1000), "splits[0].seller".to_owned()));
        let mut body = order_of("anna", "order-1", 1000);
        body["metadata"] = json!({"deep": [{"deeper": ["x", form]}]});
        bodies.push((body, "metadata.deep[0].deeper[1]".to_owned()));
    }
    for field in ["order_id", "amount"] {
        let mut body = order_of("anna", "order-1", 1000);
        body[field] = json!(4_242_424_242_424_242_i64);
        bodies.push((body, field.to_owned()));
    }
    bodies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_is_refused_wherever_it_stands_and_is_in_no_log_and_no_row() {
    let world = World::new(&["--log", "trace"]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let refused = |what: &str, answer: &super::Answer, field: &str| {
        answer.refused_field(what, 422, "card_number_refused", field);
        assert!(!has_the_card(&answer.text), "{what}: {}", answer.text);
    };
    for (number, (body, field)) in bodies().into_iter().enumerate() {
        let answer = api.pay(key, &format!("key-{number}"), &body).await;
        refused(&body.to_string(), &answer, &field);
    }
    let good = order_of("anna", "order-1", 1000);
    for idempotency_key in [CARD, "4242 4242 4242 4242", "\"4242-4242-4242-4242\"", "order 4242424242424242"]
    {
        refused(idempotency_key, &api.pay(key, idempotency_key, &good).await, "Idempotency-Key");
    }
    let escaped = good.to_string().replace("order-1", r"\u0034242424242424242");
    refused("escaped", &api.send(api.to_pay(key, "escaped").body(escaped)).await, "order_id");
    for form in [
        CARD.to_owned(),
        "4242-4242-4242-4242".to_owned(),
        encoded("4242 4242 4242 4242", 1),
        encoded(CARD, 1),
        encoded(CARD, 2),
    ] {
        for path in ["/v1/payments/", "/v1/wallets/", "/v1/webhooks/", "/nowhere/", "/"] {
            refused(path, &api.get(key, &format!("{path}{form}")).await, "path");
        }
        for path in ["/v1/payments?order_id=", "/v1/ledger/transactions?account=seller_pending/", "/healthz?"]
        {
            refused(path, &api.get(key, &format!("{path}{form}")).await, "query");
        }
    }
    refused("plus", &api.get(key, "/v1/payments?order_id=4242+4242+4242+4242").await, "query");
    // where a number is no part of the request, it is not looked at and not logged either
    let id = api.request(Method::GET, "/v1/payments").bearer_auth(key).header("x-request-id", CARD);
    let answer = api.send(id.header("user-agent", CARD)).await;
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("x-request-id"), Some(CARD));

    // an ordinary one, so that the log has something to say
    assert_eq!(api.pay(key, "good", &good).await.status, 201);
    assert_eq!(world.count("select count(*) from payment").await, 1);
    assert_eq!(world.count("select count(*) from idempotency_key").await, 1);
    let log = std::fs::read_to_string(world.stage.installation.log()).unwrap();
    assert!(log.lines().filter(|line| line.contains("answered")).count() > 100, "{log}");
    let found: Vec<_> = log.lines().filter(|line| has_the_card(line)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_no_card_s_pass() {
    let world = World::new(&[]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    for (number, text) in [
        "1763800000000",                        // milliseconds
        "1763800000000000",                     // microseconds
        "20261122123456789",                    // a day and a number
        "4242424242424241",                     // does not pass Luhn
        "9876543210987654",                     // nobody's range
        "1234-5678-9012-3452",                  // passes Luhn, nobody's range
        "424242424242424242424242",             // too long
        "+49 151 12345679",                     // a telephone
        "0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11", // a UUID
    ]
    .into_iter()
    .enumerate()
    {
        let mut order = order_of("anna", text, 1000);
        order["metadata"] = json!({"created_ms": text, text: "note"});
        let told = api.pay(key, &format!("{number} {text}"), &order).await;
        assert_eq!(told.status, 201, "{text}: {}", told.text);
        let found = api.get(key, &format!("/v1/payments?order_id={}", encoded(text, 1))).await.json();
        assert_eq!(found["data"][0]["order_id"], text);
    }
    let mut order = order_of("1763800000000", "as a seller", 1000);
    order["metadata"] = json!({"at": "1763800000000.25"});
    assert_eq!(api.pay(key, "seller", &order).await.status, 201);
    assert_eq!(api.get(key, "/v1/wallets/1763800000000").await.status, 200);
}
