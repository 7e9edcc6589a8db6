//! A merchant's side of the API, over HTTP.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::installation::Shop;

/// What a request to pay was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The body, as it came.
    pub body: String,
    /// Whether it was marked as the answer to an earlier request.
    pub replayed: bool,
    /// How long it asked to wait.
    pub retry_after: Option<Duration>,
}

impl Told {
    /// The body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The code of a problem document.
    pub fn problem(&self) -> Option<String> {
        self.json()["code"].as_str().map(str::to_owned)
    }

    /// The payment, where that is the answer.
    pub fn payment(&self) -> Option<Payment> {
        serde_json::from_str(&self.body).ok()
    }
}

/// A payment as the API shows it, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Payment {
    /// Its id.
    pub payment_id: String,
    /// The merchant's order.
    pub order_id: String,
    /// Where it stands.
    pub status: String,
    /// Minor units.
    pub amount: i64,
    /// Of the amounts.
    pub currency: String,
    /// What was charged.
    pub captured_amount: i64,
}

/// A seller's money in one currency, in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Balance {
    /// The currency.
    pub currency: String,
    /// Captured.
    pub pending: i64,
    /// Settled.
    pub available: i64,
    /// Reserved.
    pub held: i64,
    /// Owed.
    pub debt: i64,
}

/// An account of the ledger and its balance, in minor units: debits less credits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its code.
    pub code: String,
    /// Its currency.
    pub currency: String,
    /// The balance.
    pub balance: i64,
}

/// The trial balance of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TrialBalance {
    /// The currency.
    pub currency: String,
    /// The sum of the debit balances.
    pub debits: i64,
    /// The sum of the credit balances.
    pub credits: i64,
    /// Debits less credits.
    pub difference: i64,
    /// The balances by account, those of the sellers together.
    pub accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Wallet {
    balances: Vec<Balance>,
}

#[derive(Deserialize)]
struct TrialBalances {
    currencies: Vec<TrialBalance>,
}

/// A client of the API with a merchant's key.
#[derive(Debug, Clone)]
pub struct ShopClient {
    http: Client,
    base: String,
    api_key: String,
}

impl ShopClient {
    /// One for the service under this address.
    pub fn new(http: Client, url: &str, shop: &Shop) -> Self {
        Self { http, base: url.trim_end_matches('/').to_owned(), api_key: shop.api_key.clone() }
    }

    /// Asks for a payment, once. Dropping the future hangs up.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn pay(&self, key: &str, request: &Value) -> Result<Told, reqwest::Error> {
        self.post("/v1/payments", key, request).await
    }

    /// Asks for a capture, a void or a refund (`refunds`) of a payment, likewise.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn follow(
        &self,
        payment: &str,
        what: &str,
        key: &str,
        request: &Value,
    ) -> Result<Told, reqwest::Error> {
        self.post(&format!("/v1/payments/{payment}/{what}"), key, request).await
    }

    /// Asks for something with a key, once.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, key: &str, request: &Value) -> Result<Told, reqwest::Error> {
        let url = format!("{}{path}", self.base);
        let response =
            self.signed(self.http.post(url)).header("idempotency-key", key).json(request).send().await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header(RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
        let replayed = header("idempotent-replayed") == Some("true");
        let status = response.status().as_u16();
        let retry_after = retry_after.map(Duration::from_secs);
        Ok(Told { status, body: response.text().await?, replayed, retry_after })
    }

    /// Reads something.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.signed(self.http.get(format!("{}{path}", self.base))).send().await
    }

    /// Reads something that must be there.
    ///
    /// # Errors
    /// When it is not, or is not what it should be.
    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let response = self.get(path).await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            return Err(Error::Unexpected(format!("{path} was answered with {status}: {text}")));
        }
        serde_json::from_str(&text)
            .map_err(|error| Error::Unexpected(format!("{path} was answered with {text:?}: {error}")))
    }

    /// All payments, page by page.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn payments(&self) -> Result<Vec<Payment>, Error> {
        self.pages("/v1/payments?limit=200").await
    }

    /// An order's payments.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn payments_of(&self, order_id: &str) -> Result<Vec<Payment>, Error> {
        self.pages(&format!("/v1/payments?limit=200&order_id={order_id}")).await
    }

    /// All accounts of the ledger, page by page.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        self.pages("/v1/ledger/accounts?limit=200").await
    }

    /// All of a list, page by page.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, Error> {
        let mut found = Vec::new();
        let mut next = path.to_owned();
        loop {
            let page: Page<T> = self.read(&next).await?;
            found.extend(page.data);
            match page.next_cursor {
                None => return Ok(found),
                Some(cursor) => next = format!("{path}&cursor={}", encoded(&cursor)),
            }
        }
    }

    /// A seller's wallet; empty when the seller never had money.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn wallet(&self, seller: &str) -> Result<Vec<Balance>, Error> {
        let path = format!("/v1/wallets/{seller}");
        if self.get(&path).await?.status().as_u16() == 404 {
            return Ok(Vec::new());
        }
        Ok(self.read::<Wallet>(&path).await?.balances)
    }

    /// The trial balance of each currency.
    ///
    /// # Errors
    /// As of [`Self::read`].
    pub async fn trial_balance(&self) -> Result<Vec<TrialBalance>, Error> {
        Ok(self.read::<TrialBalances>("/v1/ledger/trial-balance").await?.currencies)
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.api_key)
    }
}

/// A cursor is opaque.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
