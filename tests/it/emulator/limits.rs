//! What is refused, and in which words.

use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::pinecone::Bench;

/// The refusal of the data plane has this status, this number and a message with this part.
fn refused(answer: &Answer, status: u16, number: u8, part: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["code"]), (status, &json!(number)), "{part}: {}", answer.text);
    assert_eq!(body["details"], json!([]));
    assert!(body["message"].as_str().expect("a message").contains(part), "{part}: {}", answer.text);
}

fn with(metadata: &Value) -> Value {
    json!([{"id": "x", "values": [1, 2, 3], "metadata": metadata}])
}

fn many(count: usize, of: impl Fn(usize) -> Value) -> Value {
    Value::Array((0..count).map(of).collect())
}

#[tokio::test]
async fn an_upsert_is_refused_as_a_whole_with_the_reason() {
    let bench = Bench::with_index("cosine").await;
    let value = "Metadata value must be a string, number, boolean or list of strings, got ";
    for (vectors, part) in [
        (json!([]), "at least one vector"),
        (json!("x"), "vectors: invalid value \"x\", expected an array"),
        (json!(["x"]), "vectors[0]: invalid value \"x\", expected an object"),
        (many(1001, |n| json!({"id": n.to_string(), "values": [1, 2, 3]})), "more than 1000 vectors, but got 1001"),
        (json!([{"id": "a", "values": [1, 2]}]), "Vector dimension 2 does not match the dimension of the index 3"),
        (
            json!([{"id": "a", "values": [1, 2, 3]}, {"id": "b", "values": [0, 0, 1e-9]}]),
            "Dense vectors must contain at least one non-zero value. Vector ID 'b' contains only zeros",
        ),
        (json!([{"id": "a"}]), "Vector ID 'a' has none"),
        (json!([{"values": [1, 2, 3]}]), "vectors[0].id"),
        (json!([{"id": "", "values": [1, 2, 3]}]), "Vector ID must not be empty"),
        (json!([{"id": 7, "values": [1, 2, 3]}]), "vectors[0].id: invalid value 7, expected a string"),
        (json!([{"id": "ä", "values": [1, 2, 3]}]), "Vector ID must be ASCII, but got \"ä\""),
        (json!([{"id": "a\u{0}", "values": [1, 2, 3]}]), "must not contain NUL"),
        (json!([{"id": "a".repeat(513), "values": [1, 2, 3]}]), "512 characters, but got 513"),
        (json!([{"id": "a", "values": [1, "2", 3]}]), "vectors[0].values[1]: invalid value \"2\""),
        (json!([{"id": "a", "values": [1, 1e300, 3]}]), "vectors[0].values[1]: invalid value 1e+300"),
        (json!([{"id": "a", "values": 5}]), "vectors[0].values: invalid value 5"),
        (with(&json!({"x": null})), &format!("{value}'null' for field 'x'")),
        (with(&json!({"x": {"y": 1}})), &format!("{value}'{{\"y\":1}}' for field 'x'")),
        (with(&json!({"x": [1, 2]})), &format!("{value}'[1,2]' for field 'x'")),
        (with(&json!({"x": ["a", 2]})), &format!("{value}'[\"a\",2]' for field 'x'")),
        (with(&json!({"$x": 1})), "must not start with '$'"),
        (with(&json!("x")), "metadata: invalid value \"x\", expected an object"),
        (
            with(&json!({"text": "x".repeat(40_950)})),
            "metadata size is 40961 bytes, which exceeds the limit of 40960 bytes per vector",
        ),
        (
            json!([{"id": "a", "values": [1, 2, 3], "sparseValues": {"indices": [1], "values": [1]}}]),
            "Index configuration does not support sparse values",
        ),
    ] {
        let body = json!({"namespace": "a", "vectors": vectors});
        refused(&bench.kb("/vectors/upsert", &body).await, 400, 3, part);
    }
    assert!(bench.emulator.records("kb", "a").is_empty());
    let most = json!([{"id": "a".repeat(512), "values": [1, 2, 3], "metadata": {"text": "x".repeat(40_949)}}]);
    bench.upsert("a", most).await;
}

