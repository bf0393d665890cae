//! Reading what is large, beside the threads that answer.
//!
//! A body of megabytes takes a second of one core to read: on a thread of the
//! runtime, everybody else would wait for it. Small ones are read where they are.
//! How many are read at once is bounded, so that a core is left for the others.

use std::sync::LazyLock;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Either;
use futures_util::stream;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::error::Result;

/// Up to how many bytes reading takes no time worth the way to another thread.
const SMALL: usize = 65_536;

/// One for each core but one.
static PERMITS: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Semaphore::new(cores.saturating_sub(1).max(1))
});

/// Does `work` on a text of so many bytes, where it keeps nobody waiting.
///
/// # Errors
/// None that work of ours can cause.
pub async fn read<T, F>(bytes: usize, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if bytes <= SMALL {
        return Ok(work());
    }
    let permit = PERMITS.acquire().await.map_err(Error::internal)?;
    let work = move || {
        // Held until the work is done, also when nobody waits for it any more.
        let _permit = permit;
        work()
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

/// Finishes `work` that came in a text of so many bytes: up to where it first waits, where it keeps nobody waiting.
///
/// What looks through the values of a request does so before it waits for anything.
///
/// # Errors
/// None that work of ours can cause.
pub async fn begin<T: Send + 'static>(bytes: usize, mut work: BoxFuture<'static, T>) -> Result<T> {
    if bytes <= SMALL {
        return Ok(work.await);
    }
    // Nobody is woken for what happens between this look at it and the next, which follows at once.
    let begun = read(bytes, move || match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Either::Left(done),
        Poll::Pending => Either::Right(work),
    });
    match begun.await? {
        Either::Left(done) => Ok(done),
        Either::Right(work) => Ok(work.await),
    }
}

/// The same for a stream, up to its first item; `failed` makes the item of a stream that cannot be looked at.
pub fn begin_stream<T: Send + 'static>(
    bytes: usize,
    work: BoxStream<'static, T>,
    failed: impl FnOnce(Error) -> T + Send + 'static,
) -> BoxStream<'static, T> {
    if bytes <= SMALL {
        return work;
    }
    let first = async move {
        match begin(bytes, Box::pin(work.into_future())).await {
            Ok((first, rest)) => stream::iter(first).chain(rest).boxed(),
            Err(error) => stream::once(std::future::ready(failed(error))).boxed(),
        }
    };
    stream::once(first).flatten().boxed()
}
