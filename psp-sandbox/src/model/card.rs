//! The test payment methods, and how a card declines.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One way a payment fails, in the words of the wire format.
#[derive(Debug, PartialEq, Eq)]
pub struct DeclineReason {
    /// `error.type`
    pub kind: &'static str,
    /// `error.code`
    pub code: &'static str,
    /// `error.decline_code`, when it was the issuer who said no.
    pub decline_code: Option<&'static str>,
    /// For people.
    pub message: &'static str,
    /// What the network advises.
    pub advice_code: Option<&'static str>,
}

const fn declined(decline_code: &'static str, advice: &'static str) -> DeclineReason {
    DeclineReason {
        kind: "card_error",
        code: "card_declined",
        decline_code: Some(decline_code),
        message: "Your card was declined.",
        advice_code: Some(advice),
    }
}

const fn coded(
    code: &'static str,
    message: &'static str,
    advice_code: Option<&'static str>,
) -> DeclineReason {
    DeclineReason { kind: "card_error", code, decline_code: Some(code), message, advice_code }
}

static DECLINES: [DeclineReason; 10] = [
    declined("generic_decline", "try_again_later"),
    DeclineReason {
        message: "Your card has insufficient funds.",
        ..declined("insufficient_funds", "try_again_later")
    },
    declined("lost_card", "do_not_try_again"),
    declined("stolen_card", "do_not_try_again"),
    declined("fraudulent", "do_not_try_again"),
    DeclineReason {
        message: "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
        ..declined("card_velocity_exceeded", "try_again_later")
    },
    coded("expired_card", "Your card has expired.", Some("do_not_try_again")),
    coded("incorrect_cvc", "Your card's security code is incorrect.", Some("confirm_card_data")),
    coded(
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        Some("try_again_later"),
    ),
    coded(
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
        None,
    ),
];

static AUTHENTICATION_FAILED: DeclineReason = DeclineReason {
    kind: "invalid_request_error",
    code: "payment_intent_authentication_failure",
    decline_code: None,
    message: "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
    advice_code: None,
};

/// A reference to one [`DeclineReason`], stored by its most telling code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decline(&'static DeclineReason);

impl Decline {
    /// The decline with that decline code.
    pub fn by_code(code: &str) -> Option<Self> {
        DECLINES.iter().find(|decline| decline.decline_code == Some(code)).map(Self)
    }

    /// The buyer failed, or gave up, proving who they are.
    pub const fn authentication_failed() -> Self {
        Self(&AUTHENTICATION_FAILED)
    }

    /// The payment needs a buyer who is not there.
    pub fn authentication_required() -> Self {
        Self(&DECLINES[9])
    }

    fn name(self) -> &'static str {
        self.0.decline_code.unwrap_or(self.0.code)
    }
}

impl std::ops::Deref for Decline {
    type Target = DeclineReason;

    fn deref(&self) -> &DeclineReason {
        self.0
    }
}

impl From<Decline> for String {
    fn from(decline: Decline) -> Self {
        decline.name().to_owned()
    }
}

impl TryFrom<String> for Decline {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == AUTHENTICATION_FAILED.code {
            return Ok(Self::authentication_failed());
        }
        Self::by_code(&text).ok_or_else(|| format!("no decline is called {text:?}"))
    }
}

