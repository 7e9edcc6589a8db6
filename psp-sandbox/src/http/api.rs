//! One call from request to answer: limits and outages, the idempotency layer, execution, the way back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use axum::http::request::Parts;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::{Answer, Envelope};
use super::command::Command;
use super::execute::{Claim, Work};
use super::expand::expand;
use super::operation::Operation;
use super::plan::Plan;
use super::read::read;
use super::refusal::{no_account, too_large, unauthorized, unavailable};
use super::sabotage::{hang, spoil};
use super::server::Peer;
use crate::accounts::is_key;
use crate::config::OutageMode;
use crate::core::{Core, SharedWorld, locked};
use crate::fault::{CallFacts, Close, Executes, Fault, When};
use crate::model::id::Nonce;
use crate::render::{API_VERSION, Renderer};
use crate::wire::{ApiError, Form};

const BODY_LIMIT: usize = 1 << 20;
const KEY_LIMIT: usize = 255;

/// Answers any call of the PSP's API.
pub async fn handle(
    State(core): State<Arc<Core>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut envelope = Envelope { request: core.request_id(), version: version(&parts.headers), key: None };
    let body = match axum::body::to_bytes(body, BODY_LIMIT).await {
        Ok(body) => body,
        Err(_) => return refuse(&too_large(), &envelope),
    };
    let call = match Call::read(&core, &parts, &body, &mut envelope) {
        Ok(call) => call,
        Err(error) => return refuse(&error, &envelope),
    };
    core.stats.called(call.operation);
    let _open = core.stats.open();
    if let Some(outage) = core.outage() {
        core.stats.fault("outage");
        if outage.mode == OutageMode::Drop {
            peer.cut(Close::Reset);
        }
        return refuse(&unavailable(), &envelope);
    }
    let plan = Plan::of(&core, &call);
    if let Some(answer) = plan.refusal(&peer, &call.renderer(&core)) {
        return answer.respond(&envelope);
    }
    let answer = if plan.waits() {
        // A caller that goes away does not stop what it asked for.
        let work = perform_later(Arc::clone(&core), call, plan.clone());
        match tokio::spawn(work).await {
            Ok(Some(answer)) => answer,
            _ => {
                peer.cut(Close::Reset);
                return refuse(&unavailable(), &envelope);
            }
        }
    } else {
        perform(&core, call, plan.executes, false)
    };
    match plan.fault {
        None => answer.respond(&envelope),
        Some(fault) => spoil(&core, answer, fault, &peer, &envelope).await,
    }
}

/// One call, read.
pub struct Call {
    /// Which.
    pub operation: Operation,
    id: String,
    path: String,
    form: Form,
    expand: Vec<String>,
    /// The account.
    pub world: SharedWorld,
    nonce: Nonce,
    livemode: bool,
    /// The idempotency key.
    pub key: Option<Arc<str>>,
    /// What is asked.
    pub fingerprint: u128,
    request: Arc<str>,
}

impl Call {
    fn read(core: &Core, parts: &Parts, body: &[u8], envelope: &mut Envelope) -> Result<Self, ApiError> {
        let (method, path) = (&parts.method, parts.uri.path());
        let world = match secret_key(&parts.headers) {
            None => return Err(unauthorized()),
            Some(key) => core.world_of_key(&key).map_err(|why| no_account(&why))?,
        };
        let (operation, id) = Operation::route(method, path).ok_or_else(|| {
            let message = format!("Unrecognized request URL ({method}: {path}).");
            ApiError::new(404, "invalid_request_error", "", message)
        })?;
        let key = parts.headers.get("idempotency-key");
        let key = key.filter(|_| !operation.reads());
        let key = key.and_then(|key| key.to_str().ok());
        if key.is_some_and(|key| key.is_empty() || key.len() > KEY_LIMIT) {
            let message = "Idempotency keys have 1 to 255 characters.";
            return Err(ApiError::new(400, "invalid_request_error", "", message));
        }
        envelope.key = key.map(Arc::from);
        let mut form = Form::parse(parts.uri.query().unwrap_or_default(), body);
        let fingerprint = match key {
            None => 0,
            Some(_) => form.fingerprint(method.as_str(), path),
        };
        let (nonce, livemode) = {
            let world = locked(&world);
            (world.nonce, world.livemode)
        };
        Ok(Self {
            operation,
            id: id.to_owned(),
            path: path.to_owned(),
            expand: form.list("expand"),
            form,
            world,
            nonce,
            livemode,
            key: envelope.key.clone(),
            fingerprint,
            request: Arc::clone(&envelope.request),
        })
    }

