//! `/v1/wallets` and `/v1/ledger`: what finance reads.

use axum::Json;
use axum::extract::State;
use ledger::balance::{AccountFilter, AccountMovement};
use ledger::posting::{Transaction, TransactionFilter};
use money::{Currency, OperationId, SellerId, TransactionId};
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Iso8601;
use time::{Date, OffsetDateTime};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::AppState;
use super::auth::{Auth, FinanceRead};
use super::error::{Code, Problem, ProblemDocument};
use super::extract::{ApiPath, ApiQuery};
use super::page::{Limit, NO_CURSOR, Page};

/// The most characters of an account's code that is asked for; the longest there is has a seller's 64 in it.
const LONGEST_CODE: usize = 100;

/// A seller's money, by currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletView {
    /// The seller.
    #[schema(value_type = String)]
    seller: SellerId,
    /// One for each currency the seller ever had money in.
    balances: Vec<WalletBalance>,
}

/// A seller's money in one currency, in minor units.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletBalance {
    /// ISO 4217 code.
    currency: String,
    /// Captured, not settled by the PSP yet.
    pending: i64,
    /// Settled: the seller's to have.
    available: i64,
    /// Reserved for a refund, a dispute or a payout.
    held: i64,
    /// What the seller owes, repaid first from later settlements.
    debt: i64,
}

/// A movement of a wallet.
#[derive(Debug, Serialize, ToSchema)]
pub struct WalletEntry {
    /// The ledger transaction it is part of.
    transaction_id: TransactionId,
    /// Which part of the wallet moved: pending, available, held or debt.
    part: String,
    /// Minor units: what was added to that part, negative for what was taken.
    amount: i64,
    /// ISO 4217 code.
    currency: String,
    /// What was posted: capture, settle, ...
    kind: String,
    /// What it is about: `operation`, `settlement`, ...
    source_type: String,
    /// Which one.
    source_id: Uuid,
    /// The day it counts.
    #[schema(value_type = String, format = Date)]
    #[serde(with = "iso_date")]
    effective_date: Date,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
}

time::serde::format_description!(iso_date, Date, "[year]-[month]-[day]");

/// Which movements to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListEntries {
    /// ISO 4217 code of the balance.
    #[param(pattern = "^[A-Z]{3}$")]
    currency: String,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// An account with its balance.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountView {
    /// Its code, such as `seller_pending/s-1`.
    code: String,
    /// ISO 4217 code.
    currency: String,
    /// asset, liability, income, cost or clearing.
    kind: String,
    /// Minor units: debits less credits.
    balance: i64,
}

/// Which accounts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAccounts {
    /// Only in this currency.
    #[param(pattern = "^[A-Z]{3}$")]
    currency: Option<String>,
    /// The balances at the end of this effective day instead of now. They are summed from the entries, for five seconds at
    /// most, and refused with 503 beyond that.
    #[param(format = Date)]
    as_of: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// What the trial balance is of.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrialBalanceOf {
    /// The end of this effective day instead of now. The balances are summed from the entries, for five seconds at most,
    /// and refused with 503 beyond that.
    #[param(format = Date)]
    as_of: Option<String>,
}

/// All balances, summed by kind of account.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalance {
    /// The effective day at whose end it stood so; null for now.
    #[schema(value_type = Option<String>, format = Date)]
    #[serde(with = "iso_date::option")]
    as_of: Option<Date>,
    /// One for each currency.
    currencies: Vec<TrialBalanceOfCurrency>,
}

/// The balances of a currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialBalanceOfCurrency {
    /// ISO 4217 code.
    currency: String,
    /// The sum of the debit balances, in minor units.
    debits: i64,
    /// The sum of the credit balances, in minor units.
    credits: i64,
    /// Debits less credits: always 0.
    difference: i64,
    /// The same by account, the sellers' together.
    accounts: Vec<AccountView>,
}

/// Which transactions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTransactions {
    /// Only those about this row, such as an operation's id.
    #[param(format = Uuid)]
    source_id: Option<String>,
    /// Only those that move the account with this code.
    #[param(max_length = 100, pattern = "^[A-Za-z0-9_.:/-]+$")]
    account: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many.
    #[serde(default)]
    #[param(value_type = u16, required = false, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
}

/// A transaction of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct TransactionView {
    /// Its id.
    transaction_id: TransactionId,
    /// What it is about: `operation`, `settlement`, ...
    source_type: String,
    /// Which one.
    source_id: Uuid,
    /// Which posting of it: capture, settle, ...
    kind: String,
    /// The day it counts.
    #[schema(value_type = String, format = Date)]
    #[serde(with = "iso_date")]
    effective_date: Date,
    /// When it was recorded.
    #[serde(with = "time::serde::rfc3339")]
    recorded_at: OffsetDateTime,
    /// Its entries: they sum to zero in each currency.
    entries: Vec<EntryView>,
}

/// An entry of a transaction.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryView {
    /// The account's code.
    account: String,
    /// ISO 4217 code.
    currency: String,
    /// Minor units: a debit is positive, a credit negative.
    amount: i64,
}

