//! One story, told to every index: what the port promises, whoever keeps it.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use std::sync::Arc;

use corpusd::config::Secret;
use corpusd::emulator::Emulator;
use corpusd::emulator::Options;
use corpusd::filter::Filter;
use corpusd::index::IdPage;
use corpusd::index::IndexErrorKind;
use corpusd::index::VectorIndex;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use corpusd::index::memory::MemoryIndex;
use corpusd::json::Json;
use corpusd::json::Literals;

use crate::support::TestApp;

fn record(id: &str, values: &[f32], year: u32) -> VectorRecord {
    let metadata = format!("{{\"kind\":\"{}\",\"year\":{year}}}", if year < 2000 { "old" } else { "new" });
    VectorRecord { id: id.to_owned(), values: values.to_vec(), metadata }
}

fn query(vector: &[f32], filter: Option<&str>) -> VectorQuery {
    let filter = filter.map(|text| {
        let json = Json::parse(text.as_bytes(), Literals::Strict).unwrap();
        Filter::parse(&["filter"], &json).unwrap()
    });
    VectorQuery { namespace: Some("n".to_owned()), vector: vector.to_vec(), top_k: 10, filter, metadata: true }
}

async fn found(index: &dyn VectorIndex, asked: VectorQuery) -> Vec<String> {
    index.query(asked).await.unwrap().into_iter().map(|one| one.id).collect()
}

/// Every id of a namespace, page by page, and how many pages that were.
async fn listed(index: &dyn VectorIndex, namespace: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut ids, mut pages, mut next) = (Vec::new(), 0, None::<String>);
    loop {
        let page: IdPage = index.list(namespace, next.as_deref(), limit).await.unwrap();
        assert!(page.ids.len() <= limit);
        pages += 1;
        ids.extend(page.ids);
        next = page.next;
        if next.is_none() {
            return (ids, pages);
        }
    }
}

async fn story(index: &dyn VectorIndex) {
    // Nothing is there yet, and that is fine.
    assert_eq!(index.stats().await.unwrap().namespaces, []);
    assert_eq!(listed(index, "n", 10).await.0, [""; 0]);
    assert!(index.fetch("n", &["a".to_owned()]).await.unwrap().is_empty());
    assert!(index.query(query(&[1.0, 0.0], None)).await.unwrap().is_empty());
    index.delete("n", &["a".to_owned()]).await.unwrap();
    index.upsert("n", Vec::new()).await.unwrap();

    let first = vec![record("b#1", &[0.0, 1.0], 1990), record("a b", &[1.0, 0.1], 2000)];
    let one = index.upsert("n", first).await.unwrap();
    let two = index.upsert("m", vec![record("a b", &[1.0, 1.0], 2010)]).await.unwrap();
    assert!(one.lsn.is_some() && two.lsn.is_some(), "every one of these has numbers");
    assert_eq!(index.stats().await.unwrap().namespaces, [("m".to_owned(), 1), ("n".to_owned(), 2)]);
    assert_eq!(index.dimension(), Some(2));

    // Namespaces are apart, and the order is by nearness.
    assert_eq!(found(index, query(&[1.0, 0.0], None)).await, ["a b", "b#1"]);
    assert_eq!(found(index, query(&[0.0, 1.0], None)).await, ["b#1", "a b"]);
    assert_eq!(found(index, query(&[1.0, 0.0], Some(r#"{"year":{"$lt":2000}}"#))).await, ["b#1"]);
    assert_eq!(found(index, query(&[1.0, 0.0], Some(r#"{"$or":[{"kind":"new"},{"year":1990}]}"#))).await.len(), 2);
    let best = index.query(query(&[1.0, 0.1], None)).await.unwrap().remove(0);
    assert!((best.score - 1.0).abs() < 1e-5, "{best:?}");
    assert!(best.metadata.contains("\"kind\":\"new\""), "{best:?}");

    // A record is replaced as a whole, and comes back bit by bit.
    let odd = [0.1, -1.5e-7];
    let three = index.upsert("n", vec![record("a b", &odd, 1980)]).await.unwrap();
    assert!(three.lsn > one.lsn);
    assert!(index.visible_lsn("n").await.unwrap() >= three.lsn, "what was acknowledged is seen");
    let ids = ["a b".to_owned(), "b#1".to_owned(), "none".to_owned()];
    let mut fetched = index.fetch("n", &ids).await.unwrap();
    fetched.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(fetched.len(), 2);
    assert_eq!((fetched[0].id.as_str(), fetched[0].values.as_slice()), ("a b", odd.as_slice()));
    let metadata = Json::parse(fetched[0].metadata.as_bytes(), Literals::Strict).unwrap();
    assert_eq!(metadata.get("kind").and_then(Json::as_str), Some("old"));

    // A listing is sorted bytewise, has every id once and takes as many requests as it has pages.
    let many: Vec<VectorRecord> = (0..250).map(|i| record(&format!("r{i}"), &[1.0, 2.0], 2000)).collect();
    for part in many.chunks(index.limits().upsert_records) {
        index.upsert("long", part.to_vec()).await.unwrap();
    }
    let mut expected: Vec<String> = many.iter().map(|record| record.id.clone()).collect();
    expected.sort();
    let (ids, pages) = listed(index, "long", 100).await;
    assert_eq!(ids, expected);
    assert!(pages <= 4, "{pages}");
    assert_eq!(index.fetch("long", &expected).await.unwrap().len(), 250);

    // Deleting is idempotent, and takes what it names.
    index.delete("long", &expected[..200]).await.unwrap();
    index.delete("long", &expected[..200]).await.unwrap();
    assert_eq!(listed(index, "long", 100).await.0, expected[200..]);
    index.delete("nowhere", &expected[..2]).await.unwrap();
    assert_eq!(index.query(query(&[1.0, 0.0], None)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_local_index_keeps_the_port() {
    let test = TestApp::new().await;
    let index = test.cx().index().clone();
    story(&*index).await;
    let refused = index.query(query(&[1.0], None)).await.unwrap_err();
    assert_eq!(refused.kind, IndexErrorKind::Rejected);
}

#[tokio::test]
async fn the_double_in_memory_keeps_the_port() {
    story(&MemoryIndex::default()).await;
}

#[tokio::test]
async fn pinecone_keeps_the_port_in_both_dialects() {
    for version in ["2025-10", "2026-04", "2026-07"] {
        let key = Secret::new("pcsk_story");
        let emulator =
            Arc::new(Emulator::start(Options { api_key: Some(key.clone()), ..Options::default() }).await.unwrap());
        let test = TestApp::with(|config| {
            config.index.pinecone.api_key = Some(key);
            config.index.pinecone.controller_host = emulator.url();
            config.index.pinecone.api_version = version.to_owned();
        })
        .await;
        let index = test.cx().index().clone();
        story(&*index).await;
        let refused = index.query(query(&[1.0], None)).await.unwrap_err();
        assert_eq!(refused.kind, IndexErrorKind::Rejected);
    }
}
