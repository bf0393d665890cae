//! Documents: create, read, change, delete, restore.

use std::collections::HashSet;
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
use crate::service::chunks;
use crate::service::chunks::Batch;
use crate::service::chunks::NewChunk;
use crate::service::ids::Claims;
use crate::service::rules;
use crate::service::rules::Check;
use crate::store;
use crate::store::Tx;
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
    /// Refuse unless the row is at one of these revisions.
    pub if_revision: Option<Vec<i64>>,
}

impl NewDocument {
    fn check(&self, limits: &Limits) -> (Check, Claims) {
        let (mut check, mut claims) = (Check::default(), Claims::default());
        if let Some(id) = &self.id {
            check.that("id", rules::id(id));
            claims.id("id", id);
        }
        if let Some(namespace) = &self.namespace {
            check.that("namespace", rules::namespace(namespace));
        }
        check.that("title", rules::title(&self.title));
        if let Some(source) = &self.source {
            check.that("source", rules::source(source));
        }
        if let Some(metadata) = &self.metadata {
            check.that("metadata", rules::metadata(metadata, limits));
        }
        let (below, ids) = chunks::check_all(&self.chunks, limits);
        check.errors.extend(below.errors);
        claims.extend(ids);
        check.errors.extend(claims.repeated());
        (check, claims)
    }
}

impl DocumentPatch {
    fn check(&self, limits: &Limits) -> Check {
        let mut check = Check::default();
        check.patch("namespace", &self.namespace, |namespace| rules::namespace(namespace));
        check.patch("title", &self.title, |title| rules::title(title));
        if let Patch::Set(source) = &self.source {
            check.that("source", rules::source(source));
        }
        if let Patch::Set(metadata) = &self.metadata {
            check.that("metadata", rules::metadata(metadata, limits));
        }
        check
    }

    /// The row after the patch.
    fn apply(&self, row: &document::Model, limits: &Limits) -> Result<document::Model> {
        let mut next = row.clone();
        if let Patch::Set(namespace) = &self.namespace {
            next.namespace.clone_from(namespace);
        }
        if let Patch::Set(title) = &self.title {
            next.title.clone_from(title);
            next.title_folded = fold(title);
        }
        if self.source != Patch::Keep {
            next.source = self.source.clone().over(None);
            next.source_folded = fold(next.source.as_deref().unwrap_or_default());
        }
        next.metadata = rules::patched_metadata(row.metadata.as_ref(), &self.metadata, self.metadata_mode, limits)?;
        Ok(next)
    }
}

