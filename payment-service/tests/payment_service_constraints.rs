//! Each rule that Postgres holds for payments and the inbox, tripped once, by its name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, PgPool};

const M: &str = "'00000000-0000-7000-8000-000000000001'";
const A: &str = "'00000000-0000-7000-8000-00000000000a'";
const P: &str = "'00000000-0000-7000-8000-000000000011'";
const O: &str = "'00000000-0000-8000-8000-000000000021'";
/// A payout.
const S: &str = "'00000000-0000-7000-8000-000000000031'";
const OTHER: &str = "'00000000-0000-7000-8000-0000000000ff'";

/// A shop with one payment that is captured, its split, operation, attempt, key, event and webhook, and a payout.
fn shop() -> Vec<String> {
    vec![
        format!("insert into merchant (merchant_id, mode, name) values ({M}, 'test', 'Shop')"),
        format!(
            "insert into psp_account (merchant_id, psp_account_id, mode, psp, name, base_url, api_secret, webhook_secrets)
             values ({M}, {A}, 'test', 'stripe', 'main', 'http://127.0.0.1:1',
                     decode(repeat('01', 31), 'hex'), decode(repeat('01', 30), 'hex'))"
        ),
        payment(P, "o-1", 1, "captured", true),
        format!(
            "insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee, captured_amount)
             values ({M}, {P}, 0, 's-1', 100, 5, 100)"
        ),
        operation(O, P, "succeeded", "null", "'pi_1'"),
        format!(
            "insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome)
             values ({M}, {O}, {OTHER}, 1, 'authorize', now(), now(), 'succeeded')"
        ),
        format!(
            "insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, created_at)
             values ({M}, 'k-1', '', {P}, now())"
        ),
        format!(
            "insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
             values ({M}, {P}, 1, {OTHER}, 'payment.created', '{{}}', now())"
        ),
        format!(
            "insert into webhook_event (merchant_id, psp_account_id, event_id, type, psp_created_at, received_at, payload,
                                        status, due_at)
             values ({M}, {A}, 'evt_1', 'x', now(), now(), '{{}}', 'pending', now())"
        ),
        payout(S),
    ]
}

fn payment(id: &str, order: &str, ordinal: i32, status: &str, live: bool) -> String {
    format!(
        "insert into payment (merchant_id, payment_id, order_id, ordinal, psp_account_id, status, live, amount, currency,
                              capture_method, payment_method, metadata, authorized_amount, captured_amount, failure_code,
                              created_at, updated_at)
         values ({M}, {id}, '{order}', {ordinal}, {A}, '{status}', {live}, 100, 'EUR', 'automatic', 'pm_1', '{{}}',
                 case when '{status}' = 'captured' then 100 else 0 end,
                 case when '{status}' = 'captured' then 100 else 0 end,
                 case when '{status}' = 'failed' then 'card_declined' end, now(), now())"
    )
}

fn operation(id: &str, payment: &str, status: &str, due: &str, reference: &str) -> String {
    format!(
        "insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status,
                                fence, lease_until, due_at, first_sent_at, idempotency_key, psp_reference, created_at,
                                updated_at)
         values ({M}, {id}, {payment}, 'authorize', {A}, 100, 'EUR', '{status}', 1, now(), {due}, now(), 'k-1',
                 {reference}, now(), now())"
    )
}

fn set(table: &str, change: &str) -> String {
    format!("update {table} set {change}")
}

