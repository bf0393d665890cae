//! Jobs: start, follow, wait, cancel; and the explicit removal of records.
//!
//! A job owns no slots. It remembers the epoch before its start and is complete
//! once nothing in its scope lags behind since then; any worker advances it.

use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::capacity;
use crate::config::Limits;
use crate::entity::sync_job::Model;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::rules;
use crate::store;
use crate::store::Tx;
use crate::store::audit::Act;
use crate::store::filter::JobFilter;
use crate::store::graph;
use crate::store::jobs;
pub use crate::store::jobs::JobEvent;
pub use crate::store::jobs::JobState;
use crate::store::jobs::News;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::page::PageArgs;
use crate::store::slots;
use crate::store::slots::Extent;

/// The kind's name in errors.
pub const WHAT: &str = "SyncJob";
/// How long an idempotency key is kept.
const KEY_MS: i64 = 24 * 3_600_000;
/// How long a waiting call sleeps when another process does the work.
const LOOK: Duration = Duration::from_millis(200);

/// What a job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything of one document that is held, pending or changed.
    Document(String),
    /// These embeddings, sent even when the index is known to hold them. Ids that are not live are left out.
    Embeddings(Vec<String>),
    /// Everything that is held, pending or changed.
    Unsynced,
}

/// A job that is asked for; a bare [`Scope`] does as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What it is about.
    pub scope: Scope,
    /// Records of one request to the index at most; from 1. A smaller limit of the index still holds.
    pub batch_size: Option<i64>,
    /// 1 to 255 characters. Within a day the same key gives the same job.
    pub idempotency_key: Option<String>,
}

impl From<Scope> for Start {
    fn from(scope: Scope) -> Self {
        Self { scope, batch_size: None, idempotency_key: None }
    }
}

impl Start {
    fn checked(self, limits: &Limits) -> Result<Self> {
        match &self.scope {
            Scope::Document(document) => rules::known(document, "Document")?,
            Scope::Embeddings(ids) => {
                rules::batch(ids.len(), limits).map_err(|rule| Error::invalid("embedding_ids", rule))?;
            }
            Scope::Unsynced => {}
        }
        if let Some(key) = &self.idempotency_key {
            rules::idempotency_key(key).map_err(|rule| Error::invalid("idempotency_key", rule))?;
        }
        Ok(self)
    }

    /// The same for the same request, whatever its key.
    fn fingerprint(&self) -> String {
        format!("{:032x}", xxh3_128(format!("{:?} {:?}", self.scope, self.batch_size).as_bytes()))
    }
}

/// How a job went.
#[derive(Debug, Clone)]
pub struct JobOutcome {
    /// The job; its slots are settled or quarantined.
    pub job: Model,
    /// Records that there were to send or to delete.
    pub total: i64,
    /// Records written.
    pub upserted: i64,
    /// Records deleted.
    pub deleted: i64,
    /// Records refused.
    pub failed: i64,
}

/// Starts a job, or gives the running one of the same scope. True when it was started.
///
/// # Errors
/// [`Error::NotFound`] when the document is not live, or none of the embeddings is; [`Error::Invalid`] for more
/// embeddings than one batch may have, or no such key; [`Error::Conflict`] for a key that was given with another
/// request within a day.
pub async fn start(cx: &Ctx, start: impl Into<Start>) -> Result<(Model, bool)> {
    let start = Arc::new(start.into().checked(&cx.config().limits)?);
    let (id, target) = (cx.db().clock().new_id(), cx.target_id());
    let started = cx
        .write(move |tx| {
            let (start, id) = (start.clone(), id.clone());
            Box::pin(async move {
                let (job, started) = start_once(tx, target, id, &start).await?;
                if started {
                    tx.audit(Act::SyncStarted, &job.id);
                }
                Ok((job, started))
            })
        })
        .await?;
    cx.db().wake();
    Ok(started)
}

/// Starts a job unless its key has led to one already (sync.md section 6).
async fn start_once(tx: &Tx, target: i64, id: String, start: &Start) -> Result<(Model, bool)> {
    let Some(key) = &start.idempotency_key else { return start_scope(tx, target, id, start).await };
    let request = start.fingerprint();
    if let Some((earlier, job_id)) = jobs::take_key(tx, key, &request, &id, tx.now_ms() - KEY_MS).await? {
        if earlier != request {
            return Err(Error::conflict("The idempotency key was given with another request"));
        }
        let job = jobs::find(tx, &job_id).await?.ok_or_else(|| Error::not_found(WHAT, &job_id))?;
        return Ok((job, false));
    }
    let started = start_scope(tx, target, id, start).await?;
    jobs::settle_key(tx, key, &started.0.id).await?;
    Ok(started)
}

