//! `/api/documents`, as its clients see it.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_document_is_answered_as_the_contract_says() {
    let test = TestApp::new().await;
    let body = r#"{"metadata": {"b": 1.50, "a": {"n": 12345678901234567890123}}, "title": "Ü", "more": 1}"#;
    let made = test.send("POST", "/api/documents", "text/plain", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let expected = format!(
        r#"{{"id":"{id}","title":"Ü","source":null,"metadata":{{"b":1.50,"a":{{"n":12345678901234567890123}}}},"created_at":"2026-01-01T00:00:00","updated_at":"2026-01-01T00:00:00","is_deleted":false}}"#
    );
    assert_eq!(made.text, expected);
    assert_eq!(made.headers["x-corpus-revision"], "1");
    assert_eq!(made.headers["content-type"], "application/json");
    let read = test.rest("GET", &format!("/api/documents/{id}/"), None).await;
    assert_eq!(read.text, format!(r#"{},"chunk_count":0}}"#, &expected[..expected.len() - 1]));
    let list = test.rest("GET", "/api/documents/?limit=5", None).await;
    assert_eq!(list.text, format!("[{expected}]"));
    let found = test.rest("POST", "/api/documents/search", Some(json!({ "query": "ü" }))).await;
    assert_eq!(found.text, format!(r#"{{"count":1,"results":[{expected}]}}"#));
    let gone = test.rest("DELETE", &format!("/api/documents/{id}"), None).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    let missing = test.rest("GET", &format!("/api/documents/{id}"), None).await;
    assert_eq!((missing.status, missing.text.as_str()), (404, r#"{"detail":"Document not found","code":"NOT_FOUND"}"#));
}

#[tokio::test]
async fn all_flaws_of_a_request_are_told_at_once() {
    let test = TestApp::new().await;
    let refused = test.rest("POST", "/api/documents", Some(json!({ "source": 1, "metadata": [] }))).await;
    assert_eq!(refused.status, 422);
    let expected = r#"{"detail":[{"type":"missing","loc":["body","title"],"msg":"Field required","input":{"metadata":[],"source":1}},{"type":"string_type","loc":["body","source"],"msg":"Input should be a valid string","input":1},{"type":"dict_type","loc":["body","metadata"],"msg":"Input should be a valid dictionary","input":[]}],"code":"BAD_USER_INPUT"}"#;
    assert_eq!(refused.text, expected);
    let refused = test.rest("DELETE", "/api/documents", None).await;
    assert_eq!((refused.status, refused.headers["allow"].to_str().unwrap()), (405, "GET,HEAD,POST"));
    assert_eq!(refused.text, r#"{"detail":"Method Not Allowed","code":"METHOD_NOT_ALLOWED"}"#);
    let missing = test.rest("GET", "/", None).await;
    assert_eq!((missing.status, missing.text.as_str()), (404, r#"{"detail":"Not Found","code":"NOT_FOUND"}"#));
}
