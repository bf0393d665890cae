//! What one request may ask for, and how what is too much is refused.

use corpusd::service::Delete;
use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use serde_json::Value;
use serde_json::json;

use crate::parity::world;
use crate::support::TestApp;

/// The code, the message and the first field of the first error.
fn error(answer: &Value) -> (String, String, String) {
    let error = &answer["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["extensions"]["code"]), text(&error["message"]), text(&error["extensions"]["fields"][0]["field"]))
}

#[tokio::test]
async fn a_page_is_at_most_as_long_as_it_may_be() {
    let test = TestApp::new().await;
    let long = test.graphql("{ documents(first: 1000000) { nodes { id } } }", Value::Null).await;
    assert_eq!((error(&long).0.as_str(), error(&long).2.as_str()), ("BAD_USER_INPUT", "first"));
}

#[tokio::test]
async fn a_filter_has_a_limited_number_of_conditions_and_values() {
    let test = TestApp::new().await;
    let query = "query($f: DocumentFilter) { documents(filter: $f) { nodes { id } } }";
    let one = json!({ "title": { "contains": "a" } });
    let fits = test.graphql(query, json!({ "f": { "or": vec![one.clone(); 256] } })).await;
    assert_eq!(fits["errors"], Value::Null);
    for filter in [
        json!({ "or": vec![one; 1000] }),
        json!({ "or": vec![json!({}); 257] }),
        json!({ "id": { "in": vec!["x"; 1001] } }),
    ] {
        let told = error(&test.graphql(query, json!({ "f": filter })).await);
        assert_eq!((told.0.as_str(), told.2.as_str()), ("BAD_USER_INPUT", "filter"));
    }
    let list = error(&test.graphql("{ documents(filter: {metadata: [1]}) { nodes { id } } }", Value::Null).await);
    assert_eq!((list.0.as_str(), list.2.as_str()), ("BAD_USER_INPUT", "filter.metadata"), "{}", list.1);
}

#[tokio::test]
async fn a_vector_of_zeros_is_refused_by_name() {
    let test = world().await;
    test.rest("POST", "/api/pinecone/export/document/d1", None).await;
    for method in ["GET", "POST"] {
        let answer = test.rest(method, "/api/pinecone/search", Some(json!([0, 0]))).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains("the vector is all zero"), "{}", answer.text);
    }
}

#[tokio::test]
async fn lists_of_ids_have_a_limit() {
    let test = TestApp::with(|config| config.limits.batch = 2).await;
    let ids = json!(["a", "b", "c"]);
    let delete = "mutation($i: [ID!]!) { deleteVectors(input: {vectorIds: $i}) { deletedCount } }";
    let told = error(&test.graphql(delete, json!({ "i": ids })).await);
    assert_eq!((told.0.as_str(), told.2.as_str()), ("BAD_USER_INPUT", "input.vectorIds"));
    let start = "mutation($i: [ID!]!) { startSync(input: {scope: {embeddingIds: $i}}) { started } }";
    let told = error(&test.graphql(start, json!({ "i": ids })).await);
    assert_eq!((told.0.as_str(), told.2.as_str()), ("BAD_USER_INPUT", "input.scope.embeddingIds"));
    for (method, path, field) in
        [("DELETE", "/api/pinecone/vectors", "vector_ids"), ("POST", "/api/pinecone/export/batch", "embedding_ids")]
    {
        let answer = test.rest(method, path, Some(json!({ (field): ids }))).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.text.contains(field) && answer.text.contains("too_long"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_subscription_has_one_root_field() {
    let test = TestApp::new().await;
    for query in [
        "subscription { a: corpusEvents { revision } b: corpusEvents { revision } }",
        "subscription { ...s ...s } fragment s on Subscription { corpusEvents { revision } }",
    ] {
        assert_eq!(error(&test.graphql(query, Value::Null).await).0, "GRAPHQL_VALIDATION_FAILED");
    }
}

#[tokio::test]
async fn a_search_names_its_fields_as_the_input_does_and_waits_in_every_mode() {
    let test = TestApp::new().await;
    for (input, field) in [
        (json!({ "text": "a", "waitFor": "x" }), "input.waitFor"),
        (json!({ "text": "a", "waitFor": "-1" }), "input.waitFor"),
        (json!({ "text": "" }), "input.text"),
        (json!({ "text": "a", "filter": { "documentIds": [""] } }), "input.filter.documentIds.0"),
    ] {
        let query = "query($i: SearchInput!) { search(input: $i) { stale } }";
        let told = error(&test.graphql(query, json!({ "i": input })).await);
        assert_eq!((told.0.as_str(), told.2.as_str()), ("BAD_USER_INPUT", field));
        assert!(told.1.starts_with(field), "{}", told.1);
    }
    for mode in ["TEXT", "HYBRID"] {
        let query =
            "query($m: SearchMode!) { search(input: {text: \"a\", mode: $m, waitFor: \"99\", waitMs: 0}) { stale } }";
        assert_eq!(test.graphql(query, json!({ "m": mode })).await["data"]["search"]["stale"], true);
    }
}

#[tokio::test]
async fn a_model_with_a_null_character_is_refused_by_name() {
    let test = world().await;
    let query = "query($m: String) { chunk(id: \"c1\") { embeddings(model: $m) { id } } }";
    let told = error(&test.graphql(query, json!({ "m": "a\u{0}b" })).await);
    assert_eq!((told.0.as_str(), told.2.as_str()), ("BAD_USER_INPUT", "model"));
}

#[tokio::test]
async fn lists_that_are_too_long_are_refused_before_their_items_are_read() {
    let test = TestApp::new().await;
    for (path, name) in
        [("/api/dashboard/documents/batch-delete", "doc_ids"), ("/api/pinecone/export/batch", "embedding_ids")]
    {
        let answer = test.rest("POST", path, Some(json!({ name: vec![1; 50_000] }))).await;
        let told = answer.json();
        assert_eq!((answer.status, told["detail"].as_array().map(Vec::len)), (422, Some(1)), "{}", answer.text.len());
        let flaw = &told["detail"][0];
        assert_eq!((&flaw["type"], &flaw["loc"]), (&json!("too_long"), &json!(["body", name])));
        assert_eq!(flaw["input"], Value::Null, "a very large value is not repeated");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_whose_rows_are_deleted_under_it_is_answered_all_the_same() {
    let test = TestApp::new().await;
    let stop = tokio_util::sync::CancellationToken::new();
    let churn = async {
        for number in 0.. {
            let id = format!("d{}", number % 4);
            let new = crate::support::rows::document(&id);
            let chunks = (0..3).map(|at| crate::support::rows::chunk(&format!("{id}c{at}n{number}"))).collect();
            let created = documents::create(test.cx(), NewDocument { chunks, ..new }).await;
            assert!(created.is_ok(), "{created:?}");
            documents::delete(test.cx(), &id, Delete::Hard).await.expect("deleted");
            if stop.is_cancelled() {
                return;
            }
        }
    };
    let ask = async {
        let query = "{ documents { nodes { id chunks { nodes { id document { id } previous { id } } } } } }";
        for _ in 0..150 {
            let answer = test.graphql(query, Value::Null).await;
            assert_eq!(answer["errors"], Value::Null, "{answer}");
        }
        stop.cancel();
    };
    tokio::join!(churn, ask);
}
