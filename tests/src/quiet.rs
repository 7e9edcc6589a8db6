//! Waiting until nothing is under way any more, and finding what stayed.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::Error;
use crate::report::Clock;
use crate::stage::Stage;

/// How long it may take until everything is finished.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often somebody who watches is told what it waits for.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// What must not stay, and the query that counts it.
const UNFINISHED: [(&str, &str); 7] = [
    ("payments in processing", "select count(*) from payment where status = 'processing'"),
    ("operations in sending", "select count(*) from operation where status in ('created', 'sending')"),
    ("operations in unknown", "select count(*) from operation where status = 'unknown'"),
    ("operations in needs_review", "select count(*) from operation where status = 'needs_review'"),
    ("requests without their answer", "select count(*) from idempotency_key where response_status is null"),
    (
        "webhooks pending or parked",
        "select count(*) from webhook_event where status in ('pending', 'parked')",
    ),
    ("webhooks in quarantine", "select count(*) from webhook_event where status = 'quarantined'"),
];

/// Waits until every webhook is delivered and nothing is unfinished, or for as long as it may take: how much is unfinished then, by
/// what it is.
///
/// # Errors
/// When the database or the PSP cannot be asked.
pub async fn wait(stage: &Stage, clock: Clock) -> Result<Vec<(&'static str, i64)>, Error> {
    let began = Instant::now();
    let mut said = began;
    let mut database = PgConnection::connect(&stage.installation.superuser_url()?).await?;
    stage.control.webhooks_delivered().await?;
    loop {
        let counts = count(&mut database).await?;
        let open: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        if open.is_empty() || began.elapsed() >= PATIENCE {
            return Ok(counts);
        }
        if said.elapsed() >= SAY_EVERY {
            clock.say(&format!("still open: {}", open.join(", ")));
            said = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn count(database: &mut PgConnection) -> Result<Vec<(&'static str, i64)>, Error> {
    let mut counts = Vec::with_capacity(UNFINISHED.len());
    for (what, query) in UNFINISHED {
        counts.push((what, sqlx::query_scalar(query).fetch_one(&mut *database).await?));
    }
    Ok(counts)
}
