//! What a finding does.

use ledger::account::Account;
use payment_service::operation::{By, Effect, Finding, OperationStatus, Recording, Want};
use payment_service::payment::{self};
use payment_service::psp::{Outcome, PspReference, Why};
use payment_service::review;
use sqlx::PgPool;

use crate::shop::*;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_success_is_booked_answered_and_told_in_one_commit(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let recorded = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    assert_eq!(recorded.effect, Effect::Now(OperationStatus::Succeeded));
    let (status, body) = recorded.answer.unwrap();
    assert_eq!(status, 201);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "captured");
    assert_eq!(body["captured_amount"], 1000);

    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
    assert_eq!(shop.balance(Account::SellerPending("s-1".parse().unwrap())).await, 985);
    assert_eq!(shop.balance(Account::SellerPending("s-2".parse().unwrap())).await, 10);
    assert_eq!(shop.balance(Account::PlatformFees).await, 5);
    assert_eq!(shop.trial_balance().await, 0);
    let kinds: Vec<String> = sqlx::query_scalar("select type from payment_event order by version")
        .fetch_all(&shop.pool)
        .await
        .unwrap();
    assert_eq!(kinds, ["payment.created", "payment.captured"]);
    let view =
        payment::get(&shop.pool, shop.merchant, recorded.subject.payment().unwrap()).await.unwrap().unwrap();
    assert_eq!(serde_json::to_value(&view).unwrap(), body, "what is stored is what is");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_webhook_before_the_answer_ends_the_operation_and_the_answer_is_stale(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let webhook = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(webhook.effect, Effect::Now(OperationStatus::Succeeded));
    let answer = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    assert_eq!(answer.effect, Effect::Superseded);
    assert_eq!(answer.answer, webhook.answer);
    let again = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(again.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from ledger_transaction").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_success_after_a_decline_is_a_break_whoever_tells_and_not_a_capture(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (order, by) in [("o-1", By::Evidence), ("o-2", OWNER), ("o-3", By::Owner { fence: 7 })] {
        let operation = shop.claim_fresh(order, order, 1000).await;
        shop.record(recording(operation, OWNER, declined())).await;
        let reference = format!("pi_{order}");
        for _ in 0..2 {
            let late = shop.record(recording(operation, by, success(1000, &reference))).await;
            assert_eq!(late.effect, Effect::LateSuccess);
        }
    }
    assert_eq!(
        shop.breaks().await,
        ["late_success pi_o-1 1000 EUR", "late_success pi_o-2 1000 EUR", "late_success pi_o-3 1000 EUR"]
    );
    assert_eq!(shop.balance(Account::SellerPending("s-1".parse().unwrap())).await, 0);
    assert_eq!(shop.trial_balance().await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_second_object_that_was_charged_for_an_operation_is_a_break_and_not_stale(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let same = shop.record(recording(operation, By::Evidence, success(1000, "pi_1"))).await;
    assert_eq!(same.effect, Effect::Stale);
    assert!(shop.breaks().await.is_empty());
    for (by, reference) in [(By::Evidence, "pi_2"), (By::Evidence, "pi_2"), (By::Owner { fence: 9 }, "pi_3")]
    {
        let second = shop.record(recording(operation, by, success(1000, reference))).await;
        assert_eq!(second.effect, Effect::Twice);
    }
    assert_eq!(shop.breaks().await, ["captured_twice pi_2 1000 EUR", "captured_twice pi_3 1000 EUR"]);
    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn that_another_object_is_closed_ends_nothing(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    let reference = |text| PspReference::parse(text).unwrap();
    let waiting = Outcome::Unknown { reference: Some(reference("pi_2")), why: Why::StillOpen };
    shop.record(recording(operation, OWNER, waiting)).await;
    let Outcome::Declined { decline, .. } = declined() else { panic!() };
    let closed = |text| Outcome::Declined { reference: Some(reference(text)), decline: decline.clone() };
    assert_eq!(shop.record(recording(operation, By::Evidence, closed("pi_1"))).await.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from payment where live").await, 1);
    let ended = shop.record(recording(operation, By::Evidence, closed("pi_2"))).await;
    assert_eq!(ended.effect, Effect::Now(OperationStatus::Declined));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_hold_of_which_others_took_a_part_frees_no_order_and_is_for_people_where_nothing_was_known_of_it(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    let taken = |of| Outcome::Unknown {
        reference: Some(PspReference::parse(of).unwrap()),
        why: Why::PartlyCaptured(300),
    };
    let operation = shop.claim_held("k", "o-1", 1000).await;
    for status in [OperationStatus::Unknown, OperationStatus::NeedsReview] {
        let told = shop.record(recording(operation, By::Evidence, taken("pi_1"))).await;
        assert_eq!(told.effect, Effect::Now(status));
    }
    assert_eq!(shop.count("select count(*) from operation where psp_reference = 'pi_1'").await, 1);
    let word = |said| review::Word {
        operation_id: operation,
        said,
        reason: "as the dashboard shows".to_owned(),
        psp_reference: None,
        actor: review::Actor::Cli("alice".to_owned()),
    };
    let say = async |said| {
        let mut tx = shop.pool.begin().await.unwrap();
        let said = review::say_in_tx(&mut tx, shop.merchant, &word(said)).await.unwrap();
        tx.commit().await.unwrap();
        said.map(|review| review.state)
    };
    assert_eq!(say(review::Said::Failed).await, Err(review::Refused::PartlyCaptured));
    assert_eq!(say(review::Said::Succeeded).await, Ok(review::State::Closed));
    assert_eq!(shop.count("select count(*) from payment where status = 'authorized'").await, 1);

    // found out of what people were asked about for another reason: told once
    let other = shop.claim_held("k3", "o-3", 1000).await;
    let lost = Outcome::Unknown { reference: None, why: Why::NoAnswer };
    shop.record(recording(other, OWNER, lost)).await;
    let finding = Finding::GiveUp { reason: "no_evidence".to_owned() };
    shop.record(Recording { finding, ..recording(other, OWNER, taken("pi_3")) }).await;
    for effect in [Effect::Now(OperationStatus::NeedsReview), Effect::Stale] {
        assert_eq!(shop.record(recording(other, By::Evidence, taken("pi_3"))).await.effect, effect);
    }
    let told = "select count(*) from operation where reason = 'partly_captured' and psp_reference = 'pi_3'";
    assert_eq!(shop.count(told).await, 1);

    let held = shop.claim_held("k2", "o-2", 1000).await;
    shop.record(recording(held, OWNER, self::held(1000, "pi_2"))).await;
    let told = shop.record(recording(held, By::Evidence, taken("pi_2"))).await;
    assert_eq!(told.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from payment where live").await, 3);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_was_let_go_after_more_was_captured_than_we_know_of_is_never_taken_for_ours(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let hold = shop.claim_held("k", "o-1", 1000).await;
    let payment = shop.record(recording(hold, OWNER, held(1000, "pi_1"))).await.subject.payment().unwrap();
    let capture =
        shop.follow("part", payment, Want::Capture { amount: Some(300), last: false, parts: None }).await;
    let let_go = |taken| Outcome::Unknown {
        reference: Some(PspReference::parse("pi_1").unwrap()),
        why: Why::PartlyCaptured(taken),
    };
    let told = shop.record(recording(hold, By::Evidence, let_go(300))).await;
    assert_eq!(told.effect, Effect::Stale, "it may be the doing of the capture that is under way");
    shop.record(recording(capture, OWNER, success(300, "pi_1"))).await;
    let told = shop.record(recording(hold, By::Evidence, let_go(500))).await;
    assert_eq!(told.effect, Effect::Stale);
    assert_eq!(shop.count("select count(*) from payment where status = 'partially_captured'").await, 1);
    let told = shop.record(recording(hold, By::Evidence, let_go(300))).await;
    assert_eq!(told.effect, Effect::Now(OperationStatus::Reversed));
    assert_eq!(
        shop.count("select count(*) from payment where status = 'captured' and captured_amount = 300").await,
        1
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn that_others_took_a_part_is_told_of_a_void_that_people_are_asked_about_for_another_reason(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    let hold = shop.claim_held("k", "o-1", 1000).await;
    let payment = shop.record(recording(hold, OWNER, held(1000, "pi_1"))).await.subject.payment().unwrap();
    let void = shop.void("void", payment).await;
    shop.record(recording(void, OWNER, unknown())).await;
    let finding = Finding::GiveUp { reason: "no_evidence".to_owned() };
    shop.record(Recording { finding, ..recording(void, OWNER, unknown()) }).await;
    let since = "update operation set updated_at = '2026-01-01' where kind = 'void'";
    sqlx::query(since).execute(&shop.pool).await.unwrap();

    let taken = Outcome::Unknown {
        reference: Some(PspReference::parse("pi_1").unwrap()),
        why: Why::PartlyCaptured(300),
    };
    for effect in [Effect::Now(OperationStatus::NeedsReview), Effect::Stale] {
        assert_eq!(shop.record(recording(void, By::Evidence, taken.clone())).await.effect, effect);
    }
    let told = "select count(*) from operation
                where reason = 'partly_captured' and psp_reference is null and updated_at = '2026-01-01'";
    assert_eq!(shop.count(told).await, 1, "it waits as long as before");
    let say = async |said| {
        let actor = review::Actor::Cli("alice".to_owned());
        let reason = "canceled in the dashboard".to_owned();
        let word = review::Word { operation_id: void, said, reason, psp_reference: None, actor };
        let mut tx = shop.pool.begin().await.unwrap();
        let said = review::say_in_tx(&mut tx, shop.merchant, &word).await.unwrap();
        tx.commit().await.unwrap();
        said.map(|review| review.state)
    };
    assert_eq!(say(review::Said::Succeeded).await, Err(review::Refused::NotLetGo));
    assert_eq!(say(review::Said::Failed).await, Ok(review::State::Closed));
    assert_eq!(shop.count("select count(*) from payment where status = 'authorized' and live").await, 1);
}
