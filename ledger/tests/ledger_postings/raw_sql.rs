//! What the database itself refuses, to anybody: each constraint tripped once, by its name.

use std::collections::BTreeSet;

use sqlx::PgPool;

/// Accounts 10 and 11 in euros, 12 in dollars; transaction 100 moves five euros from 11 to 10. `book(n)` makes the
/// head of transaction n, and `id(n)` any id.
const OPEN: &str = "
    create function id(n int) returns uuid language sql immutable as
        $$ select lpad(n::text, 32, '0')::uuid $$;
    create function book(n int) returns void language sql as
        $$ insert into ledger_transaction
               (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
           values (id(1), id(n), 'operation', id(n), 'capture', '2026-03-01') $$;
    insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
    values (id(1), id(10), 'a', 'EUR', 'asset', 1), (id(1), id(11), 'b', 'EUR', 'liability', -1),
           (id(1), id(12), 'a', 'USD', 'asset', 1), (id(1), id(13), 'c', 'EUR', 'liability', -1);
    insert into ledger_balance (merchant_id, account_id, normal_side, floored, balance)
    values (id(1), id(10), 1, false, 5), (id(1), id(11), -1, true, -5);
    insert into ledger_balance_delta (merchant_id, delta_id, account_id, amount) values (id(1), id(1), id(10), 1);
    select book(100);
    insert into ledger_entry values (id(1), id(100), 0, id(10), 'EUR', 5), (id(1), id(100), 1, id(11), 'EUR', -5)";

/// Scripts, each one database transaction, and the constraint that refuses it.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "one leg",
        "select book(101); insert into ledger_entry values (id(1), id(101), 0, id(10), 'EUR', 5)",
        "ledger_transaction_zero_sum",
    ),
    (
        "two legs that differ",
        "select book(101); insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(101), 1, id(11), 'EUR', -4)",
        "ledger_transaction_zero_sum",
    ),
    (
        "legs that balance only across currencies",
        "select book(101); insert into ledger_entry
         values (id(1), id(101), 0, id(11), 'EUR', -5), (id(1), id(101), 1, id(12), 'USD', 5)",
        "ledger_transaction_zero_sum",
    ),
    (
        "legs that balance only across transactions",
        "select book(101), book(102); insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(102), 0, id(11), 'EUR', -5)",
        "ledger_transaction_zero_sum",
    ),
    (
        "a second leg in a statement of its own: between the two, the first does not balance",
        "select book(101); insert into ledger_entry values (id(1), id(101), 0, id(10), 'EUR', 5);
         insert into ledger_entry values (id(1), id(101), 1, id(11), 'EUR', -5)",
        "ledger_transaction_zero_sum",
    ),
    (
        "one leg more, after a balanced pair",
        "select book(101); insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(101), 1, id(11), 'EUR', -5);
         insert into ledger_entry values (id(1), id(101), 2, id(10), 'EUR', 1)",
        "ledger_transaction_zero_sum",
    ),
    (
        "a balanced pair for an old transaction",
        "insert into ledger_entry
         values (id(1), id(100), 2, id(10), 'EUR', 5), (id(1), id(100), 3, id(11), 'EUR', -5)",
        "ledger_entry_same_transaction",
    ),
    (
        "a balanced pair for no transaction",
        "insert into ledger_entry
         values (id(1), id(999), 0, id(10), 'EUR', 5), (id(1), id(999), 1, id(11), 'EUR', -5)",
        "ledger_entry_same_transaction",
    ),
    (
        "a balanced pair for the same transaction of another merchant",
        "select book(101); insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(2), id(10), 'a', 'EUR', 'asset', 1), (id(2), id(11), 'b', 'EUR', 'asset', 1);
         insert into ledger_entry
         values (id(2), id(101), 0, id(10), 'EUR', 5), (id(2), id(101), 1, id(11), 'EUR', -5)",
        "ledger_entry_same_transaction",
    ),
    (
        "an insert that would rather update",
        "select book(101); insert into ledger_entry
         values (id(1), id(100), 0, id(10), 'EUR', 6), (id(1), id(100), 1, id(11), 'EUR', -6)
         on conflict (merchant_id, transaction_id, entry_no) do update set amount = excluded.amount",
        "ledger_entry_append_only",
    ),
    ("an update", "update ledger_entry set amount = 2 * amount", "ledger_entry_append_only"),
    ("an update of nothing", "update ledger_entry set amount = 1 where false", "ledger_entry_append_only"),
    ("a delete", "delete from ledger_entry", "ledger_entry_append_only"),
    ("a truncate", "truncate ledger_entry", "ledger_entry_append_only"),
    (
        "a transaction that becomes today's, to take entries",
        "update ledger_transaction set xact_id = pg_current_xact_id()",
        "ledger_transaction_append_only",
    ),
    ("a delete", "delete from ledger_transaction", "ledger_transaction_append_only"),
    ("a truncate", "truncate ledger_transaction cascade", "ledger_transaction_append_only"),
    ("another currency", "update ledger_account set currency = 'USD'", "ledger_account_append_only"),
    ("a delete", "delete from ledger_account", "ledger_account_append_only"),
    ("a truncate", "truncate ledger_account cascade", "ledger_account_append_only"),
    (
        "a currency that is not the account's",
        "select book(101); insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'USD', 5), (id(1), id(101), 1, id(11), 'USD', -5)",
        "ledger_entry_account_fkey",
    ),
    (
        "an entry of nothing",
        "select book(101); insert into ledger_entry values (id(1), id(101), 0, id(10), 'EUR', 0)",
        "ledger_entry_amount_nonzero",
    ),
    (
        "an entry number twice",
        "select book(101); insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(101), 0, id(11), 'EUR', -5)",
        "ledger_entry_pkey",
    ),
    (
        "the same posting again",
        "insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
         values (id(1), id(101), 'operation', id(100), 'capture', '2026-03-02')",
        "ledger_transaction_source_key",
    ),
    (
        "a transaction twice",
        "insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
         values (id(1), id(100), 'operation', id(101), 'capture', '2026-03-01')",
        "ledger_transaction_pkey",
    ),
    (
        "a reversal of nothing",
        "insert into ledger_transaction
             (merchant_id, transaction_id, source_type, source_id, kind, effective_date, reverses_id)
         values (id(1), id(101), 'operation', id(101), 'reversal', '2026-03-01', id(999))",
        "ledger_transaction_reverses_fkey",
    ),
    (
        "a second reversal",
        "insert into ledger_transaction
             (merchant_id, transaction_id, source_type, source_id, kind, effective_date, reverses_id)
         values (id(1), id(101), 'operation', id(101), 'reversal', '2026-03-01', id(100)),
                (id(1), id(102), 'operation', id(102), 'reversal', '2026-03-01', id(100))",
        "ledger_transaction_reverses_once",
    ),
    (
        "an account's id twice",
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(1), id(10), 'd', 'EUR', 'asset', 1)",
        "ledger_account_pkey",
    ),
    (
        "an account's code and currency twice",
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(1), id(19), 'a', 'EUR', 'asset', 1)",
        "ledger_account_code_key",
    ),
    (
        "an unknown kind of account",
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(1), id(19), 'd', 'EUR', 'equity', 1)",
        "ledger_account_kind_known",
    ),
    (
        "an account without a side",
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(1), id(19), 'd', 'EUR', 'asset', 0)",
        "ledger_account_normal_side_known",
    ),
    (
        "a currency in small letters",
        "insert into ledger_account (merchant_id, account_id, code, currency, kind, normal_side)
         values (id(1), id(19), 'd', 'eur', 'asset', 1)",
        "ledger_account_currency_iso",
    ),
    (
        "a second balance of an account",
        "insert into ledger_balance (merchant_id, account_id, normal_side, floored) values (id(1), id(10), 1, false)",
        "ledger_balance_pkey",
    ),
    (
        "a balance of no account",
        "insert into ledger_balance (merchant_id, account_id, normal_side, floored) values (id(1), id(99), 1, false)",
        "ledger_balance_account_fkey",
    ),
    (
        "a floored balance on the wrong side of zero",
        "update ledger_balance set balance = 1 where account_id = id(11)",
        "ledger_balance_floor",
    ),
    (
        "one leg, behind a temporary table of the same name",
        "select book(101); create temp table ledger_entry (like public.ledger_entry) on commit drop;
         insert into public.ledger_entry values (id(1), id(101), 0, id(10), 'EUR', 5)",
        "ledger_transaction_zero_sum",
    ),
    (
        "an old transaction that claims to be of the next database transaction",
        "insert into ledger_transaction
             (merchant_id, transaction_id, source_type, source_id, kind, effective_date, xact_id)
         values (id(1), id(101), 'operation', id(101), 'capture', '2026-03-01',
                 (pg_current_xact_id()::text::bigint + 1)::text::xid8);
         commit; begin; select pg_current_xact_id();
         insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(101), 1, id(11), 'EUR', -5)",
        "ledger_entry_same_transaction",
    ),
    (
        "a floor taken away",
        "update ledger_balance set floored = false where account_id = id(11)",
        "ledger_balance_fixed",
    ),
    ("a balance deleted", "delete from ledger_balance where account_id = id(11)", "ledger_balance_fixed"),
    (
        "a delta twice",
        "insert into ledger_balance_delta (merchant_id, delta_id, account_id, amount)
         values (id(1), id(1), id(10), 1)",
        "ledger_balance_delta_pkey",
    ),
];

