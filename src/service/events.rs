//! What happened, as it happens: the corpus log, a document's coverage, a job's progress.
//!
//! Followers read the durable logs; nothing is kept for them. While somebody
//! follows, one of the followers of this process (whoever holds `looking`) asks
//! the database every 250 ms what is new and wakes the others; commits of this
//! process wake them at once. The newest entries of the corpus log are kept in one
//! ring that all followers share, so that an entry is read once however many
//! listen. A follower asks for the next event when it has told the last one: a
//! slow one costs no memory, and reads on from the database.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::capacity;
use crate::entity::corpus_log;
use crate::error::Error;
use crate::error::Result;
use crate::service::Ctx;
use crate::service::documents;
use crate::service::jobs;
use crate::store::coverage;
pub use crate::store::coverage::Coverage;
pub use crate::store::coverage::CoverageState;
pub use crate::store::jobs::JobEvent;
use crate::store::log;
pub use crate::store::log::ChangeKind;

/// How often the database is asked what is new.
const LOOK: Duration = Duration::from_millis(250);
/// The least time between two looks, however many writes there are.
const PAUSE: Duration = Duration::from_millis(25);
/// Changes of a document that are closer than this may share one event.
const SHARED: Duration = Duration::from_millis(100);
/// Entries that followers share.
const RING: usize = 4096;
/// Entries read at once.
const PAGE: usize = 500;

/// What the followers of one process share.
#[derive(Debug)]
pub struct Events {
    ring: Mutex<VecDeque<corpus_log::Model>>,
    filling: tokio::sync::Mutex<()>,
    looking: tokio::sync::Mutex<Instant>,
    followed: Mutex<HashMap<String, usize>>,
    numbers: watch::Sender<HashMap<String, i64>>,
    closing: CancellationToken,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            ring: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            looking: tokio::sync::Mutex::new(Instant::now()),
            followed: Mutex::default(),
            numbers: watch::Sender::default(),
            closing: CancellationToken::new(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Events {
    /// Tells connections that stay open that the server is stopping.
    pub fn close(&self) {
        self.closing.cancel();
    }

    /// Ends once the server is stopping.
    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// The entries after `rev`, oldest first; none when there is nothing new.
    async fn page(&self, cx: &Ctx, rev: i64) -> Result<VecDeque<corpus_log::Model>> {
        if let Some(page) = self.shared(rev) {
            return Ok(page);
        }
        let filling = self.filling.lock().await;
        if let Some(page) = self.shared(rev) {
            return Ok(page);
        }
        let tip = lock(&self.ring).back().is_none_or(|last| last.rev <= rev);
        if !tip {
            // Behind the ring: nobody waits for this reader.
            drop(filling);
        }
        // Committed before the page is read, so the page must show it.
        let seen = cx.db().seen_revision();
        let page = log::after(cx.read(), rev, PAGE as u64).await?;
        match page.first() {
            Some(first) if first.rev != rev + 1 => return Err(Error::CursorExpired),
            None if seen > rev => return Err(Error::CursorExpired),
            Some(_) | None => {}
        }
        if tip {
            let mut ring = lock(&self.ring);
            if ring.back().is_some_and(|last| last.rev < rev) {
                // Nobody followed for a while.
                ring.clear();
            }
            ring.extend(page.iter().cloned());
            let old = ring.len().saturating_sub(RING);
            ring.drain(..old);
        }
        Ok(page.into())
    }

    /// The entries after `rev` that the ring holds; `None` when it cannot tell.
    fn shared(&self, rev: i64) -> Option<VecDeque<corpus_log::Model>> {
        let ring = lock(&self.ring);
        let (first, last) = (ring.front()?.rev, ring.back()?.rev);
        if rev + 1 < first || rev >= last {
            return None;
        }
        let skip = usize::try_from(rev + 1 - first).ok()?;
        Some(ring.iter().skip(skip).take(PAGE).cloned().collect())
    }

    /// Looks, or waits until somebody else has looked. Never ends by itself before there was a look.
    async fn look(&self, cx: &Ctx) {
        let mut last = self.looking.lock().await;
        let woken = cx.db().woken();
        let followed: Vec<String> = lock(&self.followed).keys().cloned().collect();
        if followed.is_empty() {
            tokio::time::sleep_until(*last + LOOK).await;
        } else {
            // Jobs tell nobody of their events but by waking.
            let _ = tokio::time::timeout_at(*last + LOOK, woken).await;
            tokio::time::sleep_until(*last + PAUSE).await;
        }
        *last = Instant::now();
        match log::revision(cx.read()).await {
            Ok(revision) => cx.db().saw(revision),
            Err(error) => tracing::warn!(%error, "looking for changes"),
        }
        if followed.is_empty() {
            return;
        }
        match crate::store::jobs::numbers(cx.read(), &followed).await {
            Ok(found) => {
                self.numbers.send_if_modified(|numbers| {
                    let news = *numbers != found;
                    *numbers = found;
                    news
                });
            }
            Err(error) => tracing::warn!(%error, "looking for the progress of jobs"),
        }
    }
}

/// A job whose events are looked for, while this lives.
struct Followed {
    cx: Ctx,
    id: String,
}

impl Followed {
    fn new(cx: &Ctx, id: &str) -> Self {
        *lock(&cx.events().followed).entry(id.to_owned()).or_default() += 1;
        Self { cx: cx.clone(), id: id.to_owned() }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let mut followed = lock(&self.cx.events().followed);
        if let Some(count) = followed.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                followed.remove(&self.id);
            }
        }
    }
}

