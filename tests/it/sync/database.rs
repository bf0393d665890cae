//! The database fails while the engine works: a full disk, a lost connection, another process on the file.

use corpusd::store::connect::Location;
use corpusd::store::log::Change;
use corpusd::store::log::ChangeKind;
use sea_orm::DbBackend;

use super::*;

impl Lab {
    fn is_postgres(&self) -> bool {
        self.test.cx().db().backend() == DbBackend::Postgres
    }

    /// Another connection to the same SQLite file.
    fn beside(&self) -> rusqlite::Connection {
        let url = &self.test.cx().config().database.url;
        let Ok(Location::Sqlite(path)) = Location::parse(url) else { panic!("no file: {url}") };
        rusqlite::Connection::open(path).unwrap()
    }

    /// Cuts the connections of the PostgreSQL pool that are idle now; gives how many.
    async fn cut_connections(&self) -> usize {
        let pool = self.test.cx().read().pool().expect("PostgreSQL").get_postgres_connection_pool();
        let mut idle = Vec::new();
        while let Some(connection) = pool.try_acquire() {
            idle.push(connection);
        }
        let mut pids: Vec<i32> = Vec::new();
        for connection in &mut idle {
            let pid: Option<i32> =
                sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut **connection).await.ok();
            pids.extend(pid);
        }
        drop(idle);
        let mut outside =
            <sqlx::PgConnection as sqlx::Connection>::connect_with(&pool.connect_options()).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM unnest($1) AS pid")
            .bind(&pids)
            .execute(&mut outside)
            .await
            .unwrap();
        pids.len()
    }

    /// Writes entries of the log until one does not fit any more.
    async fn fill(&self) {
        let entry = || {
            self.test.cx().write(|tx| {
                Box::pin(async move {
                    tx.record(Change::new(ChangeKind::SyncChanged, "d", "d"));
                    Ok(())
                })
            })
        };
        while entry().await.is_ok() {}
    }

    /// Leaves the SQLite file room for so many more pages.
    async fn leave_pages(&self, more: i64) {
        self.write(move |tx| {
            Box::pin(async move {
                let mut count = Sql::new(tx);
                count.push("PRAGMA page_count");
                let count: i64 = count.one(tx).await?.map_or(Ok(0), |row| row.try_get_by_index(0))?;
                tx.execute_unprepared(&format!("PRAGMA max_page_count = {}", count + more)).await?;
                Ok(())
            })
        })
        .await;
    }
}

#[tokio::test]
async fn f36_a_disk_that_is_full_at_the_acknowledgement_costs_no_record_and_no_write() {
    let lab = Lab::new().await;
    if lab.is_postgres() {
        return;
    }
    lab.document(400).await;
    lab.index.hold();
    let (turn, ()) = tokio::join!(lab.engine().turn(), async {
        lab.index.held().await;
        lab.leave_pages(0).await;
        lab.fill().await;
        lab.index.resume();
    });
    let error = turn.unwrap_err();
    assert!(format!("{error:?}").contains("full"), "{error:?}");
    let title = DocumentPatch { title: Patch::Set("x".repeat(200)), ..DocumentPatch::default() };
    let refused = documents::update(lab.test.cx(), "d", title).await;
    lab.leave_pages(1_000_000).await;
    if refused.is_ok() {
        // It still fitted, so it counts.
        assert_eq!(documents::get(lab.test.cx(), "d").await.unwrap().title, "x".repeat(200));
    } else {
        assert_eq!(documents::get(lab.test.cx(), "d").await.unwrap().title, "Title");
    }
    lab.settle().await;
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f39_connections_that_are_cut_while_a_request_is_under_way_cost_no_record() {
    let lab = Lab::new().await;
    if !lab.is_postgres() {
        return;
    }
    lab.document(3).await;
    lab.index.hold();
    let (_, cut) = tokio::join!(lab.engine().turn(), async {
        lab.index.held().await;
        let cut = lab.cut_connections().await;
        lab.index.resume();
        cut
    });
    assert!(cut > 0);
    // The first statements may still meet connections that were cut.
    for _ in 0..20 {
        if lab.engine().turn().await.is_ok() {
            break;
        }
    }
    lab.settle().await;
    lab.wait(DOUBT).await;
    lab.converged().await;
}

#[tokio::test]
async fn f39_a_write_that_was_answered_is_there_once_however_often_connections_are_cut() {
    let lab = Lab::new().await;
    if !lab.is_postgres() {
        return;
    }
    let (cx, stop) = (lab.test.cx(), tokio_util::sync::CancellationToken::new());
    let writers = (0..4).map(|writer| {
        let stop = stop.clone();
        async move {
            let mut answered = Vec::new();
            for number in 0.. {
                let id = format!("w{writer}n{number}");
                let new = NewDocument { id: Some(id.clone()), title: "T".to_owned(), ..NewDocument::default() };
                if documents::create(cx, new).await.is_ok() {
                    answered.push(id);
                }
                if stop.is_cancelled() {
                    break;
                }
            }
            answered
        }
    });
    let cutter = async {
        for _ in 0..20 {
            lab.cut_connections().await;
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (answered, ()) = tokio::join!(futures_util::future::join_all(writers), cutter);
    let answered: Vec<String> = answered.into_iter().flatten().collect();
    assert!(!answered.is_empty());
    for id in &answered {
        documents::get(cx, id).await.unwrap_or_else(|error| panic!("{id} was answered: {error:?}"));
    }
    let rows = lab.number("SELECT count(*) FROM documents").await;
    assert_eq!(rows, lab.number("SELECT count(*) FROM corpus_log WHERE kind = 'DOCUMENT_CREATED'").await);
    assert_eq!(lab.number("SELECT rev FROM corpus_clock").await, lab.number("SELECT max(rev) FROM corpus_log").await);
    assert_eq!(
        lab.number("SELECT count(*) FROM corpus_log").await,
        lab.number("SELECT max(rev) FROM corpus_log").await
    );
}

#[tokio::test]
async fn f40_a_write_waits_for_another_process_that_writes_to_the_file() {
    let lab = Lab::new().await;
    if lab.is_postgres() {
        return;
    }
    lab.document(2).await;
    let beside = lab.beside();
    beside.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = lab.retitle("Afterwards");
    tokio::pin!(write);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut write).await;
    assert!(early.is_err(), "it waits");
    beside.execute_batch("COMMIT").unwrap();
    write.await;
    lab.settle().await;
    assert_eq!(lab.titles(), ["Afterwards"; 2]);
    lab.converged().await;
}

#[tokio::test]
async fn f40_a_long_reader_sees_its_own_moment_and_holds_up_no_write() {
    let lab = Lab::new().await;
    if lab.is_postgres() {
        return;
    }
    lab.document(2).await;
    let beside = lab.beside();
    beside.execute_batch("BEGIN").unwrap();
    let title = || beside.query_row("SELECT title FROM documents", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(title(), "Title");
    for round in 0..50 {
        lab.retitle(&format!("T{round}")).await;
        lab.settle().await;
    }
    assert_eq!(title(), "Title");
    beside.execute_batch("COMMIT").unwrap();
    assert_eq!(title(), "T49");
    assert_eq!(lab.titles(), ["T49"; 2]);
    lab.converged().await;
}
