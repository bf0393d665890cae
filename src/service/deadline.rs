//! How long a request may take.
//!
//! What a request waits for, because it was asked to, does not count: an export for
//! its job, a removal of records, a search for a revision, a list of events for the
//! first. Each of these has an end of its own.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::Error;
use crate::error::Result;

/// The clock of one request, which stands still while the request waits.
#[derive(Debug, Default)]
pub struct Deadline {
    state: Mutex<State>,
    /// Told whenever a wait begins or ends.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many waits are under way.
    waits: u32,
    /// When the first of them began.
    since: Option<Instant>,
    /// How long earlier ones took.
    waited: Duration,
}

/// A wait that does not count, as long as this lives.
#[derive(Debug)]
pub struct Wait<'a>(&'a Deadline);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waits = state.waits.saturating_sub(1);
        if state.waits == 0
            && let Some(since) = state.since.take()
        {
            state.waited += since.elapsed();
        }
        self.0.changed.notify_one();
    }
}

impl Deadline {
    /// Begins a wait that does not count.
    #[must_use]
    pub fn wait(&self) -> Wait<'_> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waits += 1;
        state.since.get_or_insert_with(Instant::now);
        self.changed.notify_one();
        Wait(self)
    }

    /// Does `work`, for at most `limit` without its waits; then it is dropped, and with it what it reads.
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.passed(limit) => Err(Error::Timeout),
        }
    }

    async fn passed(&self, limit: Duration) {
        let began = Instant::now();
        loop {
            let until = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                state.since.is_none().then(|| began + limit + state.waited)
            };
            match until {
                Some(until) if until <= Instant::now() => return,
                Some(until) => _ = tokio::time::timeout_at(until, self.changed.notified()).await,
                None => self.changed.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_given_up_when_its_time_is_over() {
        let deadline = Deadline::default();
        let work = |seconds| async move {
            tokio::time::sleep(SECOND * seconds).await;
            seconds
        };
        assert_eq!(deadline.within(SECOND * 30, work(29)).await.ok(), Some(29));
        assert!(matches!(Deadline::default().within(SECOND * 30, work(31)).await, Err(Error::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_do_not_count_however_many_there_are_at_a_time() {
        let deadline = Deadline::default();
        let work = async {
            tokio::time::sleep(SECOND * 20).await;
            let first = deadline.wait();
            tokio::time::sleep(SECOND * 50).await;
            let second = deadline.wait();
            tokio::time::sleep(SECOND * 50).await;
            drop(first);
            tokio::time::sleep(SECOND * 50).await;
            drop(second);
            tokio::time::sleep(SECOND * 9).await;
            tokio::time::sleep(SECOND * 2).await;
        };
        let began = Instant::now();
        assert!(deadline.within(SECOND * 30, work).await.is_err());
        assert_eq!(began.elapsed(), SECOND * (20 + 150 + 10));
    }
}
