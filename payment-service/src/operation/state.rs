//! The life of an operation as a pure table, and what an outcome means for it.

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationStatus {
    /// Intended, not claimed by a sender yet.
    Created,
    /// Somebody may be sending it, until the lease ends.
    Sending,
    /// The buyer has to act at the PSP.
    RequiresAction,
    /// It may or may not have happened. Never "failed".
    Unknown,
    /// It happened.
    Succeeded,
    /// It provably did not happen and will not.
    Declined,
    /// The buyer did not act in time.
    Expired,
    /// Past the last resort: a person has to find out.
    NeedsReview,
    /// It happened and the PSP took it back.
    Reversed,
}

/// What can happen to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OperationEvent {
    /// A sender takes it.
    Sent,
    /// Positive evidence that it happened.
    Succeeded,
    /// Positive evidence that it did not and will not.
    Declined,
    /// The buyer has to act.
    ActionRequired,
    /// The buyer has acted, and the PSP or a bank decides.
    Acted,
    /// No evidence either way.
    Doubt,
    /// The buyer did not act in time.
    Expired,
    /// Every way to find out is used up.
    GivenUp,
    /// The PSP took it back.
    Reversed,
}

impl OperationEvent {
    /// Every event.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Succeeded,
        Self::Declined,
        Self::ActionRequired,
        Self::Acted,
        Self::Doubt,
        Self::Expired,
        Self::GivenUp,
        Self::Reversed,
    ];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Succeeded => "succeeded",
            Self::Declined => "declined",
            Self::ActionRequired => "action_required",
            Self::Acted => "acted",
            Self::Doubt => "doubt",
            Self::Expired => "expired",
            Self::GivenUp => "given_up",
            Self::Reversed => "reversed",
        }
    }
}

/// An event that cannot happen to an operation in this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to an operation that is {from:?}")]
pub struct IllegalTransition {
    from: OperationStatus,
    event: OperationEvent,
}

impl OperationStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Sending,
        Self::RequiresAction,
        Self::Unknown,
        Self::Succeeded,
        Self::Declined,
        Self::Expired,
        Self::NeedsReview,
        Self::Reversed,
    ];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Sending => "sending",
            Self::RequiresAction => "requires_action",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::NeedsReview => "needs_review",
            Self::Reversed => "reversed",
        }
    }

    /// The status with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether a worker has to look at it until it ends.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Created | Self::Sending | Self::RequiresAction | Self::Unknown => true,
            Self::Succeeded | Self::Declined | Self::Expired | Self::NeedsReview | Self::Reversed => false,
        }
    }

    /// Where `event` leads from here.
    ///
    /// # Errors
    /// When it cannot happen here.
    pub const fn apply(self, event: OperationEvent) -> Result<Self, IllegalTransition> {
        use OperationEvent as E;
        match (self, event) {
            (Self::Created, E::Sent) => Ok(Self::Sending),
            (Self::Sending | Self::RequiresAction | Self::Unknown | Self::NeedsReview, E::Succeeded) => {
                Ok(Self::Succeeded)
            }
            (Self::Sending | Self::RequiresAction | Self::Unknown | Self::NeedsReview, E::Declined) => {
                Ok(Self::Declined)
            }
            (Self::Sending | Self::RequiresAction | Self::Unknown, E::ActionRequired) => {
                Ok(Self::RequiresAction)
            }
            (Self::Sending | Self::Unknown, E::Doubt) => Ok(Self::Unknown),
            (Self::RequiresAction, E::Acted) => Ok(Self::Unknown),
            (Self::RequiresAction, E::Doubt) => Ok(Self::RequiresAction),
            // unknown, needs review: voided after the buyer acted
            (Self::RequiresAction | Self::Unknown | Self::NeedsReview, E::Expired) => Ok(Self::Expired),
            (Self::Unknown | Self::RequiresAction, E::GivenUp) => Ok(Self::NeedsReview),
            (Self::Succeeded, E::Reversed) => Ok(Self::Reversed),
            (
                Self::Created,
                E::Succeeded
                | E::Declined
                | E::ActionRequired
                | E::Acted
                | E::Doubt
                | E::Expired
                | E::GivenUp
                | E::Reversed,
            )
            | (Self::Sending | Self::Unknown, E::Sent | E::Acted | E::Reversed)
            | (Self::Sending, E::GivenUp | E::Expired)
            | (Self::RequiresAction, E::Sent | E::Reversed)
            | (
                Self::NeedsReview,
                E::Sent | E::ActionRequired | E::Acted | E::Doubt | E::GivenUp | E::Reversed,
            )
            | (
                Self::Succeeded,
                E::Sent
                | E::Succeeded
                | E::Declined
                | E::ActionRequired
                | E::Acted
                | E::Doubt
                | E::Expired
                | E::GivenUp,
            )
            | (
                Self::Declined | Self::Expired | Self::Reversed,
                E::Sent
                | E::Succeeded
                | E::Declined
                | E::ActionRequired
                | E::Acted
                | E::Doubt
                | E::Expired
                | E::GivenUp
                | E::Reversed,
            ) => Err(IllegalTransition { from: self, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_decline_and_only_a_reversal_follows_a_success() {
        for event in OperationEvent::ALL {
            assert!(OperationStatus::Declined.apply(event).is_err(), "{event:?}");
            assert_eq!(
                OperationStatus::Succeeded.apply(event).is_ok(),
                event == OperationEvent::Reversed,
                "{event:?}"
            );
        }
    }

    #[test]
    fn doubt_never_ends_an_operation() {
        for status in OperationStatus::ALL {
            if let Ok(next) = status.apply(OperationEvent::Doubt) {
                assert!(next.is_open(), "{status:?}");
            }
        }
    }

    #[test]
    fn evidence_ends_whatever_may_have_been_sent() {
        for status in [
            OperationStatus::Sending,
            OperationStatus::RequiresAction,
            OperationStatus::Unknown,
            OperationStatus::NeedsReview,
        ] {
            assert_eq!(status.apply(OperationEvent::Succeeded), Ok(OperationStatus::Succeeded));
            assert_eq!(status.apply(OperationEvent::Declined), Ok(OperationStatus::Declined));
        }
        assert!(OperationStatus::Created.apply(OperationEvent::Succeeded).is_err());
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in OperationStatus::ALL {
            assert_eq!(OperationStatus::parse(status.as_str()), Some(status));
        }
    }
}
