//! Slots beside the rows their records are made of: what a page of a check compares with the index.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::record;
use crate::store::record::Rows;
use crate::store::slots::CLEAN;
use crate::store::sql::Sql;

/// A slot, and what it should be in the index.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compared {
    /// Its record's id.
    pub vector_id: String,
    /// Whether the record should be there.
    pub present: bool,
    /// Its revision.
    pub want_rev: i64,
    /// Whether nothing is on its way to the index.
    pub clean: bool,
    /// When the index acknowledged it.
    pub acked_at: Option<i64>,
    /// What the index acknowledged.
    pub acked_hash: Option<String>,
    /// The rows, where the record is wanted.
    pub rows: Option<Rows>,
}

/// The slots of a namespace behind `after`, up to `upto` when that is given, in bytewise order.
///
/// # Errors
/// What the database says.
pub async fn between(
    conn: &impl ConnectionTrait,
    target_id: i64,
    namespace: &str,
    (after, upto): (Option<&str>, Option<&str>),
    limit: usize,
    text_chars: i64,
) -> Result<Vec<Compared>, DbErr> {
    let mut sql = select(conn, target_id, namespace, text_chars);
    if let Some(after) = after {
        sql.push(" AND s.vector_id > ").bind(after);
    }
    if let Some(upto) = upto {
        sql.push(" AND s.vector_id <= ").bind(upto);
    }
    sql.push(" ORDER BY s.vector_id LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.all(conn).await?.iter().map(compared).collect()
}

/// The slots of these ids, in bytewise order.
///
/// # Errors
/// What the database says.
pub async fn these(
    conn: &impl ConnectionTrait,
    target_id: i64,
    namespace: &str,
    ids: &[&str],
    text_chars: i64,
) -> Result<Vec<Compared>, DbErr> {
    let mut sql = select(conn, target_id, namespace, text_chars);
    sql.push(" AND ").is_any("s.vector_id", ids).push(" ORDER BY s.vector_id");
    sql.all(conn).await?.iter().map(compared).collect()
}

fn select(conn: &impl ConnectionTrait, target_id: i64, namespace: &str, text_chars: i64) -> Sql {
    let mut sql = Sql::new(conn);
    sql.push("SELECT s.vector_id, s.want = 'present', s.want_rev, s.claim_token IS NULL AND ").push(CLEAN);
    sql.push(", s.acked_at, s.acked_hash");
    record::push(&mut sql, text_chars);
    sql.push(" FROM sync_slots s JOIN sync_targets t ON t.id = s.target_id").push(record::JOIN);
    sql.push(" WHERE s.target_id = ").bind(target_id).push(" AND s.namespace = ").bind(namespace);
    sql
}

fn compared(row: &QueryResult) -> Result<Compared, DbErr> {
    Ok(Compared {
        vector_id: row.try_get_by_index(0)?,
        present: row.try_get_by_index(1)?,
        want_rev: row.try_get_by_index(2)?,
        clean: row.try_get_by_index(3)?,
        acked_at: row.try_get_by_index(4)?,
        acked_hash: row.try_get_by_index(5)?,
        rows: record::read(row, 6)?,
    })
}

/// The next namespace by name in which the target has slots.
///
/// # Errors
/// What the database says.
pub async fn next_namespace(
    conn: &impl ConnectionTrait,
    target_id: i64,
    after: Option<&str>,
) -> Result<Option<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT min(namespace) FROM sync_slots WHERE target_id = ").bind(target_id);
    if let Some(after) = after {
        sql.push(" AND namespace > ").bind(after);
    }
    sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// How many slots the target has: what a check has to look at, as far as is known.
///
/// # Errors
/// What the database says.
pub async fn slot_count(conn: &impl ConnectionTrait, target_id: i64) -> Result<i64, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT count(*) FROM sync_slots WHERE target_id = ").bind(target_id);
    sql.one(conn).await?.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// How many records each namespace should hold, as far as the index has acknowledged them, sorted by name.
///
/// # Errors
/// What the database says.
pub async fn expected(conn: &impl ConnectionTrait, target_id: i64) -> Result<Vec<(String, i64)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT s.namespace, count(*) FROM sync_slots s JOIN sync_targets t ON t.id = s.target_id ");
    sql.push("WHERE s.target_id = ").bind(target_id).push(" AND s.want = 'present' AND ").push(CLEAN);
    sql.push(" GROUP BY s.namespace ORDER BY s.namespace");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// The keys of slots whose records were acknowledged lately, by namespace: newest first, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn lately(conn: &impl ConnectionTrait, target_id: i64, limit: u64) -> Result<Vec<(String, String)>, DbErr> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut sql = Sql::new(conn);
    // The tail of the log instead of a pass over all slots.
    sql.push("SELECT s.namespace, s.vector_id FROM (SELECT id, kind, rev FROM corpus_log ORDER BY rev DESC LIMIT ");
    sql.bind(limit * 10).push(") l JOIN sync_slots s ON s.embedding_id = l.id WHERE l.kind = 'EMBEDDING_SYNCED'");
    sql.push(" AND s.target_id = ").bind(target_id).push(" GROUP BY s.namespace, s.vector_id ORDER BY max(l.rev) DESC");
    sql.push(" LIMIT ").bind(limit);
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}
