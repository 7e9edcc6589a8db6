//! I16: no row refers to another merchant's. A reference holds a merchant by being looked up within it, so what a row
//! refers to must be there under its own merchant; foreign keys guard some of these, and this looks at all.
//!
//! What a PSP merely claims (the operation that a webhook or a settlement line names) is no reference until it is applied
//! or matched.

use money::MerchantId;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Counted, Found};

/// A table, its columns that refer to another table, that table and its columns.
struct Reference {
    table: &'static str,
    columns: &'static [&'static str],
    to: &'static str,
    keys: &'static [&'static str],
}

const fn reference(
    table: &'static str,
    columns: &'static [&'static str],
    to: &'static str,
    keys: &'static [&'static str],
) -> Reference {
    Reference { table, columns, to, keys }
}

const REFERENCES: &[Reference] = &[
    reference("payment", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("payment_split", &["payment_id"], "payment", &["payment_id"]),
    reference("payment_event", &["payment_id"], "payment", &["payment_id"]),
    reference("payment_event", &["payout_id"], "payout", &["payout_id"]),
    reference("payout", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("operation", &["payment_id"], "payment", &["payment_id"]),
    reference("operation", &["payout_id"], "payout", &["payout_id"]),
    reference("operation", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("operation_split", &["operation_id"], "operation", &["operation_id"]),
    reference("review_act", &["operation_id"], "operation", &["operation_id"]),
    reference("capture_draw", &["refund_id"], "operation", &["operation_id"]),
    reference("capture_draw", &["dispute_id"], "dispute", &["dispute_id"]),
    reference("dispute", &["payment_id"], "payment", &["payment_id"]),
    reference("dispute", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("dispute_split", &["dispute_id"], "dispute", &["dispute_id"]),
    reference("capture_draw", &["capture_id"], "operation", &["operation_id"]),
    reference("webhook_event", &["applied_to"], "operation", &["operation_id"]),
    reference("attempt", &["operation_id"], "operation", &["operation_id"]),
    reference("idempotency_key", &["payment_id"], "payment", &["payment_id"]),
    reference("idempotency_key", &["payout_id"], "payout", &["payout_id"]),
    reference("webhook_event", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("ledger_transaction", &["reverses_id"], "ledger_transaction", &["transaction_id"]),
    reference("ledger_entry", &["transaction_id"], "ledger_transaction", &["transaction_id"]),
    reference("ledger_entry", &["account_id"], "ledger_account", &["account_id"]),
    reference("ledger_balance", &["account_id"], "ledger_account", &["account_id"]),
    reference("ledger_balance_delta", &["account_id"], "ledger_account", &["account_id"]),
    reference("settlement_file", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("settlement_chunk", &["file_id"], "settlement_file", &["file_id"]),
    reference("settlement_line", &["file_id", "chunk_no"], "settlement_chunk", &["file_id", "chunk_no"]),
    reference("settlement_booking", &["file_id", "chunk_no"], "settlement_chunk", &["file_id", "chunk_no"]),
    reference("settlement_booking", &["transaction_id"], "ledger_transaction", &["transaction_id"]),
    reference("settlement_payout", &["psp_account_id"], "psp_account", &["psp_account_id"]),
    reference("bank_statement", &["bank_account_id"], "bank_account", &["bank_account_id"]),
    reference("bank_statement", &["file_id"], "bank_file", &["file_id"]),
    reference("bank_booking", &["statement_id"], "bank_statement", &["statement_id"]),
    reference("bank_booking", &["transaction_id"], "ledger_transaction", &["transaction_id"]),
    reference("bank_entry", &["statement_id"], "bank_statement", &["statement_id"]),
    reference("bank_entry", &["bank_account_id"], "bank_account", &["bank_account_id"]),
    reference("bank_match", &["entry_id"], "bank_entry", &["entry_id"]),
    reference(
        "bank_match",
        &["psp_account_id", "payout_id", "currency"],
        "settlement_payout",
        &["psp_account_id", "payout_id", "currency"],
    ),
    reference("bank_match", &["transaction_id"], "ledger_transaction", &["transaction_id"]),
    reference("bank_match", &["revoked_by"], "ledger_transaction", &["transaction_id"]),
    reference("recon_break", &["bank_account_id"], "bank_account", &["bank_account_id"]),
    reference("recon_break", &["bank_entry_id"], "bank_entry", &["entry_id"]),
    reference("recon_break_act", &["break_id"], "recon_break", &["break_id"]),
    reference("recon_adjustment", &["break_id"], "recon_break", &["break_id"]),
    reference("recon_adjustment", &["transaction_id"], "ledger_transaction", &["transaction_id"]),
    reference("recon_adjustment", &["reversed_by"], "ledger_transaction", &["transaction_id"]),
    reference("settlement_evidence", &["file_id", "line_no"], "settlement_line", &["file_id", "line_no"]),
    reference("settlement_evidence", &["operation_id"], "settleable_operation", &["operation_id"]),
    reference("settlement_evidence", &["booking_id"], "settlement_booking", &["booking_id"]),
    reference("recon_match", &["file_id", "line_no"], "settlement_line", &["file_id", "line_no"]),
    // the constraint that an operation has one match is by what the match is about
    reference(
        "recon_match",
        &["operation_id", "about_id"],
        "settleable_subject",
        &["operation_id", "about_id"],
    ),
    reference("recon_match", &["booking_id"], "settlement_booking", &["booking_id"]),
    reference("recon_break", &["payment_id"], "payment", &["payment_id"]),
    reference("recon_break", &["booking_id"], "settlement_booking", &["booking_id"]),
];

impl Reference {
    fn statement(&self) -> String {
        let Self { table, columns, to, keys } = self;
        let set: Vec<String> = columns.iter().map(|column| format!("c.{column} is not null")).collect();
        let same: Vec<String> =
            columns.iter().zip(*keys).map(|(column, key)| format!("p.{key} = c.{column}")).collect();
        let value: Vec<String> = columns.iter().map(|column| format!("c.{column}")).collect();
        let (set, same, value, name) =
            (set.join(" and "), same.join(" and "), value.join(", "), columns.join(", "));
        format!(
            "with offender as (
                 select distinct '{table}.{name} = ' || concat_ws('/', {value}) as id from {table} c
                 where c.merchant_id = $1 and {set}
                   and not exists (select from {to} p where p.merchant_id = $1 and {same})
             )
             select (select count(*) from {table} c where c.merchant_id = $1 and {set}),
                    (select count(*) from offender), array(select id from offender order by id limit 5)"
        )
    }
}

pub(super) async fn references(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let mut all = Counted { looked: 0, offending: 0, offenders: Vec::new() };
    for reference in REFERENCES {
        // made of the names above and nothing else
        let statement = AssertSqlSafe(reference.statement());
        let (looked, offending, offenders): (i64, i64, Vec<String>) =
            sqlx::query_as(statement).bind(merchant).fetch_one(&mut *db).await?;
        all.looked += looked;
        all.offending += offending;
        all.offenders.extend(offenders);
    }
    Ok(all.into())
}

/// One probe per table and merchant, along the primary key: rows of an unknown merchant belong to no merchant's audit.
pub(super) async fn known_merchants(db: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let tables: Vec<(String, String)> = sqlx::query_as(
        "select c.table_name::text, format('%I.%I', c.table_schema, c.table_name)
         from information_schema.columns c
         join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = current_schema() and c.column_name = 'merchant_id' and t.table_type = 'BASE TABLE'
           and c.table_name <> 'merchant'
         order by 1",
    )
    .fetch_all(&mut *db)
    .await?;
    let mut found = Found::default();
    for (table, quoted) in tables {
        // the name was quoted by the server
        let statement = AssertSqlSafe(format!(
            "with recursive found as (
                 (select merchant_id from {quoted} order by merchant_id limit 1)
                 union all
                 select (select t.merchant_id from {quoted} t where t.merchant_id > found.merchant_id
                         order by t.merchant_id limit 1)
                 from found where found.merchant_id is not null
             )
             select merchant_id::text, exists (select from merchant m where m.merchant_id = found.merchant_id)
             from found where merchant_id is not null"
        ));
        let merchants: Vec<(String, bool)> = sqlx::query_as(statement).fetch_all(&mut *db).await?;
        for (merchant, known) in merchants {
            found.judge(known, || format!("{table} of merchant {merchant}"));
        }
    }
    Ok(found)
}
