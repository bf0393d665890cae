//! Ids are unique over documents, chunks, embeddings and jobs, so that an id names one row.
//!
//! Each table guards its own ids. [`taken`] looks into all of them; on PostgreSQL,
//! where two transactions may look at the same time, [`clash`] looks again once
//! the counter of the log is locked, which every writer holds until its commit.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;

use crate::store::sql::Sql;

/// The tables whose ids share one space.
const TABLES: [&str; 4] = ["documents", "chunks", "embeddings", "sync_jobs"];

/// Those of `ids` that a row has, once for every row.
///
/// # Errors
/// What the database says.
pub async fn taken<S: AsRef<str>>(conn: &impl ConnectionTrait, ids: &[S]) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(conn);
    for (i, table) in TABLES.iter().enumerate() {
        sql.push(if i > 0 { " UNION ALL SELECT id FROM " } else { "SELECT id FROM " });
        sql.push(table).push(" WHERE ").is_any("id", ids);
    }
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// One of `ids` that more than one row has.
///
/// # Errors
/// What the database says.
pub async fn clash<S: AsRef<str>>(conn: &impl ConnectionTrait, ids: &[S]) -> Result<Option<String>, DbErr> {
    let mut found = taken(conn, ids).await?;
    found.sort_unstable();
    Ok(found.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()))
}
