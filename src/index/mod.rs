//! The port to a vector index, and its adapters.
//!
//! An index is a cache that the sync engine drives towards the database. It says
//! what it knows of a failure in [`IndexError`]; whether to try again is decided
//! by the engine alone.

pub mod counted;
pub mod local;
pub mod memory;
pub mod pinecone;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::config::Metric;
use crate::filter::Filter;
use crate::store::Db;
use crate::store::connect::OpenError;
use futures_util::future::BoxFuture;

/// The index that `config` names: Pinecone's with a key for it, the embedded one without. An index elsewhere is
/// not asked for anything here.
///
/// # Errors
/// What the database says, where the index lives in it; what cannot be sent of the settings, where it does not.
pub async fn open(config: &Config, db: &Db) -> Result<Arc<dyn VectorIndex>, OpenError> {
    match &config.index.pinecone.api_key {
        None => Ok(Arc::new(local::LocalIndex::open(&config.index, db).await?)),
        Some(key) => {
            let index = pinecone::PineconeIndex::new(config, key.clone(), db).map_err(OpenError::Index)?;
            Ok(Arc::new(index))
        }
    }
}

/// One record: what the index holds under an id of a namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorRecord {
    /// 1 to 512 ASCII characters.
    pub id: String,
    /// As many finite numbers as the index has dimensions.
    pub values: Vec<f32>,
    /// A flat JSON object as compact text: strings, numbers, booleans, lists of strings.
    pub metadata: String,
}

/// What an accepted write tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// The index's sequence number of the write, when it has one.
    pub lsn: Option<i64>,
}

/// A search by vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorQuery {
    /// One namespace, or all of them.
    pub namespace: Option<String>,
    /// The query, of the index's dimension.
    pub vector: Vec<f32>,
    /// How many matches at most.
    pub top_k: usize,
    /// A condition on metadata, resolved before scoring.
    pub filter: Option<Filter>,
    /// Whether the metadata of matches is wanted: an index elsewhere sends many matches only without it.
    pub metadata: bool,
}

/// One match, best first. A higher score is better on every metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The namespace it is in.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// How near it is.
    pub score: f32,
    /// Its metadata, when it was asked for.
    pub metadata: String,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdPage {
    /// Ids in bytewise order.
    pub ids: Vec<String>,
    /// What to ask with for the page behind; nothing at the end. It is the index's own and good for a while
    /// only: a listing that was interrupted for long begins anew.
    pub next: Option<String>,
}

impl IdPage {
    /// A page of an index that goes on behind the last id it gave.
    #[must_use]
    pub fn behind_last(ids: Vec<String>, limit: usize) -> Self {
        let next = if ids.len() < limit { None } else { ids.last().cloned() };
        Self { ids, next }
    }
}

/// What an index says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IndexStats {
    /// Numbers of a vector; 0 until it is known.
    pub dimension: u32,
    /// From 0 to 1; 0 where it has no meaning.
    pub fullness: f64,
    /// Records by namespace, sorted by name.
    pub namespaces: Vec<(String, u64)>,
}

/// What one request to the index may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexLimits {
    /// Records of one upsert.
    pub upsert_records: usize,
    /// Bytes of one upsert.
    pub upsert_bytes: usize,
    /// Ids of one delete.
    pub delete_ids: usize,
    /// Bytes of one record's metadata.
    pub metadata_bytes: usize,
    /// Namespaces that are searched together at most; nothing, where a query takes all of them.
    pub query_namespaces: Option<usize>,
    /// How fast it may be written to; nothing, where only the machine sets the pace.
    pub rates: Option<Rates>,
}

/// How fast one namespace of an index may be written to: what a client plans with, a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one operation.
    pub requests: u32,
    /// Bytes of upserts.
    pub upsert_bytes: u32,
    /// Ids of deletes.
    pub delete_ids: u32,
}

/// What is known of a failed request. See sync.md 4.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexErrorKind {
    /// Certainly not applied: no connection, a breaker, a local limit.
    NotApplied,
    /// Certainly not applied: asked to slow down.
    RateLimited,
    /// May have been applied, or may still be.
    InDoubt,
    /// Refused because of what was in it.
    Rejected,
    /// Refused because it was too large.
    TooLarge,
    /// Nothing will work until the target is mended: key, quota, missing index, other dimension.
    TargetFault,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexError {
    /// What is known.
    pub kind: IndexErrorKind,
    /// One line for the log and the slot; no secret in it.
    pub detail: String,
    /// When the target wants to be asked again.
    pub retry_after: Option<Duration>,
}

impl IndexError {
    /// A failure without a hint.
    #[must_use]
    pub fn new(kind: IndexErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), retry_after: None }
    }
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for IndexError {}

/// The outcome of a request to an index.
pub type IndexResult<T> = Result<T, IndexError>;

/// A vector index.
pub trait VectorIndex: Send + Sync + std::fmt::Debug {
    /// `local` or `pinecone`.
    fn kind(&self) -> &'static str;

    /// Where it is, when an index of its kind may be in several places.
    fn place(&self) -> Option<&str> {
        None
    }

    /// What one request may hold.
    fn limits(&self) -> IndexLimits;

    /// How it scores.
    fn metric(&self) -> Metric;

    /// The dimension it takes, once it is known.
    fn dimension(&self) -> Option<u32>;

    /// Writes records, replacing those with the same ids; all of them or none.
    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>>;

    /// Deletes records; ids it does not hold are fine.
    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>>;

    /// The best matches, best first.
    fn query(&self, query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>>;

    /// The records of these ids that it holds.
    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>>;

    /// A page of the ids of a namespace, the first one or the one that an earlier page named: at most `limit`,
    /// and fewer where the index gives fewer at a time. One request.
    fn list<'a>(
        &'a self,
        namespace: &'a str,
        page: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>>;

    /// What it holds.
    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>>;

    /// The newest sequence number that queries of the namespace see, when it has such numbers.
    fn visible_lsn<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>>;

    /// Loads what the first query would have to wait for.
    fn warm(&self) -> BoxFuture<'_, IndexResult<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Clears away what nobody needs any more; gives how many records. To be called now and then.
    fn maintain(&self) -> BoxFuture<'_, IndexResult<u64>> {
        Box::pin(async { Ok(0) })
    }
}
