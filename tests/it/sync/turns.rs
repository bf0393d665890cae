//! What a turn of the engine does and leaves: claims, pauses, the state of the target, jobs of others.

use corpusd::index::IndexErrorKind;
use corpusd::index::IndexLimits;
use corpusd::service::reconcile;
use corpusd::service::reconcile::Mode;
use corpusd::store::targets;
use futures_util::FutureExt as _;

use super::*;

impl Lab {
    /// The target's state, and why.
    pub(super) async fn state(&self) -> (String, Option<String>) {
        let target = targets::find(self.test.cx().read(), 1).await.unwrap().unwrap();
        (target.state, target.reason)
    }

    pub(super) async fn progress(&self, job: &str) -> usize {
        let events = jobs::events_after(self.test.cx(), job, 0).await.unwrap();
        events.iter().filter(|event| event.kind == "progress").count()
    }
}

pub(super) fn named(state: &str, reason: &str) -> (String, Option<String>) {
    (state.to_owned(), Some(reason.to_owned()))
}

pub(super) fn active() -> (String, Option<String>) {
    ("active".to_owned(), None)
}

/// Five failures in a row.
pub(super) async fn unreachable() -> Lab {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.index.fail_always(Some(Fail::NotApplied));
    while lab.state().await == active() {
        lab.wait(Duration::from_secs(5)).await;
    }
    lab
}

#[tokio::test]
async fn a_turn_that_was_dropped_in_the_middle_leaves_no_claim_behind() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.index.hold();
    tokio::select! {
        turn = lab.engine().turn() => panic!("{turn:?}"),
        () = lab.index.held() => {}
    }
    lab.index.resume();
    lab.settle().await;
    assert_eq!(lab.slot("e0").await.claim_token, None);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn a_target_out_of_reach_is_tried_with_one_record_and_is_back_with_its_first_answer() {
    let lab = unreachable().await;
    assert_eq!(lab.state().await, named("unreachable", "no connection"));
    // What was said first stays.
    lab.index.fail_always(Some(Fail::RateLimited(None)));
    let calls = lab.index.calls().len();
    lab.wait(Duration::from_secs(60)).await;
    assert!(lab.index.calls().len() > calls);
    assert_eq!(lab.state().await, named("unreachable", "no connection"));
    assert_eq!(lab.index.calls().last().unwrap().ids().len(), 1);
    lab.index.fail_always(None);
    lab.wait(Duration::from_secs(120)).await;
    assert_eq!(lab.state().await, active());
    lab.converged().await;
}

#[tokio::test]
async fn a_target_out_of_reach_is_asked_once_a_minute_when_nothing_is_due() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    while lab.state().await == active() {
        lab.wait(Duration::from_secs(5)).await;
    }
    jobs::cancel(lab.test.cx(), &job.id).await.unwrap();
    lab.wait(Duration::from_secs(400)).await;
    assert_eq!(lab.state().await.0, "unreachable");
    lab.index.fail_reads(None);
    lab.wait(Duration::from_secs(400)).await;
    assert_eq!(lab.state().await, active());
}

#[tokio::test]
async fn a_paused_target_stays_so_until_it_takes_something() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.index.fail_always(Some(Fail::Fault("revoked".to_owned())));
    lab.settle().await;
    assert_eq!(lab.state().await, named("paused", "revoked"));
    lab.index.fail_always(Some(Fail::RateLimited(None)));
    let calls = lab.index.calls().len();
    lab.wait(2 * PAUSE).await;
    assert!(lab.index.calls().len() > calls, "it was tried");
    assert_eq!(lab.state().await, named("paused", "revoked"));
}

#[tokio::test]
async fn what_was_claimed_and_not_sent_to_a_target_at_fault_is_free_again() {
    let lab = Lab::new().await;
    lab.document(40).await;
    // Vectors so large that sixteen are read at one time.
    lab.raw("UPDATE sync_targets SET dimension = 100000").await;
    lab.index.fail_always(Some(Fail::Fault("revoked".to_owned())));
    lab.turn().await;
    assert_eq!(lab.index.calls().len(), 1);
    let slots = lab.slots().await;
    assert!(
        slots.iter().all(|slot| slot.claim_token.is_none() && slot.due_at == Some(lab.test.cx().db().clock().now_ms()))
    );
}

