//! What the importer remembers of a text, and the reads that only it needs.
//!
//! The mark of a text stands in `corpus_meta`, not in the document's metadata:
//! metadata is part of every record in the index, and a mark that changes with
//! the text would make all of them be sent again for one new paragraph.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;

use crate::entity::chunk;
use crate::entity::document;
use crate::store::Tx;
use crate::store::embeddings;
use crate::store::sql::Sql;

fn name(document_id: &str) -> String {
    format!("import:{document_id}")
}

/// The mark belongs to this row only: a later document of the same id has another time.
fn value(row: &document::Model, hash: &str) -> String {
    format!("{}:{hash}", row.created_at)
}

/// The hash of the text that a document was last imported from, if it was imported.
///
/// # Errors
/// What the database says.
pub async fn find(conn: &impl ConnectionTrait, row: &document::Model) -> Result<Option<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT value FROM corpus_meta WHERE name = ").bind(name(&row.id));
    let Some(found) = sql.one(conn).await? else { return Ok(None) };
    let mark: String = found.try_get_by_index(0)?;
    Ok(mark.strip_prefix(&value(row, "")).map(str::to_owned))
}

/// Remembers the hash of the text that a document is imported from.
///
/// # Errors
/// What the database says.
pub async fn remember(tx: &Tx, row: &document::Model, hash: &str) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO corpus_meta (name, value) VALUES (").bind(name(&row.id)).push(", ").bind(value(row, hash));
    sql.push(") ON CONFLICT (name) DO UPDATE SET value = excluded.value");
    sql.run(tx).await?;
    Ok(())
}

/// The live chunks of a document in reading order.
///
/// # Errors
/// What the database says.
pub async fn live_chunks(tx: &Tx, document_id: &str) -> Result<Vec<chunk::Model>, DbErr> {
    chunk::Entity::live()
        .filter(chunk::Column::DocumentId.eq(document_id))
        .order_by_asc(chunk::Column::ChunkIndex)
        .order_by_asc(chunk::Column::CreatedAt)
        .order_by_asc(chunk::Column::Id)
        .all(tx)
        .await
}

/// The live embeddings of these documents that the index does not hold as they are now.
///
/// # Errors
/// What the database says.
pub async fn unsynced(
    conn: &impl ConnectionTrait,
    target_id: i64,
    document_ids: &[String],
) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT e.id");
    embeddings::from(&mut sql, target_id);
    sql.push(" WHERE ").is_any("e.document_id", document_ids).push(" AND ").push(embeddings::LIVE);
    sql.push(" AND NOT ").push(&embeddings::synced()).push(" ORDER BY e.created_at, e.id");
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// How many documents there are, deleted ones too.
///
/// # Errors
/// What the database says.
pub async fn count_documents(conn: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT count(*) FROM documents");
    sql.one(conn).await?.map_or(Ok(0), |row| row.try_get_by_index(0))
}
