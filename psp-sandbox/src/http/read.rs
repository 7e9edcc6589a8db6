//! Calls that only read.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use super::Operation;
use crate::core::{Core, SharedWorld, locked};
use crate::model::event::EventKind;
use crate::model::id::Kind;
use crate::render::{
    AccountView, BalanceTransactionView, ChargeView, DisputeView, EventView, IntentView, PayoutView,
    RefundView, Renderer, SessionView,
};
use crate::wire::{ApiError, Form};
use crate::world::{EventFilter, Page, PageRequest, Query, World};

/// Answers a call that only reads.
pub fn read(
    core: &Core,
    world: &SharedWorld,
    operation: Operation,
    id: &str,
    form: Form,
) -> Result<Vec<u8>, ApiError> {
    let mut world = locked(world);
    let renderer = world.renderer(core.base_url());
    let renderer = &renderer;
    let reader = Reader { core, world: &world, renderer };
    match operation {
        Operation::IntentsSearch => search(core, &mut world, form),
        Operation::IntentsList
        | Operation::RefundsList
        | Operation::DisputesList
        | Operation::EventsList
        | Operation::TransactionsList
        | Operation::PayoutsList => reader.list(operation, form),
        _ => {
            form.finish()?;
            reader.retrieve(operation, id)
        }
    }
}

struct Reader<'a> {
    core: &'a Core,
    world: &'a World,
    renderer: &'a Renderer<'a>,
}

impl Reader<'_> {
    fn retrieve(&self, operation: Operation, id: &str) -> Result<Vec<u8>, ApiError> {
        let (world, renderer) = (self.world, self.renderer);
        let seq = |kind| world.nonce.seq(kind, id);
        let missing = |object| ApiError::missing(object, "id", id);
        match operation {
            Operation::IntentsRetrieve => {
                let found = world.intent(id);
                let found = found.ok_or_else(|| ApiError::missing("payment_intent", "intent", id))?;
                text(&IntentView::new(renderer, found))
            }
            Operation::SessionsRetrieve => {
                let found = world.session(id);
                let found = found.ok_or_else(|| ApiError::missing("checkout.session", "session", id))?;
                text(&SessionView(renderer, found))
            }
            Operation::ChargesRetrieve => {
                let found = seq(Kind::Charge).and_then(|seq| world.charge_at(seq));
                text(&ChargeView(renderer, found.ok_or_else(|| missing("charge"))?))
            }
            Operation::RefundsRetrieve => {
                let found = seq(Kind::Refund).and_then(|seq| world.refund_at(seq));
                text(&RefundView(renderer, found.ok_or_else(|| missing("refund"))?))
            }
            Operation::DisputesRetrieve => {
                let found = seq(Kind::Dispute).and_then(|seq| world.dispute_at(seq));
                text(&DisputeView(renderer, found.ok_or_else(|| missing("dispute"))?))
            }
            Operation::PayoutsRetrieve => {
                let found = seq(Kind::Payout).and_then(|seq| world.payout_at(seq));
                text(&PayoutView(renderer, found.ok_or_else(|| missing("payout"))?))
            }
            Operation::TransactionsRetrieve => {
                let found = seq(Kind::BalanceTransaction).and_then(|seq| world.transaction_at(seq));
                let found = found.ok_or_else(|| missing("balance transaction"))?;
                text(&BalanceTransactionView(renderer, found))
            }
            Operation::EventsRetrieve => {
                let found = seq(Kind::Event).and_then(|seq| world.event_at(seq));
                let event = found.ok_or_else(|| missing("event"))?;
                let pending = self.pending(event.seq);
                text(&EventView { renderer, event, pending })
            }
            Operation::AccountRetrieve => text(&AccountView(&world.account)),
            _ => Err(ApiError::internal()),
        }
    }

    fn pending(&self, event: u64) -> usize {
        self.core.dispatcher.pending(self.world.index, event)
    }

    fn list(&self, operation: Operation, mut form: Form) -> Result<Vec<u8>, ApiError> {
        let (world, renderer) = (self.world, self.renderer);
        let page = PageRequest::take(&mut form)?;
        match operation {
            Operation::IntentsList => {
                form.accept(&["customer"]);
                form.finish()?;
                let page = world.list_intents(&page)?;
                list("/v1/payment_intents", &page, |it| IntentView::new(renderer, it))
            }
            Operation::RefundsList => {
                let (charge, intent) = (form.text("charge"), form.text("payment_intent"));
                form.finish()?;
                let page = world.list_refunds(&page, charge.as_deref(), intent.as_deref())?;
                list("/v1/refunds", &page, |it| RefundView(renderer, it))
            }
            Operation::DisputesList => {
                let (charge, intent) = (form.text("charge"), form.text("payment_intent"));
                form.finish()?;
                let page = world.list_disputes(&page, charge.as_deref(), intent.as_deref())?;
                list("/v1/disputes", &page, |it| DisputeView(renderer, it))
            }
            Operation::PayoutsList => {
                form.accept(&["status", "arrival_date"]);
                form.finish()?;
                let page = world.list_payouts(&page)?;
                list("/v1/payouts", &page, |it| PayoutView(renderer, it))
            }
            Operation::TransactionsList => {
                let (payout, source) = (form.text("payout"), form.text("source"));
                form.finish()?;
                let page = world.list_transactions(&page, payout.as_deref(), source.as_deref())?;
                list("/v1/balance_transactions", &page, |it| BalanceTransactionView(renderer, it))
            }
            _ => {
                let filter = event_filter(&mut form)?;
                form.finish()?;
                let page = world.list_events(&page, &filter, |seq| self.pending(seq))?;
                list("/v1/events", &page, |event| EventView {
                    renderer,
                    event,
                    pending: self.pending(event.seq),
                })
            }
        }
    }
}

