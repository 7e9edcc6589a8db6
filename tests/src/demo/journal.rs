//! What a client notes in its journal.

use serde::{Deserialize, Serialize};

/// A line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which order it is about.
    pub order: String,
    /// Under which key it was asked.
    pub key: String,
    /// Which of the requests with that key it was, counted from one.
    pub attempt: u32,
    /// What came of it.
    #[serde(flatten)]
    pub event: Event,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was sent.
    Sent,
    /// It was answered.
    Told {
        /// The status.
        status: u16,
        /// Whether it was marked as the answer to an earlier request.
        replayed: bool,
        /// The body.
        body: String,
    },
    /// The client did not wait for the answer.
    HungUp,
    /// The connection broke before the answer.
    Broken,
    /// The service could not be reached at all.
    Unreachable,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Journal, read_all};

    #[test]
    fn a_journal_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let event = Event::Told { status: 201, replayed: false, body: "{\"a\":\n1}".to_owned() };
        let line = |event| Line { order: "o-1".to_owned(), key: "k".to_owned(), attempt: 1, event };
        let lines = [Event::Sent, event, Event::HungUp].map(line);
        let mut journal = Journal::create(folder.path(), 3).unwrap();
        for line in &lines {
            journal.note(line).unwrap();
        }
        assert_eq!(read_all::<Line>(folder.path()).unwrap(), lines);
    }
}