/// One change of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusEvent {
    /// Where to go on from, for [`corpus`].
    pub cursor: String,
    /// What happened.
    pub kind: ChangeKind,
    /// To which row.
    pub id: String,
    /// Below (or being) which document.
    pub document_id: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

impl CorpusEvent {
    /// What an entry of the log tells. Slots that moved are the engine's business.
    fn of(entry: corpus_log::Model) -> Option<Self> {
        let kind = ChangeKind::from_name(&entry.kind).filter(|kind| *kind != ChangeKind::SyncChanged)?;
        let corpus_log::Model { rev, id, document_id, at, .. } = entry;
        Some(Self { cursor: cursor(rev), kind, id, document_id, at_ms: at })
    }
}

/// The cursor behind the entry `rev` of the log.
fn cursor(rev: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("e1:{rev}"))
}

fn revision_of(cursor: &str) -> Option<i64> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let digits = text.strip_prefix("e1:")?;
    // One revision has one cursor.
    digits.parse().ok().filter(|rev: &i64| *rev >= 0 && rev.to_string() == digits)
}

/// A place in the corpus log.
struct Tail {
    cx: Ctx,
    rev: i64,
    page: VecDeque<corpus_log::Model>,
}

impl Tail {
    /// The place behind the cursor `after`, or now.
    async fn behind(cx: &Ctx, after: Option<&str>) -> Result<Self> {
        let now = log::revision(cx.read()).await?;
        let rev = match after {
            None => now,
            Some(text) => revision_of(text).filter(|rev| *rev <= now).ok_or(Error::BadCursor { field: "after" })?,
        };
        cx.db().saw(now);
        let page = cx.events().page(cx, rev).await?;
        Ok(Self { cx: cx.clone(), rev, page })
    }

    /// The next entry, once there is one. Nothing is lost when the caller stops waiting.
    async fn next(&mut self) -> Result<corpus_log::Model> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                self.rev = entry.rev;
                return Ok(entry);
            }
            let mut seen = self.cx.db().follow();
            self.page = self.cx.events().page(&self.cx, self.rev).await?;
            if !self.page.is_empty() {
                continue;
            }
            if *seen.borrow_and_update() > self.rev {
                continue;
            }
            tokio::select! {
                // The sender lives as long as the database does.
                _ = seen.changed() => {}
                () = self.cx.events().look(&self.cx) => {}
            }
        }
    }
}

/// The changes of the corpus in commit order, behind the cursor `after`, or from now on.
///
/// # Errors
/// [`Error::BadCursor`]; [`Error::CursorExpired`] when the entries behind it are gone.
/// The stream ends with the first error.
pub async fn corpus(cx: &Ctx, after: Option<&str>) -> Result<impl Stream<Item = Result<CorpusEvent>> + Send + use<>> {
    let tail = Tail::behind(cx, after).await?;
    Ok(stream::unfold(Some(tail), |tail| async {
        let mut tail = tail?;
        loop {
            let entry = match tail.next().await {
                Ok(entry) => entry,
                Err(error) => return Some((Err(error), None)),
            };
            if let Some(event) = CorpusEvent::of(entry) {
                return Some((Ok(event), Some(tail)));
            }
        }
    }))
}

/// Some changes of the corpus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In commit order.
    pub events: Vec<CorpusEvent>,
    /// Where to go on from.
    pub cursor: String,
}

/// At most `limit` changes of the corpus behind the cursor `after`, or from now on. Where there is none yet, the
/// first is waited for, at most so long.
///
/// # Errors
/// As [`corpus`].
pub async fn batch(cx: &Ctx, after: Option<&str>, limit: usize, wait: Duration) -> Result<Batch> {
    let until = Instant::now() + wait;
    let mut tail = Tail::behind(cx, after).await?;
    let mut events = Vec::new();
    while events.len() < limit {
        if tail.page.is_empty() {
            tail.page = cx.events().page(cx, tail.rev).await?;
        }
        if tail.page.is_empty() && !events.is_empty() {
            break;
        }
        let waits = tail.page.is_empty();
        let _wait = cx.deadline().wait();
        let next = async {
            tokio::select! {
                biased;
                entry = tail.next() => Some(entry),
                () = tokio::time::sleep_until(until) => None,
                () = cx.events().closed() => None,
            }
        };
        let Some(entry) = (if waits { capacity::aside(next).await } else { next.await }) else { break };
        events.extend(CorpusEvent::of(entry?));
    }
    Ok(Batch { events, cursor: cursor(tail.rev) })
}

/// A document whose coverage somebody follows.
struct Watched {
    tail: Tail,
    id: String,
    /// Events that are owed.
    owed: u32,
    told: Option<Instant>,
}

