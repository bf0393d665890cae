//! `documents`: reading and writing rows.

use sea_orm::ActiveModelTrait;
use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::FromQueryResult;
use sea_orm::IntoActiveModel;
use sea_orm::QueryFilter;
use sea_orm::QuerySelect;
use sea_orm::Select;

use crate::entity::document;
use crate::entity::document::Column;
use crate::entity::document::Entity;
use crate::entity::document::Model;
use crate::store::Tx;
use crate::store::sql::Sql;

impl Entity {
    /// Documents that are not soft-deleted: how every normal query starts.
    pub fn live() -> Select<Self> {
        Self::find().filter(Column::DeletedAt.is_null())
    }

    /// All documents, soft-deleted ones too: the visible exception.
    pub fn with_deleted() -> Select<Self> {
        Self::find()
    }
}

/// The live document of that id.
///
/// # Errors
/// What the database says.
pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::live().filter(Column::Id.eq(id)).one(conn).await
}

/// The document of that id, deleted or not.
///
/// # Errors
/// What the database says.
pub async fn find_with_deleted(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::with_deleted().filter(Column::Id.eq(id)).one(conn).await
}

/// Locks the document of that id, deleted or not, and reads it: the first lock of every mutation below it.
///
/// # Errors
/// What the database says.
pub async fn lock(tx: &Tx, id: &str) -> Result<Option<Model>, DbErr> {
    let find = Entity::with_deleted().filter(Column::Id.eq(id));
    // SQLite has one writer, and no row locks.
    if Sql::new(tx).is_postgres() { find.lock_exclusive().one(tx).await } else { find.one(tx).await }
}

/// The rows that are locked by naming what is below them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// The ids are of chunks.
    Chunks,
    /// The ids are of embeddings.
    Embeddings,
}

const LOCKED: &str = "SELECT id, namespace, title, source, metadata, revision, created_at, updated_at, deleted_at, \
     title_folded, source_folded FROM documents WHERE ";

/// Locks the documents of these ids, deleted or not, in the order of their ids, and reads them.
///
/// # Errors
/// What the database says.
pub async fn lock_many<S: AsRef<str>>(tx: &Tx, ids: &[S]) -> Result<Vec<Model>, DbErr> {
    let mut sql = Sql::new(tx);
    sql.push(LOCKED).is_any("id", ids);
    in_order(tx, sql).await
}

/// Locks the documents above these rows, as [`lock_many`] does. The rows may have changed while
/// the lock was waited for: read them afterwards.
///
/// # Errors
/// What the database says.
pub async fn lock_above<S: AsRef<str>>(tx: &Tx, below: Below, ids: &[S]) -> Result<Vec<Model>, DbErr> {
    let mut sql = Sql::new(tx);
    let table = match below {
        Below::Chunks => "(SELECT document_id FROM chunks WHERE ",
        Below::Embeddings => "(SELECT document_id FROM embeddings WHERE ",
    };
    let (any, end) = if sql.is_postgres() { ("id = ANY (ARRAY", "))") } else { ("id IN ", ")") };
    sql.push(LOCKED).push(any).push(table).is_any("id", ids).push(end);
    in_order(tx, sql).await
}

async fn in_order(tx: &Tx, mut sql: Sql) -> Result<Vec<Model>, DbErr> {
    sql.push(" ORDER BY id");
    if sql.is_postgres() {
        sql.push(" FOR UPDATE");
    }
    sql.all(tx).await?.iter().map(|row| Model::from_query_result(row, "")).collect()
}

/// Inserts a row.
///
/// # Errors
/// What the database says; a taken id is a unique violation.
pub async fn insert(tx: &Tx, row: &Model) -> Result<(), DbErr> {
    document::Entity::insert(row.clone().into_active_model()).exec_without_returning(tx).await?;
    Ok(())
}

/// Writes every column of a row that was locked.
///
/// # Errors
/// What the database says.
pub async fn update(tx: &Tx, row: &Model) -> Result<(), DbErr> {
    let row = row.clone();
    let id = row.id.clone();
    Entity::update_many().set(row.into_active_model().reset_all()).filter(Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}

/// Raises the revisions: something below the documents changed.
///
/// # Errors
/// What the database says.
pub async fn bump<S: AsRef<str>>(tx: &Tx, ids: &[S]) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE documents SET revision = revision + 1 WHERE ").is_any("id", ids);
    sql.run(tx).await?;
    Ok(())
}

/// Soft-deletes documents that were locked.
///
/// # Errors
/// What the database says.
pub async fn soft_delete_many<S: AsRef<str>>(tx: &Tx, ids: &[S]) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("UPDATE documents SET revision = revision + 1, updated_at = ").bind(tx.now_us());
    sql.push(", deleted_at = ").bind(tx.now_us()).push(" WHERE deleted_at IS NULL AND ").is_any("id", ids);
    sql.run(tx).await?;
    Ok(())
}

/// Deletes rows and, by cascade, everything below them.
///
/// # Errors
/// What the database says.
pub async fn delete_many<S: AsRef<str>>(tx: &Tx, ids: &[S]) -> Result<(), DbErr> {
    let mut sql = Sql::new(tx);
    sql.push("DELETE FROM documents WHERE ").is_any("id", ids);
    sql.run(tx).await?;
    Ok(())
}
