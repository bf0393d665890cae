//! Claim, read, acknowledge: the statements that a worker's round is made of (sync.md 4.3, 4.4).
//!
//! No transaction is open across a request to the index. Whatever a worker writes
//! about a slot, it writes under its claim's token; where the token is gone it
//! gets nothing back and reports on itself ([`self_report`]).

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;
use serde_json::json;

use crate::store::Tx;
use crate::store::record;
use crate::store::record::Rows;
use crate::store::sql::Sql;

/// Slots of one namespace that should be present, or should be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `present` or `absent`.
    pub want: String,
    /// The namespace.
    pub namespace: String,
}

/// What a claim is made under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The target.
    pub target_id: i64,
    /// The namespace of all its slots.
    pub namespace: String,
    /// One for each claim.
    pub token: String,
    /// Whose claim it is.
    pub worker: String,
    /// The corpus revision seen just before.
    pub rev: i64,
}

/// A claimed slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its record's id.
    pub vector_id: String,
    /// The embedding it came from.
    pub embedding_id: Option<String>,
    /// The document it came from.
    pub document_id: Option<String>,
    /// Its revision when claimed.
    pub want_rev: i64,
    /// The job epoch when claimed.
    pub epoch: i64,
    /// Since which epoch the index may lag behind it.
    pub dirty_epoch: Option<i64>,
}

/// The groups that have due slots, `absent` first.
///
/// # Errors
/// What the database says.
pub async fn due_groups(conn: &impl ConnectionTrait, target_id: i64, now_ms: i64) -> Result<Vec<Group>, DbErr> {
    // A step of the index for each namespace, instead of a pass over everything that is due.
    let open = "due_at IS NOT NULL AND claim_token IS NULL AND quarantine IS NULL";
    let mut sql = Sql::new(conn);
    sql.push("WITH RECURSIVE n (want, namespace) AS (SELECT w.want, (SELECT min(s.namespace) FROM sync_slots s WHERE s.target_id = ");
    sql.bind(target_id).push(" AND s.want = w.want AND ").push(open);
    sql.push(") FROM (SELECT 'absent' AS want UNION ALL SELECT 'present') w UNION ALL SELECT n.want, (SELECT min(s.namespace) FROM sync_slots s WHERE s.target_id = ");
    sql.bind(target_id).push(" AND s.want = n.want AND s.namespace > n.namespace AND ").push(open);
    sql.push(") FROM n WHERE n.namespace IS NOT NULL) SELECT n.want, n.namespace FROM n WHERE n.namespace IS NOT NULL AND EXISTS (SELECT 1 FROM sync_slots s WHERE s.target_id = ");
    sql.bind(target_id).push(" AND s.want = n.want AND s.namespace = n.namespace AND ").push(open);
    sql.push(" AND s.due_at <= ").bind(now_ms).push(") ORDER BY n.want, n.namespace");
    sql.all(conn)
        .await?
        .iter()
        .map(|row| Ok(Group { want: row.try_get_by_index(0)?, namespace: row.try_get_by_index(1)? }))
        .collect()
}

/// Claims due slots of one group.
///
/// # Errors
/// What the database says.
pub async fn claim(tx: &Tx, ticket: &Ticket, want: &str, limit: u32) -> Result<Vec<Claimed>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("WITH due AS MATERIALIZED (SELECT target_id, namespace, vector_id FROM sync_slots WHERE target_id = ");
    sql.bind(ticket.target_id).push(" AND want = ").bind(want);
    sql.push(" AND namespace = ").bind(ticket.namespace.as_str()).push(" AND due_at <= ").bind(tx.now_ms());
    sql.push(" AND claim_token IS NULL AND quarantine IS NULL ORDER BY due_at, vector_id LIMIT ");
    sql.bind(i64::from(limit));
    take(tx, sql, ticket).await
}

