//! Token buckets: when a request may go out, so that a target is not asked faster than it publishes (sync.md 4.5).
//!
//! Pure: the caller says what time it is, and waits. Every namespace and operation has its
//! own. What is reserved counts at once, whether the request is sent in the end or not.

use std::collections::HashMap;
use std::time::Duration;

use crate::index::Rates;

/// How much of a second may be used at once.
const BURST_MS: f64 = 250.0;
/// Namespaces that are remembered: those whose buckets are full again are forgotten first.
const MOST: usize = 1_000;

/// An operation that is paced by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Paced by requests and bytes.
    Upsert,
    /// Paced by requests and ids.
    Delete,
}

/// What one request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// What it does.
    pub operation: Operation,
    /// Bytes of an upsert, ids of a delete.
    pub amount: usize,
}

/// The buckets of one target: for each, when it will have run full, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Buckets {
    full_at: HashMap<(String, Operation), [f64; 2]>,
}

impl Buckets {
    /// Takes what a request needs, and says how long it has to wait for that.
    pub fn reserve(&mut self, namespace: &str, load: Load, rates: Rates, now: Duration) -> Duration {
        let now = now.as_secs_f64() * 1_000.0;
        if self.full_at.len() >= MOST {
            self.full_at.retain(|_, full_at| full_at.iter().any(|at| *at > now));
        }
        let a_second = match load.operation {
            Operation::Upsert => rates.upsert_bytes,
            Operation::Delete => rates.delete_ids,
        };
        #[expect(clippy::cast_precision_loss, reason = "amounts of one request are small")]
        let costs = [1.0 / f64::from(rates.requests.max(1)), load.amount as f64 / f64::from(a_second.max(1))];
        let full_at = self.full_at.entry((namespace.to_owned(), load.operation)).or_default();
        let mut wait: f64 = 0.0;
        for (at, seconds) in full_at.iter_mut().zip(costs) {
            // What is over when a request comes that is larger than the burst is owed by the next one.
            wait = wait.max(*at - now - BURST_MS);
            *at = at.max(now) + seconds * 1_000.0;
        }
        Duration::from_secs_f64(wait.max(0.0) / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { requests: 10, upsert_bytes: 1_000, delete_ids: 100 };

    const fn upsert(amount: usize) -> Load {
        Load { operation: Operation::Upsert, amount }
    }

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn close(a: Duration, b: Duration) -> bool {
        a.abs_diff(b) < Duration::from_millis(1)
    }

    #[test]
    fn requests_and_bytes_are_both_held_to_their_rates() {
        let mut buckets = Buckets::default();
        // Ten a second, two and a half of them at once.
        let waits: Vec<u128> = (0..6).map(|_| buckets.reserve("n", upsert(1), RATES, at(0)).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 50, 150, 250]);
        let mut buckets = Buckets::default();
        assert_eq!(buckets.reserve("n", upsert(2_000), RATES, at(0)), Duration::ZERO);
        assert!(close(buckets.reserve("n", upsert(1), RATES, at(0)), at(1_750)));
        assert!(close(buckets.reserve("n", upsert(1), RATES, at(1_000)), at(751)));
        assert_eq!(buckets.reserve("n", upsert(1), RATES, at(5_000)), Duration::ZERO);
    }

    #[test]
    fn over_a_long_time_the_rate_is_kept() {
        let mut buckets = Buckets::default();
        let mut now = Duration::ZERO;
        for _ in 0..1_000 {
            now += buckets.reserve("n", upsert(50), RATES, now);
        }
        // 50,000 bytes at 1,000 a second would be 50 s; 1,000 requests at 10 a second are 100 s.
        assert!((99.0..100.0).contains(&now.as_secs_f64()), "{now:?}");
    }

    #[test]
    fn namespaces_and_operations_do_not_wait_for_each_other() {
        let mut buckets = Buckets::default();
        buckets.reserve("n", upsert(10_000), RATES, at(0));
        assert_eq!(buckets.reserve("m", upsert(10_000), RATES, at(0)), Duration::ZERO);
        let delete = Load { operation: Operation::Delete, amount: 100 };
        assert_eq!(buckets.reserve("n", delete, RATES, at(0)), Duration::ZERO);
        assert!(close(buckets.reserve("n", delete, RATES, at(0)), at(750)));
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let mut buckets = Buckets::default();
        for number in 0..MOST {
            buckets.reserve(&number.to_string(), upsert(1), RATES, at(0));
        }
        buckets.reserve("n", upsert(1), RATES, at(60_000));
        assert_eq!(buckets.full_at.len(), 1);
    }

    #[test]
    fn one_request_a_second_is_kept_to() {
        let slow = Rates { requests: 1, upsert_bytes: 1, delete_ids: 1 };
        for load in [upsert(0), upsert(1), Load { operation: Operation::Delete, amount: 1 }] {
            let mut buckets = Buckets::default();
            assert_eq!(buckets.reserve("n", load, slow, at(0)), Duration::ZERO);
            assert!(close(buckets.reserve("n", load, slow, at(0)), at(750)), "{load:?}");
        }
        let mut buckets = Buckets::default();
        let bytes = Rates { requests: 1_000, ..slow };
        buckets.reserve("n", upsert(1), bytes, at(0));
        assert!(close(buckets.reserve("n", upsert(1), bytes, at(0)), at(750)));
    }
}
