use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that does not keep to its alphabet or length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing, or more than the column holds.
    #[error("expected 1 to {max} characters, found {found}")]
    Length {
        /// The most characters there may be.
        max: usize,
        /// How many there were.
        found: usize,
    },
    /// A character that may not be in it.
    #[error("expected only {allowed}, found {found:?}")]
    Character {
        /// What may be in it.
        allowed: &'static str,
        /// What was.
        found: char,
    },
}

macro_rules! name {
    ($($(#[$doc:meta])* $name:ident, $max:literal, $allowed:literal, $check:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                let found = text.chars().count();
                if found == 0 || found > $max {
                    return Err(InvalidName::Length { max: $max, found });
                }
                let allowed: fn(char) -> bool = $check;
                match text.chars().find(|&c| !allowed(c)) {
                    Some(found) => Err(InvalidName::Character { allowed: $allowed, found }),
                    None => Ok(Self(text)),
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

name! {
    /// The merchant's own name for an order.
    OrderId, 255, "printable characters", |c| !c.is_control();
    /// The merchant's own name for a seller, whose wallet it is.
    SellerId, 64, "letters, digits and -_.:", |c| c.is_ascii_alphanumeric() || "-_.:".contains(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_says_what_was_expected() {
        assert_eq!("".parse::<SellerId>().unwrap_err().to_string(), "expected 1 to 64 characters, found 0");
        assert_eq!(
            "a/b".parse::<SellerId>().unwrap_err().to_string(),
            "expected only letters, digits and -_.:, found '/'"
        );
        assert!("Bestellung 12/ä".parse::<OrderId>().is_ok());
        assert!("a\u{0}b".parse::<OrderId>().is_err());
    }
}
