//! The statements of the nested graph: one for each level and field.
//!
//! Everything a GraphQL query reads is read here, for all parents at once. Parents
//! travel as one JSON list; the children of each are limited by themselves, so that
//! no set is sorted or numbered as a whole. Every list is served by an index in its
//! order, and the statements are written so that this needs no statistics.

pub mod chunks;
pub mod documents;
pub mod embeddings;
pub mod sync;

pub use chunks::ChunkRow;
pub use documents::DocumentRow;
pub use sync::SlotRow;

use std::cmp::Ordering;

use sea_orm::DbErr;

use crate::store::page::Window;
use crate::store::sql::Sql;

/// Begins a `FROM` with the parents: `p.key` is a parent's place, `p.value` its id.
fn from_parents<S: AsRef<str>>(sql: &mut Sql, ids: &[S]) {
    if sql.is_postgres() {
        sql.push(" FROM (SELECT n - 1 AS key, value FROM json_array_elements_text((").bind_list(ids);
        sql.push(")::json) WITH ORDINALITY AS j (value, n)) AS p");
    } else {
        sql.push(" FROM json_each(").bind_list(ids).push(") AS p");
    }
}

/// Adds the children of each parent under the alias `alias`: those rows of `table` that the rest
/// of a select (`condition`, from its `WHERE` on; the rows of `table` are `x`) finds.
fn children(sql: &mut Sql, table: &str, alias: &str, condition: impl FnOnce(&mut Sql)) {
    if sql.is_postgres() {
        sql.push(" CROSS JOIN LATERAL (SELECT x.* FROM ").push(table).push(" x WHERE ");
        condition(sql);
        sql.push(") AS ").push(alias);
    } else {
        sql.push(" CROSS JOIN ").push(table).push(" AS ").push(alias).push(" ON ").push(alias);
        sql.push(".rowid IN (SELECT x.rowid FROM ").push(table).push(" x WHERE ");
        condition(sql);
        sql.push(")");
    }
}

/// What was read below the parents of a level, in one list.
#[derive(Debug, Clone)]
pub struct Below<T> {
    /// The children of the first parent in their order, then those of the next.
    pub rows: Vec<T>,
    /// For each parent, where its children are.
    pub parts: Vec<Part>,
}

/// The children of one parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// The first one's place.
    pub start: usize,
    /// The place behind the last one.
    pub end: usize,
    /// There are more after them.
    pub has_next: bool,
    /// There are more before them.
    pub has_previous: bool,
}

/// Sorts children to their parents: `found` has each with its parent's place, `order` is that of the list.
fn below<T>(
    parents: usize,
    found: Vec<(i64, T)>,
    window: &Window,
    order: impl Fn(&T, &T) -> Ordering,
) -> Result<Below<T>, DbErr> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    groups.resize_with(parents, Vec::new);
    let total = found.len();
    for (parent, row) in found {
        let parent = usize::try_from(parent).ok().and_then(|parent| groups.get_mut(parent));
        parent.ok_or_else(unasked)?.push(row);
    }
    let mut rows = Vec::with_capacity(total);
    let mut parts = Vec::with_capacity(parents);
    for mut group in groups {
        if window.reads_descending() {
            group.sort_by(|a, b| order(b, a));
        } else {
            group.sort_by(&order);
        }
        let page = window.page(group);
        let start = rows.len();
        rows.extend(page.rows);
        parts.push(Part { start, end: rows.len(), has_next: page.has_next, has_previous: page.has_previous });
    }
    Ok(Below { rows, parts })
}

/// Sorts numbers to their parents.
fn numbers(parents: usize, found: Vec<(i64, i64)>) -> Result<Vec<i64>, DbErr> {
    let mut numbers = vec![0; parents];
    for (parent, number) in found {
        let parent = usize::try_from(parent).ok().and_then(|parent| numbers.get_mut(parent));
        *parent.ok_or_else(unasked)? = number;
    }
    Ok(numbers)
}

fn unasked() -> DbErr {
    DbErr::Custom("the database answered for a parent that was not asked for".to_owned())
}
