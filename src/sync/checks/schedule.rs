//! Checks that come by themselves: slots against rows, counts, and every record (sync.md section 7).
//!
//! When each is due stands in a row of the database, so that of several processes one
//! takes it. A sweep of the rows that is cut short begins anew the next time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Result;
use crate::store::reconcile::schedule::Check;
use crate::store::reconcile::sweep;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::sync::checks::Checks;
use crate::sync::worker::Engine;
use crate::sync::worker::State;

/// How often the database is asked what is due, at most.
const LOOK: Duration = Duration::from_secs(60);
/// After so many counts in a row that differ every record is compared.
const STRIKES: i64 = 3;

/// What is remembered of the schedule from turn to turn.
#[derive(Debug, Default)]
pub(in crate::sync) struct Schedule {
    looked: Option<Duration>,
    /// Where a sweep of the rows stands that this worker has taken.
    sweep: Option<sweep::Place>,
}

impl Engine {
    /// Does a page of what is due.
    pub(in crate::sync) async fn scheduled(&self, state: &mut State, look: &Look) -> Result<bool> {
        let Some(checks) = self.checks().filter(|_| !look.sweeping) else { return Ok(false) };
        if let Some(place) = state.schedule.sweep.take() {
            state.schedule.sweep = self.sweep_rows(checks, &place).await?;
            return Ok(true);
        }
        let config = &self.setup.sync.reconcile;
        let every = [(Check::Rows, config.rows), (Check::Count, config.count), (Check::Full, config.full)];
        let every: Vec<(Check, Duration)> = every.into_iter().filter(|(_, every)| !every.is_zero()).collect();
        let Some(shortest) = every.iter().map(|(_, every)| *every).min() else { return Ok(false) };
        let now = self.monotonic();
        if state.schedule.looked.is_some_and(|at| now.saturating_sub(at) < LOOK.min(shortest)) {
            return Ok(false);
        }
        state.schedule.looked = Some(now);
        let taken = checks.taken().await?;
        let mut worked = false;
        for (check, every) in every {
            let every_ms = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
            let last = taken.iter().find(|(other, _)| *other == check).map(|(_, at)| *at);
            let due = last.is_none_or(|at| at > self.now() || self.now() - at >= every_ms);
            if due && checks.take(check, every_ms).await? {
                self.begin(checks, state, look, check).await?;
                worked = true;
            }
        }
        Ok(worked)
    }

    async fn begin(&self, checks: &dyn Checks, state: &mut State, look: &Look, check: Check) -> Result<()> {
        match check {
            Check::Rows => state.schedule.sweep = Some(sweep::Place::START),
            Check::Count if look.state == TargetState::Active => self.count(checks, state).await?,
            Check::Count => {}
            Check::Full => {
                tracing::info!("a check of every record begins");
                checks.begin().await?;
            }
        }
        Ok(())
    }

    /// Whether every namespace holds as many records as it should; the third difference in a row is looked into.
    async fn count(&self, checks: &dyn Checks, state: &mut State) -> Result<()> {
        let stats = match self.ask(self.index().stats()).await {
            Ok(stats) => stats,
            Err(error) => {
                tracing::debug!(%error, "the index did not tell how many records it has");
                self.note_failure(state, &error);
                return Ok(());
            }
        };
        let expected = checks.expected().await?;
        let strangers = checks.strangers().await?;
        let mut counts: BTreeMap<String, i64> = expected.into_iter().collect();
        for (namespace, count) in strangers {
            *counts.entry(namespace).or_default() += count;
        }
        for (namespace, count) in stats.namespaces {
            *counts.entry(namespace).or_default() -= i64::try_from(count).unwrap_or(i64::MAX);
        }
        let differs: Vec<&String> = counts.iter().filter(|(_, count)| **count != 0).map(|(name, _)| name).collect();
        let strikes = checks.strike(Check::Count, !differs.is_empty()).await?;
        if !differs.is_empty() {
            tracing::info!(namespaces = ?differs, strikes, "the index holds another number of records than it should");
        }
        if strikes >= STRIKES {
            checks.strike(Check::Count, false).await?;
            checks.begin().await?;
        }
        Ok(())
    }
}
