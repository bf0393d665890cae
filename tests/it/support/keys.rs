//! Keys, and requests that bring one.

use axum::body::Body;
use axum::http::Request;
use corpusd::config::Anonymous;
use corpusd::service::access::Scope;
use corpusd::service::keys;
use corpusd::service::keys::NewKey;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;

/// An application that lets nobody in without a key.
pub async fn closed() -> TestApp {
    TestApp::with(|config| config.server.anonymous = Anonymous::No).await
}

/// A new key: its id and its token.
pub async fn made(test: &TestApp, scope: Scope) -> (String, String) {
    let new = NewKey { name: format!("to {}", scope.name()), scope, expires_at: None };
    let created = keys::create(test.cx(), new).await.expect("a key is made");
    (created.row.id, created.token.reveal().to_owned())
}

/// The token of a new key.
pub async fn token(test: &TestApp, scope: Scope) -> String {
    made(test, scope).await.1
}

/// A request with this `Authorization`, and other headers.
pub async fn send(
    test: &TestApp,
    (method, path): (&str, &str),
    authorization: Option<&str>,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers.iter().copied().chain(authorization.map(|value| ("authorization", value))) {
        request = request.header(name, value);
    }
    test.send_request(request.body(body.into()).expect("a request")).await
}

/// A GraphQL request of the one who holds `token`.
pub async fn graphql(test: &TestApp, token: &str, query: &str, variables: Value) -> Answer {
    let body = json!({ "query": query, "variables": variables }).to_string();
    send(test, ("POST", "/graphql"), Some(&format!("Bearer {token}")), &[], body).await
}

/// The code of a refusal of either edge.
pub fn code(answer: &Answer) -> String {
    let body = answer.json();
    let code = body["code"].as_str().or(body["errors"][0]["extensions"]["code"].as_str());
    code.unwrap_or_default().to_owned()
}
