//! `local_records` and `local_contents`: the rows of the embedded index.
//!
//! Every change takes its revision from the one row of `local_clock` before it
//! writes, and keeps that row locked until it commits: revisions become visible
//! in their order, so a replica reads on from the last one it saw. A record's
//! `number` is its address in memory and in `local_contents`; it never changes.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::Tx;
use crate::store::sql::Sql;

/// Rows of one INSERT: well below the number of placeholders that a statement may have.
const PAGE: usize = 500;

/// Where the index stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// The revision of the newest change.
    pub rev: i64,
    /// The newest revision whose tombstones are gone: who saw less loads everything.
    pub pruned: i64,
    /// Numbers of a vector, once there is one.
    pub dimension: Option<i32>,
}

/// A record to write.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Its id in the namespace.
    pub vector_id: String,
    /// What the scan reads.
    pub code: Vec<u8>,
    /// What filters read.
    pub facets: Vec<u8>,
    /// Its metadata, as it was given.
    pub metadata: String,
    /// The vector, as stored.
    pub vector: Vec<u8>,
}

/// A change, as a replica reads it.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The record's address.
    pub number: i64,
    /// Its revision.
    pub rev: i64,
    /// Its namespace.
    pub namespace: String,
    /// Code and facets, unless it is deleted.
    pub content: Option<(Vec<u8>, Vec<u8>)>,
}

/// A record to be scored.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The record's address.
    pub number: i64,
    /// Its namespace.
    pub namespace: String,
    /// Its id there.
    pub vector_id: String,
    /// The vector, as stored.
    pub vector: Vec<u8>,
}

/// Where the index stands.
///
/// # Errors
/// What the database says.
pub async fn clock(conn: &impl ConnectionTrait) -> Result<Clock, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT rev, pruned, dimension FROM local_clock WHERE id = 1");
    sql.one(conn).await?.map_or_else(|| Ok(Clock::default()), |row| read_clock(&row))
}

fn read_clock(row: &QueryResult) -> Result<Clock, DbErr> {
    Ok(Clock { rev: row.try_get_by_index(0)?, pruned: row.try_get_by_index(1)?, dimension: row.try_get_by_index(2)? })
}

/// Takes `count` revisions for vectors of `dimension`, and locks the clock; gives the last of them, or
/// nothing where the index holds vectors of another dimension.
async fn take(tx: &Tx, count: usize, dimension: i32) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_clock SET rev = rev + ").bind(i64::try_from(count).unwrap_or(i64::MAX));
    sql.push(", dimension = ").bind(dimension);
    sql.push(" WHERE id = 1 AND (dimension IS NULL OR dimension = ").bind(dimension).push(") RETURNING rev");
    sql.one(tx).await?.map(|row| row.try_get_by_index(0)).transpose()
}

/// Writes records with vectors of `dimension` into a namespace, replacing those with their ids; no id may
/// stand twice among them. Gives the revision; writes nothing, and gives none, where the index holds another
/// dimension.
///
/// # Errors
/// What the database says.
pub async fn upsert(tx: &Tx, namespace: &str, dimension: i32, records: &[NewRecord]) -> Result<Option<i64>, DbErr> {
    let Some(rev) = take(tx, records.len(), dimension).await? else { return Ok(None) };
    let mut number = rev - i64::try_from(records.len()).unwrap_or(i64::MAX);
    for page in records.chunks(PAGE) {
        let mut sql = Sql::new(tx);
        sql.push(
            "INSERT INTO local_records (number, namespace, vector_id, rev, changed_at, deleted, code, facets) VALUES ",
        );
        for (i, record) in page.iter().enumerate() {
            number += 1;
            sql.push(if i > 0 { ", (" } else { "(" }).bind(number).push(", ").bind(namespace);
            sql.push(", ").bind(record.vector_id.as_str()).push(", ").bind(rev).push(", ").bind(tx.now_ms());
            sql.push(", FALSE, ").bind(record.code.clone()).push(", ").bind(record.facets.clone()).push(")");
        }
        sql.push(
            " ON CONFLICT (namespace, vector_id) DO UPDATE SET rev = excluded.rev, changed_at = excluded.changed_at, \
             deleted = FALSE, code = excluded.code, facets = excluded.facets RETURNING vector_id, number",
        );
        let mut numbers = std::collections::HashMap::with_capacity(page.len());
        for row in sql.all(tx).await? {
            numbers.insert(row.try_get_by_index::<String>(0)?, row.try_get_by_index::<i64>(1)?);
        }
        let mut sql = Sql::new(tx);
        sql.push("INSERT INTO local_contents (number, metadata, vector) VALUES ");
        for (i, record) in page.iter().enumerate() {
            let number = numbers.get(&record.vector_id).copied();
            let number = number.ok_or_else(|| DbErr::RecordNotInserted)?;
            sql.push(if i > 0 { ", (" } else { "(" }).bind(number).push(", ");
            sql.bind(record.metadata.as_str()).push(", ").bind(record.vector.clone()).push(")");
        }
        sql.push(" ON CONFLICT (number) DO UPDATE SET metadata = excluded.metadata, vector = excluded.vector");
        sql.run(tx).await?;
    }
    Ok(Some(rev))
}

