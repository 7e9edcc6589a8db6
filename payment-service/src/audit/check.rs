use serde::Serialize;

/// What is checked, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each says what it is by `statement`")]
pub enum Check {
    OneLivePayment,
    ChargedOnce,
    AskedOnce,
    PspObjectOnce,
    SandboxChargedOnce,
    AnswerStored,
    AnswerTrue,
    ZeroSum,
    Legs,
    EntryCurrency,
    Balances,
    TrialBalance,
    Floors,
    Bounds,
    Splits,
    Sums,
    Versions,
    Path,
    OperationAgrees,
    CapturePosted,
    RefundPosted,
    DisputePosted,
    PayoutPosted,
    PostedOnce,
    SettlementMoved,
    WebhookAgrees,
    WebhookOnce,
    PublishedInOrder,
    EventIdOnce,
    OutboxAge,
    AcknowledgedSurvives,
    RefusedMovedNothing,
    Fences,
    OwnersWord,
    OpenOperations,
    OpenWebhooks,
    OpenSettlement,
    Files,
    Lines,
    Bookings,
    PayoutsToBank,
    BankStatements,
    Clearing,
    Tenants,
    KnownMerchants,
    CardNumbers,
    AppendOnly,
    Privileges,
    HashChain,
    SandboxEffects,
}

