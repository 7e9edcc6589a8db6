//! I17: no card numbers at rest. Every text, JSON and text-array column of every table with a merchant is read in full,
//! row by row, and never printed.

use futures::TryStreamExt as _;
use money::MerchantId;
use sqlx::{AssertSqlSafe, PgConnection};

use super::Found;
use crate::http::card_number::found_in;

/// A table with its columns as the server quotes them.
struct Table {
    name: String,
    quoted: String,
    /// Of the primary key but the merchant, to name a row by.
    key: Option<String>,
    /// All with text.
    text: String,
}

pub(super) async fn look(db: &mut PgConnection, merchant: MerchantId) -> Result<Found, sqlx::Error> {
    let mut found = Found {
        note: Some("the database in full; logs and topics are not seen".to_owned()),
        ..Found::default()
    };
    for Table { name, quoted, key, text } in tables(db).await? {
        let key = key.as_deref().unwrap_or("''");
        // a line end is no separator of a card number's groups: no number is found across two columns
        let statement = AssertSqlSafe(format!(
            "select concat_ws('/', {key}), concat_ws(E'\\n', {text}) from {quoted} where merchant_id = $1"
        ));
        let mut rows = sqlx::query_as::<_, (String, String)>(statement).bind(merchant).fetch(&mut *db);
        while let Some((key, text)) = rows.try_next().await? {
            found.judge(!found_in(&text), || {
                let key = if found_in(&key) { "whose key it is in" } else { key.as_str() };
                format!("{name} {key}")
            });
        }
    }
    Ok(found)
}

async fn tables(db: &mut PgConnection) -> Result<Vec<Table>, sqlx::Error> {
    let rows: Vec<(String, String, Option<String>, String)> = sqlx::query_as(
        "select t.relname::text, format('%I.%I', n.nspname, t.relname),
                (select string_agg(format('%I::text', a.attname), ', ' order by array_position(i.indkey, a.attnum))
                 from pg_index i join pg_attribute a on a.attrelid = t.oid and a.attnum = any(i.indkey)
                 where i.indrelid = t.oid and i.indisprimary and a.attname <> 'merchant_id'),
                string_agg(format('%I::text', c.attname), ', ' order by c.attnum)
         from pg_class t
         join pg_namespace n on n.oid = t.relnamespace and n.nspname = current_schema()
         join pg_attribute c on c.attrelid = t.oid and c.attnum > 0 and not c.attisdropped
              and c.atttypid in ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype, 'text[]'::regtype)
         where t.relkind in ('r', 'p')
           and exists (select from pg_attribute m where m.attrelid = t.oid and m.attname = 'merchant_id')
         group by t.oid, t.relname, n.nspname
         order by t.relname",
    )
    .fetch_all(db)
    .await?;
    let table = |(name, quoted, key, text)| Table { name, quoted, key, text };
    Ok(rows.into_iter().map(table).collect())
}
