//! What becomes of a payment, as far as its shop wants it.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::bank::Decision;
use super::client::{Asker, Kind, Request};
use crate::Error;
use crate::orders::{CARDS, DECLINING, Order};

/// How often a shop asks for the same with a new key, where the service had no time to send it.
const TRIES: u32 = 20;
/// A card whose buyer has to act, and does not.
const AUTHENTICATES: &str = "pm_card_threeDSecure2Required";

/// A way that a payment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Story {
    Paid,
    Declined,
    RefundedWhole,
    RefundedInParts,
    RefundsRace,
    Captured,
    CapturedInPart,
    CapturedInParts,
    Voided,
    CaptureRacesVoid,
    RefundRacesCapture,
    RefundRacesVoid,
    LeftByItsBuyer,
    Held,
    AskedBack,
    AskedBackWhileRefunded,
    AskedAbout,
}

/// Each of so many payments goes another way; those that are common more than once.
const STORIES: [Story; 24] = [
    Story::Paid,
    Story::Declined,
    Story::RefundedWhole,
    Story::RefundsRace,
    Story::Captured,
    Story::CapturedInPart,
    Story::AskedBack,
    Story::Voided,
    Story::CaptureRacesVoid,
    Story::AskedBackWhileRefunded,
    Story::RefundedInParts,
    Story::RefundRacesCapture,
    Story::Paid,
    Story::CapturedInParts,
    Story::RefundRacesVoid,
    Story::LeftByItsBuyer,
    Story::AskedAbout,
    Story::RefundsRace,
    Story::AskedBackWhileRefunded,
    Story::Paid,
    Story::RefundedInParts,
    Story::CaptureRacesVoid,
    Story::Held,
    Story::RefundedWhole,
];

/// A payment of somebody who asks.
struct Life<'a> {
    asker: &'a mut Asker,
    order: Order,
    rng: SmallRng,
    payment: String,
}

