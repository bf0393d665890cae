//! `sync_slots`: their states, and the touch that every mutation ends with.
//!
//! The two statements of the touch are those of sync.md 4.1: they run after the edit and in
//! its transaction, and give the right answer for holds, deletes, restores,
//! namespace and vector-id changes alike. Nothing else creates work.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::Tx;
pub use crate::store::coverage::Coverage;
pub use crate::store::coverage::CoverageState;
pub use crate::store::coverage::SyncedThrough;
pub use crate::store::coverage::by_namespace as coverage_by_namespace;
pub use crate::store::coverage::of_documents as coverage_of_documents;
pub use crate::store::coverage::synced_through;
pub use crate::store::coverage::whole as coverage;
use crate::store::embeddings::LIVE;
use crate::store::sql::Sql;

/// Whether a slot is clean (sync.md section 3): aliases `s` (`sync_slots`) and `t` (its row of `sync_targets`).
///
/// NULL, so neither true nor false, where an outer join found no slot.
pub const CLEAN: &str = "(s.acked_rev = s.want_rev AND s.acked_gen = t.generation AND s.quarantine IS NULL \
     AND NOT (s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '')))";

/// The state of a slot by name: aliases `s` and `t` as in [`CLEAN`].
pub const SLOT_STATE: &str = "CASE WHEN s.quarantine IS NOT NULL THEN 'QUARANTINED' \
     WHEN s.claim_token IS NOT NULL THEN 'IN_FLIGHT' \
     WHEN s.acked_rev = s.want_rev AND s.acked_gen = t.generation \
          AND NOT (s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '')) \
       THEN CASE s.want WHEN 'present' THEN 'SYNCED' ELSE 'REMOVED' END \
     WHEN s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '') THEN 'IN_DOUBT' \
     ELSE 'PENDING' END";

/// The state of an embedding's slot by name: alias `e` (`embeddings`), and `s` and `t` by outer joins ([`JOIN_SLOT`]).
pub const EMBEDDING_STATE: &str = "CASE WHEN e.held OR s.vector_id IS NULL THEN 'HELD' \
     WHEN s.quarantine IS NOT NULL THEN 'QUARANTINED' \
     WHEN s.claim_token IS NOT NULL THEN 'IN_FLIGHT' \
     WHEN s.acked_rev = s.want_rev AND s.acked_gen = t.generation \
          AND NOT (s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '')) \
       THEN CASE s.want WHEN 'present' THEN 'SYNCED' ELSE 'REMOVED' END \
     WHEN s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '') THEN 'IN_DOUBT' \
     ELSE 'PENDING' END";

/// The outer joins from `e` (`embeddings`) and `d` (`documents`) to `s` and `t`; the number of the target stands between the two parts.
pub const JOIN_SLOT: (&str, &str) = (
    " LEFT JOIN sync_slots s ON s.target_id = ",
    " AND s.namespace = d.namespace AND s.vector_id = e.vector_id LEFT JOIN sync_targets t ON t.id = s.target_id",
);

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Waits for an explicit export.
    Held,
    /// To be sent.
    Pending,
    /// Being sent.
    InFlight,
    /// An earlier request may still land.
    InDoubt,
    /// The index holds what the rows say.
    Synced,
    /// The index holds nothing, as wanted.
    Removed,
    /// Refused; not tried again.
    Quarantined,
}

impl SlotState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Held, Self::Pending, Self::InFlight, Self::InDoubt, Self::Synced, Self::Removed, Self::Quarantined];

    /// The name, as [`SLOT_STATE`] and [`EMBEDDING_STATE`] give it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Pending => "PENDING",
            Self::InFlight => "IN_FLIGHT",
            Self::InDoubt => "IN_DOUBT",
            Self::Synced => "SYNCED",
            Self::Removed => "REMOVED",
            Self::Quarantined => "QUARANTINED",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

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
              AND NOT e.held AND ",
    );
    gone.push(LIVE).push(")");
    gone.run(tx).await?;
    let mut wanted = want_present(tx, target_id);
    wanted.push(" AND d.id = ").bind(document_id);
    if let Extent::Embeddings(ids) = extent {
        wanted.push(" AND ").is_any("e.id", ids);
    }
    wanted.push(OVER_THE_OLD);
    wanted.run(tx).await?;
    Ok(())
}

/// Touches embeddings of any documents whose hold was just lifted: nothing of them was wanted, so the
/// first statement of [`touch`] would find nothing.
///
/// # Errors
/// What the database says.
pub async fn touch_released(tx: &Tx, target_id: i64, ids: &[String]) -> Result<(), DbErr> {
    for page in ids.chunks(5000) {
        let mut wanted = want_present(tx, target_id);
        wanted.push(" AND ").is_any("e.id", page).push(OVER_THE_OLD);
        wanted.run(tx).await?;
    }
    Ok(())
}

