//! A test double: an index in memory that fails where a test planned it, can be held in the middle of a
//! request, and remembers every request it got.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::config::Metric;
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
use crate::index::local::metric::score;
use crate::json::Json;
use crate::json::Literals;

/// How a planned write fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fail {
    /// Not applied: no connection.
    NotApplied,
    /// Not applied: asked to slow down.
    RateLimited(Option<Duration>),
    /// No answer, never applied.
    Lost,
    /// No answer, applied at once.
    Landed,
    /// No answer, applied when [`MemoryIndex::land`] is called.
    Late,
    /// Refused for what is in it.
    Rejected,
    /// Refused for its size.
    TooLarge,
    /// The target itself is at fault.
    Fault(String),
}

/// One write that arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// Records of a namespace.
    Upsert(String, Vec<VectorRecord>),
    /// Ids of a namespace.
    Delete(String, Vec<String>),
}

impl Call {
    /// The ids it is about.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        match self {
            Self::Upsert(_, records) => records.iter().map(|record| record.id.clone()).collect(),
            Self::Delete(_, ids) => ids.clone(),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<(String, String), VectorRecord>,
    calls: Vec<Call>,
    planned: BTreeMap<usize, Fail>,
    always: Option<Fail>,
    poison: BTreeSet<String>,
    late: Vec<Call>,
    lsn: i64,
    visible: Option<i64>,
    /// What reads see while they stand still.
    frozen: Option<BTreeMap<(String, String), VectorRecord>>,
    /// How reads fail.
    deaf: Option<IndexErrorKind>,
    /// Pages that were listed.
    listed: usize,
    /// The most records that one fetch asked for.
    fetched: usize,
    /// Whether the next listing that goes on is refused.
    forgetful: bool,
}

impl State {
    /// What a read sees.
    fn seen(&self) -> IndexResult<&BTreeMap<(String, String), VectorRecord>> {
        match self.deaf {
            Some(kind) => Err(IndexError::new(kind, "it does not answer")),
            None => Ok(self.frozen.as_ref().unwrap_or(&self.records)),
        }
    }
}

/// The double.
#[derive(Debug)]
pub struct MemoryIndex {
    state: Mutex<State>,
    limits: IndexLimits,
    kind: &'static str,
    /// Writes that may begin; the others wait.
    allowed: watch::Sender<usize>,
    arrived: watch::Sender<usize>,
}

impl Default for MemoryIndex {
    fn default() -> Self {
        Self::new(IndexLimits {
            upsert_records: 100,
            upsert_bytes: 2_000_000,
            delete_ids: 1000,
            metadata_bytes: 40_960,
            query_namespaces: None,
            rates: None,
        })
    }
}

impl MemoryIndex {
    /// An empty index with these limits.
    #[must_use]
    pub fn new(limits: IndexLimits) -> Self {
        let (allowed, _) = watch::channel(usize::MAX);
        let (arrived, _) = watch::channel(0);
        Self { state: Mutex::default(), limits, kind: "local", allowed, arrived }
    }

    /// The same as a service would hold it: it outlives the process, and does not say how long its vectors are.
    #[must_use]
    pub fn remote(self) -> Self {
        Self { kind: "memory", ..self }
    }