/// The name of each rule, and what trips it.
fn violations() -> Vec<(&'static str, String)> {
    vec![
        ("payment_pkey", payment(P, "o-2", 1, "failed", false)),
        ("payment_order_ordinal_key", payment(OTHER, "o-1", 1, "failed", false)),
        ("payment_one_live_per_order", payment(OTHER, "o-1", 2, "processing", true)),
        ("payment_psp_account_fkey", set("payment", &format!("psp_account_id = {OTHER}"))),
        ("payment_status_known", set("payment", "status = 'refunded'")),
        ("payment_live_follows_status", set("payment", "live = false")),
        ("payment_ordinal_positive", set("payment", "ordinal = 0")),
        ("payment_order_id_present", set("payment", "order_id = ''")),
        ("payment_order_id_present", set("payment", "order_id = repeat('o', 256)")),
        (
            "payment_amount_positive",
            set("payment", "status = 'authorized', amount = 0, authorized_amount = 0, captured_amount = 0"),
        ),
        ("payment_currency_iso", set("payment", "currency = 'eur'")),
        ("payment_capture_method_known", set("payment", "capture_method = 'later'")),
        ("payment_authorized_within_amount", set("payment", "authorized_amount = 101")),
        ("payment_captured_within_authorized", set("payment", "captured_amount = 100, authorized_amount = 99")),
        ("payment_refunds_within_captured", set("payment", "refund_reserved_amount = 60, refunded_amount = 60")),
        ("payment_captured_has_amount", set("payment", "captured_amount = 0")),
        ("payment_has_method", set("payment", "payment_method = null")),
        ("payment_return_url_short", set("payment", "return_url = ''")),
        ("payment_return_url_short", set("payment", "return_url = repeat('u', 2049)")),
        ("payment_failed_says_why", set("payment", "status = 'failed', live = false")),
        (
            "payment_split_pkey",
            format!(
                "insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
                 values ({M}, {P}, 0, 's-2', 1, 0)"
            ),
        ),
        (
            "payment_split_payment_fkey",
            format!(
                "insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
                 values ({M}, {OTHER}, 0, 's-1', 1, 0)"
            ),
        ),
        (
            "payment_split_seller_once",
            format!(
                "insert into payment_split (merchant_id, payment_id, split_no, seller_id, amount, platform_fee)
                 values ({M}, {P}, 1, 's-1', 1, 0)"
            ),
        ),
        ("payment_split_amount_positive", set("payment_split", "amount = 0, platform_fee = 0, captured_amount = 0")),
        ("payment_split_fee_within_amount", set("payment_split", "platform_fee = 101")),
        ("payment_split_captured_within_amount", set("payment_split", "captured_amount = 101")),
        ("payment_split_refunds_within_captured", set("payment_split", "refunded_amount = 60, refund_reserved_amount = 41")),
        ("payment_split_refunded_fee_within_fee", set("payment_split", "refunded_fee = 6")),
        ("operation_pkey", operation(O, P, "declined", "null", "null")),
        ("operation_payment_fkey", operation(OTHER, OTHER, "declined", "null", "null")),
        ("operation_kind_known", set("operation", "kind = 'tip', psp_target = 'pi_1'")),
        ("operation_status_known", set("operation", "status = 'failed'")),
        ("operation_amount_positive", set("operation", "amount = -1")),
        ("operation_currency_iso", set("operation", "currency = 'E'")),
        ("operation_fence_positive", set("operation", "fence = 0")),
        ("operation_open_is_due", set("operation", "status = 'unknown'")),
        ("operation_open_is_due", follows(OTHER, "capture", "succeeded", "now()")),
        ("operation_success_has_reference", set("operation", "psp_reference = null")),
        ("operation_follows_has_target", set("operation", "psp_target = 'pi_1'")),
        ("operation_of_hold_knows_captured", set("operation", "captured_before = 0")),
        (
            "operation_of_hold_knows_captured",
            format!("{}; update operation set captured_before = -1 where kind = 'void'", follows(OTHER, "void", "unknown", "now()")),
        ),
        ("operation_capture_says_whether_last", set("operation", "last_capture = true")),
        (
            "operation_one_change_of_hold",
            format!(
                "{}; {}",
                follows(OTHER, "capture", "unknown", "now()"),
                follows(P, "void", "needs_review", "null")
            ),
        ),
        ("review_act_pkey", format!("{}; {}", act("'asked'", "null", "null"), act("'asked'", "null", "null"))),
        (
            "review_act_operation_fkey",
            act("'asked'", "null", "null").replace(O, OTHER),
        ),
        ("review_act_numbered", act("'asked'", "null", "null").replace(", 1,", ", 0,")),
        ("review_act_kind_known", act("'guessed'", "'failed'", "'x'")),
        ("review_act_outcome_known", act("'closed'", "'lost'", "'x'")),
        ("review_act_says_what_and_why", act("'closed'", "'failed'", "null")),
        ("review_act_reason_length", act("'closed'", "'failed'", "''")),
        ("review_act_actor_named", act("'asked'", "null", "null").replace("cli:a", "somebody")),
        (
            "review_act_append_only",
            format!("{}; update review_act set actor = 'cli:b'", act("'asked'", "null", "null")),
        ),
        ("operation_split_pkey", format!("{}; {}", part(O, 1, 0), part(O, 1, 0))),
        ("operation_split_operation_fkey", part(OTHER, 1, 0)),
        ("operation_split_amount_positive", part(O, 0, 0)),
        ("operation_split_fee_within_amount", part(O, 1, 2)),
        ("operation_split_append_only", format!("{}; update operation_split set amount = 2", part(O, 1, 0))),
        ("capture_draw_pkey", format!("{}; {}; {}", part(O, 1, 0), draw(O, O, 1), draw(O, O, 1))),
        ("capture_draw_refund_fkey", draw(O, O, 1)),
        (
            "capture_draw_dispute_fkey",
            format!("{}; {}", part(O, 1, 0), draw(O, O, 1).replace("false", "true")),
        ),
        ("capture_draw_capture_fkey", format!("{}; {}", part(O, 1, 0), draw(O, OTHER, 1))),
        ("capture_draw_amount_positive", format!("{}; {}", part(O, 1, 0), draw(O, O, 0))),
        (
            "capture_draw_returned_to_known",
            format!("{}; {}; update capture_draw set returned_to = 'bank'", part(O, 1, 0), draw(O, O, 1)),
        ),
        ("payment_disputed_not_negative", set("payment", "disputed_amount = -1")),
        ("payment_split_disputed_not_negative", set("payment_split", "disputed_fee = -1")),
        ("dispute_pkey", format!("{}; {}", dispute(P), dispute(P).replace("dp_1", "dp_2"))),
        ("dispute_psp_reference_once", format!("{}; {}", dispute(P), dispute(P).replace(O, OTHER))),
        ("dispute_payment_fkey", dispute(OTHER)),
        ("dispute_psp_account_fkey", dispute(P).replace(A, OTHER)),
        ("dispute_status_known", dispute(P).replace("evidence_due", "sued")),
        ("dispute_funds_known", dispute(P).replace("taken", "gone")),
        ("dispute_lost_was_decided", dispute(P).replace("taken", "lost")),
        ("dispute_amount_positive", dispute(P).replace("100, 'EUR'", "0, 'EUR'")),
        ("dispute_currency_iso", dispute(P).replace("EUR", "eur")),
        ("dispute_fee_of_taken", dispute(P).replace("taken", "left")),
        ("dispute_split_pkey", format!("{}; {}; {}", dispute(P), dispute_part(1, 0), dispute_part(1, 0))),
        ("dispute_split_dispute_fkey", dispute_part(1, 0)),
        ("dispute_split_amount_positive", format!("{}; {}", dispute(P), dispute_part(0, 0))),
        ("dispute_split_fee_within_amount", format!("{}; {}", dispute(P), dispute_part(1, 2))),
        (
            "dispute_split_append_only",
            format!("{}; {}; delete from dispute_split", dispute(P), dispute_part(1, 0)),
        ),
        ("payout_pkey", payout(S)),
        ("payout_psp_account_fkey", payout(OTHER).replace(A, OTHER)),
        ("payout_status_known", set("payout", "status = 'lost'")),
        ("payout_amount_positive", set("payout", "amount = 0")),
        ("payout_currency_iso", set("payout", "currency = 'eur'")),
        ("payout_destination_present", set("payout", "destination = ''")),
        ("payout_statement_descriptor_length", set("payout", "statement_descriptor = repeat('x', 23)")),
        ("payout_failed_says_why", set("payout", "status = 'returned'")),
        ("operation_payout_fkey", pays_out(OTHER, OTHER)),
        ("operation_of_one_subject", set("operation", "payment_id = null")),
        ("operation_payout_pays_out", pays_out(OTHER, S).replace("'payout'", "'refund'").replace("null", "'re_1'")),
        ("operation_payout_once", format!("{}; {}", pays_out(OTHER, S), pays_out(P, S))),
        ("idempotency_key_of_one_subject", set("idempotency_key", &format!("payout_id = {S}"))),
        ("idempotency_key_of_one_subject", set("idempotency_key", "payment_id = null")),
        ("payment_event_payout_fkey", event(P, 2).replace("payment_id", "payout_id")),
        ("payment_event_of_one_subject", set("payment_event", &format!("payout_id = {S}"))),
        ("operation_psp_reference_once", operation(OTHER, P, "succeeded", "null", "'pi_1'")),
        (
            "attempt_pkey",
            "insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome)
                 select merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome from attempt".to_owned(),
        ),
        ("attempt_operation_fkey", attempt(OTHER, "authorize", "unknown", "now()", "null")),
        ("attempt_action_known", attempt(O, "guess", "unknown", "now()", "null")),
        ("attempt_outcome_known", attempt(O, "authorize", "maybe", "now()", "null")),
        ("attempt_answered_after_sent", attempt(O, "authorize", "unknown", "now() - interval '1 second'", "null")),
        ("attempt_detail_short", attempt(O, "authorize", "unknown", "now()", "repeat('x', 2001)")),
        ("attempt_append_only", set("attempt", "fence = 2")),
        ("attempt_append_only", "delete from attempt".to_owned()),
        ("attempt_append_only", "truncate attempt".to_owned()),
        ("idempotency_key_pkey", key("k-1")),
        ("idempotency_key_length", key("")),
        ("idempotency_key_length", key(&"k".repeat(256))),
        ("idempotency_key_response_whole", set("idempotency_key", "response_status = 201")),
        ("payment_event_pkey", event(P, 1)),
        ("payment_event_payment_fkey", event(OTHER, 2)),
        ("payment_event_version_positive", event(P, 0)),
        (
            "relay_lease_pkey",
            format!("insert into relay_lease values ({M}, 1, now()), ({M}, 2, now())"),
        ),
        (
            "webhook_event_pkey",
            "insert into webhook_event select * from webhook_event".to_owned(),
        ),
        ("webhook_event_psp_account_fkey", set("webhook_event", &format!("psp_account_id = {OTHER}"))),
        ("webhook_event_status_known", set("webhook_event", "status = 'lost', due_at = null")),
        ("webhook_event_open_is_due", set("webhook_event", "due_at = null")),
        ("webhook_event_id_present", set("webhook_event", "event_id = ''")),
        (
            "webhook_event_applied_as_known",
            set("webhook_event", &format!("status = 'applied', due_at = null, applied_to = {O}, applied_as = 'lost'")),
        ),
        ("webhook_event_applied_whole", set("webhook_event", &format!("applied_to = {O}"))),
    ]
}

