//! `/api/sync`: jobs, followed and cancelled, and the index they keep in step.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::entity::sync_job::Model;
use crate::error::Error;
use crate::error::Rule;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::fields::any;
use crate::rest::fields::flaw;
use crate::rest::fields::integer;
use crate::rest::fields::string;
use crate::rest::links::Listing;
use crate::service::Ctx;
use crate::service::jobs;
use crate::service::jobs::JobState;
use crate::service::jobs::WHAT;
use crate::service::reconcile;
use crate::service::rules;
use crate::service::targets;

/// Jobs of a list that does not say how many.
const JOBS: i64 = 20;

/// A sync job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncJobResponse)]
pub struct JobOut {
    id: String,
    /// `export` or `reconcile`
    kind: String,
    /// `queued`, `running`, `settling`, `verifying`, `completed`, `completed_with_errors`, `cancelled` or `failed`
    state: &'static str,
    /// The name of the target it works on.
    target: String,
    /// Records in its scope that were to be sent or deleted, or compared. Grows when doubt reopens one.
    total: i64,
    /// Those that are settled or refused, or compared. Never falls.
    done: i64,
    /// Those that were refused.
    failed: i64,
    /// Records written to the index.
    upserted: i64,
    /// Records deleted from the index.
    deleted: i64,
    /// Done of a hundred; 100 when there was nothing to do.
    percentage: f64,
    /// Seconds until its end at its pace so far; null until enough was done to tell.
    eta_seconds: Option<f64>,
    /// Whether queries to the index are known to see what it did: `pending`, `verified`, `unknown` or `timeout`
    visibility: String,
    /// Why it waits.
    blocked_reason: Option<String>,
    /// Why it failed.
    error: Option<String>,
    /// What a check found so far; null for exports.
    report: Option<CountsOut>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    finished_at: Option<String>,
}

/// What a check found, in numbers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconcileCounts)]
pub struct CountsOut {
    /// `check` or `repair`
    mode: &'static str,
    checked: i64,
    skipped: i64,
    repaired: i64,
    missing: i64,
    stale: i64,
    orphaned: i64,
    resurrected: i64,
    foreign: i64,
    legacy: i64,
}

impl From<reconcile::Report> for CountsOut {
    fn from(report: reconcile::Report) -> Self {
        let count = |class| report.count(class);
        Self {
            mode: report.mode.name(),
            checked: report.checked,
            skipped: report.skipped,
            repaired: report.repaired,
            missing: count(reconcile::Class::Missing),
            stale: count(reconcile::Class::Stale),
            orphaned: count(reconcile::Class::Orphaned),
            resurrected: count(reconcile::Class::Resurrected),
            foreign: count(reconcile::Class::Foreign),
            legacy: count(reconcile::Class::Legacy),
        }
    }
}

impl JobOut {
    async fn of(cx: &Ctx, job: Model) -> Result<Self, Error> {
        let time = |ms: i64| naive_iso(ms.saturating_mul(1000));
        Ok(Self {
            target: jobs::target_name(cx, &job).await?,
            state: jobs::state(&job).name(),
            percentage: jobs::percentage(&job),
            eta_seconds: jobs::eta_seconds(&job, cx.db().clock().now_ms()),
            report: reconcile::report(&job).map(CountsOut::from),
            created_at: time(job.created_at),
            finished_at: job.finished_at.map(time),
            id: job.id,
            kind: job.kind,
            total: job.total,
            done: job.done,
            failed: job.failed,
            upserted: job.upserted,
            deleted: job.deleted,
            visibility: job.visibility,
            blocked_reason: job.blocked_reason,
            error: job.error_text,
        })
    }
}

