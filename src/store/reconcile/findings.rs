//! `sync_findings`: what checks saw once, and what they saw again.
//!
//! A finding counts when it was seen twice; until then it is kept as a suspect, so
//! that a check goes on where it stood whoever drives it.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::Db;
use crate::store::Tx;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::reconcile::Class;
use crate::store::sql::Sql;

/// What was seen of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it differs.
    pub class: Class,
    /// The record's namespace.
    pub namespace: String,
    /// The record's id.
    pub vector_id: String,
    /// The revision of its slot then; 0 without one.
    pub rev: i64,
    /// What differs, in one line.
    pub detail: Option<String>,
    /// How often it was looked at.
    pub looks: i64,
}

/// A finding that was seen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// What was seen.
    pub seen: Seen,
    /// When.
    pub at: i64,
}

/// Keeps what was seen; of a record that was seen already, the newer sight.
///
/// # Errors
/// What the database says.
pub async fn keep(tx: &Tx, job_id: &str, seen: &[Seen], confirmed: bool) -> Result<(), DbErr> {
    for seen in seen {
        let mut sql = Sql::new(tx);
        sql.push("INSERT INTO sync_findings (job_id, class, namespace, vector_id, detail, seen_at, seen_rev, looks, confirmed) VALUES (");
        sql.bind(job_id).push(", ").bind(seen.class.name()).push(", ").bind(seen.namespace.as_str());
        sql.push(", ").bind(seen.vector_id.as_str()).push(", ").bind(seen.detail.clone());
        sql.push(", ").bind(tx.now_ms()).push(", ").bind(seen.rev).push(", ").bind(seen.looks);
        sql.push(", ").bind(confirmed);
        sql.push(") ON CONFLICT (job_id, class, namespace, vector_id) DO UPDATE SET detail = excluded.detail, seen_at = excluded.seen_at, seen_rev = excluded.seen_rev, looks = excluded.looks, confirmed = excluded.confirmed");
        sql.run(tx).await?;
    }
    Ok(())
}

/// Forgets a suspect.
///
/// # Errors
/// What the database says.
pub async fn forget(tx: &Tx, job_id: &str, seen: &Seen) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM sync_findings WHERE NOT confirmed AND job_id = ").bind(job_id);
    sql.push(" AND class = ").bind(seen.class.name()).push(" AND namespace = ").bind(seen.namespace.as_str());
    sql.push(" AND vector_id = ").bind(seen.vector_id.as_str());
    sql.run(tx).await?;
    Ok(())
}

/// Marks a finding as mended.
///
/// # Errors
/// What the database says.
pub async fn mended(tx: &Tx, job_id: &str, seen: &Seen) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_findings SET repaired = TRUE WHERE job_id = ").bind(job_id);
    sql.push(" AND class = ").bind(seen.class.name()).push(" AND namespace = ").bind(seen.namespace.as_str());
    sql.push(" AND vector_id = ").bind(seen.vector_id.as_str());
    sql.run(tx).await?;
    Ok(())
}

/// The suspects behind `after` that were seen before `before_ms`, in the order of namespaces and ids.
///
/// # Errors
/// What the database says.
pub async fn suspects(
    conn: &impl ConnectionTrait,
    job_id: &str,
    after: Option<&(String, String)>,
    before_ms: i64,
    limit: usize,
) -> Result<Vec<Suspect>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT class, namespace, vector_id, detail, seen_rev, looks, seen_at FROM sync_findings WHERE job_id = ");
    sql.bind(job_id).push(" AND NOT confirmed AND seen_at <= ").bind(before_ms);
    if let Some((namespace, vector_id)) = after {
        sql.push(" AND (namespace, vector_id) > (").bind(namespace.as_str()).push(", ");
        sql.bind(vector_id.as_str()).push(")");
    }
    sql.push(" ORDER BY namespace, vector_id LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.all(conn).await?.iter().map(suspect).collect()
}

fn suspect(row: &QueryResult) -> Result<Suspect, DbErr> {
    let class: String = row.try_get_by_index(0)?;
    Ok(Suspect {
        seen: Seen {
            class: Class::from_name(&class).ok_or_else(|| DbErr::Custom(format!("a finding is {class}")))?,
            namespace: row.try_get_by_index(1)?,
            vector_id: row.try_get_by_index(2)?,
            detail: row.try_get_by_index(3)?,
            rev: row.try_get_by_index(4)?,
            looks: row.try_get_by_index(5)?,
        },
        at: row.try_get_by_index(6)?,
    })
}

/// When the oldest suspect of a job was seen; nothing when it has none.
///
/// # Errors
/// What the database says.
pub async fn oldest_suspect(conn: &impl ConnectionTrait, job_id: &str) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT min(seen_at) FROM sync_findings WHERE NOT confirmed AND job_id = ").bind(job_id);
    sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// How many records each namespace holds that are none of ours, as the newest finished check found them.
///
/// # Errors
/// What the database says.
pub async fn strangers(conn: &impl ConnectionTrait, target_id: i64) -> Result<HashMap<String, i64>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT namespace, count(*) FROM sync_findings WHERE confirmed AND NOT repaired AND class IN ('foreign', 'legacy') AND job_id = (SELECT j.id FROM sync_jobs j WHERE j.target_id = ");
    sql.bind(target_id).push(" AND j.kind = 'reconcile' AND j.state IN ('completed', 'completed_with_errors') ORDER BY j.created_at DESC, j.id DESC LIMIT 1) GROUP BY namespace");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// One finding, as lists read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    /// How the record and its rows differ.
    pub class: Class,
    /// The record's namespace.
    pub namespace: String,
    /// The record's id.
    pub vector_id: String,
    /// What differs, in one line.
    pub detail: Option<String>,
}

impl FromRow for FindingRow {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        let class = row.text(at)?;
        Ok(Self {
            class: Class::from_name(&class).ok_or_else(|| DbErr::Custom(format!("a finding is {class}")))?,
            namespace: row.text(at + 1)?,
            vector_id: row.text(at + 2)?,
            detail: row.text_or_null(at + 3)?,
        })
    }
}

/// The findings of a job, by class, namespace and id.
pub static FINDINGS: List = List {
    name: "findings",
    columns: &[("f.class", Kind::Text), ("f.namespace", Kind::Text), ("f.vector_id", Kind::Text)],
    descending: false,
};

/// The key of a finding in [`FINDINGS`].
#[must_use]
pub fn finding_key(row: &FindingRow) -> Vec<Part> {
    vec![Part::Text(row.class.name().to_owned()), Part::Text(row.namespace.clone()), Part::Text(row.vector_id.clone())]
}

fn of_job(sql: &mut Sql, job_id: &str, class: Option<Class>) {
    sql.push(" FROM sync_findings f WHERE f.confirmed AND f.job_id = ").bind(job_id);
    if let Some(class) = class {
        sql.push(" AND f.class = ").bind(class.name());
    }
}

/// A page of the findings of a job.
///
/// # Errors
/// What the database says.
pub async fn list(db: &Db, job_id: &str, class: Option<Class>, window: &Window) -> Result<Page<FindingRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT f.class, f.namespace, f.vector_id, f.detail");
    of_job(&mut sql, job_id, class);
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many findings of a class a job has kept.
///
/// # Errors
/// What the database says.
pub async fn count(db: &Db, job_id: &str, class: Option<Class>) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*)");
    of_job(&mut sql, job_id, class);
    read::number(db, sql).await
}
