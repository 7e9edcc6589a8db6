//! The schema's version, the roles, and the pool, against Postgres.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::sync::Arc;

use axum::extract::State;
use payment_service::database::{
    self, APP_ROLE, DatabaseError, OWNER_ROLE, Roles, SchemaDifference, Settings, check_schema,
    schema_difference,
};
use payment_service::http::error::Code;
use payment_service::http::health::{Health, readyz};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgPool};

/// The address of the test's database for a role.
fn url(pool: &PgPool, role: &str) -> String {
    PgConnectOptions::clone(&pool.connect_options()).username(role).to_url_lossy().to_string()
}

fn admin_url(pool: &PgPool) -> String {
    pool.connect_options().to_url_lossy().to_string()
}

fn database_name(pool: &PgPool) -> String {
    pool.connect_options().get_database().unwrap().to_owned()
}

/// Roles are global to the server and shared by all tests; nothing is ever taken from them.
async fn set_up(pool: &PgPool) {
    let roles = Roles { owner: OWNER_ROLE, app: APP_ROLE, database: &database_name(pool) };
    database::setup(&admin_url(pool), roles).await.unwrap();
}

async fn migrated(pool: &PgPool) -> PgPool {
    set_up(pool).await;
    database::migrate(&url(pool, OWNER_ROLE), APP_ROLE).await.unwrap();
    database::connect(&url(pool, APP_ROLE), &Settings::new("test")).await.unwrap()
}

async fn code(pool: &PgPool, statement: &str) -> String {
    match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(pool).await {
        Ok(_) => "done".to_owned(),
        Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
    }
}

#[sqlx::test(migrations = false)]
async fn an_empty_server_is_set_up_and_migrated_by_several_at_once(pool: PgPool) {
    futures::future::join_all((0..4).map(|_| set_up(&pool))).await;
    let owner = url(&pool, OWNER_ROLE);
    let applied = futures::future::join_all((0..4).map(|_| database::migrate(&owner, APP_ROLE))).await;
    assert!(applied.iter().all(Result::is_ok), "{applied:?}");
    check_schema(&pool).await.unwrap();
    assert_eq!(database::migrate(&owner, APP_ROLE).await.unwrap(), [""; 0]);
    let owners: Vec<String> =
        sqlx::query_scalar("select distinct tableowner::text from pg_tables where schemaname = 'public'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(owners, [OWNER_ROLE]);
}

#[sqlx::test(migrations = false)]
async fn setting_up_makes_the_database_and_gives_it_to_the_owner(pool: PgPool) {
    // Names have 63 characters at most.
    let name = database_name(&pool);
    let database = format!("made_{}", &name[name.len().saturating_sub(50)..]);
    let roles = Roles { owner: OWNER_ROLE, app: APP_ROLE, database: &database };
    let admin = admin_url(&pool);
    let made = futures::future::join_all((0..3).map(|_| database::setup(&admin, roles))).await;
    let owner: String =
        sqlx::query_scalar("select pg_get_userbyid(datdba)::text from pg_database where datname = $1")
            .bind(&database)
            .fetch_one(&pool)
            .await
            .unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("drop database \"{database}\" with (force)")))
        .execute(&pool)
        .await
        .unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(owner, OWNER_ROLE);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_schema_that_is_behind_ahead_or_another_is_refused_by_name(pool: PgPool) {
    check_schema(&pool).await.unwrap();
    let history = "update _sqlx_migrations set version = version + 9000, description = 'from the future' where version = 4";
    sqlx::raw_sql(history).execute(&pool).await.unwrap();
    let difference = schema_difference(&pool).await.unwrap();
    assert_eq!(
        difference,
        SchemaDifference {
            missing: vec!["0004 webhook".to_owned()],
            unknown: vec!["9004 from the future".to_owned()],
            changed: Vec::new(),
        }
    );
    let error = check_schema(&pool).await.unwrap_err().to_string();
    assert!(error.contains("ahead of this program by 9004 from the future"), "{error}");
    assert!(error.contains("behind this program by 0004 webhook: run `payment-service migrate`"), "{error}");
    set_up(&pool).await;
    let refused = database::migrate(&admin_url(&pool), APP_ROLE).await.unwrap_err();
    assert!(matches!(refused, DatabaseError::Schema(found) if found == difference));

    sqlx::raw_sql("update _sqlx_migrations set version = 4, checksum = 'x' where version = 9004")
        .execute(&pool)
        .await
        .unwrap();
    let error = check_schema(&pool).await.unwrap_err().to_string();
    assert!(error.contains("another text of 0004 webhook"), "{error}");
}

