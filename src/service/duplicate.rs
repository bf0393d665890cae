//! Copying a document with everything live below it.

use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::documents;
use crate::service::rules;
use crate::store;
use crate::store::embeddings::Copy;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots::Extent;
use crate::store::sql::fold;

/// Copies a live document, its live chunks and their embeddings, as new rows; gives the copy and the original.
///
/// The original is locked, so that the copy is of one moment. Rows are copied inside the
/// database. Vector ids are not copied: the copy's records are its own.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`].
pub async fn duplicate(cx: &Ctx, id: &str, title: Option<String>) -> Result<(document::Model, document::Model)> {
    rules::known(id, documents::WHAT)?;
    if let Some(title) = &title {
        rules::title(title).map_err(|rule| Error::invalid("title", rule))?;
    }
    let (id, target, held) = (id.to_owned(), cx.target_id(), !cx.config().index.auto_export);
    let clock = cx.db().clock().clone();
    cx.write(move |tx| {
        let (id, title, clock) = (id.clone(), title.clone(), clock.clone());
        Box::pin(async move {
            let original = documents::lock_live(tx, &id).await?;
            let title = title.unwrap_or_else(|| format!("{} (Copy)", original.title).chars().take(255).collect());
            let copy = document::Model {
                id: clock.new_id(),
                title_folded: fold(&title),
                title,
                revision: 1,
                created_at: tx.now_us(),
                updated_at: tx.now_us(),
                ..original.clone()
            };
            store::documents::insert(tx, &copy).await?;
            let chunks: Vec<(String, String)> =
                store::chunks::live_ids(tx, &id).await?.into_iter().map(|old| (old, clock.new_id())).collect();
            store::chunks::copy(tx, &copy.id, &chunks).await?;
            let chunks: std::collections::HashMap<String, String> = chunks.into_iter().collect();
            let embeddings: Vec<Copy> = store::embeddings::live_ids(tx, &id)
                .await?
                .into_iter()
                .filter_map(|(from, chunk_id)| {
                    let chunk_id = chunks.get(&chunk_id)?.clone();
                    Some(Copy { from, id: clock.new_id(), chunk_id })
                })
                .collect();
            store::embeddings::copy(tx, &copy.id, &embeddings, held).await?;
            if !held {
                store::slots::touch(tx, target, &copy.id, Extent::Document).await?;
            }
            tx.record(Change::new(ChangeKind::DocumentCreated, &copy.id, &copy.id));
            Ok((copy, original))
        })
    })
    .await
}
