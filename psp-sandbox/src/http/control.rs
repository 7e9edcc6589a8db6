//! The sandbox's own API.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::server::Peer;
use super::{effects, settlement};
use crate::accounts::{NotAdded, is_key};
use crate::config::{Behaviour, Outage, OutageMode};
use crate::core::{Core, SharedWorld, locked};
use crate::fault::Rule;
use crate::model::currency::Currency;
use crate::model::event::{Snapshot, Stored};
use crate::model::id::Kind;
use crate::model::{DisputeReason, DisputeStatus, PayoutStatus};
use crate::settlement::Discrepancy;
use crate::store::Line;
use crate::webhook::Endpoint;
use crate::wire::ApiError;
use crate::world::{Decision, NewDispute, Tx};

/// Why a control call was refused.
pub struct Refused(pub StatusCode, pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"message": self.1}}))).into_response()
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        let message = format!("the state directory cannot be written: {error}");
        Self(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
        Self(status, error.message.into_owned())
    }
}

impl Refused {
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }
}

type Answered = Result<Json<Value>, Refused>;
type Shared = State<Arc<Core>>;

/// All of it, for callers on this machine.
pub fn routes() -> Router<Arc<Core>> {
    Router::new()
        .route("/config", get(read_config).put(put_config).patch(patch_config))
        .route("/faults", get(list_faults).post(post_fault).delete(delete_faults))
        .route("/faults/release", post(post_release))
        .route("/faults/{id}", delete(delete_fault))
        .route("/outage", post(post_outage).delete(delete_outage))
        .route("/webhook_endpoints", get(list_endpoints).post(post_endpoint))
        .route("/webhook_endpoints/{id}", delete(delete_endpoint))
        .route("/keys", post(post_key).delete(delete_key))
        .route("/payouts", post(post_payouts))
        .route("/payouts/{id}/settlement.csv", get(settlement::of_payout))
        .route("/payouts/{id}/advance", post(advance_payout))
        .route("/settlement.csv", get(settlement::of_all))
        .route("/discrepancies", get(list_discrepancies).post(post_discrepancy).delete(delete_discrepancies))
        .route("/payment_intents/{id}/decide", post(decide_intent))
        .route("/refunds/{id}/fail", post(fail_refund))
        .route("/disputes", post(post_dispute))
        .route("/disputes/{id}/decide", post(decide_dispute))
        .route("/effects", get(effects::page))
        .route("/effects/summary", get(effects::summary))
        .route("/clock", post(post_clock))
        .route("/stats", get(stats))
        .route("/wait", get(wait))
        .route("/reset", post(reset))
        .layer(middleware::from_fn(only_loopback))
}

async fn only_loopback(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    if peer.is_loopback() { next.run(request).await } else { StatusCode::NOT_FOUND.into_response() }
}

/// Reads a body; none at all is an empty object.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    let body: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("body: {error}")))
}

fn shown(value: &impl Serialize) -> Answered {
    serde_json::to_value(value)
        .map(Json)
        .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Decides something on an account outside the API, writes it and applies it.
pub fn change<T>(core: &Core, shared: &SharedWorld, decide: impl FnOnce(&mut Tx<'_>) -> T) -> io::Result<T> {
    let (behaviour, endpoints) = (core.behaviour(), core.dispatcher.endpoints());
    let mut world = locked(shared);
    if world.retired {
        return Err(io::Error::other("the account was reset meanwhile"));
    }
    let mut tx = Tx::new(&world, core.surroundings(&behaviour, &endpoints));
    let decided = decide(&mut tx);
    let mut commit = tx.finish();
    world.apply(&commit, behaviour.events_kept).map_err(io::Error::other)?;
    core.store.commit(world.index, &mut commit)?;
    let index = world.index;
    drop(world);
    core.send_events(index, &commit, &behaviour);
    Ok(decided)
}

async fn read_config(State(core): Shared) -> Answered {
    shown(&*core.behaviour())
}

async fn put_config(State(core): Shared, body: Bytes) -> Answered {
    core.set_behaviour(parse(&body)?)?;
    shown(&*core.behaviour())
}

async fn patch_config(State(core): Shared, body: Bytes) -> Answered {
    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, from) => *into = from,
        }
    }
    let Json(mut merged) = shown(&*core.behaviour())?;
    merge(&mut merged, parse(&body)?);
    let behaviour: Behaviour = serde_json::from_value(merged)
        .map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("body: {error}")))?;
    core.set_behaviour(behaviour)?;
    shown(&*core.behaviour())
}

