//! The accounts that statements are taken of: those a merchant has named, and no others.

use money::{BankAccountId, Currency, MerchantId};
use sqlx::PgPool;

use super::{Error, repo};
use crate::bank_statement::Account;

/// How long after a PSP's word a payout may take to be on a bank's statement, unless told otherwise.
pub const DELAY_DAYS: u16 = 3;

/// An account of ours at a bank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankAccount {
    /// Its id.
    pub bank_account_id: BankAccountId,
    /// As the bank's statements have it, without spaces.
    pub number: String,
    /// Its currency.
    pub currency: Currency,
    /// The merchant's name for it.
    pub name: String,
    /// How many days after the PSP's word a payout may take to be on a statement of it.
    pub delay_days: i32,
    /// Who pays in for a PSP; where none is named, everybody does.
    pub payers: Vec<String>,
}

impl BankAccount {
    /// Whether an entry that says this may be of a PSP.
    pub(super) fn is_of_psp<'a>(&self, texts: impl Iterator<Item = &'a str> + Clone) -> bool {
        let says =
            |payer: &String| texts.clone().any(|text| text.to_lowercase().contains(&payer.to_lowercase()));
        self.payers.is_empty() || self.payers.iter().any(says)
    }
}

/// An account that is to be known.
#[derive(Debug, Clone)]
pub struct NewBankAccount {
    /// An IBAN or another number; spaces and case do not matter.
    pub number: String,
    /// Its currency.
    pub currency: Currency,
    /// A name for people; the number, where it is empty.
    pub name: String,
    /// How many days after the PSP's word a payout may take, 60 at most.
    pub delay_days: u16,
    /// Who pays in for a PSP: entries that hold none of these, in whatever case, are kept and are nobody's business here.
    pub payers: Vec<String>,
}

/// Makes an account known.
///
/// # Errors
/// When a field is not what it should be, the account is known, or Postgres fails.
pub async fn create_account(
    pool: &PgPool,
    merchant: MerchantId,
    new: NewBankAccount,
) -> Result<BankAccount, Error> {
    let invalid = |field, found: &str, expected| Error::Invalid { field, found: found.to_owned(), expected };
    let number = Account::new(&new.number)
        .filter(|number| number.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
    let Some(number) = number.map(|number| number.to_string()) else {
        return Err(invalid(
            "number",
            &new.number,
            "an IBAN, or a number of 1 to 64 letters, digits and signs",
        ));
    };
    let name = if new.name.trim().is_empty() { number.clone() } else { new.name.trim().to_owned() };
    if name.chars().count() > 100 {
        return Err(invalid("name", &name, "1 to 100 characters"));
    }
    if new.delay_days > 60 {
        return Err(invalid("delay-days", &new.delay_days.to_string(), "0 to 60"));
    }
    if let Some(blank) = new.payers.iter().find(|payer| payer.trim().is_empty()) {
        return Err(invalid("payer", blank, "a part of what the bank writes, such as STRIPE"));
    }
    let account = BankAccount {
        bank_account_id: BankAccountId::derive(merchant, &number, new.currency),
        currency: new.currency,
        delay_days: i32::from(new.delay_days),
        payers: new.payers.iter().map(|payer| payer.trim().to_owned()).collect(),
        number,
        name,
    };
    if repo::insert_account(pool, merchant, &account).await? {
        return Ok(account);
    }
    let known = repo::account(pool, merchant, account.bank_account_id).await?;
    Err(Error::AccountExists {
        name: known.map_or(account.name, |known| known.name),
        number: account.number,
        currency: account.currency,
    })
}

/// The merchant's accounts, by name.
///
/// # Errors
/// When Postgres fails.
pub async fn accounts(pool: &PgPool, merchant: MerchantId) -> Result<Vec<BankAccount>, Error> {
    repo::accounts(pool, merchant).await
}
