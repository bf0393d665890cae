//! Reading what is large, beside the threads that answer.
//!
//! A body of megabytes takes a second of one core to read: on a thread of the
//! runtime, everybody else would wait for it. Small ones are read where they are.
//! How many are read at once is bounded, so that a core is left for the others.

use std::sync::LazyLock;

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
