//! Pages of lists.

use serde::Serialize;
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
    pub fn of(mut rows: Vec<T>, limit: u16, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::from(limit);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Self { next_cursor: rows.last().filter(|_| more).map(cursor), data: rows }
    }
}

/// How many rows a page has.
///
/// # Errors
/// What was expected, when it was something else.
pub fn limit_of(requested: Option<u16>) -> Result<u16, String> {
    match requested {
        None => Ok(DEFAULT_LIMIT),
        Some(limit @ 1..=MOST) => Ok(limit),
        Some(_) => Err(format!("expected 1 to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_there_is_another() {
        let page = Page::of(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!((page.data, page.next_cursor.as_deref()), (vec![1, 2], Some("2")));
        let last = Page::of(vec![1, 2], 2, ToString::to_string);
        assert_eq!((last.data.len(), last.next_cursor), (2, None));
    }

    #[test]
    fn a_page_has_one_to_two_hundred_rows() {
        assert_eq!(limit_of(None), Ok(50));
        assert_eq!(limit_of(Some(200)), Ok(200));
        assert!(limit_of(Some(0)).is_err() && limit_of(Some(201)).is_err());
    }
}
