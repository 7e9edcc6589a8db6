//! Random postings, booked by Postgres and by a plain map side by side.

use std::collections::{BTreeMap, BTreeSet};

use ledger::Error;
use ledger::account::Account;
use ledger::balance::AccountFilter;
use ledger::posting::{Posting, Source};
use money::{Currency, Money, PspAccountId};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sqlx::PgPool;
use time::{Date, Duration};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{Books, DAY, available, booked, held, pending};

/// A posting to be: which source, which kind of it, which day, and amounts from account to account.
#[derive(Debug, Clone)]
struct Draft {
    source: u128,
    kind: &'static str,
    day: i64,
    moves: Vec<(usize, usize, i64)>,
}

#[derive(Debug, Clone)]
enum Step {
    Post(Vec<Draft>),
    RollUp,
}

/// What the accounts are in every case; the last two are floored on the other side or not at all.
fn accounts(psp: PspAccountId) -> Vec<Account> {
    vec![
        Account::PspReceivable(psp),
        Account::PlatformFees,
        pending("s-1"),
        available("s-1"),
        held("s-2"),
        Account::SellerDebt("s-1".parse().unwrap()),
        Account::Suspense,
    ]
}

const ACCOUNTS: usize = 7;

fn draft() -> impl Strategy<Value = Draft> {
    let moves = prop::collection::vec((0..ACCOUNTS, 0..ACCOUNTS, 0..60_i64), 1..4);
    (0..40_u128, prop::sample::select(vec!["capture", "settlement"]), 0..3_i64, moves)
        .prop_map(|(source, kind, day, moves)| Draft { source, kind, day, moves })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(draft(), 1..5).prop_map(Step::Post),
        1 => Just(Step::RollUp),
    ]
}

/// The books as a map.
#[derive(Debug, Clone, Default)]
struct Model {
    posted: BTreeSet<(u128, &'static str)>,
    /// Signed minor units by account and day.
    movements: BTreeMap<(usize, Date), i64>,
}

impl Model {
    fn balance(&self, account: usize, by: Date) -> i64 {
        self.movements
            .iter()
            .filter(|((moved, day), _)| *moved == account && *day <= by)
            .map(|(_, amount)| amount)
            .sum()
    }

    /// Which of `batch` are new, unless a floor holds; then nothing changes.
    fn post(&mut self, accounts: &[Account], batch: &[Draft]) -> Option<Vec<bool>> {
        let mut next = self.clone();
        let fresh = batch
            .iter()
            .map(|draft| {
                let fresh = next.posted.insert((draft.source, draft.kind));
                if fresh {
                    for &(from, to, minor) in &draft.moves {
                        *next.movements.entry((from, day_of(draft))).or_default() -= minor;
                        *next.movements.entry((to, day_of(draft))).or_default() += minor;
                    }
                }
                fresh
            })
            .collect();
        let below = accounts.iter().enumerate().any(|(index, account)| {
            let balance = next.balance(index, Date::MAX) * i64::from(account.kind().normal_side());
            account.is_floored() && balance < 0
        });
        if below {
            return None;
        }
        *self = next;
        Some(fresh)
    }
}

fn day_of(draft: &Draft) -> Date {
    DAY + Duration::days(draft.day)
}

/// None where nothing would move.
fn posting(accounts: &[Account], draft: &Draft) -> Option<Posting> {
    let source = Source { table: "operation", id: Uuid::from_u128(draft.source) };
    let builder = Posting::builder(source, draft.kind, day_of(draft));
    let builder = draft.moves.iter().fold(builder, |builder, &(from, to, minor)| {
        let amount = Money::new(minor, Currency::EUR);
        builder.credit(accounts[from].clone(), amount).debit(accounts[to].clone(), amount)
    });
    builder.build().ok()
}

/// A batch as the ledger takes it: each source and kind once, nothing that would not move anything.
fn bookable(accounts: &[Account], drafts: Vec<Draft>) -> (Vec<Draft>, Vec<Posting>) {
    let mut seen = BTreeSet::new();
    drafts
        .into_iter()
        .filter(|draft| seen.insert((draft.source, draft.kind)))
        .filter_map(|draft| posting(accounts, &draft).map(|posting| (draft, posting)))
        .unzip()
}

async fn agree(books: &Books, model: &Model, accounts: &[Account]) -> Result<(), TestCaseError> {
    let codes: Vec<String> = accounts.iter().map(ToString::to_string).collect();
    for by in [None, Some(DAY), Some(DAY + Duration::days(1))] {
        let rows = ledger::balance::list(&books.pool, books.merchant, &AccountFilter::default(), by)
            .await
            .map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        for row in &rows {
            let account = codes.iter().position(|code| *code == row.code).unwrap();
            prop_assert_eq!(
                row.balance,
                model.balance(account, by.unwrap_or(Date::MAX)),
                "{} {:?}",
                row.code,
                by
            );
        }
        prop_assert_eq!(rows.iter().map(|row| row.balance).sum::<i64>(), 0);
    }
    prop_assert_eq!(books.transactions().await, model.posted.len() as i64);
    prop_assert_eq!(books.lies().await, 0);
    Ok(())
}

async fn run(pool: PgPool, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let books = Books::open(&pool).await;
    let accounts = accounts(books.psp);
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::RollUp => {
                let before = books.deltas().await;
                let rolled = ledger::balance::roll_up(&pool, books.merchant).await.unwrap();
                prop_assert_eq!(rolled as i64, before);
            }
            Step::Post(drafts) => {
                let (drafts, postings) = bookable(&accounts, drafts);
                let expected = model.post(&accounts, &drafts);
                let found = match books.post(&postings).await {
                    Ok(posted) => Some(booked(&posted)),
                    Err(Error::BelowFloor(_)) => None,
                    Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
                };
                prop_assert_eq!(found, expected);
            }
        }
    }
    agree(&books, &model, &accounts).await
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn random_postings_come_out_as_in_a_plain_model(pool: PgPool) {
    let runtime = Handle::current();
    let cases = move || {
        let config = ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() };
        TestRunner::new(config)
            .run(&prop::collection::vec(step(), 1..24), |steps| runtime.block_on(run(pool.clone(), steps)))
    };
    tokio::task::spawn_blocking(cases).await.unwrap().unwrap();
}
