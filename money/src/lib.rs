//! Money, currencies and the typed ids of the whole workspace. No IO, no clock, no randomness.
//!
//! Amounts are whole minor units in an `i64` beside an ISO 4217 currency. Nothing here, and nothing that handles
//! money anywhere, is a float.

mod amount;
mod currency;
mod division;
mod id;
mod name;

pub use amount::{AmountError, Money};
pub use currency::{Currency, UnknownCurrency};
pub use division::{Part, divide};
pub use id::{
    AccountId, ApiKeyId, AttemptId, BankAccountId, BankEntryId, BankMatchId, BankStatementId, BookingId,
    BreakId, ClaimId, DisputeId, EventId, FileId, MerchantId, OperationId, ParseIdError, PaymentId, PayoutId,
    PspAccountId, TransactionId,
};
pub use name::{InvalidName, OrderId, SellerId};
