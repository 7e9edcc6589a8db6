//! The SQL that writes what was recorded: one statement, after the one that locked and read.

use money::MerchantId;
use sqlx::PgTransaction;
use time::OffsetDateTime;
use uuid::Uuid;

use super::record::Decided;
use super::{Error, OperationEvent, OperationStatus};

/// Columns of the operations that change.
#[derive(Default)]
struct Operations<'a> {
    ids: Vec<Uuid>,
    fences_before: Vec<i64>,
    fences: Vec<i64>,
    statuses_before: Vec<&'static str>,
    statuses: Vec<&'static str>,
    reasons: Vec<Option<&'a str>>,
    decline_codes: Vec<Option<&'a str>>,
    messages: Vec<Option<&'a str>>,
    references: Vec<Option<&'a str>>,
    movements: Vec<Option<&'a str>>,
    due_in_ms: Vec<Option<i64>>,
}

/// Columns of the payments that change.
#[derive(Default)]
struct Payments<'a> {
    ids: Vec<Uuid>,
    versions_before: Vec<i32>,
    statuses: Vec<&'static str>,
    lives: Vec<bool>,
    authorized: Vec<i64>,
    captured: Vec<i64>,
    reserved: Vec<i64>,
    refunded: Vec<i64>,
    failure_codes: Vec<Option<&'a str>>,
    failure_messages: Vec<Option<&'a str>>,
    decline_codes: Vec<Option<&'a str>>,
    next_actions: Vec<Option<&'a str>>,
}

/// Columns of the splits that change.
#[derive(Default)]
struct Splits {
    payments: Vec<Uuid>,
    numbers: Vec<i16>,
    captured: Vec<i64>,
    refunded: Vec<i64>,
    reserved: Vec<i64>,
    refunded_fees: Vec<i64>,
}

/// Columns of the events.
#[derive(Default)]
struct Events {
    payments: Vec<Uuid>,
    versions: Vec<i32>,
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    data: Vec<serde_json::Value>,
}

/// Columns of the stored responses.
#[derive(Default)]
struct Responses<'a> {
    keys: Vec<&'a str>,
    subjects: Vec<Uuid>,
    statuses: Vec<i16>,
    bodies: Vec<&'a str>,
}

/// Columns of the evidence.
#[derive(Default)]
struct Attempts<'a> {
    operations: Vec<Uuid>,
    ids: Vec<Uuid>,
    fences: Vec<i64>,
    actions: Vec<&'static str>,
    sent: Vec<OffsetDateTime>,
    answered: Vec<OffsetDateTime>,
    outcomes: Vec<&'static str>,
    http_statuses: Vec<Option<i16>>,
    request_ids: Vec<Option<&'a str>>,
    references: Vec<Option<&'a str>>,
    details: Vec<Option<&'a str>>,
}

#[derive(Default)]
struct Columns<'a> {
    operations: Operations<'a>,
    payments: Payments<'a>,
    splits: Splits,
    events: Events,
    responses: Responses<'a>,
    attempts: Attempts<'a>,
}

impl<'a> Columns<'a> {
    fn of(decided: &'a [Decided<'a>]) -> Self {
        let mut columns = Self::default();
        for item in decided {
            columns.attempts.add(item);
            if item.change().is_some() {
                columns.operations.add(item);
                columns.payments.add(item);
                columns.splits.add(item);
                columns.events.add(item);
                columns.responses.add(item);
            }
        }
        columns
    }
}

impl<'a> Operations<'a> {
    fn add(&mut self, item: &'a Decided<'a>) {
        let Some(change) = item.change() else { return };
        self.ids.push(item.locked.operation_id().as_uuid());
        self.fences_before.push(item.locked.fence());
        self.fences.push(item.recording.by.fence_after(item.locked.fence()));
        self.statuses_before.push(item.locked.status().as_str());
        self.statuses.push(change.status.as_str());
        self.reasons.push(change.reason.as_deref());
        let failure = change.failure.as_ref();
        self.decline_codes.push(failure.and_then(|failure| failure.decline_code.as_deref()));
        self.messages.push(failure.map(|failure| failure.message.as_str()));
        self.references.push(change.psp_reference.as_ref().map(|reference| reference.as_str()));
        self.movements.push(change.psp_movement.as_deref());
        self.due_in_ms.push(change.due_in.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)));
    }
}

