//! What the dashboard lists: search hits by substring, and the rows of one document's export.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;

use crate::entity::chunk;
use crate::store::embeddings;
use crate::store::embeddings::Row;
use crate::store::embeddings::Vectors;
use crate::store::sql::Sql;

/// A chunk whose text holds what was searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHit {
    /// Its document.
    pub document_id: String,
    /// The document's title.
    pub document_title: String,
    /// Its id.
    pub chunk_id: String,
    /// Its place in reading order.
    pub chunk_index: i64,
    /// Its text.
    pub text: String,
}

/// A document whose title or source holds what was searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentHit {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its source.
    pub source: Option<String>,
}

/// Live chunks that hold the folded text, document by document in reading order, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn chunks_with(conn: &impl ConnectionTrait, folded: &str, limit: i64) -> Result<Vec<ChunkHit>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT c.document_id, d.title, c.id, c.chunk_index, c.text FROM chunks c CROSS JOIN documents d \
         WHERE d.id = c.document_id AND c.deleted_at IS NULL AND d.deleted_at IS NULL AND ",
    );
    sql.contains("c.text_folded", folded);
    sql.push(" ORDER BY c.document_id, c.chunk_index, c.created_at, c.id LIMIT ").bind(limit);
    let rows = sql.all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(ChunkHit {
                document_id: row.try_get_by_index(0)?,
                document_title: row.try_get_by_index(1)?,
                chunk_id: row.try_get_by_index(2)?,
                chunk_index: row.try_get_by_index(3)?,
                text: row.try_get_by_index(4)?,
            })
        })
        .collect()
}

/// Live documents whose title or source hold the folded text, in the order of their creation, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn documents_with(conn: &impl ConnectionTrait, folded: &str, limit: i64) -> Result<Vec<DocumentHit>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT d.id, d.title, d.source FROM documents d WHERE d.deleted_at IS NULL AND (");
    sql.contains("d.title_folded", folded).push(" OR ").contains("d.source_folded", folded);
    sql.push(") ORDER BY d.created_at, d.id LIMIT ").bind(limit);
    let rows = sql.all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(DocumentHit {
                id: row.try_get_by_index(0)?,
                title: row.try_get_by_index(1)?,
                source: row.try_get_by_index(2)?,
            })
        })
        .collect()
}

/// The live chunks of a document in reading order.
///
/// # Errors
/// What the database says.
pub async fn chunks_of(conn: &impl ConnectionTrait, document_id: &str) -> Result<Vec<chunk::Model>, DbErr> {
    chunk::Entity::live()
        .filter(chunk::Column::DocumentId.eq(document_id))
        .order_by_asc(chunk::Column::ChunkIndex)
        .order_by_asc(chunk::Column::CreatedAt)
        .order_by_asc(chunk::Column::Id)
        .all(conn)
        .await
}

/// The embeddings of a document's live chunks, oldest first.
///
/// # Errors
/// What the database says.
pub async fn embeddings_of(
    conn: &impl ConnectionTrait,
    target_id: i64,
    document_id: &str,
    vectors: Vectors,
) -> Result<Vec<Row>, DbErr> {
    let mut sql = Sql::new(conn);
    embeddings::select(&mut sql, target_id, vectors);
    sql.push(" WHERE e.document_id = ").bind(document_id).push(" AND ").push(embeddings::LIVE);
    sql.push(" ORDER BY e.created_at, e.id");
    sql.all(conn).await?.iter().map(|row| Row::read(row, vectors)).collect()
}