/// Claims one slot that is clean and present: its record is known to be accepted.
///
/// # Errors
/// What the database says.
pub async fn claim_known(tx: &Tx, ticket: &Ticket) -> Result<Option<Claimed>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("WITH due AS MATERIALIZED (SELECT target_id, namespace, vector_id FROM sync_slots WHERE target_id = ");
    sql.bind(ticket.target_id).push(" AND namespace = ").bind(ticket.namespace.as_str());
    sql.push(
        " AND want = 'present' AND due_at IS NULL AND dirty_epoch IS NULL AND claim_token IS NULL \
         AND quarantine IS NULL AND acked_hash IS NOT NULL ORDER BY vector_id LIMIT 1",
    );
    Ok(take(tx, sql, ticket).await?.into_iter().next())
}

async fn take(tx: &Tx, mut sql: Sql, ticket: &Ticket) -> Result<Vec<Claimed>, DbErr> {
    if sql.is_postgres() {
        sql.push(" FOR UPDATE SKIP LOCKED");
    }
    sql.push(") UPDATE sync_slots SET claim_token = ").bind(ticket.token.as_str());
    sql.push(", claim_worker = ").bind(ticket.worker.as_str()).push(", claimed_at = ").bind(tx.now_ms());
    sql.push(
        " FROM due WHERE sync_slots.target_id = due.target_id AND sync_slots.namespace = due.namespace \
           AND sync_slots.vector_id = due.vector_id AND sync_slots.claim_token IS NULL AND sync_slots.quarantine IS NULL \
         RETURNING sync_slots.vector_id, sync_slots.embedding_id, sync_slots.document_id, sync_slots.want_rev, \
           (SELECT epoch FROM sync_clock WHERE id = 1) AS claim_epoch, sync_slots.dirty_epoch",
    );
    let mut claimed = sql
        .all(tx)
        .await?
        .iter()
        .map(|row| {
            Ok(Claimed {
                vector_id: row.try_get_by_index(0)?,
                embedding_id: row.try_get_by_index(1)?,
                document_id: row.try_get_by_index(2)?,
                want_rev: row.try_get_by_index(3)?,
                epoch: row.try_get_by_index(4)?,
                dirty_epoch: row.try_get_by_index(5)?,
            })
        })
        .collect::<Result<Vec<Claimed>, DbErr>>()?;
    claimed.sort_unstable_by(|a, b| a.vector_id.cmp(&b.vector_id));
    Ok(claimed)
}

/// What is true of a claimed slot, read after the claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Its record's id.
    pub vector_id: String,
    /// What the target acknowledged last.
    pub acked_rev: i64,
    /// And its payload.
    pub acked_hash: Option<String>,
    /// And the generation then.
    pub acked_gen: i64,
    /// When the acknowledged write was claimed.
    pub acked_from: i64,
    /// The target's number of it.
    pub acked_lsn: Option<i64>,
    /// Until when an earlier request may land.
    pub doubt_until: i64,
    /// Tries that ended in doubt.
    pub attempts: i32,
    /// The record's rows, when it should be present.
    pub rows: Option<Rows>,
}

/// Reads the truth about slots of a claim, `text_chars` characters of each text. Slots whose claim was lost are left out.
///
/// # Errors
/// What the database says.
pub async fn read(
    conn: &impl ConnectionTrait,
    ticket: &Ticket,
    vector_ids: &[String],
    text_chars: i64,
) -> Result<Vec<Truth>, DbErr> {
    let mut sql = Sql::new(conn);
    with_keys(&mut sql, ticket, vector_ids);
    sql.push(
        "SELECT s.vector_id, s.acked_rev, s.acked_hash, s.acked_gen, s.acked_from, s.acked_lsn, s.doubt_until, s.attempts",
    );
    record::push(&mut sql, text_chars);
    sql.push(" FROM a JOIN sync_slots s ON ");
    is_in_table(&mut sql, "s");
    sql.push(record::JOIN).push(" WHERE s.claim_token = ");
    sql.bind(ticket.token.as_str()).push(" ORDER BY s.vector_id");
    sql.all(conn).await?.iter().map(truth).collect()
}

