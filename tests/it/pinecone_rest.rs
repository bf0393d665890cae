//! The vector index over REST: exports, removals, figures and search.

use serde_json::json;

use crate::support::TestApp;

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
