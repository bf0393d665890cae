//! A process killed in the middle of its writes: what was acknowledged is there, and no half of a batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::database_url;
use crate::support::http;
use crate::support::process::Serving;

/// How often the server is killed.
const ROUNDS: u64 = 20;
/// Clients that write at the same time.
const CLIENTS: usize = 4;
/// Chunks of every batch: all of them or none.
const BATCH: usize = 5;

/// What the server said it has: document ids, and for each of them whether its batch was acknowledged.
type Acknowledged = Arc<Mutex<HashMap<String, bool>>>;

/// Writes documents with a batch of chunks each until the server is gone.
async fn write_until_killed(address: String, acknowledged: Acknowledged) {
    let client = http().build().expect("a client");
    loop {
        let made = post(&client, &format!("{address}/api/documents"), &json!({ "title": "kept" })).await;
        let Some(id) = made.and_then(|body| body["id"].as_str().map(str::to_owned)) else { return };
        acknowledged.lock().expect("no panic").insert(id.clone(), false);
        let chunks: Vec<Value> = (0..BATCH).map(|i| json!({ "chunk_index": i, "text": format!("part {i}") })).collect();
        let url = format!("{address}/api/documents/{id}/chunks/batch");
        if post(&client, &url, &json!({ "chunks": chunks })).await.is_none() {
            return;
        }
        acknowledged.lock().expect("no panic").insert(id, true);
    }
}

/// The body of a 201, nothing when the server went away.
async fn post(client: &reqwest::Client, url: &str, body: &Value) -> Option<Value> {
    let answer =
        client.post(url).header("content-type", "application/json").body(body.to_string()).send().await.ok()?;
    let status = answer.status().as_u16();
    let text = answer.text().await.ok()?;
    assert_eq!(status, 201, "{text}");
    serde_json::from_str(&text).ok()
}

async fn list(serving: &Serving, path: &str) -> Vec<Value> {
    let (status, body) = serving.get(path).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).expect("a JSON list")
}

#[tokio::test]
async fn killed_at_any_moment_it_keeps_every_acknowledged_write_and_no_half_batch() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let acknowledged: Acknowledged = Arc::default();
    let mut dice = fastrand::Rng::with_seed(20_261_123);
    for _ in 0..ROUNDS {
        let mut serving = Serving::serve(folder.path(), &url).await;
        let address = serving.address.clone();
        let clients = (0..CLIENTS).map(|_| write_until_killed(address.clone(), acknowledged.clone()));
        let killer = async {
            // Not a wait for something to be done: the moment of the kill is the random input of this test.
            tokio::time::sleep(Duration::from_millis(dice.u64(5..120))).await;
            serving.child.kill().await.expect("it is killed");
        };
        futures_util::future::join(futures_util::future::join_all(clients), killer).await;
    }
    let serving = Serving::serve(folder.path(), &url).await;
    let documents = list(&serving, "/api/documents?limit=10000").await;
    let there: Vec<&str> = documents.iter().filter_map(|document| document["id"].as_str()).collect();
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!(acknowledged.len() as u64 >= ROUNDS, "the rounds wrote something: {}", acknowledged.len());
    for (id, batch) in &acknowledged {
        assert!(there.contains(&id.as_str()), "{id} was acknowledged");
        let chunks = list(&serving, &format!("/api/documents/{id}/chunks")).await.len();
        assert!(chunks == BATCH || (chunks == 0 && !batch), "{id} has {chunks} chunks, acknowledged: {batch}");
    }
    assert_eq!(serving.stop().await.code(), Some(0));
    if url.starts_with("sqlite:") {
        let conn = rusqlite::Connection::open(folder.path().join("corpus.db")).unwrap();
        let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let orphans: i64 =
            conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
        assert_eq!(orphans, 0);
    }
}
