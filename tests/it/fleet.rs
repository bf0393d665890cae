//! Real processes and a Pinecone target: replicas that share the work, processes that are killed, a target
//! that goes away. At the end the index holds what the rows say, record by record.
//!
//! `CORPUSD_FLEET_RECORDS` and `CORPUSD_KILL_ROUNDS` make a longer run of it (docs/testing.md).

use std::net::SocketAddr;
use std::time::Duration;

use corpusd::config::DatabaseConfig;
use corpusd::emulator::Fault;
use corpusd::emulator::Operation;
use corpusd::emulator::Options;
use corpusd::store;
use serde_json::Value;
use serde_json::json;

use crate::support::database_url;
use crate::support::fleet::Client;
use crate::support::fleet::INDEX;
use crate::support::fleet::NAMESPACE;
use crate::support::fleet::PATIENCE;
use crate::support::fleet::emulator;
use crate::support::fleet::held;
use crate::support::fleet::raised;
use crate::support::fleet::serve;
use crate::support::rows::fill;

/// A database with so many documents of twenty chunks, all of them held; nothing where it is SQLite, which
/// has one process only.
async fn shared_database(folder: &tempfile::TempDir, documents: usize) -> Option<String> {
    let url = database_url(folder).await;
    if url.starts_with("sqlite:") {
        return None;
    }
    let config = DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() };
    let db = store::connect::open(&config, &corpusd::clock::Clock::system()).await.expect("the database opens");
    fill(&db, documents, true).await;
    db.close().await;
    Some(url)
}

#[tokio::test]
async fn three_replicas_share_an_export_and_send_every_record_once() {
    let folder = tempfile::tempdir().unwrap();
    let records = raised("CORPUSD_FLEET_RECORDS", 20_000);
    let Some(url) = shared_database(&folder, records / 20).await else { return };
    let emulator = emulator(Options::default()).await;
    // The times of the defaults: nobody may be taken for dead on a busy machine.
    let slow = [
        ("CORPUSD_SYNC_LEASE_S", "60"),
        ("CORPUSD_SYNC_TIMEOUT_S", "50"),
        ("CORPUSD_SYNC_DOUBT_S", "60"),
        ("CORPUSD_EXPORT_WAIT_S", "1000"),
    ];
    let mut replicas = Vec::new();
    for _ in 0..3 {
        replicas.push(serve(folder.path(), &url, &emulator.url(), &slow).await);
    }
    let client = Client::new(&replicas[0]);
    let (status, answer) = client.send("POST", "/api/pinecone/export/unsynced", None).await.expect("an answer");
    assert_eq!((status, &answer["upserted_count"]), (200, &json!(records)), "{answer}");
    let mut sent: Vec<String> = Vec::new();
    for request in emulator.requests().into_iter().filter(|request| request.operation == Operation::Upsert) {
        assert_eq!(request.status, Some(200));
        sent.extend(request.ids);
    }
    let all = sent.len();
    sent.sort_unstable();
    sent.dedup();
    assert_eq!((all, sent.len()), (records, records), "each record was sent once");
    assert_eq!(emulator.records(INDEX, NAMESPACE).len(), records);
    for replica in replicas {
        assert_eq!(replica.stop().await.code(), Some(0));
    }
}

#[tokio::test]
async fn the_work_of_a_killed_replica_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let Some(url) = shared_database(&folder, 100).await else { return };
    let emulator = emulator(Options::default()).await;
    // The index is made first, so that nothing but upserts is slow.
    emulator.create_index(INDEX, 1, corpusd::config::Metric::Cosine);
    emulator.fault(Fault::on(Operation::Upsert).always().delay(Duration::from_millis(100)));
    let small = [("CORPUSD_SYNC_CLAIM_SIZE", "50")];
    let mut doomed = serve(folder.path(), &url, &emulator.url(), &small).await;
    let other = serve(folder.path(), &url, &emulator.url(), &small).await;
    let client = Client::new(&other);
    let export = client.send("POST", "/api/pinecone/export/unsynced", None);
    let killer = async {
        while emulator.requests().iter().filter(|request| request.operation == Operation::Upsert).count() < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        doomed.child.kill().await.expect("it is killed");
    };
    let (answer, ()) = tokio::join!(export, killer);
    assert_eq!(answer.map(|(status, _)| status), Some(200));
    client.settled().await;
    assert_eq!(held(&emulator), client.rows().await);
    assert_eq!(other.stop().await.code(), Some(0));
}

