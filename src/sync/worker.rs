//! The driver: claim, read, send, write down. The only loop of the engine.
//!
//! A turn does what is due now and ends. Nothing is remembered between turns that
//! the database does not know, except how fast the target may be driven and what
//! was seen of other workers: a worker that vanishes loses nothing.
//!
//! The engine reaches the world through [`ports`](crate::sync::ports) alone. It asks no
//! other clock and throws no other dice: with the same answers it does the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

use crate::config::SyncConfig;
use crate::entity::sync_job::Model;
use crate::error::Result;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::index::VectorIndex;
use crate::service::Ctx;
use crate::sync::checks::Checks;
use crate::sync::checks::drive::Retry;
use crate::sync::checks::schedule::Schedule;
use crate::sync::database::Database;
use crate::sync::jobs::Which;
use crate::sync::pace::Pace;
use crate::sync::ports::Store;
use crate::sync::ports::Time;
use crate::sync::rates::Buckets;
use crate::sync::session::Observer;
use crate::sync::session::Session;

/// How far ahead a slot may be due, when the clock was set back.
const DUE_WITHIN_MS: i64 = 900_000;
/// A wall clock that falls behind by so much was set back.
const LEAP_MS: i64 = 1_000;
/// How long tombstones, log entries and events are kept.
const KEEP_MS: i64 = 7 * 24 * 3_600_000;
/// How often old rows are removed.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);

/// What a turn found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Something was done: there may be more.
    Worked,
    /// Nothing can be done now.
    Idle,
}

/// Whether the engine was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was not.
    No,
    /// Nothing new is sent; what was sent may still be answered.
    Soon,
    /// No answer is waited for.
    Now,
}

/// What an engine works with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The rows.
    pub store: Arc<dyn Store>,
    /// The index.
    pub index: Arc<dyn VectorIndex>,
    /// The clock.
    pub time: Arc<dyn Time>,
    /// The target, as tickets name it.
    pub target_id: i64,
    /// How it keeps time.
    pub sync: SyncConfig,
    /// The dimension, when it is configured.
    pub dimension: Option<u32>,
    /// Where its dice begin.
    pub seed: u64,
}

/// The engine of one process.
#[derive(Debug)]
pub struct Engine {
    pub(super) setup: Setup,
    pub(super) session: Mutex<Option<Session>>,
    pub(super) registering: tokio::sync::Mutex<()>,
    state: tokio::sync::Mutex<State>,
    ending: watch::Sender<Ending>,
}

/// What is remembered from turn to turn.
#[derive(Debug)]
pub(super) struct State {
    pub(super) corpus: Option<String>,
    pub(super) observer: Observer,
    pub(super) observed: Option<Duration>,
    pub(super) pace: Pace,
    pub(super) buckets: Buckets,
    pub(super) rng: Rng,
    pub(super) round: usize,
    pub(super) accepted_at: Option<Duration>,
    pub(super) fault: Option<String>,
    /// What the last failure said.
    pub(super) trouble: Option<String>,
    pub(super) verifying: HashMap<String, Duration>,
    pub(super) told: HashMap<String, Duration>,
    /// Checks that this worker drives, as they were when jobs were looked at last.
    pub(super) comparing: Vec<Model>,
    pub(super) retries: HashMap<String, Retry>,
    pub(super) schedule: Schedule,
    /// The generation in which the index was found to be one that may be written to.
    pub(super) welcomed: Option<i64>,
    tidied: Option<Duration>,
    /// Both clocks at the last turn.
    clocks: Option<(i64, Duration)>,
    /// A turn did not come to its end, and what it had claimed was not given back.
    interrupted: bool,
}

impl Engine {
    /// An engine over the database and the index of `cx`.
    #[must_use]
    pub fn new(cx: &Ctx) -> Self {
        Self::over(Setup {
            store: Arc::new(Database::new(cx.db().clone(), cx.target_id())),
            index: cx.index().clone(),
            time: Arc::new(cx.db().clock().clone()),
            target_id: cx.target_id(),
            sync: cx.config().sync.clone(),
            dimension: cx.config().index.dimension,
            seed: fastrand::u64(..),
        })
    }

