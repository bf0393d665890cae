//! `sync_targets`: the vector indexes the corpus is kept in step with.

use sea_orm::entity::prelude::*;

/// One target.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sync_targets")]
pub struct Model {
    /// A small number.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// `local` or `pinecone`.
    pub kind: String,
    /// A hash of kind, host and index: another identity is another index.
    pub identity: String,
    /// Grows when everything has to be sent again.
    pub generation: i64,
    /// Where the sweep of a new generation stands; NULL = done.
    pub sweep_after: Option<String>,
    /// `active`, `paused` or `unreachable`.
    pub state: String,
    /// Why it is not active.
    pub reason: Option<String>,
    /// Learned from the first vector unless configured.
    pub dimension: Option<i32>,
    /// `cosine`, `dotproduct` or `euclidean`.
    pub metric: String,
    /// Milliseconds since 1970 of the last look at the index.
    pub checked_at: Option<i64>,
    /// The corpus whose records the index was found to hold, or to be free for.
    pub corpus: Option<String>,
    /// Whether records were sent to the index of this identity.
    pub written: bool,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
