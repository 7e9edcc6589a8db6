use std::io::{self, Read};

use time::OffsetDateTime;

use super::{Event, Observer, latest};
use crate::source::{Items, Keeper, Kept, Opened, Position};
use crate::statement::{Error, Format, Line, Map, Refusal, Statement};

/// How often progress is told, in lines.
const TELL_EVERY_LINES: u64 = 8_192;

/// A settlement file that was read once and is right, and its lines as they were read.
pub(super) struct Document {
    pub name: String,
    pub sha256: [u8; 32],
    pub latest_at: Option<OffsetDateTime>,
    pub format: Format,
    /// What its columns are, where we have no reader of our own.
    pub map: Option<Map>,
    /// What it is a version of, in its PSP's words.
    pub identity: Option<String>,
    lines: Kept<Line>,
}

impl Document {
    /// Reads the whole file, keeping none of it in memory.
    pub fn check(opened: Opened, map: Option<Map>, observer: &Observer) -> Result<Self, Error> {
        let name = opened.name.clone();
        let (content, position) = opened.into_parts();
        let mut statement = match &map {
            Some(map) => Statement::open_mapped(&name, content, map)?,
            None => Statement::open(&name, content)?,
        };
        let copy_error = |source| Error::Copy { file: name.clone(), source };
        let mut keeper = Keeper::new().map_err(copy_error)?;
        let latest_at = keep_lines(&mut statement, &mut keeper, &position, observer, copy_error)?;
        let lines = keeper.finish().map_err(copy_error)?;
        let most = i32::MAX as u64;
        if lines.count() > most {
            let found = format!("{} lines", lines.count());
            return Err(Refusal::of_file(&name, found, format!("at most {most}")).into());
        }
        Ok(Self {
            sha256: statement.sha256(),
            latest_at,
            format: statement.format(),
            identity: statement.identity(),
            map,
            lines,
            name,
        })
    }

    /// How many lines it has.
    pub const fn lines(&self) -> u64 {
        self.lines.count()
    }

    /// The lines from the one after `passed` others.
    pub fn lines_after(&self, passed: u64) -> Result<Lines<'_>, Error> {
        let items = self.lines.after(passed).map_err(|source| self.broken(source))?;
        Ok(Lines { document: self, items })
    }

    fn broken(&self, source: io::Error) -> Error {
        Error::Copy { file: self.name.clone(), source }
    }
}

/// Answers the latest moment that the lines know of.
fn keep_lines(
    statement: &mut Statement<impl Read>,
    keeper: &mut Keeper<Line>,
    position: &Position,
    observer: &Observer,
    copy_error: impl Fn(io::Error) -> Error,
) -> Result<Option<OffsetDateTime>, Error> {
    let (mut latest_at, mut lines) = (None, 0_u64);
    while let Some(line) = statement.next_line()? {
        keeper.add(&line).map_err(&copy_error)?;
        lines += 1;
        latest_at = latest(latest_at, line.occurred_at);
        if lines.is_multiple_of(TELL_EVERY_LINES) {
            observer(Event::Checked { bytes: position.bytes(), of: position.size });
        }
    }
    Ok(latest_at)
}

/// Lines of a document, in their order.
pub(super) struct Lines<'a> {
    document: &'a Document,
    items: Items<'a, Line>,
}

impl Lines<'_> {
    /// Up to `count` of the next.
    pub fn take(&mut self, count: usize) -> Result<Vec<Line>, Error> {
        self.items.take(count).map_err(|source| self.document.broken(source))
    }
}
