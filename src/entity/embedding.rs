//! `embeddings`: a chunk's vectors.

use sea_orm::entity::prelude::*;

/// One embedding, its vector included: lists read [`super::super::store::embeddings::Row`] instead.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "embeddings")]
pub struct Model {
    /// ASCII without control characters; UUIDv7 when the server made it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Its chunk; never changes.
    pub chunk_id: String,
    /// The chunk's document, kept here so that a document's embeddings are one index range.
    pub document_id: String,
    /// The model that made it.
    pub model: Option<String>,
    /// The id of its record in the index, unique in the corpus; the own id unless the client chose another.
    pub vector_id: String,
    /// Waits for an explicit export.
    pub held: bool,
    /// How many numbers the vector has.
    pub dimension: i32,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970; a sync does not move it.
    pub updated_at: i64,
    /// Little-endian f32, four bytes a number.
    pub vector: Vec<u8>,
}

/// Relations of an embedding.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Its chunk.
    #[sea_orm(belongs_to = "super::chunk::Entity", from = "Column::ChunkId", to = "super::chunk::Column::Id")]
    Chunk,
}

impl Related<super::chunk::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Chunk.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
