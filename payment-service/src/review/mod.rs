//! Operations of which nobody can tell what became: what is known of them, and what people do about them.
//!
//! A person sees the evidence, has the PSP asked again, and in the end says what became of the operation and why. Above the
//! merchant's limit a second person has to say the same. It then ends as everything does, through
//! [`operation::record_in_tx`], with its books, its event and its stored answer; each act is kept.

mod repo;

use money::{ApiKeyId, Currency, MerchantId, OperationId, PaymentId, PayoutId, PspAccountId};
use serde::Serialize;
use sqlx::{PgPool, PgTransaction};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::idempotency::{self, Begun, Fingerprint, IdempotencyKey};
use crate::operation::{self, By, Effect, Finding, OperationKind, OperationStatus, OperationView, Recording};
use crate::payment::TimelineEntry;
use crate::psp::{Decline, Outcome, PspReference, Success, Why, decline};

/// Why a review could not be read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres failed.
    #[error("review: the database failed")]
    Database(#[from] sqlx::Error),
    /// The operation could not be read or recorded.
    #[error("review: the operation could not be recorded")]
    Operation(#[from] operation::Error),
}

/// Why a person's word is not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The merchant has no such operation.
    #[error("there is no operation with this id")]
    NotFound,
    /// It is not for people to say what became of it.
    #[error("the operation does not need review: it is {0}")]
    NotInReview(&'static str),
    /// The PSP has taken a part of what it held: the order is not free.
    #[error("the PSP has captured a part of it: say that it succeeded, then capture exactly that part")]
    PartlyCaptured,
    /// The PSP has taken a part of what was to be let go: the order is not free.
    #[error(
        "the PSP has captured a part of what was held: say that it failed, then capture exactly that part"
    )]
    NotLetGo,
    /// A capture or void of its payment is under way, and says what became of both.
    #[error("the payment's {1} {0} is under way: it has to end first")]
    UnderWay(OperationId, &'static str),
    /// It can only have succeeded in an object of the PSP's, which has to be named.
    #[error("expected the PSP's name of what it made, such as pi_..., re_... or po_...")]
    ReferenceNeeded,
    /// The operation's object at the PSP is another.
    #[error("the operation is {0} at the PSP")]
    OtherReference(String),
    /// The object is another operation's.
    #[error("the PSP's object is another operation's")]
    ForeignReference,
}

/// What a person says became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The PSP did it: charged, captured, let go, gave back or sent.
    Succeeded,
    /// It did not, and will not.
    Failed,
}

impl Said {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// What this word says.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Succeeded, Self::Failed].into_iter().find(|said| said.as_str() == word)
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds this API key. Keys of one name are one person's: one replaces the other.
    Key(ApiKeyId),
    /// Whoever runs the command line, by the name that they give.
    Cli(String),
}

/// A person's word.
#[derive(Debug, Clone)]
pub struct Word {
    /// About which operation.
    pub operation_id: OperationId,
    /// What became of it.
    pub said: Said,
    /// Why they think so.
    pub reason: String,
    /// The PSP's object, where it is not known yet.
    pub psp_reference: Option<PspReference>,
    /// Who says it.
    pub actor: Actor,
}

/// An operation that needs review, and what is known of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Review {
    /// The operation.
    pub operation: OperationView,
    /// The merchant's order; none of a payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Where it was sent.
    pub psp_account_id: PspAccountId,
    /// The PSP's object, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psp_reference: Option<String>,
    /// Why it needs review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Whether a word closes it, or a second one is awaited.
    pub state: State,
    /// What people did about it, oldest first.
    pub acts: Vec<Act>,
    /// What is known of it, oldest first: attempts, webhooks, settlement lines, breaks. Of more than 1000 pieces the first and the
    /// newest.
    pub evidence: Vec<TimelineEntry>,
}

/// How far a review is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody has to say what became of the operation.
    Open,
    /// Somebody has, and a second person has to say the same.
    AwaitsSecondPerson,
    /// The operation has ended, or never needed review.
    Closed,
}

