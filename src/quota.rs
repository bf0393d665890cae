//! How much each client may ask in a while: points, as many as what it asks costs.
//!
//! A client is a key, or an address where it came without one. It has a bucket of points that fills up again all the
//! time; what costs more points than are left is refused, and tells when there will be enough. Only buckets that are
//! not full are remembered, and of those a bounded number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::config::http::RateConfig;

tokio::task_local! {
    /// Where the request comes from that this task works on.
    static CALLER: Arc<Caller>;
}

/// How many clients are remembered.
const CLIENTS: usize = 20_000;
/// How many are forgotten at once when there are more, those with the most points first.
const FORGOTTEN: usize = CLIENTS / 10;

/// Whose points they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// The holder of the key of this id.
    Key(String),
    /// Whoever comes from this address; of IPv6, the network that one subscriber has.
    Address(IpAddr),
}

impl Client {
    /// One that came without a key.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// What a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The points.
    pub points: u64,
    /// In how many seconds it has all of them again.
    pub full_in_s: u64,
    /// In how many seconds what was refused can be asked again; nothing when it was not refused.
    pub retry_after_s: Option<u64>,
}

/// Where a request comes from, and what its client has left.
#[derive(Debug)]
pub struct Caller {
    address: Option<IpAddr>,
    left: Mutex<Option<Left>>,
}

impl Caller {
    /// Whoever asks from this address, if it is known.
    #[must_use]
    pub fn at(address: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self { address, left: Mutex::default() })
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Notes what is left.
    pub fn note(&self, left: Left) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }

    /// What is left, where that is limited.
    #[must_use]
    pub fn left(&self) -> Option<Left> {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` on a request that comes from there.
pub async fn within<F: Future>(caller: Arc<Caller>, work: F) -> F::Output {
    CALLER.scope(caller, work).await
}

/// Where the request comes from that this task works on.
#[must_use]
pub fn caller() -> Option<Arc<Caller>> {
    CALLER.try_with(Arc::clone).ok()
}

/// The buckets.
#[derive(Debug)]
pub struct Quota {
    most: u64,
    window: Duration,
    buckets: Mutex<HashMap<Client, Bucket>>,
}

/// Points at a moment.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    points: f64,
    at: Duration,
}

impl Quota {
    /// As is configured.
    #[must_use]
    pub fn new(config: &RateConfig) -> Arc<Self> {
        Arc::new(Self { most: config.points, window: config.window, buckets: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Points that come back in a second.
    fn rate(&self) -> f64 {
        self.most as f64 / self.window.as_secs_f64()
    }

    /// Takes so many points of a client at the moment `now` of a clock that is never set; nothing of a client that has
    /// not enough. What costs more than there ever are takes all of them.
    pub fn charge(&self, client: &Client, cost: u64, now: Duration) -> Left {
        let (most, rate) = (self.most as f64, self.rate());
        let cost = (cost as f64).min(most);
        let mut buckets = self.lock();
        let bucket = buckets.get(client).copied().unwrap_or(Bucket { points: most, at: now });
        let points = (bucket.points + now.saturating_sub(bucket.at).as_secs_f64() * rate).min(most);
        let enough = points >= cost;
        let left = if enough { points - cost } else { points };
        if !buckets.contains_key(client) && buckets.len() >= CLIENTS {
            forget(&mut buckets, now, rate);
        }
        buckets.insert(client.clone(), Bucket { points: left, at: now });
        let seconds = |points: f64| (points / rate).ceil() as u64;
        Left {
            points: left as u64,
            full_in_s: seconds(most - left),
            retry_after_s: (!enough).then(|| seconds(cost - points).max(1)),
        }
    }
}

/// Makes room: who has the most points loses the least.
fn forget(buckets: &mut HashMap<Client, Bucket>, now: Duration, rate: f64) {
    let points = |bucket: &Bucket| bucket.points + now.saturating_sub(bucket.at).as_secs_f64() * rate;
    let mut all: Vec<f64> = buckets.values().map(points).collect();
    let place = all.len() - FORGOTTEN.min(all.len());
    let (_, least, _) = all.select_nth_unstable_by(place, f64::total_cmp);
    let least = *least;
    buckets.retain(|_, bucket| points(bucket) < least);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Arc<Quota> {
        Quota::new(&RateConfig { points: 100, window: Duration::from_secs(50), local: true })
    }

    fn key(name: &str) -> Client {
        Client::Key(name.to_owned())
    }

    #[test]
    fn what_is_over_the_points_is_refused_until_they_are_there_again() {
        let (quota, second) = (quota(), Duration::from_secs);
        let left = |points, full_in_s, retry_after_s| Left { points, full_in_s, retry_after_s };
        assert_eq!(quota.charge(&key("a"), 60, second(0)), left(40, 30, None));
        assert_eq!(quota.charge(&key("a"), 60, second(0)), left(40, 30, Some(10)));
        assert_eq!(quota.charge(&key("b"), 60, second(0)), left(40, 30, None), "each has its own");
        assert_eq!(quota.charge(&key("a"), 60, second(9)), left(58, 21, Some(1)));
        assert_eq!(quota.charge(&key("a"), 60, second(10)), left(0, 50, None));
        // No wait makes more of them, and what costs more than there are costs all.
        assert_eq!(quota.charge(&key("a"), 1_000, second(1_000)), left(0, 50, None));
        assert_eq!(quota.charge(&key("a"), 1_000, second(1_049)), left(98, 1, Some(1)));
    }

    #[test]
    fn so_many_clients_are_remembered_and_those_who_asked_least_are_forgotten() {
        let quota = quota();
        quota.charge(&key("greedy"), 100, Duration::ZERO);
        for number in 0..3 * CLIENTS {
            quota.charge(&Client::at(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes())), 1, Duration::ZERO);
            assert!(quota.lock().len() <= CLIENTS);
        }
        assert!(quota.charge(&key("greedy"), 1, Duration::ZERO).retry_after_s.is_some());
    }

    #[test]
    fn a_network_of_the_size_that_one_subscriber_has_is_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
        assert_ne!(at("10.0.0.1"), at("10.0.0.2"));
    }
}
