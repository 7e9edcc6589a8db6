//! Connections, time, size, and what must not leak.

use std::time::Duration;

use payment_service::psp::{Settings, Why};

use super::server::{Reply, ScriptedPsp};
use super::*;

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_psp_that_is_never_reached_was_never_sent_anything() {
    let shop = Shop::at(&nobody().await).hasty();
    let exchange = shop.authorize().await;
    assert_eq!(not_sent(&exchange), "psp_unreachable");
    let refused = (Action::Authorize, AttemptOutcome::NotSent);
    assert_eq!(steps(&exchange), [refused; 4], "a refused connection is worth another try");

    let resent = Shop { resent: true, ..shop };
    assert_unknown(&resent.authorize().await, None, &Why::NoAnswer);
}

#[tokio::test]
async fn a_reset_after_sending_is_not_undone_by_a_refused_connection() {
    let psp = ScriptedPsp::answering([Reply::ResetAndGone]).await;
    let shop = Shop::of(&psp).hasty();
    let exchange = shop.authorize().await;
    assert_unknown(&exchange, None, &Why::NoAnswer);
    assert_eq!(psp.calls(), [CREATE]);
    let refused = (Action::Authorize, AttemptOutcome::NotSent);
    assert_eq!(steps(&exchange), [(Action::Authorize, AttemptOutcome::Unknown), refused, refused, refused]);
}

#[tokio::test]
async fn an_answer_that_does_not_end_in_time_is_unknown_at_the_deadline() {
    // nothing but the deadline ends it, within the life of this test
    let endless = Settings { try_timeout: Duration::from_secs(86_400), ..settings() };
    for reply in [Reply::Drip, Reply::Silence] {
        let psp = ScriptedPsp::answering([reply]).await;
        let shop = Shop { patience: Duration::from_secs(1), ..Shop::of(&psp).with(endless) };
        let started = Instant::now();
        let exchange = tokio::time::timeout(Duration::from_secs(60), shop.authorize()).await;
        assert_unknown(&exchange.expect("an end"), None, &Why::NoAnswer);
        assert!(started.elapsed() >= shop.patience, "{:?}", started.elapsed());
        assert_eq!(psp.calls(), [CREATE]);
    }
}

#[tokio::test]
async fn a_try_that_hangs_leaves_time_for_another() {
    let mut first = true;
    let answer = move |_: &_| match std::mem::take(&mut first) {
        true => Reply::Silence,
        false => Reply::json(200, &intent("succeeded")),
    };
    let psp = ScriptedPsp::start(answer).await;
    let shop = Shop::of(&psp).with(Settings { try_timeout: Duration::from_millis(250), ..settings() });
    // however often a slow machine does not get an answer through in time
    let shop = Shop { patience: Duration::from_secs(60), ..shop };
    let exchange = shop.authorize().await;
    assert_charged(&exchange);
    let unanswered = (Action::Authorize, AttemptOutcome::Unknown);
    assert_eq!(steps(&exchange)[0], unanswered, "the one that hung");
    assert!(psp.calls().len() >= 2 && psp.calls().iter().all(|call| call == CREATE), "{:?}", psp.calls());
}

#[tokio::test]
async fn an_answer_longer_than_the_limit_is_not_read() {
    let huge = " ".repeat(2 * 1024 * 1024);
    let psp = ScriptedPsp::answering([Reply::text(200, huge), Reply::json(200, &found(&[]))]).await;
    let exchange = Shop::of(&psp).authorize().await;
    assert_unknown(&exchange, None, &Why::Absent);
    assert_eq!(
        exchange.attempts[0].detail.as_deref(),
        Some("the answer is longer than any answer of this PSP")
    );
    assert_eq!(psp.calls(), [CREATE, SEARCH], "resending would only repeat it");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = ScriptedPsp::start(|_| Reply::json(200, &intent("succeeded"))).await;
    for status in [301, 302, 307, 308] {
        let target = format!("{}/v1/payment_intents", elsewhere.base_url);
        let psp = ScriptedPsp::start(move |_| Reply::text(status, "").with("Location", target.clone())).await;
        assert_unknown(&Shop::of(&psp).authorize().await, None, &Why::Unreadable);
    }
    assert_eq!(elsewhere.calls(), [""; 0]);
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let psp = ScriptedPsp::answering([]).await;
    let shop = Shop { patience: Duration::ZERO, ..Shop::of(&psp) };
    let exchange = shop.authorize().await;
    assert_eq!((not_sent(&exchange), exchange.attempts.len()), ("deadline_passed", 0));
    assert_unknown(&Shop { resent: true, ..shop }.authorize().await, None, &Why::NoAnswer);
    assert_eq!(psp.calls(), [""; 0]);
}

#[tokio::test]
async fn a_resend_is_not_begun_without_time_for_its_answer() {
    let psp =
        ScriptedPsp::start(|_| Reply::json(429, &error("invalid_request_error", "rate_limit", None))).await;
    let shop = Shop::of(&psp).with(Settings { shortest_try: Duration::from_secs(60), ..settings() });
    assert_eq!(not_sent(&shop.authorize().await), "psp_busy");
    assert_eq!(psp.calls(), [CREATE]);
}

#[tokio::test]
async fn an_account_that_cannot_be_used_is_told_and_never_sent() {
    for base_url in ["", "psp.example", "ftp://psp.example", "http://psp.example/?a=b", "mailto:a@b"] {
        let exchange = Shop::at(base_url).authorize().await;
        assert_eq!((not_sent(&exchange), exchange.attempts.len()), ("psp_misconfigured", 0), "{base_url}");
    }
    let mut shop = Shop::at("http://127.0.0.1:1");
    shop.account.api_secret = "sk_test\n".into();
    assert_eq!(not_sent(&shop.authorize().await), "psp_misconfigured");
}

#[tokio::test]
async fn an_address_may_have_a_path() {
    for end in ["", "/", "/psp", "/psp/"] {
        let psp = ScriptedPsp::answering([Reply::json(200, &intent("succeeded"))]).await;
        assert_charged(&Shop::at(&format!("{}{end}", psp.base_url)).authorize().await);
        assert_eq!(psp.calls(), [format!("POST {}/v1/payment_intents", end.trim_end_matches('/'))]);
    }
}

#[tokio::test]
async fn a_secret_that_the_psp_echoes_is_shown_nowhere() {
    let psp = ScriptedPsp::start(|request| {
        let echo = request.header("authorization").unwrap_or_default();
        let mut body = error("card_error", echo, Some(intent("canceled")));
        body["error"]["message"] = json!(format!("{echo} for 4242-4242-4242-4242"));
        Reply::json(402, &body)
    })
    .await;
    let shop = Shop::of(&psp);
    let exchange = shop.authorize().await;
    let shown = format!("{exchange:?} {:?} {:?}", shop.account, shop.connectors);
    assert!(shown.contains("[secret]"), "{shown}");
    assert!(!shown.contains(SECRET) && !shown.contains("whsec_lab") && !shown.contains("4242"), "{shown}");
}

#[tokio::test]
async fn many_calls_share_few_connections() {
    let psp = ScriptedPsp::start(|_| Reply::json(200, &intent("succeeded"))).await;
    let shop = Shop::of(&psp);
    for _ in 0..20 {
        assert_charged(&shop.authorize().await);
    }
    assert_eq!((psp.requests().len(), psp.connections()), (20, 1));
}