/// Edits rows at random until the server is gone; `name` keeps writers apart.
async fn edit_until_killed(client: &Client, name: &str, dice: &mut fastrand::Rng) {
    let mut known: Vec<String> = Vec::new();
    for number in 0.. {
        let title = format!("{name} {number}");
        let answer = match (dice.u8(0..10), known.is_empty()) {
            (0..=3, _) | (_, true) => {
                let chunk = |at: u32, vector: [f32; 2]| json!({ "chunkIndex": at, "text": format!("{title} part {at}"), "embeddings": [{ "vector": vector }] });
                let chunks: Vec<Value> = (0..3).map(|at| chunk(at, [dice.f32() + 0.1, dice.f32()])).collect();
                let query = "mutation($i: CreateDocumentInput!) { createDocument(input: $i) { document { id } } }";
                let body = json!({ "query": query, "variables": { "i": { "title": title, "chunks": chunks } } });
                let made = client.send("POST", "/graphql", Some(&body)).await;
                if let Some((_, answer)) = &made {
                    known.extend(answer["data"]["createDocument"]["document"]["id"].as_str().map(str::to_owned));
                }
                made
            }
            (roll, false) => {
                let id = known[dice.usize(0..known.len())].clone();
                let restore =
                    format!("mutation {{ restoreDocument(input: {{ id: \"{id}\" }}) {{ document {{ id }} }} }}");
                match roll {
                    4..=6 => {
                        client.send("PUT", &format!("/api/documents/{id}"), Some(&json!({ "title": title }))).await
                    }
                    7 => client.send("DELETE", &format!("/api/documents/{id}"), None).await,
                    8 => client.send("POST", "/graphql", Some(&json!({ "query": restore }))).await,
                    _ => {
                        known.retain(|other| *other != id);
                        client.send("DELETE", &format!("/api/documents/{id}?hard_delete=true"), None).await
                    }
                }
            }
        };
        match answer {
            None => return,
            // Rows that were deleted are not found.
            Some((status, body)) => assert!(status < 300 || status == 404, "{status} {body}"),
        }
    }
}

#[tokio::test]
async fn killed_again_and_again_under_faults_the_index_still_becomes_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let emulator = emulator(Options::default()).await;
    let writes = || Fault::on(Operation::Upsert).or_on(Operation::Delete);
    emulator.fault(writes().chance(0.05, 1).reset());
    emulator.fault(writes().chance(0.05, 2).reset().applied());
    emulator.fault(writes().chance(0.05, 3).reset().late(Duration::from_millis(900)));
    emulator.fault(writes().chance(0.05, 4).status(503));
    emulator.fault(writes().chance(0.03, 5).status(429));
    emulator.fault(writes().chance(0.03, 6).truncated().applied());
    let settings = [("CORPUSD_AUTO_EXPORT", "true")];
    let mut dice = fastrand::Rng::with_seed(20_261_124);
    for round in 0..raised("CORPUSD_KILL_ROUNDS", 10) {
        let mut serving = serve(folder.path(), &url, &emulator.url(), &settings).await;
        let client = Client::new(&serving);
        let mut others = [dice.fork(), dice.fork()];
        let writers = others.iter_mut().enumerate().map(|(writer, dice)| {
            let (client, name) = (&client, format!("r{round}w{writer}"));
            async move { edit_until_killed(client, &name, dice).await }
        });
        let killer = async {
            // Not a wait for something to be done: the moment of the kill is the random input of this test.
            tokio::time::sleep(Duration::from_millis(dice.u64(50..600))).await;
            serving.child.kill().await.expect("it is killed");
        };
        tokio::join!(futures_util::future::join_all(writers), killer);
    }
    emulator.faults().clear();
    let serving = serve(folder.path(), &url, &emulator.url(), &settings).await;
    let client = Client::new(&serving);
    client.settled().await;
    let rows = client.rows().await;
    assert!(!rows.is_empty());
    // A write that was late has landed, and what it undid is asserted again.
    assert_eq!(emulator.late(), 0);
    assert_eq!(held(&emulator), rows);
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn f20_while_the_target_is_down_everything_else_works_and_afterwards_it_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let options = |address: SocketAddr| Options { address, data: Some(data.path().to_owned()), ..Options::default() };
    let first = emulator(options(SocketAddr::from(([127, 0, 0, 1], 0)))).await;
    let address: SocketAddr = first.url().trim_start_matches("http://").parse().expect("an address");
    let serving = serve(folder.path(), &url, &first.url(), &[("CORPUSD_AUTO_EXPORT", "true")]).await;
    let client = Client::new(&serving);
    let create = |title: &str| {
        format!(
            "mutation {{ createDocument(input: {{ title: \"{title}\", chunks: [{{ text: \"{title}\", \
             embeddings: [{{ vector: [1, 2] }}] }}] }}) {{ document {{ id }} }} }}"
        )
    };
    client.graphql(&create("before")).await;
    client.settled().await;
    first.shutdown().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let made = client.graphql(&create(&format!("during {number}"))).await;
        ids.push(made["createDocument"]["document"]["id"].as_str().expect("an id").to_owned());
    }
    let deleted = client.send("DELETE", &format!("/api/documents/{}", ids[0]), None).await;
    assert_eq!(deleted.map(|(status, _)| status), Some(204));
    let end = tokio::time::Instant::now() + PATIENCE;
    while client.target().await["state"] != "UNREACHABLE" {
        assert!(tokio::time::Instant::now() < end, "{}", client.target().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(client.target().await["reason"].is_string());
    let found =
        client.graphql("{ search(input: { text: \"during\", mode: TEXT, first: 100 }) { hits { score } } }").await;
    assert_eq!(found["search"]["hits"].as_array().map(Vec::len), Some(19));
    let (status, body) = client.send("POST", "/api/pinecone/export/unsynced", None).await.expect("an answer");
    assert_eq!((status, &body["code"]), (503, &json!("UNAVAILABLE")), "{body}");
    let second = emulator(options(address)).await;
    client.settled().await;
    assert_eq!(held(&second), client.rows().await);
    assert_eq!(client.target().await["state"], "ACTIVE");
    assert_eq!(serving.stop().await.code(), Some(0));
}
