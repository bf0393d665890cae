//! Checks of the index against the rows: each difference found and mended, twice seen, resumed, scheduled.

use corpusd::index::IndexErrorKind;
use corpusd::index::VectorRecord;
use corpusd::service::reconcile;
use corpusd::service::reconcile::Class;
use corpusd::service::reconcile::Mode;
use corpusd::service::reconcile::Report;
use corpusd::store::reconcile::Place;
use corpusd::store::targets;
use corpusd::store::targets::TargetState;
use corpusd::sync::checks::drive::PAGE;

use super::*;

/// After that nothing was written a moment ago.
const SETTLED: Duration = Duration::from_secs(601);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) type Job = corpusd::entity::sync_job::Model;

impl Lab {
    /// Everything is in the index, and was for a while.
    pub(super) async fn settled(&self) {
        self.converged().await;
        self.test.clock.advance(SETTLED);
        self.settle().await;
    }

    async fn check_index(&self, mode: Mode) -> Report {
        self.check_with(mode, false).await
    }

    /// A check from its start to its end.
    pub(super) async fn check_with(&self, mode: Mode, remove_legacy: bool) -> Report {
        let (job, started) = reconcile::start(self.test.cx(), mode, remove_legacy).await.unwrap();
        assert!(started);
        self.settle().await;
        if !self.ended(&job.id).await {
            self.wait(DOUBT).await;
        }
        let job = self.job(&job.id).await;
        assert_eq!(job.state, "completed", "{job:?}");
        assert_eq!(job.done, job.total, "{job:?}");
        reconcile::report(&job).unwrap()
    }

    pub(super) async fn ended(&self, id: &str) -> bool {
        self.job(id).await.finished_at.is_some()
    }

    /// The checks that there ever were, oldest first.
    pub(super) async fn checks(&self) -> Vec<Job> {
        corpusd::entity::sync_job::Entity::find()
            .order_by_asc(corpusd::entity::sync_job::Column::CreatedAt)
            .order_by_asc(corpusd::entity::sync_job::Column::Id)
            .all(self.test.cx().read())
            .await
            .unwrap()
            .into_iter()
            .filter(|job| job.kind == "reconcile")
            .collect()
    }

    pub(super) fn record(&self, id: &str) -> VectorRecord {
        self.index.records()[&("default".to_owned(), id.to_owned())].clone()
    }

    /// Puts a record in, past the engine, with another's content.
    pub(super) fn plant(&self, id: &str, record: VectorRecord) {
        self.index.insert("default", VectorRecord { id: id.to_owned(), ..record });
    }

    async fn target(&self) -> corpusd::entity::sync_target::Model {
        targets::find(self.test.cx().read(), 1).await.unwrap().unwrap()
    }
}

fn counts(report: &Report) -> [i64; 6] {
    Class::ALL.map(|class| report.count(class))
}

/// A record that the older exporter could have left.
pub(super) fn legacy() -> VectorRecord {
    let metadata = r#"{"embedding_id":"x","chunk_id":"y","document_id":"z","text":"t"}"#.to_owned();
    VectorRecord { id: "legacy".to_owned(), values: vec![1.0, 2.0], metadata }
}

