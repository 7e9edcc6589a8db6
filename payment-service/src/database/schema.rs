//! The schema's version, and who may do what with its tables.

use std::collections::BTreeMap;
use std::fmt;

use ledger::MIGRATOR;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Postgres};

use super::{DatabaseError, role};

/// Rows of these never change: the ledger, and the evidence of what was sent to a PSP.
pub(crate) const APPEND_ONLY: &[&str] = &[
    "attempt",
    "bank_booking",
    "bank_file",
    "bank_statement",
    "dispute_split",
    "ledger_account",
    "ledger_entry",
    "ledger_transaction",
    "operation_split",
    "recon_break_act",
    "review_act",
];

/// Rows of these never change, and go again only with a settlement file whose reading broke off, which a trigger holds.
const WRITTEN_ONCE: &[&str] = &["settlement_line"];

/// Rows of these go away again: keys that are reaped, deltas that are rolled up, files whose reading broke off.
const DELETABLE: &[&str] =
    &["idempotency_key", "ledger_balance_delta", "recon_break", "settlement_chunk", "settlement_file"];

/// Where sqlx notes what it has applied.
const HISTORY: &str = "_sqlx_migrations";

/// How the database's schema differs from the one that this program was written for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaDifference {
    /// Ours, and not applied there.
    pub missing: Vec<String>,
    /// Applied there, and not known to us.
    pub unknown: Vec<String>,
    /// Applied there with another text than ours.
    pub changed: Vec<String>,
}

impl SchemaDifference {
    /// Whether this program can work with the schema as it is, now that it runs: a newer one is made for both.
    pub fn blocks_a_running_service(&self) -> bool {
        !self.missing.is_empty() || !self.changed.is_empty()
    }

    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.changed.is_empty() {
            parts.push(format!(
                "the database was migrated with another text of {}: this is not the program it was made for",
                self.changed.join(", ")
            ));
        }
        if !self.unknown.is_empty() {
            parts.push(format!(
                "the database's schema is ahead of this program by {}: run a newer version of the program",
                self.unknown.join(", ")
            ));
        }
        if !self.missing.is_empty() {
            parts.push(format!(
                "the database's schema is behind this program by {}: run `payment-service migrate`",
                self.missing.join(", ")
            ));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Compares the database's schema with ours.
///
/// # Errors
/// When the database cannot be asked.
pub async fn schema_difference(
    db: impl Executor<'_, Database = Postgres>,
) -> Result<SchemaDifference, DatabaseError> {
    let applied = sqlx::query_as::<_, (i64, String, Vec<u8>)>(
        "select version, description, checksum from _sqlx_migrations",
    )
    .fetch_all(db)
    .await;
    let applied = match applied {
        Ok(applied) => applied,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let name = |version: i64, description: &str| format!("{version:04} {description}");
    let mut applied: BTreeMap<i64, (String, Vec<u8>)> = applied
        .into_iter()
        .map(|(version, description, checksum)| (version, (description, checksum)))
        .collect();
    let mut difference = SchemaDifference::default();
    for ours in MIGRATOR.iter() {
        let name = name(ours.version, &ours.description);
        match applied.remove(&ours.version) {
            None => difference.missing.push(name),
            Some((_, checksum)) if checksum != *ours.checksum => difference.changed.push(name),
            Some(_) => {}
        }
    }
    difference.unknown =
        applied.iter().map(|(version, (description, _))| name(*version, description)).collect();
    Ok(difference)
}

/// Refuses a schema that is behind, ahead or another.
///
/// # Errors
/// [`DatabaseError::Schema`], saying which migrations and what to do.
pub async fn check_schema(db: impl Executor<'_, Database = Postgres>) -> Result<(), DatabaseError> {
    let difference = schema_difference(db).await?;
    if difference.is_none() { Ok(()) } else { Err(DatabaseError::Schema(difference)) }
}

/// Brings the schema up to date and grants `app_role` what the service needs, and nothing more. Several may do it at
/// once. Says which migrations it applied or waited for.
///
/// # Errors
/// [`DatabaseError::Schema`] when the schema is ahead or another, [`DatabaseError::NoSuchRole`],
/// [`DatabaseError::RoleOwnsTables`].
pub async fn migrate(admin_url: &str, app_role: &str) -> Result<Vec<String>, DatabaseError> {
    let options: PgConnectOptions = admin_url.parse()?;
    // A migration that waits for a lock makes everybody wait behind it.
    let settings = [("lock_timeout", "10s"), ("client_min_messages", "warning"), ("statement_timeout", "0")];
    let options = options.application_name("payonce migrate").options(settings);
    let mut connection = PgConnection::connect_with(&options).await?;
    role::check_app_role(&mut connection, app_role).await?;
    let before = schema_difference(&mut connection).await?;
    if !before.unknown.is_empty() || !before.changed.is_empty() {
        return Err(DatabaseError::Schema(before));
    }
    MIGRATOR.run(&mut connection).await?;
    grant(&mut connection, app_role).await?;
    connection.close().await?;
    Ok(before.missing)
}

/// What the application's role may do with a table; a view is only read.
pub(crate) fn privileges(table: &str) -> &'static str {
    match table {
        HISTORY => "select",
        table if APPEND_ONLY.contains(&table) => "select, insert",
        table if WRITTEN_ONCE.contains(&table) => "select, insert, delete",
        table if DELETABLE.contains(&table) => "select, insert, update, delete",
        _ => "select, insert, update",
    }
}

async fn grant(connection: &mut PgConnection, app_role: &str) -> Result<(), DatabaseError> {
    let mut tx = connection.begin().await?;
    role::lock_grants(&mut tx).await?;
    let relations: Vec<(String, String, bool)> = sqlx::query_as(
        "select relname::text, format('%I.%I', current_schema(), relname), relkind = 'v' from pg_class
         where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'v') order by relname",
    )
    .fetch_all(&mut *tx)
    .await?;
    let (schema, role): (String, String) =
        sqlx::query_as("select format('%I', current_schema()), format('%I', $1::text)")
            .bind(app_role)
            .fetch_one(&mut *tx)
            .await?;
    // Every identifier in here was quoted by the server.
    let mut statements = format!("grant usage on schema {schema} to {role};");
    for (name, quoted, is_view) in &relations {
        let granted = if *is_view { "select" } else { privileges(name) };
        statements
            .push_str(&format!("revoke all on {quoted} from {role}; grant {granted} on {quoted} to {role};"));
    }
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_what_to_do_about_it() {
        let behind = SchemaDifference { missing: vec!["0004 webhook".to_owned()], ..Default::default() };
        assert_eq!(
            behind.to_string(),
            "the database's schema is behind this program by 0004 webhook: run `payment-service migrate`"
        );
        assert!(behind.blocks_a_running_service());
        let ahead = SchemaDifference {
            unknown: vec!["0005 x".to_owned(), "0006 y".to_owned()],
            ..Default::default()
        };
        assert_eq!(
            ahead.to_string(),
            "the database's schema is ahead of this program by 0005 x, 0006 y: run a newer version of the program"
        );
        assert!(!ahead.blocks_a_running_service());
        assert!(!ahead.is_none());
        assert!(SchemaDifference::default().is_none());
    }

    #[test]
    fn nothing_that_is_append_only_may_be_changed() {
        for table in APPEND_ONLY {
            assert_eq!(privileges(table), "select, insert");
        }
        assert_eq!(privileges(HISTORY), "select");
        assert_eq!(privileges("payment"), "select, insert, update");
    }
}
