//! Pace: backoff, Retry-After, concurrency and the breaker of one target (sync.md 4.5).
//!
//! Pure: the caller says what time it is and lends the randomness.

use std::time::Duration;

use fastrand::Rng;

use crate::index::IndexErrorKind;

/// The first pause of a slot, at most.
const BASE_MS: u64 = 250;
/// The longest pause of a slot.
const CAP_MS: u64 = 60_000;
/// What a target may ask us to wait, in milliseconds.
const RETRY_AFTER: (u64, u64) = (1_000, 900_000);
/// Requests at one time, at most.
const MOST: usize = 16;
/// Clean answers that earn one more request at a time.
const EARN: u32 = 20;
/// Failures in a row that open the breaker.
const TRIP: u32 = 5;
/// How long the breaker stays open at first, and at most, in milliseconds.
const OPEN_MS: (i64, i64) = (5_000, 300_000);

/// A pause before the next try: full jitter, doubling with every try that failed.
#[must_use]
pub fn backoff_ms(attempts: u32, rng: &mut Rng) -> i64 {
    let ceiling = BASE_MS.saturating_mul(1 << attempts.min(20)).min(CAP_MS);
    i64::try_from(rng.u64(1..=ceiling)).unwrap_or(i64::MAX)
}

/// What a target asked us to wait, within reason.
#[must_use]
pub fn clamp_retry_after(asked: Duration) -> i64 {
    let ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).clamp(RETRY_AFTER.0, RETRY_AFTER.1);
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// How fast one target is driven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    concurrency: usize,
    clean: u32,
    failures: u32,
    open: Option<Open>,
    hold_until: i64,
    /// How often in a row it was asked to slow down without being told for how long.
    limited: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Open {
    until: i64,
    wait_ms: i64,
}

/// Whether a request may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Free,
    /// One may, to see whether the target is back.
    Probe,
    /// None before that time.
    Closed {
        /// Milliseconds since 1970.
        until: i64,
    },
}

impl Default for Pace {
    fn default() -> Self {
        Self { concurrency: 4, clean: 0, failures: 0, open: None, hold_until: 0, limited: 0 }
    }
}

impl Pace {
    /// Requests that may be under way at one time.
    #[must_use]
    pub const fn concurrency(&self) -> usize {
        if self.open.is_some() { 1 } else { self.concurrency }
    }

    /// Whether a request may go out.
    #[must_use]
    pub fn gate(&self, now: i64) -> Gate {
        let held = self.open.map_or(0, |open| open.until).max(self.hold_until);
        // A clock set back must not close the gate for longer than anything could have asked for.
        if now < held && held - now <= OPEN_MS.1.max(i64::try_from(RETRY_AFTER.1).unwrap_or(i64::MAX)) {
            Gate::Closed { until: held }
        } else if self.open.is_some() {
            Gate::Probe
        } else {
            Gate::Free
        }
    }

    /// Whether the breaker is open: the target counts as out of reach.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes note of an answer.
    pub fn answered(&mut self) {
        self.failures = 0;
        self.limited = 0;
        self.open = None;
        self.clean += 1;
        if self.clean >= EARN {
            self.clean = 0;
            self.concurrency = (self.concurrency + 1).min(MOST);
        }
    }

    /// Takes note of a failure, and of what the target asked for.
    pub fn failed(&mut self, kind: IndexErrorKind, retry_after: Option<Duration>, now: i64) {
        if let Some(asked) = retry_after {
            self.hold_until = now + clamp_retry_after(asked);
        }
        match kind {
            IndexErrorKind::RateLimited => {
                self.slow_down();
                // Answers to requests that were under way together are one refusal.
                if retry_after.is_none() && now >= self.hold_until {
                    let wait = BASE_MS.saturating_mul(1 << self.limited.min(20)).min(CAP_MS);
                    self.hold_until = now + i64::try_from(wait).unwrap_or(i64::MAX);
                    self.limited += 1;
                }
            }
            IndexErrorKind::InDoubt | IndexErrorKind::NotApplied => {
                if kind == IndexErrorKind::InDoubt {
                    self.slow_down();
                }
                self.failures += 1;
                if let Some(open) = self.open {
                    let wait_ms = (open.wait_ms * 2).min(OPEN_MS.1);
                    self.open = Some(Open { until: now + wait_ms, wait_ms });
                } else if self.failures >= TRIP {
                    self.open = Some(Open { until: now + OPEN_MS.0, wait_ms: OPEN_MS.0 });
                }
            }
            // The target answered: it is there.
            IndexErrorKind::Rejected | IndexErrorKind::TooLarge | IndexErrorKind::TargetFault => {
                self.failures = 0;
                self.open = None;
            }
        }
    }