/// A seller's wallet.
#[utoipa::path(
    get, path = "/v1/wallets/{seller}", tag = "finance", security(("api_key" = ["finance_read"])),
    params(("seller" = String, Path, description = "The merchant's name for the seller", max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$")),
    responses(
        (status = 200, description = "The seller's money", body = WalletView),
        (status = 404, description = "No money of this seller was ever booked", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn wallet(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(seller): ApiPath<SellerId>,
) -> Result<Json<WalletView>, Problem> {
    let wallets = ::wallet::wallet::read(&state.reading, caller.merchant_id, &seller).await?;
    if wallets.is_empty() {
        return Err(unknown_seller());
    }
    let balances = wallets
        .into_iter()
        .map(|wallet| WalletBalance {
            currency: wallet.currency,
            pending: wallet.pending,
            available: wallet.available,
            held: wallet.held,
            debt: wallet.debt,
        })
        .collect();
    Ok(Json(WalletView { seller, balances }))
}

fn unknown_seller() -> Problem {
    Problem::new(Code::NotFound).detail("no money of this seller was ever booked")
}

/// What moved a seller's wallet, newest first.
#[utoipa::path(
    get, path = "/v1/wallets/{seller}/entries", tag = "finance", security(("api_key" = ["finance_read"])),
    params(("seller" = String, Path, description = "The merchant's name for the seller", max_length = 64, pattern = "^[A-Za-z0-9_.:-]+$"), ListEntries),
    responses(
        (status = 200, description = "A page of movements, newest first", body = Page<WalletEntry>),
        (status = 404, description = "No money of this seller was ever booked", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn wallet_entries(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiPath(seller): ApiPath<SellerId>,
    ApiQuery(query): ApiQuery<ListEntries>,
) -> Result<Json<Page<WalletEntry>>, Problem> {
    let currency = currency_of(&query.currency)?;
    let before = query.cursor.as_deref().map(parse_entry_cursor).transpose()?;
    let rows = ::wallet::wallet::entries(
        &state.reading,
        caller.merchant_id,
        &seller,
        currency,
        before,
        query.limit.and_one(),
    )
    .await?;
    // a seller that is known may have had nothing in this currency
    if rows.is_empty()
        && ::wallet::wallet::read(&state.reading, caller.merchant_id, &seller).await?.is_empty()
    {
        return Err(unknown_seller());
    }
    let cursor = |row: &AccountMovement| format!("{}.{}", row.transaction_id, row.entry_no);
    let page = Page::of(rows, query.limit, cursor);
    Ok(Json(Page { data: page.data.into_iter().map(wallet_entry).collect(), next_cursor: page.next_cursor }))
}

fn wallet_entry(row: AccountMovement) -> WalletEntry {
    let account = row.code.split('/').next().unwrap_or_default();
    let part = account.strip_prefix("seller_").unwrap_or(account).to_owned();
    // pending, available and held are what we owe the seller: a credit adds. Debt is the seller's to us.
    let sign = if part == "debt" { 1 } else { -1 };
    WalletEntry {
        transaction_id: row.transaction_id,
        part,
        amount: sign * row.amount,
        currency: row.currency,
        kind: row.kind,
        source_type: row.source_type,
        source_id: row.source_id,
        effective_date: row.effective_date,
        recorded_at: row.recorded_at,
    }
}

fn parse_entry_cursor(text: &str) -> Result<(TransactionId, i16), Problem> {
    let parsed = text.split_once('.').and_then(|(id, number)| Some((id.parse().ok()?, number.parse().ok()?)));
    parsed.ok_or_else(|| Problem::invalid("cursor", NO_CURSOR))
}

fn currency_of(text: &str) -> Result<Currency, Problem> {
    text.parse().map_err(|error: money::UnknownCurrency| Problem::invalid("currency", error.to_string()))
}

/// A day as YYYY-MM-DD: the parser alone would take a time of day, a week or a year before Christ for one, too.
fn day_of(field: &str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let plain =
        |text: &str| text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = text.map(|text| {
        let day = Date::parse(text, &Iso8601::DATE).ok().filter(|day| plain(text) && day.year() > 0);
        day.ok_or_else(|| Problem::invalid(field, "expected a day such as 2026-01-31"))
    });
    parsed.transpose()
}

/// An account's code, as far as it can be one: what else a text may hold, the database may refuse to look for.
fn account_code(text: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    ((1..=LONGEST_CODE).contains(&text.len()) && text.bytes().all(allowed)).then_some(text)
}

/// The account after which a page begins: its code and its currency.
fn parse_account_cursor(text: &str) -> Result<(String, String), Problem> {
    let parts = text.rsplit_once('.').and_then(|(code, currency)| {
        Some((account_code(code)?.to_owned(), currency.parse::<Currency>().ok()?.code().to_owned()))
    });
    parts.ok_or_else(|| Problem::invalid("cursor", NO_CURSOR))
}

/// The merchant's accounts with their balances, by code.
#[utoipa::path(
    get, path = "/v1/ledger/accounts", tag = "finance", security(("api_key" = ["finance_read"])), params(ListAccounts),
    responses(
        (status = 200, description = "A page of accounts, by code", body = Page<AccountView>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn accounts(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListAccounts>,
) -> Result<Json<Page<AccountView>>, Problem> {
    let currency = query.currency.as_deref().map(currency_of).transpose()?;
    let as_of = day_of("as_of", query.as_of.as_deref())?;
    let after = query.cursor.as_deref().map(parse_account_cursor);
    let filter = AccountFilter {
        currency: currency.map(|currency| currency.code().to_owned()),
        codes: None,
        after: after.transpose()?,
        limit: Some(query.limit.and_one()),
    };
    let rows = ledger::balance::list(&state.reading, caller.merchant_id, &filter, as_of).await?;
    let page = Page::of(rows, query.limit, |row| format!("{}.{}", row.code, row.currency));
    let data = page.data.into_iter().map(|row| AccountView {
        code: row.code,
        currency: row.currency,
        kind: row.kind,
        balance: row.balance,
    });
    Ok(Json(Page { data: data.collect(), next_cursor: page.next_cursor }))
}

/// All balances, which sum to zero.
#[utoipa::path(
    get, path = "/v1/ledger/trial-balance", tag = "finance", security(("api_key" = ["finance_read"])), params(TrialBalanceOf),
    responses(
        (status = 200, description = "All balances", body = TrialBalance),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn trial_balance(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<TrialBalanceOf>,
) -> Result<Json<TrialBalance>, Problem> {
    let as_of = day_of("as_of", query.as_of.as_deref())?;
    let totals = ledger::balance::totals(&state.reading, caller.merchant_id, as_of).await?;
    let mut currencies: Vec<TrialBalanceOfCurrency> = Vec::new();
    for total in totals {
        if currencies.last().is_none_or(|last| last.currency != total.currency) {
            let currency = total.currency.clone();
            currencies.push(TrialBalanceOfCurrency {
                currency,
                debits: 0,
                credits: 0,
                difference: 0,
                accounts: Vec::new(),
            });
        }
        if let Some(last) = currencies.last_mut() {
            last.debits += total.debits;
            last.credits += total.credits;
            last.difference = last.debits - last.credits;
            let balance = total.debits - total.credits;
            last.accounts.push(AccountView {
                code: total.group,
                currency: total.currency,
                kind: total.kind,
                balance,
            });
        }
    }
    Ok(Json(TrialBalance { as_of, currencies }))
}

/// The ledger's transactions with their entries, newest first.
#[utoipa::path(
    get, path = "/v1/ledger/transactions", tag = "finance", security(("api_key" = ["finance_read"])), params(ListTransactions),
    responses(
        (status = 200, description = "A page of transactions, newest first", body = Page<TransactionView>),
        (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(super) async fn transactions(
    State(state): State<AppState>,
    caller: Auth<FinanceRead>,
    ApiQuery(query): ApiQuery<ListTransactions>,
) -> Result<Json<Page<TransactionView>>, Problem> {
    let source_id = query.source_id.as_deref().map(|text| {
        let id =
            text.parse::<OperationId>().map_err(|error| Problem::invalid("source_id", error.to_string()));
        id.map(OperationId::as_uuid)
    });
    let before = query
        .cursor
        .as_deref()
        .map(|text| text.parse::<TransactionId>().map_err(|_| Problem::invalid("cursor", NO_CURSOR)));
    let account = query.account.as_deref().map(|text| {
        let expected = format!("expected an account's code: 1 to {LONGEST_CODE} letters, digits and -_.:/");
        account_code(text).map(str::to_owned).ok_or_else(|| Problem::invalid("account", expected))
    });
    let filter = TransactionFilter {
        source_id: source_id.transpose()?,
        account: account.transpose()?,
        before: before.transpose()?,
        limit: query.limit.and_one(),
    };
    let rows = ledger::posting::list(&state.reading, caller.merchant_id, &filter).await?;
    let page = Page::of(rows, query.limit, |row| row.transaction_id.to_string());
    Ok(Json(Page {
        data: page.data.into_iter().map(transaction_view).collect(),
        next_cursor: page.next_cursor,
    }))
}

fn transaction_view(row: Transaction) -> TransactionView {
    let entries = row.entries.into_iter().map(|entry| EntryView {
        account: entry.account,
        currency: entry.currency,
        amount: entry.amount,
    });
    TransactionView {
        transaction_id: row.transaction_id,
        source_type: row.source_type,
        source_id: row.source_id,
        kind: row.kind,
        effective_date: row.effective_date,
        recorded_at: row.recorded_at,
        entries: entries.collect(),
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::Database(error) => error.into(),
            error @ (ledger::Error::BelowFloor(_)
            | ledger::Error::BalanceLost { .. }
            | ledger::Error::AccountsLost { .. }) => Self::internal(error),
        }
    }
}
