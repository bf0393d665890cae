//! Slots and jobs, as lists read them.

use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::QueryOrder;

use crate::entity::sync_job;
use crate::entity::sync_target;
use crate::store::Db;
use crate::store::filter::JobFilter;
use crate::store::filter::SlotFilter;
use crate::store::graph;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::slots;
use crate::store::slots::SlotState;
use crate::store::sql::Sql;

/// One record the index should or should not hold. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// The target's name.
    pub target: Option<String>,
    /// The record's namespace.
    pub namespace: String,
    /// The record's id.
    pub vector_id: String,
    /// Where it stands.
    pub state: SlotState,
    /// Grows with every touch.
    pub want_rev: i64,
    /// The newest revision the target acknowledged.
    pub acked_rev: i64,
    /// Failed tries.
    pub attempts: i64,
    /// When there is something to do.
    pub due_at: Option<i64>,
    /// When the target acknowledged it.
    pub acked_at: Option<i64>,
    /// Why it is not tried again.
    pub quarantine: Option<String>,
    /// Code of the last failure.
    pub error_code: Option<String>,
    /// Text of the last failure.
    pub error_text: Option<String>,
    /// Time of the last failure.
    pub error_at: Option<i64>,
    /// The last change of the slot.
    pub updated_at: i64,
}

impl FromRow for SlotRow {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        let state = row.text(at + 3)?;
        Ok(Self {
            target: row.text_or_null(at)?,
            namespace: row.text(at + 1)?,
            vector_id: row.text(at + 2)?,
            state: SlotState::from_name(&state).ok_or_else(|| DbErr::Custom(format!("a slot is {state}")))?,
            want_rev: row.int(at + 4)?,
            acked_rev: row.int(at + 5)?,
            attempts: row.int(at + 6)?,
            due_at: row.int_or_null(at + 7)?,
            acked_at: row.int_or_null(at + 8)?,
            quarantine: row.text_or_null(at + 9)?,
            error_code: row.text_or_null(at + 10)?,
            error_text: row.text_or_null(at + 11)?,
            error_at: row.int_or_null(at + 12)?,
            updated_at: row.int(at + 13)?,
        })
    }
}

/// All slots of the target, by namespace and id.
pub static SLOTS: List =
    List { name: "slots", columns: &[("s.namespace", Kind::Text), ("s.vector_id", Kind::Text)], descending: false };

/// The key of a slot in [`SLOTS`].
#[must_use]
pub fn slot_key(row: &SlotRow) -> Vec<Part> {
    vec![Part::Text(row.namespace.clone()), Part::Text(row.vector_id.clone())]
}

/// The columns from the state's on.
fn slot_columns(sql: &mut Sql) {
    sql.push(
        ", COALESCE(s.want_rev, 0), COALESCE(s.acked_rev, 0), CAST(COALESCE(s.attempts, 0) AS BIGINT), s.due_at, \
         s.acked_at, s.quarantine, s.error_code, s.error_text, s.error_at, COALESCE(s.updated_at, 0)",
    );
}

/// The slots of these embeddings, each with the embedding's place; of one that was never wanted, what it would be.
///
/// # Errors
/// What the database says.
pub async fn slots_of_embeddings<S: AsRef<str>>(
    db: &Db,
    target_id: i64,
    embeddings: &[S],
) -> Result<Vec<(i64, SlotRow)>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT p.key, (SELECT n.name FROM sync_targets n WHERE n.id = ").bind(target_id);
    sql.push("), d.namespace, e.vector_id, ").push(slots::EMBEDDING_STATE);
    slot_columns(&mut sql);
    graph::from_parents(&mut sql, embeddings);
    sql.push(" CROSS JOIN embeddings e CROSS JOIN documents d");
    sql.push(slots::JOIN_SLOT.0).bind(target_id).push(slots::JOIN_SLOT.1);
    sql.push(" WHERE e.id = p.value AND d.id = e.document_id");
    read::rows(db, sql).await
}

/// A slot is held when its embedding, still at this place, is.
const STATE: &str = "CASE WHEN e.held THEN 'HELD' ELSE ";

