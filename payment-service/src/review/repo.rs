use money::{Currency, MerchantId, Money, OperationId, PaymentId, PayoutId, PspAccountId};
use sqlx::{PgPool, PgTransaction};

use super::{Act, Actor, Filter, Pending, State, Word};
use crate::operation::{OperationKind, OperationStatus, Subject as Of};
use crate::payment::TimelineEntry;
use crate::psp::{CaptureMethod, Psp, PspReference};

/// What a decision on a review needs of its operation.
pub(super) struct Subject {
    pub kind: OperationKind,
    pub status: OperationStatus,
    pub amount: i64,
    pub currency: Currency,
    pub order_id: Option<String>,
    pub psp_account_id: PspAccountId,
    psp: Psp,
    pub psp_reference: Option<String>,
    pub reason: Option<String>,
    psp_target: Option<String>,
    /// Of its payment.
    capture_method: Option<CaptureMethod>,
    /// Of an authorisation: the capture or void of its payment that is under way.
    pub open_change: Option<(OperationId, OperationKind)>,
    /// In major units.
    limit: i64,
}

impl Subject {
    pub fn money(&self) -> Money {
        Money::new(self.amount, self.currency)
    }

    /// The most that one person may close alone, in minor units.
    pub fn limit_minor(&self) -> i64 {
        self.limit.saturating_mul(10_i64.saturating_pow(self.currency.exponent()))
    }

    /// What the operation made at the PSP, as far as that is known: a page is not yet what was paid on it.
    pub fn made(&self) -> Option<PspReference> {
        let known = self.psp_reference.as_deref().and_then(|text| PspReference::parse(text).ok());
        known.filter(|known| !self.psp.is_page(known))
    }

    /// Whether it names one of the PSP's pages.
    pub fn is_page(&self, reference: &PspReference) -> bool {
        self.psp.is_page(reference)
    }

    /// The payment's object, for what acts on it.
    pub fn target(&self) -> Option<PspReference> {
        self.psp_target.as_deref().and_then(|text| PspReference::parse(text).ok())
    }

    /// Whether its success means that the buyer's money is taken, or that the seller's is there.
    pub fn takes_money(&self) -> bool {
        match self.kind {
            OperationKind::Authorize => self.capture_method == Some(CaptureMethod::Automatic),
            OperationKind::Capture | OperationKind::Payout => true,
            OperationKind::Void | OperationKind::Refund => false,
        }
    }

    pub fn state(&self, acts: &[Act]) -> State {
        match (self.status, acts.iter().any(|act| act.kind == "proposed")) {
            (OperationStatus::NeedsReview, true) => State::AwaitsSecondPerson,
            (OperationStatus::NeedsReview, false) => State::Open,
            _ => State::Closed,
        }
    }
}

fn unknown(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("{column} holds an unknown word").into())
}

pub(super) async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &Filter,
) -> Result<Vec<Pending>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select o.operation_id as "operation_id: OperationId", o.payment_id as "payment_id: PaymentId",
                o.payout_id as "payout_id: PayoutId", p.order_id as "order_id?", o.kind, o.amount, o.currency,
                o.psp_account_id as "psp_account_id: PspAccountId", o.reason, o.updated_at,
                exists (select 1 from review_act a where a.merchant_id = $1 and a.operation_id = o.operation_id
                        and a.kind = 'proposed') as "proposed!"
         from operation o left join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
         where o.merchant_id = $1 and o.status = 'needs_review'
           and ($2::timestamptz is null or (o.updated_at, o.operation_id) > ($2, $3::uuid))
         order by o.updated_at, o.operation_id
         limit $4"#,
        merchant.as_uuid(),
        filter.after.map(|(since, _)| since),
        filter.after.map(|(_, operation)| operation.as_uuid()),
        i64::from(filter.limit),
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Pending {
                operation_id: row.operation_id,
                payment_id: row.payment_id,
                payout_id: row.payout_id,
                order_id: row.order_id,
                kind: OperationKind::parse(&row.kind).ok_or_else(|| unknown("operation.kind"))?,
                amount: row.amount,
                currency: row.currency.parse().map_err(|_| unknown("operation.currency"))?,
                psp_account_id: row.psp_account_id,
                because: row.reason,
                state: if row.proposed { State::AwaitsSecondPerson } else { State::Open },
                since: row.updated_at,
            })
        })
        .collect()
}

