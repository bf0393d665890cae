//! The vector index over REST: exports, removals, figures and search.

use std::sync::Arc;

use corpusd::index::memory::Fail;
use corpusd::index::memory::MemoryIndex;
use sea_orm::EntityTrait as _;
use serde_json::Value;
use serde_json::json;

use crate::parity::fill;
use crate::parity::world;
use crate::support::Answer;
use crate::support::TestApp;

/// A request whose export is worked on meanwhile.
async fn ask(test: &TestApp, method: &str, path: &str, body: Option<Value>) -> Answer {
    test.while_syncing(test.rest(method, path, body)).await
}

fn exported(status: &str, count: u64) -> String {
    let shown = if status == "success" { count.to_string() } else { "null".to_owned() };
    format!(
        r#"{{"status":"{status}","message":"Exported {count} embeddings","upserted_count":{shown},"updated_db_count":{shown},"error":null}}"#
    )
}

#[tokio::test]
async fn an_export_answers_with_the_counts_of_its_job() {
    let test = world().await;
    let first = ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    assert_eq!((first.status, first.text), (200, exported("success", 3)));
    let again = ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    assert_eq!(again.text, exported("no_new_embeddings", 0));
    let bare = ask(&test, "POST", "/api/pinecone/export/document/d2", None).await;
    assert_eq!(bare.text, exported("no_new_embeddings", 0));
    let rest = ask(&test, "POST", "/api/pinecone/export/unsynced?batch_size=1", None).await;
    assert_eq!(rest.text, exported("no_embeddings", 0));
    let named = ask(&test, "POST", "/api/pinecone/export/batch", Some(json!(["e1", "no", "e9", "e1"]))).await;
    assert_eq!(named.text, exported("success", 1));
    let gone = ask(&test, "POST", "/api/pinecone/export/batch", Some(json!({ "embedding_ids": ["e9"] }))).await;
    assert_eq!((gone.status, gone.json()["detail"].as_str()), (404, Some("No embeddings found")));
    let row = test.rest("GET", "/api/embeddings/e1", None).await.json();
    assert_eq!((&row["is_synced"], &row["pinecone_id"]), (&json!(true), &json!("e1")));
    let stats = test.rest("GET", "/api/pinecone/index/stats", None).await;
    assert_eq!(
        stats.text,
        r#"{"status":"success","stats":{"dimension":2,"index_fullness":0.0,"namespaces":{"default":{"vector_count":3}},"total_vector_count":3},"error":null}"#
    );
    let overview = test.rest("GET", "/api/dashboard/overview", None).await.json();
    assert_eq!(
        (&overview["documents"][0]["status"], &overview["sync_status"]["sync_percentage"]),
        (&json!("synced"), &json!(100.0))
    );
}

#[tokio::test]
async fn everything_unsynced_is_exported_whatever_the_batch_size() {
    let test = world().await;
    let all = ask(&test, "POST", "/api/pinecone/export/unsynced?batch_size=1", None).await;
    assert_eq!(all.text, exported("success", 3));
    let job = corpusd::entity::sync_job::Entity::find().one(test.cx().read()).await.unwrap().unwrap();
    assert_eq!(job.batch_size, Some(1));
}

