//! Exporting from the command line: queue a job, and see it through.
//!
//! The engine runs here when nobody else serves the database; else the server
//! that does finds the job, and this process only watches.

use std::time::Duration;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::service::import;
use crate::service::jobs;
use crate::service::jobs::Scope;
use crate::sync::StartError;

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Exports what the index does not hold of these documents. Gives how many records were written and refused.
pub async fn documents(app: &App, document_ids: &[String]) -> Result<(i64, i64), Failure> {
    let cx = app.cx();
    let ids = import::unsynced(cx, document_ids).await?;
    if ids.is_empty() {
        return Ok((0, 0));
    }
    let (job, _) = jobs::start(cx, Scope::Embeddings(ids)).await?;
    let mut progress = Progress::new("exporting", count(job.total));
    let mut told = None;
    loop {
        let working = start(app).await?;
        let woken = cx.db().woken();
        let job = jobs::get(cx, &job.id).await?;
        progress.at(count(job.done), count(job.total));
        if jobs::state(&job).is_terminal() {
            progress.end();
            let outcome = (job.upserted, job.failed);
            return match job.error_text {
                Some(reason) => Err(Failure::Failed(format!("the export failed: {reason}"))),
                None => Ok(outcome),
            };
        }
        if job.blocked_reason.is_some() && told != job.blocked_reason {
            progress.note(&format!("waiting: {}", job.blocked_reason.as_deref().unwrap_or_default()));
            told.clone_from(&job.blocked_reason);
        }
        if working {
            let _ = tokio::time::timeout(LOOK, woken).await;
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Starts the engine here unless another process has it. True when it runs here.
async fn start(app: &App) -> Result<bool, Failure> {
    match app.start_sync().await {
        Ok(()) => Ok(true),
        Err(StartError::Locked(_)) => Ok(false),
        Err(error @ (StartError::File(_, _) | StartError::Database(_))) => Err(Failure::Failed(error.to_string())),
    }
}
