//! Requests that fail, workers that vanish, records that no target takes.

use corpusd::error::Code;
use corpusd::index::IndexLimits;
use corpusd::json::Json;
use corpusd::store::workers;
use serde_json::json;

use super::*;

#[tokio::test]
async fn what_is_wanted_reaches_the_index_and_what_is_deleted_leaves_it() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 3);
    lab.delete(Delete::Soft).await;
    lab.converged().await;
    assert!(lab.index.records().is_empty());
    documents::restore(lab.test.cx(), "d").await.unwrap();
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 3);
}

#[tokio::test]
async fn f1_a_worker_that_dies_after_its_claim_is_buried_and_its_slots_are_sent() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.claim_by_a_ghost().await;
    lab.wait(Duration::from_secs(29)).await;
    assert!(lab.index.calls().is_empty());
    lab.wait(Duration::from_secs(10)).await;
    assert_eq!(lab.index.calls().len(), 1);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f2_f4_a_request_that_was_applied_but_never_acknowledged_is_sent_again() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.vanish().await;
    for call in lab.index.calls() {
        if let Call::Upsert(namespace, records) = call {
            records.into_iter().for_each(|record| lab.index.insert(&namespace, record));
        }
    }
    lab.wait(Duration::from_secs(40)).await;
    assert_eq!(lab.index.calls().len(), 2);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f3_a_request_that_was_never_applied_is_sent_again() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.vanish().await;
    assert!(lab.index.records().is_empty());
    lab.wait(Duration::from_secs(40)).await;
    assert_eq!(lab.index.records().len(), 2);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f8_a_deletion_is_asserted_again_after_a_late_upsert_and_the_job_waits_for_it() {
    let lab = Lab::over(MemoryIndex::failing([(1, Fail::Late)])).await;
    lab.document(1).await;
    lab.settle().await;
    lab.delete(Delete::Soft).await;
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    assert_eq!(lab.job(&job).await.state, "settling");
    lab.index.land();
    assert_eq!(lab.index.records().len(), 1);
    lab.wait(DOUBT).await;
    assert_eq!(lab.job(&job).await.state, "completed");
    lab.converged().await;
}

#[tokio::test]
async fn f9_a_newer_version_is_asserted_again_after_an_older_one_lands() {
    let lab = Lab::over(MemoryIndex::failing([(1, Fail::Late)])).await;
    lab.document(1).await;
    lab.settle().await;
    lab.retitle("Newer").await;
    lab.settle().await;
    assert_eq!(lab.titles(), ["Newer"]);
    lab.index.land();
    assert_eq!(lab.titles(), ["Title"]);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f10_a_doubt_that_an_equal_payload_put_to_rest_wakes_when_the_content_changes() {
    let lab = Lab::over(MemoryIndex::failing([(1, Fail::Late)])).await;
    lab.document(1).await;
    lab.settle().await;
    lab.wait(Duration::from_secs(5)).await;
    assert!(lab.slot("e0").await.due_at.is_none(), "the same payload was acknowledged");
    lab.retitle("Newer").await;
    lab.settle().await;
    lab.index.land();
    assert_eq!(lab.titles(), ["Title"]);
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f12_a_worker_that_was_declared_dead_sends_no_more_and_registers_anew() {
    let limits = IndexLimits { upsert_records: 1, ..MemoryIndex::default().limits() };
    let lab = Lab::over(MemoryIndex::new(limits)).await;
    lab.document(6).await;
    let late = lab.second();
    lab.index.hold();
    let (turn, ()) = tokio::join!(late.turn(), async {
        while lab.index.calls().len() < 4 {
            tokio::task::yield_now().await;
        }
        let (id, beat) = workers::live(lab.test.cx().read()).await.unwrap().remove(0);
        lab.write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                assert!(workers::bury(tx, &id, beat, 120_000).await?);
                Ok(())
            })
        })
        .await;
        lab.test.clock.advance(Duration::from_secs(600));
        lab.index.resume();
    });
    turn.unwrap_err();
    assert_eq!(lab.index.calls().len(), 4, "the other two were not sent");
    late.turn().await.unwrap();
    lab.wait(DOUBT).await;
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f13_a_write_behind_a_lost_claim_is_reported_and_asserted_again() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let late = lab.second();
    lab.index.hold();
    let (turn, ()) = tokio::join!(late.turn(), async {
        lab.index.held().await;
        let (id, beat) = workers::live(lab.test.cx().read()).await.unwrap().remove(0);
        lab.write(move |tx| {
            let id = id.clone();
            Box::pin(async move {
                assert!(workers::bury(tx, &id, beat, 120_000).await?);
                Ok(())
            })
        })
        .await;
        lab.retitle("Newer").await;
        lab.index.resume();
    });
    turn.unwrap();
    let slot = lab.slot("e0").await;
    assert_eq!((slot.doubt_hash.as_deref(), slot.dirty_epoch), (Some("*"), Some(0)));
    assert_eq!(slot.want_rev, 3, "the edit and the report");
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f17_a_rate_limit_is_waited_for_as_told_within_reason_and_counts_no_attempt() {
    for (asked, early, late) in [(Some(3), 2, 2), (Some(315_360_000), 890, 15), (None, 0, 5)] {
        let limited = Fail::RateLimited(asked.map(Duration::from_secs));
        let lab = Lab::over(MemoryIndex::failing([(1, limited)])).await;
        lab.document(1).await;
        lab.settle().await;
        assert_eq!(lab.slot("e0").await.attempts, 0);
        lab.wait(Duration::from_secs(early)).await;
        assert_eq!(lab.index.calls().len(), 1);
        lab.wait(Duration::from_secs(late)).await;
        assert_eq!(lab.index.calls().len(), 2);
        lab.converged().await;
    }
}

