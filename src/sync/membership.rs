//! This process among the workers: it registers, beats, leaves, and buries those that stand still.

use std::sync::PoisonError;

use crate::error::Result;
use crate::sync::session::Session;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// The beat of a worker that has claims and no row: a claim that was made while others buried it.
const GHOST: i64 = -1;

impl Engine {
    pub(super) fn session(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Registers, or beats when it is time; a worker that was declared dead registers anew.
    ///
    /// # Errors
    /// What the database says.
    pub async fn beat(&self) -> Result<Session> {
        if let Some(session) = self.session() {
            if !session.is_due(self.monotonic(), &self.setup.sync) {
                return Ok(session);
            }
            if let Some(session) = self.force_beat(&session).await? {
                return Ok(session);
            }
            // That one, and not what the turn may have registered meanwhile.
            self.leave(&session).await?;
        }
        // The turn and the beats beside it find out at the same time that they have none: one of them registers.
        let _one = self.registering.lock().await;
        if let Some(session) = self.session() {
            return Ok(session);
        }
        let before = self.monotonic();
        let id = self.setup.time.new_id();
        self.store().register(&id).await?;
        let session = Session::new(id, before);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session.clone());
        Ok(session)
    }

    /// Beats now; nothing when this worker was declared dead.
    async fn force_beat(&self, session: &Session) -> Result<Option<Session>> {
        let before = self.monotonic();
        let alive = self.store().beat(&session.id).await?;
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(slot.as_mut().filter(|own| alive && own.id == session.id).map(|own| {
            own.beaten(before);
            own.clone()
        }))
    }

    /// Gives back what this worker has claimed, as of a dead one, and takes its row away.
    ///
    /// # Errors
    /// What the database says.
    pub async fn retire(&self) -> Result<()> {
        let Some(session) = self.session() else { return Ok(()) };
        self.leave(&session).await
    }

    async fn leave(&self, session: &Session) -> Result<()> {
        let taken = self.store().leave(&session.id, self.doubt_ms()).await?;
        if taken > 0 {
            tracing::warn!(worker = session.id, slots = taken, "claims were given back in doubt");
        }
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|own| own.id == session.id) {
            *slot = None;
        }
        Ok(())
    }

    /// Whether a request may go out; a late worker asks the database first.
    pub(super) async fn may_send(&self, worker: &str) -> bool {
        let Some(session) = self.session().filter(|session| session.id == worker) else { return false };
        if session.may_send(self.monotonic(), &self.setup.sync) {
            return true;
        }
        match self.force_beat(&session).await {
            Ok(Some(session)) => session.may_send(self.monotonic(), &self.setup.sync),
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(%error, "no beat, so nothing is sent");
                false
            }
        }
    }

    /// Looks at other workers' beats, and buries those that stand still.
    pub(super) async fn observe(&self, state: &mut State, session: &Session) -> Result<()> {
        let (now, sync) = (self.monotonic(), &self.setup.sync);
        if state.observed.is_some_and(|at| now.saturating_sub(at) < sync.heartbeat) {
            return Ok(());
        }
        state.observed = Some(now);
        let mut seen = self.store().live_workers().await?;
        let ghosts = self.store().ghosts().await?;
        seen.extend(ghosts.into_iter().map(|id| (id, GHOST)));
        for (id, beat) in state.observer.look(&seen, &session.id, (now, self.monotonic()), sync.lease) {
            tracing::warn!(worker = id, "a worker stands still: its claims are taken");
            if beat == GHOST {
                self.store().leave(&id, self.doubt_ms()).await?;
            } else {
                self.store().bury(&id, beat, self.doubt_ms()).await?;
            }
        }
        Ok(())
    }
}
