//! The SQL of claiming. Rows of a batch are sorted by what rivals would fight over first (the order, or the key), so that two
//! batches insert in one order. Other rows are looked up one by one, as in `record_repo`.

use std::collections::{HashMap, HashSet};

use money::{MerchantId, PaymentId};
use sqlx::{PgExecutor, PgPool, PgTransaction};
use uuid::Uuid;

use super::claim::{Claim, Claimed};
use super::{Error, Subject, authorize_id};
use crate::http::stored;
use crate::idempotency::{self, Fingerprint, IdempotencyKey};
use crate::outbox;
use crate::payment::NewPayment;

/// What claims hold, column by column, as `unnest` takes them.
#[derive(Default)]
struct Columns<'a> {
    keys: Vec<&'a str>,
    fingerprints: Vec<&'a [u8]>,
    payments: Vec<Uuid>,
    orders: Vec<&'a str>,
    accounts: Vec<Uuid>,
    amounts: Vec<i64>,
    currencies: Vec<&'a str>,
    captures: Vec<&'a str>,
    methods: Vec<Option<&'a str>>,
    return_urls: Vec<Option<&'a str>>,
    metadata: Vec<serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn of(claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut columns = Self::default();
        for claim in claims {
            let payment = &claim.payment;
            columns.keys.push(claim.key.as_str());
            columns.fingerprints.push(claim.fingerprint.as_bytes());
            columns.payments.push(payment.payment_id.as_uuid());
            columns.orders.push(payment.order_id.as_str());
            columns.accounts.push(payment.psp_account_id.as_uuid());
            columns.amounts.push(payment.amount.minor);
            columns.currencies.push(payment.amount.currency.code());
            columns.captures.push(payment.capture_method.as_str());
            columns.methods.push(payment.method.token());
            columns.return_urls.push(payment.method.return_url());
            let pairs = payment.metadata.iter();
            columns.metadata.push(
                pairs.map(|(key, value)| (key.clone(), serde_json::Value::from(value.as_str()))).collect(),
            );
        }
        columns
    }
}

/// Whether the statement failed because a key of its claims is used already.
pub(super) fn is_used_key(error: &sqlx::Error) -> bool {
    let constraint = error.as_database_error().and_then(|error| error.constraint());
    constraint == Some("idempotency_key_pkey")
}

/// Makes key, payment, splits, operation and event of those claims whose order has had no payment yet, in one statement,
/// and answers which these are. Fails as a whole where the key of one of them is used already.
pub(super) async fn insert_first_payments(
    pool: &PgPool,
    merchant: MerchantId,
    claims: &[Claim],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    sorted.sort_by(|a, b| a.payment.order_id.cmp(&b.payment.order_id));
    let columns = Columns::of(sorted.iter().copied());
    let firsts: Vec<(&Claim, i32)> = sorted.into_iter().map(|claim| (claim, 1)).collect();
    let children = Children::of(merchant, &firsts);
    let made = sqlx::query_scalar!(
        r#"with input as (
             select * from unnest($2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::text[],
                                  $9::text[], $10::text[], $22::text[], $11::jsonb[], $12::uuid[], $13::bigint[],
                                  $14::uuid[], $15::jsonb[])
                 as i (idempotency_key, fingerprint, payment_id, order_id, psp_account_id, amount, currency,
                       capture_method, payment_method, return_url, metadata, operation_id, lease_ms, event_id,
                       event_data)
         ), made as (
             insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount,
                                  currency, capture_method, payment_method, return_url, metadata, created_at,
                                  updated_at)
             select $1, i.payment_id, i.order_id, 1, i.psp_account_id, 'processing', true, i.amount, i.currency,
                    i.capture_method, i.payment_method, i.return_url, i.metadata, now(), now()
             from input i
             -- of whatever unique index: a rival that waits for one may meet the other
             on conflict do nothing
             returning payment_id
         ), key as (
             insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, created_at)
             select $1, i.idempotency_key, i.fingerprint, i.payment_id, now()
             from made join input i on i.payment_id = made.payment_id
         ), operation as (
             insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency,
                                    status, fence, lease_until, due_at, first_sent_at, idempotency_key, created_at,
                                    updated_at)
             select $1, i.operation_id, i.payment_id, 'authorize', i.psp_account_id, i.amount, i.currency, 'sending', 1,
                    now() + i.lease_ms * interval '1 millisecond', now() + i.lease_ms * interval '1 millisecond', now(),
                    i.idempotency_key, now(), now()
             from made join input i on i.payment_id = made.payment_id
         ), split as (
             insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
             select $1, s.*
             from unnest($16::uuid[], $17::smallint[], $18::text[], $19::bigint[], $20::bigint[])
                 as s (payment_id, split_no, seller_id, amount, platform_fee)
             join made on made.payment_id = s.payment_id
         ), event as (
             insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
             select $1, i.payment_id, 1, i.event_id, $21, i.event_data, now()
             from made join input i on i.payment_id = made.payment_id
         )
         select payment_id from made"#,
        merchant.as_uuid(),
        &columns.keys as &[&str],
        &columns.fingerprints as &[&[u8]],
        &columns.payments,
        &columns.orders as &[&str],
        &columns.accounts,
        &columns.amounts,
        &columns.currencies as &[&str],
        &columns.captures as &[&str],
        &columns.methods as &[Option<&str>],
        &columns.metadata,
        &children.operations,
        &children.leases_ms,
        &children.events,
        &children.event_data,
        &children.split_payments,
        &children.split_numbers,
        &children.split_sellers as &[&str],
        &children.split_amounts,
        &children.split_fees,
        outbox::CREATED,
        &columns.return_urls as &[Option<&str>],
    )
    .fetch_all(pool)
    .await?;
    Ok(made.into_iter().collect())
}

