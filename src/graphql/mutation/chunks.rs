//! Mutations of chunks.

use async_graphql::Context;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::MaybeUndefined;
use async_graphql::Object;
use async_graphql::SimpleObject;

use crate::error::Result;
use crate::graphql::chunk::Chunk;
use crate::graphql::mutation::DeleteMode;
use crate::graphql::mutation::MetadataMode;
use crate::graphql::mutation::embeddings::NewEmbedding;
use crate::graphql::mutation::of_input;
use crate::graphql::mutation::patch;
use crate::graphql::query::cx;
use crate::graphql::scalars::Json;
use crate::service::chunks;
use crate::service::chunks::ChunkPatch;

/// A chunk to create.
#[derive(InputObject)]
pub struct NewChunk {
    /// Its id: 1 to 512 bytes without control characters. Default: a new UUIDv7.
    id: Option<ID>,
    /// Its place in reading order, from 0. Default: after the last.
    chunk_index: Option<i64>,
    /// At least one character.
    text: String,
    /// Any JSON object; keys beginning with `_cd_` or `$` are reserved.
    metadata: Option<Json>,
    /// Its embeddings, created in the same transaction.
    embeddings: Option<Vec<NewEmbedding>>,
}

impl From<NewChunk> for chunks::NewChunk {
    fn from(new: NewChunk) -> Self {
        Self {
            id: new.id.map(|id| id.0),
            chunk_index: new.chunk_index,
            text: new.text,
            metadata: new.metadata.map(Json::given),
            embeddings: new.embeddings.unwrap_or_default().into_iter().map(Into::into).collect(),
        }
    }
}

/// What `createChunks` takes.
#[derive(InputObject)]
struct CreateChunksInput {
    /// The document that gets them.
    document_id: ID,
    /// The chunks.
    chunks: Vec<NewChunk>,
}

/// What `createChunks` answers.
#[derive(SimpleObject)]
struct CreateChunksPayload {
    /// The chunks, in the order of the request.
    chunks: Vec<Chunk>,
}

/// What `updateChunk` takes. An omitted field stays, a null clears.
#[derive(InputObject)]
struct UpdateChunkInput {
    /// The chunk.
    id: ID,
    /// Its place in reading order. Cannot be cleared.
    chunk_index: MaybeUndefined<i64>,
    /// Cannot be cleared.
    text: MaybeUndefined<String>,
    /// Cleared to `{}`.
    metadata: MaybeUndefined<Json>,
    /// How given metadata meets what is stored.
    #[graphql(default_with = "Some(MetadataMode::Merge)")]
    metadata_mode: Option<MetadataMode>,
}

/// What `updateChunk` answers.
#[derive(SimpleObject)]
struct UpdateChunkPayload {
    /// The chunk as it is now.
    chunk: Chunk,
}

/// What `deleteChunk` takes.
#[derive(InputObject)]
struct DeleteChunkInput {
    /// The chunk.
    id: ID,
    /// How.
    #[graphql(default_with = "DeleteMode::Soft")]
    mode: DeleteMode,
}

/// What `deleteChunk` answers.
#[derive(SimpleObject)]
struct DeleteChunkPayload {
    /// The id of the deleted chunk.
    id: ID,
    /// How it was deleted.
    mode: DeleteMode,
}

/// What `restoreChunk` takes.
#[derive(InputObject)]
struct RestoreChunkInput {
    /// The chunk.
    id: ID,
}

/// What `restoreChunk` answers.
#[derive(SimpleObject)]
struct RestoreChunkPayload {
    /// The chunk, live.
    chunk: Chunk,
}

/// Mutations of chunks.
#[derive(Default)]
pub struct ChunkMutations;

#[Object]
impl ChunkMutations {
    /// Adds chunks to a document, all or none.
    async fn create_chunks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The document and its new chunks.")] input: CreateChunksInput,
    ) -> Result<CreateChunksPayload> {
        let cx = cx(ctx);
        let new = input.chunks.into_iter().map(Into::into).collect();
        let rows = of_input(chunks::create(cx, &input.document_id, new).await)?;
        Ok(CreateChunksPayload { chunks: Chunk::list(cx, rows) })
    }

    /// Changes fields of a chunk.
    async fn update_chunk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chunk and what to change.")] input: UpdateChunkInput,
    ) -> Result<UpdateChunkPayload> {
        let cx = cx(ctx);
        let change = ChunkPatch {
            chunk_index: patch(input.chunk_index, |index| index),
            text: patch(input.text, |text| text),
            metadata: patch(input.metadata, Json::given),
            metadata_mode: input.metadata_mode.unwrap_or(MetadataMode::Merge).into(),
        };
        let row = of_input(chunks::update(cx, &input.id, change).await)?;
        Ok(UpdateChunkPayload { chunk: Chunk::one(cx, row) })
    }

    /// Deletes a chunk with its embeddings.
    async fn delete_chunk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chunk.")] input: DeleteChunkInput,
    ) -> Result<DeleteChunkPayload> {
        of_input(chunks::delete(cx(ctx), &input.id, input.mode.into()).await)?;
        Ok(DeleteChunkPayload { id: input.id, mode: input.mode })
    }

    /// Takes back a soft deletion of a chunk.
    async fn restore_chunk(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The chunk.")] input: RestoreChunkInput,
    ) -> Result<RestoreChunkPayload> {
        let cx = cx(ctx);
        let row = of_input(chunks::restore(cx, &input.id).await)?;
        Ok(RestoreChunkPayload { chunk: Chunk::one(cx, row) })
    }
}
