//! The engine's rows, asked directly: what each function of the ports does to them, and nothing else does.

use std::collections::HashMap;

use corpusd::service::reconcile;
use corpusd::service::reconcile::Mode;
use corpusd::store::claims::Ack;
use corpusd::store::claims::Back;
use corpusd::store::claims::Refused;
use corpusd::store::jobs::JobEvent;
use corpusd::store::jobs::News;
use corpusd::store::log;
use corpusd::store::log::ChangeKind;
use corpusd::store::reconcile::Place;
use corpusd::store::reconcile::schedule::Check;
use corpusd::sync::checks::Checks as _;
use corpusd::sync::checks::Step;
use corpusd::sync::checks::Stepped;
use corpusd::sync::database::Database;
use corpusd::sync::perform::Claim;
use corpusd::sync::ports::Store as _;
use futures_util::FutureExt as _;

use super::*;

const DOUBT_MS: i64 = 120_000;

impl Lab {
    fn rows(&self) -> Database {
        Database::new(self.test.cx().db().clone(), 1)
    }

    fn now(&self) -> i64 {
        self.test.cx().db().clock().now_ms()
    }

    /// Claims what is due, as somebody else.
    async fn claim_beside(&self, want: &str) -> Arc<Claim> {
        let ticket = ticket("beside");
        let (at, claimed) = self.rows().claim(&ticket, want, 100).await.unwrap();
        assert!(!claimed.is_empty());
        let slots = claimed.into_iter().map(|slot| (slot.vector_id.clone(), slot)).collect::<HashMap<_, _>>();
        Arc::new(Claim { ticket, at, generation: 1, doubt_ms: DOUBT_MS, slots })
    }

    async fn events(&self, job: &str) -> Vec<JobEvent> {
        jobs::events_after(self.test.cx(), job, 0).await.unwrap()
    }

    /// What the log tells of slots behind a revision: kinds and ids.
    async fn told(&self, behind: i64) -> Vec<(ChangeKind, String)> {
        let entries = log::after(self.test.cx().read(), behind, 1_000).await.unwrap();
        let mut told: Vec<(ChangeKind, String)> = entries
            .into_iter()
            .map(|entry| (ChangeKind::from_name(&entry.kind).unwrap(), entry.id))
            .filter(|(kind, _)| matches!(kind, ChangeKind::EmbeddingSynced | ChangeKind::SyncChanged))
            .collect();
        told.sort_by(|a, b| a.1.cmp(&b.1));
        told
    }

    async fn revision(&self) -> i64 {
        log::revision(self.test.cx().read()).await.unwrap()
    }
}

fn ticket(token: &str) -> Ticket {
    Ticket { target_id: 1, namespace: "default".to_owned(), token: token.to_owned(), worker: token.to_owned(), rev: 0 }
}

fn ack(id: &str, sent: bool) -> Ack {
    Ack { vector_id: id.to_owned(), want_rev: 1, hash: "hash".to_owned(), lsn: None, sent }
}

#[tokio::test]
async fn a_record_that_the_index_is_known_to_take_is_claimed_and_put_back_as_it_was() {
    let lab = Lab::new().await;
    let rows = lab.rows();
    assert_eq!(rows.claim_known(&ticket("probe")).await.unwrap().1, None);
    lab.document(2).await;
    lab.converged().await;
    let before = lab.slots().await;
    let (at, known) = rows.claim_known(&ticket("probe")).await.unwrap();
    assert_eq!((at, known.unwrap().vector_id.as_str()), (lab.now(), "e0"));
    assert_eq!(lab.slot("e0").await.claim_token.as_deref(), Some("probe"));
    rows.put_back(&ticket("probe")).await.unwrap();
    let after = lab.slots().await;
    assert!(after.iter().zip(&before).all(|(a, b)| a.claim_token.is_none() && a.due_at == b.due_at));
}

