//! What goes wrong on this day.

use std::time::Duration;

use embedded_postgres::{Durability, EmbeddedPostgres, Options};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;

use super::client::Gauge;
use crate::Error;
use crate::psp::{Fault, rules};
use crate::stage::Stage;

/// Short enough that a killed service's operations are taken over while somebody watches. In production they are longer.
pub const TIMES: [&str; 6] = ["--patience", "4s", "--psp-deadline", "6s", "--lease", "8s"];

/// What the PSP does wrong: how often in a thousand calls, which call if only one, and what. A 500 that it remembers has
/// done something: one that had not could never be proved, by design, and would be left for a person.
const FAULTS: [Fault; 7] = [
    (50, None, r#"{"kind":"drop_reply","close":"reset"}"#),
    (50, None, r#"{"kind":"drop_reply","close":"fin"}"#),
    (15, None, r#"{"kind":"server_error","saved":false}"#),
    (10, Some("payment_intents.create"), r#"{"kind":"server_error","saved":true,"executes":"all"}"#),
    (5, Some("payment_intents.create"), r#"{"kind":"server_error","saved":true,"executes":"created"}"#),
    (10, None, r#"{"kind":"unavailable"}"#),
    (10, None, r#"{"kind":"rate_limited","retry_after_seconds":1}"#),
];

/// What was under way when a program was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// Requests of clients that awaited an answer.
    pub requests: usize,
    /// Operations that the database had in `sending`.
    pub sending: i64,
    /// Calls that the PSP was working on, where it was the PSP.
    pub calls: u64,
    /// What the PSP had counted until then, where it was the PSP: it counts anew after its restart.
    pub counted: Value,
}

impl Killed {
    /// What to say of a kill of the service.
    pub fn of_the_service(&self) -> String {
        let Self { requests, sending, .. } = self;
        format!(
            "kill -9 of the service while {sending} operations were being sent to the PSP and {requests} requests awaited \
             an answer; started again"
        )
    }

    /// What to say of a kill of the PSP.
    pub fn of_the_psp(&self) -> String {
        let Self { requests, sending, calls, .. } = self;
        format!(
            "kill -9 of the PSP while it worked on {calls} calls, {sending} operations were being sent and {requests} \
             requests awaited an answer; started again"
        )
    }
}

/// A kill waits for a busy moment, but not for ever.
const BUSY_LOOKS: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So many calls at the PSP are a busy moment.
const BUSY_CALLS: u64 = 4;

/// Makes the PSP misbehave: replies that are lost, errors, webhooks late, twice and out of order.
///
/// # Errors
/// When it refuses.
pub async fn misbehave(stage: &Stage) -> Result<(), Error> {
    stage.send_webhooks().await?;
    let webhooks = json!({
        "delay_ms": {"min": 0, "max": 800}, "duplicate_rate": 0.2,
        "reorder_rate": 0.2, "reorder_delay_ms": {"min": 200, "max": 2000}, "retry_max_ms": 2000,
    });
    let latency = json!({"min": 20, "max": 60});
    stage.control.configure(&json!({"latency_ms": latency, "webhooks": webhooks})).await?;
    for rule in rules(&FAULTS) {
        stage.control.fault(&rule).await?;
    }
    Ok(())
}

/// Kills the service with SIGKILL in a busy moment, looks what it left in the database, and starts it again. Blocks the
/// thread.
///
/// # Errors
/// When it does not start again.
pub fn kill_service(stage: &mut Stage, waiting: &Gauge, clients: usize) -> Result<Killed, Error> {
    Handle::current().block_on(async {
        for _ in 0..BUSY_LOOKS {
            if waiting.now() >= clients / 2 {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    let requests = waiting.now();
    stage.kill_service()?;
    let folder = stage.installation.postgres_folder().unwrap_or_default();
    let postgres = EmbeddedPostgres::start(&Options::new(folder, Durability::Durable))?;
    let sending = Handle::current().block_on(sending(&postgres.superuser_url("payonce")));
    postgres.shutdown()?;
    stage.start_service()?;
    Ok(Killed { requests, sending: sending?, calls: 0, counted: Value::Null })
}

/// Kills the PSP with SIGKILL in a busy moment and starts it again. Blocks the thread.
///
/// # Errors
/// When it does not start again.
pub fn kill_sandbox(stage: &mut Stage, waiting: &Gauge) -> Result<Killed, Error> {
    let url = stage.installation.superuser_url()?;
    let looks = async {
        let sending = sending(&url).await?;
        for _ in 0..BUSY_LOOKS {
            let counted = stage.control.get("stats").await?;
            if open_calls(&counted) >= BUSY_CALLS {
                return Ok((sending, counted));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok::<_, Error>((sending, stage.control.get("stats").await?))
    };
    let (sending, counted) = Handle::current().block_on(looks)?;
    let requests = waiting.now();
    stage.kill_sandbox()?;
    stage.start_sandbox()?;
    Ok(Killed { requests, sending, calls: open_calls(&counted), counted })
}

fn open_calls(stats: &Value) -> u64 {
    stats["open_calls"].as_u64().unwrap_or_default()
}

async fn sending(database_url: &str) -> Result<i64, Error> {
    let mut database = PgConnection::connect(database_url).await?;
    let count = sqlx::query_scalar("select count(*) from operation where status = 'sending'");
    Ok(count.fetch_one(&mut database).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_in_a_hundred_replies_are_lost_and_five_are_errors() {
        let (mut lost, mut errors) = (0, 0);
        for (rate, _, fault) in FAULTS {
            *if fault.contains("drop_reply") { &mut lost } else { &mut errors } += rate;
        }
        assert_eq!((lost, errors), (100, 50));
        assert!(rules(&FAULTS).iter().all(|rule| rule["fault"]["kind"].is_string()));
    }
}