/// Where a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// At the rows of one merchant.
    Merchant,
    /// At the database as a whole.
    Database,
    /// At the sandbox's log as well.
    Sandbox,
    /// It cannot be seen in rows.
    Elsewhere,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 50] = [
        Self::OneLivePayment,
        Self::ChargedOnce,
        Self::AskedOnce,
        Self::PspObjectOnce,
        Self::SandboxChargedOnce,
        Self::AnswerStored,
        Self::AnswerTrue,
        Self::ZeroSum,
        Self::Legs,
        Self::EntryCurrency,
        Self::Balances,
        Self::TrialBalance,
        Self::Floors,
        Self::Bounds,
        Self::Splits,
        Self::Sums,
        Self::Versions,
        Self::Path,
        Self::OperationAgrees,
        Self::CapturePosted,
        Self::RefundPosted,
        Self::DisputePosted,
        Self::PayoutPosted,
        Self::PostedOnce,
        Self::SettlementMoved,
        Self::WebhookAgrees,
        Self::WebhookOnce,
        Self::PublishedInOrder,
        Self::EventIdOnce,
        Self::OutboxAge,
        Self::AcknowledgedSurvives,
        Self::RefusedMovedNothing,
        Self::Fences,
        Self::OwnersWord,
        Self::OpenOperations,
        Self::OpenWebhooks,
        Self::OpenSettlement,
        Self::Files,
        Self::Lines,
        Self::Bookings,
        Self::PayoutsToBank,
        Self::BankStatements,
        Self::Clearing,
        Self::Tenants,
        Self::KnownMerchants,
        Self::CardNumbers,
        Self::AppendOnly,
        Self::Privileges,
        Self::HashChain,
        Self::SandboxEffects,
    ];

    /// Those that look at one merchant's rows.
    pub(super) fn of_a_merchant() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|check| check.scope() == Scope::Merchant)
    }

    /// Those that look at the database as a whole.
    pub(super) fn of_the_database() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|check| check.scope() == Scope::Database)
    }

    const fn scope(self) -> Scope {
        match self {
            Self::KnownMerchants | Self::AppendOnly | Self::Privileges => Scope::Database,
            Self::SandboxChargedOnce | Self::SandboxEffects => Scope::Sandbox,
            Self::AcknowledgedSurvives | Self::RefusedMovedNothing | Self::HashChain => Scope::Elsewhere,
            _ => Scope::Merchant,
        }
    }

    /// Which invariant it is a part of.
    pub const fn invariant(self) -> &'static str {
        match self {
            Self::OneLivePayment
            | Self::ChargedOnce
            | Self::AskedOnce
            | Self::PspObjectOnce
            | Self::SandboxChargedOnce => "I1",
            Self::AnswerStored | Self::AnswerTrue => "I2",
            Self::ZeroSum | Self::Legs | Self::EntryCurrency => "I3",
            Self::Balances | Self::TrialBalance => "I4",
            Self::Floors => "I5",
            Self::Bounds | Self::Splits | Self::Sums => "I6",
            Self::Versions | Self::Path | Self::OperationAgrees => "I7",
            Self::CapturePosted
            | Self::RefundPosted
            | Self::DisputePosted
            | Self::PayoutPosted
            | Self::PostedOnce
            | Self::SettlementMoved => "I8",
            Self::WebhookAgrees | Self::WebhookOnce => "I9",
            Self::PublishedInOrder | Self::EventIdOnce | Self::OutboxAge => "I10",
            Self::AcknowledgedSurvives => "I11",
            Self::RefusedMovedNothing => "I12",
            Self::Fences | Self::OwnersWord => "I13",
            Self::OpenOperations | Self::OpenWebhooks | Self::OpenSettlement => "I14",
            Self::Files
            | Self::Lines
            | Self::Bookings
            | Self::PayoutsToBank
            | Self::BankStatements
            | Self::Clearing => "I15",
            Self::Tenants | Self::KnownMerchants => "I16",
            Self::CardNumbers => "I17",
            Self::AppendOnly | Self::Privileges | Self::HashChain => "I18",
            Self::SandboxEffects => "I19",
        }
    }

    /// What it looks at, in the plural.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::OneLivePayment | Self::ChargedOnce => "orders",
            Self::AskedOnce | Self::Bounds | Self::Splits | Self::Sums => "payments",
            Self::Versions | Self::Path => "payments and payouts",
            Self::PspObjectOnce => "PSP objects",
            Self::SandboxChargedOnce | Self::OperationAgrees | Self::Fences | Self::OwnersWord => {
                "operations"
            }
            Self::OpenOperations | Self::SandboxEffects => "operations",
            Self::AnswerStored => "ended operations",
            Self::AnswerTrue => "stored answers",
            Self::ZeroSum | Self::Legs => "ledger transactions",
            Self::EntryCurrency => "ledger entries",
            Self::Balances => "ledger accounts",
            Self::TrialBalance => "currencies",
            Self::Floors => "wallet accounts",
            Self::CapturePosted => "captures",
            Self::RefundPosted => "refunds",
            Self::DisputePosted => "disputes",
            Self::PayoutPosted => "payouts",
            Self::PayoutsToBank => "payouts to the bank",
            Self::BankStatements => "bank statements and adjustments",
            Self::PostedOnce => "postings",
            Self::SettlementMoved | Self::Bookings => "settlement bookings",
            Self::WebhookAgrees => "applied webhooks",
            Self::WebhookOnce => "operations with applied webhooks",
            Self::PublishedInOrder => "published events",
            Self::EventIdOnce => "events",
            Self::OutboxAge => "unpublished events",
            Self::OpenWebhooks => "webhooks",
            Self::OpenSettlement => "settlement files and waiting lines",
            Self::Files => "settlement files",
            Self::Lines => "settlement lines",
            Self::Clearing => "clearing accounts",
            Self::Tenants => "references",
            Self::KnownMerchants => "merchants' tables",
            Self::CardNumbers => "rows with text",
            Self::AppendOnly => "triggers",
            Self::Privileges => "privileges to withhold",
            Self::AcknowledgedSurvives | Self::RefusedMovedNothing => "replies",
            Self::HashChain => "links",
        }
    }

    /// What must hold, in a sentence.
    pub const fn statement(self) -> &'static str {
        match self {
            Self::OneLivePayment => "An order has at most one live payment.",
            Self::ChargedOnce => "An order is charged at most once.",
            Self::AskedOnce => {
                "A payment is asked for once: one authorize operation, of its amount and currency."
            }
            Self::PspObjectOnce => "A PSP's object belongs to one operation of a kind.",
            Self::SandboxChargedOnce => {
                "The PSP charged, refunded or paid out each operation at most once, by its own log."
            }
            Self::AnswerStored => "An operation that has ended has its final answer stored.",
            Self::AnswerTrue => "A stored answer tells what its payment or payout is or was.",
            Self::ZeroSum => "A ledger transaction sums to zero in each currency.",
            Self::Legs => "A ledger transaction has two entries or more, and an entry has its transaction.",
            Self::EntryCurrency => "An entry's account exists and has its currency.",
            Self::Balances => "An account's balance and deltas are the sum of its entries.",
            Self::TrialBalance => "The balances of a currency sum to zero.",
            Self::Floors => "No part of a seller's wallet is below zero.",
            Self::Bounds => "0 <= refunded and reserved <= captured <= authorized <= amount.",
            Self::Splits => "A payment's splits sum to it: amounts, captured, refunded and reserved.",
            Self::Sums => "A payment counts what its operations did, and these what falls on its splits.",
            Self::Versions => {
                "The events of a payment or payout are numbered 1 to its version, without a gap."
            }
            Self::Path => {
                "The events of a payment or payout are a path of its state machine, from created to its status."
            }
            Self::OperationAgrees => "An operation and its payment or payout tell the same story.",
            Self::CapturePosted => {
                "A capture that succeeded is in the ledger exactly as it falls on the splits, and no other is."
            }
            Self::DisputePosted => {
                "What a dispute took, lost and got back is booked, to the cent, and counted on its payment."
            }
            Self::PayoutPosted => {
                "A payout holds what it takes, and each of its steps is booked once, to the cent, and no other is."
            }
            Self::RefundPosted => "A refund holds what it takes, and its end posts exactly what it came to.",
            Self::PostedOnce => "A source has at most one posting of a kind.",
            Self::SettlementMoved => {
                "A settlement moved exactly the sellers' parts of the captures that it confirmed, less what refunds had taken."
            }
            Self::WebhookAgrees => "An applied webhook says how its operation ended, or has a break.",
            Self::WebhookOnce => "An operation was ended by at most one webhook.",
            Self::PublishedInOrder => {
                "The events of a payment or payout are published in their order, without a gap."
            }
            Self::EventIdOnce => "An event's id is its own.",
            Self::OutboxAge => "Where events are published, none waits longer than the limit.",
            Self::AcknowledgedSurvives => "An acknowledged reply survives any crash.",
            Self::RefusedMovedNothing => "An error reply means that its request moved nothing.",
            Self::Fences => "A fence is above all that were given and used before.",
            Self::OwnersWord => "What an operation's last owner saw succeed has succeeded.",
            Self::OpenOperations => "No operation is left open, in doubt or for review beyond the limit.",
            Self::OpenWebhooks => "No webhook is left pending, parked or quarantined beyond the limit.",
            Self::OpenSettlement => "No settlement file or line is left open beyond the limit.",
            Self::Files => "A file that was read has all its lines: stored once, or counted as duplicates.",
            Self::Lines => {
                "A settled line has one match or one break, or waits; a fee or the PSP's own payout has neither."
            }
            Self::Bookings => "A booking is the sum of its lines, and so is its ledger transaction.",
            Self::BankStatements => {
                "A bank's statement is the sum of its entries, and it, its matches and what people moved are in the ledger."
            }
            Self::PayoutsToBank => {
                "What was booked as paid out to the bank is what lines say was, or what the lines of a payout come to."
            }
            Self::Clearing => {
                "Receivables are captures less what settled; clearing is on its way; suspense is what nothing explains."
            }
            Self::Tenants => "A row and what it refers to belong to one merchant.",
            Self::KnownMerchants => "A row belongs to a merchant that exists.",
            Self::CardNumbers => "No text or JSON holds what looks like a card number.",
            Self::AppendOnly => {
                "The triggers that keep the books append-only and balanced are there, and on."
            }
            Self::Privileges => "The service's role may do no more with a table than a migration grants it.",
            Self::HashChain => "The hash chain over the books is intact.",
            Self::SandboxEffects => "What the PSP moved is what the ledger says, and open exceptions.",
        }
    }

    /// Why it is not seen, where it is not.
    pub(super) const fn why_unseen(self) -> &'static str {
        match self.scope() {
            Scope::Elsewhere => match self {
                Self::HashChain => "there is no hash chain yet",
                _ => "rows cannot tell: it takes the clients' own journal",
            },
            Scope::Sandbox => "the address of the PSP sandbox was not given",
            Scope::Merchant => "there is no merchant",
            Scope::Database => "it was not looked at",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_invariant_has_a_check_in_the_order_of_the_list() {
        let numbers: Vec<u8> =
            Check::ALL.iter().map(|check| check.invariant()[1..].parse().unwrap()).collect();
        assert!(numbers.is_sorted());
        assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), (1..=19).collect());
        assert!(Check::ALL.is_sorted());
        assert_eq!(Check::ALL.into_iter().collect::<BTreeSet<_>>().len(), Check::ALL.len());
    }
}
