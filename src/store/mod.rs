//! SQL: connections, transactions, and one module a table.
//!
//! No statement stands outside this floor. [`Db::write`] is the only door to a
//! write transaction, [`Db::read`] hands out a reader. On SQLite one writer
//! groups concurrent writes into shared commits; on PostgreSQL every write is a
//! transaction of its own, run again when the database asks for it.

pub mod audit;
pub mod backup;
pub mod chunks;
pub mod claims;
pub mod connect;
pub mod coverage;
pub mod dashboard;
pub mod documents;
pub mod embeddings;
pub mod filter;
pub mod graph;
mod hints;
pub mod ids;
pub mod imports;
pub mod jobs;
pub mod keys;
pub mod lists;
pub mod local_records;
pub mod log;
mod migrations;
pub mod page;
pub mod purge;
pub mod read;
pub mod reader;
pub mod readers;
pub mod reconcile;
pub mod record;
pub mod search;
pub mod seed;
pub mod slots;
pub mod sql;
pub mod stats;
pub mod targets;
pub mod vector;
pub mod workers;
pub mod writer;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseTransaction;
use sea_orm::DbBackend;
use sea_orm::DbErr;
use sea_orm::ExecResult;
use sea_orm::QueryResult;
use sea_orm::Statement;
use tokio::sync::Notify;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::error::Error;
use crate::error::Result;
use crate::store::audit::Act;
use crate::store::audit::Actor;
use crate::store::audit::Draft;
use crate::store::log::Change;
use crate::store::reader::Reader;
use crate::store::readers::Readers;

/// The database: readers, the write door, and what the process has seen of its commits.
#[derive(Clone, Debug)]
pub struct Db {
    inner: Arc<Inner>,
    reader: Reader,
}

#[derive(Debug)]
struct Inner {
    readers: Option<Arc<Readers>>,
    writer: writer::Writer,
    clock: Clock,
    pulse: Arc<Pulse>,
    hints: Option<Hints>,
    statements: Arc<Statements>,
}

/// What this process knows of commits, its own and others', and who waits for them.
#[derive(Debug)]
struct Pulse {
    seen: watch::Sender<i64>,
    wake: Notify,
    tell: Notify,
}

impl Pulse {
    fn new(seen: i64) -> Self {
        let (seen, _) = watch::channel(seen);
        Self { seen, wake: Notify::new(), tell: Notify::new() }
    }

    fn seen(&self) -> i64 {
        *self.seen.borrow()
    }

    fn saw(&self, revision: i64) {
        self.seen.send_if_modified(|seen| {
            let newer = revision > *seen;
            if newer {
                *seen = revision;
            }
            newer
        });
    }

    fn wake_here(&self) {
        self.wake.notify_waiters();
    }

    /// Wakes whoever waits in this process, and has the others told.
    fn wake(&self) {
        self.wake_here();
        self.tell.notify_one();
    }

    /// Ends when there is something to tell other processes.
    async fn to_tell(&self) {
        self.tell.notified().await;
    }
}

/// The server through which processes tell each other of commits, and the task that does once it was asked to.
#[derive(Debug)]
pub(crate) struct Hints {
    url: String,
    task: Mutex<Option<(tokio::task::JoinHandle<()>, CancellationToken)>>,
}

impl Hints {
    /// Hints through the PostgreSQL server behind `url`.
    pub(crate) fn through(url: String) -> Self {
        Self { url, task: Mutex::default() }
    }
}

/// Counts statements, and keeps their text while a test listens.
#[derive(Debug, Default)]
pub struct Statements {
    count: AtomicU64,
    listening: AtomicBool,
    texts: Mutex<Vec<String>>,
}

impl Statements {
    /// Takes note of one statement.
    pub fn note(&self, text: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.listening.load(Ordering::Relaxed) {
            self.texts.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
        }
    }

