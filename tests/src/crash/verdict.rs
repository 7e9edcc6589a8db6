//! Whether the books are right: what clients were told and what the PSP did, compared with what the service says. Nothing
//! in here asks anybody anything.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bank::{Arrival, Decision};
use super::client::{Event, Kind, Line, Request, is_final};
use crate::kafka::Arrived;
use crate::psp::Effect;
use crate::report::{Check, shown};
use crate::shop::{Told, TrialBalance};

/// A request, and all that was ever said to it.
#[derive(Debug)]
pub struct Asked {
    /// What was asked for.
    pub request: Request,
    /// Every final answer, in the order of the journal; all but the first are repeats.
    pub finals: Vec<(u16, String)>,
    /// The statuses of the other answers.
    pub others: Vec<u16>,
    /// What it was answered when all was over.
    pub replayed: Option<(u16, String)>,
}

/// All requests by their keys.
pub type Journal = BTreeMap<String, Asked>;

/// Puts the lines of all journals together.
pub fn read(lines: Vec<Line>) -> Journal {
    let mut journal = Journal::new();
    for Line { key, event } in lines {
        match event {
            Event::Asks(request) => {
                let asked = Asked { request, finals: Vec::new(), others: Vec::new(), replayed: None };
                journal.insert(key, asked);
            }
            Event::Told { status, body, .. } => {
                let Some(asked) = journal.get_mut(&key) else { continue };
                match is_final(status, &body) {
                    true => asked.finals.push((status, body)),
                    false => asked.others.push(status),
                }
            }
            Event::Unanswered { .. } => {}
        }
    }
    journal
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// It was done.
    Done,
    /// It was tried and not done: declined, cancelled.
    Failed,
    /// The payment did not allow it.
    Refused,
}

impl Asked {
    /// Notes what it was answered when all was over.
    pub fn replay(&mut self, told: Option<Told>) {
        self.replayed = told.map(|told| (told.status, told.body));
    }

    /// The operation that a client was told of.
    pub fn operation(&self) -> Option<String> {
        let (_, body) = self.finals.first()?;
        let told: Value = serde_json::from_str(body).ok()?;
        told["operation_id"].as_str().map(str::to_owned)
    }

    fn answer(&self) -> Option<(u16, Value)> {
        let (status, body) = self.replayed.as_ref().or(self.finals.first())?;
        Some((*status, serde_json::from_str(body).unwrap_or_default()))
    }

    fn ending(&self) -> Option<(Ending, Value)> {
        let (status, body) = self.answer()?;
        let ending = match (status, body["status"].as_str()) {
            (201, Some("failed")) => Ending::Failed,
            (201, _) => Ending::Done,
            _ => Ending::Refused,
        };
        Some((ending, body))
    }
}

/// What banks did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Banks {
    /// How often they decided how.
    pub decided: BTreeMap<Decision, usize>,
    /// Refunds that were refused because a bank had the money.
    pub refused: usize,
    /// How often they did what with a payout.
    pub received: BTreeMap<Arrival, usize>,
}

/// What everybody says happened.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What clients were told.
    pub journal: &'a Journal,
    /// What the PSP did.
    pub effects: &'a [Effect],
    /// What the API shows of each payment.
    pub payments: &'a [Value],
    /// What the API shows of each dispute.
    pub disputes: &'a [Value],
    /// What the banks decided, by the PSP's names of the disputes.
    pub decided: &'a BTreeMap<String, Decision>,
    /// What the API shows of each payout.
    pub payouts: &'a [Value],
    /// What the banks did with payouts, by the PSP's names of them.
    pub received: &'a BTreeMap<String, Arrival>,
    /// What buyers paid on the PSP's pages, by the order.
    pub bought: &'a BTreeMap<String, i64>,
    /// What the API shows of each operation that a client was told of, by its id.
    pub operations: &'a BTreeMap<String, Value>,
    /// The ledger.
    pub trial_balance: &'a [TrialBalance],
    /// The events that the service has committed.
    pub committed: &'a [Arrived],
    /// The events that came to Kafka.
    pub arrived: &'a [Arrived],
}