/// Scripts a fault.
pub fn add_fault(core: &Core, rule: Rule) -> io::Result<Rule> {
    let rule = core.faults.add(Rule { id: 0, ..rule });
    core.store.append(&Line::Fault(Cow::Borrowed(&rule)))?;
    Ok(rule)
}

/// Lifts all faults.
pub fn lift_faults(core: &Core) -> io::Result<()> {
    for id in core.faults.clear() {
        core.store.append(&Line::FaultRemoved(id))?;
    }
    Ok(())
}

/// Lets hung calls go on.
pub fn release_hung(core: &Core) {
    core.released.send_modify(|count| *count += 1);
}

async fn list_faults(State(core): Shared) -> Answered {
    shown(&json!({"data": core.faults.report()}))
}

async fn post_fault(State(core): Shared, body: Bytes) -> Answered {
    shown(&add_fault(&core, parse(&body)?)?)
}

async fn delete_faults(State(core): Shared) -> Answered {
    lift_faults(&core)?;
    shown(&json!({}))
}

async fn delete_fault(State(core): Shared, Path(id): Path<u32>) -> Answered {
    if !core.faults.remove(id) {
        return Err(Refused::not_found(format_args!("fault {id}")));
    }
    core.store.append(&Line::FaultRemoved(id))?;
    shown(&json!({}))
}

