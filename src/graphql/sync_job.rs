//! Sync jobs, as queries, mutations and subscriptions show them.

use async_graphql::Context;
use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::Object;

use crate::entity::sync_job::Model;
use crate::error::Result;
use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::page::Listed;
use crate::graphql::query::cx;
use crate::graphql::report::ReconcileReport;
use crate::graphql::scalars::DateTime;
use crate::service::jobs;
use crate::service::jobs::JobState;
use crate::service::reconcile;
use crate::store::graph;
use crate::store::page::List;
use crate::store::page::Part;

/// An explicit sync that can be followed.
#[derive(Debug, Clone)]
pub struct SyncJob(pub Model);

impl Row for Model {
    type Memo = ();
}

impl Listed for SyncJob {
    type Row = Model;
    const NAMES: (&'static str, &'static str) = ("SyncJobConnection", "SyncJobEdge");

    fn of(row: At<Model>) -> Self {
        Self(Model::clone(&row))
    }

    fn key(row: &Model, _list: &List) -> Vec<Part> {
        graph::sync::job_key(row)
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum SyncJobKind {
    /// Brings the index in step with the rows in its scope.
    Export,
    /// Compares the index with the rows.
    Reconcile,
}

impl SyncJobKind {
    /// The name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Reconcile => "reconcile",
        }
    }
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "JobState")]
pub enum SyncJobState {
    /// Nobody has taken it up yet.
    Queued,
    /// Records are being sent.
    Running,
    /// Only records in doubt remain: an earlier request may still land.
    Settling,
    /// Everything is acknowledged; the index does not show all of it yet.
    Verifying,
    /// Done.
    Completed,
    /// Done, and some records were refused.
    CompletedWithErrors,
    /// Ended by request. Work already done stays done.
    Cancelled,
    /// Ended at its deadline.
    Failed,
}

/// Whether queries to the index are known to see what a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum Visibility {
    /// Not asked yet.
    Pending,
    /// They see all of it.
    Verified,
    /// The index does not say.
    Unknown,
    /// The index did not say so in time.
    Timeout,
}

impl Visibility {
    fn from_name(name: &str) -> Self {
        match name {
            "verified" => Self::Verified,
            "unknown" => Self::Unknown,
            "timeout" => Self::Timeout,
            _ => Self::Pending,
        }
    }
}

/// An explicit sync that can be followed.
#[Object]
impl SyncJob {
    /// Its id.
    pub async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// What it does.
    async fn kind(&self) -> SyncJobKind {
        if self.0.kind == SyncJobKind::Reconcile.name() { SyncJobKind::Reconcile } else { SyncJobKind::Export }
    }

    /// Where it stands.
    async fn state(&self) -> SyncJobState {
        jobs::state(&self.0).into()
    }

    /// The name of the target it works on.
    async fn target(&self, ctx: &Context<'_>) -> Result<String> {
        jobs::target_name(cx(ctx), &self.0).await
    }

    /// Records in its scope that were to be sent or deleted, or compared. Grows when doubt reopens one, or when the
    /// index holds more than was known.
    async fn total(&self) -> i64 {
        self.0.total
    }

    /// Those that are settled or refused, or compared. Never falls.
    async fn done(&self) -> i64 {
        self.0.done
    }

    /// Those that were refused.
    async fn failed(&self) -> i64 {
        self.0.failed
    }

    /// Records written to the index.
    async fn upserted(&self) -> i64 {
        self.0.upserted
    }

    /// Records deleted from the index.
    async fn deleted(&self) -> i64 {
        self.0.deleted
    }

    /// Done of a hundred; 100 when there was nothing to do.
    async fn percentage(&self) -> f64 {
        jobs::percentage(&self.0)
    }

    /// Seconds until its end at its pace so far; null until enough was done to tell, 0 once it has ended.
    async fn eta_seconds(&self, ctx: &Context<'_>) -> Option<f64> {
        jobs::eta_seconds(&self.0, cx(ctx).db().clock().now_ms())
    }

    /// Whether queries to the index are known to see what it did.
    async fn visibility(&self) -> Visibility {
        Visibility::from_name(&self.0.visibility)
    }

    /// Why it waits.
    async fn blocked_reason(&self) -> Option<&str> {
        self.0.blocked_reason.as_deref()
    }

    /// Why it failed.
    async fn error(&self) -> Option<&str> {
        self.0.error_text.as_deref()
    }

    /// What a check found so far; null for exports.
    async fn report(&self) -> Option<ReconcileReport> {
        Some(ReconcileReport::new(self.0.id.clone(), reconcile::report(&self.0)?))
    }

    /// When it was started.
    async fn created_at(&self) -> DateTime {
        DateTime::of_ms(self.0.created_at)
    }

    /// When it ended.
    async fn finished_at(&self) -> Option<DateTime> {
        self.0.finished_at.map(DateTime::of_ms)
    }
}
