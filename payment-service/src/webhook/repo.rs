use std::time::Duration;

use money::{MerchantId, OperationId, PspAccountId};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

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
    /// Since when it is here, in seconds.
    pub age_s: i64,
}

/// An event that fails more often, and for longer, is for a person. Tries alone say little: whoever is held up, by a lock for
/// instance, until somebody else takes the event, has tried as well.
const TRIES: i32 = 30;
const TRIED_FOR_S: i64 = 19 * 3600;

/// An event that names no operation of ours is let go after about four minutes: the PSP may tell of an object before it
/// answers the request that made it, but not for longer than a request takes.
const FOREIGN_TRIES: i32 = 8;
const FOREIGN_FOR_S: i64 = 240;

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
    lease: Duration,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    let lease_ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    // taken for a while: whoever dies over them leaves them to the next one
    sqlx::query_as!(
        Row,
        r#"with due as (
             select ctid from webhook_event
             where merchant_id = $1 and due_at is not null and due_at <= now()
             order by due_at limit $2
             for update skip locked
         ), taken as (
             update webhook_event w set due_at = now() + $3::bigint * interval '1 millisecond', tries = w.tries + 1
             from due where w.ctid = due.ctid
             returning w.*
         )
         select t.psp_account_id as "psp_account_id: PspAccountId", t.event_id, a.psp, a.mode, t.payload, t.tries,
                extract(epoch from now() - t.received_at)::bigint as "age_s!"
         from taken t join psp_account a on a.merchant_id = $1 and a.psp_account_id = t.psp_account_id
         order by t.psp_created_at"#,
        merchant.as_uuid(),
        limit,
        lease_ms,
    )
    .fetch_all(pool)
    .await
}

/// Writes down what became of events, in one statement.
pub(super) async fn settle(
    pool: &PgPool,
    merchant: MerchantId,
    rows: &[Row],
    verdicts: &[Verdict],
) -> Result<(), sqlx::Error> {
    let (mut accounts, mut events) = (Vec::new(), Vec::new());
    let (mut statuses, mut details, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let mut tries = Vec::with_capacity(rows.len());
    let (mut applied_to, mut applied_as) = (Vec::new(), Vec::new());
    for (row, verdict) in rows.iter().zip(verdicts) {
        let next = next(row.tries, row.age_s, verdict);
        accounts.push(row.psp_account_id.as_uuid());
        events.push(row.event_id.as_str());
        statuses.push(next.status);
        details.push(next.detail);
        waits.push(next.wait_s);
        tries.push(row.tries);
        let applied = match verdict {
            Verdict::Applied(operation, became, _) => Some((operation.as_uuid(), *became)),
            _ => None,
        };
        applied_to.push(applied.map(|(operation, _)| operation));
        applied_as.push(applied.map(|(_, became)| became));
    }
    // each by its primary key, whatever the planner believes of a new table; one that somebody else has taken meanwhile,
    // because it took too long, is left to them
    sqlx::query!(
        "update webhook_event w
         set status = n.status, detail = n.detail, due_at = now() + n.wait_s * interval '1 second',
             settled_at = case when n.wait_s is null then now() end, applied_to = n.applied_to, applied_as = n.applied_as
         from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::int[], $8::uuid[], $9::text[])
             as n (psp_account_id, event_id, status, detail, wait_s, tries, applied_to, applied_as)
         cross join lateral (
             select ctid from webhook_event
             where merchant_id = $1 and psp_account_id = n.psp_account_id and event_id = n.event_id
               and tries = n.tries and due_at is not null offset 0
         ) found
         where w.ctid = found.ctid",
        merchant.as_uuid(),
        &accounts,
        &events as &[&str],
        &statuses as &[&str],
        &details as &[Option<&str>],
        &waits as &[Option<i64>],
        &tries,
        &applied_to as &[Option<Uuid>],
        &applied_as as &[Option<&str>],
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What becomes of an event.
#[derive(Debug, PartialEq, Eq)]
struct Next<'a> {
    status: &'static str,
    detail: Option<&'a str>,
    /// How long it waits in the inbox; none when it leaves it.
    wait_s: Option<i64>,
}

/// One that was tried so often, since so long, and cannot be applied yet waits for two seconds, four, ... at most an hour, and in
/// the end for a person.
fn next(tries: i32, age_s: i64, verdict: &Verdict) -> Next<'_> {
    let done = |status, detail| Next { status, detail, wait_s: None };
    let wait_s = (1_i64 << tries.clamp(0, 12)).min(age_s.saturating_mul(2)).clamp(2, 3600);
    let again = |status, detail| match tries < TRIES || age_s < TRIED_FOR_S {
        true => Next { status, detail, wait_s: Some(wait_s) },
        false => done("quarantined", detail),
    };
    match verdict {
        Verdict::Applied(_, _, detail) => done("applied", *detail),
        Verdict::Disputed(detail) => done("applied", Some(detail)),
        Verdict::Stale(detail) => done("stale", *detail),
        Verdict::Ignored => done("ignored", None),
        Verdict::Quarantined(detail) => done("quarantined", Some(detail)),
        Verdict::Parked => again("parked", Some("about nothing known")),
        Verdict::Foreign if tries < FOREIGN_TRIES || age_s < FOREIGN_FOR_S => {
            again("parked", Some("about nothing known"))
        }
        Verdict::Foreign => done("ignored", Some("of a payment that is not ours")),
        Verdict::Failed(problem) => again("pending", Some(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_cannot_be_applied_waits_longer_each_time_and_in_the_end_for_a_person() {
        let problem = Verdict::Failed("no".to_owned());
        // the last was taken time and again by those who never came to try it
        for (tries, age_s, wait_s) in
            [(1, 0, 2), (2, 2, 4), (11, 2046, 2048), (12, 4094, 3600), (29, 60_000, 3600), (30, 45, 90)]
        {
            assert_eq!(
                next(tries, age_s, &problem),
                Next { status: "pending", detail: Some("no"), wait_s: Some(wait_s) }
            );
            assert_eq!(next(tries, age_s, &Verdict::Parked).wait_s, Some(wait_s));
        }
        for verdict in [&problem, &Verdict::Parked] {
            let Next { status, wait_s, .. } = next(TRIES, TRIED_FOR_S, verdict);
            assert_eq!((status, wait_s), ("quarantined", None));
        }
        assert_eq!(next(1, 0, &Verdict::Stale(None)), Next { status: "stale", detail: None, wait_s: None });
    }
}