#[tokio::test]
async fn removed_records_are_exported_again_when_asked_for() {
    let test = world().await;
    ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    let removed =
        ask(&test, "DELETE", "/api/pinecone/vectors", Some(json!({ "vector_ids": ["e1", "foreign", "e1"] }))).await;
    assert_eq!(
        (removed.status, removed.text.as_str()),
        (
            200,
            r#"{"status":"success","message":"Deleted 2 vectors","upserted_count":null,"updated_db_count":null,"error":null}"#
        )
    );
    let row = test.rest("GET", "/api/embeddings/e1", None).await.json();
    assert_eq!(
        (&row["is_synced"], &row["last_synced_at"], &row["pinecone_id"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    let stats = test.rest("GET", "/api/pinecone/index/stats", None).await.json();
    assert_eq!(stats["stats"]["total_vector_count"], 2);
    let bare = ask(&test, "DELETE", "/api/pinecone/vectors", Some(json!(["e2"]))).await;
    assert_eq!(bare.json()["message"], "Deleted 1 vectors");
    let named = ask(&test, "DELETE", "/api/pinecone/vectors?vector_ids=e3&vector_ids=e2", None).await;
    assert_eq!(named.json()["message"], "Deleted 2 vectors");
    assert_eq!(ask(&test, "POST", "/api/pinecone/export/unsynced", None).await.text, exported("success", 3));
}

#[tokio::test]
async fn a_search_gives_what_is_on_the_index_and_live() {
    let test = world().await;
    ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    let found = test.rest("GET", "/api/pinecone/search?top_k=2", Some(json!([1, 0]))).await.json();
    assert_eq!(found["status"], "success");
    let ids = |found: &Value| -> Vec<Value> {
        found["matches"].as_array().map_or(Vec::new(), |list| list.iter().map(|one| one["id"].clone()).collect())
    };
    assert_eq!(ids(&found), ["e1", "e3"]);
    let first = &found["matches"][0];
    assert_eq!((&first["score"], &first["values"]), (&json!(1.0), &json!([])));
    let keys: Vec<&str> = first["metadata"].as_object().expect("metadata").keys().map(String::as_str).collect();
    for key in [
        "embedding_id",
        "chunk_id",
        "document_id",
        "document_title",
        "document_source",
        "chunk_index",
        "text",
        "created_at",
    ] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert!(!keys.iter().any(|key| key.starts_with("_cd_")), "{keys:?}");
    let in_query = test.rest("GET", "/api/pinecone/search?top_k=2&query_vector=1&query_vector=0", None).await.json();
    let posted =
        test.rest("POST", "/api/pinecone/search", Some(json!({ "query_vector": [1, 0], "top_k": 2 }))).await.json();
    assert_eq!((ids(&in_query), ids(&posted)), (ids(&found), ids(&found)));
    // The index is not told yet.
    test.rest("DELETE", "/api/chunks/c1", None).await;
    let after = test.rest("POST", "/api/pinecone/search", Some(json!({ "vector": [1, 0], "top_k": 1 }))).await.json();
    assert_eq!(ids(&after), ["e3"]);
}

#[tokio::test]
async fn what_the_index_cannot_hold_is_no_vectors() {
    let test = world().await;
    ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    let chunk =
        test.rest("POST", "/api/documents/d2/chunks", Some(json!({ "chunk_index": 0, "text": "t" }))).await.json();
    let path = format!("/api/chunks/{}/embeddings", chunk["id"].as_str().expect("an id"));
    test.rest("POST", &path, Some(json!({ "vector": [1, 2, 3] }))).await;
    let refused = ask(&test, "POST", "/api/pinecone/export/document/d2", None).await;
    assert_eq!((refused.status, refused.text), (200, exported("no_vectors", 0)));
}

#[tokio::test]
async fn a_paused_target_answers_503_with_the_job_that_goes_on() {
    let index = Arc::new(MemoryIndex::default());
    let test = TestApp::with_index(index.clone(), |_| {}).await;
    fill(&test).await;
    index.fail_always(Some(Fail::Fault("the key was revoked".to_owned())));
    let refused = ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("UNAVAILABLE")), "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    assert!(refused.json()["job_id"].is_string(), "{}", refused.text);
}

#[tokio::test]
async fn an_index_that_never_held_anything_says_so() {
    let test = TestApp::new().await;
    let stats = test.rest("GET", "/api/pinecone/index/stats", None).await;
    assert_eq!(
        stats.text,
        r#"{"status":"success","stats":{"dimension":0,"index_fullness":0.0,"namespaces":{},"total_vector_count":0},"error":null}"#
    );
    let found = test.rest("POST", "/api/pinecone/search", Some(json!({ "vector": [1.0], "top_k": 3 }))).await;
    assert_eq!((found.status, found.text.as_str()), (200, r#"{"status":"success","matches":[]}"#));
}

#[tokio::test]
async fn a_request_without_ids_or_numbers_is_refused_in_the_documented_words() {
    let test = TestApp::new().await;
    for (method, path, body, status, detail) in [
        ("DELETE", "/api/pinecone/vectors", json!([]), 400, "No vector IDs provided"),
        ("DELETE", "/api/pinecone/vectors", json!({ "vector_ids": [] }), 400, "No vector IDs provided"),
        ("POST", "/api/pinecone/export/batch", json!(["no"]), 404, "No embeddings found"),
        ("POST", "/api/pinecone/export/batch", json!({ "embedding_ids": ["\0"] }), 404, "No embeddings found"),
        ("POST", "/api/pinecone/export/document/no", json!(null), 404, "Document not found"),
        ("GET", "/api/pinecone/search", json!([]), 400, "Query vector required"),
        ("POST", "/api/pinecone/search", json!({ "query_vector": [] }), 400, "Query vector required"),
        ("POST", "/api/dashboard/documents/batch-delete", json!({ "doc_ids": [] }), 400, "No document IDs provided"),
    ] {
        let answer = test.rest(method, path, Some(body)).await;
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (status, Some(detail)), "{method} {path}");
    }
}

#[tokio::test]
async fn a_flawed_request_to_the_index_names_its_fields() {
    let test = TestApp::new().await;
    for (method, path, body, loc) in [
        ("POST", "/api/pinecone/export/unsynced?batch_size=0", json!(null), json!(["query", "batch_size"])),
        ("POST", "/api/pinecone/export/batch", json!({}), json!(["body", "embedding_ids"])),
        ("POST", "/api/pinecone/export/batch", json!({ "embedding_ids": [1] }), json!(["body", "embedding_ids", 0])),
        ("DELETE", "/api/pinecone/vectors", json!(["\u{e9}"]), json!(["body", 0])),
        ("DELETE", "/api/pinecone/vectors?vector_ids=%00", json!(null), json!(["query", "vector_ids", 0])),
        ("GET", "/api/pinecone/search", json!([1, "x"]), json!(["body", 1])),
        (
            "GET",
            "/api/pinecone/search?query_vector=1&query_vector=NaN",
            json!(null),
            json!(["query", "query_vector", 1]),
        ),
        ("POST", "/api/pinecone/search", json!({ "vector": [1], "top_k": 0 }), json!(["body", "top_k"])),
        ("GET", "/api/pinecone/search?top_k=-1", json!([1]), json!(["query", "top_k"])),
    ] {
        let answer = match body.is_null() {
            true => test.rest(method, path, None).await,
            false => test.rest(method, path, Some(body)).await,
        };
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &loc), "{method} {path}");
    }
}

#[tokio::test]
async fn a_vector_that_the_index_cannot_compare_is_named_where_it_stands() {
    let test = world().await;
    ask(&test, "POST", "/api/pinecone/export/document/d1", None).await;
    for (method, path, body, loc) in [
        ("POST", "/api/pinecone/search", json!({ "query_vector": [1] }), json!(["body", "query_vector"])),
        ("POST", "/api/pinecone/search", json!({ "vector": [1] }), json!(["body", "vector"])),
        ("POST", "/api/pinecone/search", json!([0, 0]), json!(["body"])),
        ("GET", "/api/pinecone/search?query_vector=1", Value::Null, json!(["query", "query_vector"])),
    ] {
        let answer = test.rest(method, path, Some(body).filter(|body| !body.is_null())).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"]), (422, &loc), "{}", answer.text);
    }
    let taken = test.rest("PUT", "/api/embeddings/e1", Some(json!({ "pinecone_id": "e2" }))).await;
    assert_eq!((taken.status, &taken.json()["detail"]), (409, &json!("pinecone_id: already taken")));
}