pub(super) fn foreign(id: &str) -> VectorRecord {
    VectorRecord { id: id.to_owned(), values: vec![1.0, 2.0], metadata: r#"{"of":"somebody"}"#.to_owned() }
}

/// Seven records; then one missing, two stale, one orphaned, one resurrected, one foreign, one legacy.
async fn damaged() -> Lab {
    let lab = Lab::new().await;
    lab.document(6).await;
    lab.converged().await;
    let deleted = lab.record("e5");
    embeddings::delete(lab.test.cx(), "e5").await.unwrap();
    lab.settled().await;
    lab.index.remove("default", "e0").unwrap();
    let stale = lab.record("e1");
    lab.plant("e1", VectorRecord { values: vec![9.0, 9.0], ..stale });
    let stale = lab.record("e2");
    lab.plant("e2", VectorRecord { metadata: stale.metadata.replace("\"Title\"", "\"Older\""), ..stale });
    lab.plant("orphan", lab.record("e3"));
    lab.plant("e5", deleted);
    lab.plant("foreign", foreign("foreign"));
    lab.plant("legacy", legacy());
    lab
}

#[tokio::test]
async fn a_check_finds_each_class_and_touches_nothing() {
    let lab = damaged().await;
    let (before, slots) = (lab.index.records(), lab.slots().await);
    let calls = lab.index.calls().len();
    let report = lab.check_index(Mode::Check).await;
    assert_eq!(counts(&report), [1, 2, 1, 1, 1, 1]);
    assert_eq!((report.checked, report.skipped, report.repaired), (9, 0, 0));
    assert_eq!((lab.index.records(), lab.index.calls().len()), (before, calls));
    assert_eq!(lab.slots().await, slots);
}

#[tokio::test]
async fn a_repair_mends_each_class_but_what_others_wrote() {
    let lab = damaged().await;
    let report = lab.check_index(Mode::Repair).await;
    assert_eq!(counts(&report), [1, 2, 1, 1, 1, 1]);
    assert_eq!(report.repaired, 5);
    assert_eq!(lab.index.remove("default", "foreign"), Some(foreign("foreign")));
    assert_eq!(lab.index.remove("default", "legacy"), Some(legacy()));
    lab.converged().await;
    lab.test.clock.advance(SETTLED);
    assert_eq!(counts(&lab.check_index(Mode::Check).await), [0; 6]);
}

#[tokio::test]
async fn legacy_records_go_only_when_somebody_asks_for_it() {
    let lab = damaged().await;
    let report = lab.check_with(Mode::Repair, true).await;
    assert_eq!((report.legacy, report.repaired), (1, 6));
    assert_eq!(lab.index.remove("default", "legacy"), None);
    assert_eq!(lab.index.remove("default", "foreign"), Some(foreign("foreign")));
    lab.converged().await;
}

#[tokio::test]
async fn f33_foreign_records_are_told_and_never_deleted() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    for id in ["a", "e0x", "z"] {
        lab.plant(id, foreign(id));
        lab.index.insert("elsewhere", foreign(id));
    }
    // Also under an id that was ours once.
    embeddings::delete(lab.test.cx(), "e1").await.unwrap();
    lab.settle().await;
    lab.plant("e1", foreign("e1"));
    lab.test.clock.advance(SETTLED);
    let report = lab.check_with(Mode::Repair, true).await;
    assert_eq!(counts(&report), [0, 0, 0, 0, 7, 0]);
    assert_eq!((report.repaired, report.differences()), (0, 0));
    assert_eq!(lab.index.records().len(), 8);
}

#[tokio::test]
async fn f32_a_stale_listing_causes_no_repair() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.converged().await;
    // Reads are behind: one record is not there yet, one still is, one is as it was.
    lab.index.remove("default", "e0");
    lab.index.freeze_reads(true);
    lab.plant("e0", {
        lab.revector("e0", 5.0).await;
        lab.revector("e1", 6.0).await;
        embeddings::delete(lab.test.cx(), "e2").await.unwrap();
        lab.settle().await;
        lab.record("e0")
    });
    lab.test.clock.advance(SETTLED);
    let slots = lab.slots().await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    assert!(!lab.ended(&job.id).await, "what differs is looked at once more");
    lab.index.freeze_reads(false);
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    assert_eq!(job.state, "completed");
    let report = reconcile::report(&job).unwrap();
    assert_eq!((counts(&report), report.repaired), ([0; 6], 0));
    assert_eq!(lab.slots().await, slots);
}

#[tokio::test]
async fn a_difference_counts_when_it_was_seen_twice_a_doubt_window_apart() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    lab.index.remove("default", "e0").unwrap();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    lab.wait(Duration::from_secs(119)).await;
    let found = reconcile::report(&lab.job(&job.id).await).unwrap();
    assert_eq!((found.missing, found.repaired, lab.index.records().len()), (0, 0, 0));
    lab.wait(Duration::from_secs(2)).await;
    let found = reconcile::report(&lab.job(&job.id).await).unwrap();
    assert_eq!((found.missing, found.repaired), (1, 1));
    lab.converged().await;
}

#[tokio::test]
async fn what_changes_between_the_two_looks_is_another_finding() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    let there = lab.record("e0");
    lab.index.remove("default", "e0").unwrap();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    lab.plant("e0", VectorRecord { values: vec![7.0, 7.0], ..there });
    let window = Duration::from_secs(120);
    lab.wait(window).await;
    assert!(!lab.ended(&job.id).await, "it is stale now, seen once");
    lab.wait(window).await;
    let report = reconcile::report(&lab.job(&job.id).await).unwrap();
    assert_eq!(counts(&report), [0, 1, 0, 0, 0, 0]);
    lab.converged().await;
}