#[tokio::test]
async fn an_index_in_this_process_that_was_emptied_takes_another_dimension() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    lab.delete(Delete::Hard).await;
    lab.converged().await;
    let chunk = NewChunk {
        text: "Text".to_owned(),
        embeddings: vec![NewEmbedding {
            id: Some("w".to_owned()),
            vector: vec![1.0, 2.0, 3.0],
            ..NewEmbedding::default()
        }],
        ..NewChunk::default()
    };
    let wide = NewDocument {
        id: Some("w0".to_owned()),
        title: "Wide".to_owned(),
        chunks: vec![chunk],
        ..NewDocument::default()
    };
    documents::create(lab.test.cx(), wide).await.unwrap();
    lab.converged().await;
    assert_eq!(lab.slot("w").await.quarantine, None);
    assert_eq!(lab.index.records().len(), 1);
}

#[tokio::test]
async fn namespaces_are_served_in_turn() {
    let lab = Lab::with(MemoryIndex::default(), |sync| sync.claim_size = 1).await;
    for namespace in ["one", "two"] {
        let chunk = |i: usize| NewChunk {
            text: format!("Text {i}"),
            embeddings: vec![embedding(&format!("{namespace}-{i}"), number(i))],
            ..NewChunk::default()
        };
        let new = NewDocument {
            title: namespace.to_owned(),
            namespace: Some(namespace.to_owned()),
            chunks: (0..3).map(chunk).collect(),
            ..NewDocument::default()
        };
        documents::create(lab.test.cx(), new).await.unwrap();
    }
    lab.converged().await;
    let order: Vec<bool> = lab.index.calls().iter().map(|call| call.ids()[0].starts_with("one")).collect();
    assert_eq!(order.len(), 6);
    assert!(order.windows(2).all(|pair| pair[0] != pair[1]), "{order:?}");
}

#[tokio::test]
async fn of_a_job_progress_is_told_four_times_a_second_at_most() {
    for (pause, least, most) in [(0, 0, 1), (300, 3, 6)] {
        let lab = Lab::with(MemoryIndex::default(), |sync| sync.claim_size = 2).await;
        lab.document(12).await;
        let job = lab.start(Scope::Unsynced).await;
        while lab.turn().await == Turn::Worked {
            lab.test.clock.advance(Duration::from_millis(pause));
        }
        assert_eq!(lab.job(&job).await.state, "completed");
        let progress = lab.progress(&job).await;
        assert!((least..=most).contains(&progress), "{progress} with pauses of {pause} ms");
    }
}

#[tokio::test]
async fn a_job_without_records_ends_at_once_and_whoever_follows_it_is_woken() {
    let lab = Lab::new().await;
    let job = lab.start(Scope::Unsynced).await;
    let woken = lab.test.cx().db().woken();
    lab.turn().await;
    let done = lab.job(&job).await;
    assert_eq!((done.state.as_str(), done.visibility.as_str()), ("completed", "verified"));
    assert!(woken.now_or_never().is_some());
    let (check, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    let woken = lab.test.cx().db().woken();
    lab.turn().await;
    assert_eq!(lab.job(&check.id).await.state, "running");
    assert!(woken.now_or_never().is_some());
    lab.index.fail_reads(Some(IndexErrorKind::Rejected));
    while lab.job(&check.id).await.state == "running" {
        let woken = lab.test.cx().db().woken();
        assert_eq!(lab.turn().await, Turn::Worked);
        let ended = lab.job(&check.id).await.state == "failed";
        assert!(!ended || woken.now_or_never().is_some());
    }
    assert_eq!(lab.job(&check.id).await.state, "failed");
}

#[tokio::test]
async fn of_a_job_whose_records_were_all_refused_nothing_is_known_to_show() {
    let lab = Lab::new().await;
    lab.index.poison("e0");
    lab.document(2).await;
    lab.settle().await;
    lab.retitle("Newer").await;
    let job = lab.start(Scope::Embeddings(vec!["e0".to_owned()])).await;
    lab.settle().await;
    let done = lab.job(&job).await;
    assert_eq!((done.state.as_str(), done.visibility.as_str()), ("completed_with_errors", "unknown"));
}

#[tokio::test]
async fn the_job_of_another_worker_that_lives_is_left_to_it() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.index.fail_always(Some(Fail::RateLimited(Some(Duration::from_secs(60)))));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    let before = lab.job(&job).await;
    assert!(before.owner.is_some());
    let second = lab.second();
    lab.index.fail_always(None);
    while second.turn().await.unwrap() == Turn::Worked {}
    assert_eq!(lab.job(&job).await, before);
    lab.settle().await;
    assert_eq!(lab.job(&job).await.owner, before.owner);
}

