//! What people do about breaks, and what later files do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail where they stand")]

mod support;

use money::{BreakId, Currency, Money};
use reconciliation::break_::{self, Act, Actor, Filter, How, Outcome, Refused, State, Target};
use sqlx::PgPool;
use support::{PAID_AT, SettlementFile, Shop};
use time::Duration;

async fn only_break(shop: &Shop) -> BreakId {
    let breaks =
        break_::list(&shop.pool, shop.merchant, &Filter { limit: 10, ..Filter::default() }).await.unwrap();
    assert_eq!(breaks.len(), 1, "{breaks:?}");
    breaks[0].break_id
}

/// What comes of it; what is refused changes nothing.
async fn acts(shop: &Shop, id: BreakId, who: &str, act: Act) -> Result<Outcome, Refused> {
    let mut tx = shop.pool.begin().await.unwrap();
    let outcome =
        break_::act_in_tx(&mut tx, shop.merchant, id, &act, &Actor::Cli(who.to_owned())).await.unwrap();
    tx.commit().await.unwrap();
    shop.check_ledger().await;
    outcome
}

fn adjust(to: &str) -> Act {
    Act::Adjust { to: to.parse().unwrap(), reason: "found out".to_owned() }
}

fn accept() -> Act {
    Act::Accept { reason: "too little to ask about".to_owned() }
}

fn reverse() -> Act {
    Act::Reverse { reason: "it was not so".to_owned() }
}

/// A shop with a line of 40 EUR that is nobody's.
async fn with_unknown_line(pool: &PgPool) -> (Shop, BreakId) {
    let shop = Shop::open(pool).await;
    let file = SettlementFile::new()
        .capture(&shop.pays(1, 100).await)
        .row("txn_x", "charge", Money::new(4_000, Currency::EUR), 100, "ch_x", "pi_x", "", "")
        .write();
    shop.reconciles(&file).await;
    let id = only_break(&shop).await;
    (shop, id)
}

