//! The clock, and the ids that are made from it.
//!
//! Nothing else in the crate asks the system for the time: a test freezes the
//! clock and moves it by hand. Times of rows are whole microseconds since 1970,
//! times of the sync tables whole milliseconds.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;

use chrono::DateTime;
use chrono::Utc;
use uuid::ContextV7;
use uuid::Timestamp;
use uuid::Uuid;

/// A source of time: the system's, or one that a test moves.
#[derive(Debug, Clone)]
pub struct Clock {
    frozen: Option<Arc<AtomicI64>>,
    started: std::time::Instant,
    ids: Arc<Mutex<ContextV7>>,
}

impl Clock {
    /// The system's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self { frozen: None, started: std::time::Instant::now(), ids: Arc::default() }
    }

    /// A clock that stands still at `at_us` microseconds since 1970 until it is moved.
    #[must_use]
    pub fn frozen(at_us: i64) -> Self {
        Self { frozen: Some(Arc::new(AtomicI64::new(at_us))), started: std::time::Instant::now(), ids: Arc::default() }
    }

    /// Moves a frozen clock forward; the system's clock is left alone.
    pub fn advance(&self, by: std::time::Duration) {
        if let Some(at) = &self.frozen {
            at.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a frozen clock back; the system's clock is left alone.
    pub fn set_back(&self, by: std::time::Duration) {
        if let Some(at) = &self.frozen {
            at.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Microseconds since 1970.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now_us(&self) -> i64 {
        match &self.frozen {
            Some(at) => at.load(Ordering::SeqCst),
            None => Utc::now().timestamp_micros(),
        }
    }

    /// Time since some moment, for intervals: it is never set. A frozen clock's stands still with it.
    #[must_use]
    pub fn monotonic(&self) -> std::time::Duration {
        match &self.frozen {
            Some(at) => std::time::Duration::from_micros(at.load(Ordering::SeqCst).max(0).unsigned_abs()),
            None => self.started.elapsed(),
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1000)
    }

    /// A new UUIDv7 as lower-case text; ids made by one process sort in the order they were made.
    #[must_use]
    pub fn new_id(&self) -> String {
        let now = self.now_us().max(0).unsigned_abs();
        let nanos = u32::try_from(now % 1_000_000).unwrap_or(0) * 1000;
        let ids = self.ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(&*ids, now / 1_000_000, nanos)).to_string()
    }
}

/// RFC 3339 in UTC with `Z` and at most six digits of a second: the GraphQL form of a time.
#[must_use]
pub fn rfc3339(us: i64) -> String {
    format!("{}Z", naive_iso(us))
}

/// ISO 8601 without a zone, six digits of a second or none: the REST form of a time.
#[must_use]
pub fn naive_iso(us: i64) -> String {
    let at = DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default();
    if us.rem_euclid(1_000_000) == 0 {
        at.format("%Y-%m-%dT%H:%M:%S").to_string()
    } else {
        at.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_has_six_digits_and_is_absent_when_zero() {
        assert_eq!(naive_iso(1_763_791_527_938_024), "2025-11-22T06:05:27.938024");
        assert_eq!(naive_iso(1_763_791_527_000_000), "2025-11-22T06:05:27");
        assert_eq!(rfc3339(1_763_791_527_500_000), "2025-11-22T06:05:27.500000Z");
    }

    #[test]
    fn ids_of_one_instant_are_in_order() {
        let clock = Clock::frozen(1_763_791_527_938_024);
        let ids: Vec<String> = (0..2000).map(|_| clock.new_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
