//! Which key opens which route.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::json;
use tokio::task::block_in_place;
use uuid::Uuid;

use super::{Answer, Api, new_key, open_shop, order_of};
use crate::world::{World, payout};

const SCOPES: [&str; 4] = ["payments", "finance_read", "finance_write", "webhooks"];

/// What each route needs; those that need no key are not here.
const NEEDS: [(&str, &str, &str); 29] = [
    ("post", "/v1/payments", "payments"),
    ("get", "/v1/payments", "payments"),
    ("get", "/v1/payments/{payment_id}", "payments"),
    ("get", "/v1/payments/{payment_id}/timeline", "payments"),
    ("get", "/v1/payments/{payment_id}/operations", "payments"),
    ("get", "/v1/payments/{payment_id}/capture", "payments"),
    ("post", "/v1/payments/{payment_id}/capture", "payments"),
    ("get", "/v1/payments/{payment_id}/void", "payments"),
    ("post", "/v1/payments/{payment_id}/void", "payments"),
    ("get", "/v1/payments/{payment_id}/refunds", "payments"),
    ("post", "/v1/payments/{payment_id}/refunds", "payments"),
    ("get", "/v1/operations/{operation_id}", "payments"),
    ("get", "/v1/payouts", "finance_read"),
    ("post", "/v1/payouts", "finance_write"),
    ("get", "/v1/payouts/{payout_id}", "finance_read"),
    ("get", "/v1/reviews", "finance_read"),
    ("get", "/v1/reviews/{operation_id}", "finance_read"),
    ("post", "/v1/reviews/{operation_id}/ask", "finance_write"),
    ("post", "/v1/reviews/{operation_id}/close", "finance_write"),
    ("get", "/v1/wallets/{seller}", "finance_read"),
    ("get", "/v1/wallets/{seller}/entries", "finance_read"),
    ("get", "/v1/breaks", "finance_read"),
    ("get", "/v1/breaks/{break_id}", "finance_read"),
    ("post", "/v1/breaks/{break_id}/acts", "finance_write"),
    ("get", "/v1/disputes", "finance_read"),
    ("get", "/v1/disputes/{dispute_id}", "finance_read"),
    ("get", "/v1/ledger/accounts", "finance_read"),
    ("get", "/v1/ledger/transactions", "finance_read"),
    ("get", "/v1/ledger/trial-balance", "finance_read"),
];

/// Requests for each route in [`NEEDS`], of which none would fail with the right key.
struct Routes {
    payment_id: String,
    operation_id: String,
    dispute_id: String,
    payout_id: String,
    break_id: String,
    key: String,
}

impl Routes {
    async fn of(world: &World, api: &Api) -> Self {
        let key = world.stage.shop.api_key.clone();
        world.fund("bert", 10_000).await;
        let sent = world.stage.client.post("/v1/payouts", "sent", &payout("bert", 1)).await.unwrap();
        let payout_id = sent.json()["payout_id"].as_str().unwrap().to_owned();
        let paid = api.pay(&key, "first", &order_of("anna", "first", 1000)).await.json();
        let payment_id = paid["payment_id"].as_str().unwrap().to_owned();
        let operations = api.get(&key, &format!("/v1/payments/{payment_id}/operations")).await.json();
        let operation_id = operations["data"][0]["operation_id"].as_str().unwrap().to_owned();
        world.stage.send_webhooks().await.unwrap();
        world.disputed(&json!({})).await;
        let disputes = api.get(&key, "/v1/disputes").await.json();
        let dispute_id = disputes["data"][0]["dispute_id"].as_str().unwrap().to_owned();
        let break_id = world.broken().await;
        Self { payment_id, operation_id, dispute_id, payout_id, break_id, key }
    }

    /// A payment that can be captured, let go or given back, as the route needs it.
    async fn to_follow(&self, api: &Api, template: &str) -> String {
        let order = format!("to-follow-{}", Uuid::now_v7());
        let mut body = order_of("anna", &order, 1000);
        if !template.ends_with("/refunds") {
            body["capture"] = json!("manual");
        }
        let paid = api.pay(&self.key, &order, &body).await.json();
        paid["payment_id"].as_str().unwrap().to_owned()
    }

