//! The program `reconcile`, run as its users run it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail where they stand")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};

use money::{Currency, Money};
use reconciliation::evidence;
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, PgPool};
use support::{SettlementFile, Shop, write};
use tokio::process::Command;

fn program(shop: &Shop, files: &[&Path]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reconcile"));
    command
        .env_clear()
        .env("DATABASE_URL", shop.pool.connect_options().to_url_lossy().as_str())
        .args(["run", "--merchant", &shop.merchant.to_string()])
        .args(files)
        .stdin(Stdio::null());
    command
}

/// The exit code, and the report for machines.
async fn report(shop: &Shop, files: &[&Path], more: &[&str]) -> (i32, Value) {
    let output = program(shop, files).args(["--json", "-"]).args(more).output().await.unwrap();
    (code(&output), serde_json::from_slice(&output.stdout).expect("a report on standard output"))
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_clean_file_exits_zero_and_again_says_that_nothing_changed(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new()
        .capture(&shop.pays(1, 100).await)
        .fee("txn_f", 2)
        .payout("txn_p", 5_000)
        .write();
    let (exit, first) = report(&shop, &[&file], &[]).await;
    assert_eq!((exit, &first["verdict"]), (0, &json!("clean")));
    assert_eq!(
        first["currencies"],
        json!([{
            "currency": "EUR", "lines": 3, "matched": 1, "captures": 10_000, "refunds": 0, "chargebacks": 0,
            "adjustments": 0, "seller_payouts": 0, "fees": 500, "net": 9_500, "payouts": 5_000, "suspense": 0, "psp_balance": 4_500,
            "residual": 0
        }])
    );
    let (exit, mut again) = report(&shop, &[&file], &[]).await;
    assert_eq!((exit, &again["files"][0]["known_before"]), (0, &json!(true)));
    again["files"][0]["known_before"] = json!(false);
    assert_eq!(again, first, "the same file gives the same report");
    let told = program(&shop, &[&file]).output().await.unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("settlement.csv: 3 lines, settled, known before: nothing changed"), "{told}");
    assert!(told.contains("verdict: clean"), "{told}");
    shop.check_books().await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_folder_is_reconciled_whole_and_the_same_content_packed_or_piped_is_the_same_file(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let first = SettlementFile::new().capture(&shop.pays(1, 100).await).write();
    let second = SettlementFile::new().capture(&shop.pays(2, 50).await).write();
    let folder = tempfile::tempdir().unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(&std::fs::read(&*first).unwrap()).unwrap();
    std::fs::write(folder.path().join("1.csv.gz"), packed.finish().unwrap()).unwrap();
    std::fs::copy(&*second, folder.path().join("2.csv")).unwrap();
    let (exit, given) = report(&shop, &[folder.path()], &[]).await;
    assert_eq!((exit, &given["currencies"][0]["matched"]), (0, &json!(2)));
    let names: Vec<&str> =
        given["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["1.csv.gz", "2.csv"]);

    let mut piped = program(&shop, &[Path::new("-")]);
    piped.args(["--json", "-"]).stdin(std::fs::File::open(&*first).unwrap());
    let output = piped.output().await.unwrap();
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((code(&output), &again["files"][0]["known_before"]), (0, &json!(true)), "{again}");
    assert_eq!(shop.count("settlement_file").await, 2);

    let nothing = tempfile::tempdir().unwrap();
    let (exit, refused) = report(&shop, &[nothing.path(), &first], &[]).await;
    assert_eq!((exit, &refused["refused"][0]["refusal"]["found"]), (3, &json!("a folder without files")));
    shop.check_books().await;
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn breaks_exit_one_and_are_shown_with_examples(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let paid = shop.pays(1, 100).await;
    let missing = shop.pays(2, 50).await;
    let mut file = SettlementFile::new().capture_of(&paid, Money::new(9_000, Currency::EUR));
    for number in 0..7 {
        let id = format!("txn_x{number}");
        file = file.row(&id, "charge", Money::new(100, Currency::EUR), 0, "ch_x", "pi_x", "", "o-x");
    }
    let file = file.days_later(30).write();
    let (exit, report) = report(&shop, &[&file], &[]).await;
    assert_eq!((exit, &report["verdict"]), (1, &json!("breaks")));
    let groups: Vec<_> = report["breaks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            (
                group["kind"].as_str().unwrap(),
                group["count"].as_i64().unwrap(),
                group["examples"].as_array().unwrap().len(),
            )
        })
        .collect();
    assert_eq!(groups, [("amount", 1, 1), ("missing_at_psp", 1, 1), ("unknown_to_us", 7, 5)]);
    let example = &report["breaks"][1]["examples"][0];
    assert_eq!(example["operation_id"], json!(missing.operation_id));
    assert_eq!((&example["order_id"], &example["expected"]), (&json!("o-2"), &json!(5_000)));
    let told = String::from_utf8(program(&shop, &[&file]).output().await.unwrap().stdout).unwrap();
    assert!(told.contains("settlement.csv:2 txn_1 order o-1 expected 100.00 EUR, found 90.00 EUR"), "{told}");
    assert!(told.contains("and 2 more"), "{told}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_refused_file_exits_three_and_the_others_are_reconciled(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let good = SettlementFile::new().capture(&shop.pays(1, 100).await).write();
    let bad = write("bad.csv", good_content_with_a_bad_amount());
    let (exit, report) = report(&shop, &[&bad, &good], &[]).await;
    assert_eq!((exit, &report["verdict"]), (3, &json!("refused")));
    assert_eq!(
        report["refused"],
        json!([{
            "message": "bad.csv, line 2, column gross: found \"1.2.3\", expected an amount in EUR such as -12.05",
            "refusal": {
                "file": "bad.csv", "line": 2, "column": "gross", "found": "\"1.2.3\"",
                "expected": "an amount in EUR such as -12.05"
            }
        }])
    );
    assert_eq!(report["files"][0]["state"], json!("settled"));
    assert_eq!(shop.count("settlement_file").await, 1);
}

fn good_content_with_a_bad_amount() -> String {
    let euro = Money::new(100, Currency::EUR);
    let file = SettlementFile::new().row("txn_x", "charge", euro, 0, "ch_x", "pi_x", "", "");
    file.content().replacen("1.00", "1.2.3", 1)
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn evidence_that_nobody_applies_exits_two_and_says_so(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = shop.pays_as(1, Money::new(10_000, Currency::EUR), "unknown").await;
    let file = SettlementFile::new().capture(&unknown).write();
    let (exit, report) = report(&shop, &[&file], &["--wait", "0"]).await;
    assert_eq!((exit, &report["verdict"]), (2, &json!("incomplete")));
    assert_eq!(
        report["incomplete_because"],
        json!([
            "gave up after waiting 0 s; is the service running?",
            "1 line of settlement.csv not applied yet: the service does that"
        ])
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn evidence_that_the_service_applies_in_time_is_booked_in_the_same_run(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let unknown = shop.pays_as(1, Money::new(10_000, Currency::EUR), "unknown").await;
    let file = SettlementFile::new().capture(&unknown).write();
    let running = program(&shop, &[&file]).args(["--wait", "60"]).output();
    let service = async {
        while evidence::pending(&pool, shop.merchant, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        shop.succeeds_late(&unknown).await;
    };
    let (output, ()) = tokio::join!(running, service);
    assert_eq!(code(&output.unwrap()), 0);
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("seller_available/s-1 EUR"), Some(&-9_500));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_run_that_is_killed_is_finished_by_the_next(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let mut file = SettlementFile::new();
    for number in 1..=40 {
        file = file.capture(&shop.pays(number, 10).await);
    }
    let mut noise = 0;
    while noise < 12_000 {
        noise += 1;
        file = file.fee(&format!("txn_fee_{noise}"), 1);
    }
    let file = file.write();
    let mut killed = program(&shop, &[&file]).stdout(Stdio::null()).spawn().unwrap();
    while shop.count("settlement_chunk").await == 0 {
        tokio::task::yield_now().await;
    }
    killed.start_kill().unwrap();
    killed.wait().await.unwrap();
    shop.check_books().await;
    let (exit, report) = report(&shop, &[&file], &[]).await;
    assert_eq!((exit, &report["currencies"][0]["lines"]), (0, &json!(12_040)));
    shop.check_books().await;
    assert_eq!(shop.balances().await.get("psp_balance EUR"), Some(&(40 * 970 - 12_000 * 100)));
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn arguments_that_are_wrong_are_refused(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new().write();
    let nobodys = shop.account.to_string();
    let unknown =
        program(&shop, &[&file]).args(["--psp-account", &shop.merchant.to_string()]).output().await.unwrap();
    assert_eq!(code(&unknown), 3);
    let told = String::from_utf8(unknown.stdout).unwrap();
    assert!(told.contains(&format!("has no account at a PSP with id {}", shop.merchant)), "{told}");
    let misspelt = program(&shop, &[&file]).args(["--psp-acount", &nobodys]).output().await.unwrap();
    assert_eq!(code(&misspelt), 3);
    let absent = program(&shop, &[Path::new("/nowhere/file.csv")]).output().await.unwrap();
    assert_eq!(code(&absent), 3);
    assert!(String::from_utf8(absent.stdout).unwrap().contains("/nowhere/file.csv could not be read"));
    let help = Command::new(env!("CARGO_BIN_EXE_reconcile")).arg("--help").output().await.unwrap();
    assert_eq!(code(&help), 0);
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Exit codes:") && help.contains("3  refused"), "{help}");
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn what_the_books_refuse_is_told_at_once_and_not_waited_for(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let broken = shop.pays(1, 100).await;
    sqlx::query("update payment_split set amount = amount + 1 where payment_id = $1")
        .bind(broken.payment_id.as_uuid())
        .execute(&pool)
        .await
        .unwrap();
    let file = SettlementFile::new().capture(&broken).write();
    let (exit, report) = report(&shop, &[&file], &[]).await;
    assert_eq!((exit, &report["verdict"]), (2, &json!("incomplete")));
    let reasons: Vec<&str> =
        report["incomplete_because"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(reasons.contains(&"the books refused 1 chunk of lines; the log says why"), "{reasons:?}");
    assert!(!reasons.iter().any(|reason| reason.contains("gave up")), "{reasons:?}");
}

/// A map of a column for everything that has to be there.
const MAP: &str = r#"name = "acmepay"
[file]
delimiter = ";"
encoding = "windows-1252"
[line]
id = "Nr"
psp_reference = "Vorgang"
[kind]
column = "Art"
words = { "Erlös" = "capture", "Gebühr" = "fee" }
[amount]
unit = "major"
decimal = ","
thousands = "."
currency = { constant = "EUR" }
gross = "Betrag"
fee = { column = "Entgelt", empty = "zero" }
fee_sign = "positive_is_charged"
[time]
occurred_at = { column = "Datum", format = "%d.%m.%Y", zone = "Europe/Berlin" }
[trailer]
word = "Summe"
count = 2
"#;

/// What `MAP` reads, in windows-1252.
fn mapped_content(paid: &support::Paid) -> Vec<u8> {
    let text = format!(
        "Nr;Art;Betrag;Entgelt;Datum;Vorgang\n1;Erlös;1.000,00;25,00;03.01.2026;{}\n2;Gebühr;-5,00;;03.01.2026;\nSumme;2\n",
        paid.intent
    );
    // what this text has of it is in the same places of Unicode
    text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_file_of_any_psp_is_read_by_its_map_matched_and_booked(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let content = mapped_content(&shop.pays(1, 1_000).await);
    let (map, file) = (write("acmepay.toml", MAP), write("acme.csv", content));
    let by_map = ["--map", map.path.to_str().unwrap()];
    let (exit, first) = report(&shop, &[&file], &by_map).await;
    assert_eq!((exit, &first["verdict"]), (0, &json!("clean")), "{first}");
    assert_eq!(first["files"][0]["map"], json!("acmepay"));
    let sums = &first["currencies"][0];
    let sums = ["lines", "matched", "captures", "fees", "net"].map(|name| sums[name].as_i64().unwrap());
    assert_eq!(sums, [2, 1, 100_000, 3_000, 97_000]);
    shop.check_books().await;
    let told = program(&shop, &[&file]).args(by_map).output().await.unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("acme.csv by the map acmepay: 2 lines, settled, known before: nothing changed"),
        "{told}"
    );
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_file_is_not_read_again_by_another_map(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let content = mapped_content(&shop.pays(1, 1_000).await);
    let file = write("acme.csv", content);
    let given = |toml: String| write("map.toml", toml);
    let first = given(MAP.to_owned());
    assert_eq!(report(&shop, &[&file], &["--map", first.path.to_str().unwrap()]).await.0, 0);
    let renamed = given(MAP.replace("acmepay", "other"));
    let (exit, refused) = report(&shop, &[&file], &["--map", renamed.path.to_str().unwrap()]).await;
    assert_eq!(exit, 3);
    let expected = "acme.csv was read before as mapped_csv by the map acmepay, and is not read again as mapped_csv by the map other";
    assert_eq!(refused["refused"][0]["message"], json!(expected));
    // a map that has learnt a word is the same map, until a file is half read
    let grown = given(MAP.replace("{ \"Erlös\"", "{ Storno = \"adjustment\", \"Erlös\""));
    let grown = ["--map", grown.path.to_str().unwrap()];
    assert_eq!(report(&shop, &[&file], &grown).await.0, 0);
    sqlx::query("update settlement_file set state = 'reading', read_at = null, settled_at = null")
        .execute(&pool)
        .await
        .unwrap();
    let (exit, refused) = report(&shop, &[&file], &grown).await;
    assert_eq!(exit, 3);
    let message = refused["refused"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("the reading of acme.csv broke off, and the map acmepay says something else now"),
        "{message}"
    );
    assert_eq!(report(&shop, &[&file], &["--map", first.path.to_str().unwrap()]).await.0, 0);
}

#[sqlx::test(migrator = "ledger::MIGRATOR")]
async fn a_map_that_is_wrong_refuses_the_run_before_anything_is_read(pool: PgPool) {
    let shop = Shop::open(&pool).await;
    let file = SettlementFile::new().fee("txn_1", 1).write();
    let map = write("acmepay.toml", MAP.replace("\"major\"", "\"euros\""));
    let told = |path: String| {
        let shop = shop.clone();
        let file = &file;
        async move { report(&shop, &[file], &["--map", &path]).await }
    };
    let path = map.path.display().to_string();
    let (exit, wrong) = told(path.clone()).await;
    let message =
        format!("{path}, line 12, key amount.unit: found \"euros\", expected \"major\" or \"minor\"");
    assert_eq!((exit, &wrong["refused"][0]["message"]), (3, &json!(message)));
    let (exit, absent) = told("/nowhere/map.toml".to_owned()).await;
    assert_eq!(exit, 3);
    let message = absent["refused"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the map /nowhere/map.toml could not be read"), "{message}");
    assert_eq!(shop.count("settlement_file").await, 0);
}
