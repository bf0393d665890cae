//! `sync_jobs` and `sync_events`: explicit syncs that somebody follows.
//!
//! A job is changed only under its row lock and together with the event that tells
//! of it, so that the numbers of events are dense and in the order of the commits.

use std::collections::HashMap;

use std::collections::HashSet;

use sea_orm::ActiveModelTrait;
use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::IntoActiveModel;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;
use sea_orm::QuerySelect;
use serde::Deserialize;
use serde::Serialize;

use crate::entity::sync_job;
use crate::entity::sync_job::Column;
use crate::entity::sync_job::Entity;
use crate::entity::sync_job::Model;
use crate::store::Tx;
use crate::store::sql::Sql;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Nobody has taken it up yet.
    Queued,
    /// Records are being sent.
    Running,
    /// Only records in doubt remain.
    Settling,
    /// All is acknowledged; the index does not show all of it yet.
    Verifying,
    /// Done.
    Completed,
    /// Done, and some records were refused.
    CompletedWithErrors,
    /// Ended by request.
    Cancelled,
    /// Ended at its deadline.
    Failed,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Settling,
        Self::Verifying,
        Self::Completed,
        Self::CompletedWithErrors,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Settling => "settling",
            Self::Verifying => "verifying",
            Self::Completed => "completed",
            Self::CompletedWithErrors => "completed_with_errors",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Settling | Self::Verifying => false,
            Self::Completed | Self::CompletedWithErrors | Self::Cancelled | Self::Failed => true,
        }
    }
}

/// The state of a row. A name that nobody wrote reads as failed.
#[must_use]
pub fn state(job: &Model) -> JobState {
    JobState::from_name(&job.state).unwrap_or(JobState::Failed)
}

/// One event of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEvent {
    /// Its number: dense, from 1.
    pub seq: i64,
    /// `state` or `progress`.
    pub kind: String,
    /// Milliseconds since 1970.
    pub at: i64,
    /// One sentence, where there is something to say.
    pub message: Option<String>,
    /// The job as it was then.
    pub job: Model,
}

/// What an event tells of its job.
#[derive(Debug, Serialize, Deserialize)]
struct Body {
    state: String,
    total: i64,
    done: i64,
    failed: i64,
    upserted: i64,
    deleted: i64,
    visibility: String,
    blocked: Option<String>,
    error: Option<String>,
    finished_at: Option<i64>,
    message: Option<String>,
    #[serde(default)]
    report: Option<String>,
}

/// What kind of news an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The state, the reason to wait or the visibility changed: never left out.
    State,
    /// Only counters moved.
    Progress,
}

/// The job of that id.
///
/// # Errors
/// What the database says.
pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// Locks the job of that id and reads it.
///
/// # Errors
/// What the database says.
pub async fn lock(tx: &Tx, id: &str) -> Result<Option<Model>, DbErr> {
    let find = Entity::find_by_id(id);
    if Sql::new(tx).is_postgres() { find.lock_exclusive().one(tx).await } else { find.one(tx).await }
}

const ACTIVE: [&str; 4] =
    [JobState::Queued.name(), JobState::Running.name(), JobState::Settling.name(), JobState::Verifying.name()];

/// The job of that scope that has not ended.
///
/// # Errors
/// What the database says.
pub async fn find_active(conn: &impl ConnectionTrait, target_id: i64, scope_key: &str) -> Result<Option<Model>, DbErr> {
    Entity::find()
        .filter(Column::TargetId.eq(target_id))
        .filter(Column::ScopeKey.eq(scope_key))
        .filter(Column::State.is_in(ACTIVE))
        .one(conn)
        .await
}

/// All jobs of the target that have not ended, oldest first.
///
/// # Errors
/// What the database says.
pub async fn active(conn: &impl ConnectionTrait, target_id: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::TargetId.eq(target_id))
        .filter(Column::State.is_in(ACTIVE))
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .all(conn)
        .await
}

/// Raises the epoch and gives the new one: the row lock puts job starts in an order.
///
/// # Errors
/// What the database says.
pub async fn next_epoch(tx: &Tx) -> Result<i64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_clock SET epoch = epoch + 1 WHERE id = 1 RETURNING epoch");
    let row = sql.one(tx).await?.ok_or_else(|| DbErr::RecordNotFound("sync_clock".to_owned()))?;
    row.try_get_by_index(0)
}

