//! One connection of a client, and how long the client may let it wait.
//!
//! The socket notes what goes over it and the requests note when they are under way; [`Pulse`] knows from that how
//! long the connection may still stay as it is. Nothing is timed for each request: whoever serves the connection
//! looks at it now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long what a client still sends is thrown away after the answer, so that the answer reaches it.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may let a connection wait.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the rest of a request's head, or for the first one.
    pub head: Duration,
    /// For the next request.
    pub idle: Duration,
    /// To take more of an answer.
    pub write: Duration,
}

impl Patience {
    fn shortest(&self) -> Duration {
        self.head.min(self.idle).min(self.write)
    }
}

/// What goes on on a connection.
#[derive(Debug)]
pub struct Pulse {
    state: Mutex<State>,
    patience: Patience,
}

#[derive(Debug)]
struct State {
    /// How many requests there were.
    begun: u64,
    /// How many of them have not ended.
    under_way: usize,
    /// Since when nothing is under way.
    idle: Instant,
    /// When the first byte of the next head came.
    heard: Option<Instant>,
    /// Since when the client takes nothing of what is sent.
    stuck: Option<Instant>,
}

impl Pulse {
    /// A connection on which nothing happened yet.
    #[must_use]
    pub fn new(patience: Patience) -> Arc<Self> {
        let state = State { begun: 0, under_way: 0, idle: Instant::now(), heard: None, stuck: None };
        Arc::new(Self { state: Mutex::new(state), patience })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request begins; it ends with what this gives.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Request {
        let mut state = self.lock();
        state.begun += 1;
        state.under_way += 1;
        state.heard = None;
        Request { pulse: self.clone() }
    }

    fn read(&self) {
        let mut state = self.lock();
        if state.under_way == 0 && state.heard.is_none() {
            state.heard = Some(Instant::now());
        }
    }

    fn written(&self, progress: bool) {
        let mut state = self.lock();
        if !progress {
            state.stuck.get_or_insert_with(Instant::now);
        } else if state.stuck.take().is_some() {
            state.idle = Instant::now();
        }
    }

    /// When the client has let the connection wait too long, as things are.
    fn deadline(&self) -> Option<Instant> {
        let (state, patience) = (self.lock(), &self.patience);
        match (state.stuck, state.heard) {
            (Some(stuck), _) => Some(stuck + patience.write),
            (None, _) if state.under_way > 0 => None,
            (None, Some(heard)) => Some(heard + patience.head),
            (None, None) if state.begun == 0 => Some(state.idle + patience.head),
            (None, None) => Some(state.idle + patience.idle),
        }
    }

    /// Ends when the client has let the connection wait too long, or a little later.
    pub async fn stopped(&self) {
        loop {
            let deadline = self.deadline();
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return;
            }
            // What begins meanwhile may be due earlier.
            let next = Instant::now() + self.patience.shortest();
            tokio::time::sleep_until(deadline.map_or(next, |deadline| deadline.min(next))).await;
        }
    }
}

/// A request that is under way, to the last byte of its answer.
#[derive(Debug)]
pub struct Request {
    pulse: Arc<Pulse>,
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut state = self.pulse.lock();
        state.under_way -= 1;
        state.idle = Instant::now();
        state.heard = None;
    }
}

/// The socket.
#[derive(Debug)]
pub struct Line {
    /// Taken when it is dropped.
    stream: Option<TcpStream>,
    pulse: Arc<Pulse>,
    /// The place of the connection among all, for as long as the socket is open.
    seat: Option<OwnedSemaphorePermit>,
    tasks: TaskTracker,
    closing: CancellationToken,
    /// The client has said that it sends no more, or the connection is broken.
    over: bool,
}

impl Line {
    /// A socket that was accepted; it waits for nobody any more once `closing` is.
    #[must_use]
    pub const fn new(
        stream: TcpStream,
        pulse: Arc<Pulse>,
        seat: OwnedSemaphorePermit,
        tasks: TaskTracker,
        closing: CancellationToken,
    ) -> Self {
        Self { stream: Some(stream), pulse, seat: Some(seat), tasks, closing, over: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.pulse.written(!written.is_pending());
        self.over |= matches!(written, Poll::Ready(Err(_)));
        written
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = self.stream()?.poll_read(cx, buf);
        match &read {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.pulse.read(),
            Poll::Ready(_) => self.over = true,
            Poll::Pending => {}
        }
        read
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, buf);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }
}

impl Drop for Line {
    /// A socket that is closed while its client still sends resets the connection, and the client never reads why.
    fn drop(&mut self) {
        let (Some(stream), Some(seat)) = (self.stream.take(), self.seat.take()) else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.over && !self.closing.is_cancelled() {
            let closing = self.closing.clone();
            let parting = async move {
                tokio::select! {
                    _ = tokio::time::timeout(LINGER, part(stream)) => {}
                    () = closing.cancelled() => {}
                }
                drop(seat);
            };
            self.tasks.spawn_on(parting, &runtime);
        }
    }
}

async fn part(mut stream: TcpStream) {
    let mut unread = [0; 4096];
    if stream.shutdown().await.is_ok() {
        while stream.read(&mut unread).await.is_ok_and(|bytes| bytes > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75), write: Duration::from_secs(60) };

    fn left(pulse: &Pulse) -> Option<u64> {
        pulse.deadline().map(|deadline| (deadline - Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_waits_for_each_thing_as_long_as_it_may() {
        let pulse = Pulse::new(PATIENCE);
        assert_eq!(left(&pulse), Some(10), "for the first head");
        tokio::time::advance(Duration::from_secs(4)).await;
        pulse.read();
        pulse.read();
        assert_eq!(left(&pulse), Some(10), "for the rest of it");
        let first = pulse.begin();
        pulse.read();
        assert_eq!(left(&pulse), None, "while a request is under way");
        pulse.written(false);
        tokio::time::advance(Duration::from_secs(1)).await;
        pulse.written(false);
        assert_eq!(left(&pulse), Some(59), "for the client to take something");
        drop(first);
        assert_eq!(left(&pulse), Some(59), "for it to take the rest");
        tokio::time::advance(Duration::from_secs(1)).await;
        pulse.written(true);
        assert_eq!(left(&pulse), Some(75), "for the next request");
        pulse.read();
        assert_eq!(left(&pulse), Some(10), "for the rest of its head");
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_late_is_still_ended_in_time() {
        let pulse = Pulse::new(PATIENCE);
        drop(pulse.begin());
        let begun = Instant::now();
        let stopped = pulse.stopped();
        let slow = async {
            tokio::time::sleep(Duration::from_secs(33)).await;
            pulse.read();
        };
        tokio::join!(stopped, slow);
        assert_eq!(begun.elapsed().as_secs(), 43);
    }
}