#[tokio::test]
async fn sparse_vectors_have_rules_of_their_own() {
    let bench = Bench::with_index("dotproduct").await;
    for (sparse, part) in [
        (json!({"indices": [1, 2], "values": [1]}), "as many indices as values, but got 2 and 1"),
        (json!({"indices": [], "values": []}), "at least one value"),
        (json!({"indices": [3, 3], "values": [1, 2]}), "an index twice"),
        (json!({"indices": [-1], "values": [1]}), "sparseValues.indices[0]: invalid value -1"),
        (json!({"indices": [4_294_967_296_u64], "values": [1]}), "expected a 32-bit index"),
        (json!({"indices": many(2049, |n| json!(n)), "values": many(2049, |_| json!(1))}), "more than 2048 values"),
    ] {
        let vectors = json!([{"id": "a", "values": [1, 2, 3], "sparseValues": sparse}]);
        refused(&bench.kb("/vectors/upsert", &json!({ "vectors": vectors })).await, 400, 3, part);
    }
    let sparse = json!({"indices": [4_294_967_295_u32, 5], "values": [0.5, 0.25]});
    bench.upsert("", json!([{"id": "a", "values": [1, 0, 0], "sparseValues": sparse}])).await;
    let query = json!({"topK": 1, "vector": [2, 0, 0], "sparseVector": {"indices": [5], "values": [4]}});
    let found = bench.kb("/query", &query).await.json();
    assert_eq!(found["matches"][0]["score"], 3.0);
}

#[tokio::test]
async fn queries_updates_deletes_and_fetches_are_refused_with_the_reason() {
    let bench = Bench::with_index("cosine").await;
    bench.upsert("", json!([{"id": "a", "values": [1, 2, 3]}])).await;
    let vector = json!([1, 2, 3]);
    let ids = |count| many(count, |n| json!(n.to_string()));
    for (path, body, part) in [
        ("/query", json!({"vector": vector}), "must have topK"),
        ("/query", json!({"vector": vector, "topK": 0}), "topK must be between 1 and 10000, but got 0"),
        ("/query", json!({"vector": vector, "topK": 10_001}), "topK must be between 1 and 10000, but got 10001"),
        ("/query", json!({"vector": vector, "topK": 1.5}), "topK: invalid value 1.5, expected a whole number"),
        ("/query", json!({"topK": 1}), "must have an id or a vector"),
        ("/query", json!({"topK": 1, "id": "a", "vector": vector}), "not both"),
        ("/query", json!({"topK": 1, "vector": [1, 2]}), "Vector dimension 2 does not match"),
        ("/query", json!({"topK": 1, "id": "a", "includeValues": 1}), "includeValues: invalid value 1"),
        ("/query", json!({"topK": 1, "id": "a", "namespace": "ä"}), "Namespace must be ASCII"),
        ("/vectors/update", json!({"setMetadata": {"a": 1}}), "must have an id or a filter"),
        ("/vectors/update", json!({"id": "a", "filter": {"a": 1}, "setMetadata": {"a": 1}}), "not both"),
        ("/vectors/update", json!({"id": "a", "values": [1]}), "Vector dimension 1 does not match"),
        ("/vectors/update", json!({"id": "a", "values": [0, 0, 0]}), "Vector ID 'a' contains only zeros"),
        ("/vectors/update", json!({"filter": {}, "setMetadata": {"a": 1}}), "empty metadata filter"),
        ("/vectors/update", json!({"filter": {"a": 1}}), "must have setMetadata"),
        (
            "/vectors/update",
            json!({"filter": {"a": 1}, "values": vector, "setMetadata": {"a": 1}}),
            "must not have values",
        ),
        ("/vectors/delete", json!({}), "must have ids, a filter or deleteAll"),
        ("/vectors/delete", json!({"ids": []}), "must have ids, a filter or deleteAll"),
        ("/vectors/delete", json!({"filter": {}}), "Delete with empty metadata filter is not allowed"),
        ("/vectors/delete", json!({"deleteAll": true, "ids": ["a"]}), "must not have ids or a filter"),
        ("/vectors/delete", json!({"ids": ids(1001)}), "more than 1000 ids, but got 1001"),
        ("/vectors/delete", json!({"ids": [1]}), "ids[0]: invalid value 1, expected a string"),
        ("/vectors/fetch_by_metadata", json!({}), "must have a filter"),
        ("/vectors/fetch_by_metadata", json!({"filter": {}}), "empty metadata filter"),
        ("/vectors/fetch_by_metadata", json!({"filter": {"a": 1}, "limit": 10_001}), "between 1 and 10000"),
        ("/describe_index_stats", json!({"filter": {"a": 1}}), "describing index stats with metadata filtering"),
        ("/namespaces", json!({}), "must have a name"),
        ("/namespaces", json!({"name": "__default__"}), "is reserved"),
        ("/namespaces", json!({"name": "a", "schema": {}}), "schema.fields"),
    ] {
        refused(&bench.kb(path, &body).await, 400, 3, part);
    }
    for (query, part) in [
        ("fetch", "at least one id"),
        ("fetch?ids=%C3%A4", "must be ASCII"),
        ("list?limit=0", "limit must be between 1 and 100, but got 0"),
        ("list?limit=101", "limit must be between 1 and 100, but got 101"),
        ("list?limit=x", "limit: invalid value \"x\""),
        ("list?paginationToken=%21", "paginationToken is not a token of this list"),
        ("list?namespace=%C3%A4", "Namespace must be ASCII"),
    ] {
        refused(&bench.get(&format!("/i/kb/vectors/{query}")).await, 400, 3, part);
    }
    let fetch: Vec<String> = (0..1001).map(|n| format!("ids={n}")).collect();
    refused(&bench.get(&format!("/i/kb/vectors/fetch?{}", fetch.join("&"))).await, 400, 3, "more than 1000 ids");
    for (text, part) in [("{", "not valid JSON"), ("[]", "must be a JSON object")] {
        let answer = bench.send("POST", "/i/kb/query", &[], Some(text.as_bytes().to_vec())).await;
        refused(&answer, 400, 3, part);
    }
}

