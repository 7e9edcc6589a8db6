use sha2::{Digest, Sha256};

use super::*;

mod properties;

/// All parts of a file.
pub(super) fn read(content: &[u8]) -> Result<Vec<Part>, Error> {
    let mut file = BankStatements::open("f", content)?;
    let mut parts = Vec::new();
    while let Some(part) = file.next_part()? {
        parts.push(part);
    }
    assert_eq!(file.sha256(), <[u8; 32]>::from(Sha256::digest(content)));
    assert_eq!(file.bytes_read(), content.len() as u64);
    Ok(parts)
}

/// The entries among them.
pub(super) fn entries(parts: &[Part]) -> Vec<Entry> {
    let entry = |part: &Part| if let Part::Entry(entry) = part { Some(entry.clone()) } else { None };
    parts.iter().filter_map(entry).collect()
}

#[test]
fn a_format_is_recognised_by_what_it_begins_with() {
    for (start, format) in [
        (b"<?xml version=\"1.0\"?><Document".as_slice(), Some(Format::Camt053)),
        (b" \r\n<Document/>", Some(Format::Camt053)),
        (b"\xef\xbb\xbf<Document/>", Some(Format::Camt053)),
        (b"\xff\xfe<\0", Some(Format::Camt053)),
        (b"\0<\0D", Some(Format::Camt053)),
        (b":20:START", Some(Format::Mt940)),
        (b"\xef\xbb\xbf\r\n:20:START", Some(Format::Mt940)),
        (b"{1:F01BANKDEFFAXXX0000000000}", Some(Format::Mt940)),
        (b"\x01\r\n:20:START", Some(Format::Mt940)),
        (b"0000 01INGBNL2AXXXX00001\n940 00\n:20:START", Some(Format::Mt940)),
        (b"01,BANK,US,260107", Some(Format::Bai2)),
        (b"02,BANK,US,260107", None),
        (b"BANK,US\n:20:START", None),
        (b"%PDF-1.7", None),
        (b"", None),
    ] {
        assert_eq!(Format::of(start), format, "{}", String::from_utf8_lossy(start));
    }
}

#[test]
fn what_is_no_statement_is_refused() {
    let refused = |content: &[u8]| read(content).unwrap_err().to_string();
    let expected = "expected a bank statement: camt.053 (XML), MT940 (:20:) or BAI2 (01,)";
    assert_eq!(refused(b""), format!("f: found nothing, {expected}"));
    assert_eq!(refused(b"\n%PDF-1.7\n"), format!("f: found \"%PDF-1.7\", {expected}"));
}

#[test]
fn an_account_has_one_name_however_it_is_spaced() {
    let account = Account::new("de89 3704 0044 0532 0130 00").unwrap();
    assert_eq!(account.as_str(), "DE89370400440532013000");
    assert_eq!(Account::new("  "), None);
    assert_eq!(Account::new("1\u{0}"), None);
    assert_eq!(Account::new(&"1".repeat(65)), None);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the disk is gone"))
    }
}

#[test]
fn what_cannot_be_got_at_is_no_refusal() {
    for start in [
        "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt>",
        ":20:A\n",
        "01,B,C,260107,0600,1,,,2/\n",
    ] {
        // longer than what is read to recognise it
        let content = format!("{start}{}", " ".repeat(1 << 11));
        let outcome =
            BankStatements::open("f", content.as_bytes().chain(Broken)).and_then(|mut file| file.next_part());
        assert!(matches!(outcome, Err(Error::Io { .. })), "{start}: {outcome:?}");
    }
}
