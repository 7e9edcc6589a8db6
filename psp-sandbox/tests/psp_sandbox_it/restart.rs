//! What survives: a kill, a torn file, an orderly stop.

use std::error::Error as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use axum::http::StatusCode;
use psp_sandbox::{Sandbox, SandboxConfig, StartError};
use serde_json::json;

use crate::support::{Caller, Receiver, start};

/// The sandbox in a process of its own, which does not outlive the test.
struct Program {
    child: Child,
    psp: Caller,
}

impl Program {
    fn start(state: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_psp-sandbox"))
            .args(["--listen", "127.0.0.1:0", "--search-lag-ms", "0", "--log", "warn"])
            .arg("--state-dir")
            .arg(state)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("psp-sandbox listening on ").expect("an address");
        Self { psp: Caller::new(url), child }
    }

    fn kill(mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("an end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Dead already when the test killed it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_loses_nothing_that_was_answered() {
    let state = tempfile::tempdir().expect("a folder");
    let program = Program::start(state.path());
    let psp = program.psp.clone();
    psp.fault(json!({"fault": {"kind": "drop_reply"}, "times": 1, "match": {"metadata": {"payonce_operation": "lost"}}})).await;
    psp.control("PATCH", "config", json!({"fees": {"default": {"percent": "0", "fixed_minor": 1}}})).await;
    let paid = psp.pay("paid", "pm_card_visa").await.ok();
    let intent = paid.text_at("/id");
    let declined = psp.pay("declined", "pm_card_visa_chargeDeclined").await;
    assert!(psp.try_pay("lost", "pm_card_visa").await.is_err());
    let refund = [("payment_intent", intent.as_str()), ("amount", "99")];
    let refund = psp.post("/v1/refunds", "refund", &refund).await.ok();
    psp.control("POST", "payouts", json!({})).await;
    let after = psp.pay("unsettled", "pm_card_visa").await.ok();
    let (effects, events) = (psp.effects().await, psp.get("/v1/events?limit=100").await.ok().text);
    let report = psp.get("/_sandbox/settlement.csv").await.ok().text;
    program.kill();

    // Twice, since the first start also compacts what the second one reads.
    for _ in 0..2 {
        let program = Program::start(state.path());
        let psp = program.psp.clone();
        for (operation, first) in [("paid", &paid), ("unsettled", &after)] {
            let replay = psp.pay(operation, "pm_card_visa").await.ok();
            assert_eq!(replay.text, first.text);
            assert_eq!(replay.header("idempotent-replayed"), Some("true"));
            assert_eq!(replay.header("original-request"), first.header("request-id"));
        }
        let replay = psp.pay("declined", "pm_card_visa_chargeDeclined").await;
        assert_eq!((replay.status, &replay.text), (402, &declined.text));
        let lost = psp.pay("lost", "pm_card_visa").await.ok();
        assert_eq!(lost.header("idempotent-replayed"), Some("true"));
        assert_eq!(psp.effects().await, effects);
        assert_eq!(psp.get("/v1/events?limit=100").await.ok().text, events);
        assert_eq!(psp.get("/_sandbox/settlement.csv").await.ok().text, report);
        let id = refund.text_at("/id");
        assert_eq!(psp.get(&format!("/v1/refunds/{id}")).await.ok().text, refund.text);
        let query = "metadata['payonce_operation']:'lost'";
        assert_eq!(psp.search(query).await.text_at("/data/0/id"), lost.text_at("/id"));
        let config = psp.control("GET", "config", json!({})).await;
        assert_eq!(config["fees"]["default"]["fixed_minor"], 1);
        let faults = psp.control("GET", "faults", json!({})).await;
        assert_eq!(faults["data"][0]["fired"], 1);
        program.kill();
    }

    let program = Program::start(state.path());
    let payouts = program.psp.control("POST", "payouts", json!({})).await;
    assert_eq!(payouts["data"][0]["lines"], 1, "only what was not paid out before the kill");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_repeat_across_kills_are_charged_once_each() {
    let state = tempfile::tempdir().expect("a folder");
    let mut open: Vec<String> = (0..400).map(|number| format!("op-{number}")).collect();
    for round in 0..4 {
        let program = Program::start(state.path());
        let psp = program.psp.clone();
        let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
        let calls: Vec<_> = open
            .drain(..)
            .map(|operation| {
                let (psp, answered) = (psp.clone(), answered.clone());
                tokio::spawn(async move {
                    match psp.try_pay(&operation, "pm_card_visa").await {
                        Ok(reply) if reply.status == 200 => {
                            // The test stopped counting when it killed the sandbox.
                            let _ = answered.send(());
                            None
                        }
                        _ => Some(operation),
                    }
                })
            })
            .collect();
        drop(answered);
        // Killed in the middle of the calls, but for the last round.
        let enough = if round == 3 { usize::MAX } else { 60 };
        let mut count = 0;
        while count < enough && answers.recv().await.is_some() {
            count += 1;
        }
        if round < 3 {
            program.kill();
        }
        for call in calls {
            open.extend(call.await.expect("no panic"));
        }
        assert_eq!(open.is_empty(), round == 3, "each kill struck in the middle");
    }
    let program = Program::start(state.path());
    let summary = program.psp.control("GET", "effects/summary", json!({})).await;
    assert_eq!(summary["operations_charged"], 400);
    assert_eq!(summary["charged_more_than_once"], json!({}));
    assert_eq!(summary["totals"]["charge"]["eur"]["count"], 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_last_lines_are_forgotten_and_missing_effects_are_caught_up() {
    let state = tempfile::tempdir().expect("a folder");
    let program = Program::start(state.path());
    let paid = program.psp.pay("op-1", "pm_card_visa").await.ok();
    let effects = program.psp.effects().await;
    program.kill();
    // As a kill between the two writes, and one in the middle of a write, leave the files.
    std::fs::write(state.path().join("effects.jsonl"), "{\"seq\":1,\"kin").expect("a file");
    let journal = state.path().join("journal.jsonl");
    let mut text = std::fs::read_to_string(&journal).expect("a journal");
    text.push_str("{\"commit\":{\"w\":0,\"c\":{\"pi\":[{\"seq\":1,");
    std::fs::write(&journal, text).expect("a file");

    let program = Program::start(state.path());
    assert_eq!(program.psp.effects().await, effects);
    let replay = program.psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(replay.text, paid.text);
    program.psp.pay("op-2", "pm_card_visa").await.ok();
    assert_eq!(program.psp.effects().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn undelivered_webhooks_are_delivered_after_a_restart() {
    let state = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(vec![StatusCode::SERVICE_UNAVAILABLE]).await;
    let program = Program::start(state.path());
    let psp = program.psp.clone();
    psp.control(
        "PATCH",
        "config",
        json!({"webhooks": {"retry_initial_ms": 3_600_000, "retry_max_ms": 3_600_000}}),
    )
    .await;
    psp.control(
        "POST",
        "webhook_endpoints",
        json!({
            "url": receiver.url, "secrets": ["whsec_a"], "enabled_events": ["payment_intent.succeeded"]
        }),
    )
    .await;
    psp.pay("op-1", "pm_card_visa").await.ok();
    let refused = receiver.next().await.event()["id"].clone();
    psp.pay("op-2", "pm_card_visa").await.ok();
    let taken = receiver.next().await.event()["id"].clone();
    assert_ne!(refused, taken);
    // The receiver saw it; the sandbox notes so a moment later.
    while psp.control("GET", "stats", json!({})).await["webhooks"]["delivered"] != 1 {
        tokio::task::yield_now().await;
    }
    program.kill();
    let program = Program::start(state.path());
    assert_eq!(receiver.next().await.event()["id"], refused);
    program.psp.control("GET", "wait?webhooks=idle", json!({})).await;
    assert_eq!(receiver.counts().len(), 0, "what was taken is not sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_program_ends_at_once_and_well_even_while_a_call_hangs() {
    let state = tempfile::tempdir().expect("a folder");
    let mut program = Program::start(state.path());
    let psp = program.psp.clone();
    psp.fault(json!({"fault": {"kind": "hang"}})).await;
    let hung = tokio::spawn({
        let psp = psp.clone();
        async move { psp.try_pay("op-1", "pm_card_visa").await }
    });
    psp.control("GET", "wait?hanging=1", json!({})).await;
    let id = program.child.id().to_string();
    let stopped = Command::new("kill").args(["-TERM", &id]).status().expect("a signal");
    assert!(stopped.success());
    let ended = program.child.wait().expect("an end");
    assert!(ended.success(), "{ended}");
    assert!(hung.await.expect("no panic").is_err(), "a hung call ends without an answer");
    let program = Program::start(state.path());
    assert_eq!(program.psp.effects().await.len(), 0);
}

#[tokio::test]
async fn a_reset_sandbox_knows_nothing_and_its_old_ids_lead_nowhere() {
    let (_sandbox, psp) = start().await;
    let id = psp.pay("op-1", "pm_card_visa").await.ok().text_at("/id");
    psp.fault(json!({"fault": {"kind": "garbage_body"}})).await;
    psp.control("POST", "reset", json!({})).await;
    assert_eq!(psp.effects().await.len(), 0);
    assert_eq!(psp.get(&format!("/v1/payment_intents/{id}")).await.status, 404);
    let first = psp.pay("op-1", "pm_card_visa").await.ok();
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_ne!(first.text_at("/id"), id);
}

#[tokio::test]
async fn a_second_sandbox_is_refused_the_state_of_a_running_one_and_leaves_it_alone() {
    let state = tempfile::tempdir().expect("a folder");
    let config = |listen| SandboxConfig {
        listen,
        state_dir: Some(state.path().to_owned()),
        ..SandboxConfig::default()
    };
    let free = SandboxConfig::default().listen;
    let first = Sandbox::start(config(free)).await.expect("a sandbox");
    let psp = Caller::new(first.url());
    let before = psp.pay("before", "pm_card_visa").await.ok().text_at("/id");

    let Err(refused) = Sandbox::start(config(free)).await else { panic!("two sandboxes share a state") };
    let why = refused.source().expect("a reason").to_string();
    assert!(why.contains(&format!("in use by the sandbox of process {}", std::process::id())), "{why}");
    assert!(why.contains(&*state.path().to_string_lossy()), "{why}");

    let after = psp.pay("after", "pm_card_visa").await.ok().text_at("/id");
    first.shutdown().await;
    let again = Sandbox::start(config(free)).await.expect("the state is free again");
    let psp = Caller::new(again.url());
    for id in [before, after] {
        psp.get(&format!("/v1/payment_intents/{id}")).await.ok();
    }
}

#[tokio::test]
async fn a_sandbox_whose_address_is_taken_touches_no_state() {
    let (taken, state) = (start().await.0, tempfile::tempdir().expect("a folder"));
    let config = SandboxConfig {
        listen: taken.address(),
        state_dir: Some(state.path().to_owned()),
        ..SandboxConfig::default()
    };
    assert!(matches!(Sandbox::start(config).await, Err(StartError::Listen { .. })));
    assert_eq!(state.path().read_dir().expect("the folder").count(), 0);
}
