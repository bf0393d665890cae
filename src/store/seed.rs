//! Reading a database of the older FastAPI application, without writing to it.
//!
//! Rows come as text, cell by cell, because what is in them may be anything: the
//! old tables check nothing. A SQLite file is opened so that nothing is left
//! beside it, a PostgreSQL database in one read-only snapshot.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use rusqlite::types::ValueRef;
use sea_orm::AccessMode;
use sea_orm::ConnectionTrait as _;
use sea_orm::DatabaseTransaction;
use sea_orm::DbErr;
use sea_orm::IsolationLevel;
use sea_orm::TransactionTrait as _;

use crate::config::DatabaseConfig;
use crate::store::Tx;
use crate::store::connect;
use crate::store::connect::Location;
use crate::store::connect::OpenError;
use crate::store::sql::Sql;

/// Whether the corpus has no row yet, nor anything left of one.
///
/// # Errors
/// What the database says.
pub async fn is_empty(tx: &Tx) -> Result<bool, DbErr> {
    for table in ["documents", "sync_slots", "local_records"] {
        let mut sql = Sql::new(tx);
        sql.push("SELECT 1 FROM ").push(table).push(" LIMIT 1");
        if sql.one(tx).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn column(tx: &Tx, query: &str, by: &str, ids: &[String]) -> Result<HashSet<String>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push(query).push(" WHERE ").is_any(by, ids);
    sql.all(tx).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Those of `ids` that are documents of the corpus.
///
/// # Errors
/// What the database says.
pub async fn known_documents(tx: &Tx, ids: &[String]) -> Result<HashSet<String>, DbErr> {
    column(tx, "SELECT id FROM documents", "id", ids).await
}

/// Those of `ids` that are documents or chunks of the corpus.
///
/// # Errors
/// What the database says.
pub async fn known_rows(tx: &Tx, ids: &[String]) -> Result<HashSet<String>, DbErr> {
    let mut known = known_documents(tx, ids).await?;
    known.extend(column(tx, "SELECT id FROM chunks", "id", ids).await?);
    Ok(known)
}

/// Those of `ids` that are chunks of the corpus, each with its document.
///
/// # Errors
/// What the database says.
pub async fn known_chunks(tx: &Tx, ids: &[String]) -> Result<HashMap<String, String>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT id, document_id FROM chunks WHERE ").is_any("id", ids);
    sql.all(tx).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Those of `ids` that are vector ids of the corpus.
///
/// # Errors
/// What the database says.
pub async fn known_vector_ids(tx: &Tx, ids: &[String]) -> Result<HashSet<String>, DbErr> {
    column(tx, "SELECT vector_id FROM embeddings", "vector_id", ids).await
}

/// Rows of one page; vectors are read with them.
const PAGE: u32 = 500;

/// A table of the old application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Table {
    Documents,
    Chunks,
    Embeddings,
}

impl Table {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Chunks => "chunks",
            Self::Embeddings => "embeddings",
        }
    }

    /// The columns of a [`Row`], in its order; the id is the first.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Documents => &["id", "title", "source", "doc_metadata", "created_at", "updated_at", "is_deleted"],
            Self::Chunks => &[
                "id",
                "document_id",
                "chunk_index",
                "text",
                "chunk_metadata",
                "created_at",
                "updated_at",
                "is_deleted",
            ],
            Self::Embeddings => {
                &["id", "chunk_id", "vector", "model", "pinecone_id", "is_synced", "created_at", "updated_at"]
            }
        }
    }
}

/// A value of any type, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// Text, or a number in its usual spelling.
    Text(String),
    /// Bytes that are no UTF-8, with replacement characters for what cannot be read.
    Broken(String),
}

/// One row and where it stands.
#[derive(Debug, Clone)]
pub struct Row {
    cursor: String,
    cells: Vec<Cell>,
}

