//! Settlement files against a shop's books, on a real Postgres.

mod support;

use std::sync::Arc;

use money::{Currency, Money, PspAccountId};
use reconciliation::break_::{self, At, BreakKind, NewBreak};
use reconciliation::matching::Effect;
use reconciliation::source::Source;
use reconciliation::{evidence, intake, run};
use sqlx::PgPool;
use support::{PAID_AT, SettlementFile, Shop, write};

fn euros(amount: i64) -> Money {
    Money::new(amount * 100, Currency::EUR)
}

fn books(rows: &[(&str, i64)]) -> std::collections::BTreeMap<String, i64> {
    rows.iter().map(|(account, minor)| ((*account).to_owned(), *minor)).collect()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_matched_file_moves_exactly_what_it_says(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let (first, second) = (shop.pays(1, 100).await, shop.pays(2, 50).await);
    let file = SettlementFile::new()
        .capture(&first)
        .capture(&second)
        .fee("txn_fee", 2)
        .payout("txn_payout", 14_350)
        .write();
    let progress = shop.reconciles(&file).await;
    assert_eq!((progress.lines, progress.matched, progress.breaks, progress.files), (4, 2, 0, 1));
    assert_eq!(
        shop.balances().await,
        books(&[
            ("payout_in_transit EUR", 14_350),
            ("platform_fees EUR", -750),
            ("psp_fees EUR", 650),
            ("seller_available/s-1 EUR", -9_500),
            ("seller_available/s-2 EUR", -4_750),
        ])
    );
    assert_eq!(shop.open_breaks().await, []);
    // one ledger transaction for the four lines, which are its detail
    let detail: Vec<(uuid::Uuid, i64)> = sqlx::query_as(
        "select transaction_id, count(*) from settlement_line_booking where merchant_id = $1 group by transaction_id",
    )
    .bind(shop.merchant.as_uuid())
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(detail.iter().map(|(_, lines)| *lines).collect::<Vec<_>>(), [4]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_same_file_again_changes_nothing_and_says_so(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let file = SettlementFile::new().capture(&paid).write();
    shop.reconciles(&file).await;
    let before = (shop.balances().await, shop.count("ledger_transaction").await);
    let again = write("another name.csv", SettlementFile::new().capture(&paid).content());
    let taken = shop.takes_in(&again).await.unwrap();
    assert!(taken.known_before);
    assert!(shop.settles().await.is_idle());
    assert_eq!((shop.balances().await, shop.count("ledger_transaction").await), before);
    assert_eq!(shop.open_breaks().await, []);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn bookings_are_made_per_payout_and_currency(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let euro = [shop.pays(1, 10).await, shop.pays(2, 20).await];
    let yen = shop.pays_as(3, Money::new(500, Currency::JPY), "succeeded").await;
    let file = SettlementFile::new()
        .of_payout("po_1")
        .capture(&euro[0])
        .capture(&yen)
        .of_payout("po_2")
        .capture(&euro[1])
        .of_payout("")
        .fee("txn_fee", 1)
        .write();
    shop.reconciles(&file).await;
    let bookings: Vec<(Option<String>, String, i64)> = sqlx::query_as(
        "select payout_id, currency, balance_change from settlement_booking where merchant_id = $1 and not implied order by 1, 2",
    )
    .bind(shop.merchant.as_uuid())
    .fetch_all(&pool)
    .await
    .unwrap();
    let po = |payout: &str| Some(payout.to_owned());
    assert_eq!(
        bookings,
        [
            (po("po_1"), "EUR".to_owned(), 970),
            (po("po_1"), "JPY".to_owned(), 485),
            (po("po_2"), "EUR".to_owned(), 1_940),
            (None, "EUR".to_owned(), -100),
        ]
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_refused_file_changes_nothing(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let good = SettlementFile::new().capture(&paid);
    let file = write("bad.csv", format!("{}{}", good.content(), "po_1,only,three\n"));
    let error = shop.takes_in_by(&file, 1).await.unwrap_err();
    assert!(error.is_refusal());
    assert_eq!(error.to_string(), "bad.csv, line 3: found 3 fields, expected 18, as in the header");
    for table in ["settlement_file", "settlement_chunk", "settlement_line", "recon_break"] {
        assert_eq!(shop.count(table).await, 0, "{table}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_nobody_can_match_stands_in_suspense_beside_its_break(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new()
        .row("txn_x", "charge", euros(30), 100, "ch_x", "pi_x", "", "somebody's")
        .row("txn_y", "refund", euros(-10), 0, "re_y", "pi_x", "", "")
        .row("txn_z", "dispute", euros(-5), 1_500, "du_z", "pi_x", "", "")
        .row("txn_a", "other_adjustment", euros(1), 0, "", "", "", "")
        .write();
    let progress = shop.reconciles(&file).await;
    assert_eq!((progress.matched, progress.breaks), (0, 4));
    assert_eq!(
        shop.balances().await,
        books(&[("psp_balance EUR", 0), ("psp_fees EUR", 1_600), ("suspense EUR", -1_600)])
            .into_iter()
            .filter(|(_, minor)| *minor != 0)
            .collect()
    );
    assert_eq!(shop.open_breaks().await, vec![("unknown_to_us".to_owned(), None); 4]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn another_amount_is_a_break_and_the_difference_is_in_suspense(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let file = SettlementFile::new().capture_of(&paid, euros(90)).write();
    shop.reconciles(&file).await;
    assert_eq!(
        shop.balances().await,
        books(&[
            ("platform_fees EUR", -500),
            ("psp_balance EUR", 8_730),
            ("psp_fees EUR", 270),
            // not confirmed to the cent, so not available
            ("seller_pending/s-1 EUR", -9_500),
            ("suspense EUR", 1_000),
        ])
    );
    assert_eq!(shop.open_breaks().await, [("amount".to_owned(), Some(paid.operation_id.as_uuid()))]);
    let (expected, found): (i64, i64) =
        sqlx::query_as("select expected, found from recon_break").fetch_one(&pool).await.unwrap();
    assert_eq!((expected, found), (10_000, 9_000));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn another_currency_is_a_break_and_nothing_is_exchanged(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let file = SettlementFile::new().capture_of(&paid, Money::new(10_000, Currency::USD)).write();
    shop.reconciles(&file).await;
    assert_eq!(
        shop.balances().await,
        books(&[
            ("platform_fees EUR", -500),
            ("psp_balance USD", 9_700),
            ("psp_fees USD", 300),
            ("psp_receivable EUR", 10_000),
            ("seller_pending/s-1 EUR", -9_500),
            ("suspense USD", -10_000),
        ])
    );
    assert_eq!(shop.open_breaks().await, [("currency".to_owned(), Some(paid.operation_id.as_uuid()))]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_line_that_comes_again_is_a_break_and_is_booked_once(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let twice = SettlementFile::new().capture(&paid).capture(&paid).write();
    let progress = shop.reconciles(&twice).await;
    assert_eq!(progress.lines, 1);
    assert_eq!(shop.open_breaks().await, [("duplicate".to_owned(), None)]);
    let again_elsewhere = SettlementFile::new().fee("txn_fee", 0).capture(&paid).write();
    shop.reconciles(&again_elsewhere).await;
    assert_eq!(shop.open_breaks().await, vec![("duplicate".to_owned(), None); 2]);
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&9_700));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_second_capture_of_an_operation_is_a_break_and_no_sellers_money(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let ours = paid.operation_id.to_string();
    // two lines of one file, one of them in another chunk, and one of another file
    let file = SettlementFile::new()
        .capture(&paid)
        .row("txn_b", "charge", euros(100), 300, "ch_b", &paid.intent, &ours, "o-1")
        .row("txn_c", "charge", euros(100), 300, "ch_c", "pi_other", &ours, "o-1")
        .write();
    shop.takes_in_by(&file, 2).await.unwrap();
    shop.settles().await;
    let other = SettlementFile::new()
        .row("txn_d", "charge", euros(100), 300, "ch_d", &paid.intent, &ours, "o-1")
        .write();
    shop.reconciles(&other).await;
    assert_eq!(
        shop.open_breaks().await,
        vec![("captured_twice".to_owned(), Some(paid.operation_id.as_uuid())); 3]
    );
    let balances = shop.balances().await;
    assert_eq!(balances.get("seller_available/s-1 EUR"), Some(&-9_500));
    assert_eq!(balances.get("suspense EUR"), Some(&-30_000));
    assert_eq!(balances.get("psp_balance EUR"), Some(&(4 * 9_700)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_capture_that_no_file_has_in_time_is_missing_until_one_has_it(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let (here, missing) = (shop.pays(1, 100).await, shop.pays(2, 50).await);
    let in_time = SettlementFile::new().capture(&here).days_later(6).write();
    shop.reconciles(&in_time).await;
    assert_eq!(shop.open_breaks().await, [], "it may still come");
    let late = SettlementFile::new().days_later(8).write();
    assert_eq!(shop.reconciles(&late).await.breaks, 1);
    let expected = [("missing_at_psp".to_owned(), Some(missing.operation_id.as_uuid()))];
    assert_eq!(shop.open_breaks().await, expected);
    shop.reconciles(&SettlementFile::new().days_later(9).write()).await;
    assert_eq!(shop.open_breaks().await, expected, "found again, it is the same break");
    shop.reconciles(&SettlementFile::new().capture(&missing).write()).await;
    assert_eq!(shop.open_breaks().await, []);
    assert_eq!(shop.balances().await.get("seller_available/s-2 EUR"), Some(&-4_750));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn evidence_waits_for_the_service_and_then_books(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = shop.pays_as(1, euros(100), "unknown").await;
    let declined = shop.pays_as(2, euros(50), "declined").await;
    let file = SettlementFile::new().capture(&unknown).capture(&declined).write();
    let progress = shop.reconciles(&file).await;
    assert_eq!((progress.waiting, progress.matched, progress.breaks), (2, 0, 0));
    assert_eq!(shop.balances().await, books(&[]));
    let pending = evidence::pending(&pool, shop.merchant, 10).await.unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(pending[0].operation_id, unknown.operation_id);
    assert_eq!((pending[0].effect, pending[0].amount), (Effect::Capture, euros(100)));
    assert_eq!(pending[0].psp_reference.as_deref(), Some("pi_1"));
    assert!(shop.settles().await.is_idle(), "nobody has applied it");
    assert!(run::merchants_due(&pool).await.unwrap().contains(&shop.merchant));

    shop.succeeds_late(&unknown).await;
    assert_eq!(evidence::pending(&pool, shop.merchant, 10).await.unwrap().len(), 1);
    let progress = shop.settles().await;
    assert_eq!((progress.lines, progress.matched), (1, 1));
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("seller_available/s-1 EUR"), Some(&-9_500));

    shop.succeeds_late(&declined).await;
    shop.settles().await;
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("seller_available/s-2 EUR"), Some(&-4_750));
    assert!(shop.settles().await.is_idle());
    assert!(run::merchants_due(&pool).await.unwrap().is_empty());
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn evidence_that_is_refused_becomes_a_break(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let declined = shop.pays_as(1, euros(100), "declined").await;
    let file = SettlementFile::new().capture(&declined).write();
    let taken = shop.takes_in(&file).await.unwrap();
    shop.settles().await;
    assert_eq!(evidence::waiting(&pool, shop.merchant, &[taken.file_id]).await.unwrap(), 1);
    let evidence = evidence::pending(&pool, shop.merchant, 10).await.unwrap().remove(0);
    let mut tx = pool.begin().await.unwrap();
    let refused =
        evidence::refuse_in_tx(&mut tx, shop.merchant, evidence.file_id, evidence.line_no, "cancelled");
    assert!(refused.await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(evidence::pending(&pool, shop.merchant, 10).await.unwrap(), []);
    assert_eq!(shop.settles().await.breaks, 1);
    shop.check_books().await;
    assert_eq!(shop.open_breaks().await, [("status".to_owned(), Some(declined.operation_id.as_uuid()))]);
    assert_eq!(
        shop.balances().await,
        books(&[("psp_balance EUR", 9_700), ("psp_fees EUR", 300), ("suspense EUR", -10_000)])
    );
    assert_eq!(evidence::waiting(&pool, shop.merchant, &[taken.file_id]).await.unwrap(), 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_refund_settles_against_its_refund(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    sqlx::query(
        "insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status, fence,
             lease_until, first_sent_at, psp_reference, psp_target, idempotency_key, created_at, updated_at)
         values ($1, gen_random_uuid(), $2, 'refund', $3, 4000, 'EUR', 'succeeded', 1, $4, $4, 're_1', 'pi_1', 'k', $4, $4)",
    )
    .bind(shop.merchant.as_uuid())
    .bind(paid.payment_id.as_uuid())
    .bind(shop.account.as_uuid())
    .bind(PAID_AT)
    .execute(&pool)
    .await
    .unwrap();
    let file = SettlementFile::new()
        .capture(&paid)
        .row("txn_r", "refund", euros(-40), 0, "re_1", &paid.intent, &paid.operation_id.to_string(), "o-1")
        .write();
    let progress = shop.reconciles(&file).await;
    assert_eq!((progress.matched, progress.breaks), (2, 0));
    let balances = shop.balances().await;
    assert_eq!(balances.get("psp_balance EUR"), Some(&5_700));
    // the refund itself is posted by the service; this fixture has none, so the receivable shows it
    assert_eq!(balances.get("psp_receivable EUR"), Some(&4_000));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_crash_between_chunks_is_taken_up_where_it_was(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let mut file = SettlementFile::new();
    for number in 1..=10 {
        file = file.capture(&shop.pays(number, 10).await);
    }
    let file = file.write();
    let opened = Source::from(&*file).open().unwrap();
    // the run dies in the middle of the file: its future is dropped in the third chunk, so that at least one is committed
    let stored = Arc::new(tokio::sync::Notify::new());
    let account = intake::account(&pool, shop.merchant, None).await.unwrap();
    let of_the_run = sqlx::PgPool::connect_with((*pool.connect_options()).clone()).await.unwrap();
    let signal = stored.clone();
    let observer: intake::Observer = Arc::new(move |event| {
        if matches!(event, intake::Event::Stored { lines: 7.., .. }) {
            signal.notify_one();
        }
    });
    tokio::select! {
        biased;
        () = stored.notified() => {}
        taken = intake::take_in(&of_the_run, shop.merchant, &account, opened, None, 3, observer) => panic!("{taken:?}"),
    }
    of_the_run.close().await;
    assert!(shop.count("settlement_line").await >= 3);
    shop.check_books().await;
    let interrupted = intake::interrupted(&pool, shop.merchant, shop.account).await.unwrap();
    assert_eq!(interrupted.len(), 1);
    assert!(shop.settles().await.is_idle(), "a file that is not whole is not settled");

    // chunks of another size than the file was begun with would cut it elsewhere
    let taken = shop.takes_in_by(&file, 4).await.unwrap();
    assert!(!taken.known_before);
    assert!((1..=7).contains(&taken.progress.matched), "{taken:?}");
    assert_eq!((shop.count("settlement_line").await, shop.count("settlement_chunk").await), (10, 4));
    assert_eq!(shop.open_breaks().await, [], "its own lines are no duplicates");
    assert_eq!(shop.settles().await.files, 1);
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&9_700));
    assert_eq!(shop.balances().await.get("psp_receivable EUR"), None);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_booked_of_an_interrupted_file_stays_booked(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let (first, second) = (shop.pays(1, 10).await, shop.pays(2, 20).await);
    let broken_off = SettlementFile::new().capture(&first).capture(&second).write();
    shop.takes_in_by(&broken_off, 1).await.unwrap();
    sqlx::query("update settlement_file set state = 'reading', read_at = null").execute(&pool).await.unwrap();
    for file in intake::interrupted(&pool, shop.merchant, shop.account).await.unwrap() {
        assert!(!intake::drop_interrupted(&pool, shop.merchant, file.file_id).await.unwrap());
    }
    let again = SettlementFile::new().capture(&second).write();
    shop.reconciles(&again).await;
    assert_eq!(shop.open_breaks().await, [("duplicate".to_owned(), None)]);
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&2_910));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_file_of_which_nothing_is_stored_can_be_dropped(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    shop.takes_in(&SettlementFile::new().write()).await.unwrap();
    sqlx::query("update settlement_file set state = 'reading', read_at = null").execute(&pool).await.unwrap();
    for file in intake::interrupted(&pool, shop.merchant, shop.account).await.unwrap() {
        assert!(intake::drop_interrupted(&pool, shop.merchant, file.file_id).await.unwrap());
    }
    assert_eq!(shop.count("settlement_file").await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_file_that_was_read_cannot_be_dropped(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new().fee("txn_1", 1).write();
    let taken = shop.takes_in(&file).await.unwrap();
    assert!(!intake::drop_interrupted(&pool, shop.merchant, taken.file_id).await.unwrap());
    assert_eq!(shop.count("settlement_line").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn many_at_once_store_and_book_each_line_once(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let mut file = SettlementFile::new();
    for number in 1..=60 {
        file = file.capture(&shop.pays(number, 10).await);
    }
    let file = Arc::new(file.write());
    let run = |shop: Shop, file: Arc<support::Written>| async move {
        let taken = shop.takes_in_by(&file, 4).await.unwrap();
        shop.settles().await.matched + taken.progress.matched
    };
    let runs: Vec<_> = (0..4).map(|_| tokio::spawn(run(shop.clone(), file.clone()))).collect();
    let mut matched = 0;
    for run in runs {
        matched += run.await.unwrap();
    }
    matched += shop.settles().await.matched;
    assert_eq!(matched, 60);
    shop.check_books().await;
    let balances = shop.balances().await;
    assert_eq!(balances.get("psp_balance EUR"), Some(&(60 * 970)));
    assert_eq!(balances.get("psp_receivable EUR"), None);
    assert_eq!(shop.open_breaks().await, []);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn sellers_repay_their_debt_from_what_is_settled(pool: PgPool) {
    use ledger::account::Account;
    let shop = Shop::open(&pool).await;
    let (first, second) = (shop.pays(1, 100).await, shop.pays(4, 100).await);
    let owed = ledger::posting::Posting::builder(
        ledger::posting::Source { table: "test", id: uuid::Uuid::nil() },
        "debt",
        PAID_AT.date(),
    )
    .debit(Account::SellerDebt("s-1".parse().unwrap()), euros(120))
    .credit(Account::BankCash, euros(120))
    .build()
    .unwrap();
    let mut tx = pool.begin().await.unwrap();
    ledger::posting::post_in_tx(&mut tx, shop.merchant, &[owed]).await.unwrap();
    tx.commit().await.unwrap();
    let file = SettlementFile::new().capture(&first).of_payout("po_2").capture(&second).write();
    shop.reconciles(&file).await;
    let balances = shop.balances().await;
    assert_eq!(balances.get("seller_debt/s-1 EUR"), None);
    assert_eq!(balances.get("seller_available/s-1 EUR"), Some(&-7_000));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_chunk_that_the_books_refuse_does_not_hold_up_the_others(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let (broken, good) = (shop.pays(1, 100).await, shop.pays(2, 100).await);
    sqlx::query("update payment_split set amount = amount + 1 where payment_id = $1")
        .bind(broken.payment_id.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    let file = SettlementFile::new().capture(&broken).capture(&good).write();
    let mut progress = shop.takes_in_by(&file, 1).await.unwrap().progress;
    progress.add(&shop.settles().await);
    assert_eq!((progress.blocked, progress.matched, progress.files), (1, 1, 0));
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&9_700));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_line_that_waited_and_cannot_be_booked_does_not_hold_up_the_others(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let mut file = SettlementFile::new();
    let mut waiting = Vec::new();
    for number in 1..=3 {
        let paid = shop.pays_as(number, euros(10), "unknown").await;
        file = file.capture(&paid);
        waiting.push(paid);
    }
    shop.reconciles(&file.write()).await;
    for paid in &waiting {
        shop.succeeds_late(paid).await;
    }
    sqlx::query("update payment_split set amount = amount + 1 where payment_id = $1")
        .bind(waiting[1].payment_id.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    let progress = shop.settles().await;
    assert_eq!((progress.blocked, progress.matched), (1, 2));
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&(2 * 970)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn one_merchants_file_never_touches_another(pool: PgPool) {
    let (shop, other) = (Shop::open(&pool).await, Shop::open(&pool).await);
    let (ours, theirs) = (shop.pays(1, 100).await, other.pays(1, 100).await);
    // the other's references, in our file
    let file = SettlementFile::new()
        .capture(&ours)
        .row("txn_o", "charge", euros(100), 0, "ch_o", "", &theirs.operation_id.to_string(), "o-1")
        .write();
    shop.reconciles(&file).await;
    assert_eq!(shop.open_breaks().await.len(), 1);
    assert_eq!(other.balances().await.get("seller_pending/s-1 EUR"), Some(&-9_500));
    other.reconciles(&file).await;
    assert_eq!(other.count("settlement_line").await, 2, "the same content is another tenant's own file");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_account_is_the_named_one_or_the_only_one(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let only = intake::account(&pool, shop.merchant, None).await.unwrap();
    assert_eq!(only.psp_account_id, shop.account);
    let second = PspAccountId::new();
    shop.add_account(second).await;
    let ambiguous = intake::account(&pool, shop.merchant, None).await.unwrap_err();
    assert!(ambiguous.to_string().contains(&second.to_string()), "{ambiguous}");
    let named = intake::account(&pool, shop.merchant, Some(second)).await.unwrap();
    assert_eq!(named.psp_account_id, second);
    let unknown = intake::account(&pool, shop.merchant, Some(PspAccountId::new())).await.unwrap_err();
    assert!(matches!(unknown, intake::Error::NoAccount { .. }));
    // a file belongs to the account that it came for
    let file = SettlementFile::new().fee("txn_1", 1).write();
    shop.takes_in(&file).await.unwrap();
    let observer: intake::Observer = Arc::new(|_| ());
    let elsewhere = intake::take_in(
        &pool,
        shop.merchant,
        &named,
        Source::from(&*file).open().unwrap(),
        None,
        10,
        observer,
    )
    .await
    .unwrap_err();
    assert!(matches!(elsewhere, intake::Error::OtherAccount { .. }), "{elsewhere}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_late_success_opens_one_break_however_often_it_is_told(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let declined = shop.pays_as(1, euros(100), "declined").await;
    let new = NewBreak {
        found: Some(declined.amount),
        operation_id: Some(declined.operation_id),
        payment_id: Some(declined.payment_id),
        order_id: Some(declined.order_id.clone()),
        detail: "paid after it was given up".to_owned(),
        ..NewBreak::new(
            BreakKind::LateSuccess,
            At::Psp(shop.account),
            declined.operation_id.to_string(),
            declined.amount.currency,
            PAID_AT.date(),
        )
    };
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut tx = pool.begin().await.unwrap();
        ids.push(break_::open_in_tx(&mut tx, shop.merchant, &new).await.unwrap());
        tx.commit().await.unwrap();
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        shop.open_breaks().await,
        [("late_success".to_owned(), Some(declined.operation_id.as_uuid()))]
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_file_of_another_psp_is_matched_and_keeps_what_it_says_besides(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let progress = shop.reconciles(support::adyens_report(&paid, "USD", "110.00").path()).await;
    assert_eq!((progress.matched, progress.breaks), (1, 0));
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&9_700));
    let file: (String, Option<String>) =
        sqlx::query_as("select format, identity from settlement_file").fetch_one(&pool).await.unwrap();
    assert_eq!(file, ("adyen_settlement_detail".to_owned(), Some("ShopDE/17".to_owned())));
    type Kept = (String, i64, String, i64, i64, i64);
    let kept: Kept = sqlx::query_as(
        "select method, presented_amount, presented_currency, interchange, scheme_fee, markup from settlement_line",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(kept, ("visa".to_owned(), 11_000, "USD".to_owned(), 150, 50, 100));
}
