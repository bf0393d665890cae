//! The filter language, as a query and a delete read it.

use serde_json::json;

use crate::support::pinecone::Bench;

async fn library() -> Bench {
    let bench = Bench::with_index("cosine").await;
    bench
        .upsert(
            "kb",
            json!([
                {"id": "a", "values": [1, 0, 0], "metadata": {"genre": "drama", "year": 1990, "tags": ["x", "y"]}},
                {"id": "b", "values": [1, 0, 0], "metadata": {"genre": "comedy", "year": 2000.5, "new": true}},
                {"id": "c", "values": [1, 0, 0], "metadata": {"genre": "drama", "year": "1990", "tags": ["y"]}},
                {"id": "d", "values": [1, 0, 0]},
            ]),
        )
        .await;
    bench
}

#[tokio::test]
async fn a_filter_finds_what_the_language_says() {
    let bench = library().await;
    for (filter, found) in [
        (json!({}), &["a", "b", "c", "d"][..]),
        (json!({"genre": "drama"}), &["a", "c"]),
        (json!({"genre": {"$eq": "drama"}}), &["a", "c"]),
        (json!({"genre": {"$ne": "drama"}}), &["b", "d"]),
        (json!({"year": 1990}), &["a"]),
        (json!({"year": "1990"}), &["c"]),
        (json!({"year": {"$gt": 1990}}), &["b"]),
        (json!({"year": {"$gte": 1990}}), &["a", "b"]),
        (json!({"year": {"$lt": 2000.5}}), &["a"]),
        (json!({"year": {"$lte": 2000.5}}), &["a", "b"]),
        (json!({"year": {"$gte": 1990, "$lt": 2000}}), &["a"]),
        (json!({"genre": {"$in": ["comedy", "horror"]}}), &["b"]),
        (json!({"year": {"$in": [1990, 2000.5]}}), &["a", "b"]),
        (json!({"genre": {"$nin": ["comedy", "horror"]}}), &["a", "c", "d"]),
        (json!({"new": true}), &["b"]),
        (json!({"new": {"$ne": true}}), &["a", "c", "d"]),
        (json!({"new": {"$exists": true}}), &["b"]),
        (json!({"new": {"$exists": false}}), &["a", "c", "d"]),
        (json!({"tags": "x"}), &["a"]),
        (json!({"tags": {"$in": ["x", "z"]}}), &["a"]),
        (json!({"tags": {"$ne": "x"}}), &["b", "c", "d"]),
        (json!({"tags": {"$nin": ["y"]}}), &["b", "d"]),
        (json!({"genre": "drama", "tags": "x"}), &["a"]),
        (json!({"$and": [{"genre": "drama"}, {"year": {"$lt": 2000}}]}), &["a"]),
        (json!({"$or": [{"genre": "comedy"}, {"year": "1990"}]}), &["b", "c"]),
        (json!({"$or": [{"$and": [{"genre": "drama"}, {"tags": "x"}]}, {"new": true}]}), &["a", "b"]),
        (json!({"year": {"$in": (0..10_000).collect::<Vec<_>>()}}), &["a"]),
    ] {
        let query = json!({"namespace": "kb", "topK": 10, "vector": [1, 0, 0], "filter": filter});
        assert_eq!(bench.matches(&query).await, found, "{filter}");
    }
}

#[tokio::test]
async fn what_is_no_filter_is_refused_with_its_place() {
    let bench = library().await;
    for (filter, place) in [
        (json!("x"), "filter:"),
        (json!({"$gt": 1}), "filter.$gt"),
        (json!({"$not": {"year": 1}}), "filter.$not"),
        (json!({"year": {"$gt": "1990"}}), "filter.year.$gt"),
        (json!({"year": {"$regex": "1"}}), "filter.year.$regex"),
        (json!({"year": {"$in": "1990"}}), "filter.year.$in"),
        (json!({"year": {"$in": [true]}}), "filter.year.$in.0"),
        (json!({"year": {"$exists": 1}}), "filter.year.$exists"),
        (json!({"year": null}), "filter.year"),
        (json!({"year": {}}), "filter.year"),
        (json!({"$or": {"year": 1}}), "filter.$or"),
        (json!({"$and": [{"year": {"$lt": true}}]}), "filter.$and.0.year.$lt"),
        (json!({"year": {"$in": (0..10_001).collect::<Vec<_>>()}}), "filter.year.$in"),
    ] {
        for (path, body) in [
            ("/query", json!({"namespace": "kb", "topK": 1, "vector": [1, 0, 0], "filter": filter})),
            ("/vectors/delete", json!({"namespace": "kb", "filter": filter})),
            ("/vectors/update", json!({"namespace": "kb", "filter": filter, "setMetadata": {"a": 1}})),
            ("/vectors/fetch_by_metadata", json!({"namespace": "kb", "filter": filter})),
        ] {
            let answer = bench.kb(path, &body).await;
            let told = answer.json();
            assert_eq!((answer.status, &told["code"]), (400, &json!(3)), "{filter}");
            assert!(told["message"].as_str().unwrap().contains(place), "{filter}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn a_filter_decides_what_is_updated_and_deleted() {
    let bench = library().await;
    let update = |dry: bool| json!({"namespace": "kb", "filter": {"genre": "drama"}, "setMetadata": {"old": true}, "dryRun": dry});
    assert_eq!(bench.kb("/vectors/update", &update(true)).await.json(), json!({"matchedRecords": 2}));
    let query = json!({"namespace": "kb", "topK": 10, "vector": [1, 0, 0], "filter": {"old": true}});
    assert_eq!(bench.matches(&query).await, [""; 0]);
    assert_eq!(bench.kb("/vectors/update", &update(false)).await.json(), json!({"matchedRecords": 2}));
    assert_eq!(bench.matches(&query).await, ["a", "c"]);
    // With ids beside it, the filter wins.
    bench.kb("/vectors/delete", &json!({"namespace": "kb", "ids": ["d"], "filter": {"old": true}})).await;
    assert_eq!(bench.listed("namespace=kb").await, ["b", "d"]);
}
