//! Lists, newest first, with cursors.

use std::sync::Arc;

use super::World;
use crate::model::event::{Event, EventKind};
use crate::model::id::{Id, Kind};
use crate::model::{BalanceTransaction, Dispute, Intent, Payout, Refund};
use crate::wire::{ApiError, Form};

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    limit: usize,
    starting_after: Option<String>,
    ending_before: Option<String>,
    created: Bounds,
}

/// Seconds since 1970, each bound included.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    from: i64,
    until: i64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { from: i64::MIN, until: i64::MAX }
    }
}

/// One page.
#[derive(Debug)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Whether there is another page that way.
    pub has_more: bool,
}

impl PageRequest {
    /// Takes the paging parameters.
    pub fn take(form: &mut Form) -> Result<Self, ApiError> {
        let limit = form.integer("limit")?.unwrap_or(10);
        if !(1..=100).contains(&limit) {
            let message = "Invalid limit: must be between 1 and 100".to_owned();
            return Err(ApiError::invalid("limit", "parameter_invalid_integer", message));
        }
        let mut created = Bounds::default();
        if let Some(exactly) = form.integer("created")? {
            (created.from, created.until) = (exactly, exactly);
        }
        if let Some(from) = form.integer("created[gte]")? {
            created.from = from;
        }
        if let Some(from) = form.integer("created[gt]")? {
            created.from = from.saturating_add(1);
        }
        if let Some(until) = form.integer("created[lte]")? {
            created.until = until;
        }
        if let Some(until) = form.integer("created[lt]")? {
            created.until = until.saturating_sub(1);
        }
        Ok(Self {
            limit: usize::try_from(limit).unwrap_or(10),
            starting_after: form.text("starting_after"),
            ending_before: form.text("ending_before"),
            created,
        })
    }

    fn cursor(world: &World, kind: Kind, param: &str, id: Option<&str>) -> Result<Option<u64>, ApiError> {
        id.map(|id| {
            let found = world.nonce.seq(kind, id);
            found.ok_or_else(|| ApiError::unknown("object", param, id))
        })
        .transpose()
    }

    /// Cuts a page out of objects that lie in order of creation, the first of them at position `first`.
    fn page<T: Listed>(
        &self,
        world: &World,
        first: u64,
        count: usize,
        get: impl Fn(u64) -> Option<T>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<T>, ApiError> {
        let end = first + count as u64;
        let after = self.starting_after.as_deref();
        let after = Self::cursor(world, T::KIND, "starting_after", after)?;
        let before = self.ending_before.as_deref();
        let before = Self::cursor(world, T::KIND, "ending_before", before)?;
        let matching = |seq: u64| {
            let object = get(seq)?;
            let created = object.created_ms().div_euclid(1000);
            let inside = (self.created.from..=self.created.until).contains(&created);
            (inside && wanted(&object)).then_some(object)
        };
        let more = self.limit + 1;
        let mut items: Vec<T> = match before {
            // The page just before a cursor is read upwards and then turned around.
            Some(before) => {
                let up = before.saturating_add(1).max(first)..end;
                let mut items: Vec<T> = up.filter_map(matching).take(more).collect();
                items.reverse();
                items
            }
            None => {
                let down = first..after.unwrap_or(end).min(end);
                down.rev().filter_map(matching).take(more).collect()
            }
        };
        let has_more = items.len() == more;
        if has_more && before.is_some() {
            items.remove(0);
        } else if has_more {
            items.pop();
        }
        Ok(Page { items, has_more })
    }
}

trait Listed {
    const KIND: Kind;
    fn created_ms(&self) -> i64;
}

macro_rules! listed {
    ($($object:ident: $kind:ident),+) => {$(
        impl Listed for Arc<$object> {
            const KIND: Kind = Kind::$kind;
            fn created_ms(&self) -> i64 {
                self.created_ms
            }
        }
    )+};
}
listed!(Intent: Intent, Refund: Refund, Dispute: Dispute, Payout: Payout, BalanceTransaction: BalanceTransaction);

impl Listed for Event {
    const KIND: Kind = Kind::Event;
    fn created_ms(&self) -> i64 {
        self.created_ms
    }
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of these kinds; all when empty.
    pub kinds: Vec<EventKind>,
    /// Taken by every endpoint, or not.
    pub delivered: Option<bool>,
}

impl World {
    /// PaymentIntents.
    pub fn list_intents(&self, page: &PageRequest) -> Result<Page<Arc<Intent>>, ApiError> {
        let count = self.intents.len();
        page.page(self, 0, count, |seq| self.intent_at(seq).cloned(), |_| true)
    }