/// Lives the life of the payment of this number, all of which is drawn from the seed.
///
/// # Errors
/// When the journal cannot be written.
pub async fn live(asker: &mut Asker, seed: u64, number: usize) -> Result<(), Error> {
    let mut rng = SmallRng::seed_from_u64(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let order = Order::draw(&mut rng, number);
    let story = STORIES[number % STORIES.len()];
    Life { asker, order, rng, payment: String::new() }.tell(story).await
}

impl Life<'_> {
    async fn tell(mut self, story: Story) -> Result<(), Error> {
        use Story::*;
        let (card, capture) = match story {
            Declined => (DECLINING.choose(&mut self.rng).copied(), "automatic"),
            LeftByItsBuyer => (Some(AUTHENTICATES), "automatic"),
            Paid
            | RefundedWhole
            | RefundedInParts
            | RefundsRace
            | AskedBack
            | AskedBackWhileRefunded
            | AskedAbout => (CARDS.choose(&mut self.rng).copied(), "automatic"),
            _ => (CARDS.choose(&mut self.rng).copied(), "manual"),
        };
        let mut status = self.pay(card.unwrap_or(CARDS[0]), capture).await?;
        // half of those who are declined have another card
        if story == Declined && self.rng.random_bool(0.5) {
            status = self.pay(CARDS[0], capture).await?;
        }
        if !matches!(&*status, "captured" | "authorized" | "requires_action") {
            return Ok(());
        }
        let amount = self.order.amount;
        let (part, most) = (self.rng.random_range(amount / 5..amount / 2), amount * 3 / 5);
        match story {
            Paid | Declined | Held => {}
            RefundedWhole => self.insist(Kind::Refund, json!({})).await?,
            RefundedInParts => {
                self.ask(Kind::Refund, json!({"amount": part})).await?;
                self.ask(Kind::Refund, json!({"amount": part, "refund_platform_fee": false})).await?;
                self.ask(Kind::Refund, json!({"amount": amount})).await?;
            }
            RefundsRace => {
                let refund = || (Kind::Refund, json!({"amount": most}));
                self.race(refund(), refund()).await?;
            }
            Captured => {
                self.ask(Kind::Capture, json!({"amount": amount + 1})).await?;
                self.insist(Kind::Capture, json!({})).await?;
                self.ask(Kind::Void, json!({})).await?;
                self.ask(Kind::Refund, json!({"amount": part})).await?;
            }
            CapturedInPart => {
                self.insist(Kind::Capture, json!({"amount": most})).await?;
                self.ask(Kind::Capture, json!({"amount": part})).await?;
            }
            CapturedInParts => {
                self.insist(Kind::Capture, json!({"amount": part, "final": false})).await?;
                self.insist(Kind::Capture, json!({"amount": part, "final": false})).await?;
                self.ask(Kind::Refund, json!({"amount": part})).await?;
                let last = if self.rng.random_bool(0.5) { Kind::Void } else { Kind::Capture };
                self.insist(last, json!({})).await?;
            }
            Voided => {
                self.insist(Kind::Void, json!({})).await?;
                self.ask(Kind::Capture, json!({})).await?;
            }
            CaptureRacesVoid => self.race((Kind::Capture, json!({})), (Kind::Void, json!({}))).await?,
            RefundRacesCapture | RefundRacesVoid => {
                self.insist(Kind::Capture, json!({"amount": most, "final": false})).await?;
                let other = if story == RefundRacesVoid { Kind::Void } else { Kind::Capture };
                self.race((Kind::Refund, json!({"amount": amount})), (other, json!({}))).await?;
                let refund = || (Kind::Refund, json!({"amount": part}));
                self.race(refund(), refund()).await?;
            }
            LeftByItsBuyer => self.insist(Kind::Void, json!({})).await?,
            AskedBack => self.asked_back(amount - part).await?,
            AskedBackWhileRefunded => self.asked_back_while_refunded(part).await?,
            AskedAbout => {
                let dispute = self.asker.bank().dispute(&self.order.id, amount, true).await?;
                self.ask(Kind::Refund, json!({"amount": part})).await?;
                self.asker.bank().decide(&dispute, Decision::Closed).await?;
            }
        }
        Ok(())
    }

    /// What the bank has cannot be given back as well, as soon as the service has heard of it; once it is back, it can.
    async fn asked_back(&mut self, amount: i64) -> Result<(), Error> {
        let dispute = self.asker.bank().dispute(&self.order.id, amount, false).await?;
        let payment = format!("/v1/payments/{}", self.payment);
        self.asker.read_until(&payment, |payment| payment["disputed_amount"] == amount).await;
        self.ask(Kind::Refund, json!({"amount": self.order.amount})).await?;
        let decision = self.decision();
        self.asker.bank().decide(&dispute, decision).await?;
        if decision == Decision::Won {
            self.asker.read_until(&payment, |payment| payment["disputed_amount"] == 0).await;
            self.insist(Kind::Refund, json!({})).await?;
        }
        Ok(())
    }

    /// The bank takes a part while another is given back, and decides while the rest is. All of it is never more than there is.
    async fn asked_back_while_refunded(&mut self, part: i64) -> Result<(), Error> {
        let (rest, decision) = (self.order.amount - 2 * part, self.decision());
        let [refund, last] = [part, rest].map(|amount| self.follow(Kind::Refund, json!({"amount": amount})));
        let mut shop = self.asker.fork();
        let bank = self.asker.bank();
        let (told, dispute) = tokio::join!(shop.ask(refund), bank.dispute(&self.order.id, part, false));
        told?;
        let dispute = dispute?;
        let (told, decided) = tokio::join!(shop.ask(last), bank.decide(&dispute, decision));
        told.map(drop).and(decided)
    }

    fn decision(&mut self) -> Decision {
        if self.rng.random_bool(0.5) { Decision::Won } else { Decision::Lost }
    }

    /// Asks for the payment, and answers where it stands.
    async fn pay(&mut self, card: &str, capture: &str) -> Result<String, Error> {
        let mut body = self.order.request(card);
        body["capture"] = json!(capture);
        for _ in 0..TRIES {
            let request = self.request(Kind::Authorize, "/v1/payments".to_owned(), body.clone());
            let Some(told) = self.asker.ask(request).await? else { break };
            let told = told.json();
            if told["failure"]["code"] == "deadline_passed" {
                continue;
            }
            self.payment = told["payment_id"].as_str().unwrap_or_default().to_owned();
            return Ok(told["status"].as_str().unwrap_or_default().to_owned());
        }
        Ok(String::new())
    }

    /// Asks for something until it is done, with a new key each time that it has surely not been.
    async fn insist(&mut self, kind: Kind, body: Value) -> Result<(), Error> {
        for _ in 0..TRIES {
            let request = self.follow(kind, body.clone());
            let Some(told) = self.asker.ask(request).await? else { break };
            if told.status != 201 || told.json()["status"] != "failed" {
                break;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, kind: Kind, body: Value) -> Result<(), Error> {
        let request = self.follow(kind, body);
        self.asker.ask(request).await.map(drop)
    }

    /// Asks for two things at once.
    async fn race(&mut self, one: (Kind, Value), other: (Kind, Value)) -> Result<(), Error> {
        let [one, other] = [one, other].map(|(kind, body)| self.follow(kind, body));
        let mut rival = self.asker.fork();
        let (one, other) = tokio::join!(self.asker.ask(one), rival.ask(other));
        one.and(other).map(drop)
    }

    fn follow(&self, kind: Kind, body: Value) -> Request {
        let what = match kind {
            Kind::Authorize | Kind::Capture => "capture",
            Kind::Void => "void",
            Kind::Refund => "refunds",
        };
        self.request(kind, format!("/v1/payments/{}/{what}", self.payment), body)
    }

    fn request(&self, kind: Kind, path: String, body: Value) -> Request {
        Request { order: self.order.id.clone(), kind, path, body }
    }
}
