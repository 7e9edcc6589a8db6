//! The SQL of payouts. Rows are locked payout, operation, key; claims lock sellers' wallets before they make any of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use money::{MerchantId, OperationId, PayoutId, PspAccountId, SellerId};
use sqlx::types::Json;
use sqlx::{PgExecutor, PgPool, PgTransaction};
use time::OffsetDateTime;
use uuid::Uuid;

use super::claim::{Claimed, NewPayout, Verdict};
use super::{Known, PayoutFilter, PayoutStatus, PayoutView, operation_id};
use crate::http::stored;
use crate::idempotency::{self, Fingerprint, IdempotencyKey};
use crate::operation::{Change, Error, OperationStatus, Subject};
use crate::outbox;
use crate::payment::Failure;

/// Takes the keys that nobody has. Answers whose they are.
pub(super) async fn insert_keys(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    wanted: &[NewPayout],
) -> Result<HashSet<PayoutId>, sqlx::Error> {
    let mut sorted: Vec<&NewPayout> = wanted.iter().collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<&str> = sorted.iter().map(|new| new.key.as_str()).collect();
    let prints: Vec<&[u8]> = sorted.iter().map(|new| new.fingerprint.as_bytes()).collect();
    let payouts: Vec<Uuid> = sorted.iter().map(|new| new.payout_id.as_uuid()).collect();
    let taken = sqlx::query_scalar!(
        r#"insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payout_id, created_at)
         select $1, i.idempotency_key, i.fingerprint, i.payout_id, now()
         from unnest($2::text[], $3::bytea[], $4::uuid[]) as i (idempotency_key, fingerprint, payout_id)
         on conflict (merchant_id, idempotency_key) do nothing
         returning payout_id as "payout_id!: PayoutId""#,
        merchant.as_uuid(),
        &keys as &[&str],
        &prints as &[&[u8]],
        &payouts,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(taken.into_iter().collect())
}

/// Who has a key, and with what answer. None where nobody has it.
pub(super) async fn read_earlier(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<Option<Claimed>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select fingerprint, payout_id as "payout_id: PayoutId", response_status, response_body
         from idempotency_key where merchant_id = $1 and idempotency_key = $2"#,
        merchant.as_uuid(),
        key.as_str(),
    )
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(field) = fingerprint.first_difference(&row.fingerprint) {
        return Ok(Some(Claimed::OtherRequest { field }));
    }
    Ok(Some(match (row.response_status, row.response_body, row.payout_id) {
        (Some(202), _, Some(payout_id)) => Claimed::Accepted { payout_id },
        (Some(status), Some(body), _) => {
            Claimed::Answered { status: status.cast_unsigned(), body, replayed: true }
        }
        _ => Claimed::InFlight,
    }))
}

/// Payouts that these very requests have made before, their keys since forgotten, with whether they are worked on no longer;
/// by the ids that the requests would have made. And now, by the database's clock.
pub(super) async fn known(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    wanted: &[&NewPayout],
) -> Result<(HashMap<PayoutId, (PayoutView, bool)>, OffsetDateTime), Error> {
    let payouts: Vec<Uuid> = wanted.iter().map(|new| new.payout_id.as_uuid()).collect();
    let ids: Vec<Uuid> = wanted.iter().map(|new| operation_id(merchant, &new.key).as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select k.payout_id as "wanted!: PayoutId", o.payout_id as "payout_id: PayoutId", o.status as "status?", now() as "now!"
         from unnest($2::uuid[], $3::uuid[]) as k (payout_id, operation_id)
         left join lateral (
             select payout_id, status from operation where merchant_id = $1 and operation_id = k.operation_id offset 0
         ) o on true"#,
        merchant.as_uuid(),
        &payouts,
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let (mut known, mut now) = (HashMap::new(), OffsetDateTime::UNIX_EPOCH);
    for row in rows {
        now = row.now;
        let (Some(payout_id), Some(status)) = (row.payout_id, row.status) else { continue };
        let status = OperationStatus::parse(&status).ok_or(Error::UnknownWord("operation.status"))?;
        let has_ended = !status.is_open() && status != OperationStatus::NeedsReview;
        if let Some(view) = get(&mut **tx, merchant, payout_id).await? {
            known.insert(row.wanted, (view, has_ended));
        }
    }
    Ok((known, now))
}

/// Columns of what is claimed.
#[derive(Default)]
struct Columns<'a> {
    payouts: Vec<Uuid>,
    accounts: Vec<Uuid>,
    sellers: Vec<&'a str>,
    amounts: Vec<i64>,
    currencies: Vec<&'a str>,
    destinations: Vec<&'a str>,
    descriptors: Vec<Option<&'a str>>,
    metadata: Vec<Json<&'a BTreeMap<String, String>>>,
    operations: Vec<Uuid>,
    leases_ms: Vec<i64>,
    keys: Vec<&'a str>,
    events: Vec<Uuid>,
    event_data: Vec<serde_json::Value>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, new: &'a NewPayout, view: &'a PayoutView) {
        self.payouts.push(view.payout_id.as_uuid());
        self.accounts.push(view.psp_account_id.as_uuid());
        self.sellers.push(&view.seller);
        self.amounts.push(view.amount);
        self.currencies.push(view.currency.code());
        self.destinations.push(&view.destination);
        self.descriptors.push(view.statement_descriptor.as_deref());
        self.metadata.push(Json(&view.metadata));
        self.operations.push(view.operation_id.as_uuid());
        self.leases_ms.push(i64::try_from(new.lease.as_millis()).unwrap_or(i64::MAX));
        self.keys.push(new.key.as_str());
        let event = outbox::of_payout(outbox::PAYOUT_CREATED, view, None);
        self.events.push(event.event_id.as_uuid());
        self.event_data.push(event.data);
    }
}

