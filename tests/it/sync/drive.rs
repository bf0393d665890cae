//! How a check is driven: its pauses, its pages, the place where it stands.

use corpusd::index::IndexErrorKind;
use corpusd::service::reconcile;
use corpusd::service::reconcile::Mode;
use corpusd::store::reconcile::Place;
use corpusd::sync::checks::drive::PAGE;

use super::checks::Job;
use super::turns::active;
use super::turns::named;
use super::*;

impl Lab {
    /// A record in each of so many namespaces, long at rest: a check lists one after the other.
    async fn namespaces(&self, count: usize) {
        for i in 0..count {
            let chunk = NewChunk {
                text: "Text".to_owned(),
                embeddings: vec![embedding(&format!("e{i}"), 1.0)],
                ..NewChunk::default()
            };
            let new = NewDocument {
                title: "Title".to_owned(),
                namespace: Some(format!("n{i:02}")),
                chunks: vec![chunk],
                ..NewDocument::default()
            };
            documents::create(self.test.cx(), new).await.unwrap();
        }
        self.settled().await;
    }

    async fn start_check(&self, mode: Mode) -> String {
        reconcile::start(self.test.cx(), mode, false).await.unwrap().0.id
    }

    async fn place(&self, id: &str) -> Option<Place> {
        corpusd::store::reconcile::place(&self.job(id).await)
    }

    /// Turns until a check stands there.
    async fn until(&self, id: &str, there: impl Fn(&Place) -> bool) {
        while !self.place(id).await.is_some_and(|place| there(&place)) {
            assert_eq!(self.turn().await, Turn::Worked);
        }
    }

    async fn after(&self, ms: u64) -> Turn {
        self.test.clock.advance(Duration::from_millis(ms));
        self.turn().await
    }

    /// A check that has ended: how many it compared, and how many it passed over.
    async fn compared(&self, id: &str) -> (Job, i64, i64) {
        let job = self.job(id).await;
        assert_eq!(job.state, "completed", "{job:?}");
        let report = reconcile::report(&job).unwrap();
        (job, report.checked, report.skipped)
    }
}

const fn is_inside(place: &Place) -> bool {
    matches!(place, Place::Inside { .. })
}

const fn is_between(place: &Place) -> bool {
    matches!(place, Place::Between { .. })
}

const fn is_at_rows(place: &Place) -> bool {
    matches!(place, Place::Rows { .. })
}

#[tokio::test]
async fn a_check_without_an_answer_waits_longer_each_time_and_anew_once_there_was_one() {
    let lab = Lab::new().await;
    lab.namespaces(12).await;
    let check = lab.start_check(Mode::Check).await;
    let mut longer = 0;
    for _ in 0..12 {
        lab.until(&check, is_inside).await;
        lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
        let mut pause = 0;
        for longest in [500, 1_000, 500] {
            let listed = lab.index.listed();
            assert_eq!(lab.after(pause).await, Turn::Idle);
            assert_eq!(lab.index.listed(), listed + 1, "after {pause} ms");
            assert_eq!(lab.turn().await, Turn::Idle);
            assert_eq!(lab.index.listed(), listed + 1, "it waits");
            pause = longest;
        }
        // The third pause is two seconds at most; a fifth failure in a row would open the breaker.
        let listed = lab.index.listed();
        lab.after(500).await;
        longer += usize::from(lab.index.listed() == listed);
        lab.index.fail_reads(None);
        assert_eq!(lab.after(4_000).await, Turn::Worked);
    }
    assert!(longer > 0, "no pause is longer than the first");
    lab.settle().await;
    assert_eq!(lab.compared(&check).await.1, 12);
}

#[tokio::test]
async fn a_step_that_asks_the_index_nothing_says_nothing_of_it() {
    let lab = Lab::new().await;
    lab.namespaces(1).await;
    let first = lab.start_check(Mode::Check).await;
    lab.until(&first, is_between).await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    for _ in 0..4 {
        assert_eq!(lab.after(4_000).await, Turn::Idle);
    }
    assert_eq!(lab.state().await, active());
    let second = lab.start_check(Mode::Repair).await;
    lab.until(&second, is_between).await;
    // The fifth failure in a row, whatever was read of the rows in between.
    lab.turn().await;
    assert_eq!(lab.state().await, named("unreachable", "it does not answer"));
}

