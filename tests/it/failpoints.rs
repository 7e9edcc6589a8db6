//! Every step of the engine, the inbox and the relay dies, fails or stalls, in every kind of operation: it is done once,
//! everybody is told, and the books are right.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use payment_service::failpoint::Failpoint;
use serde_json::{Value, json};
use tests::kafka::Kafka;
use tests::shop::ShopClient;
use tokio::task::{JoinHandle, block_in_place};

use crate::world::{PATIENCE, World, order, order_to_capture, payout};

/// Shorter than a step stalls; and a relay that is gone is not waited for much longer.
const SHORT: [&str; 4] = ["--patience=400ms", "--psp-deadline=800ms", "--lease=1s", "--kafka-timeout=500ms"];
const WRONGS: [&str; 3] = ["crash", "error", "delay"];

/// What a step happens in, beside an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// The PSP does it, and does not answer.
    LostAnswer,
    Webhooks,
    Relay,
}

fn needs(point: Failpoint) -> Needs {
    match point {
        Failpoint::Claim
        | Failpoint::Claiming
        | Failpoint::Claimed
        | Failpoint::Answered
        | Failpoint::Recording
        | Failpoint::Recorded => Needs::Nothing,
        Failpoint::TakenOver | Failpoint::Asked => Needs::LostAnswer,
        Failpoint::WebhookCame
        | Failpoint::WebhookKept
        | Failpoint::WebhookTaken
        | Failpoint::WebhookApplied => Needs::Webhooks,
        Failpoint::RelayRead | Failpoint::RelayDelivered | Failpoint::RelayMarked => Needs::Relay,
    }
}

/// A kind of operation: how it is asked for, what the PSP calls it, and what its log calls its effect.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    call: &'static str,
    effect: &'static str,
}

/// An operation that is to go wrong.
struct Trial {
    point: Failpoint,
    path: String,
    body: Value,
}

/// All steps in a kind of operation, each of which goes wrong in one way.
struct Trials {
    world: World,
    kafka: Kafka,
    kind: Kind,
    wrong: &'static str,
    prepared: usize,
}

impl Trials {
    fn new(kind: Kind, wrong: &'static str) -> Self {
        let kafka = Kafka::start().unwrap();
        let brokers = format!("--kafka-brokers={}", kafka.brokers());
        let world = World::new(&[&SHORT[..], &[&brokers]].concat());
        Self { world, kafka, kind, wrong, prepared: 0 }
    }

    async fn run(mut self) {
        let mut trials = Vec::new();
        if self.kind.name == "payout" {
            self.world.fund("anna", 100_000).await;
        }
        for &point in Failpoint::ALL {
            trials.push(self.prepare(point).await);
        }
        self.settled().await;
        // a webhook would tell what the resolver is to find out
        let (with, without): (Vec<_>, Vec<_>) =
            trials.into_iter().partition(|trial| needs(trial.point) == Needs::Webhooks);
        for trial in without {
            self.go_wrong(trial).await;
        }
        self.world.stage.send_webhooks().await.unwrap();
        for trial in with {
            self.go_wrong(trial).await;
        }
        self.world.assert_books_are_right().await;
        self.assert_first_copies_are_in_order().await;
    }

    /// What must be there before the operation can be asked for.
    async fn prepare(&mut self, point: Failpoint) -> Trial {
        self.prepared += 1;
        let name = format!("{}-{}", point.as_str(), self.prepared);
        let client = &self.world.stage.client;
        let first = match self.kind.name {
            "authorize" if point == Failpoint::Claiming => {
                let mut declined = order(&name, 1000);
                declined["payment_method"] = json!("pm_card_chargeDeclined");
                Some(declined)
            }
            "authorize" | "payout" => None,
            "refund" => Some(order(&name, 1000)),
            _ => Some(order_to_capture(&name, 1000)),
        };
        let mut payment = String::new();
        if let Some(first) = first {
            let told = insist(client, "/v1/payments", &format!("first-{name}"), &first).await;
            payment = told["payment_id"].as_str().unwrap().to_owned();
        }
        let (path, body) = match self.kind.name {
            "authorize" => ("/v1/payments".to_owned(), order(&name, 1000)),
            "capture" => (format!("/v1/payments/{payment}/capture"), json!({"amount": 900})),
            "payout" => ("/v1/payouts".to_owned(), payout("anna", 300)),
            "void" => (format!("/v1/payments/{payment}/void"), json!({})),
            _ => (format!("/v1/payments/{payment}/refunds"), json!({"amount": 300})),
        };
        Trial { point, path, body }
    }

