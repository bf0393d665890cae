//! The door to write transactions: shared commits on SQLite, retried ones on PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corpusd::entity::document;
use corpusd::error::Code;
use corpusd::error::Error;
use corpusd::error::Result;
use corpusd::service::Ctx;
use corpusd::service::chunks;
use corpusd::service::documents;
use corpusd::store;
use corpusd::store::Tx;
use corpusd::store::log::Change;
use corpusd::store::log::ChangeKind;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait;
use sea_orm::DbBackend;
use sea_orm::QueryOrder;
use tokio::sync::Barrier;

use crate::support::TestApp;
use crate::support::rows;
use crate::support::rows::code;
use crate::support::rows::log;

fn row(tx: &Tx, id: &str, title: String) -> document::Model {
    document::Model {
        id: id.to_owned(),
        namespace: "n".to_owned(),
        title_folded: title.clone(),
        title,
        source: None,
        metadata: None,
        revision: 1,
        created_at: tx.now_us(),
        updated_at: tx.now_us(),
        deleted_at: None,
        source_folded: String::new(),
    }
}

async fn insert(tx: &Tx, id: &str) -> Result<()> {
    store::documents::insert(tx, &row(tx, id, id.to_owned())).await?;
    tx.record(Change::new(ChangeKind::DocumentCreated, id, id));
    Ok(())
}