/// Which claims were new (their key was), and which of these made a payment.
pub(super) struct Inserted(HashMap<Uuid, Option<i32>>);

impl Inserted {
    pub fn has_key(&self, payment: PaymentId) -> bool {
        self.0.contains_key(&payment.as_uuid())
    }

    pub fn ordinal_of(&self, payment: PaymentId) -> Option<i32> {
        self.0.get(&payment.as_uuid()).copied().flatten()
    }
}

pub(super) async fn insert_keys_and_payments(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    claims: &[Claim],
) -> Result<Inserted, sqlx::Error> {
    let mut sorted: Vec<&Claim> = claims.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let columns = Columns::of(sorted);
    let rows = sqlx::query!(
        r#"with input as (
             select * from unnest($2::text[], $3::bytea[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::text[],
                                  $9::text[], $10::text[], $11::jsonb[], $12::text[])
                 as i (idempotency_key, fingerprint, payment_id, order_id, psp_account_id, amount, currency,
                       capture_method, payment_method, metadata, return_url)
         ), fresh as (
             insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, created_at)
             select $1, i.idempotency_key, i.fingerprint, i.payment_id, now() from input i
             on conflict (merchant_id, idempotency_key) do nothing
             returning payment_id
         ), made as (
             insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount,
                                  currency, capture_method, payment_method, return_url, metadata, created_at,
                                  updated_at)
             select $1, i.payment_id, i.order_id,
                    1 + coalesce((select max(p.ordinal) from payment p
                                  where p.merchant_id = $1 and p.order_id = i.order_id), 0),
                    i.psp_account_id, 'processing', true, i.amount, i.currency, i.capture_method, i.payment_method,
                    i.return_url, i.metadata, now(), now()
             from input i join fresh on fresh.payment_id = i.payment_id
             order by i.order_id
             on conflict do nothing
             returning payment_id, ordinal
         )
         select fresh.payment_id as "payment_id!", made.ordinal as "ordinal?"
         from fresh left join made on made.payment_id = fresh.payment_id"#,
        merchant.as_uuid(),
        &columns.keys as &[&str],
        &columns.fingerprints as &[&[u8]],
        &columns.payments,
        &columns.orders as &[&str],
        &columns.accounts,
        &columns.amounts,
        &columns.currencies as &[&str],
        &columns.captures as &[&str],
        &columns.methods as &[Option<&str>],
        &columns.metadata,
        &columns.return_urls as &[Option<&str>],
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(Inserted(rows.into_iter().map(|row| (row.payment_id, row.ordinal)).collect()))
}

/// Columns of the rows that hang on new payments, beside those of [`Columns`].
#[derive(Default)]
struct Children<'a> {
    operations: Vec<Uuid>,
    leases_ms: Vec<i64>,
    events: Vec<Uuid>,
    event_data: Vec<serde_json::Value>,
    split_payments: Vec<Uuid>,
    split_numbers: Vec<i16>,
    split_sellers: Vec<&'a str>,
    split_amounts: Vec<i64>,
    split_fees: Vec<i64>,
}

