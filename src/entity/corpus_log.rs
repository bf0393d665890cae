//! `corpus_log`: what changed, in the order of the commits.

use sea_orm::entity::prelude::*;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "corpus_log")]
pub struct Model {
    /// The corpus revision this change made; dense, in commit order.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rev: i64,
    /// The event kind (`DOCUMENT_CREATED` …), or `SYNC_CHANGED` for slots whose state moved without one.
    pub kind: String,
    /// The row it is about.
    pub id: String,
    /// The document above it.
    pub document_id: String,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// None: the log outlives its rows.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
