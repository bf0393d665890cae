//! Adopting the rows of the older FastAPI application into an empty corpus.
//!
//! Everything comes over in one transaction, page by page: a failed adoption
//! leaves the corpus empty. Ids, times, metadata and texts come as they are,
//! vectors as f32. What cannot come, and what had to be changed to come, is in
//! the [`Report`], row by row; [`cells`] holds the rules of single values.

mod cells;
mod report;

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use crate::config::DatabaseConfig;
use crate::entity::chunk;
use crate::entity::document;
use crate::entity::embedding;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::rules;
use crate::store;
use crate::store::Tx;
use crate::store::connect::Location;
use crate::store::connect::OpenError;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::seed::Row;
use crate::store::seed::Source;
use crate::store::seed::Table;
use crate::store::sql::fold;
use crate::store::vector;

pub use crate::service::adopt::report::Count;
pub use crate::service::adopt::report::Finding;
pub use crate::service::adopt::report::Report;

/// Copies everything of the database at `from` into the empty corpus of `cx`.
///
/// # Errors
/// [`Error::Conflict`] when the corpus is not empty or `from` is no database of the
/// old application; what the databases say. Nothing was copied then.
pub async fn adopt(cx: &Ctx, from: Location, config: DatabaseConfig) -> Result<Report> {
    let (from, target) = (Arc::new((from, config)), cx.target_id());
    let namespace = cx.config().index.namespace.clone();
    let numbers = cx.config().limits.dimension;
    let ids = cx.db().clock().clone();
    cx.write(move |tx| {
        let (from, namespace, ids) = (from.clone(), namespace.clone(), ids.clone());
        Box::pin(async move {
            if !store::seed::is_empty(tx).await? {
                return Err(Error::conflict("the destination is not empty: adopt into a new database"));
            }
            let source = Source::open(&from.0, &from.1).await.map_err(cannot_open)?;
            let new_id = move || ids.new_id();
            let mut copy =
                Copy { tx, source: &source, new_id: &new_id, moved: HashMap::new(), report: Report::default() };
            copy.documents(&namespace).await?;
            copy.chunks().await?;
            copy.embeddings(target, numbers).await?;
            Ok(copy.report)
        })
    })
    .await
}

fn cannot_open(error: OpenError) -> Error {
    match error {
        OpenError::Database(cause) => cause.into(),
        OpenError::Url(_)
        | OpenError::Seed
        | OpenError::NotSeed
        | OpenError::Foreign
        | OpenError::OldSqlite(_)
        | OpenError::Newer(_)
        | OpenError::Diverged { .. }
        | OpenError::Index(_) => Error::conflict(error.to_string()),
    }
}

/// An adoption under way.
struct Copy<'a> {
    tx: &'a Tx,
    source: &'a Source,
    new_id: &'a (dyn Fn() -> String + Send + Sync),
    /// Chunks that had to take another id.
    moved: HashMap<String, String>,
    report: Report,
}

