//! Lines written down under any map are read back as they were.

use proptest::prelude::*;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::*;

/// How a file is written.
#[derive(Debug, Clone)]
struct Style {
    delimiter: char,
    quote: char,
    encoding: &'static str,
    is_minor: bool,
    decimal: char,
    thousands: Option<char>,
    negative: &'static str,
    /// Signed, in two columns, or with a word.
    gross: u8,
    fee_is_negative: bool,
    has_net: bool,
    ends: &'static str,
    order: Vec<usize>,
    skipped: usize,
}

fn style() -> impl Strategy<Value = Style> {
    let text = (
        prop::sample::select(vec![',', ';', '\t', '|']),
        prop::sample::select(vec!['"', '\'']),
        prop::sample::select(vec!["utf-8", "windows-1252", "utf-16le", "utf-16be"]),
        prop::sample::select(vec!["\n", "\r\n"]),
        0_usize..4,
    );
    let amounts = (
        any::<bool>(),
        prop::sample::select(vec![',', '.']),
        prop::sample::select(vec![None, Some('.'), Some(','), Some(' '), Some('\''), Some('\u{a0}')]),
        prop::sample::select(vec!["leading", "trailing", "parentheses"]),
        0_u8..3,
        any::<[bool; 2]>(),
    );
    let order = Just((0..11).collect::<Vec<usize>>()).prop_shuffle();
    (text, amounts, order).prop_map(|(text, amounts, order)| {
        let (delimiter, quote, encoding, ends, skipped) = text;
        let (is_minor, decimal, thousands, negative, gross, [fee_is_negative, has_net]) = amounts;
        let thousands = thousands.filter(|thousands| is_minor || *thousands != decimal);
        Style {
            delimiter,
            quote,
            encoding,
            is_minor,
            decimal,
            thousands,
            negative,
            gross,
            fee_is_negative,
            has_net,
            ends,
            order,
            skipped,
        }
    })
}

fn line() -> impl Strategy<Value = Line> {
    let text = "[a-zA-Z0-9äß;,\"'|-]{1,20}";
    let amounts = (-1_000_000_000_000_i64..1_000_000_000_000, -100_000_i64..100_000);
    let currency = prop::sample::select(vec![Currency::EUR, Currency::JPY, Currency::KWD]);
    let at = 0_i64..2_000_000_000;
    (text, amounts, currency, at, prop::option::of(text)).prop_map(
        |(id, (gross, fee), currency, at, order_id)| {
            let occurred_at = OffsetDateTime::from_unix_timestamp(at).unwrap();
            Line {
                line_no: 0,
                psp_line_id: id,
                kind: LineKind::Adjustment,
                category: "move".to_owned(),
                gross,
                fee,
                net: gross - fee,
                currency,
                presented: None,
                fee_parts: crate::statement::FeeParts::default(),
                method: None,
                occurred_at,
                value_date: (occurred_at + Duration::days(1)).date(),
                payout_id: None,
                payout_on: None,
                operation_id: None,
                order_id,
                psp_reference: None,
                psp_movement: None,
                psp_source: None,
            }
        },
    )
}

const NAMES: [&str; 11] =
    ["id", "kind", "gross", "debit", "credit", "side", "fee", "net", "currency", "at", "order"];

impl Style {
    fn map(&self) -> Map {
        let gross = [
            "\"gross\"",
            "{ debit = \"debit\", credit = \"credit\" }",
            "{ column = \"gross\", direction = \"side\", debit = [\"-\"], credit = [\"+\"] }",
        ][usize::from(self.gross)];
        let unit = if self.is_minor {
            "unit = \"minor\"".to_owned()
        } else {
            format!("unit = \"major\"\ndecimal = \"{}\"", self.decimal)
        };
        let thousands =
            self.thousands.map(|thousands| format!("thousands = \"{thousands}\"")).unwrap_or_default();
        map(&format!(
            "name = \"any\"\n[file]\ndelimiter = {:?}\nquote = {:?}\nencoding = {:?}\nskip_lines = {}\n\
             [line]\nid = \"id\"\norder_id = \"order\"\n[kind]\ncolumn = \"kind\"\nwords = {{ move = \"adjustment\" }}\n\
             [amount]\n{unit}\n{thousands}\nnegative = {:?}\ncurrency = \"currency\"\ngross = {gross}\nfee = \"fee\"\n\
             fee_sign = \"{}_is_charged\"\n{}\n[time]\noccurred_at = {{ column = \"at\", format = \"%Y-%m-%d %H:%M:%S\", zone = \"UTC\" }}\n\
             value_date = {{ column = \"at\", format = \"%Y-%m-%d %H:%M:%S\" }}\n",
            self.delimiter.to_string(),
            self.quote.to_string(),
            self.encoding,
            self.skipped,
            self.negative,
            if self.fee_is_negative { "negative" } else { "positive" },
            if self.has_net { "net = \"net\"" } else { "" },
        ))
    }