/// The second statement of the touch, up to the condition on what was edited.
fn want_present(tx: &Tx, target_id: i64) -> Sql {
    let mut sql = Sql::new(tx);
    sql.push(
        "INSERT INTO sync_slots (target_id, namespace, vector_id, embedding_id, document_id, want, want_rev, \
         due_at, dirty_epoch, dirty_rev, updated_at) SELECT ",
    );
    sql.bind(target_id).push(", d.namespace, e.vector_id, e.id, d.id, 'present', 1, ").bind(tx.now_ms());
    sql.push(", k.epoch, ").bind(tx.seen_rev()).push(", ").bind(tx.now_ms());
    sql.push(
        " FROM documents d JOIN chunks c ON c.document_id = d.id JOIN embeddings e ON e.chunk_id = c.id \
         JOIN sync_clock k ON k.id = 1 WHERE NOT e.held AND ",
    );
    sql.push(LIVE);
    sql
}

/// The end of that statement: what happens to a slot that was there.
const OVER_THE_OLD: &str = " ORDER BY 2, 3
     ON CONFLICT (target_id, namespace, vector_id) DO UPDATE SET
       embedding_id = excluded.embedding_id, document_id = excluded.document_id, want = 'present',
       want_rev = sync_slots.want_rev + 1, due_at = excluded.due_at,
       dirty_epoch = COALESCE(sync_slots.dirty_epoch, excluded.dirty_epoch),
       dirty_rev = COALESCE(sync_slots.dirty_rev, excluded.dirty_rev),
       attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL,
       updated_at = excluded.updated_at";

/// Makes the records of these embeddings be sent even when the index is known to hold them: run after [`touch`].
///
/// # Errors
/// What the database says.
pub async fn forget_hash(tx: &Tx, target_id: i64, embedding_ids: &[String]) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET acked_hash = NULL WHERE target_id = ").bind(target_id);
    sql.push(" AND want = 'present' AND ").is_any("embedding_id", embedding_ids);
    sql.run(tx).await?;
    Ok(())
}

/// The namespaces in which the target has slots, by name, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn namespaces(conn: &impl ConnectionTrait, target_id: i64, limit: usize) -> Result<Vec<String>, DbErr> {
    let mut found: Vec<String> = Vec::new();
    // One step of the index for each namespace, instead of a pass over all slots.
    while found.len() < limit {
        let mut sql = Sql::new(conn);
        sql.push("SELECT min(namespace) FROM sync_slots WHERE target_id = ").bind(target_id);
        if let Some(last) = found.last() {
            sql.push(" AND namespace > ").bind(last.as_str());
        }
        let next: Option<String> = sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))?;
        match next {
            Some(next) => found.push(next),
            None => break,
        }
    }
    Ok(found)
}

/// Makes the records of these ids be deleted, wherever the target has a slot of them, and in `namespace`
/// where it has none. Embeddings that own them are held by then. Gives the keys.
///
/// # Errors
/// What the database says.
pub async fn want_absent(
    tx: &Tx,
    target_id: i64,
    namespace: &str,
    vector_ids: &[String],
) -> Result<Vec<(String, String)>, DbErr> {
    let namespaces = namespaces(tx, target_id, usize::MAX).await?;
    let mut keys: Vec<(String, String)> = Vec::new();
    for namespace in &namespaces {
        let mut sql = Sql::new(tx);
        sql.push("UPDATE sync_slots SET want = 'absent', want_rev = want_rev + 1, acked_hash = NULL, due_at = ");
        sql.bind(tx.now_ms());
        sql.push(", dirty_epoch = COALESCE(dirty_epoch, (SELECT epoch FROM sync_clock WHERE id = 1))");
        sql.push(", dirty_rev = COALESCE(dirty_rev, ").bind(tx.seen_rev());
        sql.push(
            "), attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL, updated_at = ",
        );
        sql.bind(tx.now_ms()).push(" WHERE target_id = ").bind(target_id);
        sql.push(" AND namespace = ").bind(namespace.as_str()).push(" AND ").is_any("vector_id", vector_ids);
        sql.push(" RETURNING vector_id");
        for row in sql.all(tx).await? {
            keys.push((namespace.clone(), row.try_get_by_index(0)?));
        }
    }
    let found: std::collections::HashSet<&str> = keys.iter().map(|(_, id)| id.as_str()).collect();
    let strange: Vec<String> = vector_ids.iter().filter(|id| !found.contains(id.as_str())).cloned().collect();
    for id in strange {
        let mut sql = Sql::new(tx);
        sql.push("INSERT INTO sync_slots (target_id, namespace, vector_id, want, want_rev, due_at, dirty_epoch, dirty_rev, updated_at) SELECT ");
        sql.bind(target_id).push(", ").bind(namespace).push(", ").bind(id.as_str()).push(", 'absent', 1, ");
        sql.bind(tx.now_ms()).push(", epoch, ").bind(tx.seen_rev()).push(", ").bind(tx.now_ms());
        sql.push(" FROM sync_clock WHERE id = 1");
        sql.run(tx).await?;
        keys.push((namespace.to_owned(), id));
    }
    Ok(keys)
}

