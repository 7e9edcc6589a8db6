//! The life of a dispute, and where its money is, as pure tables.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a dispute stands, in the order in which it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisputeStatus {
    /// Not heard of yet. Never stored.
    #[serde(skip)]
    New,
    /// The buyer's bank asks, and has left the money where it is.
    Inquiry,
    /// The inquiry ended without a chargeback.
    Closed,
    /// The bank has asked the money back: answer it in the PSP's dashboard before the evidence is due.
    EvidenceDue,
    /// It was answered, and the bank decides.
    UnderReview,
    /// The money is the merchant's.
    Won,
    /// The money is the buyer's.
    Lost,
}

/// What a PSP says of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DisputeEvent {
    /// The bank asks.
    Inquired,
    /// The bank wants evidence.
    EvidenceWanted,
    /// The bank is deciding.
    Submitted,
    /// The merchant keeps the money.
    Won,
    /// The buyer does.
    Lost,
    /// The inquiry is over.
    Closed,
}

/// An event that cannot happen to a dispute in this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a dispute that is {from:?}")]
pub struct IllegalTransition {
    from: DisputeStatus,
    event: DisputeEvent,
}

impl DisputeEvent {
    /// Every event.
    pub const ALL: [Self; 6] =
        [Self::Inquired, Self::EvidenceWanted, Self::Submitted, Self::Won, Self::Lost, Self::Closed];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inquired => "inquired",
            Self::EvidenceWanted => "evidence_wanted",
            Self::Submitted => "submitted",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }
}

impl DisputeStatus {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::New, Self::Inquiry, Self::EvidenceDue, Self::UnderReview, Self::Won, Self::Lost, Self::Closed];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Inquiry => "inquiry",
            Self::EvidenceDue => "evidence_due",
            Self::UnderReview => "under_review",
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Closed => "closed",
        }
    }

    /// The status with this word, of those that are stored.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status != Self::New && status.as_str() == word)
    }

    /// Where `event` leads from here. Banks think again: an inquiry that was closed may become a chargeback, and what was
    /// decided may be decided the other way.
    ///
    /// # Errors
    /// When it cannot happen here.
    pub const fn apply(self, event: DisputeEvent) -> Result<Self, IllegalTransition> {
        use DisputeEvent as E;
        match (self, event) {
            (Self::New | Self::Inquiry, E::Inquired) => Ok(Self::Inquiry),
            (
                Self::New | Self::Inquiry | Self::Closed | Self::EvidenceDue | Self::UnderReview,
                E::EvidenceWanted,
            ) => Ok(Self::EvidenceDue),
            (
                Self::New | Self::Inquiry | Self::Closed | Self::EvidenceDue | Self::UnderReview,
                E::Submitted,
            ) => Ok(Self::UnderReview),
            (
                Self::New
                | Self::Inquiry
                | Self::Closed
                | Self::EvidenceDue
                | Self::UnderReview
                | Self::Won
                | Self::Lost,
                E::Won,
            ) => Ok(Self::Won),
            (
                Self::New
                | Self::Inquiry
                | Self::Closed
                | Self::EvidenceDue
                | Self::UnderReview
                | Self::Won
                | Self::Lost,
                E::Lost,
            ) => Ok(Self::Lost),
            (Self::New | Self::Inquiry | Self::Closed, E::Closed) => Ok(Self::Closed),
            (Self::EvidenceDue | Self::UnderReview | Self::Won | Self::Lost, E::Inquired | E::Closed)
            | (Self::Won | Self::Lost, E::EvidenceWanted | E::Submitted)
            | (Self::Closed, E::Inquired) => Err(IllegalTransition { from: self, event }),
        }
    }
}

/// Where the money of a dispute is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Funds {
    /// Where it was.
    Left,
    /// With the bank, until it decides; the sellers' parts are held.
    Taken,
    /// With the buyer.
    Lost,
    /// It came back.
    Returned,
}

/// What moves the money of a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FundsEvent {
    /// The bank took it.
    Taken,
    /// The bank gave it back.
    Returned,
    /// The dispute is lost.
    Lost,
}

impl FundsEvent {
    /// Every event.
    pub const ALL: [Self; 3] = [Self::Taken, Self::Returned, Self::Lost];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Returned => "returned",
            Self::Lost => "lost",
        }
    }
}

impl Funds {
    /// Every place.
    pub const ALL: [Self; 4] = [Self::Left, Self::Taken, Self::Lost, Self::Returned];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Taken => "taken",
            Self::Lost => "lost",
            Self::Returned => "returned",
        }
    }

    /// The place with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|funds| funds.as_str() == word)
    }

    /// Where `event` leads from here; each step has its own books. None where it is there, or was.
    pub const fn apply(self, event: FundsEvent) -> Option<Self> {
        match (self, event) {
            (Self::Left, FundsEvent::Taken) => Some(Self::Taken),
            (Self::Taken | Self::Lost, FundsEvent::Returned) => Some(Self::Returned),
            (Self::Taken, FundsEvent::Lost) => Some(Self::Lost),
            (Self::Left | Self::Returned, FundsEvent::Returned | FundsEvent::Lost)
            | (Self::Taken | Self::Lost | Self::Returned, FundsEvent::Taken)
            | (Self::Lost, FundsEvent::Lost) => None,
        }
    }

    /// The next step from here of those that the PSP says were taken.
    pub fn next(self, is_taken: bool, is_returned: bool, is_lost: bool) -> Option<Self> {
        let said =
            [(is_taken, FundsEvent::Taken), (is_returned, FundsEvent::Returned), (is_lost, FundsEvent::Lost)];
        said.into_iter().filter(|(is_said, _)| *is_said).find_map(|(_, event)| self.apply(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chargeback_never_becomes_an_inquiry_again() {
        for status in
            [DisputeStatus::EvidenceDue, DisputeStatus::UnderReview, DisputeStatus::Won, DisputeStatus::Lost]
        {
            assert!(status.apply(DisputeEvent::Inquired).is_err(), "{status:?}");
            assert!(status.apply(DisputeEvent::Closed).is_err(), "{status:?}");
        }
    }

    #[test]
    fn what_is_decided_is_only_decided_again() {
        for status in [DisputeStatus::Won, DisputeStatus::Lost] {
            for event in DisputeEvent::ALL {
                let is_decision = matches!(event, DisputeEvent::Won | DisputeEvent::Lost);
                assert_eq!(status.apply(event).is_ok(), is_decision, "{status:?} {event:?}");
            }
        }
    }

    #[test]
    fn money_goes_one_way_and_each_step_is_taken_once() {
        for (from, taken, returned, lost, next) in [
            (Funds::Left, false, false, true, None),
            (Funds::Left, true, true, true, Some(Funds::Taken)),
            (Funds::Taken, true, false, false, None),
            (Funds::Taken, true, false, true, Some(Funds::Lost)),
            (Funds::Taken, true, true, true, Some(Funds::Returned)),
            (Funds::Lost, true, false, true, None),
            (Funds::Lost, true, true, false, Some(Funds::Returned)),
            (Funds::Returned, true, true, true, None),
        ] {
            assert_eq!(from.next(taken, returned, lost), next, "{from:?}");
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in DisputeStatus::ALL {
            let stored = Some(status).filter(|status| *status != DisputeStatus::New);
            assert_eq!(DisputeStatus::parse(status.as_str()), stored);
        }
        for funds in Funds::ALL {
            assert_eq!(Funds::parse(funds.as_str()), Some(funds));
        }
    }
}
