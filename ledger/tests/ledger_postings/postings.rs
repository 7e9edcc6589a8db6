use ledger::posting::{Posted, Posting, TransactionFilter, list, post_in_tx};
use money::{Currency, TransactionId};
use sqlx::{Connection as _, Executor as _, PgPool, PgTransaction};
use uuid::Uuid;

use super::{Books, booked, pending};
use ledger::account::Account;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_posting_moves_its_accounts_and_the_same_one_again_moves_nothing(pool: PgPool) {
    let books = Books::open(&pool).await;
    let source = Uuid::now_v7();
    assert_eq!(booked(&books.post(&[books.capture(source, "s-1", 100)]).await.unwrap()), [true]);
    assert_eq!(books.post(&[books.capture(source, "s-1", 100)]).await.unwrap(), [Posted::Before]);
    assert_eq!(books.balance(&books.receivable()).await, 100);
    assert_eq!(books.balance(&pending("s-1")).await, 99, "on its normal side");
    assert_eq!(books.balance(&Account::PlatformFees).await, 1);
    assert_eq!(books.transactions().await, 1);
    assert_eq!(books.lies().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_batch_books_what_is_new_and_answers_in_its_order(pool: PgPool) {
    let books = Books::open(&pool).await;
    let (old, first, last) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    books.post(&[books.capture(old, "s-1", 100)]).await.unwrap();
    let batch =
        [books.capture(last, "s-2", 10), books.capture(old, "s-1", 100), books.capture(first, "s-1", 20)];
    assert_eq!(booked(&books.post(&batch).await.unwrap()), [true, false, true]);
    assert_eq!(books.balance(&books.receivable()).await, 130);
    assert_eq!(books.balance(&pending("s-1")).await, 99 + 19);
    assert_eq!(books.balance(&pending("s-2")).await, 9);
    assert_eq!(books.post(&[]).await.unwrap(), []);
    assert_eq!(books.lies().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_posting_that_is_rolled_back_never_was(pool: PgPool) {
    let books = Books::open(&pool).await;
    let capture = books.capture(Uuid::now_v7(), "s-1", 100);
    let mut tx = pool.begin().await.unwrap();
    let posted =
        ledger::posting::post_in_tx(&mut tx, books.merchant, std::slice::from_ref(&capture)).await.unwrap();
    assert_eq!(booked(&posted), [true]);
    tx.rollback().await.unwrap();
    assert_eq!(books.balance(&books.receivable()).await, 0);
    assert_eq!(booked(&books.post(&[capture]).await.unwrap()), [true], "it can be posted again");
    assert_eq!(books.balance(&books.receivable()).await, 100);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn two_merchants_with_the_same_sellers_and_sources_share_nothing(pool: PgPool) {
    let (ours, theirs) = (Books::open(&pool).await, Books::open(&pool).await);
    let source = Uuid::now_v7();
    ours.post(&[ours.capture(source, "s-1", 100)]).await.unwrap();
    assert_eq!(theirs.balance(&pending("s-1")).await, 0);
    assert_eq!(booked(&theirs.post(&[theirs.capture(source, "s-1", 30)]).await.unwrap()), [true]);
    assert_eq!(ours.balance(&pending("s-1")).await, 99);
    assert_eq!(theirs.balance(&pending("s-1")).await, 29);
    assert_ne!(
        pending("s-1").id(ours.merchant, Currency::EUR),
        pending("s-1").id(theirs.merchant, Currency::EUR)
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn transactions_are_listed_newest_first_and_page_by_page(pool: PgPool) {
    let books = Books::open(&pool).await;
    let sources: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    for (index, source) in sources.iter().enumerate() {
        let seller = if index % 2 == 0 { "even" } else { "odd" };
        books.post(&[books.capture(*source, seller, 10)]).await.unwrap();
    }
    let page = async |before: Option<TransactionId>, limit| {
        let filter = TransactionFilter { before, limit, ..TransactionFilter::default() };
        list(&pool, books.merchant, &filter).await.unwrap()
    };
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let rows = page(before, 2).await;
        let Some(last) = rows.last() else { break };
        before = Some(last.transaction_id);
        seen.extend(rows.iter().map(|row| row.source_id));
        assert!(rows.iter().all(|row| row.entries.len() == 3));
        assert!(rows.iter().all(|row| row.entries.iter().map(|entry| entry.amount).sum::<i64>() == 0));
    }
    seen.reverse();
    assert_eq!(seen, sources);

    let of_odd = TransactionFilter {
        account: Some("seller_pending/odd".to_owned()),
        limit: 10,
        ..TransactionFilter::default()
    };
    let odd = list(&pool, books.merchant, &of_odd).await.unwrap();
    let newest_odd = odd[0].transaction_id;
    let odd: Vec<Uuid> = odd.iter().map(|row| row.source_id).collect();
    assert_eq!(odd, [sources[3], sources[1]]);
    let older = TransactionFilter { before: Some(newest_odd), limit: 1, ..of_odd.clone() };
    let older = list(&pool, books.merchant, &older).await.unwrap();
    assert_eq!(older.iter().map(|row| row.source_id).collect::<Vec<_>>(), [sources[1]]);
    for (index, expected) in [(1, 1), (2, 0)] {
        let both = TransactionFilter { source_id: Some(sources[index]), ..of_odd.clone() };
        assert_eq!(list(&pool, books.merchant, &both).await.unwrap().len(), expected);
    }
    let of_source =
        TransactionFilter { source_id: Some(sources[2]), limit: 10, ..TransactionFilter::default() };
    let found = list(&pool, books.merchant, &of_source).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].source_type.as_str(), found[0].kind.as_str()), ("operation", "capture"));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_posting_reads_a_few_rows_also_where_its_plan_was_made_for_many_while_there_were_none(
    pool: PgPool,
) {
    let books = Books::open(&pool).await;
    let mut session = pool.acquire().await.unwrap();
    // as the sessions of a service that keeps its plans
    session.execute("set plan_cache_mode = force_generic_plan; set enable_seqscan = off").await.unwrap();
    let mut post = async |count: u32| {
        let captures: Vec<Posting> =
            (0..count).map(|_| books.capture(Uuid::now_v7(), "seller", 100)).collect();
        let mut tx = session.begin().await.unwrap();
        let before = rows_read(&mut tx).await;
        post_in_tx(&mut tx, books.merchant, &captures).await.unwrap();
        let read = rows_read(&mut tx).await - before;
        tx.commit().await.unwrap();
        read
    };
    post(500).await;
    let read = post(1).await;
    assert!(read < 50, "{read}");
}

/// Rows of the ledger that the session has read and not told the statistics yet.
async fn rows_read(tx: &mut PgTransaction<'_>) -> i64 {
    sqlx::query_scalar(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint from pg_stat_xact_user_tables
         where relname like 'ledger\\_%'",
    )
    .fetch_one(&mut **tx)
    .await
    .unwrap()
}
