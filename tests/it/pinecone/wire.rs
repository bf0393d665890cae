//! What goes over the wire, and what comes back from it.

#![expect(clippy::unwrap_used, reason = "the helpers belong to tests")]

use super::script::Asked;
use super::script::Reply;
use super::script::Script;
use super::script::content;
use super::script::described;
use super::script::reply;
use super::*;

struct Bench {
    _test: TestApp,
    script: Script,
    index: Arc<dyn VectorIndex>,
}

impl Bench {
    /// An adapter against a service that has the index.
    async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config, &str)) -> Self {
        let script = Script::new(|_| reply(500, json!({}))).await;
        let host = script.address.clone();
        script.now(move |asked| content(&host, asked));
        let test = TestApp::with(|config| {
            at(config, &script.address);
            config.sync.request_timeout = Duration::from_secs(5);
            change(config, &script.address);
        })
        .await;
        let index = test.cx().index().clone();
        Self { _test: test, script, index }
    }

    /// Answers the path `what` by `answer`, everything else as before.
    fn answer(&self, what: &'static str, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        let host = self.script.address.clone();
        self.script.now(move |asked| if asked.line.contains(what) { answer(asked) } else { content(&host, asked) });
    }

    async fn put(&self) -> Result<index::Written, index::IndexError> {
        self.index.upsert("n", vec![record("a", &[1.0, 0.5])]).await
    }
}

#[tokio::test]
async fn every_request_names_key_version_and_agent_and_the_index_is_looked_up_once() {
    let bench = Bench::new().await;
    bench.answer("/vectors/upsert", |_| {
        (
            200,
            vec![("x-pinecone-request-lsn", "7".to_owned()), ("x-pinecone-lsn-committed", "3".to_owned())],
            json!({"upsertedCount":1}).to_string(),
        )
    });
    assert_eq!(bench.put().await.unwrap().lsn, Some(7));
    bench.answer("/vectors/delete", |_| (200, vec![("x-pinecone-lsn-committed", "8".to_owned())], "{}".to_owned()));
    assert_eq!(bench.index.delete("n", &["a b".to_owned()]).await.unwrap().lsn, Some(8));
    let asked = bench.script.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["GET /indexes/asktemoc", "POST /vectors/upsert", "POST /vectors/delete"]);
    assert_eq!(asked[1].body, json!({"namespace":"n","vectors":[{"id":"a","values":[1.0,0.5],"metadata":{"n":1}}]}));
    assert_eq!(asked[2].body, json!({"namespace":"n","ids":["a b"]}));
    for asked in asked {
        let header = |name: &str| asked.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!((header("api-key"), header("x-pinecone-api-version")), (Some(KEY), Some("2026-04")));
        let agent = header("user-agent").unwrap();
        assert!(agent.starts_with("corpusd/") && agent.ends_with("; source_tag=corpusd"), "{agent}");
    }
}

#[tokio::test]
async fn reads_are_read() {
    let bench = Bench::new().await;
    let found = bench.index.query(query("n", &[1.0, 0.0])).await.unwrap();
    assert_eq!((found[0].id.as_str(), found[0].score, found[0].metadata.as_str()), ("a", 0.5, "{\"n\":1.0}"));
    let fetched = bench.index.fetch("n", &["a".to_owned(), "b".to_owned()]).await.unwrap();
    assert_eq!((fetched.len(), fetched[0].values.as_slice()), (1, [1.0, 0.5].as_slice()));
    let page = bench.index.list("n", None, 5_000).await.unwrap();
    assert_eq!((page.ids, page.next.as_deref()), (vec!["a".to_owned()], Some("t/1=")));
    bench.index.list("n", Some("t/1="), 10).await.unwrap();
    let stats = bench.index.stats().await.unwrap();
    assert_eq!((stats.dimension, stats.namespaces), (2, vec![("__default__".to_owned(), 2), ("n".to_owned(), 3)]));
    bench.answer("/query", |_| {
        (200, vec![("x-pinecone-max-indexed-lsn", "9".to_owned())], "{\"matches\":[]}".to_owned())
    });
    assert_eq!(bench.index.visible_lsn("n").await.unwrap(), Some(9));
    let lines = bench.script.lines();
    assert_eq!(lines[2], "GET /vectors/fetch?namespace=n&ids=a&ids=b");
    assert_eq!(lines[3], "GET /vectors/list?namespace=n&limit=100");
    assert_eq!(lines[4], "GET /vectors/list?namespace=n&limit=10&paginationToken=t%2F1%3D");
}

