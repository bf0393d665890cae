//! The corpus at a glance: totals, namespaces, activity.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Object;
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::error::Result;
use crate::error::Rule;
use crate::graphql::chunk::Chunk;
use crate::graphql::coverage::SyncCoverage;
use crate::graphql::document::Document;
use crate::graphql::embedding::Embedding;
use crate::graphql::level::At;
use crate::graphql::level::Level;
use crate::graphql::level::Memo;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::service::Ctx;
use crate::service::dashboard;
use crate::store::embeddings;
use crate::store::filter::Deleted;
use crate::store::graph;
use crate::store::graph::ChunkRow;
use crate::store::graph::DocumentRow;
use crate::store::page;
use crate::store::slots;
use crate::store::slots::Coverage;
use crate::store::stats;
use crate::store::stats::Recent;
use crate::store::stats::Totals;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Totals of the corpus and its coverage. Live rows only.
pub struct Overview {
    cx: Ctx,
    totals: OnceCell<Result<Totals>>,
}

impl Overview {
    /// Of the corpus behind `cx`.
    #[must_use]
    pub fn new(cx: &Ctx) -> Self {
        Self { cx: cx.clone(), totals: OnceCell::new() }
    }

    async fn totals(&self) -> Result<Totals> {
        self.totals.get_or_init(|| dashboard::sync_status(&self.cx)).await.clone()
    }
}

/// Totals of the corpus and its coverage. Live rows only.
#[Object]
impl Overview {
    /// How many documents there are.
    async fn documents(&self) -> Result<i64> {
        Ok(self.totals().await?.documents)
    }

    /// How many chunks there are.
    async fn chunks(&self) -> Result<i64> {
        Ok(self.totals().await?.chunks)
    }

    /// How many embeddings there are.
    async fn embeddings(&self) -> Result<i64> {
        Ok(self.totals().await?.embeddings)
    }

    /// How much of the corpus the vector index holds.
    async fn sync(&self) -> Result<SyncCoverage> {
        Ok(slots::coverage(self.cx.read(), self.cx.target_id()).await?.into())
    }
}

/// What a level of namespaces remembers.
#[derive(Default)]
pub struct NamespaceMemo {
    coverage: Memo<(), Arc<HashMap<String, Coverage>>>,
}

impl Row for (String, Totals) {
    type Memo = NamespaceMemo;
}

/// A partition of the corpus, and its namespace in the vector index. Live rows only.
pub struct Namespace(pub At<(String, Totals)>);

/// A partition of the corpus, and its namespace in the vector index. Live rows only.
#[Object]
impl Namespace {
    /// Its name.
    async fn name(&self) -> &str {
        &self.0.0
    }

    /// How many documents it has.
    async fn documents(&self) -> i64 {
        self.0.1.documents
    }

    /// How many chunks it has.
    async fn chunks(&self) -> i64 {
        self.0.1.chunks
    }

    /// How many embeddings it has.
    async fn embeddings(&self) -> i64 {
        self.0.1.embeddings
    }

    /// How much of it the vector index holds.
    async fn sync(&self) -> Result<SyncCoverage> {
        let level = &self.0.level;
        let read =
            || async { Ok(Arc::new(slots::coverage_by_namespace(level.cx.read(), level.cx.target_id()).await?)) };
        let found = level.memo.coverage.get((), read).await?;
        Ok(found.get(&self.0.0).copied().unwrap_or_default().into())
    }
}

/// What changed lately, each list newest first. Live rows only.
pub struct Activity {
    cx: Ctx,
    since_us: i64,
    first: i64,
}

impl Activity {
    /// Of the last `days`, at most `first` of each kind.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn new(cx: &Ctx, days: Option<i32>, first: Option<i32>) -> Result<Self> {
        let days = i64::from(days.unwrap_or(7));
        if days < 1 {
            return Err(Error::invalid("days", Rule::GreaterThanEqual(1)));
        }
        if days > 365 {
            return Err(Error::invalid("days", Rule::LessThanEqual(365)));
        }
        let max = cx.config().limits.graphql_page;
        let first = first.map_or(Ok(max), |first| page::size("first", i64::from(first), max))?;
        let since_us = cx.db().clock().now_us().saturating_sub(days * DAY_US);
        Ok(Self { cx: cx.clone(), since_us, first: i64::try_from(first).unwrap_or(i64::MAX) })
    }

    /// The objects of `rows` in the order of `recent`.
    fn sorted<N: Listed>(&self, recent: &[Recent], rows: Vec<N::Row>, id: impl Fn(&N::Row) -> &str) -> Vec<N> {
        let places: HashMap<&str, usize> = recent.iter().enumerate().map(|(at, row)| (row.id.as_str(), at)).collect();
        let mut rows = rows;
        rows.sort_by_key(|row| places.get(id(row)).copied());
        Level::new(&self.cx, rows).all().map(N::of).collect()
    }
}

fn ids(recent: &[Recent]) -> Vec<&str> {
    recent.iter().map(|row| row.id.as_str()).collect()
}

/// What changed lately, each list newest first. Live rows only.
#[Object]
impl Activity {
    /// Documents that changed.
    async fn documents(&self) -> Result<Vec<Document>> {
        let recent = stats::recent_documents(self.cx.read(), self.since_us, self.first).await?;
        let rows = graph::documents::by_ids(self.cx.db(), &ids(&recent), Deleted::Live).await?;
        Ok(self.sorted(&recent, rows, |row: &DocumentRow| &row.id))
    }

    /// Chunks that changed.
    async fn chunks(&self) -> Result<Vec<Chunk>> {
        let recent = stats::recent_chunks(self.cx.read(), self.since_us, self.first).await?;
        let rows = graph::chunks::by_ids(self.cx.db(), &ids(&recent)).await?;
        Ok(self.sorted(&recent, rows, |row: &ChunkRow| &row.id))
    }

    /// Embeddings that changed.
    async fn embeddings(&self) -> Result<Vec<Embedding>> {
        let cx = &self.cx;
        let recent = stats::recent_embeddings(cx.read(), cx.target_id(), self.since_us, self.first).await?;
        let rows = graph::embeddings::by_ids(cx.db(), cx.target_id(), &ids(&recent)).await?;
        Ok(self.sorted(&recent, rows, |row: &embeddings::Row| &row.id))
    }
}