    async fn ask(&self, api: &Api, method: &str, template: &str, authorization: Option<&str>) -> Answer {
        let follows = method == "post" && template.contains("{payment_id}");
        let payment_id = if follows { self.to_follow(api, template).await } else { self.payment_id.clone() };
        let path = template.replace("{payment_id}", &payment_id).replace("{seller}", "anna");
        let path =
            path.replace("{operation_id}", &self.operation_id).replace("{dispute_id}", &self.dispute_id);
        let path = path.replace("{payout_id}", &self.payout_id).replace("{break_id}", &self.break_id);
        let query = if template.ends_with("/entries") { "?currency=EUR" } else { "" };
        let mut request = match method {
            "post" if template.ends_with("/close") => api
                .request(Method::POST, &path)
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(&json!({"outcome": "failed", "reason": "a test"})),
            "post" if template.ends_with("/acts") => api
                .request(Method::POST, &path)
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(&json!({"act": "comment", "note": "a test"})),
            "post" if template == "/v1/payouts" => api
                .request(Method::POST, &path)
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(&payout("bert", 1)),
            "post" if follows => api
                .request(Method::POST, &path)
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(&json!({})),
            "post" => api
                .request(Method::POST, &path)
                .header("idempotency-key", Uuid::now_v7().to_string())
                .json(&order_of("anna", &Uuid::now_v7().to_string(), 1000)),
            _ => api.request(Method::GET, &format!("{path}{query}")),
        };
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        api.send(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_opens_to_the_scope_that_it_needs_and_to_no_other() {
    let world = World::new(&[]);
    let (api, shop) = (Api::of(&world).await, &world.stage.shop);
    let routes = Routes::of(&world, &api).await;
    let described = api.description.operations().filter(|(.., operation)| {
        operation["security"]
            .as_array()
            .is_some_and(|needs| needs.iter().all(|need| need.get("api_key").is_some()))
    });
    let mut described: Vec<_> =
        described.map(|(method, path, operation)| (method, path, operation["security"].clone())).collect();
    let mut known: Vec<_> =
        NEEDS.iter().map(|(method, path, scope)| (*method, *path, json!([{"api_key": [scope]}]))).collect();
    described.sort_by_key(|(method, path, _)| (*path, *method));
    known.sort_by_key(|(method, path, _)| (*path, *method));
    assert_eq!(described, known);
    for scope in SCOPES {
        let others: Vec<_> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        let (_, only) = new_key(&world, shop, &format!("only {scope}"), scope, &[]);
        let (_, all_but) = new_key(&world, shop, &format!("all but {scope}"), &others.join(","), &[]);
        for (method, path, needed) in NEEDS {
            let what = format!("{method} {path} with {scope}");
            for (key, may) in [(&only, scope == needed), (&all_but, scope != needed)] {
                let answer = routes.ask(&api, method, path, Some(&format!("Bearer {key}"))).await;
                if may && method == "post" && path.starts_with("/v1/reviews/") {
                    answer.refused(&what, 409, "not_in_review");
                } else if may {
                    assert!(answer.status < 300, "{what}: {}", answer.text);
                } else {
                    answer.refused(&what, 403, "scope_missing");
                    assert_eq!(answer.problem()["scope"], needed, "{what}");
                }
            }
        }
    }
    // one by the key with the scope alone, and one by each that lacks another
    let paid =
        "select count(*) from payment where order_id not like 'to-follow-%' and order_id not like 'funds-%'";
    assert_eq!(world.count(paid).await, 1 + 1 + 3);
    assert_eq!(world.count("select count(*) from payout").await, 1 + 1 + 3);
}

/// The key with some of its bytes replaced: of the merchant's id, the key's id or the secret.
fn forged(key: &str, from: usize, bytes: &[u8]) -> String {
    let mut token = BASE64_URL_SAFE_NO_PAD.decode(key.strip_prefix("sk_test_").unwrap()).unwrap();
    token[from..from + bytes.len()].copy_from_slice(bytes);
    format!("sk_test_{}", BASE64_URL_SAFE_NO_PAD.encode(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_that_is_good_no_route_opens_and_none_says_why() {
    let world = World::new(&[]);
    let (api, shop) = (Api::of(&world).await, &world.stage.shop);
    let routes = Routes::of(&world, &api).await;
    let other = open_shop(&world, "Other");
    let all = SCOPES.join(",");
    let (_, expired) = new_key(&world, shop, "expired", &all, &["--expires-in", "1s"]);
    let (revoked_id, revoked) = new_key(&world, shop, "revoked", &all, &[]);
    let revoke = ["api-key", "revoke", "--merchant", &shop.merchant_id, "--api-key", &revoked_id];
    block_in_place(|| world.stage.installation.command(revoke).run()).unwrap();
    world
        .eventually("the key is expired", async || api.get(&expired, "/v1/payments").await.status == 401)
        .await;
    let key = &shop.api_key;
    let (another, nobody) = (Uuid::parse_str(&other.merchant_id).unwrap(), Uuid::now_v7());
    let bad = [
        None,
        Some(String::new()),
        Some("Bearer".to_owned()),
        Some(format!("Basic {key}")),
        Some(key.clone()),
        Some("Bearer sk_test_x".to_owned()),
        Some(format!("Bearer {key}x")),
        Some(format!("Bearer {}", key.replace("sk_test_", "sk_live_"))),
        Some(format!("Bearer {}", forged(key, 0, another.as_bytes()))),
        Some(format!("Bearer {}", forged(key, 0, nobody.as_bytes()))),
        Some(format!("Bearer {}", forged(key, 16, nobody.as_bytes()))),
        Some(format!("Bearer {}", forged(key, 32, &[0; 24]))),
        Some(format!("Bearer {expired}")),
        Some(format!("Bearer {revoked}")),
    ];
    for (method, path, _) in NEEDS {
        for authorization in &bad {
            let answer = routes.ask(&api, method, path, authorization.as_deref()).await;
            let errors =
                answer.refused(&format!("{method} {path} with {authorization:?}"), 401, "unauthenticated");
            assert!(errors.is_empty());
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            let mut document = answer.problem();
            document.as_object_mut().unwrap().remove("request_id");
            let same = json!({
                "type": "/problems/unauthenticated", "title": "A valid API key is required", "status": 401,
                "detail": "send a valid API key as Authorization: Bearer sk_...", "code": "unauthenticated",
            });
            assert_eq!(document, same, "all are refused with the same words");
        }
    }
    let paid =
        "select count(*) from payment where order_id not like 'to-follow-%' and order_id not like 'funds-%'";
    assert_eq!(world.count(paid).await, 1);
    assert_eq!(
        world.count("select count(*) from operation where kind <> 'authorize'").await,
        1,
        "what was sent before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_use_that_is_revoked_is_soon_refused() {
    let world = World::new(&[]);
    let (api, shop) = (Api::of(&world).await, &world.stage.shop);
    let (id, key) = new_key(&world, shop, "leaked", "payments", &[]);
    assert_eq!(api.get(&key, "/v1/payments").await.status, 200);
    let revoke = ["api-key", "revoke", "--merchant", &shop.merchant_id, "--api-key", &id];
    block_in_place(|| world.stage.installation.command(revoke).run()).unwrap();
    let revoked_at = std::time::Instant::now();
    world.eventually("it is refused", async || api.get(&key, "/v1/payments").await.status == 401).await;
    assert!(revoked_at.elapsed() < std::time::Duration::from_secs(6), "{:?}", revoked_at.elapsed());
    assert_eq!(api.get(&shop.api_key, "/v1/payments").await.status, 200);
}
