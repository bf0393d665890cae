//! Comparing the index with the rows, and mending it: what is asked for, and what was found.
//!
//! A check is a job: the engine drives it, it is followed and cancelled as any other.
//! Its findings are kept a week after its end, its counts as long as the job.

use std::sync::Arc;

use crate::entity::sync_job::Model;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::access::Scope;
use crate::service::jobs;
use crate::service::jobs::JobState;
use crate::service::rules;
use crate::store::audit::Act;
use crate::store::page::PageArgs;
use crate::store::reconcile;
pub use crate::store::reconcile::Class;
pub use crate::store::reconcile::Mode;
pub use crate::store::reconcile::Report;
pub use crate::store::reconcile::Request;
use crate::store::reconcile::findings;
pub use crate::store::reconcile::findings::FindingRow;
use crate::store::reconcile::pages;
use crate::store::reconcile::repair;
use crate::store::targets;

/// Starts a check, or gives the running one of the same kind. True when it was started.
///
/// # Errors
/// [`Error::Invalid`] when legacy records are to be removed by a check that mends nothing, [`Error::Forbidden`] when by
/// somebody who is no admin.
pub async fn start(cx: &Ctx, mode: Mode, remove_legacy: bool) -> Result<(Model, bool)> {
    if remove_legacy && mode == Mode::Check {
        return Err(Error::invalid_value("remove_legacy", "is for the mode REPAIR"));
    }
    if remove_legacy {
        cx.principal().require(Scope::Admin, "The removal of legacy records")?;
    }
    let (id, target) = (cx.db().clock().new_id(), cx.target_id());
    let total = pages::slot_count(cx.read(), target).await?;
    let request = Request { mode, remove_legacy, rebase: false, total };
    let started = cx
        .write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                let (job, started) = reconcile::begin(tx, target, id, request).await?;
                if started {
                    tx.audit(Act::ReconcileStarted, &job.id);
                }
                Ok((job, started))
            })
        })
        .await?;
    cx.db().wake();
    Ok(started)
}

/// Sends everything again to the index that is there, and then deletes from it what no row wants: for a database
/// that was restored from a backup, and for an index that another corpus has used. Gives the job.
///
/// # Errors
/// What the database says.
pub async fn rebase(cx: &Ctx) -> Result<Model> {
    let (id, fresh, target) = (cx.db().clock().new_id(), cx.db().clock().new_id(), cx.target_id());
    let total = pages::slot_count(cx.read(), target).await?;
    let request = Request { rebase: true, total, ..Request::REPAIR };
    let job = cx
        .write(move |tx| {
            let (id, fresh) = (id.clone(), fresh.clone());
            Box::pin(async move {
                let corpus = targets::corpus_id(tx, &fresh).await?;
                let generation = repair::rebase(tx, target, &corpus).await?;
                tracing::info!(generation, "everything is sent to the index again");
                tx.audit(Act::Rebased, &corpus);
                let (mut job, started) = reconcile::begin(tx, target, id, request).await?;
                if !started {
                    reconcile::start_over(tx, &mut job).await?;
                }
                Ok(job)
            })
        })
        .await?;
    cx.db().wake();
    Ok(job)
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The job.
    pub job: Model,
    /// What it found.
    pub report: Report,
}

/// Waits for a check as exports do, until what it mended is settled.
///
/// # Errors
/// [`Error::Unavailable`] with the job's id, when the target is paused or out of reach, or the configured time is
/// over: the job goes on. [`Error::Conflict`] when somebody cancelled it.
pub async fn wait(cx: &Ctx, id: &str) -> Result<Outcome> {
    let job = jobs::wait(cx, id).await?.job;
    match jobs::state(&job) {
        JobState::Cancelled => return Err(Error::conflict(format!("The sync job {} was cancelled", job.id))),
        JobState::Failed => {
            let detail = job.error_text.unwrap_or_else(|| "The check failed".to_owned());
            return Err(Error::Unavailable { detail, retry_after: None, job_id: Some(job.id) });
        }
        JobState::Queued
        | JobState::Running
        | JobState::Settling
        | JobState::Verifying
        | JobState::Completed
        | JobState::CompletedWithErrors => {}
    }
    let report = report(&job).unwrap_or_default();
    Ok(Outcome { job, report })
}

/// What a job found so far; nothing for exports.
#[must_use]
pub fn report(job: &Model) -> Option<Report> {
    reconcile::report(job)
}

/// The first findings of a class, at most `limit`.
///
/// # Errors
/// What the database says.
pub async fn first_findings(cx: &Ctx, job_id: &str, class: Class, limit: u64) -> Result<Vec<FindingRow>> {
    let args = PageArgs { limit, backward: false, after: None, before: None };
    let window = findings::FINDINGS.window(&args)?;
    Ok(findings::list(cx.db(), job_id, Some(class), &window).await?.rows)
}

/// Tries quarantined records again: all of them, or those of these ids. Gives how many.
///
/// # Errors
/// [`Error::Invalid`] for more ids than one batch may have.
pub async fn retry_quarantined(cx: &Ctx, vector_ids: Option<Vec<String>>) -> Result<u64> {
    if let Some(ids) = &vector_ids {
        rules::batch(ids.len(), &cx.config().limits).map_err(|rule| Error::invalid("vector_ids", rule))?;
        let mut check = rules::Check::default();
        for id in ids {
            check.that("vector_ids", rules::ascii_id(id));
        }
        check.finish(())?;
    }
    let (ids, target) = (Arc::new(vector_ids), cx.target_id());
    let count = cx
        .write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                let count = repair::retry_quarantined(tx, target, ids.as_deref()).await?;
                match ids.as_deref() {
                    Some(ids) => ids.iter().for_each(|id| tx.audit(Act::QuarantineRetried, id)),
                    None => tx.audit(Act::QuarantineRetried, "*"),
                }
                Ok(count)
            })
        })
        .await?;
    cx.db().wake();
    Ok(count)
}