async fn post_release(State(core): Shared) -> Answered {
    release_hung(&core);
    shown(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOutage {
    #[serde(default)]
    mode: OutageMode,
    seconds: Option<u32>,
}

async fn post_outage(State(core): Shared, body: Bytes) -> Answered {
    let new: NewOutage = parse(&body)?;
    let until = |seconds| core.now_ms() + i64::from(seconds) * 1000;
    let outage = Outage { mode: new.mode, until_ms: new.seconds.map(until) };
    core.set_outage(Some(outage))?;
    shown(&outage)
}

async fn delete_outage(State(core): Shared) -> Answered {
    core.set_outage(None)?;
    shown(&json!({}))
}

/// Sends webhooks to another endpoint.
pub fn add_endpoint(core: &Core, endpoint: Endpoint) -> io::Result<Endpoint> {
    let endpoint = core.dispatcher.add_endpoint(Endpoint { id: 0, ..endpoint });
    core.store.append(&Line::Endpoint(Cow::Borrowed(&endpoint)))?;
    Ok(endpoint)
}

async fn list_endpoints(State(core): Shared) -> Answered {
    shown(&json!({"data": *core.dispatcher.endpoints()}))
}

async fn post_endpoint(State(core): Shared, body: Bytes) -> Answered {
    let endpoint: Endpoint = parse(&body)?;
    if let Err(error) = reqwest::Url::parse(&endpoint.url) {
        return Err(Refused(StatusCode::BAD_REQUEST, format!("url: {error}")));
    }
    if endpoint.secrets.is_empty() {
        let message = "secrets: at least one is needed".to_owned();
        return Err(Refused(StatusCode::BAD_REQUEST, message));
    }
    shown(&add_endpoint(&core, endpoint)?)
}

async fn delete_endpoint(State(core): Shared, Path(id): Path<u32>) -> Answered {
    if !core.dispatcher.remove_endpoint(id) {
        return Err(Refused::not_found(format_args!("webhook endpoint {id}")));
    }
    core.store.append(&Line::EndpointRemoved(id))?;
    shown(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    key: String,
    account: String,
}

async fn post_key(State(core): Shared, body: Bytes) -> Answered {
    let NewKey { key, account } = parse(&body)?;
    if !is_key(&key) {
        let message = "key: it does not look like a secret key (sk_test_…)".to_owned();
        return Err(Refused(StatusCode::BAD_REQUEST, message));
    }
    core.add_key(&key, &account).map_err(|why| match why {
        NotAdded::NoSuchAccount => Refused::not_found(format_args!("account {account}")),
        NotAdded::OtherMode => {
            let message = "key: a test key cannot be a live account's, nor the reverse".to_owned();
            Refused(StatusCode::BAD_REQUEST, message)
        }
        NotAdded::Taken(owner) => {
            Refused(StatusCode::CONFLICT, format!("key: it belongs to account {owner}"))
        }
        NotAdded::Full => Refused(StatusCode::CONFLICT, "there are as many keys as there may be".to_owned()),
        NotAdded::Unwritten(error) => error.into(),
    })?;
    shown(&json!({"account": account}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldKey {
    key: String,
}

async fn delete_key(State(core): Shared, body: Bytes) -> Answered {
    let OldKey { key } = parse(&body)?;
    if !core.revoke_key(&key)? {
        return Err(Refused::not_found("such key"));
    }
    shown(&json!({}))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PayoutRequest {
    account: Option<String>,
    currency: Option<Currency>,
    /// Minor units of each currency that stay.
    keep: i64,
}

async fn post_payouts(State(core): Shared, body: Bytes) -> Answered {
    let request: PayoutRequest = parse(&body)?;
    let mut made = Vec::new();
    for shared in core.worlds() {
        let (account, renderer) = {
            let world = locked(&shared);
            (world.account.clone(), world.renderer(core.base_url()))
        };
        if request.account.as_deref().is_some_and(|it| it != &*account) {
            continue;
        }
        let payouts = change(&core, &shared, |tx| tx.pay_out(request.currency, request.keep))?;
        for payout in payouts {
            let lines = payout.items.len();
            let object = renderer.json(&Snapshot::Payout(payout));
            let mut object: Value = serde_json::from_slice(&object).unwrap_or_default();
            object["account"] = json!(account);
            object["lines"] = json!(lines);
            made.push(object);
        }
    }
    shown(&json!({"data": made}))
}

async fn list_discrepancies(State(core): Shared) -> Answered {
    shown(&json!({"data": *core.discrepancies()}))
}

async fn post_discrepancy(State(core): Shared, body: Bytes) -> Answered {
    let discrepancy: Discrepancy = parse(&body)?;
    shown(&core.plant(discrepancy)?)
}

async fn delete_discrepancies(State(core): Shared) -> Answered {
    core.unplant_all()?;
    shown(&json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntentDecision {
    pays: bool,
}

async fn decide_intent(State(core): Shared, Path(id): Path<String>, body: Bytes) -> Answered {
    let IntentDecision { pays } = parse(&body)?;
    change_object(&core, Kind::Intent, &id, |tx| tx.decide_intent(&id, pays))
}

async fn fail_refund(State(core): Shared, Path(id): Path<String>) -> Answered {
    change_object(&core, Kind::Refund, &id, |tx| tx.fail_refund(&id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayoutNews {
    status: PayoutStatus,
}

async fn advance_payout(State(core): Shared, Path(id): Path<String>, body: Bytes) -> Answered {
    let PayoutNews { status } = parse(&body)?;
    change_object(&core, Kind::Payout, &id, |tx| tx.advance_payout(&id, status))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisputeRequest {
    payment_intent: String,
    amount: Option<i64>,
    reason: Option<DisputeReason>,
    #[serde(default)]
    inquiry: bool,
}

async fn post_dispute(State(core): Shared, body: Bytes) -> Answered {
    let DisputeRequest { payment_intent, amount, reason, inquiry } = parse(&body)?;
    let reason = reason.unwrap_or(DisputeReason::Fraudulent);
    let new = NewDispute { intent: payment_intent.clone(), amount, reason, inquiry };
    change_object(&core, Kind::Intent, &payment_intent, |tx| tx.open_dispute(&new))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DisputeDecision {
    status: DisputeStatus,
}

async fn decide_dispute(State(core): Shared, Path(id): Path<String>, body: Bytes) -> Answered {
    let DisputeDecision { status } = parse(&body)?;
    let decision = match status {
        DisputeStatus::NeedsResponse => Decision::Escalate,
        DisputeStatus::WarningClosed => Decision::Drop,
        DisputeStatus::Won => Decision::Won,
        DisputeStatus::Lost => Decision::Lost,
        other => {
            let message = format!("status: a bank does not decide {}", other.as_str());
            return Err(Refused(StatusCode::BAD_REQUEST, message));
        }
    };
    change_object(&core, Kind::Dispute, &id, |tx| tx.decide_dispute(&id, decision))
}

/// Changes the object of that id, in whichever account it is, and shows what that gave.
fn change_object(
    core: &Arc<Core>,
    kind: Kind,
    id: &str,
    act: impl FnOnce(&mut Tx<'_>) -> Result<Stored, ApiError>,
) -> Answered {
    let is_its = |shared: &&SharedWorld| locked(shared).nonce.seq(kind, id).is_some();
    let worlds = core.worlds();
    let shared = worlds.iter().find(is_its).ok_or_else(|| Refused::not_found(id))?;
    let changed = change(core, shared, act)??;
    let world = locked(shared);
    let changed = world.resolve(&changed);
    let changed = changed.map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    shown(&serde_json::from_slice::<Value>(&world.renderer(core.base_url()).json(&changed)).ok())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

async fn post_clock(State(core): Shared, body: Bytes) -> Answered {
    let advance: Advance = parse(&body)?;
    let now_ms = core.advance_clock(i64::from(advance.advance_seconds) * 1000)?;
    for shared in core.worlds() {
        let pages = locked(&shared).sessions().len() as u64;
        change(&core, &shared, |tx| (0..pages).for_each(|seq| tx.expire_if_due(seq)))?;
    }
    shown(&json!({"now_ms": now_ms}))
}

async fn stats(State(core): Shared) -> Answered {
    shown(&json!({
        "calls": core.stats.calls(),
        "open_calls": core.stats.open_calls(),
        "replays": core.stats.replays(),
        "faults": core.stats.faults(),
        "rules": core.faults.report(),
        "hanging": *core.hanging.borrow(),
        "effects": core.store.effect_count(),
        "webhooks": core.dispatcher.counts,
        "webhook_backlog": core.dispatcher.backlog(),
    }))
}

/// Longer than any test waits, shorter than forever.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    hanging: Option<usize>,
    webhooks: Option<String>,
}

async fn wait(State(core): Shared, Query(wait): Query<Wait>) -> Answered {
    let waited = tokio::time::timeout(PATIENCE, async {
        if let Some(at_least) = wait.hanging {
            let mut hanging = core.hanging.subscribe();
            // The sender lives as long as the sandbox.
            let _ = hanging.wait_for(|count| *count >= at_least).await;
        }
        if wait.webhooks.is_some() {
            core.dispatcher.idle().await;
        }
    });
    match waited.await {
        Ok(()) => shown(&json!({})),
        Err(_) => Err(Refused(StatusCode::REQUEST_TIMEOUT, "it did not come to that".to_owned())),
    }
}

async fn reset(State(core): Shared) -> Answered {
    core.reset().map_err(|error| Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    shown(&json!({}))
}
