use std::collections::BTreeMap;

use ledger::account::Account;
use money::{Currency, FileId, MerchantId, OperationId, PspAccountId};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{BankFileReport, BankGiven, BreakExample, BreakGroup, CurrencyReport, FileReport};
use crate::break_::BreakKind;

/// Examples shown per kind and currency.
const EXAMPLES: i64 = 5;

fn uuids(files: &[FileId]) -> Vec<Uuid> {
    files.iter().map(|file| file.as_uuid()).collect()
}

pub(super) async fn files(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    given: &[(FileId, bool)],
) -> Result<Vec<FileReport>, sqlx::Error> {
    let ids: Vec<Uuid> = given.iter().map(|(file, _)| file.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select f.file_id as "file_id: FileId", f.name, encode(f.sha256, 'hex') as "sha256!", f.state, f.lines, f.map_name,
                coalesce((select sum(c.duplicates) from settlement_chunk c
                    where c.merchant_id = $1 and c.file_id = f.file_id), 0)::bigint as "duplicates!",
                (select count(*) from settlement_evidence e
                    where e.merchant_id = $1 and e.file_id = f.file_id and e.settled_at is null) as "waiting!"
         from settlement_file f where f.merchant_id = $1 and f.file_id = any($2)
         order by array_position($2, f.file_id)"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| FileReport {
            file_id: row.file_id,
            name: row.name,
            map: row.map_name,
            sha256: row.sha256,
            state: row.state,
            lines: row.lines,
            duplicates: row.duplicates,
            waiting: row.waiting,
            known_before: given.iter().any(|(file, before)| *file == row.file_id && *before),
        })
        .collect())
}

pub(super) async fn bank_files(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    given: &[BankGiven],
) -> Result<Vec<BankFileReport>, sqlx::Error> {
    let ids: Vec<Uuid> = given.iter().map(|given| given.file_id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select f.file_id as "file_id: FileId", f.name, encode(f.sha256, 'hex') as "sha256!", f.statements, f.entries,
                (select count(*) from bank_statement s
                     join bank_entry e on e.merchant_id = s.merchant_id and e.statement_id = s.statement_id
                     where s.merchant_id = $1 and s.file_id = f.file_id and not e.of_psp) as "of_others!",
                (select count(*) from bank_statement s
                     join bank_entry e on e.merchant_id = s.merchant_id and e.statement_id = s.statement_id
                     where s.merchant_id = $1 and s.file_id = f.file_id and e.of_psp and e.open = 0) as "matched!"
         from bank_file f where f.merchant_id = $1 and f.file_id = any($2)
         order by array_position($2, f.file_id)"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let known_before = |id| given.iter().any(|given| given.file_id == id && given.known_before);
    Ok(rows
        .into_iter()
        .map(|row| BankFileReport {
            file_id: row.file_id,
            name: row.name,
            sha256: row.sha256,
            statements: row.statements,
            entries: row.entries,
            of_others: row.of_others,
            matched: row.matched,
            known_before: known_before(row.file_id),
        })
        .collect())
}

/// Other files of the account whose reading broke off.
pub(super) async fn interrupted(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    files: &[FileId],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from settlement_file
         where merchant_id = $1 and psp_account_id = $2 and state = 'reading' and file_id <> all($3)
         order by created_at, file_id",
        merchant.as_uuid(),
        account.map(PspAccountId::as_uuid),
        &uuids(files),
    )
    .fetch_all(&mut **tx)
    .await
}

pub(super) async fn currencies(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    files: &[FileId],
) -> Result<Vec<CurrencyReport>, ledger::Error> {
    let rows = sqlx::query!(
        r#"with booking as (
             select *, file_id = any($3) as given from settlement_booking where merchant_id = $1 and psp_account_id = $2
         )
         select currency,
                coalesce(sum(lines) filter (where given), 0)::bigint as "lines!",
                coalesce(sum(matched) filter (where given), 0)::bigint as "matched!",
                coalesce(sum(captures) filter (where given), 0)::bigint as "captures!",
                coalesce(sum(refunds) filter (where given), 0)::bigint as "refunds!",
                coalesce(sum(chargebacks) filter (where given), 0)::bigint as "chargebacks!",
                coalesce(sum(adjustments) filter (where given), 0)::bigint as "adjustments!",
                coalesce(sum(fees - fee_lines) filter (where given), 0)::bigint as "fees!",
                coalesce(sum(seller_payouts) filter (where given), 0)::bigint as "seller_payouts!",
                coalesce(sum(-payouts) filter (where given), 0)::bigint as "payouts!",
                coalesce(sum(suspense) filter (where given), 0)::bigint as "suspense!",
                sum(balance_change)::bigint as "booked!"
         from booking group by currency order by currency"#,
        merchant.as_uuid(),
        account.map(PspAccountId::as_uuid),
        &uuids(files),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut reports = Vec::with_capacity(rows.len());
    for row in rows {
        let psp_balance = match account {
            Some(account) => psp_balance(tx, merchant, account, &row.currency).await?,
            None => 0,
        };
        reports.push(CurrencyReport {
            currency: row.currency,
            lines: row.lines,
            matched: row.matched,
            captures: row.captures,
            refunds: row.refunds,
            chargebacks: row.chargebacks,
            adjustments: row.adjustments,
            fees: row.fees,
            seller_payouts: row.seller_payouts,
            net: row.captures + row.refunds + row.chargebacks + row.adjustments + row.seller_payouts
                - row.fees,
            payouts: row.payouts,
            suspense: row.suspense,
            psp_balance,
            residual: psp_balance - row.booked,
        });
    }
    Ok(reports)
}

