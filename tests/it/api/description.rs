//! The service's own description of its API, as the judge of what it answers.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Answer, Api, new_key, order_of};
use crate::world::{World, payout};

/// Every route of the service, from the design: none is forgotten, and none is there that nobody knows of.
const ROUTES: [&str; 33] = [
    "get /healthz",
    "get /openapi.json",
    "get /readyz",
    "get /v1/breaks",
    "get /v1/breaks/{break_id}",
    "get /v1/disputes",
    "get /v1/disputes/{dispute_id}",
    "get /v1/ledger/accounts",
    "get /v1/ledger/transactions",
    "get /v1/ledger/trial-balance",
    "get /v1/operations/{operation_id}",
    "get /v1/payments",
    "get /v1/payments/{payment_id}",
    "get /v1/payments/{payment_id}/capture",
    "get /v1/payments/{payment_id}/operations",
    "get /v1/payments/{payment_id}/refunds",
    "get /v1/payments/{payment_id}/timeline",
    "get /v1/payments/{payment_id}/void",
    "get /v1/payouts",
    "get /v1/payouts/{payout_id}",
    "get /v1/reviews",
    "get /v1/reviews/{operation_id}",
    "get /v1/wallets/{seller}",
    "get /v1/wallets/{seller}/entries",
    "post /v1/breaks/{break_id}/acts",
    "post /v1/payments",
    "post /v1/payments/{payment_id}/capture",
    "post /v1/payments/{payment_id}/refunds",
    "post /v1/payments/{payment_id}/void",
    "post /v1/payouts",
    "post /v1/reviews/{operation_id}/ask",
    "post /v1/reviews/{operation_id}/close",
    "post /v1/webhooks/{psp_account}",
];

/// The document that `/openapi.json` is.
pub(super) struct Description {
    document: Value,
    /// Its components, in which an object has no member that is not described.
    components: Value,
}

impl Description {
    pub(super) fn new(document: Value) -> Self {
        let mut components = document["components"].clone();
        merge(&mut components["schemas"]);
        close(&mut components);
        Self { document, components }
    }

    /// Each operation: its method, its path, and what is said of it.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().expect("paths");
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("operations");
            methods.iter().map(|(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let method = method.as_str().to_lowercase();
        self.operations()
            .find(|(theirs, template, _)| *theirs == method && fits(template, path))
            .map(|(.., operation)| operation)
    }

    /// Holds an answer against what is said of it.
    pub(super) fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let what = format!("{method} {path} {}", answer.status);
        let Some(operation) = self.operation(method, path) else {
            assert!([401, 404, 405, 422].contains(&answer.status), "{what} is not described");
            return self.check_body(&what, &json!({"$ref": "#/components/schemas/ProblemDocument"}), answer);
        };
        let responses = &operation["responses"];
        let response = responses.get(answer.status.to_string()).or_else(|| responses.get("default"));
        let response = response.unwrap_or_else(|| panic!("{what} is not described"));
        for name in ["x-request-id", "retry-after", "idempotent-replayed", "www-authenticate"] {
            let described = response["headers"].as_object().and_then(|headers| {
                headers.iter().find(|(described, _)| described.eq_ignore_ascii_case(name))
            });
            if let Some(value) = answer.header(name) {
                let (_, header) = described.unwrap_or_else(|| panic!("{what}: {name} is not described"));
                let number = header["schema"]["type"] == "integer";
                let value =
                    if number { json!(value.parse::<i64>().expect("a number")) } else { json!(value) };
                assert_eq!(errors(&validator(&header["schema"]), &value), [""; 0], "{what}: {name}");
            }
        }
        let Some(content) = response["content"].as_object() else {
            return assert_eq!(answer.text, "", "{what} is described without a body");
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let described = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not described"));
        self.check_body(&what, &described["schema"], answer);
    }

    fn check_body(&self, what: &str, schema: &Value, answer: &Answer) {
        let body: Value = serde_json::from_str(&answer.text).expect("JSON");
        let mut schema = schema.clone();
        close(&mut schema);
        let whole = json!({"allOf": [schema], "components": self.components});
        let errors = errors(&validator(&whole), &body);
        assert!(errors.is_empty(), "{what} is not as described: {errors:#?} in {body:#}");
    }
}

impl Description {
    /// Whether a value is one that an operation describes for a parameter.
    fn takes(&self, method: Method, path: &str, parameter: &str, value: &Value) -> bool {
        let operation = self.operation(&method, path).expect("an operation");
        let mut parameters = operation["parameters"].as_array().expect("parameters").iter();
        let found = parameters.find(|found| found["name"] == parameter).expect("a parameter");
        validator(&json!({"allOf": [found["schema"]], "components": self.components})).is_valid(value)
    }

