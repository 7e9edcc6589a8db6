//! Merchants, their API keys and PSP accounts: the control plane.
//!
//! It is written by the command line and read by every request, so requests read it from memory: see [`Directory`].

pub mod api_key;
mod cache;
mod directory;
mod entity;
mod error;
pub mod psp_account;
mod repo;
mod scope;
mod seal;

use money::MerchantId;
use sqlx::PgPool;

pub use api_key::{ApiKey, Issued, NewApiKey};
pub use directory::{AuthError, Caller, Directory};
pub use entity::{Merchant, Mode, UnknownMode};
pub use error::MerchantError;
pub use psp_account::{NewPspAccount, PspAccount, PspAccountSummary};
pub use scope::{Scope, Scopes, UnknownScope};
pub use seal::{KeyRing, Place, SealError};

/// Makes a merchant.
///
/// # Errors
/// [`MerchantError::Invalid`] for a name that is empty or longer than 200 characters.
pub async fn create(pool: &PgPool, mode: Mode, name: &str) -> Result<Merchant, MerchantError> {
    check_length("name", name, 200)?;
    let merchant_id = MerchantId::new();
    let created_at = repo::insert_merchant(pool, merchant_id, mode, name).await?;
    Ok(Merchant { merchant_id, mode, name: name.to_owned(), created_at })
}

/// Sets up to what amount, in major units of whatever currency, one person may close a review alone.
///
/// # Errors
/// [`MerchantError::MerchantNotFound`].
pub async fn set_review_limit(pool: &PgPool, merchant: MerchantId, major: i64) -> Result<(), MerchantError> {
    match repo::set_review_limit(pool, merchant, major).await? {
        true => Ok(()),
        false => Err(MerchantError::MerchantNotFound(merchant)),
    }
}

/// Every merchant, oldest first.
///
/// # Errors
/// When the database cannot be asked.
pub async fn list(pool: &PgPool) -> Result<Vec<Merchant>, MerchantError> {
    repo::list_merchants(pool).await
}

fn check_length(field: &'static str, text: &str, longest: usize) -> Result<(), MerchantError> {
    let printable = !text.chars().any(char::is_control);
    match (1..=longest).contains(&text.chars().count()) && printable {
        true => Ok(()),
        false => Err(MerchantError::Invalid {
            field,
            expected: format!("1 to {longest} characters without line ends"),
        }),
    }
}
