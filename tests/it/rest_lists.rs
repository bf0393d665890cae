//! What REST clients have besides the contract of the first backend: counts, links, tags, restoring.

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().expect("visible characters"))
}

/// The address of a relation in a `Link` header.
fn link(answer: &Answer, rel: &str) -> Option<String> {
    let links = header(answer, "link")?.split(", ");
    let found = links.filter_map(|link| link.strip_suffix(&format!("; rel=\"{rel}\"")));
    found.map(|link| link.trim_start_matches('<').trim_end_matches('>').to_owned()).next()
}

async fn conditional(test: &TestApp, method: &str, path: &str, tag: &str, body: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    test.send_request(request.header("if-match", tag).body(Body::from(body.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn following_the_links_of_a_list_gives_every_row_once() {
    let test = TestApp::with(|config| config.limits.rest_page = 3).await;
    for number in 0..7 {
        test.rest("POST", "/api/documents", Some(json!({ "title": format!("T{number}") }))).await;
    }
    let gone = test.rest("GET", "/api/documents?limit=1", None).await.json()[0]["id"].clone();
    test.rest("DELETE", &format!("/api/documents/{}", gone.as_str().unwrap()), None).await;
    for (query, total) in [("include_deleted=true&limit=99", 7), ("", 6)] {
        let (mut path, mut titles) = (Some(format!("/api/documents?{query}")), Vec::new());
        let mut last = None;
        while let Some(next) = path {
            let page = test.rest("GET", &next, None).await;
            assert_eq!(header(&page, "x-total-count"), Some(total.to_string().as_str()), "{next}");
            let rows = page.json();
            titles.extend(rows.as_array().unwrap().iter().map(|row| row["title"].clone()));
            last = link(&page, "last").or(last);
            path = link(&page, "next");
        }
        titles.dedup();
        assert_eq!(titles.len(), total, "{titles:?}");
        let last = test.rest("GET", &last.expect("a last page"), None).await;
        assert_eq!(last.json().as_array().unwrap().last().unwrap()["title"], "T6");
        assert_eq!(link(&last, "next"), None);
        let before = test.rest("GET", &link(&last, "prev").unwrap(), None).await;
        assert!(link(&before, "next").is_some() && link(&before, "first").unwrap().contains("skip=0"));
    }
    let beyond = test.rest("GET", "/api/documents?skip=50", None).await;
    assert_eq!((beyond.text.as_str(), header(&beyond, "x-total-count")), ("[]", Some("6")));
    let none = test.rest("GET", "/api/documents?limit=0", None).await;
    assert_eq!((none.text.as_str(), header(&none, "x-total-count")), ("[]", Some("6")));
    assert_eq!(header(&none, "link"), None);
}

#[tokio::test]
async fn a_list_that_fits_one_page_has_a_count_and_no_links() {
    let test = TestApp::new().await;
    let document = test.rest("POST", "/api/documents", Some(json!({ "title": "T" }))).await.json();
    let path = format!("/api/documents/{}/chunks", document["id"].as_str().unwrap());
    for index in 0..2 {
        test.rest("POST", &path, Some(json!({ "chunk_index": index, "text": "t" }))).await;
    }
    let chunks = test.rest("GET", &path, None).await;
    assert_eq!((header(&chunks, "x-total-count"), header(&chunks, "link")), (Some("2"), None));
    let first = test.rest("GET", &format!("{path}?limit=1"), None).await;
    assert_eq!(header(&first, "x-total-count"), Some("2"));
    assert_eq!(link(&first, "next"), Some(format!("{path}?skip=1&limit=1")));
}

#[tokio::test]
async fn a_change_with_an_old_tag_is_refused_and_changes_nothing() {
    let test = TestApp::new().await;
    let made = test.rest("POST", "/api/documents", Some(json!({ "title": "A" }))).await;
    let path = format!("/api/documents/{}", made.json()["id"].as_str().unwrap());
    let old = header(&made, "etag").expect("a tag").to_owned();
    assert_eq!(header(&test.rest("GET", &path, None).await, "etag"), Some(old.as_str()));
    let changed = conditional(&test, "PUT", &path, &old, r#"{"title":"B"}"#).await;
    assert_eq!((changed.status, &changed.json()["title"]), (200, &json!("B")));
    let new = header(&changed, "etag").expect("a tag").to_owned();
    assert_ne!(new, old);
    for tag in [old.as_str(), &format!("W/{new}"), "\"99\", \"other\"", "nonsense"] {
        for (method, body) in [("PUT", r#"{"title":"C"}"#), ("DELETE", "")] {
            let refused = conditional(&test, method, &path, tag, body).await;
            assert_eq!((refused.status, &refused.json()["code"]), (412, &json!("CONFLICT")), "{method} {tag}");
        }
    }
    // A condition that nobody can read is one that does not hold.
    let odd = axum::http::HeaderValue::from_bytes(b"\"\x80\"").expect("a value");
    let request = Request::builder().method("PUT").uri(&path).header("if-match", odd);
    let refused = test.send_request(request.body(Body::from(r#"{"title":"C"}"#)).expect("a request")).await;
    assert_eq!(refused.status, 412, "{}", refused.text);
    // Two lines are one list.
    let request = Request::builder().method("PUT").uri(&path).header("if-match", "\"99\"").header("if-match", &new);
    let changed = test.send_request(request.body(Body::from(r#"{"source":"s"}"#)).expect("a request")).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(test.rest("GET", &path, None).await.json()["title"], "B");
    let any = conditional(&test, "PUT", &path, "*", r#"{"title":"D"}"#).await;
    assert_eq!(any.status, 200);
    let several = format!("\"99\", {}", header(&any, "etag").unwrap());
    assert_eq!(conditional(&test, "DELETE", &path, &several, "").await.status, 204);
    assert_eq!(conditional(&test, "DELETE", "/api/documents/none", "\"1\"", "").await.status, 404);
}

#[tokio::test]
async fn what_was_soft_deleted_is_restored() {
    let test = TestApp::new().await;
    let document = test.rest("POST", "/api/documents", Some(json!({ "title": "T" }))).await.json();
    let document = format!("/api/documents/{}", document["id"].as_str().unwrap());
    let chunk = test.rest("POST", &format!("{document}/chunks"), Some(json!({ "chunk_index": 0, "text": "t" }))).await;
    let id = chunk.json()["id"].as_str().unwrap().to_owned();
    for chunk in [format!("/api/chunks/{id}"), format!("/api/documents/chunks/{id}")] {
        assert_eq!(test.rest("DELETE", &chunk, None).await.status, 204);
        assert_eq!(test.rest("GET", &chunk, None).await.status, 404);
        let back = test.rest("POST", &format!("{chunk}/restore"), None).await;
        assert_eq!((back.status, &back.json()["text"]), (200, &json!("t")));
        assert!(header(&back, "x-corpus-revision").is_some());
    }
    assert_eq!(test.rest("DELETE", &document, None).await.status, 204);
    let back = test.rest("POST", &format!("{document}/restore"), None).await;
    assert_eq!((back.status, &back.json()["is_deleted"]), (200, &json!(false)));
    let again = test.rest("POST", &format!("{document}/restore"), None).await;
    assert_eq!((again.status, header(&again, "etag")), (200, header(&back, "etag")), "a live one stays as it is");
    for path in ["/api/documents/none/restore", "/api/chunks/none/restore"] {
        assert_eq!(test.rest("POST", path, None).await.status, 404);
    }
}

#[tokio::test]
async fn jobs_are_listed_read_and_cancelled() {
    let test = TestApp::new().await;
    let document = test.rest("POST", "/api/documents", Some(json!({ "title": "T" }))).await.json();
    let mut ids = Vec::new();
    for scope in [json!({ "unsynced": true }), json!({ "documentId": document["id"] })] {
        let query = "mutation($input: StartSyncInput!) { startSync(input: $input) { job { id } } }";
        let answer = test.graphql(query, json!({ "input": { "scope": scope } })).await;
        ids.push(answer["data"]["startSync"]["job"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
        test.clock.advance(std::time::Duration::from_millis(10));
    }
    let first = test.rest("GET", "/api/sync/jobs?limit=1", None).await;
    assert_eq!((&first.json()[0]["id"], header(&first, "x-total-count")), (&json!(ids[1]), Some("2")));
    let second = test.rest("GET", &link(&first, "next").expect("a next page"), None).await;
    assert_eq!((&second.json()[0]["id"], header(&second, "link")), (&json!(ids[0]), None));
    let one = test.rest("GET", &format!("/api/sync/jobs/{}", ids[0]), None).await.json();
    assert_eq!((&one["kind"], &one["state"], &one["report"]), (&json!("export"), &json!("queued"), &Value::Null));
    let cancelled = test.rest("DELETE", &format!("/api/sync/jobs/{}", ids[0]), None).await.json();
    assert_eq!(
        (&cancelled["state"], &cancelled["finished_at"]),
        (&json!("cancelled"), &json!("2026-01-01T00:00:00.020000"))
    );
    let listed = test.rest("GET", "/api/sync/jobs?state=cancelled", None).await;
    assert_eq!((listed.json().as_array().unwrap().len(), &listed.json()[0]["id"]), (1, &json!(ids[0])));
    let check = test.rest("POST", "/api/pinecone/reconcile", None).await.json();
    let check = test.rest("GET", &format!("/api/sync/jobs/{}", check["job_id"].as_str().unwrap()), None).await.json();
    assert_eq!((&check["kind"], &check["report"]["mode"]), (&json!("reconcile"), &json!("check")));
    for (path, status) in [
        ("/api/sync/jobs/none", 404),
        ("/api/sync/jobs?state=asleep", 422),
        ("/api/sync/jobs?limit=0", 422),
        ("/api/sync/jobs?after=nonsense", 422),
    ] {
        assert_eq!(test.rest("GET", path, None).await.status, status, "{path}");
    }
    assert_eq!(test.rest("DELETE", "/api/sync/jobs/none", None).await.status, 404);
}

#[tokio::test]
async fn targets_tell_how_far_they_are_in_step() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    corpusd::service::documents::create(test.cx(), crate::support::rows::nested()).await.unwrap();
    let behind = test.rest("GET", "/api/sync/targets", None).await.json();
    assert_eq!((&behind[0]["state"], &behind[0]["kind"]), (&json!("active"), &json!("local")));
    assert_eq!(behind[0]["synced_through"], 0);
    test.clock.advance(std::time::Duration::from_secs(2));
    test.sync_until_idle().await;
    let there = test.rest("GET", "/api/sync/targets", None).await.json();
    assert!(there[0]["synced_through"].as_i64().unwrap() > 0, "{there}");
    assert_eq!(there[0]["lag_seconds"], 0.0);
}
