use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::statement::refusal::quoted;

/// Why a map cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapError {
    /// The map's file, as it was given.
    pub file: String,
    /// The line, counted from 1; for a key that is missing, where its table begins.
    pub line: u64,
    /// The key, with those of the tables that it is in; none where the file is no TOML.
    pub key: Option<String>,
    /// What is there.
    pub found: String,
    /// What should be.
    pub expected: String,
}

impl std::error::Error for MapError {}

impl std::fmt::Display for MapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)?;
        if let Some(key) = &self.key {
            write!(f, ", key {key}")?;
        }
        write!(f, ": found {}, expected {}", self.found, self.expected)
    }
}

/// The file that all of it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl<'a> Source<'a> {
    pub const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text }
    }

    /// The tables and values of the file.
    pub fn parse(self) -> Result<DeTable<'a>, MapError> {
        DeTable::parse(self.text).map(Spanned::into_inner).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.refuse(at, None, format!("what is no TOML: {}", error.message()), "TOML")
        })
    }

    fn refuse(
        self,
        at: usize,
        key: Option<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> MapError {
        let before = self.text.bytes().take(at).filter(|byte| *byte == b'\n');
        MapError {
            file: self.file.to_owned(),
            line: before.count() as u64 + 1,
            key,
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// A table, whose keys were all expected.
pub(super) struct Section<'a> {
    source: Source<'a>,
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
}

impl<'a> Section<'a> {
    /// The whole file.
    ///
    /// # Errors
    /// When another key is in it than these.
    pub fn whole(source: Source<'a>, table: &'a DeTable<'a>, keys: &[&str]) -> Result<Self, MapError> {
        Self { source, path: String::new(), at: 0, table }.of_keys(keys)
    }

    fn of_keys(self, keys: &[&str]) -> Result<Self, MapError> {
        for (key, _) in self.table {
            if !keys.contains(&key.get_ref().as_ref()) {
                let path = Some(self.path_of(key.get_ref()));
                let expected = format!("one of the keys {}", keys.join(", "));
                return Err(self.source.refuse(key.span().start, path, "a key that means nothing", expected));
            }
        }
        Ok(self)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        let (at, value) = (value.span().start, value.get_ref());
        Some(Value { source: self.source, path: self.path_of(key), at, value })
    }

    /// The value of a key that has to be there.
    ///
    /// # Errors
    /// When it is not: what it would be is `expected`.
    pub fn needed(&self, key: &str, expected: &str) -> Result<Value<'a>, MapError> {
        self.get(key).ok_or_else(|| self.lacks(key, expected))
    }

    pub fn lacks(&self, key: &str, expected: &str) -> MapError {
        self.source.refuse(self.at, Some(self.path_of(key)), "no such key", expected)
    }

    /// Every key, with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.table.iter().map(|(key, value)| {
            let path = self.path_of(key.get_ref());
            let value = Value { source: self.source, path, at: value.span().start, value: value.get_ref() };
            (key.get_ref().as_ref(), value)
        })
    }
}

/// What a key has.
#[derive(Debug, Clone)]
pub(super) struct Value<'a> {
    source: Source<'a>,
    path: String,
    at: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// That it is not what was expected.
    pub fn refuse(&self, expected: impl Into<String>) -> MapError {
        let found = match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(_) => "an integer".to_owned(),
            DeValue::Array(list) if list.is_empty() => "an empty array".to_owned(),
            DeValue::Array(_) => "an array".to_owned(),
            other => format!("a {}", other.type_str()),
        };
        self.source.refuse(self.at, Some(self.path.clone()), found, expected)
    }

    /// That it is there at all.
    pub fn refuse_key(&self, expected: impl Into<String>) -> MapError {
        self.source.refuse(self.at, Some(self.path.clone()), "the key", expected)
    }

    pub fn as_text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    pub const fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// A text with something in it.
    pub fn text(&self, expected: &str) -> Result<&'a str, MapError> {
        self.as_text().filter(|text| !text.is_empty()).ok_or_else(|| self.refuse(expected))
    }

    /// One character, of which there may be more bytes.
    pub fn character(&self, expected: &str) -> Result<char, MapError> {
        let mut characters = self.text(expected)?.chars();
        match (characters.next(), characters.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(self.refuse(expected)),
        }
    }

    /// What one of these words stands for.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, MapError> {
        let text = self.as_text();
        let chosen = choices.iter().find(|(word, _)| text == Some(*word));
        chosen.map(|(_, chosen)| *chosen).ok_or_else(|| {
            let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            let [rest @ .., last] = words.as_slice() else { return self.refuse("nothing") };
            let expected =
                if rest.is_empty() { last.clone() } else { format!("{} or {last}", rest.join(", ")) };
            self.refuse(expected)
        })
    }

    /// A whole number from `least` to `most`; none where it is no integer.
    pub fn number(&self, least: u64, most: u64) -> Result<Option<u64>, MapError> {
        let DeValue::Integer(integer) = self.value else { return Ok(None) };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| self.refuse(format!("a whole number from {least} to {most}")))
    }

    /// A text, or several of them: at least one.
    pub fn texts(&self, expected: &str) -> Result<Vec<Self>, MapError> {
        let several = match self.value {
            DeValue::String(_) => vec![self.clone()],
            DeValue::Array(list) => self.members(list),
            _ => Vec::new(),
        };
        if several.is_empty() {
            return Err(self.refuse(expected));
        }
        several.iter().try_for_each(|one| one.as_text().map(|_| ()).ok_or_else(|| one.refuse(expected)))?;
        Ok(several)
    }

    fn members(&self, list: &'a DeArray<'a>) -> Vec<Self> {
        let (source, path) = (self.source, &self.path);
        let of = |member: &'a Spanned<DeValue<'a>>| Self {
            source,
            path: path.clone(),
            at: member.span().start,
            value: member.get_ref(),
        };
        list.iter().map(of).collect()
    }

    /// A table with no other keys than these.
    pub fn section(&self, keys: &[&str]) -> Result<Section<'a>, MapError> {
        self.table()?.of_keys(keys)
    }

    /// A table with whatever keys.
    pub fn table(&self) -> Result<Section<'a>, MapError> {
        let DeValue::Table(table) = self.value else { return Err(self.refuse("a table")) };
        Ok(Section { source: self.source, path: self.path.clone(), at: self.at, table })
    }
}
