use std::collections::HashMap;

use money::{MerchantId, Money, OperationId, PaymentId, PayoutId, PspAccountId};
use sqlx::{PgExecutor, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Error, Named, OperationFilter, OperationKind, OperationStatus, OperationView, Standing};
use crate::payment::{Failure, SplitView};
use crate::psp::{Aim, CaptureMethod, Expected, PspReference};

/// What of an operation's row says what it is to do.
pub(super) struct Purpose {
    /// Among those that were asked for.
    pub place: i64,
    pub operation_id: OperationId,
    pub kind: String,
    pub amount: i64,
    pub currency: String,
    /// Of its payment.
    pub capture_method: Option<String>,
    pub psp_target: Option<String>,
    pub captured_before: Option<i64>,
    pub last_capture: Option<bool>,
    /// Of its payout.
    pub destination: Option<String>,
    pub statement_descriptor: Option<String>,
    pub created_at: OffsetDateTime,
}

impl Purpose {
    pub fn expected(self) -> Result<Expected, Error> {
        let currency = self.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"))?;
        let kind = OperationKind::parse(&self.kind).ok_or(Error::UnknownWord("operation.kind"))?;
        let capture = self.capture_method.as_deref().map(str::parse::<CaptureMethod>);
        let named = |text: Option<&str>, column| {
            text.map(PspReference::parse).and_then(Result::ok).ok_or(Error::UnknownWord(column))
        };
        let of = || named(self.psp_target.as_deref(), "operation.psp_target");
        let captured_before = self.captured_before.unwrap_or_default();
        let aim = match kind {
            OperationKind::Authorize => {
                let capture = capture.and_then(Result::ok);
                Aim::Authorize { capture: capture.ok_or(Error::UnknownWord("payment.capture_method"))? }
            }
            OperationKind::Capture => {
                Aim::Capture { of: of()?, captured_before, last: self.last_capture.unwrap_or(true) }
            }
            OperationKind::Void => Aim::Void { of: of()?, captured_before },
            OperationKind::Refund => Aim::Refund { of: of()? },
            OperationKind::Payout => Aim::Payout {
                to: named(self.destination.as_deref(), "payout.destination")?,
                statement_descriptor: self.statement_descriptor,
                asked_at: self.created_at,
            },
        };
        Ok(Expected { operation_id: self.operation_id, amount: Money::new(self.amount, currency), aim })
    }
}

pub(super) async fn concerned(
    pool: &PgPool,
    merchant: MerchantId,
    named: &[Named],
) -> Result<Vec<Vec<Result<Expected, Error>>>, sqlx::Error> {
    let places: Vec<i64> = (0..).take(named.len()).collect();
    let accounts: Vec<Uuid> = named.iter().map(|named| named.psp_account_id.as_uuid()).collect();
    let ids: Vec<Option<Uuid>> =
        named.iter().map(|named| named.operation_id.map(OperationId::as_uuid)).collect();
    let references: Vec<&str> = named.iter().map(|named| named.reference.as_str()).collect();
    let kinds: Vec<&str> = named.iter().map(|named| named.kind.as_str()).collect();
    // each by its primary key or the PSP's name of it, whatever the planner believes of a new table
    let rows = sqlx::query_as!(
        Purpose,
        r#"with found as materialized (
             select w.place, coalesce(by_id.operation_id, by_name.operation_id) as operation_id,
                    coalesce(by_id.payment_id, by_name.payment_id) as payment_id, w.kind
             from unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
                 as w (place, psp_account_id, operation_id, reference, kind)
             left join lateral (
                 select operation_id, payment_id from operation
                 where merchant_id = $1 and operation_id = w.operation_id and psp_account_id = w.psp_account_id offset 0
             ) by_id on true
             left join lateral (
                 select operation_id, payment_id from operation
                 where w.operation_id is null and merchant_id = $1 and psp_account_id = w.psp_account_id
                   and psp_reference = w.reference and kind = w.kind offset 0
             ) by_name on true
         )
         select f.place as "place!", o.operation_id as "operation_id!: OperationId", o.kind as "kind!", o.amount as "amount!",
                o.currency as "currency!", o.psp_target, o.captured_before, o.last_capture,
                p.capture_method as "capture_method?", y.destination as "destination?", y.statement_descriptor,
                o.created_at as "created_at!"
         from found f
         cross join lateral (
             (select * from operation where merchant_id = $1 and operation_id = f.operation_id offset 0)
             union all
             (select * from operation
              where merchant_id = $1 and payment_id = f.payment_id and f.kind = 'authorize' and kind in ('capture', 'void')
                and status in ('created', 'sending', 'unknown', 'needs_review') offset 0)
         ) o
         left join lateral (
             select capture_method from payment where merchant_id = $1 and payment_id = f.payment_id offset 0
         ) p on true
         left join lateral (
             select destination, statement_descriptor from payout
             where merchant_id = $1 and payout_id = o.payout_id offset 0
         ) y on true
         -- what is under way first: the authorisation is then told what it came to
         order by f.place, o.kind desc"#,
        merchant.as_uuid(),
        &places,
        &accounts,
        &ids as &[Option<Uuid>],
        &references as &[&str],
        &kinds as &[&str],
    )
    .fetch_all(pool)
    .await?;
    let mut concerned: Vec<Vec<Result<Expected, Error>>> = named.iter().map(|_| Vec::new()).collect();
    for row in rows {
        let place = usize::try_from(row.place).unwrap_or_default();
        if let Some(of_place) = concerned.get_mut(place) {
            of_place.push(row.expected());
        }
    }
    Ok(concerned)
}

