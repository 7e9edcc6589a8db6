use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// Test numbers that the card schemes and PSPs publish.
const PUBLISHED: &[&str] = &[
    "4111111111111111",    // Visa
    "4242424242424242",    // Visa
    "4222222222222",       // Visa, 13
    "4000000760000000005", // Visa, 19
    "5555555555554444",    // Mastercard
    "5105105105105100",    // Mastercard
    "2223003122003222",    // Mastercard, the newer range
    "2720999999999996",    // Mastercard, its last number
    "378282246310005",     // American Express
    "341111111111111",     // American Express
    "6011111111111117",    // Discover
    "6445644564456445",    // Discover
    "30569309025904",      // Diners Club, 14
    "3056930009020004",    // Diners Club, 16
    "36227206271667",      // Diners Club, 14
    "3566002020360505",    // JCB
    "6200000000000005",    // UnionPay
    "6205500000000000004", // UnionPay, 19
    "6759649826438453",    // Maestro
    "6799990100000000019", // Maestro, 19
    "2200000000000053",    // Mir
    "5067310000000010",    // Elo
    "6062821086773091",    // Hipercard
    "9792030000000000",    // Troy
];

#[test]
fn published_card_numbers_are_found_however_they_are_written() {
    for number in PUBLISHED {
        for text in [
            (*number).to_owned(),
            in_groups_of_four(number, " "),
            in_groups_of_four(number, "-"),
            in_groups_of_four(number, "."),
            in_groups_of_four(number, "\t"),
            in_groups_of_four(number, "\u{a0}"),
            in_groups_of_four(number, "\u{2013}"),
            format!("card: {number}, thanks"),
            format!("x{number}y"),
            format!("{{\"{number}\":1}}"),
            format!("order 12 {}", in_groups_of_four(number, " ")),
            format!("{} 12/27 123", in_groups_of_four(number, " ")),
            number.chars().map(full_width).collect(),
        ] {
            assert!(found_in(&text), "{text}");
        }
    }
}

#[test]
fn a_card_number_beside_another_number_is_found_where_it_stands() {
    let text = "77 4242-4242-4242-4242 2027";
    assert_eq!(find_card_number(text), Some(3..22));
    let text = "größe 4242 4242 4242 4242";
    assert_eq!(&text[find_card_number(text).unwrap()], "4242 4242 4242 4242");
}

#[test]
fn a_card_number_in_a_path_or_query_is_found_through_its_encoding() {
    for text in [
        "/v1/payments/4242424242424242",
        "order=4242+4242+4242+4242",
        "order=4242%204242%204242%204242",
        "order=%34%32%34%32424242424242",
        "order=%2534%2532%2534%2532424242424242",
        "order=%EF%BC%94%EF%BC%92%EF%BC%94%EF%BC%92424242424242",
    ] {
        assert!(found_in_encoded(text), "{text}");
    }
    assert!(!found_in_encoded("order=%zz%E4%25&limit=50"));
}

#[test]
fn what_is_no_card_number_is_let_through() {
    for text in [
        "",
        "4242424242424243",                           // fails Luhn
        "9999999999999995",                           // passes it, nobody's range
        "424242424242",                               // too short
        "55555555555544440",                          // Mastercard has no 17 digits
        "3782822463100050",                           // nor American Express 16
        "42424242424242424242",                       // a longer number
        "00004242424242424242",                       // an order number that ends like a card number
        "4242  4242  4242  4242",                     // no single separators
        "4242, 4242, 4242, 4242",                     // a list
        "1763800000000",                              // milliseconds
        "1763800000000000",                           // microseconds
        "1763800000000000000",                        // nanoseconds
        "20261122-0000004242",                        // an order number with its day
        "2026-11-22T10:00:00.123456789Z",             // a time
        "+49 30 901820",                              // a telephone number
        "41111111-1111-4111-8111-111111111111",       // a UUID that is all digits
        "order-0198c1f2-6f3a-7b10-8a52-424242424242", // one with a prefix
        "d41d8cd98f00b204e9800998ecf8427e",           // a digest
        "aaaa4242424242424242aaaaaaaaaaaa",           // one with such digits in it
        "0.4242424242424242",                         // a fraction
        "rate -1.4242424242424242.",                  // one in a sentence
    ] {
        assert_eq!(find_card_number(text), None, "{text}");
    }
}