/// Writes what was decided.
pub(super) async fn write_claims(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    verdicts: &[(&NewPayout, Verdict)],
) -> Result<(), Error> {
    let mut columns = Columns::default();
    for (new, verdict) in verdicts {
        match verdict {
            Verdict::Accepted(accepted) => columns.add(new, &accepted.view),
            Verdict::Refused(problem) => {
                let (status, body) = stored::refusal(problem, new.request_id.as_ref());
                idempotency::answer_about_in_tx(tx, merchant, &new.key, None, status, &body).await?;
            }
            Verdict::Known { payout_id, answer } => {
                let (status, body) = answer.clone().unwrap_or_else(stored::accepted);
                let about = Some(Subject::Payout(*payout_id));
                idempotency::answer_about_in_tx(tx, merchant, &new.key, about, status, &body).await?;
            }
            Verdict::AmountRefused(_) | Verdict::OtherRequest(_) => {
                idempotency::release_in_tx(tx, merchant, &new.key).await?;
            }
        }
    }
    if columns.payouts.is_empty() {
        return Ok(());
    }
    insert(tx, merchant, &columns).await
}

async fn insert(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    columns: &Columns<'_>,
) -> Result<(), Error> {
    sqlx::query!(
        "with paid as (
             insert into payout (merchant_id, payout_id, psp_account_id, seller_id, status, amount, currency, destination,
                                 statement_descriptor, metadata, created_at, updated_at)
             select $1, p.payout_id, p.psp_account_id, p.seller_id, 'processing', p.amount, p.currency, p.destination,
                    p.statement_descriptor, p.metadata, now(), now()
             from unnest($2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::jsonb[])
                 as p (payout_id, psp_account_id, seller_id, amount, currency, destination, statement_descriptor, metadata)
         ), op as (
             insert into operation (merchant_id, operation_id, payout_id, kind, psp_account_id, amount, currency, status,
                                    fence, lease_until, due_at, first_sent_at, idempotency_key, created_at, updated_at)
             select $1, o.operation_id, o.payout_id, 'payout', o.psp_account_id, o.amount, o.currency, 'sending', 1,
                    now() + o.lease_ms * interval '1 millisecond', now() + o.lease_ms * interval '1 millisecond', now(),
                    o.idempotency_key, now(), now()
             from unnest($10::uuid[], $2::uuid[], $3::uuid[], $5::bigint[], $6::text[], $11::bigint[], $12::text[])
                 as o (operation_id, payout_id, psp_account_id, amount, currency, lease_ms, idempotency_key)
         )
         insert into payment_event (merchant_id, payout_id, version, event_id, type, data, recorded_at)
         select $1, e.payout_id, 1, e.event_id, $15, e.data, now()
         from unnest($2::uuid[], $13::uuid[], $14::jsonb[]) as e (payout_id, event_id, data)",
        merchant.as_uuid(),
        &columns.payouts,
        &columns.accounts,
        &columns.sellers as &[&str],
        &columns.amounts,
        &columns.currencies as &[&str],
        &columns.destinations as &[&str],
        &columns.descriptors as &[Option<&str>],
        &columns.metadata as &[Json<&BTreeMap<String, String>>],
        &columns.operations,
        &columns.leases_ms,
        &columns.keys as &[&str],
        &columns.events,
        &columns.event_data,
        outbox::PAYOUT_CREATED,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A payout's row with its operation's, as the queries below select it.
struct Row {
    payout_id: PayoutId,
    operation_id: OperationId,
    seller_id: String,
    status: String,
    amount: i64,
    currency: String,
    destination: String,
    psp_account_id: PspAccountId,
    psp_reference: Option<String>,
    statement_descriptor: Option<String>,
    metadata: Json<BTreeMap<String, String>>,
    failure_code: Option<String>,
    failure_message: Option<String>,
    decline_code: Option<String>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl Row {
    fn into_view(self) -> Result<PayoutView, Error> {
        Ok(PayoutView {
            payout_id: self.payout_id,
            operation_id: self.operation_id,
            seller: self.seller_id,
            status: PayoutStatus::parse(&self.status).ok_or(Error::UnknownWord("payout.status"))?,
            amount: self.amount,
            currency: self.currency.parse().map_err(|_| Error::UnknownWord("payout.currency"))?,
            destination: self.destination,
            psp_account_id: self.psp_account_id,
            psp_reference: self.psp_reference,
            statement_descriptor: self.statement_descriptor,
            metadata: self.metadata.0,
            failure: self.failure_code.map(|code| Failure {
                code,
                decline_code: self.decline_code,
                message: self.failure_message.unwrap_or_default(),
            }),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// Payouts as merchants see them: which, is said by what follows.
macro_rules! views {
    ($which:literal, $($bound:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select p.payout_id as "payout_id: PayoutId", o.operation_id as "operation_id: OperationId", p.seller_id, p.status,
                    p.amount, p.currency, p.destination, p.psp_account_id as "psp_account_id: PspAccountId", o.psp_reference,
                    p.statement_descriptor, p.metadata as "metadata: Json<BTreeMap<String, String>>", p.failure_code,
                    p.failure_message, p.decline_code, p.created_at, p.updated_at
             from payout p
             cross join lateral (
                 select operation_id, psp_reference from operation where merchant_id = $1 and payout_id = p.payout_id offset 0
             ) o"#
                + $which,
            $($bound),+
        )
    };
}

pub(super) async fn get(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    payout: PayoutId,
) -> Result<Option<PayoutView>, Error> {
    let row = views!(" where p.merchant_id = $1 and p.payout_id = $2", merchant.as_uuid(), payout.as_uuid(),)
        .fetch_optional(db)
        .await?;
    row.map(Row::into_view).transpose()
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &PayoutFilter,
) -> Result<Vec<PayoutView>, Error> {
    let rows = views!(
        " where p.merchant_id = $1 and ($2::text is null or p.seller_id = $2) and ($3::text is null or p.status = $3)
           and ($4::uuid is null or p.payout_id < $4)
         order by p.payout_id desc
         limit $5",
        merchant.as_uuid(),
        filter.seller.as_ref().map(SellerId::as_str),
        filter.status.map(PayoutStatus::as_str),
        filter.after.map(PayoutId::as_uuid),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::into_view).collect()
}

/// What is known of operations' payouts under the lock, with the stored answers.
type Locked = HashMap<OperationId, (Known, Option<(u16, String)>)>;

/// Locks those of `operations` that are of payouts, with these and their keys, and reads them. What is read of a row is
/// read as the row is locked, whatever the statement had to wait for; of rows without a lock, only columns that never
/// change.
pub(crate) async fn lock_and_read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operations: &[OperationId],
) -> Result<Locked, Error> {
    let ids: Vec<Uuid> = operations.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"with target as materialized (
             select o.payout_id, o.operation_id from unnest($2::uuid[]) as k (operation_id)
             cross join lateral (
                 select payout_id, operation_id from operation
                 where merchant_id = $1 and operation_id = k.operation_id and payout_id is not null offset 0
             ) o
             order by o.payout_id, o.operation_id
         )
         select t.operation_id as "operation_id: OperationId", t.payout_id as "payout_id!: PayoutId", o.status as operation_status,
                o.fence, o.takeovers, o.reason, o.psp_reference, o.idempotency_key, p.seller_id, p.status, p.amount, p.currency,
                p.destination, p.psp_account_id as "psp_account_id: PspAccountId", p.statement_descriptor,
                p.metadata as "metadata: Json<BTreeMap<String, String>>", p.failure_code, p.failure_message, p.decline_code,
                p.version, p.created_at, p.updated_at, k.response_status as "response_status?",
                k.response_body as "response_body?", now() as "now!"
         from target t
         cross join lateral (
             select * from payout where merchant_id = $1 and payout_id = t.payout_id for no key update
         ) p
         -- each names the one before, so that they are locked in this order
         cross join lateral (
             select status, fence, takeovers, reason, psp_reference, idempotency_key from operation
             where merchant_id = $1 and operation_id = t.operation_id and payout_id = p.payout_id
             for no key update
         ) o
         left join lateral (
             select response_status, response_body from idempotency_key
             where merchant_id = $1 and idempotency_key = o.idempotency_key and payout_id = t.payout_id
             for no key update
         ) k on true"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut found = Locked::with_capacity(rows.len());
    for row in rows {
        let seller = SellerId::try_from(row.seller_id.clone());
        let view = Row {
            payout_id: row.payout_id,
            operation_id: row.operation_id,
            seller_id: row.seller_id,
            status: row.status,
            amount: row.amount,
            currency: row.currency,
            destination: row.destination,
            psp_account_id: row.psp_account_id,
            psp_reference: row.psp_reference,
            statement_descriptor: row.statement_descriptor,
            metadata: row.metadata,
            failure_code: row.failure_code,
            failure_message: row.failure_message,
            decline_code: row.decline_code,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let status = OperationStatus::parse(&row.operation_status);
        let known = Known {
            operation_id: row.operation_id,
            status: status.ok_or(Error::UnknownWord("operation.status"))?,
            fence: row.fence,
            takeovers: row.takeovers,
            reason: row.reason,
            key: row.idempotency_key,
            payout: view.into_view()?,
            seller: seller.map_err(|_| Error::UnknownWord("payout.seller_id"))?,
            version: row.version,
            now: row.now,
        };
        let stored =
            row.response_status.map(|status| (status.cast_unsigned(), row.response_body.unwrap_or_default()));
        found.insert(row.operation_id, (known, stored));
    }
    Ok(found)
}

/// Writes what locked payouts become, and their events. A change with an event grows the payout's version, also where
/// nothing else of it changes.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    changes: &[(&Known, &Change)],
) -> Result<(), Error> {
    let changes = changes.iter().filter_map(|(known, change)| Some((known, change, change.event.as_ref()?)));
    let changes: Vec<_> = changes.collect();
    let views: Vec<&PayoutView> =
        changes.iter().map(|(known, change, _)| change.payout.as_ref().unwrap_or(&known.payout)).collect();
    let ids: Vec<Uuid> = views.iter().map(|view| view.payout_id.as_uuid()).collect();
    let versions: Vec<i32> = changes.iter().map(|(known, ..)| known.version).collect();
    let statuses: Vec<&str> = views.iter().map(|view| view.status.as_str()).collect();
    let failure = |of: fn(&Failure) -> Option<&str>| -> Vec<Option<&str>> {
        views.iter().map(|view| view.failure.as_ref().and_then(of)).collect()
    };
    let events: Vec<Uuid> = changes.iter().map(|(.., event)| event.event_id.as_uuid()).collect();
    let kinds: Vec<&str> = changes.iter().map(|(.., event)| event.kind).collect();
    let data: Vec<serde_json::Value> = changes.iter().map(|(.., event)| event.data.clone()).collect();
    let changed = sqlx::query_scalar!(
        r#"with paid as (
             update payout p
             set status = n.status, version = p.version + 1, failure_code = n.failure_code,
                 failure_message = n.failure_message, decline_code = n.decline_code, updated_at = now()
             from unnest($2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[])
                 as n (payout_id, version_before, status, failure_code, failure_message, decline_code)
             where p.merchant_id = $1 and p.payout_id = n.payout_id and p.version = n.version_before
             returning 1
         ), event as (
             insert into payment_event (merchant_id, payout_id, version, event_id, type, data, recorded_at)
             select $1, e.payout_id, e.version_before + 1, e.event_id, e.type, e.data, now()
             from unnest($2::uuid[], $3::int[], $8::uuid[], $9::text[], $10::jsonb[])
                 as e (payout_id, version_before, event_id, type, data)
         )
         select count(*) as "changed!" from paid"#,
        merchant.as_uuid(),
        &ids,
        &versions,
        &statuses as &[&str],
        &failure(|failure| Some(&failure.code)) as &[Option<&str>],
        &failure(|failure| Some(&failure.message)) as &[Option<&str>],
        &failure(|failure| failure.decline_code.as_deref()) as &[Option<&str>],
        &events,
        &kinds as &[&str],
        &data,
    )
    .fetch_one(&mut **tx)
    .await?;
    let changed = usize::try_from(changed).unwrap_or_default();
    if changed == ids.len() { Ok(()) } else { Err(Error::RowsLost { expected: ids.len(), changed }) }
}
