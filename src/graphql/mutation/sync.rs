//! Mutations that bring the index in step.

use async_graphql::Context;
use async_graphql::Enum;
use async_graphql::ID;
use async_graphql::InputObject;
use async_graphql::Object;
use async_graphql::OneofObject;
use async_graphql::SimpleObject;

use crate::error::Error;
use crate::error::Result;
use crate::error::Step;
use crate::graphql::mutation::of_input;
use crate::graphql::query::cx;
use crate::graphql::sync_job::SyncJob;
use crate::service::jobs;
use crate::service::jobs::Scope;
use crate::service::jobs::Start;
use crate::service::reconcile;

/// What `startSync` takes.
#[derive(InputObject)]
struct StartSyncInput {
    /// What to bring in step.
    scope: SyncScope,
    /// 1 to 255 characters. Within 24 hours the same key gives the same job; with another scope it is CONFLICT.
    idempotency_key: Option<String>,
}

/// What a sync is about: exactly one of these.
#[derive(OneofObject)]
enum SyncScope {
    /// Everything of one document that is held, pending or changed.
    DocumentId(ID),
    /// These embeddings, sent even when the index is known to hold them.
    EmbeddingIds(Vec<ID>),
    /// Everything that is held or pending: true.
    Unsynced(bool),
}

/// What `startSync` answers.
#[derive(SimpleObject)]
struct StartSyncPayload {
    /// The job, to be followed with the subscription `syncProgress`.
    job: SyncJob,
    /// False when the job was already running.
    started: bool,
}

/// What `cancelSync` takes.
#[derive(InputObject)]
struct CancelSyncInput {
    /// The job.
    job_id: ID,
}

/// What `cancelSync` answers.
#[derive(SimpleObject)]
struct CancelSyncPayload {
    /// The job. It ends once what is being sent is acknowledged; one that had ended is as it was.
    job: SyncJob,
}

/// What `retryQuarantined` takes.
#[derive(InputObject)]
struct RetryQuarantinedInput {
    /// The ids of the records; all that are quarantined when it is left out.
    vector_ids: Option<Vec<ID>>,
}

/// What `retryQuarantined` answers.
#[derive(SimpleObject)]
struct RetryQuarantinedPayload {
    /// How many records are tried again.
    count: u64,
}

/// What `reconcile` takes.
#[derive(InputObject)]
struct ReconcileInput {
    /// What to do with differences.
    #[graphql(default_with = "ReconcileMode::Check")]
    mode: ReconcileMode,
    /// With REPAIR: also delete LEGACY records.
    #[graphql(default_with = "Some(false)")]
    remove_legacy: Option<bool>,
}

/// What a check does with differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "reconcile::Mode")]
pub enum ReconcileMode {
    /// Tells them.
    Check,
    /// Mends them.
    Repair,
}

/// What `reconcile` answers.
#[derive(SimpleObject)]
struct ReconcilePayload {
    /// The job, to be followed with the subscription `syncProgress`; its `report` tells what was found.
    job: SyncJob,
}

/// What `deleteVectors` takes.
#[derive(InputObject)]
struct DeleteVectorsInput {
    /// The ids of the records.
    vector_ids: Vec<ID>,
}

/// What `deleteVectors` answers.
#[derive(SimpleObject)]
struct DeleteVectorsPayload {
    /// How many distinct ids were given: what an index does not hold counts as deleted.
    deleted_count: u64,
}

/// An error whose broken rules stand below `scope`.
fn of_scope(mut error: Error) -> Error {
    if let Error::Invalid(fields) = &mut error {
        let outside = [Step::Field("idempotency_key".to_owned())];
        for field in fields.iter_mut().filter(|field| field.path != outside) {
            field.path.insert(0, Step::Field("scope".to_owned()));
        }
    }
    error
}

/// Mutations that bring the index in step.
#[derive(Default)]
pub struct SyncMutations;

#[Object]
impl SyncMutations {
    /// Starts a job, or returns the running one of the same scope. Follow it with the subscription `syncProgress`.
    async fn start_sync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The scope.")] input: StartSyncInput,
    ) -> Result<StartSyncPayload> {
        let scope = match input.scope {
            SyncScope::DocumentId(id) => Scope::Document(id.0),
            SyncScope::EmbeddingIds(ids) => Scope::Embeddings(ids.into_iter().map(|id| id.0).collect()),
            SyncScope::Unsynced(true) => Scope::Unsynced,
            SyncScope::Unsynced(false) => return Err(Error::invalid_value("input.scope.unsynced", "must be true")),
        };
        let start = Start { idempotency_key: input.idempotency_key, ..scope.into() };
        let (job, started) = of_input(jobs::start(cx(ctx), start).await.map_err(of_scope))?;
        Ok(StartSyncPayload { job: SyncJob(job), started })
    }

    /// Ends a job after what is being sent. What should be true of the index does not change, so that a later job goes on.
    async fn cancel_sync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job.")] input: CancelSyncInput,
    ) -> Result<CancelSyncPayload> {
        let job = of_input(jobs::cancel(cx(ctx), &input.job_id).await)?;
        Ok(CancelSyncPayload { job: SyncJob(job) })
    }

    /// Tries quarantined records again, without waiting for a change of their rows.
    async fn retry_quarantined(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The records.")] input: RetryQuarantinedInput,
    ) -> Result<RetryQuarantinedPayload> {
        let ids = input.vector_ids.map(|ids| ids.into_iter().map(|id| id.0).collect());
        let count = of_input(reconcile::retry_quarantined(cx(ctx), ids).await)?;
        Ok(RetryQuarantinedPayload { count })
    }

    /// Compares the index with the database, record by record, and repairs when asked to. A second start of the same
    /// kind returns the running job. Rows that other programs wrote are adopted first.
    async fn reconcile(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The mode.")] input: ReconcileInput,
    ) -> Result<ReconcilePayload> {
        let remove_legacy = input.remove_legacy.unwrap_or_default();
        let (job, _) = of_input(reconcile::start(cx(ctx), input.mode.into(), remove_legacy).await)?;
        Ok(ReconcilePayload { job: SyncJob(job) })
    }

    /// Removes records from the index and marks the rows that pointed there as never exported. Waits until they are gone.
    async fn delete_vectors(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The records.")] input: DeleteVectorsInput,
    ) -> Result<DeleteVectorsPayload> {
        let ids = input.vector_ids.into_iter().map(|id| id.0).collect();
        let deleted_count = of_input(jobs::delete_vectors(cx(ctx), ids).await)?;
        Ok(DeleteVectorsPayload { deleted_count })
    }
}