#[tokio::test]
async fn records_on_their_way_and_those_written_a_moment_ago_are_passed_over() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.settled().await;
    lab.revector("e0", 8.0).await;
    lab.settle().await;
    lab.index.remove("default", "e0").unwrap();
    let report = lab.check_index(Mode::Repair).await;
    assert_eq!((counts(&report), report.checked, report.skipped), ([0; 6], 2, 1));
    // Ten minutes later it is seen.
    lab.test.clock.advance(SETTLED);
    assert_eq!(lab.check_index(Mode::Repair).await.missing, 1);
    lab.converged().await;
}

#[tokio::test]
async fn f14_a_late_write_of_a_worker_that_died_is_found_by_the_daily_check() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    let old = lab.record("e0");
    lab.revector("e0", 4.0).await;
    lab.settled().await;
    // The write that a suspended process had passed its fence for lands now, and nobody knows of it.
    lab.plant("e0", old);
    lab.test.clock.advance(DAY);
    lab.settle().await;
    lab.wait(DOUBT).await;
    let checks = lab.checks().await;
    assert_eq!(checks.len(), 1);
    assert_eq!(reconcile::report(&checks[0]).unwrap().stale, 1);
    lab.converged().await;
}

#[tokio::test]
async fn f31_an_index_that_was_wiped_is_filled_again_after_the_third_count() {
    let lab = Lab::new().await;
    lab.document(5).await;
    lab.settled().await;
    for i in 0..5 {
        lab.index.remove("default", &format!("e{i}")).unwrap();
    }
    for counted in 1..=3 {
        assert_eq!(lab.checks().await.len(), 0, "before count {counted}");
        lab.test.clock.advance(Duration::from_secs(900));
        lab.settle().await;
    }
    assert_eq!(lab.checks().await.len(), 1);
    lab.wait(DOUBT).await;
    let report = reconcile::report(&lab.checks().await[0]).unwrap();
    assert_eq!((report.missing, report.repaired), (5, 5));
    lab.converged().await;
    // From now on the counts agree.
    for _ in 0..4 {
        lab.test.clock.advance(Duration::from_secs(900));
        lab.settle().await;
    }
    assert_eq!(lab.checks().await.len(), 1);
}

#[tokio::test]
async fn records_that_a_check_knows_as_foreign_are_no_difference_of_a_count() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    lab.plant("f", foreign("f"));
    assert_eq!(lab.check_index(Mode::Check).await.foreign, 1);
    for _ in 0..4 {
        lab.test.clock.advance(Duration::from_secs(900));
        lab.settle().await;
    }
    assert_eq!(lab.checks().await.len(), 1);
}

#[tokio::test]
async fn a_row_that_another_program_wrote_comes_to_the_index_and_one_it_removed_leaves() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.settled().await;
    lab.raw(
        "INSERT INTO embeddings (id, chunk_id, document_id, vector_id, held, dimension, created_at, updated_at, vector) \
         SELECT 'adopted', chunk_id, document_id, 'adopted', FALSE, dimension, created_at, updated_at, vector \
         FROM embeddings WHERE id = 'e0'",
    )
    .await;
    lab.raw("DELETE FROM embeddings WHERE id = 'e1'").await;
    lab.raw("UPDATE embeddings SET vector_id = 'moved' WHERE id = 'e2'").await;
    lab.test.clock.advance(Duration::from_secs(3_600));
    while lab.engine().turn().await.unwrap() == Turn::Worked {}
    let ids: Vec<String> = lab.index.records().into_keys().map(|(_, id)| id).collect();
    assert_eq!(ids, ["adopted", "e0", "moved"]);
    lab.converged().await;
}

#[tokio::test]
async fn content_that_another_program_changed_is_found_by_a_full_check() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    lab.raw("UPDATE chunks SET text = 'Rewritten' WHERE id = 'c1'").await;
    let report = lab.check_index(Mode::Repair).await;
    assert_eq!(counts(&report), [0, 1, 0, 0, 0, 0]);
    lab.converged().await;
}

