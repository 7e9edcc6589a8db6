//! What Postgres itself refuses of reconciliation's tables, by the name of the constraint.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail where they stand")]

mod support;

use money::FileId;
use sqlx::PgPool;
use support::{SettlementFile, Shop};

/// A shop with a settled file of one matched line, and one that waits.
async fn settled(pool: &PgPool) -> (Shop, FileId) {
    let shop = Shop::open(pool).await;
    let paid = shop.pays(1, 100).await;
    let unknown = shop.pays_as(2, money::Money::new(100, money::Currency::EUR), "unknown").await;
    let file = SettlementFile::new()
        .capture(&paid)
        .capture(&unknown)
        .row("txn_x", "charge", paid.amount, 0, "ch_x", "pi_x", "", "")
        .write();
    let taken = shop.takes_in(&file).await.unwrap();
    shop.settles().await;
    (shop, taken.file_id)
}

/// Runs `statement`, in which `$M` is the merchant, `$F` the file and `$A` the account, and expects `constraint` to refuse it.
async fn check(shop: &Shop, file: FileId, constraint: &str, statement: &str) {
    let statement = statement
        .replace("$M", &format!("'{}'", shop.merchant))
        .replace("$F", &format!("'{file}'"))
        .replace("$A", &format!("'{}'", shop.account));
    let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&shop.pool).await;
    let error = refused.expect_err(&statement);
    let found = error.as_database_error().and_then(|error| error.constraint().map(str::to_owned));
    assert_eq!(found.as_deref(), Some(constraint), "{statement}: {error}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn files_and_chunks_hold_together(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let insert = |id: &str, sha: &str, rest: &str| {
        format!(
            "insert into settlement_file (merchant_id, file_id, psp_account_id, sha256, name, format, lines, chunk_lines,
                 latest_at, state, created_at, read_at, settled_at) values ($M, {id}, {rest})"
        )
        .replace("SHA", sha)
    };
    let new = "gen_random_uuid()";
    let sha = "sha256('other')";
    let good = "'a', 'stripe_payout_reconciliation', 1, 10, now(), 'reading', now(), null, null";
    let mapped = |insert: String, map: &str| {
        insert
            .replace("stripe_payout_reconciliation", "mapped_csv")
            .replace("settled_at)", "settled_at, map_name, map_sha256)")
            .replace("null, null)", &format!("null, null, {map})"))
    };
    for (constraint, statement) in [
        ("settlement_file_pkey", insert("$F", sha, &format!("$A, SHA, {good}"))),
        (
            "settlement_file_content_once",
            insert(
                new,
                "(select sha256 from settlement_file where file_id = $F)",
                &format!("$A, SHA, {good}"),
            ),
        ),
        ("settlement_file_psp_account_fkey", insert(new, sha, &format!("gen_random_uuid(), SHA, {good}"))),
        ("settlement_file_sha256_length", insert(new, "'short'", &format!("$A, SHA, {good}"))),
        (
            "settlement_file_name_present",
            insert(new, sha, &format!("$A, SHA, {}", good.replace("'a'", "''"))),
        ),
        (
            "settlement_file_format_known",
            insert(new, sha, &format!("$A, SHA, {}", good.replace("stripe_payout_reconciliation", "mt940"))),
        ),
        (
            "settlement_file_identity_present",
            insert(new, sha, &format!("$A, SHA, {good}"))
                .replace("settled_at)", "settled_at, identity)")
                .replace("null, null)", "null, null, '')"),
        ),
        (
            "settlement_file_map_named",
            insert(
                new,
                sha,
                &format!("$A, SHA, {}", good.replace("stripe_payout_reconciliation", "mapped_csv")),
            ),
        ),
        (
            "settlement_file_map_name_short",
            mapped(insert(new, sha, &format!("$A, SHA, {good}")), "repeat('x', 101), sha256('map')"),
        ),
        (
            "settlement_file_map_sha256_whole",
            mapped(insert(new, sha, &format!("$A, SHA, {good}")), "'acme', 'short'"),
        ),
        (
            "settlement_file_map_sha256_whole",
            mapped(insert(new, sha, &format!("$A, SHA, {good}")), "'acme', null"),
        ),
        (
            "settlement_file_lines_counted",
            insert(new, sha, &format!("$A, SHA, {}", good.replace("1, 10", "1, 0"))),
        ),
        (
            "settlement_file_latest_of_lines",
            insert(new, sha, &format!("$A, SHA, {}", good.replace("1, 10", "0, 10"))),
        ),
        (
            "settlement_file_state_known",
            insert(
                new,
                sha,
                &format!("$A, SHA, {}", good.replace("null, null", "now(), null").replace("reading", "lost")),
            ),
        ),
        (
            "settlement_file_state_dated",
            insert(new, sha, &format!("$A, SHA, {}", good.replace("null, null", "now(), null"))),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
    let chunk = |values: &str| {
        format!(
            "insert into settlement_chunk (merchant_id, file_id, chunk_no, first_line, last_line, lines, duplicates, settled_at)
             values ($M, {values}, now())"
        )
    };
    for (constraint, statement) in [
        ("settlement_chunk_pkey", chunk("$F, 1, 2, 3, 1, 0")),
        ("settlement_chunk_file_fkey", chunk("gen_random_uuid(), 1, 2, 3, 1, 0")),
        ("settlement_chunk_lines_counted", chunk("$F, 2, 2, 3, 0, 0")),
        ("settlement_chunk_lines_counted", chunk("$F, 2, 2, 3, 2, 1")),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn lines_are_what_the_psp_said_and_stay_so(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    // a file that is being read, with a chunk of lines 2 to 9
    sqlx::raw_sql(sqlx::AssertSqlSafe(
        "insert into settlement_file (merchant_id, file_id, psp_account_id, sha256, name, format, lines, chunk_lines, latest_at,
             state, created_at)
         values ($M, '00000000-0000-0000-0000-000000000001', $A, sha256('other'), 'b', 'stripe_payout_reconciliation', 8, 8,
             now(), 'reading', now());
         insert into settlement_chunk (merchant_id, file_id, chunk_no, first_line, last_line, lines, duplicates, settled_at)
         values ($M, '00000000-0000-0000-0000-000000000001', 1, 2, 9, 8, 0, now())"
            .replace("$M", &format!("'{}'", shop.merchant))
            .replace("$A", &format!("'{}'", shop.account)),
    ))
    .execute(&pool)
    .await
    .unwrap();
    let line = |file: &str, line: &str, psp_line: &str, kind: &str, amounts: &str| {
        format!(
            "insert into settlement_line (merchant_id, file_id, psp_account_id, category, occurred_at, value_date, line_no,
                 chunk_no, psp_line_id, kind, gross, fee, net, currency)
             values ($M, {file}, $A, 'charge', now(), now(), {line}, '{psp_line}', '{kind}', {amounts})"
        )
    };
    let open = "'00000000-0000-0000-0000-000000000001'";
    let good = "100, 3, 97, 'EUR'";
    for (constraint, statement) in [
        ("settlement_line_pkey", line(open, "2, 1", "txn_1", "capture", good)),
        ("settlement_line_kind_known", line(open, "2, 1", "new", "gift", good)),
        ("settlement_line_net_is_gross_less_fee", line(open, "2, 1", "new", "capture", "100, 3, 98, 'EUR'")),
        ("settlement_line_currency_iso", line(open, "2, 1", "new", "capture", "100, 3, 97, 'eur'")),
        (
            "settlement_line_presented_whole",
            line(open, "2, 1", "new", "capture", good)
                .replace("currency)\n", "currency, presented_amount)\n")
                .replace("'EUR')", "'EUR', 1)"),
        ),
        (
            "settlement_line_presented_iso",
            line(open, "2, 1", "new", "capture", good)
                .replace("currency)\n", "currency, presented_amount, presented_currency)\n")
                .replace("'EUR')", "'EUR', 1, 'usd')"),
        ),
        ("settlement_line_numbered", line(open, "0, 1", "new", "capture", good)),
        ("settlement_line_psp_line_id_present", line(open, "2, 1", "", "capture", good)),
        // a file that was read takes no more; nor does a chunk beyond its lines, or one that is not there
        ("settlement_line_in_chunk", line("$F", "5, 1", "new", "capture", good)),
        ("settlement_line_in_chunk", line(open, "10, 1", "new", "capture", good)),
        ("settlement_line_in_chunk", line(open, "3, 2", "new", "capture", good)),
        ("settlement_line_append_only", "update settlement_line set gross = 1 where merchant_id = $M".to_owned()),
        ("settlement_line_append_only", "truncate settlement_line cascade".to_owned()),
        ("settlement_line_kept", "delete from settlement_line where merchant_id = $M and psp_line_id = 'txn_1'".to_owned()),
        ("recon_break_kept", "delete from recon_break where merchant_id = $M".to_owned()),
        (
            "settlement_chunk_kept",
            "delete from settlement_evidence; delete from settlement_booking; delete from settlement_chunk where file_id = $F"
                .to_owned(),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
    let empty = "insert into settlement_file (merchant_id, file_id, psp_account_id, sha256, name, format, lines, chunk_lines,
             state, created_at, read_at)
         values ($M, gen_random_uuid(), $A, sha256('empty'), 'c', 'stripe_payout_reconciliation', 0, 8, 'read', now(), now());
         delete from settlement_file where name = 'c'";
    check(&shop, file, "settlement_file_kept", empty).await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn bookings_and_evidence_hold_together(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let booking = |id: &str, values: &str| {
        format!(
            "insert into settlement_booking (merchant_id, booking_id, file_id, psp_account_id, chunk_no, payout_id, late, captures,
                 refunds, chargebacks, adjustments, fee_lines, payouts, fees, suspense, booked_at, currency, transaction_id,
                 lines, matched)
             values ($M, {id}, $F, $A, {values})"
        )
    };
    let sums = "0, 0, 0, 0, 0, 0, 0, 0, now()";
    let new = "gen_random_uuid()";
    let existing = "(select booking_id from settlement_booking where merchant_id = $M)";
    for (constraint, statement) in [
        (
            "settlement_booking_pkey",
            booking(existing, &format!("1, 'po_9', false, {sums}, 'EUR', null, 1, 0")),
        ),
        ("settlement_booking_once", booking(new, &format!("1, null, false, {sums}, 'EUR', null, 1, 0"))),
        (
            "settlement_booking_chunk_fkey",
            booking(new, &format!("9, 'po_1', false, {sums}, 'EUR', null, 1, 0")),
        ),
        (
            "settlement_booking_transaction_fkey",
            booking(new, &format!("1, 'po_1', true, {sums}, 'EUR', gen_random_uuid(), 1, 0")),
        ),
        (
            "settlement_booking_currency_iso",
            booking(new, &format!("1, 'po_1', true, {sums}, 'eur', null, 1, 0")),
        ),
        (
            "settlement_booking_lines_counted",
            booking(new, &format!("1, 'po_1', true, {sums}, 'EUR', null, 0, 0")),
        ),
        (
            "settlement_booking_lines_counted",
            booking(new, &format!("1, 'po_1', true, {sums}, 'EUR', null, 1, 2")),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
    let evidence = |line: u8, rest: &str| {
        let id = line - 1;
        format!(
            "insert into settlement_evidence (merchant_id, file_id, line_no, chunk_no, operation_id, psp_account_id, psp_line_id,
                 waiting_since, refused, booking_id, settled_at)
             values ($M, $F, {line}, 1, gen_random_uuid(), $A, 'txn_{id}', now(), {rest})"
        )
    };
    for (constraint, statement) in [
        ("settlement_evidence_pkey", evidence(3, "null, null, null")),
        ("settlement_evidence_line_fkey", evidence(9, "null, null, null")),
        ("settlement_evidence_booking_fkey", evidence(2, "null, gen_random_uuid(), now()")),
        ("settlement_evidence_settled_is_booked", evidence(2, "null, null, now()")),
        ("settlement_evidence_refused_short", evidence(2, "'', null, null")),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn payouts_are_told_or_implied(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let payout = |name: &str, currency: &str, told: &str| {
        format!(
            "insert into settlement_payout (merchant_id, psp_account_id, payout_id, currency, told, implied, has_line, arrives_on,
                 created_at, reference)
             values ($M, {name}, {currency}, {told})"
        )
    };
    let good = "5, 0, true, now(), now(), null";
    sqlx::raw_sql(sqlx::AssertSqlSafe(
        payout("$A, 'po_1'", "'EUR'", good)
            .replace("$M", &format!("'{}'", shop.merchant))
            .replace("$A", &format!("'{}'", shop.account)),
    ))
    .execute(&pool)
    .await
    .unwrap();
    let implied = |values: &str| {
        format!(
            "insert into settlement_booking (merchant_id, booking_id, file_id, psp_account_id, chunk_no, captures, refunds,
                 chargebacks, adjustments, fee_lines, fees, suspense, booked_at, currency, transaction_id, matched, implied,
                 payout_id, late, payouts, lines)
             values ($M, gen_random_uuid(), $F, $A, 1, 0, 0, 0, 0, 0, 0, 0, now(), 'EUR', null, 0, true, {values})"
        )
    };
    for (constraint, statement) in [
        ("settlement_payout_pkey", payout("$A, 'po_1'", "'EUR'", good)),
        ("settlement_payout_psp_account_fkey", payout("gen_random_uuid(), 'po_1'", "'EUR'", good)),
        ("settlement_payout_named", payout("$A, ''", "'EUR'", good)),
        ("settlement_payout_named", payout("$A, 'po_2'", "'EUR'", "5, 0, true, now(), now(), ''")),
        ("settlement_payout_currency_iso", payout("$A, 'po_2'", "'eur'", good)),
        (
            "settlement_payout_told_or_implied",
            payout("$A, 'po_2'", "'EUR'", "5, 5, true, now(), now(), null"),
        ),
        ("settlement_booking_implied_is_payout", implied("null, false, -5, 0")),
        ("settlement_booking_implied_is_payout", implied("'po_1', false, 0, 0")),
        ("settlement_booking_implied_is_payout", implied("'po_1', true, -5, 0")),
        ("settlement_booking_lines_counted", implied("'po_1', false, -5, 1")),
        ("settlement_booking_implied_once", format!("{0};{0}", implied("'po_1', false, -5, 0"))),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_line_and_an_operation_have_one_match_at_a_time(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let matched = |values: &str| {
        format!(
            "insert into recon_match (merchant_id, file_id, rule, allocated, booking_id, matched_at, line_no, match_no,
                 at_once, about_id, operation_id)
             values ($M, $F, {values})"
        )
    };
    let other = "gen_random_uuid(), gen_random_uuid()";
    let same = "(select about_id from recon_match where merchant_id = $M),
                (select operation_id from recon_match where merchant_id = $M)";
    let good = "'psp_reference', 100, gen_random_uuid(), now()";
    let twice = format!(
        "{};\n{}",
        matched(&format!("{good}, 3, 0, false, {other}")),
        matched(&format!("{good}, 3, 0, false, {other}"))
    );
    for (constraint, statement) in [
        ("recon_match_pkey", matched(&format!("{good}, 3, 0, false, {same}"))),
        ("recon_match_held_is_0", matched(&format!("{good}, 3, 1, false, {other}"))),
        ("recon_match_line_once", twice),
        // the line was matched when it was stored, and neither waited nor is a break
        ("recon_match_of_waiting", matched(&format!("{good}, 2, 0, false, {other}"))),
        ("recon_match_line_fkey", matched(&format!("{good}, 9, 0, true, {other}"))),
        (
            "recon_match_parts_numbered",
            "update recon_match set line_part = -1 where merchant_id = $M".to_owned(),
        ),
        (
            "recon_match_rule_known",
            matched(&format!("'hunch', 100, gen_random_uuid(), now(), 3, 0, false, {other}")),
        ),
        (
            "recon_match_numbered",
            "update recon_match set match_no = -1, revoked_at = now() where merchant_id = $M".to_owned(),
        ),
        (
            "recon_match_allocated_not_negative",
            matched(&format!("'psp_reference', -1, gen_random_uuid(), now(), 3, 0, false, {other}")),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn breaks_say_what_they_must(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let insert = |id: &str, values: &str| {
        format!(
            "insert into recon_break (merchant_id, break_id, subject, detail, opened_at, psp_account_id, kind, currency, found,
                 found_currency, file_id, line_no, state, closed_at, closed_because, closed_how, arose_on)
             values ($M, {id}, 's', 'd', now(), {values}, now())"
        )
    };
    let new = "gen_random_uuid()";
    let existing = "(select break_id from recon_break where merchant_id = $M)";
    let open = "'open', null, null, null";
    for (constraint, statement) in [
        (
            "recon_break_pkey",
            insert(existing, &format!("$A, 'amount', 'EUR', null, null, null, null, {open}")),
        ),
        (
            "recon_break_psp_account_fkey",
            insert(new, &format!("gen_random_uuid(), 'amount', 'EUR', null, null, null, null, {open}")),
        ),
        (
            "recon_break_file_fkey",
            insert(new, &format!("$A, 'amount', 'EUR', null, null, gen_random_uuid(), null, {open}")),
        ),
        ("recon_break_kind_known", insert(new, &format!("$A, 'odd', 'EUR', null, null, null, null, {open}"))),
        (
            "recon_break_currency_iso",
            insert(new, &format!("$A, 'amount', 'eur', null, null, null, null, {open}")),
        ),
        (
            "recon_break_found_has_currency",
            insert(new, &format!("$A, 'amount', 'EUR', 1, null, null, null, {open}")),
        ),
        (
            "recon_break_line_of_file",
            insert(new, &format!("$A, 'amount', 'EUR', null, null, null, 2, {open}")),
        ),
        (
            "recon_break_state_known",
            insert(new, "$A, 'amount', 'EUR', null, null, null, null, 'lost', null, null, null"),
        ),
        (
            "recon_break_closed_says_why",
            insert(new, "$A, 'amount', 'EUR', null, null, null, null, 'closed', now(), null, 'itself'"),
        ),
        (
            "recon_break_closed_how_known",
            insert(new, "$A, 'amount', 'EUR', null, null, null, null, 'closed', now(), 'so', 'somehow'"),
        ),
        (
            "recon_break_closed_how_known",
            insert(new, "$A, 'amount', 'EUR', null, null, null, null, 'open', null, null, 'itself'"),
        ),
        (
            "recon_break_somewhere",
            insert(new, &format!("null, 'amount', 'EUR', null, null, null, null, {open}")),
        ),
        ("recon_break_assignee_length", "update recon_break set assignee = ''".to_owned()),
        (
            "recon_break_bank_account_fkey",
            "update recon_break set psp_account_id = null, bank_account_id = gen_random_uuid()".to_owned(),
        ),
        (
            "recon_break_bank_entry_fkey",
            "update recon_break set bank_entry_id = gen_random_uuid()".to_owned(),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_is_done_about_breaks_is_kept_as_it_was(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let of_break = "(select break_id from recon_break where merchant_id = $M)";
    let act = |id: &str, values: &str| {
        format!(
            "insert into recon_break_act (merchant_id, break_id, act_no, kind, proposal, assignee, snoozed_until, account, note,
                 actor)
             values ($M, {id}, {values})"
        )
    };
    let good = "1, 'commented', null, null, null, null, 'n', 'cli:ann'";
    let done = act(of_break, good).replace("$M", &format!("'{}'", shop.merchant));
    sqlx::raw_sql(sqlx::AssertSqlSafe(done)).execute(&pool).await.unwrap();
    for (constraint, statement) in [
        ("recon_break_act_pkey", act(of_break, good)),
        ("recon_break_act_break_fkey", act("gen_random_uuid()", good)),
        ("recon_break_act_numbered", act(of_break, "0, 'commented', null, null, null, null, 'n', 'cli:ann'")),
        ("recon_break_act_kind_known", act(of_break, "2, 'odd', null, null, null, null, 'n', 'cli:ann'")),
        (
            "recon_break_act_proposal_known",
            act(of_break, "2, 'proposed', 'odd', null, null, null, 'n', 'cli:ann'"),
        ),
        (
            "recon_break_act_proposal_known",
            act(of_break, "2, 'proposed', null, null, null, null, 'n', 'cli:ann'"),
        ),
        (
            "recon_break_act_assignee_length",
            act(of_break, "2, 'commented', null, 'b', null, null, 'n', 'cli:ann'"),
        ),
        (
            "recon_break_act_assignee_length",
            act(of_break, "2, 'assigned', null, '', null, null, null, 'cli:ann'"),
        ),
        (
            "recon_break_act_snoozed_says_when",
            act(of_break, "2, 'snoozed', null, null, null, null, null, 'cli:ann'"),
        ),
        (
            "recon_break_act_adjusted_says_where",
            act(of_break, "2, 'adjusted', null, null, null, null, 'n', 'cli:ann'"),
        ),
        (
            "recon_break_act_note_length",
            act(of_break, "2, 'commented', null, null, null, null, null, 'cli:ann'"),
        ),
        (
            "recon_break_act_note_length",
            act(of_break, "2, 'commented', null, null, null, null, '', 'cli:ann'"),
        ),
        ("recon_break_act_actor_named", act(of_break, "2, 'commented', null, null, null, null, 'n', 'ann'")),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
    for table in ["recon_break_act", "bank_file", "bank_statement", "bank_booking"] {
        for change in
            [format!("update {table} set merchant_id = merchant_id"), format!("delete from {table}")]
        {
            assert_append_only(&pool, &change).await;
        }
    }
    for table in ["recon_adjustment", "bank_entry", "bank_match"] {
        assert_append_only(&pool, &format!("delete from {table}")).await;
    }
}

async fn assert_append_only(pool: &PgPool, change: &str) {
    let refused =
        sqlx::raw_sql(sqlx::AssertSqlSafe(change.to_owned())).execute(pool).await.expect_err(change);
    assert!(refused.to_string().contains("append-only"), "{change}: {refused}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_breaks_money_is_moved_once(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let of_break = "(select break_id from recon_break where merchant_id = $M)";
    let posted = "(select transaction_id from ledger_transaction where merchant_id = $M limit 1)";
    let adjust = |values: &str| {
        format!(
            "insert into recon_adjustment (merchant_id, adjustment_id, break_id, currency, ordinal, from_account, to_account,
                 amount, transaction_id, reversed_by)
             values ($M, {values})"
        )
    };
    let new = "gen_random_uuid()";
    let some = "00000000-0000-0000-0000-000000000001";
    let first = adjust(&format!("'{some}', {of_break}, 'EUR', 1, 'suspense', 'psp_fees', 5, {posted}, null"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(first.replace("$M", &format!("'{}'", shop.merchant))))
        .execute(&pool)
        .await
        .unwrap();
    let reversed = format!("'suspense', 'psp_fees', 5, {posted}, {posted}");
    for (constraint, statement) in [
        (
            "recon_adjustment_once",
            adjust(&format!("{new}, {of_break}, 'EUR', 2, 'suspense', 'psp_fees', 5, {posted}, null")),
        ),
        ("recon_adjustment_pkey", adjust(&format!("'{some}', {of_break}, 'EUR', 2, {reversed}"))),
        ("recon_adjustment_numbered", adjust(&format!("{new}, {of_break}, 'EUR', 1, {reversed}"))),
        ("recon_adjustment_break_fkey", adjust(&format!("{new}, {new}, 'EUR', 2, {reversed}"))),
        (
            "recon_adjustment_transaction_fkey",
            adjust(&format!("{new}, {of_break}, 'EUR', 2, 'suspense', 'psp_fees', 5, {new}, {posted}")),
        ),
        (
            "recon_adjustment_reversed_fkey",
            adjust(&format!("{new}, {of_break}, 'EUR', 2, 'suspense', 'psp_fees', 5, {posted}, {new}")),
        ),
        (
            "recon_adjustment_somewhere_else",
            adjust(&format!("{new}, {of_break}, 'EUR', 2, 'suspense', 'suspense', 5, {posted}, {posted}")),
        ),
        (
            "recon_adjustment_moves_something",
            adjust(&format!("{new}, {of_break}, 'EUR', 2, 'suspense', 'psp_fees', 0, {posted}, {posted}")),
        ),
        ("recon_adjustment_ordinal", adjust(&format!("{new}, {of_break}, 'EUR', 0, {reversed}"))),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}

/// A bank account, a file with a statement of one entry that is a part of a payout, and their ids in the order of these words.
const BANK: &str = "
    insert into bank_account values ($M, '00000000-0000-0000-0000-00000000000a', 'DE1', 'EUR', 'Bank', 3, '{}', now());
    insert into bank_file values ($M, '00000000-0000-0000-0000-00000000000b', sha256('f'), 'f', 'camt053', 1, 1, now());
    insert into bank_statement values ($M, '00000000-0000-0000-0000-00000000000c', '00000000-0000-0000-0000-00000000000a',
        '00000000-0000-0000-0000-00000000000b', '1', '2026-01-01', '2026-01-02', 10, 15, 1, 5, sha256('s'), now());
    insert into bank_entry (merchant_id, entry_id, statement_id, entry_no, line_no, bank_account_id, amount, booked_on, value_on,
        is_reversal, code, other_references, details, of_psp, open)
    values ($M, '00000000-0000-0000-0000-00000000000d', '00000000-0000-0000-0000-00000000000c', 1, 1,
        '00000000-0000-0000-0000-00000000000a', 5, '2026-01-02', '2026-01-02', false, 'c', '{}', '', true, 5);
    insert into settlement_payout (merchant_id, psp_account_id, payout_id, currency, told, implied, has_line, arrives_on, created_at)
    values ($M, $A, 'po_1', 'EUR', 5, 0, true, '2026-01-02', now());
    insert into bank_booking select $M, '00000000-0000-0000-0000-00000000000e', '00000000-0000-0000-0000-00000000000c', '2026-01-02',
        1, 5, transaction_id from ledger_transaction where merchant_id = $M limit 1;";

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_banks_say_holds_together(pool: PgPool) {
    let (shop, file) = settled(&pool).await;
    let named =
        BANK.replace("$M", &format!("'{}'", shop.merchant)).replace("$A", &format!("'{}'", shop.account));
    sqlx::raw_sql(sqlx::AssertSqlSafe(named)).execute(&pool).await.unwrap();
    let id = |letter: char| format!("'00000000-0000-0000-0000-00000000000{letter}'");
    let (account, document, statement, entry) = (id('a'), id('b'), id('c'), id('d'));
    let new = "gen_random_uuid()";
    let of_account = |values: &str| format!("insert into bank_account values ($M, {values}, now())");
    let of_file = |values: &str| format!("insert into bank_file values ($M, {values}, now())");
    let of_statement = |values: &str| format!("insert into bank_statement values ($M, {values}, now())");
    let booking = |values: &str| format!("insert into bank_booking values ($M, {values})");
    let of_entry = |values: &str| {
        format!(
            "insert into bank_entry (merchant_id, value_on, is_reversal, code, other_references, details, booked_on, entry_id,
                 statement_id, entry_no, line_no, bank_account_id, amount, of_psp, open, resolved)
             values ($M, now(), false, 'c', '{{}}', '', now(), {values})"
        )
    };
    let posted = "(select transaction_id from ledger_transaction where merchant_id = $M limit 1)";
    let matched = |values: &str| {
        format!(
            "insert into bank_match (merchant_id, matched_at, currency, psp_account_id, match_id, entry_id, payout_id, match_no,
                 rule, allocated, transaction_id, revoked_at, revoked_by)
             values ($M, now(), 'EUR', $A, {values})"
        )
    };
    let held = format!("{posted}, null, null");
    for (constraint, statement) in [
        ("bank_account_pkey", of_account(&format!("{account}, 'DE2', 'EUR', 'n', 3, '{{}}'"))),
        ("bank_account_number_once", of_account(&format!("{new}, 'DE1', 'EUR', 'n', 3, '{{}}'"))),
        ("bank_account_number_bare", of_account(&format!("{new}, 'de 2', 'EUR', 'n', 3, '{{}}'"))),
        ("bank_account_currency_iso", of_account(&format!("{new}, 'DE2', 'eur', 'n', 3, '{{}}'"))),
        ("bank_account_name_present", of_account(&format!("{new}, 'DE2', 'EUR', '', 3, '{{}}'"))),
        ("bank_account_delay_sane", of_account(&format!("{new}, 'DE2', 'EUR', 'n', 61, '{{}}'"))),
        ("bank_account_payers_present", of_account(&format!("{new}, 'DE2', 'EUR', 'n', 3, '{{\"\"}}'"))),
        (
            "bank_account_merchant_fkey",
            "insert into bank_account values (gen_random_uuid(), gen_random_uuid(), 'DE2', 'EUR', 'n', 3, '{}', now())".to_owned(),
        ),
        (
            "bank_file_merchant_fkey",
            "insert into bank_file values (gen_random_uuid(), gen_random_uuid(), sha256('g'), 'f', 'bai2', 1, 1, now())".to_owned(),
        ),
        ("bank_file_pkey", of_file(&format!("{document}, sha256('g'), 'f', 'camt053', 1, 1"))),
        ("bank_file_content_once", of_file(&format!("{new}, sha256('f'), 'f', 'camt053', 1, 1"))),
        ("bank_file_sha256_length", of_file(&format!("{new}, 'g', 'f', 'camt053', 1, 1"))),
        ("bank_file_name_present", of_file(&format!("{new}, sha256('g'), '', 'camt053', 1, 1"))),
        ("bank_file_format_known", of_file(&format!("{new}, sha256('g'), 'f', 'pdf', 1, 1"))),
        ("bank_file_counted", of_file(&format!("{new}, sha256('g'), 'f', 'camt053', -1, 1"))),
        (
            "bank_statement_pkey",
            of_statement(&format!("{statement}, {account}, {document}, '2', now(), now(), 1, 6, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_once",
            of_statement(&format!("{new}, {account}, {document}, '1', '2026-01-01', '2026-01-02', 1, 6, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_account_fkey",
            of_statement(&format!("{new}, {new}, {document}, '2', now(), now(), 1, 6, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_file_fkey",
            of_statement(&format!("{new}, {account}, {new}, '2', now(), now(), 1, 6, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_days",
            of_statement(&format!("{new}, {account}, {document}, '2', '2026-02-02', '2026-02-01', 1, 6, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_sha256_length",
            of_statement(&format!("{new}, {account}, {document}, '2', now(), now(), 1, 6, 1, 5, 't'")),
        ),
        (
            "bank_statement_adds_up",
            of_statement(&format!("{new}, {account}, {document}, '2', now(), now(), 1, 7, 1, 5, sha256('t')")),
        ),
        (
            "bank_statement_counted",
            of_statement(&format!("{new}, {account}, {document}, '2', now(), now(), 1, 6, 0, 5, sha256('t')")),
        ),
        ("bank_booking_pkey", booking(&format!("{}, {statement}, '2026-01-03', 1, 0, null", id('e')))),
        ("bank_booking_once", booking(&format!("{new}, {statement}, '2026-01-02', 1, 0, null"))),
        ("bank_booking_statement_fkey", booking(&format!("{new}, {new}, '2026-01-02', 1, 0, null"))),
        ("bank_booking_transaction_fkey", booking(&format!("{new}, {statement}, '2026-01-03', 1, 5, {new}"))),
        ("bank_booking_counted", booking(&format!("{new}, {statement}, '2026-01-03', 0, 0, null"))),
        ("bank_booking_posted", booking(&format!("{new}, {statement}, '2026-01-03', 1, 5, null"))),
        ("bank_entry_pkey", of_entry(&format!("{entry}, {statement}, 2, 1, {account}, 5, true, 5, 0"))),
        ("bank_entry_once", of_entry(&format!("{new}, {statement}, 1, 1, {account}, 5, true, 5, 0"))),
        ("bank_entry_statement_fkey", of_entry(&format!("{new}, {new}, 2, 1, {account}, 5, true, 5, 0"))),
        ("bank_entry_account_fkey", of_entry(&format!("{new}, {statement}, 2, 1, {new}, 5, true, 5, 0"))),
        ("bank_entry_numbered", of_entry(&format!("{new}, {statement}, 0, 1, {account}, 5, true, 5, 0"))),
        ("bank_entry_open_within", of_entry(&format!("{new}, {statement}, 2, 1, {account}, 5, true, 6, 0"))),
        ("bank_entry_open_within", of_entry(&format!("{new}, {statement}, 2, 1, {account}, 5, true, -1, 0"))),
        ("bank_entry_resolved_within", of_entry(&format!("{new}, {statement}, 2, 1, {account}, 5, true, 5, 6"))),
        ("bank_entry_open_of_psp", of_entry(&format!("{new}, {statement}, 2, 1, {account}, 5, false, 5, 0"))),
        ("bank_entry_kept", "update bank_entry set amount = 6".to_owned()),
        ("bank_match_entry_fkey", matched(&format!("{new}, {new}, 'po_1', 0, 'amount', 5, {held}"))),
        ("bank_match_payout_fkey", matched(&format!("{new}, {entry}, 'po_9', 0, 'amount', 5, {held}"))),
        ("bank_match_transaction_fkey", matched(&format!("{new}, {entry}, 'po_1', 0, 'amount', 5, {new}, null, null"))),
        ("bank_match_revoked_fkey", matched(&format!("{new}, {entry}, 'po_1', 1, 'amount', 5, {posted}, now(), {new}"))),
        ("bank_match_held_is_0", matched(&format!("{new}, {entry}, 'po_1', 1, 'amount', 5, {held}"))),
        ("bank_match_rule_known", matched(&format!("{new}, {entry}, 'po_1', 0, 'odd', 5, {held}"))),
        ("bank_match_allocated_something", matched(&format!("{new}, {entry}, 'po_1', 0, 'amount', 0, {held}"))),
        ("bank_match_numbered", matched(&format!("{new}, {entry}, 'po_1', -1, 'amount', 5, {posted}, now(), {posted}"))),
        ("bank_match_of_entry", matched(&format!("{new}, {entry}, 'po_1', 0, 'amount', 5, {held}"))),
        (
            "bank_match_of_payout",
            format!("update bank_entry set open = 0; {}", matched(&format!("{new}, {entry}, 'po_1', 0, 'amount', 5, {held}"))),
        ),
        (
            "bank_match_once",
            format!("{0}; {0}", matched(&format!("{new}, {entry}, 'po_1', 0, 'amount', 5, {held}"))),
        ),
        (
            "bank_match_pkey",
            format!(
                "{}; {}",
                matched(&format!("{}, {entry}, 'po_1', 0, 'amount', 5, {held}", id('f'))),
                matched(&format!("{}, {entry}, 'po_1', 1, 'amount', 5, {posted}, now(), {posted}", id('f')))
            ),
        ),
    ] {
        check(&shop, file, constraint, &statement).await;
    }
}