pub(super) async fn subject_of(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Of>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select payment_id as "payment_id: PaymentId", payout_id as "payout_id: PayoutId"
         from operation where merchant_id = $1 and operation_id = $2"#,
        merchant.as_uuid(),
        operation.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.and_then(|row| Of::of(row.payment_id, row.payout_id)))
}

/// Locks the operation's payment or payout, as everybody does who changes either.
pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<(), sqlx::Error> {
    let (payment, payout) = match subject_of(tx, merchant, operation).await? {
        Some(of) => (of.payment().map(PaymentId::as_uuid), of.payout().map(PayoutId::as_uuid)),
        None => return Ok(()),
    };
    sqlx::query!(
        r#"select p.one as "payment?", y.one as "payout?" from (select) nothing
         left join lateral (
             select 1 as one from payment where merchant_id = $1 and payment_id = $2 for no key update
         ) p on true
         left join lateral (
             select 1 as one from payout where merchant_id = $1 and payout_id = $3 for no key update
         ) y on true"#,
        merchant.as_uuid(),
        payment,
        payout,
    )
    .fetch_optional(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn subject(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Subject>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select o.kind, o.status, o.amount, o.currency, p.order_id as "order_id?", o.psp_account_id as "psp_account_id: PspAccountId",
                o.psp_reference, o.reason, o.psp_target, p.capture_method as "capture_method?", m.review_limit, a.psp,
                c.operation_id as "open_change?: OperationId", c.kind as "open_kind?"
         from operation o
         left join operation c on c.merchant_id = $1 and c.payment_id = o.payment_id and c.kind in ('capture', 'void')
             and c.status in ('created', 'sending', 'unknown', 'needs_review') and o.kind = 'authorize'
         left join payment p on p.merchant_id = $1 and p.payment_id = o.payment_id
         join psp_account a on a.merchant_id = $1 and a.psp_account_id = o.psp_account_id
         join merchant m on m.merchant_id = $1
         where o.merchant_id = $1 and o.operation_id = $2"#,
        merchant.as_uuid(),
        operation.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        Ok(Subject {
            kind: OperationKind::parse(&row.kind).ok_or_else(|| unknown("operation.kind"))?,
            status: OperationStatus::parse(&row.status).ok_or_else(|| unknown("operation.status"))?,
            amount: row.amount,
            currency: row.currency.parse().map_err(|_| unknown("operation.currency"))?,
            order_id: row.order_id,
            psp_account_id: row.psp_account_id,
            psp: row.psp.parse().map_err(|_| unknown("psp_account.psp"))?,
            psp_reference: row.psp_reference,
            reason: row.reason,
            psp_target: row.psp_target,
            capture_method: (row.capture_method.map(|word| word.parse()).transpose())
                .map_err(|_| unknown("payment.capture_method"))?,
            open_change: row.open_change.zip(row.open_kind.as_deref().and_then(OperationKind::parse)),
            limit: row.review_limit,
        })
    })
    .transpose()
}

