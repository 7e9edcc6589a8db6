//! What is left on either side, each as the break that it is.

#![allow(clippy::unwrap_used, reason = "tests stop where something is wrong")]

mod support;

use money::{Currency, Money};
use sqlx::PgPool;
use support::{SettlementFile, Shop};

const fn euros(euros: i64) -> Money {
    Money::new(euros * 100, Currency::EUR)
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_was_done_to_a_payment_of_ours_behind_our_back_says_which_payment(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let file = SettlementFile::new()
        .capture(&paid)
        .row("txn_r", "refund", euros(-30), 0, "re_1", &paid.intent, "", "")
        .row("txn_d", "dispute", euros(-70), 1_500, "du_1", &paid.intent, "", "")
        .row("txn_o", "refund", euros(-30), 0, "re_2", "pi_of_another", "", "")
        .write();
    shop.reconciles(&file).await;
    let ours = Some(paid.operation_id.as_uuid());
    assert_eq!(
        shop.open_breaks().await,
        [
            ("chargeback_unseen".to_owned(), ours),
            ("refund_without_refund".to_owned(), ours),
            ("unknown_to_us".to_owned(), None)
        ]
    );
    assert_eq!(shop.balances().await.get("suspense EUR"), Some(&13_000));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_outcome_that_no_file_tells_in_time_is_stale_until_it_is_known(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = shop.pays_as(1, euros(100), "unknown").await;
    let sending = shop.pays_as(2, euros(50), "sending").await;
    // the buyer has not acted: that is known
    shop.pays_as(3, euros(20), "requires_action").await;
    shop.reconciles(&SettlementFile::new().days_later(6).write()).await;
    assert_eq!(shop.open_breaks().await, [], "the files may be seven days late");

    shop.reconciles(&SettlementFile::new().days_later(8).write()).await;
    let mut stale = vec![
        ("stale_unknown".to_owned(), Some(unknown.operation_id.as_uuid())),
        ("stale_unknown".to_owned(), Some(sending.operation_id.as_uuid())),
    ];
    let mut open = shop.open_breaks().await;
    stale.sort();
    open.sort();
    assert_eq!(open, stale);
    let detail: String = sqlx::query_scalar("select detail from recon_break where operation_id = $1")
        .bind(unknown.operation_id.as_uuid())
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(detail, "a capture of 2026-01-02 that is still unknown, and in no file up to 2026-01-10");

    // one is found out elsewhere, of the other a line comes
    shop.succeeds_late(&sending).await;
    shop.reconciles(&SettlementFile::new().capture(&unknown).days_later(9).write()).await;
    let kinds: Vec<String> = shop.open_breaks().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["missing_at_psp", "stale_unknown"], "evidence waits for the service");
    shop.succeeds_late(&unknown).await;
    shop.settles().await;
    let left = vec![("missing_at_psp".to_owned(), Some(sending.operation_id.as_uuid()))];
    assert_eq!(shop.open_breaks().await, left);
    shop.check_books().await;
}
