//! Objects as the wire shows them. Pure: the same version of an object always gives the same bytes,
//! which is what lets a replayed response be made again instead of being kept.

mod charge;
mod event;
mod intent;
mod money;
mod payment_method;
mod session;

pub use event::EventView;
pub use intent::{FailureView, IntentView};
pub use money::{
    AccountView, BalanceTransactionView, DisputeView, PayoutView, RefundView, reporting_category,
};

use serde::ser::{Serialize, SerializeMap, Serializer};

pub use charge::ChargeView;
pub use payment_method::PaymentMethodView;
pub use session::SessionView;

use crate::model::event::Snapshot;
use crate::model::id::Nonce;

/// The API version objects are rendered in.
pub const API_VERSION: &str = "2026-10-28.endive";

/// What rendering needs to know beside the object.
#[derive(Clone, Copy)]
pub struct Renderer<'a> {
    /// Of the account's ids.
    pub nonce: Nonce,
    /// Whether the account is a live one.
    pub livemode: bool,
    /// Where the sandbox itself can be reached by a buyer's browser.
    pub base_url: &'a str,
}

impl Renderer<'_> {
    /// One version of an object as JSON text.
    pub fn json(&self, snapshot: &Snapshot) -> Vec<u8> {
        let mut out = Vec::with_capacity(2560);
        self.write(snapshot, &mut out);
        out
    }

    /// One version of an object, appended as JSON text.
    pub fn write(&self, snapshot: &Snapshot, out: &mut Vec<u8>) {
        // Writing plain values to memory has no way to fail.
        let _ = serde_json::to_writer(out, &SnapshotView(self, snapshot));
    }
}

/// Any object, by its snapshot.
pub struct SnapshotView<'a>(pub &'a Renderer<'a>, pub &'a Snapshot);

impl Serialize for SnapshotView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(renderer, snapshot) = self;
        match snapshot {
            Snapshot::Intent(intent) => IntentView::new(renderer, intent).serialize(serializer),
            Snapshot::IntentAsCreated(intent) => {
                IntentView::as_created(renderer, intent).serialize(serializer)
            }
            Snapshot::Session(session) => SessionView(renderer, session).serialize(serializer),
            Snapshot::Charge(charge) => ChargeView(renderer, charge).serialize(serializer),
            Snapshot::Refund(refund) => RefundView(renderer, refund).serialize(serializer),
            Snapshot::Dispute(dispute) => DisputeView(renderer, dispute).serialize(serializer),
            Snapshot::Payout(payout) => PayoutView(renderer, payout).serialize(serializer),
        }
    }
}

/// Fields that are there and empty.
fn nulls<M: SerializeMap>(map: &mut M, names: &[&'static str]) -> Result<(), M::Error> {
    names.iter().try_for_each(|name| map.serialize_entry(name, &()))
}

/// Seconds since 1970.
const fn seconds(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1000)
}

/// An object with nothing in it.
struct Empty;

impl Serialize for Empty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_map(Some(0))?.end()
    }
}