#[tokio::test]
async fn a_body_may_have_2_mib_and_not_a_byte_more() {
    let bench = Bench::with_index("cosine").await;
    let body = |size: usize| {
        let start = r#"{"vectors":[{"id":"a","values":[1,2,3]}],"filler":""#;
        format!("{start}{}\"}}", "x".repeat(size - start.len() - 2)).into_bytes()
    };
    let send = |size| bench.send("POST", "/i/kb/vectors/upsert", &[], Some(body(size)));
    assert_eq!(send(2 * 1024 * 1024).await.status, 200);
    let part = "larger than the maximum supported size - 2MB";
    refused(&send(2 * 1024 * 1024 + 1).await, 413, 11, part);
    refused(&send(20 * 1024 * 1024).await, 413, 11, part);
    bench.emulator.faults().large_is_400(true);
    refused(&send(2 * 1024 * 1024 + 1).await, 400, 11, part);
}

#[tokio::test]
async fn an_answer_over_4_mib_is_refused() {
    let bench = Bench::with_index("cosine").await;
    let record =
        |n: usize| json!({"id": format!("{n:03}"), "values": [1, 2, 3], "metadata": {"t": "x".repeat(40_000)}});
    for part in 0..3 {
        bench.upsert("", many(40, |n| record(part * 40 + n))).await;
    }
    let query = json!({"topK": 120, "id": "000", "includeMetadata": true});
    let answer = bench.kb("/query", &query).await;
    refused(&answer, 400, 11, "message length too large: found ");
    assert!(answer.text.contains("the limit is: 4194304 bytes"));
    let query = json!({"topK": 120, "id": "000"});
    assert_eq!(bench.matches(&query).await.len(), 120);
}

