//! Chunks: create, read, change, delete, restore.

use std::sync::Arc;

use crate::clock::Clock;
use crate::config::Limits;
use crate::entity::chunk;
use crate::entity::document;
use crate::error::Error;
use crate::error::FieldError;
use crate::error::Result;
use crate::json::Json;
use crate::service::Ctx;
use crate::service::Delete;
use crate::service::MetadataMode;
use crate::service::Patch;
use crate::service::documents;
use crate::service::embeddings;
use crate::service::embeddings::NewEmbedding;
use crate::service::ids::Claims;
use crate::service::rules;
use crate::service::rules::Check;
use crate::store;
use crate::store::Tx;
use crate::store::documents::Below;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots::Extent;
use crate::store::sql::fold;

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

impl NewChunk {
    fn check(&self, limits: &Limits) -> (Check, Claims) {
        let (mut check, mut claims) = (Check::default(), Claims::default());
        if let Some(id) = &self.id {
            check.that("id", rules::id(id));
            claims.id("id", id);
        }
        if let Some(index) = self.chunk_index {
            check.that("chunk_index", rules::chunk_index(index));
        }
        check.that("text", rules::text(&self.text, limits));
        if let Some(metadata) = &self.metadata {
            check.that("metadata", rules::metadata(metadata, limits));
        }
        let (below, ids) = embeddings::check_all(self.embeddings.iter(), limits);
        check.errors.extend(below.errors);
        claims.extend(ids);
        (check, claims)
    }
}

impl ChunkPatch {
    fn check(&self, limits: &Limits) -> Check {
        let mut check = Check::default();
        check.patch("chunk_index", &self.chunk_index, |index| rules::chunk_index(*index));
        check.patch("text", &self.text, |text| rules::text(text, limits));
        if let Patch::Set(metadata) = &self.metadata {
            check.that("metadata", rules::metadata(metadata, limits));
        }
        check
    }

    /// The row after the patch.
    fn apply(&self, row: &chunk::Model, limits: &Limits) -> Result<chunk::Model> {
        let mut next = row.clone();
        if let Patch::Set(index) = self.chunk_index {
            next.chunk_index = index;
        }
        if let Patch::Set(text) = &self.text {
            next.text.clone_from(text);
            next.text_folded = fold(text);
        }
        next.metadata = rules::patched_metadata(row.metadata.as_ref(), &self.metadata, self.metadata_mode, limits)?;
        Ok(next)
    }
}

/// A list of chunks, checked under the field `chunks`.
pub(super) fn check_all(new: &[NewChunk], limits: &Limits) -> (Check, Claims) {
    let (mut check, mut claims) = (Check::default(), Claims::default());
    if let Err(rule) = rules::batch(new.len(), limits) {
        check.that("chunks", Err(rule));
        return (check, claims);
    }
    for (i, new) in new.iter().enumerate() {
        let (item, ids) = new.check(limits);
        check.inside("chunks", i, item);
        claims.inside("chunks", i, ids);
    }
    (check, claims)
}

/// Chunks of one command with an id for each of them and of their embeddings.
#[derive(Debug)]
pub(super) struct Batch {
    chunks: Vec<(String, NewChunk, Vec<String>)>,
    held: bool,
}

impl Batch {
    /// Gives ids to what has none; `held` is how the embeddings begin.
    pub(super) fn new(clock: &Clock, new: Vec<NewChunk>, held: bool) -> Self {
        let with_ids = |mut new: NewChunk| {
            let id = new.id.take().unwrap_or_else(|| clock.new_id());
            let below = new.embeddings.iter().map(|new| new.id.clone().unwrap_or_else(|| clock.new_id())).collect();
            (id, new, below)
        };
        Self { chunks: new.into_iter().map(with_ids).collect(), held }
    }

    /// Inserts them below a document whose greatest index is `last`, and makes their slots due.
    pub(super) async fn insert(
        &self,
        tx: &Tx,
        target_id: i64,
        document_id: &str,
        last: Option<i64>,
    ) -> Result<Vec<chunk::Model>> {
        let indexes = self.indexes(last)?;
        let mut rows = Vec::with_capacity(self.chunks.len());
        let mut below = Vec::new();
        for ((id, new, embedding_ids), chunk_index) in self.chunks.iter().zip(indexes) {
            rows.push(chunk::Model {
                id: id.clone(),
                document_id: document_id.to_owned(),
                chunk_index,
                text: new.text.clone(),
                metadata: Some(new.metadata.as_ref().map_or_else(|| "{}".to_owned(), Json::to_string)),
                created_at: tx.now_us(),
                updated_at: tx.now_us(),
                deleted_at: None,
                text_folded: fold(&new.text),
            });
            let pairs = new.embeddings.iter().zip(embedding_ids);
            below.extend(pairs.map(|(new, own)| new.row(tx, (document_id, id), own, self.held)));
        }
        store::chunks::insert(tx, &rows).await.map_err(|error| {
            store::constraint(error, "chunks: an id is already taken", (documents::WHAT, document_id))
        })?;
        if !below.is_empty() {
            let ids: Vec<String> = below.iter().map(|row| row.id.clone()).collect();
            embeddings::insert(tx, below).await?;
            if !self.held {
                store::slots::touch(tx, target_id, document_id, Extent::Embeddings(&ids)).await?;
            }
        }
        Ok(rows)
    }

