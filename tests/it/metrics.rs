//! `/metrics`, as Prometheus reads it.

use std::collections::BTreeMap;
use std::sync::Arc;

use corpusd::index::memory::MemoryIndex;
use corpusd::service::documents;
use serde_json::Value;

use crate::support::TestApp;
use crate::support::rows;

/// Every sample by its name and labels.
async fn samples(test: &TestApp) -> BTreeMap<String, f64> {
    let answer = test.rest("GET", "/metrics", None).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers["content-type"].to_str().expect("text").starts_with("application/openmetrics-text"));
    assert!(answer.text.ends_with("# EOF\n") && answer.text.matches("# EOF").count() == 1, "{}", answer.text);
    let lines = answer.text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

#[tokio::test]
async fn answers_are_counted_by_route_and_not_by_what_was_sent() {
    let test = TestApp::new().await;
    for id in ["secret-a", "secret-b", "secret-c/"] {
        test.rest("GET", &format!("/api/documents/{id}"), None).await;
    }
    test.rest("GET", "/nowhere/secret", None).await;
    test.send("SECRET", "/api/documents", "application/json", "").await;
    let found = samples(&test).await;
    let key = r#"corpusd_http_requests_total{method="GET",route="/api/documents/{doc_id}",status="404"}"#;
    assert_eq!(found.get(key), Some(&3.0), "{found:#?}");
    assert_eq!(found.get(r#"corpusd_http_requests_total{method="GET",route="other",status="404"}"#), Some(&1.0));
    assert_eq!(
        found.get(r#"corpusd_http_requests_total{method="other",route="/api/documents",status="405"}"#),
        Some(&1.0)
    );
    let key = r#"corpusd_http_request_duration_seconds_count{method="GET",route="/api/documents/{doc_id}"}"#;
    assert_eq!(found.get(key), Some(&3.0));
    assert_eq!(found.get("corpusd_http_requests_in_flight"), Some(&1.0), "this one");
    assert!(found.keys().all(|name| !name.to_lowercase().contains("secret")), "{found:#?}");
}

#[tokio::test]
async fn graphql_is_counted_by_kind_and_code() {
    let test = TestApp::new().await;
    test.graphql("{ server { name } }", Value::Null).await;
    test.graphql("mutation { deleteDocument(input: { id: \"none\" }) { id } }", Value::Null).await;
    test.graphql("{ nothing }", Value::Null).await;
    test.graphql("{", Value::Null).await;
    let found = samples(&test).await;
    for (kind, code) in [
        ("query", "OK"),
        ("mutation", "NOT_FOUND"),
        ("query", "GRAPHQL_VALIDATION_FAILED"),
        ("none", "GRAPHQL_PARSE_FAILED"),
    ] {
        let key = format!(r#"corpusd_graphql_answers_total{{kind="{kind}",code="{code}"}}"#);
        assert_eq!(found.get(&key), Some(&1.0), "{key}: {found:#?}");
    }
}

#[tokio::test]
async fn the_sync_is_told_with_its_calls_its_lag_and_what_waits() {
    let test = TestApp::with_index(Arc::new(MemoryIndex::default()), |config| config.index.auto_export = true).await;
    documents::create(test.cx(), rows::nested()).await.expect("created");
    test.clock.advance(std::time::Duration::from_secs(3));
    let before = samples(&test).await;
    let of = |found: &BTreeMap<String, f64>, name: &str| {
        let key = found.keys().find(|key| key.starts_with(name)).unwrap_or_else(|| panic!("{name}: {found:#?}"));
        found[key]
    };
    assert_eq!(of(&before, "corpusd_sync_lag_seconds{"), 3.0);
    assert_eq!(of(&before, r#"corpusd_sync_records{target="asktemoc",state="open"}"#), 1.0);
    test.sync_until_idle().await;
    let after = samples(&test).await;
    assert_eq!(of(&after, "corpusd_sync_lag_seconds{"), 0.0);
    assert_eq!(of(&after, r#"corpusd_sync_records{target="asktemoc",state="open"}"#), 0.0);
    assert_eq!(of(&after, r#"corpusd_target_state{target="asktemoc",state="active"}"#), 1.0);
    assert_eq!(of(&after, r#"corpusd_index_calls_total{call="upsert",outcome="ok"}"#), 1.0);
    assert_eq!(of(&after, "corpusd_synced_through_revision"), of(&after, "corpusd_corpus_revision"));
    assert_eq!(of(&after, "corpusd_database_up"), 1.0);
    assert!(of(&after, "corpusd_database_connections") >= 1.0);
    assert!(of(&after, "process_resident_memory_bytes") > 1e6);
}
