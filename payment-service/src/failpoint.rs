//! Places where a process can be made to die, to fail or to stall, once: how tests try each step of the engine, the inbox
//! and the relay. Release builds have none of it.
//!
//! `PAYONCE_FAILPOINT=answered/refund=crash` lets the first refund that has its answer, and has not recorded it, take the
//! process down; `error` lets the step fail as if its database were gone, `delay` lets it stall for longer than a short lease.

macro_rules! failpoints {
    ($($(#[$meaning:meta])* $point:ident = $name:literal,)*) => {
        /// A step that can be made to go wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Failpoint {
            $($(#[$meaning])* $point,)*
        }

        impl Failpoint {
            /// Every step.
            pub const ALL: &[Self] = &[$(Self::$point),*];

            /// Its name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

failpoints! {
    /// A request was checked, and nothing is claimed.
    Claim = "claim",
    /// Everything is claimed but for the commit. A first payment of an order is claimed by one statement, and has no such step.
    Claiming = "claiming",
    /// It is claimed, and nothing is sent.
    Claimed = "claimed",
    /// The PSP has answered, and nothing is recorded.
    Answered = "answered",
    /// Everything is recorded but for the commit.
    Recording = "recording",
    /// It is recorded, and nobody is told.
    Recorded = "recorded",
    /// An operation was taken over, and nobody is asked.
    TakenOver = "taken_over",
    /// The PSP was asked about it, and nothing is recorded.
    Asked = "asked",
    /// A webhook came, and is not kept.
    WebhookCame = "webhook_came",
    /// It is kept, and the PSP is not told.
    WebhookKept = "webhook_kept",
    /// It was taken from the inbox, and is not applied.
    WebhookTaken = "webhook_taken",
    /// It is applied, and not marked so.
    WebhookApplied = "webhook_applied",
    /// A relay has its lease and has read events, and has published nothing.
    RelayRead = "relay_read",
    /// The brokers have events, and they are not marked so.
    RelayDelivered = "relay_delivered",
    /// They are marked.
    RelayMarked = "relay_marked",
}

impl Failpoint {
    /// Passes the step, of whatever is done.
    ///
    /// # Errors
    /// When it is to fail here.
    pub async fn pass(self) -> Result<(), sqlx::Error> {
        self.pass_for("any").await
    }

    /// Passes the step in an operation of this kind.
    ///
    /// # Errors
    /// When it is to fail here.
    pub async fn pass_for(self, kind: &str) -> Result<(), sqlx::Error> {
        imp::pass(self, kind).await
    }
}

#[cfg(debug_assertions)]
mod imp {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::Failpoint;

    /// Longer than the short leases of tests, shorter than the patience of their callers.
    const STALL: Duration = Duration::from_millis(1500);

    struct Plan {
        point: String,
        kind: String,
        action: String,
    }

    static PLAN: LazyLock<Option<Plan>> = LazyLock::new(|| {
        let text = std::env::var("PAYONCE_FAILPOINT").ok()?;
        let (place, action) = text.split_once('=')?;
        let (point, kind) = place.split_once('/')?;
        Some(Plan { point: point.to_owned(), kind: kind.to_owned(), action: action.to_owned() })
    });
    static IS_SPENT: AtomicBool = AtomicBool::new(false);

    #[allow(clippy::print_stderr, reason = "it must be out before the process is gone")]
    pub(super) async fn pass(point: Failpoint, kind: &str) -> Result<(), sqlx::Error> {
        let Some(plan) = &*PLAN else { return Ok(()) };
        let is_meant = plan.point == point.as_str() && (plan.kind == kind || plan.kind == "any");
        if !is_meant || IS_SPENT.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        eprintln!("failpoint {}/{kind}={}", plan.point, plan.action);
        match plan.action.as_str() {
            "crash" => std::process::abort(),
            "error" => Err(sqlx::Error::PoolTimedOut),
            _ => {
                tokio::time::sleep(STALL).await;
                Ok(())
            }
        }
    }
}

#[cfg(not(debug_assertions))]
mod imp {
    use super::Failpoint;

    #[allow(clippy::unused_async, reason = "it stands for one that waits")]
    pub(super) async fn pass(_: Failpoint, _: &str) -> Result<(), sqlx::Error> {
        Ok(())
    }
}