/// Deletes all records, leaving tombstones, when they have another dimension than `dimension`; says whether.
///
/// # Errors
/// What the database says.
pub async fn clear_other(tx: &Tx, dimension: i32) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_clock SET rev = rev + 1, dimension = NULL WHERE id = 1 AND dimension <> ").bind(dimension);
    sql.push(" RETURNING rev");
    let Some(row) = sql.one(tx).await? else { return Ok(false) };
    let rev: i64 = row.try_get_by_index(0)?;
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM local_contents");
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_records SET deleted = TRUE, code = NULL, facets = NULL, rev = ").bind(rev);
    sql.push(", changed_at = ").bind(tx.now_ms()).push(" WHERE NOT deleted");
    sql.run(tx).await?;
    Ok(true)
}

/// Deletes records, leaving tombstones; gives the revision. An index left without records forgets its dimension.
///
/// # Errors
/// What the database says.
pub async fn delete(tx: &Tx, namespace: &str, ids: &[String]) -> Result<i64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_clock SET rev = rev + 1 WHERE id = 1 RETURNING rev");
    let row = sql.one(tx).await?.ok_or_else(|| DbErr::RecordNotFound("local_clock".to_owned()))?;
    let rev: i64 = row.try_get_by_index(0)?;
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM local_contents WHERE number IN (SELECT number FROM local_records WHERE NOT deleted AND namespace = ");
    sql.bind(namespace).push(" AND ").is_any("vector_id", ids).push(")");
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_records SET deleted = TRUE, code = NULL, facets = NULL, rev = ").bind(rev);
    sql.push(", changed_at = ").bind(tx.now_ms());
    sql.push(" WHERE NOT deleted AND namespace = ").bind(namespace).push(" AND ").is_any("vector_id", ids);
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_clock SET dimension = NULL WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM local_records WHERE NOT deleted)");
    sql.run(tx).await?;
    Ok(rev)
}

/// Removes tombstones that were made before `before_ms`; gives how many.
///
/// # Errors
/// What the database says.
pub async fn prune(tx: &Tx, before_ms: i64, limit: i64) -> Result<u64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT rev FROM local_clock WHERE id = 1");
    if sql.is_postgres() {
        sql.push(" FOR UPDATE");
    }
    sql.one(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push(
        "DELETE FROM local_records WHERE number IN (SELECT number FROM local_records WHERE deleted AND changed_at < ",
    );
    sql.bind(before_ms).push(" ORDER BY changed_at LIMIT ").bind(limit).push(") RETURNING rev");
    let rows = sql.all(tx).await?;
    let mut newest = 0_i64;
    for row in &rows {
        newest = newest.max(row.try_get_by_index(0)?);
    }
    let mut sql = Sql::new(tx);
    sql.push("UPDATE local_clock SET pruned = ").bind(newest).push(" WHERE id = 1 AND pruned < ").bind(newest);
    sql.run(tx).await?;
    Ok(rows.len() as u64)
}

