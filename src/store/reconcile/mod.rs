//! What a check of the index against the rows reads and writes (sync.md section 7).
//!
//! [`pages`] reads slots with the rows that their records are made of, [`findings`]
//! keeps what was seen, [`repair`] makes slots due again, [`sweep`] compares slots
//! with rows, [`schedule`] says whose turn a check is. The check itself is a job:
//! its report and its place are columns of `sync_jobs`.

pub mod findings;
pub mod pages;
pub mod repair;
pub mod schedule;
pub mod sweep;

use sea_orm::DbErr;
use serde::Deserialize;
use serde::Serialize;

use crate::entity::sync_job;
use crate::store::Tx;
use crate::store::jobs;

/// The kind of these jobs in the database.
pub const KIND: &str = "reconcile";

/// What a check does with what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Tells it.
    #[default]
    Check,
    /// Mends it.
    Repair,
}

impl Mode {
    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Repair => "repair",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Check, Self::Repair].into_iter().find(|mode| mode.name() == name)
    }
}

/// How a record and its rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Should be in the index, and is not.
    Missing,
    /// In the index, and not what the rows would send now.
    Stale,
    /// In the index with this corpus's mark, and no slot knows it.
    Orphaned,
    /// In the index with this corpus's mark, and was deleted from it.
    Resurrected,
    /// In the index, and nobody here wrote it.
    Foreign,
    /// In the index with an older exporter's keys, and without any mark.
    Legacy,
}

impl Class {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::Missing, Self::Stale, Self::Orphaned, Self::Resurrected, Self::Foreign, Self::Legacy];

    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Orphaned => "orphaned",
            Self::Resurrected => "resurrected",
            Self::Foreign => "foreign",
            Self::Legacy => "legacy",
        }
    }

    /// The class of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// What a check found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// What it does with findings.
    pub mode: Mode,
    /// Whether legacy records are deleted, too.
    pub remove_legacy: bool,
    /// Records and slots that were compared.
    pub checked: i64,
    /// Those that were passed over: on their way to the index, or written to it a moment ago.
    pub skipped: i64,
    /// See [`Class::Missing`].
    pub missing: i64,
    /// See [`Class::Stale`].
    pub stale: i64,
    /// See [`Class::Orphaned`].
    pub orphaned: i64,
    /// See [`Class::Resurrected`].
    pub resurrected: i64,
    /// See [`Class::Foreign`].
    pub foreign: i64,
    /// See [`Class::Legacy`].
    pub legacy: i64,
    /// Findings whose repair was begun.
    pub repaired: i64,
}

impl Report {
    /// How many of a class were found.
    #[must_use]
    pub const fn count(&self, class: Class) -> i64 {
        match class {
            Class::Missing => self.missing,
            Class::Stale => self.stale,
            Class::Orphaned => self.orphaned,
            Class::Resurrected => self.resurrected,
            Class::Foreign => self.foreign,
            Class::Legacy => self.legacy,
        }
    }

    /// Counts findings of a class.
    pub const fn add(&mut self, class: Class, count: i64) {
        let counter = match class {
            Class::Missing => &mut self.missing,
            Class::Stale => &mut self.stale,
            Class::Orphaned => &mut self.orphaned,
            Class::Resurrected => &mut self.resurrected,
            Class::Foreign => &mut self.foreign,
            Class::Legacy => &mut self.legacy,
        };
        *counter += count;
    }

    /// Whether the mode of this check mends findings of a class. What others wrote is never touched.
    #[must_use]
    pub const fn mends(&self, class: Class) -> bool {
        match (self.mode, class) {
            (Mode::Check, _) | (Mode::Repair, Class::Foreign) => false,
            (Mode::Repair, Class::Legacy) => self.remove_legacy,
            (Mode::Repair, Class::Missing | Class::Stale | Class::Orphaned | Class::Resurrected) => true,
        }
    }

    /// How many findings say that the index is not what the rows say. Foreign records are somebody else's.
    #[must_use]
    pub const fn differences(&self) -> i64 {
        self.missing + self.stale + self.orphaned + self.resurrected + self.legacy
    }
}

/// Where a check stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Place {
    /// Comparing slots with rows, behind this place.
    Rows {
        /// Where the sweep stands.
        sweep: sweep::Place,
    },
    /// Between two namespaces.
    Between {
        /// The namespace that is done.
        done: Option<String>,
    },
    /// In a namespace.
    Inside {
        /// Its name.
        namespace: String,
        /// The id that was compared last.
        after: Option<String>,
        /// What the index gave to go on with: the page in which `after` is, or the next one.
        page: Option<String>,
    },
    /// Looking once more at what was found.
    Suspects {
        /// The finding that was looked at last, in this round.
        after: Option<(String, String)>,
    },
    /// What was mended is on its way to the index: from here on the job goes where every job goes.
    Settling,
}

