//! The rows against the log of a PSP: here one that says what the test wants it to say.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use payment_service::audit::{Check, Options, Report, Verdict};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::shop::Shop;
use super::{checks, options, report_on};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Value>>>);

#[derive(Deserialize)]
struct Page {
    after: usize,
    limit: usize,
}

/// Small pages, whatever is asked for.
const PAGE: usize = 2;

async fn page(State(log): State<Log>, Query(page): Query<Page>) -> Json<Value> {
    let effects = log.0.lock().unwrap();
    let data: Vec<&Value> = effects.iter().skip(page.after).take(page.limit.min(PAGE)).collect();
    Json(json!({"has_more": page.after + data.len() < effects.len(), "data": data}))
}

impl Log {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/_sandbox/effects", get(page)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    fn add(&self, kind: &str, operation: Option<&str>, amount: i64) {
        let mut effects = self.0.lock().unwrap();
        let metadata = match operation {
            Some(operation) => json!({"payonce_operation": operation, "order_id": "o"}),
            None => json!({}),
        };
        let seq = effects.len() + 1;
        effects.push(json!({
            "seq": seq, "kind": kind, "account": "acct_1", "payment_intent": format!("pi_log_{seq}"),
            "amount": amount, "currency": "eur", "metadata": metadata, "created_ms": 0,
        }));
    }
}

impl Log {
    fn add_refund(&self, kind: &str, operation: &str, amount: i64) {
        self.add(kind, None, amount);
        if let Some(last) = self.0.lock().unwrap().last_mut() {
            last["refund_metadata"] = json!({"payonce_operation": operation});
        }
    }
}

/// A shop whose PSP agrees: it charged what the books say, the late success, and one of the operations in doubt.
struct Scene {
    shop: Shop,
    log: Log,
    options: Options,
}

impl Scene {
    async fn open(pool: &PgPool) -> Self {
        let shop = Shop::open(pool).await;
        let log = Log::default();
        for (order, ordinal) in [("o-1", 1), ("o-2", 2), ("o-3", 1), ("o-5", 1), ("o-6", 1), ("o-8", 1)] {
            log.add("charge", Some(&operation(&shop, order, ordinal).await), 1000);
        }
        log.add("payout", None, 20_000);
        let ninth = operation(&shop, "o-9", 1).await;
        log.add("authorization", Some(&ninth), 1000);
        log.add("capture", Some(&ninth), 600);
        log.add_refund("refund", &refund(&shop, "o-9", "succeeded").await, 200);
        let tenth = operation(&shop, "o-10", 1).await;
        log.add("authorization", Some(&tenth), 1000);
        log.add("cancel", Some(&tenth), 1000);
        log.add("charge", Some(&operation(&shop, "o-11", 1).await), 1000);
        for kind in ["refund", "refund_failure"] {
            log.add_refund(kind, &refund(&shop, "o-11", "reversed").await, 300);
        }
        for (order, ordinal, amount) in [("o-2", 2, 400), ("o-3", 1, 1000), ("o-11", 1, 200)] {
            log.add("dispute", Some(&operation(&shop, order, ordinal).await), amount);
        }
        log.add("dispute_reversal", Some(&operation(&shop, "o-11", 1).await), 200);
        for reference in ["po_11", "po_12", "po_13"] {
            log.add("payout", Some(&payout(&shop, reference).await), 100);
        }
        log.add("payout_failure", Some(&payout(&shop, "po_13").await), 100);
        let sandbox = log.serve().await;
        shop.run(&format!("update psp_account set base_url = '{sandbox}' where merchant_id = MERCHANT"))
            .await;
        let options = Options { sandbox: Some(sandbox), ..options(None) };
        Self { shop, log, options }
    }

    async fn audit(&self) -> Report {
        report_on(&self.shop.pool, &self.options).await
    }

    async fn violates(&self, expected: &[Check]) -> Report {
        let report = self.audit().await;
        assert_eq!(
            checks(&report, Verdict::Violated),
            BTreeSet::from_iter(expected.iter().copied()),
            "{report}"
        );
        report
    }
}

async fn operation(shop: &Shop, order: &str, ordinal: i32) -> String {
    shop.text(&format!(
        "select o.operation_id::text from operation o join payment p using (merchant_id, payment_id)
         where merchant_id = MERCHANT and p.order_id = '{order}' and p.ordinal = {ordinal} and o.kind = 'authorize'"
    ))
    .await
}

async fn refund(shop: &Shop, order: &str, status: &str) -> String {
    shop.text(&format!(
        "select o.operation_id::text from operation o join payment p using (merchant_id, payment_id)
         where merchant_id = MERCHANT and p.order_id = '{order}' and o.kind = 'refund' and o.status = '{status}'"
    ))
    .await
}

async fn payout(shop: &Shop, reference: &str) -> String {
    shop.text(&format!(
        "select operation_id::text from operation
         where merchant_id = MERCHANT and kind = 'payout' and psp_reference = '{reference}'"
    ))
    .await
}

