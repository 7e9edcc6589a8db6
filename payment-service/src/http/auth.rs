//! Who calls, and whether they may.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::error::{Code, Problem};
use super::request_id;
use crate::merchant::{AuthError, Caller, Directory, MerchantError, Scope};

/// What an endpoint requires of an API key.
pub trait Requirement {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! requirements {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Requirement for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

requirements! {
    /// The scope `payments`.
    Payments;
    /// The scope `finance_read`.
    FinanceRead;
    /// The scope `finance_write`.
    FinanceWrite;
    /// The scope `webhooks`.
    Webhooks;
}

/// A caller whose API key has the scope that `R` requires. Which one stands in the handler's signature, so that none is
/// forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Auth<R> {
    caller: Caller,
    requirement: PhantomData<R>,
}

impl<R> Deref for Auth<R> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<S, R> FromRequestParts<S> for Auth<R>
where
    S: Send + Sync,
    R: Requirement,
    Arc<Directory>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let directory = Arc::<Directory>::from_ref(state);
        let caller = directory.authenticate(parts.headers.get(AUTHORIZATION)).await?;
        request_id::note_merchant(caller.merchant_id);
        if caller.scopes.contains(R::SCOPE) {
            return Ok(Self { caller, requirement: PhantomData });
        }
        let scope = R::SCOPE;
        Err(Problem::new(Code::ScopeMissing)
            .detail(format!("this needs an API key with the scope {scope}"))
            .extension("scope", scope.as_str()))
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated => Self::new(Code::Unauthenticated)
                .detail("send a valid API key as Authorization: Bearer sk_..."),
            AuthError::Lookup(source) => source.into(),
        }
    }
}

/// What a caller learns of an error about its merchant. Those that only the command line meets are faults of ours here.
impl From<MerchantError> for Problem {
    fn from(error: MerchantError) -> Self {
        use MerchantError as E;
        const FIELD: &str = "psp_account_id";
        match error {
            E::PspAccountNotFound { .. } => {
                Self::invalid(FIELD, "expected the id of one of your PSP accounts")
            }
            E::PspAccountDisabled(_) => {
                Self::invalid(FIELD, "expected an enabled PSP account; this one is disabled")
            }
            E::NoPspAccount => {
                Self::new(Code::PspAccountRequired).detail("there is no enabled PSP account to pay with")
            }
            E::PspAccountAmbiguous(ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                Self::new(Code::PspAccountRequired)
                    .detail("there are several enabled PSP accounts: say which")
                    .field(FIELD, format!("expected one of {}", ids.join(", ")))
                    .extension("psp_accounts", ids)
            }
            E::Database(error) => error.into(),
            E::Busy => Self::new(Code::Unavailable)
                .detail("nothing was done; repeat the request")
                .retry_after(Duration::from_secs(1)),
            E::SharedLookup(error) => match &*error {
                E::Busy => E::Busy.into(),
                E::Database(database) if crate::database::is_transient(database) => {
                    Self::new(Code::Unavailable).retry_after(Duration::from_secs(1)).caused_by(error)
                }
                _ => Self::internal(error),
            },
            E::MerchantNotFound(_)
            | E::ApiKeyNotFound { .. }
            | E::Invalid { .. }
            | E::TwoKeysLive { .. }
            | E::PspAccountNameTaken(_)
            | E::SecretOfOtherMode { .. }
            | E::WebhookSecretNotFound(_)
            | E::Seal(_)
            | E::Unreadable(_) => Self::internal(error),
        }
    }
}
