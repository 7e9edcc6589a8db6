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
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shop::Account;

    /// An order that was held, captured in part and given back in part, of which a bank then took some, and on which
    /// everything went well.
    struct World {
        journal: Journal,
        effects: Vec<Effect>,
        payments: Vec<Value>,
        disputes: Vec<Value>,
        decided: BTreeMap<String, Decision>,
        payouts: Vec<Value>,
        received: BTreeMap<String, Arrival>,
        bought: BTreeMap<String, i64>,
        operations: BTreeMap<String, Value>,
        trial_balance: Vec<TrialBalance>,
        committed: Vec<Arrived>,
        arrived: Vec<Arrived>,
    }

    fn effect(kind: &str, amount: i64, key: &str) -> Effect {
        let named = |operation: &str| {
            let pairs = [("order_id", "o-1"), ("payonce_operation", operation)];
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        Effect {
            kind: kind.to_owned(),
            amount,
            currency: "eur".to_owned(),
            payment_intent: Some("pi_1".to_owned()),
            refund: None,
            dispute: kind.starts_with("dispute").then(|| key.to_owned()),
            payout: kind.starts_with("payout").then(|| key.to_owned()),
            metadata: named(if kind.starts_with("payout") { key } else { "a" }),
            refund_metadata: (kind == "refund").then(|| named(key)),
            idempotency_key: Some(key.to_owned()),
        }
    }

    fn asked(kind: Kind, status: u16, answer: &Value) -> Asked {
        let request = Request { order: "o-1".to_owned(), kind, path: String::new(), body: Value::Null };
        let told = (status, answer.to_string());
        Asked { request, finals: vec![told.clone()], others: vec![503, 202], replayed: Some(told) }
    }

    fn event(version: i32) -> Arrived {
        Arrived { subject_id: "p".to_owned(), version, event_id: format!("e-{version}") }
    }

    impl World {
        fn new() -> Self {
            let done = |id, amount| json!({"operation_id": id, "payment_id": "p", "status": "succeeded", "amount": amount});
            let (capture, refund) = (done("c", 600), done("r", 200));
            let refused = json!({"code": "refund_exceeds_captured"});
            let paid = json!({"payment_id": "p", "status": "authorized", "captured_amount": 0});
            let kept = json!({
                "payment_id": "p", "order_id": "o-1", "status": "captured", "captured_amount": 600, "refunded_amount": 200,
            });
            let account =
                |code: &str, balance| Account { code: code.to_owned(), currency: "EUR".to_owned(), balance };
            Self {
                journal: BTreeMap::from([
                    ("k-1".to_owned(), asked(Kind::Authorize, 201, &paid)),
                    ("k-2".to_owned(), asked(Kind::Capture, 201, &capture)),
                    ("k-3".to_owned(), asked(Kind::Refund, 201, &refund)),
                    ("k-4".to_owned(), asked(Kind::Refund, 409, &refused)),
                    (
                        "k-6".to_owned(),
                        asked(Kind::Payout, 201, &json!({"payout_id": "s", "status": "in_transit"})),
                    ),
                ]),
                effects: vec![
                    effect("authorization", 1000, "a"),
                    effect("capture", 600, "c"),
                    effect("refund", 200, "r"),
                    effect("payout", 50, "po"),
                    effect("payout_failure", 50, "po"),
                    effect("payout", 60, "po-2"),
                    effect("dispute", 100, "d"),
                ],
                payments: vec![kept],
                disputes: vec![
                    json!({"psp_reference": "d", "status": "lost", "funds": "lost", "amount": 100}),
                ],
                decided: BTreeMap::from([("d".to_owned(), Decision::Lost)]),
                payouts: vec![
                    json!({"payout_id": "s", "psp_reference": "po", "status": "returned", "amount": 50}),
                    json!({"payout_id": "t", "psp_reference": "po-2", "status": "in_transit", "amount": 60}),
                ],
                received: BTreeMap::from([("po".to_owned(), Arrival::Returned)]),
                bought: BTreeMap::new(),
                operations: [("c", capture), ("r", refund)].map(|(id, kept)| (id.to_owned(), kept)).into(),
                trial_balance: vec![TrialBalance {
                    currency: "EUR".to_owned(),
                    debits: 400,
                    credits: 400,
                    difference: 0,
                    accounts: vec![account("psp_receivable/stripe", 400), account("seller_pending", -400)],
                }],
                committed: vec![event(1), event(2)],
                // whoever takes over the relay may repeat
                arrived: vec![event(1), event(1), event(2), event(1)],
            }
        }

        /// The checks that do not hold after `change`.
        fn wrong_after(change: impl FnOnce(&mut Self)) -> Vec<&'static str> {
            let mut world = Self::new();
            change(&mut world);
            let evidence = Evidence {
                journal: &world.journal,
                effects: &world.effects,
                payments: &world.payments,
                disputes: &world.disputes,
                decided: &world.decided,
                payouts: &world.payouts,
                received: &world.received,
                bought: &world.bought,
                operations: &world.operations,
                trial_balance: &world.trial_balance,
                committed: &world.committed,
                arrived: &world.arrived,
            };
            let checks = evidence.checks();
            checks.into_iter().filter(|check| !check.holds).map(|check| check.what).collect()
        }

        fn asked(&mut self, key: &str) -> &mut Asked {
            self.journal.get_mut(key).unwrap()
        }
    }

    const TWICE: &str = "other things done twice";
    const EXCESS: &str = "over-captures and over-refunds";
    const LOST: &str = "lost acknowledgements";
    const DIFFERENT: &str = "not what the PSP did";
    const USELESS: &str = "answers that nobody can act on";

    fn check(change: fn(&mut World), expected: &[&str]) {
        assert_eq!(World::wrong_after(change), expected);
    }

    #[test]
    fn a_run_in_which_everything_went_well_is_right() {
        check(|_| (), &[]);
    }

    #[test]
    fn what_the_psp_did_twice_or_too_much_is_found() {
        check(|world| world.effects.push(effect("authorization", 1000, "a")), &["double charges"]);
        check(
            |world| {
                let mut other = effect("authorization", 1000, "b");
                other.payment_intent = Some("pi_2".to_owned());
                other.metadata.insert("payonce_operation".to_owned(), "b".to_owned());
                world.effects.push(other);
            },
            &["double charges"],
        );
        check(|world| world.effects.push(effect("capture", 100, "c")), &[TWICE, DIFFERENT]);
        check(|world| world.effects.push(effect("refund", 100, "r")), &[TWICE, DIFFERENT]);
        check(|world| world.effects.push(effect("capture", 500, "c-2")), &[EXCESS, DIFFERENT]);
        check(|world| world.effects.push(effect("refund", 500, "r-2")), &[EXCESS, DIFFERENT]);
    }

    #[test]
    fn what_clients_were_told_and_is_not_so_is_found() {
        check(|world| world.asked("k-2").replayed.as_mut().unwrap().1.push(' '), &[LOST]);
        check(|world| world.asked("k-4").finals.push((409, "{}".to_owned())), &[LOST]);
        check(|world| world.asked("k-3").replayed = None, &[LOST, "requests without a final answer"]);
        check(|world| drop(world.operations.remove("r")), &[LOST]);
        check(|world| world.operations.get_mut("c").unwrap()["status"] = json!("failed"), &[LOST]);
        check(|world| drop(world.payments.pop()), &[LOST, DIFFERENT]);
        check(|world| world.payments[0]["refunded_amount"] = json!(0), &[DIFFERENT]);
        check(|world| world.effects.retain(|effect| effect.kind != "refund"), &[DIFFERENT]);
        check(|world| world.asked("k-1").others.push(500), &[USELESS]);
        check(
            |world| {
                let told = (422, String::new());
                world.journal.insert("k-5".to_owned(), asked(Kind::Void, 422, &Value::Null));
                let asked = world.asked("k-5");
                (asked.finals, asked.replayed) = (vec![told.clone()], Some(told));
            },
            &[USELESS],
        );
    }

    #[test]
    fn a_dispute_that_is_otherwise_at_the_psp_is_found() {
        const DISPUTES: &str = "disputes that are otherwise at the PSP";
        check(|world| drop(world.effects.pop()), &[DISPUTES]);
        check(|world| drop(world.disputes.pop()), &[DISPUTES]);
        check(|world| world.effects.push(effect("dispute_reversal", 100, "d")), &[DISPUTES]);
        check(|world| world.disputes[0]["funds"] = json!("returned"), &[DISPUTES]);
        check(|world| world.disputes[0]["status"] = json!("evidence_due"), &[DISPUTES]);
        check(|world| world.disputes[0]["amount"] = json!(99), &[DISPUTES]);
        check(|world| world.effects.push(effect("dispute", 301, "d-2")), &[EXCESS, DISPUTES]);
    }

    #[test]
    fn a_payout_that_is_otherwise_at_the_psp_is_found() {
        const PAYOUTS: &str = "payouts that are otherwise at the PSP";
        check(|world| world.effects.retain(|effect| effect.kind != "payout_failure"), &[PAYOUTS]);
        check(|world| drop(world.payouts.pop()), &[PAYOUTS]);
        check(|world| world.payouts[0]["status"] = json!("paid"), &[PAYOUTS]);
        check(|world| world.payouts[1]["amount"] = json!(61), &[PAYOUTS]);
        check(|world| world.received.extend([("po-2".to_owned(), Arrival::Paid)]), &[PAYOUTS]);
        check(|world| world.effects.push(effect("payout", 60, "po-2")), &[TWICE, PAYOUTS]);
        check(|world| drop(world.payouts.remove(0)), &[LOST, PAYOUTS]);
        check(
            |world| world.asked("k-6").finals[0].1 = r#"{"payout_id":"s","status":"failed"}"#.to_owned(),
            &[LOST],
        );
    }

    #[test]
    fn what_a_buyer_paid_on_a_page_and_is_nowhere_is_found() {
        check(|world| world.bought.extend([("o-1".to_owned(), 100)]), &[DIFFERENT]);
    }

    #[test]
    fn what_is_missing_or_strange_in_kafka_and_in_the_books_is_found() {
        const STRANGE: &str = "events out of order or of nothing";
        check(|world| world.arrived.retain(|event| event.version == 1), &["events missing in Kafka"]);
        check(|world| world.arrived.reverse(), &[]);
        check(|world| world.arrived = vec![event(2), event(1)], &[STRANGE]);
        check(|world| world.arrived.push(event(3)), &[STRANGE]);
        check(|world| world.trial_balance[0].difference = 1, &["trial balance"]);
        check(|world| world.trial_balance.clear(), &["trial balance"]);
    }

    #[test]
    fn a_journal_tells_final_answers_from_others() {
        let told = |status, body: &str| Event::Told { service: 1, status, body: body.to_owned() };
        let in_flight = r#"{"code":"idempotency_key_in_flight"}"#;
        let asks = Event::Asks(asked(Kind::Void, 201, &Value::Null).request);
        let events = [
            asks,
            Event::Unanswered { service: 0 },
            told(409, in_flight),
            told(202, "{}"),
            told(201, "a"),
            told(201, "b"),
        ];
        let journal = read(events.into_iter().map(|event| Line { key: "k".to_owned(), event }).collect());
        assert_eq!(journal["k"].finals, [(201, "a".to_owned()), (201, "b".to_owned())]);
        assert_eq!(journal["k"].others, [409, 202]);
    }
}
