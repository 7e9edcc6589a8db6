//! A PSP that forgets what it was asked: whatever crashes, it is never asked twice for the same thing.

use payment_service::failpoint::Failpoint;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::world::{World, order, order_to_capture, payout};

/// So short that what a crash leaves is looked into at once.
const SHORT: [&str; 3] = ["--patience=400ms", "--psp-deadline=800ms", "--lease=1s"];

/// Where the service dies, after which an outcome may be in doubt; and where only the PSP's answer is lost.
const POINTS: [Option<Failpoint>; 8] = [
    None,
    Some(Failpoint::Claiming),
    Some(Failpoint::Claimed),
    Some(Failpoint::Answered),
    Some(Failpoint::Recording),
    Some(Failpoint::Recorded),
    Some(Failpoint::TakenOver),
    Some(Failpoint::Asked),
];

/// A kind of operation, what the PSP calls the request for it, and what it calls what it did then.
const KINDS: [(&str, &str, &str); 5] = [
    ("authorize", "payment_intents.create", "charge"),
    ("capture", "payment_intents.capture", "capture"),
    ("void", "payment_intents.cancel", "cancel"),
    ("refund", "refunds.create", "refund"),
    ("payout", "payouts.create", "payout"),
];

struct Trial {
    what: String,
    path: String,
    body: Value,
}

async fn prepare(world: &World, kind: &str, point: &str) -> Trial {
    let what = format!("{kind}-{point}");
    let first = match kind {
        "authorize" => {
            return Trial { body: order(&what, 1000), path: "/v1/payments".to_owned(), what };
        }
        "payout" => {
            return Trial { body: payout("anna", 300), path: "/v1/payouts".to_owned(), what };
        }
        "refund" => order(&what, 1000),
        _ => order_to_capture(&what, 1000),
    };
    let told = world.stage.client.pay(&format!("first-{what}"), &first).await.unwrap();
    assert_eq!(told.status, 201, "{}", told.body);
    let payment = told.json()["payment_id"].as_str().unwrap().to_owned();
    let (action, body) = match kind {
        "capture" => ("capture", json!({"amount": 900})),
        "void" => ("void", json!({})),
        _ => ("refunds", json!({"amount": 300})),
    };
    Trial { path: format!("/v1/payments/{payment}/{action}"), body, what }
}

/// How often the PSP was asked for something.
async fn asked(world: &World, call: &str) -> u64 {
    let stats = world.stage.control.get("stats").await.unwrap();
    stats["calls"][call].as_u64().unwrap_or(0)
}

async fn nothing_is_asked_for_twice(idempotency: &str) {
    let mut world = World::with_idempotency(idempotency, &SHORT);
    world.fund("anna", 10_000).await;
    // it forgets keys at once, and its search finds nothing new
    let forgetful = json!({"idempotency_ttl_seconds": 0, "search_lag_ms": 3_600_000});
    world.stage.control.configure(&forgetful).await.unwrap();
    let (mut struck, mut in_doubt) = (0, 0);
    for (kind, call, effect) in KINDS {
        for point in POINTS {
            // the first payment of an order is claimed in one statement
            if (kind, point) == ("authorize", Some(Failpoint::Claiming)) {
                continue;
            }
            let name = point.map_or("lost", Failpoint::as_str);
            let Trial { what, path, body } = prepare(&world, kind, name).await;
            let (calls, effects) = (asked(&world, call).await, world.done(effect).await);
            block_in_place(|| world.stage.kill_service()).unwrap();
            let plan = format!("{name}/{kind}=crash");
            block_in_place(|| world.stage.start_service_with("PAYONCE_FAILPOINT", &plan)).unwrap();
            let is_lost = matches!(point, None | Some(Failpoint::TakenOver | Failpoint::Asked));
            if is_lost {
                let rule =
                    json!({"fault": {"kind": "drop_reply"}, "match": {"operation": call}, "times": 100});
                world.stage.control.fault(&rule).await.unwrap();
            }
            // nobody may be there to answer
            drop(world.stage.client.post(&path, &what, &body).await);
            if point.is_some() {
                let fired = format!("failpoint {plan}");
                world.eventually(&format!("{fired} strikes"), async || world.log().contains(&fired)).await;
                let service = world.stage.service().unwrap();
                world.eventually("the service is gone", async || !service.is_alive()).await;
                block_in_place(|| world.stage.start_service()).unwrap();
            }
            world
                .eventually("whoever it belonged to is gone", async || {
                    world.count("select count(*) from operation where status = 'sending'").await == 0
                })
                .await;
            world.stage.control.heal().await.unwrap();
            struck += 1;
            let again = world.stage.client.post(&path, &what, &body).await.unwrap();
            in_doubt += usize::from(again.status != 201);
            // to let go what is let go does nothing
            let most = if kind == "void" { u64::MAX } else { 1 };
            let more = asked(&world, call).await - calls;
            assert!(more <= most, "{idempotency}: {what}: asked for {more} times");
            assert!(world.done(effect).await <= effects + 1, "{idempotency}: {what}: done twice");
        }
    }
    assert_eq!(struck, KINDS.len() * POINTS.len() - 1);
    assert!(in_doubt > 0, "nothing was ever in doubt");
    // what the PSP did and nobody was told of is in its settlement files
    world.settle().await;
    world.assert_books_are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_psp_that_only_finds_what_it_did_is_never_asked_for_it_twice() {
    nothing_is_asked_for_twice("lookup").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_psp_that_can_tell_nothing_is_never_asked_for_the_same_twice() {
    nothing_is_asked_for_twice("none").await;
}