    /// An index whose n-th writes (from 1) fail as planned.
    #[must_use]
    pub fn failing(planned: impl IntoIterator<Item = (usize, Fail)>) -> Self {
        let index = Self::default();
        index.state().planned.extend(planned);
        index
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Plans one more failure, `ahead` writes from now (1 is the next).
    pub fn fail_next(&self, ahead: usize, fail: Fail) {
        let mut state = self.state();
        let at = state.calls.len() + ahead;
        state.planned.insert(at, fail);
    }

    /// Fails every write from now on, or none that is not planned.
    pub fn fail_always(&self, fail: Option<Fail>) {
        self.state().always = fail;
    }

    /// Refuses every write that holds this record.
    pub fn poison(&self, id: &str) {
        self.state().poison.insert(id.to_owned());
    }

    /// Takes every record again.
    pub fn cure(&self) {
        self.state().poison.clear();
    }

    /// Applies what was late, oldest first.
    pub fn land(&self) {
        let mut state = self.state();
        for call in std::mem::take(&mut state.late) {
            apply(&mut state, &call);
        }
    }

    /// Holds the next write in the middle, after it arrived and before it is applied.
    pub fn hold(&self) {
        let arrived = *self.arrived.borrow();
        self.allowed.send_replace(arrived);
    }

    /// Ends when a write waits.
    pub async fn held(&self) {
        let allowed = *self.allowed.borrow();
        // The sender lives as long as `self`.
        let _ = self.arrived.subscribe().wait_for(|arrived| *arrived > allowed).await;
    }

    /// Lets every write go on.
    pub fn resume(&self) {
        self.allowed.send_replace(usize::MAX);
    }

    /// Makes listings, fetches and statistics show what is there now, whatever is written afterwards, or lets them go
    /// on: a service may be behind its writes.
    pub fn freeze_reads(&self, freeze: bool) {
        let mut state = self.state();
        state.frozen = freeze.then(|| state.records.clone());
    }

    /// Makes listings, fetches and statistics fail.
    pub fn fail_reads(&self, kind: Option<IndexErrorKind>) {
        self.state().deaf = kind;
    }

    /// Refuses the next listing that is to go on where an earlier one ended.
    pub fn forget_pages(&self) {
        self.state().forgetful = true;
    }

    /// Pages that were listed so far.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.state().listed
    }

    /// The most records that one fetch asked for.
    #[must_use]
    pub fn fetched(&self) -> usize {
        self.state().fetched
    }

    /// Takes a record out, past the engine.
    pub fn remove(&self, namespace: &str, id: &str) -> Option<VectorRecord> {
        self.state().records.remove(&(namespace.to_owned(), id.to_owned()))
    }

    /// Shows writes to queries up to this sequence number only; `None`: all of them.
    pub fn show_until(&self, lsn: Option<i64>) {
        self.state().visible = lsn;
    }

    /// What it holds, by namespace and id.
    #[must_use]
    pub fn records(&self) -> BTreeMap<(String, String), VectorRecord> {
        self.state().records.clone()
    }

    /// Puts a record in, past the engine.
    pub fn insert(&self, namespace: &str, record: VectorRecord) {
        self.state().records.insert((namespace.to_owned(), record.id.clone()), record);
    }

    /// Every write so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    async fn write(&self, call: Call) -> IndexResult<Written> {
        let (number, fail) = {
            let mut state = self.state();
            state.calls.push(call.clone());
            let number = state.calls.len();
            (number, state.planned.remove(&number).or_else(|| state.always.clone()))
        };
        self.arrived.send_replace(number);
        // The sender lives as long as `self`.
        let _ = self.allowed.subscribe().wait_for(|allowed| *allowed >= number).await;
        let mut state = self.state();
        let error = |kind, text: &str| Err(IndexError::new(kind, text));
        match fail {
            None => {}
            Some(Fail::NotApplied) => return error(IndexErrorKind::NotApplied, "no connection"),
            Some(Fail::RateLimited(retry_after)) => {
                let slow = IndexError::new(IndexErrorKind::RateLimited, "too many requests");
                return Err(IndexError { retry_after, ..slow });
            }
            Some(Fail::Lost) => return error(IndexErrorKind::InDoubt, "no answer"),
            Some(Fail::Landed) => {
                apply(&mut state, &call);
                return error(IndexErrorKind::InDoubt, "no answer");
            }
            Some(Fail::Late) => {
                state.late.push(call);
                return error(IndexErrorKind::InDoubt, "no answer");
            }
            Some(Fail::Rejected) => return error(IndexErrorKind::Rejected, "refused"),
            Some(Fail::TooLarge) => return error(IndexErrorKind::TooLarge, "too large"),
            Some(Fail::Fault(reason)) => return error(IndexErrorKind::TargetFault, &reason),
        }
        if let Call::Upsert(_, records) = &call
            && records.iter().any(|record| state.poison.contains(&record.id))
        {
            return error(IndexErrorKind::Rejected, "a record is refused");
        }
        apply(&mut state, &call);
        Ok(Written { lsn: Some(state.lsn) })
    }
}