impl<'a> Payments<'a> {
    /// A change with an event grows the payment's version, also where nothing else of the payment changes.
    fn add(&mut self, item: &'a Decided<'a>) {
        let (Some(change), Some(known)) = (item.change(), item.locked.payment()) else { return };
        if change.event.is_none() && change.payment.is_none() {
            return;
        }
        let payment = change.payment.as_ref().unwrap_or(&known.payment);
        self.ids.push(payment.payment_id.as_uuid());
        self.versions_before.push(known.version);
        self.statuses.push(payment.status.as_str());
        self.lives.push(payment.status.is_live());
        self.authorized.push(payment.authorized_amount);
        self.captured.push(payment.captured_amount);
        self.reserved.push(payment.refund_reserved_amount);
        self.refunded.push(payment.refunded_amount);
        let failure = payment.failure.as_ref();
        self.failure_codes.push(failure.map(|failure| failure.code.as_str()));
        self.failure_messages.push(failure.map(|failure| failure.message.as_str()));
        self.decline_codes.push(failure.and_then(|failure| failure.decline_code.as_deref()));
        self.next_actions.push(payment.next_action.as_ref().map(|action| action.redirect_url.as_str()));
    }
}

impl Splits {
    fn add(&mut self, item: &Decided<'_>) {
        let (Some(change), Some(known)) = (item.change(), item.locked.payment()) else { return };
        for (number, sums) in &change.splits {
            self.payments.push(known.payment.payment_id.as_uuid());
            self.numbers.push(*number);
            self.captured.push(sums.captured);
            self.refunded.push(sums.refunded);
            self.reserved.push(sums.reserved);
            self.refunded_fees.push(sums.refunded_fee);
        }
    }
}

impl Events {
    fn add(&mut self, item: &Decided<'_>) {
        let Some(known) = item.locked.payment() else { return };
        let Some(event) = item.change().and_then(|change| change.event.as_ref()) else { return };
        self.payments.push(known.payment.payment_id.as_uuid());
        self.versions.push(known.version + 1);
        self.ids.push(event.event_id.as_uuid());
        self.kinds.push(event.kind);
        self.data.push(event.data.clone());
    }
}

impl<'a> Responses<'a> {
    fn add(&mut self, item: &'a Decided<'a>) {
        let Some((status, body)) = item.change().and_then(|change| change.response.as_ref()) else { return };
        self.keys.push(item.locked.key());
        self.subjects.push(item.locked.subject().as_uuid());
        self.statuses.push(status.cast_signed());
        self.bodies.push(body);
    }
}

impl<'a> Attempts<'a> {
    fn add(&mut self, item: &'a Decided<'a>) {
        for attempt in &item.recording.attempts {
            self.operations.push(item.locked.operation_id().as_uuid());
            self.ids.push(attempt.attempt_id.as_uuid());
            self.fences.push(item.recording.attempt_fence);
            self.actions.push(attempt.action.as_str());
            self.sent.push(attempt.sent_at);
            // wall clocks step; evidence does not go backwards
            self.answered.push(attempt.answered_at.max(attempt.sent_at));
            self.outcomes.push(attempt.outcome.as_str());
            self.http_statuses.push(attempt.http_status.map(u16::cast_signed));
            self.request_ids.push(attempt.psp_request_id.as_deref());
            self.references.push(attempt.psp_reference.as_ref().map(|reference| reference.as_str()));
            self.details.push(attempt.detail.as_deref());
        }
    }
}