impl Watched {
    /// Waits for the next change and counts the events it calls for; changes that are
    /// closer than [`SHARED`] share one, by the log's times and by ours.
    async fn change(&mut self) -> Result<()> {
        let mut group = loop {
            let entry = self.tail.next().await?;
            if entry.document_id == self.id {
                break entry.at;
            }
        };
        self.owed = 1;
        let until = self.told.map(|told| told + SHARED);
        loop {
            let entry = match (self.tail.page.is_empty(), until) {
                (false, _) => self.tail.next().await?,
                (true, Some(until)) => match tokio::time::timeout_at(until, self.tail.next()).await {
                    Ok(entry) => entry?,
                    Err(_) => return Ok(()),
                },
                (true, None) => return Ok(()),
            };
            let apart = i64::try_from(SHARED.as_millis()).unwrap_or(i64::MAX);
            if entry.document_id == self.id && entry.at - group >= apart {
                self.owed += 1;
                group = entry.at;
            }
        }
    }

    async fn next(&mut self) -> Result<Coverage> {
        if self.owed == 0 {
            self.change().await?;
        }
        self.owed -= 1;
        self.told = Some(Instant::now());
        let cx = &self.tail.cx;
        let found = coverage::of_documents(cx.read(), cx.target_id(), &[&self.id]).await?;
        Ok(found.get(&self.id).copied().unwrap_or_default())
    }
}

/// The coverage of a document now, and again after every change of it or of its records.
///
/// # Errors
/// [`Error::NotFound`]. The stream ends with the first error.
pub async fn document(cx: &Ctx, id: &str) -> Result<impl Stream<Item = Result<Coverage>> + Send + use<>> {
    // Read before the coverage: what is committed in between is told twice rather than never.
    let rev = log::revision(cx.read()).await?;
    cx.db().saw(rev);
    let row = documents::get(cx, id).await?;
    let tail = Tail { cx: cx.clone(), rev, page: VecDeque::new() };
    let watched = Watched { tail, id: row.id, owed: 1, told: None };
    Ok(stream::unfold(Some(watched), |watched| async {
        let mut watched = watched?;
        match watched.next().await {
            Ok(coverage) => Some((Ok(coverage), Some(watched))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

/// A job whose events somebody follows.
struct Progress {
    followed: Followed,
    seq: i64,
    page: VecDeque<JobEvent>,
}

impl Progress {
    async fn next(&mut self) -> Result<JobEvent> {
        let Followed { cx, id } = &self.followed;
        let mut numbers = cx.events().numbers.subscribe();
        loop {
            if let Some(event) = self.page.pop_front() {
                self.seq = event.seq;
                return Ok(event);
            }
            self.page = jobs::events_after(cx, id, self.seq).await?.into();
            if let Some(first) = self.page.front() {
                if first.seq != self.seq + 1 {
                    return Err(Error::CursorExpired);
                }
                continue;
            }
            let job = jobs::get(cx, id).await?;
            if job.event_seq > self.seq {
                // Committed since the page was read, or gone from it: reading again tells.
                let again = jobs::events_after(cx, id, self.seq).await?;
                if again.is_empty() {
                    return Err(Error::CursorExpired);
                }
                self.page = again.into();
                continue;
            }
            loop {
                if numbers.borrow_and_update().get(id).is_some_and(|newest| *newest > self.seq) {
                    break;
                }
                tokio::select! {
                    _ = numbers.changed() => {}
                    () = cx.events().look(cx) => {}
                }
            }
        }
    }
}

/// The progress of a job: its present state and then every event, or the events after number `after`,
/// to the one that ends it.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for a number the job has not reached;
/// [`Error::CursorExpired`] when the events after it are gone. The stream ends with the first error.
pub async fn job(
    cx: &Ctx,
    id: &str,
    after: Option<i64>,
) -> Result<impl Stream<Item = Result<JobEvent>> + Send + use<>> {
    let followed = Followed::new(cx, id);
    let job = jobs::get(cx, id).await?;
    let (ended, newest) = (crate::store::jobs::state(&job).is_terminal(), job.event_seq);
    let (seq, page) = match after {
        None => {
            let at = job.finished_at.unwrap_or_else(|| cx.db().clock().now_ms());
            let now = JobEvent { seq: newest, kind: "state".to_owned(), at, message: None, job };
            (newest - 1, VecDeque::from([now]))
        }
        Some(after) if after < 0 || after > newest => {
            let sentence = format!("must be from 0 to {newest}, the number of the newest event");
            return Err(Error::invalid_value("after", sentence));
        }
        Some(after) => (after, VecDeque::new()),
    };
    // Who has seen the last event of a job that has ended has seen all.
    let over = ended && after == Some(newest);
    let start = (!over).then_some(Progress { followed, seq, page });
    Ok(stream::unfold(start, |progress| async {
        let mut progress = progress?;
        match progress.next().await {
            Ok(event) => {
                let ended = crate::store::jobs::state(&event.job).is_terminal();
                Some((Ok(event), (!ended).then_some(progress)))
            }
            Err(error) => Some((Err(error), None)),
        }
    }))
}
