//! Following a job to its end, and driving the engine here when nobody else does.

use std::time::Duration;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::entity::sync_job::Model;
use crate::service::jobs;
use crate::store::workers;
use crate::sync::StartError;
use crate::sync::session::Observer;

/// How often the job is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// When the engine runs in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Unless another process holds the lock of a SQLite file.
    Unlocked,
    /// And unless some worker's beat moves.
    Alone,
}

/// Follows a job until it has ended.
pub async fn job(app: &App, id: &str, what: &'static str, engine: Engine) -> Result<Model, Failure> {
    let cx = app.cx();
    let mut progress = None;
    let mut told = None;
    let mut others = Observer::default();
    let mut working = false;
    loop {
        if !working && (engine == Engine::Unlocked || nobody_works(app, &mut others).await?) {
            working = start(app).await?;
        }
        let woken = cx.db().woken();
        let job = jobs::get(cx, id).await?;
        let bar = progress.get_or_insert_with(|| Progress::new(what, count(job.total)));
        bar.at(count(job.done), count(job.total));
        if jobs::state(&job).is_terminal() {
            if let Some(bar) = progress.take() {
                bar.end();
            }
            return Ok(job);
        }
        if job.blocked_reason.is_some() && told != job.blocked_reason {
            bar.note(&format!("waiting: {}", job.blocked_reason.as_deref().unwrap_or_default()));
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

/// Whether every worker that there is has stood still for a lease. The lock of a SQLite file tells at once.
async fn nobody_works(app: &App, others: &mut Observer) -> Result<bool, Failure> {
    let cx = app.cx();
    if cx.db().kind() == "sqlite" {
        return Ok(true);
    }
    let before = cx.db().clock().monotonic();
    let live = workers::live(cx.read()).await.map_err(crate::error::Error::from)?;
    let still = others.look(&live, "", (before, cx.db().clock().monotonic()), cx.config().sync.lease);
    Ok(still.len() == live.len())
}

/// Starts the engine here unless another process has it. True when it runs here.
async fn start(app: &App) -> Result<bool, Failure> {
    match app.start_sync().await {
        Ok(()) => Ok(true),
        Err(StartError::Locked(_)) => Ok(false),
        Err(error @ (StartError::File(_, _) | StartError::Database(_))) => Err(Failure::Failed(error.to_string())),
    }
}
