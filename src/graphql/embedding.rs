//! Embeddings.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::ID;
use async_graphql::Object;

use crate::error::Error;
use crate::error::Result;
use crate::graphql::chunk::Chunk;
use crate::graphql::level::At;
use crate::graphql::level::Level;
use crate::graphql::level::Memo;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::scalars;
use crate::graphql::scalars::DateTime;
use crate::graphql::scalars::Vector;
use crate::graphql::slot::SyncSlot;
use crate::service::Ctx;
use crate::store::embeddings;
use crate::store::graph;
use crate::store::graph::ChunkRow;
use crate::store::graph::SlotRow;
use crate::store::page::List;
use crate::store::page::Part;

/// Chunks above embeddings: their level, and the place in it by id.
type Chunks = (Arc<Level<ChunkRow>>, Arc<HashMap<String, usize>>);

/// What a level of embeddings remembers.
#[derive(Default)]
pub struct EmbeddingMemo {
    chunks: Memo<(), Chunks>,
    vectors: Memo<(), Arc<HashMap<usize, Vec<u8>>>>,
    slots: Memo<(), Arc<HashMap<usize, SlotRow>>>,
}

impl Row for embeddings::Row {
    type Memo = EmbeddingMemo;
}

impl Level<embeddings::Row> {
    fn ids(&self) -> Vec<&str> {
        self.rows.iter().map(|row| row.id.as_str()).collect()
    }
}

/// Answers by a parent's place.
fn by_place<T>(found: Vec<(i64, T)>) -> Arc<HashMap<usize, T>> {
    let place = |(parent, row)| (usize::try_from(parent).unwrap_or(usize::MAX), row);
    Arc::new(found.into_iter().map(place).collect())
}

/// An embedding: a vector of a chunk.
#[derive(Clone)]
pub struct Embedding(pub At<embeddings::Row>);

impl Embedding {
    /// An embedding that is alone in its answer.
    #[must_use]
    pub fn one(cx: &Ctx, row: embeddings::Row) -> Self {
        Self(At::alone(cx, row))
    }

    /// Embeddings that are read together.
    #[must_use]
    pub fn list(cx: &Ctx, rows: Vec<embeddings::Row>) -> Vec<Self> {
        Level::new(cx, rows).all().map(Self).collect()
    }

    fn gone(&self) -> Error {
        Error::not_found("Embedding", &self.0.id)
    }

    /// The stored bytes: of the row where they were read with it, else of the level.
    async fn bytes(&self) -> Result<Vec<u8>> {
        if let Some(vector) = &self.0.vector {
            return Ok(vector.clone());
        }
        let level = &self.0.level;
        let read = || async { Ok(by_place(graph::embeddings::vectors(level.cx.db(), &level.ids()).await?)) };
        level.memo.vectors.get((), read).await?.get(&self.0.at).cloned().ok_or_else(|| self.gone())
    }
}

impl Listed for Embedding {
    type Row = embeddings::Row;
    const NAMES: (&'static str, &'static str) = ("EmbeddingConnection", "EmbeddingEdge");

    fn of(row: At<embeddings::Row>) -> Self {
        Self(row)
    }

    fn key(row: &embeddings::Row, _list: &List) -> Vec<Part> {
        graph::embeddings::key(row)
    }
}

/// An embedding: a vector of a chunk.
#[Object]
impl Embedding {
    /// The one id of this embedding, on both edges and in the database.
    pub async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// The chunk it was made from.
    async fn chunk(&self) -> Result<Chunk> {
        let level = &self.0.level;
        let read = || async {
            let mut ids: Vec<&str> = level.rows.iter().map(|row| row.chunk_id.as_str()).collect();
            ids.sort_unstable();
            ids.dedup();
            let rows = graph::chunks::by_ids_with_deleted(level.cx.db(), &ids).await?;
            let places = rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect();
            Ok((Level::new(&level.cx, rows), Arc::new(places)))
        };
        let (above, places): Chunks = level.memo.chunks.get((), read).await?;
        let at = places.get(&self.0.chunk_id).ok_or_else(|| Error::not_found("Chunk", &self.0.chunk_id))?;
        Ok(Chunk(At { level: above, at: *at }))
    }

    /// The model that made it.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// How many numbers the vector has.
    async fn dimension(&self) -> i32 {
        self.0.dimension
    }

    /// The vector, as a JSON array.
    async fn vector(&self) -> Result<Vector> {
        Ok(Vector::Stored(self.bytes().await?))
    }

    /// The vector, as base64 of little-endian f32: the cheapest way to carry it.
    async fn vector_base64(&self) -> Result<String> {
        Ok(scalars::base64_of(&self.bytes().await?))
    }

    /// The id of the record in the vector index (REST: `pinecone_id`). Equal to `id` unless one was set.
    async fn vector_id(&self) -> &str {
        &self.0.vector_id
    }

    /// Whether the vector index holds its current form.
    async fn is_synced(&self) -> bool {
        self.0.synced
    }

    /// When the vector index last took it.
    async fn last_synced_at(&self) -> Option<DateTime> {
        self.0.synced_at_ms.map(DateTime::of_ms)
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed; a sync does not move it.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Its record in the vector index, as the sync engine sees it.
    async fn sync(&self) -> Result<SyncSlot> {
        let level = &self.0.level;
        let read = || async {
            let cx = &level.cx;
            Ok(by_place(graph::sync::slots_of_embeddings(cx.db(), cx.target_id(), &level.ids()).await?))
        };
        let slots = level.memo.slots.get((), read).await?;
        slots.get(&self.0.at).cloned().map(|row| SyncSlot::one(&level.cx, row)).ok_or_else(|| self.gone())
    }
}
