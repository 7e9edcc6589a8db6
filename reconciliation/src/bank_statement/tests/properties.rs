//! Statements of any kind, written in each format and read back; and files that are damaged anyhow.

use money::{Currency, Money};
use proptest::prelude::*;
use time::macros::date;
use time::{Date, Duration};

use super::read;
use crate::bank_statement::{Account, Balance, Closing, Entry, Head, Part};

/// A statement to be written: its entries' places in the file are not known yet.
#[derive(Debug, Clone)]
struct Written {
    head: Head,
    entries: Vec<Entry>,
    closing: Closing,
}

fn day() -> impl Strategy<Value = Date> {
    (0..700_i64).prop_map(|days| date!(2025 - 01 - 01) + Duration::days(days))
}

fn currency() -> impl Strategy<Value = Currency> {
    prop::sample::select(vec!["EUR", "JPY", "KWD", "USD", "CLF"]).prop_map(|code| code.parse().unwrap())
}

/// An entry as every format can tell it.
fn entry(currency: Currency) -> impl Strategy<Value = Entry> {
    let reference = || prop::option::of("[A-Za-z0-9][A-Za-z0-9_-]{0,14}");
    (
        1..1_000_000_i64,
        any::<bool>(),
        day(),
        -40..40_i64,
        reference(),
        reference(),
        "[a-zA-Z][a-zA-Z0-9]{0,20}( [a-zA-Z&<>äß]{1,9}){0,3}",
    )
        .prop_map(
            move |(minor, is_credit, booked_on, days, bank_reference, customer_reference, text)| Entry {
                line_no: 0,
                amount: Money::new(if is_credit { minor } else { -minor }, currency),
                booked_on,
                value_on: booked_on + Duration::days(days),
                is_reversal: false,
                code: String::new(),
                bank_reference,
                customer_reference,
                references: Vec::new(),
                counterparty: None,
                text,
            },
        )
}

prop_compose! {
    fn statement()(currency in currency())(
        currency in Just(currency),
        account in "[A-Z]{2}[0-9]{10,20}",
        name in "[A-Z]{1,10}",
        opening in -1_000_000..1_000_000_i64,
        entries in prop::collection::vec(entry(currency), 0..12),
        (from, to) in (day(), day()),
    ) -> Written {
        let total: i64 = entries.iter().map(|entry| entry.amount.minor).sum();
        let balance = |minor, on| Some(Balance { amount: Money::new(minor, currency), on });
        let (opening, closing) = (balance(opening, from), balance(opening + total, to));
        Written {
            head: Head {
                line_no: 0,
                account: Account::new(&account).unwrap(),
                currency,
                statement_id: Some(name),
                sequence: Some("1".to_owned()),
                opening,
            },
            closing: Closing { line_no: 0, opening, closing, total, entries: entries.len() as u64, not_booked: 0, from, to },
            entries,
        }
    }
}

/// The parts of a file, without their places in it.
fn placeless(parts: Vec<Part>) -> Vec<Part> {
    let without = |mut part: Part| {
        match &mut part {
            Part::Begin(head) => head.line_no = 0,
            Part::Entry(entry) => entry.line_no = 0,
            Part::End(closing) => closing.line_no = 0,
        }
        part
    };
    parts.into_iter().map(without).collect()
}

/// What is to be read, where the format adds something of its own.
fn parts(statements: &[Written], change: impl Fn(&mut Head, &mut Entry, &mut Closing)) -> Vec<Part> {
    let mut parts = Vec::new();
    for Written { mut head, entries, mut closing } in statements.iter().cloned() {
        let mut read = Vec::new();
        let mut none = super::super::Entry { line_no: 0, ..nothing(head.currency) };
        change(&mut head, &mut none, &mut closing);
        for mut entry in entries {
            change(&mut head, &mut entry, &mut closing);
            read.push(Part::Entry(entry));
        }
        parts.push(Part::Begin(head));
        parts.extend(read);
        parts.push(Part::End(closing));
    }
    parts
}

fn nothing(currency: Currency) -> Entry {
    Entry {
        line_no: 0,
        amount: Money::new(0, currency),
        booked_on: Date::MIN,
        value_on: Date::MIN,
        is_reversal: false,
        code: String::new(),
        bank_reference: None,
        customer_reference: None,
        references: Vec::new(),
        counterparty: None,
        text: String::new(),
    }
}

