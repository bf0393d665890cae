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

#[tokio::test]
async fn a_document_is_merged_kept_and_replaced() {
    let test = TestApp::new().await;
    let body = json!({ "title": "A", "source": "s", "metadata": { "a": 1, "b": { "c": 1 } } });
    let made = test.rest("POST", "/api/documents", Some(body)).await.json();
    let path = format!("/api/documents/{}", made["id"].as_str().expect("an id"));
    let kept = test.rest("PUT", &path, Some(json!({ "title": null, "source": null, "metadata": null }))).await;
    assert_eq!((kept.status, kept.json()), (200, made));
    assert_eq!(kept.headers["x-corpus-revision"], "1", "nothing new was written");
    let body = r#"{"title":"B","metadata":{"z":null,"b":{"d":2}}}"#;
    let merged = test.send("PUT", &format!("{path}/"), "application/json", body).await;
    assert!(
        merged.text.contains(r#""title":"B","source":"s","metadata":{"a":1,"b":{"d":2},"z":null}"#),
        "{}",
        merged.text
    );
    assert_eq!(merged.headers["x-corpus-revision"], "2");
    let replaced = test.rest("PUT", &format!("{path}?metadata_mode=replace"), Some(json!({ "metadata": {} }))).await;
    assert_eq!(replaced.json()["metadata"], json!({}));
    let none = test.rest("PUT", "/api/documents/none", Some(json!({ "title": "x" }))).await;
    assert_eq!((none.status, &none.json()["detail"]), (404, &json!("Document not found")));
}

#[tokio::test]
async fn an_id_with_any_characters_is_reached_by_its_encoded_path() {
    use corpusd::service::documents;
    use corpusd::service::documents::NewDocument;
    let test = TestApp::new().await;
    for (id, path) in [
        ("custom/id 1", "custom%2Fid%201"),
        ("100%", "100%25"),
        ("a%2Fb", "a%252Fb"),
        ("+ü😀", "+%C3%BC%F0%9F%98%80"),
        ("?#[]", "%3F%23%5B%5D"),
        ("..", "%2E%2E"),
        ("trailing/", "trailing%2F"),
    ] {
        let new = NewDocument { id: Some(id.to_owned()), title: "A".to_owned(), ..NewDocument::default() };
        documents::create(test.cx(), new).await.expect("a document");
        let read = test.rest("GET", &format!("/api/documents/{path}/"), None).await;
        assert_eq!((read.status, &read.json()["id"]), (200, &json!(id)), "{path}");
        let body = json!({ "chunk_index": 0, "text": "x" });
        let made = test.rest("POST", &format!("/api/documents/{path}/chunks"), Some(body)).await;
        assert_eq!((made.status, &made.json()["document_id"]), (201, &json!(id)), "{path}");
        let read = test.rest("GET", &format!("/api/documents/{path}"), None).await;
        assert_eq!(read.json()["chunk_count"], 1);
        assert_eq!(test.rest("DELETE", &format!("/api/documents/{path}?hard_delete=1"), None).await.status, 204);
    }
}

#[tokio::test]
async fn lists_are_stable_limited_and_hide_the_deleted() {
    let test = TestApp::with(|config| config.limits.rest_page = 3).await;
    let mut ids = Vec::new();
    for i in 0..5 {
        let made = test.rest("POST", "/api/documents", Some(json!({ "title": format!("T{i}") }))).await.json();
        ids.push(made["id"].as_str().expect("an id").to_owned());
        test.clock.advance(std::time::Duration::from_micros(1));
    }
    test.rest("DELETE", &format!("/api/documents/{}", ids[1]), None).await;
    let list = async |query: &str| -> Vec<String> {
        let listed = test.rest("GET", &format!("/api/documents?{query}"), None).await.json();
        let rows = listed.as_array().expect("a list").iter();
        rows.map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(list("").await, [&ids[0][..], &ids[2], &ids[3]]);
    assert_eq!(list("skip=2&limit=100000").await, [&ids[3][..], &ids[4]]);
    assert_eq!(list("include_deleted=yes&skip=1&limit=2").await, [&ids[1][..], &ids[2]]);
    assert_eq!(list("limit=0").await, [""; 0]);
    let all = test.rest("GET", "/api/documents?include_deleted=true", None).await.json();
    assert_eq!((&all[1]["is_deleted"], &all[0]["created_at"]), (&json!(true), &json!("2026-01-01T00:00:00")));
    assert_eq!(all[1]["created_at"], "2026-01-01T00:00:00.000001");
}

#[tokio::test]
async fn a_search_takes_its_text_literally_and_folds_case() {
    let test = TestApp::new().await;
    for (title, source) in [("100% É", None), ("under_score", Some("HTTPS://X/Straße")), ("other", None)] {
        test.rest("POST", "/api/documents", Some(json!({ "title": title, "source": source }))).await;
    }
    let find = async |query: &str| test.rest("POST", "/api/documents/search/", Some(json!({ "query": query }))).await;
    for (query, count) in [("%", 1), ("_", 1), ("é", 1), ("STRASSE", 1), ("https", 1), ("e", 2), ("nothing", 0)] {
        let found = find(query).await;
        assert_eq!((found.status, found.json()["count"].as_i64()), (200, Some(count)), "{query}: {}", found.text);
    }
    assert_eq!(find("").await.json()["detail"][0]["type"], "string_too_short");
    assert_eq!(find("\u{0}").await.status, 422);
}
