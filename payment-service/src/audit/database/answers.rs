//! I2: what clients were answered, and are answered again.

use futures::TryStreamExt as _;
use money::MerchantId;
use serde::Deserialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Counted, Found};

/// A key that is gone was reaped, which happens after a day at the earliest.
pub(super) async fn stored(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let counted = sqlx::query_as!(
        Counted,
        r#"with ended as (
             select o.operation_id, o.created_at, k.idempotency_key is not null as kept, k.response_status as answer
             from operation o
             left join idempotency_key k on k.merchant_id = $1 and k.idempotency_key = o.idempotency_key
                  and coalesce(k.payment_id, k.payout_id) = coalesce(o.payment_id, o.payout_id)
             where o.merchant_id = $1 and o.status in ('succeeded', 'declined', 'expired', 'reversed')
         ), offender as (
             select operation_id::text as id from ended
             where case when kept then answer is null or answer = 202
                        else created_at > now() - interval '24 hours' end
         )
         select (select count(*) from ended) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!""#,
        merchant.as_uuid(),
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// What a stored answer says: of its payment or payout, or of an operation of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    Review {
        operation: SaidOperation,
    },
    Operation {
        operation_id: Uuid,
        payment_id: Uuid,
        r#type: String,
        status: String,
        amount: i64,
        currency: String,
    },
    Payment {
        payment_id: Uuid,
        order_id: String,
        amount: i64,
        currency: String,
        status: String,
    },
    Payout {
        payout_id: Uuid,
        seller: String,
        amount: i64,
        currency: String,
        status: String,
    },
}

/// What a person was answered of the operation that they said something about: that it is what it is.
#[derive(Deserialize)]
struct SaidOperation {
    operation_id: Uuid,
    r#type: String,
    amount: i64,
    currency: String,
}

pub(super) async fn truthful(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let mut found = Found::default();
    let mut rows = sqlx::query!(
        r#"select coalesce(k.payment_id, k.payout_id) as "subject_id!", k.response_body, p.order_id as "order_id?",
                y.seller_id as "seller_id?", coalesce(p.amount, y.amount) as amount, coalesce(p.currency, y.currency) as currency,
                array(select e.data ->> 'status' from payment_event e
                      where e.merchant_id = $1 and e.subject_id = coalesce(k.payment_id, k.payout_id))
                    as "statuses!: Vec<Option<String>>",
                array(select concat_ws(' ', o.operation_id, o.kind, o.amount, o.currency,
                             case o.status when 'declined' then 'failed' when 'reversed' then 'succeeded' else o.status end)
                      from (select * from operation where merchant_id = $1 and payment_id = k.payment_id
                            union all
                            select * from operation where merchant_id = $1 and payout_id = k.payout_id) o) as "operations!"
         from idempotency_key k
         left join payment p on p.merchant_id = $1 and p.payment_id = k.payment_id
         left join payout y on y.merchant_id = $1 and y.payout_id = k.payout_id
         where k.merchant_id = $1 and k.response_status between 200 and 299 and k.response_status <> 202
               -- acts on breaks answer what they found and move no payment
               and coalesce(k.payment_id, k.payout_id) is not null"#,
        merchant.as_uuid(),
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let said: Option<Said> = row.response_body.and_then(|body| serde_json::from_str(&body).ok());
        let holds = match said {
            Some(Said::Payment { payment_id, order_id, amount, currency, status }) => {
                payment_id == row.subject_id
                    && Some(&order_id) == row.order_id.as_ref()
                    && Some(amount) == row.amount
                    && Some(&currency) == row.currency.as_ref()
                    && row.statuses.contains(&Some(status))
            }
            // one that was taken back later had succeeded when it was answered, or came back before it was asked again
            Some(Said::Operation { operation_id, payment_id, r#type, status, amount, currency }) => {
                let status = if status == "reversed" { "succeeded" } else { status.as_str() };
                let told = format!("{operation_id} {type} {amount} {currency} {status}", type = r#type);
                payment_id == row.subject_id && row.operations.contains(&told)
            }
            Some(Said::Payout { payout_id, seller, amount, currency, status }) => {
                payout_id == row.subject_id
                    && Some(&seller) == row.seller_id.as_ref()
                    && Some(amount) == row.amount
                    && Some(&currency) == row.currency.as_ref()
                    && row.statuses.contains(&Some(status))
            }
            Some(Said::Review { operation }) => {
                let SaidOperation { operation_id, r#type, amount, currency } = operation;
                let told = format!("{operation_id} {type} {amount} {currency} ", type = r#type);
                row.operations.iter().any(|known| known.starts_with(&told))
            }
            None => false,
        };
        found.judge(holds, || row.subject_id.to_string());
    }
    Ok(found)
}