/// What a person did.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Act {
    /// `asked`, `proposed` or `closed`.
    pub kind: String,
    /// What was said to have become of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The PSP's object that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psp_reference: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `key:` and the name of an API key, or `cli:` and the name of whoever ran the command.
    pub actor: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// One line of the list of what needs review.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Pending {
    /// The operation.
    pub operation_id: OperationId,
    /// Its payment; none of a payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<PaymentId>,
    /// Its payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout_id: Option<PayoutId>,
    /// The merchant's order; none of a payout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// What it was to do.
    #[serde(rename = "type")]
    pub kind: OperationKind,
    /// How much, in minor units.
    pub amount: i64,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Where it was sent.
    pub psp_account_id: PspAccountId,
    /// Why it needs review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Whether a second person's word is awaited.
    pub state: State,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// Which to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// Only those after this one.
    pub after: Option<(OffsetDateTime, OperationId)>,
    /// At most so many.
    pub limit: u16,
}

/// What needs review, longest waiting first.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub async fn list(pool: &PgPool, merchant: MerchantId, filter: &Filter) -> Result<Vec<Pending>, Error> {
    Ok(repo::list(pool, merchant, filter).await?)
}

/// What is known of an operation; none if the merchant has no such operation.
///
/// # Errors
/// When Postgres fails, or a row is not understood.
pub async fn get(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Review>, Error> {
    let mut tx = pool.begin().await?;
    let review = read_in_tx(&mut tx, merchant, operation).await?;
    tx.rollback().await?;
    Ok(review)
}

async fn read_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    operation: OperationId,
) -> Result<Option<Review>, Error> {
    let Some(view) = operation::get(&mut **tx, merchant, operation).await? else { return Ok(None) };
    let Some(subject) = repo::subject(tx, merchant, operation).await? else { return Ok(None) };
    let acts = repo::acts(tx, merchant, operation).await?;
    let evidence = repo::evidence(tx, merchant, operation).await?;
    Ok(Some(Review {
        state: subject.state(&acts),
        operation: view,
        order_id: subject.order_id,
        psp_account_id: subject.psp_account_id,
        psp_reference: subject.psp_reference,
        because: subject.reason,
        acts,
        evidence,
    }))
}

/// Takes a person's word, once for each key: closes the operation, or awaits a second person where the amount is above the
/// merchant's limit. Answers with the review as it then is, as JSON, and whether an earlier request had that answer.
///
/// # Errors
/// When Postgres fails. Nothing was changed then.
pub async fn say(
    pool: &PgPool,
    merchant: MerchantId,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
    word: &Word,
) -> Result<Result<Begun, Refused>, Error> {
    let mut tx = pool.begin().await?;
    let Some(of) = repo::subject_of(&mut tx, merchant, word.operation_id).await? else {
        return Ok(Err(Refused::NotFound));
    };
    let begun = idempotency::begin_in_tx(&mut tx, merchant, key, fingerprint, of).await?;
    if !matches!(begun, Begun::Fresh) {
        return Ok(Ok(begun));
    }
    match say_in_tx(&mut tx, merchant, word).await? {
        Ok(review) => {
            // strings and numbers cannot fail to serialise
            let body = serde_json::to_string(&review).unwrap_or_default();
            idempotency::answer_in_tx(&mut tx, merchant, key, 201, &body).await?;
            tx.commit().await?;
            Ok(Ok(Begun::Answered { status: 201, body, replayed: false }))
        }
        Err(refused) => Ok(Err(refused)),
    }
}

