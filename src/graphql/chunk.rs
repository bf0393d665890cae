//! Chunks.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::Object;

use crate::error::Error;
use crate::error::Result;
use crate::graphql::document::Document;
use crate::graphql::embedding::Embedding;
use crate::graphql::level::At;
use crate::graphql::level::Level;
use crate::graphql::level::Memo;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::scalars::DateTime;
use crate::graphql::scalars::Json;
use crate::service::Ctx;
use crate::store::embeddings;
use crate::store::embeddings::Vectors;
use crate::store::filter::Deleted;
use crate::store::graph;
use crate::store::graph::ChunkRow;
use crate::store::graph::DocumentRow;
use crate::store::graph::chunks::Neighbour;
use crate::store::page;
use crate::store::page::List;
use crate::store::page::Part;

/// The arguments of `embeddings`, and whether the vectors are selected.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    model: Option<String>,
    first: u64,
    vectors: Vectors,
}

/// Embeddings that were read below chunks: their level, and which part is whose.
type Embeddings = (Arc<Level<embeddings::Row>>, Arc<Vec<graph::Part>>);
/// Documents above chunks: their level, and the place in it by id.
type Documents = (Arc<Level<DocumentRow>>, Arc<HashMap<String, usize>>);
/// Neighbours of chunks: their level, and the place in it by the chunk's place.
type Neighbours = (Arc<Level<ChunkRow>>, Arc<HashMap<usize, usize>>);

/// What a level of chunks remembers.
#[derive(Default)]
pub struct ChunkMemo {
    documents: Memo<(), Documents>,
    embeddings: Memo<Asked, Embeddings>,
    counts: Memo<(), Arc<Vec<i64>>>,
    neighbours: Memo<Neighbour, Neighbours>,
}

impl Row for ChunkRow {
    type Memo = ChunkMemo;
}

impl Level<ChunkRow> {
    fn ids(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.id.as_str()).collect()
    }

    async fn documents(&self) -> Result<Documents> {
        let read = || async {
            let mut ids: Vec<&str> = self.rows.iter().map(|row| row.document_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let rows = graph::documents::by_ids(self.cx.db(), &ids, Deleted::All).await?;
            let places = rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect();
            Ok((Level::new(&self.cx, rows), Arc::new(places)))
        };
        self.memo.documents.get((), read).await
    }

    async fn neighbour(self: &Arc<Self>, at: usize, which: Neighbour) -> Result<Option<Chunk>> {
        let read = || async {
            let found = graph::chunks::neighbours(self.cx.db(), &self.ids(), which).await?;
            let mut places = HashMap::with_capacity(found.len());
            let mut rows = Vec::with_capacity(found.len());
            for (parent, row) in found {
                places.insert(usize::try_from(parent).unwrap_or(usize::MAX), rows.len());
                rows.push(row);
            }
            Ok((Level::new(&self.cx, rows), Arc::new(places)))
        };
        let (level, places) = self.memo.neighbours.get(which, read).await?;
        Ok(places.get(&at).map(|at| Chunk(At { level, at: *at })))
    }
}

/// A chunk: a passage of a document.
#[derive(Clone)]
pub struct Chunk(pub At<ChunkRow>);

impl Chunk {
    /// A chunk that is alone in its answer.
    #[must_use]
    pub fn one(cx: &Ctx, row: impl Into<ChunkRow>) -> Self {
        Self(At::alone(cx, row.into()))
    }

    /// Chunks that are read together.
    #[must_use]
    pub fn list<R: Into<ChunkRow>>(cx: &Ctx, rows: Vec<R>) -> Vec<Self> {
        Level::new(cx, rows.into_iter().map(Into::into).collect()).all().map(Self).collect()
    }
}

impl Listed for Chunk {
    type Row = ChunkRow;
    const NAMES: (&'static str, &'static str) = ("ChunkConnection", "ChunkEdge");

    fn of(row: At<ChunkRow>) -> Self {
        Self(row)
    }

    fn key(row: &ChunkRow, _list: &List) -> Vec<Part> {
        graph::chunks::key(row)
    }
}

/// A chunk: a passage of a document.
#[Object]
impl Chunk {
    /// The one id of this chunk, on both edges and in the database.
    pub async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// The document it belongs to.
    async fn document(&self) -> Result<Document> {
        let (level, places) = self.0.level.documents().await?;
        let at = places.get(&self.0.document_id).ok_or_else(|| Error::not_found("Document", &self.0.document_id))?;
        Ok(Document(At { level, at: *at }))
    }

    /// Its place in reading order, from 0; two chunks may share one.
    async fn chunk_index(&self) -> i64 {
        self.0.chunk_index
    }

    /// The passage.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// What its owner noted about it.
    async fn metadata(&self) -> Json {
        Json::Stored(self.0.metadata.clone())
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Set when the chunk was soft-deleted.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.0.deleted_at.map(DateTime)
    }

    /// Its embeddings, oldest first: a chunk has one for each model, rarely more.
    async fn embeddings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those that this model made.")] model: Option<String>,
        #[graphql(desc = "At most so many: 1 to 100.", default_with = "Some(20)")] first: Option<i32>,
    ) -> Result<Vec<Embedding>> {
        let level = &self.0.level;
        let max = level.cx.config().limits.graphql_page;
        let first = first.map_or(Ok(page::PageArgs::DEFAULT), |first| page::size("first", i64::from(first), max))?;
        if model.as_ref().is_some_and(|model| model.contains('\0')) {
            return Err(Error::invalid_value("model", "must not contain U+0000"));
        }
        let ahead = ctx.look_ahead();
        let selected = ahead.field("vector").exists() || ahead.field("vectorBase64").exists();
        let vectors = if selected { Vectors::Read } else { Vectors::Leave };
        let read = |model: Option<String>| async move {
            let (cx, ids) = (&level.cx, level.ids());
            let below =
                graph::embeddings::of_chunks(cx.db(), cx.target_id(), &ids, model.as_deref(), first, vectors).await?;
            Ok((Level::new(cx, below.rows), Arc::new(below.parts)))
        };
        let asked = Asked { model: model.clone(), first, vectors };
        let (below, parts) = level.memo.embeddings.get(asked, || read(model)).await?;
        let part = parts[self.0.at];
        Ok(below.slice(part.start..part.end).map(Embedding).collect())
    }

    /// How many embeddings it has.
    async fn embedding_count(&self) -> Result<i64> {
        let level = &self.0.level;
        let read = || async { Ok(Arc::new(graph::embeddings::count_of_chunks(level.cx.db(), &level.ids()).await?)) };
        Ok(level.memo.counts.get((), read).await?[self.0.at])
    }

    /// The chunk before it in reading order, for widening a search hit.
    async fn previous(&self) -> Result<Option<Chunk>> {
        self.0.level.neighbour(self.0.at, Neighbour::Previous).await
    }

    /// The chunk after it in reading order, for widening a search hit.
    async fn next(&self) -> Result<Option<Chunk>> {
        self.0.level.neighbour(self.0.at, Neighbour::Next).await
    }
}
