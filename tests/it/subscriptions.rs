//! Subscriptions over a real socket, in the protocol graphql-transport-ws.

use corpusd::error::Code;
use corpusd::service::Delete;
use corpusd::service::chunks;
use corpusd::service::documents;
use corpusd::service::documents::DocumentPatch;
use corpusd::service::events;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use futures_util::StreamExt as _;
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::rows;
use crate::support::socket::Socket;
use crate::support::socket::serve;

const CORPUS: &str = "subscription($after: String) { corpusEvents(after: $after) { cursor kind id at } }";
const DOCUMENT: &str = "subscription($id: ID!) { documentSync(id: $id) { state total held synced percentage } }";
const PROGRESS: &str = "subscription($id: ID!, $after: Int) { syncProgress(jobId: $id, after: $after) { seq job { id state kind target } } }";

fn code_of(message: &Value) -> &str {
    message["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

/// The cursor before the first entry of the log.
fn beginning() -> &'static str {
    "ZTE6MA"
}

#[tokio::test]
async fn the_handshake_is_kept_and_its_breaches_close_with_the_protocols_codes() {
    let test = TestApp::new().await;
    let address = serve(&test).await;
    let mut socket = Socket::ready(address).await;
    socket.send(&json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
    socket.send(&json!({ "type": "connection_init" })).await;
    assert_eq!(socket.closed().await.0, 4429);

    let mut socket = Socket::open(address, "graphql-transport-ws").await;
    socket.subscribe("1", "{ __typename }", Value::Null).await;
    assert_eq!(socket.closed().await.0, 4401);

    for text in ["{", "[]", r#"{"type":"subscribe"}"#, r#"{"type":"start","id":"1"}"#, r#"{"id":"1"}"#] {
        let mut socket = Socket::ready(address).await;
        socket.send_text(text.to_owned()).await;
        assert_eq!(socket.closed().await.0, 4400, "{text}");
    }

    let mut socket = Socket::ready(address).await;
    for _ in 0..2 {
        socket.subscribe("same", CORPUS, Value::Null).await;
    }
    assert_eq!(socket.closed().await, (4409, "Subscriber for same already exists".to_owned()));
}

#[tokio::test]
async fn queries_and_mutations_are_executed_over_the_socket_too() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    let create = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }";
    socket.subscribe("m", create, json!({ "input": { "id": "d", "title": "A" } })).await;
    let answer = socket.event("m").await;
    assert_eq!(answer["data"]["createDocument"]["document"]["id"], "d");
    assert_eq!(answer["extensions"]["corpusRevision"], "1");
    assert_eq!(socket.next().await, json!({ "id": "m", "type": "complete" }));
    // The id is free again.
    socket.subscribe("m", "{ document(id: \"d\") { title } }", Value::Null).await;
    let cost = json!({ "cost": { "requested": 1, "limit": 10_000 } });
    let title = json!({ "data": { "document": { "title": "A" } }, "extensions": cost });
    assert_eq!(socket.event("m").await, title);
    assert_eq!(socket.next().await, json!({ "id": "m", "type": "complete" }));
}

