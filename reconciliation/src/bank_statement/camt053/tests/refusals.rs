use super::SAMPLE;
use crate::bank_statement::tests::read;

fn check(content: &str, expected: &str) {
    assert_eq!(read(content.as_bytes()).unwrap_err().to_string(), format!("f, {expected}"));
}

fn check_with(from: &str, to: &str, expected: &str) {
    assert!(SAMPLE.contains(from), "{from}");
    check(&SAMPLE.replacen(from, to, 1), expected);
}

#[test]
fn what_is_wrong_with_a_statement_is_refused_by_its_place() {
    for (from, to, expected) in [
        (
            "camt.053.001.08",
            "camt.052.001.08",
            r#"line 2, column xmlns: found "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08", expected urn:iso:std:iso:20022:tech:xsd:camt.053.001.08, or another version of camt.053.001 from 02 to 13"#,
        ),
        (
            "<BkToCstmrStmt>",
            "<BkToCstmrAcctRpt>",
            r#"line 3, column Document/BkToCstmrAcctRpt: found "Document/BkToCstmrAcctRpt", expected Document/BkToCstmrStmt"#,
        ),
        ("<MsgId>M-1</MsgId>", "", "line 5, column Stmt: found no GrpHdr before it, expected GrpHdr/MsgId"),
        (
            "<Amt Ccy=\"EUR\">9675.00",
            "<Amt Ccy=\"EUR\">9675.001",
            r#"line 18, column Stmt/Ntry/Amt: found "9675.001", expected at most 2 decimal places, as EUR has"#,
        ),
        (
            "<Amt Ccy=\"EUR\">9675.00",
            "<Amt Ccy=\"EUR\">9676.00",
            "line 10, column Stmt/Bal/Amt: found 9585.00 EUR, expected 9586.00 EUR: -100.00 EUR and 4 entries of 9686.00 EUR",
        ),
        (
            "<Amt Ccy=\"EUR\">9675.00",
            "<Amt>9675.00",
            r#"line 18, column Stmt/Ntry/Amt: found "9675.00", expected an amount with its currency, Ccy"#,
        ),
        (
            "<Amt Ccy=\"EUR\">9675.00",
            "<Amt Ccy=\"USD\">9675.00",
            "line 17, column Stmt/Ntry/Amt: found 9675.00 USD, expected an amount in EUR, as the account is",
        ),
        (
            "<Amt Ccy=\"EUR\">9675.00",
            "<Amt Ccy=\"EUR\">-9675.00",
            r#"line 18, column Stmt/Ntry/Amt: found "-9675.00", expected an amount without a sign, which is CdtDbtInd's"#,
        ),
        (
            "<Amt Ccy=\"EUR\">5</Amt><CdtDbtInd>DBIT",
            "<Amt Ccy=\"EUR\">5</Amt><CdtDbtInd>DEBIT",
            r#"line 30, column Stmt/Ntry/CdtDbtInd: found "DEBIT", expected CRDT or DBIT"#,
        ),
        (
            "<Cd>PDNG</Cd>",
            "<Cd>DONE</Cd>",
            r#"line 31, column Stmt/Ntry/Sts/Cd: found "DONE", expected BOOK, or PDNG, FUTR or INFO, which are left out"#,
        ),
        (
            "<Sts><Cd>PDNG</Cd></Sts>",
            "",
            "line 31, column Stmt/Ntry/Sts: found nothing, expected BOOK, or PDNG, FUTR or INFO, which are left out",
        ),
        (
            "<BookgDt><Dt>2026-01-06+01:00</Dt></BookgDt>",
            "",
            "line 30, column Stmt/Ntry/BookgDt: found nothing, expected the date of booking",
        ),
        (
            "2026-01-06+01:00",
            "06.01.2026",
            r#"line 30, column Stmt/Ntry/BookgDt/Dt: found "06.01.2026", expected a date such as 2026-01-31, or a moment such as 2026-01-31T13:45:00+01:00"#,
        ),
        (
            "<RvslInd>true",
            "<RvslInd>yes",
            r#"line 32, column Stmt/Ntry/RvslInd: found "yes", expected true or false"#,
        ),
        (
            "<BkTxCd><Prtry><Cd>FEE</Cd></Prtry></BkTxCd>",
            "<BkTxCd/>",
            "line 30, column Stmt/Ntry/BkTxCd: found nothing, expected a code, in Domn or in Prtry",
        ),
        (
            "<NtryRef>N1</NtryRef>",
            "<Amt Ccy=\"EUR\">1.00</Amt>",
            r#"line 18, column Stmt/Ntry/Amt: found "9675.00", expected it once"#,
        ),
        (
            "<Cd>OPBD</Cd>",
            "<Cd>OPAV</Cd>",
            "line 5, column Stmt/Bal: found nothing, expected a balance OPBD or PRCD, before the entries",
        ),
        ("<Cd>CLBD</Cd>", "<Cd>ITBD</Cd>", "line 5, column Stmt/Bal: found nothing, expected a balance CLBD"),
        (
            "<Cd>CLAV</Cd>",
            "<Cd>CLBD</Cd>",
            "line 11, column Stmt/Bal: found a second balance CLBD, expected one in a statement",
        ),
        (
            "<Ccy>EUR</Ccy>",
            "<Ccy>USD</Ccy>",
            "line 5, column Stmt/Bal/Amt: found -100.00 EUR, expected an amount in USD, as the account is",
        ),
        (
            "<IBAN>de89 3704 0044 0532 0130 00</IBAN>",
            "",
            "line 5, column Stmt/Acct/Id: found nothing, expected the account, before the entries",
        ),
        ("<Id>S-1</Id>", "<Id> </Id>", r#"line 6, column Stmt/Id: found "", expected a name or number"#),
        (
            "<NbOfNtries>4<",
            "<NbOfNtries>5<",
            r#"line 13, column Stmt/TxsSummry/TtlNtries/NbOfNtries: found "5", expected 4, as there are entries"#,
        ),
        (
            "<Sum>9715.00",
            "<Sum>9715.01",
            r#"line 13, column Stmt/TxsSummry/TtlNtries/Sum: found "9715.01", expected the entries' sum, 9715.00 EUR"#,
        ),
        (
            "<TtlNetNtry><Amt>9685.00</Amt><CdtDbtInd>CRDT",
            "<TtlNetNtry><Amt>9685.00</Amt><CdtDbtInd>DBIT",
            r#"line 13, column Stmt/TxsSummry/TtlNtries/TtlNetNtry/Amt: found "9685.00", expected credits less debits, 9685.00 EUR"#,
        ),
        (
            "<Sum>15.00",
            "<Sum>16.00",
            r#"line 15, column Stmt/TxsSummry/TtlDbtNtries/Sum: found "16.00", expected the entries' sum, 15.00 EUR"#,
        ),
    ] {
        check_with(from, to, expected);
    }
}

#[test]
fn what_is_no_xml_of_data_is_refused_by_its_place() {
    for (from, to, expected) in [
        (
            "<Document ",
            "<!DOCTYPE d [<!ENTITY a \"b\">]><Document ",
            "line 2: found a document type (DOCTYPE), expected none, as in all bank statements",
        ),
        (
            "SEPA credit",
            "&a;",
            r#"line 28, column Stmt/Ntry/AddtlNtryInf: found "&a;", expected one of XML's own entities, or a character's number"#,
        ),
        (
            "SEPA credit",
            "&#1;",
            r"line 28, column Stmt/Ntry/AddtlNtryInf: found the character '\u{1}', expected text",
        ),
        (
            "</Document>",
            "",
            "line 39, column Document: found the file's end, expected </Document>; is the file cut off?",
        ),
        ("</Document>", "</Document><a/>", "line 38: found a second document, expected the file's end"),
        ("</Document>", "</Document>a", r#"line 38: found "a", expected nothing beside the document"#),
        (
            "<TxsSummry>",
            "<TxsSummry>a",
            r#"line 12, column Stmt/TxsSummry: found "a", expected elements only"#,
        ),
        (
            "</TxsSummry>",
            "</TxsSumry>",
            r#"line 16, column Stmt/TxsSummry: found "</TxsSumry>", expected "</TxsSummry>""#,
        ),
        (
            "UTF-8",
            "UTF-7",
            r#"line 1, column encoding: found "UTF-7", expected UTF-8, ISO-8859-1, ISO-8859-15 or Windows-1252"#,
        ),
        (
            "UTF-8",
            "UTF-16",
            r#"line 1, column encoding: found "UTF-16", expected UTF-8, ISO-8859-1, ISO-8859-15 or Windows-1252, or UTF-16 with its byte order mark"#,
        ),
    ] {
        check_with(from, to, expected);
    }
    check(
        &SAMPLE.replace("SEPA credit", &"x".repeat(1 << 17)),
        "line 28, column Stmt/Ntry/AddtlNtryInf: found a longer text or tag, expected at most 65536 bytes",
    );
    check(
        &SAMPLE.replace("SEPA credit", &"<a>".repeat(40)),
        "line 28, column Stmt/Ntry/AddtlNtryInf/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a: found an element, \
         expected at most 32 elements within each other",
    );
    check(
        &SAMPLE[..SAMPLE.find("AddtlNtryInf>SEPA").unwrap()],
        "line 28, column Stmt/Ntry: found an unfinished tag or comment, expected its end; is the file cut off?",
    );
    check(
        &SAMPLE[..SAMPLE.find("<AddtlNtryInf>SEPA").unwrap() + 17],
        "line 28, column Stmt/Ntry/AddtlNtryInf: found the file's end, expected </AddtlNtryInf>; is the file cut off?",
    );
}

#[test]
fn no_statement_is_no_statement() {
    let (before, rest) = SAMPLE.split_once("<Stmt>").unwrap();
    let (_, after) = rest.split_once("</Stmt>").unwrap();
    let error = read(format!("{before}{after}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "f: found no statement, expected Stmt");
}
