//! `/api/events`: pages and streams of changes.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::TestApp;

async fn make(test: &TestApp, title: &str) -> Value {
    test.rest("POST", "/api/documents", Some(json!({ "title": title }))).await.json()["id"].clone()
}

/// An open stream of server-sent events.
struct Stream {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(test: &TestApp, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::builder().uri(path).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = corpusd::server::router(test.app.clone()).oneshot(request).await.expect("infallible");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event: its id, its name, its data. Comments are signs of life.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
                if !event.starts_with(':') {
                    return Some((
                        field("id: "),
                        field("event: "),
                        serde_json::from_str(&field("data: ")).expect("JSON"),
                    ));
                }
                continue;
            }
            let part = tokio::time::timeout(Duration::from_secs(60), self.body.next()).await.expect("it goes on")?;
            self.text.push_str(std::str::from_utf8(&part.expect("a part")).expect("UTF-8"));
        }
    }
}

#[tokio::test]
async fn pages_of_events_go_on_where_the_last_one_ended() {
    let test = TestApp::new().await;
    make(&test, "before").await;
    let now = test.rest("GET", "/api/events", None).await.json();
    assert_eq!(now["events"], json!([]), "from now on");
    let ids = [make(&test, "A").await, make(&test, "B").await, make(&test, "C").await];
    let mut cursor = now["cursor"].clone();
    let mut seen = Vec::new();
    for count in [2, 1, 0] {
        let path = format!("/api/events?limit=2&after={}", cursor.as_str().unwrap());
        let page = test.rest("GET", &path, None).await.json();
        let events = page["events"].as_array().unwrap();
        assert_eq!(events.len(), count, "{page}");
        assert!(events.iter().all(|event| event["kind"] == "DOCUMENT_CREATED" && event["at"] == "2026-01-01T00:00:00"));
        seen.extend(events.iter().map(|event| event["id"].clone()));
        cursor = page["cursor"].clone();
    }
    assert_eq!(seen, ids);
    for (query, status) in [("after=nonsense", 422), ("limit=0", 422), ("limit=1001", 422), ("wait_ms=60001", 422)] {
        assert_eq!(test.rest("GET", &format!("/api/events?{query}"), None).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn a_page_waits_for_its_first_event() {
    let test = TestApp::new().await;
    let now = test.rest("GET", "/api/events", None).await.json();
    let path = format!("/api/events?wait_ms=60000&after={}", now["cursor"].as_str().unwrap());
    let (page, id) = tokio::join!(test.rest("GET", &path, None), make(&test, "A"));
    assert_eq!(page.json()["events"][0]["id"], id);
}

#[tokio::test]
async fn a_stream_tells_each_event_once_and_goes_on_behind_the_last_one_seen() {
    let test = TestApp::new().await;
    let now = test.rest("GET", "/api/events", None).await.json();
    let path = format!("/api/events?after={}", now["cursor"].as_str().unwrap());
    let first = make(&test, "A").await;
    let mut stream = Stream::open(&test, &path, None).await;
    let (id, kind, data) = stream.next().await.unwrap();
    assert_eq!((kind.as_str(), &data["id"], &data["cursor"]), ("DOCUMENT_CREATED", &first, &json!(id)));
    let second = make(&test, "B").await;
    assert_eq!(stream.next().await.unwrap().2["id"], second);
    drop(stream);
    // As a browser does it: the old address, and what it saw last.
    let mut again = Stream::open(&test, &path, Some(&id)).await;
    assert_eq!(again.next().await.unwrap().2["id"], second);
    test.cx().events().close();
    assert_eq!(again.next().await, None, "a server that stops ends it");
}