/// Writes what was decided, in one statement, and makes sure that every locked row that had to change did. The rows'
/// places are theirs for as long as they are locked, so they are updated by them.
pub(super) async fn write(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    decided: &[Decided<'_>],
) -> Result<(), Error> {
    let Columns { operations, payments, splits, events, responses, attempts } = Columns::of(decided);
    let changed = sqlx::query!(
        r#"with op as (
             update operation o
             set status = n.status, fence = n.fence, reason = n.reason, decline_code = n.decline_code,
                 failure_message = n.message,
                 psp_reference = coalesce(n.psp_reference, o.psp_reference),
                 psp_movement = coalesce(n.psp_movement, o.psp_movement),
                 -- left open without regard to news that came meanwhile: one more look
                 due_at = case when n.status in ('unknown', 'requires_action', 'needs_review')
                                    and o.due_at < o.lease_until then now()
                               else now() + n.due_in_ms * interval '1 millisecond' end, lease_until = now(),
                 -- what needs review keeps the moment since when
                 updated_at = case when o.status = 'needs_review' and n.status = 'needs_review' then o.updated_at else now() end
             from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::bigint[])
                 as n (operation_id, fence_before, fence, status_before, status, reason, decline_code, message,
                       psp_reference, psp_movement, due_in_ms)
             cross join lateral (
                 select ctid from operation
                 where merchant_id = $1 and operation_id = n.operation_id
                   and fence = n.fence_before and status = n.status_before offset 0
             ) locked
             where o.ctid = locked.ctid
             returning 1
         ), pay as (
             update payment p
             set status = n.status, live = n.live, version = p.version + 1, authorized_amount = n.authorized,
                 captured_amount = n.captured, refund_reserved_amount = n.reserved, refunded_amount = n.refunded,
                 failure_code = n.failure_code, failure_message = n.failure_message,
                 decline_code = n.decline_code, next_action_url = n.next_action_url, updated_at = now()
             from unnest($13::uuid[], $14::int[], $15::text[], $16::bool[], $17::bigint[], $18::bigint[], $19::bigint[],
                         $20::bigint[], $21::text[], $22::text[], $23::text[], $24::text[])
                 as n (payment_id, version_before, status, live, authorized, captured, reserved, refunded, failure_code,
                       failure_message, decline_code, next_action_url)
             cross join lateral (
                 select ctid from payment
                 where merchant_id = $1 and payment_id = n.payment_id and version = n.version_before offset 0
             ) locked
             where p.ctid = locked.ctid
             returning 1
         ), split as (
             update payment_split s
             set captured_amount = n.captured, refunded_amount = n.refunded, refund_reserved_amount = n.reserved,
                 refunded_fee = n.refunded_fee
             from unnest($25::uuid[], $26::smallint[], $27::bigint[], $28::bigint[], $29::bigint[], $30::bigint[])
                 as n (payment_id, split_no, captured, refunded, reserved, refunded_fee)
             cross join lateral (
                 select ctid from payment_split
                 where merchant_id = $1 and payment_id = n.payment_id and split_no = n.split_no offset 0
             ) locked
             where s.ctid = locked.ctid
             returning 1
         ), event as (
             insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
             select $1, e.payment_id, e.version, e.event_id, e.type, e.data, now()
             from unnest($31::uuid[], $32::int[], $33::uuid[], $34::text[], $35::jsonb[])
                 as e (payment_id, version, event_id, type, data)
         ), response as (
             update idempotency_key k set response_status = r.status, response_body = r.body
             from unnest($36::text[], $37::uuid[], $38::smallint[], $39::text[])
                 as r (idempotency_key, subject_id, status, body)
             cross join lateral (
                 select ctid from idempotency_key
                 where merchant_id = $1 and idempotency_key = r.idempotency_key
                   and coalesce(payment_id, payout_id) = r.subject_id
                   and (response_status is null or response_status = 202) offset 0
             ) open
             where k.ctid = open.ctid
         ), evidence as (
             insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome,
                                  http_status, psp_request_id, psp_reference, detail)
             select $1, a.* from unnest($40::uuid[], $41::uuid[], $42::bigint[], $43::text[], $44::timestamptz[],
                                        $45::timestamptz[], $46::text[], $47::smallint[], $48::text[], $49::text[],
                                        $50::text[]) as a
             on conflict do nothing
         )
         select (select count(*) from op) as "operations!", (select count(*) from pay) as "payments!",
                (select count(*) from split) as "splits!""#,
        merchant.as_uuid(),
        &operations.ids,
        &operations.fences_before,
        &operations.fences,
        &operations.statuses_before as &[&str],
        &operations.statuses as &[&str],
        &operations.reasons as &[Option<&str>],
        &operations.decline_codes as &[Option<&str>],
        &operations.messages as &[Option<&str>],
        &operations.references as &[Option<&str>],
        &operations.movements as &[Option<&str>],
        &operations.due_in_ms as &[Option<i64>],
        &payments.ids,
        &payments.versions_before,
        &payments.statuses as &[&str],
        &payments.lives,
        &payments.authorized,
        &payments.captured,
        &payments.reserved,
        &payments.refunded,
        &payments.failure_codes as &[Option<&str>],
        &payments.failure_messages as &[Option<&str>],
        &payments.decline_codes as &[Option<&str>],
        &payments.next_actions as &[Option<&str>],
        &splits.payments,
        &splits.numbers,
        &splits.captured,
        &splits.refunded,
        &splits.reserved,
        &splits.refunded_fees,
        &events.payments,
        &events.versions,
        &events.ids,
        &events.kinds as &[&str],
        &events.data,
        &responses.keys as &[&str],
        &responses.subjects,
        &responses.statuses,
        &responses.bodies as &[&str],
        &attempts.operations,
        &attempts.ids,
        &attempts.fences,
        &attempts.actions as &[&str],
        &attempts.sent,
        &attempts.answered,
        &attempts.outcomes as &[&str],
        &attempts.http_statuses as &[Option<i16>],
        &attempts.request_ids as &[Option<&str>],
        &attempts.references as &[Option<&str>],
        &attempts.details as &[Option<&str>],
    )
    .fetch_one(&mut **tx)
    .await?;
    all_changed(operations.ids.len(), changed.operations)?;
    all_changed(payments.ids.len(), changed.payments)?;
    all_changed(splits.payments.len(), changed.splits)?;
    end_waits(tx, merchant, decided).await
}