#[tokio::test]
async fn of_a_check_progress_is_told_four_times_a_second_at_most() {
    for pause in [0, 250] {
        let lab = Lab::new().await;
        lab.namespaces(12).await;
        let check = lab.start_check(Mode::Check).await;
        let mut steps = 0;
        while lab.after(pause).await == Turn::Worked {
            steps += 1;
        }
        lab.compared(&check).await;
        // The first turn says that it runs, and the last that it is done.
        let told = if pause == 0 { 1 } else { steps - 2 };
        assert!(steps > 24);
        assert_eq!(lab.progress(&check).await, told, "with pauses of {pause} ms");
    }
}

#[tokio::test]
async fn a_check_waits_while_the_index_asks_for_time_or_is_paused_and_is_cancelled_meanwhile() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    lab.index.fail_next(1, Fail::RateLimited(Some(Duration::from_secs(60))));
    lab.revector("e0", 5.0).await;
    lab.settle().await;
    let check = lab.start_check(Mode::Check).await;
    lab.settle().await;
    assert!(lab.place(&check).await.is_some_and(|place| is_at_rows(&place)));
    lab.wait(Duration::from_secs(61)).await;
    lab.compared(&check).await;
    lab.index.fail_always(Some(Fail::Fault("revoked".to_owned())));
    lab.revector("e0", 6.0).await;
    lab.settle().await;
    assert_eq!(lab.state().await, named("paused", "revoked"));
    let check = lab.start_check(Mode::Check).await;
    lab.settle().await;
    assert!(lab.place(&check).await.is_some_and(|place| is_at_rows(&place)));
    assert_eq!(lab.job(&check).await.blocked_reason.as_deref(), Some("revoked"));
    lab.raw("UPDATE sync_jobs SET cancel_requested = 1").await;
    lab.turn().await;
    assert_eq!(lab.job(&check).await.state, "cancelled");
}

#[tokio::test]
async fn a_check_whose_place_cannot_be_read_fails_and_says_so() {
    let lab = Lab::new().await;
    lab.namespaces(1).await;
    let check = lab.start_check(Mode::Check).await;
    lab.raw("UPDATE sync_jobs SET place = 'nowhere'").await;
    lab.settle().await;
    let failed = lab.job(&check).await;
    assert_eq!(failed.state, "failed");
    assert!(failed.error_text.unwrap().contains("place"));
}

#[tokio::test]
async fn a_listing_whose_place_the_index_has_forgotten_begins_anew_and_compares_nothing_twice() {
    let lab = Lab::new().await;
    lab.document(PAGE * 2 + 50).await;
    lab.settled().await;
    let check = lab.start_check(Mode::Check).await;
    lab.until(&check, |place| matches!(place, Place::Inside { page: Some(_), .. })).await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    let listed = lab.index.listed();
    lab.turn().await;
    assert_eq!(lab.index.listed(), listed + 1, "no answer is no reason to begin anew");
    lab.index.fail_reads(None);
    lab.index.forget_pages();
    assert_eq!(lab.after(500).await, Turn::Worked);
    lab.settle().await;
    // Nothing differs, so that nothing is looked at twice.
    let (_, checked, skipped) = lab.compared(&check).await;
    assert_eq!((checked, skipped), (450, 0));
}

#[tokio::test]
async fn a_page_with_more_slots_than_ids_suspects_only_what_is_missing() {
    let lab = Lab::new().await;
    lab.document(PAGE + 60).await;
    lab.settled().await;
    let keys: Vec<(String, String)> = lab.index.records().into_keys().take(10).collect();
    for (namespace, id) in &keys {
        lab.index.remove(namespace, id).unwrap();
    }
    let check = lab.start_check(Mode::Check).await;
    lab.settle().await;
    assert_eq!(lab.number("SELECT count(*) FROM sync_findings WHERE NOT confirmed").await, 10);
    lab.wait(DOUBT).await;
    let (job, checked, skipped) = lab.compared(&check).await;
    assert_eq!((checked, skipped, reconcile::report(&job).unwrap().missing), (260, 0, 10));
}

#[tokio::test]
async fn what_is_written_before_the_second_look_is_passed_over() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.settled().await;
    lab.index.remove("default", "e0").unwrap();
    let check = lab.start_check(Mode::Check).await;
    lab.settle().await;
    assert!(!lab.ended(&check).await);
    lab.revector("e0", 5.0).await;
    lab.wait(DOUBT).await;
    let (job, checked, skipped) = lab.compared(&check).await;
    assert_eq!((checked, skipped, reconcile::report(&job).unwrap().missing), (2, 1, 0));
    lab.converged().await;
}