impl Copy<'_> {
    async fn documents(&mut self, namespace: &str) -> Result<()> {
        self.report.documents.of = self.source.count(Table::Documents).await?;
        let mut last: Option<Row> = None;
        loop {
            let mut page = self.source.page(Table::Documents, last.as_ref()).await?;
            for row in &page {
                let mut notes = self.report.notes(Table::Documents, row);
                let id = notes.id(row, 0).unwrap_or_else(self.new_id);
                let title = notes.text(row, 1, "title").unwrap_or_default();
                let source = notes.optional_text(row, 2, "source");
                let metadata = notes.metadata(row, 3);
                let (created_at, updated_at) = notes.times(row, 4, self.tx.now_us());
                let deleted = notes.switch(row, 6, "is_deleted", "not deleted");
                notes.copied(&id);
                let row = document::Model {
                    title_folded: fold(&title),
                    source_folded: fold(source.as_deref().unwrap_or_default()),
                    id,
                    namespace: namespace.to_owned(),
                    title,
                    source,
                    metadata,
                    revision: 1,
                    created_at,
                    updated_at,
                    deleted_at: deleted.then_some(updated_at),
                };
                store::documents::insert(self.tx, &row).await?;
                // One entry a document, as for every bulk import.
                self.tx.record(Change::new(ChangeKind::DocumentCreated, &row.id, &row.id));
                self.report.documents.copied += 1;
            }
            last = page.pop();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn chunks(&mut self) -> Result<()> {
        self.report.chunks.of = self.source.count(Table::Chunks).await?;
        let mut last: Option<Row> = None;
        loop {
            let mut page = self.source.page(Table::Chunks, last.as_ref()).await?;
            let parents: Vec<String> = page.iter().map(|row| cells::plain(row.cell(1))).collect();
            let known = store::seed::known_documents(self.tx, &parents).await?;
            let ids: Vec<String> = page.iter().map(|row| cells::plain(row.cell(0))).collect();
            let taken = store::seed::known_documents(self.tx, &ids).await?;
            let mut rows = Vec::with_capacity(page.len());
            for (row, document_id) in page.iter().zip(parents) {
                let mut notes = self.report.notes(Table::Chunks, row);
                if !known.contains(&document_id) {
                    notes.left_out(format!("its document {document_id:?} does not exist"));
                    continue;
                }
                let old = cells::plain(row.cell(0));
                let id = notes
                    .id(row, 0)
                    .filter(|id| !taken.contains(id) || notes.clash("a document"))
                    .unwrap_or_else(self.new_id);
                let text = notes.text(row, 3, "text").unwrap_or_default();
                let chunk_index = notes.chunk_index(row, 2);
                let metadata = notes.metadata(row, 4);
                let (created_at, updated_at) = notes.times(row, 5, self.tx.now_us());
                let deleted = notes.switch(row, 7, "is_deleted", "not deleted");
                notes.copied(&id);
                if id != old {
                    self.moved.insert(old, id.clone());
                }
                rows.push(chunk::Model {
                    text_folded: fold(&text),
                    id,
                    document_id,
                    chunk_index,
                    text,
                    metadata,
                    created_at,
                    updated_at,
                    deleted_at: deleted.then_some(updated_at),
                });
            }
            store::chunks::insert(self.tx, &rows).await?;
            self.report.chunks.copied += rows.len() as u64;
            last = page.pop();
            if last.is_none() {
                return Ok(());
            }
        }
    }

    async fn embeddings(&mut self, target: i64, numbers: usize) -> Result<()> {
        self.report.embeddings.of = self.source.count(Table::Embeddings).await?;
        // Of those that want one vector id the oldest gets it, so they come last and in that order.
        let shared = self.source.shared_vector_ids().await?;
        let later: HashSet<&String> = shared.iter().collect();
        let mut last: Option<Row> = None;
        loop {
            let mut page = self.source.page(Table::Embeddings, last.as_ref()).await?;
            let now: Vec<&Row> = page.iter().filter(|row| !later.contains(&cells::plain(row.cell(0)))).collect();
            self.insert_embeddings(&now, target, numbers).await?;
            last = page.pop();
            if last.is_none() {
                break;
            }
        }
        for id in &shared {
            if let Some(row) = self.source.embedding(id).await? {
                self.insert_embeddings(&[&row], target, numbers).await?;
            }
        }
        Ok(())
    }

    async fn insert_embeddings(&mut self, page: &[&Row], target: i64, numbers: usize) -> Result<()> {
        let parent = |row: &Row| {
            let old = cells::plain(row.cell(1));
            self.moved.get(&old).cloned().unwrap_or(old)
        };
        let parents: Vec<String> = page.iter().map(|row| parent(row)).collect();
        let known = store::seed::known_chunks(self.tx, &parents).await?;
        let ids: Vec<String> = page.iter().map(|row| cells::plain(row.cell(0))).collect();
        let taken = store::seed::known_rows(self.tx, &ids).await?;
        let wanted: Vec<String> = page.iter().flat_map(|row| cells::vector_ids(row)).collect();
        let mut vector_ids = store::seed::known_vector_ids(self.tx, &wanted).await?;
        let mut rows = Vec::with_capacity(page.len());
        for (row, chunk_id) in page.iter().zip(parents) {
            let mut notes = self.report.notes(Table::Embeddings, row);
            let Some(document_id) = known.get(&chunk_id) else {
                notes.left_out(format!("its chunk {:?} does not exist or was not copied", cells::plain(row.cell(1))));
                continue;
            };
            let numbers = match cells::vector(row.cell(2), numbers) {
                Ok(numbers) => numbers,
                Err(reason) => {
                    notes.left_out(reason);
                    continue;
                }
            };
            let id = notes
                .id(row, 0)
                .filter(|id| !taken.contains(id) || notes.clash("a document or a chunk"))
                .unwrap_or_else(self.new_id);
            let fits = |wanted: &String| rules::ascii_id(wanted).is_ok() && !vector_ids.contains(wanted);
            let mut wishes = cells::vector_ids(row).into_iter();
            let first = wishes.next().unwrap_or_default();
            let vector_id =
                match [Some(first.clone()), wishes.next(), Some(id.clone())].into_iter().flatten().find(fits) {
                    Some(found) => found,
                    None => (self.new_id)(),
                };
            if vector_id != first {
                let why =
                    if rules::ascii_id(&first).is_ok() { "another embedding has" } else { "the index cannot hold" };
                notes.changed(format!("{why} its vector id {first:?}: it got {vector_id:?}"));
            }
            vector_ids.insert(vector_id.clone());
            let model = notes.optional_text(row, 3, "model");
            let synced = notes.switch(row, 5, "is_synced", "not synced");
            let (created_at, updated_at) = notes.times(row, 6, self.tx.now_us());
            notes.copied(&id);
            rows.push(embedding::Model {
                id,
                chunk_id,
                document_id: document_id.clone(),
                model,
                vector_id,
                held: !synced,
                dimension: i32::try_from(numbers.len()).unwrap_or(i32::MAX),
                created_at,
                updated_at,
                vector: vector::to_bytes(&numbers),
            });
        }
        // What was synced is due once: nobody knows what the index really holds.
        let due: Vec<String> = rows.iter().filter(|row| !row.held).map(|row| row.id.clone()).collect();
        self.report.embeddings.copied += rows.len() as u64;
        store::embeddings::insert(self.tx, rows).await?;
        store::slots::touch_released(self.tx, target, &due).await?;
        Ok(())
    }
}
