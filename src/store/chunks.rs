//! `chunks`: reading and writing rows.

use sea_orm::ColumnTrait;
use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm::EntityTrait;
use sea_orm::JoinType;
use sea_orm::QueryFilter;
use sea_orm::QuerySelect;
use sea_orm::RelationTrait;
use sea_orm::Select;

use crate::entity::chunk::Column;
use crate::entity::chunk::Entity;
use crate::entity::chunk::Model;
use crate::entity::chunk::Relation;
use crate::entity::document;

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