impl Place {
    /// The beginning.
    #[must_use]
    pub const fn start() -> Self {
        Self::Rows { sweep: sweep::Place::START }
    }
}

/// What a job found so far; nothing for exports.
#[must_use]
pub fn report(job: &sync_job::Model) -> Option<Report> {
    serde_json::from_str(job.report.as_deref()?).ok()
}

/// Where a check stands; nothing for exports, and for what cannot be read.
#[must_use]
pub fn place(job: &sync_job::Model) -> Option<Place> {
    serde_json::from_str(job.place.as_deref()?).ok()
}

/// Whether a job still compares: its counters are not those of slots that remain.
#[must_use]
pub fn compares(job: &sync_job::Model) -> bool {
    job.kind == KIND && place(job) != Some(Place::Settling)
}

/// Puts a report and a place into a job's row.
///
/// # Errors
/// None that values of ours can cause.
pub fn set(job: &mut sync_job::Model, report: &Report, place: &Place) -> Result<(), DbErr> {
    let text = |error: serde_json::Error| DbErr::Json(error.to_string());
    job.report = Some(serde_json::to_string(report).map_err(text)?);
    job.place = Some(serde_json::to_string(place).map_err(text)?);
    Ok(())
}

/// A check that somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What it does with findings.
    pub mode: Mode,
    /// Whether legacy records are deleted, too.
    pub remove_legacy: bool,
    /// Whether it follows a new generation: then no other check stands for it.
    pub rebase: bool,
    /// How many slots there are to compare, as far as is known: counted outside the transaction.
    pub total: i64,
}

impl Request {
    /// What comes by itself.
    pub const REPAIR: Self = Self { mode: Mode::Repair, remove_legacy: false, rebase: false, total: 0 };

    /// One running check a key.
    const fn key(self) -> &'static str {
        match (self.mode, self.remove_legacy, self.rebase) {
            (_, _, true) => jobs::REBASE,
            (Mode::Check, _, false) => "reconcile:check",
            (Mode::Repair, false, false) => "reconcile:repair",
            (Mode::Repair, true, false) => "reconcile:repair:legacy",
        }
    }
}

/// Starts a check, or gives the running one of the same kind. True when it was started.
///
/// # Errors
/// What the database says.
pub async fn begin(tx: &Tx, target_id: i64, id: String, request: Request) -> Result<(sync_job::Model, bool), DbErr> {
    // Behind the epoch's lock, of two starts at one time the second finds the first.
    let epoch = jobs::next_epoch(tx).await? - 1;
    if let Some(job) = jobs::find_active(tx, target_id, request.key()).await? {
        return Ok((job, false));
    }
    let mut job = jobs::new(id, request.key().to_owned(), target_id, epoch, tx.now_ms());
    KIND.clone_into(&mut job.kind);
    job.total = request.total;
    let report = Report { mode: request.mode, remove_legacy: request.remove_legacy, ..Report::default() };
    set(&mut job, &report, &Place::start())?;
    jobs::insert(tx, &mut job).await?;
    Ok((job, true))
}

/// Makes a running check begin anew: what it compared so far was compared with something else.
///
/// # Errors
/// What the database says.
pub async fn start_over(tx: &Tx, job: &mut sync_job::Model) -> Result<(), DbErr> {
    let Some(mut locked) = jobs::lock(tx, &job.id).await?.filter(|job| !jobs::state(job).is_terminal()) else {
        return Ok(());
    };
    let report = report(&locked).unwrap_or_default();
    set(&mut locked, &report, &Place::start())?;
    // Whoever asks for it again takes back that somebody cancelled it.
    locked.cancel_requested = 0;
    jobs::save(tx, &locked).await?;
    *job = locked;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_never_mended_and_legacy_only_on_request() {
        let mut report = Report { mode: Mode::Repair, ..Report::default() };
        assert_eq!(Class::ALL.map(|class| report.mends(class)), [true, true, true, true, false, false]);
        report.remove_legacy = true;
        assert_eq!(Class::ALL.map(|class| report.mends(class)), [true, true, true, true, false, true]);
        report.mode = Mode::Check;
        assert_eq!(Class::ALL.map(|class| report.mends(class)), [false; 6]);
    }

    #[test]
    fn every_place_reads_back() {
        for place in [
            Place::start(),
            Place::Between { done: None },
            Place::Inside { namespace: String::new(), after: Some("a".to_owned()), page: None },
            Place::Suspects { after: Some(("n".to_owned(), "a".to_owned())) },
            Place::Settling,
        ] {
            let text = serde_json::to_string(&place).unwrap();
            assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), place, "{text}");
        }
    }
}
