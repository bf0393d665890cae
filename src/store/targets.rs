//! `sync_targets`: the indexes, what is known of them, and the sweep of a new generation.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::QueryResult;
use serde_json::json;
use xxhash_rust::xxh3::xxh3_128;

use crate::entity::sync_target;
use crate::entity::sync_target::Entity;
use crate::entity::sync_target::Model;
use crate::store::Tx;
use crate::store::slots;
use crate::store::sql::Sql;

/// How many slots or rows one page of a sweep touches.
const PAGE: usize = 500;

/// Whether a target takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetState {
    /// It does.
    Active,
    /// Nothing will work until somebody mends it.
    Paused,
    /// It does not answer.
    Unreachable,
}

impl TargetState {
    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Unreachable => "unreachable",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Paused, Self::Unreachable].into_iter().find(|state| state.name() == name)
    }
}

/// The target of that id.
///
/// # Errors
/// What the database says.
pub async fn find(conn: &impl ConnectionTrait, id: i64) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(conn).await
}

/// What tells an index from any other one: a hash of its kind, of where it is unless there is one place only, and
/// of its name.
#[must_use]
pub fn identity(kind: &str, place: Option<&str>, name: &str) -> String {
    let parts: Vec<&str> = [Some(kind), place, Some(name)].into_iter().flatten().collect();
    format!("{:032x}", xxh3_128(parts.join("\n").as_bytes()))
}

/// What the configuration says of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The index's name.
    pub name: String,
    /// `local` or `pinecone`.
    pub kind: String,
    /// A hash of kind, host and index.
    pub identity: String,
    /// The dimension, when it is configured.
    pub dimension: Option<i32>,
    /// How it scores.
    pub metric: String,
}

/// Makes the row of a target say what is configured. Another index, or another dimension, is a new generation:
/// everything is sent again.
///
/// # Errors
/// What the database says.
pub async fn configure(tx: &Tx, id: i64, new: &Configured) -> Result<(), DbErr> {
    let Some(old) = find(tx, id).await? else {
        let row = sync_target::ActiveModel {
            id: sea_orm::Set(id),
            name: sea_orm::Set(new.name.clone()),
            kind: sea_orm::Set(new.kind.clone()),
            identity: sea_orm::Set(new.identity.clone()),
            generation: sea_orm::Set(1),
            sweep_after: sea_orm::Set(None),
            state: sea_orm::Set(TargetState::Active.name().to_owned()),
            reason: sea_orm::Set(None),
            dimension: sea_orm::Set(new.dimension),
            metric: sea_orm::Set(new.metric.clone()),
            checked_at: sea_orm::Set(None),
            corpus: sea_orm::Set(None),
            written: sea_orm::Set(false),
        };
        // Two replicas start together: one of them makes the row.
        let insert = Entity::insert(row).on_conflict_do_nothing();
        insert.exec_without_returning(tx).await?;
        return Ok(());
    };
    let other_dimension = new.dimension.is_some_and(|given| old.dimension.is_some_and(|known| known != given));
    let again = old.identity != new.identity || other_dimension;
    let paused = old.state != TargetState::Active.name();
    if !again
        && !paused
        && old.metric == new.metric
        && old.name == new.name
        && (new.dimension.is_none() || old.dimension == new.dimension)
    {
        return Ok(());
    }
    let dimension = if old.identity == new.identity { new.dimension.or(old.dimension) } else { new.dimension };
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET name = ").bind(new.name.as_str()).push(", kind = ").bind(new.kind.as_str());
    sql.push(", identity = ").bind(new.identity.as_str()).push(", metric = ").bind(new.metric.as_str());
    sql.push(", dimension = ").bind(dimension);
    // Whoever starts a server may have mended the target: it is looked at now.
    sql.push(", checked_at = NULL");
    if old.identity != new.identity {
        sql.push(", state = ").bind(TargetState::Active.name()).push(", reason = NULL, written = FALSE");
    }
    if again {
        sql.push(", generation = generation + 1, sweep_after = '', corpus = NULL");
        tracing::info!(target = new.name, "the target changed: everything is sent again");
    }
    sql.push(" WHERE id = ").bind(id);
    sql.run(tx).await?;
    Ok(())
}

/// Whether records were ever sent to the target of that identity. Slots do not tell: they remember what other
/// targets acknowledged, and deletions of what was never there.
///
/// # Errors
/// What the database says.
pub async fn was_written(conn: &impl ConnectionTrait, identity: &str) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT 1 FROM sync_targets WHERE written AND identity = ").bind(identity);
    Ok(sql.one(conn).await?.is_some())
}

/// Takes note that records are sent to the target of that identity.
///
/// # Errors
/// What the database says.
pub async fn note_written(tx: &Tx, identity: &str) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET written = TRUE WHERE NOT written AND identity = ").bind(identity);
    sql.run(tx).await?;
    Ok(())
}

