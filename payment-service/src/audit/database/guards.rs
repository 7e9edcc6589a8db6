//! I18: what keeps the books append-only is there, is on, and the service's role could not go around it.

use sqlx::PgConnection;

use super::{Counted, Found};
use crate::database::privileges as granted_on;

/// `pg_trigger.tgtype`: what a trigger fires on.
const ROW: i16 = 1;
const BEFORE: i16 = 1 << 1;
const INSERT: i16 = 1 << 2;
const DELETE: i16 = 1 << 3;
const UPDATE: i16 = 1 << 4;
const TRUNCATE: i16 = 1 << 5;

/// The triggers that hold what no constraint can, or none holds as cheaply (migration 0012).
const TRIGGERS: &[(&str, &str, i16)] = &[
    ("ledger_entry", "ledger_entry_balanced", INSERT),
    ("ledger_entry", "ledger_entry_append_only", UPDATE | DELETE | TRUNCATE),
    ("ledger_transaction", "ledger_transaction_append_only", UPDATE | DELETE | TRUNCATE),
    ("ledger_transaction", "ledger_transaction_stamped", INSERT),
    ("ledger_account", "ledger_account_append_only", UPDATE | DELETE | TRUNCATE),
    ("ledger_balance", "ledger_balance_fixed", UPDATE | DELETE | TRUNCATE),
    ("attempt", "attempt_append_only", UPDATE | DELETE | TRUNCATE),
    ("settlement_line", "settlement_line_append_only", UPDATE | TRUNCATE),
    ("settlement_line", "settlement_line_kept", DELETE),
    ("settlement_line", "settlement_line_in_chunk", INSERT),
    ("settlement_chunk", "settlement_chunk_kept", DELETE),
    ("settlement_file", "settlement_file_kept", DELETE),
    ("recon_match", "recon_match_of_line", INSERT),
    ("recon_break_act", "recon_break_act_append_only", UPDATE | DELETE | TRUNCATE),
    ("recon_adjustment", "recon_adjustment_append_only", DELETE | TRUNCATE),
    ("bank_file", "bank_file_append_only", UPDATE | DELETE | TRUNCATE),
    ("bank_statement", "bank_statement_append_only", UPDATE | DELETE | TRUNCATE),
    ("bank_booking", "bank_booking_append_only", UPDATE | DELETE | TRUNCATE),
    ("bank_entry", "bank_entry_append_only", DELETE | TRUNCATE),
    ("bank_entry", "bank_entry_kept", ROW | BEFORE | UPDATE),
    ("bank_match", "bank_match_append_only", DELETE | TRUNCATE),
    ("bank_match", "bank_match_adds_up", ROW | INSERT | UPDATE),
    ("recon_break", "recon_break_kept", DELETE),
    ("payment", "payment_rules", ROW | BEFORE | INSERT | UPDATE),
    ("operation", "operation_rules", ROW | BEFORE | INSERT | UPDATE),
    ("attempt", "attempt_rules", ROW | BEFORE | INSERT),
    ("idempotency_key", "idempotency_key_rules", ROW | BEFORE | INSERT | UPDATE),
];

/// A role or database whose sessions begin as replicas would fire none of them.
pub(super) async fn triggers(db: &mut PgConnection) -> Result<Found, sqlx::Error> {
    let tables: Vec<&str> = TRIGGERS.iter().map(|(table, _, _)| *table).collect();
    let names: Vec<&str> = TRIGGERS.iter().map(|(_, name, _)| *name).collect();
    let types: Vec<i16> = TRIGGERS.iter().map(|(_, _, fires_on)| *fires_on).collect();
    let counted = sqlx::query_as!(
        Counted,
        r#"with needed as (
             select * from unnest($1::text[], $2::text[], $3::smallint[]) as n (on_table, name, fires_on)
         ), offender as (
             select n.name || ' on ' || n.on_table as id
             from needed n
             left join pg_trigger t on t.tgrelid = to_regclass(n.on_table) and t.tgname = n.name
                  and t.tgenabled in ('O', 'A') and t.tgtype & n.fires_on = n.fires_on
                  -- the rules of rows, whatever column changes
                  and t.tgqual is null and (t.tgattr = '' or n.fires_on & 1 = 0)
             where t.tgname is null
             union all
             select 'sessions of ' || coalesce(r.rolname, 'anybody') || ' fire no triggers'
             from pg_db_role_setting s
             left join pg_roles r on r.oid = s.setrole
             cross join unnest(s.setconfig) as setting
             where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
               and setting like 'session\_replication\_role=%' and setting not like '%=origin'
         )
         select (select count(*) from needed) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!: Vec<String>""#,
        &tables as &[&str],
        &names as &[&str],
        &types,
    )
    .fetch_one(db)
    .await?;
    Ok(counted.into())
}

/// What the service's role may do with a table beyond what a migration grants it there.
pub(super) async fn privileges(db: &mut PgConnection, app_role: &str) -> Result<Found, sqlx::Error> {
    let tables = sqlx::query_scalar!(
        r#"select relname::text as "name!" from pg_class
         where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') order by relname"#
    )
    .fetch_all(&mut *db)
    .await?;
    let mut on_tables = Vec::new();
    let mut verbs = Vec::new();
    for table in &tables {
        let granted: Vec<&str> = granted_on(table).split(", ").collect();
        for verb in ["insert", "update", "delete", "truncate", "references", "trigger"] {
            if !granted.contains(&verb) {
                on_tables.push(table.as_str());
                verbs.push(verb);
            }
        }
    }
    let row = sqlx::query!(
        r#"with privilege as (
             select r.rolname || ' may ' || p.verb || ' ' || p.on_table as id,
                    has_table_privilege(r.oid, to_regclass(quote_ident(p.on_table)), p.verb) as granted
             from pg_roles r cross join unnest($2::text[], $3::text[]) as p (on_table, verb)
             where r.rolname = $1
         ), offender as (select id from privilege where granted is distinct from false)
         select (select count(*) from privilege) as "looked!", (select count(*) from offender) as "offending!",
                array(select id from offender order by id limit 5) as "offenders!: Vec<String>",
                current_user::text as "user!""#,
        app_role,
        &on_tables as &[&str],
        &verbs as &[&str],
    )
    .fetch_one(db)
    .await?;
    let failed = row.looked == 0;
    let note = failed.then(|| format!("there is no role {app_role} here: connected as {}", row.user));
    Ok(Found {
        looked: row.looked,
        offending: row.offending,
        offenders: row.offenders,
        note,
        failed,
        ..Found::default()
    })
}
