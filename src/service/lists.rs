//! Lists by offset, and the counts that stand beside a single row: what only REST asks for.

use sea_orm::DbErr;

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

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// The part that was given: `limit` may be less than what was asked for.
    pub window: Window,
    /// How many rows the whole list has.
    pub total: u64,
}

impl<T> Listed<T> {
    /// Counts only where the rows do not tell: most lists end on their first page.
    async fn of(rows: Vec<T>, page: Offset, count: impl Future<Output = Result<u64, DbErr>>) -> Result<Self> {
        let Offset { skip, limit } = page;
        let given = rows.len() as u64;
        let ends = given < limit && (given > 0 || skip == 0);
        let total = if ends { skip + given } else { count.await? };
        Ok(Self { rows, window: Window { skip, limit }, total })
    }
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
pub async fn documents(cx: &Ctx, window: Window, deleted: Deleted) -> Result<Listed<document::Model>> {
    let (page, deleted) = (window.within(cx), deleted == Deleted::Shown);
    let rows = lists::documents(cx.read(), page, deleted).await?;
    Listed::of(rows, page, lists::count_documents(cx.read(), deleted)).await
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
pub async fn chunks_of(cx: &Ctx, document_id: &str, window: Window) -> Result<Listed<chunk::Model>> {
    documents::get(cx, document_id).await?;
    let page = window.within(cx);
    let rows = lists::chunks(cx.read(), document_id, page).await?;
    Listed::of(rows, page, lists::count_chunks(cx.read(), document_id)).await
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