#[test]
fn what_only_resembles_an_exempted_form_is_refused() {
    for text in [
        "4242-4242-4242-4242-8111-111111111111",                     // no UUID
        "x41111111-1111-4111-8111-111111111111 4242 4242 4242 4242", // a card number beside a UUID
        "41111111-1111-4111-8111-111111111111 4242 4242 4242 4242",
        "a4242424242424242",         // too short for a digest
        "1234.4242424242424242",     // no fraction: an order and a card
        "4.242424242424242e15",      // a card number as a float
        "60110000.00\u{a0}0.000001", // not with a separator that is no ASCII either
        "7.4242424242424242 9",      // digits go on
    ] {
        assert!(found_in(text), "{text}");
    }
}

/// A number of a random range and length with its check digit.
fn card_number() -> impl Strategy<Value = String> {
    (0..RANGES.len()).prop_flat_map(|index| {
        let (range, lengths) = &RANGES[index];
        (range.clone(), prop::sample::select(*lengths), prop::collection::vec(0..10_u8, LONGEST)).prop_map(
            |(prefix, length, filler)| {
                let mut digits: Vec<u8> = prefix.to_string().bytes().map(|byte| byte - b'0').collect();
                digits.extend(filler);
                digits.truncate(length - 1);
                let check =
                    (0..10).find(|check| passes_luhn(&[digits.as_slice(), &[*check]].concat())).unwrap();
                digits.push(check);
                digits.iter().map(|digit| char::from(b'0' + digit)).collect()
            },
        )
    })
}

fn separators() -> impl Strategy<Value = Vec<&'static str>> {
    let one = prop::sample::select(vec![
        "", "", "", " ", "-", ".", "\t", "\u{a0}", "\u{2009}", "\u{2011}", "\u{200b}",
    ]);
    prop::collection::vec(one, LONGEST)
}

proptest! {
    #[test]
    fn every_issuers_numbers_are_found_with_any_separators(number in card_number(), separators in separators()) {
        let mut text = String::new();
        for (digit, separator) in number.chars().zip(separators) {
            text.push_str(separator);
            text.push(digit);
        }
        let text = text.trim_start_matches(|character: char| !character.is_ascii_digit());
        // By chance it may have been written as a fraction.
        let fraction = text.split_once('.').is_some_and(|(whole, part)| {
            whole.len() <= 3 && [whole, part].iter().all(|side| side.bytes().all(|byte| byte.is_ascii_digit()))
        });
        prop_assert!(fraction || found_in(&format!("[{text}]")), "{}", text);
    }

    #[test]
    fn uuids_are_never_refused(bits: u128, simple: bool) {
        let uuid = Uuid::from_u128(bits);
        let text = if simple { uuid.simple().to_string() } else { uuid.to_string() };
        prop_assume!(!simple || text.contains(|c: char| c.is_ascii_alphabetic()));
        prop_assert!(!found_in(&text), "{}", text);
        let text = format!("pay_{text}");
        prop_assert!(simple || !found_in(&text), "{}", text);
    }

    #[test]
    fn time_stamps_are_never_refused(ms in 1_000_000_000_000_u64..2_000_000_000_000, finer in 0..1_000_000_u64) {
        for text in [format!("{ms}"), format!("{ms}{:03}", finer / 1000), format!("{ms}{finer:06}"), format!("o-{ms}")] {
            prop_assert!(!found_in(&text), "{}", text);
        }
    }

    #[test]
    fn ulids_are_never_refused(bits: u128) {
        const ALPHABET: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let ulid: String =
            (0..26).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place)) as usize % 32])).collect();
        prop_assert!(!found_in(&ulid), "{}", ulid);
    }

    #[test]
    fn any_text_can_be_looked_through(text: String) {
        let found = find_card_number(&text);
        prop_assert!(found.is_none_or(|range| text.get(range).is_some()));
    }
}

fn in_groups_of_four(number: &str, separator: &str) -> String {
    let groups: Vec<_> = number.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(separator)
}

fn full_width(digit: char) -> char {
    char::from_u32(u32::from(digit) - u32::from('0') + 0xFF10).unwrap()
}
