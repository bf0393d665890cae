//! Chunks: create, read, change, delete, restore.

use crate::entity::chunk;
use crate::error::Error;
use crate::error::Result;
use crate::json::Json;
use crate::service::Ctx;
use crate::service::Delete;
use crate::service::MetadataMode;
use crate::service::Patch;
use crate::service::embeddings::NewEmbedding;
use crate::service::rules;
use crate::store;

/// The kind's name in errors.
pub const WHAT: &str = "Chunk";

/// A chunk to create.
#[derive(Debug, Clone, Default)]
pub struct NewChunk {
    /// The client's id, or one of ours.
    pub id: Option<String>,
    /// Its place, or after the last.
    pub chunk_index: Option<i64>,
    /// At least one character.
    pub text: String,
    /// An object.
    pub metadata: Option<Json>,
    /// Its vectors.
    pub embeddings: Vec<NewEmbedding>,
}

/// What to change of a chunk.
#[derive(Debug, Clone, Default)]
pub struct ChunkPatch {
    /// Cannot be cleared.
    pub chunk_index: Patch<i64>,
    /// Cannot be cleared.
    pub text: Patch<String>,
    /// Cleared to `{}`.
    pub metadata: Patch<Json>,
    /// How given metadata meets what is stored.
    pub metadata_mode: MetadataMode,
}

/// Creates chunks of a document, all or none; gives them in request order.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when an id is taken.
pub async fn create(cx: &Ctx, document_id: &str, new: Vec<NewChunk>) -> Result<Vec<chunk::Model>> {
    let _ = (document_id, new);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// The live chunk of that id, below a live document.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(cx: &Ctx, id: &str) -> Result<chunk::Model> {
    rules::known(id, WHAT)?;
    store::chunks::find(cx.read(), id).await?.ok_or_else(|| Error::not_found(WHAT, id))
}

/// Changes a chunk; a patch that changes nothing is no change.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`].
pub async fn update(cx: &Ctx, id: &str, patch: ChunkPatch) -> Result<chunk::Model> {
    let _ = (id, patch);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// Deletes a chunk; soft-deleting it again changes nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str, mode: Delete) -> Result<()> {
    let _ = (id, mode);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// Takes a soft delete back; a live chunk stays as it is.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn restore(cx: &Ctx, id: &str) -> Result<chunk::Model> {
    let _ = id;
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}
