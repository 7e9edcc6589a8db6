use reconciliation::bank::{self, NewBankAccount};
use reconciliation::report::Verdict;
use sqlx::PgPool;

use crate::args::{BankAccount, Books};
use crate::{complain, database, show, with_causes};

/// Does what is asked, and tells it.
pub async fn answer(command: &BankAccount) -> Verdict {
    let books = match command {
        BankAccount::Create(new) => &new.books,
        BankAccount::List { books } => books,
    };
    let pool = match database::connect(books).await {
        Ok(pool) => pool,
        Err(error) => {
            complain(&with_causes(&error));
            return Verdict::Incomplete;
        }
    };
    let done = match command {
        BankAccount::Create(new) => create(&pool, new).await,
        BankAccount::List { books } => list(&pool, books).await,
    };
    pool.close().await;
    match done {
        Ok(told) => show(&told),
        Err(error) => {
            complain(&with_causes(&error));
            if error.is_refusal() { Verdict::Refused } else { Verdict::Incomplete }
        }
    }
}

async fn create(pool: &PgPool, new: &crate::args::NewBankAccount) -> Result<String, bank::Error> {
    let account = NewBankAccount {
        number: new.number.clone(),
        currency: new.currency,
        name: new.name.clone(),
        delay_days: new.delay_days,
        payers: new.payers.clone(),
    };
    let account = bank::create_account(pool, new.books.merchant, account).await?;
    Ok(line(&account))
}

async fn list(pool: &PgPool, books: &Books) -> Result<String, bank::Error> {
    let accounts = bank::accounts(pool, books.merchant).await?;
    Ok(accounts.iter().map(line).collect())
}

fn line(account: &bank::BankAccount) -> String {
    let payers = if account.payers.is_empty() { "everybody".to_owned() } else { account.payers.join(", ") };
    let bank::BankAccount { bank_account_id, number, currency, name, delay_days, .. } = account;
    format!(
        "{bank_account_id} {number} {currency} {name:?}, paid into by {payers}, payouts within {delay_days} days\n"
    )
}
