use money::{
    BankAccountId, BankEntryId, BreakId, Currency, MerchantId, OperationId, PaymentId, PspAccountId,
};
use sqlx::{PgConnection, PgPool};
use time::{Date, OffsetDateTime};

use super::{ActView, Break, BreakKind, BreakWithActs, Error, Filter, State};

struct Row {
    break_id: BreakId,
    kind: String,
    state: String,
    closed_how: Option<String>,
    closed_because: Option<String>,
    awaits_second_person: bool,
    psp_account_id: Option<PspAccountId>,
    bank_account_id: Option<BankAccountId>,
    currency: String,
    expected: Option<i64>,
    found: Option<i64>,
    found_currency: Option<String>,
    held_by: Option<String>,
    held: i64,
    held_currency: Option<String>,
    file: Option<String>,
    line: Option<i32>,
    psp_line_id: Option<String>,
    psp_reference: Option<String>,
    payout_id: Option<String>,
    bank_entry_id: Option<BankEntryId>,
    operation_id: Option<OperationId>,
    payment_id: Option<PaymentId>,
    order_id: Option<String>,
    detail: String,
    assignee: Option<String>,
    snoozed_until: Option<Date>,
    arose_on: Date,
    age_days: i32,
    opened_at: OffsetDateTime,
    closed_at: Option<OffsetDateTime>,
}

impl TryFrom<Row> for Break {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let kind = BreakKind::from_word(&row.kind).ok_or(Error::Corrupt(row.kind))?;
        let currency: Currency = row.currency.parse().map_err(|_| Error::Corrupt(row.currency))?;
        // of a closed one, nothing stands anywhere that is its own
        let holds = row.held != 0 && row.state == State::Open.as_str();
        Ok(Self {
            break_id: row.break_id,
            kind,
            state: row.state,
            closed_how: row.closed_how,
            closed_because: row.closed_because,
            awaits_second_person: row.awaits_second_person,
            psp_account_id: row.psp_account_id,
            bank_account_id: row.bank_account_id,
            currency,
            expected: row.expected,
            found: row.found,
            found_currency: row.found_currency,
            held_by: row.held_by.filter(|_| holds),
            held: if holds { row.held } else { 0 },
            held_currency: row.held_currency.filter(|_| holds),
            file: row.file,
            line: row.line,
            psp_line_id: row.psp_line_id,
            psp_reference: row.psp_reference,
            payout_id: row.payout_id,
            bank_entry_id: row.bank_entry_id,
            operation_id: row.operation_id,
            payment_id: row.payment_id,
            order_id: row.order_id,
            detail: row.detail,
            assignee: row.assignee,
            snoozed_until: row.snoozed_until,
            arose_on: row.arose_on,
            age_days: row.age_days,
            opened_at: row.opened_at,
            closed_at: row.closed_at,
        })
    }
}

/// One query text for a list and for one.
macro_rules! breaks {
    ($filter:literal $(, $parameter:expr)* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select b.break_id as "break_id: BreakId", b.kind, b.state, b.closed_how, b.closed_because,
                    coalesce((select t.kind = 'proposed' from recon_break_act t
                        where t.merchant_id = b.merchant_id and t.break_id = b.break_id
                          and t.kind in ('proposed', 'adjusted', 'accepted', 'reversed', 'closed')
                        order by t.act_no desc limit 1), false) as "awaits_second_person!",
                    b.psp_account_id as "psp_account_id: PspAccountId", b.bank_account_id as "bank_account_id: BankAccountId",
                    b.currency, b.expected, b.found, b.found_currency, h.account as held_by, h.amount as "held!",
                    h.currency as held_currency, coalesce(f.name, bf.name) as file,
                    coalesce(b.line_no, e.line_no) as line, b.psp_line_id, b.psp_reference, b.payout_id,
                    b.bank_entry_id as "bank_entry_id: BankEntryId", b.operation_id as "operation_id: OperationId",
                    b.payment_id as "payment_id: PaymentId", b.order_id, b.detail, b.assignee, b.snoozed_until, b.arose_on,
                    greatest(coalesce(b.closed_at, now())::date - b.arose_on, 0) as "age_days!", b.opened_at, b.closed_at
             from recon_break b
             join recon_break_held h on h.merchant_id = b.merchant_id and h.break_id = b.break_id
             left join settlement_file f on f.merchant_id = b.merchant_id and f.file_id = b.file_id
             left join bank_entry e on e.merchant_id = b.merchant_id and e.entry_id = b.bank_entry_id
             left join bank_statement s on s.merchant_id = b.merchant_id and s.statement_id = e.statement_id
             left join bank_file bf on bf.merchant_id = b.merchant_id and bf.file_id = s.file_id
             where b.merchant_id = $1 "# + $filter
            $(, $parameter)*
        )
    };
}

pub(super) async fn list(pool: &PgPool, merchant: MerchantId, filter: &Filter) -> Result<Vec<Break>, Error> {
    let rows = breaks!(
        r#"and ($2::text is null or b.state = $2) and ($3::text is null or b.kind = $3)
             and ($4::text is null or b.currency = $4)
             and ($5::uuid is null or b.psp_account_id = $5) and ($6::uuid is null or b.bank_account_id = $6)
             and ($7::text is null or b.assignee = $7) and ($8::date is null or b.arose_on <= $8)
             and ($9 or b.state = 'closed' or b.snoozed_until is null or b.snoozed_until <= (now() at time zone 'UTC')::date)
             and ($10::date is null or (b.arose_on, b.break_id) > ($10, $11::uuid))
           order by b.arose_on, b.break_id limit $12"#,
        merchant.as_uuid(),
        filter.state.map(State::as_str),
        filter.kind.map(BreakKind::as_str),
        filter.currency.as_ref().map(|currency| currency.code()),
        filter.psp_account_id.map(PspAccountId::as_uuid),
        filter.bank_account_id.map(BankAccountId::as_uuid),
        filter.assignee,
        filter.arose_until,
        filter.snoozed,
        filter.after.map(|(day, _)| day),
        filter.after.map(|(_, id)| id.as_uuid()),
        filter.limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Break::try_from).collect()
}

pub(super) async fn get(
    connection: &mut PgConnection,
    merchant: MerchantId,
    break_id: BreakId,
) -> Result<Option<BreakWithActs>, Error> {
    let row = breaks!("and b.break_id = $2", merchant.as_uuid(), break_id.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let acts = sqlx::query_as!(
        ActView,
        "select kind, proposal, assignee, snoozed_until, account, note, actor, acted_at as at
         from recon_break_act where merchant_id = $1 and break_id = $2 order by act_no",
        merchant.as_uuid(),
        break_id.as_uuid(),
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(Some(BreakWithActs { difference: row.try_into()?, acts }))
}
