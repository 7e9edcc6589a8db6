//! The banks: the buyers' ask back what was paid, and decide who keeps it; the sellers' take what is paid out, or do not. They
//! talk to the PSP alone, from which the service hears of it.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::sync::Mutex;

use crate::Error;
use crate::psp::Control;

/// What a bank decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// The merchant keeps the money.
    Won,
    /// The buyer does.
    Lost,
    /// It had only asked, and that was all.
    Closed,
}

impl Decision {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Won, Self::Lost, Self::Closed];

    /// As our API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    const fn at_the_psp(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Closed => "warning_closed",
        }
    }
}

/// What a seller's bank does with a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    /// It takes it.
    Paid,
    /// It does not.
    Failed,
    /// It takes it, and sends it back.
    Returned,
}

impl Arrival {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Paid, Self::Failed, Self::Returned];

    /// As our API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }

    /// Whether our API may call it so in the end. What came back may be heard of before that it had arrived.
    pub fn ends_as(self, status: &str) -> bool {
        status == self.as_str() || self == Self::Returned && status == Self::Failed.as_str()
    }

    /// What the PSP says one after the other.
    const fn at_the_psp(self) -> &'static [&'static str] {
        match self {
            Self::Paid => &["paid"],
            Self::Failed => &["failed"],
            Self::Returned => &["paid", "failed"],
        }
    }
}

/// All banks.
#[derive(Debug)]
pub struct Bank {
    control: Control,
    /// What is known of the PSP's log.
    seen: Mutex<Seen>,
    decided: Mutex<BTreeMap<String, Decision>>,
    arrived: Mutex<BTreeMap<String, Arrival>>,
}

#[derive(Debug, Default)]
struct Seen {
    effects: usize,
    /// The PSP's name of what took an order's money last.
    intents: BTreeMap<String, String>,
}

impl Bank {
    /// Those whose customers pay through this PSP.
    pub fn new(control: Control) -> Self {
        Self { control, seen: Mutex::default(), decided: Mutex::default(), arrived: Mutex::default() }
    }

    /// Asks back so much of what was paid for an order; or only asks about it. Answers the PSP's name of the dispute.
    ///
    /// # Errors
    /// When the PSP refuses.
    pub async fn dispute(&self, order: &str, amount: i64, only_asks: bool) -> Result<String, Error> {
        let request =
            json!({"payment_intent": self.intent(order).await?, "amount": amount, "inquiry": only_asks});
        let made = self.control.post("disputes", &request).await?;
        Ok(made["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Decides, once and for all.
    ///
    /// # Errors
    /// When the PSP refuses.
    pub async fn decide(&self, dispute: &str, decision: Decision) -> Result<(), Error> {
        let path = format!("disputes/{dispute}/decide");
        self.control.post(&path, &json!({"status": decision.at_the_psp()})).await?;
        self.decided.lock().await.insert(dispute.to_owned(), decision);
        Ok(())
    }

    /// What was decided, by the PSP's names of the disputes.
    pub async fn decided(&self) -> BTreeMap<String, Decision> {
        self.decided.lock().await.clone()
    }

    /// Does that with a payout, of this name at the PSP.
    ///
    /// # Errors
    /// When the PSP refuses.
    pub async fn receive(&self, payout: &str, arrival: Arrival) -> Result<(), Error> {
        let path = format!("payouts/{payout}/advance");
        for status in arrival.at_the_psp() {
            self.control.post(&path, &json!({"status": status})).await?;
        }
        self.arrived.lock().await.insert(payout.to_owned(), arrival);
        Ok(())
    }

    /// What became of payouts, by the PSP's names of them.
    pub async fn arrived(&self) -> BTreeMap<String, Arrival> {
        self.arrived.lock().await.clone()
    }

    async fn intent(&self, order: &str) -> Result<String, Error> {
        let mut seen = self.seen.lock().await;
        let effects = self.control.effects_after(seen.effects).await?;
        seen.effects += effects.len();
        for effect in effects {
            let order = effect.order_id().to_owned();
            if let ("charge" | "capture", Some(intent)) = (&*effect.kind, effect.payment_intent) {
                seen.intents.insert(order, intent);
            }
        }
        let unknown = || Error::Unexpected(format!("the PSP took no money for {order}"));
        seen.intents.get(order).cloned().ok_or_else(unknown)
    }
}
