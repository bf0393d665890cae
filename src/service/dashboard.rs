//! The dashboard: totals, statistics of documents, and a search that needs no index.

use std::collections::HashMap;

use crate::entity::document;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::documents;
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
/// [`crate::error::Error::NotFound`].
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
