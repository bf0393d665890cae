//! One function for each thing a caller can ask for: rules and transactions.
//!
//! Knows no HTTP and no GraphQL. Both edges call these functions, and only these.

pub mod access;
pub mod activity;
pub mod adopt;
pub mod chunks;
pub mod dashboard;
pub mod deadline;
pub mod documents;
pub mod duplicate;
pub mod embeddings;
pub mod events;
pub mod export;
pub mod freshness;
mod ids;
pub mod import;
pub mod jobs;
pub mod keys;
pub mod lists;
pub mod namespaces;
pub mod reconcile;
pub mod rules;
pub mod search;
pub mod snippet;
pub mod targets;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::task::TaskTracker;

use crate::capacity::Capacity;
use crate::config::Config;
use crate::error::Error;
use crate::error::Result;
use crate::index::VectorIndex;
use crate::metrics::Metrics;
use crate::quota;
use crate::quota::Client;
use crate::quota::Quota;
use crate::service::access::Gate;
use crate::service::access::Principal;
use crate::service::deadline::Deadline;
use crate::service::events::Events;
use crate::service::freshness::Freshness;
use crate::store::Db;
use crate::store::Tx;
use crate::store::reader::Reader;

/// What a service function needs: the database, the configuration, the index, and where to note the revision it committed.
#[derive(Debug, Clone)]
pub struct Ctx {
    db: Db,
    config: Arc<Config>,
    index: Arc<dyn VectorIndex>,
    target_id: i64,
    committed: Arc<AtomicI64>,
    deadline: Arc<Deadline>,
    events: Arc<Events>,
    freshness: Arc<Freshness>,
    tasks: TaskTracker,
    metrics: Arc<Metrics>,
    gate: Arc<Gate>,
    principal: Principal,
    capacity: Arc<Capacity>,
    quota: Arc<Quota>,
    started_us: i64,
}

impl Ctx {
    /// A context over `db`, whose mutations touch slots of the target `target_id`, for this process itself.
    #[must_use]
    pub fn new(
        db: Db,
        config: Arc<Config>,
        index: Arc<dyn VectorIndex>,
        metrics: Arc<Metrics>,
        target_id: i64,
    ) -> Self {
        let started_us = db.clock().now_us();
        let (committed, events, freshness, gate) = (Arc::default(), Arc::default(), Arc::default(), Arc::default());
        let deadline = Arc::default();
        let (tasks, capacity, quota) = (TaskTracker::new(), Capacity::new(&config), Quota::new(&config.http.rate));
        Self {
            db,
            config,
            index,
            target_id,
            committed,
            deadline,
            events,
            freshness,
            tasks,
            metrics,
            gate,
            principal: Principal::Process,
            capacity,
            quota,
            started_us,
        }
    }

    /// The same for one request: with a revision of its own to note, and a time of its own.
    #[must_use]
    pub fn for_request(&self) -> Self {
        let (committed, deadline) = (Arc::default(), Arc::default());
        Self { db: self.db.for_request(), committed, deadline, ..self.clone() }
    }

    /// A reader.
    #[must_use]
    pub const fn read(&self) -> &Reader {
        self.db.read()
    }

    /// The database.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The vector index of the default target.
    #[must_use]
    pub fn index(&self) -> &Arc<dyn VectorIndex> {
        &self.index
    }

    /// What followers share.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What those share who wait for the index to be in step.
    #[must_use]
    pub fn freshness(&self) -> &Freshness {
        &self.freshness
    }

    /// What this process counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How much is worked on at a time.
    #[must_use]
    pub const fn capacity(&self) -> &Arc<Capacity> {
        &self.capacity
    }

    /// Takes what a request costs from the points of the one who asks, where those are limited.
    ///
    /// # Errors
    /// [`Error::RateLimited`] when there are not enough of them left.
    pub fn charge(&self, cost: u64) -> Result<()> {
        let rate = &self.config.http.rate;
        let caller = quota::caller();
        let address = caller.as_ref().and_then(|caller| caller.address());
        let client = match &self.principal {
            Principal::Key(holder) => Some(Client::Key(holder.id.clone())),
            Principal::Anonymous => {
                let limited = address.filter(|address| rate.local || !address.to_canonical().is_loopback());
                limited.map(Client::at)
            }
            Principal::Process => None,
        };
        let Some(client) = client.filter(|_| rate.points > 0) else { return Ok(()) };
        let left = self.quota.charge(&client, cost, self.db.clock().monotonic());
        if let Some(caller) = caller {
            caller.note(left);
        }
        let Some(seconds) = left.retry_after_s else { return Ok(()) };
        Err(Error::RateLimited { retry_after: Duration::from_secs(seconds) })
    }

    /// Tasks that outlive the request which began them: a stopping server waits for these.
    #[must_use]
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// How long this request may take.
    #[must_use]
    pub fn deadline(&self) -> &Deadline {
        &self.deadline
    }

    /// The default target.
    #[must_use]
    pub const fn target_id(&self) -> i64 {
        self.target_id
    }

    /// When the application was assembled, in microseconds since 1970.
    #[must_use]
    pub const fn started_us(&self) -> i64 {
        self.started_us
    }

    /// Runs `work` in a write transaction; see [`Db::write`].
    ///
    /// # Errors
    /// The closure's, or the database's.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        let committed = self.db.write_by(self.principal.actor(), work).await?;
        // A write that recorded nothing is in whatever was committed by now.
        let revision = committed.revision.unwrap_or_else(|| self.db.seen_revision());
        self.committed.fetch_max(revision, Ordering::SeqCst);
        Ok(committed.value)
    }

    /// The newest corpus revision that this request committed.
    #[must_use]
    pub fn committed(&self) -> Option<i64> {
        Some(self.committed.load(Ordering::SeqCst)).filter(|revision| *revision > 0)
    }
}

/// What a patch does with one field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Patch<T> {
    /// Leaves it.
    #[default]
    Keep,
    /// Sets it to nothing.
    Clear,
    /// Sets it.
    Set(T),
}

impl<T> Patch<T> {
    /// The field after the patch.
    #[must_use]
    pub fn over(self, stored: Option<T>) -> Option<T> {
        match self {
            Self::Keep => stored,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// How a row is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// Marked, and restorable.
    Soft,
    /// Gone, with everything below it.
    Hard,
}

/// How given metadata meets what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataMode {
    /// Key by key at the top level; a null is stored as null.
    #[default]
    Merge,
    /// Instead of it.
    Replace,
}