async fn balance(shop: &Shop, code: &str) -> i64 {
    shop.balances().await.get(&format!("{code} EUR")).copied().unwrap_or(0)
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_adjustment_moves_a_breaks_money_once_and_back_when_reversed(pool: PgPool) {
    let (shop, id) = with_unknown_line(&pool).await;
    let found = break_::get(&pool, shop.merchant, id).await.unwrap().unwrap().difference;
    assert_eq!((found.held_by.as_deref(), found.held), (Some("suspense"), -4_000));
    assert_eq!((found.arose_on, found.state.as_str()), ((PAID_AT + Duration::days(1)).date(), "open"));
    let fees = balance(&shop, "psp_fees").await;
    for expected in [Outcome::Closed(How::Adjusted), Outcome::Already] {
        assert_eq!(acts(&shop, id, "ann", adjust("platform_fees")).await, Ok(expected));
        assert_eq!(balance(&shop, "suspense").await, 0);
        assert_eq!(balance(&shop, "platform_fees").await, -4_500);
    }
    let closed = break_::get(&pool, shop.merchant, id).await.unwrap().unwrap();
    assert_eq!(
        (closed.difference.closed_how.as_deref(), closed.difference.held_by),
        (Some("adjusted"), None)
    );
    assert_eq!(closed.acts.len(), 1);
    assert_eq!((closed.acts[0].kind.as_str(), closed.acts[0].actor.as_str()), ("adjusted", "cli:ann"));
    assert_eq!(closed.acts[0].account.as_deref(), Some("platform_fees"));

    assert_eq!(acts(&shop, id, "bob", reverse()).await, Ok(Outcome::Reopened));
    assert_eq!((balance(&shop, "suspense").await, balance(&shop, "platform_fees").await), (-4_000, -500));
    assert_eq!(acts(&shop, id, "bob", reverse()).await, Err(Refused::Open));
    // to somewhere else this time
    assert_eq!(acts(&shop, id, "bob", adjust("psp_fees")).await, Ok(Outcome::Closed(How::Adjusted)));
    assert_eq!(balance(&shop, "psp_fees").await, fees - 4_000);
    assert_eq!(shop.count("recon_adjustment").await, 2);
    assert_eq!(shop.count("recon_break_act").await, 3);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_found_may_be_a_sellers_if_there_is_such_a_seller(pool: PgPool) {
    let (shop, id) = with_unknown_line(&pool).await;
    assert_eq!(acts(&shop, id, "ann", adjust("seller_available/nobody")).await, Err(Refused::NoSuchAccount));
    let stranger = format!("psp_receivable/{}", money::PspAccountId::new());
    assert_eq!(acts(&shop, id, "ann", adjust(&stranger)).await, Err(Refused::NoSuchAccount));
    assert_eq!(shop.count("recon_break_act").await, 0);
    let before = balance(&shop, "seller_available/s-1").await;
    assert!(acts(&shop, id, "ann", adjust("seller_available/s-1")).await.is_ok());
    assert_eq!(balance(&shop, "seller_available/s-1").await, before - 4_000);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn nobodys_wallet_falls_below_zero_by_an_adjustment(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    // 30 EUR less than was captured: suspense is debited, and so would the seller be
    let file = SettlementFile::new().capture_of(&paid, Money::new(7_000, Currency::EUR)).write();
    shop.reconciles(&file).await;
    let id = only_break(&shop).await;
    let found = break_::get(&pool, shop.merchant, id).await.unwrap().unwrap().difference;
    assert_eq!((found.held, found.expected, found.found), (3_000, Some(10_000), Some(7_000)));
    assert_eq!(acts(&shop, id, "ann", adjust("seller_available/s-1")).await, Err(Refused::BelowFloor));
    assert_eq!(acts(&shop, id, "ann", adjust("seller_debt/s-1")).await, Ok(Outcome::Closed(How::Adjusted)));
    assert_eq!((balance(&shop, "seller_debt/s-1").await, balance(&shop, "suspense").await), (3_000, 0));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn above_the_limit_two_people_close_a_break_and_two_open_it(pool: PgPool) {
    let (shop, id) = with_unknown_line(&pool).await;
    sqlx::query("update merchant set review_limit = 39").execute(&pool).await.unwrap();
    for (who, act, expected) in [
        ("ann", adjust("psp_fees"), Outcome::Proposed),
        ("ann", adjust("psp_fees"), Outcome::Already),
        ("bob", accept(), Outcome::Proposed),
        ("ann", adjust("psp_fees"), Outcome::Proposed),
        ("bob", Act::Comment("I agree".to_owned()), Outcome::Noted),
        ("bob", adjust("psp_fees"), Outcome::Closed(How::Adjusted)),
        ("ann", reverse(), Outcome::Proposed),
    ] {
        assert_eq!(acts(&shop, id, who, act.clone()).await, Ok(expected), "{who} {act:?}");
        let awaits =
            break_::get(&pool, shop.merchant, id).await.unwrap().unwrap().difference.awaits_second_person;
        assert_eq!(awaits, !matches!(expected, Outcome::Closed(_)), "{who} {act:?}");
    }
    assert_eq!(balance(&shop, "suspense").await, 0);
    assert_eq!(acts(&shop, id, "bob", reverse()).await, Ok(Outcome::Reopened));
    assert_eq!(balance(&shop, "suspense").await, -4_000);
    // a proposal is of what was open then
    assert_eq!(acts(&shop, id, "bob", adjust("psp_fees")).await, Ok(Outcome::Proposed));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn of_many_who_adjust_at_once_one_does(pool: PgPool) {
    let (shop, id) = with_unknown_line(&pool).await;
    let runs: Vec<_> = (0..8)
        .map(|number| {
            let shop = shop.clone();
            tokio::spawn(async move { acts(&shop, id, &format!("p{number}"), adjust("psp_fees")).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for run in runs {
        outcomes.push(run.await.unwrap().unwrap());
    }
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Already).count(), 7, "{outcomes:?}");
    assert_eq!((balance(&shop, "suspense").await, shop.count("recon_adjustment").await), (0, 1));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_was_written_off_is_taken_back_when_it_comes_after_all(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let missing = shop.pays(1, 100).await;
    shop.reconciles(&SettlementFile::new().fee("txn_f", 1).days_later(30).write()).await;
    let id = only_break(&shop).await;
    let found = break_::get(&pool, shop.merchant, id).await.unwrap().unwrap().difference;
    assert_eq!(found.held_by, Some(format!("psp_receivable/{}", shop.account)));
    assert_eq!(acts(&shop, id, "ann", adjust("psp_fees")).await, Ok(Outcome::Closed(How::Adjusted)));
    assert_eq!((balance(&shop, "psp_receivable").await, balance(&shop, "psp_fees").await), (0, 10_100));

    shop.reconciles(&SettlementFile::new().capture(&missing).write()).await;
    assert_eq!((balance(&shop, "psp_receivable").await, balance(&shop, "psp_fees").await), (0, 400));
    let closed = break_::get(&pool, shop.merchant, id).await.unwrap().unwrap();
    assert_eq!(closed.difference.closed_how.as_deref(), Some("itself"));
    let kinds: Vec<(&str, &str)> =
        closed.acts.iter().map(|act| (act.kind.as_str(), act.actor.as_str())).collect();
    assert_eq!(kinds, [("adjusted", "cli:ann"), ("reversed", "system"), ("closed", "system")]);
    assert_eq!(acts(&shop, id, "ann", reverse()).await, Err(Refused::ClosedItself));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn breaks_are_assigned_put_off_and_listed_by_age(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let missing = shop.pays(1, 100).await;
    let file = SettlementFile::new()
        .row("txn_x", "charge", Money::new(500, Currency::EUR), 0, "ch_x", "pi_x", "", "")
        .row("txn_y", "charge", Money::new(500, Currency::JPY), 0, "ch_y", "pi_y", "", "")
        .days_later(30);
    shop.reconciles(&file.write()).await;
    let listed = async |filter: Filter| {
        let breaks = break_::list(&pool, shop.merchant, &Filter { limit: 10, ..filter }).await.unwrap();
        breaks
            .into_iter()
            .map(|found| found.psp_line_id.or(found.order_id).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let all = listed(Filter::default()).await;
    assert_eq!(all[0], missing.order_id, "the oldest first");
    assert_eq!(all.len(), 3);
    assert_eq!(listed(Filter { currency: Some(Currency::JPY), ..Filter::default() }).await, ["txn_y"]);
    let until = Some(PAID_AT.date());
    assert_eq!(listed(Filter { arose_until: until, ..Filter::default() }).await, ["o-1"]);
    let page = Filter { limit: 2, ..Filter::default() };
    let first = break_::list(&pool, shop.merchant, &page).await.unwrap();
    let after = first.last().map(|last| (last.arose_on, last.break_id));
    assert_eq!(listed(Filter { after, ..Filter::default() }).await, [all[2].clone()]);

    let id = first[0].break_id;
    assert!(acts(&shop, id, "ann", Act::Assign(Some("bob".to_owned()))).await.is_ok());
    let of_bob = Filter { assignee: Some("bob".to_owned()), ..Filter::default() };
    assert_eq!(listed(of_bob.clone()).await, ["o-1"]);
    let until = time::OffsetDateTime::now_utc().date() + Duration::days(2);
    assert_eq!(acts(&shop, id, "bob", Act::Snooze { until, note: None }).await, Ok(Outcome::Noted));
    assert_eq!(listed(of_bob.clone()).await, [""; 0]);
    assert_eq!(listed(Filter { snoozed: true, ..of_bob.clone() }).await, ["o-1"]);
    assert!(acts(&shop, id, "ann", Act::Assign(None)).await.is_ok());
    assert_eq!(listed(Filter { snoozed: true, ..of_bob }).await, [""; 0]);

    assert_eq!(acts(&shop, id, "ann", accept()).await, Ok(Outcome::Closed(How::Accepted)));
    assert_eq!(listed(Filter { state: Some(State::Open), ..Filter::default() }).await.len(), 2);
    assert_eq!(listed(Filter { state: Some(State::Closed), ..Filter::default() }).await, ["o-1"]);
    assert_eq!(
        acts(&shop, BreakId::derive(shop.merchant, "x", "x", Currency::EUR), "ann", accept()).await,
        Err(Refused::NotFound)
    );
    assert_eq!(
        acts(&shop, id, "ann", adjust(&Target::Disputes.to_string())).await,
        Err(Refused::Closed("accepted"))
    );
}
