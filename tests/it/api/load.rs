//! What a caller can ask for holds up nobody else.

use std::time::{Duration, Instant};

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _};

use super::{Api, order_of};
use crate::world::World;

/// More than there are connections, of whatever pool.
const ASKING: usize = 40;

/// Statements of this database that wait for a table.
const WAITING: &str = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                       where d.datname = current_database() and l.locktype = 'relation' and not l.granted";

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_wait_are_refused_and_hold_up_nothing_else() {
    let world = World::new(&["--database-connections", "8"]);
    let (api, key) = (Api::of(&world).await, world.stage.shop.api_key.as_str());
    let paid = api.pay(key, "before", &order_of("anna", "before", 1000)).await.json();
    let mut database = world.database().await;
    let mut locked = database.begin().await.unwrap();
    locked.execute("lock table ledger_account in access exclusive mode").await.unwrap();
    let began = Instant::now();
    let lists = join_all((0..ASKING).map(|_| api.get(key, "/v1/ledger/accounts")));
    let others = async {
        world.eventually("lists wait for the lock", async || world.count(WAITING).await > 0).await;
        for path in ["/readyz", &format!("/v1/payments/{}", paid["payment_id"].as_str().unwrap())] {
            let asked = Instant::now();
            assert_eq!(api.get(key, path).await.status, 200, "{path}");
            assert!(asked.elapsed() < Duration::from_secs(1), "{path} took {:?}", asked.elapsed());
        }
    };
    let (lists, ()) = tokio::join!(lists, others);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    for answer in lists {
        answer.refused("a list", 503, "unavailable");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    locked.rollback().await.unwrap();
    assert_eq!(api.get(key, "/v1/ledger/accounts").await.status, 200);
}
