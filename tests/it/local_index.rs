//! The embedded index, through its port.

use std::collections::BTreeMap;

use corpusd::config::IndexConfig;
use corpusd::config::Metric;
use corpusd::filter::Filter;
use corpusd::index::IndexErrorKind;
use corpusd::index::Match;
use corpusd::index::VectorIndex;
use corpusd::index::VectorQuery;
use corpusd::index::VectorRecord;
use corpusd::index::local::LocalIndex;
use corpusd::index::local::memory::Narrowing;
use corpusd::index::local::metric::score;
use corpusd::json::Json;
use corpusd::json::Literals;
use corpusd::store::sql::Sql;
use proptest::prelude::*;

use crate::support::TestApp;

fn record(id: &str, values: &[f32], metadata: &str) -> VectorRecord {
    VectorRecord { id: id.to_owned(), values: values.to_vec(), metadata: metadata.to_owned() }
}

fn query(vector: &[f32], top_k: usize) -> VectorQuery {
    VectorQuery { namespace: None, vector: vector.to_vec(), top_k, filter: None, metadata: true }
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
    assert_eq!(index.list("n", None, 10).await.expect("a list").ids, ["a"]);
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
    assert_eq!(index.list("n", None, 10).await.expect("a list").ids, ["a"], "nothing of a refused request is kept");
    index.delete("n", &["a".to_owned()]).await.expect("deleted");
    index.upsert("n", vec![record("a", &[1.0, 2.0, 3.0], "{}")]).await.expect("written");
    assert_eq!(index.dimension(), Some(3));
}

#[tokio::test]
async fn an_index_that_gets_another_dimension_by_configuration_starts_empty() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    index.upsert("n", vec![record("a", &[1.0, 0.0], "{}")]).await.expect("written");
    let config = |dimension| IndexConfig { dimension: Some(dimension), ..IndexConfig::default() };
    let same = LocalIndex::open(&config(2), app.cx().db()).await.expect("opened");
    assert_eq!(same.stats().await.expect("stats").namespaces, [("n".to_owned(), 1)]);
    let other = LocalIndex::open(&config(3), app.cx().db()).await.expect("opened");
    assert_eq!(other.stats().await.expect("stats").namespaces, []);
    other.upsert("n", vec![record("b", &[1.0, 2.0, 3.0], "{}")]).await.expect("written");
    assert_eq!(ids(&find(&other, query(&[1.0, 2.0, 3.0], 3)).await), ["b"]);
}

#[tokio::test]
async fn an_index_that_was_emptied_takes_any_dimension_and_its_writes_are_seen() {
    let test = TestApp::with(|config| config.index.auto_export = true).await;
    for (id, vector) in [("two", vec![1.0, 2.0]), ("three", vec![1.0, 2.0, 3.0])] {
        let input = serde_json::json!({ "id": id, "title": "T", "chunks": [{ "text": "x", "embeddings": [{ "vector": vector }] }] });
        let made = "mutation($input: CreateDocumentInput!) { createDocument(input: $input) { document { id } } }";
        assert!(test.graphql(made, serde_json::json!({ "input": input })).await["errors"].is_null());
        test.sync_until_idle().await;
        let sync = test
            .graphql("query($id: ID!) { document(id: $id) { sync { state } } }", serde_json::json!({ "id": id }))
            .await;
        assert_eq!(sync["data"]["document"]["sync"]["state"], "SYNCED", "{id}");
        let gone = "mutation($id: ID!) { deleteDocument(input: { id: $id, mode: HARD }) { id } }";
        assert!(test.graphql(gone, serde_json::json!({ "id": id })).await["errors"].is_null());
        test.sync_until_idle().await;
    }
    let lsn = test.cx().index().delete("default", &[]).await.expect("deleted").lsn;
    assert_eq!(test.cx().index().visible_lsn("default").await.expect("a number"), lsn);
}

#[tokio::test]
async fn the_engine_has_old_tombstones_removed() {
    let app = TestApp::new().await;
    let index = app.cx().index().clone();
    index.upsert("n", vec![record("a", &[1.0], "{}")]).await.expect("written");
    index.delete("n", &["a".to_owned()]).await.expect("deleted");
    app.sync_until_idle().await;
    assert_eq!(tombstones(&app).await, 1);
    app.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
    app.sync_until_idle().await;
    assert_eq!(tombstones(&app).await, 0);
}

async fn tombstones(app: &TestApp) -> i64 {
    let mut sql = Sql::new(app.cx().read());
    sql.push("SELECT count(*) FROM local_records WHERE deleted");
    let row = sql.one(app.cx().read()).await.expect("the database answers").expect("a row");
    row.try_get_by_index(0).expect("a number")
}