impl Evidence<'_> {
    /// Everything that must be so.
    pub fn checks(&self) -> Vec<Check> {
        vec![
            Check::none("double charges", self.double_charges()),
            Check::none("other things done twice", self.done_twice()),
            Check::none("over-captures and over-refunds", self.excesses()),
            Check::none("lost acknowledgements", self.lost_acknowledgements()),
            Check::none("not what the PSP did", self.differences()),
            Check::none("disputes that are otherwise at the PSP", self.disputes()),
            Check::none("payouts that are otherwise at the PSP", self.payouts()),
            Check::none("requests without a final answer", self.unanswered()),
            Check::none("answers that nobody can act on", self.useless_answers()),
            Check::none("events missing in Kafka", self.missing_events()),
            Check::none("events out of order or of nothing", self.strange_events()),
            self.trial_balance_is_zero(),
        ]
    }

    /// How many requests of each kind ended how.
    pub fn tally(&self) -> BTreeMap<(Kind, Ending), usize> {
        let mut tally = BTreeMap::new();
        for asked in self.journal.values() {
            if let Some((ending, _)) = asked.ending() {
                *tally.entry((asked.request.kind, ending)).or_default() += 1;
            }
        }
        tally
    }

    /// What the banks did, and how many refunds were refused because a bank had the money.
    pub fn banks(&self) -> Banks {
        let (mut decided, mut received) = (BTreeMap::new(), BTreeMap::new());
        for decision in self.decided.values() {
            *decided.entry(*decision).or_default() += 1;
        }
        for arrival in self.received.values() {
            *received.entry(*arrival).or_default() += 1;
        }
        let is_bound = |asked: &&Asked| {
            let answer = asked.answer();
            answer.is_some_and(|(_, body)| minor(&body["disputed_amount"]) > 0 && body["code"].is_string())
        };
        Banks { decided, refused: self.journal.values().filter(is_bound).count(), received }
    }

    /// That one operation, or one order, took a buyer's money or held it more than once.
    fn double_charges(&self) -> Vec<String> {
        let mut of_operation: BTreeMap<&str, usize> = BTreeMap::new();
        let mut standing: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
        for effect in self.effects {
            let intent = effect.payment_intent.as_deref().unwrap_or_default();
            let of_order = standing.entry(effect.order_id()).or_default();
            match effect.kind.as_str() {
                "charge" | "authorization" => {
                    *of_operation.entry(operation_of(Some(&effect.metadata))).or_default() += 1;
                    *of_order.entry(intent).or_default() += 1;
                }
                // what was held is let go: it counts no more, unless it was taken
                "cancel" => *of_order.entry(intent).or_default() -= 1,
                "capture" => *of_order.entry(intent).or_default() += 1,
                _ => {}
            }
        }
        let twice = of_operation.into_iter().filter(|(_, count)| *count > 1);
        let mut found: Vec<String> =
            twice.map(|(operation, count)| format!("operation {operation}: {count} times")).collect();
        for (order, intents) in standing {
            let standing = intents.values().filter(|count| **count > 0).count();
            if standing > 1 {
                found.push(format!("{order}: {standing} payments at the PSP took money or hold it"));
            }
        }
        found
    }

    /// That a capture, refund or payout was done more than once for one key of ours.
    fn done_twice(&self) -> Vec<String> {
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for effect in self.effects {
            let named = match effect.kind.as_str() {
                "capture" => effect.idempotency_key.as_deref().unwrap_or_default(),
                "refund" => operation_of(effect.refund_metadata.as_ref()),
                // one of ours; others are the PSP's own to our bank
                "payout" if effect.metadata.contains_key("payonce_operation") => {
                    operation_of(Some(&effect.metadata))
                }
                _ => continue,
            };
            *counts.entry((&effect.kind, named)).or_default() += 1;
        }
        let twice = counts.into_iter().filter(|(_, count)| *count > 1);
        twice.map(|((kind, named), count)| format!("{kind} {named}: {count} times")).collect()
    }

    /// That more was captured than held, or more given back and taken by banks than captured, of a payment at the PSP.
    fn excesses(&self) -> Vec<String> {
        let mut of_intent: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
        let mut found = Vec::new();
        for effect in self.effects {
            let intent = effect.payment_intent.as_deref().unwrap_or_default();
            let (held, captured, refunded) = of_intent.entry(intent).or_default();
            match effect.kind.as_str() {
                "authorization" => *held += effect.amount,
                "charge" => (*held, *captured) = (*held + effect.amount, *captured + effect.amount),
                "capture" => *captured += effect.amount,
                "refund" | "dispute" => *refunded += effect.amount,
                "refund_failure" | "dispute_reversal" => *refunded -= effect.amount,
                _ => {}
            }
            if captured > held || refunded > captured {
                found.push(format!("{intent}: {held} held, {captured} captured, {refunded} given back"));
            }
        }
        found
    }

    /// That a client was told something, and then something else, or that it is not so any more.
    fn lost_acknowledgements(&self) -> Vec<String> {
        let payments: BTreeSet<&str> =
            self.payments.iter().filter_map(|payment| payment["payment_id"].as_str()).collect();
        let mut found = Vec::new();
        for (key, asked) in self.journal {
            let Some(first) = asked.finals.first() else { continue };
            if let Some(other) = asked.finals.iter().chain(&asked.replayed).find(|other| *other != first) {
                found.push(format!("{key}: first {first:?}, then {other:?}"));
            }
            if asked.replayed.is_none() {
                found.push(format!("{key}: first {first:?}, then nothing"));
            }
            if first.0 != 201 {
                continue;
            }
            let told: Value = serde_json::from_str(&first.1).unwrap_or_default();
            let kept = match (&told["operation_id"], told["payment_id"].as_str()) {
                _ if asked.request.kind == Kind::Payout => self.keeps_payout(&told),
                (Value::String(id), _) => {
                    self.operations.get(id).is_some_and(|kept| kept["status"] == told["status"])
                }
                (_, Some(id)) => payments.contains(id),
                _ => false,
            };
            if !kept {
                found.push(format!("{key}: told {}, and that is not so", first.1));
            }
        }
        found
    }

    /// Whether a payout is there that a client was told of: one that had failed still has, and any other may have come back.
    fn keeps_payout(&self, told: &Value) -> bool {
        let kept = self.payouts.iter().find(|kept| kept["payout_id"] == told["payout_id"]);
        kept.is_some_and(|kept| told["status"] != "failed" || kept["status"] == "failed")
    }

    /// Orders of which clients, the PSP and the API tell of different sums.
    fn differences(&self) -> Vec<String> {
        let mut orders: BTreeMap<&str, [(i64, i64); 3]> = BTreeMap::new();
        for asked in self.journal.values() {
            let [told, ..] = orders.entry(&asked.request.order).or_default();
            let Some((Ending::Done, body)) = asked.ending() else { continue };
            match asked.request.kind {
                Kind::Authorize => told.0 += minor(&body["captured_amount"]),
                Kind::Capture => told.0 += minor(&body["amount"]),
                Kind::Refund => told.1 += minor(&body["amount"]),
                Kind::Void | Kind::Payout => {}
            }
        }
        for (order, paid) in self.bought {
            let [told, ..] = orders.entry(order).or_default();
            told.0 += paid;
        }
        for effect in self.effects {
            let [_, done, _] = orders.entry(effect.order_id()).or_default();
            match effect.kind.as_str() {
                "charge" | "capture" => done.0 += effect.amount,
                "refund" => done.1 += effect.amount,
                "refund_failure" => done.1 -= effect.amount,
                _ => {}
            }
        }
        for payment in self.payments {
            let [.., kept] = orders.entry(payment["order_id"].as_str().unwrap_or_default()).or_default();
            kept.0 += minor(&payment["captured_amount"]);
            kept.1 += minor(&payment["refunded_amount"]);
        }
        orders
            .into_iter()
            .filter(|(_, [told, done, kept])| told != done || done != kept)
            .map(|(order, [told, done, kept])| {
                format!("{order}: told {told:?}, done {done:?}, kept {kept:?} (captured, given back)")
            })
            .collect()
    }

    /// Disputes that the API shows otherwise than the PSP's log and the banks.
    fn disputes(&self) -> Vec<String> {
        let decisions = self.decided.iter().map(|(name, decision)| (name.as_str(), decision.as_str()));
        let mut disputes: BTreeMap<&str, [(i64, &str); 2]> =
            decisions.map(|(name, decision)| (name, [(0, decision), (0, "")])).collect();
        for effect in self.effects {
            let Some(name) = &effect.dispute else { continue };
            let [(done, _), _] = disputes.entry(name).or_default();
            *done -= effect.taken();
        }
        for dispute in self.disputes {
            let [_, kept] =
                disputes.entry(dispute["psp_reference"].as_str().unwrap_or_default()).or_default();
            let is_away = matches!(dispute["funds"].as_str(), Some("taken" | "lost"));
            let away = if is_away { minor(&dispute["amount"]) } else { 0 };
            *kept = (away, dispute["status"].as_str().unwrap_or_default());
        }
        disputes
            .into_iter()
            .filter(|(_, [done, kept])| done != kept)
            .map(|(name, [done, kept])| format!("{name}: done {done:?}, kept {kept:?} (taken, decided)"))
            .collect()
    }

    /// Payouts that the API shows otherwise than the PSP's log and the banks.
    fn payouts(&self) -> Vec<String> {
        let mut sent: BTreeMap<&str, i64> = self.received.keys().map(|name| (name.as_str(), 0)).collect();
        for effect in self.effects {
            let (Some(name), true) = (&effect.payout, effect.metadata.contains_key("payonce_operation"))
            else {
                continue;
            };
            let sign = if effect.kind == "payout_failure" { -1 } else { 1 };
            *sent.entry(name).or_default() += sign * effect.amount;
        }
        // one that the PSP did not send has no name there
        let kept = self.payouts.iter().filter_map(|payout| Some((payout["psp_reference"].as_str()?, payout)));
        let mut kept: BTreeMap<&str, &Value> = kept.collect();
        let mut found = Vec::new();
        for (name, sent) in sent {
            let Some(kept) = kept.remove(name) else {
                found.push(format!("{name}: {sent} sent, and not kept"));
                continue;
            };
            let status = kept["status"].as_str().unwrap_or_default();
            let is_away = matches!(status, "in_transit" | "paid");
            let became = self.received.get(name);
            let is_so = became.map_or(status == "in_transit", |arrival| arrival.ends_as(status));
            if !is_so || sent != if is_away { minor(&kept["amount"]) } else { 0 } {
                found.push(format!("{name}: {sent} sent, bank {became:?}, kept {kept}"));
            }
        }
        found.extend(kept.into_keys().map(|name| format!("{name}: kept, and not sent")));
        found
    }

    fn unanswered(&self) -> Vec<String> {
        let open = self.journal.iter().filter(|(_, asked)| asked.replayed.is_none());
        open.map(|(key, asked)| format!("{key} of {}", asked.request.order)).collect()
    }

    /// What is neither an outcome nor worth another try.
    fn useless_answers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, asked) in self.journal {
            for status in asked.others.iter().filter(|status| !matches!(status, 202 | 409 | 429 | 503 | 504))
            {
                found.push(format!("{key}: {status}"));
            }
            let useless =
                asked.finals.iter().chain(&asked.replayed).find(|(status, _)| !matches!(status, 201 | 409));
            found.extend(useless.map(|(status, body)| format!("{key}: {status}: {body}")));
        }
        found
    }

    fn missing_events(&self) -> Vec<String> {
        let arrived: BTreeSet<&Arrived> = self.arrived.iter().collect();
        let missing = self.committed.iter().filter(|event| !arrived.contains(event));
        missing.map(|event| format!("{event:?}")).collect()
    }

    /// The first copies of a payment's events come in order and without a gap, and none comes of what was not committed.
    fn strange_events(&self) -> Vec<String> {
        let committed: BTreeSet<&Arrived> = self.committed.iter().collect();
        let mut latest: BTreeMap<&str, i32> = BTreeMap::new();
        let mut found = Vec::new();
        for event in self.arrived {
            let latest = latest.entry(&event.subject_id).or_default();
            if event.version > *latest + 1 || !committed.contains(event) {
                found.push(format!("{event:?} after {latest}"));
            }
            *latest = event.version.max(*latest);
        }
        found
    }

    fn trial_balance_is_zero(&self) -> Check {
        let off = self.trial_balance.iter().filter(|balance| {
            let sum: i64 = balance.accounts.iter().map(|account| account.balance).sum();
            sum != 0 || balance.difference != 0 || balance.debits != balance.credits
        });
        let off: Vec<String> = off.map(|balance| format!("{balance:?}")).collect();
        let difference: i64 = self.trial_balance.iter().map(|balance| balance.difference.abs()).sum();
        let holds = off.is_empty() && !self.trial_balance.is_empty();
        Check { offenders: shown(off), ..Check::that("trial balance", holds, difference.to_string()) }
    }
}

fn operation_of(metadata: Option<&BTreeMap<String, String>>) -> &str {
    metadata.and_then(|metadata| metadata.get("payonce_operation")).map_or("", String::as_str)
}

fn minor(amount: &Value) -> i64 {
    amount.as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests;
