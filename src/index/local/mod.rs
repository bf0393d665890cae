//! The embedded index: records in the database, codes in memory.
//!
//! Writes go through the database alone; memory follows it by revision before
//! every query, whoever wrote, so that several replicas see one index. A query
//! narrows the records down by what memory knows, and scores those that remain by
//! their vectors, which it reads for the purpose.

pub mod best;
pub mod bitmap;
pub mod code;
pub mod facets;
pub mod memory;
pub mod metric;
pub mod rotate;
pub mod segment;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sea_orm::DbErr;

use crate::config::IndexConfig;
use crate::config::Metric;
use crate::error::Error;
use crate::filter::Filter;
use crate::index::IdPage;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexLimits;
use crate::index::IndexResult;
use crate::index::IndexStats;
use crate::index::Match;
use crate::index::VectorIndex;
use crate::index::VectorQuery;
use crate::index::VectorRecord;
use crate::index::Written;
use crate::index::local::code::Layout;
use crate::index::local::memory::Candidate;
use crate::index::local::memory::Memory;
use crate::index::local::memory::Narrowing;
use crate::json::Json;
use crate::json::Literals;
use crate::store::Db;
use crate::store::local_records;
use crate::store::local_records::NewRecord;
use crate::store::vector;

/// How long a tombstone is kept for replicas that have not seen it.
const TOMBSTONE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Tombstones of one transaction.
const PRUNE: i64 = 1000;
/// What one request may hold.
const LIMITS: IndexLimits = IndexLimits {
    upsert_records: 500,
    upsert_bytes: 16_000_000,
    delete_ids: 1000,
    metadata_bytes: 40_960,
    query_namespaces: None,
    rates: None,
};

/// Changes of one statement.
const CHANGES: i64 = 2000;
/// Vectors of one statement.
const VECTORS: usize = 256;
/// From how many records on a scan leaves the threads that answer requests.
const BLOCKING: usize = 2000;

/// A record with its score: id, namespace, address.
type Scored = (f32, String, String, i64);

/// The embedded index.
#[derive(Debug)]
pub struct LocalIndex {
    db: Db,
    metric: Metric,
    narrowing: Narrowing,
    memory: Arc<RwLock<Memory>>,
    /// Held by who brings memory up to date.
    refreshing: tokio::sync::Mutex<()>,
    /// As configured, else 0.
    fixed: u32,
    /// As far as is known; 0 until then.
    dimension: AtomicU32,
}

