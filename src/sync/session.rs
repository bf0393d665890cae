//! Who is alive: the fence of this worker, and what it saw of the others (sync.md 4.2).
//!
//! Pure, by the observer's own monotonic clock; wall clocks of machines are never compared.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::SyncConfig;

/// One registration of this process.
#[derive(Debug, Clone)]
pub struct Session {
    /// The worker's id.
    pub id: String,
    last_beat: Duration,
}

impl Session {
    /// A worker that registered at `now`.
    #[must_use]
    pub const fn new(id: String, now: Duration) -> Self {
        Self { id, last_beat: now }
    }

    /// Takes note of a beat that succeeded; `before` is the time before it was sent.
    pub const fn beaten(&mut self, before: Duration) {
        self.last_beat = before;
    }

    /// Whether it is time for a beat.
    #[must_use]
    pub fn is_due(&self, now: Duration, config: &SyncConfig) -> bool {
        now.saturating_sub(self.last_beat) >= config.heartbeat
    }

    /// Whether a request may be sent: nobody can have taken the claims.
    #[must_use]
    pub fn may_send(&self, now: Duration, config: &SyncConfig) -> bool {
        now.saturating_sub(self.last_beat) < config.lease / 2
    }
}

/// What was seen of other workers' beats, and when it last changed.
#[derive(Debug, Clone, Default)]
pub struct Observer {
    seen: HashMap<String, (i64, Duration)>,
}

impl Observer {
    /// Takes note of the beats of all live workers; gives those that have not moved for a lease, with the beat.
    ///
    /// They were asked for at `before` and known at `after`. A process may stand still between the two:
    /// a beat counts as seen at the end of one look, and as unmoved until the beginning of another.
    pub fn look(
        &mut self,
        live: &[(String, i64)],
        own: &str,
        (before, after): (Duration, Duration),
        lease: Duration,
    ) -> Vec<(String, i64)> {
        self.seen.retain(|id, _| live.iter().any(|(other, _)| other == id));
        let mut dead = Vec::new();
        for (id, beat) in live.iter().filter(|(id, _)| id != own) {
            let seen = self.seen.entry(id.clone()).or_insert((*beat, after));
            if seen.0 != *beat {
                *seen = (*beat, after);
            } else if before.saturating_sub(seen.1) >= lease {
                dead.push((id.clone(), *beat));
            }
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_worker_sends_only_in_the_first_half_of_its_lease() {
        let config = SyncConfig::default();
        let mut session = Session::new("a".to_owned(), s(100));
        assert!(!session.is_due(s(104), &config) && session.is_due(s(105), &config));
        assert!(session.may_send(s(114), &config) && !session.may_send(s(115), &config));
        session.beaten(s(115));
        assert!(session.may_send(s(120), &config));
    }

    #[test]
    fn a_beat_that_stands_still_for_a_lease_is_a_dead_worker() {
        let mut observer = Observer::default();
        let live = |beat| vec![("own".to_owned(), 1), ("other".to_owned(), beat)];
        assert_eq!(observer.look(&live(1), "own", (s(0), s(0)), s(30)), []);
        assert_eq!(observer.look(&live(1), "own", (s(29), s(29)), s(30)), []);
        assert_eq!(observer.look(&live(2), "own", (s(31), s(31)), s(30)), []);
        assert_eq!(observer.look(&live(2), "own", (s(60), s(60)), s(30)), []);
        assert_eq!(observer.look(&live(2), "own", (s(61), s(61)), s(30)), [("other".to_owned(), 2)]);
    }

    #[test]
    fn the_time_that_a_look_takes_is_no_time_that_a_beat_stood_still() {
        let mut observer = Observer::default();
        let live = [("other".to_owned(), 1)];
        assert_eq!(observer.look(&live, "own", (s(0), s(100)), s(30)), []);
        assert_eq!(observer.look(&live, "own", (s(129), s(200)), s(30)), []);
        assert_eq!(observer.look(&live, "own", (s(130), s(130)), s(30)), live);
    }

    #[test]
    fn whoever_has_left_is_forgotten() {
        let mut observer = Observer::default();
        let live = [("other".to_owned(), 1)];
        assert_eq!(observer.look(&live, "own", (s(0), s(0)), s(30)), []);
        assert_eq!(observer.look(&[], "own", (s(10), s(10)), s(30)), []);
        assert_eq!(observer.look(&live, "own", (s(40), s(40)), s(30)), []);
        assert_eq!(observer.look(&live, "own", (s(70), s(70)), s(30)), live);
    }
}
