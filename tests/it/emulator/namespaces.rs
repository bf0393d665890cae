//! Namespaces: made by a write or by name, and gone with all that they hold.

use serde_json::json;

use crate::support::pinecone::Bench;

#[tokio::test]
async fn a_namespace_is_made_once_described_and_deleted() {
    let bench = Bench::with_index("cosine").await;
    let schema = json!({"fields": {"genre": {"filterable": true}}});
    let made = bench.kb("/namespaces", &json!({"name": "a", "schema": schema})).await;
    let shown = json!({"name": "a", "record_count": "0", "schema": schema});
    assert_eq!((made.status, made.json()), (200, shown.clone()));
    assert_eq!(bench.get("/i/kb/namespaces/a").await.json(), shown);
    let again = bench.kb("/namespaces", &json!({"name": "a"})).await;
    assert_eq!((again.status, &again.json()["code"]), (409, &json!(6)));
    bench.upsert("a", json!([{"id": "x", "values": [1, 0, 0]}])).await;
    assert_eq!(bench.get("/i/kb/namespaces/a").await.json()["record_count"], "1");
    assert_eq!(bench.delete("/i/kb/namespaces/a").await.text, "{}");
    for (method, path, body) in [
        ("GET", "/i/kb/namespaces/a", None),
        ("DELETE", "/i/kb/namespaces/a", None),
        ("POST", "/i/kb/vectors/delete", Some(json!({"namespace": "a", "ids": ["x"]}))),
        ("POST", "/i/kb/vectors/delete", Some(json!({"namespace": "a", "deleteAll": true}))),
    ] {
        let answer = bench.send(method, path, &[], body.map(|body| body.to_string().into_bytes())).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!(5)), "{method} {path}");
    }
}

#[tokio::test]
async fn no_name_an_empty_name_and_the_default_name_are_one_namespace() {
    let bench = Bench::with_index("cosine").await;
    bench.kb("/vectors/upsert", &json!({"vectors": [{"id": "a", "values": [1, 0, 0]}]})).await;
    bench.upsert("", json!([{"id": "b", "values": [1, 0, 0]}])).await;
    bench.upsert("__default__", json!([{"id": "c", "values": [1, 0, 0]}])).await;
    bench.upsert("default", json!([{"id": "d", "values": [1, 0, 0]}])).await;
    for query in ["", "namespace=", "namespace=__default__"] {
        assert_eq!(bench.listed(query).await, ["a", "b", "c"]);
    }
    let stats = bench.kb("/describe_index_stats", &json!({})).await.json();
    assert_eq!(stats["namespaces"], json!({"__default__": {"vectorCount": 3}, "default": {"vectorCount": 1}}));
}

#[tokio::test]
async fn names_in_paths_are_decoded() {
    let bench = Bench::with_index("cosine").await;
    bench.upsert("a b/c+d", json!([{"id": "x y+z", "values": [1, 0, 0]}])).await;
    assert_eq!(bench.get("/i/kb/namespaces/a%20b%2Fc+d").await.json()["name"], "a b/c+d");
    for ids in ["x+y%2Bz", "x%20y%2Bz"] {
        let path = format!("/i/kb/vectors/fetch?ids={ids}&namespace=a+b%2Fc%2Bd");
        assert!(bench.get(&path).await.json()["vectors"]["x y+z"].is_object(), "{ids}");
    }
}