/// What happens when a card is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It pays.
    Pays,
    /// The issuer refuses, for the reason with this decline code.
    Declines(&'static str),
    /// It pays after the buyer authenticated.
    Authenticates,
    /// The buyer authenticates and then the issuer refuses.
    AuthenticatesThenDeclines(&'static str),
    /// The buyer's bank takes days to say whether it pays.
    Takes,
}

/// One of the PSP's test payment methods.
#[derive(Debug, PartialEq, Eq)]
pub struct TestCard {
    /// The token a caller names it by.
    pub token: &'static str,
    /// `visa`, `mastercard`, …; of a bank account, [`BANK_ACCOUNT`].
    pub brand: &'static str,
    /// Last digits of its number; the number itself exists nowhere.
    pub last4: &'static str,
    /// `credit`, `debit` or `prepaid`.
    pub funding: &'static str,
    /// How it behaves.
    pub temper: Temper,
}

const fn card(
    token: &'static str,
    brand: &'static str,
    last4: &'static str,
    funding: &'static str,
    temper: Temper,
) -> TestCard {
    TestCard { token, brand, last4, funding, temper }
}

/// The type of a payment method that is no card, and its brand here.
pub const BANK_ACCOUNT: &str = "us_bank_account";

const fn visa(token: &'static str, last4: &'static str, temper: Temper) -> TestCard {
    card(token, "visa", last4, "credit", temper)
}

use Temper::{Authenticates, AuthenticatesThenDeclines, Declines, Pays, Takes};

static CARDS: [TestCard; 28] = [
    visa("pm_card_visa", "4242", Pays),
    card("pm_card_visa_debit", "visa", "5556", "debit", Pays),
    card("pm_card_mastercard", "mastercard", "4444", "credit", Pays),
    card("pm_card_mastercard_debit", "mastercard", "8210", "debit", Pays),
    card("pm_card_mastercard_prepaid", "mastercard", "5100", "prepaid", Pays),
    card("pm_card_amex", "amex", "8431", "credit", Pays),
    card("pm_card_discover", "discover", "1117", "credit", Pays),
    card("pm_card_diners", "diners", "0004", "credit", Pays),
    card("pm_card_jcb", "jcb", "0505", "credit", Pays),
    card("pm_card_unionpay", "unionpay", "0005", "credit", Pays),
    visa("pm_card_threeDSecureOptional", "3055", Pays),
    visa("pm_card_visa_chargeDeclined", "0002", Declines("generic_decline")),
    visa("pm_card_chargeDeclined", "0002", Declines("generic_decline")),
    visa("pm_card_visa_chargeDeclinedInsufficientFunds", "9995", Declines("insufficient_funds")),
    visa("pm_card_visa_chargeDeclinedLostCard", "9987", Declines("lost_card")),
    visa("pm_card_visa_chargeDeclinedStolenCard", "9979", Declines("stolen_card")),
    visa("pm_card_visa_chargeDeclinedVelocityLimitExceeded", "6975", Declines("card_velocity_exceeded")),
    visa("pm_card_chargeDeclinedFraudulent", "0019", Declines("fraudulent")),
    visa("pm_card_chargeDeclinedExpiredCard", "0069", Declines("expired_card")),
    visa("pm_card_chargeDeclinedIncorrectCvc", "0127", Declines("incorrect_cvc")),
    visa("pm_card_chargeDeclinedProcessingError", "0119", Declines("processing_error")),
    visa("pm_card_chargeCustomerFail", "0341", Declines("generic_decline")),
    visa("pm_card_authenticationRequired", "3184", Authenticates),
    visa("pm_card_threeDSecure2Required", "3220", Authenticates),
    visa("pm_card_threeDSecureRequired", "3063", Authenticates),
    visa("pm_card_threeDSecureRequiredChargeDeclined", "8308", AuthenticatesThenDeclines("generic_decline")),
    visa(
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        "9995",
        AuthenticatesThenDeclines("insufficient_funds"),
    ),
    card("pm_usBankAccount_success", BANK_ACCOUNT, "6789", "debit", Takes),
];

/// A reference to one [`TestCard`], stored by its token.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Card(&'static TestCard);

impl Card {
    /// The card a token names.
    pub fn by_token(token: &str) -> Option<Self> {
        CARDS.iter().find(|card| card.token == token).map(Self)
    }

    /// Its type on the wire.
    pub fn kind(self) -> &'static str {
        if self.0.brand == BANK_ACCOUNT { BANK_ACCOUNT } else { "card" }
    }
}

impl std::ops::Deref for Card {
    type Target = TestCard;

    fn deref(&self) -> &TestCard {
        self.0
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.token)
    }
}

impl From<Card> for String {
    fn from(card: Card) -> Self {
        card.token.to_owned()
    }
}

impl TryFrom<String> for Card {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::by_token(&text).ok_or_else(|| format!("no test card is called {text:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declining_card_names_a_known_reason() {
        let mut declining = 0;
        for card in &CARDS {
            if let Declines(code) | AuthenticatesThenDeclines(code) = card.temper {
                declining += 1;
                assert!(Decline::by_code(code).is_some(), "{}", card.token);
            }
        }
        assert_eq!(declining, 13);
        assert_eq!(Decline::authentication_required().code, "authentication_required");
    }
}