#[tokio::test]
async fn what_cannot_be_executed_is_told_as_an_error_of_its_operation() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    for (query, code) in [
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("{ ...a } fragment a on Query { ...a ...a }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        socket.subscribe("1", query, Value::Null).await;
        let told = socket.next().await;
        assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("1")), "{told}");
        assert_eq!(told["payload"][0]["extensions"]["code"], code);
    }
    let big = r#"{"id":"2","type":"subscribe","payload":{"query":"{__typename}","variables":{"a":[1,99999999999999999999]}}}"#;
    socket.send_text(big.to_owned()).await;
    let told = socket.next().await;
    assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("2")));
    assert_eq!(told["payload"][0]["extensions"]["fields"][0]["field"], "variables.a.1");
    // What is no JSON is about its operation too, as long as one can tell which.
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    for (value, reason) in [
        ("NaN", "Expecting value at offset"),
        ("\"\\ud800\"", "Lone surrogate at offset"),
        (&deep, "Nested too deep at offset"),
    ] {
        let payload = format!(r#"{{"query":"{{__typename}}","variables":{{"a":{value}}}}}"#);
        for text in [
            format!(r#"{{"id":"3","type":"subscribe","payload":{payload}}}"#),
            format!(r#"{{"payload":{payload},"type":"subscribe","id":"3"}}"#),
        ] {
            socket.send_text(text).await;
            let told = socket.next().await;
            assert_eq!((&told["type"], &told["id"]), (&json!("error"), &json!("3")));
            let message = told["payload"][0]["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains(reason), "{message}");
            assert_eq!(told["payload"][0]["extensions"]["code"], "BAD_USER_INPUT");
        }
    }
    // The connection goes on, until nobody can tell what a message is.
    socket.subscribe("4", "{ __typename }", Value::Null).await;
    assert_eq!(socket.event("4").await["data"]["__typename"], "Query");
    assert_eq!(socket.next().await["type"], "complete");
    socket.send_text(r#"{"id":"5","type":"subscribe","payload":{"query":"#.to_owned()).await;
    let (code, reason) = socket.closed().await;
    assert_eq!(code, 4400);
    assert_eq!(reason, "Invalid message: The text is no JSON: Expecting value at offset 48");
}

#[tokio::test]
async fn corpus_events_come_in_commit_order_and_go_on_behind_a_cursor() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    let new = rows::nested();
    documents::create(test.cx(), new).await.unwrap();
    socket.subscribe("a", CORPUS, json!({ "after": beginning() })).await;
    let first = socket.event("a").await["data"]["corpusEvents"].clone();
    assert_eq!((&first["kind"], &first["id"]), (&json!("DOCUMENT_CREATED"), &json!("d")));
    assert_eq!(first["at"], "2026-01-01T00:00:00Z");
    documents::delete(test.cx(), "d", Delete::Hard).await.unwrap();
    let mut seen = vec![];
    loop {
        let event = socket.event("a").await["data"]["corpusEvents"].clone();
        seen.push(format!("{} {}", event["kind"].as_str().unwrap(), event["id"].as_str().unwrap()));
        if event["kind"] == "DOCUMENT_DELETED" {
            break;
        }
    }
    socket.send(&json!({ "id": "a", "type": "complete" })).await;
    // Again from behind the first: the same, in the same order.
    socket.subscribe("b", CORPUS, json!({ "after": first["cursor"] })).await;
    for expected in seen {
        let event = socket.event("b").await["data"]["corpusEvents"].clone();
        assert_eq!(format!("{} {}", event["kind"].as_str().unwrap(), event["id"].as_str().unwrap()), expected);
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_or_too_old_is_refused() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    for after in ["", "x", "ZTE6", "ZTE6LTE", "ZTE6MDE", "ZTE6OTk"] {
        socket.subscribe("1", CORPUS, json!({ "after": after })).await;
        let told = socket.event("1").await;
        assert_eq!(code_of(&told), "BAD_CURSOR", "{after}: {told}");
        assert_eq!(told["errors"][0]["extensions"]["fields"][0]["field"], "after");
        assert_eq!(socket.next().await["type"], "complete");
    }
    for id in ["a", "b", "c"] {
        documents::create(test.cx(), rows::document(id)).await.unwrap();
    }
    test.cx()
        .write(|tx| {
            Box::pin(async move {
                tx.execute_unprepared("DELETE FROM corpus_log WHERE rev <= 2").await?;
                Ok(())
            })
        })
        .await
        .unwrap();
    socket.subscribe("1", CORPUS, json!({ "after": beginning() })).await;
    assert_eq!(code_of(&socket.event("1").await), "CURSOR_EXPIRED");
    assert_eq!(socket.next().await["type"], "complete");
    // The entry behind the second is still there.
    socket.subscribe("1", CORPUS, json!({ "after": "ZTE6Mg" })).await;
    assert_eq!(socket.event("1").await["data"]["corpusEvents"]["id"], "c");
}

#[tokio::test]
async fn a_documents_coverage_is_told_now_and_after_every_change_below_it() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    let mut socket = Socket::ready(serve(&test).await).await;
    socket.subscribe("1", DOCUMENT, json!({ "id": "d" })).await;
    let now = json!({ "state": "UNSYNCED", "total": 1, "held": 1, "synced": 0, "percentage": 0.0 });
    assert_eq!(socket.event("1").await["data"]["documentSync"], now);
    // A change that moves no figure is told all the same; one of another document is not.
    documents::create(test.cx(), rows::document("other")).await.unwrap();
    let title = DocumentPatch { title: corpusd::service::Patch::Set("B".to_owned()), ..DocumentPatch::default() };
    documents::update(test.cx(), "d", title).await.unwrap();
    assert_eq!(socket.event("1").await["data"]["documentSync"], now);
    chunks::delete(test.cx(), "c", Delete::Soft).await.unwrap();
    chunks::restore(test.cx(), "c").await.unwrap();
    chunks::delete(test.cx(), "c", Delete::Hard).await.unwrap();
    // Those may share an event, the last state is told.
    loop {
        let event = socket.event("1").await["data"]["documentSync"].clone();
        if event["total"] == 0 {
            assert_eq!(event["state"], "EMPTY");
            break;
        }
    }
    socket.subscribe("2", DOCUMENT, json!({ "id": "none" })).await;
    assert_eq!(code_of(&socket.event("2").await), "NOT_FOUND");
}

#[tokio::test]
async fn changes_of_a_document_far_enough_apart_each_have_an_event() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::document("d")).await.unwrap();
    let mut told = Box::pin(events::document(test.cx(), "d").await.unwrap());
    assert_eq!(told.next().await.unwrap().unwrap().total, 0);
    // All are there before the follower looks again.
    for _ in 0..3 {
        test.clock.advance(std::time::Duration::from_millis(100));
        documents::delete(test.cx(), "d", Delete::Soft).await.unwrap();
        documents::restore(test.cx(), "d").await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(told.next().await.unwrap().unwrap().total, 0);
    }
}

#[tokio::test]
async fn the_progress_of_a_job_begins_with_its_state_and_ends_with_its_end() {
    let test = TestApp::new().await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    let (job, started) = jobs::start(test.cx(), Scope::Document("d".to_owned())).await.unwrap();
    assert!(started);
    let mut socket = Socket::ready(serve(&test).await).await;
    socket.subscribe("1", PROGRESS, json!({ "id": job.id })).await;
    let first = socket.event("1").await["data"]["syncProgress"].clone();
    assert_eq!((&first["job"]["id"], &first["job"]["kind"]), (&json!(job.id), &json!("EXPORT")));
    jobs::cancel(test.cx(), &job.id).await.unwrap();
    let mut last = first["seq"].as_i64().unwrap();
    let end = loop {
        let message = socket.next().await;
        if message["type"] == "complete" {
            break message;
        }
        let event = message["payload"]["data"]["syncProgress"].clone();
        assert_eq!(event["seq"], last + 1, "{message}");
        last += 1;
    };
    assert_eq!(end["id"], "1");
    // Who comes back with a number already seen gets the rest, who has seen all gets the end.
    socket.subscribe("2", PROGRESS, json!({ "id": job.id, "after": 0 })).await;
    for seq in 1..=last {
        assert_eq!(socket.event("2").await["data"]["syncProgress"]["seq"], seq);
    }
    assert_eq!(socket.next().await, json!({ "id": "2", "type": "complete" }));
    socket.subscribe("3", PROGRESS, json!({ "id": job.id, "after": last })).await;
    assert_eq!(socket.next().await, json!({ "id": "3", "type": "complete" }));
    socket.subscribe("4", PROGRESS, json!({ "id": job.id })).await;
    let state = socket.event("4").await["data"]["syncProgress"]["job"]["state"].clone();
    assert!(["CANCELLED", "COMPLETED"].contains(&state.as_str().unwrap()), "{state}");
    assert_eq!(socket.next().await, json!({ "id": "4", "type": "complete" }));
    for (id, after, code) in [
        ("none", Value::Null, "NOT_FOUND"),
        (&job.id, json!(-1), "BAD_USER_INPUT"),
        (&job.id, json!(last + 1), "BAD_USER_INPUT"),
    ] {
        socket.subscribe("5", PROGRESS, json!({ "id": id, "after": after })).await;
        assert_eq!(code_of(&socket.event("5").await), code);
        assert_eq!(socket.next().await["type"], "complete");
    }
}

#[tokio::test]
async fn followers_share_one_ring_and_a_slow_one_reads_on_from_the_log() {
    let test = TestApp::new().await;
    let mut slow = Box::pin(events::corpus(test.cx(), None).await.unwrap());
    let mut quick = Box::pin(events::corpus(test.cx(), None).await.unwrap());
    // More than a page of the log, and more than the ring keeps.
    for batch in 0..5 {
        let ids = (0..1000).map(|i| rows::chunk(&format!("c{batch}-{i}"))).collect();
        let new = documents::NewDocument { chunks: ids, ..rows::document(&format!("d{batch}")) };
        documents::create(test.cx(), new).await.unwrap();
    }
    let all = corpusd::store::log::revision(test.cx().read()).await.unwrap();
    let mut cursors = Vec::new();
    for _ in 0..all {
        cursors.push(quick.next().await.unwrap().unwrap().cursor);
    }
    for cursor in cursors {
        assert_eq!(slow.next().await.unwrap().unwrap().cursor, cursor);
    }
}

#[tokio::test]
async fn a_stopping_server_says_so_to_open_connections() {
    let test = TestApp::new().await;
    let mut socket = Socket::ready(serve(&test).await).await;
    test.cx().events().close();
    assert_eq!(socket.closed().await, (1001, "The server is stopping".to_owned()));
}

#[tokio::test]
async fn a_client_that_closes_gets_its_close_answered() {
    let test = TestApp::new().await;
    let address = serve(&test).await;
    assert_eq!(Socket::ready(address).await.close(1000).await, 1000);
    let mut socket = Socket::ready(address).await;
    socket.subscribe("1", "subscription { corpusEvents { id } }", json!({})).await;
    assert_eq!(socket.close(4499).await, 4499, "with an operation under way");
}

#[tokio::test]
async fn a_cursor_from_the_future_is_no_cursor() {
    let test = TestApp::new().await;
    let Err(error) = events::corpus(test.cx(), Some("ZTE6OTk")).await else { panic!("taken") };
    assert_eq!(error.code(), Code::BadCursor);
}