#[sqlx::test(migrations = false)]
async fn a_database_without_a_schema_is_behind_by_all_of_it(pool: PgPool) {
    let difference = schema_difference(&pool).await.unwrap();
    assert_eq!(difference.missing.len(), ledger::MIGRATOR.iter().count());
    assert!(difference.unknown.is_empty() && difference.changed.is_empty());
}

#[sqlx::test(migrations = false)]
async fn a_role_that_does_not_exist_or_owns_the_tables_is_granted_nothing(pool: PgPool) {
    set_up(&pool).await;
    let refused = database::migrate(&url(&pool, OWNER_ROLE), "nobody_of_this_name").await.unwrap_err();
    assert!(
        matches!(&refused, DatabaseError::NoSuchRole(role) if role == "nobody_of_this_name"),
        "{refused}"
    );
    let refused = database::migrate(&url(&pool, OWNER_ROLE), OWNER_ROLE).await.unwrap_err();
    assert!(matches!(&refused, DatabaseError::RoleOwnsTables(role) if role == OWNER_ROLE), "{refused}");
    assert_eq!(schema_difference(&pool).await.unwrap().missing.len(), ledger::MIGRATOR.iter().count());
}

#[sqlx::test(migrations = false)]
async fn the_services_role_cannot_rewrite_what_is_booked(pool: PgPool) {
    let app = migrated(&pool).await;
    const DENIED: &str = "42501";
    for table in ["ledger_entry", "ledger_transaction", "ledger_account", "attempt"] {
        assert_eq!(
            code(&app, &format!("update {table} set merchant_id = merchant_id")).await,
            DENIED,
            "{table}"
        );
        assert_eq!(code(&app, &format!("delete from {table}")).await, DENIED, "{table}");
        assert_eq!(code(&app, &format!("truncate {table} cascade")).await, DENIED, "{table}");
        assert_eq!(code(&app, &format!("alter table {table} disable trigger all")).await, DENIED, "{table}");
        assert_eq!(code(&app, &format!("drop table {table} cascade")).await, DENIED, "{table}");
        assert_eq!(code(&app, &format!("select from {table}")).await, "done", "{table}");
    }
    for statement in [
        "delete from merchant",
        "delete from payment",
        "truncate idempotency_key",
        "create table mine ()",
        "insert into _sqlx_migrations select * from _sqlx_migrations",
        "update _sqlx_migrations set success = true",
    ] {
        assert_eq!(code(&app, statement).await, DENIED, "{statement}");
    }
    for statement in [
        "delete from idempotency_key",
        "delete from ledger_balance_delta",
        "update payment set version = version",
    ] {
        assert_eq!(code(&app, statement).await, "done", "{statement}");
    }
    assert!(!database::may_alter_the_ledger(&app).await.unwrap());
    assert!(database::may_alter_the_ledger(&pool).await.unwrap());
    check_schema(&app).await.unwrap();
    app.close().await;
}

