use std::fmt::Write as _;

use money::MerchantId;
use reconciliation::break_::{self, Act, Actor, BreakWithActs, Error, Filter, Outcome, Refused, State};
use reconciliation::report::{Verdict, amount};
use sqlx::PgPool;

use crate::args::{Books, Break, ListBreaks, One, Who};
use crate::{complain, database, show, with_causes};

/// Why nothing was done.
enum Failure {
    Refused(Refused),
    Failed(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Does what is asked, and tells it.
pub async fn answer(command: &Break) -> Verdict {
    let pool = match database::connect(books(command)).await {
        Ok(pool) => pool,
        Err(error) => {
            complain(&with_causes(&error));
            return Verdict::Incomplete;
        }
    };
    let done = done(&pool, command).await;
    pool.close().await;
    match done {
        Ok(told) => show(&told),
        Err(Failure::Refused(refused)) => {
            complain(&refused.to_string());
            Verdict::Refused
        }
        Err(Failure::Failed(error)) => {
            complain(&with_causes(&error));
            Verdict::Incomplete
        }
    }
}

fn books(command: &Break) -> &Books {
    match command {
        Break::List(list) => &list.books,
        Break::Show(one)
        | Break::Assign { one, .. }
        | Break::Comment { one, .. }
        | Break::Snooze { one, .. }
        | Break::Adjust { one, .. }
        | Break::Accept { one, .. }
        | Break::Reverse { one, .. } => &one.books,
    }
}

async fn done(pool: &PgPool, command: &Break) -> Result<String, Failure> {
    let (one, who, act) = match command {
        Break::List(query) => return list(pool, query).await,
        Break::Show(one) => {
            let found = break_::get(pool, one.books.merchant, one.break_id).await?;
            return Ok(shown(&found.ok_or(Failure::Refused(Refused::NotFound))?, one.json));
        }
        Break::Assign { one, who, to } => (one, who, Act::Assign(to.clone())),
        Break::Comment { one, who, note } => (one, who, Act::Comment(note.clone())),
        Break::Snooze { one, who, until, note } => {
            (one, who, Act::Snooze { until: *until, note: note.clone() })
        }
        Break::Adjust { one, who, to, reason } => {
            (one, who, Act::Adjust { to: to.clone(), reason: reason.clone() })
        }
        Break::Accept { one, who, reason } => (one, who, Act::Accept { reason: reason.clone() }),
        Break::Reverse { one, who, reason } => (one, who, Act::Reverse { reason: reason.clone() }),
    };
    act_on(pool, one, who, &act).await
}

async fn act_on(pool: &PgPool, one: &One, who: &Who, act: &Act) -> Result<String, Failure> {
    let merchant = one.books.merchant;
    let mut tx = pool.begin().await.map_err(Error::from)?;
    let actor = Actor::Cli(who.name.clone());
    let outcome = break_::act_in_tx(&mut tx, merchant, one.break_id, act, &actor).await?;
    let outcome = outcome.map_err(Failure::Refused)?;
    let now = break_::get_in_tx(&mut tx, merchant, one.break_id).await?;
    let now = now.ok_or(Failure::Refused(Refused::NotFound))?;
    tx.commit().await.map_err(Error::from)?;
    let came = match outcome {
        Outcome::Noted => "noted",
        Outcome::Proposed => "proposed: a second person has to say the same",
        Outcome::Closed(_) => "closed",
        Outcome::Reopened => "open again",
        Outcome::Already => "so already: nothing changed",
    };
    let told = shown(&now, one.json);
    Ok(if one.json { told } else { format!("{came}\n{told}") })
}

async fn list(pool: &PgPool, query: &ListBreaks) -> Result<String, Failure> {
    let merchant: MerchantId = query.books.merchant;
    let filter = Filter {
        state: State::from_word(&query.state),
        kind: query.kind,
        currency: query.currency,
        psp_account_id: query.psp_account,
        bank_account_id: query.bank_account,
        assignee: query.assignee.clone(),
        arose_until: query.until,
        snoozed: query.snoozed,
        after: None,
        limit: query.limit.into(),
    };
    let breaks = break_::list(pool, merchant, &filter).await?;
    if query.json {
        // strings and numbers cannot fail to serialise
        return Ok(serde_json::to_string_pretty(&breaks).unwrap_or_default() + "\n");
    }
    let mut out = String::new();
    for found in &breaks {
        line(&mut out, found);
    }
    if breaks.is_empty() {
        out.push_str("none\n");
    }
    Ok(out)
}

/// A break in a line or two.
fn line(out: &mut String, found: &break_::Break) {
    let money = |minor: Option<i64>, code: &str| {
        minor.map_or_else(|| "nothing".to_owned(), |minor| amount(minor, code))
    };
    let code = found.currency.code();
    let whose = found.assignee.as_deref().map_or_else(String::new, |name| format!(", {name} looks"));
    // writing to a String cannot fail
    let _ = writeln!(
        out,
        "{} {} {} days {}{}{whose}",
        found.break_id,
        found.kind.as_str(),
        found.age_days,
        found.state,
        if found.awaits_second_person { ", awaits a second person" } else { "" },
    );
    let place = match (&found.file, found.line) {
        (Some(file), Some(line)) => format!("{file}:{line} "),
        _ => String::new(),
    };
    let _ = writeln!(
        out,
        "  {place}expected {}, found {}: {}",
        money(found.expected, code),
        money(found.found, found.found_currency.as_deref().unwrap_or(code)),
        found.detail
    );
}

fn shown(found: &BreakWithActs, json: bool) -> String {
    if json {
        // strings and numbers cannot fail to serialise
        return serde_json::to_string_pretty(found).unwrap_or_default() + "\n";
    }
    let mut out = String::new();
    line(&mut out, &found.difference);
    if let (Some(account), Some(code)) = (&found.difference.held_by, &found.difference.held_currency) {
        let _ = writeln!(out, "  {} debited to {account}", amount(found.difference.held, code));
    }
    for act in &found.acts {
        let what =
            [act.proposal.as_deref(), act.account.as_deref(), act.assignee.as_deref(), act.note.as_deref()];
        let what: Vec<&str> = what.into_iter().flatten().collect();
        let _ = writeln!(out, "  {} {} {}: {}", act.at.date(), act.actor, act.kind, what.join(", "));
    }
    out
}
