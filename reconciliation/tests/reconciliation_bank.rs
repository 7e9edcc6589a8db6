//! What comes to our banks, and which payouts it is.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail where they stand")]

mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use money::Currency;
use reconciliation::bank::{self, Error, NewBankAccount, TakenIn};
use reconciliation::break_::{self, Act, Actor, Filter, How, Outcome};
use reconciliation::source::Source;
use sqlx::PgPool;
use support::{SettlementFile, Shop, Written, write};

const NUMBER: &str = "DE89370400440532013000";

/// A shop with an account at a bank.
async fn banked(pool: &PgPool, payers: &[&str]) -> Shop {
    let shop = Shop::open(pool).await;
    let new = NewBankAccount {
        number: "de89 3704 0044 0532 0130 00".to_owned(),
        currency: Currency::EUR,
        name: "House bank".to_owned(),
        delay_days: 3,
        payers: payers.iter().map(|&payer| payer.to_owned()).collect(),
    };
    bank::create_account(pool, shop.merchant, new).await.unwrap();
    shop
}

/// Cents that were booked on a day of January, and what the bank says of them.
type Booked = (i64, u8, &'static str);

/// A statement in MT940 that ends on a day of January.
fn statement(number: u32, opening: i64, ends_on: u8, entries: &[Booked]) -> String {
    let decimal = |cents: i64| format!("{},{:02}", cents.abs() / 100, cents.abs() % 100);
    let side = |cents: i64| if cents < 0 { "D" } else { "C" };
    let mut out = format!(
        ":20:ST{number}\r\n:25:{NUMBER}\r\n:28C:{number}/1\r\n:60F:{}260101EUR{}\r\n",
        side(opening),
        decimal(opening)
    );
    for (cents, day, text) in entries {
        let booked = format!("2601{day:02}01{day:02}{}{}NTRFNONREF", side(*cents), decimal(*cents));
        write!(out, ":61:{booked}\r\n:86:{text}\r\n").unwrap();
    }
    let closing = opening + entries.iter().map(|(cents, ..)| cents).sum::<i64>();
    write!(out, ":62F:{}2601{ends_on:02}EUR{}\r\n-\r\n", side(closing), decimal(closing)).unwrap();
    out
}

async fn takes_in(shop: &Shop, content: &str) -> Result<TakenIn, Error> {
    let file: Written = write("bank.sta", content);
    let opened = Source::from(&*file).open().unwrap();
    let taken = bank::take_in(&shop.pool, shop.merchant, opened, Arc::new(|_| ())).await;
    shop.check_ledger().await;
    taken
}

/// What stands in suspense, in transit and at the bank, in cents.
async fn money(shop: &Shop) -> (i64, i64, i64) {
    let balances = shop.balances().await;
    let of = |code: &str| balances.get(&format!("{code} EUR")).copied().unwrap_or(0);
    (of("suspense"), of("payout_in_transit"), of("bank_cash"))
}

/// Takes in a file whose lines are parts of payouts: po_ and eight times the digit, of so many euros less 3 %.
async fn pays_out(shop: &Shop, payouts: &[(u32, i64, &'static str)]) {
    let mut file = SettlementFile::new();
    for (order, euros, payout) in payouts {
        file = file.of_payout(payout).capture(&shop.pays(*order, *euros).await);
    }
    shop.takes_in(&file.write()).await.unwrap();
    shop.settles().await;
}

async fn kinds(shop: &Shop) -> Vec<String> {
    shop.open_breaks().await.into_iter().map(|(kind, _)| kind).collect()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_is_followed_to_the_bank_in_whichever_order_its_news_comes(pool: PgPool) {
    for statement_first in [false, true] {
        let shop = banked(&pool, &[]).await;
        let content = statement(1, 10_000, 6, &[(9_700, 5, "STRIPE PO 11111111 SHOP")]);
        if statement_first {
            let taken = takes_in(&shop, &content).await.unwrap();
            assert_eq!((taken.progress.matched, taken.progress.breaks), (0, 1));
            assert_eq!(kinds(&shop).await, ["bank_credit_without_payout"]);
            assert_eq!(money(&shop).await, (-9_700, 0, 9_700));
            pays_out(&shop, &[(1, 100, "po_11111111")]).await;
        } else {
            pays_out(&shop, &[(1, 100, "po_11111111")]).await;
            assert_eq!(money(&shop).await, (0, 9_700, 0));
            let taken = takes_in(&shop, &content).await.unwrap();
            assert_eq!((taken.statements, taken.entries, taken.progress.matched), (1, 1, 1));
        }
        assert_eq!(money(&shop).await, (0, 0, 9_700), "{statement_first}");
        assert_eq!(kinds(&shop).await, [""; 0]);
        let rule: String = sqlx::query_scalar("select rule from bank_match where merchant_id = $1")
            .bind(shop.merchant.as_uuid())
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(rule, "reference");
        shop.check_ledger().await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn the_same_statement_again_changes_nothing_and_another_of_its_name_is_refused(pool: PgPool) {
    let shop = banked(&pool, &[]).await;
    let content = statement(1, 0, 6, &[(500, 5, "x"), (-200, 6, "y")]);
    assert!(!takes_in(&shop, &content).await.unwrap().known_before);
    let before = (money(&shop).await, shop.count("ledger_transaction").await);
    assert!(takes_in(&shop, &content).await.unwrap().known_before);
    // in a file with others
    let both = takes_in(&shop, &(content.clone() + &statement(2, 300, 7, &[(100, 7, "z")]))).await.unwrap();
    assert_eq!((both.known_before, both.statements, both.statements_known), (false, 2, 1));
    assert_eq!(money(&shop).await, (-400, 0, 400));
    assert_eq!(shop.count("ledger_transaction").await, before.1 + 1);

    let changed = takes_in(&shop, &statement(1, 0, 6, &[(600, 5, "x"), (-200, 6, "y")])).await.unwrap_err();
    assert_eq!(
        changed.to_string(),
        "bank.sta, line 1: statement \"1/1\" of House bank to 2026-01-06 was read before, in bank.sta, and said something else"
    );
    assert!(changed.is_refusal());
    assert_eq!(money(&shop).await, (-400, 0, 400));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_statement_of_an_account_that_is_not_known_is_refused_and_changes_nothing(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = takes_in(&shop, &statement(1, 0, 6, &[(500, 5, "x")])).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        format!(
            "bank.sta, line 1: account {NUMBER} in EUR is not known; `reconcile bank-account create` makes it so"
        )
    );
    assert_eq!((shop.count("bank_file").await, shop.count("bank_entry").await), (0, 0));
    let shop = banked(&pool, &[]).await;
    let broken = statement(1, 0, 6, &[(500, 5, "x")]).replace("EUR5,00\r\n-", "EUR6,00\r\n-");
    let refused = takes_in(&shop, &broken).await.unwrap_err();
    assert!(refused.to_string().contains("bank.sta, line 7, column :62F:"), "{refused}");
    assert_eq!(shop.count("bank_file").await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_nobodys_payout_is_a_break_until_a_person_moves_it(pool: PgPool) {
    let shop = banked(&pool, &[]).await;
    takes_in(&shop, &statement(1, 0, 6, &[(500, 5, "interest"), (-200, 6, "account fee")])).await.unwrap();
    assert_eq!(kinds(&shop).await, ["bank_credit_without_payout", "bank_debit_without_payout"]);
    let breaks = break_::list(&pool, shop.merchant, &Filter { limit: 9, ..Filter::default() }).await.unwrap();
    assert_eq!((breaks[0].found, breaks[0].held), (Some(500), -500));
    assert_eq!((breaks[0].file.as_deref(), breaks[0].line), (Some("bank.sta"), Some(5)));
    assert_eq!(breaks[0].detail, "booked on 2026-01-05: interest");
    let act = async |number: usize, act: Act| {
        let mut tx = pool.begin().await.unwrap();
        let who = Actor::Cli("ann".to_owned());
        let outcome = break_::act_in_tx(&mut tx, shop.merchant, breaks[number].break_id, &act, &who).await;
        tx.commit().await.unwrap();
        outcome.unwrap().unwrap()
    };
    let adjust = |to: &str| Act::Adjust { to: to.parse().unwrap(), reason: "a reason".to_owned() };
    assert_eq!(act(0, adjust("platform_fees")).await, Outcome::Closed(How::Adjusted));
    assert_eq!(act(1, adjust("psp_fees")).await, Outcome::Closed(How::Adjusted));
    assert_eq!(money(&shop).await, (0, 0, 300));
    // what a person said is something else is no payout any longer
    pays_out(&shop, &[(1, 5, "po_11111111")]).await;
    assert_eq!(shop.count("bank_match").await, 0);
    assert_eq!(act(0, Act::Reverse { reason: "it was one".to_owned() }).await, Outcome::Reopened);
    assert_eq!(money(&shop).await, (-500, 485, 300));
    shop.check_ledger().await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_that_does_not_come_is_a_break_once_it_should_have(pool: PgPool) {
    let shop = banked(&pool, &[]).await;
    pays_out(&shop, &[(1, 100, "po_11111111"), (2, 50, "po_22222222")]).await;
    // they should have come on the 3rd, and may take three days
    takes_in(&shop, &statement(1, 0, 6, &[])).await.unwrap();
    assert_eq!(kinds(&shop).await, [""; 0]);
    takes_in(&shop, &statement(2, 0, 7, &[(4_000, 7, "po_22222222")])).await.unwrap();
    assert_eq!(kinds(&shop).await, ["amount", "payout_not_in_bank"]);
    let breaks = break_::list(&pool, shop.merchant, &Filter { limit: 9, ..Filter::default() }).await.unwrap();
    let told: Vec<_> = breaks.iter().map(|found| (found.expected, found.found, found.held)).collect();
    assert!(told.contains(&(Some(9_700), None, 9_700)), "{told:?}");
    assert!(told.contains(&(Some(4_850), Some(4_000), 850)), "{told:?}");

    takes_in(&shop, &statement(3, 4_000, 8, &[(850, 8, "po_22222222, rest"), (9_700, 8, "po_11111111")]))
        .await
        .unwrap();
    assert_eq!(kinds(&shop).await, [""; 0]);
    assert_eq!(money(&shop).await, (0, 0, 14_550));
    let acts: Vec<String> = sqlx::query_scalar("select actor || ' ' || kind from recon_break_act")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(acts, ["system closed", "system closed"]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn entries_of_others_are_kept_and_not_booked(pool: PgPool) {
    let shop = banked(&pool, &["Stripe", "ADYEN N.V."]).await;
    pays_out(&shop, &[(1, 100, "po_11111111")]).await;
    let entries =
        [(9_700, 5, "STRIPE PAYMENTS EUROPE"), (-100_000, 5, "Rent"), (700, 6, "Adyen N.V. batch 3")];
    let taken = takes_in(&shop, &statement(1, 200_000, 6, &entries)).await.unwrap();
    assert_eq!((taken.entries, taken.progress.matched, taken.progress.breaks), (3, 1, 1));
    assert_eq!(money(&shop).await, (-700, 0, 10_400));
    assert_eq!(kinds(&shop).await, ["bank_credit_without_payout"]);
    assert_eq!(shop.count("bank_entry").await, 3);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn many_who_match_at_once_tie_each_payout_once(pool: PgPool) {
    let shop = banked(&pool, &[]).await;
    let payouts: Vec<(u32, i64, &'static str)> =
        vec![(1, 10, "po_11111111"), (2, 20, "po_22222222"), (3, 30, "po_33333333"), (4, 40, "po_44444444")];
    pays_out(&shop, &payouts).await;
    let runs: Vec<_> = (0..6_u8)
        .map(|number| {
            let shop = shop.clone();
            tokio::spawn(async move {
                let entries = [
                    (970, 5, "po_11111111"),
                    (1_940, 5, "po_22222222"),
                    (2_910, 5, "po_33333333"),
                    (3_880, 5, "po_44444444"),
                ];
                let one = [entries[usize::from(number) % 4]];
                let content = statement(u32::from(number) + 1, 0, 6, &one);
                (takes_in(&shop, &content).await.unwrap(), shop.settles().await)
            })
        })
        .collect();
    for run in runs {
        run.await.unwrap();
    }
    let paid: i64 =
        sqlx::query_scalar("select sum(allocated)::bigint from bank_match").fetch_one(&pool).await.unwrap();
    assert_eq!((paid, shop.count("bank_match").await), (9_700, 4));
    // two came twice
    assert_eq!(money(&shop).await, (-2_910, 0, 12_610));
    assert_eq!(kinds(&shop).await, ["bank_credit_without_payout", "bank_credit_without_payout"]);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_account_is_made_known_once_and_well_described(pool: PgPool) {
    let shop = banked(&pool, &[]).await;
    let good = NewBankAccount {
        number: "GB29NWBK60161331926819".to_owned(),
        currency: Currency::EUR,
        name: String::new(),
        delay_days: 60,
        payers: Vec::new(),
    };
    let made = bank::create_account(&pool, shop.merchant, good.clone()).await.unwrap();
    assert_eq!(made.name, "GB29NWBK60161331926819");
    let invalid = |field: &str| format!("{field}: found ");
    for (new, expected) in [
        (NewBankAccount { number: " ".to_owned(), ..good.clone() }, invalid("number")),
        (NewBankAccount { number: "ä".to_owned(), ..good.clone() }, invalid("number")),
        (NewBankAccount { name: "n".repeat(101), ..good.clone() }, invalid("name")),
        (NewBankAccount { delay_days: 61, ..good.clone() }, invalid("delay-days")),
        (NewBankAccount { payers: vec![" ".to_owned()], ..good.clone() }, invalid("payer")),
        (
            good,
            "account GB29NWBK60161331926819 in EUR is there already, as \"GB29NWBK60161331926819\""
                .to_owned(),
        ),
    ] {
        let error = bank::create_account(&pool, shop.merchant, new).await.unwrap_err();
        assert!(error.to_string().starts_with(&expected) && error.is_refusal(), "{error}");
    }
    assert_eq!(bank::accounts(&pool, shop.merchant).await.unwrap().len(), 2);
}