fn truth(row: &QueryResult) -> Result<Truth, DbErr> {
    Ok(Truth {
        vector_id: row.try_get_by_index(0)?,
        acked_rev: row.try_get_by_index(1)?,
        acked_hash: row.try_get_by_index(2)?,
        acked_gen: row.try_get_by_index(3)?,
        acked_from: row.try_get_by_index(4)?,
        acked_lsn: row.try_get_by_index(5)?,
        doubt_until: row.try_get_by_index(6)?,
        attempts: row.try_get_by_index(7)?,
        rows: record::read(row, 8)?,
    })
}

/// One acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which slot.
    pub vector_id: String,
    /// The revision that was claimed.
    pub want_rev: i64,
    /// The payload that the index has now.
    pub hash: String,
    /// The index's number of the write.
    pub lsn: Option<i64>,
    /// Whether something was written, or the index had it already.
    pub sent: bool,
}

/// A slot after its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    /// Which slot.
    pub vector_id: String,
    /// The embedding it came from.
    pub embedding_id: Option<String>,
    /// The document it came from.
    pub document_id: Option<String>,
    /// Since which epoch the index still lags; none when the slot is clean.
    pub dirty_epoch: Option<i64>,
}

/// Begins a statement with `a`: the keys of a ticket's slots, and columns of `text` and `bigint` for each.
///
/// Materialized, and with the whole key in it: otherwise both databases find, without statistics, every slot of
/// the namespace and look for each in the list (2 s for 1 000 of 100 000; so it takes 20 ms).
fn with_table(sql: &mut Sql, ticket: &Ticket, rows: &serde_json::Value, columns: &[(&str, &str)]) {
    sql.push("WITH a AS MATERIALIZED (SELECT ").bind(ticket.target_id).push(" AS of_target, ");
    sql.bind(ticket.namespace.as_str()).push(" AS of_namespace");
    if sql.is_postgres() {
        sql.push(", b.* FROM json_to_recordset((").bind(rows.to_string()).push(")::json) AS b(");
        for (i, (name, kind)) in columns.iter().enumerate() {
            sql.push(if i > 0 { ", " } else { "" }).push(name).push(" ").push(kind);
        }
        sql.push(")) ");
    } else {
        for (name, _) in columns {
            sql.push(", value ->> '$.").push(name).push("' AS ").push(name);
        }
        sql.push(" FROM json_each(").bind(rows.to_string()).push(")) ");
    }
}

/// The same with nothing but the keys.
fn with_keys<S: AsRef<str>>(sql: &mut Sql, ticket: &Ticket, vector_ids: &[S]) {
    let rows = vector_ids.iter().map(|id| json!({ "id": id.as_ref() })).collect();
    with_table(sql, ticket, &rows, &[("id", "text")]);
}

/// Joins the slots (`s`, or the table itself) to the keys of `a`.
fn is_in_table(sql: &mut Sql, slots: &str) {
    for (at, (column, of)) in
        [("target_id", "of_target"), ("namespace", "of_namespace"), ("vector_id", "id")].into_iter().enumerate()
    {
        sql.push(if at > 0 { " AND " } else { "" }).push(slots).push(".").push(column).push(" = a.").push(of);
    }
}

/// Ends an update with its slots: those of `a` that the ticket still has.
fn where_claimed(sql: &mut Sql, ticket: &Ticket) {
    sql.push(" FROM a WHERE ");
    is_in_table(sql, "sync_slots");
    sql.push(" AND claim_token = ").bind(ticket.token.as_str());
}

/// Locks slots in the order of their keys, where there are row locks.
async fn lock(tx: &Tx, ticket: &Ticket, vector_ids: &[&str]) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    if sql.is_postgres() {
        with_keys(&mut sql, ticket, vector_ids);
        sql.push("SELECT 1 FROM a JOIN sync_slots s ON ");
        is_in_table(&mut sql, "s");
        sql.push(" ORDER BY s.vector_id FOR UPDATE OF s");
        sql.all(tx).await?;
    }
    Ok(())
}

