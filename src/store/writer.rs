//! The write door behind [`Db::write`].
//!
//! SQLite has one writer: a task that takes the closures that wait, runs each in
//! a savepoint of one `BEGIN IMMEDIATE`, and answers all of them once the shared
//! commit is durable. It speaks of transactions in plain statements over one
//! connection that it keeps: sqlx counts savepoints, and its count stays wrong when
//! SQLite gives up a whole transaction by itself (a full disk, a failed write).
//! PostgreSQL gives each closure a transaction, and runs it again on 40001 and
//! 40P01 (full jitter, at most eight tries).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use sea_orm::DatabaseTransaction;
use sea_orm::DbErr;
use sea_orm::TransactionTrait;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use tracing::Instrument as _;

use crate::error::Error;
use crate::error::Result;
use crate::store::Committed;
use crate::store::Db;
use crate::store::Made;
use crate::store::Tx;
use crate::store::audit;
use crate::store::audit::Actor;
use crate::store::audit::Draft;
use crate::store::ids;
use crate::store::log;
use crate::store::log::Change;

/// How many closures may share one commit.
const GROUP: usize = 64;
/// How many closures may wait for the writer.
const QUEUE: usize = 1024;
/// So long after a write, what is in the write-ahead log goes into the file. Under load SQLite does that
/// sooner by itself: at each commit that leaves a thousand pages (4 MB) or more in the log.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(30);
/// How often a transaction is tried.
const TRIES: u32 = 8;

type Work = Box<dyn for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<()>> + Send + Sync>;

/// Where a caller waits for the number of its last change.
type Answer = oneshot::Sender<Result<Option<i64>>>;

/// A closure that waits, and where its outcome goes.
pub struct Job {
    db: Db,
    by: Option<Actor>,
    work: Work,
    done: Answer,
}

/// The door of one database.
#[derive(Debug)]
pub enum Writer {
    /// One task, shared commits.
    Sqlite {
        /// The closures that wait; gone once the database is closing.
        queue: Mutex<Option<mpsc::Sender<Job>>>,
        /// The task.
        task: Mutex<Option<tokio::task::JoinHandle<()>>>,
    },
    /// A transaction each.
    Postgres(DatabaseConnection),
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Writer {
    /// The one writer of a SQLite database; `conn` holds exactly one connection.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the writer outlives every request; `close` waits for it")]
    pub fn sqlite(conn: DatabaseConnection) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let task = tokio::spawn(serve(conn, jobs));
        Self::Sqlite { queue: Mutex::new(Some(queue)), task: Mutex::new(Some(task)) }
    }

    #[expect(clippy::disallowed_methods, reason = "the caller waits for the task; `close` waits for its connection")]
    pub(super) async fn write<T, F>(&self, db: Db, by: Option<Actor>, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        let slot: Arc<Mutex<Option<T>>> = Arc::default();
        let filled = slot.clone();
        let work = Arc::new(work);
        let work: Work = Box::new(move |tx| {
            let (work, slot) = (work.clone(), slot.clone());
            Box::pin(async move {
                let value = work(tx).await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let revision = match self {
            Self::Sqlite { queue, .. } => {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closing)?;
                let (done, answer) = oneshot::channel();
                queue.send(Job { db, by, work, done }).await.map_err(|_| closing())?;
                answer.await.map_err(|_| closing())??
            }
            Self::Postgres(conn) => {
                let conn = conn.clone();
                // A task of its own: it goes on when the caller goes away.
                let task =
                    tokio::spawn(async move { postgres(&conn, &db, by.as_ref(), &work).await }.in_current_span());
                task.await.map_err(Error::internal)??
            }
        };
        let value = filled.lock().unwrap_or_else(PoisonError::into_inner).take();
        let value = value.ok_or_else(|| Error::internal(anyhow::anyhow!("a committed write left no value")))?;
        Ok(Committed { value, revision })
    }

    /// Takes no more work, and ends when what waits is done.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { queue, task } => {
                queue.lock().unwrap_or_else(PoisonError::into_inner).take();
                let task = task.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(task) = task {
                    // A panic of the task was already told to every caller.
                    let _ = task.await;
                }
            }
            Self::Postgres(conn) => {
                if let Err(error) = conn.close_by_ref().await {
                    tracing::warn!(%error, "closing the database");
                }
            }
        }
    }
}