fn payout(id: &str) -> String {
    format!(
        "insert into payout (merchant_id, payout_id, psp_account_id, seller_id, status, amount, currency, destination,
                             metadata, created_at, updated_at)
         values ({M}, {id}, {A}, 's-1', 'processing', 100, 'EUR', 'ba_1', '{{}}', now(), now())"
    )
}

fn pays_out(id: &str, payout: &str) -> String {
    format!(
        "insert into operation (merchant_id, operation_id, payout_id, kind, psp_account_id, amount, currency, status,
                                fence, lease_until, due_at, first_sent_at, idempotency_key, psp_target, created_at,
                                updated_at)
         values ({M}, {id}, {payout}, 'payout', {A}, 100, 'EUR', 'unknown', 1, now(), now(), now(), 'k-2', null, now(),
                 now())"
    )
}

/// A capture or void of the payment.
fn follows(id: &str, kind: &str, status: &str, due: &str) -> String {
    format!(
        "insert into operation (merchant_id, operation_id, payment_id, kind, psp_account_id, amount, currency, status,
                                fence, lease_until, due_at, first_sent_at, idempotency_key, psp_target, captured_before,
                                last_capture, created_at, updated_at)
         values ({M}, {id}, {P}, '{kind}', {A}, 100, 'EUR', '{status}', 1, now(), {due}, now(), 'k-1', 'pi_1', 0,
                 case when '{kind}' = 'capture' then true end, now(), now())"
    )
}