async fn start_scope(tx: &Tx, target: i64, id: String, start: &Start) -> Result<(Model, bool)> {
    let (mut job, started) = match &start.scope {
        Scope::Document(document) => start_document(tx, target, id, document).await?,
        Scope::Embeddings(ids) => start_embeddings(tx, target, id, ids).await?,
        Scope::Unsynced => start_unsynced(tx, target, id).await?,
    };
    if let Some(asked) = start.batch_size {
        job.batch_size = Some(job.batch_size.map_or(asked, |size| size.min(asked)));
        jobs::save(tx, &job).await?;
    }
    Ok((job, started))
}

async fn start_document(tx: &Tx, target: i64, id: String, document: &str) -> Result<(Model, bool)> {
    let row = store::documents::lock(tx, document).await?.filter(|row| row.deleted_at.is_none());
    let row = row.ok_or_else(|| Error::not_found("Document", document))?;
    let released = slots::release_document(tx, &row.id).await?;
    if !released.is_empty() {
        slots::touch(tx, target, &row.id, Extent::Embeddings(&released)).await?;
        tx.record(Change::new(ChangeKind::SyncChanged, &row.id, &row.id));
    }
    create(tx, target, id, format!("{}{}", jobs::DOCUMENT, row.id), None).await
}

async fn start_unsynced(tx: &Tx, target: i64, id: String) -> Result<(Model, bool)> {
    let released = slots::release_all(tx).await?;
    let ids: Vec<String> = released.iter().map(|(id, _)| id.clone()).collect();
    slots::touch_released(tx, target, &ids).await?;
    tell_documents(tx, &released);
    create(tx, target, id, jobs::UNSYNCED.to_owned(), None).await
}

async fn start_embeddings(tx: &Tx, target: i64, id: String, ids: &[String]) -> Result<(Model, bool)> {
    let found = slots::lock_embeddings(tx, ids).await?;
    if found.is_empty() {
        return Err(Error::not_found("Embeddings", ids.first().map_or("", String::as_str)));
    }
    let found_ids: Vec<String> = found.iter().map(|(id, _)| id.clone()).collect();
    let key = list_key("embeddings", &found_ids);
    let released = slots::release(tx, &found_ids).await?;
    if jobs::find_active(tx, target, &key).await?.is_some() {
        // The running job has sent the others again, or will.
        slots::touch_released(tx, target, &released).await?;
        tell_documents(tx, found.iter().filter(|(id, _)| released.contains(id)));
    } else {
        slots::touch_released(tx, target, &found_ids).await?;
        slots::forget_hash(tx, target, &found_ids).await?;
        tell_documents(tx, &found);
    }
    let keys = slots::keys_of(tx, target, &found_ids).await?;
    create(tx, target, id, key, Some(&keys)).await
}

/// One entry of the log for each document.
fn tell_documents<'a>(tx: &Tx, rows: impl IntoIterator<Item = &'a (String, String)>) {
    let mut documents: Vec<&str> = rows.into_iter().map(|(_, document)| document.as_str()).collect();
    documents.sort_unstable();
    documents.dedup();
    for document in documents {
        tx.record(Change::new(ChangeKind::SyncChanged, document, document));
    }
}

/// A scope key of a list: the same for the same ids in any order.
fn list_key(kind: &str, ids: &[String]) -> String {
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    format!("{kind}:{:032x}", xxh3_128(ids.join("\n").as_bytes()))
}

/// The job row, behind the epoch's lock: of two starts at one time the second finds the first.
async fn create(
    tx: &Tx,
    target: i64,
    id: String,
    key: String,
    named: Option<&[(String, String)]>,
) -> Result<(Model, bool)> {
    let epoch = jobs::next_epoch(tx).await? - 1;
    if let Some(job) = join(tx, target, &key, epoch, named).await? {
        return Ok((job, false));
    }
    let mut job = jobs::new(id, key, target, epoch, tx.now_ms());
    if let Some(keys) = named {
        jobs::name_slots(tx, &job.id, keys).await?;
    }
    let remains = jobs::remains(tx, &job).await?;
    job.total = remains.open + remains.quarantined;
    job.done = remains.quarantined;
    job.failed = remains.quarantined;
    jobs::insert(tx, &mut job).await?;
    Ok((job, true))
}

