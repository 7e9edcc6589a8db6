//! Accounts and the keys that lead to them.

use psp_sandbox::{Sandbox, SandboxConfig};
use serde_json::json;

use crate::support::{Caller, KEY, start};

async fn account(psp: &Caller) -> String {
    psp.get("/v1/account").await.ok().text_at("/id")
}

#[tokio::test]
async fn a_replaced_key_leads_to_the_same_account_before_and_after_a_restart() {
    let state = tempfile::tempdir().expect("a folder");
    let config = SandboxConfig { state_dir: Some(state.path().to_owned()), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config.clone()).await.expect("a sandbox");
    let old = Caller::new(sandbox.url());
    let (ours, paid) = (account(&old).await, old.pay("op-1", "pm_card_visa").await.ok());
    let added = json!({"key": "sk_test_new", "account": ours});
    assert_eq!(old.control("POST", "keys", added.clone()).await, json!({"account": ours}));
    let new = old.with_secret("sk_test_new");
    assert_eq!((account(&new).await, account(&old).await), (ours.clone(), ours.clone()));
    let again = new.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!((again.header("idempotent-replayed"), again.json()), (Some("true"), paid.json()));

    old.control("DELETE", "keys", json!({"key": KEY})).await;
    for _ in 0..2 {
        let refused = old.get("/v1/account").await;
        assert_eq!((refused.status, refused.text_at("/error/code")), (401, "api_key_expired".to_owned()));
        assert_eq!(refused.text_at("/error/type"), "invalid_request_error");
    }
    sandbox.shutdown().await;

    for _ in 0..2 {
        // twice, as the first start also compacts what the second one reads
        let sandbox = Sandbox::start(config.clone()).await.expect("a sandbox");
        let (old, new) = (Caller::new(sandbox.url()), Caller::new(sandbox.url()).with_secret("sk_test_new"));
        assert_eq!((account(&new).await, old.get("/v1/account").await.status), (ours.clone(), 401));
        assert_eq!(new.charges_of("op-1").await, 1);
        sandbox.shutdown().await;
    }
    let journal = std::fs::read_to_string(state.path().join("journal.jsonl")).expect("a journal");
    assert!(!journal.contains("sk_test_"), "no key is written down");
}

#[tokio::test]
async fn a_revoked_key_may_be_given_back() {
    let (_sandbox, psp) = start().await;
    let ours = account(&psp).await;
    psp.control("DELETE", "keys", json!({"key": KEY})).await;
    assert_eq!(psp.try_control("DELETE", "keys", json!({"key": KEY})).await.status, 404);
    psp.control("POST", "keys", json!({"key": KEY, "account": ours})).await;
    assert_eq!(account(&psp).await, ours);
}

#[tokio::test]
async fn a_key_is_added_only_where_it_can_belong() {
    let (_sandbox, psp) = start().await;
    let (ours, other) = (account(&psp).await, psp.with_secret("sk_test_other"));
    let theirs = account(&other).await;
    for (key, account, status) in [
        ("sk_test_new", "acct_1nobody", 404),
        ("sk_live_new", ours.as_str(), 400),
        ("password", ours.as_str(), 400),
        ("sk_test_other", ours.as_str(), 409),
    ] {
        let refused = psp.try_control("POST", "keys", json!({"key": key, "account": account})).await;
        assert_eq!(refused.status, status, "{key}: {}", refused.text);
    }
    assert_eq!(account(&other).await, theirs);
    psp.control("POST", "keys", json!({"key": "sk_test_new", "account": ours})).await;
    let elsewhere = psp.try_control("POST", "keys", json!({"key": "sk_test_new", "account": theirs})).await;
    assert_eq!(elsewhere.status, 409);
}

#[tokio::test]
async fn there_are_only_so_many_accounts() {
    let (_sandbox, psp) = start().await;
    psp.control("PATCH", "config", json!({"most_accounts": 2})).await;
    let ours = account(&psp).await;
    account(&psp.with_secret("sk_test_second")).await;
    let refused = psp.with_secret("sk_test_third").get("/v1/account").await;
    assert_eq!((refused.status, refused.text_at("/error/type")), (401, "invalid_request_error".to_owned()));
    assert!(refused.text_at("/error/message").contains("most_accounts"), "{}", refused.text);
    let long = format!("sk_test_{}", "x".repeat(300));
    assert_eq!(psp.with_secret(&long).get("/v1/account").await.status, 401);
    assert_eq!(account(&psp).await, ours, "those that are there are served");
    for key in ["sk_test_a", "sk_test_b"] {
        psp.control("POST", "keys", json!({"key": key, "account": ours})).await;
    }
    let refused = psp.try_control("POST", "keys", json!({"key": "sk_test_c", "account": ours})).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
}
