//! A document of very many chunks: one edit of it touches all of them, and stands in nobody's way for long.
//!
//! `CORPUSD_LARGE_CHUNKS` makes a longer run of it (docs/testing.md).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use corpusd::config::DatabaseConfig;
use corpusd::emulator::Options;
use corpusd::store;
use serde_json::json;
use tokio::time::Instant;

use crate::support::database_url;
use crate::support::fleet::Client;
use crate::support::fleet::emulator;
use crate::support::fleet::held;
use crate::support::fleet::raised;
use crate::support::fleet::serve;
use crate::support::rows::fill_with;

/// The only document that is there at first.
const LARGE: &str = "d10000";
/// The engine's times are those of the defaults and more: nobody may be taken for dead on a busy machine.
const CALM: [(&str, &str); 5] = [
    ("CORPUSD_AUTO_EXPORT", "true"),
    ("CORPUSD_SYNC_LEASE_S", "60"),
    ("CORPUSD_SYNC_TIMEOUT_S", "50"),
    ("CORPUSD_SYNC_DOUBT_S", "60"),
    ("CORPUSD_EXPORT_WAIT_S", "1000"),
];

/// Writes beside the server, as a tool does that waits five seconds for its turn and not longer; gives the longest
/// wait there was.
async fn write_beside(url: String, stop: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    if let Some(path) = url.strip_prefix("sqlite:") {
        let path = path.to_owned();
        let write = move || {
            let conn = rusqlite::Connection::open(path).expect("it opens");
            conn.busy_timeout(Duration::from_secs(5)).expect("it waits");
            while !stop.load(Ordering::SeqCst) {
                let begin = std::time::Instant::now();
                let written = conn.execute_batch("BEGIN IMMEDIATE; UPDATE sync_clock SET epoch = epoch; COMMIT");
                written.expect("it is written within the busy timeout");
                longest = longest.max(begin.elapsed());
                std::thread::sleep(Duration::from_millis(10));
            }
            longest
        };
        return tokio::task::spawn_blocking(write).await.expect("no panic");
    }
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect(&url).await.expect("it answers");
    sqlx::raw_sql("SET lock_timeout = '5s'").execute(&pool).await.expect("it waits");
    while !stop.load(Ordering::SeqCst) {
        let begin = Instant::now();
        // The row that every transaction takes last.
        let written = sqlx::raw_sql("UPDATE corpus_clock SET rev = rev WHERE id = 1").execute(&pool).await;
        written.expect("it is written within the lock timeout");
        longest = longest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    longest
}

/// Creates documents through the API; every one of them must be taken. Gives how many, and the longest wait.
async fn create_beside(client: &Client, stop: &AtomicBool) -> (usize, Duration) {
    let (mut made, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::SeqCst) {
        let begin = Instant::now();
        let answer = client.send("POST", "/api/documents", Some(&json!({ "title": format!("beside {made}") }))).await;
        assert_eq!(answer.map(|(status, _)| status), Some(201));
        longest = longest.max(begin.elapsed());
        made += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (made, longest)
}

#[tokio::test]
async fn f25_an_edit_of_a_document_of_very_many_chunks_is_one_step_and_keeps_no_writer_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let chunks = raised("CORPUSD_LARGE_CHUNKS", 5_000);
    let config = DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() };
    let db = store::connect::open(&config, &corpusd::clock::Clock::system()).await.unwrap();
    fill_with(&db, 1, chunks, true).await;
    let emulator = emulator(Options::default()).await;
    let serving = serve(folder.path(), &url, &emulator.url(), &CALM).await;
    let client = Client::new(&serving);
    let path = format!("/api/pinecone/export/document/{LARGE}");
    let (status, answer) = client.send("POST", &path, None).await.expect("an answer");
    assert_eq!((status, &answer["upserted_count"]), (200, &json!(chunks)), "{answer}");
    let before = store::log::revision(db.read()).await.unwrap();

    let stop: Arc<AtomicBool> = Arc::default();
    let beside = write_beside(url.clone(), stop.clone());
    let created = create_beside(&client, &stop);
    let edited = async {
        let begin = Instant::now();
        let path = format!("/api/documents/{LARGE}");
        let reply = client.ask("PUT", &path, Some(&json!({ "title": "Another" }))).await.expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        let answered = begin.elapsed();
        // Nobody has seen a half of it: it has one number, and everything was due at once.
        let changes = store::log::after(db.read(), before, 1_000_000).await.unwrap();
        let ours: Vec<i64> =
            changes.iter().filter(|change| change.document_id == LARGE).map(|change| change.rev).collect();
        assert_eq!(ours, [reply.revision.expect("a number")]);
        let target = client.target().await;
        assert_eq!(target["coverage"]["total"], json!(chunks), "{target}");
        client.settled().await;
        stop.store(true, Ordering::SeqCst);
        (answered, begin.elapsed())
    };
    let (beside, (made, created), (answered, all)) = tokio::join!(beside, created, edited);

    let titles: BTreeSet<String> = held(&emulator).into_values().map(|(_, _, title)| title).collect();
    assert_eq!((held(&emulator).len(), titles), (chunks, BTreeSet::from(["Another".to_owned()])));
    let pid = serving.child.id().expect("it runs");
    let memory = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let memory = memory.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned();
    println!(
        "{chunks} chunks: edited in {answered:?}, all sent after {all:?}; {made} others created meanwhile, the slowest \
         in {created:?}; the longest wait of another process {beside:?}; {memory}"
    );
    db.close().await;
    assert_eq!(serving.stop().await.code(), Some(0));
}
