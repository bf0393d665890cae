//! Readers of SQLite for the statements of the graph: rusqlite on blocking threads.
//!
//! sqlx hands every row of SQLite over a channel between two threads, which costs
//! more than reading it; here a statement runs, and its rows are decoded, on one
//! thread. Connections are opened when they are needed, never write, and keep
//! their prepared statements.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::OpenFlags;
use rusqlite::types::ValueRef;
use sea_orm::ConnAcquireErr;
use sea_orm::DbErr;
use sea_orm::RuntimeErr;
use sea_orm::Value;
use tokio::sync::Semaphore;

use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::reader::STEPS;

/// Statements that a connection keeps prepared.
const PREPARED: usize = 128;

/// Whoever waits for rows; gone when it is dropped.
#[derive(Debug, Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Readers of one file.
#[derive(Debug)]
pub struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    patience: Duration,
}

impl Readers {
    /// At most `size` readers of the file at `path`; whoever waits longer than `patience` for one is refused.
    #[must_use]
    pub fn new(path: PathBuf, size: u32, patience: Duration) -> Self {
        let size = usize::try_from(size).unwrap_or(1).max(1);
        Self { path, idle: Mutex::default(), permits: Arc::new(Semaphore::new(size)), patience }
    }

    /// Runs a statement and gives its rows. When nobody waits for them any more it ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn rows<T: FromRow>(self: &Arc<Self>, text: String, values: Vec<Value>) -> Result<Vec<T>, DbErr> {
        let permit = tokio::time::timeout(self.patience, self.permits.clone().acquire_owned());
        let permit = permit
            .await
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))?
            .map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed))?;
        let own = self.clone();
        let caller = Caller::default();
        let gone = caller.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            if gone.load(Ordering::Relaxed) {
                return Err(DbErr::Custom("nobody waits for the rows".to_owned()));
            }
            let taken = own.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = taken.map_or_else(|| own.open(), Ok)?;
            let watched = connection.progress_handler(STEPS, Some(move || gone.load(Ordering::Relaxed)));
            let rows = watched.map_err(|error| failed(&error)).and_then(|()| run(&connection, &text, values));
            own.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(permit);
            rows
        });
        let rows = read.await.map_err(|error| DbErr::Custom(error.to_string()))?;
        drop(caller);
        rows
    }

    fn open(&self) -> Result<Connection, DbErr> {
        // Not read-only: a reader of a file in WAL mode may have to make its shared memory.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let connection = Connection::open_with_flags(&self.path, flags)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "query_only", true)?;
            connection.set_prepared_statement_cache_capacity(PREPARED);
            Ok(connection)
        };
        open().map_err(|error: rusqlite::Error| DbErr::Conn(RuntimeErr::Internal(error.to_string())))
    }

    /// Closes what is idle and lets nobody in any more.
    pub fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn failed(error: &rusqlite::Error) -> DbErr {
    DbErr::Query(RuntimeErr::Internal(error.to_string()))
}

fn run<T: FromRow>(connection: &Connection, text: &str, values: Vec<Value>) -> Result<Vec<T>, DbErr> {
    let mut statement = connection.prepare_cached(text).map_err(|error| failed(&error))?;
    let values: Vec<rusqlite::types::Value> = values.into_iter().map(bound).collect::<Result<_, _>>()?;
    let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(|error| failed(&error))?;
    let mut read = Vec::new();
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        read.push(T::read(row, 0)?);
    }
    Ok(read)
}

/// A value as SQLite takes it.
fn bound(value: Value) -> Result<rusqlite::types::Value, DbErr> {
    use rusqlite::types::Value as Bound;

    if let Value::BigInt(Some(number)) = value {
        Ok(Bound::Integer(number))
    } else if let Value::Int(Some(number)) = value {
        Ok(Bound::Integer(i64::from(number)))
    } else if let Value::Bool(Some(yes)) = value {
        Ok(Bound::Integer(i64::from(yes)))
    } else if let Value::Double(Some(number)) = value {
        Ok(Bound::Real(number))
    } else if let Value::String(Some(text)) = value {
        Ok(Bound::Text(text))
    } else if let Value::Bytes(Some(bytes)) = value {
        Ok(Bound::Blob(bytes))
    } else {
        Err(DbErr::Custom("a value that the graph does not use".to_owned()))
    }
}

/// The column at `at`, as `read` sees it.
fn column<'row, T>(
    row: &'row rusqlite::Row<'_>,
    at: usize,
    read: impl FnOnce(ValueRef<'row>) -> Result<T, rusqlite::types::FromSqlError>,
) -> Result<T, DbErr> {
    let value = row.get_ref(at).map_err(|error| failed(&error))?;
    read(value).map_err(|error| DbErr::Type(format!("column {at}: {error}")))
}

impl Columns for rusqlite::Row<'_> {
    fn text(&self, at: usize) -> Result<String, DbErr> {
        column(self, at, |value| value.as_str().map(str::to_owned))
    }

    fn text_or_null(&self, at: usize) -> Result<Option<String>, DbErr> {
        column(self, at, |value| value.as_str_or_null().map(|text| text.map(str::to_owned)))
    }

    fn int(&self, at: usize) -> Result<i64, DbErr> {
        column(self, at, |value| value.as_i64())
    }

    fn int_or_null(&self, at: usize) -> Result<Option<i64>, DbErr> {
        column(self, at, |value| value.as_i64_or_null())
    }

    fn short(&self, at: usize) -> Result<i32, DbErr> {
        let number = self.int(at)?;
        i32::try_from(number).map_err(|_| DbErr::Type(format!("column {at}: {number} is beyond 32 bits")))
    }

    fn flag(&self, at: usize) -> Result<bool, DbErr> {
        Ok(self.int(at)? != 0)
    }

    fn bytes(&self, at: usize) -> Result<Vec<u8>, DbErr> {
        column(self, at, |value| value.as_blob().map(<[u8]>::to_vec))
    }
}