fn act(kind: &str, outcome: &str, reason: &str) -> String {
    format!("insert into review_act values ({M}, {O}, 1, {kind}, {outcome}, null, {reason}, 'cli:a', now())")
}

fn part(operation: &str, amount: i64, fee: i64) -> String {
    format!("insert into operation_split values ({M}, {operation}, 0, {amount}, {fee})")
}

fn draw(operation: &str, capture: &str, amount: i64) -> String {
    format!("insert into capture_draw values ({M}, {operation}, 0, {capture}, {amount}, null, false)")
}

fn dispute(payment: &str) -> String {
    format!(
        "insert into dispute values ({M}, {O}, {payment}, {A}, 'dp_1', 'evidence_due', now(), 'fraudulent', 100, 'EUR',
                                     now(), 'taken', 20, 0, now(), now())"
    )
}

fn dispute_part(amount: i64, fee: i64) -> String {
    format!("insert into dispute_split values ({M}, {O}, 0, {amount}, {fee})")
}

fn attempt(operation: &str, action: &str, outcome: &str, answered: &str, detail: &str) -> String {
    format!(
        "insert into attempt (merchant_id, operation_id, attempt_id, fence, action, sent_at, answered_at, outcome, detail)
         values ({M}, {operation}, {P}, 1, '{action}', now(), {answered}, '{outcome}', {detail})"
    )
}

