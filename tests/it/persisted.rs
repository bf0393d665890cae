//! Documents that a client names instead of sending them: by a hash that it taught the server, or from a manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use corpusd::config::Config;
use corpusd::config::Trust;
use corpusd::server;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;
use crate::support::process::corpusd;
use crate::support::process::run;
use crate::support::socket::Socket;
use crate::support::socket::serve;

const QUERY: &str = "{__typename}";
/// The SHA-256 of [`QUERY`], as Apollo's documentation has it.
const HASH: &str = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38";

fn named(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

/// A server that remembers what it was taught.
struct Server {
    test: TestApp,
    router: Router,
}

impl Server {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let test = TestApp::with(change).await;
        let router = server::router(test.app.clone());
        Self { test, router }
    }

    async fn trusting(trust: Trust, documents: &[(&str, &str)]) -> Self {
        let documents: BTreeMap<String, String> =
            documents.iter().map(|(id, text)| ((*id).to_owned(), (*text).to_owned())).collect();
        Self::with(|config| (config.persisted.trust, config.persisted.documents) = (trust, Arc::new(documents))).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        self.test.send_to(self.router.clone(), request).await
    }
}

async fn post(server: &Server, body: Value) -> Answer {
    let request = Request::post("/graphql").header("content-type", "application/json");
    server.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

/// The message and the code of the first error.
fn told(answer: &Answer) -> (String, String) {
    let error = &answer.json()["errors"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["message"]), text(&error["extensions"]["code"]))
}

fn is_answered(answer: &Answer) -> bool {
    answer.json()["data"]["__typename"] == "Query"
}

#[tokio::test]
async fn a_document_is_sent_once_and_named_from_then_on() {
    let server = Server::with(|_| {}).await;
    let unknown = post(&server, json!({ "extensions": named(HASH) })).await;
    let not_found = ("PersistedQueryNotFound".to_owned(), "PERSISTED_QUERY_NOT_FOUND".to_owned());
    assert_eq!((unknown.status, told(&unknown)), (200, not_found.clone()));
    assert!(is_answered(&post(&server, json!({ "query": QUERY, "extensions": named(HASH) })).await));
    assert!(is_answered(&post(&server, json!({ "extensions": named(HASH) })).await));
    // The same by GET, which is what makes an answer cacheable, and over a socket of another server.
    let extensions: String = url::form_urlencoded::byte_serialize(named(HASH).to_string().as_bytes()).collect();
    let get = Request::get(format!("/graphql?extensions={extensions}")).body(Body::empty()).expect("a request");
    assert!(is_answered(&server.send(get).await));
    let mut socket = Socket::ready(serve(&server.test).await).await;
    for (id, payload, kind) in [
        ("a", json!({ "extensions": named(HASH) }), "error"),
        ("b", json!({ "query": QUERY, "extensions": named(HASH) }), "next"),
        ("c", json!({ "extensions": named(HASH) }), "next"),
    ] {
        socket.send(&json!({ "id": id, "type": "subscribe", "payload": payload })).await;
        let answer = socket.next().await;
        assert_eq!((&answer["type"], &answer["id"]), (&json!(kind), &json!(id)), "{answer}");
        if kind == "error" {
            assert_eq!(answer["payload"][0]["message"], not_found.0);
        } else {
            assert_eq!(socket.next().await["type"], "complete");
        }
    }
}

#[tokio::test]
async fn a_hash_is_that_of_its_document_and_well_formed() {
    let server = Server::with(|_| {}).await;
    let other = post(&server, json!({ "query": "{ __typename }", "extensions": named(HASH) })).await;
    let field = "extensions.persistedQuery.sha256Hash";
    assert_eq!(told(&other), (format!("{field}: is not the SHA-256 of the query"), "BAD_USER_INPUT".to_owned()));
    assert_eq!(other.json()["errors"][0]["extensions"]["fields"][0]["field"], field);
    // Nothing was learned from it.
    assert_eq!(told(&post(&server, json!({ "extensions": named(HASH) })).await).1, "PERSISTED_QUERY_NOT_FOUND");
    for (extension, why) in [
        (json!(1), ": must be an object"),
        (json!({ "sha256Hash": HASH }), ".version: must be 1"),
        (json!({ "version": 2, "sha256Hash": HASH }), ".version: must be 1"),
        (json!({ "version": 1 }), ".sha256Hash: must be a string"),
    ] {
        let answer = post(&server, json!({ "extensions": { "persistedQuery": extension } })).await;
        assert_eq!(told(&answer), (format!("extensions.persistedQuery{why}"), "BAD_USER_INPUT".to_owned()));
    }
    assert_eq!(told(&post(&server, json!({ "extensions": {} })).await).0, "query: Field required");
}

