use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID such as 0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11")]
pub struct ParseIdError;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh, time-ordered id (UUIDv7).
            #[allow(clippy::new_without_default, reason = "a default id would be a trap")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id with these bits.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Its bits, for a statement's parameter.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError)
            }
        }
    )+};
}

id! {
    /// A tenant. Every row belongs to one.
    MerchantId;
    /// A merchant's API key.
    ApiKeyId;
    /// A merchant's account at a payment service provider.
    PspAccountId;
    /// What a buyer owes for an order.
    PaymentId;
    /// One intended side effect at one PSP; also its idempotency key and reference there. The same intent gets the same.
    OperationId;
    /// What a buyer's bank asks back.
    DisputeId;
    /// What is sent to a seller's bank.
    PayoutId;
    /// One request for something, told from a repeat of it.
    ClaimId;
    /// One HTTP exchange about an operation.
    AttemptId;
    /// An event of a payment or payout; consumers dedupe on it.
    EventId;
    /// A ledger account. Derived, see [`AccountId::derive`].
    AccountId;
    /// A ledger transaction.
    TransactionId;
    /// A settlement file. Derived, see [`FileId::derive`].
    FileId;
    /// What one chunk of a settlement file moved. Derived, see [`BookingId::derive`].
    BookingId;
    /// A difference between a PSP's account of things and ours. Derived, see [`BreakId::derive`].
    BreakId;
    /// An account of ours at a bank. Derived, see [`BankAccountId::derive`].
    BankAccountId;
    /// What a bank says of an account and some days. Derived, see [`BankStatementId::derive`].
    BankStatementId;
    /// A movement of a bank account. Derived, see [`BankEntryId::derive`].
    BankEntryId;
    /// A movement of a bank account tied to a payout.
    BankMatchId;
}

impl OperationId {
    /// The id that the same intent always gets: a claim that was lost in a failover or a restore and is made again
    /// asks the PSP for the same charge, not for a second one. `parts` are the merchant's order, the payment's ordinal
    /// for it, the kind of operation and, for later operations, the client's idempotency key; of a payout, which has no
    /// order, the last two.
    pub fn derive(merchant: MerchantId, parts: &[&str]) -> Self {
        Self(derived(b"operation", merchant, parts))
    }
}

impl AccountId {
    /// The id of the account with this code and currency.
    pub fn derive(merchant: MerchantId, code: &str, currency: crate::Currency) -> Self {
        Self(derived(b"ledger account", merchant, &[code, currency.code()]))
    }
}

impl FileId {
    /// The id of the document with this SHA-256: the same content is the same file.
    pub fn derive(merchant: MerchantId, sha256: &[u8; 32]) -> Self {
        Self(derived_from(b"settlement file", merchant, [sha256.as_slice()].into_iter()))
    }
}

impl BookingId {
    /// The id of the booking of these lines: done again, it is the same. `parts` name the file, its chunk, the payout,
    /// the currency, and for lines that had waited the first of them.
    pub fn derive(merchant: MerchantId, parts: &[&str]) -> Self {
        Self(derived(b"settlement booking", merchant, parts))
    }
}

impl BreakId {
    /// The id of the break of this kind about this subject in this currency: found again, it is the same.
    pub fn derive(merchant: MerchantId, kind: &str, subject: &str, currency: crate::Currency) -> Self {
        Self(derived(b"break", merchant, &[kind, subject, currency.code()]))
    }
}

impl BankAccountId {
    /// The id of the account with this number and currency.
    pub fn derive(merchant: MerchantId, number: &str, currency: crate::Currency) -> Self {
        Self(derived(b"bank account", merchant, &[number, currency.code()]))
    }
}

impl BankStatementId {
    /// The id of an account's statement that ends on a day, told from others of that day by its number.
    pub fn derive(merchant: MerchantId, account: BankAccountId, ends_on: &str, number: &str) -> Self {
        Self(derived(b"bank statement", merchant, &[&account.to_string(), ends_on, number]))
    }
}

impl BankEntryId {
    /// The id of a statement's entry, by its place there from 1.
    pub fn derive(merchant: MerchantId, statement: BankStatementId, entry_no: i32) -> Self {
        Self(derived(b"bank entry", merchant, &[&statement.to_string(), &entry_no.to_string()]))
    }
}

fn derived(domain: &[u8], merchant: MerchantId, parts: &[&str]) -> Uuid {
    derived_from(domain, merchant, parts.iter().map(|part| part.as_bytes()))
}

/// SHA-256 over length-prefixed parts, truncated to the 122 free bits of a UUIDv8 (RFC 9562).
fn derived_from<'a>(domain: &[u8], merchant: MerchantId, parts: impl Iterator<Item = &'a [u8]>) -> Uuid {
    let mut hash = Sha256::new();
    let mut take = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    take(domain);
    take(merchant.0.as_bytes());
    parts.for_each(take);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_intent_gets_the_same_id_and_another_gets_another() {
        let merchant = MerchantId::new();
        let id = OperationId::derive(merchant, &["o-1", "1", "authorize"]);
        assert_eq!(id, OperationId::derive(merchant, &["o-1", "1", "authorize"]));
        for other in [["o-1", "2", "authorize"], ["o-11", "", "authorize"], ["o-1", "1", "capture"]] {
            assert_ne!(id, OperationId::derive(merchant, &other));
        }
        assert_ne!(id, OperationId::derive(MerchantId::new(), &["o-1", "1", "authorize"]));
    }

    #[test]
    fn the_derivation_never_changes() {
        let merchant = MerchantId::from_uuid(Uuid::from_u128(7));
        assert_eq!(
            OperationId::derive(merchant, &["o-1", "1", "authorize"]).to_string(),
            "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae"
        );
    }
}