#[tokio::test]
async fn a_job_is_moved_under_its_lock_by_whoever_owns_it_from_then_on() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let id = lab.start(Scope::Unsynced).await;
    let rows = lab.rows();
    assert_eq!(rows.remains(&lab.job(&id).await).await.unwrap().open, 2);
    let before = lab.job(&id).await;
    assert_eq!(rows.move_job(&id, "one", Arc::new(|_, _, _| None)).await.unwrap(), None);
    let taken = lab.job(&id).await;
    assert_eq!((taken.owner.as_deref(), taken.event_seq), (Some("one"), before.event_seq));
    let news = rows.move_job(&id, "two", Arc::new(|_, _, _| Some(News::Progress))).await.unwrap();
    assert_eq!(news, Some(News::Progress));
    let moved = lab.job(&id).await;
    assert_eq!((moved.owner.as_deref(), moved.event_seq), (Some("two"), before.event_seq + 1));
}

#[tokio::test]
async fn whoever_waits_for_work_is_woken_without_a_write_and_knows_what_was_committed() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let rows = lab.rows();
    assert_eq!(rows.seen_revision(), lab.revision().await);
    assert!(rows.seen_revision() > 0);
    let woken = lab.test.cx().db().woken();
    rows.wake();
    assert!(woken.now_or_never().is_some());
}

#[tokio::test]
async fn the_log_tells_what_reached_the_index_and_whose_slots_moved_without_it() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let at = lab.revision().await;
    lab.settle().await;
    let synced = |id: &str| (ChangeKind::EmbeddingSynced, id.to_owned());
    let changed = || (ChangeKind::SyncChanged, "d".to_owned());
    assert_eq!(lab.told(at).await, [synced("e0"), synced("e1")]);
    let at = lab.revision().await;
    embeddings::delete(lab.test.cx(), "e1").await.unwrap();
    lab.settle().await;
    assert_eq!(lab.told(at).await, [changed()]);
    lab.index.fail_next(1, Fail::Lost);
    let at = lab.revision().await;
    lab.retitle("Newer").await;
    lab.turn().await;
    assert_eq!(lab.told(at).await, [changed()]);
    lab.wait(DOUBT).await;
    lab.converged().await;
    lab.index.poison("e0");
    let at = lab.revision().await;
    lab.retitle("Newest").await;
    lab.settle().await;
    assert!(lab.slot("e0").await.quarantine.is_some());
    assert_eq!(lab.told(at).await, [changed()]);
}

#[tokio::test]
async fn whoever_lost_its_claim_reports_what_it_may_have_done() {
    let lab = Lab::new().await;
    lab.document(4).await;
    let rows = lab.rows();
    let id = lab.start(Scope::Unsynced).await;
    let claim = lab.claim_beside("present").await;
    rows.put_back(&claim.ticket).await.unwrap();
    let back = Back { vector_id: "e0".to_owned(), due_at: lab.now() + 1, why: None };
    rows.doubt(&claim, vec![(back, "hash".to_owned())]).await.unwrap();
    rows.acknowledge(&claim, vec![ack("e1", true), ack("e2", false)]).await.unwrap();
    for (id, deleted) in [("e2", false), ("e3", true)] {
        let text = String::new();
        let slot = Refused { vector_id: id.to_owned(), want_rev: 1, code: "target_rejected", text, deleted };
        rows.quarantine(&claim, slot).await.unwrap();
    }
    let until = |slot: &Slot| (slot.doubt_until, slot.due_at, slot.want_rev);
    let reported = (lab.now() + DOUBT_MS, Some(lab.now()), 2);
    let slots = lab.slots().await;
    assert_eq!([&slots[0], &slots[1], &slots[3]].map(until), [reported; 3]);
    assert_eq!((slots[2].doubt_until, slots[2].want_rev, slots[2].quarantine.clone()), (0, 1, None));
    assert_eq!(lab.job(&id).await.upserted, 0, "it was not acknowledged");
}

