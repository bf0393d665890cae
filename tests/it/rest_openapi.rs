//! The OpenAPI document and the page that shows it.

use std::collections::BTreeSet;

use corpusd::rest;
use serde_json::Value;

use crate::support::TestApp;

async fn document() -> Value {
    let answer = TestApp::new().await.rest("GET", "/openapi.json", None).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"application/json".parse().expect("a value")));
    answer.json()
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let flat = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("a path item").iter();
        item.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    flat.collect()
}

#[tokio::test]
async fn the_document_has_every_route_and_no_other() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "AskTemoc Backend");
    let described: BTreeSet<_> = operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let served: BTreeSet<_> =
        rest::operations().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, served);
}

#[tokio::test]
async fn every_operation_has_an_id_of_its_own_a_summary_and_an_answer() {
    let document = document().await;
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(id.ends_with(&format!("_{}", method.to_lowercase())), "{id}");
        assert!(operation["summary"].is_string(), "{method} {path}");
        let answers = operation["responses"].as_object().expect("responses");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
        assert!(answers.contains_key("500"), "{method} {path}");
        // Every name between braces is described, and nothing else is said to be in the path.
        let named: BTreeSet<&str> = path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let inside = parameters.iter().filter(|parameter| parameter["in"] == "path");
        assert_eq!(inside.filter_map(|parameter| parameter["name"].as_str()).collect::<BTreeSet<_>>(), named, "{path}");
    }
    assert!(ids.contains("create_document_api_documents_post"));
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = document().await;
    let text = document.to_string();
    let mut seen = 0;
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().expect("a pointer");
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        seen += 1;
    }
    assert!(seen > 20);
}

#[tokio::test]
async fn times_are_described_by_a_pattern() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    for (name, schema) in schemas {
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for (field, schema) in properties.iter().filter(|(field, _)| field.ends_with("_at")) {
            assert!(schema["pattern"].is_string() && schema["format"].is_null(), "{name}.{field}: {schema}");
        }
    }
}

#[tokio::test]
async fn the_pages_need_nothing_from_elsewhere() {
    let test = TestApp::new().await;
    for path in ["/docs", "/docs/"] {
        let page = test.rest("GET", path, None).await;
        assert_eq!((page.status, page.headers["content-type"].to_str().unwrap()), (200, "text/html; charset=utf-8"));
        assert!(!page.text.contains("://"), "{}", page.text);
        for part in page.text.split(['"']).filter(|part| part.starts_with("/docs/")) {
            let asset = test.rest("GET", part, None).await;
            assert_eq!(asset.status, 200, "{part}");
            assert!(!asset.text.is_empty(), "{part}");
        }
    }
    let start = test.rest("GET", "/docs/swagger-initializer.js", None).await;
    assert!(start.text.contains("/openapi.json") && !start.text.contains("petstore"), "{}", start.text);
    let redoc = test.rest("GET", "/redoc", None).await;
    assert_eq!((redoc.status, redoc.headers["location"].to_str().unwrap()), (307, "/docs"));
    let other = test.rest("GET", "/docs/nothing.js", None).await;
    assert_eq!((other.status, other.text.as_str()), (404, r#"{"detail":"Not Found","code":"NOT_FOUND"}"#));
}