/// Takes back whatever was acknowledged by the target of that identity: its next generation begins and is swept.
/// False when this generation has nothing acknowledged, so that one loss is noted once.
///
/// # Errors
/// What the database says.
pub async fn void(tx: &Tx, identity: &str) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET generation = generation + 1, sweep_after = '', corpus = NULL WHERE identity = ")
        .bind(identity);
    sql.push(
        " AND EXISTS (SELECT 1 FROM sync_slots s WHERE s.target_id = sync_targets.id          AND s.acked_gen = sync_targets.generation AND s.acked_rev > 0)",
    );
    Ok(sql.run(tx).await? == 1)
}

/// Keeps the dimension that the first accepted vector of an empty index had.
///
/// # Errors
/// What the database says.
pub async fn learn_dimension(tx: &Tx, id: i64, dimension: i32) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET dimension = ").bind(dimension);
    sql.push(" WHERE id = ").bind(id);
    sql.run(tx).await?;
    Ok(())
}

/// Sets the state and the reason; false when both were so already.
///
/// # Errors
/// What the database says.
pub async fn set_state(tx: &Tx, id: i64, state: TargetState, reason: Option<&str>) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET checked_at = ").bind(tx.now_ms()).push(" WHERE id = ").bind(id);
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET state = ").bind(state.name()).push(", reason = ").bind(reason);
    sql.push(" WHERE id = ").bind(id).push(" AND (state <> ").bind(state.name());
    sql.push(" OR COALESCE(reason, '') <> ").bind(reason.unwrap_or_default()).push(")");
    Ok(sql.run(tx).await? == 1)
}

/// Takes the turn to look at a paused target; false when somebody looked less than `every_ms` ago.
///
/// # Errors
/// What the database says.
pub async fn take_look(tx: &Tx, id: i64, every_ms: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET checked_at = ").bind(tx.now_ms()).push(" WHERE id = ").bind(id);
    sql.push(" AND (checked_at IS NULL OR checked_at <= ").bind(tx.now_ms() - every_ms);
    sql.push(" OR checked_at > ").bind(tx.now_ms()).push(")");
    Ok(sql.run(tx).await? == 1)
}

/// What an idle worker asks, in one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Takes writes or not.
    pub state: TargetState,
    /// Why not.
    pub reason: Option<String>,
    /// What acknowledged writes carry.
    pub generation: i64,
    /// Whether a sweep is under way.
    pub sweeping: bool,
    /// The dimension, once known.
    pub dimension: Option<i32>,
    /// Something is due.
    pub due: bool,
    /// A job has not ended.
    pub jobs: bool,
    /// Records of one upsert at most, where a job that has not ended asks for that.
    pub batch_size: Option<i64>,
}

/// Looks whether there is anything to do.
///
/// # Errors
/// What the database says.
pub async fn look(conn: &impl ConnectionTrait, id: i64, now_ms: i64) -> Result<Look, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT t.state, t.reason, t.generation, t.sweep_after IS NOT NULL, t.dimension, \
         EXISTS (SELECT 1 FROM sync_slots s WHERE s.target_id = t.id AND s.want IN ('absent', 'present') \
           AND s.due_at IS NOT NULL AND s.claim_token IS NULL AND s.quarantine IS NULL AND s.due_at <= ",
    );
    sql.bind(now_ms).push(
        "), EXISTS (SELECT 1 FROM sync_jobs j WHERE j.target_id = t.id \
           AND j.state IN ('queued','running','settling','verifying')), \
         (SELECT min(j.batch_size) FROM sync_jobs j WHERE j.target_id = t.id \
           AND j.state IN ('queued','running','settling','verifying')) FROM sync_targets t WHERE t.id = ",
    );
    sql.bind(id);
    let row = sql.one(conn).await?.ok_or_else(|| DbErr::RecordNotFound("sync_targets".to_owned()))?;
    let state: String = row.try_get_by_index(0)?;
    Ok(Look {
        state: TargetState::from_name(&state).unwrap_or(TargetState::Active),
        reason: row.try_get_by_index(1)?,
        generation: row.try_get_by_index(2)?,
        sweeping: row.try_get_by_index(3)?,
        dimension: row.try_get_by_index(4)?,
        due: row.try_get_by_index(5)?,
        jobs: row.try_get_by_index(6)?,
        batch_size: row.try_get_by_index(7)?,
    })
}

/// Whether a new generation is being touched.
///
/// # Errors
/// What the database says.
pub async fn is_sweeping(conn: &impl ConnectionTrait, id: i64) -> Result<bool, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT sweep_after IS NOT NULL FROM sync_targets WHERE id = ").bind(id);
    sql.one(conn).await?.map_or(Ok(false), |row| row.try_get_by_index(0))
}

