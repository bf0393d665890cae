//! Clients that are slow, or too many, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use corpusd::capacity::Place;
use corpusd::config::Config;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::TestApp;
use crate::support::rows;
use crate::support::socket::PATIENCE;
use crate::support::socket::Socket;
use crate::support::socket::serve;

/// The least that a limit may be here: a busy machine must not reach it by chance.
const SOON: Duration = Duration::from_millis(50);

/// Bytes over a connection of their own.
struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("it listens"))
    }

    async fn saying(address: SocketAddr, text: &str) -> Self {
        let mut client = Self::connect(address).await;
        client.say(text).await;
        client
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("it is taken");
    }

    /// Everything until the server closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.expect("an end in time");
        read.expect("no reset");
        String::from_utf8(bytes).expect("UTF-8")
    }

    /// An answer whose length is told.
    async fn answer(&mut self) -> String {
        let mut text = String::new();
        loop {
            let mut byte = [0];
            tokio::time::timeout(PATIENCE, self.0.read_exact(&mut byte)).await.expect("in time").expect("an answer");
            text.push(char::from(byte[0]));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() == length.expect("a length").parse::<usize>().expect("a number") {
                return text;
            }
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

fn post(path: &str, length: usize, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

async fn app(change: impl FnOnce(&mut Config)) -> (TestApp, SocketAddr) {
    let test = TestApp::with(change).await;
    let address = serve(&test).await;
    (test, address)
}

/// A document with the chunk `c`, whose text has so many bytes.
async fn long_chunk(test: &TestApp, bytes: usize) {
    let chunk = NewChunk { text: "x".repeat(bytes), ..rows::chunk("c") };
    documents::create(test.cx(), NewDocument { chunks: vec![chunk], ..rows::document("d") }).await.expect("created");
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_its_connection() {
    let (_test, address) = app(|config| config.http.head = SOON).await;
    for begun in ["", "GET /health/live HTTP/1.1\r\nhost:"] {
        assert_eq!(Client::saying(address, begun).await.rest().await, "", "{begun:?}");
    }
    let mut client = Client::saying(address, &get("/health/live")).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200"));
    client.say("GET /").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn an_idle_connection_ends_and_one_whose_request_is_under_way_does_not() {
    let (_test, address) = app(|config| config.http.idle = SOON).await;
    let query =
        r#"{"query":"{ search(input: {mode: TEXT, text: \"h\", waitFor: \"9999999\", waitMs: 500}) { stale } }"}"#;
    let mut client = Client::saying(address, &post("/graphql", query.len(), query)).await;
    let answer = client.answer().await;
    assert!(answer.contains(r#"{"data":{"search":{"stale":true}}"#), "{answer}");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let (_test, address) = app(|config| config.http.body = SOON).await;
    for (path, code) in
        [("/api/documents", r#""code":"REQUEST_TIMEOUT""#), ("/graphql", r#"{"code":"REQUEST_TIMEOUT"}"#)]
    {
        let mut client = Client::saying(address, &post(path, 100, r#"{"title":"#)).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.contains(code) && answer.contains("x-request-id: "), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    let (test, address) = app(|config| config.http.write = SOON).await;
    long_chunk(&test, 900_000).await;
    // More than every buffer on the way holds.
    let fields: String = (0..20).map(|number| format!("c{number}: chunk(id: \\\"c\\\") {{ text }} ")).collect();
    let query = format!(r#"{{"query":"{{ {fields} }}"}}"#);
    let mut client = Client::saying(address, &post("/graphql", query.len(), &query)).await;
    client.0.readable().await.expect("it begins");
    tokio::time::sleep(SOON * 8).await;
    let mut taken = Vec::new();
    // Some was under way; then there is an end, or a reset.
    let _ = tokio::time::timeout(PATIENCE, client.0.read_to_end(&mut taken)).await.expect("an end in time");
    assert!(!taken.is_empty() && taken.len() < 18_000_000, "{}", taken.len());
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_health_is_answered() {
    let (_test, address) = app(|config| config.http.connections = 1).await;
    let mut first = Client::saying(address, &get("/health/live")).await;
    first.answer().await;
    let refused = Client::saying(address, &get("/api/documents")).await.rest().await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    for part in ["retry-after: 1\r\n", "connection: close\r\n", r#""code":"UNAVAILABLE""#, "x-request-id: "] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let health = Client::saying(address, &get("/health/ready")).await.rest().await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with(r#"{"status":"ready"}"#), "{health}");
    drop(first);
    // Its seat is free as soon as the server has noticed.
    while Client::saying(address, &get("/api/documents")).await.answer().await.starts_with("HTTP/1.1 503") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn bodies_that_come_at_once_have_room_for_so_much_together() {
    let (_test, address) = app(|config| {
        config.limits.body_bytes = 100_000;
        config.http.bodies_bytes = 100_000;
    })
    .await;
    let body = json!({ "title": "A", "metadata": { "x": "x".repeat(60_000) } }).to_string();
    let (most, last) = body.split_at(body.len() - 1);
    let mut first = Client::saying(address, &post("/api/documents", body.len(), most)).await;
    // What the first has sent takes a moment to get there.
    let refused = loop {
        let mut second = Client::saying(address, &post("/api/documents", body.len(), &body)).await;
        let answer = second.answer().await;
        if !answer.starts_with("HTTP/1.1 201") {
            break answer;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1\r\n"), "{refused}");
    first.say(last).await;
    assert!(first.answer().await.starts_with("HTTP/1.1 201"));
    let mut third = Client::saying(address, &post("/api/documents", body.len(), &body)).await;
    assert!(third.answer().await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let (_test, address) = app(|config| config.limits.body_bytes = 1000).await;
    let body = "x".repeat(9_000_000);
    for path in ["/api/documents", "/graphql"] {
        let mut client = Client::saying(address, &post(path, body.len(), &body)).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    }
}

/// An application with one place.
async fn small() -> TestApp {
    TestApp::with(|config| {
        config.http.requests = 1;
        config.http.queue = Duration::from_millis(1);
    })
    .await
}

/// Takes the place.
async fn fill(test: &TestApp) -> Arc<Place> {
    let place = Place::new(test.cx().capacity());
    place.enter().await.expect("the first");
    place
}

#[tokio::test]
async fn a_server_that_is_full_says_so_at_once_and_health_is_answered() {
    let test = small().await;
    let place = fill(&test).await;
    let query = json!({ "query": "{ __typename }" }).to_string();
    for (method, path, body) in
        [("POST", "/graphql", query.as_str()), ("GET", "/api/documents", ""), ("POST", "/api/documents", "{}")]
    {
        let answer = test.send(method, path, "application/json", body.to_owned()).await;
        assert_eq!((answer.status, &answer.headers["retry-after"]), (503, &"1".parse().unwrap()), "{path}");
        assert!(answer.text.contains("UNAVAILABLE"), "{}", answer.text);
    }
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(test.rest("GET", path, None).await.status, 200);
    }
    drop(place);
    assert_eq!(test.graphql("{ __typename }", Value::Null).await["data"]["__typename"], "Query");
}

#[tokio::test]
async fn the_operations_of_sockets_have_places_like_requests() {
    let test = small().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    let place = fill(&test).await;
    socket.subscribe("1", "{ __typename }", Value::Null).await;
    let told = socket.next().await;
    assert_eq!(told["payload"][0]["extensions"]["code"], "UNAVAILABLE", "{told}");
    drop(place);
    // A subscription has none: it only waits.
    for id in ["a", "b", "c"] {
        socket.subscribe(id, "subscription { corpusEvents { id } }", Value::Null).await;
    }
    socket.subscribe("1", "{ __typename }", Value::Null).await;
    assert_eq!(socket.event("1").await["data"]["__typename"], "Query");
}

#[tokio::test]
async fn who_only_waits_takes_no_place_from_others() {
    let test = TestApp::with(|config| {
        config.http.requests = 1;
        config.http.queue = PATIENCE;
    })
    .await;
    documents::create(test.cx(), rows::nested()).await.expect("created");
    let query = "{ search(input: {mode: TEXT, text: \"h\", waitFor: \"9999999\", waitMs: 60000}) { stale } }";
    let waits = async { tokio::join!(test.graphql(query, Value::Null), test.graphql(query, Value::Null)) };
    let others = async {
        let exported = test.rest("POST", "/api/pinecone/export/document/d", None).await;
        assert_eq!(exported.status, 200, "{}", exported.text);
        // A stream is open as long as its client likes.
        let stream = Request::get("/graphql?query=subscription%7BcorpusEvents%7Bid%7D%7D");
        let stream = stream.header("accept", "text/event-stream").body(Body::empty()).expect("a request");
        let stream = tower::ServiceExt::oneshot(corpusd::server::router(test.app.clone()), stream).await;
        assert_eq!(test.graphql("{ __typename }", Value::Null).await["data"]["__typename"], "Query");
        drop(stream);
        test.cx().events().close();
    };
    let (waited, ()) = tokio::join!(waits, others);
    assert_eq!(waited.0["data"]["search"]["stale"], true);
    assert_eq!(waited.1["data"]["search"]["stale"], true);
}