#[tokio::test]
async fn an_index_is_refused_with_the_reason_in_either_dialect() {
    let bench = Bench::new().await;
    let place = json!({"serverless": {"cloud": "aws", "region": "us-east-1"}});
    let managed = json!({"deployment_type": "managed", "cloud": "aws", "region": "us-east-1"});
    let dense = |dimension: i64| json!({"fields": {"_values": {"type": "dense_vector", "dimension": dimension}}});
    for (body, status, code, part) in [
        (json!({"dimension": 3, "spec": place}), 422, "UNPROCESSABLE_ENTITY", "missing field `name`"),
        (json!({"name": "a", "dimension": 3}), 422, "UNPROCESSABLE_ENTITY", "missing field `spec`"),
        (
            json!({"name": "a", "dimension": "3", "spec": place}),
            422,
            "UNPROCESSABLE_ENTITY",
            "dimension: invalid value",
        ),
        (
            json!({"name": "a", "dimension": 3, "metric": "manhattan", "spec": place}),
            422,
            "UNPROCESSABLE_ENTITY",
            "unknown variant `manhattan`",
        ),
        (json!({"name": "A", "dimension": 3, "spec": place}), 400, "INVALID_ARGUMENT", "lower case alphanumeric"),
        (json!({"name": "-a", "dimension": 3, "spec": place}), 400, "INVALID_ARGUMENT", "start and end"),
        (json!({"name": "a".repeat(46), "dimension": 3, "spec": place}), 400, "INVALID_ARGUMENT", "45 characters"),
        (json!({"name": "a", "dimension": 0, "spec": place}), 400, "INVALID_ARGUMENT", "between 1 and 20000"),
        (json!({"name": "a", "dimension": 20_001, "spec": place}), 400, "INVALID_ARGUMENT", "between 1 and 20000"),
        (json!({"name": "a", "spec": place}), 400, "INVALID_ARGUMENT", "must have a dimension"),
        (
            json!({"name": "a", "vector_type": "sparse", "dimension": 3, "spec": place}),
            400,
            "INVALID_ARGUMENT",
            "must not have a dimension",
        ),
        (
            json!({"name": "a", "vector_type": "sparse", "metric": "cosine", "spec": place}),
            400,
            "INVALID_ARGUMENT",
            "metric dotproduct",
        ),
        (
            json!({"name": "a", "dimension": 3, "spec": {"serverless": {"cloud": "aws", "region": "us-west1"}}}),
            404,
            "NOT_FOUND",
            "Resource cloud: aws region: us-west1 not found.",
        ),
        (
            json!({"name": "a", "dimension": 3, "spec": {"pod": {"environment": "us-east1-gcp"}}}),
            501,
            "UNIMPLEMENTED",
            "not emulated",
        ),
        (json!({"name": "a", "schema": dense(0), "deployment": managed}), 400, "INVALID_ARGUMENT", "between 1 and"),
        (
            json!({"name": "a", "schema": {"fields": {"text": {"type": "string"}}}, "deployment": managed}),
            501,
            "UNIMPLEMENTED",
            "Document indexes",
        ),
        (json!({"name": "a", "schema": {"fields": {}}, "deployment": managed}), 400, "INVALID_ARGUMENT", "one field"),
        (
            json!({"name": "a", "dimension": 3, "spec": place, "tags": {"a b": "c"}}),
            400,
            "INVALID_ARGUMENT",
            "Tag keys",
        ),
        (
            json!({"name": "a", "dimension": 3, "spec": place, "tags": {"a": "c".repeat(121)}}),
            400,
            "INVALID_ARGUMENT",
            "120 characters",
        ),
        (
            json!({"name": "a", "dimension": 3, "spec": place,
                   "tags": (0..21).map(|n| (n.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>()}),
            400,
            "INVALID_ARGUMENT",
            "more than 20 tags",
        ),
        (
            json!({"name": "a", "dimension": 3, "spec": place, "deletion_protection": "yes"}),
            422,
            "UNPROCESSABLE_ENTITY",
            "expected `enabled` or `disabled`",
        ),
    ] {
        let answer = bench.post("/indexes", &body).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["status"], &told["error"]["code"]), (status, &json!(status), &json!(code)));
        assert!(told["error"]["message"].as_str().unwrap().contains(part), "{part}: {}", answer.text);
    }
    assert_eq!(bench.get("/indexes").await.json(), json!({"indexes": []}));
}

