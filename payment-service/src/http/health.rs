//! Whether the service lives, and whether it wants requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use sqlx::PgPool;

use super::error::{Code, Problem, ProblemDocument};
use crate::database;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What readiness hangs on.
#[derive(Debug)]
pub struct Health {
    pool: PgPool,
    draining: AtomicBool,
}

impl Health {
    /// Of a service over this database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, draining: AtomicBool::new(false) }
    }

    /// From now on the service finishes what it has and wants nothing new.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn check(&self) -> Result<(), Problem> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(not_ready("the service is shutting down"));
        }
        let asked = tokio::time::timeout(PATIENCE, database::schema_difference(&self.pool)).await;
        match asked {
            Err(_) => Err(not_ready("the database does not answer")),
            Ok(Err(error)) => Err(not_ready("the database cannot be reached").caused_by(error)),
            Ok(Ok(difference)) if difference.blocks_a_running_service() => {
                Err(not_ready(difference.to_string()))
            }
            Ok(Ok(_)) => Ok(()),
        }
    }
}

fn not_ready(why: impl Into<String>) -> Problem {
    Problem::new(Code::Unavailable).detail(why).retry_after(Duration::from_secs(1))
}

/// How it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Status {
    /// `ok`
    status: &'static str,
}

const OK: Json<Status> = Json(Status { status: "ok" });

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses(
    (status = 200, description = "The process lives", body = Status),
    (status = "default", description = "Any refusal", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub async fn healthz() -> Json<Status> {
    OK
}

/// Answers well while the database can be reached, its schema fits and the service is not shutting down.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses(
    (status = 200, description = "Requests are wanted", body = Status),
    (status = 503, description = "Requests are not wanted now", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "default", description = "Any other refusal", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub async fn readyz(State(health): State<Arc<Health>>) -> Result<Json<Status>, Problem> {
    health.check().await?;
    Ok(OK)
}
