//! Settlement files that a map describes: the map, a NUL, and the file.

use reconciliation::statement::{Line, LineKind, Map, Statement};

/// A map and a file are refused, or each line adds up and has the sign of its kind, and is read alike twice.
pub(crate) fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (toml, file) = data.split_at(end);
    let Ok(map) = Map::read("fuzz.toml", toml) else { return };
    let file = file.get(1..).unwrap_or_default();
    let Some(lines) = read(&map, file) else { return };
    let mut last = 0;
    for line in &lines {
        assert!(line.line_no > last, "lines are numbered in their order");
        last = line.line_no;
        assert_eq!(line.gross.checked_sub(line.fee), Some(line.net));
        assert!(!line.psp_line_id.is_empty() && !line.category.is_empty());
        match line.kind {
            LineKind::Refund | LineKind::Chargeback | LineKind::Payout => assert!(line.gross <= 0),
            LineKind::Fee | LineKind::Adjustment => {}
            _ => assert!(line.gross >= 0),
        }
    }
    assert_eq!(read(&map, file), Some(lines));
}

fn read(map: &Map, file: &[u8]) -> Option<Vec<Line>> {
    let mut statement = Statement::open_mapped("fuzz.csv", file, map).ok()?;
    let mut lines = Vec::new();
    while let Some(line) = statement.next_line().ok()? {
        lines.push(line);
    }
    Some(lines)
}
