//! The control plane: both dialects, the life of an index, what is refused.

use serde_json::Value;
use serde_json::json;

use crate::support::pinecone::Bench;

const SCHEMA: &[(&str, &str)] = &[("x-pinecone-api-version", "2026-07")];

fn classic(name: &str) -> Value {
    json!({
        "name": name, "dimension": 3, "metric": "euclidean", "tags": {"app": "corpusd"},
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
    })
}

fn schema(name: &str) -> Value {
    json!({
        "name": name,
        "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "euclidean"}}},
        "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
        "tags": {"app": "corpusd"},
    })
}

#[tokio::test]
async fn an_index_is_made_in_either_dialect_and_shown_in_that_of_the_version() {
    let bench = Bench::new().await;
    for (name, body) in [("one", classic("one")), ("two", schema("two"))] {
        let made = bench.post("/indexes", &body).await;
        assert_eq!((made.status, &made.json()["status"]["ready"]), (201, &json!(false)));
        let host = format!("{}/i/{name}", bench.emulator.url());
        let old = json!({
            "name": name, "dimension": 3, "metric": "euclidean", "vector_type": "dense",
            "host": host, "deletion_protection": "disabled", "tags": {"app": "corpusd"},
            "status": {"ready": true, "state": "Ready"},
            "spec": {"serverless": {"cloud": "aws", "region": "us-east-1",
                     "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}}}},
        });
        let new = json!({
            "name": name, "host": host, "deletion_protection": "disabled", "tags": {"app": "corpusd"},
            "status": {"ready": true, "state": "Ready"},
            "deployment": {"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"},
            "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 3, "metric": "euclidean"}}},
            "read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}},
        });
        let path = format!("/indexes/{name}");
        assert_eq!(bench.get(&path).await.json(), old);
        for version in ["2025-04", "2025-10", "2026-04"] {
            let shown = bench.send("GET", &path, &[("X-Pinecone-Api-Version", version)], None).await;
            assert_eq!(shown.json(), old, "{version}");
        }
        assert_eq!(bench.send("GET", &path, SCHEMA, None).await.json(), new);
    }
    let all = bench.send("GET", "/indexes", SCHEMA, None).await.json();
    let names: Vec<&Value> = all["indexes"].as_array().unwrap().iter().map(|index| &index["name"]).collect();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test]
async fn an_index_is_deleted_once_and_not_while_it_is_protected() {
    let bench = Bench::new().await;
    bench.post("/indexes", &classic("one")).await;
    let again = bench.post("/indexes", &schema("one")).await;
    assert_eq!(
        (again.status, again.json()),
        (409, json!({"status": 409, "error": {"code": "ALREADY_EXISTS", "message": "Resource already exists."}}))
    );
    let patch = json!({"deletion_protection": "enabled", "tags": {"app": "", "team": "a"}});
    let patched = bench.send("PATCH", "/indexes/one", &[], Some(patch.to_string().into_bytes())).await;
    assert_eq!((patched.status, &patched.json()["tags"]), (202, &json!({"team": "a"})));
    let refused = bench.delete("/indexes/one").await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (403, &json!("FORBIDDEN")));
    assert!(refused.text.contains("Deletion protection is enabled for this index"));
    bench.send("PATCH", "/indexes/one", &[], Some(b"{\"deletion_protection\":\"disabled\"}".to_vec())).await;
    let gone = bench.delete("/indexes/one").await;
    assert_eq!((gone.status, gone.text.as_str()), (202, ""));
    for (method, path) in [("GET", "/indexes/one"), ("DELETE", "/indexes/one"), ("PATCH", "/indexes/one")] {
        let answer = bench.send(method, path, &[], (method == "PATCH").then(|| b"{}".to_vec())).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &json!("NOT_FOUND")), "{method}");
    }
    let data = bench.post("/i/one/describe_index_stats", &json!({})).await;
    assert_eq!((data.status, &data.json()["code"]), (404, &json!(5)));
}

#[tokio::test]
async fn a_server_on_every_address_says_the_one_that_it_was_asked_at() {
    let bench = Bench::with(|options| options.address = ([0, 0, 0, 0], 0).into()).await;
    bench.create("kb", 3, "cosine").await;
    let shown = bench.send("GET", "/indexes/kb", &[("host", "pinecone.test:5080")], None).await.json();
    assert_eq!(shown["host"], "http://pinecone.test:5080/i/kb");
}

#[tokio::test]
async fn a_key_is_asked_for_on_both_planes() {
    let bench = Bench::with_index("cosine").await;
    let only = Bench::with(|options| options.api_key = Some(corpusd::config::Secret::new("this-one"))).await;
    for (bench, key, status) in [(&bench, "", 401), (&bench, "any", 200), (&only, "any", 401), (&only, "this-one", 200)]
    {
        let answer = bench.send("GET", "/indexes", &[("api-key", key)], None).await;
        assert_eq!(answer.status, status, "{key}");
    }
    let answer = bench.send("POST", "/i/kb/query", &[("api-key", "")], Some(b"{}".to_vec())).await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "Unauthorized"));
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(bench.emulator.requests().last().and_then(|request| request.status), Some(401));
}
