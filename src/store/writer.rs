//! The write door behind [`Db::write`].
//!
//! SQLite has one writer: a task that takes the closures that wait, runs each in
//! a savepoint of one `BEGIN IMMEDIATE`, and answers all of them once the shared
//! commit is durable. PostgreSQL gives each closure a transaction, and runs it
//! again on 40001 and 40P01 (full jitter, at most eight tries).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::DatabaseConnection;
use sea_orm::DatabaseTransaction;
use sea_orm::DbErr;
use sea_orm::SqliteTransactionMode;
use sea_orm::TransactionOptions;
use sea_orm::TransactionTrait;
use tokio::sync::mpsc;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::error::Result;
use crate::store::Committed;
use crate::store::Db;
use crate::store::Tx;
use crate::store::log;
use crate::store::log::Change;

/// How many closures may share one commit.
const GROUP: usize = 64;
/// How many closures may wait for the writer.
const QUEUE: usize = 1024;
/// How often a transaction is tried.
const TRIES: u32 = 8;

type Work = Box<dyn for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<()>> + Send + Sync>;

/// Where a caller waits for the number of its last change.
type Answer = oneshot::Sender<Result<Option<i64>>>;

/// A closure that waits, and where its outcome goes.
pub struct Job {
    db: Db,
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

    pub(super) async fn write<T, F>(&self, db: Db, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        let slot: Arc<Mutex<Option<T>>> = Arc::default();
        let filled = slot.clone();
        let work: Work = Box::new(move |tx| {
            let made = work(tx);
            let slot = slot.clone();
            Box::pin(async move {
                let value = made.await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            })
        });
        let revision = match self {
            Self::Sqlite { queue, .. } => {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closing)?;
                let (done, answer) = oneshot::channel();
                queue.send(Job { db, work, done }).await.map_err(|_| closing())?;
                answer.await.map_err(|_| closing())??
            }
            Self::Postgres(conn) => postgres(conn, &db, &work).await?,
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
    while let Some(first) = jobs.recv().await {
        let mut group = vec![first];
        while group.len() < GROUP {
            match jobs.try_recv() {
                Ok(job) => group.push(job),
                Err(_) => break,
            }
        }
        commit_group(&conn, group).await;
    }
    if let Err(error) = conn.close_by_ref().await {
        tracing::warn!(%error, "closing the writer");
    }
}

/// One commit for all of `group`; each is answered after it.
async fn commit_group(conn: &DatabaseConnection, group: Vec<Job>) {
    let outer = match begin_immediate(conn).await {
        Ok(outer) => outer,
        Err(error) => {
            let error = Error::from(error);
            for job in group {
                let _ = job.done.send(Err(error.clone()));
            }
            return;
        }
    };
    let mut outcomes: Vec<(Answer, Result<usize>)> = Vec::with_capacity(group.len());
    let mut changes: Vec<Change> = Vec::new();
    let mut now_ms = 0;
    for Job { db, work, done } in group {
        let outcome = match outer.begin().await {
            Ok(savepoint) => {
                let tx = Tx::new(savepoint, db.clock().now_us(), db.seen_revision());
                now_ms = tx.now_ms();
                run_in_savepoint(tx, &work).await
            }
            Err(error) => Err(error.into()),
        };
        let outcome = outcome.map(|made| {
            changes.extend(made);
            changes.len()
        });
        outcomes.push((done, outcome));
    }
    let committed = finish(outer, &changes, now_ms).await;
    let before = committed.as_ref().ok().map(|last| last - i64::try_from(changes.len()).unwrap_or(0));
    let mut counted = 0;
    for (done, outcome) in outcomes {
        let answer = match (outcome, &committed) {
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
        let _ = done.send(answer);
    }
}

async fn begin_immediate(conn: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    let mut tried = 1;
    loop {
        match conn.begin_with_options(options).await {
            Err(error) if tried < TRIES && may_retry(&error) => pause(tried).await,
            outcome => return outcome,
        }
        tried += 1;
    }
}

/// Runs one closure; its savepoint is kept or undone, a panic is an error of this closure alone.
async fn run_in_savepoint(tx: Tx, work: &Work) -> Result<Vec<Change>> {
    let outcome = AssertUnwindSafe(work(&tx)).catch_unwind().await;
    let changes = tx.take_changes();
    match outcome {
        Ok(Ok(())) => {
            tx.conn.commit().await?;
            Ok(changes)
        }
        Ok(Err(error)) => {
            tx.conn.rollback().await?;
            Err(error)
        }
        Err(_) => {
            tx.conn.rollback().await?;
            Err(Error::internal(anyhow::anyhow!("a write panicked")))
        }
    }
}

/// Numbers the changes and commits; gives the last number.
async fn finish(outer: DatabaseTransaction, changes: &[Change], now_ms: i64) -> Result<i64> {
    let last = if changes.is_empty() { 0 } else { log::append(&outer, changes, now_ms).await? };
    outer.commit().await?;
    Ok(last)
}

async fn postgres(conn: &DatabaseConnection, db: &Db, work: &Work) -> Result<Option<i64>> {
    let mut tried = 1;
    loop {
        match postgres_once(conn, db, work).await {
            Err(error) if tried < TRIES && error_may_retry(&error) => pause(tried).await,
            outcome => return outcome,
        }
        tried += 1;
    }
}

async fn postgres_once(conn: &DatabaseConnection, db: &Db, work: &Work) -> Result<Option<i64>> {
    let now_us = db.clock().now_us();
    let tx = Tx::new(conn.begin().await?, now_us, db.seen_revision());
    match work(&tx).await {
        Ok(()) => {
            let changes = tx.take_changes();
            let last = if changes.is_empty() { None } else { Some(log::append(&tx, &changes, tx.now_ms()).await?) };
            tx.conn.commit().await?;
            Ok(last)
        }
        Err(error) => {
            tx.conn.rollback().await?;
            Err(error)
        }
    }
}

fn error_may_retry(error: &Error) -> bool {
    matches!(error, Error::Internal(cause) if cause.downcast_ref::<DbErr>().is_some_and(may_retry))
}

/// Whether the database asks for the transaction to be run again: a serialization
/// failure, a deadlock, or a busy SQLite.
fn may_retry(error: &DbErr) -> bool {
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
