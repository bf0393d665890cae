//! The lists of the REST edge: by offset, in one stable order.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::IdenStatic as _;
use sea_orm::Iterable as _;
use sea_orm::PaginatorTrait;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;
use sea_orm::QuerySelect;

use crate::entity::chunk;
use crate::entity::document;
use crate::entity::embedding;
use crate::store::sql::Sql;

/// A page by offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// Rows to pass over.
    pub skip: u64,
    /// Rows to give at most.
    pub limit: u64,
}

/// Documents by `created_at, id`; soft-deleted ones too when `with_deleted`.
///
/// # Errors
/// What the database says.
pub async fn documents(
    conn: &impl ConnectionTrait,
    page: Offset,
    with_deleted: bool,
) -> Result<Vec<document::Model>, DbErr> {
    let find = if with_deleted { document::Entity::with_deleted() } else { document::Entity::live() };
    find.order_by_asc(document::Column::CreatedAt)
        .order_by_asc(document::Column::Id)
        .offset(page.skip)
        .limit(page.limit)
        .all(conn)
        .await
}

/// How many documents there are; soft-deleted ones too when `with_deleted`.
///
/// # Errors
/// What the database says.
pub async fn count_documents(conn: &impl ConnectionTrait, with_deleted: bool) -> Result<u64, DbErr> {
    let find = if with_deleted { document::Entity::with_deleted() } else { document::Entity::live() };
    find.count(conn).await
}

/// Live documents whose folded title or source holds `folded`, by `created_at, id`.
///
/// # Errors
/// What the database says.
pub async fn matching(conn: &impl ConnectionTrait, folded: &str, limit: u64) -> Result<Vec<document::Model>, DbErr> {
    let mut sql = Sql::new(conn);
    // Columns by name: a newer version may add some while this one runs.
    let columns: Vec<&str> = document::Column::iter().map(|column| column.as_str()).collect();
    sql.push("SELECT ").push(&columns.join(", ")).push(" FROM documents WHERE deleted_at IS NULL AND (");
    sql.contains("title_folded", folded).push(" OR ").contains("source_folded", folded);
    sql.push(") ORDER BY created_at, id LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    document::Entity::find().from_raw_sql(sql.statement()).all(conn).await
}

/// Live chunks of a document by `chunk_index, created_at, id`.
///
/// # Errors
/// What the database says.
pub async fn chunks(conn: &impl ConnectionTrait, document_id: &str, page: Offset) -> Result<Vec<chunk::Model>, DbErr> {
    chunk::Entity::find()
        .filter(chunk::Column::DocumentId.eq(document_id))
        .filter(chunk::Column::DeletedAt.is_null())
        .order_by_asc(chunk::Column::ChunkIndex)
        .order_by_asc(chunk::Column::CreatedAt)
        .order_by_asc(chunk::Column::Id)
        .offset(page.skip)
        .limit(page.limit)
        .all(conn)
        .await
}

/// How many live chunks a document has.
///
/// # Errors
/// What the database says.
pub async fn count_chunks(conn: &impl ConnectionTrait, document_id: &str) -> Result<u64, DbErr> {
    chunk::Entity::find()
        .filter(chunk::Column::DocumentId.eq(document_id))
        .filter(chunk::Column::DeletedAt.is_null())
        .count(conn)
        .await
}

/// How many embeddings a chunk has.
///
/// # Errors
/// What the database says.
pub async fn count_embeddings(conn: &impl ConnectionTrait, chunk_id: &str) -> Result<u64, DbErr> {
    embedding::Entity::find().filter(embedding::Column::ChunkId.eq(chunk_id)).count(conn).await
}