#[tokio::test]
async fn a_document_that_is_refused_is_not_remembered_and_one_that_is_named_is_judged_again() {
    let nothing = "{nothing";
    let hash = &sha256(nothing);
    let server = Server::with(|config| config.limits.graphql.cost = 50).await;
    let taught = post(&server, json!({ "query": nothing, "extensions": named(hash) })).await;
    assert_eq!(told(&taught).1, "GRAPHQL_PARSE_FAILED");
    assert_eq!(told(&post(&server, json!({ "extensions": named(hash) })).await).1, "PERSISTED_QUERY_NOT_FOUND");
    // Its cost depends on the variables that come with each request.
    let query = "query($n: Int) { documents(first: $n) { totalCount } }";
    let server = Server::trusting(Trust::Allow, &[("pages", query)]).await;
    let ask = async |first: u64| {
        let body = json!({ "extensions": named("pages"), "variables": { "n": first } });
        post(&server, body).await.json()
    };
    assert_eq!(ask(7).await["extensions"]["cost"]["requested"], 7);
    assert_eq!(ask(100).await["extensions"]["cost"]["requested"], 100);
}

#[tokio::test]
async fn a_server_that_remembers_nothing_says_so() {
    let server = Server::with(|config| config.persisted.automatic = false).await;
    let answer = post(&server, json!({ "extensions": named(HASH) })).await;
    let code = "PERSISTED_QUERY_NOT_SUPPORTED".to_owned();
    assert_eq!(told(&answer), ("PersistedQueryNotSupported".to_owned(), code));
    assert!(is_answered(&post(&server, json!({ "query": QUERY, "extensions": named(HASH) })).await));
}

#[tokio::test]
async fn memory_for_documents_is_bounded() {
    type Set = fn(&mut Config);
    let bounds: [Set; 2] = [|config| config.persisted.count = 1, |config| config.persisted.bytes = 40];
    for set in bounds {
        let server = Server::with(set).await;
        let other = "{ server { name version database } }";
        let hash = sha256(other);
        assert!(is_answered(&post(&server, json!({ "query": QUERY, "extensions": named(HASH) })).await));
        assert!(is_answered(&post(&server, json!({ "extensions": named(HASH) })).await));
        let taught = post(&server, json!({ "query": other, "extensions": named(&hash) })).await;
        assert_eq!(taught.json()["errors"], Value::Null);
        assert_eq!(told(&post(&server, json!({ "extensions": named(HASH) })).await).1, "PERSISTED_QUERY_NOT_FOUND");
        assert_eq!(post(&server, json!({ "extensions": named(&hash) })).await.json()["errors"], Value::Null);
    }
}

/// The SHA-256 of a text, as 64 digits.
fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn documents_of_a_manifest_are_named_by_their_ids() {
    let documents = [("mine", QUERY), (HASH, QUERY)];
    for (trust, named_ones, sent, other) in
        [(Trust::Allow, true, true, true), (Trust::Only, true, true, false), (Trust::Off, false, true, true)]
    {
        let server = Server::trusting(trust, &documents).await;
        for id in ["mine", HASH] {
            assert_eq!(is_answered(&post(&server, json!({ "extensions": named(id) })).await), named_ones, "{trust:?}");
        }
        assert_eq!(is_answered(&post(&server, json!({ "query": QUERY })).await), sent, "{trust:?}");
        let answer = post(&server, json!({ "query": "{ __typename }" })).await;
        assert_eq!(is_answered(&answer), other, "{trust:?}");
        if !other {
            let sentence = "This server answers trusted documents only".to_owned();
            assert_eq!(told(&answer), (sentence, "QUERY_NOT_IN_SAFELIST".to_owned()));
            // Nor can it be taught.
            let hash = sha256("{ __typename }");
            let taught = post(&server, json!({ "query": "{ __typename }", "extensions": named(&hash) })).await;
            assert_eq!(told(&taught).1, "QUERY_NOT_IN_SAFELIST");
            assert_eq!(
                told(&post(&server, json!({ "extensions": named(&hash) })).await).1,
                "PERSISTED_QUERY_NOT_FOUND"
            );
        }
    }
}

#[tokio::test]
async fn a_bad_manifest_refuses_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = folder.path().join("trusted.json");
    let path = manifest.to_str().expect("a path");
    let args = ["serve", "--port", "0", "--trusted-documents", "only", "--trusted-manifest", path];
    for (text, says) in [
        (None, "No such file"),
        (Some("{"), "is no JSON"),
        (Some(r#"{"a":"{ nothing }"}"#), "the document of a: Unknown field \"nothing\" on type \"Query\"."),
    ] {
        if let Some(text) = text {
            std::fs::write(&manifest, text).expect("written");
        }
        let output = run(folder.path(), &args).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("CORPUSD_TRUSTED_MANIFEST") && said.contains(says), "{said}");
    }
    let output = run(folder.path(), &args[..5]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("CORPUSD_TRUSTED_MANIFEST: must be set"), "{said}");
    assert!(!folder.path().join("asktemoc.db").exists(), "nothing was begun");
    std::fs::write(&manifest, format!(r#"{{"{HASH}":"{QUERY}"}}"#)).expect("written");
    let serving = crate::support::process::Serving::start(corpusd(folder.path(), &args)).await;
    assert_eq!(serving.get("/health/live").await.0, 200);
    assert_eq!(serving.stop().await.code(), Some(0));
}
