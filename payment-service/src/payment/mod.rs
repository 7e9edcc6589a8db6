//! Payments: what a buyer owes for an order, and what has become of it.

mod repo;
mod state;
mod timeline;
mod view;

use std::collections::BTreeMap;

use money::{MerchantId, Money, OrderId, PaymentId, PspAccountId};
use sqlx::{PgExecutor, PgPool};
use wallet::wallet::Split;

use crate::psp::{CaptureMethod, Method};
pub use repo::Filter;
pub use state::{IllegalTransition, PaymentEvent, PaymentStatus};
pub use timeline::{Timeline, TimelineEntry};
pub use view::{Failure, NextAction, PaymentView, SplitView};

/// A checked request for a payment, with the id it will have.
#[derive(Debug, Clone)]
pub struct NewPayment {
    /// Its id, made before anything is sent.
    pub payment_id: PaymentId,
    /// The merchant's order.
    pub order_id: OrderId,
    /// What the buyer owes; positive.
    pub amount: Money,
    /// Where it is charged.
    pub psp_account_id: PspAccountId,
    /// How the buyer pays.
    pub method: Method,
    /// Whether the PSP captures at once.
    pub capture_method: CaptureMethod,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// Whose money it is; the parts add up to the amount.
    pub splits: Vec<Split>,
}

/// The payment as it is now; none if the merchant has no such payment.
///
/// # Errors
/// When Postgres fails.
pub async fn get(
    db: impl PgExecutor<'_>,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Option<PaymentView>, sqlx::Error> {
    repo::get(db, merchant, payment).await
}

/// The merchant's payments, newest first.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    merchant: MerchantId,
    filter: &Filter,
) -> Result<Vec<PaymentView>, sqlx::Error> {
    repo::list(pool, merchant, filter).await
}

/// Everything that is known to have happened to a payment, oldest first; none if the merchant has no such payment.
///
/// # Errors
/// When Postgres fails.
pub async fn timeline(
    pool: &PgPool,
    merchant: MerchantId,
    payment: PaymentId,
) -> Result<Option<Timeline>, sqlx::Error> {
    timeline::read(pool, merchant, payment).await
}
