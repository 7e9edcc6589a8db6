//! Rows in the binary format of Postgres's `COPY`, the cheapest way in for many of them.
//!
//! Source: the PostgreSQL documentation, "COPY", "Binary Format".

use sqlx::{Connection as _, PgConnection, PgTransaction};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// What a binary copy begins with: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// In place of a row's number of fields: there are no more rows.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// In place of a field's length: the field is null.
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// Postgres counts days and microseconds from the beginning of 2000.
const EPOCH_DAY: i32 = time::macros::date!(2000 - 01 - 01).to_julian_day();
const EPOCH_MICROS: i128 = time::macros::datetime!(2000-01-01 00:00 UTC).unix_timestamp() as i128 * 1_000_000;

/// Rows that are being put together, each of as many fields.
pub(crate) struct Rows {
    bytes: Vec<u8>,
    fields: i16,
}

impl Rows {
    /// None yet; `capacity` is how many bytes they may well take.
    pub fn of(fields: i16, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(HEADER);
        Self { bytes, fields }
    }

    /// A row, of which the fields follow.
    pub fn row(&mut self) -> Row<'_> {
        self.bytes.extend_from_slice(&self.fields.to_be_bytes());
        Row(&mut self.bytes)
    }

    /// Copies the rows with `statement`, all or none. False, and no harm to the transaction, when one of them is there
    /// already.
    pub async fn send_in_tx(
        mut self,
        tx: &mut PgTransaction<'_>,
        statement: &str,
    ) -> Result<bool, sqlx::Error> {
        self.bytes.extend_from_slice(&TRAILER);
        let connection: &mut PgConnection = tx;
        let mut savepoint = connection.begin().await?;
        match copy(&mut savepoint, statement, self.bytes).await {
            Ok(()) => savepoint.commit().await.map(|()| true),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                savepoint.rollback().await.map(|()| false)
            }
            Err(error) => Err(error),
        }
    }
}

async fn copy(connection: &mut PgConnection, statement: &str, rows: Vec<u8>) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    copy.send(rows).await?;
    copy.finish().await?;
    Ok(())
}

/// A row, while its fields are added in the order of the statement's columns.
pub(crate) struct Row<'a>(&'a mut Vec<u8>);

impl Row<'_> {
    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        // nothing of ours is as long as 2 GiB
        self.0.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn null(&mut self) -> &mut Self {
        self.0.extend_from_slice(&NULL);
        self
    }

    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub fn uuid_or_null(&mut self, value: Option<Uuid>) -> &mut Self {
        match value {
            Some(value) => self.uuid(value),
            None => self.null(),
        }
    }

    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub fn bigint(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub fn bigint_or_null(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.bigint(value),
            None => self.null(),
        }
    }

    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.field(&[u8::from(value)])
    }

    pub fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub fn text_or_null(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    pub fn date(&mut self, value: Date) -> &mut Self {
        self.integer(value.to_julian_day() - EPOCH_DAY)
    }

    pub fn timestamptz(&mut self, value: OffsetDateTime) -> &mut Self {
        // the years that can be written fit
        let micros = value.unix_timestamp_nanos() / 1_000 - EPOCH_MICROS;
        self.bigint(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}
