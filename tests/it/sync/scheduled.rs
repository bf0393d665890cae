//! Checks that come by themselves, and what is looked at before the first write.

use corpusd::index::IndexErrorKind;
use corpusd::index::VectorRecord;
use corpusd::service::reconcile::Mode;
use corpusd::sync::ports::Store as _;

use super::checks::foreign;
use super::checks::legacy;
use super::turns::active;
use super::turns::named;
use super::turns::unreachable;
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// The index is counted every minute; nothing else comes by itself.
async fn counted(embeddings: usize) -> Lab {
    let lab = Lab::with(MemoryIndex::default(), |sync| {
        sync.reconcile.count = MINUTE;
        sync.reconcile.rows = Duration::ZERO;
        sync.reconcile.full = Duration::ZERO;
    })
    .await;
    lab.document(embeddings).await;
    lab.converged().await;
    lab
}

fn theirs(id: &str, corpus: &str) -> VectorRecord {
    let metadata = format!(r#"{{"_cd_corpus":"{corpus}","_cd_rev":1}}"#);
    VectorRecord { id: id.to_owned(), values: vec![1.0, 2.0], metadata }
}

impl Lab {
    async fn pass(&self, time: Duration) {
        self.test.clock.advance(time);
        self.settle().await;
    }
}

#[tokio::test]
async fn each_check_comes_by_its_own_interval() {
    let lab = Lab::with(MemoryIndex::default(), |sync| {
        sync.reconcile.count = MINUTE;
        sync.reconcile.rows = Duration::ZERO;
        sync.reconcile.full = 5 * MINUTE;
    })
    .await;
    lab.document(1).await;
    lab.converged().await;
    for minute in 1..=5 {
        assert_eq!(lab.checks().await.len(), 0, "before minute {minute}");
        lab.pass(MINUTE).await;
    }
    assert_eq!(lab.checks().await.len(), 1);
}

#[tokio::test]
async fn an_index_that_is_paused_is_not_counted() {
    let lab = counted(2).await;
    lab.index.remove("default", "e1").unwrap();
    lab.index.fail_always(Some(Fail::Fault("revoked".to_owned())));
    lab.revector("e0", 5.0).await;
    lab.settle().await;
    for _ in 0..5 {
        assert_eq!(lab.state().await, named("paused", "revoked"));
        lab.pass(MINUTE).await;
    }
    assert_eq!(lab.checks().await.len(), 0);
}

#[tokio::test]
async fn an_index_that_tells_no_counts_is_out_of_reach_after_five() {
    let lab = counted(1).await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    for _ in 0..5 {
        lab.pass(MINUTE).await;
        assert_eq!(lab.state().await, active());
    }
    lab.pass(Duration::from_secs(10)).await;
    assert_eq!(lab.state().await, named("unreachable", "it does not answer"));
}

#[tokio::test]
async fn after_a_check_that_counts_asked_for_it_takes_as_many_again() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    let lose = || lab.index.remove("default", "e0").unwrap();
    let quarter = Duration::from_secs(900);
    let there = lose();
    for _ in 0..3 {
        lab.pass(quarter).await;
    }
    lab.wait(DOUBT).await;
    assert_eq!(lab.checks().await[0].state, "completed");
    lose();
    lab.pass(quarter).await;
    assert_eq!(lab.checks().await.len(), 1);
    lab.index.insert("default", there);
}

#[tokio::test]
async fn a_legacy_record_that_was_removed_is_counted_no_more() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settled().await;
    lab.index.insert("default", legacy());
    assert_eq!(lab.check_with(Mode::Repair, true).await.repaired, 1);
    for _ in 0..4 {
        lab.pass(Duration::from_secs(900)).await;
    }
    assert_eq!(lab.checks().await.len(), 1);
}

#[tokio::test]
async fn a_start_without_an_answer_leaves_a_target_out_of_reach() {
    let lab = unreachable().await;
    lab.index.fail_reads(Some(IndexErrorKind::NotApplied));
    assert_eq!(lab.second().turn().await.unwrap(), Turn::Idle);
    assert_eq!(lab.state().await, named("unreachable", "no connection"));
}

#[tokio::test]
async fn an_index_that_was_found_to_be_ours_stays_so_whatever_others_put_there() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    lab.delete(Delete::Hard).await;
    lab.converged().await;
    lab.index.insert("default", theirs("theirs", "another"));
    let restarted = lab.second();
    lab.document(1).await;
    while restarted.turn().await.unwrap() == Turn::Worked {}
    assert_eq!(lab.state().await, active());
    lab.index.remove("default", "theirs").unwrap();
    lab.converged().await;
}

#[tokio::test]
async fn a_start_looks_into_the_four_largest_namespaces_and_names_whose_records_are_there() {
    let index = MemoryIndex::default();
    for namespace in ["a", "b", "c", "d"] {
        index.insert(namespace, foreign("f"));
    }
    let corpus = "x".repeat(70);
    for id in ["one", "two"] {
        index.insert("z", theirs(id, &corpus));
    }
    let lab = Lab::over(index).await;
    lab.document(1).await;
    lab.turn().await;
    let (state, reason) = lab.state().await;
    assert_eq!(state, "paused");
    assert!(reason.unwrap().contains(&format!("({})", &corpus[..64])));
    assert_eq!(lab.index.listed(), 4);
}

#[tokio::test]
async fn after_a_pause_it_is_asked_anew_whose_records_are_there() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.converged().await;
    lab.index.fail_always(Some(Fail::Fault("revoked".to_owned())));
    lab.retitle("Newer").await;
    lab.settle().await;
    assert_eq!(lab.state().await, named("paused", "revoked"));
    // Whoever mended it has put another index in its place.
    lab.index.insert("default", theirs("e0", "another"));
    lab.index.fail_always(None);
    lab.wait(PAUSE).await;
    assert!(lab.state().await.1.unwrap().contains("another corpus"));
    assert_eq!(lab.index.remove("default", "e0"), Some(theirs("e0", "another")));
}

#[tokio::test]
async fn an_index_that_outlives_the_process_keeps_its_doubts_and_the_length_of_its_vectors() {
    let lab = Lab::over(MemoryIndex::default().remote()).await;
    lab.document(1).await;
    lab.claim_by_a_ghost().await;
    lab.engine().open(true).await.unwrap();
    assert_eq!(lab.slot("e0").await.doubt_until, lab.test.cx().db().clock().now_ms() + 120_000);
    lab.wait(DOUBT).await;
    lab.converged().await;
    let calls = lab.index.calls().len();
    let longer = EmbeddingPatch { vector: Patch::Set(vec![1.0, 2.0, 3.0]), ..EmbeddingPatch::default() };
    embeddings::update(lab.test.cx(), "e0", longer).await.unwrap();
    lab.settle().await;
    assert!(lab.slot("e0").await.quarantine.is_some());
    let sent = lab.index.calls();
    assert!(sent[calls..].iter().all(|call| matches!(call, Call::Delete(..))), "{sent:?}");
}

#[tokio::test]
async fn a_claim_whose_worker_has_no_row_is_found_and_sent_again() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.claim_by_a_ghost().await;
    lab.raw("DELETE FROM sync_workers").await;
    let rows = corpusd::sync::database::Database::new(lab.test.cx().db().clone(), 1);
    assert_eq!(rows.ghosts().await.unwrap(), ["ghost"]);
    lab.wait(Duration::from_secs(40)).await;
    assert!(rows.ghosts().await.unwrap().is_empty());
    lab.wait(DOUBT).await;
    lab.converged().await;
}
