//! Whether the books are right: what every side says happened, compared. Nothing in here asks anybody anything.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Event, Line};
use super::settlement::Settled;
use crate::orders::{Day, Part};
use crate::psp::Effect;
use crate::report::{Check, shown};
use crate::shop::{Account, Balance, Payment, TrialBalance};

/// What everybody says happened.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// What was ordered.
    pub day: &'a Day,
    /// What the clients were told.
    pub journal: &'a [Line],
    /// What the PSP did.
    pub effects: &'a [Effect],
    /// What the PSP reported and paid out.
    pub settled: &'a [Settled],
    /// What the API shows.
    pub payments: &'a [Payment],
    /// The sellers' wallets.
    pub wallets: &'a BTreeMap<String, Vec<Balance>>,
    /// The ledger.
    pub trial_balance: &'a [TrialBalance],
    /// What is not finished, by what it is called.
    pub left_over: &'a [(&'static str, i64)],
}

/// How the orders ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders whose buyers were charged.
    pub charged: usize,
    /// Orders whose last payment failed.
    pub declined: usize,
    /// Orders that the service never heard of: every request was given up before it arrived.
    pub unheard: usize,
}

/// Money by currency and something else.
type Sums<'a, K> = BTreeMap<(K, &'a str), i64>;

impl Evidence<'_> {
    /// Everything that must be so.
    pub fn checks(&self) -> Vec<Check> {
        let mut checks = vec![
            self.double_charges(),
            self.lost_payments(),
            self.unfounded_payments(),
            self.contradictions(),
            self.server_errors(),
            self.trial_balance_is_zero(),
            self.wallets_equal_settlement(),
            self.settlement_equals_charges(),
            self.ledger_equals_settlement(),
        ];
        checks.extend(self.left_over.iter().map(|&(what, count)| Check::zero(what, count)));
        checks
    }

    /// How the orders ended.
    pub fn tally(&self) -> Tally {
        let charged: BTreeSet<&str> = self.charges().map(Effect::order_id).collect();
        let known: BTreeSet<&str> = self.payments.iter().map(|payment| payment.order_id.as_str()).collect();
        let unheard = self.day.orders().filter(|order| !known.contains(order.id.as_str())).count();
        Tally { charged: charged.len(), declined: known.difference(&charged).count(), unheard }
    }

    fn charges(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter().filter(|effect| effect.is_charge())
    }

    /// The parts of all orders that were charged.
    fn charged_parts(&self) -> impl Iterator<Item = (&Part, &str)> {
        let charged: BTreeSet<&str> = self.charges().map(Effect::order_id).collect();
        let orders = charged.into_iter().filter_map(|id| self.day.get(id));
        orders.flat_map(|order| order.parts.iter().map(|part| (part, order.currency)))
    }

    fn double_charges(&self) -> Check {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for charge in self.charges() {
            *counts.entry(charge.order_id()).or_default() += 1;
        }
        let twice = counts.into_iter().filter(|(_, count)| *count > 1);
        Check::none("double charges", twice.map(|(order, count)| format!("{order} {count} times")).collect())
    }

    /// What a client was told, or the PSP did, and the service does not know, or knows otherwise.
    fn lost_payments(&self) -> Check {
        let by_id: BTreeMap<&str, &Payment> =
            self.payments.iter().map(|payment| (payment.payment_id.as_str(), payment)).collect();
        let mut lost = BTreeSet::new();
        for line in self.journal {
            let Event::Told { status: 201 | 202, body, .. } = &line.event else { continue };
            let told: Option<Payment> = serde_json::from_str(body).ok();
            let kept = told.as_ref().and_then(|told| by_id.get(told.payment_id.as_str()));
            let same = kept.zip(told.as_ref()).is_some_and(|(kept, told)| agrees(kept, told));
            if !same {
                lost.insert(format!("{} was told {body}", line.order));
            }
        }
        let captured = self.captured_by_order();
        for charge in self.charges() {
            let (order, currency) = (charge.order_id(), charge.currency.to_ascii_uppercase());
            let paid = captured.get(order).map_or(&[][..], Vec::as_slice);
            let right =
                matches!(paid, [paid] if paid.captured_amount == charge.amount && paid.currency == currency);
            if !right {
                lost.insert(format!(
                    "{order} was charged {} {currency}: {} captured",
                    charge.amount,
                    paid.len()
                ));
            }
            if self.day.get(order).is_none_or(|ordered| ordered.amount != charge.amount) {
                lost.insert(format!(
                    "{order} was charged {} {currency}, which was not ordered",
                    charge.amount
                ));
            }
        }
        Check::none("lost payments", lost.into_iter().collect())
    }

    fn captured_by_order(&self) -> BTreeMap<&str, Vec<&Payment>> {
        let mut captured: BTreeMap<&str, Vec<&Payment>> = BTreeMap::new();
        for payment in self.payments.iter().filter(|payment| payment.status == "captured") {
            captured.entry(&payment.order_id).or_default().push(payment);
        }
        captured
    }

    /// Payments that are called captured and that the PSP never charged.
    fn unfounded_payments(&self) -> Check {
        let charged: BTreeSet<(&str, i64)> =
            self.charges().map(|charge| (charge.order_id(), charge.amount)).collect();
        let captured = self.payments.iter().filter(|payment| payment.status == "captured");
        let unfounded = captured
            .filter(|payment| !charged.contains(&(payment.order_id.as_str(), payment.captured_amount)))
            .map(|payment| format!("{} of {}", payment.payment_id, payment.order_id));
        Check::none("captured without a charge", unfounded.collect())
    }

    /// Final answers to one key that are not the same, byte for byte.
    fn contradictions(&self) -> Check {
        let mut answers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for line in self.journal {
            if let Event::Told { status: 201, body, .. } = &line.event {
                answers.entry(&line.key).or_default().insert(body);
            }
        }
        let several = answers.into_iter().filter(|(_, bodies)| bodies.len() > 1);
        Check::none(
            "contradictory answers",
            several.map(|(key, bodies)| format!("{key}: {bodies:?}")).collect(),
        )
    }

    fn server_errors(&self) -> Check {
        let unexpected = self.journal.iter().filter_map(|line| match &line.event {
            Event::Told { status: 201 | 202 | 409 | 429 | 503, .. } => None,
            Event::Told { status, body, .. } => Some(format!("{} was told {status}: {body}", line.order)),
            _ => None,
        });
        Check::none("answers that a client cannot act on", unexpected.collect())
    }

    fn trial_balance_is_zero(&self) -> Check {
        let off: Vec<String> = self
            .trial_balance
            .iter()
            .filter(|balance| {
                let sum: i64 = balance.accounts.iter().map(|account| account.balance).sum();
                sum != 0 || balance.difference != 0 || balance.debits != balance.credits
            })
            .map(|balance| format!("{} {}", balance.difference, balance.currency))
            .collect();
        let difference: i64 = self.trial_balance.iter().map(|balance| balance.difference.abs()).sum();
        let there = self.trial_balance.len() == 2;
        Check {
            what: "trial balance",
            found: difference.to_string(),
            holds: there && off.is_empty(),
            offenders: off,
        }
    }

    /// What each seller can have is what the PSP settled of that seller's orders, by the clients' own order data.
    fn wallets_equal_settlement(&self) -> Check {
        let mut expected: Sums<'_, &str> = Sums::new();
        for line in self.settled.iter().filter(|line| line.category == "charge") {
            for part in self.day.get(&line.order_id).into_iter().flat_map(|order| &order.parts) {
                *expected.entry((&part.seller, &line.currency)).or_default() +=
                    part.amount - part.platform_fee;
            }
        }
        let mut found: Sums<'_, &str> = Sums::new();
        let mut off = Vec::new();
        for (seller, balances) in self.wallets {
            for balance in balances {
                found.insert((seller, &balance.currency), balance.available);
                if (balance.pending, balance.held, balance.debt) != (0, 0, 0) {
                    off.push(format!("{seller} has {balance:?}"));
                }
            }
        }
        found.retain(|_, amount| *amount != 0);
        expected.retain(|_, amount| *amount != 0);
        let keys: BTreeSet<_> = found.keys().chain(expected.keys()).copied().collect();
        for key in &keys {
            let [has, should] = [&found, &expected].map(|sums| sums.get(key).copied().unwrap_or_default());
            if has != should {
                off.push(format!("{} has {has} {}, settled were {should}", key.0, key.1));
            }
        }
        let (count, wrong) = (keys.len(), off.len());
        let found = format!("{} of {count} equal", count.saturating_sub(wrong));
        Check {
            what: "wallets equal settlement",
            found,
            holds: off.is_empty() && count > 0,
            offenders: shown(off),
        }
    }

    fn settlement_equals_charges(&self) -> Check {
        let mut charges: BTreeSet<(String, i64, String)> = BTreeSet::new();
        let mut count = 0;
        for charge in self.charges() {
            count += 1;
            charges.insert((
                charge.order_id().to_owned(),
                charge.amount,
                charge.currency.to_ascii_uppercase(),
            ));
        }
        let settled: Vec<_> = self.settled.iter().filter(|line| line.category == "charge").collect();
        let missing = settled
            .iter()
            .filter(|line| !charges.contains(&(line.order_id.clone(), line.gross, line.currency.clone())))
            .map(|line| format!("{} was settled and not charged", line.order_id));
        let off: Vec<String> = missing.collect();
        Check {
            what: "charges that were settled",
            found: format!("{} of {count}", settled.len()),
            holds: off.is_empty() && settled.len() == count,
            offenders: shown(off),
        }
    }

    /// The ledger's totals, computed from the report and the clients' own order data.
    fn ledger_equals_settlement(&self) -> Check {
        let mut expected: Sums<'_, &str> = Sums::new();
        for line in self.settled {
            *expected.entry(("psp_fees", &line.currency)).or_default() += line.fee;
            *expected.entry(("psp_balance and payout_in_transit", &line.currency)).or_default() += line.net;
        }
        for (part, currency) in self.charged_parts() {
            *expected.entry(("platform_fees", currency)).or_default() -= part.platform_fee;
            *expected.entry(("seller_available", currency)).or_default() -= part.amount - part.platform_fee;
        }
        let mut found: Sums<'_, &str> = Sums::new();
        for account in self.trial_balance.iter().flat_map(|balance| &balance.accounts) {
            *found.entry((group(account), &account.currency)).or_default() += account.balance;
        }
        found.retain(|_, amount| *amount != 0);
        expected.retain(|_, amount| *amount != 0);
        let keys: BTreeSet<_> = found.keys().chain(expected.keys()).copied().collect();
        let wrong = keys.iter().filter(|key| found.get(key) != expected.get(key)).map(|key| {
            let [has, should] = [&found, &expected].map(|sums| sums.get(key).copied().unwrap_or_default());
            format!("{} is {has} {}, expected {should}", key.0, key.1)
        });
        let off: Vec<String> = wrong.collect();
        let found = format!("{} of {} equal", keys.len() - off.len(), keys.len());
        Check { what: "ledger equals settlement", found, holds: off.is_empty(), offenders: shown(off) }
    }
}

