//! The dashboard: totals, statistics of documents, and a search that needs no index.

use std::collections::HashMap;

use crate::entity::chunk;
use crate::entity::document;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::documents;
use crate::service::rules;
use crate::store::dashboard;
use crate::store::dashboard::ChunkHit;
use crate::store::dashboard::DocumentHit;
use crate::store::embeddings;
use crate::store::embeddings::Vectors;
use crate::store::sql::fold;
use crate::store::stats;
use crate::store::stats::DocumentLine;
use crate::store::stats::DocumentStats;
use crate::store::stats::TextLength;
use crate::store::stats::Totals;

/// The documents of an overview at most.
const OVERVIEW: i64 = 10_000;

/// The corpus at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// Its totals.
    pub totals: Totals,
    /// Its first documents, in the order of their creation.
    pub documents: Vec<DocumentLine>,
}

/// The corpus at a glance: two statements, whatever its size.
///
/// # Errors
/// What the database says.
pub async fn overview(cx: &Ctx) -> Result<Overview> {
    let totals = sync_status(cx).await?;
    let documents = stats::document_lines(cx.read(), cx.target_id(), OVERVIEW).await?;
    Ok(Overview { totals, documents })
}

/// The totals of the corpus and how much of it the index holds.
///
/// # Errors
/// What the database says.
pub async fn sync_status(cx: &Ctx) -> Result<Totals> {
    Ok(stats::totals(cx.read(), cx.target_id()).await?)
}

/// A live document and its statistics.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn document_stats(cx: &Ctx, id: &str) -> Result<(document::Model, DocumentStats)> {
    let document = documents::get(cx, id).await?;
    let found = document_stats_many(cx, &[id], TextLength::Measure).await?;
    Ok((document, found.get(id).copied().unwrap_or_default()))
}

/// The statistics of many documents in one statement; a deleted or unknown one is left out.
///
/// # Errors
/// What the database says.
pub async fn document_stats_many<S: AsRef<str>>(
    cx: &Ctx,
    ids: &[S],
    text: TextLength,
) -> Result<HashMap<String, DocumentStats>> {
    Ok(stats::of_documents(cx.read(), cx.target_id(), ids, text).await?)
}

/// A document with everything live below it.
#[derive(Debug, Clone)]
pub struct Export {
    /// The document.
    pub document: document::Model,
    /// Its live chunks in reading order, each with its embeddings, oldest first.
    pub chunks: Vec<(chunk::Model, Vec<embeddings::Row>)>,
    /// What was counted over exactly these rows.
    pub stats: DocumentStats,
}

/// A live document with everything live below it: three statements.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn export_document(cx: &Ctx, id: &str, vectors: Vectors) -> Result<Export> {
    let document = documents::get(cx, id).await?;
    let chunks = dashboard::chunks_of(cx.read(), id).await?;
    let embeddings = dashboard::embeddings_of(cx.read(), cx.target_id(), id, vectors).await?;
    let mut below: HashMap<String, Vec<embeddings::Row>> = HashMap::new();
    for row in embeddings {
        below.entry(row.chunk_id.clone()).or_default().push(row);
    }
    let chunks: Vec<_> = chunks
        .into_iter()
        .map(|chunk| {
            let embeddings = below.remove(&chunk.id).unwrap_or_default();
            (chunk, embeddings)
        })
        .collect();
    let mut stats = DocumentStats::default();
    for (chunk, embeddings) in &chunks {
        stats.chunks += 1;
        stats.text_length += i64::try_from(chunk.text.chars().count()).unwrap_or(i64::MAX);
        for row in embeddings {
            stats.embeddings += 1;
            stats.synced += i64::from(row.synced);
        }
    }
    Ok(Export { document, chunks, stats })
}

/// What a dashboard search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Chunks whose text holds the query.
    pub chunks: Vec<ChunkHit>,
    /// Documents whose title or source holds it.
    pub documents: Vec<DocumentHit>,
}

/// Live chunks and documents that hold `query` as it is, letters of either case; at most `limit` of each (and the configured page).
///
/// # Errors
/// [`Error::Invalid`] when there is nothing to search for, or a U+0000 in it.
pub async fn search(cx: &Ctx, query: &str, limit: i64) -> Result<Found> {
    rules::search(query).map_err(|rule| Error::invalid("query", rule))?;
    let limit = limit.min(i64::try_from(cx.config().limits.rest_page).unwrap_or(i64::MAX));
    let folded = fold(query);
    Ok(Found {
        chunks: dashboard::chunks_with(cx.read(), &folded, limit).await?,
        documents: dashboard::documents_with(cx.read(), &folded, limit).await?,
    })
}
