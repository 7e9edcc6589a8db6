//! What becomes of a payment, as far as its shop wants it.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::bank::{Arrival, Decision};
use super::client::{Asker, Kind, Request};
use crate::Error;
use crate::orders::{CARDS, DECLINING, Day, Order, Part};
use crate::shop::Told;

/// How often a shop asks for the same with a new key, where the service had no time to send it.
const TRIES: u32 = 20;
/// A card whose buyer has to act, and does not.
const AUTHENTICATES: &str = "pm_card_threeDSecure2Required";
/// Where buyers come back to.
const SHOP: &str = "http://127.0.0.1:1/paid";
/// What each seller has in each currency before anything goes wrong.
const FUNDS: i64 = 100_000;
const CURRENCIES: [&str; 2] = ["EUR", "USD"];

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
    PaidOnPage,
    HeldOnPage,
    PageRacesVoid,
    PaidOut,
    PayoutsRace,
    Held,
    AskedBack,
    AskedBackWhileRefunded,
    AskedAbout,
}

/// Each of so many payments goes another way; those that are common more than once.
const STORIES: [Story; 30] = [
    Story::Paid,
    Story::Declined,
    Story::RefundedWhole,
    Story::RefundsRace,
    Story::Captured,
    Story::CapturedInPart,
    Story::AskedBack,
    Story::Voided,
    Story::CaptureRacesVoid,
    Story::PaidOnPage,
    Story::PaidOut,
    Story::AskedBackWhileRefunded,
    Story::RefundedInParts,
    Story::RefundRacesCapture,
    Story::Paid,
    Story::CapturedInParts,
    Story::PayoutsRace,
    Story::PageRacesVoid,
    Story::RefundRacesVoid,
    Story::LeftByItsBuyer,
    Story::AskedAbout,
    Story::RefundsRace,
    Story::AskedBackWhileRefunded,
    Story::Paid,
    Story::HeldOnPage,
    Story::RefundedInParts,
    Story::CaptureRacesVoid,
    Story::PageRacesVoid,
    Story::Held,
    Story::RefundedWhole,
];

/// A payment of somebody who asks.
struct Life<'a> {
    asker: &'a mut Asker,
    order: Order,
    rng: SmallRng,
    payment: String,
    /// Where the buyer pays.
    page: String,
}