pub(super) async fn expected(
    pool: &PgPool,
    merchant: MerchantId,
    wanted: &[(PspAccountId, OperationId)],
) -> Result<HashMap<(PspAccountId, OperationId), Result<Expected, Error>>, sqlx::Error> {
    let (accounts, operations): (Vec<Uuid>, Vec<Uuid>) =
        wanted.iter().map(|(account, operation)| (account.as_uuid(), operation.as_uuid())).unzip();
    // each by its primary key, whatever the planner believes of a new table
    let rows = sqlx::query_as!(
        Purpose,
        r#"select w.place - 1 as "place!", w.operation_id as "operation_id!: OperationId", o.kind,
                o.amount, o.currency, o.psp_target, o.captured_before, o.last_capture,
                p.capture_method as "capture_method?", y.destination as "destination?", y.statement_descriptor, o.created_at
         from unnest($2::uuid[], $3::uuid[]) with ordinality as w (psp_account_id, operation_id, place)
         cross join lateral (
             select * from operation
             where merchant_id = $1 and operation_id = w.operation_id offset 0
         ) o
         left join lateral (
             select capture_method from payment where merchant_id = $1 and payment_id = o.payment_id offset 0
         ) p on true
         left join lateral (
             select destination, statement_descriptor from payout
             where merchant_id = $1 and payout_id = o.payout_id offset 0
         ) y on true
         where o.psp_account_id = w.psp_account_id"#,
        merchant.as_uuid(),
        &accounts,
        &operations,
    )
    .fetch_all(pool)
    .await?;
    let expected = rows.into_iter().filter_map(|row| {
        let place = usize::try_from(row.place).ok()?;
        Some((*wanted.get(place)?, row.expected()))
    });
    Ok(expected.collect())
}

