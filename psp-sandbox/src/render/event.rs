//! Events.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{API_VERSION, Renderer, SnapshotView, seconds};
use crate::model::event::{Event, Snapshot};
use crate::model::id::Kind;

/// An event; `pending` is how many endpoints have not taken it yet.
pub struct EventView<'a> {
    /// How to render.
    pub renderer: &'a Renderer<'a>,
    /// The event.
    pub event: &'a Event,
    /// Endpoints that have not taken it yet.
    pub pending: usize,
}

impl Serialize for EventView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.renderer.nonce.id(Kind::Event, event.seq))?;
        map.serialize_entry("object", "event")?;
        map.serialize_entry("api_version", API_VERSION)?;
        map.serialize_entry("created", &seconds(event.created_ms))?;
        map.serialize_entry("data", &Data(self.renderer, &event.object))?;
        map.serialize_entry("livemode", &self.renderer.livemode)?;
        map.serialize_entry("pending_webhooks", &self.pending)?;
        map.serialize_entry("request", &Request(event))?;
        map.serialize_entry("type", &event.kind)?;
        map.end()
    }
}

struct Data<'a>(&'a Renderer<'a>, &'a Snapshot);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("object", &SnapshotView(self.0, self.1))?;
        map.end()
    }
}

struct Request<'a>(&'a Event);

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("id", &self.0.request)?;
        map.serialize_entry("idempotency_key", &self.0.idempotency_key)?;
        map.end()
    }
}