#[tokio::test]
async fn a_job_counts_what_was_written_for_it_and_nothing_else() {
    let lab = Lab::new().await;
    lab.document(3).await;
    let other = NewDocument {
        id: Some("x".to_owned()),
        title: "Other".to_owned(),
        chunks: vec![NewChunk {
            text: "Text".to_owned(),
            embeddings: vec![embedding("x0", 7.0)],
            ..NewChunk::default()
        }],
        ..NewDocument::default()
    };
    documents::create(lab.test.cx(), other).await.unwrap();
    let of_document = lab.start(Scope::Document("d".to_owned())).await;
    let of_all = lab.start(Scope::Unsynced).await;
    let claim = lab.claim_beside("present").await;
    let acks = vec![ack("e0", true), ack("e1", true), ack("e2", false), ack("x0", true)];
    lab.rows().acknowledge(&claim, acks).await.unwrap();
    let counts = |job: corpusd::entity::sync_job::Model| (job.upserted, job.deleted);
    assert_eq!(counts(lab.job(&of_document).await), (2, 0));
    assert_eq!(counts(lab.job(&of_all).await), (3, 0));
    lab.settle().await;
    embeddings::delete(lab.test.cx(), "e0").await.unwrap();
    embeddings::delete(lab.test.cx(), "e1").await.unwrap();
    let deleting = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    assert_eq!(counts(lab.job(&deleting).await), (0, 2));
}

#[tokio::test]
async fn what_was_edited_behind_a_claim_is_open_for_jobs_that_started_after_it() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let before = lab.start(Scope::Unsynced).await;
    let claim = lab.claim_beside("present").await;
    let epoch = claim.slots["e0"].epoch;
    assert!(epoch > 1, "{epoch}");
    lab.retitle("Newer").await;
    let after = lab.start(Scope::Document("d".to_owned())).await;
    lab.rows().acknowledge(&claim, vec![ack("e0", true)]).await.unwrap();
    assert_eq!(lab.slot("e0").await.dirty_epoch, Some(epoch));
    assert_eq!((lab.job(&before).await.upserted, lab.job(&after).await.upserted), (1, 0));
}

#[tokio::test]
async fn a_check_is_blocked_and_goes_on_once_each_time_and_ends_when_it_was_cancelled() {
    let lab = Lab::new().await;
    let rows = lab.rows();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    let block = |reason: Option<&'static str>| rows.block(&job.id, "one", reason);
    assert!(block(Some("key revoked")).await.unwrap());
    let blocked = lab.job(&job.id).await;
    assert_eq!((blocked.state.as_str(), blocked.owner.as_deref()), ("running", Some("one")));
    assert_eq!(blocked.blocked_reason.as_deref(), Some("key revoked"));
    assert!(!block(Some("key revoked")).await.unwrap());
    assert!(block(Some("another")).await.unwrap());
    lab.raw("UPDATE sync_jobs SET cancel_requested = 1").await;
    assert!(block(None).await.unwrap());
    let ended = lab.job(&job.id).await;
    assert_eq!((ended.state.as_str(), ended.finished_at), ("cancelled", Some(lab.now())));
    assert_eq!((ended.blocked_reason, ended.event_seq), (None, blocked.event_seq + 2));
    assert!(!block(None).await.unwrap());
}

#[tokio::test]
async fn a_step_of_a_check_is_written_where_the_check_stands_and_told_when_there_is_news() {
    let lab = Lab::new().await;
    let rows = lab.rows();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    let begin = corpusd::store::reconcile::place(&job).unwrap();
    let inside =
        |after: &str| Place::Inside { namespace: "default".to_owned(), after: Some(after.to_owned()), page: None };
    let step = |from: &Place, to: &str| Step {
        checked: 3,
        skipped: 2,
        ..Step::new(job.id.clone(), "one".to_owned(), from.clone(), Some(inside(to)))
    };
    let quiet = |step: Step| Step { quiet: true, ..step };
    assert_eq!(rows.step(step(&inside("z"), "a")).await.unwrap(), Stepped::Lost);
    assert_eq!(lab.job(&job.id).await, job);
    // The first step begins the job: that is told in any case.
    assert_eq!(rows.step(quiet(step(&begin, "a"))).await.unwrap(), Stepped::Told);
    let begun = lab.job(&job.id).await;
    assert_eq!((begun.state.as_str(), begun.owner.as_deref()), ("running", Some("one")));
    assert_eq!((begun.done, begun.total), (5, 5), "there are as many as were found");
    assert_eq!(rows.step(quiet(step(&inside("a"), "b"))).await.unwrap(), Stepped::Noted);
    assert_eq!(lab.job(&job.id).await.event_seq, begun.event_seq);
    assert_eq!(rows.step(step(&inside("b"), "c")).await.unwrap(), Stepped::Told);
    let message = Some("Something".to_owned());
    assert_eq!(rows.step(Step { message, ..quiet(step(&inside("c"), "d")) }).await.unwrap(), Stepped::Told);
    assert!(rows.block(&job.id, "one", Some("key revoked")).await.unwrap());
    assert_eq!(rows.step(quiet(step(&inside("d"), "e"))).await.unwrap(), Stepped::Told);
    assert_eq!(lab.job(&job.id).await.blocked_reason, None);
    let events = lab.events(&job.id).await;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["state", "state", "progress", "state", "state", "state"]);
    assert_eq!(events[3].message.as_deref(), Some("Something"));
    // All is compared, and nothing was mended.
    lab.test.clock.advance(Duration::from_secs(1));
    let last = Step { to: None, ..quiet(step(&inside("e"), "")) };
    assert_eq!(rows.step(last.clone()).await.unwrap(), Stepped::Told);
    let ended = lab.job(&job.id).await;
    assert_eq!((ended.state.as_str(), ended.visibility.as_str()), ("completed", "verified"));
    assert_eq!((ended.finished_at, ended.done, ended.total), (Some(lab.now()), 30, 30));
    let report = reconcile::report(&ended).unwrap();
    assert_eq!((report.checked, report.skipped), (18, 12));
    assert!(ended.epoch > job.epoch);
    assert_eq!(ended.epoch, lab.number("SELECT epoch FROM sync_clock").await - 1);
    assert_eq!(rows.step(last).await.unwrap(), Stepped::Lost);
}

