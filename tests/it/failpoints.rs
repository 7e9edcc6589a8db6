//! Every step of the engine, the inbox and the relay dies, fails or stalls, in every kind of operation: it is done once,
//! everybody is told, and the books are right.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use payment_service::failpoint::Failpoint;
use serde_json::{Value, json};
use tests::kafka::Kafka;
use tests::shop::ShopClient;
use tokio::task::block_in_place;

use crate::world::{PATIENCE, World, order, order_to_capture};

/// Shorter than a step stalls.
const SHORT: [&str; 3] = ["--patience=400ms", "--psp-deadline=800ms", "--lease=1s"];
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
struct Kind {
    name: &'static str,
    call: &'static str,
    effect: &'static str,
}

/// An operation that is to go wrong.
struct Trial {
    point: Failpoint,
    wrong: &'static str,
    path: String,
    body: Value,
}

struct Trials {
    world: World,
    kafka: Kafka,
    kind: Kind,
}

impl Trials {
    fn new(kind: Kind) -> Self {
        let kafka = Kafka::start().unwrap();
        let brokers = format!("--kafka-brokers={}", kafka.brokers());
        let world = World::new(&[&SHORT[..], &[&brokers]].concat());
        Self { world, kafka, kind }
    }

    async fn run(mut self) {
        let mut trials = Vec::new();
        for &point in Failpoint::ALL {
            for wrong in WRONGS {
                trials.push(self.prepare(point, wrong).await);
            }
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
        self.assert_first_copies_are_in_order().await;
    }

    /// What must be there before the operation can be asked for.
    async fn prepare(&self, point: Failpoint, wrong: &'static str) -> Trial {
        let name = format!("{}-{wrong}", point.as_str());
        let client = &self.world.stage.client;
        let first = match self.kind.name {
            "authorize" if point == Failpoint::Claiming => {
                let mut declined = order(&name, 1000);
                declined["payment_method"] = json!("pm_card_chargeDeclined");
                Some(declined)
            }
            "authorize" => None,
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
            "void" => (format!("/v1/payments/{payment}/void"), json!({})),
            _ => (format!("/v1/payments/{payment}/refunds"), json!({"amount": 300})),
        };
        Trial { point, wrong, path, body }
    }

    async fn go_wrong(&mut self, trial: Trial) {
        let Trial { point, wrong, path, body } = trial;
        let needs = needs(point);
        let kind = if matches!(needs, Needs::Webhooks | Needs::Relay) { "any" } else { self.kind.name };
        let plan = format!("{}/{kind}={wrong}", point.as_str());
        block_in_place(|| self.world.stage.kill_service()).unwrap();
        block_in_place(|| self.world.stage.start_service_with("PAYONCE_FAILPOINT", &plan)).unwrap();
        let before = self.world.done(self.kind.effect).await;
        let world = &self.world;
        if needs == Needs::LostAnswer {
            let rule =
                json!({"fault": {"kind": "hang", "when": "after"}, "match": {"operation": self.kind.call}});
            world.stage.control.fault(&rule).await.unwrap();
        }
        let (client, key) = (world.stage.client.clone(), plan.clone());
        let asking = tokio::spawn(async move { insist(&client, &path, &key, &body).await });
        if needs == Needs::LostAnswer {
            world.stage.control.get("wait?hanging=1").await.unwrap();
            world.stage.control.heal().await.unwrap();
        }
        let fired = format!("failpoint {plan}");
        world.eventually(&format!("{fired} strikes"), async || world.log().contains(&fired)).await;
        if wrong == "crash" {
            let service = world.stage.service().unwrap();
            world.eventually("the service is gone", async || !service.is_alive()).await;
            block_in_place(|| self.world.stage.start_service()).unwrap();
        }
        let told = asking.await.unwrap();
        assert!(matches!(told["status"].as_str(), Some("captured" | "succeeded")), "{plan}: {told}");
        self.settled().await;
        assert_eq!(self.world.done(self.kind.effect).await, before + 1, "{plan}");
        self.world.assert_books_are_right().await;
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
            let latest = latest.entry(event.payment_id.clone()).or_default();
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

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_survives_whatever_step_goes_wrong() {
    let kind = Kind { name: "authorize", call: "payment_intents.create", effect: "charge" };
    Trials::new(kind).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_survives_whatever_step_goes_wrong() {
    Trials::new(Kind { name: "capture", call: "payment_intents.capture", effect: "capture" }).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_void_survives_whatever_step_goes_wrong() {
    Trials::new(Kind { name: "void", call: "payment_intents.cancel", effect: "cancel" }).run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_survives_whatever_step_goes_wrong() {
    Trials::new(Kind { name: "refund", call: "refunds.create", effect: "refund" }).run().await;
}