/// Whether more is wanted than was claimed: the slot was touched since, or belongs to another generation.
fn push_newer(sql: &mut Sql, ticket: &Ticket, generation: i64) {
    sql.push("(want_rev <> a.r OR ");
    push_other_generation(sql, ticket, generation);
    sql.push(")");
}

/// Whether the target is of another generation by now, whose sweep may have passed the slot already: its index may
/// lack what was written at any time, as the sweep says of all slots.
fn push_other_generation(sql: &mut Sql, ticket: &Ticket, generation: i64) {
    sql.bind(generation).push(" <> (SELECT generation FROM sync_targets WHERE id = ").bind(ticket.target_id).push(")");
}

/// Acknowledges slots of one response. A slot that is not among the answers was lost to somebody else.
///
/// # Errors
/// What the database says.
pub async fn acknowledge(
    tx: &Tx,
    ticket: &Ticket,
    claim_epoch: i64,
    generation: i64,
    acks: &[Ack],
) -> Result<Vec<Acked>, DbErr> {
    let ids: Vec<&str> = acks.iter().map(|ack| ack.vector_id.as_str()).collect();
    lock(tx, ticket, &ids).await?;
    let rows =
        acks.iter().map(|ack| json!({"id": ack.vector_id, "r": ack.want_rev, "h": ack.hash, "l": ack.lsn})).collect();
    let now = tx.now_ms();
    let doubtful = "doubt_until > claimed_at AND COALESCE(doubt_hash, '') <> a.h";
    let mut sql = Sql::new(tx);
    with_table(&mut sql, ticket, &rows, &[("id", "text"), ("r", "bigint"), ("h", "text"), ("l", "bigint")]);
    sql.push("UPDATE sync_slots SET acked_rev = a.r, acked_hash = a.h, acked_gen = ").bind(generation);
    sql.push(", acked_from = claimed_at, acked_at = ").bind(now).push(", acked_lsn = a.l");
    sql.push(", attempts = 0, error_code = NULL, error_text = NULL, updated_at = ").bind(now);
    sql.push(", due_at = CASE WHEN ");
    push_newer(&mut sql, ticket, generation);
    sql.push(" THEN ").bind(now).push(" WHEN ").push(doubtful).push(" THEN doubt_until ELSE NULL END");
    sql.push(", dirty_epoch = CASE WHEN ").push(doubtful).push(" OR ");
    push_other_generation(&mut sql, ticket, generation);
    sql.push(" THEN 0 WHEN want_rev <> a.r THEN ").bind(claim_epoch);
    sql.push(" ELSE NULL END, dirty_rev = CASE WHEN ");
    push_other_generation(&mut sql, ticket, generation);
    sql.push(" THEN 0 WHEN want_rev <> a.r");
    sql.push(" OR (").push(doubtful).push(") THEN ").bind(ticket.rev);
    sql.push(" ELSE NULL END, claim_token = NULL, claim_worker = NULL, claimed_at = NULL");
    where_claimed(&mut sql, ticket);
    sql.push(" RETURNING vector_id, embedding_id, document_id, dirty_epoch");
    sql.all(tx)
        .await?
        .iter()
        .map(|row| {
            Ok(Acked {
                vector_id: row.try_get_by_index(0)?,
                embedding_id: row.try_get_by_index(1)?,
                document_id: row.try_get_by_index(2)?,
                dirty_epoch: row.try_get_by_index(3)?,
            })
        })
        .collect()
}

/// A slot that is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Back {
    /// Which slot.
    pub vector_id: String,
    /// When it is due again.
    pub due_at: i64,
    /// Why, when it was tried: a code and one line.
    pub why: Option<(&'static str, String)>,
}