fn closing() -> Error {
    Error::Unavailable { detail: "The server is stopping".to_owned(), retry_after: None, job_id: None }
}

async fn serve(conn: DatabaseConnection, mut jobs: mpsc::Receiver<Job>) {
    let mut line = Line { conn, held: None };
    let mut checkpoint_at = None;
    loop {
        let next = match checkpoint_at {
            None => jobs.recv().await,
            Some(at) => {
                if let Ok(next) = tokio::time::timeout_at(at, jobs.recv()).await {
                    next
                } else {
                    line.checkpoint().await;
                    checkpoint_at = None;
                    continue;
                }
            }
        };
        let Some(first) = next else { break };
        let mut group = vec![first];
        while group.len() < GROUP {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        checkpoint_at.get_or_insert_with(|| tokio::time::Instant::now() + CHECKPOINT_AFTER);
        commit_group(&mut line, group).await;
    }
    drop(line.held);
    if let Err(error) = line.conn.close_by_ref().await {
        tracing::warn!(%error, "closing the writer");
    }
}

/// The writer's connection, kept as a transaction that sqlx believes open for ever.
struct Line {
    conn: DatabaseConnection,
    held: Option<Arc<DatabaseTransaction>>,
}

impl Line {
    /// Begins a transaction; waits for another process that writes.
    async fn begin(&mut self) -> Result<Arc<DatabaseTransaction>, DbErr> {
        let mut tried = 1;
        loop {
            let line = match &self.held {
                Some(line) => line.clone(),
                None => {
                    let line = Arc::new(self.conn.begin().await?);
                    undo(&line).await;
                    self.held.insert(line).clone()
                }
            };
            match line.execute_unprepared("BEGIN IMMEDIATE").await {
                Ok(_) => return Ok(line),
                Err(error) if tried < TRIES && may_retry(&error) => pause(tried).await,
                Err(error) => {
                    // Whatever is wrong with it, the next group starts from a known state.
                    undo(&line).await;
                    self.held = None;
                    return Err(error);
                }
            }
            tried += 1;
        }
    }

    /// Moves the write-ahead log into the file as far as readers allow, and waits for none of them.
    async fn checkpoint(&self) {
        let Some(line) = &self.held else { return };
        if let Err(error) = line.execute_unprepared("PRAGMA wal_checkpoint(PASSIVE)").await {
            tracing::warn!(%error, "the write-ahead log waits for the next checkpoint");
        }
    }
}

/// Ends a transaction without its writes; there may be none any more.
async fn undo(line: &DatabaseTransaction) {
    if let Err(error) = line.execute_unprepared("ROLLBACK").await {
        tracing::debug!(%error, "the database had undone the transaction already");
    }
}

/// How the shared transaction came out of one closure.
enum Ran {
    /// Done, or undone alone; the transaction goes on.
    Kept(Result<Made>),
    /// The whole transaction is given up: what others wrote before is gone too.
    Broken(Error),
}

/// One commit for all of `group`; each is answered after it.
///
/// A closure that makes SQLite give up the transaction is told so, and the others run again without it.
async fn commit_group(line: &mut Line, mut group: Vec<Job>) {
    while !group.is_empty() {
        let conn = match line.begin().await {
            Ok(conn) => conn,
            Err(error) => {
                let error = told(error.into());
                for job in group {
                    let _ = job.done.send(Err(error.clone()));
                }
                return;
            }
        };
        let alone = group.len() == 1;
        let mut outcomes: Vec<Result<usize>> = Vec::with_capacity(group.len());
        let mut changes: Vec<Change> = Vec::new();
        let mut drafts: Vec<(Draft, Option<usize>)> = Vec::new();
        let mut now_ms = 0;
        let mut broken = None;
        for job in &group {
            let tx = Tx::new(conn.clone(), job.db.clock().now_us(), job.db.seen_revision(), job.by.clone());
            now_ms = tx.now_ms();
            match run(tx, &job.work, alone).await {
                Ran::Kept(outcome) => outcomes.push(outcome.map(|made| {
                    let records = !made.changes.is_empty();
                    changes.extend(made.changes);
                    drafts.extend(made.draft.map(|draft| (draft, records.then_some(changes.len()))));
                    changes.len()
                })),
                Ran::Broken(error) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = broken {
            undo(&conn).await;
            let _ = group.remove(outcomes.len()).done.send(Err(told(error)));
            continue;
        }
        let committed = finish(&conn, &changes, drafts, now_ms).await.map_err(told);
        if let (Ok(last @ 1..), Some(job)) = (&committed, group.first()) {
            job.db.committed(*last);
        }
        return answer(group, outcomes, &committed, changes.len());
    }
}

/// Tells every caller how it went, with the number of its own last change.
fn answer(group: Vec<Job>, outcomes: Vec<Result<usize>>, committed: &Result<i64>, changes: usize) {
    let before = committed.as_ref().ok().map(|last| last - i64::try_from(changes).unwrap_or(0));
    let mut counted = 0;
    for (job, outcome) in group.into_iter().zip(outcomes) {
        let answer = match (outcome, committed) {
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error.clone()),
            (Ok(upto), Ok(_)) => {
                let recorded = upto > counted;
                counted = upto;
                let last = before.map(|before| before + i64::try_from(upto).unwrap_or(0));
                Ok(last.filter(|_| recorded))
            }
        };
        // A caller that stopped waiting has nobody to tell.
        let _ = job.done.send(answer);
    }
}

/// Runs one closure of a transaction; what it wrote is kept, or undone when it fails or panics.
async fn run(tx: Tx, work: &Work, alone: bool) -> Ran {
    // Alone, the transaction itself is the savepoint.
    if !alone && let Err(error) = tx.execute_unprepared("SAVEPOINT caller").await {
        return Ran::Broken(error.into());
    }
    match attempt(&tx, work).await {
        Ok(()) if alone => Ran::Kept(Ok(tx.take_made())),
        Ok(()) => match tx.execute_unprepared("RELEASE caller").await {
            Ok(_) => Ran::Kept(Ok(tx.take_made())),
            Err(error) => Ran::Broken(error.into()),
        },
        Err(error) if alone => Ran::Broken(error),
        Err(error) => match tx.execute_unprepared("ROLLBACK TO caller; RELEASE caller").await {
            Ok(_) => Ran::Kept(Err(error)),
            Err(_) => Ran::Broken(error),
        },
    }
}

/// Runs a closure; a panic is an error of this closure alone.
async fn attempt(tx: &Tx, work: &Work) -> Result<()> {
    // Inside a future, because a closure may panic before it gives its own.
    let made = AssertUnwindSafe(async { work(tx).await }).catch_unwind().await;
    made.unwrap_or_else(|_| Err(Error::internal(anyhow::anyhow!("a write panicked"))))
}

/// Numbers the changes and commits; gives the last number, 0 when there were no changes. A draft comes with how many
/// changes there were after its own.
async fn finish(
    conn: &DatabaseTransaction,
    changes: &[Change],
    drafts: Vec<(Draft, Option<usize>)>,
    now_ms: i64,
) -> Result<i64> {
    let numbered = async {
        let last = if changes.is_empty() { 0 } else { log::append(conn, changes, now_ms).await? };
        let revision = |upto: usize| last - i64::try_from(changes.len() - upto).unwrap_or(0);
        let drafts: Vec<_> = drafts.into_iter().map(|(draft, upto)| (draft, upto.map(revision))).collect();
        audit::append(conn, &drafts, now_ms).await?;
        Ok(last)
    };
    let committed = match numbered.await {
        Ok(last) => conn.execute_unprepared("COMMIT").await.map(|_| last),
        Err(error) => Err(error),
    };
    if committed.is_err() {
        undo(conn).await;
    }
    committed.map_err(Error::from)
}

async fn postgres(conn: &DatabaseConnection, db: &Db, by: Option<&Actor>, work: &Work) -> Result<Option<i64>> {
    let mut tried = 1;
    loop {
        match postgres_once(conn, db, by, work).await {
            Err(error) if tried < TRIES && error_may_retry(&error) => pause(tried).await,
            outcome => return outcome.map_err(told),
        }
        tried += 1;
    }
}

async fn postgres_once(conn: &DatabaseConnection, db: &Db, by: Option<&Actor>, work: &Work) -> Result<Option<i64>> {
    let now_us = db.clock().now_us();
    let conn = Arc::new(conn.begin().await?);
    let tx = Tx::new(conn.clone(), now_us, db.seen_revision(), by.cloned());
    let outcome = match attempt(&tx, work).await {
        Ok(()) => number(&tx).await,
        Err(error) => Err(error),
    };
    drop(tx);
    let conn = Arc::into_inner(conn).ok_or_else(|| Error::internal(anyhow::anyhow!("a write kept its transaction")))?;
    match outcome {
        Ok(last) => {
            conn.commit().await?;
            if let Some(last) = last {
                db.committed(last);
            }
            Ok(last)
        }
        Err(error) => {
            // The error that counts is the first; a connection that cannot even undo is dropped by the pool.
            let _ = conn.rollback().await;
            Err(error)
        }
    }
}

/// Numbers the changes of a transaction, and looks once more for the ids it claimed: the counter is
/// locked now, so whoever else takes one of them has committed, or will see ours.
async fn number(tx: &Tx) -> Result<Option<i64>> {
    let Made { changes, draft } = tx.take_made();
    let last = if changes.is_empty() { None } else { Some(log::append(tx, &changes, tx.now_ms()).await?) };
    let drafts: Vec<_> = draft.into_iter().map(|draft| (draft, last)).collect();
    audit::append(tx, &drafts, tx.now_ms()).await?;
    let claimed = tx.take_claimed();
    if !claimed.is_empty()
        && let Some(id) = ids::clash(tx, &claimed).await?
    {
        return Err(Error::conflict(format!("id: {id} is already taken")));
    }
    Ok(last)
}

fn error_may_retry(error: &Error) -> bool {
    matches!(error, Error::Internal(cause) if cause.downcast_ref::<DbErr>().is_some_and(may_retry))
}

/// What a caller hears of an error that trying again did not end.
fn told(error: Error) -> Error {
    if error_may_retry(&error) {
        let retry_after = Some(Duration::from_secs(1));
        return Error::Unavailable { detail: "The database is busy".to_owned(), retry_after, job_id: None };
    }
    if is_full(&error) {
        let retry_after = Some(Duration::from_secs(60));
        return Error::Unavailable { detail: "The database is full".to_owned(), retry_after, job_id: None };
    }
    error
}

/// Whether SQLite found no room on the disk.
fn is_full(error: &Error) -> bool {
    let Error::Internal(cause) = error else { return false };
    let Some(DbErr::Exec(sea_orm::RuntimeErr::SqlxError(cause)) | DbErr::Query(sea_orm::RuntimeErr::SqlxError(cause))) =
        cause.downcast_ref::<DbErr>()
    else {
        return false;
    };
    cause.as_database_error().and_then(|cause| cause.code()).is_some_and(|code| code == "13")
}

/// Whether the database asks for the transaction to be run again: a serialization
/// failure, a deadlock, or a busy SQLite.
pub(super) fn may_retry(error: &DbErr) -> bool {
    let text = error.to_string();
    let code = if let DbErr::Exec(sea_orm::RuntimeErr::SqlxError(cause))
    | DbErr::Query(sea_orm::RuntimeErr::SqlxError(cause)) = error
    {
        cause.as_database_error().and_then(|cause| cause.code().map(std::borrow::Cow::into_owned))
    } else {
        None
    };
    matches!(code.as_deref(), Some("40001" | "40P01" | "5" | "517" | "261")) || text.contains("database is locked")
}

async fn pause(tried: u32) {
    let ceiling = 5u64 << tried.min(6);
    tokio::time::sleep(Duration::from_millis(fastrand::u64(1..=ceiling))).await;
}
