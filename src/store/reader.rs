//! Connections for reading, and what becomes of a statement that nobody waits for any more.
//!
//! On SQLite a connection reads for one caller at a time, and looks every few
//! instructions whether that one is still there: what is not waited for ends. On
//! PostgreSQL the server ends the statements of requests after a while. A request
//! has at most half of the connections at a time, whatever it asks for.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sea_orm::ConnAcquireErr;
use sea_orm::ConnectionTrait;
use sea_orm::DatabaseConnection;
use sea_orm::DbBackend;
use sea_orm::DbErr;
use sea_orm::ExecResult;
use sea_orm::QueryResult;
use sea_orm::SqlxSqliteConnector;
use sea_orm::Statement;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

use crate::store::Statements;

/// Instructions of SQLite's machine between two looks whether anybody waits: some tens of microseconds.
pub(super) const STEPS: i32 = 2_000;

/// A way to read.
#[derive(Debug, Clone)]
pub struct Reader {
    source: Source,
    /// How many statements of one request may run at a time; without, it reads for the process itself.
    turns: Option<Arc<Semaphore>>,
}

#[derive(Debug, Clone)]
enum Source {
    Sqlite(Arc<Seats>),
    Postgres(Arc<Pools>),
}

/// The pools of a server: one for everything, and one for what requests read.
#[derive(Debug)]
struct Pools {
    own: DatabaseConnection,
    requests: DatabaseConnection,
    size: u32,
}

/// Connections to one file.
#[derive(Debug)]
pub(super) struct Seats {
    options: SqliteConnectOptions,
    statements: Arc<Statements>,
    idle: Mutex<Vec<Seat>>,
    permits: Arc<Semaphore>,
    size: u32,
    patience: Duration,
}

/// One connection, and whether its caller has gone.
#[derive(Debug)]
struct Seat {
    conn: DatabaseConnection,
    gone: Arc<AtomicBool>,
}

impl Seats {
    /// At most `size` connections; whoever waits longer than `patience` for one is refused.
    pub(super) fn new(
        options: SqliteConnectOptions,
        size: u32,
        patience: Duration,
        statements: Arc<Statements>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1).max(1)));
        Self { options, statements, idle: Mutex::default(), permits, size, patience }
    }

    async fn take(&self) -> Result<Seated<'_>, DbErr> {
        let permit = tokio::time::timeout(self.patience, self.permits.clone().acquire_owned());
        let permit = permit
            .await
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let seat = idle.unwrap_or_else(|| self.open());
        Ok(Seated { seats: self, seat: Some(seat), _permit: permit })
    }

    fn open(&self) -> Seat {
        let gone: Arc<AtomicBool> = Arc::default();
        let watched = gone.clone();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.patience)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |conn, _| {
                let gone = watched.clone();
                Box::pin(async move {
                    conn.lock_handle().await?.set_progress_handler(STEPS, move || !gone.load(Ordering::Relaxed));
                    Ok(())
                })
            })
            .connect_lazy_with(self.options.clone());
        let mut conn = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
        let statements = self.statements.clone();
        conn.set_metric_callback(move |info| statements.note(&info.statement.sql));
        Seat { conn, gone }
    }

    async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for seat in idle {
            closed(&seat.conn).await;
        }
    }
}

/// A connection that reads for somebody.
struct Seated<'a> {
    seats: &'a Seats,
    seat: Option<Seat>,
    _permit: OwnedSemaphorePermit,
}

impl Seated<'_> {
    /// Gives the connection back: its statement has ended.
    fn done(mut self) {
        if let Some(seat) = self.seat.take().filter(|_| !self.seats.permits.is_closed()) {
            self.seats.idle.lock().unwrap_or_else(PoisonError::into_inner).push(seat);
        }
    }
}

impl Drop for Seated<'_> {
    /// The caller has gone before its answer came: the statement ends, and the connection with it.
    fn drop(&mut self) {
        if let Some(seat) = self.seat.take() {
            seat.gone.store(true, Ordering::Relaxed);
        }
    }
}

/// A connection, for one statement.
struct Taken<'a> {
    held: Held<'a>,
    _turn: Option<SemaphorePermit<'a>>,
}

