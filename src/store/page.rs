//! Keyset pages: windows over an ordered list, and the cursors between them.
//!
//! A cursor is the sort key and the id of one row, under the name of the list and
//! order it was made for; a page behind it stays where it is whatever is inserted
//! elsewhere. To the caller it is opaque.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::Error;
use crate::error::Result;
use crate::error::Rule;
use crate::store::sql::Sql;

/// The version in every cursor: a cursor of another one is refused.
const VERSION: u64 = 1;

/// An ordered list that can be paged. Its columns together name a row.
#[derive(Debug, PartialEq, Eq)]
pub struct List {
    /// Its name in cursors.
    pub name: &'static str,
    /// The columns it is ordered by, as SQL, all in one direction.
    pub columns: &'static [(&'static str, Kind)],
    /// From the greatest to the least.
    pub descending: bool,
}

/// What a sort column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Int,
    /// A text that compares bytewise.
    Text,
}

/// The value of one sort column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Of [`Kind::Int`].
    Int(i64),
    /// Of [`Kind::Text`].
    Text(String),
}

/// The arguments of a page: how many, from which end, between which cursors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageArgs {
    /// Rows at most.
    pub limit: u64,
    /// Counted from the end.
    pub backward: bool,
    /// Only what comes after this cursor.
    pub after: Option<String>,
    /// Only what comes before this cursor.
    pub before: Option<String>,
}

impl PageArgs {
    /// Rows of a page that does not say.
    pub const DEFAULT: u64 = 20;

    /// Checks the four arguments of a connection.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a number is out of range, or when both are given.
    pub fn checked(
        first: Option<i64>,
        after: Option<String>,
        last: Option<i64>,
        before: Option<String>,
        max: u64,
    ) -> Result<Self> {
        if first.is_some() && last.is_some() {
            return Err(Error::invalid_value("last", "first and last exclude each other"));
        }
        let (field, given) = if last.is_some() { ("last", last) } else { ("first", first) };
        let limit = match given {
            None => Self::DEFAULT.min(max),
            Some(count) => size(field, count, max)?,
        };
        Ok(Self { limit, backward: last.is_some(), after, before })
    }
}

/// A number of rows between 1 and `max`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn size(field: &str, count: i64, max: u64) -> Result<u64> {
    match u64::try_from(count) {
        Ok(0) | Err(_) => Err(Error::invalid(field, Rule::GreaterThanEqual(1))),
        Ok(count) if count > max => {
            Err(Error::invalid(field, Rule::LessThanEqual(i64::try_from(max).unwrap_or(i64::MAX))))
        }
        Ok(count) => Ok(count),
    }
}

impl List {
    /// The window that `args` open on this list.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub fn window(&'static self, args: &PageArgs) -> Result<Window> {
        self.window_by(args, |cursor| self.key(cursor))
    }

    /// The window that `args` open on this list below each of `parents`. Its cursors have the parent's id behind the
    /// key: one that was made below another parent is foreign, and so is any where there are several.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub fn window_below(&'static self, args: &PageArgs, parents: &[&str]) -> Result<Window> {
        self.window_by(args, |cursor| {
            let (key, parent) = self.key_below(cursor)?;
            parents.iter().all(|own| *own == parent).then_some(key)
        })
    }

    fn window_by(&'static self, args: &PageArgs, key: impl Fn(&str) -> Option<Vec<Part>>) -> Result<Window> {
        let key = |cursor: &Option<String>, field| {
            cursor.as_deref().map(|text| key(text).ok_or(Error::BadCursor { field })).transpose()
        };
        Ok(Window {
            list: self,
            limit: args.limit,
            backward: args.backward,
            after: key(&args.after, "after")?,
            before: key(&args.before, "before")?,
        })
    }

    /// The cursor of a row by the values of its sort columns, and its parent where the list is below one.
    #[must_use]
    pub fn cursor(&self, key: &[Part]) -> String {
        let mut parts = vec![serde_json::Value::from(VERSION), serde_json::Value::from(self.name)];
        parts.extend(key.iter().map(|part| match part {
            Part::Int(number) => serde_json::Value::from(*number),
            Part::Text(text) => serde_json::Value::from(text.as_str()),
        }));
        URL_SAFE_NO_PAD.encode(serde_json::Value::Array(parts).to_string())
    }

    /// The key in a cursor, if this list made it.
    fn key(&self, cursor: &str) -> Option<Vec<Part>> {
        self.read(&self.parts(cursor)?)
    }

    /// The key and the parent in a cursor, if this list made it.
    fn key_below(&self, cursor: &str) -> Option<(Vec<Part>, String)> {
        let mut parts = self.parts(cursor)?;
        let parent = parts.pop()?.as_str()?.to_owned();
        Some((self.read(&parts)?, parent))
    }

    /// What a cursor holds behind its head.
    fn parts(&self, cursor: &str) -> Option<Vec<serde_json::Value>> {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let parts: Vec<serde_json::Value> = serde_json::from_slice(&text).ok()?;
        let (head, key) = parts.split_at_checked(2)?;
        let own = head[0].as_u64()? == VERSION && head[1].as_str()? == self.name;
        own.then(|| key.to_vec())
    }

    fn read(&self, key: &[serde_json::Value]) -> Option<Vec<Part>> {
        if key.len() != self.columns.len() {
            return None;
        }
        let part = |(value, (_, kind)): (&serde_json::Value, &(&str, Kind))| match kind {
            Kind::Int => value.as_i64().map(Part::Int),
            // PostgreSQL has no U+0000 in texts.
            Kind::Text => value.as_str().filter(|text| !text.contains('\0')).map(|text| Part::Text(text.to_owned())),
        };
        key.iter().zip(self.columns).map(part).collect()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    list: &'static List,
    limit: u64,
    backward: bool,
    after: Option<Vec<Part>>,
    before: Option<Vec<Part>>,
}