async fn psp_balance(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    currency: &str,
) -> Result<i64, ledger::Error> {
    let currency: Currency =
        currency.parse().map_err(|error| ledger::Error::Database(sqlx::Error::Decode(Box::new(error))))?;
    let balances =
        ledger::balance::read_in_tx(tx, merchant, &[(Account::PspBalance(account), currency)]).await?;
    Ok(balances.into_iter().sum())
}

struct ExampleRow {
    kind: String,
    currency: String,
    break_id: Uuid,
    file: Option<String>,
    line: Option<i32>,
    psp_line_id: Option<String>,
    psp_reference: Option<String>,
    operation_id: Option<OperationId>,
    order_id: Option<String>,
    expected: Option<i64>,
    found: Option<i64>,
    found_currency: Option<String>,
    detail: String,
}

pub(super) async fn breaks(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    files: &[FileId],
) -> Result<Vec<BreakGroup>, sqlx::Error> {
    let groups = sqlx::query!(
        r#"select kind, currency, count(*) as "count!", coalesce(sum(expected), 0)::bigint as "expected!",
                coalesce(sum(found) filter (where found_currency = currency), 0)::bigint as "found!"
         from recon_break
         where merchant_id = $1 and (psp_account_id = $2 or bank_account_id is not null) and state = 'open'
           and (file_id is null or file_id = any($3))
         group by kind, currency order by kind, currency"#,
        merchant.as_uuid(),
        account.map(PspAccountId::as_uuid),
        &uuids(files),
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut examples = examples(tx, merchant, account, files).await?;
    groups
        .into_iter()
        .map(|group| {
            let kind = BreakKind::from_word(&group.kind)
                .ok_or_else(|| sqlx::Error::Decode(format!("break kind {:?}", group.kind).into()))?;
            let examples = examples.remove(&(group.kind, group.currency.clone())).unwrap_or_default();
            Ok(BreakGroup {
                kind,
                currency: group.currency,
                count: group.count,
                expected: group.expected,
                found: group.found,
                examples,
            })
        })
        .collect()
}

async fn examples(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    files: &[FileId],
) -> Result<BTreeMap<(String, String), Vec<BreakExample>>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ExampleRow,
        r#"select b.kind, b.currency, b.break_id,
                coalesce(f.name, bf.name) as file, coalesce(b.line_no, e.line_no) as line, b.psp_line_id, b.psp_reference,
                b.operation_id as "operation_id: OperationId", b.order_id, b.expected, b.found, b.found_currency, b.detail
         from (
             select *, row_number() over (partition by kind, currency order by subject) as position
             from recon_break
             where merchant_id = $1 and (psp_account_id = $2 or bank_account_id is not null) and state = 'open'
           and (file_id is null or file_id = any($3))
         ) b
         left join settlement_file f on f.merchant_id = b.merchant_id and f.file_id = b.file_id
         left join bank_entry e on e.merchant_id = b.merchant_id and e.entry_id = b.bank_entry_id
         left join bank_statement s on s.merchant_id = b.merchant_id and s.statement_id = e.statement_id
         left join bank_file bf on bf.merchant_id = b.merchant_id and bf.file_id = s.file_id
         where b.position <= $4 order by b.kind, b.currency, b.position"#,
        merchant.as_uuid(),
        account.map(PspAccountId::as_uuid),
        &uuids(files),
        EXAMPLES,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut examples: BTreeMap<(String, String), Vec<BreakExample>> = BTreeMap::new();
    for row in rows {
        examples.entry((row.kind, row.currency)).or_default().push(BreakExample {
            break_id: row.break_id,
            file: row.file,
            line: row.line,
            psp_line_id: row.psp_line_id,
            psp_reference: row.psp_reference,
            operation_id: row.operation_id,
            order_id: row.order_id,
            expected: row.expected,
            found: row.found,
            found_currency: row.found_currency,
            detail: row.detail,
        });
    }
    Ok(examples)
}

pub(super) async fn other_breaks(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: Option<PspAccountId>,
    files: &[FileId],
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from recon_break
         where merchant_id = $1 and psp_account_id = $2 and state = 'open' and file_id is not null and file_id <> all($3)"#,
        merchant.as_uuid(),
        account.map(PspAccountId::as_uuid),
        &uuids(files),
    )
    .fetch_one(&mut **tx)
    .await
}
