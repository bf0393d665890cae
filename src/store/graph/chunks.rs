//! Chunks: those of documents, those of some ids, neighbours in reading order.

use sea_orm::DbErr;

use crate::entity::chunk;
use crate::store::Db;
use crate::store::embeddings;
use crate::store::filter::ChunkFilter;
use crate::store::graph;
use crate::store::graph::Below;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::sql::Sql;

/// A chunk as lists read it: without the folded column.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the columns of entity::chunk")]
pub struct ChunkRow {
    pub id: String,
    pub document_id: String,
    pub chunk_index: i64,
    pub text: String,
    pub metadata: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deleted_at: Option<i64>,
}

impl From<chunk::Model> for ChunkRow {
    fn from(row: chunk::Model) -> Self {
        let chunk::Model {
            id,
            document_id,
            chunk_index,
            text,
            metadata,
            created_at,
            updated_at,
            deleted_at,
            text_folded: _,
        } = row;
        Self { id, document_id, chunk_index, text, metadata, created_at, updated_at, deleted_at }
    }
}

/// The columns of a [`ChunkRow`] in its order.
const COLUMNS: &str =
    "c.id, c.document_id, c.chunk_index, c.text, c.metadata, c.created_at, c.updated_at, c.deleted_at";

impl FromRow for ChunkRow {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.text(at)?,
            document_id: row.text(at + 1)?,
            chunk_index: row.int(at + 2)?,
            text: row.text(at + 3)?,
            metadata: row.text_or_null(at + 4)?,
            created_at: row.int(at + 5)?,
            updated_at: row.int(at + 6)?,
            deleted_at: row.int_or_null(at + 7)?,
        })
    }
}

/// The chunks of a document in reading order. The rows are those of the inner select, `x`.
pub static LIST: List = List {
    name: "chunks",
    columns: &[("x.chunk_index", Kind::Int), ("x.created_at", Kind::Int), ("x.id", Kind::Text)],
    descending: false,
};

/// The key of a chunk in [`LIST`], and its document.
#[must_use]
pub fn key(row: &ChunkRow) -> Vec<Part> {
    let parent = Part::Text(row.document_id.clone());
    vec![Part::Int(row.chunk_index), Part::Int(row.created_at), Part::Text(row.id.clone()), parent]
}

/// The chunks of each of these documents: one page each.
///
/// # Errors
/// What the database says.
pub async fn of_documents<S: AsRef<str>>(
    db: &Db,
    documents: &[S],
    filter: &ChunkFilter,
    window: &Window,
) -> Result<Below<ChunkRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, ").push(COLUMNS);
    graph::from_parents(&mut sql, documents);
    graph::children(&mut sql, "chunks", "c", |sql| {
        sql.push("x.document_id = p.value");
        filter.push(sql, "x");
        window.bounds(sql);
        window.order(sql);
    });
    let found: Vec<(i64, ChunkRow)> = read::rows(db, sql).await?;
    graph::below(documents.len(), found, window, |a, b| {
        (a.chunk_index, a.created_at, &a.id).cmp(&(b.chunk_index, b.created_at, &b.id))
    })
}

/// How many chunks of each of these documents match, in the order of the documents.
///
/// # Errors
/// What the database says.
pub async fn count_of_documents<S: AsRef<str>>(
    db: &Db,
    documents: &[S],
    filter: &ChunkFilter,
) -> Result<Vec<i64>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, (SELECT count(*) FROM chunks x WHERE x.document_id = p.value");
    filter.push(&mut sql, "x");
    sql.push(")");
    graph::from_parents(&mut sql, documents);
    graph::numbers(documents.len(), read::rows(db, sql).await?)
}

/// The chunks of these ids, in no order; soft-deleted ones, and those below a soft-deleted document, too.
///
/// # Errors
/// What the database says.
pub async fn by_ids_with_deleted<S: AsRef<str>>(db: &Db, ids: &[S]) -> Result<Vec<ChunkRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS).push(" FROM chunks c WHERE ").is_any("c.id", ids);
    read::rows(db, sql).await
}

/// The live chunks of these ids, in no order.
///
/// # Errors
/// What the database says.
pub async fn by_ids<S: AsRef<str>>(db: &Db, ids: &[S]) -> Result<Vec<ChunkRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS).push(" FROM chunks c CROSS JOIN documents d WHERE ").is_any("c.id", ids);
    sql.push(" AND d.id = c.document_id AND ").push(embeddings::LIVE);
    read::rows(db, sql).await
}

/// Which neighbour in reading order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// The one before.
    Previous,
    /// The one after.
    Next,
}

/// The nearest live chunk of the same document, for each of these chunks that has one: with the chunk's place.
///
/// # Errors
/// What the database says.
pub async fn neighbours<S: AsRef<str>>(db: &Db, chunks: &[S], which: Neighbour) -> Result<Vec<(i64, ChunkRow)>, DbErr> {
    let (sign, direction) = match which {
        Neighbour::Previous => (" < ", " DESC"),
        Neighbour::Next => (" > ", ""),
    };
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, ").push(COLUMNS);
    graph::from_parents(&mut sql, chunks);
    sql.push(" CROSS JOIN chunks o");
    // The join's condition stands with the children on SQLite, where a `CROSS JOIN` keeps the order of the tables.
    if sql.is_postgres() {
        sql.push(" CROSS JOIN LATERAL (SELECT x.* FROM chunks x WHERE ");
    } else {
        sql.push(" CROSS JOIN chunks c ON o.id = p.value AND c.rowid IN (SELECT x.rowid FROM chunks x WHERE ");
    }
    sql.push("x.document_id = o.document_id AND x.deleted_at IS NULL AND (x.chunk_index, x.created_at, x.id)");
    sql.push(sign).push("(o.chunk_index, o.created_at, o.id) ORDER BY x.chunk_index").push(direction);
    sql.push(", x.created_at").push(direction).push(", x.id").push(direction).push(" LIMIT 1)");
    if sql.is_postgres() {
        sql.push(" AS c WHERE o.id = p.value");
    }
    read::rows(db, sql).await
}
