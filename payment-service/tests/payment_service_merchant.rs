//! Merchants, API keys and PSP accounts against Postgres.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use money::{ApiKeyId, MerchantId, PspAccountId};
use payment_service::http::auth::{Auth, FinanceRead, FinanceWrite};
use payment_service::merchant::psp_account::{self, Change, fingerprint};
use payment_service::merchant::{
    self, AuthError, Caller, Directory, Issued, KeyRing, Merchant, MerchantError, Mode, NewApiKey,
    NewPspAccount, PspAccount, Scope, Scopes, SealError, api_key,
};
use payment_service::psp::{Idempotency, Psp};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use tower::ServiceExt as _;

const FIRST_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const SECOND_KEY: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn keys(text: &str) -> KeyRing {
    KeyRing::parse(text).unwrap()
}

async fn shop(pool: &PgPool) -> Merchant {
    merchant::create(pool, Mode::Test, "Shop").await.unwrap()
}

async fn issue(pool: &PgPool, merchant_id: MerchantId, name: &str) -> Result<Issued, MerchantError> {
    let scopes = Scopes::from_iter([Scope::Payments, Scope::FinanceRead]);
    api_key::issue(pool, NewApiKey { merchant_id, name, scopes, expires_at: None }).await
}

async fn authenticate(pool: &PgPool, token: &str) -> Result<Caller, AuthError> {
    let header = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    Directory::new(pool.clone(), keys(FIRST_KEY)).authenticate(Some(&header)).await
}

async fn is_nobody(pool: &PgPool, token: &str) -> bool {
    matches!(authenticate(pool, token).await, Err(AuthError::Unauthenticated))
}

fn new_account(merchant_id: MerchantId, name: &str) -> NewPspAccount<'_> {
    NewPspAccount {
        merchant_id,
        psp: Psp::Stripe,
        name,
        base_url: Some("http://127.0.0.1:12111"),
        api_secret: "sk_test_secret".into(),
        webhook_secrets: vec!["whsec_one".into(), "whsec_two".into()],
        settlement_delay_days: 7,
        idempotency: Idempotency::Native,
    }
}

