//! The rows that one record of the index is made of, and how a statement over slots reads them.

use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::sql::Sql;

/// The rows that one record is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    /// The embedding.
    pub embedding_id: String,
    /// Little-endian f32.
    pub vector: Vec<u8>,
    /// The chunk.
    pub chunk_id: String,
    /// Its place.
    pub chunk_index: i64,
    /// Its text, cut behind what fits any metadata.
    pub text: String,
    /// Whether that is not all of it.
    pub text_cut: bool,
    /// Its metadata.
    pub chunk_metadata: Option<String>,
    /// Microseconds since 1970.
    pub chunk_created_at: i64,
    /// The document.
    pub document_id: String,
    /// Its title.
    pub title: String,
    /// Its source.
    pub source: Option<String>,
    /// Its metadata.
    pub document_metadata: Option<String>,
}

/// The joins from a slot `s` to the rows its record is made of, where it is wanted.
pub(super) const JOIN: &str = " LEFT JOIN embeddings e ON e.vector_id = s.vector_id AND NOT e.held \
     LEFT JOIN chunks c ON c.id = e.chunk_id AND c.deleted_at IS NULL \
     LEFT JOIN documents d ON d.id = c.document_id AND d.deleted_at IS NULL AND d.namespace = s.namespace";

/// Adds the columns of those rows, `text_chars` characters of the text.
pub(super) fn push(sql: &mut Sql, text_chars: i64) {
    // PostgreSQL's substr takes no bigint.
    let text_chars = i32::try_from(text_chars).unwrap_or(i32::MAX);
    sql.push(", d.id, e.id, e.vector, c.id, c.chunk_index, substr(c.text, 1, CAST(");
    sql.bind(text_chars).push(" AS INTEGER)), length(c.text) > ").bind(text_chars);
    sql.push(", c.metadata, c.created_at, d.title, d.source, d.metadata");
}

/// Reads them from the columns from `at` on; none where the record is not wanted.
pub(super) fn read(row: &QueryResult, at: usize) -> Result<Option<Rows>, DbErr> {
    let document: Option<String> = row.try_get_by_index(at)?;
    let Some(document_id) = document else { return Ok(None) };
    Ok(Some(Rows {
        embedding_id: row.try_get_by_index(at + 1)?,
        vector: row.try_get_by_index(at + 2)?,
        chunk_id: row.try_get_by_index(at + 3)?,
        chunk_index: row.try_get_by_index(at + 4)?,
        text: row.try_get_by_index(at + 5)?,
        text_cut: row.try_get_by_index(at + 6)?,
        chunk_metadata: row.try_get_by_index(at + 7)?,
        chunk_created_at: row.try_get_by_index(at + 8)?,
        document_id,
        title: row.try_get_by_index(at + 9)?,
        source: row.try_get_by_index(at + 10)?,
        document_metadata: row.try_get_by_index(at + 11)?,
    }))
}