#[tokio::test]
async fn a_query_of_another_dimension_is_refused_with_both_numbers_and_not_sent() {
    let bench = Bench::new().await;
    let refused = bench.index.query(query("n", &[1.0, 0.0, 0.0])).await.unwrap_err();
    assert_eq!(refused.kind, IndexErrorKind::Rejected);
    assert!(refused.detail.contains('2') && refused.detail.contains('3'), "{refused}");
    assert_eq!(bench.script.lines(), ["GET /indexes/asktemoc"]);
}

#[tokio::test]
async fn an_index_that_never_was_is_created_at_the_first_upsert_where_the_settings_say() {
    // The answer is lost in between, or somebody was faster: the index is there all the same.
    for status in [201, 502, 409] {
        created(status).await;
    }
}

/// Creates an index by a request that is answered so.
async fn created(status: u16) {
    let bench = Bench::with(|config, _| {
        config.index.pinecone.environment = Some("us-east1-gcp".to_owned());
        config.index.metric = corpusd::config::Metric::Dotproduct;
    })
    .await;
    let missing = || reply(404, json!({"status":404,"error":{"code":"NOT_FOUND","message":"no"}}));
    bench.answer("/indexes/", move |_| missing());
    assert_eq!(bench.index.stats().await.unwrap(), index::IndexStats::default());
    assert!(bench.index.query(query("n", &[1.0])).await.unwrap().is_empty());
    assert!(bench.index.list("n", None, 9).await.unwrap().ids.is_empty());
    bench.index.delete("n", &["a".to_owned()]).await.unwrap();
    bench.script.asked();
    let host = bench.script.address.clone();
    let made = std::sync::atomic::AtomicBool::new(false);
    bench.script.now(move |asked| match asked.line.as_str() {
        "POST /indexes" => {
            made.store(true, std::sync::atomic::Ordering::SeqCst);
            (status, Vec::new(), "<html>".to_owned())
        }
        "GET /indexes/asktemoc" if !made.load(std::sync::atomic::Ordering::SeqCst) => missing(),
        "GET /indexes/asktemoc" => {
            let mut index = described(&host, 2);
            index["metric"] = json!("dotproduct");
            reply(200, index)
        }
        _ => content(&host, asked),
    });
    bench.put().await.unwrap();
    let asked = bench.script.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(lines, ["GET /indexes/asktemoc", "POST /indexes", "GET /indexes/asktemoc", "POST /vectors/upsert"]);
    let body = &asked[1].body;
    assert_eq!((&body["dimension"], &body["metric"]), (&json!(2), &json!("dotproduct")));
    assert_eq!(body["spec"], json!({"serverless":{"cloud":"gcp","region":"us-east1"}}));
    assert_eq!(bench.index.dimension(), Some(2));
}

#[tokio::test]
async fn an_index_that_is_not_ready_is_waited_for_and_one_that_never_will_be_is_a_fault() {
    for (state, kind) in [
        ("Initializing", IndexErrorKind::RateLimited),
        ("SomethingNew", IndexErrorKind::RateLimited),
        ("InitializationFailed", IndexErrorKind::TargetFault),
        ("Terminating", IndexErrorKind::TargetFault),
        ("Disabled", IndexErrorKind::TargetFault),
    ] {
        let bench = Bench::new().await;
        let host = bench.script.address.clone();
        bench.answer("/indexes/", move |_| {
            let mut index = described(&host, 2);
            index["status"] = json!({"ready": false, "state": state});
            reply(200, index)
        });
        let refused = bench.put().await.unwrap_err();
        assert_eq!(refused.kind, kind, "{state}");
        assert!(refused.detail.contains(state), "{refused}");
        assert_eq!(refused.retry_after.is_some(), kind == IndexErrorKind::RateLimited);
        assert_eq!(bench.script.lines(), ["GET /indexes/asktemoc"]);
    }
}

#[tokio::test]
async fn an_index_of_documents_or_of_sparse_vectors_is_a_fault() {
    for model in [
        json!({"schema": {"fields": {"title": {"type": "string"}}}}),
        json!({"vector_type": "sparse", "metric": "dotproduct"}),
    ] {
        let bench = Bench::new().await;
        let host = bench.script.address.clone();
        bench.answer("/indexes/", move |_| {
            let mut index = json!({"name": INDEX, "host": host, "status": {"ready": true, "state": "Ready"}});
            index.as_object_mut().unwrap().extend(model.as_object().unwrap().clone());
            reply(200, index)
        });
        let refused = bench.put().await.unwrap_err();
        assert_eq!(refused.kind, IndexErrorKind::TargetFault);
        assert!(refused.detail.contains("not supported"), "{refused}");
    }
}

