use money::{Currency, Money, OperationId};
use time::macros::{date, datetime};

use crate::statement::{Error, FeeParts, Line, LineKind, Statement};

const HEADER: &str = "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,\
                      Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,\
                      Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),\
                      Payment Method Variant,Modification Merchant Reference,Batch Number,Booking Date";
const OURS: &str = "5ea98b1d-4fd1-846a-9e24-c99a5744a0ae";

/// A record: reference, merchant reference, type, modification, gross currency, debit and credit, net debit and credit, and
/// commission, markup, scheme fees and interchange.
fn row(fields: [&str; 13]) -> String {
    let [
        psp,
        ours,
        kind,
        change,
        currency,
        debit,
        credit,
        net_debit,
        net_credit,
        commission,
        markup,
        scheme,
        interchange,
    ] = fields;
    format!(
        "Shop,ShopDE,{psp},{ours},visa,2026-01-02 10:20:30,CET,{kind},{change},{currency},{debit},{credit},1,EUR,{net_debit},\
         {net_credit},{commission},{markup},{scheme},{interchange},visacredit,,17,2026-01-04"
    )
}

fn settled() -> String {
    row(["8835", OURS, "Settled", "8836", "EUR", "", "100.00", "", "97.00", "", "1.00", "0.50", "1.50"])
}

fn read(rows: &[String]) -> Result<Vec<Line>, Error> {
    let content = format!("{HEADER}\n{}\n", rows.join("\n"));
    let mut statement = Statement::open("f.csv", content.as_bytes())?;
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line()? {
        lines.push(line);
    }
    assert_eq!(statement.identity().as_deref(), (!lines.is_empty()).then_some("ShopDE/17"));
    Ok(lines)
}

fn one(row: String) -> Line {
    read(&[row]).unwrap().remove(0)
}

#[test]
fn a_settled_payment_is_read_exactly() {
    let expected = Line {
        line_no: 2,
        psp_line_id: "17/Settled/8835/8836".to_owned(),
        kind: LineKind::Capture,
        category: "Settled".to_owned(),
        gross: 10_000,
        fee: 300,
        net: 9_700,
        currency: Currency::EUR,
        presented: None,
        fee_parts: FeeParts { interchange: Some(150), scheme: Some(50), markup: Some(100) },
        method: Some("visacredit".to_owned()),
        occurred_at: datetime!(2026-01-02 09:20:30 UTC),
        value_date: date!(2026 - 01 - 04),
        payout_id: Some("17".to_owned()),
        payout_on: None,
        operation_id: OURS.parse::<OperationId>().ok(),
        order_id: Some(OURS.to_owned()),
        psp_reference: Some("8835".to_owned()),
        psp_movement: Some("8836".to_owned()),
        psp_source: Some("8836".to_owned()),
    };
    assert_eq!(one(settled()), expected);
}

#[test]
fn amounts_are_signed_as_they_change_our_balance() {
    for (fields, kind, amounts) in [
        (
            ["1", "o", "Refunded", "2", "EUR", "40.00", "", "40.10", "", "0.10", "", "", ""],
            LineKind::Refund,
            [-4_000, 10, -4_010],
        ),
        (
            ["1", "o", "RefundedReversed", "2", "EUR", "", "40.00", "", "40.00", "", "", "", ""],
            LineKind::RefundFailure,
            [4_000, 0, 4_000],
        ),
        // what the bank took, and the fee for it, in one line
        (
            ["1", "o", "Chargeback", "2", "EUR", "40.00", "", "47.50", "", "", "7.50", "", ""],
            LineKind::Chargeback,
            [-4_000, 750, -4_750],
        ),
        (
            ["1", "o", "ChargebackReversed", "2", "EUR", "", "40.00", "", "40.00", "", "", "", ""],
            LineKind::ChargebackReversal,
            [4_000, 0, 4_000],
        ),
        (["", "", "Fee", "", "", "", "", "12.00", "", "", "", "", ""], LineKind::Fee, [-1_200, 0, -1_200]),
        (
            ["", "", "InvoiceDeduction", "", "", "", "", "5.00", "", "", "", "", ""],
            LineKind::Fee,
            [-500, 0, -500],
        ),
        (
            ["", "", "MerchantPayout", "", "EUR", "", "", "900.00", "", "", "", "", ""],
            LineKind::Payout,
            [-90_000, 0, -90_000],
        ),
        (
            ["", "", "DepositCorrection", "", "", "", "", "", "3.00", "", "", "", ""],
            LineKind::Adjustment,
            [300, 0, 300],
        ),
    ] {
        let line = one(row(fields));
        assert_eq!((line.kind, [line.gross, line.fee, line.net]), (kind, amounts), "{fields:?}");
    }
}

#[test]
fn another_currency_than_the_balances_is_kept_beside_it() {
    let line = one(row(["1", "o", "Settled", "2", "USD", "", "110.00", "", "97.00", "3.00", "", "", ""]));
    assert_eq!((line.gross, line.fee, line.net, line.currency), (10_000, 300, 9_700, Currency::EUR));
    assert_eq!(line.presented, Some(Money::new(11_000, Currency::USD)));
    assert_eq!(line.fee_parts, FeeParts::default(), "commission alone is not told apart");
}

#[test]
fn lines_about_no_payment_are_told_apart_by_their_order() {
    let fee = || row(["", "", "Fee", "", "", "", "", "12.00", "", "", "", "", ""]);
    let lines = read(&[fee(), settled(), fee()]).unwrap();
    let ids: Vec<&str> = lines.iter().map(|line| line.psp_line_id.as_str()).collect();
    assert_eq!(ids, ["17/Fee///1", "17/Settled/8835/8836", "17/Fee///2"]);
}

#[test]
fn a_refusal_names_line_column_found_and_expected() {
    let check = |row: String, expected: &str| {
        let error = read(&[settled(), row]).unwrap_err();
        assert_eq!(error.to_string(), format!("f.csv, line 3, {expected}"));
    };
    check(
        settled().replace("97.00", "97.01"),
        r#"column Net Credit (NC): found "97.01", expected gross 100.00 EUR less fees of 3.00 EUR"#,
    );
    check(
        settled().replace(",,100.00,", ",5.00,100.00,"),
        r#"column Gross Credit (GC): found "100.00", expected nothing, as there is a debit"#,
    );
    check(
        settled().replace("100.00", "-100.00"),
        r#"column Gross Credit (GC): found "-100.00", expected an amount without a sign"#,
    );
    check(
        settled().replace("CET", "XYZ"),
        r#"column TimeZone: found "XYZ", expected a time zone such as CET"#,
    );
    check(
        settled().replace(",17,", ",18,"),
        r#"column Batch Number: found "18", expected "17" of "ShopDE", as in the lines before"#,
    );
    check(settled().replace("Settled", ""), r#"column Type: found "", expected a type such as Settled"#);
}

#[test]
fn a_moment_that_is_none_in_utc_is_refused() {
    let row = settled().replace("2026-01-02 10:20:30,CET", "9999-12-31 23:20:30,EST");
    let error = read(&[row]).unwrap_err().to_string();
    let expected = "f.csv, line 2, column Creation Date: found \"9999-12-31 23:20:30\", expected a moment of the years 0 to 9999, in UTC";
    assert_eq!(error, expected);
}