async fn open_account(pool: &PgPool, merchant_id: MerchantId, name: &str) -> PspAccount {
    psp_account::create(pool, &keys(FIRST_KEY), new_account(merchant_id, name)).await.unwrap()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_new_key_names_its_merchant_and_what_it_may_do(pool: PgPool) {
    let shop = shop(&pool).await;
    let issued = issue(&pool, shop.merchant_id, "web").await.unwrap();
    assert!(issued.reveal().starts_with("sk_test_"));
    assert!(!format!("{issued:?}").contains(issued.reveal()));
    let caller = authenticate(&pool, issued.reveal()).await.unwrap();
    assert_eq!((caller.merchant_id, caller.api_key_id), (shop.merchant_id, issued.key.api_key_id));
    assert_eq!((caller.mode, caller.scopes), (Mode::Test, issued.key.scopes));
    assert_eq!(api_key::list(&pool, shop.merchant_id).await.unwrap(), [issued.key]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_secret_of_a_key_is_not_kept(pool: PgPool) {
    let shop = shop(&pool).await;
    let issued = issue(&pool, shop.merchant_id, "web").await.unwrap();
    let encoded = issued.reveal().strip_prefix("sk_test_").unwrap();
    let secret = &URL_SAFE_NO_PAD.decode(encoded).unwrap()[32..];
    let row: String = sqlx::query_scalar("select api_key::text from api_key").fetch_one(&pool).await.unwrap();
    assert!(!row.contains(&hex::encode(secret)), "{row}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_unknown_a_wrong_an_expired_and_a_revoked_key_are_all_nobody(pool: PgPool) {
    let shop = shop(&pool).await;
    let (wrong, expired, revoked) = (
        issue(&pool, shop.merchant_id, "wrong").await.unwrap(),
        issue(&pool, shop.merchant_id, "expired").await.unwrap(),
        issue(&pool, shop.merchant_id, "revoked").await.unwrap(),
    );
    let tampered = |at: usize| {
        let mut bytes = URL_SAFE_NO_PAD.decode(wrong.reveal().strip_prefix("sk_test_").unwrap()).unwrap();
        bytes[at] ^= 1;
        format!("sk_test_{}", URL_SAFE_NO_PAD.encode(bytes))
    };
    for at in [0, 16, 32, 55] {
        assert!(is_nobody(&pool, &tampered(at)).await, "byte {at}");
    }
    assert!(is_nobody(&pool, &wrong.reveal().replace("sk_test_", "sk_live_")).await);
    sqlx::query("update api_key set created_at = now() - interval '2 d', expires_at = now() - interval '1 d' where name = 'expired'")
        .execute(&pool)
        .await
        .unwrap();
    assert!(is_nobody(&pool, expired.reveal()).await);
    api_key::revoke(&pool, shop.merchant_id, revoked.key.api_key_id).await.unwrap();
    assert!(is_nobody(&pool, revoked.reveal()).await);
    assert!(authenticate(&pool, wrong.reveal()).await.is_ok());
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_without_the_scope_is_told_which_one_it_lacks(pool: PgPool) {
    let shop = shop(&pool).await;
    let issued = issue(&pool, shop.merchant_id, "web").await.unwrap();
    let service = Router::new()
        .route("/read", get(async |auth: Auth<FinanceRead>| auth.merchant_id.to_string()))
        .route("/write", get(async |_: Auth<FinanceWrite>| "written"))
        .with_state(Arc::new(Directory::new(pool, keys(FIRST_KEY))));
    let ask = async |path: &str| {
        let request = Request::get(path).header("authorization", format!("Bearer {}", issued.reveal()));
        let answer = service.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    };
    assert_eq!(ask("/read").await, (StatusCode::OK, shop.merchant_id.to_string()));
    let (status, body) = ask("/write").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    for part in [r#""code":"scope_missing""#, r#""scope":"finance_write""#] {
        assert!(body.contains(part), "{body}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn two_keys_of_a_name_may_live_and_a_third_waits_for_the_end_of_one(pool: PgPool) {
    let shop = shop(&pool).await;
    let first = issue(&pool, shop.merchant_id, "web").await.unwrap();
    let second = issue(&pool, shop.merchant_id, "web").await.unwrap();
    issue(&pool, shop.merchant_id, "other").await.unwrap();
    let refused = issue(&pool, shop.merchant_id, "web").await.unwrap_err();
    let MerchantError::TwoKeysLive { name, live } = &refused else { panic!("{refused:?}") };
    assert_eq!((name.as_str(), *live), ("web", [first.key.api_key_id, second.key.api_key_id]));
    assert!(refused.to_string().contains("revoke one first"), "{refused}");
    for token in [first.reveal(), second.reveal()] {
        authenticate(&pool, token).await.unwrap();
    }
    api_key::revoke(&pool, shop.merchant_id, first.key.api_key_id).await.unwrap();
    issue(&pool, shop.merchant_id, "web").await.unwrap();
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn however_many_ask_at_once_no_third_key_of_a_name_is_made(pool: PgPool) {
    let shop = shop(&pool).await;
    let asked = futures::future::join_all((0..8).map(|_| issue(&pool, shop.merchant_id, "web"))).await;
    assert_eq!(asked.iter().filter(|made| made.is_ok()).count(), 2);
    assert!(
        asked
            .iter()
            .flat_map(|made| made.as_ref().err())
            .all(|error| matches!(error, MerchantError::TwoKeysLive { .. }))
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_that_could_never_be_used_is_not_made(pool: PgPool) {
    let shop = shop(&pool).await;
    let scopes = Scopes::from_iter([Scope::Webhooks]);
    let new = NewApiKey { merchant_id: shop.merchant_id, name: "web", scopes, expires_at: None };
    let past = time::OffsetDateTime::UNIX_EPOCH;
    for (new, field) in [
        (NewApiKey { name: "", ..new }, "name"),
        (NewApiKey { name: "a\nb", ..new }, "name"),
        (NewApiKey { scopes: Scopes::from_iter([]), ..new }, "scopes"),
        (NewApiKey { expires_at: Some(past), ..new }, "expires_at"),
    ] {
        let error = api_key::issue(&pool, new).await.unwrap_err();
        assert!(matches!(error, MerchantError::Invalid { field: found, .. } if found == field), "{error}");
    }
    let nobody = MerchantId::new();
    let error = api_key::issue(&pool, NewApiKey { merchant_id: nobody, ..new }).await.unwrap_err();
    assert!(matches!(error, MerchantError::MerchantNotFound(found) if found == nobody));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn nothing_of_one_merchant_can_be_reached_through_another(pool: PgPool) {
    let (ours, theirs) = (shop(&pool).await.merchant_id, shop(&pool).await.merchant_id);
    let key = issue(&pool, theirs, "web").await.unwrap();
    let account = open_account(&pool, theirs, "main").await;
    assert!(matches!(
        api_key::revoke(&pool, ours, key.key.api_key_id).await,
        Err(MerchantError::ApiKeyNotFound { .. })
    ));
    assert!(authenticate(&pool, key.reveal()).await.is_ok());
    assert!(api_key::list(&pool, ours).await.unwrap().is_empty());
    assert!(psp_account::list(&pool, &keys(FIRST_KEY), ours).await.unwrap().is_empty());
    let changed =
        psp_account::change(&pool, &keys(FIRST_KEY), ours, account.psp_account_id, Change::Disable).await;
    assert!(matches!(changed, Err(MerchantError::PspAccountNotFound { .. })));
    let directory = Directory::new(pool, keys(FIRST_KEY));
    for found in [
        directory.psp_account(ours, Some(account.psp_account_id)).await,
        directory.any_psp_account(ours, account.psp_account_id).await,
    ] {
        assert!(matches!(found, Err(MerchantError::PspAccountNotFound { .. })));
    }
    assert!(matches!(directory.psp_account(ours, None).await, Err(MerchantError::NoPspAccount)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_only_enabled_account_is_taken_and_of_several_one_must_be_named(pool: PgPool) {
    let shop = shop(&pool).await.merchant_id;
    let main = open_account(&pool, shop, "main").await.psp_account_id;
    // Each time a fresh directory: nothing is remembered.
    let directory = || Directory::new(pool.clone(), keys(FIRST_KEY));
    let taken = directory().psp_account(shop, None).await.unwrap();
    assert_eq!(taken.psp_account_id, main);
    assert_eq!(taken.account.api_secret.expose_secret(), "sk_test_secret");
    assert!(!format!("{taken:?}").contains("sk_test_secret"));
    let spare = open_account(&pool, shop, "spare").await.psp_account_id;
    let error = directory().psp_account(shop, None).await.unwrap_err();
    assert!(matches!(&error, MerchantError::PspAccountAmbiguous(ids) if *ids == [main, spare]), "{error}");
    assert_eq!(directory().psp_account(shop, Some(spare)).await.unwrap().psp_account_id, spare);
    psp_account::change(&pool, &keys(FIRST_KEY), shop, main, Change::Disable).await.unwrap();
    assert_eq!(directory().psp_account(shop, None).await.unwrap().psp_account_id, spare);
    let error = directory().psp_account(shop, Some(main)).await.unwrap_err();
    assert!(matches!(error, MerchantError::PspAccountDisabled(found) if found == main));
    assert!(!directory().any_psp_account(shop, main).await.unwrap().enabled);
    psp_account::change(&pool, &keys(FIRST_KEY), shop, main, Change::Enable).await.unwrap();
    assert_eq!(directory().psp_account(shop, Some(main)).await.unwrap().psp_account_id, main);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_webhook_finds_its_account_whoever_owns_it(pool: PgPool) {
    let (first, second) = (shop(&pool).await.merchant_id, shop(&pool).await.merchant_id);
    open_account(&pool, first, "main").await;
    let account = open_account(&pool, second, "main").await.psp_account_id;
    let directory = Directory::new(pool, keys(FIRST_KEY));
    let found = directory.webhook_account(account).await.unwrap().unwrap();
    assert_eq!((found.merchant_id, found.psp_account_id), (second, account));
    let secrets: Vec<_> = found.account.webhook_secrets.iter().map(|secret| secret.expose_secret()).collect();
    assert_eq!(secrets, ["whsec_one", "whsec_two"]);
    assert!(directory.webhook_account(PspAccountId::new()).await.unwrap().is_none());
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn secrets_are_changed_one_by_one(pool: PgPool) {
    let shop = shop(&pool).await.merchant_id;
    let account = open_account(&pool, shop, "main").await.psp_account_id;
    let (pool, keys) = (&pool, &keys(FIRST_KEY));
    let change = async |change| psp_account::change(pool, keys, shop, account, change).await;
    let listed = async || psp_account::list(pool, keys, shop).await.unwrap().remove(0);
    let print = |secret: &str| fingerprint(&secret.into());
    for _ in 0..2 {
        change(Change::AddWebhookSecret("whsec_three".into())).await.unwrap();
        assert_eq!(listed().await.webhook_secrets, ["whsec_one", "whsec_two", "whsec_three"].map(print));
    }
    change(Change::RemoveWebhookSecret(print("whsec_one"))).await.unwrap();
    assert_eq!(listed().await.webhook_secrets, ["whsec_two", "whsec_three"].map(print));
    let gone = change(Change::RemoveWebhookSecret(print("whsec_one"))).await;
    assert!(matches!(gone, Err(MerchantError::WebhookSecretNotFound(_))));
    change(Change::ApiSecret("sk_test_other".into())).await.unwrap();
    assert_eq!(listed().await.api_secret, print("sk_test_other"));
    let live = change(Change::ApiSecret("sk_live_x".into())).await;
    assert!(matches!(live, Err(MerchantError::SecretOfOtherMode { of: Mode::Live, merchant: Mode::Test })));
    assert_eq!(listed().await.api_secret, print("sk_test_other"));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_account_that_would_mix_modes_or_names_is_not_made(pool: PgPool) {
    let shop = shop(&pool).await.merchant_id;
    let live = merchant::create(&pool, Mode::Live, "Shop").await.unwrap().merchant_id;
    open_account(&pool, shop, "main").await;
    let refused = async |new| psp_account::create(&pool, &keys(FIRST_KEY), new).await.unwrap_err();
    let error = refused(new_account(shop, "main")).await;
    assert!(matches!(&error, MerchantError::PspAccountNameTaken(name) if name == "main"), "{error}");
    let secret = || "sk_live_secret".into();
    let error = refused(NewPspAccount { api_secret: secret(), ..new_account(shop, "x") }).await;
    assert!(
        matches!(error, MerchantError::SecretOfOtherMode { of: Mode::Live, merchant: Mode::Test }),
        "{error}"
    );
    let error = refused(NewPspAccount { base_url: None, ..new_account(live, "x") }).await;
    assert!(
        matches!(error, MerchantError::SecretOfOtherMode { of: Mode::Test, merchant: Mode::Live }),
        "{error}"
    );
    let error = refused(NewPspAccount { api_secret: secret(), ..new_account(live, "x") }).await;
    assert!(matches!(error, MerchantError::Invalid { field: "base_url", .. }), "{error}");
    let sound = NewPspAccount { api_secret: secret(), base_url: None, ..new_account(live, "x") };
    let made = psp_account::create(&pool, &keys(FIRST_KEY), sound).await.unwrap();
    assert_eq!((made.mode, made.account.base_url.as_str()), (Mode::Live, "https://api.stripe.com"));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn sealed_secrets_cannot_be_read_with_another_key_or_in_another_row(pool: PgPool) {
    let shop = shop(&pool).await.merchant_id;
    let first = open_account(&pool, shop, "first").await.psp_account_id;
    let second = open_account(&pool, shop, "second").await.psp_account_id;
    let dump: String = sqlx::query_scalar("select string_agg(psp_account::text, ' ') from psp_account")
        .fetch_one(&pool)
        .await
        .unwrap();
    for secret in ["sk_test_secret", "whsec_one"] {
        assert!(!dump.contains(secret) && !dump.contains(&hex::encode(secret)), "{dump}");
    }

    let other = Directory::new(pool.clone(), keys(SECOND_KEY));
    let error = other.any_psp_account(shop, first).await.unwrap_err();
    assert!(matches!(error, MerchantError::Seal(SealError::UnknownKey { .. })), "{error}");
    assert!(matches!(other.check_secrets().await, Err(MerchantError::Seal(SealError::UnknownKey { .. }))));
    let error = other.psp_account(shop, None).await.unwrap_err();
    assert!(matches!(error, MerchantError::Seal(_)), "{error}");

    sqlx::query("update psp_account set api_secret = (select api_secret from psp_account where name = 'first') where name = 'second'")
        .execute(&pool)
        .await
        .unwrap();
    let directory = Directory::new(pool, keys(FIRST_KEY));
    let error = directory.any_psp_account(shop, second).await.unwrap_err();
    assert!(matches!(error, MerchantError::Seal(SealError::Damaged { .. })), "{error}");
    assert_eq!(directory.any_psp_account(shop, first).await.unwrap().psp_account_id, first);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn after_resealing_the_earlier_key_is_needed_no_more(pool: PgPool) {
    for _ in 0..2 {
        let shop = shop(&pool).await.merchant_id;
        open_account(&pool, shop, "main").await;
    }
    let both = keys(&format!("{SECOND_KEY} {FIRST_KEY}"));
    Directory::new(pool.clone(), keys(&format!("{SECOND_KEY} {FIRST_KEY}"))).check_secrets().await.unwrap();
    assert_eq!(psp_account::reseal(&pool, &both).await.unwrap(), 2);
    assert_eq!(psp_account::reseal(&pool, &both).await.unwrap(), 0);
    Directory::new(pool.clone(), keys(SECOND_KEY)).check_secrets().await.unwrap();
    assert!(Directory::new(pool, keys(FIRST_KEY)).check_secrets().await.is_err());
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_known_caller_is_recognised_while_the_database_is_away(pool: PgPool) {
    let shop = shop(&pool).await;
    let issued = issue(&pool, shop.merchant_id, "web").await.unwrap();
    let account = open_account(&pool, shop.merchant_id, "main").await.psp_account_id;
    let directory = Directory::new(pool.clone(), keys(FIRST_KEY));
    let header = HeaderValue::from_str(&format!("bearer {}", issued.reveal())).unwrap();
    let stranger =
        HeaderValue::from_str(&format!("Bearer {}", issued.reveal().replace("sk_test_A", "sk_test_B")))
            .unwrap();
    directory.authenticate(Some(&header)).await.unwrap();
    directory.psp_account(shop.merchant_id, None).await.unwrap();
    directory.webhook_account(account).await.unwrap();
    pool.close().await;
    directory.authenticate(Some(&header)).await.unwrap();
    directory.psp_account(shop.merchant_id, None).await.unwrap();
    directory.webhook_account(account).await.unwrap();
    let unknown = directory.authenticate(Some(&stranger)).await;
    assert!(matches!(unknown, Err(AuthError::Lookup(_))), "{unknown:?}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn every_named_constraint_holds_under_raw_sql(pool: PgPool) {
    let test = shop(&pool).await.merchant_id;
    let live = merchant::create(&pool, Mode::Live, "Live").await.unwrap().merchant_id;
    open_account(&pool, test, "main").await;
    let (key, account) = (ApiKeyId::new(), PspAccountId::new());
    let merchant = |id: MerchantId, mode: &str, name: &str| {
        format!("insert into merchant (merchant_id, mode, name) values ('{id}', '{mode}', '{name}')")
    };
    let api_key = |mode: &str, name: &str, scopes: &str, bytes: u8, expires: &str| {
        format!(
            "insert into api_key (merchant_id, api_key_id, mode, name, scopes, secret_hash, expires_at)
             values ('{test}', '{key}', '{mode}', '{name}', '{scopes}', decode(repeat('00', {bytes}), 'hex'), {expires})"
        )
    };
    let psp_account = |merchant: MerchantId, mode: &str, changed: (&str, &str)| {
        let mut columns = [
            ("psp", "'stripe'"),
            ("name", "'n'"),
            ("base_url", "'https://x'"),
            ("api_secret", r"decode(repeat('01', 31), 'hex')"),
            ("webhook_secrets", r"decode(repeat('01', 30), 'hex')"),
            ("settlement_delay_days", "7"),
            ("idempotency", "'native'"),
        ];
        if let Some(column) = columns.iter_mut().find(|(name, _)| *name == changed.0) {
            column.1 = changed.1;
        }
        let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        format!(
            "insert into psp_account (merchant_id, psp_account_id, mode, {}) values ('{merchant}', '{account}', '{mode}', {})",
            names.join(", "),
            values.join(", ")
        )
    };
    let long = "x".repeat(201);
    let as_is = ("", "");
    for (constraint, statement) in [
        ("merchant_pkey", merchant(test, "test", "x")),
        ("merchant_mode_known", merchant(MerchantId::new(), "demo", "x")),
        ("merchant_name_present", merchant(MerchantId::new(), "test", "")),
        ("merchant_name_present", merchant(MerchantId::new(), "test", &long)),
        ("api_key_merchant_fkey", api_key("live", "n", "{payments}", 32, "null")),
        ("api_key_name_present", api_key("test", "", "{payments}", 32, "null")),
        ("api_key_scopes_known", api_key("test", "n", "{}", 32, "null")),
        ("api_key_scopes_known", api_key("test", "n", "{payments,admin}", 32, "null")),
        ("api_key_secret_hash_sha256", api_key("test", "n", "{payments}", 31, "null")),
        ("api_key_expires_after_creation", api_key("test", "n", "{payments}", 32, "now()")),
        ("psp_account_merchant_fkey", psp_account(test, "live", as_is)),
        ("psp_account_name_key", psp_account(test, "test", ("name", "'main'"))),
        ("psp_account_psp_known", psp_account(test, "test", ("psp", "'nobody'"))),
        ("psp_account_idempotency_known", psp_account(test, "test", ("idempotency", "'perhaps'"))),
        ("psp_account_name_present", psp_account(test, "test", ("name", "''"))),
        ("psp_account_live_over_tls", psp_account(live, "live", ("base_url", "'http://x'"))),
        ("psp_account_base_url_http", psp_account(test, "test", ("base_url", "'ftp://x'"))),
        (
            "psp_account_api_secret_sealed",
            psp_account(test, "test", ("api_secret", "'sk_test_in_the_clear_and_long_enough'")),
        ),
        (
            "psp_account_webhook_secrets_sealed",
            psp_account(test, "test", ("webhook_secrets", "'whsec_in_the_clear_and_long_enough'")),
        ),
        ("psp_account_settlement_delay_sane", psp_account(test, "test", ("settlement_delay_days", "366"))),
    ] {
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&pool).await.unwrap_err();
        let tripped = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(tripped, Some(constraint), "{statement}: {error}");
    }
    for statement in [api_key("test", "n", "{payments}", 32, "null"), psp_account(test, "test", as_is)] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&pool).await.unwrap();
        let again = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap_err();
        let tripped = again.as_database_error().and_then(|error| error.constraint()).unwrap().to_owned();
        assert!(["api_key_pkey", "psp_account_pkey"].contains(&tripped.as_str()), "{tripped}");
    }
}
