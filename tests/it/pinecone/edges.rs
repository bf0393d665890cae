//! Both edges over a Pinecone: the same requests, the same answers as over the local index.

use corpusd::emulator::Operation;
use corpusd::service::jobs::Scope;
use serde_json::Value;

use super::lab::Lab;
use super::*;
use crate::parity;
use crate::support::Answer;
use crate::support::process::Serving;
use crate::support::process::corpusd;

/// The answers of one application to these requests, one after the other.
async fn answers(test: &TestApp, requests: &[(&str, &str, Value)]) -> Vec<(u16, Value)> {
    let mut answers = Vec::new();
    for (method, path, body) in requests {
        let body = Some(body.clone()).filter(|body| !body.is_null());
        let answer: Answer = test.while_syncing(test.rest(method, path, body)).await;
        let body = if answer.text.is_empty() { Value::Null } else { round(answer.json()) };
        answers.push((answer.status, body));
    }
    answers
}

/// The same with every number a float: an index keeps no others in metadata.
fn round(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => Value::Array(items.into_iter().map(round).collect()),
        Value::Object(entries) => Value::Object(entries.into_iter().map(|(key, value)| (key, round(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value,
    }
}

#[tokio::test]
async fn the_routes_of_the_older_backend_answer_as_over_the_local_index() {
    let local = TestApp::new().await;
    let lab = Lab::with(|config| config.index.auto_export = false).await;
    parity::fill(&local).await;
    parity::fill(&lab.test).await;
    let requests = [
        ("GET", "/api/pinecone/index/stats", Value::Null),
        ("POST", "/api/pinecone/search", json!([1, 0])),
        ("POST", "/api/pinecone/export/document/d1", Value::Null),
        ("POST", "/api/pinecone/export/document/d1", Value::Null),
        ("POST", "/api/pinecone/export/unsynced?batch_size=1", Value::Null),
        ("POST", "/api/pinecone/export/batch", json!(["e1", "no"])),
        ("GET", "/api/pinecone/index/stats", Value::Null),
        ("POST", "/api/pinecone/search?top_k=2", json!([1, 0])),
        ("POST", "/api/pinecone/search", json!([1, 0, 0])),
        ("DELETE", "/api/pinecone/vectors", json!({ "vector_ids": ["e1", "foreign"] })),
        ("POST", "/api/pinecone/search", json!([1, 0])),
        ("DELETE", "/api/chunks/c2", Value::Null),
        ("POST", "/api/pinecone/search", json!([1, 0])),
        ("POST", "/api/pinecone/export/unsynced", Value::Null),
        ("GET", "/api/pinecone/index/stats", Value::Null),
        ("GET", "/api/dashboard/sync-status", Value::Null),
    ];
    let (here, there) = (answers(&local, &requests).await, answers(&lab.test, &requests).await);
    for ((request, here), there) in requests.iter().zip(here).zip(there) {
        assert_eq!(here, there, "{request:?}");
    }
    lab.converged().await;
}

/// The corpus of the tests below: `d1` in three namespaces.
const SEARCH: &str = "query($input: SearchInput!) { search(input: $input) { hits { chunk { text } vectorRank } } }";

async fn hits(test: &TestApp, input: Value) -> Value {
    let answer = test.graphql(SEARCH, json!({ "input": input })).await;
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"]["search"]["hits"].clone()
}

#[tokio::test]
async fn searches_find_the_same_as_over_the_local_index() {
    for metric in [corpusd::config::Metric::Cosine, corpusd::config::Metric::Euclidean] {
        let local = TestApp::with(|config| {
            config.index.auto_export = true;
            config.index.metric = metric;
        })
        .await;
        let lab = Lab::with(|config| config.index.metric = metric).await;
        for test in [&local, &lab.test] {
            for (document, namespace, year) in [("a", "default", 1990), ("b", "n1", 2000), ("c", "n2", 2010)] {
                let chunks: Vec<Value> = (0..4)
                    .map(|i| json!({"text": format!("word {document}{i}"), "embeddings": [{"vector": [f64::from(i) + 0.1, f64::from(year) / 1000.0]}]}))
                    .collect();
                let input = json!({"id": document, "title": document, "namespace": namespace, "metadata": {"year": year}, "chunks": chunks});
                let made = test
                    .graphql(
                        "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }",
                        json!({ "i": input }),
                    )
                    .await;
                assert!(made["errors"].is_null(), "{made}");
            }
            test.sync_until_idle().await;
        }
        for input in [
            json!({"mode": "VECTOR", "vector": [1, 1], "first": 5, "filter": {"namespace": "n1"}}),
            json!({"mode": "VECTOR", "vector": [1, 1], "first": 12}),
            json!({"mode": "VECTOR", "vector": [0.5, 2], "first": 3, "filter": {"metadata": {"year": {"$gte": 2000}}}}),
            json!({"mode": "VECTOR", "vector": [0.5, 2], "first": 9, "filter": {"documentIds": ["a", "c"]}}),
            json!({"mode": "HYBRID", "text": "word b", "vector": [1, 1], "first": 6}),
        ] {
            let there = hits(&lab.test, input.clone()).await;
            assert_eq!(hits(&local, input.clone()).await, there, "{input}");
            assert!(there.as_array().is_some_and(|hits| !hits.is_empty()), "{input}");
        }
        // P5: gone from the moment it is deleted, whatever the index still has.
        lab.test.rest("DELETE", "/api/documents/b", None).await;
        let left = hits(&lab.test, json!({"mode": "VECTOR", "vector": [1, 1], "first": 12})).await;
        assert_eq!(left.as_array().map(Vec::len), Some(8));
        assert_eq!(lab.emulator.records(INDEX, "n1").len(), 4);
    }
}

#[tokio::test]
async fn more_namespaces_than_can_be_searched_together_have_to_be_named() {
    let lab = Lab::new().await;
    for i in 0..17 {
        lab.document_of(&format!("d{i}-"), Some(&format!("n{i}")), [vec![1.0, f32::from(i as u8)]].into_iter()).await;
    }
    lab.settle().await;
    let refused = lab.test.graphql(SEARCH, json!({"input": {"mode": "VECTOR", "vector": [1, 0]}})).await;
    let error = &refused["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{refused}");
    assert!(
        error["message"].as_str().is_some_and(|text| text.contains("16")) || refused.to_string().contains("at most 16"),
        "{refused}"
    );
    assert!(refused.to_string().contains("namespace"), "{refused}");
    let named = hits(&lab.test, json!({"mode": "VECTOR", "vector": [1, 0], "filter": {"namespace": "n3"}})).await;
    assert_eq!(named.as_array().map(Vec::len), Some(1));
    let some =
        hits(&lab.test, json!({"mode": "VECTOR", "vector": [1, 0], "filter": {"documentIds": ["d1-", "d2-"]}})).await;
    assert_eq!(some.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_paused_target_answers_503_with_the_job_and_its_reason_is_shown() {
    let lab = Lab::new().await;
    lab.document("d", 2).await;
    lab.emulator.fault(corpusd::emulator::Fault::any().always().status(403));
    let refused = lab.test.while_syncing(lab.test.rest("POST", "/api/pinecone/export/unsynced", None)).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("UNAVAILABLE")), "{}", refused.text);
    assert!(refused.json()["job_id"].is_string());
    let told = lab.test.graphql("{ targets { kind index state reason } }", json!({})).await;
    let target = &told["data"]["targets"][0];
    assert_eq!(
        (&target["kind"], &target["index"], &target["state"]),
        (&json!("PINECONE"), &json!(INDEX), &json!("PAUSED"))
    );
    assert!(target["reason"].as_str().is_some_and(|reason| reason.starts_with("Pinecone answered 403")), "{told}");
    lab.start(Scope::Unsynced).await;
}

#[tokio::test]
async fn the_key_is_in_no_log_and_in_no_answer_of_a_server_that_traces_everything() {
    let lab = Lab::new().await;
    // The service repeats the key in what it says, as some do.
    let body = json!({"code":16,"message":format!("the key {KEY} was revoked"),"details":[]}).to_string();
    lab.emulator
        .fault(corpusd::emulator::Fault::on(Operation::Upsert).times(1).status(403).body("application/json", &body));
    let folder = tempfile::tempdir().unwrap();
    let mut command = corpusd(folder.path(), &["serve", "--port", "0", "--auto-export", "--log", "trace"]);
    command.env("PINECONE_API_KEY", KEY).env("PINECONE_CONTROLLER_HOST", lab.emulator.url());
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let mut serving: Serving = Serving::start_logging(command, log).await;
    let input = json!({"title": "T", "chunks": [{"text": "t", "embeddings": [{"vector": [1, 2]}]}]});
    let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
    let client = crate::support::http().build().unwrap();
    let ask = async |query: &str, variables: Value| {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = client.post(format!("{}/graphql", serving.address)).header("content-type", "application/json");
        request.body(body).send().await.unwrap().text().await.unwrap()
    };
    let mut told = ask(query, json!({ "i": input })).await;
    let paused = loop {
        let now =
            ask("{ targets { state reason } syncSlots { nodes { vectorId lastError { code message } } } }", json!({}))
                .await;
        if now.contains("PAUSED") {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(paused.contains("the key *** was revoked"), "{paused}");
    told.push_str(&paused);
    told.push_str(&serving.get("/api/pinecone/index/stats").await.1);
    serving.terminate().await;
    serving.child.wait().await.unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("asked Pinecone"), "the log traces what is asked: {log}");
    assert!(!log.contains(KEY) && !told.contains(KEY));
}