enum Held<'a> {
    Sqlite(Seated<'a>),
    Postgres(&'a DatabaseConnection),
}

impl Taken<'_> {
    fn conn(&self) -> Option<&DatabaseConnection> {
        match &self.held {
            Held::Sqlite(seated) => seated.seat.as_ref().map(|seat| &seat.conn),
            Held::Postgres(conn) => Some(conn),
        }
    }

    fn done(self) {
        if let Held::Sqlite(seated) = self.held {
            seated.done();
        }
    }
}

impl Reader {
    pub(super) fn sqlite(seats: Seats) -> Self {
        Self { source: Source::Sqlite(Arc::new(seats)), turns: None }
    }

    pub(super) fn postgres(own: DatabaseConnection, requests: DatabaseConnection, size: u32) -> Self {
        Self { source: Source::Postgres(Arc::new(Pools { own, requests, size })), turns: None }
    }

    /// The same for one request, which is not to have all connections.
    #[must_use]
    pub fn for_request(&self) -> Self {
        let size = match &self.source {
            Source::Sqlite(seats) => seats.size,
            Source::Postgres(pools) => pools.size,
        };
        let turns = usize::try_from(size / 2).unwrap_or(1).max(1);
        Self { source: self.source.clone(), turns: Some(Arc::new(Semaphore::new(turns))) }
    }

    /// The pool behind it, where the database is PostgreSQL.
    #[must_use]
    pub fn pool(&self) -> Option<&DatabaseConnection> {
        match &self.source {
            Source::Sqlite(_) => None,
            Source::Postgres(pools) => Some(if self.turns.is_some() { &pools.requests } else { &pools.own }),
        }
    }

    /// Connections that requests read over: how many there are, and how many of them nobody uses.
    #[must_use]
    pub fn connections(&self) -> (u32, u32) {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        match &self.source {
            Source::Sqlite(seats) => {
                let idle = number(seats.idle.lock().unwrap_or_else(PoisonError::into_inner).len());
                let taken = seats.size.saturating_sub(number(seats.permits.available_permits()));
                (idle + taken, idle)
            }
            Source::Postgres(pools) => {
                let pool = pools.requests.get_postgres_connection_pool();
                (pool.size(), number(pool.num_idle()))
            }
        }
    }

    /// Waits until one more statement of this request may run, and holds its place.
    ///
    /// # Errors
    /// None that work of ours can cause.
    pub async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, DbErr> {
        let Some(turns) = &self.turns else { return Ok(None) };
        let turn = turns.acquire().await;
        turn.map(Some).map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))
    }

    async fn take(&self) -> Result<Taken<'_>, DbErr> {
        let turn = self.turn().await?;
        let held = match &self.source {
            Source::Sqlite(seats) => Held::Sqlite(seats.take().await?),
            Source::Postgres(pools) => Held::Postgres(if self.turns.is_some() { &pools.requests } else { &pools.own }),
        };
        Ok(Taken { held, _turn: turn })
    }

    /// Closes every connection; whoever reads from now on is refused.
    pub async fn close(&self) {
        match &self.source {
            Source::Sqlite(seats) => seats.close().await,
            Source::Postgres(pools) => {
                closed(&pools.requests).await;
                closed(&pools.own).await;
            }
        }
    }
}

async fn closed(conn: &DatabaseConnection) {
    if let Err(error) = conn.close_by_ref().await {
        tracing::warn!(%error, "closing the database");
    }
}

/// What cannot be: a connection was given back while its statement ran.
fn none() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        match &self.source {
            Source::Sqlite(_) => DbBackend::Sqlite,
            Source::Postgres(_) => DbBackend::Postgres,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let taken = self.take().await?;
        let told = taken.conn().ok_or_else(none)?.execute_raw(statement).await;
        taken.done();
        told
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let taken = self.take().await?;
        let told = taken.conn().ok_or_else(none)?.execute_unprepared(sql).await;
        taken.done();
        told
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let taken = self.take().await?;
        let told = taken.conn().ok_or_else(none)?.query_one_raw(statement).await;
        taken.done();
        told
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let taken = self.take().await?;
        let told = taken.conn().ok_or_else(none)?.query_all_raw(statement).await;
        taken.done();
        told
    }
}
