//! `sync_jobs`: explicit syncs that somebody follows.

use sea_orm::entity::prelude::*;

/// One job. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sync_jobs")]
pub struct Model {
    /// UUIDv7.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// `export` or `reconcile`.
    pub kind: String,
    /// The scope in words; one running job a scope and target.
    pub scope_key: String,
    /// The target.
    pub target_id: i64,
    /// `queued`, `running`, `settling`, `verifying`, `completed`, `completed_with_errors`, `cancelled` or `failed`.
    pub state: String,
    /// The last epoch before it started.
    pub epoch: i64,
    /// Slots to settle.
    pub total: i64,
    /// Slots settled.
    pub done: i64,
    /// Slots quarantined.
    pub failed: i64,
    /// Records written.
    pub upserted: i64,
    /// Records deleted.
    pub deleted: i64,
    /// The newest event's number.
    pub event_seq: i64,
    /// 1 once somebody asked to cancel.
    pub cancel_requested: i32,
    /// When it fails if not done.
    pub deadline_at: Option<i64>,
    /// Why it waits.
    pub blocked_reason: Option<String>,
    /// `pending`, `verified`, `unknown` or `timeout`.
    pub visibility: String,
    /// Records of one request to the index at most, where it was asked for.
    pub batch_size: Option<i64>,
    /// The worker that drives its counters.
    pub owner: Option<String>,
    /// Why it failed.
    pub error_text: Option<String>,
    /// Start.
    pub created_at: i64,
    /// End.
    pub finished_at: Option<i64>,
    /// What a check found so far, as JSON; exports have none.
    pub report: Option<String>,
    /// Where a check stands, as JSON.
    pub place: Option<String>,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