#[tokio::test]
async fn a_stale_record_whose_rows_would_be_refused_is_taken_out_and_quarantined() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    lab.raw("UPDATE embeddings SET vector = (SELECT x.vector FROM (SELECT e.vector FROM embeddings e WHERE e.id = 'e0') x), dimension = 2 WHERE id = 'e1'").await;
    let zero = if lab.test.cx().db().kind() == "sqlite" {
        "UPDATE embeddings SET vector = zeroblob(8) WHERE id = 'e1'"
    } else {
        "UPDATE embeddings SET vector = '\\x0000000000000000' WHERE id = 'e1'"
    };
    lab.raw(zero).await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    assert_eq!((job.state.as_str(), job.failed), ("completed_with_errors", 1));
    assert_eq!(lab.slot("e1").await.quarantine.as_deref(), Some("vector_zero"));
    assert_eq!(lab.first_number("e1"), None);
}

#[tokio::test]
async fn a_check_goes_on_where_it_stood_when_its_worker_dies() {
    let lab = Lab::new().await;
    lab.document(PAGE * 3 + 50).await;
    lab.settled().await;
    lab.index.remove("default", "e7").unwrap();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    let engine = lab.second();
    let inside =
        |job: &Job| matches!(corpusd::store::reconcile::place(job), Some(Place::Inside { after: Some(_), .. }));
    while !inside(&lab.job(&job.id).await) {
        assert_eq!(engine.turn().await.unwrap(), Turn::Worked);
    }
    let before = reconcile::report(&lab.job(&job.id).await).unwrap();
    assert!(before.checked >= 200 && before.checked < 650, "{before:?}");
    // It is never heard of again; another one has seen its beat, and sees it stand still.
    lab.wait(Duration::from_secs(5)).await;
    assert_eq!(reconcile::report(&lab.job(&job.id).await).unwrap(), before);
    lab.test.clock.advance(Duration::from_secs(31));
    lab.settle().await;
    lab.wait(DOUBT).await;
    let job = lab.job(&job.id).await;
    let report = reconcile::report(&job).unwrap();
    assert_eq!((job.state.as_str(), report.checked, report.missing), ("completed", 650, 1));
    lab.converged().await;
}

#[tokio::test]
async fn five_thousand_records_are_compared_in_pages_that_stay_small() {
    let lab = Lab::new().await;
    for document in 0..5 {
        let chunks = (0..1_000).map(|i| NewChunk {
            text: format!("Text {i}"),
            embeddings: vec![embedding(&format!("e{document}-{i}"), number(i))],
            ..NewChunk::default()
        });
        let new = NewDocument { title: "Title".to_owned(), chunks: chunks.collect(), ..NewDocument::default() };
        documents::create(lab.test.cx(), new).await.unwrap();
    }
    lab.test.sync_until_idle().await;
    lab.test.clock.advance(SETTLED);
    lab.test.sync_until_idle().await;
    lab.index.remove("default", "e3-500").unwrap();
    let listed = lab.index.listed();
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    lab.test.sync_until_idle().await;
    let report = reconcile::report(&lab.job(&job.id).await).unwrap();
    assert_eq!((report.checked, report.skipped), (5_000, 0));
    // The page that has a slot more than ids comes twice.
    assert_eq!(lab.index.listed() - listed, 4_999_usize.div_ceil(PAGE) + 1);
    assert!(lab.index.fetched() <= 100, "{}", lab.index.fetched());
}

#[tokio::test]
async fn an_index_that_has_lost_much_is_compared_without_skipping_anything() {
    let lab = Lab::new().await;
    lab.document(PAGE * 2 + 10).await;
    lab.settled().await;
    // Nearly all slots of the first pages are without a record, and ids without a slot lie between them.
    for i in 0..PAGE * 2 {
        lab.index.remove("default", &format!("e{i}")).unwrap();
    }
    for id in ["a", "e1x", "e99x", "zz"] {
        lab.plant(id, foreign(id));
    }
    let report = lab.check_index(Mode::Repair).await;
    assert_eq!(counts(&report), [400, 0, 0, 0, 4, 0]);
    assert_eq!((report.checked, report.repaired), (414, 400));
}