impl Window {
    /// The list it is on.
    #[must_use]
    pub const fn list(&self) -> &'static List {
        self.list
    }

    /// Whether the statement reads from the greatest to the least.
    #[must_use]
    pub const fn reads_descending(&self) -> bool {
        self.list.descending != self.backward
    }

    /// Adds the bounds as conditions, each after an `AND`.
    pub fn bounds(&self, sql: &mut Sql) {
        for (key, after) in [(&self.after, true), (&self.before, false)] {
            let Some(key) = key else { continue };
            let sign = if after == self.list.descending { "<" } else { ">" };
            sql.push(" AND (").push(&self.list.names()).push(") ").push(sign).push(" (");
            for (i, part) in key.iter().enumerate() {
                if i > 0 {
                    sql.push(", ");
                }
                match part {
                    Part::Int(number) => sql.bind(*number),
                    Part::Text(text) => sql.bind(text.as_str()),
                };
            }
            sql.push(")");
        }
    }

    /// Adds the order and the limit: one row more than the page, to see whether there are more.
    pub fn order(&self, sql: &mut Sql) {
        let direction = if self.reads_descending() { " DESC" } else { "" };
        for (i, (name, _)) in self.list.columns.iter().enumerate() {
            sql.push(if i > 0 { ", " } else { " ORDER BY " }).push(name).push(direction);
        }
        sql.push(" LIMIT ").bind(i64::try_from(self.limit + 1).unwrap_or(i64::MAX));
    }

    /// The page in what a statement with [`Window::bounds`] and [`Window::order`] has read.
    #[must_use]
    pub fn page<T>(&self, mut rows: Vec<T>) -> Page<T> {
        let more = rows.len() as u64 > self.limit;
        rows.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        if self.backward {
            rows.reverse();
            Page { rows, has_next: self.before.is_some(), has_previous: more }
        } else {
            Page { rows, has_next: more, has_previous: self.after.is_some() }
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the order of the list.
    pub rows: Vec<T>,
    /// There are rows after it.
    pub has_next: bool,
    /// There are rows before it.
    pub has_previous: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    static TITLES: List = List { name: "titles", columns: &[("t", Kind::Text), ("n", Kind::Int)], descending: false };
    static OTHER: List = List { name: "other", columns: &[("t", Kind::Text), ("n", Kind::Int)], descending: false };

    proptest::proptest! {
        #[test]
        fn a_cursor_reads_back_as_its_key_and_only_on_its_own_list(text in "[^\0]*", number: i64) {
            let key = vec![Part::Text(text), Part::Int(number)];
            let cursor = TITLES.cursor(&key);
            proptest::prop_assert_eq!(TITLES.key(&cursor), Some(key));
            proptest::prop_assert_eq!(OTHER.key(&cursor), None);
        }

        #[test]
        fn any_other_text_is_no_cursor(text: String) {
            proptest::prop_assert_eq!(TITLES.key(&text), None);
        }
    }

    #[test]
    fn the_four_arguments_are_checked() {
        let checked =
            |first, last| PageArgs::checked(first, None, last, None, 100).map(|args| (args.limit, args.backward));
        assert_eq!(checked(None, None).unwrap(), (20, false));
        assert_eq!(checked(Some(100), None).unwrap(), (100, false));
        assert_eq!(checked(None, Some(1)).unwrap(), (1, true));
        for (first, last) in [(Some(0), None), (Some(101), None), (None, Some(-1)), (Some(1), Some(1))] {
            assert!(checked(first, last).is_err(), "{first:?} {last:?}");
        }
    }
}
