//! Search, through the service.

use corpusd::error::Error;
use corpusd::json::Json;
use corpusd::json::Literals;
use corpusd::service::Delete;
use corpusd::service::chunks;
use corpusd::service::chunks::NewChunk;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use corpusd::service::embeddings;
use corpusd::service::embeddings::NewEmbedding;
use corpusd::service::search;
use corpusd::service::search::Hit;
use corpusd::service::search::Mode;
use corpusd::service::search::SearchOutcome;
use corpusd::service::search::SearchRequest;
use serde_json::Value;

use crate::support::TestApp;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes(), Literals::Strict).expect("JSON")
}

fn passage(id: &str, text: &str, vectors: &[(&str, [f32; 2])]) -> NewChunk {
    let vectors = vectors.iter().enumerate().map(|(i, (model, vector))| NewEmbedding {
        id: Some(format!("{id}-e{i}")),
        vector: vector.to_vec(),
        model: Some((*model).to_owned()),
        ..NewEmbedding::default()
    });
    NewChunk { id: Some(id.to_owned()), text: text.to_owned(), embeddings: vectors.collect(), ..NewChunk::default() }
}

async fn document(app: &TestApp, id: &str, namespace: &str, metadata: &str, chunks: Vec<NewChunk>) {
    let new = NewDocument {
        id: Some(id.to_owned()),
        namespace: Some(namespace.to_owned()),
        title: format!("title of {id}"),
        metadata: Some(json(metadata)),
        chunks,
        ..NewDocument::default()
    };
    documents::create(app.cx(), new).await.expect("a document");
}

