//! Text from outside, made fit to be kept and shown.

use std::fmt::Write;

/// The least run of digits, spaced or dashed, that could be a card number.
const CARD_DIGITS: usize = 12;

/// `text` without control characters, card numbers and `secret`, cut to `most` characters.
pub(super) fn clean(text: &str, secret: &str, most: usize) -> String {
    // first of all, lest what stands between digits here become a mere space
    let text = text.replace(char::is_control, " ");
    let text = if secret.is_empty() { text } else { text.replace(secret, "[secret]") };
    let mut out = String::with_capacity(text.len().min(most * 4));
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let (run, digits) = number(rest);
        if digits >= CARD_DIGITS {
            let _ = write!(out, "[{digits} digits]");
            rest = &rest[run..];
        } else if digits > 0 {
            out.push_str(&rest[..run]);
            rest = &rest[run..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    match out.char_indices().nth(most) {
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

/// How many bytes at the start of `text` are digits with spaces or dashes between them, and how many digits.
fn number(text: &str) -> (usize, usize) {
    let bytes = text.as_bytes();
    let (mut end, mut digits) = (0, 0);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = at + 1;
            }
            b' ' | b'-' if digits > 0 => {}
            _ => break,
        }
        at += 1;
    }
    (end, digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_and_no_card_number_is_kept() {
        for (text, kept) in [
            ("Invalid key sk_test_1: stop", "Invalid key [secret]: stop"),
            ("card 4242424242424242 declined", "card [16 digits] declined"),
            ("card 4242 4242-4242 4242.", "card [16 digits]."),
            ("4242\u{0}4242  4242--4242", "[16 digits]"),
            ("a\u{0}b\nc", "a b c"),
            (
                "Your card was declined (code 51), try 3 days later",
                "Your card was declined (code 51), try 3 days later",
            ),
            ("12 -- 34 é", "12 -- 34 é"),
            ("5 4242424242424242", "[17 digits]"),
        ] {
            assert_eq!(clean(text, "sk_test_1", 2000), kept);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_no_card_number_is_left(text in r"([0-9]{1,4}[ -]?|[a-zé\x00]){0,40}", most in 0_usize..200) {
            let kept = clean(&text, "secret", most);
            assert!(kept.chars().count() <= most);
            assert!(!kept.chars().any(char::is_control));
            let bare = kept.replace([' ', '-'], "");
            let longest = bare.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
            assert!(longest < Some(CARD_DIGITS), "{kept:?}");
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(clean(&"é".repeat(3000), "", 2000).chars().count(), 2000);
        assert_eq!(clean("abc", "", 2), "ab");
    }
}
