//! The SQL of disputes: rows are locked payment first.

use money::{Currency, DisputeId, MerchantId, OperationId, PaymentId, PspAccountId, SellerId};
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::decide::{Change, Known, Share, SplitState, State};
use super::{DisputeFilter, DisputeStatus, DisputeView, Error, Funds};
use crate::payment::{self, SplitView};

/// The payment that an account's PSP calls `reference`.
pub(super) async fn payment_of(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    reference: &str,
) -> Result<Option<PaymentId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select payment_id as "payment_id!: PaymentId" from operation
         where merchant_id = $1 and psp_account_id = $2 and psp_reference = $3 and kind = 'authorize'"#,
        merchant.as_uuid(),
        account.as_uuid(),
        reference,
    )
    .fetch_optional(pool)
    .await
}

/// Locks a payment and reads it with its dispute of that name.
pub(super) async fn lock_and_read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payment: PaymentId,
    psp_reference: &str,
) -> Result<Option<State>, Error> {
    let row = sqlx::query!(
        r#"select version, now() as "now!" from payment where merchant_id = $1 and payment_id = $2 for no key update"#,
        merchant.as_uuid(),
        payment.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    // what is locked and what hangs on it is read after the lock was taken
    let Some(view) = payment::get(&mut **tx, merchant, payment).await? else { return Ok(None) };
    let splits = read_splits(tx, merchant, payment).await?;
    let dispute = read_known(tx, merchant, view.psp_account_id, psp_reference, &splits).await?;
    Ok(Some(State { payment: view, version: row.version, splits, dispute, now: row.now }))
}

async fn read_splits(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Vec<SplitState>, Error> {
    let rows = sqlx::query!(
        "select split_no, seller_id, amount, platform_fee, captured_amount, refunded_amount, refund_reserved_amount,
                refunded_fee, disputed_amount, disputed_fee
         from payment_split where merchant_id = $1 and payment_id = $2 order by split_no",
        merchant.as_uuid(),
        payment.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SplitState {
                split_no: row.split_no,
                seller: SellerId::try_from(row.seller_id)
                    .map_err(|_| Error::UnknownWord("payment_split.seller_id"))?,
                amount: row.amount,
                platform_fee: row.platform_fee,
                captured: row.captured_amount,
                refunded: row.refunded_amount + row.refund_reserved_amount,
                refunded_fee: row.refunded_fee,
                disputed: row.disputed_amount,
                disputed_fee: row.disputed_fee,
            })
        })
        .collect()
}

