//! What a fence is worth, and what becomes of what nobody could tell.

use std::time::Duration;

use money::OperationId;
use payment_service::operation::{self, By, Effect, Finding, OperationStatus, Recording};
use payment_service::payment::{self, PaymentStatus};
use payment_service::psp::{Outcome, PspReference};
use payment_service::review;
use sqlx::PgPool;

use crate::shop::*;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_zombie_records_its_evidence_and_nothing_else(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    sqlx::query("update operation set lease_until = now(), due_at = now()")
        .execute(&shop.pool)
        .await
        .unwrap();
    let taken = operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
    assert_eq!((taken[0].errand.expected.operation_id, taken[0].fence), (operation, 2));
    assert!(
        operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap().is_empty(),
        "it is taken"
    );
    let late = Recording { attempts: vec![attempt()], ..recording(operation, OWNER, success(1000, "pi_1")) };
    let zombie = shop.record(late.clone()).await;
    assert_eq!(zombie.effect, Effect::Superseded);
    assert_eq!(shop.count("select count(*) from ledger_entry").await, 0);
    assert_eq!(shop.count("select count(*) from operation where status = 'sending' and fence = 2").await, 1);
    shop.record(late).await;
    let kept = "select count(*) from attempt where fence = 1 and outcome = 'succeeded' and http_status = 200";
    assert_eq!(shop.count(kept).await, 1, "once, however often it is recorded");
    let owner = shop.record(recording(operation, By::Owner { fence: 2 }, success(1000, "pi_1"))).await;
    assert_eq!(owner.effect, Effect::Now(OperationStatus::Succeeded));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn not_sent_is_a_failure_only_from_the_first_owner(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let first = shop.claim_fresh("k1", "o-1", 1000).await;
    let failed = shop.record(recording(first, OWNER, not_sent())).await;
    assert_eq!(failed.effect, Effect::Now(OperationStatus::Declined));

    let second = shop.claim_fresh("k2", "o-2", 1000).await;
    sqlx::query("update operation set due_at = now() where operation_id = $1")
        .bind(second)
        .execute(&shop.pool)
        .await
        .unwrap();
    operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
    let doubtful = shop.record(recording(second, By::Owner { fence: 2 }, not_sent())).await;
    assert_eq!(doubtful.effect, Effect::Now(OperationStatus::Unknown), "its first owner may have sent it");
    assert_eq!(shop.count("select count(*) from payment where status = 'processing'").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn doubt_is_waited_out_and_given_to_a_person_in_the_end(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, unknown())).await;
    let given_up = Recording {
        finding: Finding::GiveUp { reason: "no_evidence".to_owned() },
        ..recording(operation, OWNER, unknown())
    };
    assert_eq!(shop.record(given_up).await.effect, Effect::Now(OperationStatus::NeedsReview));
    assert_eq!(shop.count("select count(*) from operation where due_at is not null").await, 0);
    let filter = payment::Filter { limit: 10, ..Default::default() };
    let payments = payment::list(&shop.pool, shop.merchant, &filter).await.unwrap();
    assert_eq!(payments[0].status, PaymentStatus::Processing, "never guessed");
    let evidence = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(evidence.effect, Effect::Now(OperationStatus::Succeeded), "late proof still ends it");
}

/// An operation that needs review.
async fn needs_review(shop: &Shop) -> OperationId {
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, unknown())).await;
    let finding = Finding::GiveUp { reason: "no_evidence".to_owned() };
    shop.record(Recording { finding, ..recording(operation, OWNER, unknown()) }).await;
    operation
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn news_of_what_needs_review_is_looked_at_even_while_somebody_asks(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = needs_review(&shop).await;
    let asker =
        operation::take_for_review(&shop.pool, shop.merchant, operation, LEASE).await.unwrap().unwrap();
    let take = async || operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
    assert!(take().await.is_empty(), "no news yet");
    operation::nudge(&shop.pool, shop.merchant, operation).await.unwrap();
    assert!(take().await.is_empty(), "whoever asks is left to finish");
    operation::look_again(&shop.pool, shop.merchant, &asker, None).await.unwrap();
    let looker = take().await.remove(0);
    // whoever has it stands still for longer than the lease
    sqlx::query("update operation set lease_until = now(), due_at = now()")
        .execute(&shop.pool)
        .await
        .unwrap();
    operation::nudge(&shop.pool, shop.merchant, operation).await.unwrap();
    operation::look_again(&shop.pool, shop.merchant, &looker, None).await.unwrap();
    let last = take().await.remove(0);
    operation::look_again(&shop.pool, shop.merchant, &last, None).await.unwrap();
    assert!(take().await.is_empty(), "nothing more is heard");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_has_moved_on_since_it_was_taken_over_is_not_given_back(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = needs_review(&shop).await;
    let asker =
        operation::take_for_review(&shop.pool, shop.merchant, operation, LEASE).await.unwrap().unwrap();
    // recorded by its owner, who is not told that it was
    let fence = asker.fence;
    let held = shop.record(recording(operation, By::Owner { fence }, success(1000, "pi_1"))).await;
    assert_eq!(held.effect, Effect::Now(OperationStatus::Succeeded));
    operation::look_again(&shop.pool, shop.merchant, &asker, Some(Duration::ZERO)).await.unwrap();
    assert_eq!(shop.count("select count(*) from operation where due_at is not null").await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn people_say_what_became_of_a_payment_only_once_its_void_has_ended(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let waiting = Outcome::RequiresAction {
        reference: PspReference::parse("pi_1").unwrap(),
        redirect_url: Some("https://psp.test/3ds".to_owned()),
    };
    let told = shop.record(recording(operation, OWNER, waiting)).await;
    let void = shop.void("void", told.subject.payment().unwrap()).await;
    let finding = Finding::GiveUp { reason: "not_cancelled".to_owned() };
    shop.record(Recording { finding, ..recording(operation, OWNER, unknown()) }).await;
    let word = review::Word {
        operation_id: operation,
        said: review::Said::Failed,
        reason: "canceled in the dashboard".to_owned(),
        psp_reference: None,
        actor: review::Actor::Cli("alice".to_owned()),
    };
    let say = async || {
        let mut tx = shop.pool.begin().await.unwrap();
        let said = review::say_in_tx(&mut tx, shop.merchant, &word).await.unwrap();
        tx.commit().await.unwrap();
        said.map(|review| review.state)
    };
    assert_eq!(say().await, Err(review::Refused::UnderWay(void, "void")));
    shop.record(recording(void, OWNER, not_sent())).await;
    assert_eq!(say().await, Ok(review::State::Closed));
    assert_eq!(shop.count("select count(*) from payment where status = 'failed'").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_given_up_is_looked_at_once_more_where_there_was_news_meanwhile(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (order, is_news) in [("o-1", false), ("o-2", true)] {
        let operation = shop.claim_fresh(order, order, 1000).await;
        shop.record(recording(operation, OWNER, unknown())).await;
        sqlx::query("update operation set due_at = lease_until where operation_id = $1")
            .bind(operation)
            .execute(&shop.pool)
            .await
            .unwrap();
        let taken = operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap().remove(0);
        if is_news {
            operation::nudge(&shop.pool, shop.merchant, operation).await.unwrap();
        }
        let by = By::Owner { fence: taken.fence };
        let finding = Finding::GiveUp { reason: "no_evidence".to_owned() };
        shop.record(Recording { finding, ..recording(operation, by, unknown()) }).await;
        let due = operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
        assert_eq!(due.len(), usize::from(is_news), "{order}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_stays_open_is_looked_at_once_more_where_there_was_news_meanwhile(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let waits = |reference| Outcome::RequiresAction {
        reference: PspReference::parse(reference).unwrap(),
        redirect_url: Some("https://psp.test/3ds".to_owned()),
    };
    for (order, is_news, found) in [
        ("o-1", false, unknown()),
        ("o-2", true, unknown()),
        ("o-3", false, waits("pi_3")),
        ("o-4", true, waits("pi_4")),
    ] {
        let operation = shop.claim_fresh(order, order, 1000).await;
        shop.record(recording(operation, OWNER, unknown())).await;
        sqlx::query("update operation set due_at = lease_until where operation_id = $1")
            .bind(operation)
            .execute(&shop.pool)
            .await
            .unwrap();
        let take = async || operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap();
        let taken = take().await.remove(0);
        if is_news {
            operation::nudge(&shop.pool, shop.merchant, operation).await.unwrap();
        }
        shop.record(recording(operation, By::Owner { fence: taken.fence }, found)).await;
        assert_eq!(take().await.len(), usize::from(is_news), "{order}");
        sqlx::query("update operation set due_at = now() + interval '1 day'")
            .execute(&shop.pool)
            .await
            .unwrap();
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn one_row_that_cannot_be_read_takes_nothing_from_the_others(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for order in ["o-1", "o-2"] {
        shop.claim_fresh(order, order, 1000).await;
    }
    let spoilt = "update operation set due_at = now(), psp_reference = case when operation_id = (
                  select min(operation_id::text)::uuid from operation) then 'a/b' end";
    sqlx::query(spoilt).execute(&shop.pool).await.unwrap();
    let taken = async || operation::take_due(&shop.pool, shop.merchant, LEASE, 10).await.unwrap().len();
    assert_eq!((taken().await, taken().await), (1, 0), "it waits for the end of its lease");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn of_much_evidence_the_sending_is_shown_and_the_newest(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_held("k", "o-1", 1000).await;
    let payment =
        shop.record(recording(operation, OWNER, held(1000, "pi_1"))).await.subject.payment().unwrap();
    let void = shop.void("void", payment).await;
    // of the authorisation there was a webhook before the void was sent
    let much = "with much as (
             insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome)
             select merchant_id, operation_id, gen_random_uuid(), 1, case n when 1 then 'cancel' else 'retrieve' end,
                    now() + n * interval '1 second', now() + n * interval '1 second', 'unknown'
             from operation cross join generate_series(1, 1100) n where kind = 'void'
         )
         insert into webhook_event (merchant_id, psp_account_id, event_id, type, operation_id, psp_created_at, received_at,
                                    payload, status)
         select merchant_id, psp_account_id, 'evt_1', 'of the hold', operation_id, now(), now(), '{}', 'applied'
         from operation where kind = 'authorize'";
    sqlx::query(much).execute(&shop.pool).await.unwrap();
    let review = review::get(&shop.pool, shop.merchant, void).await.unwrap().unwrap();
    let kinds: Vec<&str> = review.evidence.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!((kinds.len(), kinds[0], kinds[1]), (1000, "cancel", "retrieve"));
    assert!(review.evidence.is_sorted_by_key(|entry| entry.at));
}