/// The running job of a scope, from now on also for what was written since it started: whoever starts it a
/// second time is promised as much as whoever did first.
async fn join(
    tx: &Tx,
    target: i64,
    key: &str,
    epoch: i64,
    named: Option<&[(String, String)]>,
) -> Result<Option<Model>> {
    let Some(found) = jobs::find_active(tx, target, key).await? else { return Ok(None) };
    // A worker may have ended it before the lock was ours.
    let Some(mut job) = jobs::lock(tx, &found.id).await?.filter(|job| !jobs::state(job).is_terminal()) else {
        return Ok(None);
    };
    let before = jobs::remains(tx, &job).await?;
    if let Some(keys) = named {
        jobs::name_slots(tx, &job.id, keys).await?;
    }
    job.epoch = job.epoch.max(epoch);
    let remains = jobs::remains(tx, &job).await?;
    let more = (remains.open - before.open).max(0);
    job.total += more;
    if more > 0 && jobs::state(&job) == JobState::Verifying {
        JobState::Running.name().clone_into(&mut job.state);
        jobs::update(tx, &mut job, News::State, None).await?;
    } else if more > 0 {
        jobs::update(tx, &mut job, News::Progress, None).await?;
    } else {
        jobs::save(tx, &job).await?;
    }
    Ok(Some(job))
}

/// The job of that id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(cx: &Ctx, id: &str) -> Result<Model> {
    rules::known(id, WHAT)?;
    jobs::find(cx.read(), id).await?.ok_or_else(|| Error::not_found(WHAT, id))
}

/// A page of jobs.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The jobs, newest first.
    pub jobs: Vec<Model>,
    /// Where the next page begins, when there is one.
    pub next: Option<String>,
    /// How many jobs there are.
    pub total: u64,
}

/// At most `limit` jobs, newest first, behind the cursor `after`; only those in `state`, when one is given.
///
/// # Errors
/// [`Error::BadCursor`].
pub async fn list(cx: &Ctx, state: Option<JobState>, limit: u64, after: Option<String>) -> Result<Listed> {
    let filter = JobFilter { states: state.map(|state| vec![state.name()]), kind: None };
    let window = graph::sync::JOBS.window(&PageArgs { limit, backward: false, after, before: None })?;
    let page = graph::sync::jobs(cx.db(), &filter, &window).await?;
    let last = page.rows.last().filter(|_| page.has_next);
    let next = last.map(|row| graph::sync::JOBS.cursor(&graph::sync::job_key(row)));
    let total = graph::sync::count_jobs(cx.db(), &filter).await?.unsigned_abs();
    Ok(Listed { jobs: page.rows, next, total })
}

/// The events of a job after number `seq`, in order, at most a thousand.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn events_after(cx: &Ctx, id: &str, seq: i64) -> Result<Vec<JobEvent>> {
    let job = get(cx, id).await?;
    Ok(jobs::events_after(cx.read(), &job, seq, 1000).await?)
}

/// Cancels a job; one that has ended is given as it is.
///
/// What is being sent is finished and acknowledged first: then the worker ends the
/// job. Where nothing is, it ends here. What should be true of the index is not changed.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn cancel(cx: &Ctx, id: &str) -> Result<Model> {
    rules::known(id, WHAT)?;
    let id = id.to_owned();
    let job = cx
        .write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let mut job = jobs::lock(tx, &id).await?.ok_or_else(|| Error::not_found(WHAT, &id))?;
                if jobs::state(&job).is_terminal() || job.cancel_requested != 0 {
                    return Ok(job);
                }
                job.cancel_requested = 1;
                tx.audit(Act::SyncCancelled, &id);
                let remains = jobs::remains(tx, &job).await?;
                if remains.in_flight == 0 {
                    recount(&mut job, remains);
                    job.state = JobState::Cancelled.name().to_owned();
                    job.finished_at = Some(tx.now_ms());
                    jobs::update(tx, &mut job, News::State, Some("Cancelled".to_owned())).await?;
                } else {
                    jobs::save(tx, &job).await?;
                }
                Ok(job)
            })
        })
        .await?;
    cx.db().wake();
    Ok(job)
}

/// Counters after a count; none of them ever falls. True when one moved.
pub fn recount(job: &mut Model, remains: jobs::Remains) -> bool {
    let before = (job.total, job.done, job.failed);
    job.failed = job.failed.max(remains.quarantined);
    job.total = job.total.max(remains.open + remains.quarantined);
    job.done = job.done.max(job.total - remains.open);
    before != (job.total, job.done, job.failed)
}