#[tokio::test]
async fn a_check_says_why_it_waits_and_goes_on_by_itself() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    lab.wait(Duration::from_secs(30)).await;
    let waiting = lab.job(&job.id).await;
    assert_eq!(waiting.blocked_reason.as_deref(), Some("it does not answer"));
    assert_eq!((waiting.state.as_str(), lab.target().await.state.as_str()), ("running", "unreachable"));
    lab.index.fail_reads(None);
    lab.wait(Duration::from_secs(400)).await;
    let done = lab.job(&job.id).await;
    assert_eq!((done.state.as_str(), done.blocked_reason), ("completed", None));
}

#[tokio::test]
async fn an_index_that_refuses_to_be_read_ends_the_check_and_a_fault_pauses_the_target() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    lab.index.fail_reads(Some(IndexErrorKind::Rejected));
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    lab.settle().await;
    let failed = lab.job(&job.id).await;
    assert_eq!(failed.state, "failed");
    assert!(failed.error_text.unwrap().contains("refused to be read"));
    lab.index.fail_reads(Some(IndexErrorKind::TargetFault));
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Check, false).await.unwrap();
    lab.settle().await;
    lab.settle().await;
    assert_eq!(lab.target().await.state, "paused");
    assert_eq!(lab.job(&job.id).await.blocked_reason.as_deref(), Some("it does not answer"));
}

#[tokio::test]
async fn a_check_is_cancelled_at_once_and_mends_nothing_afterwards() {
    let lab = damaged().await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    let cancelled = jobs::cancel(lab.test.cx(), &job.id).await.unwrap();
    assert_eq!(cancelled.state, "cancelled");
    let calls = lab.index.calls().len();
    lab.wait(DOUBT).await;
    assert_eq!(lab.index.calls().len(), calls);
    assert_eq!(reconcile::report(&lab.job(&job.id).await).unwrap().repaired, 0);
    // Another one begins anew.
    assert_eq!(lab.check_index(Mode::Repair).await.repaired, 5);
}

#[tokio::test]
async fn a_second_start_of_the_same_kind_gives_the_running_check() {
    let lab = Lab::new().await;
    let cx = lab.test.cx();
    let (first, started) = reconcile::start(cx, Mode::Check, false).await.unwrap();
    let (again, twice) = reconcile::start(cx, Mode::Check, false).await.unwrap();
    let (other, too) = reconcile::start(cx, Mode::Repair, false).await.unwrap();
    assert_eq!((started, twice, too), (true, false, true));
    assert!(first.id == again.id && first.id != other.id);
    lab.settle().await;
    assert!(lab.ended(&first.id).await && lab.ended(&other.id).await);
}

#[tokio::test]
async fn events_of_a_check_are_dense_and_carry_what_was_found_by_then() {
    let lab = damaged().await;
    let (job, _) = reconcile::start(lab.test.cx(), Mode::Repair, false).await.unwrap();
    lab.settle().await;
    lab.wait(DOUBT).await;
    let events = jobs::events_after(lab.test.cx(), &job.id, 0).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=lab.job(&job.id).await.event_seq).collect::<Vec<i64>>());
    assert!(events.iter().any(|event| event.message.as_deref().is_some_and(|text| text.contains("once more, 120 s"))));
    let found: Vec<i64> = events.iter().map(|event| reconcile::report(&event.job).unwrap().missing).collect();
    assert!(found.is_sorted() && found.first() == Some(&0) && found.last() == Some(&1), "{found:?}");
    let mut states: Vec<String> = events.into_iter().map(|event| event.job.state).collect();
    states.dedup();
    assert_eq!(states, ["queued", "running", "verifying", "completed"]);
}

#[tokio::test]
async fn of_several_processes_one_takes_each_scheduled_check() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    let others = [lab.second(), lab.second()];
    for engine in &others {
        while engine.turn().await.unwrap() == Turn::Worked {}
    }
    for _ in 0..3 {
        lab.test.clock.advance(DAY);
        for engine in others.iter().chain([lab.engine()]) {
            while engine.turn().await.unwrap() == Turn::Worked {}
        }
        // The one that took it may have been buried by another whose clock leapt as far.
        lab.settle().await;
    }
    let checks = lab.checks().await;
    assert_eq!(checks.len(), 3, "{checks:?}");
    assert!(checks.iter().all(|job| job.state == "completed"));
}