/// Touches the next page of a new generation: first all slots, then wanted rows without one.
/// Gives how many, or nothing when the sweep is at its end.
///
/// # Errors
/// What the database says.
pub async fn sweep_page(tx: &Tx, id: i64) -> Result<Option<u64>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT sweep_after FROM sync_targets WHERE id = ").bind(id);
    if sql.is_postgres() {
        sql.push(" FOR UPDATE");
    }
    let after: Option<String> = sql.one(tx).await?.map_or(Ok(None), |row| row.try_get_by_index(0))?;
    let Some(after) = after else { return Ok(None) };
    let place: Vec<String> = serde_json::from_str(&after).unwrap_or_default();
    let (next, count) = match place.as_slice() {
        [embedding] => sweep_rows(tx, id, embedding).await?,
        [namespace, vector_id] => sweep_slots(tx, id, namespace, vector_id).await?,
        _ => sweep_slots(tx, id, "", "").await?,
    };
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_targets SET sweep_after = ").bind(next).push(" WHERE id = ").bind(id);
    sql.run(tx).await?;
    Ok(Some(count))
}

async fn sweep_slots(tx: &Tx, id: i64, namespace: &str, vector_id: &str) -> Result<(Option<String>, u64), DbErr> {
    let mut page = Sql::new(tx);
    page.push("SELECT namespace, vector_id FROM sync_slots WHERE target_id = ").bind(id);
    page.push(" AND (namespace, vector_id) > (").bind(namespace).push(", ").bind(vector_id);
    page.push(") ORDER BY namespace, vector_id LIMIT ").bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
    if page.is_postgres() {
        page.push(" FOR UPDATE");
    }
    let rows = page.all(tx).await?;
    let keys = rows
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect::<Result<Vec<(String, String)>, DbErr>>()?;
    let Some((last_namespace, last_id)) = keys.last() else { return Ok((Some(json!([""]).to_string()), 0)) };
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET acked_rev = 0, acked_hash = NULL, want_rev = want_rev + 1, due_at = ")
        .bind(tx.now_ms());
    sql.push(
        // Another index may lack what was written at any time: every job waits for it.
        ", dirty_epoch = 0, dirty_rev = 0, attempts = 0, quarantine = NULL, error_code = NULL, error_text = NULL, error_at = NULL, updated_at = ",
    );
    sql.bind(tx.now_ms()).push(" WHERE target_id = ").bind(id);
    sql.push(" AND (namespace, vector_id) > (").bind(namespace).push(", ").bind(vector_id);
    sql.push(") AND (namespace, vector_id) <= (")
        .bind(last_namespace.as_str())
        .push(", ")
        .bind(last_id.as_str())
        .push(")");
    let count = sql.run(tx).await?;
    Ok((Some(json!([last_namespace, last_id]).to_string()), count))
}

async fn sweep_rows(tx: &Tx, id: i64, after: &str) -> Result<(Option<String>, u64), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("SELECT e.id, CASE WHEN s.want = 'present' THEN 1 ELSE 0 END FROM embeddings e JOIN documents d ON d.id = e.document_id");
    sql.push(slots::JOIN_SLOT.0).bind(id).push(slots::JOIN_SLOT.1);
    sql.push(" WHERE e.id > ").bind(after).push(" ORDER BY e.id LIMIT ").bind(i64::try_from(PAGE).unwrap_or(i64::MAX));
    let rows = sql.all(tx).await?;
    let mut missing: Vec<String> = Vec::new();
    let mut last: Option<String> = None;
    for row in &rows {
        let embedding: String = row.try_get_by_index(0)?;
        let there: i32 = row.try_get_by_index(1)?;
        if there == 0 {
            missing.push(embedding.clone());
        }
        last = Some(embedding);
    }
    let Some(last) = last else { return Ok((None, 0)) };
    let found = slots::lock_embeddings(tx, &missing).await?;
    let ids: Vec<String> = found.into_iter().map(|(embedding, _)| embedding).collect();
    slots::touch_released(tx, id, &ids).await?;
    Ok((Some(json!([last]).to_string()), ids.len() as u64))
}

