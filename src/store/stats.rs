//! Counts: of documents, of namespaces, of the corpus.
//!
//! Live rows only: a chunk counts when it and its document are live, an embedding
//! when its chunk does. Each function is one statement however many documents it
//! is about. No count reads a text or a vector: chunks and embeddings are counted
//! in their indexes, synced embeddings in the slots, which hold a clean `present`
//! record for live embeddings only. Text is read where its length is asked for.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::embeddings::LIVE;
use crate::store::slots::CLEAN;
use crate::store::sql::Sql;

/// Whether the lengths of texts are added up, which means reading the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLength {
    /// They are.
    Measure,
    /// They are not, and show as 0.
    Skip,
}

/// What there is of one document; zeros for one that is deleted or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DocumentStats {
    /// Live chunks.
    pub chunks: i64,
    /// Their embeddings.
    pub embeddings: i64,
    /// Those of them that the index holds in their current form.
    pub synced: i64,
    /// Characters of all live chunks together.
    pub text_length: i64,
}

impl DocumentStats {
    /// Embeddings that the index does not hold in their current form.
    #[must_use]
    pub const fn unsynced(&self) -> i64 {
        self.embeddings - self.synced
    }

    /// Characters of a chunk in the mean; nothing without chunks.
    #[must_use]
    pub fn average_chunk_length(&self) -> Option<f64> {
        ratio(self.text_length, self.chunks)
    }

    /// Synced embeddings in a hundred; nothing without embeddings.
    #[must_use]
    pub fn sync_percentage(&self) -> Option<f64> {
        ratio(self.synced, self.embeddings).map(|part| part * 100.0)
    }
}

/// One document of the overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentLine {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its source.
    pub source: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// What there is below it; without the length of its text.
    pub stats: DocumentStats,
}

/// What there is of the corpus, or of one namespace of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Live documents.
    pub documents: i64,
    /// Their live chunks.
    pub chunks: i64,
    /// The embeddings of those.
    pub embeddings: i64,
    /// Those of them that the index holds in their current form.
    pub synced: i64,
}

impl Totals {
    /// Embeddings that the index does not hold in their current form.
    #[must_use]
    pub const fn unsynced(&self) -> i64 {
        self.embeddings - self.synced
    }

    /// Synced embeddings in a hundred; nothing without embeddings.
    #[must_use]
    pub fn sync_percentage(&self) -> Option<f64> {
        ratio(self.synced, self.embeddings).map(|part| part * 100.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole != 0).then(|| part as f64 / whole as f64)
}

/// The statistics of these documents, in one statement; a deleted or unknown one is left out.
///
/// # Errors
/// What the database says.
pub async fn of_documents<S: AsRef<str>>(
    conn: &impl ConnectionTrait,
    target_id: i64,
    ids: &[S],
    text: TextLength,
) -> Result<HashMap<String, DocumentStats>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new(conn);
    sql.push("SELECT d.id");
    counts(&mut sql, target_id, text);
    sql.push(" FROM documents d WHERE d.deleted_at IS NULL AND ").is_any("d.id", ids);
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, stats(row, 1)?))).collect()
}

/// The live documents in the order of their creation, at most `limit`, each with its counts.
///
/// # Errors
/// What the database says.
pub async fn document_lines(
    conn: &impl ConnectionTrait,
    target_id: i64,
    limit: i64,
) -> Result<Vec<DocumentLine>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT d.id, d.title, d.source, d.created_at, d.updated_at");
    counts(&mut sql, target_id, TextLength::Skip);
    sql.push(" FROM documents d WHERE d.deleted_at IS NULL ORDER BY d.created_at, d.id LIMIT ").bind(limit);
    let line = |row: &QueryResult| {
        Ok(DocumentLine {
            id: row.try_get_by_index(0)?,
            title: row.try_get_by_index(1)?,
            source: row.try_get_by_index(2)?,
            created_at: row.try_get_by_index(3)?,
            updated_at: row.try_get_by_index(4)?,
            stats: stats(row, 5)?,
        })
    };
    sql.all(conn).await?.iter().map(line).collect()
}

/// The totals of the corpus.
///
/// # Errors
/// What the database says.
pub async fn totals(conn: &impl ConnectionTrait, target_id: i64) -> Result<Totals, DbErr> {
    let mut sql = Sql::new(conn);
    // A cross join is a join in its written order to SQLite, and any join to PostgreSQL.
    sql.push(
        "SELECT (SELECT count(*) FROM documents WHERE deleted_at IS NULL), \
         (SELECT count(*) FROM documents d CROSS JOIN chunks c \
           WHERE c.document_id = d.id AND d.deleted_at IS NULL AND c.deleted_at IS NULL), \
         (SELECT count(*) FROM documents d CROSS JOIN chunks c CROSS JOIN embeddings e \
           WHERE c.document_id = d.id AND e.chunk_id = c.id AND d.deleted_at IS NULL AND c.deleted_at IS NULL), \
         (SELECT count(*) FROM sync_slots s CROSS JOIN sync_targets t WHERE s.target_id = ",
    );
    sql.bind(target_id).push(" AND t.id = s.target_id AND s.want = 'present' AND ").push(CLEAN).push(")");
    let Some(row) = sql.one(conn).await? else { return Ok(Totals::default()) };
    totals_of(&row, 0)
}

