//! `chunks`: reading and writing rows.

use sea_orm::ActiveModelTrait;
use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::IntoActiveModel;
use sea_orm::JoinType;
use sea_orm::QueryFilter;
use sea_orm::QueryOrder;
use sea_orm::QuerySelect;
use sea_orm::RelationTrait;
use sea_orm::Select;

use crate::entity::chunk::Column;
use crate::entity::chunk::Entity;
use crate::entity::chunk::Model;
use crate::entity::chunk::Relation;
use crate::entity::document;
use crate::store::Tx;
use crate::store::sql;
use crate::store::sql::Sql;

impl Entity {
    /// Chunks that are not soft-deleted themselves: how every normal query starts.
    pub fn live() -> Select<Self> {
        Self::find().filter(Column::DeletedAt.is_null())
    }

    /// All chunks, soft-deleted ones too: the visible exception.
    pub fn with_deleted() -> Select<Self> {
        Self::find()
    }
}

/// The live chunk of that id, if its document is live too.
///
/// # Errors
/// What the database says.
pub async fn find(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::live()
        .filter(Column::Id.eq(id))
        .join(JoinType::InnerJoin, Relation::Document.def())
        .filter(document::Column::DeletedAt.is_null())
        .one(conn)
        .await
}

/// The chunk of that id, deleted or not, below a deleted document or not.
///
/// # Errors
/// What the database says.
pub async fn find_with_deleted(conn: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::with_deleted().filter(Column::Id.eq(id)).one(conn).await
}

/// The document of each of these chunks that are live: pairs of chunk and document id.
///
/// # Errors
/// What the database says.
pub async fn documents_of<S: AsRef<str>>(
    conn: &impl ConnectionTrait,
    ids: &[S],
) -> Result<Vec<(String, String)>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT id, document_id FROM chunks WHERE deleted_at IS NULL AND ").is_any("id", ids);
    sql.all(conn).await?.iter().map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?))).collect()
}

/// The greatest index in a document, soft-deleted chunks included.
///
/// # Errors
/// What the database says.
pub async fn last_index(conn: &impl ConnectionTrait, document_id: &str) -> Result<Option<i64>, DbErr> {
    let mut sql = Sql::new(conn);
    sql.push("SELECT max(chunk_index) FROM chunks WHERE document_id = ").bind(document_id);
    sql.one(conn).await?.map_or(Ok(None), |row| row.try_get_by_index(0))
}

/// The ids of a document's live chunks in reading order.
///
/// # Errors
/// What the database says.
pub async fn live_ids(conn: &impl ConnectionTrait, document_id: &str) -> Result<Vec<String>, DbErr> {
    Entity::live()
        .select_only()
        .column(Column::Id)
        .filter(Column::DocumentId.eq(document_id))
        .order_by_asc(Column::ChunkIndex)
        .order_by_asc(Column::CreatedAt)
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(conn)
        .await
}

/// Inserts rows, many a statement.
///
/// # Errors
/// What the database says; a taken id is a unique violation.
pub async fn insert(tx: &Tx, rows: &[Model]) -> Result<(), DbErr> {
    for page in rows.chunks(sql::rows_of(9)) {
        let rows = page.iter().cloned().map(IntoActiveModel::into_active_model);
        Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Copies rows below another document, as new ones of this transaction: pairs of old and new id.
///
/// # Errors
/// What the database says.
pub async fn copy(tx: &Tx, document_id: &str, ids: &[(String, String)]) -> Result<(), DbErr> {
    for page in ids.chunks(sql::COPIES) {
        let mut sql = Sql::new(tx);
        sql.push(
            "INSERT INTO chunks (id, document_id, chunk_index, text, metadata, created_at, updated_at, deleted_at, \
             text_folded) SELECT ",
        );
        sql.push_nth("m", 1).push(", ").bind(document_id).push(", c.chunk_index, c.text, c.metadata, ");
        sql.bind(tx.now_us()).push(", ").bind(tx.now_us()).push(", NULL, c.text_folded FROM ");
        let lists: Vec<[&str; 2]> = page.iter().map(|(old, new)| [old.as_str(), new.as_str()]).collect();
        sql.bind_lists(&lists, "m").push(" CROSS JOIN chunks c WHERE c.id = ").push_nth("m", 0);
        sql.run(tx).await?;
    }
    Ok(())
}

/// Writes every column of a row whose document was locked.
///
/// # Errors
/// What the database says.
pub async fn update(tx: &Tx, row: &Model) -> Result<(), DbErr> {
    let id = row.id.clone();
    Entity::update_many().set(row.clone().into_active_model().reset_all()).filter(Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}

/// Deletes the row and, by cascade, its embeddings.
///
/// # Errors
/// What the database says.
pub async fn delete(tx: &Tx, id: &str) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}
