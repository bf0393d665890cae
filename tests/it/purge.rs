//! What was soft-deleted long ago is removed for good, when that is configured.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

const DAY: Duration = Duration::from_secs(86_400);

async fn made(test: &TestApp, id: &str) {
    let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
    let chunk =
        |name: &str| json!({ "id": format!("{id}-{name}"), "text": name, "embeddings": [{ "vector": [1, 2] }] });
    let input = json!({ "id": id, "title": id, "chunks": [chunk("a"), chunk("b")] });
    let answer = test.graphql(query, json!({ "i": input })).await;
    assert!(answer["errors"].is_null(), "{answer}");
}

async fn documents(test: &TestApp) -> Vec<String> {
    let list = test.rest("GET", "/api/documents?include_deleted=true", None).await.json();
    let rows = list.as_array().expect("a list").iter();
    rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

/// Whether a chunk can still be restored; one that can, is, and is deleted again.
async fn is_there(test: &TestApp, chunk: &str) -> bool {
    let restored = test.rest("POST", &format!("/api/chunks/{chunk}/restore"), None).await;
    restored.status == 200 && test.rest("DELETE", &format!("/api/chunks/{chunk}"), None).await.status == 204
}

#[tokio::test]
async fn rows_that_were_deleted_long_enough_ago_are_gone_and_no_others() {
    let test = TestApp::with(|config| {
        config.index.auto_export = true;
        config.sync.purge_after = 2 * DAY;
    })
    .await;
    for id in ["old", "back", "new", "live"] {
        made(&test, id).await;
    }
    test.sync_until_idle().await;
    for path in ["/api/documents/old", "/api/documents/back", "/api/chunks/live-a"] {
        assert_eq!(test.rest("DELETE", path, None).await.status, 204);
    }
    test.clock.advance(DAY);
    assert_eq!(test.rest("DELETE", "/api/documents/new", None).await.status, 204);
    assert_eq!(test.rest("POST", "/api/documents/back/restore", None).await.status, 200);
    test.sync_until_idle().await;
    assert_eq!(documents(&test).await, ["back", "live", "new", "old"], "not yet");
    let tag = test.rest("GET", "/api/documents/live", None).await.headers["etag"].clone();
    test.clock.advance(DAY + Duration::from_secs(1));
    test.sync_until_idle().await;
    assert_eq!(documents(&test).await, ["back", "live", "new"]);
    assert!(!is_there(&test, "live-a").await && !is_there(&test, "old-a").await);
    assert_eq!(test.rest("GET", "/api/documents/live", None).await.headers["etag"], tag);
    test.clock.advance(DAY);
    test.sync_until_idle().await;
    assert_eq!(documents(&test).await, ["back", "live"]);
    // The index holds what the rows say, and nothing else.
    test.clock.advance(Duration::from_secs(3_600));
    test.sync_until_idle().await;
    let report = test.rest("POST", "/api/pinecone/reconcile", None).await.json();
    assert_eq!((&report["status"], &report["skipped"]), (&json!("equal"), &json!(0)), "{report}");
    let stats = test.rest("GET", "/api/pinecone/index/stats", None).await.json();
    assert_eq!(stats["stats"]["total_vector_count"], 3);
}

#[tokio::test]
async fn nothing_is_removed_unless_it_is_configured() {
    let test = TestApp::new().await;
    made(&test, "d").await;
    assert_eq!(test.rest("DELETE", "/api/documents/d", None).await.status, 204);
    test.clock.advance(100 * DAY);
    test.sync_until_idle().await;
    let restored = test.rest("POST", "/api/documents/d/restore", None).await;
    assert_eq!((restored.status, &restored.json()["is_deleted"]), (200, &Value::Bool(false)));
}
