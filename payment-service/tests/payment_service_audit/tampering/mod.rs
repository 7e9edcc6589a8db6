//! Each check against rows that break it, and nothing else: a check that cannot fail is a defect.

mod books;
mod charges;
mod events;
mod history;
mod settlement;

use std::collections::BTreeSet;

use payment_service::audit::{Check, Verdict};
use sqlx::PgPool;

use super::shop::Shop;
use super::{checks, options, report_on};

/// `pay` and `op` find the payment and operation of an order by its ordinal; `manual` makes a transaction that moves
/// money from one account to another, and their balances with it.
const FUNCTIONS: &str = "
    create function pay(m uuid, o text, n int default 1) returns uuid language sql as
        $$ select payment_id from payment where merchant_id = m and order_id = o and ordinal = n $$;
    create function op(m uuid, o text, n int default 1) returns uuid language sql as
        $$ select operation_id from operation
           where merchant_id = m and payment_id = pay(m, o, n) and kind = 'authorize' $$;
    create function follow(m uuid, o text, k text, s text) returns uuid language sql as
        $$ select operation_id from operation
           where merchant_id = m and payment_id = pay(m, o) and kind = k and status = s $$;
    create function sent(m uuid, r text) returns uuid language sql as
        $$ select operation_id from operation where merchant_id = m and kind = 'payout' and psp_reference = r $$;
    create function paid_out(m uuid, r text) returns uuid language sql as
        $$ select payout_id from operation where merchant_id = m and kind = 'payout' and psp_reference = r $$;
    create function account(m uuid, c text) returns uuid language sql as
        $$ select account_id from ledger_account where merchant_id = m and code = c and currency = 'EUR' $$;
    create function manual(m uuid, from_code text, to_code text, minor bigint,
                           source text default 'manual', source_id uuid default gen_random_uuid(),
                           of_kind text default 'test') returns uuid language plpgsql as $$
    declare id uuid := gen_random_uuid();
    begin
        insert into ledger_transaction (merchant_id, transaction_id, source_type, source_id, kind, effective_date)
        values (m, id, source, source_id, of_kind, '2026-03-01');
        insert into ledger_entry values (m, id, 0, account(m, to_code), 'EUR', minor),
                                        (m, id, 1, account(m, from_code), 'EUR', -minor);
        update ledger_balance set balance = balance + minor where merchant_id = m and account_id = account(m, to_code);
        update ledger_balance set balance = balance - minor where merchant_id = m and account_id = account(m, from_code);
        return id;
    end $$";

/// Constraints that would refuse what is done below.
const UNGUARD: &str = "
    drop index payment_one_live_per_order;
    drop index operation_psp_reference_once;
    alter table payment drop constraint payment_refunds_within_captured,
        drop constraint payment_captured_within_authorized;
    alter table payment_split drop constraint payment_split_refunds_within_captured;
    alter table ledger_transaction drop constraint ledger_transaction_source_key;
    alter table ledger_balance drop constraint ledger_balance_floor";

struct Case {
    what: &'static str,
    tamper: &'static str,
    /// All that are violated by it; the first of them names the offender.
    violates: &'static [Check],
    /// Asks for the offender's id, before anything is done.
    offender: &'static str,
}

const fn case(
    what: &'static str,
    tamper: &'static str,
    violates: &'static [Check],
    offender: &'static str,
) -> Case {
    Case { what, tamper, violates, offender }
}

/// Shops that are each wrong in one way; the check of one that is not touched stays silent.
async fn each_is_found(pool: &PgPool, cases: &[Case]) {
    sqlx::raw_sql(FUNCTIONS).execute(pool).await.unwrap();
    let untouched = Shop::open(pool).await;
    let mut shops = Vec::new();
    for _ in cases {
        shops.push(Shop::open(pool).await);
    }
    sqlx::raw_sql(UNGUARD).execute(pool).await.unwrap();
    for (case, shop) in cases.iter().zip(&shops) {
        let expected = shop.text(case.offender).await;
        shop.tamper(case.tamper).await;
        let report = report_on(pool, &options(Some(shop.merchant))).await;
        let violated = checks(&report, Verdict::Violated);
        assert_eq!(violated, BTreeSet::from_iter(case.violates.iter().copied()), "{}: {report}", case.what);
        let offenders = &report.of(case.violates[0]).unwrap().offenders;
        assert!(
            offenders.iter().any(|found| found.id == expected && found.merchant_id == Some(shop.merchant)),
            "{}: {expected} is not among {offenders:?}",
            case.what
        );
        assert_eq!(report.exit_code(), 1, "{}", case.what);
    }
    let report = report_on(pool, &options(Some(untouched.merchant))).await;
    assert_eq!(report.exit_code(), 0, "{report}");
    let of_all = report_on(pool, &options(None)).await;
    let tampered: BTreeSet<Check> = cases.iter().flat_map(|case| case.violates).copied().collect();
    assert_eq!(checks(&of_all, Verdict::Violated), tampered, "{of_all}");
}

#[test]
fn every_check_of_a_merchants_rows_is_broken_above() {
    let sources = [
        include_str!("books.rs"),
        include_str!("charges.rs"),
        include_str!("events.rs"),
        include_str!("history.rs"),
        include_str!("settlement.rs"),
    ];
    let elsewhere = [
        Check::AppendOnly,
        Check::Privileges,
        Check::KnownMerchants,
        Check::SandboxChargedOnce,
        Check::SandboxEffects,
        Check::AcknowledgedSurvives,
        Check::RefusedMovedNothing,
        Check::HashChain,
    ];
    for check in Check::ALL.into_iter().filter(|check| !elsewhere.contains(check)) {
        let name = format!("{check:?}");
        let first = format!("&[{name}");
        assert!(
            sources.iter().any(|source| source.contains(&first)),
            "{name} is the first violated of no case"
        );
    }
}
