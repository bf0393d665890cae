//! `sync_slots`: the touch that every mutation ends with.
//!
//! The two statements are those of sync.md 4.1: they run after the edit and in
//! its transaction, and give the right answer for holds, deletes, restores,
//! namespace and vector-id changes alike. Nothing else creates work.

use sea_orm::DbErr;

use crate::store::Tx;
use crate::store::sql::Sql;

/// Whether a slot is clean (sync.md section 3): aliases `s` (`sync_slots`) and `t` (its row of `sync_targets`).
///
/// NULL, so neither true nor false, where an outer join found no slot.
pub const CLEAN: &str = "(s.acked_rev = s.want_rev AND s.acked_gen = t.generation AND s.quarantine IS NULL \
     AND NOT (s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '')))";

/// What of a document was edited.
#[derive(Debug, Clone, Copy)]
pub enum Extent<'a> {
    /// The document itself: all its embeddings.
    Document,
    /// These embeddings, whether they still exist or not.
    Embeddings(&'a [String]),
}

/// Makes the slots of a document say what should be true now, and makes them due.
///
/// # Errors
/// What the database says.
pub async fn touch(tx: &Tx, target_id: i64, document_id: &str, extent: Extent<'_>) -> Result<(), DbErr> {
    let mut gone = Sql::new(tx);
    gone.push("UPDATE sync_slots SET want = 'absent', want_rev = want_rev + 1, due_at = ").bind(tx.now_ms());
    gone.push(", dirty_epoch = COALESCE(dirty_epoch, (SELECT epoch FROM sync_clock WHERE id = 1))");
    gone.push(", dirty_rev = COALESCE(dirty_rev, ").bind(tx.seen_rev());
    gone.push(
        "), attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL, updated_at = ",
    );
    gone.bind(tx.now_ms());
    gone.push(" WHERE target_id = ").bind(target_id).push(" AND document_id = ").bind(document_id);
    if let Extent::Embeddings(ids) = extent {
        gone.push(" AND ").is_any("embedding_id", ids);
    }
    gone.push(
        " AND want = 'present' AND NOT EXISTS (
           SELECT 1 FROM embeddings e JOIN chunks c ON c.id = e.chunk_id JOIN documents d ON d.id = c.document_id
            WHERE e.id = sync_slots.embedding_id AND e.vector_id = sync_slots.vector_id AND d.namespace = sync_slots.namespace
              AND d.deleted_at IS NULL AND c.deleted_at IS NULL AND NOT e.held)",
    );
    gone.run(tx).await?;
    let mut wanted = Sql::new(tx);
    wanted.push(
        "INSERT INTO sync_slots (target_id, namespace, vector_id, embedding_id, document_id, want, want_rev, \
         due_at, dirty_epoch, dirty_rev, updated_at) SELECT ",
    );
    wanted.bind(target_id).push(", d.namespace, e.vector_id, e.id, d.id, 'present', 1, ").bind(tx.now_ms());
    wanted.push(", k.epoch, ").bind(tx.seen_rev()).push(", ").bind(tx.now_ms());
    wanted.push(
        " FROM documents d JOIN chunks c ON c.document_id = d.id JOIN embeddings e ON e.chunk_id = c.id \
         JOIN sync_clock k ON k.id = 1 WHERE d.id = ",
    );
    wanted.bind(document_id);
    if let Extent::Embeddings(ids) = extent {
        wanted.push(" AND ").is_any("e.id", ids);
    }
    wanted.push(
        " AND d.deleted_at IS NULL AND c.deleted_at IS NULL AND NOT e.held ORDER BY 2, 3
         ON CONFLICT (target_id, namespace, vector_id) DO UPDATE SET
           embedding_id = excluded.embedding_id, document_id = excluded.document_id, want = 'present',
           want_rev = sync_slots.want_rev + 1, due_at = excluded.due_at,
           dirty_epoch = COALESCE(sync_slots.dirty_epoch, excluded.dirty_epoch),
           dirty_rev = COALESCE(sync_slots.dirty_rev, excluded.dirty_rev),
           attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL,
           updated_at = excluded.updated_at",
    );
    wanted.run(tx).await?;
    Ok(())
}
