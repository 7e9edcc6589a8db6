//! Form bodies with nested keys: `metadata[a]=1&expand[0]=latest_charge`.

use super::ApiError;
use crate::model::Metadata;
use crate::model::currency::Currency;

/// The parameters of one request. Each is taken once; what is left at the end is unknown.
#[derive(Debug, Default)]
pub struct Form {
    pairs: Vec<(String, String)>,
    taken: Vec<bool>,
}

impl Form {
    /// Reads a query string and a form body as one.
    pub fn parse(query: &str, body: &[u8]) -> Self {
        let mut pairs = Vec::with_capacity(8);
        for source in [query.as_bytes(), body] {
            pairs.extend(
                form_urlencoded::parse(source).map(|(key, value)| (key.into_owned(), value.into_owned())),
            );
        }
        let taken = vec![false; pairs.len()];
        Self { pairs, taken }
    }

    /// What makes two requests the same: where they go and what they say, in any order.
    pub fn fingerprint(&self, method: &str, path: &str) -> u128 {
        let mut sorted: Vec<_> = self.pairs.iter().collect();
        sorted.sort_unstable();
        let start = fnv(fnv(FNV_OFFSET, method), path);
        sorted.into_iter().fold(start, |hash, (key, value)| fnv(fnv(hash, key), value))
    }

    /// A metadata value, without taking it.
    pub fn metadata_value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find_map(|(name, value)| {
            let inner = nested(name, "metadata")?;
            (inner == key).then_some(value.as_str())
        })
    }

    /// A single value, without taking it.
    pub fn peek(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A single value; an empty one is as good as none.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let at = self.pairs.iter().position(|(key, _)| key == name)?;
        self.taken[at] = true;
        let value = std::mem::take(&mut self.pairs[at].1);
        (!value.is_empty()).then_some(value)
    }

    /// A value of limited length.
    pub fn text_within(&mut self, name: &str, limit: usize) -> Result<Option<String>, ApiError> {
        let value = self.text(name);
        match &value {
            Some(text) if text.chars().count() > limit => Err(ApiError::invalid(
                name,
                "",
                format!("Invalid {name}: must be at most {limit} characters"),
            )),
            _ => Ok(value),
        }
    }

    /// A whole number.
    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ApiError::invalid(name, "parameter_invalid_integer", format!("Invalid integer: {text}"))
                })
            })
            .transpose()
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, ApiError> {
        self.text(name)
            .map(|text| match text.as_str() {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err(ApiError::invalid(name, "", format!("Invalid boolean: {text}"))),
            })
            .transpose()
    }

    /// One word of a fixed set.
    pub fn word<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Result<Option<T>, ApiError> {
        self.text(name)
            .map(|text| {
                parse(&text).ok_or_else(|| {
                    let message = format!("Invalid {name}: must be one of {}", words.join(", "));
                    ApiError::invalid(name, "", message)
                })
            })
            .transpose()
    }

    /// A currency code.
    pub fn currency(&mut self, name: &str) -> Result<Option<Currency>, ApiError> {
        self.text(name)
            .map(|text| {
                Currency::parse(&text).ok_or_else(|| {
                    let message = format!("Invalid currency: {text}");
                    ApiError::invalid(name, "", message)
                })
            })
            .transpose()
    }

    /// A value that must be there.
    pub fn required<T>(name: &str, value: Option<T>) -> Result<T, ApiError> {
        value.ok_or_else(|| {
            ApiError::invalid(name, "parameter_missing", format!("Missing required param: {name}."))
        })
    }

    /// A list: `name[0]`, `name[]`.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        for ((key, value), taken) in self.pairs.iter_mut().zip(&mut self.taken) {
            if key == name || nested(key, name).is_some() {
                *taken = true;
                found.push(std::mem::take(value));
            }
        }
        found
    }

    /// The metadata of a new object.
    pub fn metadata(&mut self) -> Result<Metadata, ApiError> {
        self.metadata_of("metadata")
    }

    /// The metadata of a new object, under this name.
    pub fn metadata_of(&mut self, name: &str) -> Result<Metadata, ApiError> {
        let mut metadata = Metadata::default();
        for (key, value) in self.pairs_of(name)? {
            metadata.set(&key, &value);
        }
        if metadata.len() > 50 {
            let message = "Metadata can have at most 50 keys".to_owned();
            return Err(ApiError::invalid("metadata", "", message));
        }
        Ok(metadata)
    }

    /// The changes to an object's metadata; an empty value unsets a key.
    pub fn metadata_changes(&mut self) -> Result<Vec<(String, String)>, ApiError> {
        self.pairs_of("metadata")
    }

    fn pairs_of(&mut self, of: &str) -> Result<Vec<(String, String)>, ApiError> {
        let mut changes = Vec::new();
        for ((name, value), taken) in self.pairs.iter().zip(&mut self.taken) {
            let Some(key) = nested(name, of) else {
                continue;
            };
            *taken = true;
            let fault = if key.chars().count() > 40 {
                "keys must be at most 40 characters"
            } else if value.chars().count() > 500 {
                "values must be at most 500 characters"
            } else {
                changes.push((key.to_owned(), value.clone()));
                continue;
            };
            return Err(ApiError::invalid(name, "", format!("Invalid metadata: {fault}")));
        }
        Ok(changes)
    }

    /// Accepts parameters that exist and change nothing here.
    pub fn accept(&mut self, names: &[&str]) {
        for ((key, _), taken) in self.pairs.iter().zip(&mut self.taken) {
            let root = key.split('[').next().unwrap_or(key);
            *taken |= names.contains(&root);
        }
    }

    /// Refuses whatever nobody took.
    pub fn finish(self) -> Result<(), ApiError> {
        let left = self.taken.iter().position(|taken| !taken);
        left.map_or(Ok(()), |at| {
            let name = &self.pairs[at].0;
            Err(ApiError::invalid(name, "parameter_unknown", format!("Received unknown parameter: {name}")))
        })
    }
}