    /// How the account's objects are rendered.
    pub fn renderer<'a>(&self, core: &'a Core) -> Renderer<'a> {
        Renderer { nonce: self.nonce, livemode: self.livemode, base_url: core.base_url() }
    }
}

impl CallFacts for Call {
    fn method(&self) -> &str {
        if self.operation.reads() { "GET" } else { "POST" }
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn operation(&self) -> &str {
        self.operation.name()
    }

    fn idempotency_key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn has_metadata(&self, key: &str, value: &str) -> bool {
        if let Some(sent) = self.form.metadata_value(key) {
            return sent == value;
        }
        let about = self.form.peek("payment_intent").unwrap_or(&self.id);
        let world = locked(&self.world);
        let of_intent = world.intent(about).map(|intent| &intent.metadata);
        let metadata = of_intent.or_else(|| world.session(about).map(|session| &session.metadata));
        metadata.is_some_and(|metadata| metadata.get(key) == Some(value))
    }
}

/// Waits as planned, then performs. Nothing comes of it when the sandbox stops first.
async fn perform_later(core: Arc<Core>, call: Call, plan: Plan) -> Option<Answer> {
    let claim = match Claim::take(&core, &call) {
        Ok(claim) => claim,
        Err(answer) => return Some(answer),
    };
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(plan.delay_ms)) => {}
        () = core.shutdown.cancelled() => return None,
    }
    if matches!(plan.fault, Some(Fault::Hang { when: When::Before })) {
        hang(&core).await.ok()?;
    }
    let answer = perform(&core, call, plan.executes, true);
    drop(claim);
    Some(answer)
}

/// Executes a call, or gives the answer its key has already.
fn perform(core: &Core, call: Call, executes: Option<Executes>, claimed: bool) -> Answer {
    let renderer = call.renderer(core);
    if core.store.is_broken() {
        return Answer::error(&unavailable(), &renderer);
    }
    if call.operation.reads() {
        let found = read(core, &call.world, call.operation, &call.id, call.form);
        let expanded = found.and_then(|body| {
            let world = locked(&call.world);
            expand(core, &world, body, &call.expand)
        });
        return match expanded {
            Ok(body) => Answer::new(200, body),
            Err(error) => Answer::error(&error, &renderer),
        };
    }
    let command = Command::read(call.operation, &call.id, call.form, &call.world);
    let work = Work {
        core,
        renderer: &renderer,
        expand: &call.expand,
        key: call.key.as_ref(),
        fingerprint: call.fingerprint,
        request: &call.request,
        executes,
    };
    work.execute(&call.world, command, claimed)
}

/// The key of `Authorization: Bearer sk_…` or `Basic base64(sk_…:)`.
fn secret_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        rest.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = STANDARD.decode(rest.trim()).ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        pair.split(':').next()?.to_owned()
    } else {
        return None;
    };
    is_key(&key).then_some(key)
}

fn version(headers: &HeaderMap) -> HeaderValue {
    let asked = headers.get("stripe-version").cloned();
    asked.unwrap_or(HeaderValue::from_static(API_VERSION))
}

/// An error of a call that belongs to no account.
fn refuse(error: &ApiError, envelope: &Envelope) -> Response<Body> {
    let renderer = Renderer { nonce: Nonce::NONE, livemode: false, base_url: "" };
    Answer::error(error, &renderer).respond(envelope)
}