/// A vector index that the corpus is kept in step with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SyncTargetResponse)]
pub struct TargetOut {
    name: String,
    /// `local` or `pinecone`
    kind: String,
    /// `cosine`, `dotproduct` or `euclidean`
    metric: String,
    /// How many numbers its vectors have; null until the first one, unless it was set.
    dimension: Option<i64>,
    /// `active`, `paused` or `unreachable`
    state: String,
    /// Why it is not written to.
    reason: Option<String>,
    /// Every change up to this corpus revision is in the index.
    synced_through: i64,
    /// Age of the oldest change that is not in the index, in seconds; 0 when there is none.
    lag_seconds: f64,
    /// Records that an earlier request may still change.
    in_doubt: i64,
}

impl From<targets::Told> for TargetOut {
    fn from(told: targets::Told) -> Self {
        let targets::Told { row, dimension, fresh } = told;
        Self {
            name: row.name,
            kind: row.kind,
            metric: row.metric,
            dimension,
            state: row.state,
            reason: row.reason,
            synced_through: fresh.through.revision,
            lag_seconds: fresh.lag_seconds,
            in_doubt: fresh.through.in_doubt,
        }
    }
}

/// List sync jobs.
#[utoipa::path(
    get, path = "/api/sync/jobs", tag = "sync", operation_id = "list_sync_jobs",
    params(
        ("state" = Option<String>, Query, description = "Only jobs in this state"),
        ("limit" = Option<u64>, Query, description = "Jobs to give at most (20)", minimum = 1),
        ("after" = Option<String>, Query, description = "Only what comes behind this place; `Link` has the next one"),
    ),
    responses((
        status = 200, description = "Jobs, newest first", body = Vec<JobOut>,
        headers(("X-Total-Count" = u64, description = "How many there are"), ("Link" = String, description = "Where the next page is")),
    )),
)]
pub async fn list_jobs(call: Call) -> Outcome {
    let cx = call.cx();
    let max = i64::try_from(cx.config().limits.rest_page).unwrap_or(i64::MAX);
    let mut form = call.form();
    let state = form.query("state", |value| match value.as_str().and_then(JobState::from_name) {
        Some(state) => Ok(state),
        None => flaw(Rule::Value("must be the state of a job".to_owned()), value),
    });
    let limit = form.query("limit", integer(|count| rules::between(count, 1, max)));
    let after = form.query("after", string(any));
    let after = form.finish(Some(after))?;
    let limit = limit.unwrap_or(JOBS.min(max)).unsigned_abs();
    let page = jobs::list(cx, state, limit, after).await?;
    let mut out = Vec::with_capacity(page.jobs.len());
    for job in page.jobs {
        out.push(JobOut::of(cx, job).await?);
    }
    Listing::new(&call, page.total).next(page.next.as_deref()).answer(&out)
}

/// Read a sync job.
#[utoipa::path(
    get, path = "/api/sync/jobs/{job_id}", tag = "sync", operation_id = "get_sync_job",
    params(("job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job as it is now", body = JobOut)),
)]
pub async fn get_job(call: Call) -> Outcome {
    let id = call.id("job_id", WHAT)?;
    let job = jobs::get(call.cx(), &id).await?;
    json(StatusCode::OK, &JobOut::of(call.cx(), job).await?)
}

/// Cancel a sync job.
#[utoipa::path(
    delete, path = "/api/sync/jobs/{job_id}", tag = "sync", operation_id = "cancel_sync_job",
    params(("job_id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job; it ends once what is being sent is acknowledged. One that has ended stays as it is", body = JobOut)),
)]
pub async fn cancel_job(call: Call) -> Outcome {
    let id = call.id("job_id", WHAT)?;
    let job = jobs::cancel(call.cx(), &id).await?;
    json(StatusCode::OK, &JobOut::of(call.cx(), job).await?)
}

/// List the vector indexes.
#[utoipa::path(
    get, path = "/api/sync/targets", tag = "sync", operation_id = "list_sync_targets",
    responses((status = 200, description = "The indexes that the corpus is kept in step with", body = Vec<TargetOut>)),
)]
pub async fn list_targets(call: Call) -> Outcome {
    let told = targets::list(call.cx()).await?;
    json(StatusCode::OK, &told.into_iter().map(TargetOut::from).collect::<Vec<_>>())
}