async fn ids(cx: &Ctx) -> Vec<String> {
    let rows = document::Entity::with_deleted().order_by_asc(document::Column::Id).all(cx.read()).await;
    rows.expect("the documents").into_iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_commit_of_one_process_wakes_another_on_the_same_server() {
    let test = TestApp::new().await;
    if !postgres(&test) {
        // A SQLite file has one process.
        return;
    }
    let config = test.cx().config().clone();
    let other = store::connect::open(&config.database, &test.clock).await.expect("opens");
    for db in [test.cx().db(), &other] {
        db.listen();
    }
    let mut seen = other.follow();
    // A hint may be lost, for instance before the other listens; not all of them are.
    let written = async {
        for number in 0.. {
            let id = format!("d{number}");
            let write = test.cx().write(move |tx| {
                let id = id.clone();
                Box::pin(async move { insert(tx, &id).await })
            });
            write.await.expect("written");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = written => {}
        heard = tokio::time::timeout(Duration::from_secs(60), seen.changed()) => {
            heard.expect("within a minute").expect("the database is open");
        }
    }
    assert!(other.seen_revision() > 0);
    other.close().await;
}

/// Whether this is PostgreSQL, where two transactions can be open at once.
fn postgres(test: &TestApp) -> bool {
    test.cx().db().backend() == DbBackend::Postgres
}

#[tokio::test]
async fn a_write_that_fails_or_panics_leaves_nothing_and_its_neighbours_everything() {
    let test = TestApp::new().await;
    let writes = (0..30).map(|i| {
        let cx = test.cx().for_request();
        async move {
            let made = cx
                .write(move |tx| {
                    Box::pin(async move {
                        insert(tx, &format!("d{i:02}")).await?;
                        match i % 3 {
                            0 => Ok(()),
                            1 => Err(Error::conflict("refused")),
                            _ => panic!("planned"),
                        }
                    })
                })
                .await;
            (made.map_err(|error| error.code()), cx.committed().is_some())
        }
    });
    let outcomes = join_all(writes).await;
    for (i, outcome) in outcomes.iter().enumerate() {
        let expected = [(Ok(()), true), (Err(Code::Conflict), false), (Err(Code::Internal), false)];
        assert_eq!(*outcome, expected[i % 3], "{i}");
    }
    let kept: Vec<String> = (0..30).step_by(3).map(|i| format!("d{i:02}")).collect();
    assert_eq!(ids(test.cx()).await, kept);
    assert_eq!(log(&test).await.len(), 10);
}

#[tokio::test]
async fn a_closure_that_panics_at_once_does_not_end_the_writer() {
    let test = TestApp::new().await;
    fn planned(_: &Tx) -> BoxFuture<'_, Result<()>> {
        panic!("planned")
    }
    assert_eq!(code(test.cx().write(planned).await), Code::Internal);
    documents::create(test.cx(), rows::document("d")).await.unwrap();
    assert_eq!(ids(test.cx()).await, ["d"]);
}

#[tokio::test]
async fn who_recorded_a_change_has_its_revision_and_others_one_that_was_committed() {
    let test = TestApp::new().await;
    let writes = (0..20).map(|i| {
        let cx = test.cx().for_request();
        async move {
            cx.write(move |tx| {
                Box::pin(async move {
                    for part in 0..i % 3 {
                        tx.record(Change::new(ChangeKind::SyncChanged, &format!("{i}.{part}"), "d"));
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
            cx.committed()
        }
    });
    let revisions = join_all(writes).await;
    let log = store::log::after(test.cx().read(), 0, 1000).await.unwrap();
    for (i, revision) in revisions.into_iter().enumerate() {
        let last = format!("{i}.{}", (i % 3).saturating_sub(1));
        let expected = log.iter().find(|entry| entry.id == last).map(|entry| entry.rev);
        if expected.is_some() {
            assert_eq!(revision, expected, "{i}");
        } else {
            assert!(revision.is_none_or(|seen| seen <= 19), "{i}: {revision:?} was committed");
        }
    }
    assert_eq!(log.iter().map(|entry| entry.rev).collect::<Vec<_>>(), (1..=19).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_write_goes_on_when_its_caller_goes_away() {
    let test = TestApp::new().await;
    let mut followed = test.cx().db().follow();
    let mut write = Box::pin(documents::create(test.cx(), rows::document("d")));
    assert!((&mut write).now_or_never().is_none());
    drop(write);
    followed.wait_for(|revision| *revision == 1).await.unwrap();
    assert_eq!(ids(test.cx()).await, ["d"]);
}

#[tokio::test]
async fn a_failed_numbering_is_told_to_all_that_share_the_commit() {
    let test = TestApp::new().await;
    let spoil = test.cx().write(|tx| {
        Box::pin(async move {
            tx.execute_unprepared("DELETE FROM corpus_clock").await?;
            insert(tx, "spoiled").await
        })
    });
    let (spoiled, other) = tokio::join!(spoil, documents::create(test.cx(), rows::document("other")));
    assert_eq!(code(spoiled), Code::Internal);
    assert_eq!(other.is_ok(), postgres(&test));
    let again = documents::create(test.cx(), rows::document("again")).await;
    assert!(again.is_ok(), "{again:?}");
    let kept: &[&str] = if postgres(&test) { &["again", "other"] } else { &["again"] };
    assert_eq!(ids(test.cx()).await, kept);
}

#[tokio::test]
async fn a_full_disk_fails_only_the_write_that_filled_it() {
    let test = TestApp::new().await;
    if postgres(&test) {
        return;
    }
    async fn pages(cx: &Ctx, more: i64) {
        cx.write(move |tx| {
            Box::pin(async move {
                let mut count = store::sql::Sql::new(tx);
                count.push("PRAGMA page_count");
                let row = count.one(tx).await?.ok_or_else(|| Error::conflict("no page count"))?;
                let count: i64 = row.try_get_by_index(0)?;
                tx.execute_unprepared(&format!("PRAGMA max_page_count = {}", count + more)).await?;
                Ok(())
            })
        })
        .await
        .expect("the limit is set");
    }
    pages(test.cx(), 30).await;
    let write = |i: usize| {
        let cx = test.cx().for_request();
        async move {
            // Every fifth is larger than what is left.
            let title = if i % 5 == 2 { "t".repeat(1_000_000) } else { "t".to_owned() };
            cx.write(move |tx| {
                let title = title.clone();
                Box::pin(async move {
                    let id = format!("d{i:02}");
                    store::documents::insert(tx, &row(tx, &id, title)).await?;
                    tx.record(Change::new(ChangeKind::DocumentCreated, &id, &id));
                    Ok(())
                })
            })
            .await
            .is_ok()
        }
    };
    let outcomes = join_all((0..15).map(write)).await;
    let expected: Vec<bool> = (0..15).map(|i| i % 5 != 2).collect();
    assert_eq!(outcomes, expected);
    assert_eq!(ids(test.cx()).await.len(), 12);
    assert_eq!(log(&test).await.len(), 12);
    // There is room again.
    pages(test.cx(), 100_000).await;
    assert!(write(2).await);
    assert_eq!(ids(test.cx()).await.len(), 13);
    assert_eq!(log(&test).await.len(), 13);
}

#[tokio::test]
async fn a_deadlock_is_run_again_until_both_are_done() {
    let test = TestApp::new().await;
    if !postgres(&test) {
        return;
    }
    for id in ["a", "b"] {
        documents::create(test.cx(), rows::document(id)).await.unwrap();
    }
    let (meet, runs) = (Arc::new(Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let write = |first: &'static str, second: &'static str| {
        let (meet, runs, met) = (meet.clone(), runs.clone(), Arc::new(AtomicU32::new(0)));
        test.cx().write(move |tx| {
            let (meet, runs, met) = (meet.clone(), runs.clone(), met.clone());
            Box::pin(async move {
                runs.fetch_add(1, Ordering::SeqCst);
                store::documents::lock(tx, first).await?;
                if met.fetch_add(1, Ordering::SeqCst) == 0 {
                    meet.wait().await;
                }
                store::documents::lock(tx, second).await?;
                store::documents::bump(tx, &[first, second]).await?;
                Ok(())
            })
        })
    };
    let (one, other) = tokio::join!(write("a", "b"), write("b", "a"));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(runs.load(Ordering::SeqCst), 3);
    for id in ["a", "b"] {
        assert_eq!(documents::get(test.cx(), id).await.unwrap().revision, 3);
    }
}

#[tokio::test]
async fn an_id_taken_meanwhile_by_another_kind_is_found_before_the_commit() {
    let test = TestApp::new().await;
    if !postgres(&test) {
        return;
    }
    documents::create(test.cx(), rows::document("d")).await.unwrap();
    let meet = Arc::new(Barrier::new(2));
    let waiting = meet.clone();
    let claimed = test.cx().write(move |tx| {
        let meet = waiting.clone();
        Box::pin(async move {
            assert_eq!(store::ids::taken(tx, &["same"]).await?, Vec::<String>::new());
            tx.claim(["same".to_owned()]);
            insert(tx, "same").await?;
            meet.wait().await;
            meet.wait().await;
            Ok(())
        })
    });
    let other = async {
        meet.wait().await;
        // The document is not committed, so the chunk looks free to take the id.
        let made = chunks::create(test.cx(), "d", vec![rows::chunk("same")]).await;
        meet.wait().await;
        made
    };
    let (claimed, made) = tokio::join!(claimed, other);
    assert!(made.is_ok(), "{made:?}");
    assert_eq!(code(claimed), Code::Conflict);
    assert_eq!(ids(test.cx()).await, ["d"]);
}

#[tokio::test]
async fn a_quiet_sqlite_database_moves_its_log_into_the_file() {
    let test = TestApp::new().await;
    if postgres(&test) {
        return;
    }
    let path = test.cx().config().database.url.trim_start_matches("sqlite:").to_owned();
    let size = |path: &str| std::fs::metadata(path).expect("the file").len();
    let before = size(&path);
    // Less than the thousand pages after which SQLite acts by itself.
    let title = "x".repeat(200_000);
    let write = test.cx().db().write(move |tx| {
        let title = title.clone();
        Box::pin(async move { Ok(store::documents::insert(tx, &row(tx, "a", title)).await?) })
    });
    write.await.expect("the write");
    assert!(size(&path) < before + 200_000, "it is in the log only");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    while size(&path) < before + 200_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ids(test.cx()).await, ["a"]);
    test.app.close().await;
    assert!(!std::fs::exists(format!("{path}-wal")).expect("the folder"), "closing leaves no log");
}