    /// An engine over anything that keeps the promises of the ports.
    #[must_use]
    pub fn over(setup: Setup) -> Self {
        let state = State {
            corpus: None,
            observer: Observer::default(),
            observed: None,
            pace: Pace::default(),
            buckets: Buckets::default(),
            rng: Rng::with_seed(setup.seed),
            round: 0,
            accepted_at: None,
            fault: None,
            trouble: None,
            verifying: HashMap::new(),
            told: HashMap::new(),
            comparing: Vec::new(),
            retries: HashMap::new(),
            schedule: Schedule::default(),
            welcomed: None,
            tidied: None,
            clocks: None,
            interrupted: false,
        };
        let (ending, _) = watch::channel(Ending::No);
        Self {
            setup,
            session: Mutex::default(),
            registering: tokio::sync::Mutex::default(),
            state: tokio::sync::Mutex::new(state),
            ending,
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.setup.store
    }

    /// What checks need of the rows, where there are checks.
    pub(super) fn checks(&self) -> Option<&dyn Checks> {
        self.store().checks()
    }

    pub(super) fn index(&self) -> &dyn VectorIndex {
        &*self.setup.index
    }

    /// Whether it was asked to end.
    pub(super) fn ending(&self) -> Ending {
        *self.ending.borrow()
    }

    /// Asks it to end, or takes that back.
    pub fn end(&self, ending: Ending) {
        self.ending.send_replace(ending);
    }

    /// Waits for an answer of the index: within the time limit, and not when the engine ends now.
    pub(super) async fn ask<T>(&self, exchange: impl Future<Output = IndexResult<T>>) -> IndexResult<T> {
        let in_doubt = |text: &str| Err(IndexError::new(IndexErrorKind::InDoubt, text));
        let mut ending = self.ending.subscribe();
        let now = ending.wait_for(|ending| *ending == Ending::Now);
        tokio::select! {
            biased;
            answer = exchange => answer,
            () = self.setup.time.sleep(self.setup.sync.request_timeout) => in_doubt("no answer within the time limit"),
            _ = now => in_doubt("the server stopped before the answer"),
        }
    }

    pub(super) fn doubt_ms(&self) -> i64 {
        i64::try_from(self.setup.sync.doubt.as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn now(&self) -> i64 {
        self.setup.time.now_ms()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.setup.time.monotonic()
    }

    /// Prepares a start: makes the corpus's id, clamps times, and (where this process holds the only lock) buries earlier workers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(&self, alone: bool) -> Result<()> {
        // From here on a leap is noticed.
        self.state.lock().await.clocks = Some((self.now(), self.monotonic()));
        // Made before the first backup: without it a restored database takes its own records for another's.
        self.store().corpus_id(&self.setup.time.new_id()).await?;
        self.store().clamp(DUE_WITHIN_MS, self.doubt_ms()).await?;
        if alone {
            // An index in the same file dies with its process: nothing of it can land any more.
            let doubt_ms = if self.index().kind() == "local" { 0 } else { self.doubt_ms() };
            self.store().bury_all(doubt_ms).await?;
        }
        Ok(())
    }

    /// Does what is due now: at most one claim, one page of a sweep, and the jobs.
    ///
    /// # Errors
    /// What the database says; what was claimed is then given back at the next turn.
    pub async fn turn(&self) -> Result<Turn> {
        let mut state = self.state.lock().await;
        if std::mem::replace(&mut state.interrupted, true) {
            // What an earlier turn had claimed: its worker lives on, so that nobody else would take it.
            self.retire().await?;
        }
        let outcome = self.turn_once(&mut state).await;
        state.interrupted = outcome.is_err();
        if state.interrupted {
            match self.retire().await {
                Ok(()) => state.interrupted = false,
                Err(error) => tracing::warn!(%error, "claims of an interrupted turn wait for the database"),
            }
        }
        outcome
    }

    async fn turn_once(&self, state: &mut State) -> Result<Turn> {
        let session = self.beat().await?;
        self.observe(state, &session).await?;
        self.notice_leap(state).await?;
        self.tidy(state).await?;
        let look = self.store().look(self.now()).await?;
        let mut worked = false;
        if look.sweeping {
            worked |= self.sweep().await?;
        }
        if look.jobs {
            worked |= self.advance_jobs(state, &session, Which::Queued).await?;
        }
        worked |= self.push(state, &session, &look).await?;
        if look.jobs {
            let which = if worked { Which::Due } else { Which::All };
            worked |= self.advance_jobs(state, &session, which).await?;
            worked |= self.check_jobs(state, &session, &look).await?;
        }
        worked |= self.scheduled(state, &look).await?;
        Ok(if worked { Turn::Worked } else { Turn::Idle })
    }

    /// Pulls times in when the wall clock was set back since the last turn, as a start does.
    async fn notice_leap(&self, state: &mut State) -> Result<()> {
        let (wall, monotonic) = (self.now(), self.monotonic());
        let leapt = state.clocks.is_some_and(|(before, at)| {
            let passed = i64::try_from(monotonic.saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
            wall < before.saturating_add(passed).saturating_sub(LEAP_MS)
        });
        if leapt {
            tracing::warn!("the clock was set back: times ahead of it are pulled in");
            self.store().clamp(DUE_WITHIN_MS, self.doubt_ms()).await?;
        }
        state.clocks = Some((wall, monotonic));
        Ok(())
    }

    /// Removes what nobody needs any more.
    async fn tidy(&self, state: &mut State) -> Result<()> {
        let now = self.monotonic();
        if state.tidied.is_some_and(|at| now.saturating_sub(at) < TIDY_EVERY) {
            return Ok(());
        }
        state.tidied = Some(now);
        self.store().tidy(KEEP_MS).await?;
        let after = self.setup.sync.purge_after;
        if !after.is_zero() {
            let count = self.store().purge(after).await?;
            if count > 0 {
                tracing::info!(count, "documents and chunks that were deleted long ago are removed for good");
            }
        }
        // An index that cannot be tidied now keeps nothing else from being done.
        if let Err(error) = self.index().maintain().await {
            tracing::warn!(%error, "the index was not tidied");
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<bool> {
        let page = self.store().sweep_page().await?;
        if let Some(count) = page {
            tracing::info!(count, "touched for the new generation of the target");
        }
        Ok(page.is_some())
    }
}

/// Works until it is asked to end: woken by commits, and by a poll that makes no promise depend on being woken.
pub async fn run(engine: &Engine) {
    let Setup { store, index, time, sync, .. } = &engine.setup;
    let asked = || async {
        // The sender lives as long as the engine.
        let _ = engine.ending.subscribe().wait_for(|ending| *ending != Ending::No).await;
    };
    let beats = async {
        // A long request must not keep the beat waiting.
        loop {
            time.sleep(sync.heartbeat / 2).await;
            if let Err(error) = engine.beat().await {
                tracing::warn!(%error, "no beat");
            }
        }
    };
    let cut = async {
        asked().await;
        time.sleep(sync.stop_wait).await;
        engine.end(Ending::Now);
        std::future::pending::<()>().await;
    };
    let work = async {
        let mut jitter = Rng::with_seed(engine.setup.seed);
        while engine.ending() == Ending::No {
            let woken = store.woken();
            let pause = match engine.turn().await {
                Ok(Turn::Worked) => continue,
                Ok(Turn::Idle) => sync.poll.mul_f64(0.75 + jitter.f64() / 2.0),
                Err(error) => {
                    tracing::error!(cause = ?error, "a turn of the sync engine failed");
                    sync.poll
                }
            };
            tokio::select! {
                biased;
                () = woken => {}
                () = time.sleep(pause) => {}
                () = asked() => {}
            }
        }
    };
    // Beside the work, so that neither the start nor the first search waits for the whole index.
    let warm = async {
        let warmed = tokio::select! {
            biased;
            warmed = index.warm() => warmed,
            () = asked() => Ok(()),
        };
        if let Err(error) = warmed {
            tracing::warn!(%error, "the index was not made ready: the first request does that");
        }
    };
    tokio::select! {
        biased;
        () = beats => {}
        () = cut => {}
        _ = async { tokio::join!(warm, work) } => {}
    }
    if let Err(error) = engine.retire().await {
        tracing::warn!(%error, "the worker's row stays until others find it dead");
    }
}
