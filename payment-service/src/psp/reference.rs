use std::fmt;

/// A PSP's own name of one of its objects, such as `pi_3Nk…` or `ch_3Nk…`.
///
/// It comes from outside and goes into paths, rows and logs, hence the narrow alphabet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PspReference(String);

/// A text that cannot be a PSP's name of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 255 letters, digits, `_`, `-` or `.`, beginning with a letter or digit")]
pub struct InvalidReference;

impl PspReference {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reference with this text.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters than references have.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        let starts_well = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if starts_well && text.len() <= 255 && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidReference)
    }
}

impl TryFrom<String> for PspReference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        Self::parse(&text)
    }
}

impl From<PspReference> for String {
    fn from(reference: PspReference) -> Self {
        reference.0
    }
}

impl fmt::Display for PspReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_cannot_climb_a_path_or_break_a_row() {
        for bad in ["", "..", "a/b", "pi 1", "pi_\0", "pi_é", "a?b", "a%2fb", &"x".repeat(256)] {
            assert_eq!(PspReference::parse(bad), Err(InvalidReference), "{bad:?}");
        }
        for good in ["pi_3NkLab", "ch_1", "0198c1f2-6f3a-7b10-8a52-3f8f0e3c9d11"] {
            assert_eq!(PspReference::parse(good).unwrap().as_str(), good);
        }
    }
}
