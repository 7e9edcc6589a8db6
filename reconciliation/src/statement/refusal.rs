use std::fmt;

/// Where a file is wrong, and how. Nothing of the file was used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
pub struct Refusal {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, counted from 1; none when it is about the file as a whole.
    pub line: Option<u64>,
    /// The column's name.
    pub column: Option<String>,
    /// What is there.
    pub found: String,
    /// What should be.
    pub expected: String,
}

/// The longest piece of a file that a message repeats, in characters.
const QUOTED_CHARACTERS: usize = 60;

/// What is expected of a moment that is none in UTC.
pub(super) const A_YEAR: &str = "a moment of the years 0 to 9999, in UTC";

impl Refusal {
    /// Something about the whole file.
    pub fn of_file(file: &str, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            column: None,
            found: found.into(),
            expected: expected.into(),
        }
    }

    /// Something about a line.
    pub fn of_line(file: &str, line: u64, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::of_file(file, found, expected) }
    }

    /// A value that is not what its column holds.
    pub fn of_value(file: &str, line: u64, column: &str, found: &str, expected: impl Into<String>) -> Self {
        Self { column: Some(column.to_owned()), ..Self::of_line(file, line, quoted(found), expected) }
    }
}

/// `text` as a message shows it: short, and with nothing in it that a terminal would act on.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        write!(f, ": found {}, expected {}", self.found, self.expected)
    }
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It says something that it may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be got at.
    #[error("{file} could not be read")]
    Io {
        /// The file's name.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No copy of it could be made or read, in the folder for temporary files.
    #[error("{file} could not be copied to the folder for temporary files, {}", std::env::temp_dir().display())]
    Copy {
        /// The file's name.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
