//! Documents, and what there is of one.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Result;
use crate::graphql::chunk::Chunk;
use crate::graphql::coverage::SyncCoverage;
use crate::graphql::filters;
use crate::graphql::level::At;
use crate::graphql::level::Level;
use crate::graphql::level::Memo;
use crate::graphql::level::Row;
use crate::graphql::page;
use crate::graphql::page::Connection;
use crate::graphql::page::Listed;
use crate::graphql::scalars::DateTime;
use crate::graphql::scalars::Json;
use crate::service::Ctx;
use crate::store::filter::ChunkFilter;
use crate::store::graph;
use crate::store::graph::ChunkRow;
use crate::store::graph::DocumentRow;
use crate::store::page::List;
use crate::store::page::PageArgs;
use crate::store::page::Part;
use crate::store::slots;
use crate::store::slots::Coverage;
use crate::store::stats;
use crate::store::stats::TextLength;

/// Chunks that were read below documents: their level, and which part is whose.
type Chunks = (Arc<Level<ChunkRow>>, Arc<Vec<graph::Part>>);

/// What a level of documents remembers.
#[derive(Default)]
pub struct DocumentMemo {
    chunks: Memo<(PageArgs, ChunkFilter), Chunks>,
    chunk_counts: Memo<ChunkFilter, Arc<Vec<i64>>>,
    stats: Memo<bool, Arc<HashMap<String, stats::DocumentStats>>>,
    coverage: Memo<(), Arc<HashMap<String, Coverage>>>,
}

impl Row for DocumentRow {
    type Memo = DocumentMemo;
}

impl Level<DocumentRow> {
    fn ids(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.id.as_str()).collect()
    }

    async fn chunks(&self, args: &PageArgs, filter: &ChunkFilter) -> Result<Chunks> {
        let read = || async {
            let window = graph::chunks::LIST.window_below(args, &self.ids())?;
            let below = graph::chunks::of_documents(self.cx.db(), &self.ids(), filter, &window).await?;
            Ok((Level::new(&self.cx, below.rows), Arc::new(below.parts)))
        };
        self.memo.chunks.get((args.clone(), filter.clone()), read).await
    }

    async fn chunk_count(&self, at: usize, filter: &ChunkFilter) -> Result<i64> {
        let read =
            || async { Ok(Arc::new(graph::chunks::count_of_documents(self.cx.db(), &self.ids(), filter).await?)) };
        Ok(self.memo.chunk_counts.get(filter.clone(), read).await?[at])
    }
}

/// A document: the root of its chunks.
#[derive(Clone)]
pub struct Document(pub At<DocumentRow>);

impl Document {
    /// A document that is alone in its answer.
    #[must_use]
    pub fn one(cx: &Ctx, row: impl Into<DocumentRow>) -> Self {
        Self(At::alone(cx, row.into()))
    }

    /// Documents that are read together.
    #[must_use]
    pub fn list<R: Into<DocumentRow>>(cx: &Ctx, rows: Vec<R>) -> Vec<Self> {
        Level::new(cx, rows.into_iter().map(Into::into).collect()).all().map(Self).collect()
    }
}

impl Listed for Document {
    type Row = DocumentRow;
    const NAMES: (&'static str, &'static str) = ("DocumentConnection", "DocumentEdge");

    fn of(row: At<DocumentRow>) -> Self {
        Self(row)
    }

    fn key(row: &DocumentRow, list: &List) -> Vec<Part> {
        graph::documents::key(row, list)
    }
}

/// A document: the root of its chunks.
#[Object]
impl Document {
    /// The one id of this document, on both edges and in the database.
    pub async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// The partition it belongs to; also its namespace in the vector index.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// Its title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Where it came from.
    async fn source(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    /// What its owner noted about it.
    async fn metadata(&self) -> Json {
        Json::Stored(self.0.metadata.clone())
    }

    /// Grows by one with every change of the document or anything below it.
    async fn revision(&self) -> i64 {
        self.0.revision
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Set when the document was soft-deleted.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }

    /// Its chunks in reading order.
    async fn chunks(
        &self,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only chunks that match.")] filter: Option<filters::ChunkFilter>,
    ) -> Result<Connection<Chunk>> {
        let args = page::args(&self.0.level.cx, first, after, last, before)?;
        let filter = filter.map(filters::ChunkFilter::condition).transpose()?.unwrap_or_default();
        let (level, parts) = self.0.level.chunks(&args, &filter).await?;
        let own = self.0.clone();
        let count = move || -> futures_util::future::BoxFuture<'static, Result<i64>> {
            let (own, filter) = (own.clone(), filter.clone());
            Box::pin(async move { own.level.chunk_count(own.at, &filter).await })
        };
        Ok(Connection::part(level, parts[self.0.at], &graph::chunks::LIST, Box::new(count)))
    }

    /// Counts of what lies below it.
    async fn stats(&self, ctx: &Context<'_>) -> Result<DocumentStats> {
        let ahead = ctx.look_ahead();
        let measure = ahead.field("totalTextLength").exists() || ahead.field("averageChunkLength").exists();
        let text = if measure { TextLength::Measure } else { TextLength::Skip };
        let level = &self.0.level;
        let read = || async {
            let found = stats::of_documents(level.cx.read(), level.cx.target_id(), &level.ids(), text).await?;
            Ok(Arc::new(found))
        };
        let found = level.memo.stats.get(measure, read).await?;
        Ok(found.get(&self.0.id).copied().unwrap_or_default().into())
    }

    /// How much of it the vector index holds.
    async fn sync(&self) -> Result<SyncCoverage> {
        let level = &self.0.level;
        let read = || async {
            let found = slots::coverage_of_documents(level.cx.read(), level.cx.target_id(), &level.ids()).await?;
            Ok(Arc::new(found))
        };
        let found = level.memo.coverage.get((), read).await?;
        Ok(found.get(&self.0.id).copied().unwrap_or_default().into())
    }
}

/// Counts of what lies below a document: live rows only, zeros when it is soft-deleted.
#[derive(Debug, Clone, SimpleObject)]
pub struct DocumentStats {
    /// Its chunks.
    chunk_count: i64,
    /// Their embeddings.
    embedding_count: i64,
    /// Those of them that the vector index holds in their current form.
    synced_embeddings: i64,
    /// The other ones.
    unsynced_embeddings: i64,
    /// In characters.
    total_text_length: i64,
    /// In characters; 0 without chunks.
    average_chunk_length: f64,
    /// Synced embeddings of a hundred; 0 without embeddings.
    sync_percentage: f64,
}

impl From<stats::DocumentStats> for DocumentStats {
    fn from(stats: stats::DocumentStats) -> Self {
        Self {
            chunk_count: stats.chunks,
            embedding_count: stats.embeddings,
            synced_embeddings: stats.synced,
            unsynced_embeddings: stats.unsynced(),
            total_text_length: stats.text_length,
            average_chunk_length: stats.average_chunk_length().unwrap_or(0.0),
            sync_percentage: stats.sync_percentage().unwrap_or(0.0),
        }
    }
}
