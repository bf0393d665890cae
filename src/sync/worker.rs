//! The driver: claim, read, send, write down. The only loop of the engine.
//!
//! A turn does what is due now and ends. Nothing is remembered between turns that
//! the database does not know, except how fast the target may be driven and what
//! was seen of other workers: a worker that vanishes loses nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;

use crate::error::Result;
use crate::index::IndexError;
use crate::index::IndexErrorKind;
use crate::index::IndexResult;
use crate::service::Ctx;
use crate::store::jobs;
use crate::store::targets;
use crate::store::workers;
use crate::sync::jobs::Which;
use crate::sync::pace::Pace;
use crate::sync::session::Observer;
use crate::sync::session::Session;

/// How far ahead a slot may be due, when the clock was set back.
const DUE_WITHIN_MS: i64 = 900_000;
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
pub(super) enum Ending {
    /// It was not.
    No,
    /// Nothing new is sent; what was sent may still be answered.
    Soon,
    /// No answer is waited for.
    Now,
}

/// The engine of one process.
#[derive(Debug)]
pub struct Engine {
    cx: Ctx,
    pub(super) session: Mutex<Option<Session>>,
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
    pub(super) rng: Rng,
    pub(super) round: usize,
    pub(super) accepted_at: Option<i64>,
    pub(super) fault: Option<String>,
    pub(super) verifying: HashMap<String, i64>,
    pub(super) told: HashMap<String, Duration>,
    tidied: Option<Duration>,
}

impl Engine {
    /// An engine over the database and the index of `cx`.
    #[must_use]
    pub fn new(cx: Ctx) -> Self {
        let state = State {
            corpus: None,
            observer: Observer::default(),
            observed: None,
            pace: Pace::default(),
            rng: Rng::new(),
            round: 0,
            accepted_at: None,
            fault: None,
            verifying: HashMap::new(),
            told: HashMap::new(),
            tidied: None,
        };
        let (ending, _) = watch::channel(Ending::No);
        Self { cx, session: Mutex::default(), state: tokio::sync::Mutex::new(state), ending }
    }