impl<'a> Children<'a> {
    fn of(merchant: MerchantId, made: &[(&'a Claim, i32)]) -> Self {
        let mut columns = Self::default();
        for &(claim, ordinal) in made {
            let payment = &claim.payment;
            let payment_id = payment.payment_id.as_uuid();
            let operation_id = authorize_id(merchant, &payment.order_id, ordinal);
            columns.operations.push(operation_id.as_uuid());
            columns.leases_ms.push(i64::try_from(claim.lease.as_millis()).unwrap_or(i64::MAX));
            let event = outbox::created(payment, ordinal, operation_id);
            columns.events.push(event.event_id.as_uuid());
            columns.event_data.push(event.data);
            for (number, split) in (0..).zip(&payment.splits) {
                columns.split_payments.push(payment_id);
                columns.split_numbers.push(number);
                columns.split_sellers.push(split.seller.as_str());
                columns.split_amounts.push(split.amount);
                columns.split_fees.push(split.platform_fee);
            }
        }
        columns
    }
}

pub(super) async fn insert_operations(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    made: &[(&Claim, i32)],
) -> Result<(), sqlx::Error> {
    if made.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(made.iter().map(|&(claim, _)| claim));
    let children = Children::of(merchant, made);
    sqlx::query!(
        "with op as (
             insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency,
                                    status, fence, lease_until, due_at, first_sent_at, idempotency_key, created_at,
                                    updated_at)
             select $1, o.operation_id, o.payment_id, 'authorize', o.psp_account_id, o.amount, o.currency, 'sending', 1,
                    now() + o.lease_ms * interval '1 millisecond', now() + o.lease_ms * interval '1 millisecond', now(),
                    o.idempotency_key, now(), now()
             from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::bigint[])
                 as o (operation_id, payment_id, psp_account_id, amount, currency, idempotency_key, lease_ms)
         ), split as (
             insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
             select $1, s.* from unnest($9::uuid[], $10::smallint[], $11::text[], $12::bigint[], $13::bigint[]) as s
         )
         insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
         select $1, e.payment_id, 1, e.event_id, $16, e.data, now()
         from unnest($3::uuid[], $14::uuid[], $15::jsonb[]) as e (payment_id, event_id, data)",
        merchant.as_uuid(),
        &children.operations,
        &columns.payments,
        &columns.accounts,
        &columns.amounts,
        &columns.currencies as &[&str],
        &columns.keys as &[&str],
        &children.leases_ms,
        &children.split_payments,
        &children.split_numbers,
        &children.split_sellers as &[&str],
        &children.split_amounts,
        &children.split_fees,
        &children.events,
        &children.event_data,
        outbox::CREATED,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The key is new and the order is taken: the key is used up with that answer. A live payment that is not to be seen
/// ended just now; the claim takes its key back, for another try.
pub(super) async fn refuse_taken_order(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    claim: &Claim,
) -> Result<Claimed, sqlx::Error> {
    let live = sqlx::query_scalar!(
        r#"select payment_id as "payment_id: PaymentId" from payment
         where merchant_id = $1 and order_id = $2 and live"#,
        merchant.as_uuid(),
        claim.payment.order_id.as_str(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(live) = live else {
        idempotency::release_in_tx(tx, merchant, &claim.key).await?;
        return Ok(Claimed::Again);
    };
    let (status, body) = stored::order_taken(live, claim.request_id.as_ref());
    let about = Some(Subject::Payment(live));
    idempotency::answer_about_in_tx(tx, merchant, &claim.key, about, status, &body).await?;
    Ok(Claimed::OrderTaken { status, body })
}

/// Who has a key, and with what answer; `own` is the payment that we may have claimed with it. None where nobody has it.
pub(super) async fn read_earlier(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    own: Option<&NewPayment>,
) -> Result<Option<Claimed>, Error> {
    let row = sqlx::query!(
        r#"select k.fingerprint, k.payment_id as "payment_id: PaymentId", k.response_status, k.response_body,
                p.ordinal as "ordinal?", o.fence as "fence?"
         from idempotency_key k
         left join lateral (
             select ordinal from payment where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) p on true
         left join lateral (
             select fence from operation
             where merchant_id = $1 and payment_id = k.payment_id and kind = 'authorize' offset 0
         ) o on true
         where k.merchant_id = $1 and k.idempotency_key = $2"#,
        merchant.as_uuid(),
        key.as_str(),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(field) = fingerprint.first_difference(&row.fingerprint) {
        return Ok(Some(Claimed::OtherRequest { field }));
    }
    // a key of the same request is of a payment
    let Some(payment_id) = row.payment_id else { return Ok(Some(Claimed::InFlight)) };
    let own = own.filter(|own| own.payment_id == payment_id);
    Ok(Some(match (row.response_status, row.response_body) {
        (Some(202), _) => Claimed::Accepted { payment_id },
        (Some(status), Some(body)) => Claimed::Replay { status: status.cast_unsigned(), body },
        // Our own claim, whose commit we were not told of. If somebody has taken it over since, it is theirs.
        _ => match (own, row.ordinal, row.fence) {
            (Some(own), Some(ordinal), Some(1)) => {
                Claimed::Fresh { operation_id: authorize_id(merchant, &own.order_id, ordinal), fence: 1 }
            }
            _ => Claimed::InFlight,
        },
    }))
}
