//! Where a job goes next: pure decisions from what remains of it (sync.md section 6).

use std::time::Duration;

use crate::entity::sync_job::Model;
use crate::service::jobs::recount;
use crate::store::jobs;
use crate::store::jobs::JobState;
use crate::store::jobs::News;
use crate::store::jobs::Remains;

/// How long a job waits for its records to become visible.
pub const VISIBLE_WITHIN: Duration = Duration::from_secs(600);

/// Whether queries of the index see what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// They do.
    Yes,
    /// Not yet.
    NotYet,
    /// The index does not say.
    Unknown,
}

/// What a decision is made from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What remains.
    pub remains: Remains,
    /// Why the target takes nothing now.
    pub blocked: Option<String>,
    /// A new generation is being touched: nothing is complete.
    pub sweeping: bool,
    /// When somebody looked: only while verifying.
    pub visible: Option<Visible>,
    /// How long it is verifying, as far as this worker knows.
    pub verified_for: Duration,
    /// Milliseconds since 1970.
    pub now: i64,
}

/// Moves `job` on; gives what kind of news that is, or nothing when it stands where it stood.
pub fn advance(job: &mut Model, facts: &Facts) -> Option<News> {
    let before = job.clone();
    recount(job, facts.remains);
    let open = facts.remains.open > 0 || facts.sweeping;
    let next = if job.cancel_requested != 0 {
        if facts.remains.in_flight == 0 { JobState::Cancelled } else { jobs::state(job) }
    } else if open && job.deadline_at.is_some_and(|deadline| facts.now >= deadline) {
        job.error_text = Some("The deadline is over".to_owned());
        JobState::Failed
    } else if open {
        if !facts.sweeping && facts.remains.open == facts.remains.in_doubt {
            JobState::Settling
        } else {
            JobState::Running
        }
    } else {
        verify(job, facts)
    };
    job.blocked_reason = if open && !next.is_terminal() { facts.blocked.clone() } else { None };
    next.name().clone_into(&mut job.state);
    if next.is_terminal() {
        job.finished_at = Some(facts.now);
    }
    if before == *job {
        None
    } else if before.state == job.state
        && before.blocked_reason == job.blocked_reason
        && before.visibility == job.visibility
    {
        Some(News::Progress)
    } else {
        Some(News::State)
    }
}

fn verify(job: &mut Model, facts: &Facts) -> JobState {
    let visibility = match facts.visible {
        // Nothing was asked for: nothing has to show.
        None if job.total == 0 => "verified",
        None => return JobState::Verifying,
        Some(Visible::Yes) => "verified",
        Some(Visible::Unknown) => "unknown",
        Some(Visible::NotYet) if facts.verified_for >= VISIBLE_WITHIN => "timeout",
        Some(Visible::NotYet) => return JobState::Verifying,
    };
    visibility.clone_into(&mut job.visibility);
    if job.failed > 0 { JobState::CompletedWithErrors } else { JobState::Completed }
}

