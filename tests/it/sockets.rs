//! What a client of a WebSocket may do to the server, and what it is told when it does more.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::rows;
use crate::support::socket::Socket;
use crate::support::socket::serve;

const EVENTS: &str = "subscription { corpusEvents { id } }";
/// Answers when the server stops, or in a minute.
const WAITS: &str =
    "{ search(input: { mode: TEXT, text: \"h\", waitFor: \"9999999\", waitMs: 60000 }) { stale hits { score } } }";

/// The head of a masked frame, and the mask that changes nothing.
fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first, 0xff];
    head.extend(length.to_be_bytes());
    head.extend([0; 4]);
    head
}

#[tokio::test]
async fn who_does_not_begin_in_time_is_told_so() {
    let test = TestApp::with(|config| config.socket.init = Duration::from_millis(20)).await;
    let mut socket = Socket::open(serve(&test).await, "graphql-transport-ws").await;
    assert_eq!(socket.closed().await, (4408, "Connection initialisation timeout".to_owned()));
}

#[tokio::test]
async fn who_speaks_another_protocol_is_told_so() {
    let test = TestApp::new().await;
    let address = serve(&test).await;
    let mut socket = Socket::open_without_protocol(address).await;
    assert_eq!(socket.closed().await.0, 4406);
}

#[tokio::test]
async fn messages_that_break_the_protocol_close_the_connection() {
    let test = TestApp::new().await;
    let address = serve(&test).await;
    let long = "x".repeat(257);
    for message in [
        json!({ "type": "ping", "payload": 1 }),
        json!({ "type": "pong", "payload": "x" }),
        json!({ "type": "subscribe", "id": "", "payload": { "query": EVENTS } }),
        json!({ "type": "subscribe", "id": long, "payload": { "query": EVENTS } }),
        json!({ "type": "complete" }),
        json!({ "type": "next", "id": "1", "payload": {} }),
    ] {
        let mut socket = Socket::ready(address).await;
        socket.send(&message).await;
        assert_eq!(socket.closed().await, (4400, "Invalid message".to_owned()), "{message}");
    }
    let mut socket = Socket::open(address, "graphql-transport-ws").await;
    socket.send(&json!({ "type": "connection_init", "payload": [] })).await;
    assert_eq!(socket.closed().await.0, 4400);
}

#[tokio::test]
async fn a_reason_is_as_long_as_a_close_frame_may_have_it() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    let id = format!("a{}", "\u{e9}".repeat(100));
    for _ in 0..2 {
        socket.subscribe(&id, EVENTS, Value::Null).await;
    }
    let (code, reason) = socket.closed().await;
    assert_eq!((code, reason.len()), (4409, 122));
    assert!(reason.starts_with("Subscriber for a\u{e9}"), "{reason}");
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_with_the_protocols_own_codes() {
    let test = TestApp::with(|config| config.socket.message_bytes = 1000).await;
    let address = serve(&test).await;
    let mut unmasked = vec![0x81, 2];
    unmasked.extend(b"{}");
    let mut latin = vec![0x81, 0x81, 0, 0, 0, 0];
    latin.push(0xe9);
    let mut parts = vec![0x01, 0xfe, 0x03, 0x20, 0, 0, 0, 0];
    parts.extend([b' '; 800]);
    parts.extend([0x80, 0xfe, 0x03, 0x20, 0, 0, 0, 0]);
    parts.extend([b' '; 800]);
    for (bytes, code) in [
        (latin, 1007),
        (unmasked, 1002),
        // A reserved bit, a kind of frame that does not exist, and a long ping.
        (vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        (vec![0x83, 0x80, 0, 0, 0, 0], 1002),
        (head(0x89, 126).into_iter().chain([0; 126]).collect(), 1002),
        // Only announced, and in parts that fit.
        (head(0x81, 1001), 1009),
        (head(0x81, u64::from(u32::MAX)), 1009),
        (parts, 1009),
    ] {
        let mut socket = Socket::ready(address).await;
        socket.send_raw(&bytes).await;
        assert_eq!(socket.closed().await.0, code, "{:?}", &bytes[..4]);
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_answered_while_it_is_still_under_way() {
    let test = TestApp::new().await;
    let address = serve(&test).await;
    let mut socket = Socket::ready(address).await;
    socket.send_text(format!("{{\"type\":\"ping\"{}}}", " ".repeat(1_048_576 - 15))).await;
    assert_eq!(socket.next().await["type"], "pong");
    // As much as no buffer on the way holds.
    let long = vec![b' '; 20_000_000];
    socket.send_raw(&head(0x81, long.len() as u64)).await;
    socket.send_raw(&long).await;
    assert_eq!(socket.closed().await, (1009, "A message has at most 1048576 bytes".to_owned()));
}

#[tokio::test]
async fn an_idle_client_stays_and_a_dead_one_does_not() {
    let test = TestApp::with(|config| config.socket.ping = Duration::from_millis(25)).await;
    let address = serve(&test).await;
    let dead = Socket::ready(address).await;
    let mut idle = Socket::ready(address).await;
    // Far more than a dead one gets.
    let (_, ()) = tokio::join!(idle.pings(12), dead.dropped());
    idle.subscribe("1", "{ __typename }", Value::Null).await;
    assert_eq!(idle.event("1").await["data"]["__typename"], "Query");
}

#[tokio::test]
async fn a_connection_has_a_limited_number_of_operations_at_a_time() {
    let test = TestApp::with(|config| config.socket.operations = 2).await;
    let mut socket = Socket::ready(serve(&test).await).await;
    for id in ["a", "b", "c"] {
        socket.subscribe(id, EVENTS, Value::Null).await;
    }
    let told = socket.next().await;
    assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("c")));
    assert_eq!(told["payload"][0]["message"], "At most 2 operations at a time on one connection");
    socket.send(&json!({ "type": "complete", "id": "a" })).await;
    socket.subscribe("c", "{ __typename }", Value::Null).await;
    assert_eq!(socket.event("c").await["data"]["__typename"], "Query");
}

#[tokio::test]
async fn a_slow_operation_holds_up_no_other() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    for id in 0..31 {
        socket.subscribe(&format!("slow{id}"), WAITS, Value::Null).await;
    }
    socket.subscribe("quick", "{ __typename }", Value::Null).await;
    assert_eq!(socket.event("quick").await["data"]["__typename"], "Query");
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "quick" }));
}

