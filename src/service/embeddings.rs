//! Embeddings: create, read, change, delete.

use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::Patch;
use crate::service::rules;
use crate::store;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;

/// The kind's name in errors.
pub const WHAT: &str = "Embedding";

/// An embedding to create.
#[derive(Debug, Clone, Default)]
pub struct NewEmbedding {
    /// The client's id, or one of ours.
    pub id: Option<String>,
    /// Finite numbers; one beyond f32 is infinite, and refused.
    pub vector: Vec<f32>,
    /// At most 100 characters.
    pub model: Option<String>,
    /// The id of its record in the index, or its own id.
    pub vector_id: Option<String>,
}

/// What to change of an embedding.
#[derive(Debug, Clone, Default)]
pub struct EmbeddingPatch {
    /// Cannot be cleared.
    pub vector: Patch<Vec<f32>>,
    /// Cleared to nothing.
    pub model: Patch<String>,
    /// Cleared to the own id.
    pub vector_id: Patch<String>,
}

/// Creates embeddings of chunks, all or none; gives them in request order.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when an id or a vector id is taken.
pub async fn create(cx: &Ctx, new: Vec<(String, NewEmbedding)>) -> Result<Vec<Row>> {
    let _ = new;
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// The embedding of that id, below a live chunk of a live document; without its vector.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(cx: &Ctx, id: &str) -> Result<Row> {
    rules::known(id, WHAT)?;
    let row = store::embeddings::find(cx.read(), cx.target_id(), id, Vectors::Leave).await?;
    row.ok_or_else(|| Error::not_found(WHAT, id))
}

/// Changes an embedding; a patch that changes nothing is no change.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when the vector id is taken.
pub async fn update(cx: &Ctx, id: &str, patch: EmbeddingPatch) -> Result<Row> {
    let _ = (id, patch);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// Deletes an embedding.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str) -> Result<()> {
    let _ = id;
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}
