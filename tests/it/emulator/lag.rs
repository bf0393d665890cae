//! Sequence numbers, and reads that lag behind writes.

use std::time::Duration;

use corpusd::emulator::Lag;
use corpusd::emulator::LagBy;
use corpusd::emulator::Operation;
use serde_json::json;

use crate::support::Answer;
use crate::support::pinecone::Bench;

fn number(answer: &Answer, names: [&str; 2]) -> u64 {
    let values = names.map(|name| answer.headers[name].to_str().expect("text").to_owned());
    assert_eq!(values[0], values[1]);
    values[0].parse().expect("a number")
}

fn written(answer: &Answer) -> u64 {
    number(answer, ["x-pinecone-request-lsn", "x-pinecone-lsn-committed"])
}

async fn seen(bench: &Bench, namespace: &str) -> u64 {
    let query = json!({"namespace": namespace, "topK": 1, "vector": [1, 0, 0]});
    number(&bench.kb("/query", &query).await, ["x-pinecone-max-indexed-lsn", "x-pinecone-lsn-reconciled"])
}

#[tokio::test]
async fn writes_are_numbered_by_namespace_and_queries_say_how_far_they_see() {
    let bench = Bench::with_index("cosine").await;
    let one = json!([{"id": "x", "values": [1, 0, 0]}]);
    let first = written(&bench.upsert("a", one.clone()).await);
    assert_eq!(seen(&bench, "a").await, first);
    written(&bench.upsert("b", one.clone()).await);
    assert_eq!(seen(&bench, "a").await, first);
    let mut last = first;
    for (path, body) in [
        ("/vectors/update", json!({"namespace": "a", "id": "x", "setMetadata": {"a": 1}})),
        ("/vectors/update", json!({"namespace": "a", "filter": {"a": 1}, "setMetadata": {"b": 1}})),
        ("/vectors/delete", json!({"namespace": "a", "ids": ["x"]})),
        ("/vectors/delete", json!({"namespace": "a", "deleteAll": true})),
    ] {
        let next = written(&bench.kb(path, &body).await);
        assert!(next > last, "{path}");
        last = next;
    }
    bench.delete("/i/kb/namespaces/a").await;
    // A namespace that is made anew goes on counting.
    assert!(written(&bench.upsert("a", one).await) > last);
}

#[tokio::test]
async fn every_read_lags_alike_until_the_time_has_come() {
    let bench = Bench::with_index("cosine").await;
    bench.upsert("a", json!([{"id": "old", "values": [1, 0, 0], "metadata": {"v": 1}}])).await;
    bench.emulator.faults().lag(Some(Lag { by: LagBy::Time(Duration::from_secs(3)), operations: Vec::new() }));
    let before = seen(&bench, "a").await;
    let lsn = written(&bench.upsert("a", json!([{"id": "new", "values": [1, 0, 0], "metadata": {"v": 1}}])).await);
    bench.kb("/vectors/delete", &json!({"namespace": "a", "ids": ["old"]})).await;
    for advanced in [false, true] {
        let id = if advanced { "new" } else { "old" };
        if advanced {
            bench.clock.advance(Duration::from_secs(3));
        }
        assert_eq!(bench.listed("namespace=a").await, [id]);
        assert_eq!(bench.matches(&json!({"namespace": "a", "topK": 9, "vector": [1, 0, 0]})).await, [id]);
        let fetched = bench.get("/i/kb/vectors/fetch?namespace=a&ids=old&ids=new").await.json();
        assert_eq!(fetched["vectors"].as_object().unwrap().keys().collect::<Vec<_>>(), [id]);
        let by = json!({"namespace": "a", "filter": {"v": 1}});
        let fetched = bench.kb("/vectors/fetch_by_metadata", &by).await.json();
        assert_eq!(fetched["vectors"].as_object().unwrap().keys().collect::<Vec<_>>(), [id]);
        if !advanced {
            assert_eq!(seen(&bench, "a").await, before);
        }
    }
    assert!(seen(&bench, "a").await >= lsn);
}

#[tokio::test]
async fn a_write_may_stay_hidden_for_a_number_of_requests() {
    let bench = Bench::with_index("cosine").await;
    bench.emulator.faults().lag(Some(Lag { by: LagBy::Requests(2), operations: Vec::new() }));
    bench.upsert("a", json!([{"id": "x", "values": [1, 0, 0]}])).await;
    let stats = bench.kb("/describe_index_stats", &json!({})).await.json();
    assert_eq!(stats["totalVectorCount"], 0);
    assert_eq!(bench.listed("namespace=a").await, [""; 0]);
    assert_eq!(bench.listed("namespace=a").await, ["x"]);
}

#[tokio::test]
async fn listings_alone_may_be_stale_and_writes_never_are() {
    let bench = Bench::with_index("cosine").await;
    bench.upsert("a", json!([{"id": "x", "values": [1, 0, 0]}])).await;
    let lag = Lag { by: LagBy::Time(Duration::from_secs(60)), operations: vec![Operation::List] };
    bench.emulator.faults().lag(Some(lag));
    bench.kb("/vectors/delete", &json!({"namespace": "a", "ids": ["x"]})).await;
    bench.upsert("a", json!([{"id": "y", "values": [1, 0, 0], "metadata": {"v": 1}}])).await;
    assert_eq!(bench.listed("namespace=a").await, ["x"]);
    assert_eq!(bench.matches(&json!({"namespace": "a", "topK": 9, "vector": [1, 0, 0]})).await, ["y"]);
    let update = json!({"namespace": "a", "filter": {"v": 1}, "setMetadata": {"v": 2}});
    assert_eq!(bench.kb("/vectors/update", &update).await.json(), json!({"matchedRecords": 1}));
    bench.emulator.heal();
    assert_eq!(bench.listed("namespace=a").await, ["y"]);
}

#[tokio::test]
async fn a_new_index_takes_its_time_when_it_is_told_to() {
    let bench = Bench::new().await;
    bench.emulator.faults().ready_after(Duration::from_secs(10));
    bench.create("kb", 3, "cosine").await;
    let status = || async { bench.get("/indexes/kb").await.json()["status"].clone() };
    assert_eq!(status().await, json!({"ready": false, "state": "Initializing"}));
    let early = bench.kb("/describe_index_stats", &json!({})).await;
    assert_eq!((early.status, &early.json()["code"]), (503, &json!(14)));
    bench.clock.advance(Duration::from_secs(10));
    assert_eq!(status().await, json!({"ready": true, "state": "Ready"}));
    assert_eq!(bench.kb("/describe_index_stats", &json!({})).await.status, 200);
}
