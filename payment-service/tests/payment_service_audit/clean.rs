use std::collections::BTreeSet;
use std::time::Duration;

use money::MerchantId;
use payment_service::audit::{self, Check, Options, Verdict};
use sqlx::PgPool;

use super::shop::Shop;
use super::{checks, options, report_on};

/// What a shop without a sandbox and without brokers cannot show.
fn unseen() -> BTreeSet<Check> {
    BTreeSet::from([
        Check::SandboxChargedOnce,
        Check::SandboxEffects,
        Check::AcknowledgedSurvives,
        Check::RefusedMovedNothing,
        Check::HashChain,
    ])
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_shop_that_is_right_passes_every_check_and_none_of_them_by_looking_at_nothing(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let report = report_on(&pool, &options(None)).await;
    assert_eq!(checks(&report, Verdict::NotSeen), unseen(), "{report}");
    let seen: BTreeSet<Check> = Check::ALL.into_iter().filter(|check| !unseen().contains(check)).collect();
    assert_eq!(checks(&report, Verdict::Holds), seen, "{report}");
    assert_eq!(report.exit_code(), 0);

    let looked = |check| report.of(check).unwrap().looked_at;
    assert_eq!(looked(Check::OneLivePayment), 11);
    assert_eq!(looked(Check::AskedOnce), 12, "an order has two");
    assert_eq!(looked(Check::CapturePosted), 6);
    assert_eq!(looked(Check::RefundPosted), 4);
    assert_eq!(looked(Check::DisputePosted), 3);
    assert_eq!(looked(Check::PayoutPosted), 4);
    let transactions = "six captures, a booking, four reserves and what became of them, the steps of three disputes and of \
                        four payouts, and a day at the bank and its match";
    assert_eq!(looked(Check::ZeroSum), 15 + 9 + 11 + 2, "{transactions}");
    assert_eq!(looked(Check::WebhookAgrees), 2);
    assert_eq!(looked(Check::Lines), 6);
    let lines = &report.of(Check::Lines).unwrap().figures;
    assert_eq!((lines["matched"], lines["with_break"], lines["waiting"]), (2, 2, 1));
    assert_eq!(report.of(Check::TrialBalance).unwrap().figures["sum_eur"], 0);
    let open = &report.of(Check::OpenOperations).unwrap().figures;
    assert_eq!((open["open_and_younger"], open["wait_for_buyers"], open["wait_for_banks"]), (4, 1, 1));
    assert_eq!(report.of(Check::OpenSettlement).unwrap().figures["open_breaks"], 3);
    assert_eq!(shop.text("select count(*)::text from payment where merchant_id = MERCHANT").await, "12");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn figures_are_of_all_merchants_or_of_the_one_that_is_asked_for(pool: PgPool) {
    let (first, _second) = (Shop::open(&pool).await, Shop::open(&pool).await);
    let of_both = report_on(&pool, &options(None)).await;
    let of_one = report_on(&pool, &options(Some(first.merchant))).await;
    let looked = |report: &audit::Report| report.of(Check::AskedOnce).unwrap().looked_at;
    assert_eq!((of_both.merchants, looked(&of_both)), (2, 24));
    assert_eq!((of_one.merchants, looked(&of_one)), (1, 12));
    assert_eq!(of_both.exit_code(), 0, "{of_both}");

    let nobody = MerchantId::new();
    let error = audit::run(&pool, &options(Some(nobody))).await.unwrap_err();
    assert!(matches!(error, audit::Error::NoSuchMerchant(merchant) if merchant == nobody));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_empty_database_is_not_passed(pool: PgPool) {
    let report = report_on(&pool, &options(None)).await;
    assert!(checks(&report, Verdict::NotSeen).contains(&Check::ZeroSum), "{report}");
    assert!(report.to_string().contains("there is no merchant"), "{report}");
    assert_eq!(report.exit_code(), 2);
    sqlx::query("insert into merchant (merchant_id, mode, name) values ($1, 'test', 'New')")
        .bind(MerchantId::new())
        .execute(&pool)
        .await
        .unwrap();
    let report = report_on(&pool, &options(None)).await;
    assert_eq!(report.of(Check::ZeroSum).unwrap().verdict, Verdict::Nothing, "{report}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_open_offends_once_it_is_old(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    shop.run(
        "update webhook_event set status = 'quarantined', applied_to = null, applied_as = null where merchant_id = MERCHANT and event_id = 'evt_5'",
    )
    .await;
    let at_once = Options { max_open_age: Duration::ZERO, ..options(None) };
    let report = report_on(&pool, &at_once).await;
    let expected = [Check::OutboxAge, Check::OpenOperations, Check::OpenWebhooks, Check::OpenSettlement];
    assert_eq!(checks(&report, Verdict::Violated), BTreeSet::from(expected), "{report}");
    assert_eq!(report.exit_code(), 1);
    let operations = report.of(Check::OpenOperations).unwrap();
    assert_eq!(operations.offending, 4);
    let doubted = shop
        .text(
            "select o.operation_id::text from operation o join payment p using (merchant_id, payment_id)
             where merchant_id = MERCHANT and p.order_id = 'o-7'",
        )
        .await;
    assert!(
        operations.offenders.iter().any(|offender| offender.id == format!("unknown {doubted}")),
        "{report}"
    );
    let webhooks = &report.of(Check::OpenWebhooks).unwrap().offenders;
    assert_eq!(webhooks[0].id, "quarantined evt_5");
    assert_eq!(webhooks[0].merchant_id, Some(shop.merchant));
    assert_eq!(report.of(Check::OpenSettlement).unwrap().offending, 1, "the line that waits");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn nothing_that_is_audited_is_changed_or_locked(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let digest = "select md5(string_agg(t::text, '' order by t::text)) from (
                      select 'o' || o::text from operation o union all select 'p' || p::text from payment p
                      union all select 'b' || b::text from ledger_balance b
                      union all select 'k' || k::text from idempotency_key k) t";
    let before = shop.text(digest).await;
    // somebody is at work on all of it
    let mut busy = pool.begin().await.unwrap();
    sqlx::raw_sql("lock table operation, payment, ledger_balance, ledger_entry in row exclusive mode; select * from operation for update")
        .execute(&mut *busy)
        .await
        .unwrap();
    assert_eq!(report_on(&pool, &options(None)).await.exit_code(), 0);
    busy.rollback().await.unwrap();
    assert_eq!(shop.text(digest).await, before);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_check_that_fails_is_told_and_the_others_go_on(pool: PgPool) {
    let _shop = Shop::open(&pool).await;
    sqlx::query("alter table operation rename column takeovers to taken").execute(&pool).await.unwrap();
    let report = report_on(&pool, &options(None)).await;
    assert_eq!(checks(&report, Verdict::Failed), BTreeSet::from([Check::Fences]), "{report}");
    assert_eq!(report.exit_code(), 2);
    assert!(report.to_string().contains("column o.takeovers does not exist"), "{report}");
    assert_eq!(report.of(Check::ZeroSum).unwrap().verdict, Verdict::Holds);
}
