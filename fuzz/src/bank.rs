//! Bank statements.

use money::Currency;
use reconciliation::bank_statement::{BankStatements, Format, Part};

/// A file in BAI2 is refused, or adds up.
pub(crate) fn bai2(data: &[u8]) {
    run(Format::Bai2, data);
}

/// One in camt.053 likewise.
pub(crate) fn camt053(data: &[u8]) {
    run(Format::Camt053, data);
}

/// One in MT940 likewise.
pub(crate) fn mt940(data: &[u8]) {
    run(Format::Mt940, data);
}

fn run(format: Format, data: &[u8]) {
    let Some(parts) = read(format, data) else { return };
    assert!(!parts.is_empty() || format == Format::Bai2, "a file has a statement, or a report of none");
    let mut statement: Option<Statement> = None;
    for part in &parts {
        match (part, &mut statement) {
            (Part::Begin(head), None) => {
                assert!(!head.account.as_str().is_empty());
                statement =
                    Some(Statement { currency: head.currency, line: head.line_no, entries: 0, total: 0 });
            }
            (Part::Entry(entry), Some(statement)) => {
                assert_eq!(entry.amount.currency, statement.currency);
                assert!(entry.line_no >= statement.line, "lines are numbered in their order");
                statement.line = entry.line_no;
                statement.total += i128::from(entry.amount.minor);
                statement.entries += 1;
                assert!(entry.references.iter().all(|reference| !reference.is_empty()));
            }
            (Part::End(closing), Some(told)) => {
                assert_eq!((closing.entries, i128::from(closing.total)), (told.entries, told.total));
                if let (Some(opening), Some(closing)) = (closing.opening, closing.closing) {
                    assert_eq!(opening.amount.currency, told.currency);
                    assert_eq!(closing.amount.currency, told.currency);
                    assert_eq!(
                        i128::from(opening.amount.minor) + told.total,
                        i128::from(closing.amount.minor)
                    );
                }
                statement = None;
            }
            (part, _) => panic!("{part:?} is out of place"),
        }
    }
    assert!(statement.is_none(), "a statement ends");
}

struct Statement {
    currency: Currency,
    line: i32,
    entries: u64,
    total: i128,
}

fn read(format: Format, data: &[u8]) -> Option<Vec<Part>> {
    let mut file = BankStatements::open("fuzz", data).ok()?;
    if file.format() != format {
        return None;
    }
    let mut parts = Vec::new();
    while let Some(part) = file.next_part().ok()? {
        parts.push(part);
    }
    assert_eq!(file.bytes_read(), data.len() as u64);
    Some(parts)
}
