//! Repairs: slots made due again. Every one of them is a touch, so it raises the revision too.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;

use crate::store::Tx;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::reconcile::findings::Seen;
use crate::store::sql::Sql;

/// What every touch of a repair writes beside the slot's own wish.
fn due(sql: &mut Sql, tx: &Tx) {
    sql.push("want_rev = want_rev + 1, due_at = ").bind(tx.now_ms());
    sql.push(", dirty_epoch = COALESCE(dirty_epoch, (SELECT epoch FROM sync_clock WHERE id = 1))");
    sql.push(", dirty_rev = COALESCE(dirty_rev, ").bind(tx.seen_rev());
    sql.push(
        "), attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL, updated_at = ",
    );
    sql.bind(tx.now_ms());
}

/// Locks the slots that a repair will touch, in the order of their keys, where there are row locks.
///
/// # Errors
/// What the database says.
pub async fn lock(tx: &Tx, target_id: i64, found: &[Seen]) -> Result<(), DbErr> {
    if found.is_empty() || !Sql::new(tx).is_postgres() {
        return Ok(());
    }
    let keys: Vec<[&str; 2]> = found.iter().map(|seen| [seen.namespace.as_str(), seen.vector_id.as_str()]).collect();
    let mut sql = Sql::new(tx);
    sql.push("SELECT 1 FROM sync_slots s WHERE s.target_id = ").bind(target_id);
    sql.push(" AND EXISTS (SELECT 1 FROM ").bind_lists(&keys, "k").push(" WHERE s.namespace = ");
    sql.push_nth("k", 0).push(" AND s.vector_id = ").push_nth("k", 1);
    sql.push(") ORDER BY s.namespace, s.vector_id FOR UPDATE");
    sql.all(tx).await?;
    Ok(())
}

/// Makes the record of a finding be sent, or deleted, again; false when its slot has moved on meanwhile.
///
/// # Errors
/// What the database says.
pub async fn mend(tx: &Tx, target_id: i64, seen: &Seen) -> Result<bool, DbErr> {
    if seen.rev == 0 {
        return remove(tx, target_id, seen).await;
    }
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET acked_rev = 0, acked_hash = NULL, ");
    due(&mut sql, tx);
    sql.push(" WHERE target_id = ").bind(target_id).push(" AND namespace = ").bind(seen.namespace.as_str());
    sql.push(" AND vector_id = ").bind(seen.vector_id.as_str()).push(" AND want_rev = ").bind(seen.rev);
    sql.push(" AND due_at IS NULL AND claim_token IS NULL AND quarantine IS NULL RETURNING document_id");
    let Some(row) = sql.one(tx).await? else { return Ok(false) };
    let document: Option<String> = row.try_get_by_index(0)?;
    if let Some(document) = document {
        tx.record(Change::new(ChangeKind::SyncChanged, &document, &document));
    }
    Ok(true)
}

/// Makes a record without a slot be deleted, unless somebody wants it by now.
async fn remove(tx: &Tx, target_id: i64, seen: &Seen) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO sync_slots (target_id, namespace, vector_id, want, want_rev, due_at, dirty_epoch, dirty_rev, updated_at) SELECT ");
    sql.bind(target_id).push(", ").bind(seen.namespace.as_str()).push(", ").bind(seen.vector_id.as_str());
    sql.push(", 'absent', 1, ").bind(tx.now_ms()).push(", k.epoch, ").bind(tx.seen_rev()).push(", ");
    sql.bind(tx.now_ms());
    sql.push(
        " FROM sync_clock k WHERE k.id = 1 AND NOT EXISTS (SELECT 1 FROM embeddings e \
         JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id \
         WHERE NOT e.held AND c.deleted_at IS NULL AND d.deleted_at IS NULL AND e.vector_id = ",
    );
    sql.bind(seen.vector_id.as_str()).push(" AND d.namespace = ").bind(seen.namespace.as_str());
    sql.push(") ON CONFLICT (target_id, namespace, vector_id) DO NOTHING");
    Ok(sql.run(tx).await? == 1)
}

/// Makes quarantined slots be tried again: all of them, or those of these ids. Gives how many.
///
/// # Errors
/// What the database says.
pub async fn retry_quarantined(tx: &Tx, target_id: i64, vector_ids: Option<&[String]>) -> Result<u64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET ");
    due(&mut sql, tx);
    sql.push(" WHERE target_id = ").bind(target_id).push(" AND quarantine IS NOT NULL");
    if let Some(ids) = vector_ids {
        sql.push(" AND ").is_any("vector_id", ids);
    }
    sql.push(" RETURNING document_id");
    let rows = sql.all(tx).await?;
    let mut documents = rows
        .iter()
        .map(|row| row.try_get_by_index::<Option<String>>(0))
        .collect::<Result<Vec<Option<String>>, DbErr>>()?;
    documents.sort_unstable();
    documents.dedup();
    for document in documents.into_iter().flatten() {
        tx.record(Change::new(ChangeKind::SyncChanged, &document, &document));
    }
    Ok(rows.len() as u64)
}

/// Makes everything be sent again to the index that is there: what a database that was restored from a backup needs.
///
/// # Errors
/// What the database says.
pub async fn rebase(tx: &Tx, target_id: i64, corpus: &str) -> Result<i64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET generation = generation + 1, sweep_after = '', state = 'active', reason = NULL");
    sql.push(", corpus = ").bind(corpus).push(" WHERE id = ").bind(target_id).push(" RETURNING generation");
    let row = sql.one(tx).await?.ok_or_else(|| DbErr::RecordNotFound("sync_targets".to_owned()))?;
    row.try_get_by_index(0)
}

/// What a sampled slot is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its record's id.
    pub vector_id: String,
    /// Its revision.
    pub want_rev: i64,
    /// Whether the index acknowledged, in this generation, that it holds the record.
    pub held: bool,
}

/// What is known of these slots.
///
/// # Errors
/// What the database says.
pub async fn known(
    conn: &impl ConnectionTrait,
    target_id: i64,
    namespace: &str,
    ids: &[&str],
) -> Result<Vec<Known>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT s.vector_id, s.want_rev, s.want = 'present' AND s.acked_gen = t.generation AND s.acked_rev > 0 ");
    // What it acknowledged last may be that the record is gone.
    sql.push("AND COALESCE(s.acked_hash, '') <> 'absent' FROM sync_slots s JOIN sync_targets t ON t.id = s.target_id WHERE s.target_id = ").bind(target_id);
    sql.push(" AND s.namespace = ").bind(namespace).push(" AND ").is_any("s.vector_id", ids);
    sql.all(conn)
        .await?
        .iter()
        .map(|row| {
            Ok(Known {
                vector_id: row.try_get_by_index(0)?,
                want_rev: row.try_get_by_index(1)?,
                held: row.try_get_by_index(2)?,
            })
        })
        .collect()
}

/// The corpus that the index was found to belong to.
///
/// # Errors
/// What the database says.
pub async fn welcomed(conn: &impl ConnectionTrait, target_id: i64) -> Result<Option<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT corpus FROM sync_targets WHERE id = ").bind(target_id);
    sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// Notes it.
///
/// # Errors
/// What the database says.
pub async fn welcome(tx: &Tx, target_id: i64, corpus: &str) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET corpus = ").bind(corpus).push(" WHERE id = ").bind(target_id);
    sql.run(tx).await?;
    Ok(())
}
