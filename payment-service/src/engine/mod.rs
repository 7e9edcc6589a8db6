//! The engine: takes a request from claim to stored answer, and finishes what was left unfinished.
//!
//! Everything that must not stop half-way runs in a tracked task of its own: a client that hangs up cancels its wait
//! and nothing else.

mod batcher;
#[cfg(test)]
mod model;
mod resolve;
mod work;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use money::{MerchantId, OperationId, PaymentId, PayoutId};
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::failpoint::Failpoint;
use crate::idempotency::{Fingerprint, IdempotencyKey};
use crate::merchant::{Directory, PspAccount};
use crate::operation::{self, Begun, By, Claim, Claimed, Finding, Follow, Followed, Recorded, Recording};
use crate::payout::{self, NewPayout};
use crate::psp::{Account, Aim, AmountRefused, Connectors, Errand, Expected, Outcome, Why};
pub use batcher::Sizes;
use batcher::{Batcher, Refused};
pub use resolve::{AskError, Outcome as ResolveOutcome};
use work::{ClaimWork, FollowWork, PayoutWork, RecordWork};

/// Times and bounds of the engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long one send may take in all, retries included. Shorter than `lease`.
    pub deadline: Duration,
    /// How long an operation is its sender's.
    pub lease: Duration,
    /// How long a caller waits before it is told that the payment is processing.
    pub patience: Duration,
    /// How long a buyer may take to act before the payment is cancelled at the PSP.
    pub action_window: Duration,
    /// How long an operation may stay in doubt before a person is asked.
    pub review_after: Duration,
    /// Payments being worked on at once; more are refused before anything is claimed.
    pub in_flight: usize,
    /// The batcher in front of the claims.
    pub claims: Sizes,
    /// The batcher in front of the recordings.
    pub records: Sizes,
}

impl Default for Settings {
    fn default() -> Self {
        let sizes = Sizes { workers: 4, per_merchant: 2, batch: 128, waiting: 4096 };
        Self {
            deadline: Duration::from_secs(20),
            lease: Duration::from_secs(30),
            patience: Duration::from_secs(15),
            action_window: Duration::from_secs(24 * 3600),
            review_after: Duration::from_secs(72 * 3600),
            in_flight: 4096,
            claims: sizes,
            records: sizes,
        }
    }
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The stored answer.
    Final {
        /// HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Whether it was stored by an earlier request.
        replayed: bool,
    },
    /// The outcome is not known yet: what was begun, as it is now, is the answer.
    Accepted {
        /// What was begun.
        subject: Subject,
        /// Whether an earlier request made it.
        replayed: bool,
    },
    /// Another request with the key is at work.
    InFlight,
    /// The key belongs to another request, which differs in this field.
    OtherRequest(&'static str),
    /// The merchant has no such payment.
    NoPayment,
    /// The PSP cannot do exactly this amount.
    AmountRefused(AmountRefused),
}

/// What a request has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A payment.
    Payment(PaymentId),
    /// A capture, void or refund.
    Operation(OperationId),
    /// A payout.
    Payout(PayoutId),
}

/// Why a request was not claimed (nothing was sent for it), or a finding not recorded.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// Too much is going on.
    #[error("the service is busy")]
    Busy,
    /// It could not be written.
    #[error("it could not be written")]
    Failed(#[source] Arc<operation::Error>),
    /// What became of it is not known; the same key tells.
    #[error("it was interrupted")]
    Interrupted,
}

impl PayError {
    /// Whether the finding names an object of the PSP's that is another operation's already.
    pub fn is_foreign_reference(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_foreign_reference())
    }
}

impl From<Refused<operation::Error>> for PayError {
    fn from(refused: Refused<operation::Error>) -> Self {
        match refused {
            Refused::Full => Self::Busy,
            Refused::Failed(error) => Self::Failed(error),
            Refused::Interrupted => Self::Interrupted,
        }
    }
}

/// A request to pay, checked and ready to be claimed.
#[derive(Debug)]
pub struct Request {
    /// Whose it is.
    pub merchant_id: MerchantId,
    /// Where it is charged.
    pub account: Arc<PspAccount>,
    /// The claim.
    pub claim: Claim,
}

type Reply = oneshot::Sender<Result<Answer, PayError>>;

/// Until when a claimed operation may be sent, and until when its caller waits.
#[derive(Clone, Copy)]
struct Times {
    until: Instant,
    patience: Instant,
}

/// A claimed operation on its way to the PSP.
#[derive(Clone, Copy)]
struct Sending<'a> {
    merchant: MerchantId,
    errand: &'a Errand,
    fence: i64,
    /// The client's.
    key: &'a IdempotencyKey,
}