/// Gives slots back: nothing was applied.
///
/// # Errors
/// What the database says.
pub async fn release(tx: &Tx, ticket: &Ticket, slots: &[Back]) -> Result<(), DbErr> {
    let ids: Vec<&str> = slots.iter().map(|slot| slot.vector_id.as_str()).collect();
    lock(tx, ticket, &ids).await?;
    let rows = slots.iter().map(back).collect();
    let mut sql = Sql::new(tx);
    with_table(&mut sql, ticket, &rows, &[("id", "text"), ("d", "bigint"), ("c", "text"), ("t", "text")]);
    sql.push("UPDATE sync_slots SET due_at = a.d, updated_at = ").bind(tx.now_ms());
    push_why(&mut sql, tx.now_ms());
    sql.push(", claim_token = NULL, claim_worker = NULL, claimed_at = NULL");
    where_claimed(&mut sql, ticket);
    sql.run(tx).await?;
    Ok(())
}

fn back(slot: &Back) -> serde_json::Value {
    let (code, text) = match &slot.why {
        None => (None, None),
        Some((code, text)) => (Some(*code), Some(text.as_str())),
    };
    json!({"id": slot.vector_id, "d": slot.due_at, "c": code, "t": text})
}

fn push_why(sql: &mut Sql, now_ms: i64) {
    sql.push(", error_code = COALESCE(a.c, error_code), error_text = COALESCE(a.t, error_text), error_at = CASE WHEN a.c IS NULL THEN error_at ELSE ");
    sql.bind(now_ms).push(" END");
}

/// Opens a doubt until then, or makes an open one longer.
///
/// What was acknowledged counts as claimed now, at the latest: a clock that was set back a moment ago would
/// otherwise take the new doubt for one that is long settled.
fn push_doubt(sql: &mut Sql, until: i64, now_ms: i64) {
    sql.push(", doubt_until = CASE WHEN doubt_until > ").bind(until);
    sql.push(" AND doubt_until > acked_from THEN doubt_until ELSE ").bind(until);
    sql.push(" END, acked_from = CASE WHEN acked_from > ").bind(now_ms).push(" THEN ").bind(now_ms);
    sql.push(" ELSE acked_from END");
}

/// Gives back a slot that was claimed although nothing was due, as it was.
///
/// # Errors
/// What the database says.
pub async fn put_back(tx: &Tx, ticket: &Ticket) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET claim_token = NULL, claim_worker = NULL, claimed_at = NULL WHERE target_id = ");
    sql.bind(ticket.target_id).push(" AND namespace = ").bind(ticket.namespace.as_str());
    sql.push(" AND claim_token = ").bind(ticket.token.as_str());
    sql.run(tx).await?;
    Ok(())
}

