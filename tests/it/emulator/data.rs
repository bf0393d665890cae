//! The data plane: what is written, and what reads find.

use serde_json::json;

use crate::support::pinecone::Bench;

#[tokio::test]
async fn a_record_comes_back_with_f32_values_and_f64_numbers() {
    let bench = Bench::with_index("cosine").await;
    let written = bench
        .upsert(
            "kb",
            json!([{"id": "doc7#3", "values": [0.1, 2, 1e-7],
                    "metadata": {"document_id": "doc7", "chunk_index": 3, "tags": ["a", "b"], "ok": true}}]),
        )
        .await;
    assert_eq!(written.json(), json!({"upsertedCount": 1}));
    let fetched = bench.get("/i/kb/vectors/fetch?ids=doc7%233&ids=none&namespace=kb").await;
    assert_eq!(
        fetched.text,
        "{\"vectors\":{\"doc7#3\":{\"id\":\"doc7#3\",\"values\":[0.1,2.0,1e-7],\"metadata\":{\"chunk_index\":3.0,\
         \"document_id\":\"doc7\",\"ok\":true,\"tags\":[\"a\",\"b\"]}}},\"namespace\":\"kb\",\"usage\":{\"readUnits\":1}}"
    );
}

#[tokio::test]
async fn the_best_matches_come_first_on_every_metric() {
    for (metric, order) in [
        ("cosine", ["east", "far-east", "north"]),
        ("dotproduct", ["far-east", "east", "north"]),
        ("euclidean", ["east", "north", "far-east"]),
    ] {
        let bench = Bench::with_index(metric).await;
        bench
            .upsert(
                "",
                json!([{"id": "east", "values": [1, 0, 0]}, {"id": "far-east", "values": [9, 1, 0]},
                       {"id": "north", "values": [0, 1, 0]}]),
            )
            .await;
        let query = json!({"topK": 3, "vector": [2, 0, 0]});
        assert_eq!(bench.matches(&query).await, order, "{metric}");
        let answer = bench.kb("/query", &json!({"topK": 1, "id": "east", "includeValues": true})).await.json();
        assert_eq!(answer["namespace"], "__default__");
        let score = match metric {
            "euclidean" => 0.0,
            "dotproduct" => 9.0,
            _ => 1.0,
        };
        assert_eq!(answer["matches"][0]["score"], score, "{metric}");
    }
}

#[tokio::test]
async fn stats_list_and_delete_agree_on_what_is_there() {
    let bench = Bench::with_index("cosine").await;
    bench.upsert("a", json!([{"id": "d#1", "values": [1, 0, 0]}, {"id": "d#2", "values": [1, 1, 0]}])).await;
    bench.upsert("b", json!([{"id": "x", "values": [1, 0, 0]}])).await;
    let stats = bench.kb("/describe_index_stats", &json!({})).await.json();
    assert_eq!(
        stats,
        json!({"namespaces": {"a": {"vectorCount": 2}, "b": {"vectorCount": 1}}, "dimension": 3, "indexFullness": 0,
               "totalVectorCount": 3, "metric": "cosine", "vectorType": "dense"})
    );
    assert_eq!(bench.listed("namespace=a&prefix=d%23").await, ["d#1", "d#2"]);
    assert_eq!(bench.kb("/vectors/delete", &json!({"namespace": "a", "ids": ["d#1", "none"]})).await.text, "{}");
    assert_eq!(bench.listed("namespace=a").await, ["d#2"]);
    assert_eq!(bench.kb("/vectors/delete", &json!({"namespace": "a", "deleteAll": true})).await.status, 200);
    assert_eq!(bench.listed("namespace=a").await, [""; 0]);
    assert_eq!(bench.listed("namespace=b").await, ["x"]);
}