fn apply(state: &mut State, call: &Call) {
    state.lsn += 1;
    match call {
        Call::Upsert(namespace, records) => {
            for record in records {
                state.records.insert((namespace.clone(), record.id.clone()), record.clone());
            }
        }
        Call::Delete(namespace, ids) => {
            for id in ids {
                state.records.remove(&(namespace.clone(), id.clone()));
            }
        }
    }
}

impl VectorIndex for MemoryIndex {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn limits(&self) -> IndexLimits {
        self.limits
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    fn dimension(&self) -> Option<u32> {
        if self.kind != "local" {
            return None;
        }
        self.state().records.values().next().and_then(|record| u32::try_from(record.values.len()).ok())
    }

    fn upsert<'a>(&'a self, namespace: &'a str, records: Vec<VectorRecord>) -> BoxFuture<'a, IndexResult<Written>> {
        Box::pin(self.write(Call::Upsert(namespace.to_owned(), records)))
    }

    fn delete<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Written>> {
        Box::pin(self.write(Call::Delete(namespace.to_owned(), ids.to_vec())))
    }

    fn query(&self, query: VectorQuery) -> BoxFuture<'_, IndexResult<Vec<Match>>> {
        Box::pin(async move {
            let passes = |record: &VectorRecord| match &query.filter {
                None => true,
                Some(filter) => Json::parse(record.metadata.as_bytes(), Literals::Python)
                    .is_ok_and(|metadata| filter.matches(&metadata)),
            };
            let mut found: Vec<Match> = self
                .state()
                .records
                .iter()
                .filter(|((namespace, _), record)| {
                    query.namespace.as_ref().is_none_or(|wanted| wanted == namespace) && passes(record)
                })
                .map(|((namespace, id), record)| Match {
                    namespace: namespace.clone(),
                    id: id.clone(),
                    score: score(Metric::Cosine, &query.vector, &record.values),
                    metadata: record.metadata.clone(),
                })
                .collect();
            found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
            found.truncate(query.top_k);
            Ok(found)
        })
    }

    fn fetch<'a>(&'a self, namespace: &'a str, ids: &'a [String]) -> BoxFuture<'a, IndexResult<Vec<VectorRecord>>> {
        Box::pin(async move {
            let mut state = self.state();
            state.fetched = state.fetched.max(ids.len());
            let records = state.seen()?;
            let get = |id: &String| records.get(&(namespace.to_owned(), id.clone())).cloned();
            Ok(ids.iter().filter_map(get).collect())
        })
    }

    fn list<'a>(
        &'a self,
        namespace: &'a str,
        page: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, IndexResult<IdPage>> {
        Box::pin(async move {
            let mut state = self.state();
            state.listed += 1;
            if page.is_some() && std::mem::take(&mut state.forgetful) {
                return Err(IndexError::new(IndexErrorKind::Rejected, "that page is not known"));
            }
            let ids =
                state.seen()?.keys().filter(|(of, id)| of == namespace && page.is_none_or(|after| id.as_str() > after));
            Ok(IdPage::behind_last(ids.map(|(_, id)| id.clone()).take(limit).collect(), limit))
        })
    }

    fn stats(&self) -> BoxFuture<'_, IndexResult<IndexStats>> {
        Box::pin(async move {
            let dimension = self.dimension().unwrap_or(0);
            let state = self.state();
            if let Some(Fail::NotApplied | Fail::Lost) = state.always {
                return Err(IndexError::new(IndexErrorKind::NotApplied, "no connection"));
            }
            let mut namespaces: BTreeMap<String, u64> = BTreeMap::new();
            for (namespace, _) in state.seen()?.keys() {
                *namespaces.entry(namespace.clone()).or_default() += 1;
            }
            Ok(IndexStats { dimension, fullness: 0.0, namespaces: namespaces.into_iter().collect() })
        })
    }

    fn visible_lsn<'a>(&'a self, _namespace: &'a str) -> BoxFuture<'a, IndexResult<Option<i64>>> {
        Box::pin(async move {
            let state = self.state();
            Ok(Some(state.visible.unwrap_or(state.lsn)))
        })
    }
}
