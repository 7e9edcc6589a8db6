use money::{BreakId, Currency, MerchantId, Money, PspAccountId, TransactionId};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::Error;
use super::act::{Act, Proposal};
use super::decide::{How, Outcome, Standing};

/// A break that nobody else changes before our commit.
pub(super) struct Locked {
    pub break_id: BreakId,
    pub standing: Standing,
    bank_entry_id: Option<Uuid>,
    payout: Option<(Uuid, String, String)>,
}

fn currency(code: &str) -> Result<Currency, Error> {
    code.parse().map_err(|_| Error::Corrupt(code.to_owned()))
}

pub(super) async fn lock(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
) -> Result<Option<Locked>, Error> {
    let locked = sqlx::query_scalar!(
        "select 1 from recon_break where merchant_id = $1 and break_id = $2 for no key update",
        merchant.as_uuid(),
        break_id.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    if locked.is_none() {
        return Ok(None);
    }
    // read in a statement of its own: what it waited for is there
    let row = sqlx::query!(
        r#"select b.currency, b.expected, b.found, b.found_currency, b.closed_how, b.bank_entry_id, b.payout_id,
                b.psp_account_id, h.account as held_by, h.currency as "held_currency!", h.amount as "held!",
                m.review_limit as "review_limit!", (now() at time zone 'UTC')::date as "today!",
                p.actor as "proposed_by?", p.proposal as "proposal?", p.account as proposed_account,
                a.to_account as "adjusted_to?"
         from recon_break b
         join recon_break_held h on h.merchant_id = b.merchant_id and h.break_id = b.break_id
         join settleable_merchant m on m.merchant_id = b.merchant_id
         left join lateral (
             select actor, proposal, account from recon_break_act t
             where t.merchant_id = b.merchant_id and t.break_id = b.break_id
               and t.kind in ('proposed', 'adjusted', 'accepted', 'reversed', 'closed')
             order by t.act_no desc limit 1) p on p.proposal is not null
         left join recon_adjustment a on a.merchant_id = b.merchant_id and a.break_id = b.break_id and a.reversed_by is null
         where b.merchant_id = $1 and b.break_id = $2"#,
        merchant.as_uuid(),
        break_id.as_uuid(),
    )
    .fetch_one(&mut **tx)
    .await?;
    let held = Money::new(row.held, currency(&row.held_currency)?);
    let proposed = match (row.proposed_by, row.proposal.as_deref().and_then(Proposal::from_word)) {
        (Some(by), Some(proposal)) => Some((by, proposal, row.proposed_account)),
        _ => None,
    };
    let standing = Standing {
        closed: row.closed_how.as_deref().and_then(How::from_word),
        proposed,
        adjusted_to: row.adjusted_to,
        weight: match (held.minor, row.found, row.found_currency.as_deref()) {
            (0, Some(found), Some(code)) if code != row.currency => Money::new(found, currency(code)?),
            (0, found, _) => {
                let difference = found.unwrap_or_default().saturating_sub(row.expected.unwrap_or_default());
                Money::new(difference, currency(&row.currency)?)
            }
            _ => held,
        },
        held: row.held_by.filter(|_| held.minor != 0).map(|account| (account, held)),
        limit: row.review_limit,
        today: row.today,
    };
    let payout =
        row.payout_id.zip(row.psp_account_id).map(|(payout, account)| (account, payout, row.currency));
    Ok(Some(Locked { break_id, standing, bank_entry_id: row.bank_entry_id, payout }))
}

/// Writes what was done, and what the break is now.
pub(super) async fn note(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
    act: &Act,
    outcome: Outcome,
    actor: &str,
) -> Result<(), sqlx::Error> {
    let kind = match (outcome, act) {
        (Outcome::Proposed, _) => "proposed",
        (Outcome::Closed(how), _) => how.as_str(),
        (Outcome::Reopened, _) => "reversed",
        (_, Act::Assign(_)) => "assigned",
        (_, Act::Snooze { .. }) => "snoozed",
        _ => "commented",
    };
    let assignee = if let Act::Assign(assignee) = act { assignee.as_deref() } else { None };
    let until = if let Act::Snooze { until, .. } = act { Some(*until) } else { None };
    sqlx::query!(
        "insert into recon_break_act (merchant_id, break_id, act_no, kind, proposal, assignee, snoozed_until, account, note,
             actor)
         select $1, $2, coalesce(max(act_no), 0) + 1, $3, $4, $5, $6, $7, $8, $9
         from recon_break_act where merchant_id = $1 and break_id = $2",
        merchant.as_uuid(),
        break_id.as_uuid(),
        kind,
        act.proposal().filter(|_| outcome == Outcome::Proposed).map(Proposal::as_str),
        assignee,
        until,
        act.target().map(ToString::to_string),
        act.note(),
        actor,
    )
    .execute(&mut **tx)
    .await?;
    let closed = if let Outcome::Closed(how) = outcome { Some(how.as_str()) } else { None };
    sqlx::query!(
        "update recon_break set
             assignee = case when $3 then $4 else assignee end,
             snoozed_until = case when $8 then null else coalesce($5, snoozed_until) end,
             state = case when $8 then 'open' when $6::text is not null then 'closed' else state end,
             closed_how = case when $8 then null else coalesce($6, closed_how) end,
             closed_at = case when $8 then null when $6::text is not null then now() else closed_at end,
             closed_because = case when $8 then null when $6::text is not null then $7 else closed_because end
         where merchant_id = $1 and break_id = $2",
        merchant.as_uuid(),
        break_id.as_uuid(),
        matches!(act, Act::Assign(_)),
        assignee,
        until,
        closed,
        act.note(),
        outcome == Outcome::Reopened,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A break that was adjusted is explained by a later file instead.
pub(super) async fn note_undone(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
    because: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into recon_break_act (merchant_id, break_id, act_no, kind, note, actor)
         select $1, $2, coalesce(max(act_no), 0) + t.place, t.kind, $3, 'system'
         from recon_break_act a, (values (1, 'reversed'), (2, 'closed')) as t (place, kind)
         where a.merchant_id = $1 and a.break_id = $2 group by t.place, t.kind",
        merchant.as_uuid(),
        break_id.as_uuid(),
        because,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "update recon_break set closed_how = 'itself', closed_because = $3, closed_at = now()
         where merchant_id = $1 and break_id = $2",
        merchant.as_uuid(),
        break_id.as_uuid(),
        because,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A break's money, moved.
pub(super) struct Adjustment {
    pub id: Uuid,
    pub from_account: String,
    pub to_account: String,
    /// Debited to the second, and credited to the first.
    pub amount: Money,
    pub transaction: TransactionId,
}

pub(super) async fn insert_adjustment(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    locked: &Locked,
    adjustment: &Adjustment,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into recon_adjustment (merchant_id, adjustment_id, break_id, ordinal, from_account, to_account, currency, amount,
             transaction_id)
         select $1, $2, $3, coalesce(max(ordinal), 0) + 1, $4, $5, $6, $7, $8
         from recon_adjustment where merchant_id = $1 and break_id = $3",
        merchant.as_uuid(),
        adjustment.id,
        locked.break_id.as_uuid(),
        adjustment.from_account,
        adjustment.to_account,
        adjustment.amount.currency.code(),
        adjustment.amount.minor,
        adjustment.transaction.as_uuid(),
    )
    .execute(&mut **tx)
    .await?;
    resolve(tx, merchant, locked, adjustment.amount.minor).await
}

/// What a person moved is open no longer; what was moved back is again. `moved` as it was debited where it stood.
async fn resolve(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    locked: &Locked,
    moved: i64,
) -> Result<(), sqlx::Error> {
    if let Some(entry) = locked.bank_entry_id {
        // what came is credited to suspense
        sqlx::query!(
            "update bank_entry set open = open + $3, resolved = resolved - $3 where merchant_id = $1 and entry_id = $2",
            merchant.as_uuid(),
            entry,
            moved,
        )
        .execute(&mut **tx)
        .await?;
    }
    if let Some((account, payout, currency)) = &locked.payout {
        sqlx::query!(
            "update settlement_payout set resolved = resolved + $5
             where merchant_id = $1 and psp_account_id = $2 and payout_id = $3 and currency = $4",
            merchant.as_uuid(),
            account,
            payout,
            currency,
            moved,
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

pub(super) async fn active_adjustment(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    break_id: BreakId,
) -> Result<Option<Adjustment>, Error> {
    let row = sqlx::query!(
        r#"select adjustment_id, from_account, to_account, currency, amount, transaction_id as "transaction_id: TransactionId"
         from recon_adjustment where merchant_id = $1 and break_id = $2 and reversed_by is null"#,
        merchant.as_uuid(),
        break_id.as_uuid(),
    )
    .fetch_optional(&mut **tx)
    .await?;
    let adjustment = row.map(|row| {
        Ok(Adjustment {
            id: row.adjustment_id,
            from_account: row.from_account,
            to_account: row.to_account,
            amount: Money::new(row.amount, currency(&row.currency)?),
            transaction: row.transaction_id,
        })
    });
    adjustment.transpose()
}

pub(super) async fn reverse_adjustment(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    locked: &Locked,
    adjustment: &Adjustment,
    by: TransactionId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update recon_adjustment set reversed_by = $3 where merchant_id = $1 and adjustment_id = $2 and reversed_by is null",
        merchant.as_uuid(),
        adjustment.id,
        by.as_uuid(),
    )
    .execute(&mut **tx)
    .await?;
    resolve(tx, merchant, locked, adjustment.amount.minor.saturating_neg()).await
}

pub(super) async fn is_psp_account(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from settleable_account where merchant_id = $1 and psp_account_id = $2) as "is!""#,
        merchant.as_uuid(),
        account.as_uuid(),
    )
    .fetch_one(&mut **tx)
    .await
}