/// Two documents, exported.
async fn corpus() -> TestApp {
    let app = TestApp::with(|config| config.index.auto_export = true).await;
    let fruit = vec![
        passage("apple", "An apple a day. Apple!", &[("small", [1.0, 0.0]), ("large", [0.9, 0.1])]),
        passage("pear", "A pear is no APPLE; 100% true", &[("small", [0.8, 0.3])]),
        passage("straße", "Straße_ohne Obst", &[]),
    ];
    document(&app, "fruit", "default", r#"{"kind":"food","year":2001}"#, fruit).await;
    let tools = vec![
        passage("hammer", "A hammer", &[("small", [0.0, 1.0])]),
        passage("saw", "A saw", &[("small", [0.1, 1.0])]),
    ];
    document(&app, "tools", "workshop", r#"{"kind":"tool","tags":["iron","wood"]}"#, tools).await;
    app.sync_until_idle().await;
    app
}

async fn find(app: &TestApp, request: SearchRequest) -> SearchOutcome {
    search::search(app.cx(), request).await.expect("an answer")
}

fn words(text: &str) -> SearchRequest {
    SearchRequest { text: Some(text.to_owned()), mode: Mode::Text, ..SearchRequest::default() }
}

fn near(vector: [f32; 2]) -> SearchRequest {
    SearchRequest { vector: Some(vector.to_vec()), mode: Mode::Vector, ..SearchRequest::default() }
}

fn ids(outcome: &SearchOutcome) -> Vec<&str> {
    outcome.hits.iter().map(|hit| hit.chunk.id.as_str()).collect()
}

#[tokio::test]
async fn words_are_found_in_folded_text_the_most_frequent_first() {
    let app = corpus().await;
    let outcome = find(&app, words("aPPle")).await;
    assert_eq!(ids(&outcome), ["apple", "pear"]);
    let Hit { score, text_score, text_rank, vector_rank, snippet, document, .. } = &outcome.hits[0];
    assert_eq!((*score, *text_score, *text_rank, *vector_rank), (2.0, Some(2.0), Some(1), None));
    assert_eq!((snippet.as_str(), document.id.as_str()), ("An apple a day. Apple!", "fruit"));
    assert_eq!(ids(&find(&app, words("strasse_")).await), ["straße"]);
    assert_eq!(ids(&find(&app, words("100%")).await), ["pear"], "% and _ are letters like any");
    assert_eq!(ids(&find(&app, words("a_ple")).await), [""; 0]);
    assert!(!outcome.stale);
}

#[tokio::test]
async fn filters_hold_for_words_and_for_vectors() {
    let app = corpus().await;
    for request in [words("a"), SearchRequest { first: Some(100), ..near([1.0, 0.5]) }] {
        let with = |change: &dyn Fn(&mut SearchRequest)| {
            let mut request = request.clone();
            change(&mut request);
            request
        };
        let sorted = |outcome: SearchOutcome| {
            let mut ids: Vec<String> = ids(&outcome).into_iter().map(str::to_owned).collect();
            ids.retain(|id| id != "straße");
            ids.sort();
            ids
        };
        let metadata = |filter: &str| with(&|request| request.metadata = Some(json(filter)));
        for (request, expected) in [
            (with(&|_| ()), &["apple", "hammer", "pear", "saw"][..]),
            (with(&|request| request.namespace = Some("workshop".to_owned())), &["hammer", "saw"]),
            (with(&|request| request.namespace = Some("nowhere".to_owned())), &[]),
            (
                with(&|request| request.document_ids = Some(vec!["fruit".to_owned(), "x".to_owned()])),
                &["apple", "pear"],
            ),
            (with(&|request| request.document_ids = Some(Vec::new())), &[]),
            (with(&|request| request.model = Some("large".to_owned())), &["apple"]),
            (metadata(r#"{"kind":"tool"}"#), &["hammer", "saw"]),
            (metadata(r#"{"year":{"$gt":2000},"document_title":"title of fruit"}"#), &["apple", "pear"]),
            (metadata(r#"{"$or":[{"tags":"wood"},{"chunk_index":0}]}"#), &["apple", "hammer", "saw"]),
            (metadata(r#"{"text":"A saw"}"#), &["saw"]),
            (metadata(r#"{"year":{"$exists":false},"chunk_id":{"$ne":"saw"}}"#), &["hammer"]),
        ] {
            let filter = format!("{request:?}");
            assert_eq!(sorted(find(&app, request).await), expected, "{filter}");
        }
    }
}

#[tokio::test]
async fn embeddings_of_one_chunk_are_one_hit_with_the_best_score() {
    let app = corpus().await;
    let outcome = find(&app, SearchRequest { first: Some(2), ..near([1.0, 0.0]) }).await;
    assert_eq!(ids(&outcome), ["apple", "pear"]);
    let hit = &outcome.hits[0];
    assert_eq!(
        (hit.embedding_id.as_deref(), hit.vector_rank, hit.vector_score),
        (Some("apple-e0"), Some(1), Some(1.0))
    );
    assert_eq!((hit.score, hit.text_rank), (1.0, None));
}

#[tokio::test]
async fn a_hybrid_search_merges_both_lists_by_their_ranks() {
    let app = corpus().await;
    let both = SearchRequest { mode: Mode::Hybrid, text: Some("apple".to_owned()), ..near([0.0, 1.0]) };
    let outcome = find(&app, both.clone()).await;
    // pear: second by words, third by vector; apple: first by words, fourth by vector.
    assert_eq!(ids(&outcome), ["apple", "pear", "hammer", "saw"]);
    let ranks: Vec<_> = outcome.hits.iter().map(|hit| (hit.text_rank, hit.vector_rank)).collect();
    assert_eq!(ranks, [(Some(1), Some(4)), (Some(2), Some(3)), (None, Some(1)), (None, Some(2))]);
    assert!((outcome.hits[0].score - (1.0 / 61.0 + 1.0 / 64.0)).abs() < 1e-12);
    let text_only = find(&app, SearchRequest { vector: None, ..both }).await;
    assert_eq!(ids(&text_only), ["apple", "pear"]);
    assert_eq!(text_only.hits[0].score, 2.0, "without a vector it is a search by words");
}

#[tokio::test]
async fn a_deleted_chunk_is_no_hit_and_others_take_its_place() {
    let app = corpus().await;
    chunks::delete(app.cx(), "apple", Delete::Soft).await.expect("deleted");
    documents::delete(app.cx(), "tools", Delete::Hard).await.expect("deleted");
    // The index has not heard of it.
    let outcome = find(&app, SearchRequest { first: Some(1), ..near([1.0, 0.0]) }).await;
    assert_eq!(ids(&outcome), ["pear"]);
    assert!(outcome.stale, "the index has not taken in the deletion");
    let both = SearchRequest { mode: Mode::Hybrid, text: Some("a".to_owned()), ..near([0.0, 1.0]) };
    assert_eq!(ids(&find(&app, both).await), ["pear", "straße"]);
    assert_eq!(ids(&find(&app, words("apple")).await), ["pear"]);
    app.sync_until_idle().await;
    assert!(!find(&app, near([1.0, 0.0])).await.stale);
}

#[tokio::test]
async fn many_deleted_neighbours_do_not_hide_a_live_chunk() {
    let app = TestApp::with(|config| config.index.auto_export = true).await;
    let crowd = (0..60u8).map(|i| passage(&format!("crowd{i}"), "crowd", &[("m", [1.0, f32::from(i) / 1000.0])]));
    document(&app, "many", "default", "{}", crowd.collect()).await;
    document(&app, "away", "default", "{}", vec![passage("far", "far", &[("m", [-1.0, 0.0])])]).await;
    app.sync_until_idle().await;
    documents::delete(app.cx(), "many", Delete::Soft).await.expect("deleted");
    assert_eq!(ids(&find(&app, SearchRequest { first: Some(3), ..near([1.0, 0.0]) }).await), ["far"]);
}

#[tokio::test]
async fn a_search_waits_until_the_index_holds_a_revision() {
    let app = corpus().await;
    let wait = |wait_for: i64, wait_ms: i64| SearchRequest {
        wait_for: Some(wait_for),
        wait_ms: Some(wait_ms),
        ..near([0.5, -1.0])
    };
    let cx = app.cx().for_request();
    let new = NewEmbedding { id: Some("new".to_owned()), vector: vec![0.5, -1.0], ..NewEmbedding::default() };
    embeddings::create(&cx, vec![("straße".to_owned(), new)]).await.expect("an embedding");
    let revision = cx.committed().expect("a revision");
    let early = find(&app, wait(revision, 0)).await;
    assert!(early.stale && ids(&early)[0] != "straße");
    let (in_time, ()) = tokio::join!(find(&app, wait(revision, 60_000)), app.sync_until_idle());
    assert_eq!((ids(&in_time)[0], in_time.stale), ("straße", false));
    assert!(find(&app, wait(revision + 1000, 0)).await.stale, "nobody has seen that revision");
}

#[tokio::test]
async fn an_index_without_records_has_no_hits() {
    let app = TestApp::new().await;
    assert_eq!(find(&app, near([1.0, 0.0])).await.hits, []);
    assert_eq!(find(&app, words("anything")).await.hits, []);
}

#[tokio::test]
async fn a_search_that_makes_no_sense_names_the_field() {
    let app = corpus().await;
    let vector = |vector: &[f32]| SearchRequest { vector: Some(vector.to_vec()), ..near([0.0, 0.0]) };
    for (request, field) in [
        (SearchRequest { mode: Mode::Text, ..SearchRequest::default() }, "text"),
        (SearchRequest { mode: Mode::Hybrid, ..near([1.0, 0.0]) }, "text"),
        (words("  "), "text"),
        (words("a\0b"), "text"),
        (SearchRequest { mode: Mode::Vector, ..words("a") }, "vector"),
        (vector(&[1.0, 0.0, 0.0]), "vector"),
        (vector(&[]), "vector"),
        (vector(&[0.0, 0.0]), "vector"),
        (vector(&[f32::INFINITY, 0.0]), "vector"),
        (SearchRequest { first: Some(0), ..words("a") }, "first"),
        (SearchRequest { first: Some(101), ..words("a") }, "first"),
        (SearchRequest { first: Some(i64::MIN), ..words("a") }, "first"),
        (SearchRequest { wait_ms: Some(-1), ..words("a") }, "wait_ms"),
        (SearchRequest { wait_for: Some(-1), ..words("a") }, "wait_for"),
        (SearchRequest { namespace: Some("a\0".to_owned()), ..words("a") }, "filter.namespace"),
        (
            SearchRequest { document_ids: Some(vec!["a".to_owned(), "\0".to_owned()]), ..words("a") },
            "filter.document_ids.1",
        ),
        (SearchRequest { model: Some("a\0".to_owned()), ..words("a") }, "model"),
        (SearchRequest { metadata: Some(json(r#"{"a":{"$near":1}}"#)), ..words("a") }, "filter.metadata.a.$near"),
        (SearchRequest { metadata: Some(json("[]")), ..near([1.0, 0.0]) }, "filter.metadata"),
    ] {
        let asked = format!("{request:?}");
        match search::search(app.cx(), request).await {
            Err(Error::Invalid(errors)) => assert_eq!(errors[0].field(), field, "{asked}"),
            other => panic!("{asked}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn many_searches_that_wait_ask_the_database_as_often_as_one() {
    const WAITING: u64 = 50;
    let test = TestApp::new().await;
    let query = r#"{ search(input: {mode: TEXT, text: "h", waitFor: "9999999", waitMs: 1000}) { stale } }"#;
    let before = test.cx().db().statements().count();
    let answers = futures_util::future::join_all((0..WAITING).map(|_| test.graphql(query, Value::Null))).await;
    for answer in answers {
        assert_eq!(answer["data"]["search"]["stale"], true, "{answer}");
    }
    // Each looks once, reads the log and searches; one of them looks on for all.
    let asked = test.cx().db().statements().count() - before;
    assert!(asked < WAITING * 8, "{asked} statements");
}
