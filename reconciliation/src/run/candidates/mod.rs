//! The operations that lines name, looked up for many at once.

mod repo;

use std::collections::{HashMap, HashSet};

use money::{MerchantId, OperationId, PaymentId, PspAccountId};
use sqlx::PgTransaction;
use wallet::wallet::Split;

use super::Error;
use super::batch::Stored;
use crate::matching::{Candidates, Effect, Operation, reference_of};
use crate::statement::{Line, LineKind};

/// What is known of the operations that lines name.
#[derive(Default)]
pub(super) struct Known {
    pub candidates: Candidates,
    /// How captures fall on their sellers, as far as that came with them.
    pub splits: HashMap<OperationId, Vec<Split>>,
}

/// How charges are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lookup {
    /// All that lie between the first and the last that is wanted: PSPs make their references in the order of time, and
    /// write files in it, so these are hardly more than are wanted, and one walk along an index finds them.
    #[default]
    Neighbours,
    /// One by one.
    Single,
}

/// Below so many, one by one is as good.
const FEW: usize = 100;

/// Looks up by the PSP's references, and by ours what those did not find.
pub(super) async fn of_lines(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    lines: &[Stored],
    lookup: &mut Lookup,
) -> Result<Known, Error> {
    let mut known = Known::default();
    let charged = references(lines, |line| line.kind == LineKind::Capture);
    let charges = charges(tx, merchant, account, charged, lookup).await?;
    known.splits = charges.splits;
    known.candidates.add(charges.captures);
    let apart: Vec<&str> = charges.apart.iter().map(String::as_str).collect();
    known.candidates.add(repo::captures(tx, merchant, account, &apart).await?);
    for effect in [Effect::Refund, Effect::Chargeback, Effect::Payout] {
        let named =
            references(lines, |line| Effect::of(line.kind).is_some_and(|of| of.of_operation() == effect));
        let found = repo::operations(tx, merchant, account, effect, &named).await?;
        known.candidates.add(found);
    }
    let ours = lines.iter().filter_map(|stored| stored.line.operation_id);
    let mut ours: Vec<OperationId> = ours.filter(|id| !known.candidates.knows(*id)).collect();
    ours.sort_unstable();
    ours.dedup();
    known.candidates.add(repo::operations_by_name(tx, merchant, account, &ours).await?);
    Ok(known)
}

/// Authorisations by the PSP's references.
#[derive(Default)]
struct Charges {
    /// Those that captured by themselves.
    captures: Vec<Operation>,
    /// How these fall on their sellers.
    splits: HashMap<OperationId, Vec<Split>>,
    /// The references of those that others capture.
    apart: Vec<String>,
}

async fn charges(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    mut references: Vec<&str>,
    lookup: &mut Lookup,
) -> Result<Charges, Error> {
    let mut found = Vec::with_capacity(references.len());
    if *lookup == Lookup::Neighbours && references.len() > FEW {
        match repo::neighbouring_authorizations(tx, merchant, account, &references).await? {
            Some(between) => {
                let wanted = |reference: &str| references.binary_search(&reference).is_ok();
                found.extend(between.into_iter().filter(|one| wanted(&one.psp_reference)));
                let names: HashSet<&str> = found.iter().map(|one| one.psp_reference.as_str()).collect();
                references.retain(|reference| !names.contains(reference));
            }
            None => *lookup = Lookup::Single,
        }
    }
    found.extend(repo::authorizations(tx, merchant, account, &references).await?);
    let mut payments: Vec<PaymentId> = found.iter().map(|one| one.payment_id).collect();
    payments.sort_unstable();
    let paid = repo::payments(tx, merchant, &payments, *lookup).await?;
    let mut charges = Charges::default();
    for one in found {
        let Some(payment) = paid.get(&one.payment_id) else { continue };
        if payment.captures {
            charges.splits.insert(one.operation_id, payment.splits.clone());
            charges.captures.push(one.capture(payment.order_id.clone())?);
        } else {
            charges.apart.push(one.psp_reference);
        }
    }
    Ok(charges)
}

/// What the PSP calls the operations that lines are about, each once.
fn references(lines: &[Stored], is_wanted: impl Fn(&Line) -> bool) -> Vec<&str> {
    let lines = lines.iter().map(|stored| &stored.line);
    let mut references: Vec<&str> = lines.filter(|line| is_wanted(line)).filter_map(reference_of).collect();
    references.sort_unstable();
    references.dedup();
    references
}

/// The captures of the payments that `lines` are part of: what a person looks at who wonders about them.
pub(super) async fn of_payments<'a>(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    account: PspAccountId,
    lines: impl Iterator<Item = &'a Line>,
) -> Result<Candidates, Error> {
    let mut references: Vec<&str> = lines.filter_map(|line| line.psp_reference.as_deref()).collect();
    references.sort_unstable();
    references.dedup();
    let mut candidates = Candidates::default();
    candidates.add(repo::captures(tx, merchant, account, &references).await?);
    Ok(candidates)
}