#[tokio::test]
async fn a_long_answer_is_one_message() {
    let test = TestApp::new().await;
    let text = "\u{e9}".repeat(200_000);
    let chunk = corpusd::service::chunks::NewChunk { text: text.clone(), ..rows::chunk("c") };
    let new = corpusd::service::documents::NewDocument { chunks: vec![chunk], ..rows::document("d") };
    corpusd::service::documents::create(test.cx(), new).await.unwrap();
    let mut socket = Socket::ready(serve(&test).await).await;
    socket.subscribe("1", "{ chunk(id: \"c\") { text } }", Value::Null).await;
    assert_eq!(socket.event("1").await["data"]["chunk"]["text"], text);
}

#[tokio::test]
async fn who_talks_and_never_listens_is_given_up() {
    let test = TestApp::with(|config| config.socket.ping = Duration::from_millis(50)).await;
    let chunk = corpusd::service::chunks::NewChunk { text: "x".repeat(900_000), ..rows::chunk("c") };
    let new = corpusd::service::documents::NewDocument { chunks: vec![chunk], ..rows::document("d") };
    corpusd::service::documents::create(test.cx(), new).await.unwrap();
    let mut socket = Socket::ready(serve(&test).await).await;
    // More than every buffer on the way holds.
    for id in 0..32 {
        let query = "{ a: chunk(id: \"c\") { text } b: chunk(id: \"c\") { text } }";
        socket.subscribe(&id.to_string(), query, Value::Null).await;
    }
    while socket.try_send(&json!({ "type": "pong" })).await {
        tokio::task::yield_now().await;
    }
    drop(socket);
    // Nothing of it is left, only the server itself.
    while test.cx().tasks().len() > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stopping_server_answers_what_was_asked_and_completes_no_subscription() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    socket.subscribe("events", EVENTS, Value::Null).await;
    socket.subscribe("waits", WAITS, Value::Null).await;
    socket.subscribe("begun", "{ __typename }", Value::Null).await;
    assert_eq!(socket.event("begun").await["data"]["__typename"], "Query");
    assert_eq!(socket.next().await["type"], "complete");
    test.cx().events().close();
    assert_eq!(socket.event("waits").await["data"]["search"]["stale"], true);
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "waits" }));
    assert_eq!(socket.closed().await, (1001, "The server is stopping".to_owned()));
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_and_says_why() {
    let test = TestApp::new().await;
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for (headers, status, sentence) in [
        (vec![("connection", "upgrade"), ("sec-websocket-key", key)], 426, "The version of a WebSocket is 13"),
        (
            vec![("sec-websocket-version", "13"), ("sec-websocket-key", key)],
            400,
            "A WebSocket is asked for over HTTP/1.1 with Connection: upgrade",
        ),
        (
            vec![("sec-websocket-version", "13"), ("connection", "keep-alive, Upgrade"), ("sec-websocket-key", "x")],
            400,
            "Sec-WebSocket-Key must be 16 bytes in base64",
        ),
    ] {
        let mut request = axum::http::Request::get("/graphql").header("upgrade", "WebSocket");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = test.send_request(request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!((answer.status, &answer.headers["sec-websocket-version"]), (status, &"13".parse().unwrap()));
        assert_eq!(answer.json()["errors"][0]["message"], sentence);
    }
}