#[sqlx::test(migrations = false)]
async fn what_the_triggers_protect_the_services_role_may_not_change(pool: PgPool) {
    let app = migrated(&pool).await;
    let protected: Vec<(String, String)> = sqlx::query_as(
        "select event_object_table::text, event_manipulation::text from information_schema.triggers
         where action_statement like '%append_only()' order by 1, 2",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(protected.len() >= 8, "{protected:?}");
    for (table, action) in &protected {
        let may: bool = sqlx::query_scalar("select has_table_privilege($1, $2)")
            .bind(table)
            .bind(action)
            .fetch_one(&app)
            .await
            .unwrap();
        assert!(!may, "{action} on {table}");
    }
    app.close().await;
}

#[sqlx::test(migrations = false)]
async fn the_services_role_may_read_everything_and_truncate_nothing(pool: PgPool) {
    let app = migrated(&pool).await;
    let relations: Vec<(String, bool, bool)> = sqlx::query_as(
        "select relname::text, has_table_privilege(oid, 'select'), has_table_privilege(oid, 'truncate')
         from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v') order by 1",
    )
    .fetch_all(&app)
    .await
    .unwrap();
    assert!(relations.iter().any(|(name, ..)| name == "settleable_operation"), "{relations:?}");
    for (name, reads, truncates) in relations {
        assert!(reads && !truncates, "{name}");
    }
    app.close().await;
}

#[sqlx::test(migrations = false)]
async fn a_transaction_that_is_left_open_does_not_swallow_the_next_write(pool: PgPool) {
    sqlx::raw_sql("create table note (text text)").execute(&pool).await.unwrap();
    let settings = Settings { max_connections: 1, ..Settings::new("test") };
    let one = database::connect(&admin_url(&pool), &settings).await.unwrap();
    let mut connection = one.acquire().await.unwrap();
    sqlx::raw_sql("begin").execute(&mut *connection).await.unwrap();
    drop(connection);
    sqlx::query("insert into note values ('acknowledged')").execute(&one).await.unwrap();
    let seen: i64 = sqlx::query_scalar("select count(*) from note").fetch_one(&pool).await.unwrap();
    assert_eq!(seen, 1);
    one.close().await;
}

#[sqlx::test(migrations = false)]
async fn a_begin_that_is_cancelled_anywhere_loses_no_acknowledged_write(pool: PgPool) {
    sqlx::raw_sql("create table note (number int8)").execute(&pool).await.unwrap();
    let settings = Settings { max_connections: 2, ..Settings::new("test") };
    let few = database::connect(&admin_url(&pool), &settings).await.unwrap();
    for number in 0..400_i64 {
        {
            let mut begin = Box::pin(few.begin());
            for _ in 0..number % 8 {
                if futures::poll!(&mut begin).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        sqlx::query("insert into note values ($1)").bind(number).execute(&few).await.unwrap();
    }
    let seen: i64 = sqlx::query_scalar("select count(*) from note").fetch_one(&pool).await.unwrap();
    assert_eq!(seen, 400);
    few.close().await;
}

#[sqlx::test(migrations = false)]
async fn connections_have_their_bounds(pool: PgPool) {
    let ours = database::connect(&admin_url(&pool), &Settings::new("payment-service test")).await.unwrap();
    for (setting, value) in [
        ("application_name", "payment-service test"),
        ("default_transaction_isolation", "read committed"),
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("idle_in_transaction_session_timeout", "10s"),
    ] {
        let found: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&ours).await.unwrap();
        assert_eq!(found, value, "{setting}");
    }
    ours.close().await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_service_is_ready_while_its_schema_fits_and_it_is_not_leaving(pool: PgPool) {
    let health = Arc::new(Health::new(pool.clone()));
    let ready =
        async || readyz(State(Arc::clone(&health))).await.map(|_| ()).map_err(|problem| problem.code());
    assert_eq!(ready().await, Ok(()));
    let insert = "insert into _sqlx_migrations select 9000, 'newer', now(), true, '', 0";
    sqlx::raw_sql(insert).execute(&pool).await.unwrap();
    assert_eq!(ready().await, Ok(()), "a newer schema is made for both versions");
    sqlx::raw_sql("delete from _sqlx_migrations where version = 4").execute(&pool).await.unwrap();
    assert_eq!(ready().await, Err(Code::Unavailable));
    sqlx::raw_sql("delete from _sqlx_migrations").execute(&pool).await.unwrap();
    assert_eq!(ready().await, Err(Code::Unavailable));

    let leaving = Arc::new(Health::new(pool.clone()));
    leaving.drain();
    pool.close().await;
    for health in [health, leaving] {
        assert_eq!(
            readyz(State(health)).await.map(|_| ()).map_err(|problem| problem.code()),
            Err(Code::Unavailable)
        );
    }
}

#[sqlx::test(migrations = false)]
async fn a_list_that_takes_too_long_is_ended_and_known_by_it(pool: PgPool) {
    let reading = database::reading_pool(&pool);
    let began = std::time::Instant::now();
    let error = sqlx::query("select pg_sleep(30)").execute(&reading).await.unwrap_err();
    assert!(database::took_too_long(&error) && database::is_transient(&error), "{error}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}
