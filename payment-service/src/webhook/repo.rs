use money::{MerchantId, OperationId, PspAccountId};
use serde_json::Value;
use sqlx::PgPool;

use super::arrival::Arrival;
use super::{Verdict, subject_of};

/// An event that was taken from the inbox, for a while.
pub(super) struct Row {
    pub psp_account_id: PspAccountId,
    pub event_id: String,
    pub psp: String,
    pub mode: String,
    pub payload: Value,
    pub tries: i32,
}

/// An event that fails more often is for a person.
const TRIES: i32 = 30;

/// An event that names no operation of ours is let go after about four minutes: the PSP may tell of an object before it
/// answers the request that made it, but not for longer than a request takes.
const FOREIGN_TRIES: i32 = 8;

pub(super) async fn insert(
    pool: &PgPool,
    merchant: MerchantId,
    account: PspAccountId,
    arrival: &Arrival,
) -> Result<bool, sqlx::Error> {
    let (reference, operation_id) = arrival.event.as_ref().map_or((None, None), subject_of);
    let problem = arrival.event.as_ref().err();
    let inserted = sqlx::query!(
        "insert into webhook_event (merchant_id, psp_account_id, event_id, type, psp_reference, operation_id,
                                    psp_created_at, received_at, payload, status, detail, due_at, settled_at)
         select $1, $2, $3, $4, $5, $6, $7, now(), $8,
                case when $9::text is null then 'pending' else 'quarantined' end, $9,
                case when $9::text is null then now() end, case when $9::text is not null then now() end
         on conflict (merchant_id, psp_account_id, event_id) do nothing",
        merchant.as_uuid(),
        account.as_uuid(),
        arrival.event_id,
        arrival.kind,
        reference,
        operation_id.map(OperationId::as_uuid),
        arrival.created_at,
        arrival.payload,
        problem,
    )
    .execute(pool)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn merchants_with_due(pool: &PgPool) -> Result<Vec<MerchantId>, sqlx::Error> {
    // one index probe per merchant, however many events there are
    sqlx::query_scalar!(
        r#"select m.merchant_id as "merchant_id: MerchantId" from merchant m
         cross join lateral (
             select 1 from webhook_event w
             where w.merchant_id = m.merchant_id and w.due_at is not null and w.due_at <= now()
             order by w.due_at limit 1
         ) due"#
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn take_due(
    pool: &PgPool,
    merchant: MerchantId,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    // taken for a while: whoever dies over them leaves them to the next one
    sqlx::query_as!(
        Row,
        r#"with due as (
             select ctid from webhook_event
             where merchant_id = $1 and due_at is not null and due_at <= now()
             order by due_at limit $2
             for update skip locked
         ), taken as (
             update webhook_event w set due_at = now() + interval '30 seconds', tries = w.tries + 1
             from due where w.ctid = due.ctid
             returning w.*
         )
         select t.psp_account_id as "psp_account_id: PspAccountId", t.event_id, a.psp, a.mode, t.payload, t.tries
         from taken t join psp_account a on a.merchant_id = $1 and a.psp_account_id = t.psp_account_id
         order by t.psp_created_at"#,
        merchant.as_uuid(),
        limit,
    )
    .fetch_all(pool)
    .await
}

pub(super) async fn settle(
    pool: &PgPool,
    merchant: MerchantId,
    row: &Row,
    verdict: &Verdict,
) -> Result<(), sqlx::Error> {
    let (status, detail) = match verdict {
        Verdict::Parked if row.tries < TRIES => {
            return wait(pool, merchant, row, "parked", "about nothing known").await;
        }
        Verdict::Parked => ("quarantined", Some("about nothing known")),
        Verdict::Foreign if row.tries < FOREIGN_TRIES => {
            return wait(pool, merchant, row, "parked", "about nothing known").await;
        }
        Verdict::Foreign => ("ignored", Some("of a payment that is not ours")),
        Verdict::Applied(detail) => ("applied", *detail),
        Verdict::Stale(detail) => ("stale", *detail),
        Verdict::Ignored => ("ignored", None),
        Verdict::Quarantined(detail) => ("quarantined", Some(detail.as_str())),
    };
    sqlx::query!(
        // unless it took longer than the event was ours, and somebody else has it now
        "update webhook_event set status = $4, detail = $5, due_at = null, settled_at = now()
         where merchant_id = $1 and psp_account_id = $2 and event_id = $3 and tries = $6 and due_at is not null",
        merchant.as_uuid(),
        row.psp_account_id.as_uuid(),
        row.event_id,
        status,
        detail,
        row.tries,
    )
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn put_back(
    pool: &PgPool,
    merchant: MerchantId,
    row: &Row,
    problem: &str,
) -> Result<(), sqlx::Error> {
    if row.tries >= TRIES {
        return settle(pool, merchant, row, &Verdict::Quarantined(problem.to_owned())).await;
    }
    wait(pool, merchant, row, "pending", problem).await
}

/// Leaves an event for later: after a second, two, four, ... at most an hour.
async fn wait(
    pool: &PgPool,
    merchant: MerchantId,
    row: &Row,
    status: &str,
    detail: &str,
) -> Result<(), sqlx::Error> {
    let wait_s = 1_i64 << row.tries.clamp(0, 11);
    sqlx::query!(
        "update webhook_event set status = $4, detail = $5, due_at = now() + least($6::bigint, 3600) * interval '1 second'
         where merchant_id = $1 and psp_account_id = $2 and event_id = $3 and tries = $7 and due_at is not null",
        merchant.as_uuid(),
        row.psp_account_id.as_uuid(),
        row.event_id,
        status,
        detail,
        wait_s,
        row.tries,
    )
    .execute(pool)
    .await?;
    Ok(())
}