impl Row {
    /// The cell of a column, in the order of [`Table::columns`].
    #[must_use]
    pub fn cell(&self, column: usize) -> &Cell {
        self.cells.get(column).unwrap_or(&Cell::Null)
    }
}

/// An open database of the old application.
#[derive(Debug)]
pub enum Source {
    /// A file.
    Sqlite(Arc<Mutex<rusqlite::Connection>>),
    /// A snapshot of a server's database.
    Postgres(DatabaseTransaction),
}

impl Source {
    /// Opens the database of the old application at `location`.
    ///
    /// # Errors
    /// [`OpenError::NotSeed`] when it is none; what the database says.
    pub async fn open(location: &Location, config: &DatabaseConfig) -> Result<Self, OpenError> {
        let source = match location {
            Location::Sqlite(path) => Self::Sqlite(Arc::new(Mutex::new(open_file(path.clone()).await?))),
            Location::Postgres(url) => {
                let conn = connect::postgres(url, config).await?;
                let snapshot =
                    conn.begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await?;
                snapshot.execute_unprepared("SET LOCAL datestyle TO ISO").await?;
                Self::Postgres(snapshot)
            }
        };
        if source.is_seed().await? { Ok(source) } else { Err(OpenError::NotSeed) }
    }

    async fn is_seed(&self) -> Result<bool, DbErr> {
        match self {
            Self::Sqlite(_) => {
                let query = "SELECT name FROM pragma_table_info('documents') WHERE name = 'doc_metadata'";
                Ok(!self.ask(query.to_owned(), Vec::new(), 1).await?.is_empty())
            }
            Self::Postgres(conn) => connect::is_seed(conn).await,
        }
    }

    /// How many rows a table has.
    ///
    /// # Errors
    /// What the database says.
    pub async fn count(&self, table: Table) -> Result<u64, DbErr> {
        let rows = self.rows(&format!("SELECT '', {} FROM {}", self.text("count(*)"), table.name()), None, 1).await?;
        match rows.first().map(|row| row.cell(0)) {
            Some(Cell::Text(count)) => count.parse().map_err(|_| DbErr::Type("count".to_owned())),
            Some(Cell::Null | Cell::Broken(_)) | None => Err(DbErr::Type("count".to_owned())),
        }
    }

    /// The rows behind `after`, in the order of their making (SQLite) or of their ids (PostgreSQL); none at the end.
    ///
    /// # Errors
    /// What the database says.
    pub async fn page(&self, table: Table, after: Option<&Row>) -> Result<Vec<Row>, DbErr> {
        let (key, columns) = (self.key(), self.select(table));
        let after = after.map(|row| row.cursor.clone());
        let behind = match (&after, self) {
            (None, _) => "",
            (Some(_), Self::Sqlite(_)) => "WHERE rowid > CAST(?1 AS INTEGER)",
            (Some(_), Self::Postgres(_)) => "WHERE id > $1",
        };
        let query = format!("SELECT {columns} FROM {} {behind} ORDER BY {key} LIMIT {PAGE}", table.name());
        self.rows(&query, after, table.columns().len()).await
    }

    /// The row of that id.
    ///
    /// # Errors
    /// What the database says.
    pub async fn embedding(&self, id: &str) -> Result<Option<Row>, DbErr> {
        let mark = if matches!(self, Self::Sqlite(_)) { "?1" } else { "$1" };
        let query = format!("SELECT {} FROM embeddings WHERE id = {mark}", self.select(Table::Embeddings));
        Ok(self.rows(&query, Some(id.to_owned()), Table::Embeddings.columns().len()).await?.pop())
    }