/// Creates a document with its chunks and their embeddings, all or nothing.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] when an id or a vector id is taken.
pub async fn create(cx: &Ctx, mut new: NewDocument) -> Result<document::Model> {
    let (check, claims) = new.check(&cx.config().limits);
    check.finish(())?;
    let batch = Batch::new(cx.db().clock(), std::mem::take(&mut new.chunks), !cx.config().index.auto_export);
    let id = new.id.take().unwrap_or_else(|| cx.db().clock().new_id());
    let namespace = new.namespace.take().unwrap_or_else(|| cx.config().index.namespace.clone());
    let (command, target) = (Arc::new((new, batch, claims)), cx.target_id());
    cx.write(move |tx| {
        let (command, id, namespace) = (command.clone(), id.clone(), namespace.clone());
        Box::pin(async move {
            let (new, batch, claims) = &*command;
            claims.check(tx, None).await?;
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
                .map_err(|error| store::constraint(error, "id: already taken", (WHAT, &row.id)))?;
            batch.insert(tx, target, &row.id, None).await?;
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

/// Locks a live document: the first step of every change of it or below it.
pub(super) async fn lock_live(tx: &Tx, id: &str) -> Result<document::Model> {
    let row = store::documents::lock(tx, id).await?.filter(|row| row.deleted_at.is_none());
    row.ok_or_else(|| Error::not_found(WHAT, id))
}

/// Changes a document; a patch that changes nothing is no change.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when it is at another revision.
pub async fn update(cx: &Ctx, id: &str, patch: DocumentPatch) -> Result<document::Model> {
    rules::known(id, WHAT)?;
    let limits = cx.config().limits.clone();
    patch.check(&limits).finish(())?;
    let (command, id, target) = (Arc::new((patch, limits)), id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let (command, id) = (command.clone(), id.clone());
        Box::pin(async move {
            let (patch, limits) = &*command;
            let row = lock_live(tx, &id).await?;
            at_one_of(&row, patch.if_revision.as_deref())?;
            let next = patch.apply(&row, limits)?;
            if next == row {
                return Ok(row);
            }
            let next = document::Model { revision: row.revision + 1, updated_at: tx.now_us(), ..next };
            store::documents::update(tx, &next).await?;
            store::slots::touch(tx, target, &id, Extent::Document).await?;
            tx.record(Change::new(ChangeKind::DocumentUpdated, &id, &id));
            Ok(next)
        })
    })
    .await
}

/// Refuses a row that is at none of the revisions.
fn at_one_of(row: &document::Model, expected: Option<&[i64]>) -> Result<()> {
    let Some(expected) = expected.filter(|expected| !expected.contains(&row.revision)) else { return Ok(()) };
    let named: Vec<String> = expected.iter().map(i64::to_string).collect();
    let named = if named.is_empty() { "what was expected".to_owned() } else { named.join(" or ") };
    Err(Error::conflict(format!("The document is at revision {}, not {named}", row.revision)))
}

/// Deletes a document; soft-deleting it again changes nothing.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str, mode: Delete) -> Result<()> {
    delete_at(cx, id, mode, None).await
}

/// Deletes a document, unless it is at another than one of these revisions.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] when it is.
pub async fn delete_at(cx: &Ctx, id: &str, mode: Delete, expected: Option<Vec<i64>>) -> Result<()> {
    let outcomes = delete_all(cx, vec![id.to_owned()], mode, expected).await?;
    outcomes.into_iter().find_map(|(_, error)| error).map_or(Ok(()), Err)
}

/// Deletes documents, each with an outcome of its own: in request order, an id given twice once.
///
/// # Errors
/// [`Error::Invalid`] when there are too many.
pub async fn delete_many(cx: &Ctx, ids: Vec<String>, mode: Delete) -> Result<Vec<(String, Option<Error>)>> {
    rules::batch(ids.len(), &cx.config().limits).map_err(|rule| Error::invalid("ids", rule))?;
    let mut seen = HashSet::new();
    let ids: Vec<String> = ids.into_iter().filter(|id| seen.insert(id.clone())).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    delete_all(cx, ids, mode, None).await
}

async fn delete_all(
    cx: &Ctx,
    ids: Vec<String>,
    mode: Delete,
    expected: Option<Vec<i64>>,
) -> Result<Vec<(String, Option<Error>)>> {
    let (command, target) = (Arc::new((ids, expected)), cx.target_id());
    cx.write(move |tx| {
        let command = command.clone();
        Box::pin(async move {
            let (ids, expected) = &*command;
            let rows = store::documents::lock_many(tx, ids).await?;
            for row in &rows {
                at_one_of(row, expected.as_deref())?;
            }
            let known: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            let changed: HashSet<&str> = rows
                .iter()
                .filter(|row| mode == Delete::Hard || row.deleted_at.is_none())
                .map(|row| row.id.as_str())
                .collect();
            if !changed.is_empty() {
                let in_order: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
                match mode {
                    Delete::Soft => store::documents::soft_delete_many(tx, &in_order).await?,
                    Delete::Hard => store::documents::delete_many(tx, &in_order).await?,
                }
            }
            for id in ids.iter().filter(|id| changed.contains(id.as_str())) {
                store::slots::touch(tx, target, id, Extent::Document).await?;
                tx.record(Change::new(ChangeKind::DocumentDeleted, id, id));
            }
            let outcome = |id: &String| (!known.contains(id.as_str())).then(|| Error::not_found(WHAT, id));
            Ok(ids.iter().map(|id| (id.clone(), outcome(id))).collect())
        })
    })
    .await
}

/// Takes a soft delete back; a live document stays as it is.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn restore(cx: &Ctx, id: &str) -> Result<document::Model> {
    rules::known(id, WHAT)?;
    let (id, target) = (id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let row = store::documents::lock(tx, &id).await?.ok_or_else(|| Error::not_found(WHAT, &id))?;
            if row.deleted_at.is_none() {
                return Ok(row);
            }
            let next = document::Model { deleted_at: None, updated_at: tx.now_us(), revision: row.revision + 1, ..row };
            store::documents::update(tx, &next).await?;
            store::slots::touch(tx, target, &id, Extent::Document).await?;
            tx.record(Change::new(ChangeKind::DocumentRestored, &id, &id));
            Ok(next)
        })
    })
    .await
}