#[tokio::test]
async fn an_interval_of_zero_turns_a_check_off() {
    let index = MemoryIndex::default();
    let lab = Lab::with(index, |sync| {
        sync.reconcile.full = Duration::ZERO;
        sync.reconcile.count = Duration::ZERO;
        sync.reconcile.rows = Duration::ZERO;
    })
    .await;
    lab.document(2).await;
    lab.settled().await;
    lab.index.remove("default", "e0").unwrap();
    for _ in 0..3 {
        lab.test.clock.advance(DAY);
        lab.settle().await;
    }
    assert_eq!(lab.checks().await.len(), 0);
    assert_eq!(lab.number("SELECT count(*) FROM sync_checks").await, 0);
}

#[tokio::test]
async fn quarantined_records_are_tried_again_on_request() {
    let lab = Lab::new().await;
    lab.index.poison("e0");
    lab.index.poison("e2");
    lab.document(4).await;
    lab.settle().await;
    let quarantined = || async {
        let slots = lab.slots().await;
        slots.into_iter().filter(|slot| slot.quarantine.is_some()).map(|slot| slot.vector_id).collect::<Vec<_>>()
    };
    assert_eq!(quarantined().await, ["e0", "e2"]);
    let retry = |ids: Option<Vec<String>>| reconcile::retry_quarantined(lab.test.cx(), ids);
    assert_eq!(retry(Some(vec!["e1".to_owned()])).await.unwrap(), 0);
    assert_eq!(retry(Some(vec!["e0".to_owned(), "unknown".to_owned()])).await.unwrap(), 1);
    lab.settle().await;
    assert_eq!(quarantined().await, ["e0", "e2"], "it is refused again");
    lab.index.cure();
    assert_eq!(retry(None).await.unwrap(), 2);
    lab.converged().await;
    assert!(quarantined().await.is_empty());
}

#[tokio::test]
async fn an_index_of_another_corpus_is_not_written_to_until_somebody_says_so() {
    let index = MemoryIndex::default();
    let theirs = VectorRecord {
        id: "theirs".to_owned(),
        values: vec![1.0, 2.0],
        metadata: r#"{"_cd_corpus":"another","_cd_rev":1}"#.to_owned(),
    };
    index.insert("default", theirs.clone());
    let lab = Lab::over(index).await;
    lab.document(2).await;
    lab.wait(Duration::from_secs(200)).await;
    let target = lab.target().await;
    assert_eq!(target.state, "paused");
    let reason = target.reason.unwrap();
    assert!(reason.contains("another corpus (another)") && reason.contains("corpusd sync rebase"), "{reason}");
    assert!(lab.index.calls().is_empty());
    // The rows can still be changed and read.
    lab.retitle("Newer").await;
    let job = reconcile::rebase(lab.test.cx()).await.unwrap();
    lab.wait(DOUBT).await;
    assert_eq!(lab.job(&job.id).await.state, "completed");
    assert_eq!(lab.index.remove("default", "theirs"), Some(theirs.clone()));
    lab.converged().await;
    // It was said once: another start finds nothing odd in it.
    lab.index.insert("default", theirs);
    let restarted = lab.second();
    lab.retitle("Newest").await;
    while restarted.turn().await.unwrap() == Turn::Worked {}
    assert_eq!(lab.target().await.state, "active");
}

#[tokio::test]
async fn another_corpus_that_writes_over_our_records_is_noticed_at_a_start() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    // A listing begins with others.
    for i in 0..30 {
        let id = format!("a{i}");
        lab.plant(&id, foreign(&id));
    }
    lab.plant("e0", VectorRecord { metadata: r#"{"_cd_corpus":"another"}"#.to_owned(), ..lab.record("e0") });
    let restarted = lab.second();
    while restarted.turn().await.unwrap() == Turn::Worked {}
    assert_eq!(lab.target().await.state, "paused");
}

#[tokio::test]
async fn a_start_waits_for_an_index_that_does_not_answer_before_it_writes() {
    let index = MemoryIndex::default();
    index.fail_reads(Some(IndexErrorKind::NotApplied));
    let lab = Lab::over(index).await;
    lab.document(1).await;
    lab.wait(Duration::from_secs(30)).await;
    assert!(lab.index.calls().is_empty());
    assert_eq!(lab.target().await.state, "unreachable");
    lab.index.fail_reads(None);
    lab.wait(Duration::from_secs(400)).await;
    lab.converged().await;
    assert_eq!(TargetState::from_name(&lab.target().await.state), Some(TargetState::Active));
}
