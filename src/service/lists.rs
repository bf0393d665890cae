//! Lists by offset, and the counts that stand beside a single row: what only REST asks for.

use crate::entity::chunk;
use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::chunks;
use crate::service::documents;
use crate::service::embeddings;
use crate::service::rules;
use crate::store;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;
use crate::store::lists;
use crate::store::lists::Offset;
use crate::store::sql::fold;

/// What a caller asks for of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows to pass over.
    pub skip: u64,
    /// Rows to give; more than the configured page are not.
    pub limit: u64,
}

impl Window {
    fn within(self, cx: &Ctx) -> Offset {
        Offset { skip: self.skip, limit: self.limit.min(cx.config().limits.rest_page) }
    }
}

/// Which documents a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// Only live ones.
    Hidden,
    /// Soft-deleted ones too.
    Shown,
}

/// Documents, oldest first.
///
/// # Errors
/// What the database says.
pub async fn documents(cx: &Ctx, window: Window, deleted: Deleted) -> Result<Vec<document::Model>> {
    Ok(lists::documents(cx.read(), window.within(cx), deleted == Deleted::Shown).await?)
}

/// Live documents whose title or source holds `query`, whatever its case.
///
/// # Errors
/// [`Error::Invalid`] for a query that no text can hold.
pub async fn search(cx: &Ctx, query: &str) -> Result<Vec<document::Model>> {
    rules::search(query).map_err(|rule| Error::invalid("query", rule))?;
    Ok(lists::matching(cx.read(), &fold(query), cx.config().limits.rest_page).await?)
}

/// A live document and the count of its live chunks.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn document(cx: &Ctx, id: &str) -> Result<(document::Model, u64)> {
    let row = documents::get(cx, id).await?;
    let chunks = lists::count_chunks(cx.read(), id).await?;
    Ok((row, chunks))
}

/// Live chunks of a live document, in reading order.
///
/// # Errors
/// [`Error::NotFound`] for the document.
pub async fn chunks_of(cx: &Ctx, document_id: &str, window: Window) -> Result<Vec<chunk::Model>> {
    documents::get(cx, document_id).await?;
    Ok(lists::chunks(cx.read(), document_id, window.within(cx)).await?)
}

/// A live chunk of a live document and the count of its embeddings.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn chunk(cx: &Ctx, id: &str) -> Result<(chunk::Model, u64)> {
    let row = chunks::get(cx, id).await?;
    let embeddings = lists::count_embeddings(cx.read(), id).await?;
    Ok((row, embeddings))
}

/// An embedding below a live chunk of a live document, with its vector when that is asked for.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn embedding(cx: &Ctx, id: &str, vectors: Vectors) -> Result<Row> {
    rules::known(id, embeddings::WHAT)?;
    let row = store::embeddings::find(cx.read(), cx.target_id(), id, vectors).await?;
    row.ok_or_else(|| Error::not_found(embeddings::WHAT, id))
}
