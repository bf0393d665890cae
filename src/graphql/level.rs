//! Levels: rows that one query reads together, and what is read below them.
//!
//! Every list of objects a query returns is one [`Level`]; an object is its place
//! in it. A field that needs more rows asks its level, which reads them for all
//! its rows with one statement and keeps the answer under the field's arguments.
//! So a query costs one statement a level and field, whatever the number of rows,
//! with aliases and fragments included, and nothing waits for a timer.

use std::ops::Deref;
use std::ops::Range;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OnceCell;

use crate::error::Result;
use crate::service::Ctx;

/// A row that objects are made of.
pub trait Row: Send + Sync + 'static {
    /// What its level remembers.
    type Memo: Default + Send + Sync;
}

/// Rows that are read together.
pub struct Level<R: Row> {
    /// The context of the request.
    pub cx: Ctx,
    /// The rows.
    pub rows: Vec<R>,
    /// What was read below them.
    pub memo: R::Memo,
}

impl<R: Row> Level<R> {
    /// A level of `rows`.
    #[must_use]
    pub fn new(cx: &Ctx, rows: Vec<R>) -> Arc<Self> {
        Arc::new(Self { cx: cx.clone(), rows, memo: R::Memo::default() })
    }

    /// The objects in `range`.
    pub fn slice(self: &Arc<Self>, range: Range<usize>) -> impl Iterator<Item = At<R>> {
        range.map(|at| At { level: self.clone(), at })
    }

    /// All objects.
    pub fn all(self: &Arc<Self>) -> impl Iterator<Item = At<R>> {
        self.slice(0..self.rows.len())
    }
}

/// One row of a level.
pub struct At<R: Row> {
    /// The level.
    pub level: Arc<Level<R>>,
    /// The row's place in it.
    pub at: usize,
}

impl<R: Row> Clone for At<R> {
    fn clone(&self) -> Self {
        Self { level: self.level.clone(), at: self.at }
    }
}

impl<R: Row> At<R> {
    /// A row that is alone in its level.
    #[must_use]
    pub fn alone(cx: &Ctx, row: R) -> Self {
        Self { level: Level::new(cx, vec![row]), at: 0 }
    }
}

impl<R: Row> Deref for At<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.level.rows[self.at]
    }
}

/// One answer, on its way or there.
type Cell<V> = Arc<OnceCell<Result<V>>>;

/// Answers by arguments, each read once.
pub struct Memo<K, V> {
    cells: Mutex<Vec<(K, Cell<V>)>>,
}

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Self { cells: Mutex::default() }
    }
}

impl<K: PartialEq, V: Clone> Memo<K, V> {
    /// The answer under `key`, read with `read` by the first who asks; all get it, or its error.
    ///
    /// # Errors
    /// What `read` said.
    pub async fn get<F: Future<Output = Result<V>>>(&self, key: K, read: impl FnOnce() -> F) -> Result<V> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            match cells.iter().find(|(known, _)| *known == key) {
                Some((_, cell)) => cell.clone(),
                None => {
                    let cell = Arc::new(OnceCell::new());
                    cells.push((key, cell.clone()));
                    cell
                }
            }
        };
        cell.get_or_init(read).await.clone()
    }
}