#[tokio::test]
async fn a_record_that_is_never_the_same_is_passed_over_after_five_looks() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.converged().await;
    lab.test.clock.advance(Duration::from_secs(601));
    lab.settle().await;
    let there = lab.index.remove("default", "e0").unwrap();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    for look in 2..=5 {
        assert_eq!(lab.job(&job.id).await.finished_at, None, "before look {look}");
        if look % 2 == 0 {
            let values = vec![7.0, 7.0];
            lab.index.insert("default", corpusd::index::VectorRecord { values, ..there.clone() });
        } else {
            lab.index.remove("default", "e0").unwrap();
        }
        lab.wait(DOUBT).await;
    }
    let done = lab.job(&job.id).await;
    assert_eq!(done.state, "completed");
    let report = reconcile::report(&done).unwrap();
    assert_eq!((report.checked, report.skipped, report.repaired), (2, 1, 0));
}

#[tokio::test]
async fn rows_are_read_in_pages_that_shrink_with_the_length_of_vectors() {
    let limits = IndexLimits { upsert_records: 10_000, upsert_bytes: 100_000_000, ..MemoryIndex::default().limits() };
    let lab = Lab::with(MemoryIndex::new(limits), |sync| sync.claim_size = 850).await;
    lab.document(850).await;
    let sizes = async || {
        let before = lab.index.calls().len();
        lab.retitle(&format!("Title behind {before}")).await;
        lab.turn().await;
        lab.index.calls()[before..].iter().map(|call| call.ids().len()).collect::<Vec<usize>>()
    };
    // As long as no vector is known they may be long.
    assert_eq!(sizes().await, [195, 195, 195, 195, 70]);
    lab.raw("UPDATE sync_targets SET dimension = 226").await;
    assert_eq!(sizes().await, [800, 50]);
    lab.raw("UPDATE sync_targets SET dimension = 100000").await;
    assert_eq!(sizes().await[..2], [16, 16]);
}

#[tokio::test]
async fn a_worker_that_lives_keeps_its_name_and_beats() {
    let lab = Lab::new().await;
    lab.settle().await;
    let workers = async || workers::live(lab.test.cx().read()).await.unwrap();
    let before = workers().await;
    lab.wait(Duration::from_secs(60)).await;
    let after = workers().await;
    assert_eq!((after.len(), &after[0].0), (1, &before[0].0));
    assert!(after[0].1 >= before[0].1 + 10, "{before:?} {after:?}");
}

#[tokio::test]
async fn two_jobs_that_end_in_one_turn_are_told_as_one_is() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    let jobs = [lab.start(Scope::Unsynced).await, lab.start(Scope::Document("d".to_owned())).await];
    let woken = lab.test.cx().db().woken();
    assert_eq!(lab.turn().await, Turn::Worked);
    assert!(woken.now_or_never().is_some());
    for job in jobs {
        assert_eq!(lab.job(&job).await.state, "completed");
    }
}

#[tokio::test]
async fn a_job_gives_queries_their_time_from_when_all_is_acknowledged() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.index.show_until(Some(0));
    lab.index.fail_always(Some(Fail::RateLimited(Some(Duration::from_secs(700)))));
    let job = lab.start(Scope::Unsynced).await;
    lab.wait(Duration::from_secs(690)).await;
    assert_eq!(lab.job(&job).await.state, "running");
    lab.index.fail_always(None);
    lab.wait(Duration::from_secs(20)).await;
    assert_eq!(lab.job(&job).await.state, "verifying");
    lab.wait(Duration::from_secs(60)).await;
    assert_eq!(lab.job(&job).await.state, "verifying");
    lab.index.show_until(None);
    lab.wait(Duration::from_secs(10)).await;
    assert_eq!(lab.job(&job).await.visibility, "verified");
}