/// Waits until the slots of a job are settled or quarantined; not for visibility.
///
/// # Errors
/// [`Error::Unavailable`] with the job's id, when the target is paused or out of
/// reach, or the configured time is over: the job goes on.
pub async fn wait(cx: &Ctx, id: &str) -> Result<JobOutcome> {
    capacity::aside(settled(cx, id)).await
}

async fn settled(cx: &Ctx, id: &str) -> Result<JobOutcome> {
    let end = tokio::time::Instant::now() + cx.config().sync.export_wait;
    let _wait = cx.deadline().wait();
    loop {
        let woken = cx.db().woken();
        let job = get(cx, id).await?;
        let state = jobs::state(&job);
        let settled = match state {
            JobState::Queued | JobState::Running | JobState::Settling => false,
            JobState::Verifying
            | JobState::Completed
            | JobState::CompletedWithErrors
            | JobState::Cancelled
            | JobState::Failed => true,
        };
        if settled {
            return Ok(JobOutcome {
                total: job.total,
                upserted: job.upserted,
                deleted: job.deleted,
                failed: job.failed,
                job,
            });
        }
        if let Some(reason) = &job.blocked_reason {
            return Err(unavailable(format!("The vector index is not available: {reason}"), &job));
        }
        if tokio::time::Instant::now() >= end {
            return Err(unavailable("This takes longer than a request may wait".to_owned(), &job));
        }
        let _ = tokio::time::timeout(LOOK, woken).await;
    }
}

fn unavailable(detail: String, job: &Model) -> Error {
    Error::Unavailable { detail, retry_after: Some(Duration::from_secs(60)), job_id: Some(job.id.clone()) }
}

/// Removes records from the index, marks the embeddings they came from as held, and waits as an export does.
/// Gives the number of distinct ids.
///
/// # Errors
/// [`Error::Invalid`] for an id no index takes; as [`wait`].
pub async fn delete_vectors(cx: &Ctx, vector_ids: Vec<String>) -> Result<u64> {
    rules::batch(vector_ids.len(), &cx.config().limits).map_err(|rule| Error::invalid("vector_ids", rule))?;
    let mut ids = vector_ids;
    let mut check = rules::Check::default();
    for id in &ids {
        check.that("vector_ids", rules::ascii_id(id));
    }
    check.finish(())?;
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(0);
    }
    let count = ids.len() as u64;
    let ids = Arc::new(ids);
    let namespace = cx.config().index.namespace.clone();
    let (id, target) = (cx.db().clock().new_id(), cx.target_id());
    let (job, _) = cx
        .write(move |tx| {
            let (ids, namespace, id) = (ids.clone(), namespace.clone(), id.clone());
            Box::pin(async move {
                let held = slots::hold_vectors(tx, &ids).await?;
                let keys = slots::want_absent(tx, target, &namespace, &ids).await?;
                tell_documents(tx, &held);
                ids.iter().for_each(|id| tx.audit(Act::VectorsDeleted, id));
                create(tx, target, id, list_key("delete", &ids), Some(&keys)).await
            })
        })
        .await?;
    cx.db().wake();
    wait(cx, &job.id).await?;
    Ok(count)
}

/// The state of a job.
#[must_use]
pub fn state(job: &Model) -> JobState {
    jobs::state(job)
}

/// The name of the target of a job.
///
/// # Errors
/// What the database says.
pub async fn target_name(cx: &Ctx, job: &Model) -> Result<String> {
    Ok(jobs::target_name(cx.read(), job.target_id).await?.unwrap_or_else(|| job.target_id.to_string()))
}

/// Done of a hundred; 100 when there was nothing to do.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn percentage(job: &Model) -> f64 {
    if job.total == 0 { 100.0 } else { job.done as f64 * 100.0 / job.total as f64 }
}

/// Seconds until the end of a job at its pace so far, 0 once it has ended. A hundredth must be done to tell.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn eta_seconds(job: &Model, now_ms: i64) -> Option<f64> {
    if jobs::state(job).is_terminal() {
        return Some(0.0);
    }
    let elapsed = now_ms - job.created_at;
    let enough = job.done > 0 && job.done * 100 >= job.total && elapsed > 0;
    enough.then(|| elapsed as f64 / 1000.0 * (job.total - job.done) as f64 / job.done as f64)
}
