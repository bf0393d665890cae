//! What the engine needs of the world: the rows, an index, and time.
//!
//! The index is [`VectorIndex`](crate::index::VectorIndex). A server gives the engine its database
//! ([`Database`](crate::sync::database::Database)) and its clock; a simulator gives it others, and so
//! drives the code that ships.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::entity::sync_job;
use crate::error::Result;
use crate::store::claims::Ack;
use crate::store::claims::Back;
use crate::store::claims::Claimed;
use crate::store::claims::Group;
use crate::store::claims::Refused;
use crate::store::claims::Ticket;
use crate::store::claims::Truth;
use crate::store::jobs::News;
use crate::store::jobs::Remains;
use crate::store::targets::Look;
use crate::store::targets::TargetState;
use crate::sync::checks::Checks;
use crate::sync::perform::Claim;

/// Where a job goes, from what remains of it and whether a sweep is under way: decided under the job's lock, and
/// perhaps more than once.
pub type Decision = Arc<dyn Fn(&mut sync_job::Model, Remains, bool) -> Option<News> + Send + Sync>;

/// The rows of one target. Every function is one transaction, or one statement that reads.
///
/// # Errors
/// All of them: what the database says. A write that failed may have been made all the same.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Registers a worker.
    async fn register(&self, worker: &str) -> Result<()>;

    /// Moves a worker's beat; false when it was declared dead.
    async fn beat(&self, worker: &str) -> Result<bool>;

    /// The beats of all live workers.
    async fn live_workers(&self) -> Result<Vec<(String, i64)>>;

    /// Workers that have claims and are not registered any more.
    async fn ghosts(&self) -> Result<Vec<String>>;

    /// Declares a worker dead whose beat still is `beat`, and takes its claims and jobs.
    async fn bury(&self, worker: &str, beat: i64, doubt_ms: i64) -> Result<bool>;

    /// Gives back what a worker has claimed, as of a dead one, and removes it; gives how many slots that were.
    async fn leave(&self, worker: &str, doubt_ms: i64) -> Result<u64>;

    /// Pulls in times that a clock set back has left far ahead.
    async fn clamp(&self, due_ms: i64, doubt_ms: i64) -> Result<()>;

    /// Takes the claims and jobs of every worker there ever was: for a process that is alone by a lock.
    async fn bury_all(&self, doubt_ms: i64) -> Result<()>;

    /// Whether there is anything to do.
    async fn look(&self, now_ms: i64) -> Result<Look>;

    /// Takes the turn to look at a paused target; false when somebody looked less than `every_ms` ago.
    async fn take_look(&self, every_ms: i64) -> Result<bool>;

    /// Sets the target's state and its reason.
    async fn set_state(&self, state: TargetState, reason: Option<&str>) -> Result<()>;

    /// Keeps the dimension of the first vector that was accepted.
    async fn learn_dimension(&self, dimension: i32) -> Result<()>;

    /// The corpus's own id; `fresh` becomes it when there is none.
    async fn corpus_id(&self, fresh: &str) -> Result<String>;

    /// Touches the next page of a new generation; gives how many, or nothing at its end.
    async fn sweep_page(&self) -> Result<Option<u64>>;

    /// Removes what is older than `keep_ms` and of no use.
    async fn tidy(&self, keep_ms: i64) -> Result<()>;

    /// Removes rows for good that were soft-deleted longer ago than so; gives how many. A store without rows of its
    /// own has none.
    async fn purge(&self, after: Duration) -> Result<u64> {
        let _ = after;
        Ok(0)
    }

    /// The groups that have due slots, `absent` first.
    async fn due_groups(&self, now_ms: i64) -> Result<Vec<Group>>;

    /// Claims due slots of a group; gives when, too.
    async fn claim(&self, ticket: &Ticket, want: &str, limit: u32) -> Result<(i64, Vec<Claimed>)>;

    /// Claims one slot that is clean and present; gives when, too.
    async fn claim_known(&self, ticket: &Ticket) -> Result<(i64, Option<Claimed>)>;

    /// What is true of claimed slots, with so many characters of each text.
    async fn read(&self, ticket: &Ticket, vector_ids: &[String], text_chars: i64) -> Result<Vec<Truth>>;

    /// Acknowledges slots; reports on ourselves where somebody else has taken one that was written.
    async fn acknowledge(&self, claim: &Arc<Claim>, acks: Vec<Ack>) -> Result<()>;

    /// Gives slots back of which nothing was applied.
    async fn release(&self, claim: &Arc<Claim>, slots: Vec<Back>) -> Result<()>;

    /// Gives slots back whose request may land later; reports on ourselves where a claim was lost.
    async fn doubt(&self, claim: &Arc<Claim>, slots: Vec<(Back, String)>) -> Result<()>;

    /// Quarantines a slot; reports on ourselves when its claim was lost after a deletion.
    async fn quarantine(&self, claim: &Arc<Claim>, slot: Refused) -> Result<()>;

    /// Gives back a slot that was claimed although nothing was due, as it was.
    async fn put_back(&self, ticket: &Ticket) -> Result<()>;

    /// All jobs that have not ended, oldest first.
    async fn active_jobs(&self) -> Result<Vec<sync_job::Model>>;

    /// What remains of a job.
    async fn remains(&self, job: &sync_job::Model) -> Result<Remains>;

    /// The greatest sequence number that was acknowledged in each namespace of a job's scope.
    async fn acknowledged_lsn(&self, job: &sync_job::Model) -> Result<Vec<(String, i64)>>;

    /// Moves a job on under its lock, for its owner-to-be; nothing when it stands where it stood, or has ended.
    async fn move_job(&self, id: &str, owner: &str, decide: Decision) -> Result<Option<News>>;

    /// A corpus revision that was committed: reading now sees it, or more.
    fn seen_revision(&self) -> i64;

    /// Ends when a write of this process is durable; asked for before looking at the rows.
    fn woken(&self) -> BoxFuture<'_, ()>;

    /// Wakes whoever waits for work or for news.
    fn wake(&self);

    /// The same rows for checks of the index, where this store has what they need.
    fn checks(&self) -> Option<&dyn Checks>;
}

/// Time, and the ids made from it.
pub trait Time: Send + Sync + std::fmt::Debug {
    /// Milliseconds since 1970, by a clock that may be set.
    fn now_ms(&self) -> i64;

    /// Time since some moment, by a clock that is never set.
    fn monotonic(&self) -> Duration;

    /// An id that nobody else makes.
    fn new_id(&self) -> String;

    /// Ends after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;
}

impl Time for Clock {
    fn now_ms(&self) -> i64 {
        Self::now_ms(self)
    }

    fn monotonic(&self) -> Duration {
        Self::monotonic(self)
    }

    fn new_id(&self) -> String {
        Self::new_id(self)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }
}