/// The changes after the record `number` of revision `rev`, in order, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn changes(
    conn: &impl ConnectionTrait,
    (rev, number): (i64, i64),
    limit: i64,
) -> Result<Vec<Changed>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT number, rev, namespace, deleted, code, facets FROM local_records WHERE (rev, number) > (");
    sql.bind(rev).push(", ").bind(number).push(") ORDER BY rev, number LIMIT ").bind(limit);
    let read = |row: QueryResult| {
        let content =
            if row.try_get_by_index(3)? { None } else { Some((row.try_get_by_index(4)?, row.try_get_by_index(5)?)) };
        Ok(Changed {
            number: row.try_get_by_index(0)?,
            rev: row.try_get_by_index(1)?,
            namespace: row.try_get_by_index(2)?,
            content,
        })
    };
    sql.all(conn).await?.into_iter().map(read).collect()
}

fn numbers_in(sql: &mut Sql, column: &str, numbers: &[i64]) {
    let list: Vec<String> = numbers.iter().map(i64::to_string).collect();
    let list = format!("[{}]", list.join(","));
    sql.push(column);
    if sql.is_postgres() {
        sql.push(" = ANY (ARRAY(SELECT json_array_elements_text((").bind(list).push(")::json)::bigint))");
    } else {
        sql.push(" IN (SELECT value FROM json_each(").bind(list).push("))");
    }
}

/// Vectors and ids of the records at these addresses that still exist.
///
/// # Errors
/// What the database says.
pub async fn candidates(conn: &impl ConnectionTrait, numbers: &[i64]) -> Result<Vec<Candidate>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT r.number, r.namespace, r.vector_id, c.vector FROM local_records r JOIN local_contents c ON c.number = r.number WHERE ");
    numbers_in(&mut sql, "r.number", numbers);
    let read = |row: QueryResult| {
        Ok(Candidate {
            number: row.try_get_by_index(0)?,
            namespace: row.try_get_by_index(1)?,
            vector_id: row.try_get_by_index(2)?,
            vector: row.try_get_by_index(3)?,
        })
    };
    sql.all(conn).await?.into_iter().map(read).collect()
}

/// Metadata of the records at these addresses that still exist.
///
/// # Errors
/// What the database says.
pub async fn metadata(conn: &impl ConnectionTrait, numbers: &[i64]) -> Result<Vec<(i64, String)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT number, metadata FROM local_contents WHERE ");
    numbers_in(&mut sql, "number", numbers);
    sql.all(conn).await?.into_iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Records of these ids: id, metadata, vector.
///
/// # Errors
/// What the database says.
pub async fn fetch(
    conn: &impl ConnectionTrait,
    namespace: &str,
    ids: &[String],
) -> Result<Vec<(String, String, Vec<u8>)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT r.vector_id, c.metadata, c.vector FROM local_records r JOIN local_contents c ON c.number = r.number WHERE NOT r.deleted AND r.namespace = ");
    sql.bind(namespace).push(" AND ").is_any("r.vector_id", ids).push(" ORDER BY r.vector_id");
    let read = |row: QueryResult| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?));
    sql.all(conn).await?.into_iter().map(read).collect()
}

/// Ids of a namespace after `after`, bytewise, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn list(conn: &impl ConnectionTrait, namespace: &str, after: &str, limit: i64) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT vector_id FROM local_records WHERE NOT deleted AND namespace = ").bind(namespace);
    sql.push(" AND vector_id > ").bind(after).push(" ORDER BY vector_id LIMIT ").bind(limit);
    sql.all(conn).await?.into_iter().map(|row| row.try_get_by_index(0)).collect()
}

/// How many records each namespace has, sorted by name.
///
/// # Errors
/// What the database says.
pub async fn counts(conn: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT namespace, count(*) FROM local_records WHERE NOT deleted GROUP BY namespace ORDER BY namespace");
    sql.all(conn).await?.into_iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}