/// An embedding's id and its document's.
type Owned = (String, String);

/// Locks the documents above live embeddings of these ids, and gives the embeddings.
///
/// # Errors
/// What the database says.
pub async fn lock_embeddings(tx: &Tx, ids: &[String]) -> Result<Vec<Owned>, DbErr> {
    let mut documents = Sql::new(tx);
    documents.push("SELECT id FROM documents WHERE id IN (SELECT document_id FROM embeddings WHERE ");
    documents.is_any("id", ids).push(") ORDER BY id");
    lock_all(tx, documents).await?;
    let mut sql = Sql::new(tx);
    sql.push(
        "SELECT e.id, e.document_id FROM embeddings e JOIN chunks c ON c.id = e.chunk_id \
         JOIN documents d ON d.id = e.document_id WHERE ",
    );
    sql.push(LIVE).push(" AND ").is_any("e.id", ids).push(" ORDER BY e.id");
    owned(&sql.all(tx).await?)
}

/// Lifts the hold of these embeddings, and gives the ids of those that were held.
///
/// # Errors
/// What the database says.
pub async fn release(tx: &Tx, ids: &[String]) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE embeddings SET held = FALSE WHERE held AND ").is_any("id", ids).push(" RETURNING id");
    sql.all(tx).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Lifts the hold of the live embeddings of a locked document, and gives their ids.
///
/// # Errors
/// What the database says.
pub async fn release_document(tx: &Tx, document_id: &str) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE embeddings SET held = FALSE WHERE held AND document_id = ").bind(document_id);
    // By the chunk's key alone: a PostgreSQL without statistics may look through all chunks of the document for each
    // embedding when it is given their document (100,000 of them were not done in 17 minutes).
    sql.push(" AND EXISTS (SELECT 1 FROM chunks c WHERE c.id = embeddings.chunk_id AND c.deleted_at IS NULL)");
    sql.push(" RETURNING id");
    sql.all(tx).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Lifts the hold of every live embedding, documents locked first.
///
/// # Errors
/// What the database says.
pub async fn release_all(tx: &Tx) -> Result<Vec<Owned>, DbErr> {
    let mut documents = Sql::new(tx);
    documents.push(
        "SELECT id FROM documents WHERE deleted_at IS NULL \
         AND id IN (SELECT document_id FROM embeddings WHERE held) ORDER BY id",
    );
    lock_all(tx, documents).await?;
    let mut sql = Sql::new(tx);
    sql.push(
        // From what is held, of which there may be none, to its chunks: not from all chunks to what is held.
        "WITH e AS MATERIALIZED (SELECT id, chunk_id FROM embeddings WHERE held) \
         UPDATE embeddings SET held = FALSE WHERE held AND id IN (SELECT e.id FROM e CROSS JOIN chunks c \
         CROSS JOIN documents d WHERE c.id = e.chunk_id AND d.id = c.document_id \
         AND c.deleted_at IS NULL AND d.deleted_at IS NULL) RETURNING id, document_id",
    );
    owned(&sql.all(tx).await?)
}

/// Holds the embeddings of these vector ids, documents locked first.
///
/// # Errors
/// What the database says.
pub async fn hold_vectors(tx: &Tx, vector_ids: &[String]) -> Result<Vec<Owned>, DbErr> {
    let mut documents = Sql::new(tx);
    documents.push("SELECT id FROM documents WHERE id IN (SELECT document_id FROM embeddings WHERE ");
    documents.is_any("vector_id", vector_ids).push(") ORDER BY id");
    lock_all(tx, documents).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE embeddings SET held = TRUE WHERE NOT held AND ").is_any("vector_id", vector_ids);
    sql.push(" RETURNING id, document_id");
    owned(&sql.all(tx).await?)
}

/// The keys of every slot that came from these embeddings.
///
/// # Errors
/// What the database says.
pub async fn keys_of(tx: &Tx, target_id: i64, embedding_ids: &[String]) -> Result<Vec<(String, String)>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT namespace, vector_id FROM sync_slots WHERE target_id = ").bind(target_id);
    sql.push(" AND ").is_any("embedding_id", embedding_ids).push(" ORDER BY namespace, vector_id");
    owned(&sql.all(tx).await?)
}

async fn lock_all(tx: &Tx, mut select: Sql) -> Result<(), DbErr> {
    // SQLite has one writer, and no row locks.
    if select.is_postgres() {
        select.push(" FOR UPDATE");
        select.all(tx).await?;
    }
    Ok(())
}

fn owned(rows: &[QueryResult]) -> Result<Vec<Owned>, DbErr> {
    rows.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}