/// FNV-1a in 128 bits: nobody here has a reason to look for collisions, and it costs a tenth of SHA-256.
const FNV_OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const FNV_PRIME: u128 = 0x0100_0000_0000_0000_0000_013B;

/// Adds a text and its end, which no text contains.
fn fnv(hash: u128, text: &str) -> u128 {
    text.bytes()
        .chain(std::iter::once(0xff))
        .fold(hash, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(FNV_PRIME))
}

/// The `key` of `name[key]`.
fn nested<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_keys_are_read_as_the_official_library_writes_them() {
        let body = b"amount=1099&metadata[order_id]=o-1&metadata[a%20b]=x%26y%3D%C3%A9&expand[0]=latest_charge.balance_transaction&off_session=true";
        let mut form = Form::parse("", body);
        assert_eq!(form.metadata_value("order_id"), Some("o-1"));
        assert_eq!(form.integer("amount").expect("a number"), Some(1099));
        assert_eq!(form.metadata().expect("pairs").get("a b"), Some("x&y=é"));
        assert_eq!(form.list("expand"), ["latest_charge.balance_transaction"]);
        assert_eq!(form.flag("off_session").expect("a flag"), Some(true));
        assert!(form.finish().is_ok());
    }

    #[test]
    fn what_nobody_takes_is_unknown() {
        let mut form = Form::parse("limit=3", b"amuont=1");
        assert_eq!(form.integer("limit").expect("a number"), Some(3));
        let error = form.finish().expect_err("amuont is unknown");
        assert_eq!(error.code, "parameter_unknown");
        assert_eq!(error.param.as_deref(), Some("amuont"));
    }

    #[test]
    fn a_fingerprint_ignores_order_and_sees_values_and_endpoint() {
        let one = Form::parse("", b"a=1&b=2").fingerprint("POST", "/v1/refunds");
        let other = Form::parse("", b"b=2&a=1").fingerprint("POST", "/v1/refunds");
        assert_eq!(one, other);
        let value = Form::parse("", b"a=1&b=3").fingerprint("POST", "/v1/refunds");
        let path = Form::parse("", b"a=1&b=2").fingerprint("POST", "/v1/payment_intents");
        let moved = Form::parse("", b"a=&1b=2").fingerprint("POST", "/v1/refunds");
        assert!(one != value && one != path && one != moved);
    }
}
