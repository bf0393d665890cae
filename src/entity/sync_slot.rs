//! `sync_slots`: what the index should hold, and what it is known to hold.

use sea_orm::entity::prelude::*;

/// One slot: the unit of sync. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sync_slots")]
pub struct Model {
    /// The target.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target_id: i64,
    /// The record's namespace.
    #[sea_orm(primary_key, auto_increment = false)]
    pub namespace: String,
    /// The record's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub vector_id: String,
    /// The embedding it came from; outlives it.
    pub embedding_id: Option<String>,
    /// The document it came from; outlives it.
    pub document_id: Option<String>,
    /// `present` or `absent`.
    pub want: String,
    /// Grows with every touch.
    pub want_rev: i64,
    /// The newest revision the target acknowledged.
    pub acked_rev: i64,
    /// The payload of that revision.
    pub acked_hash: Option<String>,
    /// The target's generation then.
    pub acked_gen: i64,
    /// When the acknowledged write was claimed.
    pub acked_from: i64,
    /// When it was acknowledged.
    pub acked_at: Option<i64>,
    /// The target's sequence number of it.
    pub acked_lsn: Option<i64>,
    /// When there is something to do; NULL = never.
    pub due_at: Option<i64>,
    /// Since which epoch the index may lag.
    pub dirty_epoch: Option<i64>,
    /// Behind which corpus revision the index may lag.
    pub dirty_rev: Option<i64>,
    /// The claim that works on it.
    pub claim_token: Option<String>,
    /// The worker of that claim.
    pub claim_worker: Option<String>,
    /// When it was claimed.
    pub claimed_at: Option<i64>,
    /// Until when an earlier request may still land.
    pub doubt_until: i64,
    /// What that request would write; `*` = unknown.
    pub doubt_hash: Option<String>,
    /// Failed tries since the last touch or acknowledgement.
    pub attempts: i32,
    /// Code of the last failure.
    pub error_code: Option<String>,
    /// Text of the last failure.
    pub error_text: Option<String>,
    /// Time of the last failure.
    pub error_at: Option<i64>,
    /// Why it is not tried again.
    pub quarantine: Option<String>,
    /// Last change of this row.
    pub updated_at: i64,
}

/// None: slots outlive the rows they came from.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