fn event_filter(form: &mut Form) -> Result<EventFilter, ApiError> {
    let mut names = form.list("types");
    names.extend(form.text("type"));
    let kinds = EventKind::WORDS.iter().filter(|word| {
        let named = |name: &String| match name.strip_suffix('*') {
            Some(start) => word.starts_with(start),
            None => name == *word,
        };
        names.iter().any(named)
    });
    let kinds: Vec<_> = kinds.filter_map(|word| EventKind::parse(word)).collect();
    if kinds.is_empty() && !names.is_empty() {
        let message = format!("No such event type: {}", names.join(", "));
        return Err(ApiError::invalid("type", "", message));
    }
    Ok(EventFilter { kinds, delivered: form.flag("delivery_success")? })
}

fn search(core: &Core, world: &mut World, mut form: Form) -> Result<Vec<u8>, ApiError> {
    let query = Query::parse(&Form::required("query", form.text("query"))?)?;
    let limit = form.integer("limit")?.unwrap_or(10).clamp(1, 100);
    let limit = usize::try_from(limit).unwrap_or(10);
    let from = form.integer("page")?.unwrap_or(0).max(0);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    form.finish()?;
    let lag = i64::from(core.behaviour().search_lag_ms);
    let found = world.search_intents(&query, core.now_ms() - lag);
    let renderer = world.renderer(core.base_url());
    let views: Vec<_> = found.iter().map(|intent| IntentView::new(&renderer, intent)).collect();
    let page = views.get(from..).unwrap_or_default();
    let page = &page[..limit.min(page.len())];
    let more = views.len() > from.saturating_add(page.len());
    let mut out = Vec::with_capacity(4096);
    let mut writer = serde_json::Serializer::new(&mut out);
    let written = writer.serialize_map(None).and_then(|mut map| {
        map.serialize_entry("object", "search_result")?;
        map.serialize_entry("url", "/v1/payment_intents/search")?;
        map.serialize_entry("has_more", &more)?;
        let next = more.then(|| (from + page.len()).to_string());
        map.serialize_entry("next_page", &next)?;
        map.serialize_entry("data", page)?;
        SerializeMap::end(map)
    });
    written.map_err(|_| ApiError::internal())?;
    Ok(out)
}

fn list<'a, T, V: Serialize>(
    url: &str,
    page: &'a Page<T>,
    view: impl Fn(&'a T) -> V,
) -> Result<Vec<u8>, ApiError> {
    let mut out = Vec::with_capacity(4096);
    let mut writer = serde_json::Serializer::new(&mut out);
    let written = writer.serialize_map(None).and_then(|mut map| {
        map.serialize_entry("object", "list")?;
        map.serialize_entry("url", url)?;
        map.serialize_entry("has_more", &page.has_more)?;
        map.serialize_entry("data", &Items(&page.items, view))?;
        SerializeMap::end(map)
    });
    written.map_err(|_| ApiError::internal())?;
    Ok(out)
}

struct Items<'a, T, F>(&'a [T], F);

impl<'a, T, V: Serialize, F: Fn(&'a T) -> V> Serialize for Items<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut items = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            items.serialize_element(&(self.1)(item))?;
        }
        items.end()
    }
}

fn text(view: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(view).map_err(|_| ApiError::internal())
}