fn key(key: &str) -> String {
    format!(
        "insert into idempotency_key (merchant_id, idempotency_key, fingerprint, payment_id, created_at)
         values ({M}, '{key}', '', {P}, now())"
    )
}

fn event(payment: &str, version: i32) -> String {
    format!(
        "insert into payment_event (merchant_id, payment_id, version, event_id, type, data, recorded_at)
         values ({M}, {payment}, {version}, {O}, 'x', '{{}}', now())"
    )
}

/// The name of the rule that refuses `sql`, which leaves nothing behind.
async fn refused_by(connection: &mut PgConnection, sql: &str) -> Option<String> {
    let mut attempt = connection.begin().await.unwrap();
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *attempt).await.err()?;
    attempt.rollback().await.unwrap();
    refused.as_database_error().and_then(|error| error.constraint()).map(str::to_owned)
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn every_rule_of_payments_and_the_inbox_refuses_by_its_name(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    for sql in shop() {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
    }
    for (name, sql) in violations() {
        assert_eq!(refused_by(&mut connection, &sql).await.as_deref(), Some(name), "{sql}");
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn no_rule_of_payments_and_the_inbox_is_without_its_test(pool: PgPool) {
    let declared: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint join pg_class t on t.oid = conrelid
         where t.relname = any($1) and contype in ('c', 'f', 'p', 'u')
         union
         select i.relname::text from pg_index x join pg_class i on i.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
         where t.relname = any($1) and x.indisunique
         union
         -- one trigger holds several rules, each by its name
         select coalesce(rule[1], tgname) from pg_trigger join pg_class t on t.oid = tgrelid join pg_proc f on f.oid = tgfoid
         left join lateral regexp_matches(f.prosrc, 'then ''(\\w+)''', 'g') as rule on true
         where t.relname = any($1) and not tgisinternal",
    )
    .bind(vec![
        "payment",
        "payment_split",
        "operation",
        "operation_split",
        "capture_draw",
        "dispute",
        "dispute_split",
        "payout",
        "review_act",
        "attempt",
        "idempotency_key",
        "payment_event",
        "relay_lease",
        "webhook_event",
    ])
    .fetch_all(&pool)
    .await
    .unwrap();
    let declared: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
    let violations = violations();
    let tested: BTreeSet<&str> = violations.iter().map(|(name, _)| *name).collect();
    assert_eq!(declared, tested);
}
