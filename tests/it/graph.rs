//! Reading the graph.

use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_document_is_read_by_id_with_its_metadata_as_stored() {
    let test = TestApp::new().await;
    let metadata = corpusd::json::Json::parse(
        br#"{"b":12345678901234567890123,"a":[1.50,null]}"#,
        corpusd::json::Literals::Strict,
    );
    let new = NewDocument { id: Some("d1".into()), title: "A".into(), metadata: metadata.ok(), ..Default::default() };
    documents::create(test.cx(), new).await.unwrap();
    let query = json!({"query": "{ document(id: \"d1\") { title metadata id createdAt source } none: document(id: \"x\") { id } }"});
    let answer = test.send("POST", "/graphql", "application/json", query.to_string()).await;
    assert_eq!(
        answer.text,
        r#"{"data":{"document":{"title":"A","metadata":{"b":12345678901234567890123,"a":[1.50,null]},"id":"d1","createdAt":"2026-01-01T00:00:00Z","source":null},"none":null}}"#
    );
}
