//! Embeddings: create, read, change, delete.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use sea_orm::ActiveValue::Set;

use crate::config::Limits;
use crate::entity::embedding;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::Patch;
use crate::service::chunks;
use crate::service::ids::Claims;
use crate::service::rules;
use crate::service::rules::Check;
use crate::store;
use crate::store::Tx;
use crate::store::documents::Below;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots::Extent;
use crate::store::vector;

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

impl NewEmbedding {
    /// Its broken rules, and the ids it brings along.
    pub(super) fn check(&self, limits: &Limits) -> (Check, Claims) {
        let (mut check, mut claims) = (Check::default(), Claims::default());
        if let Some(id) = &self.id {
            check.that("id", rules::ascii_id(id));
            claims.id("id", id);
        }
        check.that("vector", rules::vector(&self.vector, limits));
        if let Some(model) = &self.model {
            check.that("model", rules::model(model));
        }
        match (&self.vector_id, &self.id) {
            (Some(vector_id), _) => {
                check.that("vector_id", rules::ascii_id(vector_id));
                claims.vector_id("vector_id", vector_id);
            }
            (None, Some(id)) => claims.vector_id("id", id),
            (None, None) => {}
        }
        (check, claims)
    }

    /// The row to insert; `id` stands for the one that the client did not give.
    pub(super) fn row(&self, tx: &Tx, parent: (&str, &str), id: &str, held: bool) -> embedding::Model {
        let (document_id, chunk_id) = parent;
        embedding::Model {
            id: id.to_owned(),
            chunk_id: chunk_id.to_owned(),
            document_id: document_id.to_owned(),
            model: self.model.clone(),
            vector_id: self.vector_id.clone().unwrap_or_else(|| id.to_owned()),
            held,
            dimension: i32::try_from(self.vector.len()).unwrap_or(i32::MAX),
            created_at: tx.now_us(),
            updated_at: tx.now_us(),
            vector: vector::to_bytes(&self.vector),
        }
    }
}

impl EmbeddingPatch {
    fn check(&self, limits: &Limits) -> (Check, Claims) {
        let (mut check, mut claims) = (Check::default(), Claims::default());
        check.patch("vector", &self.vector, |vector| rules::vector(vector, limits));
        if let Patch::Set(model) = &self.model {
            check.that("model", rules::model(model));
        }
        if let Patch::Set(vector_id) = &self.vector_id {
            check.that("vector_id", rules::ascii_id(vector_id));
            claims.vector_id("vector_id", vector_id);
        }
        (check, claims)
    }

    /// What differs from `row`, if anything.
    fn changes(&self, row: &Row) -> Option<embedding::ActiveModel> {
        let mut changes = embedding::ActiveModel::default();
        let mut any = false;
        if let Patch::Set(numbers) = &self.vector {
            let bytes = vector::to_bytes(numbers);
            if row.vector.as_ref() != Some(&bytes) {
                changes.dimension = Set(i32::try_from(numbers.len()).unwrap_or(i32::MAX));
                changes.vector = Set(bytes);
                any = true;
            }
        }
        let model = self.model.clone().over(row.model.clone());
        if model != row.model {
            changes.model = Set(model);
            any = true;
        }
        let vector_id = self.vector_id.clone().over(Some(row.vector_id.clone())).unwrap_or_else(|| row.id.clone());
        if vector_id != row.vector_id {
            changes.vector_id = Set(vector_id);
            any = true;
        }
        any.then_some(changes)
    }
}

/// A list of embeddings, checked under the field `embeddings`.
pub(super) fn check_all<'a>(new: impl ExactSizeIterator<Item = &'a NewEmbedding>, limits: &Limits) -> (Check, Claims) {
    let (mut check, mut claims) = (Check::default(), Claims::default());
    if let Err(rule) = rules::batch(new.len(), limits) {
        check.that("embeddings", Err(rule));
        return (check, claims);
    }
    for (i, new) in new.enumerate() {
        let (item, ids) = new.check(limits);
        check.inside("embeddings", i, item);
        claims.inside("embeddings", i, ids);
    }
    (check, claims)
}

/// Inserts rows of a command whose ids were checked.
pub(super) async fn insert(tx: &Tx, rows: Vec<embedding::Model>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    store::embeddings::insert(tx, rows)
        .await
        .map_err(|error| store::constraint(error, "embeddings: an id is already taken", (chunks::WHAT, "")))
}

