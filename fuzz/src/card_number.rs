//! The search for card numbers.

use payment_service::http::card_number::{find_card_number, find_in_json, found_in, found_in_encoded};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Numbers that cards could have, of several issuers and lengths, with and without separators.
const CARDS: [&str; 6] = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "378282246310005",
    "6011\u{a0}1111\u{a0}1111\u{a0}1117",
    "4222222222222",
];

/// Whatever stands around a card number, it is found, also when it is encoded.
pub(crate) fn run(data: &[u8]) {
    let (card, data) = crate::choose(&CARDS, data);
    let text = String::from_utf8_lossy(data);
    if let Some(range) = find_card_number(&text) {
        let found = text.get(range).expect("whole characters");
        assert!(found_in(found), "{found:?} is no card number by itself");
    }
    let _any = (find_in_json(&text), found_in_encoded(&text));
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let (before, after) = text.split_at(middle);
    let planted = format!("{before}|{card}|{after}");
    let range = find_card_number(&planted).expect("a planted card number is found");
    assert!(planted.get(range).is_some());
    let encoded = utf8_percent_encode(&planted, NON_ALPHANUMERIC).to_string();
    assert!(found_in_encoded(&encoded), "{encoded}");
    let json = serde_json::json!({"metadata": [{ "note": planted }]}).to_string();
    assert!(find_in_json(&json).is_some(), "{json}");
    let key = serde_json::json!({ planted: null }).to_string();
    assert!(find_in_json(&key).is_some(), "{key}");
}
