//! An index whose calls are counted: by what was asked, how it ended, and how long it took.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::config::Metric;
use crate::index::IdPage;
use crate::index::IndexErrorKind;
use crate::index::IndexLimits;
use crate::index::IndexResult;
use crate::index::IndexStats;
use crate::index::Match;
use crate::index::VectorIndex;
use crate::index::VectorQuery;
use crate::index::VectorRecord;
use crate::index::Written;
use crate::metrics::Metrics;

/// An index that tells [`Metrics`] of its calls.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn VectorIndex>,
    metrics: Arc<Metrics>,
}

impl Counted {
    /// The same index, counted.
    #[must_use]
    pub fn new(inner: Arc<dyn VectorIndex>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }

    fn count<'a, T: Send + 'a>(
        &'a self,
        call: &'static str,
        exchange: BoxFuture<'a, IndexResult<T>>,
    ) -> BoxFuture<'a, IndexResult<T>> {
        let open = Open { metrics: &self.metrics, call, begun: Instant::now(), outcome: "abandoned" };
        Box::pin(async move {
            // Whole: a field of it alone would leave the rest behind.
            let mut open = open;
            let answer = exchange.await;
            open.outcome = match &answer {
                Ok(_) => "ok",
                Err(error) => name(error.kind),
            };
            answer
        })
    }
}

/// A call that has not ended; whoever stops waiting for it drops it.
struct Open<'a> {
    metrics: &'a Metrics,
    call: &'static str,
    begun: Instant,
    outcome: &'static str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.metrics.called(self.call, self.outcome, self.begun.elapsed());
    }
}

const fn name(kind: IndexErrorKind) -> &'static str {
    match kind {
        IndexErrorKind::NotApplied => "not_applied",
        IndexErrorKind::InDoubt => "in_doubt",
        IndexErrorKind::RateLimited => "rate_limited",
        IndexErrorKind::Rejected => "rejected",
        IndexErrorKind::TooLarge => "too_large",
        IndexErrorKind::TargetFault => "target_fault",
    }
}

impl VectorIndex for Counted {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn place(&self) -> Option<&str> {
        self.inner.place()
    }

    fn limits(&self) -> IndexLimits {
        self.inner.limits()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn dimension(&self) -> Option<u32> {
        self.inner.dimension()
    }

    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>> {
        self.count("upsert", self.inner.upsert(namespace, records))
    }

    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>> {
        self.count("delete", self.inner.delete(namespace, ids))
    }

    fn query(&self, query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>> {
        self.count("query", self.inner.query(query))
    }

    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>> {
        self.count("fetch", self.inner.fetch(namespace, ids))
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        page: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>> {
        self.count("list", self.inner.list(namespace, page, limit))
    }

    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>> {
        self.count("stats", self.inner.stats())
    }

    fn visible_lsn<'a>(&'a self, namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>> {
        self.count("visible_lsn", self.inner.visible_lsn(namespace))
    }

    fn warm(&self) -> BoxFuture<'_, IndexResult<()>> {
        self.inner.warm()
    }

    fn maintain(&self) -> BoxFuture<'_, IndexResult<u64>> {
        self.inner.maintain()
    }
}