#[tokio::test]
async fn f19_f20_a_target_that_does_not_answer_is_unreachable_and_drains_when_it_is_back() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.index.fail_always(Some(Fail::Lost));
    lab.wait(Duration::from_secs(300)).await;
    let target = corpusd::store::targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!(target.state, "unreachable");
    assert!(lab.index.calls().len() < 40, "{}", lab.index.calls().len());
    lab.index.fail_always(None);
    lab.wait(Duration::from_secs(320)).await;
    lab.wait(DOUBT).await;
    let target = corpusd::store::targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!((target.state.as_str(), target.reason), ("active", None));
    lab.converged().await;
}

#[tokio::test]
async fn f21_a_target_at_fault_is_paused_with_its_reason_and_resumes_by_itself() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.index.fail_always(Some(Fail::Fault("the API key was revoked".to_owned())));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    let target = corpusd::store::targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!((target.state.as_str(), target.reason.as_deref()), ("paused", Some("the API key was revoked")));
    assert!(lab.slots().await.iter().all(|slot| slot.quarantine.is_none() && slot.attempts == 0));
    let error = jobs::wait(lab.test.cx(), &job).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    lab.index.fail_always(None);
    lab.wait(PAUSE).await;
    assert_eq!(lab.job(&job).await.state, "completed");
    lab.converged().await;
}

#[tokio::test]
async fn a_job_says_why_it_is_blocked_until_the_target_takes_writes_again() {
    let lab = Lab::new().await;
    lab.document(20).await;
    lab.index.fail_always(Some(Fail::Fault("the API key was revoked".to_owned())));
    let job = lab.start(Scope::Unsynced).await;
    let told = async || {
        let query = "query ($id: ID!) { syncJob(id: $id) { state blockedReason done } }";
        lab.test.graphql(query, json!({ "id": job })).await["data"]["syncJob"].clone()
    };
    lab.settle().await;
    assert_eq!(told().await, json!({ "state": "RUNNING", "blockedReason": "the API key was revoked", "done": 0 }));
    lab.index.fail_always(None);
    lab.test.clock.advance(PAUSE);
    assert_eq!(lab.turn().await, Turn::Worked);
    assert_eq!(told().await, json!({ "state": "RUNNING", "blockedReason": null, "done": 8 }));
    lab.settle().await;
    assert_eq!(told().await, json!({ "state": "COMPLETED", "blockedReason": null, "done": 20 }));
    let events = jobs::events_after(lab.test.cx(), &job, 0).await.unwrap();
    let mut reasons: Vec<Option<String>> = events.into_iter().map(|event| event.job.blocked_reason).collect();
    reasons.dedup();
    assert_eq!(reasons, [None, Some("the API key was revoked".to_owned()), None]);
}

#[tokio::test]
async fn f22_three_poison_records_are_quarantined_alone() {
    let lab = Lab::new().await;
    let poison = ["e17", "e18", "e250"];
    poison.into_iter().for_each(|id| lab.index.poison(id));
    lab.document(300).await;
    lab.settle().await;
    let refused: Vec<Slot> = lab.slots().await.into_iter().filter(|slot| slot.quarantine.is_some()).collect();
    let ids: Vec<&str> = refused.iter().map(|slot| slot.vector_id.as_str()).collect();
    assert_eq!(ids, poison);
    assert!(refused.iter().all(|slot| slot.quarantine.as_deref() == Some("target_rejected")));
    assert_eq!(lab.index.records().len(), 297);
    assert!(lab.index.calls().len() <= 4 + 2 * 3 * 7, "{}", lab.index.calls().len());
}

