//! Embeddings, as REST clients see them.

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;

async fn chunk(test: &TestApp) -> String {
    let document = test.rest("POST", "/api/documents", Some(json!({ "title": "A" }))).await.json()["id"].clone();
    let path = format!("/api/documents/{}/chunks", document.as_str().expect("an id"));
    let made = test.rest("POST", &path, Some(json!({ "chunk_index": 0, "text": "a" }))).await;
    made.json()["id"].as_str().expect("an id").to_owned()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

#[tokio::test]
async fn an_embedding_is_answered_as_the_contract_says() {
    let test = TestApp::new().await;
    let chunk = chunk(&test).await;
    let body = r#"{"chunk_id":"ignored","vector":[0.1,1,-1e-7,16777217,3.4028235e38]}"#;
    for family in ["chunks", "documents/chunks"] {
        let made = test.send("POST", &format!("/api/{family}/{chunk}/embeddings"), "application/json", body).await;
        let embedding = id(&made);
        let expected = format!(
            r#"{{"id":"{embedding}","chunk_id":"{chunk}","model":"text-embedding-ada-002","pinecone_id":null,"is_synced":false,"created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00","last_synced_at":null}}"#
        );
        assert_eq!((made.status, &made.text), (201, &expected));
        assert!(made.headers.contains_key("x-corpus-revision"));
        for family in ["embeddings", "documents/embeddings"] {
            for end in ["", "/", "?include_vector=false"] {
                let read = test.rest("GET", &format!("/api/{family}/{embedding}{end}"), None).await;
                assert_eq!((read.status, &read.text), (200, &expected));
            }
            let read = test.rest("GET", &format!("/api/{family}/{embedding}?include_vector=1"), None).await;
            let vector = r#","vector":[0.1,1.0,-1e-7,16777216.0,3.4028235e+38]}"#;
            assert_eq!(read.text, format!("{}{vector}", &expected[..expected.len() - 1]));
        }
    }
}

#[tokio::test]
async fn an_embedding_is_changed_and_deleted_on_both_paths() {
    let test = TestApp::new().await;
    let chunk = chunk(&test).await;
    for family in ["embeddings", "documents/embeddings"] {
        let body = json!({ "vector": [1, 2], "model": "m" });
        let made = test.rest("POST", &format!("/api/chunks/{chunk}/embeddings"), Some(body)).await;
        let path = format!("/api/{family}/{}", id(&made));
        let put = async |body: Value| test.rest("PUT", &path, Some(body)).await;
        let kept = put(json!({ "vector": null, "pinecone_id": null, "model": "ignored" })).await;
        assert_eq!((kept.status, kept.json()), (200, made.json()));
        let named = put(json!({ "pinecone_id": format!("vec-{}", family.len()), "vector": [3] })).await;
        assert_eq!(named.json()["pinecone_id"], format!("vec-{}", family.len()));
        let read = test.rest("GET", &format!("{path}?include_vector=true"), None).await;
        assert_eq!(read.json()["vector"], json!([3.0]));
        let unnamed = put(json!({ "pinecone_id": "" })).await;
        assert_eq!((unnamed.status, &unnamed.json()["pinecone_id"]), (200, &Value::Null));
        for (body, kind) in [
            (json!({ "vector": [] }), "too_short"),
            (json!({ "vector": "x" }), "list_type"),
            (json!({ "pinecone_id": 1 }), "string_type"),
            (json!({ "pinecone_id": "ü" }), "value_error"),
        ] {
            let refused = put(body).await;
            assert_eq!((refused.status, &refused.json()["detail"][0]["type"]), (422, &json!(kind)));
        }
        let gone = test.rest("DELETE", &path, None).await;
        assert_eq!((gone.status, gone.text.as_str()), (204, ""));
        for (method, body) in [("GET", None), ("PUT", Some(json!({}))), ("DELETE", None)] {
            let gone = test.rest(method, &path, body).await;
            assert_eq!((gone.status, &gone.json()["detail"]), (404, &json!("Embedding not found")), "{method}");
        }
    }
    let missing = test.rest("POST", "/api/chunks/none/embeddings", Some(json!({ "vector": [1] }))).await;
    assert_eq!((missing.status, &missing.json()["detail"]), (404, &json!("Chunk not found")));
}

#[tokio::test]
async fn a_taken_pinecone_id_is_a_conflict() {
    let test = TestApp::new().await;
    let chunk = chunk(&test).await;
    let create =
        async || test.rest("POST", &format!("/api/chunks/{chunk}/embeddings"), Some(json!({ "vector": [1] }))).await;
    let (one, two) = (id(&create().await), id(&create().await));
    let name =
        async |id: &str| test.rest("PUT", &format!("/api/embeddings/{id}"), Some(json!({ "pinecone_id": "v" }))).await;
    assert_eq!(name(&one).await.status, 200);
    let refused = name(&two).await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &json!("CONFLICT")));
}
