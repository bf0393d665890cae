//! `corpus_log`: the numbered log of what changed, and its one counter.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;
use sea_orm::QuerySelect;

use crate::entity::corpus_log;
use crate::store::sql::Sql;

/// What happened to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ChangeKind {
    DocumentCreated,
    DocumentUpdated,
    DocumentDeleted,
    DocumentRestored,
    ChunkCreated,
    ChunkUpdated,
    ChunkDeleted,
    ChunkRestored,
    EmbeddingCreated,
    EmbeddingUpdated,
    EmbeddingDeleted,
    EmbeddingSynced,
    /// A slot's state moved without the record reaching the index: followers of a document look again.
    SyncChanged,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::DocumentCreated,
        Self::DocumentUpdated,
        Self::DocumentDeleted,
        Self::DocumentRestored,
        Self::ChunkCreated,
        Self::ChunkUpdated,
        Self::ChunkDeleted,
        Self::ChunkRestored,
        Self::EmbeddingCreated,
        Self::EmbeddingUpdated,
        Self::EmbeddingDeleted,
        Self::EmbeddingSynced,
        Self::SyncChanged,
    ];

    /// The name in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DocumentCreated => "DOCUMENT_CREATED",
            Self::DocumentUpdated => "DOCUMENT_UPDATED",
            Self::DocumentDeleted => "DOCUMENT_DELETED",
            Self::DocumentRestored => "DOCUMENT_RESTORED",
            Self::ChunkCreated => "CHUNK_CREATED",
            Self::ChunkUpdated => "CHUNK_UPDATED",
            Self::ChunkDeleted => "CHUNK_DELETED",
            Self::ChunkRestored => "CHUNK_RESTORED",
            Self::EmbeddingCreated => "EMBEDDING_CREATED",
            Self::EmbeddingUpdated => "EMBEDDING_UPDATED",
            Self::EmbeddingDeleted => "EMBEDDING_DELETED",
            Self::EmbeddingSynced => "EMBEDDING_SYNCED",
            Self::SyncChanged => "SYNC_CHANGED",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One entry of the log, before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// To which row.
    pub id: String,
    /// Below which document.
    pub document_id: String,
}

impl Change {
    /// A change of the row `id` below (or being) the document `document_id`.
    #[must_use]
    pub fn new(kind: ChangeKind, id: &str, document_id: &str) -> Self {
        Self { kind, id: id.to_owned(), document_id: document_id.to_owned() }
    }
}

/// Takes numbers for `changes` and writes them; the last statements before a commit.
/// Gives the number of the last one.
///
/// # Errors
/// What the database says.
pub async fn append(conn: &impl ConnectionTrait, changes: &[Change], now_ms: i64) -> Result<i64, DbErr> {
    let count = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    let mut sql = Sql::new(conn);
    sql.push("UPDATE corpus_clock SET rev = rev + ").bind(count).push(" WHERE id = 1 RETURNING rev");
    let row = sql.one(conn).await?.ok_or_else(|| DbErr::RecordNotFound("corpus_clock".to_owned()))?;
    let last: i64 = row.try_get_by_index(0)?;
    let mut rev = last - count;
    for page in changes.chunks(1000) {
        let mut sql = Sql::new(conn);
        sql.push("INSERT INTO corpus_log (rev, kind, id, document_id, at) VALUES ");
        for (i, change) in page.iter().enumerate() {
            rev += 1;
            sql.push(if i > 0 { ", (" } else { "(" });
            sql.bind(rev).push(", ").bind(change.kind.name()).push(", ");
            sql.bind(change.id.as_str()).push(", ").bind(change.document_id.as_str()).push(", ");
            sql.bind(now_ms).push(")");
        }
        sql.run(conn).await?;
    }
    Ok(last)
}

/// The corpus revision now.
///
/// # Errors
/// What the database says.
pub async fn revision(conn: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT rev FROM corpus_clock WHERE id = 1");
    sql.one(conn).await?.map_or(Ok(0), |row| row.try_get_by_index(0))
}

/// The entries after `rev`, oldest first, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn after(conn: &impl ConnectionTrait, rev: i64, limit: u64) -> Result<Vec<corpus_log::Model>, DbErr> {
    corpus_log::Entity::find()
        .filter(corpus_log::Column::Rev.gt(rev))
        .order_by_asc(corpus_log::Column::Rev)
        .limit(limit)
        .all(conn)
        .await
}

/// The oldest number still in the log, if it has any.
///
/// # Errors
/// What the database says.
pub async fn oldest(conn: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT min(rev) FROM corpus_log");
    sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}
