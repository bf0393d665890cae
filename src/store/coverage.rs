//! How much of the live embeddings the index holds: counts over the join with the slots.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::slots::CLEAN;
use crate::store::slots::JOIN_SLOT;
use crate::store::sql::Sql;

/// How much of a set of live embeddings (chunk and document live) the index holds in its current form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Live embeddings.
    pub total: i64,
    /// Held by the index as the rows say.
    pub synced: i64,
    /// To be sent, being sent or in doubt.
    pub pending: i64,
    /// Wait for an explicit export.
    pub held: i64,
    /// Refused.
    pub quarantined: i64,
}

/// A coverage in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CoverageState {
    /// No live embedding.
    Empty,
    /// None is in the index.
    Unsynced,
    /// Some are.
    Partial,
    /// All are.
    Synced,
}

impl Coverage {
    /// In one word.
    #[must_use]
    pub const fn state(&self) -> CoverageState {
        if self.total == 0 {
            CoverageState::Empty
        } else if self.synced == 0 {
            CoverageState::Unsynced
        } else if self.synced == self.total {
            CoverageState::Synced
        } else {
            CoverageState::Partial
        }
    }

    /// Synced embeddings of a hundred; 0 when there is none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn percentage(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.synced as f64 * 100.0 / self.total as f64 }
    }

    /// From the columns that [`counts`] selects, beginning at `at`.
    fn read(row: &QueryResult, at: usize) -> Result<Self, DbErr> {
        let total: i64 = row.try_get_by_index(at)?;
        let synced: i64 = row.try_get_by_index(at + 1)?;
        let held: i64 = row.try_get_by_index(at + 2)?;
        let quarantined: i64 = row.try_get_by_index(at + 3)?;
        Ok(Self { total, synced, pending: total - synced - held - quarantined, held, quarantined })
    }
}

/// `SELECT {key}, counts … FROM live embeddings joined to their slots`.
fn counts(conn: &impl ConnectionTrait, target_id: i64, key: &str) -> Sql {
    let mut sql = Sql::new(conn);
    sql.push("SELECT ").push(key).push("count(*), ");
    sql.push("COALESCE(sum(CASE WHEN NOT e.held AND s.want = 'present' AND ")
        .push(CLEAN)
        .push(" THEN 1 ELSE 0 END), 0), ");
    sql.push("COALESCE(sum(CASE WHEN e.held OR s.vector_id IS NULL THEN 1 ELSE 0 END), 0), ");
    sql.push("COALESCE(sum(CASE WHEN NOT e.held AND s.quarantine IS NOT NULL THEN 1 ELSE 0 END), 0)");
    sql.push(
        " FROM embeddings e JOIN chunks c ON c.id = e.chunk_id AND c.deleted_at IS NULL \
         JOIN documents d ON d.id = e.document_id AND d.deleted_at IS NULL",
    );
    sql.push(JOIN_SLOT.0).bind(target_id).push(JOIN_SLOT.1);
    sql
}

/// Coverage of these documents; one without live embeddings, or soft-deleted, is left out (its coverage is the default).
///
/// # Errors
/// What the database says.
pub async fn of_documents<S: AsRef<str>>(
    conn: &impl ConnectionTrait,
    target_id: i64,
    ids: &[S],
) -> Result<HashMap<String, Coverage>, DbErr> {
    let mut sql = counts(conn, target_id, "e.document_id, ");
    sql.push(" WHERE ").is_any("e.document_id", ids).push(" GROUP BY e.document_id");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, Coverage::read(row, 1)?))).collect()
}

/// Coverage by namespace; one without live embeddings is left out.
///
/// # Errors
/// What the database says.
pub async fn by_namespace(conn: &impl ConnectionTrait, target_id: i64) -> Result<HashMap<String, Coverage>, DbErr> {
    let mut sql = counts(conn, target_id, "d.namespace, ");
    sql.push(" GROUP BY d.namespace");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, Coverage::read(row, 1)?))).collect()
}

/// Coverage of everything.
///
/// # Errors
/// What the database says.
pub async fn whole(conn: &impl ConnectionTrait, target_id: i64) -> Result<Coverage, DbErr> {
    let sql = counts(conn, target_id, "");
    sql.one(conn).await?.map_or_else(|| Ok(Coverage::default()), |row| Coverage::read(&row, 0))
}

/// How far the index is behind the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncedThrough {
    /// Every change up to this corpus revision is in the index.
    pub revision: i64,
    /// When the oldest change was made that is not, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// Slots that an earlier request may still change.
    pub in_doubt: i64,
}

impl SyncedThrough {
    /// Age of the oldest change that is not in the index.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 ms")]
    pub fn lag_seconds(&self, now_ms: i64) -> f64 {
        self.oldest_ms.map_or(0.0, |at| (now_ms - at).max(0) as f64 / 1000.0)
    }
}

/// How far the index is behind: the least `dirty_rev` of unclean slots, else the current revision, in one snapshot.
/// Until the sweep of a new generation has seen every slot, nothing is known of the index.
///
/// # Errors
/// What the database says.
pub async fn synced_through(conn: &impl ConnectionTrait, target_id: i64) -> Result<SyncedThrough, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT k.rev, CASE WHEN t.sweep_after IS NULL THEN x.behind ELSE 0 END, x.in_doubt, \
         COALESCE((SELECT l.at FROM corpus_log l WHERE l.rev > x.behind ORDER BY l.rev LIMIT 1), x.touched) \
         FROM corpus_clock k JOIN sync_targets t ON t.id = ",
    );
    sql.bind(target_id).push(
        " CROSS JOIN ( \
           SELECT min(s.dirty_rev) AS behind, min(s.updated_at) AS touched, \
             COALESCE(sum(CASE WHEN s.doubt_until > s.acked_from \
               AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '') THEN 1 ELSE 0 END), 0) AS in_doubt \
           FROM sync_slots s WHERE s.dirty_epoch IS NOT NULL AND s.target_id = ",
    );
    sql.bind(target_id).push(") x WHERE k.id = 1");
    let row = sql.one(conn).await?.ok_or_else(|| DbErr::RecordNotFound("corpus_clock".to_owned()))?;
    let current: i64 = row.try_get_by_index(0)?;
    let behind: Option<i64> = row.try_get_by_index(1)?;
    Ok(SyncedThrough {
        revision: behind.map_or(current, |behind| behind.min(current)),
        oldest_ms: row.try_get_by_index(3)?,
        in_doubt: row.try_get_by_index(2)?,
    })
}
