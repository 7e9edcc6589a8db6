//! The SQL of claiming what follows. Rows are locked and looked up as in `record_repo`: payments in the order of their ids,
//! each row by its primary key.

use std::collections::{BTreeMap, HashMap, HashSet};

use money::{ClaimId, MerchantId, OperationId, OrderId, PaymentId, PspAccountId, SellerId};
use sqlx::PgTransaction;
use sqlx::types::Json;
use uuid::Uuid;

use super::decide::{Accepted, KnownOperation, SplitState, State, Verdict};
use super::{Follow, Followed, States, operation_id};
use crate::http::stored;
use crate::idempotency;
use crate::operation::{Error, OperationKind, OperationStatus, begun_in_tx, repo as operations};
use crate::payment::{PaymentStatus, PaymentView, SplitView};
use crate::psp::{Aim, CaptureMethod, Method, Psp, PspReference};

/// Takes the keys that nobody has, of requests about payments that exist. Answers whose they are, by their place.
pub(super) async fn insert_keys(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follows: &[&Follow],
) -> Result<HashSet<usize>, sqlx::Error> {
    let mut order: Vec<usize> = (0..follows.len()).collect();
    order.sort_by(|&a, &b| follows[a].key.cmp(&follows[b].key));
    let keys: Vec<&str> = order.iter().map(|&index| follows[index].key.as_str()).collect();
    let prints: Vec<&[u8]> = order.iter().map(|&index| follows[index].fingerprint.as_bytes()).collect();
    let payments: Vec<Uuid> = order.iter().map(|&index| follows[index].payment_id.as_uuid()).collect();
    let claims: Vec<Uuid> = order.iter().map(|&index| follows[index].claim_id.as_uuid()).collect();
    let inserted = sqlx::query_scalar!(
        r#"insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, claim_id, created_at)
         select $1, i.idempotency_key, i.fingerprint, i.payment_id, i.claim_id, now()
         from unnest($2::text[], $3::bytea[], $4::uuid[], $5::uuid[])
             as i (idempotency_key, fingerprint, payment_id, claim_id)
         cross join lateral (
             select 1 from payment where merchant_id = $1 and payment_id = i.payment_id offset 0
         ) p
         on conflict (merchant_id, idempotency_key) do nothing
         returning idempotency_key"#,
        merchant.as_uuid(),
        &keys as &[&str],
        &prints as &[&[u8]],
        &payments,
        &claims,
    )
    .fetch_all(&mut **tx)
    .await?;
    // of two with one key in a batch, the first is the one that has it
    let mut inserted: HashSet<&str> = inserted.iter().map(String::as_str).collect();
    let taken = order.into_iter().filter(|&index| inserted.remove(follows[index].key.as_str()));
    Ok(taken.collect())
}

