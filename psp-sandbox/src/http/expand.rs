//! `expand[]`: ids in an answer replaced by the objects they name.

use serde::Serialize;
use serde_json::Value;

use crate::core::Core;
use crate::model::id::Kind;
use crate::render::{
    BalanceTransactionView, ChargeView, DisputeView, IntentView, PayoutView, RefundView, SessionView,
};
use crate::wire::ApiError;
use crate::world::World;

/// Levels Stripe goes down.
const DEPTH: usize = 4;

/// Expands the paths in a body.
pub fn expand(core: &Core, world: &World, body: Vec<u8>, paths: &[String]) -> Result<Vec<u8>, ApiError> {
    if paths.is_empty() {
        return Ok(body);
    }
    let mut value: Value = serde_json::from_slice(&body).map_err(|_| ApiError::internal())?;
    for path in paths {
        let steps: Vec<&str> = path.split('.').collect();
        if steps.len() > DEPTH {
            let message = format!("You cannot expand more than {DEPTH} levels of a property.");
            return Err(ApiError::invalid("expand", "", message));
        }
        follow(core, world, &mut value, &steps, path)?;
    }
    serde_json::to_vec(&value).map_err(|_| ApiError::internal())
}

fn follow(core: &Core, world: &World, value: &mut Value, steps: &[&str], path: &str) -> Result<(), ApiError> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(());
    };
    let refused = || {
        let message = format!("This property cannot be expanded ({path}).");
        ApiError::invalid("expand", "", message)
    };
    let field = value.get_mut(*step).ok_or_else(refused)?;
    match field {
        Value::Null => Ok(()),
        Value::Array(items) => items.iter_mut().try_for_each(|item| follow(core, world, item, rest, path)),
        Value::String(id) => {
            *field = object(core, world, id).ok_or_else(refused)?;
            follow(core, world, field, rest, path)
        }
        Value::Object(_) => follow(core, world, field, rest, path),
        Value::Bool(_) | Value::Number(_) => Err(refused()),
    }
}

fn object(core: &Core, world: &World, id: &str) -> Option<Value> {
    let renderer = &world.renderer(core.base_url());
    let kind = Kind::of(id)?;
    let seq = world.nonce.seq(kind, id)?;
    match kind {
        Kind::Intent => value(&IntentView::new(renderer, world.intent_at(seq)?)),
        Kind::Session => value(&SessionView(renderer, world.session_at(seq)?)),
        Kind::Charge => value(&ChargeView(renderer, world.charge_at(seq)?)),
        Kind::Refund => value(&RefundView(renderer, world.refund_at(seq)?)),
        Kind::Dispute => value(&DisputeView(renderer, world.dispute_at(seq)?)),
        Kind::Payout => value(&PayoutView(renderer, world.payout_at(seq)?)),
        Kind::BalanceTransaction => value(&BalanceTransactionView(renderer, world.transaction_at(seq)?)),
        Kind::PaymentMethod => {
            let intent = world.intent_at(seq)?;
            let failed = || intent.failure.map(|failure| failure.card);
            let card = intent.card.or_else(failed)?;
            value(&crate::render::PaymentMethodView {
                renderer,
                card,
                owner: seq,
                created_ms: intent.created_ms,
            })
        }
        Kind::Event => None,
    }
}

fn value(view: &impl Serialize) -> Option<Value> {
    serde_json::to_value(view).ok()
}