/// Gives slots back whose request may have been applied, or may still be: each with the payload that was sent.
/// Gives the ids that were still claimed.
///
/// # Errors
/// What the database says.
pub async fn doubt(tx: &Tx, ticket: &Ticket, doubt_ms: i64, slots: &[(Back, String)]) -> Result<Vec<String>, DbErr> {
    let ids: Vec<&str> = slots.iter().map(|(slot, _)| slot.vector_id.as_str()).collect();
    lock(tx, ticket, &ids).await?;
    let rows = slots
        .iter()
        .map(|(slot, hash)| {
            let mut row = back(slot);
            row["h"] = json!(hash);
            row
        })
        .collect();
    let until = tx.now_ms() + doubt_ms;
    let mut sql = Sql::new(tx);
    with_table(
        &mut sql,
        ticket,
        &rows,
        &[("id", "text"), ("d", "bigint"), ("c", "text"), ("t", "text"), ("h", "text")],
    );
    sql.push("UPDATE sync_slots SET attempts = attempts + 1, due_at = a.d, updated_at = ").bind(tx.now_ms());
    push_why(&mut sql, tx.now_ms());
    push_doubt(&mut sql, until, tx.now_ms());
    sql.push(", doubt_hash = CASE WHEN doubt_until <= acked_from THEN a.h WHEN doubt_hash = a.h THEN a.h ELSE '*' END");
    sql.push(", dirty_epoch = 0, dirty_rev = COALESCE(dirty_rev, ").bind(ticket.rev);
    sql.push("), claim_token = NULL, claim_worker = NULL, claimed_at = NULL");
    where_claimed(&mut sql, ticket);
    sql.push(" RETURNING vector_id");
    sql.all(tx).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Reports that a write of ours may have landed after somebody else's: those slots are asserted again.
///
/// # Errors
/// What the database says.
pub async fn self_report(tx: &Tx, ticket: &Ticket, doubt_ms: i64, vector_ids: &[String]) -> Result<(), DbErr> {
    let until = tx.now_ms() + doubt_ms;
    let mut sql = Sql::new(tx);
    with_keys(&mut sql, ticket, vector_ids);
    sql.push("UPDATE sync_slots SET want_rev = want_rev + 1, quarantine = NULL, due_at = ").bind(tx.now_ms());
    push_doubt(&mut sql, until, tx.now_ms());
    sql.push(", doubt_hash = '*', dirty_epoch = 0, dirty_rev = COALESCE(dirty_rev, ").bind(ticket.rev);
    sql.push("), updated_at = ").bind(tx.now_ms()).push(" FROM a WHERE ");
    is_in_table(&mut sql, "sync_slots");
    sql.run(tx).await?;
    Ok(())
}

/// A slot that is not tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which slot.
    pub vector_id: String,
    /// The revision that was claimed.
    pub want_rev: i64,
    /// Why, as a code.
    pub code: &'static str,
    /// Why, in one line.
    pub text: String,
    /// Whether an older version was deleted from the index.
    pub deleted: bool,
}

/// Quarantines a claimed slot; one that was touched meanwhile is due again instead. False when the claim was lost.
///
/// # Errors
/// What the database says.
pub async fn quarantine(tx: &Tx, ticket: &Ticket, generation: i64, slot: &Refused) -> Result<bool, DbErr> {
    let now = tx.now_ms();
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET quarantine = CASE WHEN want_rev = ").bind(slot.want_rev);
    sql.push(" THEN ").bind(slot.code).push(" END, due_at = CASE WHEN want_rev = ").bind(slot.want_rev);
    sql.push(" THEN NULL ELSE ").bind(now).push(" END, error_code = ").bind(slot.code);
    sql.push(", error_text = ").bind(slot.text.as_str()).push(", error_at = ").bind(now);
    if slot.deleted {
        sql.push(", acked_hash = 'absent', acked_from = claimed_at, acked_at = ").bind(now);
        sql.push(", acked_gen = ").bind(generation);
    }
    sql.push(", updated_at = ")
        .bind(now)
        .push(", claim_token = NULL, claim_worker = NULL, claimed_at = NULL WHERE target_id = ");
    sql.bind(ticket.target_id).push(" AND namespace = ").bind(ticket.namespace.as_str());
    sql.push(" AND vector_id = ").bind(slot.vector_id.as_str()).push(" AND claim_token = ").bind(ticket.token.as_str());
    Ok(sql.run(tx).await? == 1)
}

/// Takes the claims of a worker that is dead: what it sent may still land.
///
/// # Errors
/// What the database says.
pub async fn reap(tx: &Tx, worker: &str, doubt_ms: i64) -> Result<u64, DbErr> {
    let until = tx.now_ms() + doubt_ms;
    let mut sql = Sql::new(tx);
    sql.push("UPDATE sync_slots SET claim_token = NULL, claim_worker = NULL, claimed_at = NULL, due_at = ")
        .bind(tx.now_ms());
    push_doubt(&mut sql, until, tx.now_ms());
    sql.push(", doubt_hash = '*', dirty_epoch = 0, dirty_rev = COALESCE(dirty_rev, ").bind(tx.seen_rev());
    sql.push("), updated_at = ").bind(tx.now_ms()).push(" WHERE claim_worker = ").bind(worker);
    sql.run(tx).await
}