/// The engine of a process. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    pool: PgPool,
    connectors: Arc<Connectors>,
    settings: Settings,
    claims: Batcher<ClaimWork>,
    follows: Batcher<FollowWork>,
    payouts: Batcher<PayoutWork>,
    records: Batcher<RecordWork>,
    in_flight: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Engine {
    /// Starts an engine on a pool for the statements of every payment ([`crate::database::hot_pool`]).
    pub fn start(pool: PgPool, connectors: Arc<Connectors>, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            claims: Batcher::start(ClaimWork { pool: pool.clone() }, settings.claims),
            follows: Batcher::start(FollowWork { pool: pool.clone() }, settings.claims),
            payouts: Batcher::start(PayoutWork { pool: pool.clone() }, settings.claims),
            records: Batcher::start(RecordWork { pool: pool.clone() }, settings.records),
            in_flight: Arc::new(Semaphore::new(settings.in_flight)),
            tasks: TaskTracker::new(),
            pool,
            connectors,
            settings,
        }))
    }

    /// How long an operation is its sender's.
    pub fn lease(&self) -> Duration {
        self.0.settings.lease
    }

    /// Takes a request from claim to answer. Dropping the future changes nothing but who hears of it.
    ///
    /// # Errors
    /// When nothing was claimed, so far as is known.
    pub async fn pay(&self, request: Request) -> Result<Answer, PayError> {
        self.detach(|engine, reply, permit| engine.work_on(request, reply, permit)).await
    }

    /// Takes a request for a capture, void or refund from claim to answer, likewise.
    ///
    /// # Errors
    /// When nothing was claimed, so far as is known.
    pub async fn follow(
        &self,
        directory: Arc<Directory>,
        merchant: MerchantId,
        follow: Follow,
    ) -> Result<Answer, PayError> {
        self.detach(|engine, reply, permit| async move {
            engine.follow_up(&directory, merchant, follow, reply, permit).await;
        })
        .await
    }

    /// Takes a request for a payout from claim to answer, likewise.
    ///
    /// # Errors
    /// When nothing was claimed, so far as is known.
    pub async fn pay_out(&self, account: Arc<PspAccount>, new: NewPayout) -> Result<Answer, PayError> {
        self.detach(|engine, reply, permit| async move {
            engine.send_to_seller(&account, new, reply, permit).await;
        })
        .await
    }

    /// Runs `work` in a task of its own and waits for its reply.
    async fn detach<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(Self, Reply, OwnedSemaphorePermit) -> F,
    ) -> Result<Answer, PayError> {
        let permit = Arc::clone(&self.0.in_flight).try_acquire_owned().map_err(|_| PayError::Busy)?;
        let (reply, answer) = oneshot::channel();
        self.0.tasks.spawn(work(self.clone(), reply, permit));
        answer.await.unwrap_or(Err(PayError::Interrupted))
    }

    /// What a request with this key was answered before; none where the key is new. Claims and sends nothing.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn earlier(
        &self,
        merchant: MerchantId,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Answer>, PayError> {
        let earlier = operation::earlier(&self.0.pool, merchant, key, fingerprint).await;
        Ok(earlier.map_err(|error| PayError::Failed(Arc::new(error)))?.map(answer_to))
    }

    /// The same of a request for a payout.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn earlier_payout(
        &self,
        merchant: MerchantId,
        key: &IdempotencyKey,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Answer>, PayError> {
        let earlier = payout::earlier(&self.0.pool, merchant, key, fingerprint).await;
        Ok(earlier.map_err(|error| PayError::Failed(Arc::new(error)))?.map(answer_to_payout))
    }

    /// No new work is taken; waits until what is under way has ended, at most `grace`. Answers whether it has.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.0.in_flight.close();
        self.0.tasks.close();
        tokio::time::timeout(grace, self.0.tasks.wait()).await.is_ok()
    }

    /// Records what was found out about an operation.
    ///
    /// # Errors
    /// When it could not be recorded; whether it was is unknown only where the database did not say.
    pub async fn record(&self, merchant: MerchantId, recording: Recording) -> Result<Recorded, PayError> {
        Ok(self.0.records.submit(merchant, recording).await?)
    }

    async fn work_on(self, request: Request, reply: Reply, permit: OwnedSemaphorePermit) {
        // counted from before the claim: by any clock the lease lasts longer than the deadline
        let times = self.times();
        let merchant = request.merchant_id;
        if let Err(error) = Failpoint::Claim.pass_for("authorize").await {
            return drop(reply.send(Err(PayError::Failed(Arc::new(error.into())))));
        }
        let (operation_id, fence) = match self.claim(merchant, &request.claim).await {
            Ok(Claimed::Fresh { operation_id, fence }) => (operation_id, fence),
            Ok(claimed) => return drop(reply.send(Ok(answer_to(claimed)))),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let payment = &request.claim.payment;
        let aim = Aim::Authorize { capture: payment.capture_method };
        let errand = Errand {
            expected: Expected { operation_id, amount: payment.amount, aim },
            order_id: payment.order_id.clone(),
            method: Some(payment.method.clone()),
        };
        let sending = Sending { merchant, errand: &errand, fence, key: &request.claim.key };
        let subject = Subject::Payment(payment.payment_id);
        self.carry_out(&request.account.account, sending, times, subject, reply).await;
        drop(permit);
    }

    async fn follow_up(
        self,
        directory: &Directory,
        merchant: MerchantId,
        follow: Follow,
        reply: Reply,
        permit: OwnedSemaphorePermit,
    ) {
        let times = self.times();
        let key = follow.key.clone();
        if let Err(error) = Failpoint::Claim.pass_for(follow.want.kind().as_str()).await {
            return drop(reply.send(Err(PayError::Failed(Arc::new(error.into())))));
        }
        let Begun { errand, fence, psp_account_id } = match self.0.follows.submit(merchant, follow).await {
            Ok(Followed::Fresh(begun)) => *begun,
            Ok(followed) => return drop(reply.send(Ok(answer_to_follow(followed)))),
            Err(refused) => return drop(reply.send(Err(refused.into()))),
        };
        let subject = Subject::Operation(errand.expected.operation_id);
        match directory.any_psp_account(merchant, psp_account_id).await {
            Ok(account) => {
                let sending = Sending { merchant, errand: &errand, fence, key: &key };
                self.carry_out(&account.account, sending, times, subject, reply).await;
            }
            // it is claimed: when its lease is over it is taken up again
            Err(error) => {
                let operation_id = errand.expected.operation_id;
                tracing::error!(%operation_id, error = &error as &dyn std::error::Error, "its PSP account cannot be used");
                self.accept(merchant, &key).await;
                drop(reply.send(Ok(Answer::Accepted { subject, replayed: false })));
            }
        }
        drop(permit);
    }

    async fn send_to_seller(
        self,
        account: &PspAccount,
        new: NewPayout,
        reply: Reply,
        permit: OwnedSemaphorePermit,
    ) {
        let times = self.times();
        let (merchant, key, subject) = (account.merchant_id, new.key.clone(), Subject::Payout(new.payout_id));
        if let Err(error) = Failpoint::Claim.pass_for("payout").await {
            return drop(reply.send(Err(PayError::Failed(Arc::new(error.into())))));
        }
        let Begun { errand, fence, .. } = match self.0.payouts.submit(merchant, new).await {
            Ok(payout::Claimed::Fresh(begun)) => *begun,
            Ok(claimed) => return drop(reply.send(Ok(answer_to_payout(claimed)))),
            Err(refused) => return drop(reply.send(Err(refused.into()))),
        };
        let sending = Sending { merchant, errand: &errand, fence, key: &key };
        self.carry_out(&account.account, sending, times, subject, reply).await;
        drop(permit);
    }

    fn times(&self) -> Times {
        let now = Instant::now();
        Times { until: now + self.0.settings.deadline, patience: now + self.0.settings.patience }
    }

    /// Sends what was claimed, records what came of it, and answers; with 202 where that takes longer than a caller waits.
    async fn carry_out(
        &self,
        account: &Account,
        sending: Sending<'_>,
        times: Times,
        subject: Subject,
        reply: Reply,
    ) {
        let (merchant, key) = (sending.merchant, sending.key);
        let kind = sending.errand.expected.aim.word();
        if Failpoint::Claimed.pass_for(kind).await.is_err() {
            return drop(reply.send(Err(PayError::Interrupted)));
        }
        let send = self.send(account, sending, times.until);
        tokio::pin!(send);
        tokio::select! {
            answer = &mut send => {
                let answer = answer.unwrap_or(Answer::Accepted { subject, replayed: false });
                let told = Failpoint::Recorded.pass_for(kind).await.map_err(|_| PayError::Interrupted);
                drop(reply.send(told.map(|()| answer)));
            }
            () = tokio::time::sleep_until(times.patience) => {
                self.accept(merchant, key).await;
                drop(reply.send(Ok(Answer::Accepted { subject, replayed: false })));
                send.await;
            }
        }
    }

    async fn claim(&self, merchant: MerchantId, claim: &Claim) -> Result<Claimed, PayError> {
        // An order's state changes under a claim at most as often as a payment of it ends.
        for _ in 0..3 {
            match self.0.claims.submit(merchant, claim.clone()).await? {
                Claimed::Again => {}
                claimed => return Ok(claimed),
            }
        }
        Err(PayError::Busy)
    }

    /// Calls the PSP and records its answer. None when there is no final answer yet.
    async fn send(&self, account: &Account, sending: Sending<'_>, until: Instant) -> Option<Answer> {
        let Sending { merchant, errand, fence, .. } = sending;
        let exchange = self.0.connectors.send(account, errand, false, until).await;
        Failpoint::Answered.pass_for(errand.expected.aim.word()).await.ok()?;
        let recording = Recording {
            operation_id: errand.expected.operation_id,
            by: By::Owner { fence },
            finding: Finding::Answer(exchange.outcome),
            attempts: exchange.attempts,
            attempt_fence: fence,
        };
        let recorded = self.record_surely(merchant, recording, until, Finding::Answer).await?;
        recorded.answer.map(|(status, body)| Answer::Final { status, body, replayed: false })
    }

    /// Records, again and again while the database is away and the operation is still ours. None when it could not be
    /// done: the resolver takes the operation over then. `finding` makes one of the doubt that an answer about another
    /// operation's object leaves.
    async fn record_surely(
        &self,
        merchant: MerchantId,
        mut recording: Recording,
        until: Instant,
        finding: impl Fn(Outcome) -> Finding,
    ) -> Option<Recorded> {
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.record(merchant, recording.clone()).await {
                Ok(recorded) => return Some(recorded),
                Err(error) => error,
            };
            let operation_id = recording.operation_id;
            if error.is_foreign_reference() {
                tracing::error!(%operation_id, "the PSP answered with an object of another operation");
                let why = Why::Mismatch("the PSP's object is another operation's".to_owned());
                recording.finding = finding(Outcome::Unknown { reference: None, why });
                continue;
            }
            if Instant::now() + pause >= until {
                tracing::error!(%operation_id, error = &error as &dyn std::error::Error, "an answer was not recorded");
                return None;
            }
            tracing::warn!(%operation_id, error = &error as &dyn std::error::Error, "recording an answer again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Notes that the caller was told 202, so that a repeat of its request is told the payment's state.
    async fn accept(&self, merchant: MerchantId, key: &IdempotencyKey) {
        if let Err(error) = crate::idempotency::accept(&self.0.pool, merchant, key).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a 202 was not noted; a repeat is told 409"
            );
        }
    }
}

