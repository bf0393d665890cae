//! Chunks, as REST clients see them: two families of paths, two forms of bodies.

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;

async fn document(test: &TestApp) -> String {
    let made = test.rest("POST", "/api/documents", Some(json!({ "title": "A" }))).await;
    made.json()["id"].as_str().expect("an id").to_owned()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

#[tokio::test]
async fn a_chunk_is_answered_as_the_contract_says() {
    let test = TestApp::new().await;
    let document = document(&test).await;
    let path = format!("/api/documents/{document}/chunks");
    let body = r#"{"text":"Ünï","metadata":{"z":1,"a":[1.0,"x"]},"chunk_index":2}"#;
    let made = test.send("POST", &path, "application/json", body).await;
    let chunk = id(&made);
    let expected = format!(
        r#"{{"id":"{chunk}","document_id":"{document}","chunk_index":2,"text":"Ünï","metadata":{{"z":1,"a":[1.0,"x"]}},"created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00","is_deleted":false}}"#
    );
    assert_eq!((made.status, &made.text), (201, &expected));
    assert!(made.headers.contains_key("x-corpus-revision"));
    let detail = format!(r#"{},"embedding_count":0,"has_embedding":false}}"#, &expected[..expected.len() - 1]);
    for path in ["chunks", "documents/chunks"] {
        for end in ["", "/"] {
            let read = test.rest("GET", &format!("/api/{path}/{chunk}{end}"), None).await;
            assert_eq!((read.status, &read.text), (200, &detail));
        }
    }
    let listed = test.rest("GET", &format!("{path}/"), None).await;
    assert_eq!((listed.status, listed.text), (200, format!("[{expected}]")));
    let made = test.rest("POST", &format!("/api/chunks/{chunk}/embeddings/"), Some(json!({ "vector": [1] }))).await;
    assert_eq!(made.status, 201);
    let read = test.rest("GET", &format!("/api/chunks/{chunk}"), None).await.json();
    assert_eq!((&read["embedding_count"], &read["has_embedding"]), (&json!(1), &json!(true)));
}

#[tokio::test]
async fn a_chunk_is_changed_and_deleted_on_both_paths() {
    let test = TestApp::new().await;
    let document = document(&test).await;
    let create = json!({ "chunk_index": 0, "text": "a", "metadata": { "a": 1, "b": 2 } });
    for family in ["chunks", "documents/chunks"] {
        let made = test.rest("POST", &format!("/api/documents/{document}/chunks"), Some(create.clone())).await;
        let path = format!("/api/{family}/{}", id(&made));
        let put = async |path: &str, body: Value| test.rest("PUT", path, Some(body)).await;
        let changed = put(&path, json!({ "text": "b", "metadata": { "c": null, "a": [] } })).await;
        assert_eq!((changed.status, &changed.json()["text"]), (200, &json!("b")));
        assert!(changed.text.contains(r#""metadata":{"a":[],"b":2,"c":null}"#), "{}", changed.text);
        let kept = put(&path, json!({ "text": null, "metadata": null, "chunk_index": 9 })).await;
        assert_eq!((kept.status, kept.json()), (200, changed.json()));
        let replaced = put(&format!("{path}/?metadata_mode=replace"), json!({ "metadata": { "d": 1 } })).await;
        assert_eq!(replaced.json()["metadata"], json!({ "d": 1 }));
        assert_eq!(test.rest("DELETE", &path, None).await.status, 204);
        assert_eq!(test.rest("DELETE", &path, None).await.status, 204);
        for (method, body) in [("GET", None), ("PUT", Some(json!({ "text": "c" })))] {
            let gone = test.rest(method, &path, body).await;
            assert_eq!((gone.status, &gone.json()["detail"]), (404, &json!("Chunk not found")), "{method}");
        }
        assert_eq!(test.rest("DELETE", &format!("{path}?hard_delete=true"), None).await.status, 204);
        assert_eq!(test.rest("DELETE", &path, None).await.status, 404);
    }
}

#[tokio::test]
async fn a_batch_comes_in_three_forms_and_back_in_request_order() {
    let test = TestApp::new().await;
    let document = document(&test).await;
    let path = format!("/api/documents/{document}/chunks/batch");
    let items = json!([{ "chunk_index": 1, "text": "b" }, { "chunk_index": 0, "text": "a", "document_id": "other" }]);
    for body in [json!({ "chunks": items }), json!({ "document_id": document, "chunks": items }), items.clone()] {
        let made = test.rest("POST", &path, Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let texts: Vec<Value> = made.json().as_array().expect("a list").iter().map(|c| c["text"].clone()).collect();
        assert_eq!(texts, ["b", "a"]);
        assert_eq!(made.json()[1]["document_id"], json!(document));
    }
    let listed = test.rest("GET", &format!("/api/documents/{document}/chunks?skip=1&limit=3"), None).await.json();
    let texts: Vec<&Value> = listed.as_array().expect("a list").iter().map(|chunk| &chunk["text"]).collect();
    assert_eq!(texts, ["a", "a", "b"]);
    for body in [json!([]), json!({ "chunks": [] })] {
        let made = test.rest("POST", &path, Some(body)).await;
        assert_eq!((made.status, made.text.as_str()), (201, "[]"));
    }
}

#[tokio::test]
async fn a_flawed_batch_leaves_nothing_and_names_every_flaw() {
    let test = TestApp::with(|config| config.limits.batch = 3).await;
    let document = document(&test).await;
    let path = format!("/api/documents/{document}/chunks");
    let good = json!({ "chunk_index": 0, "text": "a" });
    let refused = test.rest("POST", &format!("{path}/batch"), Some(json!([good, { "text": "" }]))).await;
    assert_eq!(refused.status, 422);
    let detail = refused.json()["detail"].clone();
    assert_eq!(detail[0]["loc"], json!(["body", 1, "chunk_index"]));
    assert_eq!(detail[1]["loc"], json!(["body", 1, "text"]));
    let refused = test.rest("POST", &format!("{path}/batch"), Some(json!({ "chunks": vec![good; 4] }))).await;
    let flaw = refused.json()["detail"][0].clone();
    assert_eq!((&flaw["type"], &flaw["loc"]), (&json!("too_long"), &json!(["body", "chunks"])));
    assert_eq!(flaw["ctx"], json!({ "field_type": "List", "max_length": 3, "actual_length": 4 }));
    assert_eq!(test.rest("GET", &path, None).await.text, "[]");
}

#[tokio::test]
async fn a_chunk_below_a_deleted_document_is_not_found() {
    let test = TestApp::new().await;
    let document = document(&test).await;
    let path = format!("/api/documents/{document}/chunks");
    let made = test.rest("POST", &path, Some(json!({ "chunk_index": 0, "text": "a" }))).await;
    test.rest("DELETE", &format!("/api/documents/{document}"), None).await;
    assert_eq!(test.rest("GET", &format!("/api/chunks/{}", id(&made)), None).await.status, 404);
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("POST", path.clone(), Some(json!({ "chunk_index": 0, "text": "a" }))),
        ("POST", format!("{path}/batch"), Some(json!([{ "chunk_index": 0, "text": "a" }]))),
    ] {
        let gone = test.rest(method, &path, body).await;
        assert_eq!((gone.status, &gone.json()["detail"]), (404, &json!("Document not found")), "{method} {path}");
    }
}

#[tokio::test]
async fn the_words_chunks_and_batch_are_paths_only_where_they_stand_alone() {
    let test = TestApp::new().await;
    // Static segments win: this is the chunk `chunks`, not the list of a document `chunks`.
    let read = test.rest("GET", "/api/documents/chunks/chunks", None).await;
    assert_eq!((read.status, &read.json()["detail"]), (404, &json!("Chunk not found")));
    let read = test.rest("GET", "/api/documents/chunks", None).await;
    assert_eq!((read.status, &read.json()["detail"]), (404, &json!("Document not found")));
    let made =
        test.rest("POST", "/api/documents/chunks/chunks/batch", Some(json!([{ "chunk_index": 0, "text": "a" }])));
    assert_eq!(made.await.json()["detail"], "Document not found");
    let refused = test.rest("GET", "/api/documents/search", None).await;
    assert_eq!((refused.status, &refused.headers["allow"]), (405, &"POST".parse().expect("a value")));
    let head = test.rest("HEAD", "/api/documents", None).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
}
