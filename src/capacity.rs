//! How much is worked on at a time: requests, and the bytes of their bodies.
//!
//! A request more than there are places for waits a moment and is turned away then, while the others are answered as
//! fast as ever. It takes its place when it is there to its last byte, so that a slow client holds none, and gives it
//! back while it only waits for something to happen (see [`aside`]).

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::Config;

/// What who is turned away is told.
pub const BUSY: &str = "The server has more to do than it can: ask again in a moment";
/// What bytes are counted in.
const UNIT: usize = 1024;
/// How often the log tells that requests are turned away.
const TOLD: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The place of the request that this task works on.
    static PLACE: Arc<Place>;
}

/// The places there are.
#[derive(Debug)]
pub struct Capacity {
    places: Arc<Semaphore>,
    queue: Duration,
    room: Arc<Semaphore>,
    /// Bytes of the longest body; what is longer is thrown away as it comes.
    longest: usize,
    told: Mutex<Option<Instant>>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    Places,
    /// There is no room for its body.
    Room,
    /// Its body comes too slowly.
    Slow,
}

impl Capacity {
    /// As much as is configured.
    #[must_use]
    pub fn new(config: &Config) -> Arc<Self> {
        let http = &config.http;
        // One body of any allowed size has room.
        let room = http.bodies_bytes.max(config.limits.body_bytes).div_ceil(UNIT);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(http.requests.min(Semaphore::MAX_PERMITS))),
            queue: http.queue,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
            longest: config.limits.body_bytes,
            told: Mutex::default(),
        })
    }

    fn turned_away(&self) {
        let mut told = lock(&self.told);
        if told.is_none_or(|told| told.elapsed() >= TOLD) {
            *told = Some(Instant::now());
            tracing::warn!("more is asked than can be answered: some requests are turned away");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of one request, taken or not.
#[derive(Debug)]
pub struct Place {
    capacity: Arc<Capacity>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    place: Option<OwnedSemaphorePermit>,
    room: Option<OwnedSemaphorePermit>,
    /// Bytes that came, for which there is room.
    bytes: usize,
    full: Option<Full>,
}

impl Place {
    /// One that is not taken yet.
    #[must_use]
    pub fn new(capacity: &Arc<Capacity>) -> Arc<Self> {
        Arc::new(Self { capacity: capacity.clone(), held: Mutex::default() })
    }

    /// Takes the place, after a moment when none is free.
    ///
    /// # Errors
    /// [`Full::Places`].
    pub async fn enter(&self) -> Result<(), Full> {
        let free = self.capacity.places.clone();
        let place = match free.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => tokio::time::timeout(self.capacity.queue, free.acquire_owned()).await.ok().and_then(Result::ok),
        };
        if place.is_none() {
            self.capacity.turned_away();
            return Err(self.refuse(Full::Places));
        }
        lock(&self.held).place = place;
        Ok(())
    }

    /// Makes room for so many more bytes, for as long as the request is worked on.
    ///
    /// # Errors
    /// [`Full::Room`].
    pub fn make_room(&self, bytes: usize) -> Result<(), Full> {
        let mut held = lock(&self.held);
        let after = held.bytes.saturating_add(bytes).min(self.capacity.longest);
        let more = after.div_ceil(UNIT).saturating_sub(held.bytes.div_ceil(UNIT));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if let Ok(more) = self.capacity.room.clone().try_acquire_many_owned(more) {
            held.bytes = after;
            match &mut held.room {
                Some(room) => room.merge(more),
                None => held.room = Some(more),
            }
            return Ok(());
        }
        drop(held);
        self.capacity.turned_away();
        Err(self.refuse(Full::Room))
    }

    /// Notes why the request goes no further.
    pub fn refuse(&self, full: Full) -> Full {
        lock(&self.held).full = Some(full);
        full
    }

    /// Why the request went no further, if it did not.
    #[must_use]
    pub fn refused(&self) -> Option<Full> {
        lock(&self.held).full
    }
}

/// Does `work` on the request that has this place.
pub async fn within<F: Future>(place: Arc<Place>, work: F) -> F::Output {
    PLACE.scope(place, work).await
}

/// Waits for something that nothing is done for here: another request may have the place meanwhile.
pub async fn aside<F: Future>(wait: F) -> F::Output {
    let place = PLACE.try_with(Arc::clone).ok();
    let Some(place) = place.filter(|place| lock(&place.held).place.take().is_some()) else { return wait.await };
    let done = wait.await;
    // It was let in before, so that it is not turned away now.
    let again = place.capacity.places.clone().acquire_owned().await;
    lock(&place.held).place = again.ok();
    done
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    fn capacity(requests: usize) -> Arc<Capacity> {
        let mut config = Config::default();
        config.http.requests = requests;
        config.http.bodies_bytes = 4096;
        config.limits.body_bytes = 4096;
        Capacity::new(&config)
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_there_are_places_for_waits_a_moment_and_is_turned_away() {
        let capacity = capacity(1);
        let first = Place::new(&capacity);
        first.enter().await.unwrap();
        let second = Place::new(&capacity);
        let begun = Instant::now();
        assert_eq!(second.enter().await, Err(Full::Places));
        assert_eq!((begun.elapsed(), second.refused()), (Config::default().http.queue, Some(Full::Places)));
        let third = Place::new(&capacity);
        let mut entering = pin!(third.enter());
        assert!(poll!(&mut entering).is_pending());
        drop(first);
        assert_eq!(entering.await, Ok(()));
    }

    #[tokio::test]
    async fn who_only_waits_has_no_place_meanwhile() {
        let capacity = capacity(1);
        let waits = Place::new(&capacity);
        waits.enter().await.unwrap();
        let (happen, happened) = tokio::sync::oneshot::channel::<()>();
        let mut waiting = pin!(within(waits.clone(), aside(happened)));
        assert!(poll!(&mut waiting).is_pending());
        let other = Place::new(&capacity);
        other.enter().await.unwrap();
        happen.send(()).unwrap();
        assert!(poll!(&mut waiting).is_pending(), "it needs its place again");
        drop(other);
        waiting.await.unwrap();
        assert!(lock(&waits.held).place.is_some());
    }

    #[tokio::test]
    async fn bodies_have_room_for_so_many_bytes_together() {
        let capacity = capacity(8);
        let (one, two) = (Place::new(&capacity), Place::new(&capacity));
        for _ in 0..30 {
            one.make_room(100).unwrap();
        }
        two.make_room(1000).unwrap();
        assert_eq!(two.make_room(1000), Err(Full::Room));
        drop(one);
        two.make_room(2000).unwrap();
        let longer = Place::new(&self::capacity(8));
        for _ in 0..3 {
            longer.make_room(1_000_000).unwrap();
        }
        assert_eq!(aside(async { 1 }).await, 1, "without a place there is nothing to give back");
    }
}