    const fn slow_down(&mut self) {
        self.clean = 0;
        self.concurrency = if self.concurrency > 1 { self.concurrency / 2 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_below_a_minute() {
        let mut rng = Rng::with_seed(1);
        for (attempts, ceiling) in [(0, 250), (1, 500), (4, 4_000), (8, 60_000), (u32::MAX, 60_000)] {
            for _ in 0..200 {
                assert!((1..=ceiling).contains(&backoff_ms(attempts, &mut rng)));
            }
        }
        let many: Vec<i64> = (0..20_000).map(|_| backoff_ms(1, &mut rng)).collect();
        assert_eq!((many.iter().min(), many.iter().max()), (Some(&1), Some(&500)));
    }

    #[test]
    fn an_absurd_retry_after_is_clamped() {
        assert_eq!(clamp_retry_after(Duration::from_secs(3)), 3_000);
        assert_eq!(clamp_retry_after(Duration::ZERO), 1_000);
        assert_eq!(clamp_retry_after(Duration::from_secs(315_360_000)), 900_000);
    }

    #[test]
    fn five_failures_open_the_breaker_and_one_answer_closes_it() {
        let mut pace = Pace::default();
        for _ in 0..4 {
            pace.failed(IndexErrorKind::InDoubt, None, 0);
            assert_eq!(pace.gate(0), Gate::Free);
        }
        pace.failed(IndexErrorKind::NotApplied, None, 0);
        assert_eq!(pace.gate(4_999), Gate::Closed { until: 5_000 });
        assert_eq!(pace.gate(5_000), Gate::Probe);
        pace.failed(IndexErrorKind::NotApplied, None, 5_000);
        assert_eq!(pace.gate(14_999), Gate::Closed { until: 15_000 });
        for _ in 0..20 {
            pace.failed(IndexErrorKind::NotApplied, None, 15_000);
        }
        assert_eq!(pace.gate(15_000), Gate::Closed { until: 315_000 });
        pace.answered();
        assert_eq!(pace.gate(15_000), Gate::Free);
    }

    #[test]
    fn a_limit_without_a_time_is_given_one_that_doubles_until_something_is_taken() {
        let mut pace = Pace::default();
        let mut now = 0;
        for wait in [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            for _ in 0..4 {
                pace.failed(IndexErrorKind::RateLimited, None, now);
            }
            assert_eq!(pace.gate(now), Gate::Closed { until: now + wait });
            now += wait;
            assert_eq!(pace.gate(now), Gate::Free);
        }
        pace.answered();
        pace.failed(IndexErrorKind::RateLimited, None, now);
        assert_eq!(pace.gate(now), Gate::Closed { until: now + 250 });
    }

    #[test]
    fn a_rate_limit_halves_the_concurrency_and_holds_without_opening_the_breaker() {
        let mut pace = Pace::default();
        for _ in 0..20 * 20 {
            pace.answered();
        }
        assert_eq!(pace.concurrency(), 16);
        pace.failed(IndexErrorKind::RateLimited, Some(Duration::from_secs(7)), 100);
        assert_eq!(pace.concurrency(), 8);
        assert_eq!(pace.gate(100), Gate::Closed { until: 7_100 });
        assert!(!pace.is_open());
        for _ in 0..10 {
            pace.failed(IndexErrorKind::RateLimited, None, 100);
        }
        assert_eq!(pace.concurrency(), 1);
        assert_eq!(pace.gate(7_100), Gate::Free);
    }

    #[test]
    fn twenty_clean_answers_in_a_row_earn_one_more_request_at_a_time() {
        let mut pace = Pace::default();
        let mut after = |answers: u32, kind: Option<IndexErrorKind>| {
            (0..answers).for_each(|_| pace.answered());
            kind.into_iter().for_each(|kind| pace.failed(kind, None, 0));
            pace.concurrency()
        };
        assert_eq!([after(0, None), after(19, None), after(1, None)], [4, 4, 5]);
        assert_eq!([after(19, None), after(1, None)], [5, 6]);
        // What was not applied says nothing against the rate; a doubt halves it, and the count begins anew.
        assert_eq!([after(19, Some(IndexErrorKind::NotApplied)), after(1, None)], [6, 7]);
        assert_eq!([after(19, Some(IndexErrorKind::InDoubt)), after(19, None), after(1, None)], [3, 3, 4]);
    }

    #[test]
    fn only_failures_in_a_row_open_the_breaker_and_a_refusal_is_an_answer() {
        let mut pace = Pace::default();
        for answer in [None, Some(IndexErrorKind::Rejected), Some(IndexErrorKind::TargetFault)] {
            for _ in 0..4 {
                pace.failed(IndexErrorKind::InDoubt, None, 0);
            }
            assert_eq!(pace.gate(0), Gate::Free, "{answer:?}");
            match answer {
                None => pace.answered(),
                Some(kind) => pace.failed(kind, None, 0),
            }
        }
        for _ in 0..5 {
            assert!(!pace.is_open());
            pace.failed(IndexErrorKind::InDoubt, None, 0);
        }
        assert!(pace.is_open() && pace.concurrency() == 1);
        pace.failed(IndexErrorKind::Rejected, None, 0);
        assert!(!pace.is_open() && pace.gate(0) == Gate::Free);
    }

    #[test]
    fn a_clock_set_back_holds_nothing_for_longer_than_a_target_may_ask() {
        let mut pace = Pace::default();
        pace.failed(IndexErrorKind::NotApplied, Some(Duration::from_secs(3_600)), 1_000);
        assert_eq!(pace.gate(1_000), Gate::Closed { until: 901_000 });
        assert_eq!(pace.gate(999), Gate::Free);
    }
}
