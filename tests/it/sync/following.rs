//! Jobs: counters, events, waiting, cancelling.

use corpusd::error::Code;

use super::*;

async fn states(lab: &Lab, job: &str) -> Vec<String> {
    let events = jobs::events_after(lab.test.cx(), job, 0).await.unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event.seq).collect();
    assert_eq!(numbers, (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<i64>>(), "dense");
    let last = lab.job(job).await;
    assert_eq!(last.event_seq, *numbers.last().unwrap());
    let mut states: Vec<String> = events.into_iter().map(|event| event.job.state).collect();
    states.dedup();
    states
}

#[tokio::test]
async fn a_job_counts_what_it_wrote_and_its_events_are_dense() {
    let lab = Lab::new().await;
    lab.document(250).await;
    let job = lab.start(Scope::Document("d".to_owned())).await;
    lab.settle().await;
    let done = lab.job(&job).await;
    assert_eq!((done.total, done.done, done.failed, done.upserted, done.deleted), (250, 250, 0, 250, 0));
    assert_eq!((done.state.as_str(), done.visibility.as_str()), ("completed", "verified"));
    assert_eq!(states(&lab, &job).await, ["queued", "running", "verifying", "completed"]);
    lab.converged().await;
}

#[tokio::test]
async fn held_embeddings_travel_only_once_somebody_exports_them() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.raw("DELETE FROM sync_slots").await;
    lab.raw("UPDATE embeddings SET held = TRUE").await;
    lab.settle().await;
    assert!(lab.index.records().is_empty());
    let held = coverage::whole(lab.test.cx().read(), 1).await.unwrap();
    assert_eq!((held.total, held.held, held.synced), (2, 2, 0));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    assert_eq!(lab.job(&job).await.upserted, 2);
    let synced = coverage::of_documents(lab.test.cx().read(), 1, &["d"]).await.unwrap()["d"];
    assert_eq!((synced.total, synced.synced, synced.held), (2, 2, 0));
    lab.converged().await;
}

#[tokio::test]
async fn an_export_of_named_ids_sends_them_again_and_one_of_a_document_does_not() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.settle().await;
    let job = lab.start(Scope::Document("d".to_owned())).await;
    lab.settle().await;
    assert_eq!((lab.job(&job).await.total, lab.job(&job).await.upserted), (0, 0));
    let ids = vec!["e0".to_owned(), "e2".to_owned(), "unknown".to_owned()];
    let job = lab.start(Scope::Embeddings(ids)).await;
    lab.settle().await;
    assert_eq!((lab.job(&job).await.total, lab.job(&job).await.upserted), (2, 2));
    assert_eq!(lab.index.calls().last().unwrap().ids(), ["e0", "e2"]);
    let none = jobs::start(lab.test.cx(), Scope::Embeddings(vec!["unknown".to_owned()])).await;
    assert_eq!(none.unwrap_err().code(), Code::NotFound);
    lab.converged().await;
}

#[tokio::test]
async fn a_second_start_of_a_scope_gives_the_running_job() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let job = lab.start(Scope::Unsynced).await;
    let (again, started) = jobs::start(lab.test.cx(), Scope::Unsynced).await.unwrap();
    assert_eq!((again.id, started), (job, false));
}

fn keyed(scope: Scope, key: &str) -> Start {
    Start { idempotency_key: Some(key.to_owned()), ..scope.into() }
}

#[tokio::test]
async fn a_key_gives_the_same_job_for_a_day_and_no_other_request() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let cx = lab.test.cx();
    let (job, started) = jobs::start(cx, keyed(Scope::Unsynced, "k")).await.unwrap();
    assert!(started);
    lab.settle().await;
    assert_eq!(lab.job(&job.id).await.state, "completed");
    let (again, started) = jobs::start(cx, keyed(Scope::Unsynced, "k")).await.unwrap();
    assert_eq!((again.id.as_str(), again.state.as_str(), started), (job.id.as_str(), "completed", false));
    let other = jobs::start(cx, keyed(Scope::Document("d".to_owned()), "k")).await.unwrap_err();
    assert_eq!(other.code(), Code::Conflict);
    let long = jobs::start(cx, keyed(Scope::Unsynced, &"k".repeat(256))).await.unwrap_err();
    assert_eq!(long.code(), Code::BadUserInput);
    lab.test.clock.advance(std::time::Duration::from_secs(24 * 3600 + 1));
    let (later, started) = jobs::start(cx, keyed(Scope::Document("d".to_owned()), "k")).await.unwrap();
    assert!(started && later.id != job.id);
}

