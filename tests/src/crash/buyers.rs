//! Buyers with a browser, on the PSP's pages.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use reqwest::{Client, StatusCode, header};

use crate::{Error, http};

/// All buyers.
#[derive(Debug)]
pub struct Buyers {
    browser: Client,
    bought: Mutex<BTreeMap<String, i64>>,
}

impl Buyers {
    /// Those who have bought nothing yet.
    ///
    /// # Errors
    /// When there is no browser.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { browser: http::client()?, bought: Mutex::default() })
    }

    /// Pays so much for an order on this page. Answers whether the page took it: it does not where the card is declined, or
    /// where it is closed by then.
    ///
    /// # Errors
    /// When the page says something else.
    pub async fn pay(&self, order: &str, amount: i64, page: &str, card: &str) -> Result<bool, Error> {
        let response = self.browser.post(page).form(&[("payment_method", card)]).send().await?;
        let to = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        match (response.status(), to) {
            (StatusCode::SEE_OTHER, Some(to)) if to == page => Ok(false),
            (StatusCode::SEE_OTHER, Some(_)) => {
                let mut bought = self.bought.lock().unwrap_or_else(PoisonError::into_inner);
                *bought.entry(order.to_owned()).or_default() += amount;
                Ok(true)
            }
            (StatusCode::GONE, _) => Ok(false),
            (status, _) => Err(Error::Unexpected(format!("the page of {order} says {status}"))),
        }
    }

    /// How much was paid on pages, by the order.
    pub fn bought(&self) -> BTreeMap<String, i64> {
        self.bought.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
