//! Why something about a merchant was refused.

use std::sync::Arc;

use money::{ApiKeyId, MerchantId, PspAccountId};

use super::entity::Mode;
use super::seal::SealError;

/// Why something about a merchant, its API keys or its PSP accounts was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum MerchantError {
    /// No such tenant.
    #[error("there is no merchant {0}")]
    MerchantNotFound(MerchantId),
    /// No such API key of this merchant.
    #[error("merchant {merchant_id} has no API key {api_key_id}")]
    ApiKeyNotFound {
        /// Whose key was looked for.
        merchant_id: MerchantId,
        /// The key.
        api_key_id: ApiKeyId,
    },
    /// No such PSP account of this merchant.
    #[error("merchant {merchant_id} has no PSP account {psp_account_id}")]
    PspAccountNotFound {
        /// Whose account was looked for.
        merchant_id: MerchantId,
        /// The account.
        psp_account_id: PspAccountId,
    },
    /// A text or number that is out of bounds.
    #[error("{field}: expected {expected}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What it may be.
        expected: String,
    },
    /// A third key of one name.
    #[error(
        "two API keys named {name:?} are live already ({} and {}): a name has two at most, for the time of a rotation; \
         revoke one first, or choose another name",
        .live[0], .live[1]
    )]
    TwoKeysLive {
        /// The name.
        name: String,
        /// The two.
        live: [ApiKeyId; 2],
    },
    /// Another PSP account of the merchant has the name.
    #[error("the merchant has a PSP account named {0:?} already")]
    PspAccountNameTaken(String),
    /// A live PSP account would hang on a test merchant, or the other way round.
    #[error("api secret: this is a {of} secret of the PSP, and the merchant is in {merchant} mode")]
    SecretOfOtherMode {
        /// What the secret is for.
        of: Mode,
        /// What the merchant is for.
        merchant: Mode,
    },
    /// Nothing to remove.
    #[error("the PSP account has no webhook secret with the fingerprint {0}")]
    WebhookSecretNotFound(String),
    /// Several accounts, and nobody said which.
    #[error("the merchant has {} enabled PSP accounts: name one of {}", .0.len(), listed(.0))]
    PspAccountAmbiguous(Vec<PspAccountId>),
    /// Nothing to pay with.
    #[error("the merchant has no enabled PSP account")]
    NoPspAccount,
    /// There, and switched off.
    #[error("PSP account {0} is disabled")]
    PspAccountDisabled(PspAccountId),
    /// A secret cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A row holds what no version of this program writes.
    #[error("unreadable row: {0}")]
    Unreadable(String),
    /// The database refused or could not be reached.
    #[error("database")]
    Database(#[from] sqlx::Error),
    /// Too many look for what nobody knows.
    #[error("too many look-ups of what is not known here")]
    Busy,
    /// A look-up failed, for all who waited for it.
    #[error("a look-up that others waited for too")]
    SharedLookup(#[source] Arc<MerchantError>),
}

fn listed(accounts: &[PspAccountId]) -> String {
    accounts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