/// Objects of operations that have ended can be looked at without touching them.
pub(super) async fn last_ended(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<Option<(Expected, PspReference)>, Error> {
    let row = sqlx::query!(
        r#"select o.operation_id as "operation_id: OperationId", o.amount, o.currency, o.psp_reference as "psp_reference!",
                p.capture_method
         from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
         where o.merchant_id = $1 and o.psp_account_id = $2 and o.psp_reference is not null and o.kind = 'authorize'
           and o.status in ('succeeded', 'declined', 'expired', 'reversed')
         order by p.payment_id desc limit 1"#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_optional(pool)
    .await?;
    row.map(|row| {
        let currency = row.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"))?;
        let capture = row.capture_method.parse().map_err(|_| Error::UnknownWord("payment.capture_method"))?;
        let aim = Aim::Authorize { capture };
        let reference = PspReference::parse(&row.psp_reference)
            .map_err(|_| Error::UnknownWord("operation.psp_reference"))?;
        let amount = Money::new(row.amount, currency);
        Ok((Expected { operation_id: row.operation_id, amount, aim }, reference))
    })
    .transpose()
}

pub(super) async fn has_unfinished(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
             select 1 from operation
             where merchant_id = $1 and psp_account_id = $2 and (due_at is not null and status <> 'succeeded' or status = 'needs_review')
         ) as "any!""#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_one(pool)
    .await
}

/// An operation's row as merchants see it, with how it falls on the splits.
struct ViewRow {
    operation_id: OperationId,
    payment_id: Option<PaymentId>,
    payout_id: Option<PayoutId>,
    kind: String,
    status: String,
    amount: i64,
    currency: String,
    last_capture: Option<bool>,
    reason: Option<String>,
    decline_code: Option<String>,
    failure_message: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    sellers: Vec<String>,
    amounts: Vec<i64>,
    fees: Vec<i64>,
}

impl ViewRow {
    fn into_view(self) -> Result<OperationView, Error> {
        let status = OperationStatus::parse(&self.status).ok_or(Error::UnknownWord("operation.status"))?;
        let has_failed = matches!(
            status,
            OperationStatus::Declined | OperationStatus::Expired | OperationStatus::Reversed
        );
        let failure = |code| Failure {
            code,
            decline_code: self.decline_code,
            message: self.failure_message.unwrap_or_default(),
        };
        let splits = self.sellers.into_iter().zip(self.amounts).zip(self.fees);
        Ok(OperationView {
            operation_id: self.operation_id,
            payment_id: self.payment_id,
            payout_id: self.payout_id,
            kind: OperationKind::parse(&self.kind).ok_or(Error::UnknownWord("operation.kind"))?,
            status: Standing::from(status),
            amount: self.amount,
            currency: self.currency.parse().map_err(|_| Error::UnknownWord("operation.currency"))?,
            last: self.last_capture,
            splits: splits
                .map(|((seller, amount), platform_fee)| SplitView { seller, amount, platform_fee })
                .collect(),
            failure: self.reason.filter(|_| has_failed).map(failure),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// Operations as merchants see them: which, is said by what follows.
macro_rules! views {
    ($which:literal, $($bound:expr),+ $(,)?) => {
        sqlx::query_as!(
            ViewRow,
            r#"select o.operation_id as "operation_id: OperationId", o.payment_id as "payment_id: PaymentId",
                    o.payout_id as "payout_id: PayoutId", o.kind, o.status, o.amount, o.currency, o.last_capture, o.reason, o.decline_code, o.failure_message, o.created_at,
                    o.updated_at, coalesce(s.sellers, '{}') as "sellers!", coalesce(s.amounts, '{}') as "amounts!",
                    coalesce(s.fees, '{}') as "fees!"
             from operation o
             cross join lateral (
                 select array_agg(p.seller_id order by x.split_no) as sellers,
                        array_agg(x.amount order by x.split_no) as amounts,
                        array_agg(x.platform_fee order by x.split_no) as fees
                 from operation_split x
                 join payment_split p on p.merchant_id = $1 and p.payment_id = o.payment_id and p.split_no = x.split_no
                 where x.merchant_id = $1 and x.operation_id = o.operation_id
             ) s"#
                + $which,
            $($bound),+
        )
    };
}

pub(super) async fn view(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<OperationView>, Error> {
    let row =
        views!(" where o.merchant_id = $1 and o.operation_id = $2", merchant.as_uuid(), operation.as_uuid(),)
            .fetch_optional(db)
            .await?;
    row.map(ViewRow::into_view).transpose()
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    payment: PaymentId,
    filter: &OperationFilter,
) -> Result<Vec<OperationView>, Error> {
    let rows = views!(
        " where o.merchant_id = $1 and o.payment_id = $2 and ($3::text is null or o.kind = $3)
            and ($4::timestamptz is null or (o.created_at, o.operation_id) > ($4, $5::uuid))
         order by o.created_at, o.operation_id
         limit $6",
        merchant.as_uuid(),
        payment.as_uuid(),
        filter.kind.map(OperationKind::as_str),
        filter.after.map(|after| after.created_at),
        filter.after.map(|after| after.operation_id.as_uuid()),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(ViewRow::into_view).collect()
}