#[tokio::test]
async fn f23_a_target_that_refuses_everything_is_at_fault_and_nothing_is_quarantined() {
    let lab = Lab::new().await;
    lab.document(50).await;
    lab.index.fail_always(Some(Fail::Rejected));
    lab.settle().await;
    assert!(lab.slots().await.iter().all(|slot| slot.quarantine.is_none()));
    lab.index.fail_always(None);
    lab.wait(PAUSE).await;
    lab.converged().await;
    // Now a record is known that was accepted before: the probe is refused too.
    lab.index.fail_always(Some(Fail::Rejected));
    lab.revector("e7", 99.0).await;
    lab.settle().await;
    let target = corpusd::store::targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap();
    assert_eq!(target.state, "paused");
    assert!(lab.slots().await.iter().all(|slot| slot.quarantine.is_none()));
    lab.index.fail_always(None);
    lab.wait(PAUSE).await;
    assert_eq!(lab.first_number("e7"), Some(99.0));
    lab.converged().await;
}

#[tokio::test]
async fn f24_what_no_target_holds_is_refused_with_its_code_and_the_others_go_on() {
    let lab = Lab::new().await;
    lab.document(6).await;
    lab.converged().await;
    let vector = |id: &'static str, vector: Vec<f32>| {
        let patch = EmbeddingPatch { vector: Patch::Set(vector), ..EmbeddingPatch::default() };
        embeddings::update(lab.test.cx(), id, patch)
    };
    vector("e0", vec![0.0, 0.0]).await.unwrap();
    vector("e1", vec![1.0, 2.0, 3.0]).await.unwrap();
    let large = Json::Object(vec![("a".to_owned(), Json::String("x".repeat(41_000)))]);
    let patch = ChunkPatch { metadata: Patch::Set(large), ..ChunkPatch::default() };
    chunks::update(lab.test.cx(), "c2", patch).await.unwrap();
    lab.raw("UPDATE chunks SET metadata = '{\"a\": NaN}' WHERE id = 'c3'").await;
    let nan = if lab.test.cx().read().get_database_backend() == sea_orm::DbBackend::Postgres {
        "UPDATE embeddings SET vector = '\\x0000c07f0000c07f' WHERE id = 'e4'"
    } else {
        "UPDATE embeddings SET vector = x'0000c07f0000c07f' WHERE id = 'e4'"
    };
    lab.raw(nan).await;
    lab.retitle("Newer").await;
    lab.settle().await;
    let codes: Vec<Option<String>> = lab.slots().await.into_iter().map(|slot| slot.quarantine).collect();
    let code = |code: &str| Some(code.to_owned());
    assert_eq!(
        codes,
        [
            code("vector_zero"),
            code("dimension_mismatch"),
            code("metadata_too_large"),
            code("metadata_type"),
            code("vector_not_finite"),
            None
        ]
    );
    // What the index had of them is gone: nothing wrong may answer.
    assert_eq!(lab.index.records().len(), 1);
    vector("e0", vec![5.0, 1.0]).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.first_number("e0"), Some(5.0), "a touch ends the quarantine");
    let reserved = Json::Object(vec![("_cd_rev".to_owned(), Json::Null)]);
    let new = NewDocument { title: "A".to_owned(), metadata: Some(reserved), ..NewDocument::default() };
    assert_eq!(documents::create(lab.test.cx(), new).await.unwrap_err().code(), Code::BadUserInput);
}

#[tokio::test]
async fn a_record_that_never_gets_an_answer_becomes_poison_while_others_succeed() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settle().await;
    lab.raw("UPDATE sync_slots SET attempts = 20, acked_hash = NULL, want_rev = want_rev + 1, due_at = 0, dirty_epoch = 1, dirty_rev = 0").await;
    lab.settle().await;
    assert_eq!(lab.slot("e0").await.quarantine.as_deref(), Some("target_error"));
    assert!(lab.index.records().is_empty());
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_packed_smaller() {
    let lab = Lab::over(MemoryIndex::failing([(1, Fail::TooLarge), (2, Fail::TooLarge)])).await;
    lab.document(8).await;
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 8);
    assert!(lab.slots().await.iter().all(|slot| slot.quarantine.is_none()));
}
