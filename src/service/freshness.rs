//! Up to which corpus revision the index is in step, for everybody who waits for one.
//!
//! Whoever holds `looking` asks the database and tells the others: a thousand
//! waits cost as much as one, and nobody asks while nobody waits. A wait ends
//! at once when the server stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::capacity;
use crate::error::Result;
use crate::service::Ctx;
use crate::store::slots;

/// How often the database is asked while somebody waits.
const LOOK: Duration = Duration::from_millis(50);
/// The least time between two looks, however many writes there are.
const PAUSE: Duration = Duration::from_millis(10);

/// What those who wait share.
#[derive(Debug)]
pub struct Freshness {
    looking: tokio::sync::Mutex<Instant>,
    through: watch::Sender<i64>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { looking: tokio::sync::Mutex::new(Instant::now()), through: watch::Sender::default() }
    }
}

impl Freshness {
    /// Looks, after a commit or a while. Never ends by itself before there was a look.
    async fn look(&self, cx: &Ctx) -> Result<()> {
        let mut last = self.looking.lock().await;
        let _ = tokio::time::timeout_at(*last + LOOK, cx.db().woken()).await;
        tokio::time::sleep_until(*last + PAUSE).await;
        *last = Instant::now();
        let through = ask(cx).await?;
        self.through.send_if_modified(|told| std::mem::replace(told, through) != through);
        Ok(())
    }
}

async fn ask(cx: &Ctx) -> Result<i64> {
    Ok(slots::synced_through(cx.read(), cx.target_id()).await?.revision)
}

/// Waits at most `wait` until the index holds everything up to the revision `needed`; gives up to which one it does.
///
/// # Errors
/// What the database says.
pub async fn wait(cx: &Ctx, needed: i64, wait: Duration) -> Result<i64> {
    let through = ask(cx).await?;
    if through >= needed { Ok(through) } else { capacity::aside(follow(cx, needed, Instant::now() + wait)).await }
}

async fn follow(cx: &Ctx, needed: i64, until: Instant) -> Result<i64> {
    let freshness = cx.freshness();
    let mut told = freshness.through.subscribe();
    let mut through = ask(cx).await?;
    let _wait = cx.deadline().wait();
    while through < needed {
        tokio::select! {
            // The sender lives as long as the context does.
            _ = told.changed() => through = *told.borrow_and_update(),
            looked = freshness.look(cx) => looked?,
            () = cx.events().closed() => return Ok(through),
            () = tokio::time::sleep_until(until) => return Ok(through),
        }
    }
    Ok(through)
}
