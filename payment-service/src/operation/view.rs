use std::fmt;
use std::str::FromStr;

use money::{Currency, OperationId, PaymentId, PayoutId};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::{OperationKind, OperationStatus};
use crate::payment::{Failure, SplitView};

/// An operation as its merchant sees it. Amounts are in minor units.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OperationView {
    /// Its id.
    pub operation_id: OperationId,
    /// The payment that it is part of; none of a payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// The payout that it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_id: Option<PayoutId>,
    /// What it is meant to do.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// Where it stands.
    pub status: Standing,
    /// How much it charges, takes, lets go, gives back or sends.
    pub amount: i64,
    /// ISO 4217 code of its amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Of a capture: whether what is left after it is let go.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub last: Option<bool>,
    /// Of a capture or refund: whose money it is, and what of each part is the platform's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitView>,
    /// Why it failed, or was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When it was accepted.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

/// Where an operation stands, as its merchant sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is being worked on, or its outcome is not known yet.
    Processing,
    /// The buyer has to act.
    RequiresAction,
    /// It is done.
    Succeeded,
    /// It provably is not done and will not be.
    Failed,
    /// The buyer did not act in time.
    Expired,
    /// It was done, and the PSP took it back.
    Reversed,
    /// Nobody can tell: a person is looking into it.
    NeedsReview,
}

impl From<OperationStatus> for Standing {
    fn from(status: OperationStatus) -> Self {
        match status {
            OperationStatus::Created | OperationStatus::Sending | OperationStatus::Unknown => {
                Self::Processing
            }
            OperationStatus::RequiresAction => Self::RequiresAction,
            OperationStatus::Succeeded => Self::Succeeded,
            OperationStatus::Declined => Self::Failed,
            OperationStatus::Expired => Self::Expired,
            OperationStatus::Reversed => Self::Reversed,
            OperationStatus::NeedsReview => Self::NeedsReview,
        }
    }
}

/// Which operations of a payment to list.
#[derive(Debug, Clone, Copy)]
pub struct OperationFilter {
    /// Only those of this kind.
    pub kind: Option<OperationKind>,
    /// Only those after this one.
    pub after: Option<OperationCursor>,
    /// At most so many.
    pub limit: u16,
}

/// An operation's place among those of its payment, by when it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationCursor {
    /// When it was accepted, to the microsecond.
    pub created_at: OffsetDateTime,
    /// Which of that moment's it is.
    pub operation_id: OperationId,
}

/// A text that is no operation's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the place of an operation")]
pub struct InvalidCursor;

impl OperationCursor {
    /// The place of this one.
    pub const fn of(operation: &OperationView) -> Self {
        Self { created_at: operation.created_at, operation_id: operation.operation_id }
    }
}

impl fmt::Display for OperationCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.created_at.unix_timestamp_nanos() / 1000, self.operation_id)
    }
}

impl FromStr for OperationCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (micros, id) = text.split_once('_').ok_or(InvalidCursor)?;
        let nanos = micros.parse::<i128>().ok().and_then(|micros| micros.checked_mul(1000));
        let created_at = nanos.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
        Ok(Self {
            created_at: created_at.ok_or(InvalidCursor)?,
            operation_id: id.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let place = OperationCursor {
            created_at: OffsetDateTime::from_unix_timestamp_nanos(1_767_225_600_123_456_000).unwrap(),
            operation_id: OperationId::from_uuid(uuid::Uuid::from_u128(7)),
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in
            ["", "1", "_", "1_", "x_00000000-0000-0000-0000-000000000007", "999999999999999999999999_1"]
        {
            assert_eq!(text.parse::<OperationCursor>(), Err(InvalidCursor), "{text}");
        }
    }
}
