//! What is drawn from captures that are not settled. Read under the lock of the sellers' accounts, which
//! `reconciliation` takes before it settles a capture: what is not settled now is not until the commit.

use std::collections::HashMap;

use money::{MerchantId, OperationId, PaymentId};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Pots;

/// Marks what was drawn as given back, and answers how much of it, by taker and split, was of captures that are not
/// settled yet.
pub(super) async fn take_back(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    takers: &[Uuid],
) -> Result<HashMap<(Uuid, i16), i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with back as (
             update capture_draw d
             set returned_to = case when exists (
                 select 1 from operation o
                 join released_capture r on r.merchant_id = $1 and r.payment_id = o.payment_id
                      and r.operation_id = o.operation_id
                 where o.merchant_id = $1 and o.operation_id = d.capture_id)
                 then 'seller' else 'pending' end
             where d.merchant_id = $1 and d.taker_id = any($2) and d.returned_to is null
             returning d.taker_id, d.split_no, d.amount, d.returned_to
         )
         select taker_id, split_no, sum(amount)::bigint as "amount!"
         from back where returned_to = 'pending'
         group by taker_id, split_no"#,
        merchant.as_uuid(),
        takers,
    )
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.taker_id, row.split_no), row.amount)).collect())
}

/// What is left of payments' captures that are not settled, by split: the captures with what nobody has drawn yet of the
/// seller's part, the oldest first.
pub(super) async fn unsettled(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    payments: &[PaymentId],
) -> Result<Pots, sqlx::Error> {
    let ids: Vec<Uuid> = payments.iter().map(|id| id.as_uuid()).collect();
    let rows = sqlx::query!(
        r#"select o.payment_id as "payment_id!: PaymentId", o.operation_id as "capture_id!: OperationId",
                s.split_no as "split_no!", (s.amount - s.platform_fee - coalesce(d.drawn, 0))::bigint as "left!"
         from unnest($2::uuid[]) as k (payment_id)
         cross join lateral (
             select * from operation where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) o
         cross join lateral (
             select * from payment where merchant_id = $1 and payment_id = k.payment_id offset 0
         ) p
         cross join lateral (
             select split_no, amount, platform_fee from settleable_split
             where merchant_id = $1 and operation_id = o.operation_id offset 0
         ) s
         left join lateral (
             select sum(amount) as drawn from capture_draw
             where merchant_id = $1 and capture_id = o.operation_id and split_no = s.split_no and returned_to is null
         ) d on true
         where o.status = 'succeeded' and (o.kind = 'capture' or o.kind = 'authorize' and p.capture_method = 'automatic')
           and not exists (
               select 1 from released_capture r
               where r.merchant_id = $1 and r.payment_id = k.payment_id and r.operation_id = o.operation_id)
         order by o.created_at, o.operation_id"#,
        merchant.as_uuid(),
        &ids,
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut pots = Pots::new();
    for row in rows {
        pots.entry((row.payment_id, row.split_no)).or_default().push((row.capture_id, row.left));
    }
    Ok(pots)
}
