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
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::answer::{Answer, Envelope};
use super::command::Command;
use super::expand::expand;
use super::operation::Operation;
use super::read::read;
use super::sabotage::{hang, spoil};
use super::server::Peer;
use crate::config::{Behaviour, OutageMode};
use crate::core::{Core, SharedWorld, locked};
use crate::fault::{CallFacts, Close, Executes, Fault, When};
use crate::model::IntentStatus;
use crate::model::event::{Snapshot, Stored};
use crate::model::id::Nonce;
use crate::render::{API_VERSION, Renderer};
use crate::store::Commit;
use crate::webhook::mix;
use crate::wire::{ApiError, Form};
use crate::world::{Lookup, Saved, SavedBody, StoredBody, StoredKey, Surroundings, Tx, World};

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
    world: SharedWorld,
    nonce: Nonce,
    livemode: bool,
    key: Option<Arc<str>>,
    fingerprint: u128,
    request: Arc<str>,
}

impl Call {
    fn read(core: &Core, parts: &Parts, body: &[u8], envelope: &mut Envelope) -> Result<Self, ApiError> {
        let (method, path) = (&parts.method, parts.uri.path());
        let world = match secret_key(&parts.headers) {
            None => return Err(unauthorized()),
            Some(key) => core.world_of_key(&key).map_err(|_| unavailable())?,
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
            Some(_) => u128::from_be_bytes(form.fingerprint(method.as_str(), path)),
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

    fn renderer<'a>(&self, core: &'a Core) -> Renderer<'a> {
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
        let intent = world.intent(about);
        intent.is_some_and(|intent| intent.metadata.get(key) == Some(value))
    }
}

/// What will go wrong with a call.
#[derive(Clone)]
struct Plan {
    delay_ms: u64,
    fault: Option<Fault>,
    executes: Option<Executes>,
}

impl Plan {
    fn of(core: &Core, call: &Call) -> Self {
        let mut plan = Self { delay_ms: 0, fault: None, executes: None };
        let mut delays = Vec::new();
        let behaviour = core.behaviour();
        if !behaviour.latency_ms.is_zero() {
            delays.push(behaviour.latency_ms);
        }
        for (rule, number, fault) in core.faults.pick(call).faults {
            core.stats.fault(fault.name());
            // The store has noted a failure and refuses calls from now on.
            let _ = core.store.append(&crate::store::Line::Fired { rule, number });
            match fault {
                Fault::Latency { ms } => delays.push(ms),
                fault => plan.fault = Some(fault),
            }
        }
        if let Some(Fault::ServerError { saved: true, executes, .. }) = &plan.fault {
            plan.executes = Some(*executes);
        }
        if !delays.is_empty() {
            let mut rng = SmallRng::seed_from_u64(mix(core.seed, core.calls_so_far(), 0));
            let drawn = delays.iter().map(|span| u64::from(span.draw(&mut rng)));
            plan.delay_ms = drawn.sum();
        }
        plan
    }

    /// Whether the call takes longer than its execution.
    fn waits(&self) -> bool {
        let hangs = matches!(self.fault, Some(Fault::Hang { when: When::Before }));
        hangs || self.delay_ms > 0
    }

