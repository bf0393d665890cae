//! `documents`: the roots of the corpus.

use sea_orm::entity::prelude::*;

/// One document.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "documents")]
pub struct Model {
    /// Any text without control characters; UUIDv7 when the server made it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The partition, and the namespace of its records in the index.
    pub namespace: String,
    /// 1 to 255 characters.
    pub title: String,
    /// Where it came from, at most 512 characters.
    pub source: Option<String>,
    /// A JSON object as text; NULL only in adopted rows.
    pub metadata: Option<String>,
    /// Grows with every change of the document or anything below it.
    pub revision: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// When it was soft-deleted.
    pub deleted_at: Option<i64>,
    /// Title, folded for substring search.
    pub title_folded: String,
    /// Source, folded for substring search.
    pub source_folded: String,
}

/// Relations of a document.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Its chunks.
    #[sea_orm(has_many = "super::chunk::Entity")]
    Chunk,
}

impl Related<super::chunk::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Chunk.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
