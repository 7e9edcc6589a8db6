use money::{Currency, Money};
use time::macros::date;

use crate::bank_statement::tests::{entries, read};
use crate::bank_statement::{Account, Balance, Closing, Entry, Head, Part};

mod refusals;

/// Version 08: a payout of a PSP, a fee in the bank's own code, a payment of ours that came back, a batch, and one that is pending.
const SAMPLE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
<BkToCstmrStmt>
<GrpHdr><MsgId>M-1</MsgId><CreDtTm>2026-01-07T01:00:00+01:00</CreDtTm></GrpHdr>
<Stmt>
<Id>S-1</Id><ElctrncSeqNb>7</ElctrncSeqNb><LglSeqNb>6</LglSeqNb>
<FrToDt><FrDtTm>2026-01-05T00:00:00+01:00</FrDtTm><ToDtTm>2026-01-06T23:59:59+01:00</ToDtTm></FrToDt>
<Acct><Id><IBAN>de89 3704 0044 0532 0130 00</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">100.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-01-05</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">9585.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-01-06</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLAV</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-01-06</Dt></Dt></Bal>
<TxsSummry>
<TtlNtries><NbOfNtries>4</NbOfNtries><Sum>9715.00</Sum><TtlNetNtry><Amt>9685.00</Amt><CdtDbtInd>CRDT</CdtDbtInd></TtlNetNtry></TtlNtries>
<TtlCdtNtries><NbOfNtries>2</NbOfNtries><Sum>9700.00</Sum></TtlCdtNtries>
<TtlDbtNtries><NbOfNtries>2</NbOfNtries><Sum>15.00</Sum></TtlDbtNtries>
</TxsSummry>
<Ntry>
<NtryRef>N1</NtryRef><Amt Ccy="EUR">9675.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>
<BookgDt><DtTm>2026-01-05T23:30:00-05:00</DtTm></BookgDt><ValDt><Dt>2026-01-06</Dt></ValDt>
<AcctSvcrRef>B1</AcctSvcrRef>
<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn><Prtry><Cd>166</Cd></Prtry></BkTxCd>
<NtryDtls><Btch><PmtInfId>PI1</PmtInfId></Btch><TxDtls>
<Refs><MsgId>NOTPROVIDED</MsgId><AcctSvcrRef>B1</AcctSvcrRef><InstrId>I1</InstrId><EndToEndId>po_1QX</EndToEndId><TxId>T1</TxId><Prtry><Tp>X</Tp><Ref>P1</Ref></Prtry></Refs>
<RltdPties><Dbtr><Pty><Nm>Stripe &amp; <![CDATA[<Co>]]></Nm></Pty></Dbtr><Cdtr><Pty><Nm>Us</Nm></Pty></Cdtr></RltdPties>
<RmtInf><Ustrd>payout po_1QX
   of Jan&#x75;ary</Ustrd><Ustrd/><Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf><AddtlRmtInf>batch 17</AddtlRmtInf></Strd></RmtInf>
</TxDtls></NtryDtls>
<AddtlNtryInf>SEPA credit</AddtlNtryInf>
</Ntry>
<Ntry><Amt Ccy="EUR">5</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-01-06+01:00</Dt></BookgDt><BkTxCd><Prtry><Cd>FEE</Cd></Prtry></BkTxCd></Ntry>
<Ntry><Amt Ccy="EUR">99.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>PDNG</Cd></Sts><BkTxCd><Prtry><Cd>X</Cd></Prtry></BkTxCd></Ntry>
<Ntry><Amt Ccy="EUR">25.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><RvslInd>true</RvslInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-01-06</Dt></BookgDt><BkTxCd><Prtry><Cd>RET</Cd></Prtry></BkTxCd>
<NtryDtls><TxDtls><RltdPties><Dbtr><Pty><Nm>Us</Nm></Pty></Dbtr><Cdtr><Pty><Nm>Seller</Nm></Pty></Cdtr></RltdPties></TxDtls></NtryDtls></Ntry>
<Ntry><Amt Ccy="EUR">10.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-01-06</Dt></BookgDt><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>ICDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd>
<NtryDtls><TxDtls><Refs><EndToEndId>E1</EndToEndId></Refs><RltdPties><Cdtr><Pty><Nm>A</Nm></Pty></Cdtr></RltdPties></TxDtls><TxDtls><Refs><EndToEndId>E2</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>
</Stmt>
</BkToCstmrStmt>
</Document>
"#;

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::EUR)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn bare(line_no: i32, minor: i64, code: &str) -> Entry {
    Entry {
        line_no,
        amount: eur(minor),
        booked_on: date!(2026 - 01 - 06),
        value_on: date!(2026 - 01 - 06),
        is_reversal: false,
        code: code.to_owned(),
        bank_reference: None,
        customer_reference: None,
        references: Vec::new(),
        counterparty: None,
        text: String::new(),
    }
}

