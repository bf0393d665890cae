//! The engine that drives the vector index towards the database (sync.md).
//!
//! Decisions are pure: [`flight`] (what to send and what an answer means),
//! [`preflight`] and [`payload`] (what a record is), [`plan`] (packing), [`pace`]
//! and [`rates`] (how fast), [`session`] (who is alive), [`progress`] (where a job goes). The
//! driver is [`worker`], the only loop: [`membership`] keeps its place among the
//! workers, [`push`] claims and sends, [`probe`] asks whether a target is at fault,
//! [`jobs`] tells whoever follows, [`checks`] compare the index with the rows
//! ([`reconcile`]). It reaches the world through [`ports`]: the rows in a [`database`]
//! (where [`perform`] writes down what was done), the index, and time.

pub mod checks;
pub mod database;
pub mod flight;
pub mod jobs;
pub mod membership;
pub mod pace;
pub mod payload;
pub mod perform;
pub mod plan;
pub mod ports;
pub mod preflight;
pub mod probe;
pub mod progress;
pub mod push;
pub mod rates;
pub mod reconcile;
pub mod session;
pub mod worker;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::task::JoinHandle;

use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::store::connect::Location;
use crate::sync::worker::Ending;
use crate::sync::worker::Engine;

/// Why the engine was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process serves the same SQLite file.
    #[error(
        "another corpusd serves {0}: only one server may run on a SQLite file; stop it, or use PostgreSQL for several"
    )]
    Locked(PathBuf),
    /// The lock file cannot be made.
    #[error("the lock file {0} cannot be opened: {1}")]
    File(PathBuf, std::io::Error),
    /// The database does not answer.
    #[error("the sync engine cannot start: {0}")]
    Database(#[from] Error),
}

/// The engine of this process: started once, stopped once.
#[derive(Debug, Clone)]
pub struct SyncHandle {
    cx: Ctx,
    engine: Arc<Engine>,
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug)]
struct Running {
    task: JoinHandle<()>,
    lock: Option<File>,
}

impl SyncHandle {
    /// An engine that stands still.
    #[must_use]
    pub fn new(cx: Ctx) -> Self {
        Self { engine: Arc::new(Engine::new(&cx)), cx, running: Arc::default() }
    }

    /// The engine itself, for whoever drives it by hand.
    #[must_use]
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Starts the loop. On SQLite this process then holds a lock beside the file, and every earlier
    /// worker counts as dead.
    ///
    /// # Errors
    /// [`StartError::Locked`] when another process holds that lock.
    #[expect(clippy::disallowed_methods, reason = "the engine outlives every request; `stop` waits for it")]
    pub async fn start(&self) -> Result<(), StartError> {
        if self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let lock = lock_beside(&self.cx.config().database.url)?;
        self.engine.open(lock.is_some()).await?;
        self.engine.end(Ending::No);
        let engine = self.engine.clone();
        let task = tokio::spawn(async move { worker::run(&engine).await });
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { task, lock });
        Ok(())
    }

    /// Sends nothing new, waits a moment for the answers of what is being sent, gives every claim back and ends.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { task, lock }) = running else { return };
        self.engine.end(Ending::Soon);
        if let Err(error) = task.await {
            tracing::error!(%error, "the sync engine ended badly");
        }
        self.engine.end(Ending::No);
        drop(lock);
    }

    /// Drives the engine by hand until it has nothing to do now.
    ///
    /// # Errors
    /// What the database says.
    pub async fn run_until_idle(&self) -> Result<()> {
        while self.engine.turn().await? == worker::Turn::Worked {}
        Ok(())
    }
}

/// The lock of a SQLite file, held as long as the file handle lives.
fn lock_beside(url: &str) -> Result<Option<File>, StartError> {
    let Ok(Location::Sqlite(path)) = Location::parse(url) else { return Ok(None) };
    let mut name = path.clone().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| StartError::File(name.clone(), error))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::Locked(path)),
        Err(std::fs::TryLockError::Error(error)) => Err(StartError::File(name, error)),
    }
}