/// Without a sign, in major units.
fn major(amount: Money, point: char) -> String {
    let shown = Money::new(amount.minor.abs(), amount.currency).to_string();
    let digits = shown.split(' ').next().unwrap();
    if point == ',' && !digits.contains('.') {
        format!("{digits},")
    } else {
        digits.replace('.', &point.to_string())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&#62;")
}

fn camt053(statements: &[Written]) -> String {
    let side = |minor: i64| if minor < 0 { "DBIT" } else { "CRDT" };
    let amount = |amount: Money| {
        let (code, major) = (amount.currency, major(amount, '.'));
        format!("<Amt Ccy=\"{code}\">{major}</Amt>\n<CdtDbtInd>{}</CdtDbtInd>", side(amount.minor))
    };
    let balance = |kind: &str, balance: Option<Balance>| {
        let Balance { amount: sum, on } = balance.unwrap();
        let amount = amount(sum);
        format!("<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>{amount}<Dt><Dt>{on}</Dt></Dt></Bal>\n")
    };
    let mut text = "<Document xmlns=\"urn:iso:std:iso:20022:tech:xsd:camt.053.001.08\"><BkToCstmrStmt>\
                    <GrpHdr><MsgId>M</MsgId></GrpHdr>"
        .to_owned();
    for Written { head, entries, closing } in statements {
        let (id, account) = (head.statement_id.as_ref().unwrap(), &head.account);
        text += &format!(
            "<Stmt><Id>{id}</Id><LglSeqNb>1</LglSeqNb><Acct><Id><IBAN>{account}</IBAN></Id></Acct>\n"
        );
        text += &balance("OPBD", head.opening);
        text += &balance("CLBD", closing.closing);
        text += &format!(
            "<TxsSummry><TtlNtries><NbOfNtries>{}</NbOfNtries></TtlNtries></TxsSummry>",
            entries.len()
        );
        for entry in entries {
            let reference = |name: &str, reference: &Option<String>| {
                reference.as_ref().map(|text| format!("<{name}>{text}</{name}>")).unwrap_or_default()
            };
            text += &format!(
                "<Ntry>{}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{}</Dt></BookgDt><ValDt><DtTm>{}T12:00:00</DtTm></ValDt>{}\
                 <BkTxCd><Prtry><Cd>X</Cd></Prtry></BkTxCd><NtryDtls><TxDtls><Refs>{}</Refs><RmtInf><Ustrd>{}</Ustrd></RmtInf>\
                 </TxDtls></NtryDtls></Ntry>\n",
                amount(entry.amount),
                entry.booked_on,
                entry.value_on,
                reference("AcctSvcrRef", &entry.bank_reference),
                reference("EndToEndId", &entry.customer_reference),
                escaped(&entry.text),
            );
        }
        text += "</Stmt>";
    }
    text + "</BkToCstmrStmt></Document>"
}

fn short(date: Date) -> String {
    format!("{:02}{:02}{:02}", date.year() - 2000, u8::from(date.month()), date.day())
}

/// With a page for every few entries.
fn mt940(statements: &[Written], on_page: usize) -> String {
    let balance = |amount: Money, on: Date| {
        let side = if amount.minor < 0 { 'D' } else { 'C' };
        format!("{side}{}{}{}", short(on), amount.currency, major(amount, ','))
    };
    let mut text = String::new();
    for Written { head, entries, closing } in statements {
        let (id, account) = (head.statement_id.as_ref().unwrap(), &head.account);
        let mut at = head.opening.unwrap().amount;
        let mut pages: Vec<&[Entry]> = entries.chunks(on_page).collect();
        if pages.is_empty() {
            pages.push(&[]);
        }
        for (page, entries) in pages.iter().enumerate() {
            let (is_first, is_last) = (page == 0, page + 1 == pages.len());
            let tag = if is_first { "60F" } else { "60M" };
            let opening = balance(at, head.opening.unwrap().on);
            text += &format!(":20:{id}\r\n:25:{account}\r\n:28C:1/{}\r\n:{tag}:{opening}\r\n", page + 1);
            for entry in *entries {
                let side = if entry.amount.minor < 0 { 'D' } else { 'C' };
                let bank = entry.bank_reference.as_ref().map(|text| format!("//{text}")).unwrap_or_default();
                text += &format!(
                    ":61:{}{}{side}{}NTRF{}{bank}\r\n:86:{}\r\n",
                    short(entry.value_on),
                    &short(entry.booked_on)[2..],
                    major(entry.amount, ','),
                    entry.customer_reference.as_deref().unwrap_or("NONREF"),
                    entry.text,
                );
                at = at.checked_add(entry.amount).unwrap();
            }
            let tag = if is_last { "62F" } else { "62M" };
            text += &format!(":{tag}:{}\r\n-\r\n", balance(at, closing.closing.unwrap().on));
        }
    }
    text
}

/// With a group for each statement, on the day of its closing.
fn bai2(statements: &[Written]) -> String {
    let mut text = "01,BANK,US,260107,0600,7,,,2/\n".to_owned();
    let (mut file_total, mut records) = (0, 2);
    for Written { head, entries, closing } in statements {
        let (opening, closing) = (head.opening.unwrap().amount.minor, closing.closing.unwrap());
        text += &format!("02,US,BANK,1,{},,,/\n", short(closing.on));
        text += &format!(
            "03,{},{},010,{opening},,/\n88,015,{},,/\n",
            head.account, head.currency, closing.amount.minor
        );
        let mut total = opening + closing.amount.minor;
        for entry in entries {
            let (minor, code) = (entry.amount.minor.abs(), if entry.amount.minor < 0 { 451 } else { 142 });
            let reference = |text: &Option<String>| text.clone().unwrap_or_default();
            let (bank, customer) = (reference(&entry.bank_reference), reference(&entry.customer_reference));
            let value_on = short(entry.value_on);
            text += &format!("16,{code},{minor},V,{value_on},,{bank},{customer},{}/\n", entry.text);
            total += minor;
        }
        let of_account = entries.len() + 3;
        text += &format!("49,{total},{of_account}/\n98,{total},1,{}/\n", of_account + 2);
        file_total += total;
        records += of_account + 2;
    }
    text + &format!("99,{file_total},{},{records}/\n", statements.len())
}

/// What is said of each entry in a list is said once; the year of a day without one is the nearest.
fn statements() -> impl Strategy<Value = Vec<Written>> {
    prop::collection::vec(statement(), 1..4)
}

proptest! {
    #[test]
    fn what_is_written_as_camt_053_is_read(statements in statements()) {
        let expected = parts(&statements, |_, entry, _| entry.code = "X".to_owned());
        prop_assert_eq!(placeless(read(camt053(&statements).as_bytes()).unwrap()), expected);
    }

    #[test]
    fn what_is_written_as_mt940_is_read(statements in statements(), on_page in 1..5_usize) {
        let expected = parts(&statements, |head, entry, _| {
            entry.code = "NTRF".to_owned();
            head.sequence = Some("1/1".to_owned());
        });
        prop_assert_eq!(placeless(read(mt940(&statements, on_page).as_bytes()).unwrap()), expected);
    }

    #[test]
    fn what_is_written_as_bai2_is_read(statements in statements()) {
        let expected = parts(&statements, |head, entry, closing| {
            entry.code = if entry.amount.minor < 0 { "451" } else { "142" }.to_owned();
            // all of it is of the group's day
            let day = closing.closing.unwrap().on;
            entry.booked_on = day;
            (closing.from, closing.to) = (day, day);
            let opening = head.opening.map(|balance| Balance { on: day, ..balance });
            (head.opening, closing.opening) = (opening, opening);
            head.statement_id = Some("BANK/260107/7".to_owned());
            head.sequence = None;
        });
        prop_assert_eq!(placeless(read(bai2(&statements).as_bytes()).unwrap()), expected);
    }

    #[test]
    fn what_is_damaged_is_refused_or_adds_up(
        statements in statements(),
        format in 0..3_usize,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
    ) {
        let content = [camt053(&statements), mt940(&statements, 3), bai2(&statements)][format].clone();
        let mut bytes = content.into_bytes();
        for (at, byte, how) in damages {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(parts) = read(&bytes) {
            add_up(&parts);
        }
    }
}

fn add_up(parts: &[Part]) {
    let mut total = 0;
    for part in parts {
        match part {
            Part::Begin(_) => total = 0,
            Part::Entry(entry) => total += entry.amount.minor,
            Part::End(closing) => {
                assert_eq!(closing.total, total);
                if let (Some(opening), Some(closing)) = (closing.opening, closing.closing) {
                    assert_eq!(opening.amount.minor + total, closing.amount.minor);
                }
            }
        }
    }
}
