use ledger::account::Account;
use ledger::balance::{AccountFilter, list, movements, totals};
use ledger::posting::Posting;
use money::{Currency, Money, TransactionId};
use sqlx::PgPool;
use time::Date;
use time::macros::date;
use uuid::Uuid;

use super::{Books, DAY, available, funding, pending, posting};

async fn as_of(books: &Books, day: Option<Date>) -> Vec<(String, String, i64)> {
    let rows = list(&books.pool, books.merchant, &AccountFilter::default(), day).await.unwrap();
    rows.into_iter().map(|row| (row.code, row.currency, row.balance)).collect()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_balance_as_of_a_day_counts_what_was_effective_by_then(pool: PgPool) {
    let books = Books::open(&pool).await;
    let on = |day, minor| {
        posting(Uuid::now_v7(), "funding", day, &[(Account::BankCash, minor), (available("s-1"), -minor)])
    };
    // learned of in another order than they count
    books.post(&[on(date!(2026 - 03 - 03), 4)]).await.unwrap();
    books.post(&[on(date!(2026 - 03 - 01), 1), on(date!(2026 - 03 - 02), 2)]).await.unwrap();
    ledger::balance::roll_up(&pool, books.merchant).await.unwrap();
    let expect = |minor: i64| {
        vec![
            ("bank_cash".to_owned(), "EUR".to_owned(), minor),
            ("seller_available/s-1".to_owned(), "EUR".to_owned(), -minor),
        ]
    };
    assert_eq!(as_of(&books, Some(date!(2026 - 02 - 28))).await, expect(0));
    assert_eq!(as_of(&books, Some(date!(2026 - 03 - 01))).await, expect(1));
    assert_eq!(as_of(&books, Some(date!(2026 - 03 - 02))).await, expect(3));
    assert_eq!(as_of(&books, Some(date!(2026 - 03 - 03))).await, expect(7));
    assert_eq!(as_of(&books, None).await, expect(7));
}

/// An exchange of five euros for six dollars, through the two fx legs.
fn exchange() -> Posting {
    let (euro, dollar) = (Money::new(5, Currency::EUR), Money::new(6, Currency::USD));
    let source = ledger::posting::Source { table: "exchange", id: Uuid::now_v7() };
    Posting::builder(source, "exchange", DAY)
        .debit(Account::Fx(Currency::USD), euro)
        .credit(Account::BankCash, euro)
        .debit(Account::BankCash, dollar)
        .credit(Account::Fx(Currency::EUR), dollar)
        .build()
        .unwrap()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_trial_balance_is_zero_in_each_currency(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[exchange(), books.capture(Uuid::now_v7(), "s-1", 100), funding("s-2", 7)]).await.unwrap();
    let rows = as_of(&books, None).await;
    for currency in ["EUR", "USD"] {
        let of_currency: Vec<i64> = rows.iter().filter(|row| row.1 == currency).map(|row| row.2).collect();
        assert!(of_currency.iter().any(|balance| *balance != 0), "{currency}");
        assert_eq!(of_currency.iter().sum::<i64>(), 0, "{currency}");
    }
    assert_eq!(rows, as_of(&books, Some(DAY)).await);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn accounts_are_listed_by_code_and_currency_page_by_page(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[exchange(), books.capture(Uuid::now_v7(), "s-1", 100)]).await.unwrap();
    let all = list(&pool, books.merchant, &AccountFilter::default(), None).await.unwrap();
    let names: Vec<(&str, &str)> = all.iter().map(|row| (row.code.as_str(), row.currency.as_str())).collect();
    let receivable = books.receivable().to_string();
    assert_eq!(
        names,
        [
            ("bank_cash", "EUR"),
            ("bank_cash", "USD"),
            ("fx/EUR", "USD"),
            ("fx/USD", "EUR"),
            ("platform_fees", "EUR"),
            (receivable.as_str(), "EUR"),
            ("seller_pending/s-1", "EUR"),
        ]
    );
    for day in [None, Some(DAY)] {
        let mut paged = Vec::new();
        let mut filter = AccountFilter { limit: Some(2), ..AccountFilter::default() };
        loop {
            let page = list(&pool, books.merchant, &filter, day).await.unwrap();
            let Some(last) = page.last() else { break };
            filter.after = Some((last.code.clone(), last.currency.clone()));
            paged.extend(page);
        }
        assert_eq!(paged, all);
        let dollars = AccountFilter { currency: Some("USD".to_owned()), ..AccountFilter::default() };
        assert_eq!(list(&pool, books.merchant, &dollars, day).await.unwrap().len(), 2);
        let named = AccountFilter { codes: Some(vec!["bank_cash".to_owned()]), ..AccountFilter::default() };
        assert_eq!(list(&pool, books.merchant, &named, day).await.unwrap().len(), 2);
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn movements_are_paged_newest_first_without_gap_or_repeat(pool: PgPool) {
    let books = Books::open(&pool).await;
    let accounts: Vec<_> = [pending("s-1"), available("s-1")]
        .iter()
        .map(|account| account.id(books.merchant, Currency::EUR))
        .collect();
    for minor in 2..7 {
        books.post(&[books.capture(Uuid::now_v7(), "s-1", minor)]).await.unwrap();
    }
    // a transaction that moves both of them: a page may end between its entries
    let settle = posting(Uuid::now_v7(), "settlement", DAY, &[(pending("s-1"), 3), (available("s-1"), -3)]);
    books.post(&[settle]).await.unwrap();
    books.post(&[books.capture(Uuid::now_v7(), "s-2", 50)]).await.unwrap();

    let all = movements(&pool, books.merchant, &accounts, None, 100).await.unwrap();
    let amounts: Vec<i64> = all.iter().map(|movement| movement.amount).collect();
    assert_eq!(amounts.iter().map(|amount| amount.abs()).collect::<Vec<_>>(), [3, 3, 5, 4, 3, 2, 1]);
    assert_eq!(amounts.iter().sum::<i64>(), -15);
    for limit in 1..4 {
        let mut paged = Vec::new();
        let mut before: Option<(TransactionId, i16)> = None;
        loop {
            let page = movements(&pool, books.merchant, &accounts, before, limit).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some((last.transaction_id, last.entry_no));
            paged.extend(page);
        }
        assert_eq!(paged, all, "{limit} at a time");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn balances_are_read_in_the_order_asked_for_and_an_unheard_of_account_has_zero(pool: PgPool) {
    let books = Books::open(&pool).await;
    books.post(&[funding("s-1", 7), funding("s-2", 9)]).await.unwrap();
    let accounts = [available("s-2"), Account::Suspense, available("s-1"), available("s-2")]
        .map(|account| (account, Currency::EUR));
    let read = ledger::balance::read(&pool, books.merchant, &accounts).await.unwrap();
    assert_eq!(read, [9, 0, 7, 9]);
    let dollars = [(available("s-1"), Currency::USD)];
    assert_eq!(ledger::balance::read(&pool, books.merchant, &dollars).await.unwrap(), [0]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn totals_are_by_group_of_accounts_and_debits_equal_credits(pool: PgPool) {
    let books = Books::open(&pool).await;
    let captures = ["s-1", "s-2"].map(|seller| books.capture(Uuid::now_v7(), seller, 100));
    books.post(&captures).await.unwrap();
    books.post(&[exchange()]).await.unwrap();
    ledger::balance::roll_up(&pool, books.merchant).await.unwrap();
    books.post(&[books.capture(Uuid::now_v7(), "s-1", 10)]).await.unwrap();
    let now = totals(&pool, books.merchant, None).await.unwrap();
    let rows: Vec<(&str, &str, i64, i64)> = now
        .iter()
        .map(|total| (total.group.as_str(), total.currency.as_str(), total.debits, total.credits))
        .collect();
    assert_eq!(
        rows,
        [
            ("bank_cash", "EUR", 0, 5),
            ("fx", "EUR", 5, 0),
            ("platform_fees", "EUR", 0, 3),
            ("psp_receivable", "EUR", 210, 0),
            ("seller_pending", "EUR", 0, 207),
            ("bank_cash", "USD", 6, 0),
            ("fx", "USD", 0, 6),
        ]
    );
    assert_eq!(totals(&pool, books.merchant, Some(DAY)).await.unwrap(), now);
    let before = totals(&pool, books.merchant, DAY.previous_day()).await.unwrap();
    assert!(before.iter().all(|total| total.debits == 0 && total.credits == 0), "{before:?}");
}