    /// The context it works in.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        &self.cx
    }

    /// Whether it was asked to end.
    pub(super) fn ending(&self) -> Ending {
        *self.ending.borrow()
    }

    /// Asks it to end, or takes that back.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.send_replace(ending);
    }

    /// Waits for an answer of the index: within the time limit, and not when the engine ends now.
    pub(super) async fn ask<T>(&self, exchange: impl Future<Output = IndexResult<T>>) -> IndexResult<T> {
        let in_doubt = |text: &str| Err(IndexError::new(IndexErrorKind::InDoubt, text));
        let mut ending = self.ending.subscribe();
        let now = ending.wait_for(|ending| *ending == Ending::Now);
        tokio::select! {
            biased;
            answer = tokio::time::timeout(self.cx.config().sync.request_timeout, exchange) => {
                answer.unwrap_or_else(|_| in_doubt("no answer within the time limit"))
            }
            _ = now => in_doubt("the server stopped before the answer"),
        }
    }

    pub(super) fn doubt_ms(&self) -> i64 {
        i64::try_from(self.cx.config().sync.doubt.as_millis()).unwrap_or(i64::MAX)
    }

    pub(super) fn now(&self) -> i64 {
        self.cx.db().clock().now_ms()
    }

    pub(super) fn monotonic(&self) -> Duration {
        self.cx.db().clock().monotonic()
    }

    /// Prepares a start: clamps times, and (where this process holds the only lock) buries earlier workers.
    ///
    /// # Errors
    /// What the database says.
    pub async fn open(&self, alone: bool) -> Result<()> {
        let (target, doubt_ms) = (self.cx.target_id(), self.doubt_ms());
        // An index in the same file dies with its process: nothing of it can land any more.
        let buried_doubt_ms = if self.cx.index().kind() == "local" { 0 } else { doubt_ms };
        self.cx
            .db()
            .write(move |tx| {
                Box::pin(async move {
                    targets::clamp(tx, target, DUE_WITHIN_MS, doubt_ms).await?;
                    if alone {
                        workers::bury_all(tx, buried_doubt_ms).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    /// Does what is due now: at most one claim, one page of a sweep, and the jobs.
    ///
    /// # Errors
    /// What the database says; what was claimed is then given back at the next turn.
    pub async fn turn(&self) -> Result<Turn> {
        let mut state = self.state.lock().await;
        let outcome = self.turn_once(&mut state).await;
        if outcome.is_err()
            && let Err(error) = self.retire().await
        {
            tracing::warn!(%error, "claims of an interrupted turn wait for the database");
        }
        outcome
    }

    async fn turn_once(&self, state: &mut State) -> Result<Turn> {
        let session = self.beat().await?;
        self.observe(state, &session).await?;
        self.tidy(state).await?;
        let look = targets::look(self.cx.read(), self.cx.target_id(), self.now()).await?;
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
        }
        Ok(if worked { Turn::Worked } else { Turn::Idle })
    }

    /// Removes what nobody needs any more.
    async fn tidy(&self, state: &mut State) -> Result<()> {
        let now = self.monotonic();
        if state.tidied.is_some_and(|at| now.saturating_sub(at) < TIDY_EVERY) {
            return Ok(());
        }
        state.tidied = Some(now);
        let target = self.cx.target_id();
        self.cx
            .db()
            .write(move |tx| {
                Box::pin(async move {
                    let before = tx.now_ms() - KEEP_MS;
                    while targets::bury_tombstones(tx, target, before).await? > 0 {}
                    while targets::prune_log(tx, before).await? > 0 {}
                    jobs::prune(tx, before).await?;
                    Ok(())
                })
            })
            .await?;
        // An index that cannot be tidied now keeps nothing else from being done.
        if let Err(error) = self.cx.index().maintain().await {
            tracing::warn!(%error, "the index was not tidied");
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<bool> {
        let target = self.cx.target_id();
        let page =
            self.cx.db().write(move |tx| Box::pin(async move { Ok(targets::sweep_page(tx, target).await?) })).await?;
        if let Some(count) = page.value {
            tracing::info!(count, "touched for the new generation of the target");
        }
        Ok(page.value.is_some())
    }
}

/// Works until it is asked to end: woken by commits, and by a poll that makes no promise depend on being woken.
pub(super) async fn run(engine: Arc<Engine>) {
    let sync = &engine.cx.config().sync;
    let asked = || async {
        // The sender lives as long as the engine.
        let _ = engine.ending.subscribe().wait_for(|ending| *ending != Ending::No).await;
    };
    let beats = async {
        // A long request must not keep the beat waiting.
        loop {
            tokio::time::sleep(sync.heartbeat / 2).await;
            if let Err(error) = engine.beat().await {
                tracing::warn!(%error, "no beat");
            }
        }
    };
    let cut = async {
        asked().await;
        tokio::time::sleep(sync.stop_wait).await;
        engine.end(Ending::Now);
        std::future::pending::<()>().await;
    };
    let work = async {
        while engine.ending() == Ending::No {
            let woken = engine.cx.db().woken();
            let pause = match engine.turn().await {
                Ok(Turn::Worked) => continue,
                Ok(Turn::Idle) => sync.poll.mul_f64(0.75 + fastrand::f64() / 2.0),
                Err(error) => {
                    tracing::error!(cause = ?error, "a turn of the sync engine failed");
                    sync.poll
                }
            };
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(pause) => {}
                () = asked() => {}
            }
        }
    };
    // Beside the work, so that neither the start nor the first search waits for the whole index.
    let warm = async {
        let warmed = tokio::select! {
            warmed = engine.cx.index().warm() => warmed,
            () = asked() => Ok(()),
        };
        if let Err(error) = warmed {
            tracing::warn!(%error, "the index is loaded by the first search");
        }
    };
    tokio::select! {
        () = beats => {}
        () = cut => {}
        _ = async { tokio::join!(warm, work) } => {}
    }
    if let Err(error) = engine.retire().await {
        tracing::warn!(%error, "the worker's row stays until others find it dead");
    }
}