#[tokio::test]
async fn an_index_of_another_dimension_or_metric_is_refused_with_both_before_anything_is_sent() {
    let bench = Bench::with(|config, _| config.index.metric = corpusd::config::Metric::Euclidean).await;
    let refused = bench.put().await.unwrap_err();
    assert_eq!(refused.kind, IndexErrorKind::TargetFault);
    assert!(refused.detail.contains("cosine") && refused.detail.contains("euclidean"), "{refused}");
    let bench = Bench::new().await;
    let refused = bench.index.upsert("n", vec![record("a", &[1.0, 0.0, 0.5])]).await.unwrap_err();
    assert_eq!(refused.kind, IndexErrorKind::TargetFault);
    assert!(refused.detail.contains("2 numbers") && refused.detail.contains("have 3"), "{refused}");
    assert_eq!(bench.script.lines(), ["GET /indexes/asktemoc"]);
}

#[tokio::test]
async fn a_host_of_its_own_is_neither_looked_up_nor_created() {
    let bench = Bench::with(|config, address| {
        config.index.pinecone.index_host = Some(address.to_owned());
        config.index.pinecone.controller_host = "http://127.0.0.1:1".to_owned();
    })
    .await;
    bench.put().await.unwrap();
    assert_eq!(bench.script.lines(), ["POST /describe_index_stats", "POST /vectors/upsert"]);
    bench.answer("/vectors/delete", |_| reply(404, json!({"code":5,"message":"Namespace not found","details":[]})));
    bench.index.delete("n", &["a".to_owned()]).await.unwrap();
    bench.answer("/", |_| (404, Vec::new(), "no such host".to_owned()));
    assert_eq!(bench.put().await.unwrap_err().kind, IndexErrorKind::TargetFault);
}

#[tokio::test]
async fn a_404_of_a_delete_is_success_only_when_the_index_itself_says_so_and_is_still_there() {
    let unknown = || reply(404, json!({"code":5,"message":"Namespace not found","details":[]}));
    let ids = ["a".to_owned()];
    let bench = Bench::new().await;
    bench.answer("/vectors/delete", move |_| unknown());
    bench.index.delete("n", &ids).await.unwrap();
    assert_eq!(bench.script.lines(), ["GET /indexes/asktemoc", "POST /vectors/delete", "GET /indexes/asktemoc"]);
    // From somewhere else: a proxy, another service.
    bench.answer("/vectors/delete", |_| (404, Vec::new(), "<html>not found</html>".to_owned()));
    assert_eq!(bench.index.delete("n", &ids).await.unwrap_err().kind, IndexErrorKind::TargetFault);
    // The index has moved: the request goes there, the next time.
    let moved = Script::new(|_| reply(200, json!({}))).await;
    let (old, new) = (bench.script.address.clone(), moved.address.clone());
    bench.script.now(move |asked| match asked.line.as_str() {
        "GET /indexes/asktemoc" => reply(200, described(&new, 2)),
        "POST /vectors/delete" => unknown(),
        _ => content(&old, asked),
    });
    assert_eq!(bench.index.delete("n", &ids).await.unwrap_err().kind, IndexErrorKind::NotApplied);
    bench.index.delete("n", &ids).await.unwrap();
    assert_eq!(moved.lines(), ["POST /vectors/delete"]);
}

#[tokio::test]
async fn reads_of_a_namespace_that_is_not_there_find_nothing() {
    let bench = Bench::new().await;
    for path in ["/query", "/vectors/fetch", "/vectors/list"] {
        bench.answer(path, |_| reply(404, json!({"code":5,"message":"Namespace not found","details":[]})));
        match path {
            "/query" => assert!(bench.index.query(query("x", &[1.0, 0.0])).await.unwrap().is_empty()),
            "/vectors/fetch" => assert!(bench.index.fetch("x", &["a".to_owned()]).await.unwrap().is_empty()),
            _ => assert!(bench.index.list("x", None, 9).await.unwrap().ids.is_empty()),
        }
    }
}