fn answer_to(claimed: Claimed) -> Answer {
    match claimed {
        Claimed::Replay { status, body } => Answer::Final { status, body, replayed: true },
        Claimed::OrderTaken { status, body } => Answer::Final { status, body, replayed: false },
        Claimed::Accepted { payment_id } => {
            Answer::Accepted { subject: Subject::Payment(payment_id), replayed: true }
        }
        Claimed::OtherRequest { field } => Answer::OtherRequest(field),
        Claimed::InFlight | Claimed::Fresh { .. } | Claimed::Again => Answer::InFlight,
    }
}

fn answer_to_follow(followed: Followed) -> Answer {
    match followed {
        Followed::Answered { status, body, replayed } => Answer::Final { status, body, replayed },
        Followed::Accepted { operation_id } => {
            Answer::Accepted { subject: Subject::Operation(operation_id), replayed: true }
        }
        Followed::OtherRequest { field } => Answer::OtherRequest(field),
        Followed::NoPayment => Answer::NoPayment,
        Followed::AmountRefused(why) => Answer::AmountRefused(why),
        Followed::InFlight | Followed::Fresh(_) => Answer::InFlight,
    }
}

fn answer_to_payout(claimed: payout::Claimed) -> Answer {
    match claimed {
        payout::Claimed::Answered { status, body, replayed } => Answer::Final { status, body, replayed },
        payout::Claimed::Accepted { payout_id } => {
            Answer::Accepted { subject: Subject::Payout(payout_id), replayed: true }
        }
        payout::Claimed::OtherRequest { field } => Answer::OtherRequest(field),
        payout::Claimed::AmountRefused(why) => Answer::AmountRefused(why),
        payout::Claimed::InFlight | payout::Claimed::Fresh(_) => Answer::InFlight,
    }
}
