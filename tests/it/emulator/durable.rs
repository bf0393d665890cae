//! With a folder: what was acknowledged is there after a restart, and damage is told.

use std::fs;
use std::path::Path;

use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use serde_json::Value;
use serde_json::json;

use crate::support::pinecone::Bench;

async fn open(folder: &Path) -> Bench {
    Bench::with(|options| options.data = Some(folder.to_owned())).await
}

/// Everything that can be asked about `kb`.
async fn told(bench: &Bench) -> Vec<Value> {
    let mut told = vec![bench.kb("/describe_index_stats", &json!({})).await.json()];
    for path in ["namespaces", "vectors/list?namespace=a", "vectors/fetch?namespace=a&ids=x&ids=y&ids=z"] {
        told.push(bench.get(&format!("/i/kb/{path}")).await.json());
    }
    let mut index = bench.get("/indexes/kb").await.json();
    index["host"] = Value::Null;
    told.push(index);
    told
}

async fn fill(bench: &Bench) {
    bench.create("kb", 3, "dotproduct").await;
    bench.create("gone", 3, "cosine").await;
    let sparse = json!({"indices": [1, 4_000_000_000_u32], "values": [0.1, 0.2]});
    bench
        .upsert(
            "a",
            json!([{"id": "x", "values": [0.1, 1e-7, 3e38], "metadata": {"n": 9_007_199_254_740_993_i64, "t": ["ä", "\n"]}},
                   {"id": "y", "values": [1, 2, 3], "sparseValues": sparse}, {"id": "z", "values": [1, 1, 1]}]),
        )
        .await;
    bench.kb("/vectors/update", &json!({"namespace": "a", "id": "y", "setMetadata": {"ok": true}})).await;
    bench.kb("/vectors/delete", &json!({"namespace": "a", "ids": ["z"]})).await;
    bench.kb("/namespaces", &json!({"name": "b", "schema": {"fields": {"t": {"filterable": true}}}})).await;
    bench.upsert("c", json!([{"id": "x", "values": [1, 1, 1]}])).await;
    bench.delete("/i/kb/namespaces/c").await;
    bench.upsert("d", json!([{"id": "x", "values": [1, 1, 1]}])).await;
    bench.kb("/vectors/delete", &json!({"namespace": "d", "deleteAll": true})).await;
    bench
        .send("PATCH", "/indexes/kb", &[], Some(br#"{"tags":{"a":"b"},"deletion_protection":"enabled"}"#.to_vec()))
        .await;
    bench.delete("/indexes/gone").await;
}

async fn lsn(bench: &Bench, namespace: &str) -> u64 {
    let answer = bench.upsert(namespace, json!([{"id": "last", "values": [1, 1, 1]}])).await;
    answer.headers["x-pinecone-request-lsn"].to_str().expect("text").parse().expect("a number")
}

#[tokio::test]
async fn everything_is_as_it_was_after_any_number_of_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path()).await;
    fill(&bench).await;
    let before = told(&bench).await;
    let mut last = lsn(&bench, "c").await;
    bench.kb("/vectors/delete", &json!({"namespace": "c", "ids": ["last"]})).await;
    bench.delete("/i/kb/namespaces/c").await;
    assert_eq!(told(&bench).await, before);
    bench.emulator.shutdown().await;
    for _ in 0..2 {
        let bench = open(folder.path()).await;
        assert_eq!(told(&bench).await, before);
        assert_eq!(bench.get("/indexes/gone").await.status, 404);
        let next = lsn(&bench, "c").await;
        assert!(next > last, "the numbers go on");
        last = next;
        bench.delete("/i/kb/namespaces/c").await;
        bench.emulator.shutdown().await;
    }
}

#[tokio::test]
async fn a_torn_last_line_is_dropped_wherever_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("emulator.log");
    let bench = open(folder.path()).await;
    bench.create("kb", 3, "cosine").await;
    bench.upsert("a", json!([{"id": "x", "values": [1, 2, 3]}])).await;
    let kept = fs::read(&log).unwrap();
    bench.upsert("a", json!([{"id": "y", "values": [1, 2, 3]}])).await;
    bench.emulator.shutdown().await;
    let whole = fs::read(&log).unwrap();
    for cut in [kept.len() + 1, kept.len() + 20, whole.len() - 1] {
        fs::write(&log, &whole[..cut]).unwrap();
        let bench = open(folder.path()).await;
        assert_eq!(bench.listed("namespace=a").await, ["x"], "cut at {cut} of {}", whole.len());
        bench.upsert("a", json!([{"id": "z", "values": [1, 2, 3]}])).await;
        bench.emulator.shutdown().await;
        let bench = open(folder.path()).await;
        assert_eq!(bench.listed("namespace=a").await, ["x", "z"]);
        bench.emulator.shutdown().await;
    }
}

#[tokio::test]
async fn damage_before_the_last_line_refuses_the_start_and_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("emulator.log");
    let bench = open(folder.path()).await;
    bench.create("kb", 3, "cosine").await;
    bench.upsert("a", json!([{"id": "x", "values": [1, 2, 3]}])).await;
    bench.emulator.shutdown().await;
    let whole = fs::read(&log).unwrap();
    for (place, line) in [(3, 1), (40, 2)] {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&log, &damaged).unwrap();
        let options = Options { data: Some(folder.path().to_owned()), ..Options::default() };
        let told = Emulator::start(options).await.unwrap_err().to_string();
        assert!(told.contains("emulator.log") && told.contains(&format!("line {line} is damaged")), "{told}");
        assert_eq!(fs::read(&log).unwrap(), damaged);
    }
}

#[tokio::test]
async fn a_folder_belongs_to_one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path()).await;
    let options = Options { data: Some(folder.path().to_owned()), ..Options::default() };
    let told = Emulator::start(options.clone()).await.unwrap_err().to_string();
    assert!(told.contains("another process uses this folder"), "{told}");
    bench.emulator.shutdown().await;
    Emulator::start(options).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_restart_makes_the_log_no_longer_than_it_has_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("emulator.log");
    let bench = open(folder.path()).await;
    bench.create("kb", 3, "cosine").await;
    for n in 0..50 {
        bench.upsert("a", json!([{"id": "x", "values": [1, 2, n]}])).await;
    }
    bench.emulator.shutdown().await;
    let lines = || fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(lines(), 1 + 51);
    open(folder.path()).await.emulator.shutdown().await;
    // The title, the index, its namespace, the record, the count.
    assert_eq!(lines(), 5);
}