async fn read_known(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    psp_reference: &str,
    splits: &[SplitState],
) -> Result<Option<Known>, Error> {
    let row = sqlx::query!(
        r#"select dispute_id as "dispute_id: DisputeId", status_at from dispute
         where merchant_id = $1 and psp_account_id = $2 and psp_reference = $3"#,
        merchant.as_uuid(),
        account.as_uuid(),
        psp_reference,
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(view) = one(&mut **tx, merchant, row.dispute_id).await? else { return Ok(None) };
    let share = |split: &SplitView| {
        let known = splits.iter().find(|known| known.seller.as_str() == split.seller)?;
        let seller = known.seller.clone();
        Some(Share {
            split_no: known.split_no,
            seller,
            amount: split.amount,
            platform_fee: split.platform_fee,
        })
    };
    let shares = view.splits.iter().filter_map(share).collect();
    Ok(Some(Known { status_at: row.status_at, shares, view }))
}

/// Writes what was decided, and makes sure that every row that had to change did.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    change: &Change,
) -> Result<(), Error> {
    let (view, payment) = (&change.view, &change.payment);
    let numbers: Vec<i16> = change.shares.iter().map(|share| share.split_no).collect();
    let amounts: Vec<i64> = change.shares.iter().map(|share| share.amount).collect();
    let fees: Vec<i64> = change.shares.iter().map(|share| share.platform_fee).collect();
    let grown: Vec<i16> = change.growth.iter().map(|(split_no, ..)| *split_no).collect();
    let by: Vec<i64> = change.growth.iter().map(|(_, amount, _)| *amount).collect();
    let by_fees: Vec<i64> = change.growth.iter().map(|(.., fee)| *fee).collect();
    write_dispute(tx, merchant, change).await?;
    let changed = sqlx::query!(
        r#"with part as (
             insert into dispute_split (merchant_id, dispute_id, split_no, amount, platform_fee)
             select $1, $2, s.* from unnest($3::smallint[], $4::bigint[], $5::bigint[]) as s
         ), pay as (
             update payment set disputed_amount = $6, version = version + 1, updated_at = now()
             where merchant_id = $1 and payment_id = $7 and version = $8
             returning 1
         ), split as (
             update payment_split s
             set disputed_amount = s.disputed_amount + n.amount, disputed_fee = s.disputed_fee + n.fee
             from unnest($9::smallint[], $10::bigint[], $11::bigint[]) as n (split_no, amount, fee)
             where s.merchant_id = $1 and s.payment_id = $7 and s.split_no = n.split_no
             returning 1
         ), event as (
             insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
             values ($1, $7, $8 + 1, $12, $13, $14, now())
         )
         select (select count(*) from pay) as "payments!", (select count(*) from split) as "splits!""#,
        merchant.as_uuid(),
        view.dispute_id.as_uuid(),
        &numbers,
        &amounts,
        &fees,
        payment.disputed_amount,
        payment.payment_id.as_uuid(),
        change.version,
        &grown,
        &by,
        &by_fees,
        change.event.event_id.as_uuid(),
        change.event.kind,
        change.event.data,
    )
    .fetch_one(&mut **tx)
    .await?;
    all(1, changed.payments)?;
    all(grown.len(), changed.splits)
}

async fn write_dispute(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    change: &Change,
) -> Result<(), Error> {
    let view = &change.view;
    let written = sqlx::query!(
        "insert into dispute as d (merchant_id, dispute_id, payment_id, psp_account_id, psp_reference, status, status_at,
                                   reason, amount, currency, evidence_due_at, funds, fee, returned_fee, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now(), now())
         on conflict (merchant_id, dispute_id) do update
         set status = excluded.status, status_at = excluded.status_at, reason = excluded.reason, amount = excluded.amount,
             evidence_due_at = excluded.evidence_due_at, funds = excluded.funds, fee = excluded.fee,
             returned_fee = excluded.returned_fee, updated_at = now()
         where not $15",
        merchant.as_uuid(),
        view.dispute_id.as_uuid(),
        view.payment_id.as_uuid(),
        view.psp_account_id.as_uuid(),
        view.psp_reference,
        view.status.as_str(),
        change.status_at,
        view.reason,
        view.amount,
        view.currency.code(),
        view.evidence_due_at,
        view.funds.as_str(),
        view.fee,
        view.returned_fee,
        change.is_new,
    )
    .execute(&mut **tx)
    .await?;
    all(1, i64::try_from(written.rows_affected()).unwrap_or(i64::MAX))
}

fn all(expected: usize, changed: i64) -> Result<(), Error> {
    let changed = usize::try_from(changed).unwrap_or_default();
    if changed == expected { Ok(()) } else { Err(Error::RowsLost { expected, changed }) }
}