/// Takes an idempotency key for a request; gives the request and the job of whoever took it since `since_ms`.
///
/// Two transactions that take one key at the same time wait for each other.
///
/// # Errors
/// What the database says.
pub async fn take_key(
    tx: &Tx,
    key: &str,
    request: &str,
    job_id: &str,
    since_ms: i64,
) -> Result<Option<(String, String)>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO sync_job_keys (idempotency_key, request, job_id, at) VALUES (").bind(key);
    sql.push(", ").bind(request).push(", ").bind(job_id).push(", ").bind(tx.now_ms());
    sql.push(
        ") ON CONFLICT (idempotency_key) DO UPDATE SET request = excluded.request, job_id = excluded.job_id, \
         at = excluded.at WHERE sync_job_keys.at < ",
    );
    sql.bind(since_ms);
    if sql.run(tx).await? == 1 {
        return Ok(None);
    }
    let mut sql = Sql::new(tx);
    sql.push("SELECT request, job_id FROM sync_job_keys WHERE idempotency_key = ").bind(key);
    sql.one(tx).await?.map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).transpose()
}

/// Says which job a key that was taken in this transaction led to.
///
/// # Errors
/// What the database says.
pub async fn settle_key(tx: &Tx, key: &str, job_id: &str) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_job_keys SET job_id = ").bind(job_id).push(" WHERE idempotency_key = ").bind(key);
    sql.run(tx).await?;
    Ok(())
}

/// Inserts a job with its first event.
///
/// # Errors
/// What the database says.
pub async fn insert(tx: &Tx, job: &mut Model) -> Result<(), DbErr> {
    job.event_seq = 1;
    Entity::insert(job.clone().into_active_model()).exec_without_returning(tx).await?;
    tell(tx, job, News::State, None).await
}

/// Writes every column of a job that was locked, with an event that tells of it.
///
/// # Errors
/// What the database says.
pub async fn update(tx: &Tx, job: &mut Model, news: News, message: Option<String>) -> Result<(), DbErr> {
    job.event_seq += 1;
    save(tx, job).await?;
    tell(tx, job, news, message).await
}

/// Writes every column of a job that was locked, and tells nobody: the next event will.
///
/// # Errors
/// What the database says.
pub async fn save(tx: &Tx, job: &Model) -> Result<(), DbErr> {
    let row = job.clone().into_active_model().reset_all();
    Entity::update_many().set(row).filter(Column::Id.eq(job.id.as_str())).exec(tx).await?;
    Ok(())
}

async fn tell(tx: &Tx, job: &Model, news: News, message: Option<String>) -> Result<(), DbErr> {
    let body = Body {
        state: job.state.clone(),
        total: job.total,
        done: job.done,
        failed: job.failed,
        upserted: job.upserted,
        deleted: job.deleted,
        visibility: job.visibility.clone(),
        blocked: job.blocked_reason.clone(),
        error: job.error_text.clone(),
        finished_at: job.finished_at,
        message,
        report: job.report.clone(),
    };
    let body = serde_json::to_string(&body).map_err(|error| DbErr::Json(error.to_string()))?;
    let kind = match news {
        News::State => "state",
        News::Progress => "progress",
    };
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO sync_events (job_id, seq, kind, body, at) VALUES (").bind(job.id.as_str());
    sql.push(", ").bind(job.event_seq).push(", ").bind(kind).push(", ").bind(body);
    sql.push(", ").bind(tx.now_ms()).push(")");
    sql.run(tx).await?;
    Ok(())
}

/// The events of a job after number `seq`, in order.
///
/// # Errors
/// What the database says.
pub async fn events_after(
    conn: &impl ConnectionTrait,
    job: &Model,
    seq: i64,
    limit: u64,
) -> Result<Vec<JobEvent>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT seq, kind, body, at FROM sync_events WHERE job_id = ").bind(job.id.as_str());
    sql.push(" AND seq > ").bind(seq).push(" ORDER BY seq LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.all(conn)
        .await?
        .into_iter()
        .map(|row| {
            let seq = row.try_get_by_index(0)?;
            let body: String = row.try_get_by_index(2)?;
            let body: Body = serde_json::from_str(&body).map_err(|error| DbErr::Json(error.to_string()))?;
            Ok(JobEvent {
                seq,
                kind: row.try_get_by_index(1)?,
                at: row.try_get_by_index(3)?,
                message: body.message,
                job: Model {
                    state: body.state,
                    total: body.total,
                    done: body.done,
                    failed: body.failed,
                    upserted: body.upserted,
                    deleted: body.deleted,
                    visibility: body.visibility,
                    blocked_reason: body.blocked,
                    error_text: body.error,
                    finished_at: body.finished_at,
                    report: body.report,
                    event_seq: seq,
                    ..job.clone()
                },
            })
        })
        .collect()
}

/// The number of the newest event of each of these jobs.
///
/// # Errors
/// What the database says.
pub async fn numbers(conn: &impl ConnectionTrait, ids: &[String]) -> Result<HashMap<String, i64>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT id, event_seq FROM sync_jobs WHERE ").is_any("id", ids);
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// The name of a target.
///
/// # Errors
/// What the database says.
pub async fn target_name(conn: &impl ConnectionTrait, target_id: i64) -> Result<Option<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT name FROM sync_targets WHERE id = ").bind(target_id);
    sql.one(conn).await?.map(|row| row.try_get_by_index(0)).transpose()
}