fn expected() -> Vec<Part> {
    let opening = Balance { amount: eur(-10_000), on: date!(2026 - 01 - 05) };
    let closing = Balance { amount: eur(958_500), on: date!(2026 - 01 - 06) };
    let payout = Entry {
        booked_on: date!(2026 - 01 - 05),
        bank_reference: text("B1"),
        customer_reference: text("po_1QX"),
        references: ["N1", "PI1", "I1", "T1", "P1", "RF18"].map(str::to_owned).to_vec(),
        counterparty: text("Stripe & <Co>"),
        text: "payout po_1QX of January\nbatch 17\nSEPA credit".to_owned(),
        ..bare(17, 967_500, "PMNT/RCDT/ESCT")
    };
    let returned = Entry { is_reversal: true, counterparty: text("Seller"), ..bare(32, 2_500, "RET") };
    let batch =
        Entry { references: ["E1", "E2"].map(str::to_owned).to_vec(), ..bare(34, -1_000, "PMNT/ICDT/ESCT") };
    vec![
        Part::Begin(Head {
            line_no: 5,
            account: Account::new("DE89370400440532013000").unwrap(),
            currency: Currency::EUR,
            statement_id: text("S-1"),
            sequence: text("6"),
            opening: Some(opening),
        }),
        Part::Entry(payout),
        Part::Entry(bare(30, -500, "FEE")),
        Part::Entry(returned),
        Part::Entry(batch),
        Part::End(Closing {
            line_no: 10,
            opening: Some(opening),
            closing: Some(closing),
            total: 968_500,
            entries: 4,
            not_booked: 1,
            from: date!(2026 - 01 - 05),
            to: date!(2026 - 01 - 06),
        }),
    ]
}

#[test]
fn a_statement_is_read_exactly() {
    assert_eq!(read(SAMPLE.as_bytes()).unwrap(), expected());
}

#[test]
fn prefixes_of_namespaces_change_nothing() {
    let tag = |text: String, name: &str| {
        text.replace(&format!("<{name}"), &format!("<n:{name}"))
            .replace(&format!("</{name}"), &format!("</n:{name}"))
    };
    let names = ["Document", "BkToCstmrStmt", "GrpHdr", "Stmt>", "Bal>", "Ntry>", "Refs"];
    let prefixed = names.into_iter().fold(SAMPLE.to_owned(), tag).replace("xmlns=", "xmlns:n=");
    assert_eq!(read(prefixed.as_bytes()).unwrap(), expected());
}

#[test]
fn version_02_has_its_status_and_parties_without_wrapping() {
    let old = SAMPLE
        .replace("001.08", "001.02")
        .replace("<Sts><Cd>", "<Sts>")
        .replace("</Cd></Sts>", "</Sts>")
        .replace("<Pty>", "")
        .replace("</Pty>", "")
        .replace("<TtlNetNtry><Amt>", "<TtlNetNtryAmt>")
        .replace("9685.00</Amt>", "9685.00</TtlNetNtryAmt>")
        .replace("</TtlNetNtry>", "");
    assert_eq!(read(old.as_bytes()).unwrap(), expected());
}

#[test]
fn counts_may_be_of_all_entries_or_of_those_that_are_booked() {
    let all = SAMPLE
        .replace("<NbOfNtries>4</NbOfNtries><Sum>9715.00", "<NbOfNtries>5</NbOfNtries><Sum>9814.00")
        .replace("9685.00", "9784.00")
        .replace("<NbOfNtries>2</NbOfNtries><Sum>9700.00", "<NbOfNtries>3</NbOfNtries><Sum>9799.00");
    assert_eq!(read(all.as_bytes()).unwrap(), expected());
}

#[test]
fn a_statement_may_open_as_the_one_before_closed() {
    assert_eq!(read(SAMPLE.replace("OPBD", "PRCD").as_bytes()).unwrap(), expected());
}

