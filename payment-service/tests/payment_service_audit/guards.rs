//! What is asked of the database as a whole.

use std::collections::BTreeSet;

use payment_service::audit::{Check, Options, Verdict};
use sqlx::{AssertSqlSafe, PgPool};

use super::shop::Shop;
use super::{checks, options, report_on};

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_trigger_that_is_gone_off_or_changed_is_missed(pool: PgPool) {
    let _shop = Shop::open(&pool).await;
    for (sql, missed) in [
        (
            "alter table ledger_entry disable trigger ledger_entry_balanced",
            "ledger_entry_balanced on ledger_entry",
        ),
        ("drop trigger attempt_append_only on attempt", "attempt_append_only on attempt"),
        ("alter table payment disable trigger payment_rules", "payment_rules on payment"),
        ("alter table operation disable trigger operation_rules", "operation_rules on operation"),
        (
            "create or replace trigger operation_rules before insert or update of status on operation
                 for each row execute function operation_rules();
             alter table operation enable trigger operation_rules",
            "operation_rules on operation",
        ),
        ("alter table attempt disable trigger attempt_rules", "attempt_rules on attempt"),
        (
            "alter table idempotency_key disable trigger idempotency_key_rules",
            "idempotency_key_rules on idempotency_key",
        ),
        (
            "drop trigger ledger_transaction_append_only on ledger_transaction;
             create trigger ledger_transaction_append_only before update on ledger_transaction
                 for each statement execute function append_only()",
            "ledger_transaction_append_only on ledger_transaction",
        ),
    ] {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        let report = report_on(&pool, &options(None)).await;
        assert_eq!(checks(&report, Verdict::Violated), BTreeSet::from([Check::AppendOnly]), "{report}");
        let offenders = &report.of(Check::AppendOnly).unwrap().offenders;
        assert!(offenders.iter().any(|offender| offender.id == missed), "{missed}: {report}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn sessions_that_fire_no_triggers_are_told(pool: PgPool) {
    let _shop = Shop::open(&pool).await;
    let set = sqlx::query_scalar::<_, String>(
        "select format('alter database %I set session_replication_role = replica', current_database())",
    );
    let set = set.fetch_one(&pool).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(set)).execute(&pool).await.unwrap();
    let report = report_on(&pool, &options(None)).await;
    assert_eq!(checks(&report, Verdict::Violated), BTreeSet::from([Check::AppendOnly]), "{report}");
}

/// Roles are the server's, not the database's: this one has a name of its own and is dropped.
#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_role_that_may_more_than_it_was_granted_is_told(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let role = format!("audited_{}", shop.merchant.as_uuid().simple());
    let run = async |sql: &str| {
        sqlx::raw_sql(AssertSqlSafe(sql.replace("ROLE", &role))).execute(&pool).await.unwrap();
    };
    let options = Options { app_role: role.clone(), ..options(None) };
    run("create role ROLE; grant select, insert on all tables in schema public to ROLE; revoke insert on _sqlx_migrations from ROLE")
        .await;
    let fine = report_on(&pool, &options).await;
    run("grant update on ledger_entry to ROLE; grant delete on payment to ROLE").await;
    let report = report_on(&pool, &options).await;
    run("drop owned by ROLE; drop role ROLE").await;
    assert_eq!(fine.of(Check::Privileges).unwrap().verdict, Verdict::Holds, "{fine}");
    assert_eq!(checks(&report, Verdict::Violated), BTreeSet::from([Check::Privileges]), "{report}");
    let told: Vec<&str> =
        report.of(Check::Privileges).unwrap().offenders.iter().map(|offender| offender.id.as_str()).collect();
    assert_eq!(told, [format!("{role} may delete payment"), format!("{role} may update ledger_entry")]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_role_that_is_not_there_cannot_be_vouched_for(pool: PgPool) {
    let _shop = Shop::open(&pool).await;
    let options = Options { app_role: "payonce_no_such_role".to_owned(), ..options(None) };
    let report = report_on(&pool, &options).await;
    assert_eq!(checks(&report, Verdict::Failed), BTreeSet::from([Check::Privileges]), "{report}");
    assert_eq!(report.exit_code(), 2);
    let note = report.of(Check::Privileges).unwrap().note.as_deref().unwrap_or_default();
    assert!(note.starts_with("there is no role payonce_no_such_role here"), "{note}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn rows_of_no_merchant_are_found(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let stranger = "00000000-0000-0000-0000-000000000007";
    shop.tamper(&format!(
        "insert into ledger_balance_delta (merchant_id, delta_id, account_id, amount)
         select '{stranger}', delta_id, account_id, amount from ledger_balance_delta limit 1"
    ))
    .await;
    let report = report_on(&pool, &options(None)).await;
    assert_eq!(checks(&report, Verdict::Violated), BTreeSet::from([Check::KnownMerchants]), "{report}");
    let offenders = &report.of(Check::KnownMerchants).unwrap().offenders;
    assert_eq!(offenders[0].id, format!("ledger_balance_delta of merchant {stranger}"));
}