#[tokio::test]
async fn answers_to_a_write_are_told_apart() {
    let bench = Bench::new().await;
    let page = "<html><body>busy</body></html>";
    for (status, body, kind) in [
        (200, page, IndexErrorKind::InDoubt),
        (200, "", IndexErrorKind::InDoubt),
        (200, "{\"upsertedCount\":0}", IndexErrorKind::InDoubt),
        (302, page, IndexErrorKind::TargetFault),
        (400, "{\"code\":3,\"message\":\"bad\"}", IndexErrorKind::Rejected),
        (401, "Unauthorized", IndexErrorKind::TargetFault),
        (413, "", IndexErrorKind::TooLarge),
        (429, "", IndexErrorKind::RateLimited),
        (503, page, IndexErrorKind::InDoubt),
    ] {
        bench
            .answer("/vectors/upsert", move |_| (status, vec![("location", "/elsewhere".to_owned())], body.to_owned()));
        let error = bench.put().await.unwrap_err();
        assert_eq!(error.kind, kind, "{status} {body}");
        assert!(error.detail.len() < 500 && !error.detail.contains('\n'), "{error}");
    }
    assert!(!bench.script.lines().iter().any(|line| line.contains("elsewhere")));
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let bench = Bench::new().await;
    // The clock of the test stands at 2026-01-01T00:00:00Z.
    for (value, waits) in [
        ("2.5", Some(Duration::from_millis(2_500))),
        ("Thu, 01 Jan 2026 00:00:30 GMT", Some(Duration::from_secs(30))),
        ("whenever", None),
    ] {
        bench.answer("/vectors/upsert", move |_| (429, vec![("retry-after", value.to_owned())], String::new()));
        assert_eq!(bench.put().await.unwrap_err().retry_after, waits, "{value}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_applied_and_the_index_is_looked_up_again() {
    let bench = Bench::new().await;
    let host = bench.script.address.clone();
    bench.answer("/indexes/", |_| reply(200, described("http://127.0.0.1:1", 2)));
    assert_eq!(bench.put().await.unwrap_err().kind, IndexErrorKind::NotApplied);
    bench.answer("/indexes/", move |_| reply(200, described(&host, 2)));
    bench.put().await.unwrap();
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_no_connection() {
    let bench = Bench::with(|config, address| {
        config.index.pinecone.controller_host = address.replace("http://", "https://");
    })
    .await;
    let error = bench.put().await.unwrap_err();
    assert_eq!(error.kind, IndexErrorKind::NotApplied, "{error}");
    assert!(bench.script.lines().is_empty());
}

#[tokio::test]
async fn a_control_plane_that_is_away_does_not_keep_anybody_from_the_index() {
    let bench = Bench::new().await;
    bench.put().await.unwrap();
    bench.script.now(|asked| match asked.line.as_str() {
        "POST /vectors/upsert" => (404, Vec::new(), String::new()),
        _ => (503, Vec::new(), String::new()),
    });
    assert_eq!(bench.put().await.unwrap_err().kind, IndexErrorKind::NotApplied, "it may be gone, and nobody can tell");
    bench.answer("/indexes/", |_| (503, Vec::new(), String::new()));
    bench.script.asked();
    bench.put().await.unwrap();
    bench.put().await.unwrap();
    let lines = bench.script.lines();
    assert_eq!(lines, ["GET /indexes/asktemoc", "POST /vectors/upsert", "POST /vectors/upsert"], "looked for once");
}

#[tokio::test]
async fn the_key_is_in_no_error_and_no_debug_output_even_if_the_service_repeats_it() {
    let bench = Bench::new().await;
    for body in [json!({"code":3,"message":format!("the key {KEY} is bad")}).to_string(), KEY.to_owned()] {
        bench.answer("/vectors/upsert", move |_| (400, vec![("x-pinecone-request-id", KEY.to_owned())], body.clone()));
        let error = bench.put().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(KEY) && error.detail.contains("***"), "{error}");
    }
    assert!(!format!("{:?}", bench.index).contains(KEY));
}

#[tokio::test]
async fn a_request_that_grew_too_long_is_not_sent() {
    let bench = Bench::new().await;
    let large =
        VectorRecord { metadata: format!("{{\"t\":\"{}\"}}", "x".repeat(2_000_000)), ..record("a", &[1.0, 0.0]) };
    assert_eq!(bench.index.upsert("n", vec![large]).await.unwrap_err().kind, IndexErrorKind::TooLarge);
    assert_eq!(bench.script.lines(), ["GET /indexes/asktemoc"]);
}