impl LocalIndex {
    /// The index in `db`.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(config: &IndexConfig, db: &Db) -> Result<Self, DbErr> {
        let index = Self {
            db: db.clone(),
            metric: config.metric,
            narrowing: Narrowing::default(),
            memory: Arc::default(),
            refreshing: tokio::sync::Mutex::default(),
            fixed: config.dimension.unwrap_or(0),
            dimension: AtomicU32::new(config.dimension.unwrap_or(0)),
        };
        let clock = local_records::clock(db.read()).await?;
        index.learn(clock.dimension);
        let configured = config.dimension.and_then(|dimension| i32::try_from(dimension).ok());
        if let (Some(wanted), Some(stored)) = (configured, clock.dimension)
            && wanted != stored
        {
            tracing::warn!(wanted, stored, "the local index has another dimension now: its records are removed");
            let cleared = db.write(move |tx| async move { Ok(local_records::clear_other(tx, wanted).await?) }.boxed());
            cleared.await.map_err(|error| DbErr::Custom(format!("{error:?}")))?;
        }
        Ok(index)
    }

    /// The same, narrowing down otherwise: for tests and measurements.
    #[must_use]
    pub const fn narrowing(mut self, narrowing: Narrowing) -> Self {
        self.narrowing = narrowing;
        self
    }

    /// Takes note of the dimension that the records have.
    fn learn(&self, stored: Option<i32>) {
        let dimension =
            if self.fixed > 0 { self.fixed } else { stored.and_then(|d| u32::try_from(d).ok()).unwrap_or(0) };
        self.dimension.store(dimension, Ordering::Relaxed);
    }

    async fn put(&self, namespace: &str, records: Vec<VectorRecord>) -> IndexResult<Written> {
        let Some(first) = records.first() else { return Ok(Written::default()) };
        let dimension = if self.fixed > 0 { self.fixed as usize } else { first.values.len() };
        for record in &records {
            check(&record.values, dimension).map_err(|error| rejected(format!("{}: {error}", record.id)))?;
        }
        let rows = tokio::task::spawn_blocking(move || rows(records, Layout::of(dimension))).await;
        let rows = Arc::new(rows.map_err(|_| IndexError::new(IndexErrorKind::NotApplied, "a task was lost"))?);
        let stored = i32::try_from(dimension).map_err(|_| rejected("the vector is too long"))?;
        let namespace = namespace.to_owned();
        let written = self.db.write(move |tx| {
            let (rows, namespace) = (rows.clone(), namespace.clone());
            async move { Ok(local_records::upsert(tx, &namespace, stored, &rows).await?) }.boxed()
        });
        if let Some(rev) = written.await.map_err(|error| failed(&error))?.value {
            self.learn(Some(stored));
            Ok(Written { lsn: Some(rev) })
        } else {
            let known = local_records::clock(self.db.read()).await.map_err(read_failed)?.dimension;
            self.learn(known);
            let known = known.unwrap_or_default();
            Err(rejected(format!("the vectors have {dimension} numbers, those of the index have {known}")))
        }
    }

    async fn remove(&self, namespace: String, ids: Arc<Vec<String>>) -> IndexResult<Written> {
        let written = self.db.write(move |tx| {
            let (namespace, ids) = (namespace.clone(), ids.clone());
            async move { Ok(local_records::delete(tx, &namespace, &ids).await?) }.boxed()
        });
        let rev = written.await.map_err(|error| failed(&error))?.value;
        // Who removes the last record makes room for another dimension.
        self.learn(local_records::clock(self.db.read()).await.map_err(read_failed)?.dimension);
        Ok(Written { lsn: Some(rev) })
    }

    /// Brings memory up to what is committed now.
    async fn refresh(&self) -> Result<(), DbErr> {
        let clock = local_records::clock(self.db.read()).await?;
        self.learn(clock.dimension);
        if self.read(|memory| memory.is_at(&clock)) {
            return Ok(());
        }
        let _alone = self.refreshing.lock().await;
        // Somebody else may have been here meanwhile, and have seen more.
        let clock = local_records::clock(self.db.read()).await?;
        let mut after = self.change(|memory| memory.begin(&clock));
        while clock.dimension.is_some() {
            let changes = local_records::changes(self.db.read(), after, CHANGES).await?;
            if let Some(last) = changes.last() {
                after = (last.rev, last.number);
            }
            let full = i64::try_from(changes.len()).unwrap_or(0) == CHANGES;
            self.change(|memory| changes.iter().for_each(|change| memory.apply(change)));
            if !full {
                break;
            }
        }
        self.change(|memory| memory.seen = (clock.rev.max(after.0), i64::MAX));
        Ok(())
    }

    fn read<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.memory.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> T {
        change(&mut self.memory.write().unwrap_or_else(PoisonError::into_inner))
    }

    async fn search(&self, query: VectorQuery) -> IndexResult<Vec<Match>> {
        self.refresh().await.map_err(read_failed)?;
        let Some(dimension) = self.dimension() else { return Ok(Vec::new()) };
        check(&query.vector, dimension as usize).map_err(rejected)?;
        let query = Arc::new(query);
        let mut scored = Vec::new();
        let mut seen = HashSet::new();
        for most in self.narrowing.passes(query.top_k) {
            let mut candidates = self.candidates(query.clone(), most).await?;
            let all = candidates.len() < most;
            candidates.retain(|candidate| seen.insert(candidate.number));
            if self.score(&query, &candidates, &mut scored).await? || all {
                break;
            }
        }
        let mut matches = Vec::new();
        let mut scored = scored.into_iter();
        // A record may have gone or changed since memory was asked: then the next one follows.
        while matches.len() < query.top_k {
            let page: Vec<_> = scored.by_ref().take((query.top_k - matches.len()).min(VECTORS)).collect();
            if page.is_empty() {
                break;
            }
            let numbers: Vec<i64> = page.iter().map(|(.., number)| *number).collect();
            let metadata = local_records::metadata(self.db.read(), &numbers).await.map_err(read_failed)?;
            let mut metadata: HashMap<i64, String> = metadata.into_iter().collect();
            matches.extend(page.into_iter().filter_map(|(score, id, namespace, number)| {
                let metadata = metadata.remove(&number)?;
                passes(query.filter.as_ref(), &metadata).then_some(Match { namespace, id, score, metadata })
            }));
        }
        Ok(matches)
    }

    /// Scores candidates in rounds, keeping `scored` in order; says whether it stopped because no record that is
    /// left is likely to be among the best.
    async fn score(&self, query: &VectorQuery, from: &[Candidate], scored: &mut Vec<Scored>) -> IndexResult<bool> {
        let mut left = from;
        while let Some(next) = left.first() {
            let last = query.top_k.checked_sub(1).and_then(|last| scored.get(last));
            if last.is_some_and(|(score, ..)| f64::from(*score) > next.bound) {
                return Ok(true);
            }
            let round = if scored.is_empty() { self.narrowing.first } else { VECTORS };
            let (page, rest) = left.split_at(round.clamp(1, left.len()));
            let numbers: Vec<i64> = page.iter().map(|candidate| candidate.number).collect();
            let rows = local_records::candidates(self.db.read(), &numbers).await.map_err(read_failed)?;
            scored.extend(rows.into_iter().filter(|row| row.vector.len() == query.vector.len() * 4).map(|row| {
                let score = metric::score(self.metric, &query.vector, &vector::from_bytes(&row.vector));
                (score, row.vector_id, row.namespace, row.number)
            }));
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
            left = rest;
        }
        Ok(false)
    }

    /// The records that are worth to be scored, in their order.
    async fn candidates(&self, query: Arc<VectorQuery>, most: usize) -> IndexResult<Vec<Candidate>> {
        let (memory, metric, narrowing) = (self.memory.clone(), self.metric, self.narrowing);
        let find = move || {
            let memory = memory.read().unwrap_or_else(PoisonError::into_inner);
            memory.candidates(
                query.namespace.as_deref(),
                query.filter.as_ref(),
                (metric, &query.vector),
                (narrowing, most),
            )
        };
        if self.read(Memory::records) < BLOCKING {
            return Ok(find());
        }
        let found = tokio::task::spawn_blocking(find).await;
        found.map_err(|_| IndexError::new(IndexErrorKind::NotApplied, "a task was lost"))
    }
}

