//! Exporting from the command line: queue a job, and see it through.
//!
//! The engine runs here when nobody else serves the database; else the server
//! that does finds the job, and this process only watches.

use crate::app::App;
use crate::cli::Failure;
use crate::cli::follow;
use crate::cli::follow::Engine;
use crate::service::import;
use crate::service::jobs;
use crate::service::jobs::Scope;

/// Exports what the index does not hold of these documents. Gives how many records were written and refused.
pub async fn documents(app: &App, document_ids: &[String]) -> Result<(i64, i64), Failure> {
    let cx = app.cx();
    let ids = import::unsynced(cx, document_ids).await?;
    if ids.is_empty() {
        return Ok((0, 0));
    }
    let (job, _) = jobs::start(cx, Scope::Embeddings(ids)).await?;
    let job = follow::job(app, &job.id, "exporting", Engine::Unlocked).await?;
    match job.error_text {
        Some(reason) => Err(Failure::Failed(format!("the export failed: {reason}"))),
        None => Ok((job.upserted, job.failed)),
    }
}