#[tokio::test]
async fn a_key_given_to_a_running_scope_leads_to_its_job_afterwards_too() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let first = lab.start(Scope::Unsynced).await;
    let (joined, started) = jobs::start(lab.test.cx(), keyed(Scope::Unsynced, "k")).await.unwrap();
    assert_eq!((joined.id.as_str(), started), (first.as_str(), false));
    lab.settle().await;
    let (again, _) = jobs::start(lab.test.cx(), keyed(Scope::Unsynced, "k")).await.unwrap();
    assert_eq!(again.id, first);
}

#[tokio::test]
async fn two_starts_with_one_key_at_the_same_time_are_one_job() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let start = || jobs::start(lab.test.cx(), keyed(Scope::Document("d".to_owned()), "k"));
    let (one, two) = tokio::join!(start(), start());
    let ((one, first), (two, second)) = (one.unwrap(), two.unwrap());
    assert_eq!(one.id, two.id);
    assert!(first != second, "one of them started it");
}

#[tokio::test]
async fn a_batch_size_bounds_every_request_of_its_job() {
    let lab = Lab::new().await;
    lab.document(7).await;
    let asked = Start { batch_size: Some(3), ..Scope::Unsynced.into() };
    jobs::start(lab.test.cx(), asked).await.unwrap();
    lab.settle().await;
    let sizes: Vec<usize> = lab.index.calls().iter().map(|call| call.ids().len()).collect();
    assert_eq!(sizes, [3, 3, 1]);
    lab.raw("UPDATE chunks SET chunk_index = chunk_index + 10").await;
    let again = Start { batch_size: Some(500), ..Scope::Embeddings((0..7).map(|i| format!("e{i}")).collect()).into() };
    jobs::start(lab.test.cx(), again).await.unwrap();
    lab.settle().await;
    assert_eq!(lab.index.calls().last().unwrap().ids().len(), 7, "the ended job bounds nothing any more");
}

#[tokio::test]
async fn whoever_starts_a_running_job_again_also_has_what_was_written_in_between() {
    for scope in [
        Scope::Document("d".to_owned()),
        Scope::Unsynced,
        Scope::Embeddings(vec!["e0".to_owned(), "e1".to_owned(), "e2".to_owned()]),
    ] {
        let lab = Lab::new().await;
        lab.document(3).await;
        lab.index.show_until(Some(0));
        let job = lab.start(scope.clone()).await;
        lab.settle().await;
        let first = lab.job(&job).await;
        assert_eq!((first.state.as_str(), first.total, first.upserted), ("verifying", 3, 3));
        // An edit of one, and another that is held again.
        lab.revector("e1", 77.0).await;
        let deleted = lab.test.while_syncing(jobs::delete_vectors(lab.test.cx(), vec!["e2".to_owned()]));
        assert_eq!(deleted.await.unwrap(), 1);
        lab.revector("e0", 55.0).await;
        let (again, started) = jobs::start(lab.test.cx(), scope.clone()).await.unwrap();
        assert_eq!((&again.id, started, again.state.as_str()), (&job, false, "running"));
        assert_eq!((again.total, again.done), (5, 3), "an edit and the one that was held");
        lab.test.while_syncing(jobs::wait(lab.test.cx(), &job)).await.unwrap();
        assert_eq!(lab.index.records().len(), 3, "{scope:?}");
        assert_eq!((lab.first_number("e0"), lab.first_number("e1")), (Some(55.0), Some(77.0)));
        let (sent, before) = (lab.index.calls().len(), lab.job(&job).await);
        let (quiet, _) = jobs::start(lab.test.cx(), scope.clone()).await.unwrap();
        assert_eq!((quiet.state.as_str(), quiet.event_seq), ("verifying", before.event_seq));
        lab.index.show_until(None);
        lab.settle().await;
        let end = lab.job(&job).await;
        assert_eq!((end.state.as_str(), end.total, end.done, end.upserted), ("completed", 5, 5, 5), "{scope:?}");
        assert_eq!(lab.index.calls().len(), sent, "another start sends nothing again");
        let told = states(&lab, &job).await;
        assert_eq!(told, ["queued", "running", "verifying", "running", "verifying", "completed"]);
        lab.converged().await;
    }
}

