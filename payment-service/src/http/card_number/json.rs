//! Card numbers in a JSON body: in any string, number or key.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::found_in;

/// The field of the body that looks like a card number; `body` where it cannot be told which.
///
/// What is found nowhere in the text is in no field either, unless an escape hides it: a text without a backslash is
/// read once and never parsed. A text that is no JSON is judged as it stands.
pub fn find_in_json(text: &str) -> Option<String> {
    let seen = found_in(text);
    if !seen && !text.contains('\\') {
        return None;
    }
    let mut found = None;
    let walk = Walk { path: &mut Vec::new(), found: &mut found };
    // Whether it is JSON at all is the business of the one who deserialises it.
    let _ = walk.deserialize(&mut serde_json::Deserializer::from_str(text));
    found.or_else(|| seen.then(|| "body".to_owned()))
}

enum Step {
    Key(String),
    Index(usize),
}

/// Walks through a value and stops at the first card number. Unlike a parsed document it sees repeated keys.
struct Walk<'a> {
    path: &'a mut Vec<Step>,
    found: &'a mut Option<String>,
}

impl Walk<'_> {
    fn inspect<E: Error>(&mut self, text: &str) -> Result<(), E> {
        if !found_in(text) {
            return Ok(());
        }
        *self.found = Some(self.field());
        Err(E::custom("found"))
    }

    /// `splits[0].seller_id`
    fn field(&self) -> String {
        let mut field = String::new();
        for step in self.path.iter() {
            match step {
                Step::Key(key) if field.is_empty() => field.push_str(key),
                Step::Key(key) => field.extend([".", key]),
                Step::Index(index) => field.push_str(&format!("[{index}]")),
            }
        }
        if field.is_empty() { "body".to_owned() } else { field }
    }

    fn step<R>(&mut self, step: Step, inside: impl FnOnce(Walk<'_>) -> R) -> R {
        self.path.push(step);
        let result = inside(Walk { path: self.path, found: self.found });
        self.path.pop();
        result
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, number: u64) -> Result<(), E> {
        self.inspect(&number.to_string())
    }

    fn visit_i64<E: Error>(mut self, number: i64) -> Result<(), E> {
        self.inspect(&number.to_string())
    }

    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        self.inspect(&number.to_string())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.inspect(text)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        while self.step(Step::Index(index), |walk| items.next_element_seed(walk))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(key) = members.next_key::<String>()? {
            if found_in(&key) {
                let parent = self.field();
                *self.found = Some(format!("a key of {parent}"));
                members.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom("found"));
            }
            self.step(Step::Key(key), |walk| members.next_value_seed(walk))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_number_in_a_body_is_found_and_its_field_named() {
        for (body, field) in [
            (r#"{"order_id":"4242424242424242"}"#, "order_id"),
            (r#"{"metadata":{"note":"my card: 4242 4242 4242 4242"}}"#, "metadata.note"),
            (r#"{"amount":4242424242424242}"#, "amount"),
            (r#"{"amount":-4242424242424242}"#, "amount"),
            (r#"{"splits":[{"a":1},{"seller_id":"4242-4242-4242-4242"}]}"#, "splits[1].seller_id"),
            (r#"{"metadata":{"4242424242424242":"x"}}"#, "a key of metadata"),
            (r#"{"4242424242424242":"x"}"#, "a key of body"),
            (r#"{"a":"\u0034242424242424242"}"#, "a"),
            (r#"{"a":"4242\u00204242\u00a04242\t4242"}"#, "a"),
            (r#"{"a\u0020":"1","\u0034242424242424242":1}"#, "a key of body"),
            (r#"{"a":"\u0034242424242424242","a":"x"}"#, "a"),
            (r#"["x\\",["4242424242424242"]]"#, "[1][0]"),
            (r#""4242424242424242""#, "body"),
            (r#"{"a":"4242424242424242"#, "body"),
            ("card 4242424242424242", "body"),
        ] {
            assert_eq!(find_in_json(body).as_deref(), Some(field), "{body}");
        }
    }

    #[test]
    fn a_body_without_one_is_let_through() {
        for body in [
            "",
            "{",
            r#"{"order_id":"o-1","amount":1099,"metadata":{"at":1763800000000,"path":"C:\\x\n"}}"#,
            r#"{"a":4242,"b":4242,"c":4242,"d":4242}"#,
            r#"[4242,4242,4242,4242]"#,
            r#"["4242","4242","4242","4242"]"#,
        ] {
            assert_eq!(find_in_json(body), None, "{body}");
        }
    }

    #[test]
    fn a_deeply_nested_body_ends_the_walk_and_not_the_process() {
        let body = format!("{}\"\\u0034\"", "[".repeat(100_000));
        assert_eq!(find_in_json(&body), None);
    }
}
