//! What a PSP sends to our bank.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail where they stand")]

mod support;

use money::{Currency, Money};
use sqlx::PgPool;
use support::{SettlementFile, Shop};

/// Name, minor units, those of lines of its own, the day it should be at the bank.
type Payout = (String, i64, i64, time::Date);

async fn payouts(shop: &Shop) -> Vec<Payout> {
    sqlx::query_as(
        "select payout_id, amount, told, arrives_on from settlement_payout where merchant_id = $1 order by payout_id",
    )
    .bind(shop.merchant.as_uuid())
    .fetch_all(&shop.pool)
    .await
    .unwrap()
}

async fn in_transit(shop: &Shop) -> (Option<i64>, Option<i64>) {
    let balances = shop.balances().await;
    let of = |code: &str| balances.get(&format!("{code} EUR")).copied();
    (of("psp_balance"), of("payout_in_transit"))
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn lines_that_name_their_payout_come_to_it(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new()
        .of_payout("po_1")
        .capture(&shop.pays(1, 100).await)
        .fee("txn_f", 2)
        .of_payout("po_2")
        .capture(&shop.pays(2, 50).await)
        .of_payout("")
        .capture(&shop.pays(3, 10).await);
    let written = file.write();
    shop.reconciles(&written).await;
    let day = time::macros::date!(2026 - 01 - 03);
    assert_eq!(payouts(&shop).await, [("po_1".into(), 9_500, 0, day), ("po_2".into(), 4_850, 0, day)]);
    // what is part of no payout is still at the PSP
    assert_eq!(in_transit(&shop).await, (Some(970), Some(14_350)));

    assert!(shop.reconciles(&written).await.is_idle());
    let longer = file.of_payout("po_2").capture(&shop.pays(4, 20).await).write();
    shop.reconciles(&longer).await;
    assert_eq!(payouts(&shop).await[1], ("po_2".into(), 6_790, 0, day), "lines of a later file add to it");
    assert_eq!(in_transit(&shop).await, (Some(970), Some(16_290)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_with_a_line_of_its_own_is_what_the_line_says(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new()
        .of_payout("po_1")
        .capture(&shop.pays(1, 100).await)
        .payout("txn_p", 9_000)
        .write();
    shop.reconciles(&file).await;
    let day = time::macros::date!(2026 - 01 - 03);
    assert_eq!(payouts(&shop).await, [("po_1".into(), 9_000, 9_000, day)]);
    assert_eq!(in_transit(&shop).await, (Some(700), Some(9_000)));

    let back = SettlementFile::new()
        .of_payout("po_2")
        .row("txn_r", "payout_reversal", Money::new(9_000, Currency::EUR), 0, "po_1", "", "", "")
        .write();
    shop.reconciles(&back).await;
    assert_eq!(
        payouts(&shop).await,
        [("po_1".into(), 0, 0, day), ("po_2".into(), 9_000, 0, day)],
        "what came back is sent with the next"
    );
    assert_eq!(in_transit(&shop).await, (Some(700), Some(9_000)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_is_not_booked_both_as_its_lines_and_as_its_own(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new().of_payout("po_1").capture(&shop.pays(1, 100).await).write();
    shop.reconciles(&file).await;
    let own = SettlementFile::new().payout("txn_p", 9_700).write();
    shop.takes_in(&own).await.unwrap();
    shop.settles().await;
    assert_eq!(shop.open_breaks().await, [("duplicate".to_owned(), None)]);
    let balances = shop.balances().await;
    assert_eq!(balances.get("payout_in_transit EUR"), Some(&9_700));
    assert_eq!(balances.get("suspense EUR"), Some(&9_700));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_line_that_waits_counts_in_its_payout(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = shop.pays_as(1, Money::new(10_000, Currency::EUR), "unknown").await;
    let file =
        SettlementFile::new().of_payout("po_1").capture(&unknown).capture(&shop.pays(2, 50).await).write();
    shop.takes_in(&file).await.unwrap();
    shop.settles().await;
    assert_eq!(payouts(&shop).await[0].1, 14_550);
    assert_eq!(in_transit(&shop).await, (Some(-9_700), Some(14_550)), "one of its lines is not booked yet");
    shop.succeeds_late(&unknown).await;
    shop.settles().await;
    assert_eq!(in_transit(&shop).await, (None, Some(14_550)));
    assert_eq!(payouts(&shop).await[0].1, 14_550);
    shop.check_books().await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn files_that_end_at_once_imply_a_payout_once(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let mut files = Vec::new();
    for number in 1..=6 {
        let file = SettlementFile::new().of_payout("po_1").capture(&shop.pays(number, 10).await).write();
        shop.takes_in(&file).await.unwrap();
        files.push(file);
    }
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.settles().await.files })
        })
        .collect();
    let mut settled = 0;
    for run in runs {
        settled += run.await.unwrap();
    }
    assert_eq!(settled, 6);
    assert_eq!(payouts(&shop).await[0].1, 6 * 970);
    assert_eq!(in_transit(&shop).await, (None, Some(6 * 970)));
    shop.check_books().await;
}