/// The rows of records. Of one id twice in a request the last one counts.
fn rows(records: Vec<VectorRecord>, layout: Layout) -> Vec<NewRecord> {
    let records: BTreeMap<String, VectorRecord> =
        records.into_iter().map(|record| (record.id.clone(), record)).collect();
    let row = |record: VectorRecord| NewRecord {
        vector_id: record.id,
        code: layout.encode(&record.values),
        facets: facets::encode(&record.metadata),
        metadata: record.metadata,
        vector: vector::to_bytes(&record.values),
    };
    records.into_values().map(row).collect()
}

/// Whether stored metadata fulfils a filter: memory knows strings by their hashes only.
fn passes(filter: Option<&Filter>, metadata: &str) -> bool {
    filter.is_none_or(|filter| {
        Json::parse(metadata.as_bytes(), Literals::Python).is_ok_and(|metadata| filter.matches(&metadata))
    })
}

/// What a vector must be: of the index's dimension, finite, and not all zero.
fn check(values: &[f32], dimension: usize) -> Result<(), String> {
    if values.len() != dimension {
        return Err(format!("the vector has {} numbers, those of the index have {dimension}", values.len()));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err("the vector holds a number that is not finite".to_owned());
    }
    if values.iter().all(|value| *value == 0.0) {
        return Err("the vector is all zero".to_owned());
    }
    Ok(())
}