/// Who has a request's key, and with what answer. The request itself may have it, from a commit that was not confirmed.
pub(super) async fn read_earlier(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follow: &Follow,
) -> Result<Followed, Error> {
    let row = sqlx::query!(
        r#"select k.fingerprint, k.claim_id as "claim_id: ClaimId", k.response_status, k.response_body, p.order_id as "order_id?", p.ordinal as "ordinal?"
         from idempotency_key k
         left join lateral (
             select order_id, ordinal from payment where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) p on true
         where k.merchant_id = $1 and k.idempotency_key = $2"#,
        merchant.as_uuid(),
        follow.key.as_str(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(Followed::NoPayment) };
    if let Some(field) = follow.fingerprint.first_difference(&row.fingerprint) {
        return Ok(Followed::OtherRequest { field });
    }
    // a key of the same request is of the same payment
    let (Some(order_id), Some(ordinal)) = (row.order_id, row.ordinal) else { return Ok(Followed::NoPayment) };
    let kind = follow.want.kind();
    let made = || operation_id(merchant, &order_id, ordinal, kind.as_str(), follow.key.as_str());
    Ok(match (row.response_status, row.response_body) {
        (Some(202), _) => Followed::Accepted { operation_id: made() },
        (Some(status), Some(body)) => {
            Followed::Answered { status: status.cast_unsigned(), body, replayed: true }
        }
        _ if row.claim_id == Some(follow.claim_id) => match begun_in_tx(tx, merchant, made()).await? {
            Some(begun) => Followed::Fresh(Box::new(begun)),
            None => Followed::InFlight,
        },
        _ => Followed::InFlight,
    })
}

/// Locks payments in one order and reads them with all that a decision needs.
pub(super) async fn lock_and_read(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follows: &[&Follow],
) -> Result<States, Error> {
    let ids: Vec<Uuid> = follows.iter().map(|follow| follow.payment_id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"with target as materialized (
             select payment_id from unnest($2::uuid[]) as k (payment_id) order by payment_id
         )
         select t.payment_id as "payment_id!: PaymentId", p.order_id, p.ordinal, p.status, p.amount, p.currency,
                p.capture_method, p.payment_method, p.return_url, p.psp_account_id as "psp_account_id: PspAccountId",
                p.authorized_amount, p.captured_amount, p.refund_reserved_amount, p.refunded_amount, p.disputed_amount,
                p.version,
                p.metadata as "metadata: Json<BTreeMap<String, String>>", p.created_at, p.updated_at, a.psp,
                now() as "now!"
         from target t
         cross join lateral (
             select * from payment where merchant_id = $1 and payment_id = t.payment_id for no key update
         ) p
         cross join lateral (
             select psp from psp_account where merchant_id = $1 and psp_account_id = p.psp_account_id offset 0
         ) a"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut states = HashMap::with_capacity(rows.len());
    for row in rows {
        let word = |column| Error::UnknownWord(column);
        let method = Method::of(row.payment_method.clone(), row.return_url.clone());
        let payment = PaymentView {
            payment_id: row.payment_id,
            order_id: row.order_id.clone(),
            ordinal: row.ordinal,
            status: PaymentStatus::parse(&row.status).ok_or(word("payment.status"))?,
            amount: row.amount,
            currency: row.currency.parse().map_err(|_| word("payment.currency"))?,
            capture: row
                .capture_method
                .parse::<CaptureMethod>()
                .map_err(|_| word("payment.capture_method"))?
                .as_str(),
            payment_method: row.payment_method,
            return_url: row.return_url,
            psp_account_id: row.psp_account_id,
            authorized_amount: row.authorized_amount,
            captured_amount: row.captured_amount,
            refund_reserved_amount: row.refund_reserved_amount,
            refunded_amount: row.refunded_amount,
            disputed_amount: row.disputed_amount,
            splits: Vec::new(),
            metadata: row.metadata.0,
            failure: None,
            next_action: None,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        let state = State {
            merchant,
            order_id: OrderId::try_from(row.order_id).map_err(|_| word("payment.order_id"))?,
            method: method.ok_or(word("payment.payment_method"))?,
            version: row.version,
            psp: row.psp.parse::<Psp>().map_err(|_| word("psp_account.psp"))?,
            psp_reference: None,
            splits: Vec::new(),
            open: None,
            known: None,
            now: row.now,
            payment,
        };
        states.insert(row.payment_id, state);
    }
    // what hangs on a payment changes under its lock alone: read after it was taken
    read_splits(tx, merchant, &ids, &mut states).await?;
    read_operations(tx, merchant, follows, &mut states).await?;
    Ok(states)
}

async fn read_splits(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payments: &[Uuid],
    states: &mut States,
) -> Result<(), Error> {
    let rows = sqlx::query!(
        r#"select s.payment_id as "payment_id: PaymentId", s.split_no, s.seller_id, s.amount, s.platform_fee,
                s.captured_amount, s.refunded_amount, s.refund_reserved_amount, s.refunded_fee, s.disputed_amount,
                s.disputed_fee
         from unnest($2::uuid[]) as k (payment_id)
         cross join lateral (
             select * from payment_split where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) s
         order by s.payment_id, s.split_no"#,
        merchant.as_uuid(),
        payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let Some(state) = states.get_mut(&row.payment_id) else { continue };
        let view =
            SplitView { seller: row.seller_id.clone(), amount: row.amount, platform_fee: row.platform_fee };
        state.payment.splits.push(view);
        state.splits.push(SplitState {
            split_no: row.split_no,
            seller: SellerId::try_from(row.seller_id)
                .map_err(|_| Error::UnknownWord("payment_split.seller_id"))?,
            amount: row.amount,
            platform_fee: row.platform_fee,
            captured: row.captured_amount,
            refunded: row.refunded_amount,
            reserved: row.refund_reserved_amount,
            refunded_fee: row.refunded_fee,
            disputed: row.disputed_amount,
            disputed_fee: row.disputed_fee,
        });
    }
    Ok(())
}

/// What the PSP calls the payment, what is under way, and whether the requests' operations are there already.
async fn read_operations(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    follows: &[&Follow],
    states: &mut States,
) -> Result<(), Error> {
    let mut wanted: Vec<(PaymentId, OperationId)> = Vec::with_capacity(follows.len());
    for follow in follows {
        let Some(state) = states.get(&follow.payment_id) else { continue };
        let (order, kind) = (state.order_id.as_str(), follow.want.kind().as_str());
        let id = operation_id(merchant, order, state.payment.ordinal, kind, follow.key.as_str());
        wanted.push((follow.payment_id, id));
    }
    let payments: Vec<Uuid> = wanted.iter().map(|(payment, _)| payment.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select k.payment_id as "payment_id!: PaymentId", o.operation_id as "operation_id: OperationId", o.kind, o.status,
                o.psp_reference
         from unnest($2::uuid[]) as k (payment_id)
         cross join lateral (
             select * from operation where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) o"#,
        merchant.as_uuid(),
        &payments,
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let kind = OperationKind::parse(&row.kind).ok_or(Error::UnknownWord("operation.kind"))?;
        let status = OperationStatus::parse(&row.status).ok_or(Error::UnknownWord("operation.status"))?;
        let Some(state) = states.get_mut(&row.payment_id) else { continue };
        if kind == OperationKind::Authorize {
            let reference = row.psp_reference.as_deref().map(PspReference::parse).transpose();
            state.psp_reference = reference.map_err(|_| Error::UnknownWord("operation.psp_reference"))?;
        }
        if wanted.contains(&(row.payment_id, row.operation_id)) {
            let view = operations::view(&mut **tx, merchant, row.operation_id).await?;
            let has_ended = !status.is_open() && status != OperationStatus::NeedsReview;
            state.known = view.map(|view| KnownOperation { view, has_ended });
        }
        let changes_hold = matches!(kind, OperationKind::Capture | OperationKind::Void);
        if changes_hold && (status.is_open() || status == OperationStatus::NeedsReview) {
            state.open = Some((row.operation_id, kind));
        }
    }
    Ok(())
}

/// Columns of what is claimed.
#[derive(Default)]
struct Columns<'a> {
    operations: Vec<Uuid>,
    payments: Vec<Uuid>,
    kinds: Vec<&'static str>,
    accounts: Vec<Uuid>,
    amounts: Vec<i64>,
    currencies: Vec<&'a str>,
    leases_ms: Vec<i64>,
    keys: Vec<&'a str>,
    targets: Vec<&'a str>,
    captured_before: Vec<Option<i64>>,
    lasts: Vec<Option<bool>>,
    versions: Vec<i32>,
    reserves: Vec<i64>,
    events: Vec<Uuid>,
    event_kinds: Vec<&'static str>,
    event_data: Vec<serde_json::Value>,
    split_operations: Vec<Uuid>,
    split_payments: Vec<Uuid>,
    split_numbers: Vec<i16>,
    split_amounts: Vec<i64>,
    split_fees: Vec<i64>,
    split_reserves: Vec<i64>,
    draw_operations: Vec<Uuid>,
    draw_numbers: Vec<i16>,
    draw_captures: Vec<Uuid>,
    draw_amounts: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, follow: &'a Follow, state: &State, accepted: &'a Accepted) {
        let expected = &accepted.begun.errand.expected;
        let (operation, payment) = (expected.operation_id.as_uuid(), accepted.payment_id.as_uuid());
        let is_refund = accepted.kind == OperationKind::Refund;
        self.operations.push(operation);
        self.payments.push(payment);
        self.kinds.push(accepted.kind.as_str());
        self.accounts.push(accepted.begun.psp_account_id.as_uuid());
        self.amounts.push(expected.amount.minor);
        self.currencies.push(expected.amount.currency.code());
        self.leases_ms.push(i64::try_from(follow.lease.as_millis()).unwrap_or(i64::MAX));
        self.keys.push(follow.key.as_str());
        let (target, before, last) = match &expected.aim {
            Aim::Authorize { .. } | Aim::Payout { .. } => ("", None, None),
            Aim::Capture { of, captured_before, last } => (of.as_str(), Some(*captured_before), Some(*last)),
            Aim::Void { of, captured_before } => (of.as_str(), Some(*captured_before), None),
            Aim::Refund { of } => (of.as_str(), None, None),
        };
        self.targets.push(target);
        self.captured_before.push(before);
        self.lasts.push(last);
        self.versions.push(state.version);
        self.reserves.push(if is_refund { expected.amount.minor } else { 0 });
        self.events.push(accepted.event.event_id.as_uuid());
        self.event_kinds.push(accepted.event.kind);
        self.event_data.push(accepted.event.data.clone());
        for part in &accepted.parts {
            self.split_operations.push(operation);
            self.split_payments.push(payment);
            self.split_numbers.push(part.split_no);
            self.split_amounts.push(part.amount);
            self.split_fees.push(part.platform_fee);
            self.split_reserves.push(if is_refund { part.amount } else { 0 });
        }
        for (split_no, capture, amount) in &accepted.draws {
            self.draw_operations.push(operation);
            self.draw_numbers.push(*split_no);
            self.draw_captures.push(capture.as_uuid());
            self.draw_amounts.push(*amount);
        }
    }
}

