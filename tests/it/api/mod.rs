//! The API as its callers meet it: over HTTP, at a running service. Whatever is answered here is held against what the
//! service itself says of its answers.

mod bodies;
mod cards;
mod description;
mod keys;
mod load;
mod operations;
mod pages;
mod payment;
mod tenants;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};
use tests::http;
use tests::installation::{NewShop, Shop};
use tokio::task::block_in_place;

use crate::world::World;
use description::Description;

/// A caller without a key of its own.
struct Api {
    http: Client,
    base: String,
    description: Description,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// The body of an answer that went well.
    fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }

    /// The document of a refusal.
    fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text);
        let document: Value = serde_json::from_str(&self.text).expect("JSON");
        assert_eq!(document["status"], self.status, "{document}");
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"), "{document}");
        document
    }

    /// That it is refused so; what the refusal says of the fields, as `field: detail`.
    fn refused(&self, what: &str, status: u16, code: &str) -> Vec<String> {
        assert_eq!(self.status, status, "{what}: {}", self.text);
        let document = self.problem();
        assert_eq!(document["code"].as_str(), Some(code), "{what}: {document}");
        let errors = document["errors"].as_array().cloned().unwrap_or_default();
        let text = |error: &Value, member: &str| error[member].as_str().expect("text").to_owned();
        errors.iter().map(|error| format!("{}: {}", text(error, "field"), text(error, "detail"))).collect()
    }

    /// That it is refused because of this field.
    fn refused_field(&self, what: &str, status: u16, code: &str, field: &str) {
        let errors = self.refused(what, status, code);
        let named = errors.iter().any(|error| {
            error.strip_prefix(field).is_some_and(|rest| rest.starts_with(": ") && rest.len() > 10)
        });
        assert!(named, "{what}: {field} is not named in {errors:?}");
    }
}

impl Api {
    async fn of(world: &World) -> Self {
        let (http, base) =
            (http::client().expect("a client"), format!("http://{}", world.stage.service_address()));
        let response = http.get(format!("{base}/openapi.json")).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        let document = response.json().await.expect("JSON");
        Self { http, base, description: Description::new(document) }
    }

    /// A request; `path` is sent as it stands.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, Url::parse(&format!("{}{path}", self.base)).expect("an address"))
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("a request");
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.http.execute(request).await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, text: response.text().await.expect("a body") };
        self.description.check(&method, &path, &answer);
        answer
    }

    async fn get(&self, key: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, path).bearer_auth(key)).await
    }

    async fn pay(&self, key: &str, idempotency_key: &str, body: &Value) -> Answer {
        self.send(self.to_pay(key, idempotency_key).json(body)).await
    }

    /// A request about a payment, or for a payout.
    async fn follow(&self, key: &str, path: &str, idempotency_key: &str, body: &Value) -> Answer {
        let request = self.request(Method::POST, path).bearer_auth(key);
        self.send(request.header("idempotency-key", idempotency_key).json(body)).await
    }

    /// A request to pay that has no body yet.
    fn to_pay(&self, key: &str, idempotency_key: &str) -> RequestBuilder {
        let request = self.request(Method::POST, "/v1/payments").bearer_auth(key);
        request.header("idempotency-key", idempotency_key).header("content-type", "application/json")
    }

    /// Everything on a list, page by page of `limit`; `path` has a query.
    async fn all(&self, key: &str, path: &str, limit: usize) -> Vec<Value> {
        let (mut found, mut next) = (Vec::new(), format!("{path}&limit={limit}"));
        loop {
            let page = self.get(key, &next).await.json();
            let data = page["data"].as_array().expect("a list");
            assert!(data.len() <= limit, "{next}: {}", data.len());
            found.extend(data.iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return found };
            assert_eq!(data.len(), limit, "{next}: only the last page is not full");
            next = format!("{path}&limit={limit}&cursor={cursor}");
        }
    }
}

/// Another merchant at the same service and PSP. Blocks the thread.
fn open_shop(world: &World, name: &str) -> Shop {
    let psp_url = world.stage.sandbox().expect("a PSP").url();
    block_in_place(|| world.stage.installation.open_shop(NewShop { name, psp_url, idempotency: "native" }))
        .expect("a shop")
}

/// Another key of a merchant: its id and its secret. Blocks the thread.
fn new_key(world: &World, shop: &Shop, name: &str, scopes: &str, more: &[&str]) -> (String, String) {
    let command = ["api-key", "create", "--merchant", &shop.merchant_id, "--name", name, "--scopes", scopes];
    let made: Value =
        block_in_place(|| world.stage.installation.ask(command.into_iter().chain(more.iter().copied())))
            .expect("a key");
    let text = |member: &str| made[member].as_str().expect("text").to_owned();
    (text("api_key_id"), text("secret"))
}

/// A request to pay an order of this seller, who keeps nine tenths.
fn order_of(seller: &str, order_id: &str, amount: i64) -> Value {
    json!({
        "order_id": order_id, "amount": amount, "currency": "EUR", "payment_method": "pm_card_visa",
        "splits": [{"seller": seller, "amount": amount, "platform_fee": amount / 10}],
    })
}
