//! Reading the log of effects.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::control::Refused;
use crate::core::Core;
use crate::store::{Effect, EffectKind};

const PAGE: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `{"data":[…],"has_more":…}`, by position in the log.
pub async fn page(
    State(core): State<Arc<Core>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Refused> {
    let limit = query.limit.unwrap_or(1000).clamp(1, PAGE);
    let lines = core.store.effects(query.after, limit)?;
    let last = query.after.saturating_add(lines.len() as u64);
    let more = !lines.is_empty() && last < core.store.effect_count();
    let mut body = format!("{{\"has_more\":{more},\"data\":[").into_bytes();
    body.extend(lines.join(&b','));
    body.extend(b"]}");
    let mut response = body.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Count and sum per kind and currency, and what was charged more than once.
pub async fn summary(State(core): State<Arc<Core>>) -> Result<Json<Value>, Refused> {
    let summed = tokio::task::spawn_blocking(move || sum(&core)).await;
    let failed = |error: String| Refused(StatusCode::INTERNAL_SERVER_ERROR, error);
    summed.map_err(|error| failed(error.to_string()))?.map(Json)
}

fn sum(core: &Core) -> Result<Value, Refused> {
    let mut totals: BTreeMap<EffectKind, BTreeMap<String, (u64, i64)>> = BTreeMap::new();
    let mut charged: BTreeMap<String, u64> = BTreeMap::new();
    let mut after = 0;
    loop {
        let lines = core.store.effects(after, PAGE)?;
        if lines.is_empty() {
            break;
        }
        after += lines.len() as u64;
        for line in lines {
            let effect: Effect = serde_json::from_slice(&line)
                .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
            let total = totals.entry(effect.kind).or_default();
            let total = total.entry(effect.currency.to_string()).or_default();
            total.0 += 1;
            total.1 += effect.amount;
            let charges = matches!(effect.kind, EffectKind::Charge | EffectKind::Authorization);
            if let Some(operation) = effect.metadata.get("payonce_operation").filter(|_| charges) {
                *charged.entry(operation.to_owned()).or_default() += 1;
            }
        }
    }
    let operations = charged.len();
    charged.retain(|_, count| *count > 1);
    let by_currency = |totals: BTreeMap<String, (u64, i64)>| -> BTreeMap<String, Value> {
        let shown = |(count, amount)| json!({"count": count, "amount": amount});
        totals.into_iter().map(|(currency, total)| (currency, shown(total))).collect()
    };
    let totals: BTreeMap<_, _> =
        totals.into_iter().map(|(kind, totals)| (kind, by_currency(totals))).collect();
    Ok(json!({
        "effects": after,
        "totals": totals,
        "operations_charged": operations,
        "charged_more_than_once": charged,
    }))
}
