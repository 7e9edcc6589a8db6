//! The two roles: one owns the schema and migrates it, the other runs the service and owns nothing.
//!
//! Roles are global to a server, so they are made by this set-up step and never by a migration.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, PgTransaction, Postgres};

use super::DatabaseError;

/// What is to be there before the schema.
#[derive(Debug, Clone, Copy)]
pub struct Roles<'a> {
    /// Owns the database and everything in it; `migrate` connects as it.
    pub owner: &'a str,
    /// Runs the service.
    pub app: &'a str,
    /// The database.
    pub database: &'a str,
}

/// Makes the roles and the database where they are missing, through an administrator's connection to any database of
/// the server. Several may do it at once. No passwords are set: where the server asks for them, give the roles some
/// with psql's `\password`, which does not send it in the clear.
///
/// # Errors
/// When the server cannot be reached or the administrator may not.
pub async fn setup(admin_url: &str, roles: Roles<'_>) -> Result<(), DatabaseError> {
    let options: PgConnectOptions = admin_url.parse()?;
    let options = options
        .application_name("payonce setup")
        .options([("client_min_messages", "warning"), ("lock_timeout", "10s")]);
    let mut server = PgConnection::connect_with(&options).await?;
    for role in [roles.owner, roles.app] {
        create(&mut server, "select format('create role %I login', $1::text)", &[role]).await?;
    }
    join(&mut server, roles.owner).await?;
    // template0, because others may be connected to template1.
    let statement = "select format('create database %I owner %I template template0 encoding ''UTF8''', $1::text, $2::text)";
    create(&mut server, statement, &[roles.database, roles.owner]).await?;
    server.close().await?;

    let mut database = PgConnection::connect_with(&options.database(roles.database)).await?;
    let mut tx = database.begin().await?;
    lock_grants(&mut tx).await?;
    let (owner,): (String,) =
        sqlx::query_as("select format('%I', $1::text)").bind(roles.owner).fetch_one(&mut *tx).await?;
    // Before version 15 everybody may create tables in the schema public.
    let statements = format!(
        "revoke create on schema public from public; grant usage, create on schema public to {owner};"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(database.close().await?)
}

/// Runs the statement that `quoting` puts together from the names, unless what it makes is there already.
async fn create(
    server: &mut PgConnection,
    quoting: &'static str,
    names: &[&str],
) -> Result<(), DatabaseError> {
    let mut query = sqlx::query_scalar::<_, String>(quoting);
    for name in names {
        query = query.bind(*name);
    }
    let statement = query.fetch_one(&mut *server).await?;
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(server).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if is_duplicate(error.code().as_deref()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The role or database was there, or another set-up that ran at the same time made it.
fn is_duplicate(code: Option<&str>) -> bool {
    matches!(code, Some("42710" | "42P04" | "23505"))
}

/// An administrator that is no superuser must be a member of the role that it makes the owner.
async fn join(server: &mut PgConnection, owner: &str) -> Result<(), DatabaseError> {
    let statement: Option<String> = sqlx::query_scalar(
        "select format('grant %I to current_user', $1::text)
         where not (select rolsuper from pg_roles where rolname = current_user)
           and not pg_has_role(current_user, $1::text, 'usage')",
    )
    .bind(owner)
    .fetch_optional(&mut *server)
    .await?;
    if let Some(statement) = statement {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(server).await?;
    }
    Ok(())
}

/// One grants at a time, until the transaction ends: two at once would get "tuple concurrently updated".
pub(super) async fn lock_grants(tx: &mut PgTransaction<'_>) -> Result<(), DatabaseError> {
    // "payonce" in ASCII
    sqlx::query("select pg_advisory_xact_lock(31632371580035941)").execute(&mut **tx).await?;
    Ok(())
}

/// Refuses an application role that is missing or that would own what it is granted.
pub(super) async fn check_app_role(
    connection: &mut PgConnection,
    app_role: &str,
) -> Result<(), DatabaseError> {
    let (exists, is_ours): (bool, bool) =
        sqlx::query_as("select exists (select from pg_roles where rolname = $1), current_user::text = $1")
            .bind(app_role)
            .fetch_one(connection)
            .await?;
    match (exists, is_ours) {
        (false, _) => Err(DatabaseError::NoSuchRole(app_role.to_owned())),
        (true, true) => Err(DatabaseError::RoleOwnsTables(app_role.to_owned())),
        (true, false) => Ok(()),
    }
}

/// Whether the connected role could change what is booked, which the service's role should not be able to.
///
/// # Errors
/// When the database cannot be asked.
pub async fn may_alter_the_ledger(db: impl Executor<'_, Database = Postgres>) -> Result<bool, DatabaseError> {
    let may = "select has_table_privilege('ledger_entry', 'update, delete, truncate')";
    Ok(sqlx::query_scalar(may).fetch_one(db).await?)
}
