//! Documents: create, read, change, delete, restore.

use std::sync::Arc;

use crate::config::Limits;
use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::json::Json;
use crate::service::Ctx;
use crate::service::Delete;
use crate::service::MetadataMode;
use crate::service::Patch;
use crate::service::chunks::NewChunk;
use crate::service::rules;
use crate::service::rules::Check;
use crate::store;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots::Extent;
use crate::store::sql::fold;

/// The kind's name in errors.
pub const WHAT: &str = "Document";

/// A document to create.
#[derive(Debug, Clone, Default)]
pub struct NewDocument {
    /// The client's id, or one of ours.
    pub id: Option<String>,
    /// The partition, or the configured one.
    pub namespace: Option<String>,
    /// 1 to 255 characters.
    pub title: String,
    /// At most 512 characters.
    pub source: Option<String>,
    /// An object.
    pub metadata: Option<Json>,
    /// Its chunks, with their embeddings.
    pub chunks: Vec<NewChunk>,
}

/// What to change of a document.
#[derive(Debug, Clone, Default)]
pub struct DocumentPatch {
    /// Cannot be cleared.
    pub namespace: Patch<String>,
    /// Cannot be cleared.
    pub title: Patch<String>,
    /// Cleared to nothing.
    pub source: Patch<String>,
    /// Cleared to `{}`.
    pub metadata: Patch<Json>,
    /// How given metadata meets what is stored.
    pub metadata_mode: MetadataMode,
    /// Refuse unless the row is at this revision.
    pub if_revision: Option<i64>,
}

impl NewDocument {
    fn check(&self, limits: &Limits) -> Check {
        let mut check = Check::default();
        check.that("title", rules::title(&self.title));
        if let Some(id) = &self.id {
            check.that("id", rules::id(id));
        }
        if let Some(namespace) = &self.namespace {
            check.that("namespace", rules::namespace(namespace));
        }
        if let Some(source) = &self.source {
            check.that("source", rules::source(source));
        }
        if let Some(metadata) = &self.metadata {
            check.that("metadata", rules::metadata(metadata, limits));
        }
        check
    }
}

/// Creates a document.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when the id is taken.
pub async fn create(cx: &Ctx, new: NewDocument) -> Result<document::Model> {
    let new = Arc::new(new.check(&cx.config().limits).finish(new)?);
    let namespace = new.namespace.clone().unwrap_or_else(|| cx.config().index.namespace.clone());
    let id = new.id.clone().unwrap_or_else(|| cx.db().clock().new_id());
    cx.write(move |tx| {
        let (new, id, namespace) = (new.clone(), id.clone(), namespace.clone());
        Box::pin(async move {
            let row = document::Model {
                title_folded: fold(&new.title),
                source_folded: fold(new.source.as_deref().unwrap_or_default()),
                id,
                namespace,
                title: new.title.clone(),
                source: new.source.clone(),
                metadata: Some(new.metadata.as_ref().map_or_else(|| "{}".to_owned(), Json::to_string)),
                revision: 1,
                created_at: tx.now_us(),
                updated_at: tx.now_us(),
                deleted_at: None,
            };
            store::documents::insert(tx, &row)
                .await
                .map_err(|error| store::constraint(error, "id is taken", (WHAT, &row.id)))?;
            tx.record(Change::new(ChangeKind::DocumentCreated, &row.id, &row.id));
            Ok(row)
        })
    })
    .await
}

/// The live document of that id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(cx: &Ctx, id: &str) -> Result<document::Model> {
    rules::known(id, WHAT)?;
    store::documents::find(cx.read(), id).await?.ok_or_else(|| Error::not_found(WHAT, id))
}

/// Deletes a document; soft-deleting it again changes nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str, mode: Delete) -> Result<()> {
    let (id, target) = (id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let row = store::documents::lock(tx, &id).await?.ok_or_else(|| Error::not_found(WHAT, &id))?;
            match (mode, row.deleted_at) {
                (Delete::Soft, Some(_)) => return Ok(()),
                (Delete::Soft, None) => {
                    let row = document::Model {
                        deleted_at: Some(tx.now_us()),
                        updated_at: tx.now_us(),
                        revision: row.revision + 1,
                        ..row
                    };
                    store::documents::update(tx, &row).await?;
                }
                (Delete::Hard, _) => store::documents::delete(tx, &id).await?,
            }
            store::slots::touch(tx, target, &id, Extent::Document).await?;
            tx.record(Change::new(ChangeKind::DocumentDeleted, &id, &id));
            Ok(())
        })
    })
    .await
}

/// Changes a document; a patch that changes nothing is no change.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when it is at another revision.
pub async fn update(cx: &Ctx, id: &str, patch: DocumentPatch) -> Result<document::Model> {
    let _ = (id, patch);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// Deletes documents, each with an outcome of its own: in request order, an id given twice once.
///
/// # Errors
/// [`Error::Invalid`] when there are too many.
pub async fn delete_many(cx: &Ctx, ids: Vec<String>, mode: Delete) -> Result<Vec<(String, Option<Error>)>> {
    let _ = (ids, mode);
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}

/// Takes a soft delete back; a live document stays as it is.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn restore(cx: &Ctx, id: &str) -> Result<document::Model> {
    let _ = id;
    cx.write(|_| Box::pin(async { Err(Error::internal(anyhow::anyhow!("not built yet"))) })).await
}