    async fn go_wrong(&mut self, trial: Trial) {
        let point = trial.point;
        let is_any = matches!(needs(point), Needs::Webhooks | Needs::Relay);
        let kind = if is_any { "any" } else { self.kind.name };
        let plan = format!("{}/{kind}={}", point.as_str(), self.wrong);
        block_in_place(|| self.world.stage.kill_service()).unwrap();
        block_in_place(|| self.world.stage.start_service_with("PAYONCE_FAILPOINT", &plan)).unwrap();
        let before = self.world.done(self.kind.effect).await;
        let mut asked = 1;
        let mut asking = self.ask(trial, &format!("{plan}-{asked}")).await;
        // a service that had no time to send it, or to hear of it, never came to the step: the next one may
        while !self.struck(&plan, &asking).await {
            asking.await.unwrap();
            self.settled().await;
            asked += 1;
            let trial = self.prepare(point).await;
            asking = self.ask(trial, &format!("{plan}-{asked}")).await;
        }
        if self.wrong == "crash" {
            let service = self.world.stage.service().unwrap();
            self.world.eventually("the service is gone", async || !service.is_alive()).await;
            block_in_place(|| self.world.stage.start_service()).unwrap();
        }
        let told = asking.await.unwrap();
        assert!(matches!(told["status"].as_str(), Some("captured" | "succeeded" | "paid")), "{plan}: {told}");
        self.settled().await;
        assert_eq!(self.world.done(self.kind.effect).await, before + asked, "{plan}");
        self.world.assert_sums_are_right().await;
    }

    /// Has somebody ask for it, under this key, until there is an outcome.
    async fn ask(&self, trial: Trial, key: &str) -> JoinHandle<Value> {
        let Trial { point, path, body } = trial;
        let control = &self.world.stage.control;
        let loses_answer = needs(point) == Needs::LostAnswer;
        if loses_answer {
            let rule =
                json!({"fault": {"kind": "hang", "when": "after"}, "match": {"operation": self.kind.call}});
            control.fault(&rule).await.unwrap();
        }
        let (client, key) = (self.world.stage.client.clone(), key.to_owned());
        let asking = tokio::spawn(async move { insist(&client, &path, &key, &body).await });
        if loses_answer {
            control.get("wait?hanging=1").await.unwrap();
            control.heal().await.unwrap();
        }
        asking
    }

    /// Waits until the step has gone wrong; or until there is an outcome, after which an operation comes to no further step.
    async fn struck(&self, plan: &str, asking: &JoinHandle<Value>) -> bool {
        let fired = format!("failpoint {plan}");
        let is_of_operation = !plan.contains("/any=");
        let mut is_missed = false;
        self.world
            .eventually(&format!("{fired} strikes"), async || {
                is_missed = is_of_operation && asking.is_finished();
                is_missed || self.world.log().contains(&fired)
            })
            .await;
        !is_missed || self.world.log().contains(&fired)
    }

    /// Nothing is on its way any more.
    async fn settled(&self) {
        self.world.stage.control.webhooks_delivered().await.unwrap();
        self.world.quiet().await;
        let unpublished = "select count(*) from payment_event where published_at is null";
        self.world.eventually("all is published", async || self.world.count(unpublished).await == 0).await;
    }

    /// What a consumer that knows events by their ids keeps is each payment's events, in order, all of them.
    async fn assert_first_copies_are_in_order(&self) {
        let events = usize::try_from(self.world.count("select count(*) from payment_event").await).unwrap();
        self.world
            .eventually("all have come", async || {
                self.kafka.arrived().into_iter().collect::<HashSet<_>>().len() == events
            })
            .await;
        let mut latest: HashMap<String, i32> = HashMap::new();
        for event in self.kafka.arrived() {
            let latest = latest.entry(event.subject_id.clone()).or_default();
            assert!(event.version <= *latest + 1, "{event:?} comes after {latest}");
            *latest = event.version.max(*latest);
        }
        assert_eq!(latest.values().sum::<i32>(), i32::try_from(events).unwrap());
    }
}

/// Asks again and again until told the outcome; with another key only for what surely was not sent.
async fn insist(client: &ShopClient, path: &str, key: &str, body: &Value) -> Value {
    let (mut key, until) = (key.replace(['/', '='], "-"), Instant::now() + PATIENCE);
    loop {
        let told = client.post(path, &key, body).await;
        match &told {
            Ok(told) if told.status == 201 && told.json()["failure"]["code"] == "deadline_passed" => {
                key.push_str("-again");
            }
            Ok(told) if told.status == 201 => return told.json(),
            Ok(told) => {
                assert!(
                    matches!(told.status, 202 | 409 | 500 | 503),
                    "{key}: {}: {}",
                    told.status,
                    told.body
                );
            }
            Err(_) => {}
        }
        assert!(Instant::now() < until, "{key} is never answered: {told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each wrong has a service and a thread of its own, so that they wait beside each other.
fn survives(name: &'static str, call: &'static str, effect: &'static str) {
    let kind = Kind { name, call, effect };
    std::thread::scope(|scope| {
        for wrong in WRONGS {
            scope.spawn(move || {
                let runtime = tokio::runtime::Runtime::new().unwrap();
                runtime.block_on(async { Trials::new(kind, wrong).run().await });
            });
        }
    });
}

#[test]
fn an_authorization_survives_whatever_step_goes_wrong() {
    survives("authorize", "payment_intents.create", "charge");
}

#[test]
fn a_capture_survives_whatever_step_goes_wrong() {
    survives("capture", "payment_intents.capture", "capture");
}

#[test]
fn a_void_survives_whatever_step_goes_wrong() {
    survives("void", "payment_intents.cancel", "cancel");
}

#[test]
fn a_refund_survives_whatever_step_goes_wrong() {
    survives("refund", "refunds.create", "refund");
}

#[test]
fn a_payout_survives_whatever_step_goes_wrong() {
    survives("payout", "payouts.create", "payout");
}