    /// The index of each: as given, or one more than the greatest so far.
    fn indexes(&self, mut last: Option<i64>) -> Result<Vec<i64>> {
        let mut check = Check::default();
        let mut indexes = Vec::with_capacity(self.chunks.len());
        for (i, (_, new, _)) in self.chunks.iter().enumerate() {
            let index = new.chunk_index.unwrap_or_else(|| last.map_or(0, |last| last.saturating_add(1)));
            if let Err(rule) = rules::chunk_index(index) {
                check.errors.push(FieldError::new("chunk_index", rule).inside("chunks", i));
            }
            last = last.max(Some(index));
            indexes.push(index);
        }
        check.finish(indexes)
    }
}

/// Creates chunks of a document, all or none; gives them in request order.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when an id is taken.
pub async fn create(cx: &Ctx, document_id: &str, new: Vec<NewChunk>) -> Result<Vec<chunk::Model>> {
    rules::known(document_id, documents::WHAT)?;
    let (mut check, claims) = check_all(&new, &cx.config().limits);
    check.errors.extend(claims.repeated());
    check.finish(())?;
    let batch = Batch::new(cx.db().clock(), new, !cx.config().index.auto_export);
    let (command, document_id, target) = (Arc::new((batch, claims)), document_id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let (command, document_id) = (command.clone(), document_id.clone());
        Box::pin(async move {
            let (batch, claims) = &*command;
            documents::lock_live(tx, &document_id).await?;
            if batch.chunks.is_empty() {
                return Ok(Vec::new());
            }
            claims.check(tx, None).await?;
            let last = store::chunks::last_index(tx, &document_id).await?;
            let rows = batch.insert(tx, target, &document_id, last).await?;
            store::documents::bump(tx, &[&document_id]).await?;
            for row in &rows {
                tx.record(Change::new(ChangeKind::ChunkCreated, &row.id, &document_id));
            }
            Ok(rows)
        })
    })
    .await
}

/// The live chunk of that id, below a live document.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(cx: &Ctx, id: &str) -> Result<chunk::Model> {
    rules::known(id, WHAT)?;
    store::chunks::find(cx.read(), id).await?.ok_or_else(|| Error::not_found(WHAT, id))
}

/// Locks the document of a chunk, deleted or not, and reads both behind the lock.
async fn lock(tx: &Tx, id: &str) -> Result<(document::Model, chunk::Model)> {
    let documents = store::documents::lock_above(tx, Below::Chunks, &[id]).await?;
    let row = store::chunks::find_with_deleted(tx, id).await?;
    documents
        .into_iter()
        .zip(row)
        .find(|(document, row)| document.id == row.document_id)
        .ok_or_else(|| Error::not_found(WHAT, id))
}

/// What every change of a chunk ends with: its slots, its document's revision, the log.
async fn changed(tx: &Tx, target_id: i64, row: &chunk::Model, below: &[String], kind: ChangeKind) -> Result<()> {
    if !below.is_empty() {
        store::slots::touch(tx, target_id, &row.document_id, Extent::Embeddings(below)).await?;
    }
    store::documents::bump(tx, &[&row.document_id]).await?;
    tx.record(Change::new(kind, &row.id, &row.document_id));
    Ok(())
}

/// Changes a chunk; a patch that changes nothing is no change.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`].
pub async fn update(cx: &Ctx, id: &str, patch: ChunkPatch) -> Result<chunk::Model> {
    rules::known(id, WHAT)?;
    let limits = cx.config().limits.clone();
    patch.check(&limits).finish(())?;
    let (command, id, target) = (Arc::new((patch, limits)), id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let (command, id) = (command.clone(), id.clone());
        Box::pin(async move {
            let (patch, limits) = &*command;
            let (document, row) = lock(tx, &id).await?;
            if document.deleted_at.is_some() || row.deleted_at.is_some() {
                return Err(Error::not_found(WHAT, &id));
            }
            let next = patch.apply(&row, limits)?;
            if next == row {
                return Ok(row);
            }
            let next = chunk::Model { updated_at: tx.now_us(), ..next };
            store::chunks::update(tx, &next).await?;
            let below = store::embeddings::ids_of_chunk(tx, &id).await?;
            changed(tx, target, &next, &below, ChangeKind::ChunkUpdated).await?;
            Ok(next)
        })
    })
    .await
}

/// Deletes a chunk; soft-deleting it again changes nothing. A hard delete also works below a deleted document.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str, mode: Delete) -> Result<()> {
    rules::known(id, WHAT)?;
    let (id, target) = (id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let (document, row) = lock(tx, &id).await?;
            let below = store::embeddings::ids_of_chunk(tx, &id).await?;
            match mode {
                Delete::Soft if document.deleted_at.is_some() => return Err(Error::not_found(WHAT, &id)),
                Delete::Soft if row.deleted_at.is_some() => return Ok(()),
                Delete::Soft => {
                    let now = tx.now_us();
                    let next = chunk::Model { deleted_at: Some(now), updated_at: now, ..row.clone() };
                    store::chunks::update(tx, &next).await?;
                }
                Delete::Hard => store::chunks::delete(tx, &id).await?,
            }
            changed(tx, target, &row, &below, ChangeKind::ChunkDeleted).await
        })
    })
    .await
}

/// Takes a soft delete back, also below a deleted document; a live chunk stays as it is.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn restore(cx: &Ctx, id: &str) -> Result<chunk::Model> {
    rules::known(id, WHAT)?;
    let (id, target) = (id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let (_, row) = lock(tx, &id).await?;
            if row.deleted_at.is_none() {
                return Ok(row);
            }
            let next = chunk::Model { deleted_at: None, updated_at: tx.now_us(), ..row };
            store::chunks::update(tx, &next).await?;
            let below = store::embeddings::ids_of_chunk(tx, &id).await?;
            changed(tx, target, &next, &below, ChangeKind::ChunkRestored).await?;
            Ok(next)
        })
    })
    .await
}
