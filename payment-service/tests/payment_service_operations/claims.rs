//! What a key and an order are worth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ledger::account::Account;
use money::{ClaimId, Currency, MerchantId, PayoutId};
use payment_service::idempotency::{self, Fingerprint, IdempotencyKey};
use payment_service::operation::{
    self, By, Claimed, Effect, Follow, Followed, OperationStatus, Want, claim_in_tx, follow,
};
use payment_service::payment;
use payment_service::payout::{self, NewPayout};
use payment_service::psp::{Psp, PspReference};
use sqlx::PgPool;

use crate::shop::*;

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_is_answered_by_what_it_is_in(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::InFlight]);
    assert_eq!(
        shop.claim_all(&[shop.claim("k", "o-1", 1001)]).await,
        [Claimed::OtherRequest { field: "amount" }],
        "another body is refused while the first is in flight"
    );
    let waiting = shop.record(recording(operation, OWNER, unknown())).await;
    assert_eq!(waiting.answer, None);
    let payment_id = waiting.subject.payment().unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::Accepted { payment_id }]);
    let ended = shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let (status, body) = ended.answer.unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, [Claimed::Replay { status, body }]);
    assert_eq!(
        shop.claim_all(&[shop.claim("k", "o-2", 1000)]).await,
        [Claimed::OtherRequest { field: "order_id" }]
    );
    assert_eq!(shop.count("select count(*) from payment").await, 1);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn an_order_has_one_live_payment_and_a_failed_one_frees_it(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let first = shop.claim_fresh("k1", "o-1", 1000).await;
    let rival = shop.claim_all(&[shop.claim("k2", "o-1", 1000)]).await.remove(0);
    let Claimed::OrderTaken { status: 409, body } = rival else { panic!("{rival:?}") };
    assert_eq!(
        shop.claim_all(&[shop.claim("k2", "o-1", 1000)]).await,
        [Claimed::Replay { status: 409, body }],
        "the key is used up with that answer"
    );
    let failed = shop.record(recording(first, OWNER, declined())).await;
    assert_eq!(failed.answer.as_ref().unwrap().0, 201);
    let second = shop.claim_fresh("k3", "o-1", 1000).await;
    assert_ne!(first, second, "the next payment of an order is another charge");
    assert_eq!(shop.count("select max(ordinal)::bigint from payment").await, 2);
    assert_eq!(shop.trial_balance().await, 0);
    assert_eq!(shop.count("select count(*) from ledger_transaction").await, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_claim_lost_in_a_restore_and_made_again_is_the_same_charge(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let mut lost = shop.pool.begin().await.unwrap();
    let before = claim_in_tx(&mut lost, shop.merchant, &[shop.claim("k", "o-1", 1000)]).await.unwrap();
    lost.rollback().await.unwrap();
    assert_eq!(shop.claim_all(&[shop.claim("k", "o-1", 1000)]).await, before);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_that_is_used_already_takes_nothing_from_its_neighbours(pool: PgPool) {
    let shop = Shop::open(pool).await;
    shop.claim_fresh("used", "o-1", 1000).await;
    let claimed = shop
        .claim_all(&[
            shop.claim("k2", "o-2", 1000),
            shop.claim("used", "o-3", 1000),
            shop.claim("twice", "o-4", 1000),
            shop.claim("twice", "o-5", 1000),
        ])
        .await;
    let [
        Claimed::Fresh { operation_id, fence: 1 },
        Claimed::OtherRequest { field: "order_id" },
        Claimed::Fresh { .. },
        Claimed::OtherRequest { field: "order_id" },
    ] = claimed[..]
    else {
        panic!("{claimed:?}")
    };
    assert_eq!(operation_id, operation::authorize_id(shop.merchant, &"o-2".parse().unwrap(), 1));
    assert_eq!(shop.count("select count(*) from payment").await, 3);
    assert_eq!(shop.count("select count(*) from idempotency_key").await, 3);
    assert_eq!(shop.count("select count(*) from operation").await, 3);
    assert_eq!(shop.count("select count(*) from payment_event").await, 3);
    assert_eq!(shop.count("select count(*) from payment_split").await, 6);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn of_all_that_claim_an_order_at_once_one_gets_it(pool: PgPool) {
    const RIVALS: usize = 12;
    let shop = Arc::new(Shop::open(pool).await);
    for round in 0..8 {
        let mut rivals = tokio::task::JoinSet::new();
        for rival in 0..RIVALS {
            let shop = Arc::clone(&shop);
            rivals.spawn(async move {
                let (order, own) = (format!("o-{round}"), format!("{round}-{rival}"));
                let mut claims = vec![
                    shop.claim(&format!("shared-{round}"), &order, 1000),
                    shop.claim(&format!("rival-{own}"), &order, 1000),
                    shop.claim(&format!("own-{own}"), &format!("own-{own}"), 1000),
                ];
                claims.rotate_left(rival % 3);
                let mut claimed = shop.claim_all(&claims).await;
                claimed.rotate_right(rival % 3);
                claimed
            });
        }
        let claimed = rivals.join_all().await;
        let fresh = |claimed: &&Claimed| matches!(claimed, Claimed::Fresh { .. });
        assert_eq!(claimed.iter().flat_map(|claimed| &claimed[..2]).filter(fresh).count(), 1, "{claimed:?}");
        assert_eq!(claimed.iter().map(|claimed| &claimed[2]).filter(fresh).count(), RIVALS, "{claimed:?}");
    }
    assert_eq!(
        shop.count("select count(*) from payment").await,
        shop.count("select count(*) from operation").await
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_batch_answers_each_member_by_its_own_result(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let claimed = shop
        .claim_all(&[
            shop.claim("k1", "o-1", 1000),
            shop.claim("k1", "o-1", 1000),
            shop.claim("k1", "o-1", 999),
            shop.claim("k2", "o-1", 1000),
            shop.claim("k3", "o-3", 1000),
        ])
        .await;
    let [
        Claimed::Fresh { operation_id: first, .. },
        Claimed::InFlight,
        Claimed::OtherRequest { field: "amount" },
        Claimed::OrderTaken { .. },
        Claimed::Fresh { operation_id: third, .. },
    ] = claimed[..]
    else {
        panic!("{claimed:?}")
    };
    let recorded = shop
        .record_all(&[
            recording(first, OWNER, success(1000, "pi_1")),
            recording(first, OWNER, success(1000, "pi_1")),
            recording(third, By::Owner { fence: 7 }, success(1000, "pi_3")),
            recording(third, OWNER, declined()),
        ])
        .await;
    let effects: Vec<Effect> = recorded.iter().map(|recorded| recorded.effect).collect();
    assert_eq!(
        effects,
        [
            Effect::Now(OperationStatus::Succeeded),
            Effect::Stale,
            Effect::Superseded,
            Effect::Now(OperationStatus::Declined)
        ]
    );
    assert_eq!(recorded[0].answer, recorded[1].answer, "the second is told what the first has stored");
    assert_eq!(shop.balance(Account::PspReceivable(shop.account)).await, 1000);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_key_is_forgotten_once_it_is_old_and_answered_and_its_order_is_still_charged_once(pool: PgPool) {
    let shop = Shop::open(pool).await;
    for (key, order) in [("old", "o-1"), ("young", "o-2")] {
        let operation = shop.claim_fresh(key, order, 1000).await;
        shop.record(recording(operation, OWNER, success(1000, &format!("pi_{key}")))).await;
    }
    shop.claim_fresh("in-flight", "o-3", 1000).await;
    shop.claim_fresh("accepted", "o-4", 1000).await;
    let accepted = IdempotencyKey::try_from("accepted".to_owned()).unwrap();
    idempotency::accept(&shop.pool, shop.merchant, &accepted).await.unwrap();
    let aged =
        "update idempotency_key set created_at = now() - interval '2 days' where idempotency_key <> 'young'";
    sqlx::query(aged).execute(&shop.pool).await.unwrap();

    let day = Duration::from_secs(24 * 3600);
    let reap = async |limit| idempotency::reap(&shop.pool, shop.merchant, day, limit).await.unwrap();
    assert_eq!(
        idempotency::reap(&shop.pool, MerchantId::new(), day, 10).await.unwrap(),
        0,
        "of another merchant"
    );
    assert_eq!((reap(0).await, reap(10).await, reap(10).await), (0, 1, 0));
    let kept: Vec<String> =
        sqlx::query_scalar("select idempotency_key from idempotency_key order by idempotency_key")
            .fetch_all(&shop.pool)
            .await
            .unwrap();
    assert_eq!(kept, ["accepted", "in-flight", "young"]);
    let again = shop.claim_all(&[shop.claim("old", "o-1", 1000)]).await;
    assert!(matches!(again[..], [Claimed::OrderTaken { .. }]), "{again:?}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_claim_whose_commit_was_not_confirmed_is_found_again(pool: PgPool) {
    let shop = Shop::open(pool).await;
    let claim = shop.claim("k", "o-1", 1000);
    let first = shop.claim_all(std::slice::from_ref(&claim)).await;
    assert_eq!(shop.claim_all(std::slice::from_ref(&claim)).await, first, "it is ours, by its payment's id");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_follows_is_found_again_where_its_commit_was_not_confirmed_and_by_its_own_request_alone(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    let operation = shop.claim_fresh("k", "o-1", 1000).await;
    shop.record(recording(operation, OWNER, success(1000, "pi_1"))).await;
    let filter = payment::Filter { limit: 1, ..Default::default() };
    let payment_id = payment::list(&shop.pool, shop.merchant, &filter).await.unwrap()[0].payment_id;
    const NAMES: &[&str; 1] = &["endpoint"];
    let refund = Follow {
        key: IdempotencyKey::try_from("refund".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(NAMES, [b"x"]),
        claim_id: ClaimId::new(),
        payment_id,
        want: Want::Refund { amount: Some(400), parts: None, returns_fee: true },
        lease: LEASE,
        request_id: None,
    };
    let ask = async |refund: &Follow| match follow(&shop.pool, shop.merchant, std::slice::from_ref(refund))
        .await
        .unwrap()
        .remove(0)
    {
        Followed::Fresh(begun) => Some(begun),
        Followed::InFlight => None,
        other => panic!("{other:?}"),
    };
    let first = ask(&refund).await.unwrap();
    let again = ask(&refund).await.unwrap();
    assert_eq!((again.fence, &again.errand.expected), (1, &first.errand.expected));
    let repeat = Follow { claim_id: ClaimId::new(), ..refund.clone() };
    assert!(ask(&repeat).await.is_none(), "a client that repeats it waits");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_payout_is_found_again_where_its_commit_was_not_confirmed_and_by_its_own_request_alone(
    pool: PgPool,
) {
    let shop = Shop::open(pool).await;
    shop.has_available("s-1", 1000).await;
    const NAMES: &[&str; 1] = &["endpoint"];
    let new = NewPayout {
        key: IdempotencyKey::try_from("payout".to_owned()).unwrap(),
        fingerprint: Fingerprint::of(NAMES, [b"x"]),
        payout_id: PayoutId::new(),
        seller: "s-1".parse().unwrap(),
        amount: None,
        currency: Currency::EUR,
        destination: PspReference::parse("ba_1").unwrap(),
        psp: Psp::Stripe,
        psp_account_id: shop.account,
        statement_descriptor: Some("SHOP".to_owned()),
        metadata: BTreeMap::new(),
        lease: LEASE,
        request_id: None,
    };
    let ask =
        async |new: &NewPayout| match payout::claim(&shop.pool, shop.merchant, std::slice::from_ref(new))
            .await
            .unwrap()
            .remove(0)
        {
            payout::Claimed::Fresh(begun) => Some(begun),
            payout::Claimed::InFlight => None,
            other => panic!("{other:?}"),
        };
    let first = ask(&new).await.unwrap();
    let again = ask(&new).await.unwrap();
    let sent = |begun: &operation::Begun| {
        (begun.fence, begun.errand.expected.amount, begun.errand.expected.operation_id)
    };
    assert_eq!(sent(&again), sent(&first));
    assert!(ask(&NewPayout { payout_id: PayoutId::new(), ..new }).await.is_none());
    assert_eq!(shop.count("select count(*) from ledger_transaction where kind = 'payout_hold'").await, 1);
}