    /// Refunds, of one charge or PaymentIntent when given.
    pub fn list_refunds(
        &self,
        page: &PageRequest,
        charge: Option<&str>,
        intent: Option<&str>,
    ) -> Result<Page<Arc<Refund>>, ApiError> {
        let matches = |wanted: Option<&str>, id: Id| wanted.is_none_or(|it| it == id.as_str());
        page.page(
            self,
            0,
            self.refunds.len(),
            |seq| self.refund_at(seq).cloned(),
            |refund| {
                matches(charge, self.nonce.id(Kind::Charge, refund.charge))
                    && matches(intent, self.nonce.id(Kind::Intent, refund.intent))
            },
        )
    }

    /// Disputes: all, those of one charge, or those of one PaymentIntent.
    pub fn list_disputes(
        &self,
        page: &PageRequest,
        charge: Option<&str>,
        intent: Option<&str>,
    ) -> Result<Page<Arc<Dispute>>, ApiError> {
        let matches = |wanted: Option<&str>, id: Id| wanted.is_none_or(|it| it == id.as_str());
        page.page(
            self,
            0,
            self.disputes.len(),
            |seq| self.dispute_at(seq).cloned(),
            |dispute| {
                matches(charge, self.nonce.id(Kind::Charge, dispute.charge))
                    && matches(intent, self.nonce.id(Kind::Intent, dispute.intent))
            },
        )
    }

    /// Payouts.
    pub fn list_payouts(&self, page: &PageRequest) -> Result<Page<Arc<Payout>>, ApiError> {
        let count = self.payouts.len();
        page.page(self, 0, count, |seq| self.payout_at(seq).cloned(), |_| true)
    }

    /// Balance transactions: all, those of one payout, or those of one source.
    pub fn list_transactions(
        &self,
        page: &PageRequest,
        payout: Option<&str>,
        source: Option<&str>,
    ) -> Result<Page<Arc<BalanceTransaction>>, ApiError> {
        use crate::model::Source;
        let of_source = |moved: &Arc<BalanceTransaction>| {
            let id = match moved.source {
                Source::Charge(seq) => self.nonce.id(Kind::Charge, seq),
                Source::Refund(seq) | Source::RefundFailure(seq) => self.nonce.id(Kind::Refund, seq),
                Source::Dispute(seq) | Source::DisputeReversal(seq) => self.nonce.id(Kind::Dispute, seq),
                Source::Payout(seq) | Source::ManualPayout(seq) | Source::PayoutFailure(seq) => {
                    self.nonce.id(Kind::Payout, seq)
                }
            };
            source.is_none_or(|it| it == id.as_str())
        };
        let get = |seq: u64| self.transaction_at(seq).cloned();
        let Some(id) = payout else {
            return page.page(self, 0, self.transactions.len(), get, of_source);
        };
        let found = self.nonce.seq(Kind::Payout, id);
        let payout = found
            .and_then(|seq| self.payout_at(seq))
            .ok_or_else(|| ApiError::unknown("payout", "payout", id))?;
        let first = payout.items.first().copied().unwrap_or_default();
        let count = payout.balance_transaction.saturating_sub(first) + 1;
        let paid = |moved: &Arc<BalanceTransaction>| {
            moved.seq == payout.balance_transaction || payout.items.binary_search(&moved.seq).is_ok()
        };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        page.page(self, first, count, get, |moved| paid(moved) && of_source(moved))
    }

    /// Events that are still kept. `pending` tells how many endpoints have not taken one.
    pub fn list_events(
        &self,
        page: &PageRequest,
        filter: &EventFilter,
        pending: impl Fn(u64) -> usize,
    ) -> Result<Page<Event>, ApiError> {
        page.page(
            self,
            self.first_event,
            self.events.len(),
            |seq| self.event_at(seq).cloned(),
            |event| {
                let kind = filter.kinds.is_empty() || filter.kinds.contains(&event.kind);
                let delivered = filter.delivered;
                kind && delivered.is_none_or(|wanted| wanted == (pending(event.seq) == 0))
            },
        )
    }
}
