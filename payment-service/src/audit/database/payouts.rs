//! I7 and I8: payouts, their history, and what they should have in the ledger.

use futures::TryStreamExt as _;
use money::MerchantId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Counted, Found};
use crate::outbox;
use crate::payout::{PayoutEvent, PayoutStatus};

/// A payout on its way through its events.
struct Walk {
    payout_id: Uuid,
    /// Where the path has led; none after a step that no payout can take.
    at: Option<PayoutStatus>,
    /// Where the payout is.
    now: String,
}

impl Walk {
    fn end(self, found: &mut Found) {
        let arrived = self.at.is_some_and(|status| status.as_str() == self.now);
        found.judge(arrived, || self.payout_id.to_string());
    }
}

/// Judges each payout by the path of its events.
pub(super) async fn walk(
    db: &mut PgConnection,
    merchant: MerchantId,
    found: &mut Found,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query!(
        r#"select p.payout_id, e.type as "kind?", e.data ->> 'status' as status, p.status as now
         from payout p left join payment_event e on e.merchant_id = $1 and e.payout_id = p.payout_id
         where p.merchant_id = $1
         order by p.payout_id, e.version"#,
        merchant.as_uuid(),
    )
    .fetch(db);
    let mut walk: Option<Walk> = None;
    while let Some(row) = rows.try_next().await? {
        let told = row.status.as_deref().and_then(PayoutStatus::parse);
        let kind = row.kind.unwrap_or_default();
        match &mut walk {
            Some(walk) if walk.payout_id == row.payout_id => {
                walk.at = walk.at.and_then(|from| step(Some(from), &kind, told?));
            }
            _ => {
                let at = told.and_then(|to| step(None, &kind, to));
                if let Some(done) = walk.replace(Walk { payout_id: row.payout_id, at, now: row.now }) {
                    done.end(found);
                }
            }
        }
    }
    if let Some(done) = walk {
        done.end(found);
    }
    Ok(())
}

/// Where an event leads that tells of the status `to`; none where it cannot happen.
fn step(from: Option<PayoutStatus>, kind: &str, to: PayoutStatus) -> Option<PayoutStatus> {
    let reached = match (from, kind) {
        (None, outbox::PAYOUT_CREATED) => Some(PayoutStatus::Processing),
        (None, _) | (Some(_), outbox::PAYOUT_CREATED) => None,
        (Some(from), "payout.in_transit") => from.apply(PayoutEvent::Sent).ok(),
        (Some(from), "payout.paid") => from.apply(PayoutEvent::Arrived).ok(),
        (Some(from), "payout.failed" | "payout.returned") => from.apply(PayoutEvent::Failed).ok(),
        // tells of the operation: the payout stays
        (Some(from), _) => Some(from),
    };
    reached.filter(|reached| *reached == to)
}

/// Legs compared one by one. Whether what comes back repays a debt or becomes available depends on what the seller owed
/// then: both are the seller's.
pub(super) async fn posted(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with paid as (
             select o.operation_id, p.seller_id, p.psp_account_id, p.currency, p.amount, p.status,
                    o.status in ('succeeded', 'reversed') as sent
             from payout p join operation o on o.merchant_id = $1 and o.payout_id = p.payout_id
             where p.merchant_id = $1
         ), leg as (
             select operation_id, 'payout_hold' as kind, 'seller_available/' || seller_id as code, currency, amount from paid
             union all
             select operation_id, 'payout_hold', 'seller_held/' || seller_id, currency, -amount from paid
             union all
             select operation_id, 'payout_sent', 'seller_held/' || seller_id, currency, amount from paid where sent
             union all
             select operation_id, 'payout_sent', 'payout_clearing', currency, -amount from paid where sent
             union all
             select operation_id, 'payout_paid', 'payout_clearing', currency, amount
             from paid where status in ('paid', 'returned')
             union all
             select operation_id, 'payout_paid', 'psp_receivable/' || psp_account_id, currency, -amount
             from paid where status in ('paid', 'returned')
             union all
             select operation_id, 'payout_returned', 'psp_receivable/' || psp_account_id, currency, amount
             from paid where status = 'returned'
             union all
             select operation_id, 'payout_returned', 'payout_clearing', currency, -amount
             from paid where status = 'returned'
             union all
             select operation_id, 'payout_back', case when sent then 'payout_clearing' else 'seller_held/' || seller_id end,
                    currency, amount
             from paid where status in ('failed', 'returned')
             union all
             select operation_id, 'payout_back', 'seller/' || seller_id, currency, -amount
             from paid where status in ('failed', 'returned')
         ), booked as (
             select t.source_id as operation_id, t.kind,
                    case when t.kind = 'payout_back' and (a.code like 'seller\_available/%' or a.code like 'seller\_debt/%')
                         then 'seller/' || split_part(a.code, '/', 2) else a.code end as code,
                    e.currency, sum(e.amount) as amount
             from ledger_transaction t
             join ledger_entry e on e.merchant_id = $1 and e.transaction_id = t.transaction_id
             join ledger_account a on a.merchant_id = $1 and a.account_id = e.account_id
             where t.merchant_id = $1 and t.source_type = 'operation' and t.kind like 'payout\_%'
             group by 1, 2, 3, 4
         ), offender as (
             select distinct coalesce(x.operation_id, b.operation_id)::text as id
             from leg x
             full join booked b on b.operation_id = x.operation_id and b.kind = x.kind and b.code = x.code
                  and b.currency = x.currency
             where x.amount is distinct from b.amount
         )
         select (select count(*) from paid) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

#[cfg(test)]
mod tests {
    use super::PayoutStatus::{Failed, InTransit, Paid, Processing, Returned};
    use super::step;

    #[test]
    fn an_event_leads_where_its_name_says_and_nowhere_from_an_end() {
        for (from, kind, to, leads) in [
            (None, "payout.created", Processing, true),
            (None, "payout.paid", Paid, false),
            (Some(Processing), "payout.created", Processing, false),
            (Some(Processing), "payout.outcome_unknown", Processing, true),
            (Some(Processing), "payout.in_transit", InTransit, true),
            (Some(Processing), "payout.paid", Paid, true),
            (Some(InTransit), "payout.paid", Paid, true),
            (Some(InTransit), "payout.paid", Failed, false),
            (Some(InTransit), "payout.failed", Failed, true),
            (Some(Paid), "payout.returned", Returned, true),
            (Some(Paid), "payout.paid", Paid, false),
            (Some(Failed), "payout.paid", Paid, false),
            (Some(Returned), "payout.failed", Failed, false),
        ] {
            assert_eq!(step(from, kind, to).is_some(), leads, "{from:?} {kind} {to:?}");
        }
    }
}
