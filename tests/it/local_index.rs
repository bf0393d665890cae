//! The embedded index, through its port.

use corpusd::filter::Filter;
use corpusd::index::IndexErrorKind;
use corpusd::index::Match;
use corpusd::index::VectorIndex;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use corpusd::json::Json;
use corpusd::json::Literals;

use crate::support::TestApp;

fn record(id: &str, values: &[f32], metadata: &str) -> VectorRecord {
    VectorRecord { id: id.to_owned(), values: values.to_vec(), metadata: metadata.to_owned() }
}

fn query(vector: &[f32], top_k: usize) -> VectorQuery {
    VectorQuery { namespace: None, vector: vector.to_vec(), top_k, filter: None }
}

fn filter(text: &str) -> Filter {
    Filter::parse(&["filter"], &Json::parse(text.as_bytes(), Literals::Strict).expect("JSON")).expect("a filter")
}

fn ids(matches: &[Match]) -> Vec<&str> {
    matches.iter().map(|found| found.id.as_str()).collect()
}

async fn find(index: &dyn VectorIndex, query: VectorQuery) -> Vec<Match> {
    index.query(query).await.expect("the index answers")
}

#[tokio::test]
async fn records_are_found_replaced_and_deleted() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    assert_eq!(find(&*index, query(&[1.0, 0.0], 3)).await, []);
    let records = vec![record("a", &[1.0, 0.0], "{}"), record("b", &[0.0, 1.0], "{}"), record("a", &[1.0, 0.1], "{}")];
    index.upsert("n", records).await.expect("written");
    index.upsert("m", vec![record("a", &[1.0, 1.0], r#"{"x":1}"#)]).await.expect("written");
    let found = find(&*index, query(&[1.0, 0.0], 3)).await;
    assert_eq!(ids(&found), ["a", "a", "b"]);
    assert_eq!((found[1].namespace.as_str(), found[1].metadata.as_str()), ("m", r#"{"x":1}"#));
    assert_eq!(
        ids(&find(&*index, VectorQuery { namespace: Some("n".to_owned()), ..query(&[0.0, 1.0], 1) }).await),
        ["b"]
    );
    index.delete("n", &["b".to_owned(), "unknown".to_owned()]).await.expect("deleted");
    assert_eq!(ids(&find(&*index, query(&[0.0, 1.0], 3)).await), ["a", "a"]);
    assert_eq!(index.stats().await.expect("stats").namespaces, [("m".to_owned(), 1), ("n".to_owned(), 1)]);
    assert_eq!(index.list("n", None, 10).await.expect("a list"), ["a"]);
    let fetched = index.fetch("n", &["a".to_owned(), "b".to_owned()]).await.expect("fetched");
    assert_eq!(fetched, [record("a", &[1.0, 0.1], "{}")]);
}

#[tokio::test]
async fn a_filter_is_resolved_before_scoring() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    let records = (0..50u8).map(|i| {
        let metadata = format!(r#"{{"even":{},"i":{i}}}"#, i % 2 == 0);
        record(&format!("r{i:02}"), &[f32::from(i), 1.0], &metadata)
    });
    index.upsert("n", records.collect()).await.expect("written");
    let filter = filter(r#"{"even": false, "i": {"$lt": 8}}"#);
    let found = find(&*index, VectorQuery { filter: Some(filter), ..query(&[1.0, 0.0], 3) }).await;
    assert_eq!(ids(&found), ["r07", "r05", "r03"]);
}

#[tokio::test]
async fn the_dimension_is_learned_and_forgotten_with_the_last_record() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    assert_eq!(index.dimension(), None);
    index.upsert("n", vec![record("a", &[1.0, 0.0], "{}")]).await.expect("written");
    assert_eq!(index.dimension(), Some(2));
    for wrong in [&[1.0, 2.0, 3.0][..], &[0.0, 0.0], &[f32::NAN, 1.0], &[]] {
        let refused = index.upsert("n", vec![record("b", &[1.0, 1.0], "{}"), record("c", wrong, "{}")]).await;
        assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::Rejected), "{wrong:?}");
        let refused = index.query(query(wrong, 1)).await;
        assert_eq!(refused.map_err(|error| error.kind), Err(IndexErrorKind::Rejected), "{wrong:?}");
    }
    assert_eq!(index.list("n", None, 10).await.expect("a list"), ["a"], "nothing of a refused request is kept");
    index.delete("n", &["a".to_owned()]).await.expect("deleted");
    index.upsert("n", vec![record("a", &[1.0, 2.0, 3.0], "{}")]).await.expect("written");
    assert_eq!(index.dimension(), Some(3));
}

#[tokio::test]
async fn tombstones_are_removed_after_seven_days() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    index.upsert("n", vec![record("a", &[1.0], "{}"), record("b", &[1.0], "{}")]).await.expect("written");
    index.delete("n", &["a".to_owned()]).await.expect("deleted");
    app.clock.advance(std::time::Duration::from_secs(7 * 24 * 3600 - 1));
    assert_eq!(index.maintain().await, Ok(0));
    app.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!(index.maintain().await, Ok(1));
    assert_eq!(index.list("n", None, 10).await.expect("a list"), ["b"]);
}