/// The totals of every namespace that has a live document, by name.
///
/// # Errors
/// What the database says.
pub async fn namespaces(conn: &impl ConnectionTrait, target_id: i64) -> Result<Vec<(String, Totals)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT d.namespace, count(*), CAST(sum(").push(CHUNKS).push(") AS BIGINT), CAST(sum(");
    sql.push(EMBEDDINGS).push(") AS BIGINT), CAST(sum(");
    synced(&mut sql, target_id);
    sql.push(") AS BIGINT) FROM documents d WHERE d.deleted_at IS NULL GROUP BY d.namespace ORDER BY d.namespace");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, totals_of(row, 1)?))).collect()
}

/// A row that changed lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recent {
    /// Its id.
    pub id: String,
    /// The row above it; of a document, its title.
    pub about: String,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// Whether the index holds it in its current form; false for what is no embedding.
    pub synced: bool,
}

/// The live documents that changed since then, newest first.
///
/// # Errors
/// What the database says.
pub async fn recent_documents(conn: &impl ConnectionTrait, since: i64, limit: i64) -> Result<Vec<Recent>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT d.id, d.title, d.updated_at, FALSE FROM documents d WHERE d.deleted_at IS NULL AND d.updated_at >= ",
    );
    sql.bind(since).push(" ORDER BY d.updated_at DESC, d.id DESC LIMIT ").bind(limit);
    sql.all(conn).await?.iter().map(recent).collect()
}

/// The live chunks that changed since then, newest first.
///
/// # Errors
/// What the database says.
pub async fn recent_chunks(conn: &impl ConnectionTrait, since: i64, limit: i64) -> Result<Vec<Recent>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT c.id, c.document_id, c.updated_at, FALSE FROM chunks c CROSS JOIN documents d \
         WHERE d.id = c.document_id AND ",
    );
    sql.push(LIVE)
        .push(" AND c.updated_at >= ")
        .bind(since)
        .push(" ORDER BY c.updated_at DESC, c.id DESC LIMIT ")
        .bind(limit);
    sql.all(conn).await?.iter().map(recent).collect()
}

/// The embeddings of live chunks that changed since then, newest first.
///
/// # Errors
/// What the database says.
pub async fn recent_embeddings(
    conn: &impl ConnectionTrait,
    target_id: i64,
    since: i64,
    limit: i64,
) -> Result<Vec<Recent>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT e.id, e.chunk_id, e.updated_at, EXISTS (SELECT 1 FROM sync_slots s CROSS JOIN sync_targets t \
          WHERE s.embedding_id = e.id AND s.target_id = ",
    );
    sql.bind(target_id).push(" AND t.id = s.target_id AND s.want = 'present' AND ").push(CLEAN);
    sql.push(
        ") FROM embeddings e CROSS JOIN chunks c CROSS JOIN documents d WHERE c.id = e.chunk_id \
         AND d.id = c.document_id AND ",
    );
    sql.push(LIVE)
        .push(" AND e.updated_at >= ")
        .bind(since)
        .push(" ORDER BY e.updated_at DESC, e.id DESC LIMIT ")
        .bind(limit);
    sql.all(conn).await?.iter().map(recent).collect()
}

fn recent(row: &QueryResult) -> Result<Recent, DbErr> {
    Ok(Recent {
        id: row.try_get_by_index(0)?,
        about: row.try_get_by_index(1)?,
        updated_at: row.try_get_by_index(2)?,
        synced: row.try_get_by_index(3)?,
    })
}

/// Live chunks of the document `d`.
const CHUNKS: &str = "(SELECT count(*) FROM chunks c WHERE c.document_id = d.id AND c.deleted_at IS NULL)";

/// Embeddings of the live chunks of the document `d`.
const EMBEDDINGS: &str = "(SELECT count(*) FROM chunks c CROSS JOIN embeddings e \
                          WHERE c.document_id = d.id AND c.deleted_at IS NULL AND e.chunk_id = c.id)";

/// Characters of the live chunks of the document `d`.
const TEXT_LENGTH: &str = "(SELECT CAST(COALESCE(sum(length(c.text)), 0) AS BIGINT) FROM chunks c \
                           WHERE c.document_id = d.id AND c.deleted_at IS NULL)";

/// Adds what [`stats`] reads, of the live document `d`.
fn counts(sql: &mut Sql, target_id: i64, text: TextLength) {
    sql.push(", ").push(CHUNKS).push(", ").push(EMBEDDINGS).push(", ");
    synced(sql, target_id);
    sql.push(", ").push(match text {
        TextLength::Measure => TEXT_LENGTH,
        TextLength::Skip => "CAST(0 AS BIGINT)",
    });
}

/// Adds the count of clean `present` slots of the document `d`.
fn synced(sql: &mut Sql, target_id: i64) {
    sql.push(
        "(SELECT count(*) FROM sync_slots s CROSS JOIN sync_targets t WHERE s.document_id = d.id AND s.target_id = ",
    );
    sql.bind(target_id).push(" AND t.id = s.target_id AND s.want = 'present' AND ").push(CLEAN).push(")");
}

fn stats(row: &QueryResult, at: usize) -> Result<DocumentStats, DbErr> {
    Ok(DocumentStats {
        chunks: row.try_get_by_index(at)?,
        embeddings: row.try_get_by_index(at + 1)?,
        synced: row.try_get_by_index(at + 2)?,
        text_length: row.try_get_by_index(at + 3)?,
    })
}

fn totals_of(row: &QueryResult, at: usize) -> Result<Totals, DbErr> {
    Ok(Totals {
        documents: row.try_get_by_index(at)?,
        chunks: row.try_get_by_index(at + 1)?,
        embeddings: row.try_get_by_index(at + 2)?,
        synced: row.try_get_by_index(at + 3)?,
    })
}
