//! What Postgres does by itself with the same file.

use std::time::{Duration, Instant};

use super::shop::Shop;
use crate::Error;

/// How long each step took.
pub struct Floor {
    pub copy: Duration,
    pub join: Duration,
}

/// Copies the file into a table of its columns, and joins it with the operations that it names.
///
/// # Errors
/// When psql fails, or not every line finds its operation.
pub fn measure(shop: &Shop<'_>) -> Result<Floor, Error> {
    let columns: Vec<String> = super::shop::HEADER.split(',').map(|name| format!("{name:?} text")).collect();
    shop.sql(&format!("create table floor ({}); checkpoint", columns.join(", ")))?;
    let began = Instant::now();
    shop.sql(&format!("\\copy floor from '{}' with (format csv, header)", shop.file.display()))?;
    let copy = began.elapsed();
    let began = Instant::now();
    let found = shop.ask(
        "select count(*) from floor f join operation o
             on o.merchant_id = :'merchant' and o.psp_account_id = :'psp_account' and o.psp_reference = f.payment_intent_id
         where (f.gross::numeric * 100)::bigint = o.amount",
    )?;
    let join = began.elapsed();
    if found != shop.lines.to_string() {
        return Err(Error::Unexpected(format!("the floor matched {found} of {} lines", shop.lines)));
    }
    shop.sql("drop table floor")?;
    Ok(Floor { copy, join })
}