#[tokio::test]
async fn what_the_emulator_has_not_is_never_pretended() {
    let bench = Bench::with_index("cosine").await;
    let embed = json!({"name": "a", "cloud": "aws", "region": "us-east-1", "embed": {"model": "m"}});
    for path in ["/indexes/create-for-model", "/indexes/kb/backups", "/collections", "/embed", "/rerank"] {
        let answer = bench.post(path, &embed).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (501, &json!("UNIMPLEMENTED")), "{path}");
    }
    for path in [
        "/records/namespaces/a/upsert",
        "/records/namespaces/a/search",
        "/bulk/imports",
        "/namespaces/a/documents/upsert",
    ] {
        let answer = bench.kb(path, &json!({})).await;
        assert_eq!((answer.status, &answer.json()["code"]), (501, &json!(12)), "{path}");
    }
    for (method, path) in [("GET", "/nowhere"), ("PUT", "/indexes"), ("GET", "/i/kb/query"), ("GET", "/i/kb")] {
        assert_eq!(bench.send(method, path, &[], None).await.status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn no_body_whatever_makes_the_emulator_fail() {
    let bench = Bench::with_index("dotproduct").await;
    bench.upsert("", json!([{"id": "a", "values": [1, 2, 3]}])).await;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("ä\u{1f600}"),
        json!([]),
        json!([null]),
        json!([[]]),
        json!([-1]),
        json!({}),
        json!({"": null}),
        json!({"$and": []}),
        json!({"indices": [-1], "values": [1]}),
        json!({"fields": {"_values": 1}}),
        deep,
    ];
    let fields: [(&str, &[&str]); 11] = [
        ("/indexes", &["name", "dimension", "metric", "spec", "schema", "deployment", "tags", "deletion_protection"]),
        ("/i/kb/vectors/upsert", &["vectors", "namespace"]),
        ("/i/kb/vectors/update", &["id", "values", "sparseValues", "setMetadata", "filter", "dryRun", "namespace"]),
        ("/i/kb/vectors/delete", &["ids", "deleteAll", "filter", "namespace"]),
        ("/i/kb/query", &["topK", "vector", "sparseVector", "id", "filter", "includeValues", "namespace"]),
        ("/i/kb/vectors/fetch_by_metadata", &["filter", "limit", "paginationToken", "namespace"]),
        ("/i/kb/describe_index_stats", &["filter"]),
        ("/i/kb/namespaces", &["name", "schema"]),
        ("/_faults", &["faults", "lag", "ready_after_ms"]),
        ("/_faults", &["seed", "burst", "retry_after", "content_type", "body", "skip", "always", "apply"]),
        ("/_faults", &["operation", "times", "probability", "per_second", "status", "headers", "late_ms", "answer"]),
    ];
    for (path, names) in fields {
        for name in names {
            for value in &odd {
                // What else has to be there, so that the odd value is what is read.
                let mut body = json!({"topK": 1, "vector": [1, 2, 3], "dimension": 3, "name": "n"});
                if path != "/i/kb/query" && path != "/indexes" {
                    body = json!({});
                }
                body[*name] = value.clone();
                let answer = bench.post(path, &body).await;
                assert!(answer.status < 500, "{path} {body}: {} {}", answer.status, answer.text);
                // An odd fault may be a fault all the same, and an odd index one too many.
                bench.emulator.heal();
                bench.delete("/indexes/n").await;
            }
        }
    }
    for vector in &odd {
        for name in ["id", "values", "sparseValues", "metadata"] {
            let mut one = json!({"id": "b", "values": [1, 2, 3]});
            one[name] = vector.clone();
            let answer = bench.post("/i/kb/vectors/upsert", &json!({ "vectors": [one] })).await;
            assert!(answer.status < 500, "{one}: {}", answer.text);
        }
    }
}