/// Names the slots of a job whose scope is a list.
///
/// # Errors
/// What the database says.
pub async fn name_slots(tx: &Tx, job_id: &str, keys: &[(String, String)]) -> Result<(), DbErr> {
    for page in keys.chunks(1000) {
        let mut sql = Sql::new(tx);
        sql.push("INSERT INTO sync_job_slots (job_id, namespace, vector_id) VALUES ");
        for (i, (namespace, vector_id)) in page.iter().enumerate() {
            sql.push(if i > 0 { ", (" } else { "(" }).bind(job_id).push(", ").bind(namespace.as_str());
            sql.push(", ").bind(vector_id.as_str()).push(")");
        }
        sql.push(" ON CONFLICT DO NOTHING");
        sql.run(tx).await?;
    }
    Ok(())
}

/// What remains of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remains {
    /// Slots that the index may lag behind since before the job started, quarantined ones left out.
    pub open: i64,
    /// Those of them that are acknowledged and only wait for the end of a doubt.
    pub in_doubt: i64,
    /// Slots in scope that are quarantined.
    pub quarantined: i64,
    /// Open slots that a worker is sending.
    pub in_flight: i64,
}

/// A scope as the job's key tells it.
enum Within<'a> {
    Target,
    Document(&'a str),
    Named,
}

/// Whether a job is over everything: such an export, or what follows a new generation.
#[must_use]
pub fn is_over_all(job: &Model) -> bool {
    job.scope_key == UNSYNCED || job.scope_key == REBASE
}

fn within(job: &Model) -> Within<'_> {
    if is_over_all(job) {
        Within::Target
    } else if let Some(id) = job.scope_key.strip_prefix(DOCUMENT) {
        Within::Document(id)
    } else {
        Within::Named
    }
}

/// The scope key of everything.
pub const UNSYNCED: &str = "unsynced";
/// The scope key of a check that follows a new generation: it ends when everything was sent again.
pub const REBASE: &str = "reconcile:rebase";
/// What the scope key of a document begins with.
pub const DOCUMENT: &str = "document:";

/// Adds `sync_slots s` and the job's scope, for a condition to follow.
fn from_scope(sql: &mut Sql, job: &Model) {
    match within(job) {
        Within::Target => {
            sql.push(" FROM sync_slots s JOIN sync_targets t ON t.id = s.target_id WHERE s.target_id = ")
                .bind(job.target_id);
        }
        Within::Document(id) => {
            sql.push(" FROM sync_slots s JOIN sync_targets t ON t.id = s.target_id WHERE s.target_id = ")
                .bind(job.target_id);
            sql.push(" AND s.document_id = ").bind(id);
        }
        Within::Named => {
            sql.push(
                " FROM sync_job_slots j JOIN sync_slots s ON s.namespace = j.namespace AND s.vector_id = j.vector_id",
            );
            sql.push(" AND s.target_id = ").bind(job.target_id);
            sql.push(" JOIN sync_targets t ON t.id = s.target_id WHERE j.job_id = ").bind(job.id.as_str());
        }
    }
}