/// Whether the index shows what was acknowledged in one namespace.
#[must_use]
pub const fn shows(acknowledged: i64, visible: Option<i64>) -> Visible {
    match visible {
        None => Visible::Unknown,
        Some(visible) if visible >= acknowledged => Visible::Yes,
        Some(_) => Visible::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Model {
        Model { total: 3, ..jobs::new("j".to_owned(), "unsynced".to_owned(), 1, 1, 0) }
    }

    fn facts(open: i64, in_doubt: i64) -> Facts {
        Facts {
            remains: Remains { open, in_doubt, ..Remains::default() },
            blocked: None,
            sweeping: false,
            visible: None,
            verified_for: Duration::ZERO,
            now: 1_000,
        }
    }

    #[test]
    fn a_job_runs_settles_verifies_and_completes() {
        let mut job = job();
        assert_eq!(advance(&mut job, &facts(3, 0)), Some(News::State));
        assert_eq!(job.state, "running");
        assert_eq!(advance(&mut job, &facts(3, 0)), None);
        assert_eq!(advance(&mut job, &facts(2, 1)), Some(News::Progress));
        assert_eq!((job.done, job.total), (1, 3));
        advance(&mut job, &facts(1, 1));
        assert_eq!(job.state, "settling");
        advance(&mut job, &facts(0, 0));
        assert_eq!((job.state.as_str(), job.done), ("verifying", 3));
        let mut seen = facts(0, 0);
        seen.visible = Some(Visible::NotYet);
        assert_eq!(advance(&mut job, &seen), None);
        seen.visible = Some(Visible::Yes);
        assert_eq!(advance(&mut job, &seen), Some(News::State));
        assert_eq!((job.state.as_str(), job.visibility.as_str()), ("completed", "verified"));
    }

    #[test]
    fn counters_never_fall_and_total_grows_when_a_doubt_reopens() {
        let mut job = job();
        advance(&mut job, &facts(1, 0));
        advance(&mut job, &facts(4, 0));
        assert_eq!((job.done, job.total), (2, 4));
    }

    #[test]
    fn a_refused_record_ends_the_job_with_errors_and_ten_minutes_end_the_wait() {
        let mut job = job();
        let mut late = facts(0, 0);
        late.remains.quarantined = 1;
        late.visible = Some(Visible::NotYet);
        late.verified_for = VISIBLE_WITHIN;
        advance(&mut job, &late);
        assert_eq!((job.state.as_str(), job.visibility.as_str(), job.failed), ("completed_with_errors", "timeout", 1));
    }

    #[test]
    fn a_cancelled_job_waits_for_what_is_being_sent() {
        let mut job = job();
        job.cancel_requested = 1;
        let mut sending = facts(3, 0);
        sending.remains.in_flight = 1;
        advance(&mut job, &sending);
        assert_eq!(job.state, "queued");
        advance(&mut job, &facts(1, 0));
        assert_eq!((job.state.as_str(), job.done), ("cancelled", 2));
    }

    #[test]
    fn a_paused_target_blocks_a_job_and_a_sweep_keeps_it_open() {
        let mut job = job();
        let mut paused = facts(2, 0);
        paused.blocked = Some("key revoked".to_owned());
        assert_eq!(advance(&mut job, &paused), Some(News::State));
        assert_eq!(job.blocked_reason.as_deref(), Some("key revoked"));
        let mut sweep = facts(0, 0);
        sweep.sweeping = true;
        advance(&mut job, &sweep);
        assert_eq!((job.state.as_str(), job.blocked_reason.as_deref()), ("running", None));
    }

    #[test]
    fn a_deadline_ends_a_job_that_is_still_open() {
        let mut job = Model { deadline_at: Some(1_001), ..job() };
        let mut open = facts(2, 0);
        open.blocked = Some("key revoked".to_owned());
        advance(&mut job, &open);
        assert_eq!((job.state.as_str(), job.error_text.as_deref(), job.finished_at), ("running", None, None));
        assert_eq!(job.blocked_reason.as_deref(), Some("key revoked"));
        open.now = 1_001;
        assert_eq!(
            advance(&mut job.clone(), &Facts { remains: Remains::default(), ..open.clone() }),
            Some(News::State)
        );
        advance(&mut job, &open);
        assert_eq!((job.state.as_str(), job.error_text.as_deref()), ("failed", Some("The deadline is over")));
        assert_eq!((job.finished_at, job.blocked_reason), (Some(1_001), None));
    }

    #[test]
    fn a_job_without_records_is_complete_at_once_and_another_waits_until_they_show() {
        let mut empty = Model { total: 0, ..job() };
        let mut done = facts(0, 0);
        done.blocked = Some("key revoked".to_owned());
        advance(&mut empty, &done);
        assert_eq!((empty.state.as_str(), empty.visibility.as_str()), ("completed", "verified"));
        assert_eq!(empty.blocked_reason, None);
        let mut one = Model { total: 1, ..job() };
        advance(&mut one, &done);
        assert_eq!((one.state.as_str(), one.blocked_reason.as_deref()), ("verifying", None));
        let mut waiting = facts(0, 0);
        waiting.visible = Some(Visible::NotYet);
        waiting.verified_for = VISIBLE_WITHIN - Duration::from_millis(1);
        assert_eq!(advance(&mut one, &waiting), None);
        assert_eq!(one.finished_at, None);
        waiting.verified_for = VISIBLE_WITHIN;
        assert_eq!(advance(&mut one, &waiting), Some(News::State));
        assert_eq!((one.visibility.as_str(), one.finished_at), ("timeout", Some(1_000)));
    }
}
