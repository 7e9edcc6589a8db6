//! The life of a payment as a pure table.

use serde::{Deserialize, Serialize};

/// Where a payment stands. Refunds and disputes are amounts beside it, never a status that hides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Its outcome is not known yet.
    Processing,
    /// The buyer has to do something at the PSP.
    RequiresAction,
    /// Reserved at the issuer, not captured.
    Authorized,
    /// Captured in part, with more to come.
    PartiallyCaptured,
    /// Captured.
    Captured,
    /// Released before it was captured.
    Voided,
    /// Provably not charged.
    Failed,
    /// The authorisation ran out.
    Expired,
}

/// What can happen to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentEvent {
    /// The PSP has charged it, or all of it that will be.
    Captured,
    /// The PSP has charged a part of it, and more is to come.
    CapturedInPart,
    /// The PSP has reserved it.
    Authorized,
    /// The buyer has to act.
    ActionRequired,
    /// The buyer has acted, and the PSP or a bank decides.
    Acted,
    /// The PSP provably has not charged it and will not.
    Failed,
    /// The buyer did not act in time, or what was held was not captured in time, and the PSP has closed it.
    Expired,
    /// It was let go before anything was charged.
    Voided,
}

impl PaymentEvent {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::Captured,
        Self::CapturedInPart,
        Self::Authorized,
        Self::ActionRequired,
        Self::Acted,
        Self::Failed,
        Self::Expired,
        Self::Voided,
    ];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::CapturedInPart => "captured_in_part",
            Self::Authorized => "authorized",
            Self::ActionRequired => "action_required",
            Self::Acted => "acted",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Voided => "voided",
        }
    }
}

/// An event that cannot happen to a payment in this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payment that is {from:?} cannot become {event:?}")]
pub struct IllegalTransition {
    from: PaymentStatus,
    event: PaymentEvent,
}

impl PaymentStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Processing,
        Self::RequiresAction,
        Self::Authorized,
        Self::PartiallyCaptured,
        Self::Captured,
        Self::Voided,
        Self::Failed,
        Self::Expired,
    ];

    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::PartiallyCaptured => "partially_captured",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether its order is taken: another payment for it is refused.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Processing
            | Self::RequiresAction
            | Self::Authorized
            | Self::PartiallyCaptured
            | Self::Captured => true,
            Self::Voided | Self::Failed | Self::Expired => false,
        }
    }

    /// Where `event` leads from here.
    ///
    /// # Errors
    /// When it cannot happen here.
    pub const fn apply(self, event: PaymentEvent) -> Result<Self, IllegalTransition> {
        use PaymentEvent as E;
        match (self, event) {
            (
                Self::Processing | Self::RequiresAction | Self::Authorized | Self::PartiallyCaptured,
                E::Captured,
            ) => Ok(Self::Captured),
            (Self::Authorized | Self::PartiallyCaptured, E::CapturedInPart) => Ok(Self::PartiallyCaptured),
            (Self::Processing | Self::RequiresAction, E::Authorized) => Ok(Self::Authorized),
            (Self::Processing | Self::RequiresAction, E::ActionRequired) => Ok(Self::RequiresAction),
            (Self::RequiresAction, E::Acted) => Ok(Self::Processing),
            (Self::Processing | Self::RequiresAction, E::Failed) => Ok(Self::Failed),
            (Self::RequiresAction | Self::Authorized, E::Expired) => Ok(Self::Expired),
            // processing: its buyer acted while it was voided
            (Self::Processing | Self::RequiresAction | Self::Authorized, E::Voided) => Ok(Self::Voided),
            (Self::Processing, E::Acted | E::CapturedInPart | E::Expired)
            | (Self::RequiresAction, E::CapturedInPart)
            | (Self::Authorized, E::Authorized | E::ActionRequired | E::Acted | E::Failed)
            | (
                Self::PartiallyCaptured,
                E::Authorized | E::ActionRequired | E::Acted | E::Failed | E::Expired | E::Voided,
            )
            | (
                Self::Captured | Self::Voided | Self::Failed | Self::Expired,
                E::Captured
                | E::CapturedInPart
                | E::Authorized
                | E::ActionRequired
                | E::Acted
                | E::Failed
                | E::Expired
                | E::Voided,
            ) => Err(IllegalTransition { from: self, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_an_end() {
        use PaymentStatus::{Captured, Expired, Failed, Voided};
        for status in [Captured, Voided, Failed, Expired] {
            for event in PaymentEvent::ALL {
                assert!(status.apply(event).is_err(), "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn what_was_charged_in_part_ends_as_captured_and_never_as_if_nothing_had_been() {
        for event in PaymentEvent::ALL {
            let reached = PaymentStatus::PartiallyCaptured.apply(event).ok();
            let keeps = [None, Some(PaymentStatus::PartiallyCaptured), Some(PaymentStatus::Captured)];
            assert!(keeps.contains(&reached), "{event:?}");
        }
    }

    #[test]
    fn an_order_is_free_again_when_nothing_was_charged() {
        let freed: Vec<_> = PaymentStatus::ALL.into_iter().filter(|status| !status.is_live()).collect();
        assert_eq!(freed, [PaymentStatus::Voided, PaymentStatus::Failed, PaymentStatus::Expired]);
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in PaymentStatus::ALL {
            assert_eq!(PaymentStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(PaymentStatus::parse("refunded"), None);
    }
}