#[tokio::test]
async fn a_warm_index_loads_nothing_when_it_is_asked() {
    let app = TestApp::new().await;
    app.cx().index().upsert("n", vec![record("a", &[1.0, 0.0], "{}")]).await.expect("written");
    let index = replica(&app, Metric::Cosine, SMALL).await;
    index.warm().await.expect("loaded");
    let mut counts = Vec::new();
    for _ in 0..2 {
        let before = app.cx().db().statements().count();
        assert_eq!(ids(&find(&index, query(&[1.0, 0.0], 3)).await), ["a"]);
        counts.push(app.cx().db().statements().count() - before);
    }
    assert_eq!(counts[0], counts[1]);
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
    assert_eq!(index.list("n", None, 10).await.expect("a list").ids, ["b"]);
}

/// Everything is scored.
const EXACT: Narrowing = Narrowing { few: usize::MAX, first: 1000, most: [usize::MAX, usize::MAX] };
/// Few records are scored at first, and not all of a thousand in the end.
const SMALL: Narrowing = Narrowing { few: 0, first: 20, most: [40, 600] };

/// An index over the same database, as another replica or after a restart has it.
async fn replica(app: &TestApp, metric: Metric, narrowing: Narrowing) -> LocalIndex {
    let config = IndexConfig { metric, ..IndexConfig::default() };
    let index = LocalIndex::open(&config, app.cx().db()).await.expect("the index opens");
    index.narrowing(narrowing)
}

/// What the index must answer.
fn brute_force(metric: Metric, records: &BTreeMap<(String, String), VectorRecord>, query: &VectorQuery) -> Vec<Match> {
    let in_scope = |(key, record): &(&(String, String), &VectorRecord)| {
        let metadata = Json::parse(record.metadata.as_bytes(), Literals::Strict).expect("JSON");
        query.namespace.as_ref().is_none_or(|name| *name == key.0)
            && query.filter.as_ref().is_none_or(|filter| filter.matches(&metadata))
    };
    let found = |(key, record): (&(String, String), &VectorRecord)| Match {
        namespace: key.0.clone(),
        id: key.1.clone(),
        score: score(metric, &query.vector, &record.values),
        metadata: record.metadata.clone(),
    };
    let mut matches: Vec<Match> = records.iter().filter(in_scope).map(found).collect();
    matches.sort_by(|a, b| {
        b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)).then_with(|| a.namespace.cmp(&b.namespace))
    });
    matches.truncate(query.top_k);
    matches
}

#[derive(Debug, Clone)]
enum Step {
    Upsert { namespace: u8, ids: Vec<u8>, seed: u64 },
    Delete { namespace: u8, ids: Vec<u8> },
    Prune,
    Restart,
    Query { namespace: Option<u8>, filter: usize, seed: u64, top_k: usize },
}

const FILTERS: [&str; 6] = [
    "{}",
    r#"{"n":{"$gte":3,"$lt":7}}"#,
    r#"{"kind":{"$in":["a","c"]}}"#,
    r#"{"kind":{"$ne":"a"}}"#,
    r#"{"$or":[{"tags":"t1"},{"n":{"$exists":false}}]}"#,
    r#"{"kind":"none of them"}"#,
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ids = || prop::collection::vec(0..12u8, 1..8);
    let step = prop_oneof![
        4 => (0..2u8, ids(), any::<u64>()).prop_map(|(namespace, ids, seed)| Step::Upsert { namespace, ids, seed }),
        2 => (0..2u8, ids()).prop_map(|(namespace, ids)| Step::Delete { namespace, ids }),
        1 => Just(Step::Prune),
        1 => Just(Step::Restart),
        4 => (prop::option::of(0..2u8), 0..FILTERS.len(), any::<u64>(), 1..20usize)
            .prop_map(|(namespace, filter, seed, top_k)| Step::Query { namespace, filter, seed, top_k }),
    ];
    prop::collection::vec(step, 1..25)
}

fn name(namespace: u8) -> String {
    format!("n{namespace}")
}

/// Few values, so that scores are often equal.
fn small_vector(rng: &mut fastrand::Rng) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..4).map(|_| f32::from(rng.i8(-2..=2))).collect();
    vector[0] += 0.5;
    vector
}