async fn run(pool: &PgPool, script: &'static str) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::raw_sql(script).execute(&mut *tx).await?;
    tx.commit().await
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn raw_sql_cannot_unbalance_rewrite_or_repeat(pool: PgPool) {
    run(&pool, OPEN).await.unwrap();
    for (what, script, constraint) in REFUSED {
        let error = run(&pool, script).await.expect_err(what);
        let refused_by = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(refused_by, Some(*constraint), "{what}: {error}");
    }
    let entries: Vec<i64> = sqlx::query_scalar("select amount from ledger_entry order by entry_no")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(entries, [5, -5], "what was there before is what is there now");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn every_constraint_of_the_ledger_is_tripped_above(pool: PgPool) {
    let named: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint where conrelid::regclass::text like 'ledger\\_%'
         union
         select indexrelid::regclass::text from pg_index
         where indrelid::regclass::text like 'ledger\\_%' and indisunique",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let mut named: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    assert!(
        named.remove("ledger_account_currency_key"),
        "the target of a foreign key: the primary key, which it contains, is always tripped first"
    );
    named.extend(["ledger_transaction_zero_sum", "ledger_entry_same_transaction"]);
    named.extend([
        "ledger_balance_fixed",
        "ledger_entry_append_only",
        "ledger_transaction_append_only",
        "ledger_account_append_only",
    ]);
    let tripped: BTreeSet<&str> = REFUSED.iter().map(|(_, _, constraint)| *constraint).collect();
    assert_eq!(tripped, named);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_transaction_may_grow_by_balanced_pairs_until_it_is_committed(pool: PgPool) {
    run(&pool, OPEN).await.unwrap();
    let script = "select book(101);
         insert into ledger_entry
         values (id(1), id(101), 0, id(10), 'EUR', 5), (id(1), id(101), 1, id(11), 'EUR', -5);
         insert into ledger_entry
         values (id(1), id(101), 2, id(10), 'EUR', 7), (id(1), id(101), 3, id(11), 'EUR', -7)";
    run(&pool, script).await.unwrap();
    let entries: i64 = sqlx::query_scalar("select count(*) from ledger_entry where transaction_id = id(101)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(entries, 4);
}
