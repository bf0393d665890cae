//! The schema as a contract: what is committed, what is described, what is exercised.

use std::fs;
use std::path::Path;

use corpusd::graphql;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::rows;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_schema_is_the_one_that_is_served() {
    let committed = fs::read_to_string(root().join("schema.graphql")).unwrap();
    assert!(committed.trim_end() == graphql::sdl().trim_end(), "write it anew: corpusd schema > schema.graphql");
}

const TYPES: &str = "{ __schema { types { name description
    fields { name description args { name description } }
    inputFields { name description } enumValues { name description } } } }";

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

#[tokio::test]
async fn every_type_field_argument_and_value_carries_a_description() {
    let test = TestApp::new().await;
    let answer = test.graphql(TYPES, Value::Null).await;
    let mut bare = Vec::new();
    let mut look = |path: String, item: &Value| {
        if item["description"].as_str().is_none_or(str::is_empty) {
            bare.push(path);
        }
    };
    let named = |item: &Value| item["name"].as_str().unwrap_or_default().to_owned();
    for kind in list(&answer["data"]["__schema"], "types") {
        let name = named(kind);
        // What GraphQL brings along describes itself.
        if name.starts_with("__") || ["Boolean", "Float", "ID", "Int", "String"].contains(&name.as_str()) {
            continue;
        }
        look(name.clone(), kind);
        for field in list(kind, "fields") {
            look(format!("{name}.{}", named(field)), field);
            for arg in list(field, "args") {
                look(format!("{name}.{}({})", named(field), named(arg)), arg);
            }
        }
        for item in list(kind, "inputFields").chain(list(kind, "enumValues")) {
            look(format!("{name}.{}", named(item)), item);
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

#[tokio::test]
async fn every_root_field_is_asked_for_in_some_test() {
    let test = TestApp::new().await;
    let roots = "{ __schema { a: queryType { fields { name } } b: mutationType { fields { name } } c: subscriptionType { fields { name } } } }";
    let answer = test.graphql(roots, Value::Null).await;
    let mut tests = String::new();
    for entry in fs::read_dir(root().join("tests/it")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("schema.rs") {
            tests.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let mut missing = Vec::new();
    for root in ["a", "b", "c"] {
        for field in list(&answer["data"]["__schema"][root], "fields") {
            let name = field["name"].as_str().unwrap();
            // As a field of an operation, or as the name given to a helper that writes one.
            let asked = ["(", " {", " }", "\","]
                .iter()
                .any(|end| [" ", "{", "\""].iter().any(|start| tests.contains(&format!("{start}{name}{end}"))));
            if !asked {
                missing.push(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn keys_come_in_the_order_of_the_query_whatever_is_read_first() {
    let test = TestApp::new().await;
    corpusd::service::documents::create(test.cx(), rows::nested()).await.unwrap();
    let query = "{ z: documents { totalCount nodes { stats { chunkCount } id } } a: document(id: \"d\") { title ...f id } m: __typename }
        fragment f on Document { chunks { nodes { text id } } namespace }";
    let body = json!({ "query": query }).to_string();
    let answer = test.send("POST", "/graphql", "application/json", body).await;
    let expected = concat!(
        r#"{"data":{"z":{"totalCount":1,"nodes":[{"stats":{"chunkCount":1},"id":"d"}]},"#,
        r#""a":{"title":"Title of d","chunks":{"nodes":[{"text":"Text of c","id":"c"}]},"namespace":"default","id":"d"},"#,
        r#""m":"Query"},"extensions":{"cost":{"requested":61,"limit":10000}}}"#
    );
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn a_failing_field_that_cannot_be_null_nulls_its_parent_and_names_its_path() {
    let test = TestApp::new().await;
    corpusd::service::documents::create(test.cx(), rows::nested()).await.unwrap();
    // `chunks` is non-null, and refuses its argument: the document is null, its neighbour is not.
    let query = "{ a: document(id: \"d\") { id chunks(first: -1) { nodes { id } } } b: document(id: \"d\") { id } }";
    let answer = test.graphql(query, Value::Null).await;
    assert_eq!(answer["data"], json!({ "a": null, "b": { "id": "d" } }));
    assert_eq!(answer["errors"][0]["path"], json!(["a", "chunks"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    // Where nothing above can be null, the data is.
    let answer = test.graphql("{ documents(first: 1000) { nodes { id } } }", Value::Null).await;
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn names_that_the_schema_does_not_have_fail_validation() {
    let test = TestApp::new().await;
    for query in [
        "{ nothing }",
        "{ documents { nodes { nothing } } }",
        "{ documents(nothing: 1) { totalCount } }",
        "{ document(id: \"d\") }",
        "mutation { createDocument(input: { title: \"A\", nothing: 1 }) { document { id } } }",
        "query A { __typename } query A { __typename }",
        "{ a: __typename a: document(id: \"d\") { id } }",
        "query($a: Nothing) { __typename }",
        "{ ...f } fragment f on Nothing { id }",
    ] {
        let answer = test.graphql(query, Value::Null).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default();
        assert!(["GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"].contains(&code), "{query}: {answer}");
    }
}
