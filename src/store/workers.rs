//! `sync_workers`: who is alive, told by a beat that moves (sync.md 4.2).

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;

use crate::store::Tx;
use crate::store::claims;
use crate::store::sql::Sql;

/// Registers a worker.
///
/// # Errors
/// What the database says.
pub async fn register(tx: &Tx, id: &str) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO sync_workers (worker_id, beat, state, started_at) VALUES (").bind(id);
    sql.push(", 0, 'live', ").bind(tx.now_ms()).push(")");
    sql.run(tx).await?;
    Ok(())
}

/// Moves the beat; false when the worker was declared dead.
///
/// # Errors
/// What the database says.
pub async fn beat(tx: &Tx, id: &str) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_workers SET beat = beat + 1 WHERE state = 'live' AND worker_id = ").bind(id);
    Ok(sql.run(tx).await? == 1)
}

/// The beats of all live workers.
///
/// # Errors
/// What the database says.
pub async fn live(conn: &impl ConnectionTrait) -> Result<Vec<(String, i64)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT worker_id, beat FROM sync_workers WHERE state = 'live' ORDER BY worker_id");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Workers that have claims and no row.
///
/// A claim that was under way while others buried its worker is such a one.
///
/// # Errors
/// What the database says.
pub async fn ghosts(conn: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT DISTINCT s.claim_worker FROM sync_slots s WHERE s.claim_worker IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM sync_workers w WHERE w.worker_id = s.claim_worker) ORDER BY 1",
    );
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Declares a worker dead whose beat still is the one that was seen, and takes its claims and its jobs.
///
/// # Errors
/// What the database says.
pub async fn bury(tx: &Tx, id: &str, beat: i64, doubt_ms: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_workers SET state = 'dead' WHERE state = 'live' AND worker_id = ").bind(id);
    sql.push(" AND beat = ").bind(beat);
    if sql.run(tx).await? == 0 {
        return Ok(false);
    }
    leave(tx, id, doubt_ms).await?;
    Ok(true)
}

/// Takes the claims and the jobs of a worker, and removes it.
///
/// # Errors
/// What the database says.
pub async fn leave(tx: &Tx, id: &str, doubt_ms: i64) -> Result<u64, DbErr> {
    let taken = claims::reap(tx, id, doubt_ms).await?;
    let mut jobs = Sql::new(tx);
    jobs.push("UPDATE sync_jobs SET owner = NULL WHERE owner = ").bind(id);
    jobs.push(" AND state IN ('queued', 'running', 'settling', 'verifying')");
    jobs.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM sync_workers WHERE worker_id = ").bind(id);
    sql.run(tx).await?;
    Ok(taken)
}

/// Takes the claims and the jobs of all workers: only for whoever holds the lock of a SQLite file.
///
/// # Errors
/// What the database says.
pub async fn bury_all(tx: &Tx, doubt_ms: i64) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push(
        "SELECT worker_id FROM sync_workers UNION SELECT claim_worker FROM sync_slots WHERE claim_worker IS NOT NULL",
    );
    for row in sql.all(tx).await? {
        let id: String = row.try_get_by_index(0)?;
        leave(tx, &id, doubt_ms).await?;
    }
    Ok(())
}
