//! `audit_log`: who changed what, in the transaction of the change.
//!
//! Each row bears a hash over the row before it and itself, and the last hash stands beside the corpus revision: a row
//! that is changed, removed or slipped in by whoever cannot compute all that follows anew is found. The row of the
//! corpus revision is locked where a row is written, so that there is one chain.

use std::collections::BTreeMap;

use ring::digest;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::QueryResult;

use crate::store::Db;
use crate::store::log::Change;
use crate::store::log::ChangeKind;
use crate::store::page::Kind;
use crate::store::page::List;
use crate::store::page::Page;
use crate::store::page::Part;
use crate::store::page::Window;
use crate::store::read;
use crate::store::read::Columns;
use crate::store::read::FromRow;
use crate::store::sql::Sql;

/// Ids of one deed that are kept.
const IDS: usize = 10;
/// Rows that are read at once.
const ROWS: u64 = 1000;
/// What stands before the first row.
const NOTHING: [u8; 32] = [0; 32];

/// All rows, newest first.
pub static ROWS_OF_AUDIT: List = List { name: "audit", columns: &[("a.seq", Kind::Int)], descending: true };

/// Who changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Which kind of one.
    pub kind: ActorKind,
    /// The id and the name of their key.
    pub key: Option<(String, String)>,
}

/// Which kind of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// The command line, or the process by itself.
    Process,
    /// Somebody without a key.
    Anonymous,
    /// The holder of a key.
    Key,
}

impl ActorKind {
    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Anonymous => "anonymous",
            Self::Key => "key",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Process, Self::Anonymous, Self::Key].into_iter().find(|kind| kind.name() == name)
    }
}

impl Actor {
    /// This process.
    pub const PROCESS: Self = Self { kind: ActorKind::Process, key: None };
}

/// What is done besides changing rows of the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Act {
    KeyCreated,
    KeyRevoked,
    SyncStarted,
    SyncCancelled,
    ReconcileStarted,
    QuarantineRetried,
    VectorsDeleted,
    Rebased,
}

impl Act {
    /// The name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyCreated => "API_KEY_CREATED",
            Self::KeyRevoked => "API_KEY_REVOKED",
            Self::SyncStarted => "SYNC_STARTED",
            Self::SyncCancelled => "SYNC_CANCELLED",
            Self::ReconcileStarted => "RECONCILE_STARTED",
            Self::QuarantineRetried => "QUARANTINE_RETRIED",
            Self::VectorsDeleted => "VECTORS_DELETED",
            Self::Rebased => "REBASED",
        }
    }
}

/// One kind of thing that was done in a transaction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Deed {
    /// Its name.
    pub what: String,
    /// To how many.
    pub count: usize,
    /// The first of them.
    pub ids: Vec<String>,
}

/// What a transaction did, before it has a place in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    by: Actor,
    deeds: String,
}

/// What `by` did; nothing where there is nothing to tell. Without anybody, what was done besides changing rows is this
/// process's, and the rows are the engine's own affair.
#[must_use]
pub fn draft(by: Option<&Actor>, changes: &[Change], acts: &[(Act, String)]) -> Option<Draft> {
    let mut deeds: BTreeMap<&'static str, Deed> = BTreeMap::new();
    let mut add = |what: &'static str, id: &str| {
        let deed = deeds.entry(what).or_insert_with(|| Deed { what: what.to_owned(), count: 0, ids: Vec::new() });
        deed.count += 1;
        if deed.ids.len() < IDS {
            deed.ids.push(id.to_owned());
        }
    };
    let told = changes.iter().filter(|change| by.is_some() && change.kind != ChangeKind::SyncChanged);
    told.for_each(|change| add(change.kind.name(), &change.id));
    acts.iter().for_each(|(act, id)| add(act.name(), id));
    if deeds.is_empty() {
        return None;
    }
    let deeds: Vec<Deed> = deeds.into_values().collect();
    let deeds = serde_json::to_string(&deeds).unwrap_or_default();
    Some(Draft { by: by.cloned().unwrap_or(Actor::PROCESS), deeds })
}

/// One row. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number: dense.
    pub seq: i64,
    /// When.
    pub at: i64,
    /// The corpus revision of the change, if the corpus changed.
    pub rev: Option<i64>,
    /// Which kind of one did it.
    pub actor: String,
    /// The id of their key.
    pub key_id: Option<String>,
    /// The name of their key.
    pub key_name: Option<String>,
    /// What they did, as JSON.
    pub deeds: String,
    /// Over the row before, and this one.
    pub hash: Vec<u8>,
}

impl AuditRow {
    /// What they did.
    #[must_use]
    pub fn deeds(&self) -> Vec<Deed> {
        serde_json::from_str(&self.deeds).unwrap_or_default()
    }

    /// The hash that this row has behind one with the hash `before`.
    #[must_use]
    pub fn hash_after(&self, before: &[u8]) -> Vec<u8> {
        let Self { seq, at, rev, actor, key_id, key_name, deeds, hash: _ } = self;
        let canonical = serde_json::json!([seq, at, rev, actor, key_id, key_name, deeds]).to_string();
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(before);
        context.update(canonical.as_bytes());
        context.finish().as_ref().to_vec()
    }
}

const COLUMNS: &str = "a.seq, a.at, a.rev, a.actor, a.key_id, a.key_name, a.deeds, a.hash FROM audit_log a WHERE TRUE";