    /// Whether it is a body as the operation describes it.
    fn takes_body(&self, path: &str, body: &Value) -> bool {
        let operation = self.operation(&Method::POST, path).expect("an operation");
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        validator(&json!({"allOf": [schema], "components": self.components})).is_valid(body)
    }
}

/// Whether the path is one of the template's.
fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(expected, found)| expected.starts_with('{') || expected == found)
}

fn validator(schema: &Value) -> Validator {
    let options =
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).should_validate_formats(true);
    options.build(schema).expect("a schema")
}

fn errors(validator: &Validator, instance: &Value) -> Vec<String> {
    validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Puts together what is made of several objects: closed one by one, each would refuse the others' members.
fn merge(schemas: &mut Value) {
    let all = schemas.clone();
    for schema in schemas.as_object_mut().expect("schemas").values_mut() {
        let Some(parts) = schema.get("allOf").and_then(Value::as_array).cloned() else { continue };
        let (mut members, mut required) = (Map::new(), Vec::new());
        for part in parts {
            let name = part["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
            let part = name.map_or(&part, |name| &all[name]);
            members.extend(part["properties"].as_object().expect("an object").clone());
            required.extend(part["required"].as_array().into_iter().flatten().cloned());
        }
        *schema = json!({"type": "object", "properties": members, "required": required});
    }
}

/// Lets no object have members that are not described, but where the description allows any.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some_and(Value::is_object) && is_plain(members) {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn is_plain(schema: &Map<String, Value>) -> bool {
    schema.get("type") == Some(&json!("object")) && !schema.contains_key("additionalProperties")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_sound_and_has_every_route() {
    let world = World::new(&[]);
    let api = Api::of(&world).await;
    let official: Value = serde_json::from_str(include_str!("openapi-3.1.schema.json")).unwrap();
    assert_eq!(errors(&validator(&official), &api.description.document), [""; 0]);
    // A schema in it is nothing that the official one looks at.
    for (name, _) in api.description.document["components"]["schemas"].as_object().unwrap() {
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        validator(&json!({"allOf": [reference], "components": api.description.document["components"]}));
    }
    let described: BTreeSet<String> =
        api.description.operations().map(|(method, path, _)| format!("{method} {path}")).collect();
    assert_eq!(described, ROUTES.map(str::to_owned).into());
    let ids: Vec<_> = api.description.operations().map(|(.., operation)| &operation["operationId"]).collect();
    assert!(ids.iter().all(|id| ids.iter().filter(|other| other == &id).count() == 1), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_as_described() {
    let world = World::new(&[]);
    let (api, shop) = (Api::of(&world).await, &world.stage.shop);
    let key = shop.api_key.as_str();
    world.fund("bert", 5000).await;
    let paid = api.pay(key, "k-1", &order_of("anna", "o-1", 1000)).await.json();
    let mut full = order_of("anna", "o-2", 1000);
    full["metadata"] = json!({"note": "ü"});
    full["payment_method"] = json!("pm_card_visa_chargeDeclined");
    full["capture"] = json!("automatic");
    full["psp_account_id"] = json!(shop.psp_account_id);
    assert_eq!(api.pay(key, "k-2", &full).await.json()["status"], "failed");
    assert_eq!(api.pay(key, "k-1", &order_of("anna", "o-1", 1000)).await.status, 201);
    assert_eq!(api.pay(key, "k-3", &order_of("anna", "o-1", 1000)).await.status, 409);
    assert_eq!(api.pay(key, "k-1", &order_of("anna", "o-1", 1001)).await.status, 422);
    let payment = format!("/v1/payments/{}", paid["payment_id"].as_str().unwrap());
    let refunded =
        api.follow(key, &format!("{payment}/refunds"), "k-4", &json!({"amount": 100})).await.json();
    let operation = format!("/v1/operations/{}", refunded["operation_id"].as_str().unwrap());
    let review = operation.replace("operations", "reviews");
    world.stage.send_webhooks().await.unwrap();
    world.disputed(&json!({})).await;
    let disputes = api.get(key, "/v1/disputes").await.json();
    let dispute = format!("/v1/disputes/{}", disputes["data"][0]["dispute_id"].as_str().unwrap());
    let mut full = payout("bert", 3000);
    full["statement_descriptor"] = json!("SHOP");
    full["metadata"] = json!({"note": "ü"});
    let sent = api.follow(key, "/v1/payouts", "k-5", &full).await.json();
    assert_eq!(api.follow(key, "/v1/payouts", "k-6", &full).await.status, 409);
    let sent = format!("/v1/payouts/{}", sent["payout_id"].as_str().unwrap());
    let broken = format!("/v1/breaks/{}", world.broken().await);
    for (number, act) in [
        json!({"act": "comment", "note": "ü"}),
        json!({"act": "assign", "assignee": "ann"}),
        json!({"act": "adjust", "account": "psp_fees", "note": "a test"}),
        json!({"act": "reverse", "note": "a test"}),
    ]
    .iter()
    .enumerate()
    {
        let told = api.follow(key, &format!("{broken}/acts"), &format!("k-b{number}"), act).await;
        assert_eq!(told.status, 201, "{}", told.text);
    }
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (template, path) in [
        ("/healthz", "/healthz".to_owned()),
        ("/openapi.json", "/openapi.json".to_owned()),
        ("/readyz", "/readyz".to_owned()),
        ("/v1/breaks", "/v1/breaks?limit=1&state=open".to_owned()),
        ("/v1/breaks/{break_id}", broken),
        ("/v1/disputes", "/v1/disputes?limit=1&status=evidence_due".to_owned()),
        ("/v1/disputes/{dispute_id}", dispute),
        ("/v1/ledger/accounts", "/v1/ledger/accounts?limit=2".to_owned()),
        ("/v1/ledger/accounts", "/v1/ledger/accounts?as_of=2026-01-31".to_owned()),
        ("/v1/ledger/transactions", "/v1/ledger/transactions".to_owned()),
        ("/v1/ledger/trial-balance", "/v1/ledger/trial-balance".to_owned()),
        ("/v1/ledger/trial-balance", "/v1/ledger/trial-balance?as_of=2099-12-31".to_owned()),
        ("/v1/payments", "/v1/payments?limit=1".to_owned()),
        ("/v1/operations/{operation_id}", operation),
        ("/v1/payments/{payment_id}", payment.clone()),
        ("/v1/payments/{payment_id}/capture", format!("{payment}/capture")),
        ("/v1/payments/{payment_id}/operations", format!("{payment}/operations?type=refund&limit=1")),
        ("/v1/payments/{payment_id}/refunds", format!("{payment}/refunds")),
        ("/v1/payments/{payment_id}/timeline", format!("{payment}/timeline")),
        ("/v1/payments/{payment_id}/void", format!("{payment}/void")),
        ("/v1/payouts", "/v1/payouts?limit=1&status=paid&seller=bert".to_owned()),
        ("/v1/payouts/{payout_id}", sent),
        ("/v1/reviews", "/v1/reviews?limit=1".to_owned()),
        ("/v1/reviews/{operation_id}", review),
        ("/v1/wallets/{seller}", "/v1/wallets/anna".to_owned()),
        ("/v1/wallets/{seller}/entries", "/v1/wallets/anna/entries?currency=EUR".to_owned()),
    ] {
        assert_eq!(api.get(key, &path).await.status, 200, "{path}");
        seen.insert(format!("get {template}"));
    }
    let gets = ROUTES.iter().filter(|route| route.starts_with("get ")).map(|route| (*route).to_owned());
    assert_eq!(seen, gets.collect(), "each is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_not_decided_is_as_described_too() {
    let world = World::new(&["--patience", "200ms"]);
    let api = Api::of(&world).await;
    let (_, key) = new_key(&world, &world.stage.shop, "payments", "payments", &[]);
    let hang = crate::world::charge_fault(&json!({"kind": "hang", "when": "before"}), 1);
    world.stage.control.fault(&hang).await.unwrap();
    let told = api.pay(&key, "k-1", &order_of("anna", "o-1", 1000)).await;
    assert_eq!((told.status, told.json()["status"].as_str()), (202, Some("processing")));
    world.stage.control.post("faults/release", &json!({})).await.unwrap();
    world.quiet().await;
    let mut to_be_authenticated = order_of("anna", "o-2", 1000);
    to_be_authenticated["payment_method"] = json!("pm_card_authenticationRequired");
    let told = api.pay(&key, "k-2", &to_be_authenticated).await;
    assert_eq!(told.status, 201, "{}", told.text);
    let mut on_page = order_of("anna", "o-3", 1000);
    on_page.as_object_mut().unwrap().remove("payment_method");
    on_page["return_url"] = json!("https://shop.example/orders/3?tab=paid#top");
    let told = api.pay(&key, "k-3", &on_page).await;
    assert_eq!(
        (told.status, told.json()["status"].as_str()),
        (201, Some("requires_action")),
        "{}",
        told.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_knows_the_bounds_of_what_it_describes() {
    let world = World::new(&[]);
    let description = Api::of(&world).await.description;
    let long = |length: usize| json!("x".repeat(length));
    for (path, parameter, good, bad) in [
        ("/v1/payments", "limit", vec![json!(1), json!(200)], vec![json!(0), json!(201), json!("x")]),
        ("/v1/payments", "status", vec![json!("captured"), json!("failed")], vec![json!("paid"), json!("")]),
        ("/v1/payments", "order_id", vec![long(255)], vec![long(0), long(256)]),
        ("/v1/payments", "created_from", vec![json!("2026-01-31T00:00:00Z")], vec![json!("2026-01-31")]),
        ("/v1/wallets/{seller}", "seller", vec![long(64)], vec![long(0), long(65), json!("a/b")]),
        ("/v1/wallets/{seller}/entries", "currency", vec![json!("EUR")], vec![json!("eur"), json!("EURO")]),
        ("/v1/wallets/{seller}/entries", "limit", vec![json!(50)], vec![json!(0), json!(201)]),
        (
            "/v1/ledger/accounts",
            "as_of",
            vec![json!("2026-01-31")],
            vec![json!("2026-02-30"), json!("today")],
        ),
        ("/v1/ledger/accounts", "limit", vec![json!(50)], vec![json!(0), json!(201)]),
        ("/v1/disputes", "status", vec![json!("evidence_due"), json!("won")], vec![json!("new"), json!("")]),
        ("/v1/disputes", "limit", vec![json!(50)], vec![json!(0), json!(201)]),
        (
            "/v1/ledger/transactions",
            "account",
            vec![json!("seller_pending/a-1")],
            vec![long(101), json!("a b")],
        ),
        ("/v1/ledger/transactions", "source_id", vec![json!(uuid::Uuid::nil())], vec![json!("x")]),
        ("/v1/ledger/transactions", "limit", vec![json!(50)], vec![json!(0), json!(201)]),
        ("/v1/ledger/trial-balance", "as_of", vec![json!("2026-01-31")], vec![json!("2026-02-30")]),
    ] {
        for (values, expected) in [(good, true), (bad, false)] {
            for value in values {
                let takes = description.takes(Method::GET, path, parameter, &value);
                assert_eq!(takes, expected, "{path}: {parameter}={value}");
            }
        }
    }
    for (value, expected) in [(long(255), true), (long(0), false), (long(256), false), (json!("ä"), false)] {
        let takes = description.takes(Method::POST, "/v1/payments", "Idempotency-Key", &value);
        assert_eq!(takes, expected, "{value}");
    }
    assert!(description.takes_body("/v1/payments", &order_of("anna", "o-1", 1000)));
    let splits = |splits: usize| (0..splits).map(|_| json!({"seller": "s", "amount": 1})).collect::<Value>();
    for (field, value) in [
        ("unknown", json!(1)),
        ("order_id", long(0)),
        ("order_id", long(256)),
        ("amount", json!(0)),
        ("amount", json!(1.5)),
        ("currency", json!("eur")),
        ("payment_method", json!("pm card")),
        ("payment_method", long(256)),
        ("return_url", json!("shop.example")),
        ("return_url", json!(format!("https://shop.example/{}", "x".repeat(2048)))),
        ("psp_account_id", json!("main")),
        ("capture", json!("later")),
        ("splits", splits(51)),
        ("splits", json!([{"seller": "a/b", "amount": 1}])),
        ("splits", json!([{"seller": "x".repeat(65), "amount": 1}])),
        ("splits", json!([{"seller": "a", "amount": 0}])),
        ("splits", json!([{"seller": "a", "amount": 1, "platform_fee": -1}])),
        ("metadata", (0..51).map(|note| (note.to_string(), json!("v"))).collect()),
        ("metadata", json!({"k": 1})),
        ("metadata", json!({"k": "v".repeat(501)})),
    ] {
        let mut body = order_of("anna", "o-1", 1000);
        body[field] = value;
        assert!(!description.takes_body("/v1/payments", &body), "{body}");
    }
}
