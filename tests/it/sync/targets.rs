//! What belongs to a target: its generation, explicit removals, what is kept, and a quiet server.

use corpusd::store::connect::Location;
use corpusd::store::targets;
use corpusd::store::targets::Configured;

use super::*;

#[tokio::test]
async fn another_index_is_a_new_generation_and_gets_everything() {
    let lab = Lab::new().await;
    lab.document(3).await;
    lab.converged().await;
    lab.write(|tx| {
        Box::pin(async move {
            let new = Configured {
                name: "another".to_owned(),
                kind: "local".to_owned(),
                identity: "another".to_owned(),
                dimension: None,
                metric: "cosine".to_owned(),
            };
            Ok(targets::configure(tx, 1, &new).await?)
        })
    })
    .await;
    let job = lab.start(Scope::Unsynced).await;
    lab.test.sync_until_idle().await;
    assert_eq!(lab.job(&job).await.state, "completed");
    assert!(lab.slots().await.iter().all(|slot| slot.acked_gen == 2));
    assert_eq!(lab.index.calls().len(), 2);
    lab.converged().await;
}

#[tokio::test]
async fn the_dimension_is_learned_from_the_first_vector_that_was_accepted() {
    let lab = Lab::over(MemoryIndex::failing([(1, Fail::NotApplied)])).await;
    lab.document(1).await;
    let learned = || async { targets::find(lab.test.cx().read(), 1).await.unwrap().unwrap().dimension };
    lab.settle().await;
    assert_eq!(learned().await, None);
    lab.wait(Duration::from_secs(5)).await;
    assert_eq!(learned().await, Some(2));
}

#[tokio::test]
async fn vectors_that_are_deleted_by_name_are_gone_and_their_embeddings_held() {
    let lab = Lab::new().await;
    lab.document(2).await;
    lab.converged().await;
    let ids = vec!["e0".to_owned(), "strange".to_owned(), "e0".to_owned()];
    let count = lab.test.while_syncing(jobs::delete_vectors(lab.test.cx(), ids)).await.unwrap();
    assert_eq!(count, 2);
    assert_eq!(lab.index.calls().last().unwrap().ids(), ["e0", "strange"]);
    lab.retitle("Newer").await;
    lab.converged().await;
    assert_eq!(lab.first_number("e0"), None);
    assert!(embeddings::get(lab.test.cx(), "e0").await.unwrap().held);
    lab.start(Scope::Document("d".to_owned())).await;
    lab.converged().await;
    assert_eq!(lab.index.records().len(), 2);
}

#[tokio::test]
async fn tombstones_events_and_the_log_are_kept_for_a_week() {
    let lab = Lab::new().await;
    lab.document(1).await;
    let job = lab.start(Scope::Unsynced).await;
    lab.settle().await;
    lab.delete(Delete::Hard).await;
    lab.converged().await;
    assert_eq!(lab.slots().await.len(), 1);
    lab.test.clock.advance(Duration::from_secs(6 * 86_400));
    lab.settle().await;
    assert_eq!(lab.slots().await.len(), 1);
    lab.test.clock.advance(Duration::from_secs(2 * 86_400));
    lab.settle().await;
    assert_eq!(lab.slots().await.len(), 0);
    assert_eq!(lab.number("SELECT count(*) FROM corpus_log").await, 0);
    assert!(jobs::events_after(lab.test.cx(), &job, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_old_enough_is_looked_for_every_hour() {
    let lab = Lab::new().await;
    lab.settle().await;
    let (minute, week) = (Duration::from_secs(60), Duration::from_secs(7 * 86_400));
    lab.test.clock.advance(30 * minute);
    lab.document(1).await;
    lab.settle().await;
    lab.delete(Delete::Hard).await;
    lab.converged().await;
    lab.test.clock.advance(week - 30 * minute);
    lab.settle().await;
    // Half an hour later it is old enough, and another half hour later it is looked for.
    for (pause, slots) in [(59 * minute, 1), (minute, 0)] {
        lab.test.clock.advance(pause);
        lab.settle().await;
        assert_eq!(lab.slots().await.len(), slots);
    }
}

#[tokio::test]
async fn a_quiet_engine_asks_one_question_a_turn() {
    let lab = Lab::new().await;
    lab.document(1).await;
    lab.settle().await;
    let before = lab.test.cx().db().statements().count();
    for _ in 0..3 {
        assert_eq!(lab.engine().turn().await.unwrap(), Turn::Idle);
    }
    assert_eq!(lab.test.cx().db().statements().count() - before, 3);
}

#[tokio::test]
async fn a_second_server_on_a_sqlite_file_is_told_so_and_a_stopped_one_leaves_no_worker() {
    let lab = Lab::new().await;
    let second = corpusd::app::App::assemble(
        lab.test.cx().config().clone(),
        lab.test.cx().db().clone(),
        lab.test.cx().index().clone(),
    )
    .await
    .unwrap();
    lab.test.start_sync().await;
    // It runs already.
    lab.test.start_sync().await;
    let started = second.start_sync().await;
    if let Ok(Location::Sqlite(file)) = Location::parse(&lab.test.cx().config().database.url) {
        assert!(std::path::Path::new(&format!("{}.lock", file.display())).exists());
        assert!(started.unwrap_err().to_string().contains("only one server may run on a SQLite file"));
    } else {
        started.unwrap();
    }
    lab.document(2).await;
    let job = lab.start(Scope::Unsynced).await;
    // The running engines may have been faster than the job: its total is what they left.
    assert!(jobs::wait(lab.test.cx(), &job).await.unwrap().total <= 2);
    assert_eq!(lab.number("SELECT count(*) FROM sync_slots WHERE acked_rev = want_rev AND due_at IS NULL").await, 2);
    second.sync().stop().await;
    lab.test.app.sync().stop().await;
    assert_eq!(lab.number("SELECT count(*) FROM sync_workers").await, 0);
    assert_eq!(lab.number("SELECT count(*) FROM sync_slots WHERE claim_token IS NOT NULL").await, 0);
}

#[tokio::test]
async fn the_index_is_known_to_be_behind_until_it_is_not() {
    let lab = Lab::new().await;
    let through = || async { coverage::synced_through(lab.test.cx().read(), 1).await.unwrap() };
    lab.document(1).await;
    let before = through().await;
    assert_eq!(before.revision, 0);
    assert!(before.oldest_ms.is_some());
    lab.settle().await;
    let after = through().await;
    assert!(after.revision > 0 && after.oldest_ms.is_none());
}