    /// Statements sent since the start.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Begins to keep texts, from nothing.
    pub fn listen(&self) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.listening.store(true, Ordering::Relaxed);
    }

    /// Ends keeping texts and gives them.
    pub fn heard(&self) -> Vec<String> {
        self.listening.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a committed write gives back.
#[derive(Debug, Clone)]
pub struct Committed<T> {
    /// What the closure made.
    pub value: T,
    /// The corpus revision of its last recorded change, when it recorded one.
    pub revision: Option<i64>,
}

impl Db {
    pub(crate) fn assemble(
        reader: Reader,
        readers: Option<Arc<Readers>>,
        writer: writer::Writer,
        clock: Clock,
        statements: Arc<Statements>,
        seen: i64,
        hints: Option<Hints>,
    ) -> Self {
        let pulse = Arc::new(Pulse::new(seen));
        let inner = Inner { readers, writer, clock, pulse, hints, statements };
        Self { inner: Arc::new(inner), reader }
    }

    /// Begins to hear of other processes' commits, and to tell them of ours. Does nothing on SQLite.
    #[expect(clippy::disallowed_methods, reason = "hears until the database closes; `close` waits for it")]
    pub fn listen(&self) {
        let Some(hints) = &self.inner.hints else { return };
        let mut task = hints.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.is_none() {
            let (stop, own) = (CancellationToken::new(), self.clock().new_id());
            let exchange = hints::exchange(hints.url.clone(), self.inner.pulse.clone(), own, stop.clone());
            *task = Some((tokio::spawn(exchange), stop));
        }
    }

    /// A reader.
    #[must_use]
    pub const fn read(&self) -> &Reader {
        &self.reader
    }

    /// The same database for one request, whose reads leave connections to others.
    #[must_use]
    pub fn for_request(&self) -> Self {
        Self { inner: self.inner.clone(), reader: self.reader.for_request() }
    }

    /// The readers for the statements of the graph, where the database is SQLite.
    pub(crate) fn readers(&self) -> Option<&Arc<Readers>> {
        self.inner.readers.as_ref()
    }

    /// Which database this is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.reader.get_database_backend()
    }

    /// Its name: `sqlite` or `postgresql`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.backend() == DbBackend::Postgres { "postgresql" } else { "sqlite" }
    }

    /// Connections of the pool for reading: how many there are, and how many of them nobody uses.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        self.reader.connections()
    }

    /// The clock that its rows are dated by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The statements this process sent.
    #[must_use]
    pub fn statements(&self) -> &Arc<Statements> {
        &self.inner.statements
    }

    /// Runs `work` in a write transaction and gives back what it made, once that is durable.
    ///
    /// The closure may be run again, and may share its commit with other callers:
    /// it has no side effect outside the transaction. It goes on when the caller
    /// stops waiting. What it records with [`Tx::record`] gets its numbers last.
    ///
    /// # Errors
    /// The closure's own, or [`Error::Internal`]/[`Error::Unavailable`] when nothing was written.
    pub async fn write<T, F>(&self, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        self.inner.writer.write(self.clone(), None, work).await
    }

    /// The same for somebody, whose changes are put into the audit log in the same transaction.
    ///
    /// # Errors
    /// Those of [`Db::write`].
    pub async fn write_by<T, F>(&self, by: Actor, work: F) -> Result<Committed<T>>
    where
        T: Send + 'static,
        F: for<'a> Fn(&'a Tx) -> BoxFuture<'a, Result<T>> + Send + Sync + 'static,
    {
        self.inner.writer.write(self.clone(), Some(by), work).await
    }

    /// A corpus revision that was committed: reading now sees it, or more.
    #[must_use]
    pub fn seen_revision(&self) -> i64 {
        self.inner.pulse.seen()
    }

    /// Follows the corpus revision, as far as this process knows.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<i64> {
        self.inner.pulse.seen.subscribe()
    }

    /// Takes note of a committed corpus revision.
    pub fn saw(&self, revision: i64) {
        self.inner.pulse.saw(revision);
    }

    /// Takes note of a commit of this process and wakes whoever waits for work, also when its caller has gone.
    fn committed(&self, revision: i64) {
        self.saw(revision);
        self.wake();
    }

    /// Ends when the next write of this process is durable, or another process told of one; register before looking at the rows.
    pub fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.inner.pulse.wake.notified()
    }

    /// Wakes whoever waits for work without a write.
    pub fn wake(&self) {
        self.inner.pulse.wake();
    }

    /// Finishes the writes that wait, and closes every connection.
    pub async fn close(&self) {
        if let Some(hints) = &self.inner.hints {
            let task = hints.task.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some((task, stop)) = task {
                stop.cancel();
                // It has nothing to say.
                let _ = task.await;
            }
        }
        self.inner.writer.close().await;
        if let Some(readers) = &self.inner.readers {
            readers.close();
        }
        self.reader.close().await;
    }
}

/// A write transaction.
#[derive(Debug)]
pub struct Tx {
    conn: Arc<DatabaseTransaction>,
    now_us: i64,
    seen_rev: i64,
    changes: Mutex<Vec<Change>>,
    claimed: Mutex<Vec<String>>,
    by: Option<Actor>,
    acts: Mutex<Vec<(Act, String)>>,
}

/// What a closure leaves for the end of its transaction.
#[derive(Debug, Default)]
struct Made {
    changes: Vec<Change>,
    draft: Option<Draft>,
}

impl Tx {
    fn new(conn: Arc<DatabaseTransaction>, now_us: i64, seen_rev: i64, by: Option<Actor>) -> Self {
        let (changes, claimed, acts) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { conn, now_us, seen_rev, changes, claimed, by, acts }
    }

    /// The time of this transaction, in microseconds since 1970: one for all its rows.
    #[must_use]
    pub const fn now_us(&self) -> i64 {
        self.now_us
    }

    /// The time of this transaction, in milliseconds since 1970.
    #[must_use]
    pub const fn now_ms(&self) -> i64 {
        self.now_us.div_euclid(1000)
    }

    /// A corpus revision that was committed before this transaction began.
    #[must_use]
    pub const fn seen_rev(&self) -> i64 {
        self.seen_rev
    }

    /// Puts a change into the numbered log, which is written just before the commit.
    pub fn record(&self, change: Change) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }

    /// Notes ids that a client chose: before the commit they are looked for once more, where another
    /// transaction may have taken them meanwhile (see [`ids`]).
    pub fn claim(&self, ids: impl IntoIterator<Item = String>) {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    fn take_claimed(&self) -> Vec<String> {
        std::mem::take(&mut self.claimed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts into the audit log what is done besides changing rows of the corpus.
    pub fn audit(&self, act: Act, id: &str) {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).push((act, id.to_owned()));
    }

    fn take_made(&self) -> Made {
        let changes = std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        let acts = std::mem::take(&mut *self.acts.lock().unwrap_or_else(PoisonError::into_inner));
        let draft = audit::draft(self.by.as_ref(), &changes, &acts);
        Made { changes, draft }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.conn.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.conn.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.conn.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.conn.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.conn.query_all_raw(statement).await
    }
}

/// Which constraint a database error is about, if any.
///
/// Unique violations become [`Error::Conflict`] with `detail`, foreign-key
/// violations [`Error::NotFound`]; the rest stays what it is.
#[must_use]
pub fn constraint(error: DbErr, detail: &str, parent: (&'static str, &str)) -> Error {
    match error.sql_err() {
        Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) => Error::conflict(detail),
        Some(sea_orm::SqlErr::ForeignKeyConstraintViolation(_)) => Error::not_found(parent.0, parent.1),
        _ => error.into(),
    }
}
