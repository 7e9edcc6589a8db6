//! The life of a payout as a pure table.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a payout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    /// Its money is held of the seller, and it is not known yet whether the PSP sends it.
    Processing,
    /// The PSP sends it.
    InTransit,
    /// The seller's bank has it.
    Paid,
    /// It did not arrive: the seller has the money again.
    Failed,
    /// The bank had it and sent it back: the seller has the money again.
    Returned,
}

/// What can happen to a payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayoutEvent {
    /// The PSP has taken it of our balance.
    Sent,
    /// It is there.
    Arrived,
    /// It is not, and will not be.
    Failed,
}

/// An event that cannot happen to a payout in this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a payout that is {from:?}")]
pub struct IllegalTransition {
    from: PayoutStatus,
    event: PayoutEvent,
}

impl PayoutEvent {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Sent, Self::Arrived, Self::Failed];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Arrived => "arrived",
            Self::Failed => "failed",
        }
    }
}

impl PayoutStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Processing, Self::InTransit, Self::Paid, Self::Failed, Self::Returned];

    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::InTransit => "in_transit",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Returned => "returned",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Where `event` leads from here.
    ///
    /// # Errors
    /// When it cannot happen here.
    pub const fn apply(self, event: PayoutEvent) -> Result<Self, IllegalTransition> {
        use PayoutEvent as E;
        match (self, event) {
            (Self::Processing, E::Sent) => Ok(Self::InTransit),
            (Self::Processing | Self::InTransit, E::Arrived) => Ok(Self::Paid),
            (Self::Processing | Self::InTransit, E::Failed) => Ok(Self::Failed),
            (Self::Paid, E::Failed) => Ok(Self::Returned),
            (Self::InTransit, E::Sent)
            | (Self::Paid, E::Sent | E::Arrived)
            | (Self::Failed | Self::Returned, E::Sent | E::Arrived | E::Failed) => {
                Err(IllegalTransition { from: self, event })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_back_is_over_and_what_is_there_can_only_come_back() {
        for event in PayoutEvent::ALL {
            assert!(PayoutStatus::Failed.apply(event).is_err(), "{event:?}");
            assert!(PayoutStatus::Returned.apply(event).is_err(), "{event:?}");
            let reached = PayoutStatus::Paid.apply(event).ok();
            let expected = (event == PayoutEvent::Failed).then_some(PayoutStatus::Returned);
            assert_eq!(reached, expected, "{event:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in PayoutStatus::ALL {
            assert_eq!(PayoutStatus::parse(status.as_str()), Some(status));
        }
    }
}