/// Lives the life of the payment of this number, all of which is drawn from the seed.
///
/// # Errors
/// When the journal cannot be written.
pub async fn live(asker: &mut Asker, seed: u64, number: usize) -> Result<(), Error> {
    let mut rng = SmallRng::seed_from_u64(seed ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let order = Order::draw(&mut rng, number);
    let story = STORIES[number % STORIES.len()];
    Life { asker, order, rng, payment: String::new(), page: String::new() }.tell(story).await
}

/// Sells something for each seller, so that there is something to pay out once it is settled.
///
/// # Errors
/// When the journal cannot be written, or it is not paid.
pub async fn fund(asker: &mut Asker) -> Result<(), Error> {
    for currency in CURRENCIES {
        let part = |seller| Part { seller, amount: FUNDS, platform_fee: 0 };
        let parts: Vec<Part> = Day::sellers().map(part).collect();
        let amount = parts.iter().map(|part| part.amount).sum();
        let id = format!("funds-{currency}");
        let order = Order { id: id.clone(), amount, currency, parts, cards: vec![CARDS[0]] };
        let body = order.request(CARDS[0]);
        let request = Request { order: id, kind: Kind::Authorize, path: "/v1/payments".to_owned(), body };
        let told = asker.ask(request).await?;
        if told.as_ref().is_none_or(|told| told.json()["status"] != "captured") {
            return Err(Error::Unexpected(format!("nothing to pay out: {told:?}")));
        }
    }
    Ok(())
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
            | AskedAbout
            | PaidOut
            | PayoutsRace => (CARDS.choose(&mut self.rng).copied(), "automatic"),
            PaidOnPage => (None, "automatic"),
            HeldOnPage => (None, "manual"),
            PageRacesVoid if self.rng.random_bool(0.5) => (None, "automatic"),
            PageRacesVoid => (None, "manual"),
            _ => (CARDS.choose(&mut self.rng).copied(), "manual"),
        };
        let mut status = self.pay(card, capture).await?;
        // half of those who are declined have another card
        if story == Declined && self.rng.random_bool(0.5) {
            status = self.pay(Some(CARDS[0]), capture).await?;
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
            PaidOnPage => {
                self.pay_on_page("captured", amount).await?;
                self.ask(Kind::Refund, json!({"amount": part})).await?;
            }
            HeldOnPage => {
                self.pay_on_page("authorized", 0).await?;
                self.insist(Kind::Capture, json!({"amount": most})).await?;
            }
            PageRacesVoid => self.page_races_void(if capture == "manual" { 0 } else { amount }).await?,
            PaidOut => self.paid_out().await?,
            PayoutsRace => self.payouts_race().await?,
            AskedBack => self.asked_back(amount - part).await?,
            AskedBackWhileRefunded => self.asked_back_while_refunded(part).await?,
            AskedAbout => {
                let dispute = self.asker.market().bank.dispute(&self.order.id, amount, true).await?;
                self.ask(Kind::Refund, json!({"amount": part})).await?;
                self.asker.market().bank.decide(&dispute, Decision::Closed).await?;
            }
        }
        Ok(())
    }

    /// What the bank has cannot be given back as well, as soon as the service has heard of it; once it is back, it can.
    async fn asked_back(&mut self, amount: i64) -> Result<(), Error> {
        let dispute = self.asker.market().bank.dispute(&self.order.id, amount, false).await?;
        let payment = format!("/v1/payments/{}", self.payment);
        self.asker.read_until(&payment, |payment| payment["disputed_amount"] == amount).await;
        self.ask(Kind::Refund, json!({"amount": self.order.amount})).await?;
        let decision = self.decision();
        self.asker.market().bank.decide(&dispute, decision).await?;
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
        let bank = &self.asker.market().bank;
        let (told, dispute) = tokio::join!(shop.ask(refund), bank.dispute(&self.order.id, part, false));
        told?;
        let dispute = dispute?;
        let (told, decided) = tokio::join!(shop.ask(last), bank.decide(&dispute, decision));
        told.map(drop).and(decided)
    }

    /// The buyer pays on the page, some with their second card, and the shop waits until it knows. `taken` is what the page
    /// takes of the buyer, and does not only hold.
    async fn pay_on_page(&mut self, becomes: &str, taken: i64) -> Result<(), Error> {
        let first = if self.rng.random_bool(0.5) { DECLINING[0] } else { CARDS[0] };
        for card in [first, CARDS[0]] {
            let buyers = &self.asker.market().buyers;
            if buyers.pay(&self.order.id, taken, &self.page, card).await? {
                let payment = format!("/v1/payments/{}", self.payment);
                self.asker.read_until(&payment, |payment| payment["status"] == becomes).await;
                break;
            }
        }
        Ok(())
    }

    /// The shop has had enough of waiting while the buyer pays.
    async fn page_races_void(&mut self, taken: i64) -> Result<(), Error> {
        let mut shop = self.asker.fork();
        let void = self.follow(Kind::Void, json!({}));
        let buyers = &self.asker.market().buyers;
        let paying = buyers.pay(&self.order.id, taken, &self.page, CARDS[0]);
        let (told, paid) = tokio::join!(shop.ask(void), paying);
        told?;
        // what was only held is let go
        if paid? && taken == 0 {
            self.insist(Kind::Void, json!({})).await?;
        }
        Ok(())
    }

    /// One payout for each of what a bank can do with it.
    async fn paid_out(&mut self) -> Result<(), Error> {
        for arrival in Arrival::ALL {
            let amount = self.rng.random_range(100..1000);
            let request = self.payout(amount);
            let told = self.asker.ask(request).await?;
            self.received(told.as_ref(), arrival).await?;
        }
        Ok(())
    }

    /// Two payouts of more than half of what a seller has.
    async fn payouts_race(&mut self) -> Result<(), Error> {
        let (seller, currency) = (self.order.parts[0].seller.clone(), self.order.currency);
        let of_currency = |wallet: &Value| {
            let balances = wallet["balances"].as_array().cloned().unwrap_or_default();
            balances.into_iter().find(|balance| balance["currency"] == currency)
        };
        let path = format!("/v1/wallets/{seller}");
        let wallet = self.asker.read_until(&path, |wallet| of_currency(wallet).is_some()).await;
        let available = wallet.and_then(|wallet| of_currency(&wallet)?["available"].as_i64());
        let amount = (available.unwrap_or_default() * 3 / 5).max(100);
        let [one, other] = [(); 2].map(|()| self.payout(amount));
        let mut rival = self.asker.fork();
        let (one, other) = tokio::join!(self.asker.ask(one), rival.ask(other));
        for told in [one?, other?] {
            let arrival = Arrival::ALL.choose(&mut self.rng).copied().unwrap_or(Arrival::Paid);
            self.received(told.as_ref(), arrival).await?;
        }
        Ok(())
    }

    fn payout(&self, amount: i64) -> Request {
        let seller = &self.order.parts[0].seller;
        let body = json!({
            "seller": seller, "amount": amount, "currency": self.order.currency, "destination": format!("ba_{seller}"),
        });
        self.request(Kind::Payout, "/v1/payouts".to_owned(), body)
    }

    /// The seller's bank does that with a payout, if it was sent.
    async fn received(&self, told: Option<&Told>, arrival: Arrival) -> Result<(), Error> {
        let told = told.map(Told::json).unwrap_or_default();
        match told["psp_reference"].as_str() {
            Some(name) if told["status"] != "failed" => self.asker.market().bank.receive(name, arrival).await,
            _ => Ok(()),
        }
    }

    fn decision(&mut self) -> Decision {
        if self.rng.random_bool(0.5) { Decision::Won } else { Decision::Lost }
    }

    /// Asks for the payment, without a card for the PSP's page, and answers where it stands.
    async fn pay(&mut self, card: Option<&str>, capture: &str) -> Result<String, Error> {
        let mut body = self.order.request(card.unwrap_or_default());
        body["capture"] = json!(capture);
        if card.is_none() {
            body["payment_method"] = Value::Null;
            body["return_url"] = json!(SHOP);
        }
        for _ in 0..TRIES {
            let request = self.request(Kind::Authorize, "/v1/payments".to_owned(), body.clone());
            let Some(told) = self.asker.ask(request).await? else { break };
            let told = told.json();
            if told["failure"]["code"] == "deadline_passed" {
                continue;
            }
            self.payment = told["payment_id"].as_str().unwrap_or_default().to_owned();
            self.page = told["next_action"]["redirect_url"].as_str().unwrap_or_default().to_owned();
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
            Kind::Refund | Kind::Payout => "refunds",
        };
        self.request(kind, format!("/v1/payments/{}/{what}", self.payment), body)
    }

    fn request(&self, kind: Kind, path: String, body: Value) -> Request {
        Request { order: self.order.id.clone(), kind, path, body }
    }
}