    /// The embeddings that share a vector id with another, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn shared_vector_ids(&self) -> Result<Vec<String>, DbErr> {
        let shown = "COALESCE(NULLIF(pinecone_id, ''), id)";
        let query = format!(
            "SELECT '', id FROM embeddings WHERE {shown} IN \
             (SELECT {shown} FROM embeddings GROUP BY 1 HAVING count(*) > 1) \
             ORDER BY created_at IS NULL, created_at, id"
        );
        let rows = self.rows(&query, None, 1).await?;
        Ok(rows
            .into_iter()
            .filter_map(|mut row| match row.cells.pop() {
                Some(Cell::Text(id) | Cell::Broken(id)) => Some(id),
                Some(Cell::Null) | None => None,
            })
            .collect())
    }

    const fn key(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "rowid",
            Self::Postgres(_) => "id",
        }
    }

    fn text(&self, column: &str) -> String {
        match self {
            Self::Sqlite(_) => column.to_owned(),
            Self::Postgres(_) => format!("({column})::text"),
        }
    }

    /// The cursor and the columns of a table.
    fn select(&self, table: Table) -> String {
        let columns: Vec<String> = table.columns().iter().map(|column| self.text(column)).collect();
        format!("{}, {}", self.text(self.key()), columns.join(", "))
    }

    async fn rows(&self, query: &str, value: Option<String>, columns: usize) -> Result<Vec<Row>, DbErr> {
        match self {
            Self::Sqlite(_) => {
                let rows = self.ask(query.to_owned(), value.into_iter().collect(), columns + 1).await?;
                rows.into_iter()
                    .map(|mut cells| match cells.remove(0) {
                        Cell::Text(cursor) | Cell::Broken(cursor) => Ok(Row { cursor, cells }),
                        Cell::Null => Ok(Row { cursor: String::new(), cells }),
                    })
                    .collect()
            }
            Self::Postgres(conn) => {
                // The statement has its own mark: the value is only added.
                let mut sql = Sql::new(conn);
                match (value, query.split_once("$1")) {
                    (Some(value), Some((before, behind))) => sql.push(before).bind(value).push(behind),
                    (_, _) => sql.push(query),
                };
                sql.all(conn)
                    .await?
                    .iter()
                    .map(|row| {
                        let text = |column: usize| row.try_get_by_index::<Option<String>>(column);
                        let cells = (1..=columns)
                            .map(|column| Ok(text(column)?.map_or(Cell::Null, Cell::Text)))
                            .collect::<Result<_, DbErr>>()?;
                        Ok(Row { cursor: text(0)?.unwrap_or_default(), cells })
                    })
                    .collect()
            }
        }
    }

    /// A query of a SQLite file, on a thread that may wait for the disk.
    async fn ask(&self, query: String, values: Vec<String>, columns: usize) -> Result<Vec<Vec<Cell>>, DbErr> {
        let Self::Sqlite(conn) = self else { return Ok(Vec::new()) };
        let conn = conn.clone();
        let read = move || {
            let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
            let mut statement = conn.prepare(&query)?;
            let mut rows = statement.query(rusqlite::params_from_iter(values))?;
            let mut read = Vec::new();
            while let Some(row) = rows.next()? {
                let cells = (0..columns).map(|column| row.get_ref(column).map(cell));
                read.push(cells.collect::<rusqlite::Result<Vec<Cell>>>()?);
            }
            Ok(read)
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| DbErr::Custom(error.to_string()))?.map_err(sqlite_error)
    }
}

async fn open_file(path: PathBuf) -> Result<rusqlite::Connection, DbErr> {
    let open = move || {
        let conn = connect::read_untouched(&path)?;
        // One snapshot, should somebody be writing.
        conn.execute_batch("BEGIN")?;
        Ok(conn)
    };
    tokio::task::spawn_blocking(open).await.map_err(|error| DbErr::Custom(error.to_string()))?.map_err(sqlite_error)
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn sqlite_error(error: rusqlite::Error) -> DbErr {
    DbErr::Custom(error.to_string())
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Text(number.to_string()),
        ValueRef::Real(number) => Cell::Text(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Broken(String::from_utf8_lossy(bytes).into_owned()),
        },
    }
}