fn first(report: &Report, check: Check) -> &str {
    &report.of(check).unwrap().offenders[0].id
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_the_psp_did_is_what_the_ledger_says_and_open_exceptions(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    let report = scene.violates(&[]).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    let effects = report.of(Check::SandboxEffects).unwrap();
    assert_eq!((effects.verdict, effects.looked_at), (Verdict::Holds, 20));
    let figure = |name: &str| effects.figures[name];
    assert_eq!(
        (figure("psp_eur"), figure("ledger_eur"), figure("in_doubt_eur"), figure("breaks_eur")),
        (5800, 3800, 1000, 1000)
    );
    assert_eq!(figure("of_no_operation_of_ours"), 0);
    let charged = report.of(Check::SandboxChargedOnce).unwrap();
    assert_eq!((charged.verdict, charged.looked_at), (Verdict::Holds, 14));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_double_charge_is_found(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    let twice = operation(&scene.shop, "o-1", 1).await;
    scene.log.add("charge", Some(&twice), 1000);
    let report = scene.violates(&[Check::SandboxChargedOnce, Check::SandboxEffects]).await;
    assert_eq!(first(&report, Check::SandboxChargedOnce), format!("operation {twice}: 2 times"));
    let expected = format!("operation {twice}: the PSP 20.00 EUR, the ledger 1000");
    assert_eq!(first(&report, Check::SandboxEffects), expected);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_double_payout_is_found(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    let twice = payout(&scene.shop, "po_11").await;
    scene.log.add("payout", Some(&twice), 100);
    let report = scene.violates(&[Check::SandboxChargedOnce, Check::SandboxEffects]).await;
    assert_eq!(first(&report, Check::SandboxChargedOnce), format!("operation {twice}: 2 times"));
    let expected = format!("operation {twice}: the PSP -2.00 EUR, the ledger -100");
    assert_eq!(first(&report, Check::SandboxEffects), expected);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_charge_that_the_psp_never_made_is_found(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    let first_of_log = scene.log.0.lock().unwrap()[0]["metadata"]["payonce_operation"].clone();
    // it gives all of it back, behind our back
    scene.log.0.lock().unwrap()[6] = json!({
        "seq": 7, "kind": "refund", "account": "acct_1", "amount": 1000, "currency": "eur",
        "metadata": {}, "refund_metadata": {"payonce_operation": first_of_log}, "created_ms": 0,
    });
    let report = scene.violates(&[Check::SandboxEffects]).await;
    let expected = format!("operation {}: the PSP 0.00 EUR, the ledger 1000", first_of_log.as_str().unwrap());
    assert_eq!(first(&report, Check::SandboxEffects), expected);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn another_amount_or_currency_at_the_psp_is_found(pool: PgPool) {
    for (field, value) in [("amount", json!(999)), ("currency", json!("usd"))] {
        let scene = Scene::open(&pool).await;
        scene.log.0.lock().unwrap()[1][field] = value;
        scene.violates(&[Check::SandboxEffects]).await;
        scene
            .shop
            .tamper(
                "update psp_account set mode = 'live', base_url = 'https://x' where merchant_id = MERCHANT",
            )
            .await;
        scene.shop.tamper("update merchant set mode = 'live' where merchant_id = MERCHANT").await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_charge_for_nothing_of_ours_is_found_unless_a_break_shows_it(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    scene.log.add("charge", Some("00000000-0000-8000-8000-000000000007"), 500);
    let report = scene.violates(&[Check::SandboxEffects]).await;
    let expected = "operation 00000000-0000-8000-8000-000000000007, 5.00 EUR: not ours";
    assert_eq!(first(&report, Check::SandboxEffects), expected);

    let scene = Scene::open(&pool).await;
    scene.log.add("charge", None, 500);
    // the shop of the first scene knows nothing of this log
    let only = Options { merchant: Some(scene.shop.merchant), ..scene.options.clone() };
    let report = report_on(&pool, &only).await;
    assert_eq!(report.exit_code(), 0, "another merchant's may be in the log: {report}");
    assert_eq!(report.of(Check::SandboxEffects).unwrap().figures["of_no_operation_of_ours"], 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn money_without_an_operation_is_explained_by_an_open_break_alone(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    scene.log.add("charge", None, 300);
    let report = scene.violates(&[Check::SandboxEffects]).await;
    assert_eq!(first(&report, Check::SandboxEffects), "pi_log_24 of 3.00 EUR: names no operation");
    scene
        .shop
        .run("update recon_break set psp_reference = 'pi_log_24' where merchant_id = MERCHANT and kind = 'unknown_to_us'")
        .await;
    scene.violates(&[]).await;
    scene
        .shop
        .run(
            "update recon_break set state = 'closed', closed_at = now(), closed_because = 'test', closed_how = 'itself'
             where merchant_id = MERCHANT and kind in ('unknown_to_us', 'late_success')",
        )
        .await;
    let report = scene.violates(&[Check::SandboxEffects]).await;
    assert_eq!(report.of(Check::SandboxEffects).unwrap().offending, 2, "the late success is one again too");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_log_that_cannot_be_read_or_has_a_gap_is_not_passed(pool: PgPool) {
    let scene = Scene::open(&pool).await;
    scene.log.0.lock().unwrap().remove(2);
    let report = scene.audit().await;
    let failed = BTreeSet::from([Check::SandboxChargedOnce, Check::SandboxEffects]);
    assert_eq!(checks(&report, Verdict::Failed), failed, "{report}");
    assert_eq!(report.exit_code(), 2);
    assert!(report.to_string().contains("goes on with effect 4 after effect 2"), "{report}");

    let nowhere = Options { sandbox: Some("http://127.0.0.1:1".to_owned()), ..options(None) };
    let report = report_on(&pool, &nowhere).await;
    assert_eq!((checks(&report, Verdict::Failed), report.exit_code()), (failed, 2), "{report}");
}
