//! Connections: pages of a list, as Relay wants them.
//!
//! A connection is a range of a level; cursors are made from the rows when they
//! are selected, and the total is counted only when it is.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use async_graphql::Object;
use async_graphql::OutputType;
use async_graphql::SimpleObject;
use async_graphql::TypeName;
use futures_util::future::BoxFuture;

use crate::error::Result;
use crate::graphql::level::At;
use crate::graphql::level::Level;
use crate::graphql::level::Row;
use crate::service::Ctx;
use crate::store::graph;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::PageArgs;
use crate::store::page::Part;

/// An object type that lists are made of.
pub trait Listed: OutputType + 'static {
    /// The row it is made from.
    type Row: Row;
    /// The names of its connection and of its edge.
    const NAMES: (&'static str, &'static str);

    /// The object of a row.
    fn of(row: At<Self::Row>) -> Self;

    /// The row's key on a list.
    fn key(row: &Self::Row, list: &List) -> Vec<Part>;
}

/// Checks the arguments of a connection.
///
/// # Errors
/// [`crate::error::Error::Invalid`].
pub fn args(
    cx: &Ctx,
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Result<PageArgs> {
    PageArgs::checked(first.map(i64::from), after, last.map(i64::from), before, cx.config().limits.graphql_page)
}

/// Counts a list when somebody asks.
pub type Count = Box<dyn Fn() -> BoxFuture<'static, Result<i64>> + Send + Sync>;

/// A page of a list.
pub struct Connection<N: Listed> {
    level: Arc<Level<N::Row>>,
    range: Range<usize>,
    has_next: bool,
    has_previous: bool,
    list: &'static List,
    count: Count,
}

impl<N: Listed> Connection<N> {
    /// The page that was read alone: its rows are a level.
    #[must_use]
    pub fn new(cx: &Ctx, page: Page<N::Row>, list: &'static List, count: Count) -> Self {
        let Page { rows, has_next, has_previous } = page;
        let level = Level::new(cx, rows);
        Self { range: 0..level.rows.len(), level, has_next, has_previous, list, count }
    }

    /// One parent's part of what was read for all.
    #[must_use]
    pub fn part(level: Arc<Level<N::Row>>, part: graph::Part, list: &'static List, count: Count) -> Self {
        let graph::Part { start, end, has_next, has_previous } = part;
        Self { level, range: start..end, has_next, has_previous, list, count }
    }

    fn cursor(&self, at: usize) -> String {
        self.list.cursor(&N::key(&self.level.rows[at], self.list))
    }
}

impl<N: Listed> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(N::NAMES.0)
    }
}

impl<N: Listed> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        Cow::Borrowed(N::NAMES.1)
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: Listed> Connection<N> {
    /// The objects of the page, each with its cursor.
    async fn edges(&self) -> Vec<Edge<N>> {
        let edge = |row: At<N::Row>| Edge { cursor: self.cursor(row.at), node: N::of(row) };
        self.level.slice(self.range.clone()).map(edge).collect()
    }

    /// The objects of the page.
    async fn nodes(&self) -> Vec<N> {
        self.level.slice(self.range.clone()).map(N::of).collect()
    }

    /// Whether there is more, and where the page begins and ends.
    async fn page_info(&self) -> PageInfo {
        PageInfo {
            has_next_page: self.has_next,
            has_previous_page: self.has_previous,
            start_cursor: (!self.range.is_empty()).then(|| self.cursor(self.range.start)),
            end_cursor: (!self.range.is_empty()).then(|| self.cursor(self.range.end - 1)),
        }
    }

    /// How many objects the whole list has. Counted only when selected.
    async fn total_count(&self) -> Result<i64> {
        (self.count)().await
    }
}

/// An object of a page.
pub struct Edge<N: Listed> {
    node: N,
    cursor: String,
}

/// An object of a page.
#[Object(name_type)]
impl<N: Listed> Edge<N> {
    /// The object.
    async fn node(&self) -> &N {
        &self.node
    }

    /// Its place: what `after` and `before` take.
    async fn cursor(&self) -> &str {
        &self.cursor
    }
}

/// Where a page lies in its list.
#[derive(Debug, Clone, SimpleObject)]
pub struct PageInfo {
    /// There is something after this page.
    pub has_next_page: bool,
    /// There is something before this page.
    pub has_previous_page: bool,
    /// The cursor of the first object; null when the page is empty.
    pub start_cursor: Option<String>,
    /// The cursor of the last object; null when the page is empty.
    pub end_cursor: Option<String>,
}