/// Creates embeddings of chunks, all or none; gives them in request order.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Conflict`] when an id or a vector id is taken.
pub async fn create(cx: &Ctx, new: Vec<(String, NewEmbedding)>) -> Result<Vec<Row>> {
    let (mut check, claims) = check_all(new.iter().map(|(_, new)| new), &cx.config().limits);
    check.errors.extend(claims.repeated());
    check.finish(())?;
    for (chunk_id, _) in &new {
        rules::known(chunk_id, chunks::WHAT)?;
    }
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> =
        new.iter().map(|(_, new)| new.id.clone().unwrap_or_else(|| cx.db().clock().new_id())).collect();
    let (command, target, held) = (Arc::new((new, ids, claims)), cx.target_id(), !cx.config().index.auto_export);
    cx.write(move |tx| {
        let command = command.clone();
        Box::pin(async move {
            let (new, ids, claims) = &*command;
            let parents = lock_parents(tx, new).await?;
            claims.check(tx, None).await?;
            let mut rows = Vec::with_capacity(new.len());
            let mut below: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            for ((chunk_id, new), id) in new.iter().zip(ids) {
                let document_id = parents.get(chunk_id).ok_or_else(|| Error::not_found(chunks::WHAT, chunk_id))?;
                rows.push(new.row(tx, (document_id, chunk_id), id, held));
                below.entry(document_id).or_default().push(id.clone());
                tx.record(Change::new(ChangeKind::EmbeddingCreated, id, document_id));
            }
            let answer = rows.iter().map(fresh).collect();
            insert(tx, rows).await?;
            store::documents::bump(tx, &below.keys().collect::<Vec<_>>()).await?;
            if !held {
                for (document_id, ids) in below {
                    store::slots::touch(tx, target, document_id, Extent::Embeddings(&ids)).await?;
                }
            }
            Ok(answer)
        })
    })
    .await
}

/// Locks the documents of the chunks that are named: chunk id to document id, live ones only.
async fn lock_parents(tx: &Tx, new: &[(String, NewEmbedding)]) -> Result<HashMap<String, String>> {
    let mut chunk_ids: Vec<&str> = new.iter().map(|(chunk_id, _)| chunk_id.as_str()).collect();
    chunk_ids.sort_unstable();
    chunk_ids.dedup();
    let documents = store::documents::lock_above(tx, Below::Chunks, &chunk_ids).await?;
    let live: HashSet<&str> =
        documents.iter().filter(|row| row.deleted_at.is_none()).map(|row| row.id.as_str()).collect();
    // Read behind the lock: a chunk may have been deleted while it was waited for.
    let parents = store::chunks::documents_of(tx, &chunk_ids).await?;
    Ok(parents.into_iter().filter(|(_, document_id)| live.contains(document_id.as_str())).collect())
}

/// What a row that was just inserted reads as.
fn fresh(row: &embedding::Model) -> Row {
    Row {
        id: row.id.clone(),
        chunk_id: row.chunk_id.clone(),
        document_id: row.document_id.clone(),
        model: row.model.clone(),
        vector_id: row.vector_id.clone(),
        held: row.held,
        dimension: row.dimension,
        created_at: row.created_at,
        updated_at: row.updated_at,
        synced: false,
        acked: false,
        synced_at_ms: None,
        vector: None,
    }
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
    rules::known(id, WHAT)?;
    let (check, mut claims) = patch.check(&cx.config().limits);
    check.finish(())?;
    if patch.vector_id == Patch::Clear {
        claims.vector_id("vector_id", id);
    }
    let (command, id, target) = (Arc::new((patch, claims)), id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let (command, id) = (command.clone(), id.clone());
        Box::pin(async move {
            let (patch, claims) = &*command;
            let none = || Error::not_found(WHAT, &id);
            let documents = store::documents::lock_above(tx, Below::Embeddings, &[&id]).await?;
            let row = store::embeddings::find(tx, target, &id, Vectors::Read)
                .await?
                .filter(|row| documents.iter().any(|document| document.id == row.document_id))
                .ok_or_else(none)?;
            let Some(mut changes) = patch.changes(&row) else {
                return Ok(Row { vector: None, ..row });
            };
            claims.check(tx, Some(&id)).await?;
            changes.updated_at = Set(tx.now_us());
            store::embeddings::update(tx, &id, changes)
                .await
                .map_err(|error| store::constraint(error, "vector_id: already taken", (WHAT, &id)))?;
            store::slots::touch(tx, target, &row.document_id, Extent::Embeddings(std::slice::from_ref(&id))).await?;
            store::documents::bump(tx, &[&row.document_id]).await?;
            tx.record(Change::new(ChangeKind::EmbeddingUpdated, &id, &row.document_id));
            store::embeddings::find(tx, target, &id, Vectors::Leave).await?.ok_or_else(none)
        })
    })
    .await
}

/// Deletes an embedding, also below a deleted chunk or document.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(cx: &Ctx, id: &str) -> Result<()> {
    rules::known(id, WHAT)?;
    let (id, target) = (id.to_owned(), cx.target_id());
    cx.write(move |tx| {
        let id = id.clone();
        Box::pin(async move {
            let none = || Error::not_found(WHAT, &id);
            let document = store::documents::lock_above(tx, Below::Embeddings, &[&id]).await?.pop().ok_or_else(none)?;
            let document_id = document.id;
            if store::embeddings::delete(tx, &document_id, &id).await? == 0 {
                return Err(none());
            }
            store::slots::touch(tx, target, &document_id, Extent::Embeddings(std::slice::from_ref(&id))).await?;
            store::documents::bump(tx, &[&document_id]).await?;
            tx.record(Change::new(ChangeKind::EmbeddingDeleted, &id, &document_id));
            Ok(())
        })
    })
    .await
}
