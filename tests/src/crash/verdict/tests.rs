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
            disputes: vec![json!({"psp_reference": "d", "status": "lost", "funds": "lost", "amount": 100})],
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