impl FromRow for AuditRow {
    fn read(row: &impl Columns, at: usize) -> Result<Self, DbErr> {
        Ok(Self {
            seq: row.int(at)?,
            at: row.int(at + 1)?,
            rev: row.int_or_null(at + 2)?,
            actor: row.text(at + 3)?,
            key_id: row.text_or_null(at + 4)?,
            key_name: row.text_or_null(at + 5)?,
            deeds: row.text(at + 6)?,
            hash: row.bytes(at + 7)?,
        })
    }
}

/// Writes the rows of a commit, each with the corpus revision of its change: among the last statements before it.
///
/// # Errors
/// What the database says.
pub async fn append(conn: &impl ConnectionTrait, drafts: &[(Draft, Option<i64>)], now_ms: i64) -> Result<(), DbErr> {
    if drafts.is_empty() {
        return Ok(());
    }
    let (mut seq, mut hash) = head(conn, true).await?;
    let mut sql = Sql::new(conn);
    sql.push("INSERT INTO audit_log (seq, at, rev, actor, key_id, key_name, deeds, hash) VALUES ");
    for (i, (draft, rev)) in drafts.iter().enumerate() {
        seq += 1;
        let (key_id, key_name) = draft.by.key.clone().unzip();
        let (actor, deeds) = (draft.by.kind.name().to_owned(), draft.deeds.clone());
        let mut row = AuditRow { seq, at: now_ms, rev: *rev, actor, key_id, key_name, deeds, hash: Vec::new() };
        row.hash = row.hash_after(&hash);
        hash.clone_from(&row.hash);
        sql.push(if i > 0 { ", (" } else { "(" });
        sql.bind(row.seq).push(", ").bind(row.at).push(", ").bind(row.rev).push(", ").bind(row.actor).push(", ");
        sql.bind(row.key_id).push(", ").bind(row.key_name).push(", ").bind(row.deeds).push(", ").bind(row.hash);
        sql.push(")");
    }
    sql.run(conn).await?;
    let mut sql = Sql::new(conn);
    sql.push("UPDATE corpus_clock SET audit_seq = ").bind(seq).push(", audit_hash = ").bind(hash);
    sql.push(" WHERE id = 1");
    sql.run(conn).await?;
    Ok(())
}

/// The number and the hash of the last row; `lock` keeps others from writing one.
async fn head(conn: &impl ConnectionTrait, lock: bool) -> Result<(i64, Vec<u8>), DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT audit_seq, audit_hash FROM corpus_clock WHERE id = 1");
    // SQLite has one writer.
    if lock && sql.is_postgres() {
        sql.push(" FOR UPDATE");
    }
    let row = sql.one(conn).await?.ok_or_else(|| DbErr::RecordNotFound("corpus_clock".to_owned()))?;
    read_head(&row)
}

fn read_head(row: &QueryResult) -> Result<(i64, Vec<u8>), DbErr> {
    let hash: Option<Vec<u8>> = row.try_get_by_index(1)?;
    Ok((row.try_get_by_index(0)?, hash.unwrap_or_else(|| NOTHING.to_vec())))
}

/// A page of the rows.
///
/// # Errors
/// What the database says.
pub async fn page(db: &Db, window: &Window) -> Result<Page<AuditRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS);
    window.bounds(&mut sql);
    window.order(&mut sql);
    Ok(window.page(read::rows(db, sql).await?))
}

/// How many rows there are.
///
/// # Errors
/// What the database says.
pub async fn count(db: &Db) -> Result<i64, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT count(*) FROM audit_log");
    read::number(db, sql).await
}

/// The rows after `seq`, oldest first, at most a thousand.
///
/// # Errors
/// What the database says.
pub async fn after(db: &Db, seq: i64) -> Result<Vec<AuditRow>, DbErr> {
    let mut sql = Sql::of(db.backend());
    sql.push("SELECT ").push(COLUMNS).push(" AND a.seq > ").bind(seq).push(" ORDER BY a.seq LIMIT ");
    sql.bind(i64::try_from(ROWS).unwrap_or(i64::MAX));
    read::rows(db, sql).await
}

/// The key of a row in [`ROWS_OF_AUDIT`].
#[must_use]
pub fn key_of(row: &AuditRow) -> Vec<Part> {
    vec![Part::Int(row.seq)]
}

/// What a look at the whole log has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// So many rows, each as it was written, and the last hash: noted elsewhere, it proves that none was taken away.
    Whole(i64, Vec<u8>),
    /// The first number at which it is not as it was written.
    Broken(i64),
}

/// Computes every hash anew.
///
/// # Errors
/// What the database says.
pub async fn verify(db: &Db) -> Result<Verdict, DbErr> {
    // First: rows that are written meanwhile come after it.
    let (last, head_hash) = head(db.read(), false).await?;
    let (mut seq, mut hash) = (0, NOTHING.to_vec());
    while seq < last {
        let rows = after(db, seq).await?;
        if rows.is_empty() {
            return Ok(Verdict::Broken(seq + 1));
        }
        for row in rows {
            if row.seq != seq + 1 || row.hash_after(&hash) != row.hash {
                return Ok(Verdict::Broken(seq + 1));
            }
            (seq, hash) = (row.seq, row.hash);
            if seq == last && hash != head_hash {
                return Ok(Verdict::Broken(seq));
            }
        }
    }
    Ok(Verdict::Whole(seq, hash))
}
