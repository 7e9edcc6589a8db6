//! The server of our own.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use embedded_postgres::ScratchFolder;
use payment_service::database::{
    self, APP_ROLE, DatabaseError, EmbeddedDatabase, Settings, check_schema, may_alter_the_ledger,
};

#[tokio::test]
async fn an_empty_folder_becomes_a_database_that_the_service_can_use_and_others_can_join() {
    let folder = ScratchFolder::create().unwrap();
    let path = folder.database();
    let owned = EmbeddedDatabase::start(&path).await.unwrap();
    let pool = database::connect(&owned.url(), &Settings::new("test")).await.unwrap();
    check_schema(&pool).await.unwrap();
    let role: String = sqlx::query_scalar("select current_user::text").fetch_one(&pool).await.unwrap();
    assert_eq!(role, APP_ROLE);
    assert!(!may_alter_the_ledger(&pool).await.unwrap());

    let second = EmbeddedDatabase::start(&path).await.unwrap_err();
    assert!(matches!(second, DatabaseError::Embedded(embedded_postgres::Error::InUse { .. })), "{second}");
    let joined = EmbeddedDatabase::start_or_join(&path).await.unwrap();
    assert_eq!(joined.url(), owned.url());
    joined.shutdown().await.unwrap();
    check_schema(&pool).await.unwrap();

    pool.close().await;
    owned.shutdown().await.unwrap();
    let again = EmbeddedDatabase::start_or_join(&path).await.unwrap();
    let pool = database::connect(&again.url(), &Settings::new("test")).await.unwrap();
    check_schema(&pool).await.unwrap();
    pool.close().await;
    again.shutdown().await.unwrap();
}