/// Writes what was decided.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    verdicts: &[(&Follow, State, Verdict)],
) -> Result<(), Error> {
    let mut columns = Columns::default();
    for (follow, state, verdict) in verdicts {
        match verdict {
            Verdict::Accepted(accepted) => columns.add(follow, state, accepted),
            Verdict::Refused(problem) => {
                let (status, body) = stored::refusal(problem, follow.request_id.as_ref());
                idempotency::answer_in_tx(tx, merchant, &follow.key, status, &body).await?;
            }
            Verdict::Known { answer, .. } => {
                let (status, body) = answer.clone().unwrap_or_else(stored::accepted);
                idempotency::answer_in_tx(tx, merchant, &follow.key, status, &body).await?;
            }
            Verdict::AmountRefused(_) | Verdict::OtherRequest(_) => {
                idempotency::release_in_tx(tx, merchant, &follow.key).await?;
            }
        }
    }
    if columns.operations.is_empty() {
        return Ok(());
    }
    insert(tx, merchant, &columns).await
}

async fn insert(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    columns: &Columns<'_>,
) -> Result<(), Error> {
    let changed = sqlx::query!(
        r#"with op as (
             insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency,
                                    status, fence, lease_until, due_at, first_sent_at, idempotency_key, psp_target,
                                    captured_before, last_capture, created_at, updated_at)
             select $1, o.operation_id, o.payment_id, o.kind, o.psp_account_id, o.amount, o.currency, 'sending', 1,
                    now() + o.lease_ms * interval '1 millisecond', now() + o.lease_ms * interval '1 millisecond', now(),
                    o.idempotency_key, o.psp_target, o.captured_before, o.last_capture, now(), now()
             from unnest($2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::text[], $8::bigint[],
                         $9::text[], $10::text[], $11::bigint[], $12::bool[])
                 as o (operation_id, payment_id, kind, psp_account_id, amount, currency, lease_ms, idempotency_key,
                       psp_target, captured_before, last_capture)
         ), pay as (
             update payment p
             set version = p.version + 1, refund_reserved_amount = p.refund_reserved_amount + n.reserve,
                 updated_at = now()
             from unnest($3::uuid[], $13::int[], $14::bigint[]) as n (payment_id, version_before, reserve)
             cross join lateral (
                 select ctid from payment
                 where merchant_id = $1 and payment_id = n.payment_id and version = n.version_before offset 0
             ) locked
             where p.ctid = locked.ctid
             returning 1
         ), event as (
             insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
             select $1, e.payment_id, e.version_before + 1, e.event_id, e.type, e.data, now()
             from unnest($3::uuid[], $13::int[], $15::uuid[], $16::text[], $17::jsonb[])
                 as e (payment_id, version_before, event_id, type, data)
         ), part as (
             insert into operation_split (merchant_id, operation_id, split_no, amount, platform_fee)
             select $1, s.operation_id, s.split_no, s.amount, s.platform_fee
             from unnest($18::uuid[], $20::smallint[], $21::bigint[], $22::bigint[])
                 as s (operation_id, split_no, amount, platform_fee)
         ), split as (
             update payment_split s
             set refund_reserved_amount = s.refund_reserved_amount + n.reserve,
                 refunded_fee = s.refunded_fee + case when n.reserve > 0 then n.platform_fee else 0 end
             from unnest($19::uuid[], $20::smallint[], $22::bigint[], $23::bigint[])
                 as n (payment_id, split_no, platform_fee, reserve)
             cross join lateral (
                 select ctid from payment_split
                 where merchant_id = $1 and payment_id = n.payment_id and split_no = n.split_no offset 0
             ) locked
             where s.ctid = locked.ctid
             returning 1
         ), draw as (
             insert into capture_draw (merchant_id, taker_id, split_no, capture_id, amount)
             select $1, d.* from unnest($24::uuid[], $25::smallint[], $26::uuid[], $27::bigint[]) as d
         )
         select (select count(*) from pay) as "payments!", (select count(*) from split) as "splits!""#,
        merchant.as_uuid(),
        &columns.operations,
        &columns.payments,
        &columns.kinds as &[&str],
        &columns.accounts,
        &columns.amounts,
        &columns.currencies as &[&str],
        &columns.leases_ms,
        &columns.keys as &[&str],
        &columns.targets as &[&str],
        &columns.captured_before as &[Option<i64>],
        &columns.lasts as &[Option<bool>],
        &columns.versions,
        &columns.reserves,
        &columns.events,
        &columns.event_kinds as &[&str],
        &columns.event_data,
        &columns.split_operations,
        &columns.split_payments,
        &columns.split_numbers,
        &columns.split_amounts,
        &columns.split_fees,
        &columns.split_reserves,
        &columns.draw_operations,
        &columns.draw_numbers,
        &columns.draw_captures,
        &columns.draw_amounts,
    )
    .fetch_one(&mut **tx)
    .await?;
    let all = |expected: usize, changed: i64| {
        let changed = usize::try_from(changed).unwrap_or_default();
        if changed == expected { Ok(()) } else { Err(Error::RowsLost { expected, changed }) }
    };
    all(columns.payments.len(), changed.payments)?;
    all(columns.split_payments.len(), changed.splits)
}
