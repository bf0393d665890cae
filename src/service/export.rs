//! The vector index as REST shows it: exports that wait for their job, removals, figures, and a plain search.
//!
//! An export here is a job like any other, started and followed to its end; what
//! this module adds is the answer of a client that does not follow jobs. A search
//! asks the index and keeps what is a live row (P5), asking for more until enough is.

use std::collections::HashSet;

use crate::entity::sync_job;
use crate::error::Error;
use crate::error::Result;
use crate::error::Rule;
use crate::index::IndexError;
use crate::index::IndexStats;
use crate::index::Match;
use crate::index::VectorQuery;
use crate::service::Ctx;
use crate::service::documents;
use crate::service::jobs;
use crate::service::jobs::JobOutcome;
use crate::service::jobs::JobState;
use crate::service::jobs::Scope;
use crate::service::jobs::Start;
use crate::service::rules;
use crate::service::search;
use crate::store;

/// Matches of one search at most.
const MOST_MATCHES: usize = 10_000;

/// How an export went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exported {
    /// So many embeddings were written to the index, and so many refused.
    Success {
        /// Written.
        upserted: i64,
        /// Refused.
        refused: i64,
    },
    /// There was nothing to send.
    Nothing,
    /// There was something, and nothing of it could be sent.
    NoVectors,
}

/// Exports what is held, pending or changed of one document, and waits for it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Unavailable`] with the job's id when the target does not answer.
pub async fn document(cx: &Ctx, id: &str) -> Result<Exported> {
    rules::known(id, documents::WHAT)?;
    export(cx, Scope::Document(id.to_owned())).await
}

/// Exports everything that is held, pending or changed, at most `batch_size` records a request, and waits for it.
///
/// # Errors
/// As [`document`].
pub async fn unsynced(cx: &Ctx, batch_size: Option<i64>) -> Result<Exported> {
    export(cx, Start { batch_size, ..Scope::Unsynced.into() }).await
}

/// Exports these embeddings, synced or not, and waits for it; unknown ids are passed over.
///
/// # Errors
/// [`Error::NotFound`] when none of them is known; as [`document`].
pub async fn embeddings(cx: &Ctx, mut ids: Vec<String>) -> Result<Exported> {
    // No row can have such an id, and PostgreSQL cannot be asked for it.
    ids.retain(|id| !id.contains('\0'));
    export(cx, Scope::Embeddings(ids)).await
}

/// Removes records from the index and waits for it; gives the number of distinct ids.
///
/// # Errors
/// [`Error::Invalid`] for an id that no index takes; as [`document`].
pub async fn delete_vectors(cx: &Ctx, ids: Vec<String>) -> Result<u64> {
    jobs::delete_vectors(cx, ids).await
}

async fn export(cx: &Ctx, start: impl Into<Start>) -> Result<Exported> {
    let (job, _) = jobs::start(cx, start).await?;
    outcome(jobs::wait(cx, &job.id).await?)
}

fn outcome(outcome: JobOutcome) -> Result<Exported> {
    let JobOutcome { job, total: _, upserted, deleted: _, failed } = outcome;
    match store::jobs::state(&job) {
        JobState::Cancelled => return Err(Error::conflict(format!("The sync job {} was cancelled", job.id))),
        JobState::Failed => return Err(failure(job)),
        JobState::Queued
        | JobState::Running
        | JobState::Settling
        | JobState::Verifying
        | JobState::Completed
        | JobState::CompletedWithErrors => {}
    }
    Ok(match (upserted, failed) {
        (0, 0) => Exported::Nothing,
        (0, _) => Exported::NoVectors,
        (upserted, refused) => Exported::Success { upserted, refused },
    })
}

fn failure(job: sync_job::Model) -> Error {
    let detail = job.error_text.unwrap_or_else(|| "The export failed".to_owned());
    Error::Unavailable { detail, retry_after: None, job_id: Some(job.id) }
}

/// What the index says of itself.
///
/// # Errors
/// [`Error::Unavailable`] when it does not answer.
pub async fn index_stats(cx: &Ctx) -> Result<IndexStats> {
    cx.index().stats().await.map_err(|error| unavailable(&error))
}

/// The best matches of `vector` in the configured namespace, best first, whose rows are live.
///
/// # Errors
/// [`Error::Invalid`] for a vector of another dimension than the index has, or one that it cannot compare;
/// [`Error::Unavailable`] when the index does not answer.
pub async fn search(cx: &Ctx, vector: Vec<f32>, top_k: usize) -> Result<Vec<Match>> {
    if let Some(dimension) = cx.index().dimension().filter(|dimension| *dimension as usize != vector.len()) {
        let rule = Rule::Value(format!("the index holds vectors of {dimension} numbers, this has {}", vector.len()));
        return Err(Error::invalid("vector", rule));
    }
    let top_k = top_k.min(MOST_MATCHES);
    let namespace = cx.config().index.namespace.clone();
    let mut ask = top_k.saturating_add(10).min(MOST_MATCHES);
    loop {
        let query = VectorQuery {
            namespace: Some(namespace.clone()),
            vector: vector.clone(),
            top_k: ask,
            filter: None,
            metadata: true,
        };
        let mut matches = cx.index().query(query).await.map_err(search::refused)?;
        let all = matches.len() < ask || ask == MOST_MATCHES;
        let ids: Vec<&str> = matches.iter().map(|found| found.id.as_str()).collect();
        let live: HashSet<String> = store::embeddings::live_records(cx.read(), &namespace, &ids).await?;
        matches.retain(|found| live.contains(&found.id));
        if matches.len() >= top_k || all {
            matches.truncate(top_k);
            return Ok(matches);
        }
        ask = ask.saturating_mul(4).min(MOST_MATCHES);
    }
}

fn unavailable(error: &IndexError) -> Error {
    tracing::warn!(%error, "the index did not tell its statistics");
    let detail = "The vector index does not answer".to_owned();
    Error::Unavailable { detail, retry_after: error.retry_after, job_id: None }
}
