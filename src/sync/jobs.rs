//! Moves jobs on, under their row lock, by what remains of them; the decisions are in [`progress`].

use std::sync::Arc;
use std::time::Duration;

use crate::entity::sync_job::Model;
use crate::error::Result;
use crate::store::jobs;
use crate::store::jobs::JobState;
use crate::store::jobs::News;
use crate::store::reconcile;
use crate::store::targets::TargetState;
use crate::sync::progress;
use crate::sync::progress::Visible;
use crate::sync::session::Session;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// The shortest time between two progress events of a job.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Which jobs are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that nobody has taken up.
    Queued,
    /// Those of which nothing was told for a while.
    Due,
    /// All.
    All,
}

impl Engine {
    /// Moves every job on that this worker drives.
    pub(super) async fn advance_jobs(&self, state: &mut State, session: &Session, which: Which) -> Result<bool> {
        let look = self.store().look(self.now()).await?;
        let blocked = match look.state {
            TargetState::Active => None,
            TargetState::Paused | TargetState::Unreachable => {
                Some(look.reason.clone().unwrap_or_else(|| look.state.name().to_owned()))
            }
        };
        let active = self.store().active_jobs().await?;
        state.verifying.retain(|id, _| active.iter().any(|job| job.id == *id));
        state.told.retain(|id, _| active.iter().any(|job| job.id == *id));
        state.comparing.clear();
        let mut live: Option<Vec<(String, i64)>> = None;
        let mut moved = false;
        for job in active {
            let told = state.told.get(&job.id).copied();
            let wanted = match which {
                Which::Queued => jobs::state(&job) == JobState::Queued,
                // Counting what remains is not for every batch.
                Which::Due => told.is_none_or(|at| self.monotonic().saturating_sub(at) >= PROGRESS_EVERY),
                Which::All => true,
            };
            let compares = reconcile::compares(&job);
            if !wanted && !compares {
                continue;
            }
            let others = match &job.owner {
                Some(owner) if *owner != session.id => {
                    if live.is_none() {
                        live = Some(self.store().live_workers().await?);
                    }
                    live.iter().flatten().any(|(id, _)| id == owner)
                }
                Some(_) | None => false,
            };
            if compares && !others {
                state.comparing.push(job);
            } else if !others {
                moved |= self.advance_job(state, session, job, blocked.clone(), look.sweeping).await?;
            }
        }
        if moved {
            self.store().wake();
        }
        Ok(moved)
    }

    async fn advance_job(
        &self,
        state: &mut State,
        session: &Session,
        job: Model,
        blocked: Option<String>,
        sweeping: bool,
    ) -> Result<bool> {
        let remains = self.store().remains(&job).await?;
        let verifying = jobs::state(&job) == JobState::Verifying;
        let mono = self.monotonic();
        let verified_for = if verifying {
            mono.saturating_sub(*state.verifying.entry(job.id.clone()).or_insert(mono))
        } else {
            // A second start makes a verifying job run again.
            state.verifying.remove(&job.id);
            Duration::ZERO
        };
        let visible = if verifying && remains.open == 0 { self.visible(&job).await? } else { None };
        let facts = progress::Facts { remains, blocked, sweeping, visible, verified_for, now: self.now() };
        let told = state.told.get(&job.id).copied();
        let mono = self.monotonic();
        let quiet = told.is_some_and(|at| mono.saturating_sub(at) < PROGRESS_EVERY);
        match progress::advance(&mut job.clone(), &facts) {
            None if job.owner.as_ref() == Some(&session.id) => return Ok(false),
            Some(News::Progress) if quiet => return Ok(false),
            Some(News::Progress | News::State) | None => {}
        }
        let decide = Arc::new(move |job: &mut Model, remains, sweeping| {
            progress::advance(job, &progress::Facts { remains, sweeping, ..facts.clone() })
        });
        let told = self.store().move_job(&job.id, &session.id, decide).await?;
        if told.is_some() {
            state.told.insert(job.id, mono);
        }
        Ok(told.is_some())
    }

    /// Whether queries of the index see what was acknowledged for a job.
    async fn visible(&self, job: &Model) -> Result<Option<Visible>> {
        let acknowledged = self.store().acknowledged_lsn(job).await?;
        if acknowledged.is_empty() && job.total == 0 {
            return Ok(None);
        }
        let mut worst = if acknowledged.is_empty() { Visible::Unknown } else { Visible::Yes };
        for (namespace, lsn) in acknowledged {
            let shown = match self.ask(self.index().visible_lsn(&namespace)).await {
                Ok(visible) => progress::shows(lsn, visible),
                Err(_) => Visible::NotYet,
            };
            worst = match (worst, shown) {
                (Visible::NotYet, _) | (_, Visible::NotYet) => Visible::NotYet,
                (Visible::Unknown, _) | (_, Visible::Unknown) => Visible::Unknown,
                (Visible::Yes, Visible::Yes) => Visible::Yes,
            };
        }
        Ok(Some(worst))
    }
}
