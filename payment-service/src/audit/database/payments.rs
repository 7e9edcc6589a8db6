//! I6 and I7: payments, their splits and their history.

use futures::TryStreamExt as _;
use money::MerchantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Counted, Found, payouts};
use crate::outbox;
use crate::payment::{PaymentEvent, PaymentStatus};

pub(super) async fn bounds(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with offender as (
             select payment_id::text as id from payment
             where merchant_id = $1
               and not (refunded_amount >= 0 and refund_reserved_amount >= 0
                        and refunded_amount + refund_reserved_amount <= captured_amount
                        and captured_amount <= authorized_amount and authorized_amount <= amount)
                or merchant_id = $1 and refunded_amount + refund_reserved_amount + disputed_amount > captured_amount
                   and not exists (
                       select 1 from recon_break b
                       where b.merchant_id = $1 and b.payment_id = payment.payment_id and b.kind = 'disputed_beyond')
         )
         select (select count(*) from payment where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn splits(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with parts as (
             select payment_id, sum(amount) as amount, sum(captured_amount) as captured,
                    sum(refunded_amount) as refunded, sum(refund_reserved_amount) as reserved,
                    sum(disputed_amount) as disputed,
                    bool_and(platform_fee between 0 and amount and captured_amount <= amount
                             and refunded_amount >= 0 and refund_reserved_amount >= 0
                             and refunded_amount + refund_reserved_amount <= captured_amount
                             and refunded_fee between 0 and platform_fee) as bounded
             from payment_split where merchant_id = $1 group by payment_id
         ), offender as (
             select p.payment_id::text as id
             from payment p left join parts s on s.payment_id = p.payment_id
             where p.merchant_id = $1
               and (s.amount is distinct from p.amount or s.captured <> p.captured_amount
                    or s.refunded <> p.refunded_amount or s.reserved <> p.refund_reserved_amount
                    or s.disputed <> p.disputed_amount or not s.bounded)
         )
         select (select count(*) from payment where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// What a payment counts, summed from its operations; and each of these from how it falls on the splits.
pub(super) async fn sums(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with done as (
             select o.payment_id,
                    coalesce(sum(o.amount) filter (where o.status = 'succeeded'
                        and (o.kind = 'capture' or o.kind = 'authorize' and p.capture_method = 'automatic')), 0) as captured,
                    coalesce(sum(o.amount) filter (where o.kind = 'refund' and o.status = 'succeeded'), 0) as refunded,
                    coalesce(sum(o.amount) filter (where o.kind = 'refund'
                        and o.status in ('created', 'sending', 'unknown', 'needs_review')), 0) as reserved,
                    count(*) filter (where o.kind in ('capture', 'void')
                        and o.status in ('created', 'sending', 'unknown', 'needs_review')) as changing
             from operation o join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
             where o.merchant_id = $1 group by o.payment_id
         ), part as (
             select operation_id, sum(amount) as amount from operation_split where merchant_id = $1 group by operation_id
         ), offender as (
             select p.payment_id::text as id
             from payment p join done d on d.payment_id = p.payment_id
             where p.merchant_id = $1
               and (d.captured <> p.captured_amount or d.refunded <> p.refunded_amount
                    or d.reserved <> p.refund_reserved_amount or d.changing > 1)
             union
             select o.payment_id::text
             from operation o left join part x on x.operation_id = o.operation_id
             where o.merchant_id = $1 and o.kind in ('capture', 'refund') and x.amount is distinct from o.amount
         )
         select (select count(*) from payment where merchant_id = $1) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

pub(super) async fn versions(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with subject as (
             select payment_id as id, version from payment where merchant_id = $1
             union all
             select payout_id, version from payout where merchant_id = $1
         ), history as (
             select subject_id, count(*) as events, min(version) as first, max(version) as last
             from payment_event where merchant_id = $1 group by subject_id
         ), offender as (
             select s.id::text as id
             from subject s left join history h on h.subject_id = s.id
             where h.events is distinct from s.version::bigint or h.first <> 1 or h.last <> s.version
         )
         select (select count(*) from subject) as "looked!",
                (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// A payment on its way through its events.
struct Walk {
    payment_id: Uuid,
    /// Where the path has led; none after a step that no payment can take.
    at: Option<PaymentStatus>,
    /// Where the payment is.
    now: String,
}

impl Walk {
    fn arrived(&self) -> bool {
        self.at.is_some_and(|status| status.as_str() == self.now)
    }
}

pub(super) async fn path(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    let mut rows = sqlx::query!(
        r#"select p.payment_id, e.type as kind, e.data ->> 'status' as status, p.status as now
         from payment_event e join payment p on p.merchant_id = $1 and p.payment_id = e.payment_id
         where e.merchant_id = $1
         order by e.payment_id, e.version"#,
        merchant.as_uuid(),
    )
    .fetch(&mut *db);
    let mut walk: Option<Walk> = None;
    while let Some(row) = rows.try_next().await? {
        let told = row.status.as_deref().and_then(PaymentStatus::parse);
        match &mut walk {
            Some(walk) if walk.payment_id == row.payment_id => {
                walk.at = walk.at.and_then(|from| step(Some(from), &row.kind, told?));
            }
            _ => {
                let at = told.and_then(|to| step(None, &row.kind, to));
                let next = Walk { payment_id: row.payment_id, at, now: row.now };
                if let Some(done) = walk.replace(next) {
                    found.judge(done.arrived(), || done.payment_id.to_string());
                }
            }
        }
    }
    if let Some(done) = walk {
        found.judge(done.arrived(), || done.payment_id.to_string());
    }
    drop(rows);
    payouts::walk(db, merchant, &mut found).await?;
    Ok(found)
}

/// Where an event leads that tells of the status `to`; none where it cannot happen.
fn step(from: Option<PaymentStatus>, kind: &str, to: PaymentStatus) -> Option<PaymentStatus> {
    let reached = match (from, kind) {
        (None, outbox::CREATED) => Some(PaymentStatus::Processing),
        (None, _) | (Some(_), outbox::CREATED) => None,
        (Some(from), "payment.captured") => from.apply(PaymentEvent::Captured).ok(),
        (Some(from), "payment.partially_captured") => from.apply(PaymentEvent::CapturedInPart).ok(),
        (Some(from), "payment.authorized") => from.apply(PaymentEvent::Authorized).ok(),
        (Some(from), "payment.requires_action") => from.apply(PaymentEvent::ActionRequired).ok(),
        (Some(from), "payment.processing") => from.apply(PaymentEvent::Acted).ok(),
        (Some(from), "payment.failed") => from.apply(PaymentEvent::Failed).ok(),
        (Some(from), "payment.expired") => from.apply(PaymentEvent::Expired).ok(),
        (Some(from), "payment.voided") => from.apply(PaymentEvent::Voided).ok(),
        // tells of an operation: the payment stays
        (Some(from), _) => Some(from),
    };
    reached.filter(|reached| *reached == to)
}

#[cfg(test)]
mod tests {
    use super::PaymentStatus::{
        Authorized, Captured, Expired, Failed, PartiallyCaptured, Processing, RequiresAction, Voided,
    };
    use super::step;

    #[test]
    fn an_event_leads_where_its_name_says_and_nowhere_from_an_end() {
        for (from, kind, to, leads) in [
            (None, "payment.created", Processing, true),
            (None, "payment.captured", Captured, false),
            (Some(Processing), "payment.created", Processing, false),
            (Some(Processing), "payment.captured", Captured, true),
            (Some(Processing), "payment.captured", Failed, false),
            (Some(Processing), "payment.outcome_unknown", Processing, true),
            (Some(Processing), "payment.outcome_unknown", Captured, false),
            (Some(RequiresAction), "payment.failed", Failed, true),
            (Some(RequiresAction), "payment.expired", Expired, true),
            (Some(Processing), "payment.expired", Expired, false),
            (Some(Authorized), "payment.expired", Expired, true),
            (Some(Authorized), "payment.voided", Voided, true),
            (Some(Authorized), "payment.partially_captured", PartiallyCaptured, true),
            (Some(PartiallyCaptured), "payment.partially_captured", PartiallyCaptured, true),
            (Some(PartiallyCaptured), "payment.captured", Captured, true),
            (Some(PartiallyCaptured), "payment.voided", Voided, false),
            (Some(Captured), "payment.refunded", Captured, true),
            (Some(Captured), "payment.voided", Voided, false),
            (Some(Captured), "payment.captured", Captured, false),
            (Some(Captured), "payment.failed", Failed, false),
            (Some(Failed), "payment.captured", Captured, false),
        ] {
            assert_eq!(step(from, kind, to).is_some(), leads, "{from:?} {kind} {to:?}");
        }
    }
}