/// Notes what a dispute took of captures that are not settled.
pub(super) async fn draw(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    dispute: DisputeId,
    draws: &[(i16, OperationId, i64)],
) -> Result<(), sqlx::Error> {
    let numbers: Vec<i16> = draws.iter().map(|(split_no, ..)| *split_no).collect();
    let captures: Vec<Uuid> = draws.iter().map(|(_, capture, _)| capture.as_uuid()).collect();
    let amounts: Vec<i64> = draws.iter().map(|(.., amount)| *amount).collect();
    sqlx::query!(
        "insert into capture_draw (merchant_id, taker_id, of_dispute, split_no, capture_id, amount)
         select $1, $2, true, d.* from unnest($3::smallint[], $4::uuid[], $5::bigint[]) as d",
        merchant.as_uuid(),
        dispute.as_uuid(),
        &numbers,
        &captures,
        &amounts,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A dispute's row with its splits, as the queries below select it.
struct Row {
    dispute_id: DisputeId,
    payment_id: PaymentId,
    psp_account_id: PspAccountId,
    psp_reference: String,
    status: String,
    reason: Option<String>,
    amount: i64,
    currency: String,
    funds: String,
    fee: i64,
    returned_fee: i64,
    evidence_due_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    sellers: Option<Vec<String>>,
    amounts: Option<Vec<i64>>,
    fees: Option<Vec<i64>>,
}

impl Row {
    fn into_view(self) -> Result<DisputeView, Error> {
        let word = |column| Error::UnknownWord(column);
        let currency: Currency = self.currency.parse().map_err(|_| word("dispute.currency"))?;
        let sellers = self.sellers.unwrap_or_default().into_iter();
        let splits = sellers.zip(self.amounts.unwrap_or_default()).zip(self.fees.unwrap_or_default());
        Ok(DisputeView {
            dispute_id: self.dispute_id,
            payment_id: self.payment_id,
            psp_account_id: self.psp_account_id,
            psp_reference: self.psp_reference,
            status: DisputeStatus::parse(&self.status).ok_or(word("dispute.status"))?,
            reason: self.reason,
            amount: self.amount,
            currency,
            funds: Funds::parse(&self.funds).ok_or(word("dispute.funds"))?,
            fee: self.fee,
            returned_fee: self.returned_fee,
            evidence_due_at: self.evidence_due_at,
            splits: splits
                .map(|((seller, amount), platform_fee)| SplitView { seller, amount, platform_fee })
                .collect(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

pub(super) async fn get(
    pool: &PgPool,
    merchant: MerchantId,
    dispute: DisputeId,
) -> Result<Option<DisputeView>, Error> {
    one(pool, merchant, dispute).await
}

async fn one(
    db: impl sqlx::PgExecutor<'_>,
    merchant: MerchantId,
    dispute: DisputeId,
) -> Result<Option<DisputeView>, Error> {
    let filter = DisputeFilter { payment_id: None, status: None, after: None, limit: 1 };
    Ok(select(db, merchant, Some(dispute), &filter).await?.pop())
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &DisputeFilter,
) -> Result<Vec<DisputeView>, Error> {
    select(pool, merchant, None, filter).await
}

async fn select(
    db: impl sqlx::PgExecutor<'_>,
    merchant: MerchantId,
    dispute: Option<DisputeId>,
    filter: &DisputeFilter,
) -> Result<Vec<DisputeView>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select d.dispute_id as "dispute_id: DisputeId", d.payment_id as "payment_id: PaymentId",
                d.psp_account_id as "psp_account_id: PspAccountId", d.psp_reference, d.status, d.reason, d.amount, d.currency,
                d.funds, d.fee, d.returned_fee, d.evidence_due_at, d.created_at, d.updated_at, s.sellers, s.amounts, s.fees
         from dispute d
         cross join lateral (
             select array_agg(p.seller_id order by x.split_no) as sellers, array_agg(x.amount order by x.split_no) as amounts,
                    array_agg(x.platform_fee order by x.split_no) as fees
             from dispute_split x
             join payment_split p on p.merchant_id = $1 and p.payment_id = d.payment_id and p.split_no = x.split_no
             where x.merchant_id = $1 and x.dispute_id = d.dispute_id
         ) s
         where d.merchant_id = $1 and ($2::uuid is null or d.dispute_id = $2)
           and ($3::uuid is null or d.payment_id = $3) and ($4::text is null or d.status = $4)
           and ($5::uuid is null or d.dispute_id < $5)
         order by d.dispute_id desc
         limit $6"#,
        merchant.as_uuid(),
        dispute.map(DisputeId::as_uuid),
        filter.payment_id.map(PaymentId::as_uuid),
        filter.status.map(DisputeStatus::as_str),
        filter.after.map(DisputeId::as_uuid),
        i64::from(filter.limit),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::into_view).collect()
}