async fn run(steps: Vec<Step>) {
    let app = TestApp::new().await;
    for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
        let mut replicas = [replica(&app, metric, EXACT).await, replica(&app, metric, EXACT).await];
        let mut records = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            // Either replica writes, either answers.
            let index = at % 2;
            match step {
                Step::Upsert { namespace, ids, seed } => {
                    let mut rng = fastrand::Rng::with_seed(*seed);
                    let made = |id: &u8| {
                        let kind = ["a", "b", "c"][rng.usize(..3)];
                        let metadata = match rng.u8(..3) {
                            0 => format!(r#"{{"kind":"{kind}"}}"#),
                            1 => format!(r#"{{"kind":"{kind}","n":{}}}"#, rng.u8(..10)),
                            _ => format!(r#"{{"n":{},"tags":["t{}","t{}"]}}"#, rng.u8(..10), rng.u8(..3), rng.u8(..3)),
                        };
                        record(&format!("r{id}"), &small_vector(&mut rng), &metadata)
                    };
                    let made: Vec<VectorRecord> = ids.iter().map(made).collect();
                    for record in &made {
                        records.insert((name(*namespace), record.id.clone()), record.clone());
                    }
                    replicas[index].upsert(&name(*namespace), made).await.expect("written");
                }
                Step::Delete { namespace, ids } => {
                    let ids: Vec<String> = ids.iter().map(|id| format!("r{id}")).collect();
                    for id in &ids {
                        records.remove(&(name(*namespace), id.clone()));
                    }
                    replicas[index].delete(&name(*namespace), &ids).await.expect("deleted");
                }
                Step::Prune => {
                    app.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600));
                    replicas[index].maintain().await.expect("maintained");
                }
                Step::Restart => replicas[index] = replica(&app, metric, EXACT).await,
                Step::Query { namespace, filter: which, seed, top_k } => {
                    let query = VectorQuery {
                        namespace: namespace.map(name),
                        vector: small_vector(&mut fastrand::Rng::with_seed(*seed)),
                        top_k: *top_k,
                        filter: Some(filter(FILTERS[*which])),
                        metadata: true,
                    };
                    let expected = brute_force(metric, &records, &query);
                    assert_eq!(find(&replicas[index], query).await, expected);
                }
            }
        }
        // Left empty for the next metric.
        for namespace in [name(0), name(1)] {
            let all = replicas[0].list(&namespace, None, 100).await.expect("a list").ids;
            replicas[1].delete(&namespace, &all).await.expect("deleted");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_replica_answers_as_brute_force_would_after_any_steps(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}

/// Vectors in clusters, as those of texts are, half as wide as they are apart: where a cluster has many, their
/// codes hardly tell which are nearest.
fn clustered(rng: &mut fastrand::Rng, count: usize, dimension: usize, clusters: usize) -> Vec<Vec<f32>> {
    let gauss = |rng: &mut fastrand::Rng| (0..4).map(|_| rng.f32() - 0.5).sum::<f32>();
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| (0..dimension).map(|_| gauss(rng)).collect()).collect();
    let point = |rng: &mut fastrand::Rng| {
        let (centre, length) = (&centres[rng.usize(..centres.len())], 0.5 + rng.f32());
        centre.iter().map(|number| (number + 0.5 * gauss(rng)) * length).collect()
    };
    (0..count).map(|_| point(rng)).collect()
}

#[tokio::test]
async fn narrowing_by_codes_loses_less_than_one_match_in_a_hundred() {
    for (dimension, clusters, sparse) in [(16, 40, false), (512, 40, false), (512, 40, true), (512, 5, false)] {
        let app = TestApp::new().await;
        let mut rng = fastrand::Rng::with_seed(11);
        let mut vectors = clustered(&mut rng, 1020, dimension, clusters);
        if sparse {
            // Never negative and mostly zero: what signs alone would say nothing of.
            vectors.iter_mut().flatten().for_each(|number| *number = (*number - 0.4).max(0.0));
            vectors.iter_mut().for_each(|vector| vector[0] += 0.1);
        }
        let queries = vectors.split_off(1000);
        let exact = replica(&app, Metric::Cosine, EXACT).await;
        for (page, vectors) in vectors.chunks(500).enumerate() {
            let made =
                vectors.iter().enumerate().map(|(i, vector)| record(&format!("r{}", page * 500 + i), vector, "{}"));
            exact.upsert("n", made.collect()).await.expect("written");
        }
        for metric in [Metric::Cosine, Metric::Dotproduct, Metric::Euclidean] {
            let exact = replica(&app, metric, EXACT).await;
            let coded = replica(&app, metric, SMALL).await;
            let mut missed = 0;
            for vector in &queries {
                let truth = find(&exact, query(vector, 10)).await;
                let found = find(&coded, query(vector, 10)).await;
                missed += truth.iter().filter(|best| !found.contains(best)).count();
            }
            assert!(
                missed <= queries.len() * 10 / 100,
                "{metric:?}, {dimension}, {clusters}: {missed} of {}",
                queries.len() * 10
            );
        }
    }
}
