//! Copying a document with everything live below it.

use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;

/// Copies a live document, its live chunks and their embeddings, as new rows; gives the copy and the original.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`].
pub async fn duplicate(cx: &Ctx, id: &str, title: Option<String>) -> Result<(document::Model, document::Model)> {
    let _ = (id, title);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}
