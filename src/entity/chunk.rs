//! `chunks`: the passages of a document, in reading order.

use sea_orm::entity::prelude::*;

/// One chunk.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "chunks")]
pub struct Model {
    /// Any text without control characters; UUIDv7 when the server made it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Its document; never changes.
    pub document_id: String,
    /// Place in reading order, from 0; not unique.
    pub chunk_index: i64,
    /// The passage.
    pub text: String,
    /// A JSON object as text; NULL only in adopted rows.
    pub metadata: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// When it was soft-deleted by itself; a chunk of a deleted document need not have it.
    pub deleted_at: Option<i64>,
    /// Text, folded for substring search; last, so that lists need not page through it.
    pub text_folded: String,
}

/// Relations of a chunk.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Its document.
    #[sea_orm(belongs_to = "super::document::Entity", from = "Column::DocumentId", to = "super::document::Column::Id")]
    Document,
    /// Its embeddings.
    #[sea_orm(has_many = "super::embedding::Entity")]
    Embedding,
}

impl Related<super::document::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Document.def()
    }
}

impl Related<super::embedding::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Embedding.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