/// Money that the PSP has for us or is sending us is one sum here: when it pays out is its own business.
fn group(account: &Account) -> &str {
    match account.code.split('/').next().unwrap_or_default() {
        "psp_balance" | "payout_in_transit" => "psp_balance and payout_in_transit",
        group => group,
    }
}

/// Whether what a client was told is still so; an accepted payment has gone on since.
fn agrees(kept: &Payment, told: &Payment) -> bool {
    let same = (&kept.order_id, kept.amount, &kept.currency) == (&told.order_id, told.amount, &told.currency);
    let ended = |payment: &Payment| matches!(payment.status.as_str(), "captured" | "failed");
    let went_on = !ended(told) && ended(kept);
    same && (went_on || (&kept.status, kept.captured_amount) == (&told.status, told.captured_amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day of one order of two parts, on which everything went well.
    struct World {
        day: Day,
        journal: Vec<Line>,
        effects: Vec<Effect>,
        settled: Vec<Settled>,
        payments: Vec<Payment>,
        wallets: BTreeMap<String, Vec<Balance>>,
        trial_balance: Vec<TrialBalance>,
        left_over: Vec<(&'static str, i64)>,
    }

    fn account(code: &str, currency: &str, balance: i64) -> Account {
        Account { code: code.to_owned(), currency: currency.to_owned(), balance }
    }

    fn trial_balance(currency: &str, amount: i64, platform: i64) -> TrialBalance {
        let accounts = vec![
            account("psp_fees", currency, 40),
            account("payout_in_transit/stripe", currency, amount - 40),
            account("platform_fees", currency, -platform),
            account("seller_available", currency, platform - amount),
        ];
        TrialBalance {
            currency: currency.to_owned(),
            debits: amount,
            credits: amount,
            difference: 0,
            accounts,
        }
    }

    impl World {
        fn new() -> Self {
            let day = Day::draw(3, 12);
            let [eur, usd] = ["EUR", "USD"].map(|currency| {
                let order = day.orders().find(|order| order.currency == currency).unwrap();
                order.id.clone()
            });
            let mut world = Self {
                journal: Vec::new(),
                effects: Vec::new(),
                settled: Vec::new(),
                payments: Vec::new(),
                wallets: BTreeMap::new(),
                trial_balance: Vec::new(),
                left_over: vec![("payments in processing", 0)],
                day,
            };
            for id in [eur, usd] {
                world.sell(&id);
            }
            world
        }

        fn sell(&mut self, id: &str) {
            let order = self.day.get(id).unwrap();
            let currency = order.currency.to_owned();
            let payment = Payment {
                payment_id: format!("payment of {id}"),
                order_id: id.to_owned(),
                status: "captured".to_owned(),
                amount: order.amount,
                currency: currency.clone(),
                captured_amount: order.amount,
            };
            let body = serde_json::json!({
                "payment_id": payment.payment_id, "order_id": id, "status": "captured", "amount": order.amount,
                "currency": currency, "captured_amount": order.amount,
            });
            let event = Event::Told { status: 201, replayed: false, body: body.to_string() };
            self.journal.push(Line { order: id.to_owned(), key: id.to_owned(), attempt: 1, event });
            self.payments.push(payment);
            self.effects.push(Effect {
                payment_intent: None,
                refund: None,
                dispute: None,
                payout: None,
                refund_metadata: None,
                idempotency_key: None,
                kind: "charge".to_owned(),
                amount: order.amount,
                currency: currency.to_ascii_lowercase(),
                metadata: BTreeMap::from([("order_id".to_owned(), id.to_owned())]),
            });
            self.settled.push(Settled {
                category: "charge".to_owned(),
                order_id: id.to_owned(),
                currency: currency.clone(),
                gross: order.amount,
                fee: 40,
                net: order.amount - 40,
            });
            for part in &order.parts {
                let available = part.amount - part.platform_fee;
                let balance = Balance { currency: currency.clone(), pending: 0, available, held: 0, debt: 0 };
                self.wallets.entry(part.seller.clone()).or_default().push(balance);
            }
            let platform = order.parts.iter().map(|part| part.platform_fee).sum();
            self.trial_balance.push(trial_balance(&currency, order.amount, platform));
        }

        fn evidence(&self) -> Evidence<'_> {
            Evidence {
                day: &self.day,
                journal: &self.journal,
                effects: &self.effects,
                settled: &self.settled,
                payments: &self.payments,
                wallets: &self.wallets,
                trial_balance: &self.trial_balance,
                left_over: &self.left_over,
            }
        }

        /// The checks that do not hold after `change`.
        fn wrong_after(change: impl FnOnce(&mut Self)) -> Vec<&'static str> {
            let mut world = Self::new();
            change(&mut world);
            let checks = world.evidence().checks();
            checks.into_iter().filter(|check| !check.holds).map(|check| check.what).collect()
        }
    }

    #[test]
    fn a_day_on_which_everything_went_well_is_right() {
        assert_eq!(World::wrong_after(|_| ()), [""; 0]);
        let tally = Tally { charged: 2, declined: 0, unheard: 10 };
        assert_eq!(World::new().evidence().tally(), tally);
    }

    #[test]
    fn whatever_is_changed_afterwards_is_found() {
        let check = |change: fn(&mut World), expected: &[&str]| {
            assert_eq!(World::wrong_after(change), expected);
        };
        check(
            |world| world.effects.push(world.effects[0].clone()),
            &["double charges", "charges that were settled"],
        );
        check(|world| drop(world.payments.pop()), &["lost payments"]);
        check(
            |world| drop(world.effects.pop()),
            &["captured without a charge", "charges that were settled", "ledger equals settlement"],
        );
        check(
            |world| world.payments[0].captured_amount -= 1,
            &["lost payments", "captured without a charge"],
        );
        check(|world| world.payments[0].status = "failed".to_owned(), &["lost payments"]);
        check(
            |world| world.effects[0].amount += 1,
            &["lost payments", "captured without a charge", "charges that were settled"],
        );
        check(
            |world| {
                let mut line = world.journal[0].clone();
                line.event = Event::Told { status: 500, replayed: false, body: String::new() };
                world.journal.push(line);
            },
            &["answers that a client cannot act on"],
        );
        check(
            |world| {
                let mut line = world.journal[0].clone();
                if let Event::Told { body, .. } = &mut line.event {
                    body.push(' ');
                }
                world.journal.push(line);
            },
            &["contradictory answers"],
        );
        check(|world| world.trial_balance[1].difference = 1, &["trial balance"]);
        check(
            |world| world.trial_balance[1].accounts[0].balance += 1,
            &["trial balance", "ledger equals settlement"],
        );
        check(
            |world| world.wallets.values_mut().next().unwrap()[0].available += 1,
            &["wallets equal settlement"],
        );
        check(
            |world| world.wallets.values_mut().next().unwrap()[0].pending = 1,
            &["wallets equal settlement"],
        );
        check(
            |world| drop(world.settled.pop()),
            &["wallets equal settlement", "charges that were settled", "ledger equals settlement"],
        );
        check(|world| world.left_over[0].1 = 1, &["payments in processing"]);
    }

    #[test]
    fn an_accepted_payment_may_have_gone_on_but_not_vanished() {
        let accepted = |world: &mut World, id: &str| {
            let mut payment = world.payments[0].clone();
            id.clone_into(&mut payment.payment_id);
            let body = serde_json::json!({
                "payment_id": id, "order_id": payment.order_id, "status": "processing", "amount": payment.amount,
                "currency": payment.currency, "captured_amount": 0,
            });
            let event = Event::Told { status: 202, replayed: false, body: body.to_string() };
            world.journal.push(Line { order: payment.order_id, key: "k".to_owned(), attempt: 1, event });
        };
        assert_eq!(
            World::wrong_after(|world| {
                let id = world.payments[0].payment_id.clone();
                accepted(world, &id);
            }),
            [""; 0]
        );
        assert_eq!(World::wrong_after(|world| accepted(world, "another")), ["lost payments"]);
    }
}