/// The same for whoever runs the command line, who needs no key: said again it is refused, or awaits as before.
///
/// # Errors
/// When Postgres fails. The caller's transaction is then to be rolled back, as where the word is refused.
pub async fn say_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    word: &Word,
) -> Result<Result<Review, Refused>, Error> {
    repo::lock(tx, merchant, word.operation_id).await?;
    let Some(subject) = repo::subject(tx, merchant, word.operation_id).await? else {
        return Ok(Err(Refused::NotFound));
    };
    if subject.status != OperationStatus::NeedsReview {
        return Ok(Err(Refused::NotInReview(subject.status.as_str())));
    }
    if let Some((open, kind)) = &subject.open_change {
        return Ok(Err(Refused::UnderWay(*open, kind.as_str())));
    }
    if subject.reason.as_deref() == Some(Why::PARTLY_CAPTURED) {
        match (subject.kind, word.said) {
            (OperationKind::Authorize, Said::Failed) => return Ok(Err(Refused::PartlyCaptured)),
            (OperationKind::Void, Said::Succeeded) => return Ok(Err(Refused::NotLetGo)),
            _ => {}
        }
    }
    let reference = match reference(&subject, word) {
        Ok(reference) => reference,
        Err(refused) => return Ok(Err(refused)),
    };
    let actor = repo::actor(tx, merchant, &word.actor).await?;
    let acts = repo::acts(tx, merchant, word.operation_id).await?;
    let alone = subject.amount <= subject.limit_minor();
    if !alone && !is_seconded(&acts, &actor, word) {
        repo::insert_act(tx, merchant, "proposed", word, &actor).await?;
    } else {
        let effect = record_in_tx(tx, merchant, &subject, word, reference).await;
        match effect {
            Ok(Effect::Now(_)) => repo::insert_act(tx, merchant, "closed", word, &actor).await?,
            // the lock of what it is for is held since before it was found to need review
            Ok(_) => return Ok(Err(Refused::NotInReview(subject.status.as_str()))),
            Err(error) if error.is_foreign_reference() => return Ok(Err(Refused::ForeignReference)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read_in_tx(tx, merchant, word.operation_id).await?.ok_or(Refused::NotFound))
}

/// Whether somebody else has said the same, and nothing else was said since.
fn is_seconded(acts: &[Act], actor: &str, word: &Word) -> bool {
    let last = acts.iter().rev().find(|act| act.kind == "proposed");
    last.is_some_and(|act| {
        // by whichever way: one name is one person
        name_of(&act.actor) != name_of(actor)
            && act.outcome.as_deref() == Some(word.said.as_str())
            && act.psp_reference.as_deref() == word.psp_reference.as_ref().map(PspReference::as_str)
    })
}

fn name_of(actor: &str) -> &str {
    actor.split_once(':').map_or(actor, |(_, name)| name)
}

/// The PSP's object that the operation ends with, where it has one.
fn reference(subject: &repo::Subject, word: &Word) -> Result<Option<PspReference>, Refused> {
    match (subject.made(), &word.psp_reference) {
        (None, Some(named)) if subject.is_page(named) => Err(Refused::ReferenceNeeded),
        (Some(known), Some(named)) if known != *named => Err(Refused::OtherReference(known.to_string())),
        (Some(known), _) => Ok(Some(known)),
        (None, Some(named)) => Ok(Some(named.clone())),
        (None, None) if word.said == Said::Succeeded && subject.kind.has_object() => {
            Err(Refused::ReferenceNeeded)
        }
        (None, None) => Ok(None),
    }
}

async fn record_in_tx(
    tx: &mut PgTransaction<'_>,
    merchant: MerchantId,
    subject: &repo::Subject,
    word: &Word,
    reference: Option<PspReference>,
) -> Result<Effect, operation::Error> {
    let outcome = match (word.said, reference.or_else(|| subject.target())) {
        (Said::Succeeded, Some(reference)) => Outcome::Succeeded(Success {
            reference,
            movement: None,
            amount: subject.money(),
            captured: subject.takes_money(),
        }),
        (Said::Succeeded, None) | (Said::Failed, _) => Outcome::Declined {
            reference: None,
            decline: Decline {
                code: decline::BY_REVIEW,
                decline_code: None,
                message: "a person found that the PSP did not do it".to_owned(),
            },
        },
    };
    let recording = Recording {
        operation_id: word.operation_id,
        by: By::Review,
        finding: Finding::Answer(outcome),
        attempts: Vec::new(),
        attempt_fence: 0,
    };
    Ok(operation::record_in_tx(tx, merchant, &recording).await?.effect)
}

/// Notes that a person had the PSP asked again.
///
/// # Errors
/// When Postgres fails.
pub async fn note_asked(
    pool: &PgPool,
    merchant: MerchantId,
    operation: OperationId,
    actor: &Actor,
) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    repo::lock(&mut tx, merchant, operation).await?;
    let actor = repo::actor(&mut tx, merchant, actor).await?;
    repo::insert_asked(&mut tx, merchant, operation, &actor).await?;
    Ok(tx.commit().await?)
}