#[tokio::test]
async fn a_job_with_a_refused_record_completes_with_errors_and_names_how_many() {
    let lab = Lab::new().await;
    lab.index.poison("e1");
    lab.document(3).await;
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    let done = lab.job(&job).await;
    assert_eq!(
        (done.state.as_str(), done.total, done.done, done.failed, done.upserted),
        ("completed_with_errors", 3, 3, 1, 2)
    );
    let coverage = coverage::whole(lab.test.cx().read(), 1).await.unwrap();
    assert_eq!((coverage.synced, coverage.quarantined, coverage.pending), (2, 1, 0));
}

#[tokio::test]
async fn a_job_waits_until_queries_see_what_was_acknowledged() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.index.show_until(Some(0));
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    assert_eq!(lab.job(&job).await.state, "verifying");
    assert_eq!(jobs::wait(lab.test.cx(), &job).await.unwrap().upserted, 1, "an export does not wait for it");
    lab.index.show_until(None);
    lab.settle().await;
    assert_eq!(lab.job(&job).await.visibility, "verified");
    lab.index.show_until(Some(0));
    lab.retitle("Newer").await;
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    lab.wait(Duration::from_secs(605)).await;
    let late = lab.job(&job).await;
    assert_eq!((late.state.as_str(), late.visibility.as_str()), ("completed", "timeout"));
}

#[tokio::test]
async fn f41_a_job_is_cancelled_once_and_what_it_wanted_goes_on() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let job = lab.start(Scope::Unsynced).await;
    let cancelled = jobs::cancel(lab.test.cx(), &job).await.unwrap();
    assert_eq!(jobs::state(&cancelled), JobState::Cancelled);
    assert_eq!(jobs::cancel(lab.test.cx(), &job).await.unwrap(), cancelled);
    assert_eq!(states(&lab, &job).await, ["queued", "cancelled"]);
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 2);
    let done = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    let kept = jobs::cancel(lab.test.cx(), &done).await.unwrap();
    assert_eq!(jobs::state(&kept), JobState::Completed);
}

#[tokio::test]
async fn f41_a_request_under_way_is_finished_before_its_job_is_cancelled() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let job = lab.start(Scope::Unsynced).await;
    let cancel = async {
        let asked = jobs::cancel(lab.test.cx(), &job).await.unwrap();
        assert!(!jobs::state(&asked).is_terminal());
        jobs::cancel(lab.test.cx(), &job).await.unwrap();
    };
    lab.while_held(cancel).await;
    lab.settle().await;
    let end = lab.job(&job).await;
    assert_eq!((end.state.as_str(), end.done, end.upserted), ("cancelled", 2, 2));
    assert_eq!(states(&lab, &job).await, ["queued", "running", "cancelled"]);
}

#[tokio::test]
async fn f43_a_job_that_starts_among_edits_has_every_write_acknowledged_before_it() {
    for round in 0..10 {
        let lab = Lab::new().await;
        lab.document(3).await;
        lab.settle().await;
        lab.retitle("Before").await;
        let edit = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            lab.retitle("During").await;
        };
        let ((), job, _) = tokio::join!(edit, lab.start(Scope::Document("d".to_owned())), lab.engine().turn());
        while !jobs::state(&lab.job(&job).await).is_terminal() {
            lab.turn().await;
        }
        assert!(lab.titles().iter().all(|title| title != "Title"));
        lab.retitle("After").await;
        lab.converged().await;
    }
}

#[tokio::test]
async fn the_job_of_a_dead_worker_is_taken_over() {
    let lab = Lab::new().await;
    lab.document(2).await;
    let job = lab.start(Scope::Unsynced).await;
    lab.vanish().await;
    lab.raw("UPDATE sync_jobs SET owner = 'nobody'").await;
    lab.wait(Duration::from_secs(40)).await;
    lab.wait(DOUBT).await;
    assert_eq!(lab.job(&job).await.state, "completed");
    assert_eq!(lab.job(&job).await.upserted, 2);
    lab.converged().await;
}
