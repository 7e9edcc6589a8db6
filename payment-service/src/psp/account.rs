use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use money::{Currency, Money};
use secrecy::SecretString;

use super::{Idempotency, PspReference, stripe};

/// A payment service provider that we have a connector for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Psp {
    /// Stripe's `PaymentIntents`.
    Stripe,
}

/// A text that names no PSP of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a PSP: stripe")]
pub struct UnknownPsp;

impl Psp {
    /// The name in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
        }
    }

    /// The header, in lower case, that a webhook's signature comes in.
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Stripe => stripe::SIGNATURE_HEADER,
        }
    }

    /// How long the PSP surely remembers an idempotency key after its first use, with a margin.
    pub const fn key_window(self) -> Duration {
        match self {
            Self::Stripe => stripe::KEY_WINDOW,
        }
    }

    /// Whether it names a page where a buyer chooses how to pay, rather than what was paid there.
    pub fn is_page(self, reference: &PspReference) -> bool {
        match self {
            Self::Stripe => stripe::is_page(reference),
        }
    }

    /// Whether the PSP can charge exactly this amount. To be asked before a payment is claimed.
    ///
    /// # Errors
    /// When the amount has no exact form on the PSP's wire, or is beyond its bounds.
    pub fn validate_amount(self, amount: Money) -> Result<(), AmountRefused> {
        match self {
            Self::Stripe => stripe::validate_amount(amount),
        }
    }

    /// Whether the PSP can pay out exactly this amount. To be asked before a payout is claimed.
    ///
    /// # Errors
    /// When the amount has no exact form on the PSP's wire, or is beyond its bounds.
    pub fn validate_payout(self, amount: Money) -> Result<(), AmountRefused> {
        match self {
            Self::Stripe => stripe::validate_payout(amount),
        }
    }

    /// The most of `amount` that the PSP can pay out exactly.
    pub fn payable(self, amount: Money) -> Money {
        match self {
            Self::Stripe => stripe::payable(amount),
        }
    }

    /// What the PSP means by `amount` of its own units of `currency`; none where that is no amount of ours.
    pub fn read_amount(self, amount: i64, currency: &str) -> Option<Money> {
        match self {
            Self::Stripe => stripe::read_amount(amount, currency),
        }
    }
}

impl fmt::Display for Psp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Psp {
    type Err = UnknownPsp;

    fn from_str(name: &str) -> Result<Self, UnknownPsp> {
        match name {
            "stripe" => Ok(Self::Stripe),
            _ => Err(UnknownPsp),
        }
    }
}

/// An amount that a PSP cannot charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountRefused {
    /// Nothing or less.
    #[error("amount must be positive")]
    NotPositive,
    /// More digits than the PSP takes.
    #[error("amount must have at most {digits} digits in {currency}")]
    TooLarge {
        /// How many it takes.
        digits: u32,
        /// Of which currency.
        currency: Currency,
    },
    /// The PSP's unit for this currency is coarser than ISO 4217's.
    #[error("amount must be divisible by {unit} in {currency}")]
    TooFine {
        /// The least amount, in ISO minor units, that others are multiples of.
        unit: i64,
        /// Of which currency.
        currency: Currency,
    },
    /// We do not know for sure what the PSP's unit for this currency is.
    #[error("{0} is not supported by this PSP account")]
    Currency(Currency),
}

/// A merchant's account at a PSP, with its secrets. `Debug` shows none of them.
#[derive(Debug, Clone)]
pub struct Account {
    /// Where the account is.
    pub psp: Psp,
    /// The API's address without a path, such as `https://api.stripe.com`.
    pub base_url: String,
    /// The key that requests are made with.
    pub api_secret: SecretString,
    /// The secrets that webhooks may be signed with: several while one replaces another.
    pub webhook_secrets: Vec<SecretString>,
    /// What it does about a request that comes twice.
    pub idempotency: Idempotency,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_shows_no_secret() {
        let account = Account {
            psp: Psp::Stripe,
            base_url: "http://127.0.0.1:1".to_owned(),
            api_secret: "sk_test_hidden".into(),
            webhook_secrets: vec!["whsec_hidden".into()],
            idempotency: Idempotency::Native,
        };
        let shown = format!("{account:?}");
        assert!(!shown.contains("hidden"), "{shown}");
        assert!(shown.contains("127.0.0.1"), "{shown}");
    }

    #[test]
    fn a_psp_is_known_by_its_name() {
        assert_eq!("stripe".parse(), Ok(Psp::Stripe));
        assert_eq!("Stripe".parse::<Psp>(), Err(UnknownPsp));
        assert_eq!(Psp::Stripe.to_string(), "stripe");
    }
}