    /// The answer to a call that is not even looked at.
    fn refusal(&self, peer: &Peer, renderer: &Renderer<'_>) -> Option<Answer> {
        let answer = |error: &ApiError| Some(Answer::error(error, renderer));
        match self.fault.as_ref()? {
            Fault::DropRequest { close } => {
                peer.cut(*close);
                answer(&unavailable())
            }
            Fault::RateLimited { retry_after_seconds, reason } => Some(Answer {
                retry_after: Some(*retry_after_seconds),
                rate_limited: Some(reason.clone()),
                ..Answer::error(&too_many(), renderer)
            }),
            Fault::LockTimeout => answer(&lock_timeout()),
            Fault::Unavailable { retry_after_seconds } => {
                Some(Answer { retry_after: *retry_after_seconds, ..Answer::error(&unavailable(), renderer) })
            }
            Fault::ServerError { saved: false, should_retry, .. } => {
                Some(Answer { should_retry: *should_retry, ..Answer::error(&ApiError::internal(), renderer) })
            }
            _ => None,
        }
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

/// A key held in flight; it is freed unless its call left an answer.
struct Claim(Option<(SharedWorld, Arc<str>)>);

impl Claim {
    fn take(core: &Core, call: &Call) -> Result<Self, Answer> {
        let Some(key) = &call.key else {
            return Ok(Self(None));
        };
        let ttl_ms = ttl_ms(&core.behaviour());
        let mut world = locked(&call.world);
        let found = world.keys().look_up(key, call.fingerprint, core.now_ms(), ttl_ms);
        if let Some(answer) = known(core, found, &call.renderer(core)) {
            return Err(answer);
        }
        world.keys().claim(key);
        Ok(Self(Some((Arc::clone(&call.world), Arc::clone(key)))))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((world, key)) = self.0.take() {
            locked(&world).keys().release(&key);
        }
    }
}

fn ttl_ms(behaviour: &Behaviour) -> i64 {
    i64::from(behaviour.idempotency_ttl_seconds) * 1000
}

/// The answer to a key that is not fresh.
fn known(core: &Core, found: Lookup, renderer: &Renderer<'_>) -> Option<Answer> {
    match found {
        Lookup::Fresh => None,
        Lookup::InFlight => Some(Answer::error(&key_in_use(), renderer)),
        Lookup::Mismatch => Some(Answer::error(&key_reused(), renderer)),
        Lookup::Replay(saved) => {
            core.stats.replayed();
            Some(replay(saved, renderer))
        }
    }
}

fn replay(saved: Saved, renderer: &Renderer<'_>) -> Answer {
    let body = match &saved.body {
        SavedBody::Object(snapshot) => renderer.json(snapshot),
        SavedBody::Text(text) => text.as_bytes().to_vec(),
    };
    Answer { original: Some(saved.request), ..Answer::new(saved.status, body) }
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

/// What executing needs.
struct Work<'a> {
    core: &'a Core,
    renderer: &'a Renderer<'a>,
    expand: &'a [String],
    key: Option<&'a Arc<str>>,
    fingerprint: u128,
    request: &'a Arc<str>,
    executes: Option<Executes>,
}

/// A body before it is bytes.
enum Reply {
    Object(Stored, Snapshot),
    Text(Vec<u8>),
}

impl Work<'_> {
    fn execute(&self, shared: &SharedWorld, command: Result<Command, ApiError>, claimed: bool) -> Answer {
        let behaviour = self.core.behaviour();
        let endpoints = self.core.dispatcher.endpoints();
        let around = Surroundings {
            request: Some(Arc::clone(self.request)),
            idempotency_key: self.key.map(Arc::clone),
            ..self.core.surroundings(&behaviour, &endpoints)
        };
        let now_ms = around.now_ms;
        let mut world = locked(shared);
        if world.retired {
            return Answer::error(&unavailable(), self.renderer);
        }
        if let Some(key) = self.key.filter(|_| !claimed) {
            let ttl_ms = ttl_ms(&behaviour);
            let found = world.keys().look_up(key, self.fingerprint, now_ms, ttl_ms);
            if let Some(answer) = known(self.core, found, self.renderer) {
                return answer;
            }
        }
        let command = match command {
            Ok(command) => command,
            Err(error) => return Answer::error(&error, self.renderer),
        };
        let mut tx = Tx::new(&world, around);
        let outcome = match self.executes {
            Some(Executes::Nothing) => Err(ApiError::internal()),
            Some(Executes::Created) => command.created_only().run(&mut tx),
            Some(Executes::All) | None => command.run(&mut tx),
        };
        let mut commit = tx.finish();
        let applied = world.apply(&commit, behaviour.events_kept);
        let (status, reply) = match applied.and_then(|()| self.reply(&world, outcome)) {
            Ok(reply) => reply,
            Err(error) => {
                tracing::error!(error, "a call contradicts its account");
                return Answer::error(&ApiError::internal(), self.renderer);
            }
        };
        if let Err(answer) = self.write(&mut world, &mut commit, status, &reply, now_ms) {
            return answer;
        }
        let index = world.index;
        drop(world);
        self.core.send_events(index, &commit, &behaviour);
        let body = match reply {
            Reply::Object(_, snapshot) => self.renderer.json(&snapshot),
            Reply::Text(text) => text,
        };
        Answer::new(status, body)
    }

    /// The status and body of an outcome.
    fn reply(&self, world: &World, outcome: Result<Stored, ApiError>) -> Result<(u16, Reply), String> {
        if self.executes.is_some() {
            let error = ApiError::internal();
            return Ok((error.status, Reply::Text(error.json(self.renderer))));
        }
        let stored = match outcome {
            Ok(stored) => stored,
            Err(error) => return Ok((error.status, Reply::Text(error.json(self.renderer)))),
        };
        let snapshot = world.resolve(&stored)?;
        // Where to authenticate depends on where the sandbox listens, which a restart may change.
        let fixed =
            !matches!(&snapshot, Snapshot::Intent(intent) if intent.status == IntentStatus::RequiresAction);
        if fixed && self.expand.is_empty() {
            return Ok((200, Reply::Object(stored, snapshot)));
        }
        let body = self.renderer.json(&snapshot);
        match expand(self.core, world, body, self.expand) {
            Ok(body) => Ok((200, Reply::Text(body))),
            Err(error) => Ok((error.status, Reply::Text(error.json(self.renderer)))),
        }
    }

    /// Writes what changed and the answer to it as one, and only then lets the answer go.
    fn write(
        &self,
        world: &mut World,
        commit: &mut Commit,
        status: u16,
        reply: &Reply,
        created_ms: i64,
    ) -> Result<(), Answer> {
        commit.key = self.key.map(|key| StoredKey {
            key: Arc::clone(key),
            fingerprint: self.fingerprint,
            created_ms,
            status,
            request: Arc::clone(self.request),
            body: match reply {
                Reply::Object(stored, _) => StoredBody::Object(stored.clone()),
                Reply::Text(text) => StoredBody::Text(String::from_utf8_lossy(text).into()),
            },
        });
        let refused = |_| Answer::error(&unavailable(), self.renderer);
        self.core.store.commit(world.index, commit).map_err(refused)?;
        match &commit.key {
            None => Ok(()),
            Some(key) => {
                world.apply_key(key).map_err(|_| Answer::error(&ApiError::internal(), self.renderer))
            }
        }
    }
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
    let known = ["sk_test_", "sk_live_", "rk_test_", "rk_live_"];
    known.iter().any(|it| key.starts_with(it)).then_some(key)
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

fn unauthorized() -> ApiError {
    let message = "You did not provide a valid API key. Use `Authorization: Bearer sk_test_...`.";
    ApiError::new(401, "invalid_request_error", "", message)
}

fn too_large() -> ApiError {
    let message = "The request body could not be read or is too large.";
    ApiError::new(400, "invalid_request_error", "", message)
}

fn too_many() -> ApiError {
    let message = "Request rate limit exceeded.";
    ApiError::new(429, "invalid_request_error", "rate_limit", message)
}

fn lock_timeout() -> ApiError {
    let message = "This object cannot be accessed right now because another API request or Stripe process is currently accessing it.";
    ApiError::new(429, "invalid_request_error", "lock_timeout", message)
}

fn unavailable() -> ApiError {
    ApiError::new(503, "api_error", "", "The service is unavailable.")
}

fn key_in_use() -> ApiError {
    let message = "There is currently another in-progress request using this idempotency key.";
    ApiError::new(409, "idempotency_error", "idempotency_key_in_use", message)
}

fn key_reused() -> ApiError {
    let message = "Keys for idempotent requests can only be used with the same endpoint and the same parameters they were first used with. Try using another key.";
    ApiError::new(400, "idempotency_error", "", message)
}
