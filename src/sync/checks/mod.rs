//! Checks of the index against the rows: what they need of the rows, and what a step of one writes down.
//!
//! [`drive`] moves the jobs that somebody asked for, [`schedule`] the checks that come
//! by themselves, [`welcome`] looks whose records an index holds before anything is
//! written to it. Their decisions are in [`reconcile`](crate::sync::reconcile).

pub mod database;
pub mod drive;
pub mod schedule;
pub mod welcome;

use std::collections::HashMap;

use async_trait::async_trait;

use crate::error::Result;
use crate::store::reconcile::Place;
use crate::store::reconcile::findings::Seen;
use crate::store::reconcile::findings::Suspect;
use crate::store::reconcile::pages::Compared;
use crate::store::reconcile::repair::Known;
use crate::store::reconcile::schedule::Check;
use crate::store::reconcile::sweep;

/// One step of a check, to be written down in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The job.
    pub job_id: String,
    /// The worker that drives it.
    pub worker: String,
    /// Where the job must stand: else somebody else has taken this step.
    pub from: Place,
    /// Where it goes on; nothing when all is compared.
    pub to: Option<Place>,
    /// What was compared.
    pub checked: i64,
    /// What was passed over.
    pub skipped: i64,
    /// Seen, and to be looked at once more.
    pub suspects: Vec<Seen>,
    /// Seen as often as it takes.
    pub confirmed: Vec<Seen>,
    /// Suspects that are none.
    pub cleared: Vec<Seen>,
    /// Whether an event may be left out, because one was just told.
    pub quiet: bool,
    /// One sentence for whoever follows the job.
    pub message: Option<String>,
}

impl Step {
    /// A step in which nothing was found.
    #[must_use]
    pub const fn new(job_id: String, worker: String, from: Place, to: Option<Place>) -> Self {
        Self {
            job_id,
            worker,
            from,
            to,
            checked: 0,
            skipped: 0,
            suspects: Vec::new(),
            confirmed: Vec::new(),
            cleared: Vec::new(),
            quiet: false,
            message: None,
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// It was written down, and told.
    Told,
    /// It was written down; the next event tells.
    Noted,
    /// The job has ended, or somebody else has taken the step.
    Lost,
}

/// The rows, as checks of one target need them. Every function is one transaction, or statements that read.
///
/// # Errors
/// All of them: what the database says.
#[async_trait]
pub trait Checks: Send + Sync + std::fmt::Debug {
    /// The next page of the inner sweep.
    async fn sweep_page(&self, place: &sweep::Place) -> Result<sweep::Page>;

    /// Touches embeddings of a document whose slots are not what their rows say.
    async fn sweep_touch(&self, document_id: &str, embedding_ids: &[String]) -> Result<()>;

    /// The next namespace by name in which the target has slots.
    async fn next_namespace(&self, after: Option<&str>) -> Result<Option<String>>;

    /// Slots of a namespace with their rows, in a range of ids.
    async fn between(
        &self,
        namespace: &str,
        range: (Option<&str>, Option<&str>),
        limit: usize,
        text_chars: i64,
    ) -> Result<Vec<Compared>>;

    /// Slots of these ids with their rows.
    async fn these(&self, namespace: &str, ids: &[&str], text_chars: i64) -> Result<Vec<Compared>>;

    /// Findings of a job that were seen once, behind `after` and before `before_ms`.
    async fn suspects(
        &self,
        job_id: &str,
        after: Option<&(String, String)>,
        before_ms: i64,
        limit: usize,
    ) -> Result<Vec<Suspect>>;

    /// When the oldest of them was seen.
    async fn oldest_suspect(&self, job_id: &str) -> Result<Option<i64>>;

    /// Writes a step down, and mends what it confirmed where the job is to.
    async fn step(&self, step: Step) -> Result<Stepped>;

    /// Says why a job waits, or that it waits no longer; false when that was said already.
    async fn block(&self, job_id: &str, worker: &str, reason: Option<&str>) -> Result<bool>;

    /// Ends a job that cannot go on.
    async fn fail(&self, job_id: &str, reason: &str) -> Result<()>;

    /// When each scheduled check was taken last.
    async fn taken(&self) -> Result<Vec<(Check, i64)>>;

    /// Takes a scheduled check; false when it is not due, or somebody else has it.
    async fn take(&self, check: Check, every_ms: i64) -> Result<bool>;

    /// Counts how often in a row a check saw a difference.
    async fn strike(&self, check: Check, differs: bool) -> Result<i64>;

    /// How many records each namespace should hold.
    async fn expected(&self) -> Result<Vec<(String, i64)>>;

    /// How many records that are none of ours each namespace holds, as far as the last check found.
    async fn strangers(&self) -> Result<HashMap<String, i64>>;

    /// Starts a check that mends what it finds, unless one is running.
    async fn begin(&self) -> Result<()>;

    /// The corpus that the index was found to belong to.
    async fn welcomed(&self) -> Result<Option<String>>;

    /// Notes it.
    async fn welcome(&self, corpus: &str) -> Result<()>;

    /// Keys of records that were acknowledged lately.
    async fn lately(&self, limit: u64) -> Result<Vec<(String, String)>>;

    /// What is known of these slots.
    async fn known(&self, namespace: &str, ids: &[&str]) -> Result<Vec<Known>>;
}
