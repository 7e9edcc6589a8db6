//! What settlement files prove about operations: the service's half of reconciliation.
//!
//! `reconciliation` leaves lines that name an operation which has not succeeded at ours. Each ends its operation the way
//! everything does, through [`Engine::record`], or is refused and becomes a break; then the line is booked.

pub mod breaks;

use std::collections::HashMap;

use futures::future::join_all;
use money::{MerchantId, Money};
use reconciliation::evidence::{self, Evidence};
use reconciliation::matching::Effect;
use sqlx::PgPool;

use crate::dispute::{self, DisputeEvent, Recorded, Word};
use crate::engine::{Engine, PayError};
use crate::operation::{self, By, Finding, Recording, Standing};
use crate::psp::{Aim, Decline, Expected, Outcome, PspReference, Success, decline};

/// Lines that are applied in one round.
const BATCH: u16 = 256;
/// Of these, side by side: payments use the same queue.
const AT_ONCE: usize = 32;

/// Why a round failed. What it did stands; the next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The evidence could not be read or marked.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The operation could not be read.
    #[error("the operation could not be read")]
    Operation(#[from] operation::Error),
    /// What the line proves could not be recorded.
    #[error("what a settlement line proves could not be recorded")]
    Record(#[from] PayError),
    /// What the line proves of a dispute could not be recorded.
    #[error("what a settlement line proves of a dispute could not be recorded")]
    Dispute(#[from] dispute::Error),
    /// The lines could not be settled.
    #[error("the lines could not be settled")]
    Settle(#[from] reconciliation::run::Error),
}

/// Merchants that have lines to apply or to settle.
///
/// # Errors
/// When Postgres fails.
pub async fn merchants_with_due(pool: &PgPool) -> Result<Vec<MerchantId>, Error> {
    Ok(reconciliation::run::merchants_due(pool).await?)
}

/// Applies what a merchant's settlement lines prove, and settles those lines. Answers whether anything changed.
///
/// # Errors
/// When Postgres fails or a recording does.
pub async fn run_once(pool: &PgPool, engine: &Engine, merchant: MerchantId) -> Result<bool, Error> {
    let pending = evidence::pending(pool, merchant, BATCH).await?;
    let wanted: Vec<_> = pending.iter().map(|line| (line.psp_account_id, line.operation_id)).collect();
    let expected = operation::expected(pool, merchant, &wanted).await?.into_iter();
    let expected = expected
        .map(|(wanted, expected)| Ok((wanted, expected?)))
        .collect::<Result<HashMap<_, _>, operation::Error>>()?;
    let mut applied = Vec::with_capacity(pending.len());
    for (lines, wanted) in pending.chunks(AT_ONCE).zip(wanted.chunks(AT_ONCE)) {
        let applying = lines
            .iter()
            .zip(wanted)
            .map(|(line, wanted)| apply(pool, engine, merchant, line, expected.get(wanted)));
        applied.extend(join_all(applying).await);
    }
    let (mut refused, mut failed) = (Vec::new(), None);
    for (line, applied) in pending.iter().zip(applied) {
        match applied {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tracing::warn!(operation_id = %line.operation_id, why, "a settlement line contradicts its operation");
                refused.push((line, why));
            }
            Err(error) => {
                tracing::warn!(operation_id = %line.operation_id, error = &error as &dyn std::error::Error, "a settlement line was not applied");
                failed = failed.or(Some(error));
            }
        }
    }
    if !refused.is_empty() {
        let mut tx = pool.begin().await?;
        for (line, why) in &refused {
            evidence::refuse_in_tx(&mut tx, merchant, line.file_id, line.line_no, why).await?;
        }
        tx.commit().await?;
    }
    let settled = reconciliation::run::settle(pool, merchant, |_| ()).await?;
    match failed {
        Some(error) => Err(error),
        None => Ok(!pending.is_empty() || !settled.is_idle()),
    }
}

/// Ends the line's operation, or says why the line cannot.
async fn apply(
    pool: &PgPool,
    engine: &Engine,
    merchant: MerchantId,
    line: &Evidence,
    expected: Option<&Expected>,
) -> Result<Result<(), String>, Error> {
    if matches!(line.effect, Effect::Chargeback | Effect::ChargebackReversal) {
        return disputed(pool, merchant, line).await;
    }
    let Some(expected) = expected else { return Ok(Err("its operation is at another account".to_owned())) };
    if expected.amount != line.amount {
        return Ok(Err(difference(expected.amount, line.amount)));
    }
    let Some(Ok(reference)) = line.psp_reference.as_deref().map(PspReference::parse) else {
        return Ok(Err("it does not name the PSP's object".to_owned()));
    };
    let outcome = match (line.effect, &expected.aim) {
        (Effect::Capture, Aim::Authorize { .. } | Aim::Capture { .. })
        | (Effect::Refund, Aim::Refund { .. }) => Outcome::Succeeded(Success {
            reference,
            movement: line.psp_movement.clone(),
            amount: line.amount,
            captured: line.effect == Effect::Capture,
        }),
        (Effect::RefundFailure, Aim::Refund { .. }) => Outcome::Declined {
            reference: Some(reference),
            decline: Decline {
                code: decline::REFUND_FAILED,
                decline_code: None,
                message: "the refund came back, by the settlement file".to_owned(),
            },
        },
        // that it left our balance is no proof that it is there
        (Effect::Payout, Aim::Payout { .. }) => {
            Outcome::Succeeded(Success { reference, movement: None, amount: line.amount, captured: false })
        }
        (Effect::PayoutReversal, Aim::Payout { .. }) => Outcome::Declined {
            reference: Some(reference),
            decline: Decline {
                code: decline::PAYOUT_FAILED,
                decline_code: None,
                message: "the payout came back, by the settlement file".to_owned(),
            },
        },
        _ => return Ok(Err("its operation is of another kind".to_owned())),
    };
    let recording = Recording {
        operation_id: line.operation_id,
        by: By::Evidence,
        finding: Finding::Answer(outcome),
        attempts: Vec::new(),
        attempt_fence: 0,
    };
    let recorded = match engine.record(merchant, recording).await {
        Err(error) if error.is_foreign_reference() => {
            return Ok(Err("the PSP's object is another operation's".to_owned()));
        }
        recorded => recorded?,
    };
    Ok(match recorded.effect {
        operation::Effect::LateSuccess => Err("its operation had ended without it".to_owned()),
        operation::Effect::Twice => Err("its operation was done already, in another object".to_owned()),
        operation::Effect::Now(_) | operation::Effect::Arrived => Ok(()),
        // somebody else was quicker, or it cannot become what the line says: that would be said again for ever
        operation::Effect::Stale | operation::Effect::Superseded => {
            let now = operation::get(pool, merchant, line.operation_id).await?;
            match now.map(|operation| operation.status) {
                Some(Standing::Succeeded) if !line.effect.takes_back() => Ok(()),
                Some(Standing::Reversed) => Ok(()),
                _ => Err("its operation cannot become what the line says".to_owned()),
            }
        }
    })
}

/// Records what the line says of a dispute, or says why that cannot be.
async fn disputed(pool: &PgPool, merchant: MerchantId, line: &Evidence) -> Result<Result<(), String>, Error> {
    let Some(psp_reference) = line.psp_reference.clone() else {
        return Ok(Err("it does not name the PSP's object".to_owned()));
    };
    let is_returned = line.effect == Effect::ChargebackReversal;
    let word = Word {
        psp_reference,
        event: if is_returned { DisputeEvent::Won } else { DisputeEvent::EvidenceWanted },
        at: line.occurred_at,
        amount: line.amount,
        reason: None,
        evidence_due_at: None,
        taken: 1,
        returned: u32::from(is_returned),
        // the line's own, and booked with it
        fee: 0,
        returned_fee: 0,
    };
    let Some(payment) = line.payment_id else { return Ok(Err("it is of no payment of ours".to_owned())) };
    Ok(match dispute::record_of(pool, merchant, payment, &word).await? {
        Recorded::Now(..) | Recorded::Stale => Ok(()),
        Recorded::TooEarly => Err("nothing of its payment was captured".to_owned()),
        Recorded::NotOurs => Err("it is of no payment of ours".to_owned()),
        Recorded::Refused(why) => Err(why),
    })
}

fn difference(expected: Money, found: Money) -> String {
    format!("it is of {found}, its operation of {expected}")
}
