//! The SQL of merchants, API keys and PSP accounts. Every statement names its merchant, but for two: the list of
//! merchants, and the look-up of a webhook's owner. Both read this control plane alone, which is replicated, not
//! sharded, where the rest is sharded.

use money::{ApiKeyId, MerchantId, PspAccountId};
use sqlx::{Executor, PgConnection, Postgres};
use time::OffsetDateTime;

use super::api_key::{ApiKey, Credential, NewApiKey, Token};
use super::entity::{Merchant, Mode};
use super::error::MerchantError;
use super::psp_account::{PspAccount, Sealed, SealedAccount};
use super::scope::{Scope, Scopes};

type Result<T> = std::result::Result<T, MerchantError>;

pub(super) async fn insert_merchant(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
    mode: Mode,
    name: &str,
) -> Result<OffsetDateTime> {
    let created_at = sqlx::query_scalar!(
        "insert into merchant (merchant_id, mode, name) values ($1, $2, $3) returning created_at",
        merchant_id.as_uuid(),
        mode.as_str(),
        name,
    )
    .fetch_one(db)
    .await?;
    Ok(created_at)
}

pub(super) async fn set_review_limit(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
    major: i64,
) -> Result<bool> {
    let set = sqlx::query!(
        "update merchant set review_limit = $2 where merchant_id = $1",
        merchant_id.as_uuid(),
        major,
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

pub(super) async fn list_merchants(db: impl Executor<'_, Database = Postgres>) -> Result<Vec<Merchant>> {
    let rows = sqlx::query!("select merchant_id, mode, name, created_at from merchant order by merchant_id")
        .fetch_all(db)
        .await?;
    let read = rows.into_iter().map(|row| {
        Ok(Merchant {
            merchant_id: MerchantId::from_uuid(row.merchant_id),
            mode: mode(&row.mode)?,
            name: row.name,
            created_at: row.created_at,
        })
    });
    read.collect()
}

pub(super) async fn merchant_mode(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
) -> Result<Option<Mode>> {
    let found =
        sqlx::query_scalar!("select mode from merchant where merchant_id = $1", merchant_id.as_uuid())
            .fetch_optional(db)
            .await?;
    found.as_deref().map(mode).transpose()
}

/// Locks out others who count the merchant's keys. References to the merchant go on.
pub(super) async fn lock_merchant(db: &mut PgConnection, merchant_id: MerchantId) -> Result<Option<Mode>> {
    let found = sqlx::query_scalar!(
        "select mode from merchant where merchant_id = $1 for no key update",
        merchant_id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    found.as_deref().map(mode).transpose()
}

pub(super) async fn live_api_keys_named(
    db: &mut PgConnection,
    merchant_id: MerchantId,
    name: &str,
) -> Result<Vec<ApiKeyId>> {
    let ids = sqlx::query_scalar!(
        "select api_key_id from api_key
         where merchant_id = $1 and name = $2 and revoked_at is null and (expires_at is null or expires_at > now())
         order by api_key_id",
        merchant_id.as_uuid(),
        name,
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(ApiKeyId::from_uuid).collect())
}

pub(super) async fn insert_api_key(
    db: &mut PgConnection,
    new: &NewApiKey<'_>,
    token: &Token,
) -> Result<OffsetDateTime> {
    let secret_hash = token.secret_hash();
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.to_string()).collect();
    let inserted = sqlx::query_scalar!(
        "insert into api_key (merchant_id, api_key_id, mode, name, scopes, secret_hash, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7) returning created_at",
        new.merchant_id.as_uuid(),
        token.api_key_id.as_uuid(),
        token.mode.as_str(),
        new.name,
        &scopes,
        secret_hash.as_slice(),
        new.expires_at,
    )
    .fetch_one(db)
    .await;
    inserted.map_err(|error| match constraint(&error) {
        Some("api_key_expires_after_creation") => {
            MerchantError::Invalid { field: "expires_at", expected: "a time to come".to_owned() }
        }
        _ => error.into(),
    })
}

pub(super) async fn list_api_keys(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
) -> Result<Vec<ApiKey>> {
    let rows = sqlx::query!(
        "select api_key_id, mode, name, scopes, created_at, expires_at, revoked_at
         from api_key where merchant_id = $1 order by api_key_id",
        merchant_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    let read = rows.into_iter().map(|row| {
        Ok(ApiKey {
            merchant_id,
            api_key_id: ApiKeyId::from_uuid(row.api_key_id),
            mode: mode(&row.mode)?,
            name: row.name,
            scopes: scopes(&row.scopes)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        })
    });
    read.collect()
}

/// Whether there is such a key; one that is revoked already keeps its time.
pub(super) async fn revoke_api_key(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
    api_key_id: ApiKeyId,
) -> Result<bool> {
    let done = sqlx::query!(
        "update api_key set revoked_at = coalesce(revoked_at, now()) where merchant_id = $1 and api_key_id = $2",
        merchant_id.as_uuid(),
        api_key_id.as_uuid(),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn credential(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
    api_key_id: ApiKeyId,
) -> Result<Option<Credential>> {
    let row = sqlx::query!(
        "select mode, scopes, secret_hash, expires_at, revoked_at from api_key where merchant_id = $1 and api_key_id = $2",
        merchant_id.as_uuid(),
        api_key_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    let read = row.map(|row| {
        Ok(Credential {
            mode: mode(&row.mode)?,
            scopes: scopes(&row.scopes)?,
            secret_hash: row.secret_hash,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
        })
    });
    read.transpose()
}

pub(super) async fn insert_psp_account(
    db: impl Executor<'_, Database = Postgres>,
    account: &PspAccount,
    sealed: &Sealed,
) -> Result<()> {
    let inserted = sqlx::query!(
        "insert into psp_account
         (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets, settlement_delay_days,
             idempotency)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        account.merchant_id.as_uuid(),
        account.psp_account_id.as_uuid(),
        account.mode.as_str(),
        account.account.psp.as_str(),
        account.name,
        account.account.base_url,
        sealed.api_secret,
        sealed.webhook_secrets,
        account.settlement_delay_days,
        account.account.idempotency.as_str(),
    )
    .execute(db)
    .await;
    match inserted {
        Ok(_) => Ok(()),
        Err(error) if constraint(&error) == Some("psp_account_name_key") => {
            Err(MerchantError::PspAccountNameTaken(account.name.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn update_psp_account(
    db: &mut PgConnection,
    account: &PspAccount,
    sealed: &Sealed,
) -> Result<()> {
    let updated = sqlx::query!(
        "update psp_account set api_secret = $3, webhook_secrets = $4,
             disabled_at = case when $5 then null else coalesce(disabled_at, now()) end
         where merchant_id = $1 and psp_account_id = $2",
        account.merchant_id.as_uuid(),
        account.psp_account_id.as_uuid(),
        sealed.api_secret,
        sealed.webhook_secrets,
        account.enabled,
    )
    .execute(db)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        rows => Err(MerchantError::Unreadable(format!("{rows} rows of a PSP account that was locked"))),
    }
}

/// A row of psp_account, as the statements below read it.
struct AccountRow {
    merchant_id: MerchantId,
    psp_account_id: PspAccountId,
    mode: String,
    psp: String,
    name: String,
    base_url: String,
    api_secret: Vec<u8>,
    webhook_secrets: Vec<u8>,
    settlement_delay_days: i32,
    idempotency: String,
    created_at: OffsetDateTime,
    disabled_at: Option<OffsetDateTime>,
}

impl TryFrom<AccountRow> for SealedAccount {
    type Error = MerchantError;

    fn try_from(row: AccountRow) -> Result<Self> {
        Ok(Self {
            merchant_id: row.merchant_id,
            psp_account_id: row.psp_account_id,
            mode: mode(&row.mode)?,
            psp: row.psp.parse().map_err(unreadable)?,
            name: row.name,
            base_url: row.base_url,
            api_secret: row.api_secret,
            webhook_secrets: row.webhook_secrets,
            settlement_delay_days: row.settlement_delay_days,
            idempotency: row.idempotency.parse().map_err(unreadable)?,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
        })
    }
}

pub(super) async fn psp_accounts_of(
    db: impl Executor<'_, Database = Postgres>,
    merchant_id: MerchantId,
) -> Result<Vec<SealedAccount>> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"select merchant_id as "merchant_id: MerchantId", psp_account_id as "psp_account_id: PspAccountId", mode, psp,
             name, base_url, api_secret, webhook_secrets, settlement_delay_days, idempotency, created_at,
             disabled_at
         from psp_account where merchant_id = $1 order by psp_account_id"#,
        merchant_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(SealedAccount::try_from).collect()
}

pub(super) async fn lock_psp_accounts_of(
    db: &mut PgConnection,
    merchant_id: MerchantId,
) -> Result<Vec<SealedAccount>> {
    let rows = sqlx::query_as!(
        AccountRow,
        r#"select merchant_id as "merchant_id: MerchantId", psp_account_id as "psp_account_id: PspAccountId", mode, psp,
             name, base_url, api_secret, webhook_secrets, settlement_delay_days, idempotency, created_at,
             disabled_at
         from psp_account where merchant_id = $1 order by psp_account_id for no key update"#,
        merchant_id.as_uuid(),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(SealedAccount::try_from).collect()
}

pub(super) async fn lock_psp_account(
    db: &mut PgConnection,
    merchant_id: MerchantId,
    psp_account_id: PspAccountId,
) -> Result<Option<SealedAccount>> {
    let row = sqlx::query_as!(
        AccountRow,
        r#"select merchant_id as "merchant_id: MerchantId", psp_account_id as "psp_account_id: PspAccountId", mode, psp,
             name, base_url, api_secret, webhook_secrets, settlement_delay_days, idempotency, created_at,
             disabled_at
         from psp_account where merchant_id = $1 and psp_account_id = $2 for no key update"#,
        merchant_id.as_uuid(),
        psp_account_id.as_uuid(),
    )
    .fetch_optional(db)
    .await?;
    row.map(SealedAccount::try_from).transpose()
}

/// Whose account this is: the path of a webhook names the account alone.
pub(super) async fn owner_of_psp_account(
    db: impl Executor<'_, Database = Postgres>,
    psp_account_id: PspAccountId,
) -> Result<Option<MerchantId>> {
    let found = sqlx::query_scalar!(
        "select merchant_id from psp_account where psp_account_id = $1",
        psp_account_id.as_uuid()
    )
    .fetch_optional(db)
    .await?;
    Ok(found.map(MerchantId::from_uuid))
}

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|error| error.constraint())
}

fn mode(text: &str) -> Result<Mode> {
    text.parse().map_err(unreadable)
}

fn scopes(texts: &[String]) -> Result<Scopes> {
    texts.iter().map(|text| text.parse::<Scope>().map_err(unreadable)).collect()
}

fn unreadable(error: impl std::error::Error) -> MerchantError {
    MerchantError::Unreadable(error.to_string())
}
