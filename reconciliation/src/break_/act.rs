use std::fmt;
use std::str::FromStr;

use ledger::account::Account;
use money::{PspAccountId, SellerId};
use time::Date;

/// What a person does about a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Says who looks at it; nobody, with none.
    Assign(Option<String>),
    /// Says something about it.
    Comment(String),
    /// Puts it off: nobody needs to look before that day.
    Snooze {
        /// The day.
        until: Date,
        /// Why.
        note: Option<String>,
    },
    /// Moves its money to where it belongs, and closes it.
    Adjust {
        /// To which account.
        to: Target,
        /// Why.
        reason: String,
    },
    /// Closes it as it stands.
    Accept {
        /// Why.
        reason: String,
    },
    /// Opens it again, and moves its money back where it was moved.
    Reverse {
        /// Why.
        reason: String,
    },
}

impl Act {
    /// What a second person would have to say the same of, if anything.
    pub(super) const fn proposal(&self) -> Option<Proposal> {
        match self {
            Self::Adjust { .. } => Some(Proposal::Adjust),
            Self::Accept { .. } => Some(Proposal::Accept),
            Self::Reverse { .. } => Some(Proposal::Reverse),
            Self::Assign(_) | Self::Comment(_) | Self::Snooze { .. } => None,
        }
    }

    /// The account that money is to be moved to.
    pub(super) const fn target(&self) -> Option<&Target> {
        match self {
            Self::Adjust { to, .. } => Some(to),
            Self::Assign(_)
            | Self::Comment(_)
            | Self::Snooze { .. }
            | Self::Accept { .. }
            | Self::Reverse { .. } => None,
        }
    }

    /// What is said with it.
    pub(super) fn note(&self) -> Option<&str> {
        match self {
            Self::Assign(_) => None,
            Self::Comment(note) => Some(note),
            Self::Snooze { note, .. } => note.as_deref(),
            Self::Adjust { reason, .. } | Self::Accept { reason } | Self::Reverse { reason } => Some(reason),
        }
    }
}

/// What two people have to want above the merchant's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proposal {
    /// To close it by moving its money.
    Adjust,
    /// To close it as it stands.
    Accept,
    /// To open it again.
    Reverse,
}

impl Proposal {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adjust => "adjust",
            Self::Accept => "accept",
            Self::Reverse => "reverse",
        }
    }

    /// What this word proposes.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Adjust, Self::Accept, Self::Reverse].into_iter().find(|proposal| proposal.as_str() == word)
    }
}

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever holds the API key of this name: keys of one name are one person's.
    Key(String),
    /// Whoever runs the command line, by the name that they give.
    Cli(String),
    /// Nobody: a later file.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Cli(name) => write!(f, "cli:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// An account that a break's money may be moved to. What a PSP or a bank has is none: that is what they say it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It was a fee, or is written off as one.
    PspFees,
    /// It is ours.
    PlatformFees,
    /// It is a dispute's.
    Disputes,
    /// It is what a PSP owes us.
    PspReceivable(PspAccountId),
    /// It is on its way to a bank.
    PayoutInTransit(PspAccountId),
    /// It is a seller's.
    SellerAvailable(SellerId),
    /// A seller owes it.
    SellerDebt(SellerId),
}

/// What a target may be.
pub const TARGETS: &str = "psp_fees, platform_fees, disputes, psp_receivable/ACCOUNT, payout_in_transit/ACCOUNT, \
                           seller_available/SELLER or seller_debt/SELLER";

/// A text that names no account that money may be moved to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {TARGETS}")]
pub struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let (kind, whose) = text.split_once('/').unwrap_or((text, ""));
        let psp = || whose.parse::<PspAccountId>().map_err(|_| NoTarget);
        let seller = || SellerId::try_from(whose.to_owned()).map_err(|_| NoTarget);
        match kind {
            "psp_fees" if text == kind => Ok(Self::PspFees),
            "platform_fees" if text == kind => Ok(Self::PlatformFees),
            "disputes" if text == kind => Ok(Self::Disputes),
            "psp_receivable" => psp().map(Self::PspReceivable),
            "payout_in_transit" => psp().map(Self::PayoutInTransit),
            "seller_available" => seller().map(Self::SellerAvailable),
            "seller_debt" => seller().map(Self::SellerDebt),
            _ => Err(NoTarget),
        }
    }
}

impl Target {
    /// The ledger's account.
    pub fn account(&self) -> Account {
        match self {
            Self::PspFees => Account::PspFees,
            Self::PlatformFees => Account::PlatformFees,
            Self::Disputes => Account::Disputes,
            Self::PspReceivable(psp) => Account::PspReceivable(*psp),
            Self::PayoutInTransit(psp) => Account::PayoutInTransit(*psp),
            Self::SellerAvailable(seller) => Account::SellerAvailable(seller.clone()),
            Self::SellerDebt(seller) => Account::SellerDebt(seller.clone()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.account().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_named_as_its_account_is() {
        let psp = PspAccountId::new();
        for name in [
            "psp_fees".to_owned(),
            "platform_fees".to_owned(),
            "disputes".to_owned(),
            format!("psp_receivable/{psp}"),
            format!("payout_in_transit/{psp}"),
            "seller_available/s-1".to_owned(),
            "seller_debt/s-1".to_owned(),
        ] {
            assert_eq!(name.parse::<Target>().map(|target| target.to_string()), Ok(name));
        }
        for none in [
            "",
            "bank_cash",
            "psp_balance/x",
            "psp_fees/",
            "psp_receivable",
            "psp_receivable/x",
            "seller_debt/",
        ] {
            assert_eq!(none.parse::<Target>(), Err(NoTarget), "{none}");
        }
    }
}
