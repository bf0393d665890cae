//! Large requests: read beside the threads that answer, and never repeated in an answer.

use std::pin::pin;

use futures_util::poll;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;
use crate::support::socket::Socket;
use crate::support::socket::serve;

/// Far less than what was sent, and enough for any sentence with its frame.
const ANSWER: usize = 8_000;

fn graphql(query: &str, variables: &Value) -> String {
    json!({ "query": query, "variables": variables }).to_string()
}

#[test]
fn a_large_body_is_read_on_no_thread_that_answers_others() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let test = TestApp::new().await;
        let many: serde_json::Map<String, Value> = (0..20_000).map(|i| (format!("k{i}"), json!(1))).collect();
        for (path, body) in [
            ("/api/documents", json!({ "metadata": many }).to_string()),
            ("/graphql", graphql("{ __typename }", &Value::Object(many.clone()))),
        ] {
            let small = test.send("POST", path, "application/json", "{}").await;
            assert!((400..500).contains(&small.status), "{}", small.text);
            // The only thread for such work is busy.
            let (release, released) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || released.recv());
            let mut answer = pin!(test.send("POST", path, "application/json", body));
            for _ in 0..100 {
                assert!(poll!(&mut answer).is_pending(), "{path}");
                tokio::task::yield_now().await;
            }
            // Others are answered meanwhile.
            assert_eq!(test.rest("GET", "/health/live", None).await.status, 200);
            release.send(()).expect("it waits");
            let read = answer.await;
            assert!([200, 422].contains(&read.status), "{}", read.text);
            busy.await.expect("it ends").expect("it was released");
        }
    });
}

#[test]
fn what_a_large_request_holds_is_looked_through_on_no_thread_that_answers_others() {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let test = TestApp::new().await;
        // None of these keys fits: the request is refused by looking through it, and no row is read.
        let many: serde_json::Map<String, Value> = (0..20_000).map(|i| (format!("k{i}"), json!(1))).collect();
        let query = "query($f: DocumentFilter) { documents(filter: $f) { totalCount } }";
        let body = graphql(query, &json!({ "f": many }));
        // The only thread for such work is busy before the body is read, and after.
        let busy = || {
            let ((release, released), (begin, mut begun)) =
                (std::sync::mpsc::channel::<()>(), tokio::sync::mpsc::channel(1));
            tokio::task::spawn_blocking(move || begin.blocking_send(()).is_ok() && released.recv().is_ok());
            (release, async move { begun.recv().await })
        };
        let (first, _begun) = busy();
        let mut answer = pin!(test.send("POST", "/graphql", "application/json", body));
        assert!(poll!(&mut answer).is_pending());
        let (second, begun) = busy();
        first.send(()).expect("it waits");
        begun.await.expect("it began: the body is read");
        for _ in 0..100 {
            assert!(poll!(&mut answer).is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(test.rest("GET", "/health/live", None).await.status, 200);
        second.send(()).expect("it waits");
        let told = answer.await.json();
        assert_eq!(told["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{told}");
    });
}

/// Requests whose flaw is as long as `long`.
fn flawed(long: &str) -> Vec<(String, Value)> {
    let create = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
    let search = "query($i: SearchInput!) { search(input: $i) { stale } }";
    vec![
        (format!("{{ {long} }}"), Value::Null),
        (format!("{{ documents(filter: {{ sync: [{long}] }}) {{ totalCount }} }}"), Value::Null),
        (format!("query {long} {{ __typename }} query B {{ nothing }}"), Value::Null),
        (format!("{{ document(id: \"{long}\" {{ }} }}"), Value::Null),
        (format!("# {long}\n{{ document(id: \"{long}\n\") {{ id }} }}"), Value::Null),
        ("query($m: SearchMode!) { search(input: { mode: $m }) { stale } }".to_owned(), json!({ "m": long })),
        (create.to_owned(), json!({ "i": { "title": "T", long: 1 } })),
        (create.to_owned(), json!({ "i": { "title": "T", "metadata": { format!("${long}"): 1 } } })),
        (
            search.to_owned(),
            json!({ "i": { "mode": "TEXT", "text": "h", "filter": { "metadata": { long: { "$odd": 1 } } } } }),
        ),
        (
            search.to_owned(),
            json!({ "i": { "mode": "TEXT", "text": "h", "filter": { "metadata": { "k": { format!("${long}"): 1 } } } } }),
        ),
        ("query($v: Int) { documents(first: $v) { totalCount } }".to_owned(), json!({ "v": long })),
    ]
}

#[tokio::test]
async fn no_error_repeats_a_large_part_of_its_request() {
    let test = TestApp::with(|config| config.limits.graphql.bytes = 1_000_000).await;
    let address = serve(&test).await;
    let mut socket = Socket::ready(address).await;
    let longs = ["y".repeat(300_000), "\u{1}\"".repeat(50_000), "\u{1f600}".repeat(60_000)];
    for (number, (query, variables)) in longs.iter().flat_map(|long| flawed(long)).enumerate() {
        let answer = test.send("POST", "/graphql", "application/json", graphql(&query, &variables)).await;
        let Answer { status, text, .. } = &answer;
        let shown: String = text.chars().take(300).collect();
        assert!(*status < 500 && text.contains("\"errors\""), "{status} {shown}");
        assert!(text.len() < ANSWER, "{} bytes: {shown}", text.len());
        let id = number.to_string();
        socket.subscribe(&id, &query, variables).await;
        loop {
            let told = socket.next().await;
            assert!(told.to_string().len() < ANSWER, "{shown}");
            if told["type"] == "error" || told["type"] == "complete" {
                break;
            }
        }
    }
    let operation = json!({ "query": "query A { __typename }", "operationName": longs[0] }).to_string();
    let answer = test.send("POST", "/graphql", "application/json", operation).await;
    assert!(answer.text.len() < ANSWER && answer.text.contains("yyyy"), "{}", answer.text.len());
}

#[tokio::test]
async fn a_name_of_a_thousand_bytes_is_looked_up_and_a_longer_one_is_not() {
    let test = TestApp::new().await;
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
    let known = test.graphql(&format!("{{ {} }}", "y".repeat(1000)), Value::Null).await;
    assert_eq!(code(&known), "GRAPHQL_VALIDATION_FAILED");
    let long = test.graphql(&format!("{{ {} }}", "y".repeat(1001)), Value::Null).await;
    assert_eq!(code(&long), "GRAPHQL_PARSE_FAILED");
    let sentence = "A name or a number of the document is longer than 1000 bytes";
    assert_eq!(long["errors"][0]["message"], sentence);
}