fn rejected(detail: impl Into<String>) -> IndexError {
    IndexError::new(IndexErrorKind::Rejected, detail)
}

/// A write that did not commit: the database is the index, so nothing was applied.
fn failed(error: &Error) -> IndexError {
    if let Error::Internal(cause) = error {
        tracing::warn!(error = %cause, "the local index cannot write");
    }
    IndexError::new(IndexErrorKind::NotApplied, "the database does not take the write")
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn read_failed(error: DbErr) -> IndexError {
    tracing::warn!(%error, "the local index cannot read");
    IndexError::new(IndexErrorKind::NotApplied, "the database does not answer")
}

impl VectorIndex for LocalIndex {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn limits(&self) -> IndexLimits {
        LIMITS
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn dimension(&self) -> Option<u32> {
        Some(self.dimension.load(Ordering::Relaxed)).filter(|dimension| *dimension > 0)
    }

    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>> {
        self.put(namespace, records).boxed()
    }

    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>> {
        self.remove(namespace.to_owned(), Arc::new(ids.to_vec())).boxed()
    }

    fn query(&self, query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>> {
        self.search(query).boxed()
    }

    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>> {
        let read = async move {
            let rows = local_records::fetch(self.db.read(), namespace, ids).await.map_err(read_failed)?;
            let record = |(id, metadata, values): (_, _, Vec<u8>)| VectorRecord {
                id,
                values: vector::from_bytes(&values),
                metadata,
            };
            Ok(rows.into_iter().map(record).collect())
        };
        read.boxed()
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        page: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>> {
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = async move {
            let after = page.unwrap_or_default();
            let ids = local_records::list(self.db.read(), namespace, after, rows).await.map_err(read_failed)?;
            Ok(IdPage::behind_last(ids, limit))
        };
        read.boxed()
    }

    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>> {
        let read = async move {
            let counts = local_records::counts(self.db.read()).await.map_err(read_failed)?;
            let clock = local_records::clock(self.db.read()).await.map_err(read_failed)?;
            self.learn(clock.dimension);
            Ok(IndexStats {
                dimension: self.dimension().unwrap_or(0),
                fullness: 0.0,
                namespaces: counts.into_iter().map(|(name, count)| (name, count.unsigned_abs())).collect(),
            })
        };
        read.boxed()
    }

    /// A write is visible once it is acknowledged: there are no such numbers.
    fn visible_lsn<'a>(&'a self, _namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>> {
        // Every query looks at the clock first, so it sees whatever is committed.
        let read = async move { local_records::clock(self.db.read()).await.map_err(read_failed) };
        async move { Ok(Some(read.await?.rev)) }.boxed()
    }

    fn warm(&self) -> BoxFuture<'_, IndexResult<()>> {
        async { self.refresh().await.map_err(read_failed) }.boxed()
    }

    fn maintain(&self) -> BoxFuture<'_, IndexResult<u64>> {
        let before = self.db.clock().now_ms() - i64::try_from(TOMBSTONE.as_millis()).unwrap_or(i64::MAX);
        let work = async move {
            let mut gone = 0;
            loop {
                let pruned =
                    self.db.write(move |tx| async move { Ok(local_records::prune(tx, before, PRUNE).await?) }.boxed());
                let pruned = pruned.await.map_err(|error| failed(&error))?.value;
                gone += pruned;
                if pruned < PRUNE.unsigned_abs() {
                    return Ok(gone);
                }
            }
        };
        work.boxed()
    }
}