#[tokio::test]
async fn a_step_of_a_check_that_was_cancelled_ends_it() {
    let lab = Lab::new().await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    lab.raw("UPDATE sync_jobs SET cancel_requested = 1").await;
    let place = corpusd::store::reconcile::place(&job).unwrap();
    let step = Step { checked: 3, ..Step::new(job.id.clone(), "one".to_owned(), place, None) };
    assert_eq!(lab.rows().step(step).await.unwrap(), Stepped::Told);
    let ended = lab.job(&job.id).await;
    assert_eq!((ended.state.as_str(), ended.done, ended.finished_at), ("cancelled", 0, Some(lab.now())));
    let events = lab.events(&job.id).await;
    assert_eq!(events.last().unwrap().message.as_deref(), Some("Cancelled"));
}

#[tokio::test]
async fn counts_that_differ_in_a_row_are_counted_and_a_welcome_is_kept() {
    let lab = Lab::new().await;
    let rows = lab.rows();
    let take = || async { rows.take(Check::Count, 1_000).await.unwrap() };
    assert!(!take().await, "the first comes one interval later");
    lab.test.clock.advance(Duration::from_secs(1));
    assert!(take().await && !take().await);
    let mut strikes = Vec::new();
    for differs in [true, true, false, true] {
        strikes.push(rows.strike(Check::Count, differs).await.unwrap());
    }
    assert_eq!(strikes, [1, 2, 0, 1]);
    assert_eq!(rows.welcomed().await.unwrap(), None);
    rows.welcome("corpus").await.unwrap();
    assert_eq!(rows.welcomed().await.unwrap().as_deref(), Some("corpus"));
    lab.document(1).await;
    lab.converged().await;
    assert_eq!(rows.lately(10).await.unwrap(), [("default".to_owned(), "e0".to_owned())]);
}

#[tokio::test]
async fn a_start_pulls_in_times_that_a_clock_set_back_left_far_ahead() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.raw("UPDATE sync_slots SET due_at = due_at + 86400000").await;
    lab.settle().await;
    assert!(lab.index.records().is_empty());
    lab.engine().open(false).await.unwrap();
    assert_eq!(lab.slot("e0").await.due_at, Some(lab.now() + 900_000));
}

#[tokio::test]
async fn what_a_process_had_under_way_in_an_index_that_dies_with_it_is_sent_at_once() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.claim_by_a_ghost().await;
    lab.engine().open(false).await.unwrap();
    assert!(lab.slot("e0").await.claim_token.is_some(), "others may live");
    lab.engine().open(true).await.unwrap();
    let slot = lab.slot("e0").await;
    assert_eq!((slot.claim_token, slot.doubt_until), (None, lab.now()));
    lab.converged().await;
}