/// The name that an actor's acts are kept under.
pub(super) async fn actor(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    actor: &Actor,
) -> Result<String, sqlx::Error> {
    let key = match actor {
        Actor::Cli(name) => return Ok(format!("cli:{name}")),
        Actor::Key(key) => key,
    };
    let name = sqlx::query_scalar!(
        "select name from api_key where merchant_id = $1 and api_key_id = $2",
        merchant.as_uuid(),
        key.as_uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    Ok(format!("key:{name}"))
}

pub(super) async fn acts(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Vec<Act>, sqlx::Error> {
    sqlx::query_as!(
        Act,
        "select kind, outcome, psp_reference, reason, actor, acted_at as at from review_act
         where merchant_id = $1 and operation_id = $2 order by act_no",
        merchant.as_uuid(),
        operation.as_uuid(),
    )
    .fetch_all(&mut **tx)
    .await
}

pub(super) async fn insert_act(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    kind: &str,
    word: &Word,
    actor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into review_act (merchant_id, operation_id, act_no, kind, outcome, psp_reference, reason, actor)
         select $1, $2, 1 + count(*), $3, $4, $5, $6, $7 from review_act where merchant_id = $1 and operation_id = $2",
        merchant.as_uuid(),
        word.operation_id.as_uuid(),
        kind,
        word.said.as_str(),
        word.psp_reference.as_ref().map(PspReference::as_str),
        word.reason,
        actor,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) async fn insert_asked(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
    actor: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into review_act (merchant_id, operation_id, act_no, kind, actor)
         select $1, $2, 1 + count(*), 'asked', $3 from review_act where merchant_id = $1 and operation_id = $2",
        merchant.as_uuid(),
        operation.as_uuid(),
        actor,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The most pieces of evidence that are shown: the first attempt, which was the sending, and the newest.
const LONGEST: i64 = 1000;

pub(super) async fn evidence(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Vec<TimelineEntry>, sqlx::Error> {
    sqlx::query_as!(
        TimelineEntry,
        r#"select * from (with subject as (
             select o.operation_id, o.payment_id, o.psp_account_id, a.operation_id as authorize_id,
                    case when o.kind in ('refund', 'payout') then o.psp_reference else a.psp_reference end as psp_reference
             from operation o
             left join operation a on a.merchant_id = $1 and a.payment_id = o.payment_id and a.kind = 'authorize'
             where o.merchant_id = $1 and o.operation_id = $2
         )
         select at as "at!", source as "source!", kind as "kind!", operation_id as "operation_id: OperationId", outcome, detail
         from (
             select a.sent_at as at, 'attempt' as source, a.action as kind, a.operation_id, a.outcome,
                    concat_ws(', ', 'HTTP ' || a.http_status, a.psp_reference, a.psp_request_id, a.detail) as detail
             from attempt a where a.merchant_id = $1 and a.operation_id = $2
             union all
             select w.received_at, 'webhook', w.type, w.operation_id, w.status, concat_ws(', ', w.psp_reference, w.detail)
             from subject s join webhook_event w on w.merchant_id = $1 and w.operation_id in (s.operation_id, s.authorize_id)
             union all
             select l.occurred_at, 'settlement', l.kind, l.operation_id, 'line ' || l.line_no,
                    concat_ws(', ', l.psp_line_id, l.gross || ' ' || l.currency, l.psp_reference)
             from subject s
             cross join lateral (
                 select file_id, line_no from recon_match
                 where merchant_id = $1 and about_id = coalesce(s.payment_id, s.operation_id)
                   and operation_id in (s.operation_id, s.authorize_id) and revoked_at is null
                 union
                 select file_id, line_no from settlement_evidence
                 where merchant_id = $1 and operation_id in (s.operation_id, s.authorize_id)
             ) e
             join settlement_line l on l.merchant_id = $1 and l.file_id = e.file_id and l.line_no = e.line_no
             union all
             select b.opened_at, 'break', b.kind, b.operation_id, b.state, b.detail
             from recon_break b where b.merchant_id = $1 and b.operation_id = $2
         ) evidence
         order by coalesce(source = 'attempt' and at = min(at) filter (where source = 'attempt') over (), false) desc, at desc, source, kind limit $3) kept order by "at!", "source!", "kind!""#,
        merchant.as_uuid(),
        operation.as_uuid(),
        LONGEST,
    )
    .fetch_all(&mut **tx)
    .await
}
