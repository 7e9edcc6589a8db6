//! What becomes of a break when somebody acts: pure.

use money::Money;
use time::{Date, Duration};

use super::act::{Act, Proposal, Target};

/// How long a break may be put off.
const LONGEST_SNOOZE: Duration = Duration::days(366);

/// How a break was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// A later file explained it.
    Itself,
    /// Its money was moved.
    Adjusted,
    /// It stays as it is.
    Accepted,
}

impl How {
    /// The word in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Adjusted => "adjusted",
            Self::Accepted => "accepted",
        }
    }

    /// What this word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Itself, Self::Adjusted, Self::Accepted].into_iter().find(|how| how.as_str() == word)
    }
}

/// A break as it stands when somebody acts.
#[derive(Debug, Clone)]
pub struct Standing {
    /// How it was closed; none while it is open.
    pub closed: Option<How>,
    /// The last thing proposed since it was last closed or opened: by whom, what, and to which account.
    pub proposed: Option<(String, Proposal, Option<String>)>,
    /// The account that its money was moved to.
    pub adjusted_to: Option<String>,
    /// Its money, where it stands somewhere.
    pub held: Option<(String, Money)>,
    /// What it is about, for the limit: what it holds, or else what is different.
    pub weight: Money,
    /// Closing or opening more than this, in major units, takes two people.
    pub limit: i64,
    /// Today.
    pub today: Date,
}

/// What an act comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is noted, and that is all.
    Noted,
    /// A second person has to say the same.
    Proposed,
    /// It is closed.
    Closed(How),
    /// It is open again.
    Reopened,
    /// It was so already: nothing changes.
    Already,
}

/// Why an act is refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The merchant has no such break.
    #[error("there is no break with this id")]
    NotFound,
    /// It is closed.
    #[error("the break is closed ({0})")]
    Closed(&'static str),
    /// There is nothing to take back.
    #[error("the break is open")]
    Open,
    /// A later file closed it.
    #[error("a later file closed the break: there is nothing to take back")]
    ClosedItself,
    /// It has no money anywhere.
    #[error("the break holds no money that could be moved; accept it, with a reason")]
    HoldsNothing,
    /// Its money is there already.
    #[error("its money stands there already")]
    SameAccount,
    /// The day is not one that it can be put off to.
    #[error("expected a day after today, and within a year")]
    NoSuchDay,
    /// The account does not have that much.
    #[error("the account does not have that much")]
    BelowFloor,
    /// A seller or PSP account is not the merchant's.
    #[error("the merchant has no such account")]
    NoSuchAccount,
}

/// What becomes of a break in this standing when `actor` acts.
///
/// # Errors
/// When the act is refused.
pub fn decide(standing: &Standing, act: &Act, actor: &str) -> Result<Outcome, Refused> {
    match (act, standing.closed) {
        (Act::Assign(_) | Act::Comment(_), _) => return Ok(Outcome::Noted),
        (Act::Snooze { .. }, Some(how)) => return Err(Refused::Closed(how.as_str())),
        (Act::Snooze { until, .. }, None) => {
            let is_possible = *until > standing.today && *until <= standing.today + LONGEST_SNOOZE;
            return if is_possible { Ok(Outcome::Noted) } else { Err(Refused::NoSuchDay) };
        }
        (Act::Adjust { to, .. }, None) => may_adjust(standing, to)?,
        (Act::Accept { .. }, None) | (Act::Reverse { .. }, Some(How::Adjusted | How::Accepted)) => {}
        (Act::Adjust { to, .. }, Some(How::Adjusted)) if standing.adjusted_to == Some(to.to_string()) => {
            return Ok(Outcome::Already);
        }
        (Act::Accept { .. }, Some(How::Accepted)) => return Ok(Outcome::Already),
        (Act::Adjust { .. } | Act::Accept { .. }, Some(how)) => return Err(Refused::Closed(how.as_str())),
        (Act::Reverse { .. }, Some(How::Itself)) => return Err(Refused::ClosedItself),
        (Act::Reverse { .. }, None) => return Err(Refused::Open),
    }
    if is_above_limit(standing) && !is_seconded(standing, act, actor) {
        return Ok(if is_repeated(standing, act, actor) { Outcome::Already } else { Outcome::Proposed });
    }
    Ok(match act {
        Act::Adjust { .. } => Outcome::Closed(How::Adjusted),
        Act::Accept { .. } => Outcome::Closed(How::Accepted),
        Act::Reverse { .. } => Outcome::Reopened,
        Act::Assign(_) | Act::Comment(_) | Act::Snooze { .. } => Outcome::Noted,
    })
}

fn may_adjust(standing: &Standing, to: &Target) -> Result<(), Refused> {
    match &standing.held {
        None => Err(Refused::HoldsNothing),
        Some((account, _)) if *account == to.to_string() => Err(Refused::SameAccount),
        Some(_) => Ok(()),
    }
}

fn is_above_limit(standing: &Standing) -> bool {
    let unit = 10_i128.pow(standing.weight.currency.exponent());
    i128::from(standing.weight.minor).abs() > i128::from(standing.limit) * unit
}

/// Somebody else has proposed the same.
fn is_seconded(standing: &Standing, act: &Act, actor: &str) -> bool {
    says_the_same(standing, act).is_some_and(|by| name_of(by) != name_of(actor))
}

/// The same person has proposed the same.
fn is_repeated(standing: &Standing, act: &Act, actor: &str) -> bool {
    says_the_same(standing, act).is_some_and(|by| name_of(by) == name_of(actor))
}

/// By whichever way: one name is one person.
fn name_of(actor: &str) -> &str {
    actor.split_once(':').map_or(actor, |(_, name)| name)
}

/// Who has proposed the same, last.
fn says_the_same<'a>(standing: &'a Standing, act: &Act) -> Option<&'a str> {
    let (by, proposal, account) = standing.proposed.as_ref()?;
    let same = act.proposal() == Some(*proposal) && *account == act.target().map(Target::to_string);
    same.then_some(by.as_str())
}

#[cfg(test)]
mod tests;
