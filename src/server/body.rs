//! The body of a request as it comes in: no slower than it may, and with room for it.
//!
//! Only the time is counted in which the server waits for the client. What goes wrong is noted at the request's
//! place; whoever reads the body finds it ended early.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::Frame;
use hyper::body::SizeHint;
use tokio::time::Instant;
use tokio::time::Sleep;

use crate::capacity::Full;
use crate::capacity::Place;
use crate::config::http::HttpConfig;

/// A body that takes the place of its request with its last byte.
pub struct Paced {
    body: Body,
    place: Arc<Place>,
    pace: Pace,
    sleep: Option<Pin<Box<Sleep>>>,
    entering: Option<BoxFuture<'static, Result<(), Full>>>,
    over: bool,
}

/// How fast a body comes.
#[derive(Debug)]
struct Pace {
    /// The longest pause, and what is waited beside what the rate allows.
    pause: Duration,
    /// Bytes a second.
    rate: u64,
    received: u64,
    waited: Duration,
    /// Since when the client is waited for.
    since: Option<Instant>,
}

impl Pace {
    /// The moment until which the client is waited for.
    fn until(&mut self) -> Instant {
        let since = *self.since.get_or_insert_with(Instant::now);
        let earned = Duration::from_millis(self.received.saturating_mul(1000) / self.rate.max(1));
        let left = (self.pause + earned).saturating_sub(self.waited);
        since + left.min(self.pause)
    }

    fn came(&mut self, bytes: usize) {
        self.waited += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.received += bytes as u64;
    }
}

impl Paced {
    /// The body of the request that has this place.
    #[must_use]
    pub const fn new(body: Body, place: Arc<Place>, config: &HttpConfig) -> Self {
        let pace =
            Pace { pause: config.body, rate: config.body_rate, received: 0, waited: Duration::ZERO, since: None };
        Self { body, place, pace, sleep: None, entering: None, over: false }
    }

    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.pace.until();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(cx).is_ready()
    }

    fn broken(&mut self, full: Full) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.over = true;
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(format!("{full:?}"))))))
    }
}

impl hyper::body::Body for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        if this.entering.is_none() {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    this.pace.came(bytes);
                    return match this.place.make_room(bytes) {
                        Ok(()) => Poll::Ready(Some(Ok(frame))),
                        Err(full) => this.broken(full),
                    };
                }
                Poll::Ready(None) => {
                    let place = this.place.clone();
                    this.entering = Some(Box::pin(async move { place.enter().await }));
                }
                Poll::Pending if this.is_late(cx) => {
                    let full = this.place.refuse(Full::Slow);
                    return this.broken(full);
                }
                other @ (Poll::Ready(Some(Err(_))) | Poll::Pending) => return other,
            }
        }
        let Some(entering) = &mut this.entering else { return Poll::Ready(None) };
        match ready!(entering.as_mut().poll(cx)) {
            Ok(()) => {
                this.over = true;
                Poll::Ready(None)
            }
            Err(full) => this.broken(full),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_may_pause_and_must_come_at_a_rate() {
        let mut pace =
            Pace { pause: Duration::from_secs(10), rate: 1000, received: 0, waited: Duration::ZERO, since: None };
        let left = |pace: &mut Pace| (pace.until() - Instant::now()).as_millis();
        assert_eq!(left(&mut pace), 10_000);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(left(&mut pace), 1000, "time passes while it is waited for");
        pace.came(500);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(left(&mut pace), 1500, "and not while the server does something else");
        pace.came(1_000_000);
        assert_eq!(left(&mut pace), 10_000, "no pause is longer, however much came before");
    }
}