/// Counts what remains of a job.
///
/// # Errors
/// What the database says.
pub async fn remains(conn: &impl ConnectionTrait, job: &Model) -> Result<Remains, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT COALESCE(sum(CASE WHEN s.quarantine IS NULL THEN 1 ELSE 0 END), 0), \
         COALESCE(sum(CASE WHEN s.quarantine IS NULL AND s.claim_token IS NULL AND s.acked_rev = s.want_rev AND s.acked_gen = t.generation \
           AND s.doubt_until > s.acked_from AND COALESCE(s.doubt_hash, '') <> COALESCE(s.acked_hash, '') THEN 1 ELSE 0 END), 0), \
         COALESCE(sum(CASE WHEN s.quarantine IS NOT NULL THEN 1 ELSE 0 END), 0), \
         COALESCE(sum(CASE WHEN s.quarantine IS NULL AND s.claim_token IS NOT NULL THEN 1 ELSE 0 END), 0)",
    );
    from_scope(&mut sql, job);
    sql.push(" AND s.dirty_epoch <= ").bind(job.epoch);
    let Some(row) = sql.one(conn).await? else { return Ok(Remains::default()) };
    Ok(Remains {
        open: row.try_get_by_index(0)?,
        in_doubt: row.try_get_by_index(1)?,
        quarantined: row.try_get_by_index(2)?,
        in_flight: row.try_get_by_index(3)?,
    })
}

/// Adds acknowledged records to a job's counters; the next event tells of them.
///
/// # Errors
/// What the database says.
pub async fn count(tx: &Tx, id: &str, upserted: i64, deleted: i64) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_jobs SET upserted = upserted + ").bind(upserted);
    sql.push(", deleted = deleted + ").bind(deleted).push(" WHERE id = ").bind(id);
    sql.push(" AND state IN ('queued', 'running', 'settling', 'verifying')");
    sql.run(tx).await?;
    Ok(())
}

/// The greatest sequence number that was acknowledged in each namespace of the job's scope.
///
/// # Errors
/// What the database says.
pub async fn acknowledged_lsn(conn: &impl ConnectionTrait, job: &Model) -> Result<Vec<(String, i64)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT s.namespace, max(s.acked_lsn)");
    from_scope(&mut sql, job);
    sql.push(" AND s.acked_lsn IS NOT NULL GROUP BY s.namespace ORDER BY s.namespace");
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// Removes keys from before `before_ms`, and events, slot lists and findings of jobs that ended before it; the jobs themselves stay as history.
///
/// # Errors
/// What the database says.
pub async fn prune(tx: &Tx, before_ms: i64) -> Result<(), DbErr> {
    for table in ["sync_events", "sync_job_slots", "sync_findings"] {
        let mut sql = Sql::new(tx);
        sql.push("DELETE FROM ").push(table);
        sql.push(" WHERE job_id IN (SELECT id FROM sync_jobs WHERE finished_at < ").bind(before_ms).push(")");
        sql.run(tx).await?;
    }
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM sync_job_keys WHERE at < ").bind(before_ms);
    sql.run(tx).await?;
    Ok(())
}

/// A job that has just been asked for.
#[must_use]
pub fn new(id: String, scope_key: String, target_id: i64, epoch: i64, now_ms: i64) -> Model {
    sync_job::Model {
        id,
        kind: "export".to_owned(),
        scope_key,
        target_id,
        state: JobState::Queued.name().to_owned(),
        epoch,
        total: 0,
        done: 0,
        failed: 0,
        upserted: 0,
        deleted: 0,
        event_seq: 0,
        cancel_requested: 0,
        deadline_at: None,
        blocked_reason: None,
        visibility: "pending".to_owned(),
        batch_size: None,
        owner: None,
        error_text: None,
        created_at: now_ms,
        finished_at: None,
        report: None,
        place: None,
    }
}

/// Which of these records are in a job's list.
///
/// # Errors
/// What the database says.
pub async fn named(
    conn: &impl ConnectionTrait,
    job_id: &str,
    namespace: &str,
    vector_ids: &[&str],
) -> Result<HashSet<String>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT vector_id FROM sync_job_slots WHERE job_id = ").bind(job_id);
    sql.push(" AND namespace = ").bind(namespace).push(" AND ").is_any("vector_id", vector_ids);
    sql.all(conn).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}
