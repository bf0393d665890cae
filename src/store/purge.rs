//! Rows that were soft-deleted long ago, removed for good.

use sea_orm::DbErr;

use crate::store::Tx;
use crate::store::chunks;
use crate::store::documents;
use crate::store::documents::Below;
use crate::store::embeddings;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::slots;
use crate::store::slots::Extent;
use crate::store::sql::Sql;

/// Rows of one transaction.
const PAGE: i64 = 50;

async fn gone(tx: &Tx, table: &str, before_us: i64) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT id FROM ").push(table).push(" WHERE deleted_at IS NOT NULL AND deleted_at < ").bind(before_us);
    sql.push(" ORDER BY deleted_at LIMIT ").bind(PAGE);
    sql.all(tx).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Removes some documents that were soft-deleted before `before_us`, with everything below them. Gives how many.
///
/// # Errors
/// What the database says.
pub async fn documents(tx: &Tx, target_id: i64, before_us: i64) -> Result<u64, DbErr> {
    let ids = gone(tx, "documents", before_us).await?;
    // Read again behind the locks: somebody may have restored one meanwhile.
    let mut rows = documents::lock_many(tx, &ids).await?;
    rows.retain(|row| row.deleted_at.is_some_and(|at| at < before_us));
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    documents::delete_many(tx, &ids).await?;
    for id in &ids {
        slots::touch(tx, target_id, id, Extent::Document).await?;
        tx.record(Change::new(ChangeKind::DocumentDeleted, id, id));
    }
    Ok(ids.len() as u64)
}

/// Removes some chunks that were soft-deleted before `before_us`, with their embeddings. Gives how many.
///
/// # Errors
/// What the database says.
pub async fn chunks(tx: &Tx, target_id: i64, before_us: i64) -> Result<u64, DbErr> {
    let ids = gone(tx, "chunks", before_us).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    documents::lock_above(tx, Below::Chunks, &ids).await?;
    let mut count = 0;
    for id in ids {
        let row = chunks::find_with_deleted(tx, &id).await?;
        let Some(row) = row.filter(|row| row.deleted_at.is_some_and(|at| at < before_us)) else { continue };
        let below = embeddings::ids_of_chunk(tx, &id).await?;
        // Nobody saw it any more, so its document is as it was: no new revision.
        chunks::delete(tx, &id).await?;
        slots::touch(tx, target_id, &row.document_id, Extent::Embeddings(&below)).await?;
        tx.record(Change::new(ChangeKind::ChunkDeleted, &row.id, &row.document_id));
        count += 1;
    }
    Ok(count)
}