fn from_slots(sql: &mut Sql, target_id: i64, filter: &SlotFilter) {
    sql.push(
        " FROM sync_slots s LEFT JOIN sync_targets t ON t.id = s.target_id \
         LEFT JOIN embeddings e ON e.id = s.embedding_id AND e.vector_id = s.vector_id WHERE s.target_id = ",
    );
    sql.bind(target_id);
    if let Some(document) = &filter.document_id {
        sql.push(" AND s.document_id = ").bind(document.as_str());
    }
    if let Some(states) = &filter.states {
        // The index on the quarantined is for this question alone.
        if states.as_slice() == [SlotState::Quarantined] {
            sql.push(" AND s.quarantine IS NOT NULL");
        }
        let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
        sql.push(" AND ").is_any(&format!("({STATE}{} END)", slots::SLOT_STATE), &names);
    }
}

/// A page of the slots that match.
///
/// # Errors
/// What the database says.
pub async fn slots(db: &Db, target_id: i64, filter: &SlotFilter, window: &Window) -> Result<Page<SlotRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT t.name, s.namespace, s.vector_id, ").push(STATE).push(slots::SLOT_STATE).push(" END");
    slot_columns(&mut sql);
    from_slots(&mut sql, target_id, filter);
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many slots match.
///
/// # Errors
/// What the database says.
pub async fn count_slots(db: &Db, target_id: i64, filter: &SlotFilter) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*)");
    from_slots(&mut sql, target_id, filter);
    read::number(db, sql).await
}

/// The targets, oldest first.
///
/// # Errors
/// What the database says.
pub async fn targets(db: &Db) -> Result<Vec<sync_target::Model>, DbErr> {
    sync_target::Entity::find().order_by_asc(sync_target::Column::Id).all(db.read()).await
}

/// All jobs, newest first.
pub static JOBS: List =
    List { name: "jobs", columns: &[("j.created_at", Kind::Int), ("j.id", Kind::Text)], descending: true };

/// The key of a job in [`JOBS`].
#[must_use]
pub fn job_key(row: &sync_job::Model) -> Vec<Part> {
    vec![Part::Int(row.created_at), Part::Text(row.id.clone())]
}

const JOB: &str = "SELECT j.id, j.kind, j.scope_key, j.target_id, j.state, j.epoch, j.total, j.done, j.failed, \
    j.upserted, j.deleted, j.event_seq, j.cancel_requested, j.deadline_at, j.blocked_reason, j.visibility, j.owner, \
    j.error_text, j.created_at, j.finished_at, j.batch_size, j.report, j.place FROM sync_jobs j WHERE ";

impl FromRow for sync_job::Model {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.text(at)?,
            kind: row.text(at + 1)?,
            scope_key: row.text(at + 2)?,
            target_id: row.int(at + 3)?,
            state: row.text(at + 4)?,
            epoch: row.int(at + 5)?,
            total: row.int(at + 6)?,
            done: row.int(at + 7)?,
            failed: row.int(at + 8)?,
            upserted: row.int(at + 9)?,
            deleted: row.int(at + 10)?,
            event_seq: row.int(at + 11)?,
            cancel_requested: row.short(at + 12)?,
            deadline_at: row.int_or_null(at + 13)?,
            blocked_reason: row.text_or_null(at + 14)?,
            visibility: row.text(at + 15)?,
            owner: row.text_or_null(at + 16)?,
            error_text: row.text_or_null(at + 17)?,
            created_at: row.int(at + 18)?,
            finished_at: row.int_or_null(at + 19)?,
            batch_size: row.int_or_null(at + 20)?,
            report: row.text_or_null(at + 21)?,
            place: row.text_or_null(at + 22)?,
        })
    }
}

/// The jobs of these ids, in no order.
///
/// # Errors
/// What the database says.
pub async fn jobs_by_ids<S: AsRef<str>>(db: &Db, ids: &[S]) -> Result<Vec<sync_job::Model>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push(JOB).is_any("j.id", ids);
    read::rows(db, sql).await
}

fn job_filter(sql: &mut Sql, filter: &JobFilter) {
    sql.push("TRUE");
    if let Some(states) = &filter.states {
        let plus = if sql.is_postgres() { "" } else { "+" };
        sql.push(" AND ").is_any(&format!("{plus}j.state"), states);
    }
    if let Some(kind) = filter.kind {
        sql.push(" AND j.kind = ").bind(kind);
    }
}

/// A page of the jobs that match.
///
/// # Errors
/// What the database says.
pub async fn jobs(db: &Db, filter: &JobFilter, window: &Window) -> Result<Page<sync_job::Model>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push(JOB);
    job_filter(&mut sql, filter);
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many jobs match.
///
/// # Errors
/// What the database says.
pub async fn count_jobs(db: &Db, filter: &JobFilter) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*) FROM sync_jobs j WHERE ");
    job_filter(&mut sql, filter);
    read::number(db, sql).await
}