#[test]
fn a_file_of_many_statements_is_read_one_after_the_other() {
    let (before, rest) = SAMPLE.split_once("<Stmt>").unwrap();
    let (statement, after) = rest.split_once("</Stmt>").unwrap();
    let second = statement.replace("S-1", "S-2");
    let content = format!("{before}<Stmt>{statement}</Stmt><Stmt>{second}</Stmt>{after}");
    let parts = read(content.as_bytes()).unwrap();
    assert_eq!(parts[..6], expected());
    assert!(matches!(&parts[6], Part::Begin(head) if head.statement_id.as_deref() == Some("S-2")));
    assert_eq!(parts.len(), 12);
}

#[test]
fn currencies_keep_their_own_decimal_places() {
    for (code, written, minor) in [("JPY", "1000", 1_000), ("BHD", "1.234", 1_234), ("JPY", "1000.00", 1_000)]
    {
        let content = simple("0", written).replace("EUR", code);
        let entry = entries(&read(content.as_bytes()).unwrap()).remove(0);
        assert_eq!(entry.amount, Money::new(minor, code.parse().unwrap()), "{written} {code}");
    }
}

/// A statement of one credit.
fn simple(opening: &str, amount: &str) -> String {
    let balance = |kind: &str, amount: &str| {
        format!(
            "<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt Ccy=\"EUR\">{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>\
             <Dt><Dt>2026-01-05</Dt></Dt></Bal>"
        )
    };
    let (opening, closing) = (balance("OPBD", opening), balance("CLBD", amount));
    format!(
        "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr><Stmt>\
         <Id>S</Id><Acct><Id><Othr><Id>1</Id></Othr></Id></Acct>{opening}{closing}<Ntry><Amt Ccy=\"EUR\">{amount}</Amt>\
         <CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-01-05</Dt></BookgDt><BkTxCd><Prtry><Cd>X</Cd></Prtry></BkTxCd>\
         </Ntry></Stmt></BkToCstmrStmt></Document>"
    )
}

#[test]
fn what_mock_bank_writes_is_read() {
    let parts = read(include_bytes!("mock_bank.xml")).unwrap();
    let read: Vec<_> = entries(&parts)
        .into_iter()
        .map(|entry| (entry.amount.minor, entry.customer_reference, entry.counterparty, entry.text))
        .collect();
    let stripe = text("Stripe Payments Europe, Ltd");
    let words = |id| format!("STRIPE payout {id} settled\nsecond line");
    assert_eq!(
        read,
        [
            (-750, text("E1"), text("Seller & Sons"), String::new()),
            (970_001, text("po_1QX1"), stripe.clone(), words("po_1QX1")),
            (970_002, text("po_1QX2"), stripe, words("po_1QX2")),
            (1_250, None, text("Someone"), String::new()),
        ]
    );
    let Some(Part::End(closing)) = parts.last() else { panic!("{parts:?}") };
    assert_eq!((closing.total, closing.entries), (1_940_503, 4));
}

#[test]
fn encodings_are_as_the_file_declares_them() {
    let words = "Zahlung Müller — 5 €";
    let sample = SAMPLE.replace("SEPA credit", words);
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| {
        let text = sample.replace("UTF-8", "UTF-16");
        std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(bytes).collect::<Vec<u8>>()
    };
    let one_byte = sample
        .replace("UTF-8", "ISO-8859-1")
        .chars()
        .map(|sign| match sign {
            '€' => 0x80,
            '—' => 0x97,
            other => u8::try_from(u32::from(other)).unwrap(),
        })
        .collect();
    let marked = [b"\xef\xbb\xbf".as_slice(), sample.as_bytes()].concat();
    for content in
        [sample.clone().into_bytes(), marked, one_byte, utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)]
    {
        let entry = entries(&read(&content).unwrap()).remove(0);
        assert!(entry.text.ends_with(words), "{}", entry.text);
    }
    let mut broken = sample.into_bytes();
    let at = broken.iter().position(|byte| *byte == 0xc3).unwrap();
    broken[at] = 0xff;
    assert_eq!(
        read(&broken).unwrap_err().to_string(),
        "f, line 28, column Stmt/Ntry/AddtlNtryInf: found bytes that are no UTF-8, expected UTF-8"
    );
}