    fn amount(&self, minor: i64, currency: Currency) -> String {
        let places = if self.is_minor { 0 } else { currency.exponent() as usize };
        let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        let mut text = String::new();
        for (at, digit) in whole.chars().enumerate() {
            if let Some(thousands) = self.thousands.filter(|_| at > 0 && (whole.len() - at).is_multiple_of(3))
            {
                text.push(thousands);
            }
            text.push(digit);
        }
        if places > 0 {
            text.push(self.decimal);
            text.push_str(fraction);
        }
        match self.negative {
            _ if minor >= 0 => text,
            "leading" => format!("-{text}"),
            "trailing" => format!("{text}-"),
            _ => format!("({text})"),
        }
    }

    fn row(&self, line: &Line) -> [String; 11] {
        let amount = |minor| self.amount(minor, line.currency);
        let side = |is_it: bool| if is_it { amount(line.gross.abs()) } else { String::new() };
        let clock = PrimitiveDateTime::new(line.occurred_at.date(), line.occurred_at.time());
        [
            line.psp_line_id.clone(),
            "move".to_owned(),
            amount(if self.gross == 2 { line.gross.abs() } else { line.gross }),
            side(line.gross < 0),
            side(line.gross >= 0),
            if line.gross < 0 { "-" } else { "+" }.to_owned(),
            amount(if self.fee_is_negative { -line.fee } else { line.fee }),
            amount(line.net),
            line.currency.code().to_owned(),
            clock.to_string().trim_end_matches(".0").replacen(
                ' ',
                if clock.hour() < 10 { " 0" } else { " " },
                1,
            ),
            line.order_id.clone().unwrap_or_default(),
        ]
    }

    fn written(&self, lines: &[Line]) -> Vec<u8> {
        let quote = self.quote;
        let written = |fields: [String; 11]| {
            let fields = self.order.iter().map(|at| &fields[*at]);
            let quoted = fields.map(|field| {
                let special = [self.delimiter, quote, '\n'];
                if !field.contains(special) {
                    return field.clone();
                }
                format!("{quote}{}{quote}", field.replace(quote, &format!("{quote}{quote}")))
            });
            quoted.collect::<Vec<_>>().join(&self.delimiter.to_string()) + self.ends
        };
        let preamble = format!("Größe {quote}{}", self.ends).repeat(self.skipped);
        let rows: String = lines.iter().map(|line| written(self.row(line))).collect();
        let text = preamble + &written(NAMES.map(str::to_owned)) + &rows;
        match self.encoding {
            "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            "windows-1252" => encoding_rs::WINDOWS_1252.encode(&text).0.into_owned(),
            _ => text.into_bytes(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_written_under_a_map_is_read_back(style in style(), lines in prop::collection::vec(line(), 0..8)) {
        let first = i32::try_from(style.skipped).unwrap() + 2;
        let expected: Vec<Line> = (first..)
            .zip(lines)
            .map(|(line_no, line)| Line { line_no, value_date: line.occurred_at.date(), ..line })
            .collect();
        let found = read(&style.map(), &style.written(&expected));
        prop_assert_eq!(found.map_err(|error| error.to_string()), Ok(expected));
    }

    #[test]
    fn whatever_a_map_and_a_file_say_they_are_read_or_refused(
        seed in prop::sample::select(vec!["bank", "minor", "utf16"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = super::seed(seed);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut parts = bytes.splitn(2, |byte| *byte == 0);
        if let Ok(map) = Map::read("any.toml", parts.next().unwrap())
            && let Ok(lines) = read(&map, parts.next().unwrap_or_default())
        {
            for line in lines {
                prop_assert_eq!(line.gross.checked_sub(line.fee), Some(line.net));
            }
        }
    }
}
