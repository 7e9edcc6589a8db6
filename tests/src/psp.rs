//! The PSP sandbox as a process, and its control API.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::Error;
use crate::installation::Shop;
use crate::process::{Launch, Running};

/// How to start a sandbox.
#[derive(Debug, Clone)]
pub struct SandboxSetup {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it keeps what survives it.
    pub state: PathBuf,
    /// Where it complains.
    pub log: PathBuf,
    /// What its random decisions are drawn from.
    pub seed: u64,
}

impl SandboxSetup {
    /// Starts it. Blocks the thread.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(&self) -> Result<Running, Error> {
        Launch::new("psp-sandbox", &self.log)
            .args(["--listen", &self.listen.to_string(), "--seed", &self.seed.to_string(), "--log", "warn"])
            .args(["--state-dir"])
            .args([&self.state])
            .start()
    }
}

/// What a PSP does wrong: how often in a thousand calls, which call if only one, and what.
pub type Fault = (u32, Option<&'static str>, &'static str);

/// The rules for some faults: each strikes once for certain, since by its rate alone a rare one could miss a short run, and
/// from then on at its rate. At most one strikes a call, and a rule is asked only where none before it struck: its rate is
/// of those calls.
#[expect(clippy::float_arithmetic, reason = "rates of faults, which are not money")]
pub fn rules(faults: &[Fault]) -> Vec<Value> {
    let mut left = 1.0;
    let (mut once, mut often) = (Vec::new(), Vec::new());
    for (per_thousand, operation, fault) in faults {
        let rate = f64::from(*per_thousand) / 1000.0;
        let fault: Value = serde_json::from_str(fault).unwrap_or_default();
        let matches = operation.map_or(json!({}), |operation| json!({"operation": operation}));
        once.push(json!({"fault": fault, "match": matches, "times": 1}));
        often.push(json!({"fault": fault, "match": matches, "rate": rate / left}));
        left -= rate;
    }
    once.into_iter().chain(often).collect()
}

/// The control API of a sandbox.
#[derive(Debug, Clone)]
pub struct Control {
    http: Client,
    base: String,
}

impl Control {
    /// The one under this address.
    pub fn new(http: Client, url: &str) -> Self {
        Self { http, base: format!("{}/_sandbox", url.trim_end_matches('/')) }
    }

    /// Calls it.
    ///
    /// # Errors
    /// When it cannot be reached or refuses.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let mut request = self.http.request(method, format!("{}/{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if status != StatusCode::OK {
            return Err(Error::Unexpected(format!("the sandbox answered {path} with {status}: {text}")));
        }
        serde_json::from_str(&text)
            .map_err(|error| Error::Unexpected(format!("the sandbox answered {path} with {text:?}: {error}")))
    }

    /// Reads.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None).await
    }

    /// Asks for something.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Changes how it behaves.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn configure(&self, change: &Value) -> Result<(), Error> {
        self.call(Method::PATCH, "config", Some(change)).await.map(drop)
    }

    /// Scripts a fault.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn fault(&self, rule: &Value) -> Result<(), Error> {
        self.post("faults", rule).await.map(drop)
    }

    /// Lifts all faults.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn heal(&self) -> Result<(), Error> {
        self.call(Method::DELETE, "faults", None).await.map(drop)
    }

    /// Sends the shop's webhooks to the service.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn send_webhooks_to(&self, service: &str, shop: &Shop) -> Result<(), Error> {
        let url = format!("{service}/v1/webhooks/{}", shop.psp_account_id);
        let endpoint = json!({"url": url, "secrets": [shop.webhook_secret]});
        self.post("webhook_endpoints", &endpoint).await.map(drop)
    }

    /// Its own log of what happened to money, in order.
    ///
    /// # Errors
    /// As of [`Self::call`], and for an effect that is none.
    pub async fn effects(&self) -> Result<Vec<Effect>, Error> {
        self.effects_after(0).await
    }

    /// The same without so many of the first ones.
    ///
    /// # Errors
    /// As of [`Self::effects`].
    pub async fn effects_after(&self, known: usize) -> Result<Vec<Effect>, Error> {
        let mut effects: Vec<Effect> = Vec::new();
        loop {
            let page = self.get(&format!("effects?after={}&limit=10000", known + effects.len())).await?;
            let more: Vec<Effect> = serde_json::from_value(page["data"].clone())
                .map_err(|error| Error::Unexpected(format!("an effect: {error}")))?;
            effects.extend(more);
            if page["has_more"] != json!(true) {
                return Ok(effects);
            }
        }
    }

    /// Returns once it has no webhook left to deliver.
    ///
    /// # Errors
    /// When that takes longer than the sandbox waits.
    pub async fn webhooks_delivered(&self) -> Result<(), Error> {
        self.get("wait?webhooks=idle").await.map(drop)
    }

    /// Pays everything out and returns the settlement report of each payout: its id and the CSV.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn pay_out(&self) -> Result<Vec<(String, String)>, Error> {
        self.pay_out_but(0).await
    }

    /// The same of all but so many minor units of each currency, which it keeps.
    ///
    /// # Errors
    /// As of [`Self::call`].
    pub async fn pay_out_but(&self, kept: i64) -> Result<Vec<(String, String)>, Error> {
        let payouts = self.post("payouts", &json!({"keep": kept})).await?;
        let mut reports = Vec::new();
        for payout in payouts["data"].as_array().into_iter().flatten() {
            let id = payout["id"].as_str().unwrap_or_default().to_owned();
            let url = format!("{}/payouts/{id}/settlement.csv", self.base);
            let csv = self.http.get(url).send().await?.error_for_status()?.text().await?;
            reports.push((id, csv));
        }
        Ok(reports)
    }
}

/// What really happened to money at the PSP, as far as it matters here.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Effect {
    /// What happened: `charge`, `refund`, …
    pub kind: String,
    /// Minor units.
    pub amount: i64,
    /// A code in small letters.
    pub currency: String,
    /// The PSP's name of the payment.
    #[serde(default)]
    pub payment_intent: Option<String>,
    /// The PSP's name of the refund.
    #[serde(default)]
    pub refund: Option<String>,
    /// The PSP's name of the dispute.
    #[serde(default)]
    pub dispute: Option<String>,
    /// The PSP's name of the payout.
    #[serde(default)]
    pub payout: Option<String>,
    /// What the caller noted on it.
    pub metadata: BTreeMap<String, String>,
    /// What the caller noted on the refund.
    #[serde(default)]
    pub refund_metadata: Option<BTreeMap<String, String>>,
    /// The key that it was asked for with.
    #[serde(default)]
    pub idempotency_key: Option<String>,
}

impl Effect {
    /// Whether a buyer was charged.
    pub fn is_charge(&self) -> bool {
        self.kind == "charge"
    }

    /// What it took of a buyer, in minor units: less than nothing where it gave back.
    pub fn taken(&self) -> i64 {
        match self.kind.as_str() {
            "charge" | "capture" | "refund_failure" | "dispute_reversal" => self.amount,
            "refund" | "dispute" => -self.amount,
            _ => 0,
        }
    }

    /// The order that it was for.
    pub fn order_id(&self) -> &str {
        self.metadata.get("order_id").map_or("", String::as_str)
    }
}
