//! Pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const DEFAULT_LIMIT: u16 = 50;
const MOST: u16 = 200;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The page of the first `limit` of `rows`, which were asked for with one more. `cursor` names a row.
    pub fn of(mut rows: Vec<T>, limit: Limit, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::from(limit.get());
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { next_cursor: rows.last().filter(|_| more).map(cursor), data: rows }
    }
}

/// What is wrong with a cursor that no page gave.
pub const NO_CURSOR: &str = "expected the next_cursor of a page";

/// How many rows a page has, as the query says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Limit(u16);

impl Limit {
    /// So many.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// One more, which tells whether there is another page.
    pub const fn and_one(self) -> u16 {
        self.0 + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl TryFrom<String> for Limit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.parse() {
            Ok(limit @ 1..=MOST) => Ok(Self(limit)),
            Ok(_) | Err(_) => Err(format!("expected 1 to {MOST}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_there_is_another() {
        let page = Page::of(vec![1, 2, 3], Limit(2), ToString::to_string);
        assert_eq!((page.data, page.next_cursor.as_deref()), (vec![1, 2], Some("2")));
        let last = Page::of(vec![1, 2], Limit(2), ToString::to_string);
        assert_eq!((last.data.len(), last.next_cursor), (2, None));
    }

    #[test]
    fn a_page_has_one_to_two_hundred_rows() {
        let limit = |text: &str| Limit::try_from(text.to_owned()).map(Limit::get);
        assert_eq!(Limit::default().get(), 50);
        assert_eq!((limit("1"), limit("200")), (Ok(1), Ok(200)));
        for wrong in ["0", "201", "65537", "-1", "1.0", "", "many"] {
            assert_eq!(limit(wrong), Err("expected 1 to 200".to_owned()), "{wrong}");
        }
    }
}