/// Pulls times that a clock set back has left ahead to where they cannot stall work, nor hide a doubt.
///
/// A write counts as claimed now, at the latest: a doubt that opens after the leap ends after it. A doubt that was
/// settled stays so. It counts as acknowledged now, too, or no check would look at it before that time comes.
///
/// # Errors
/// What the database says.
pub async fn clamp(tx: &Tx, id: i64, due_ms: i64, doubt_ms: i64) -> Result<(), DbErr> {
    let now = tx.now_ms();
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET due_at = CASE WHEN due_at > ").bind(now + due_ms);
    sql.push(" THEN ")
        .bind(now + due_ms)
        .push(" ELSE due_at END, doubt_until = CASE WHEN doubt_until > acked_from THEN ");
    sql.push("CASE WHEN doubt_until > ").bind(now + doubt_ms).push(" THEN ").bind(now + doubt_ms);
    sql.push(" ELSE doubt_until END WHEN doubt_until > ").bind(now).push(" THEN ").bind(now);
    sql.push(" ELSE doubt_until END, acked_from = CASE WHEN acked_from > ").bind(now).push(" THEN ").bind(now);
    sql.push(" ELSE acked_from END, acked_at = CASE WHEN acked_at > ").bind(now).push(" THEN ").bind(now);
    sql.push(" ELSE acked_at END, claimed_at = CASE WHEN claimed_at > ").bind(now).push(" THEN ").bind(now);
    sql.push(" ELSE claimed_at END WHERE target_id = ").bind(id).push(" AND (due_at > ").bind(now + due_ms);
    sql.push(" OR doubt_until > ").bind(now + doubt_ms).push(" OR acked_from > ").bind(now);
    sql.push(" OR acked_at > ").bind(now).push(" OR claimed_at > ").bind(now).push(")");
    sql.run(tx).await?;
    Ok(())
}

/// Removes tombstones (clean `absent` slots) acknowledged before `before_ms`, at most a thousand.
///
/// # Errors
/// What the database says.
pub async fn bury_tombstones(tx: &Tx, id: i64, before_ms: i64) -> Result<u64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM sync_slots WHERE target_id = ").bind(id);
    sql.push(
        " AND want = 'absent' AND due_at IS NULL AND dirty_epoch IS NULL AND claim_token IS NULL AND quarantine IS NULL \
         AND (namespace, vector_id) IN (SELECT namespace, vector_id FROM sync_slots WHERE target_id = ",
    );
    sql.bind(id)
        .push(" AND want = 'absent' AND due_at IS NULL AND claim_token IS NULL AND quarantine IS NULL AND acked_at < ");
    sql.bind(before_ms).push(" AND doubt_until < ").bind(tx.now_ms()).push(" ORDER BY acked_at LIMIT 1000)");
    sql.run(tx).await
}

/// Removes entries of the corpus log from before `before_ms` that no target is behind, at most five thousand.
///
/// # Errors
/// What the database says.
pub async fn prune_log(tx: &Tx, before_ms: i64) -> Result<u64, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM corpus_log WHERE rev <= (SELECT max(x.rev) FROM (SELECT rev, at FROM corpus_log ORDER BY rev LIMIT 5000) x WHERE x.at < ");
    sql.bind(before_ms);
    sql.push(") AND rev <= COALESCE((SELECT min(dirty_rev) FROM sync_slots WHERE dirty_epoch IS NOT NULL), (SELECT rev FROM corpus_clock WHERE id = 1))");
    sql.run(tx).await
}

/// What of a target is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// The target.
    pub target_id: i64,
    /// Records that are to be sent or deleted, quarantined ones and those in doubt included.
    pub open: i64,
    /// Records that are not tried again by themselves.
    pub quarantined: i64,
}

/// What of each target is not settled, counted by the indexes of what is not.
///
/// # Errors
/// What the database says.
pub async fn queued(conn: &impl ConnectionTrait) -> Result<Vec<Queued>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push(
        "SELECT t.id, (SELECT count(*) FROM sync_slots s WHERE s.target_id = t.id AND s.dirty_epoch IS NOT NULL), \
         (SELECT count(*) FROM sync_slots s WHERE s.target_id = t.id AND s.quarantine IS NOT NULL) \
         FROM sync_targets t ORDER BY t.id",
    );
    let queued = |row: &QueryResult| {
        Ok(Queued {
            target_id: row.try_get_by_index(0)?,
            open: row.try_get_by_index(1)?,
            quarantined: row.try_get_by_index(2)?,
        })
    };
    sql.all(conn).await?.iter().map(queued).collect()
}

/// The corpus's own id, made once: records in an index carry it.
///
/// # Errors
/// What the database says.
pub async fn corpus_id(tx: &Tx, fresh: &str) -> Result<String, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("INSERT INTO corpus_meta (name, value) VALUES ('corpus_id', ")
        .bind(fresh)
        .push(") ON CONFLICT (name) DO NOTHING");
    sql.run(tx).await?;
    let mut sql = Sql::new(tx);
    sql.push("SELECT value FROM corpus_meta WHERE name = 'corpus_id'");
    let row = sql.one(tx).await?.ok_or_else(|| DbErr::RecordNotFound("corpus_id".to_owned()))?;
    row.try_get_by_index(0)
}