/// A payment that was voided while it waited for its buyer waits no longer: its authorisation has ended, whoever owns it. What
/// was paid on a page and let go is known by its own name from now on: it may still be heard of as it was before.
async fn end_waits(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    decided: &[Decided<'_>],
) -> Result<(), Error> {
    let ended = decided.iter().filter_map(|item| {
        let (known, change) = (item.locked.payment()?, item.change()?);
        Some((known.payment.payment_id.as_uuid(), change.ends_wait.as_ref()?.as_str()))
    });
    let (payments, references): (Vec<Uuid>, Vec<&str>) = ended.unzip();
    if payments.is_empty() {
        return Ok(());
    }
    let waiting = OperationStatus::ALL
        .into_iter()
        .filter(|status| status.apply(OperationEvent::Expired) == Ok(OperationStatus::Expired))
        .map(OperationStatus::as_str);
    let waiting: Vec<&str> = waiting.collect();
    let ended = sqlx::query!(
        "update operation o set status = $5, fence = o.fence + 1, reason = 'voided', due_at = null,
                                psp_reference = n.psp_reference, lease_until = now(), updated_at = now()
         from unnest($2::uuid[], $3::text[]) as n (payment_id, psp_reference)
         where o.merchant_id = $1 and o.payment_id = n.payment_id and o.kind = 'authorize'
           and o.status = any($4)",
        merchant.as_uuid(),
        &payments,
        &references as &[&str],
        &waiting as &[&str],
        OperationStatus::Expired.as_str(),
    )
    .execute(&mut **tx)
    .await?;
    all_changed(payments.len(), i64::try_from(ended.rows_affected()).unwrap_or_default())
}

fn all_changed(expected: usize, changed: i64) -> Result<(), Error> {
    let changed = usize::try_from(changed).unwrap_or_default();
    if changed == expected { Ok(()) } else { Err(Error::RowsLost { expected, changed }) }
}
