//! How much one client may ask in a while, and how it is told.

use std::net::SocketAddr;
use std::time::Duration;

use corpusd::config::Config;
use corpusd::config::http::RateConfig;
use corpusd::service::access::Scope;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;
use crate::support::http;
use crate::support::keys::token;
use crate::support::socket::Socket;
use crate::support::socket::serve;

/// A hundred points in a hundred seconds, for everybody.
fn narrow(config: &mut Config) {
    config.http.rate = RateConfig { points: 100, window: Duration::from_secs(100), local: true };
}

struct Answer {
    status: u16,
    left: Option<String>,
    retry_after: Option<String>,
    body: Value,
}

/// Asks over a real connection: a client without one has no address.
async fn ask(address: SocketAddr, token: Option<&str>, path: &str, query: Option<&str>) -> Answer {
    let client = http().build().expect("a client");
    let url = format!("http://{address}{path}");
    let request = match query {
        Some(query) => client.post(url).json(&json!({ "query": query })),
        None => client.get(url),
    };
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    let answer = request.send().await.expect("an answer");
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().expect("text").to_owned());
    let (left, retry_after) = (header("ratelimit"), header("retry-after"));
    if left.is_some() {
        assert_eq!(header("ratelimit-policy").as_deref(), Some(r#""points";q=100;w=100"#));
    }
    let status = answer.status().as_u16();
    Answer { status, left, retry_after, body: answer.json().await.expect("JSON") }
}

#[tokio::test]
async fn who_has_asked_for_all_points_waits_until_there_are_enough_again() {
    let test = TestApp::with(narrow).await;
    let address = serve(&test).await;
    let listed = ask(address, None, "/api/documents?limit=60", None).await;
    assert_eq!((listed.status, listed.left.as_deref()), (200, Some(r#""points";r=40;t=60"#)));
    let refused = ask(address, None, "/api/documents?limit=60", None).await;
    assert_eq!((refused.status, refused.retry_after.as_deref()), (429, Some("20")));
    assert_eq!(refused.left.as_deref(), Some(r#""points";r=40;t=60"#));
    assert_eq!(
        refused.body,
        json!({ "detail": "More was asked than one client may: ask again in 20 s", "code": "RATE_LIMITED" })
    );
    // What costs less is answered, over either edge from the same points.
    let query = "{ documents(first: 30) { nodes { id } } }";
    let answer = ask(address, None, "/graphql", Some(query)).await;
    let cost = answer.body["extensions"]["cost"]["requested"].as_u64().expect("a cost");
    assert_eq!((answer.status, answer.left), (200, Some(format!(r#""points";r={};t={}"#, 40 - cost, 60 + cost))));
    let refused = ask(address, None, "/graphql", Some(query)).await;
    assert_eq!((refused.status, &refused.body["errors"][0]["extensions"]["code"]), (429, &json!("RATE_LIMITED")));
    assert_eq!(refused.retry_after, Some((2 * cost - 40).to_string()));
    test.clock.advance(Duration::from_secs(2 * cost - 40));
    assert_eq!(ask(address, None, "/graphql", Some(query)).await.status, 200);
    // Health is not counted.
    let health = ask(address, None, "/health/ready", None).await;
    assert_eq!((health.status, health.left), (200, None));
}

#[tokio::test]
async fn a_document_that_is_refused_costs_a_point() {
    let test = TestApp::with(narrow).await;
    let address = serve(&test).await;
    let refused = ask(address, None, "/graphql", Some("{")).await;
    assert_eq!((refused.status, refused.left.as_deref()), (200, Some(r#""points";r=99;t=1"#)));
}

#[tokio::test]
async fn each_key_has_points_of_its_own() {
    let test = TestApp::with(narrow).await;
    let address = serve(&test).await;
    let (one, two) = (token(&test, Scope::Read).await, token(&test, Scope::Read).await);
    for key in [Some(one.as_str()), Some(two.as_str()), None] {
        assert_eq!(ask(address, key, "/api/documents", None).await.status, 200);
        assert_eq!(ask(address, key, "/api/documents", None).await.status, 429);
    }
}

#[tokio::test]
async fn the_operations_of_a_socket_count_for_its_client() {
    let test = TestApp::with(narrow).await;
    let address = serve(&test).await;
    let mut socket = Socket::ready(address).await;
    let query = "{ documents(first: 60) { nodes { id } } }";
    socket.subscribe("1", query, Value::Null).await;
    assert_eq!(socket.event("1").await["errors"], Value::Null);
    assert_eq!(socket.next().await["type"], "complete");
    socket.subscribe("2", query, Value::Null).await;
    let told = socket.next().await;
    assert_eq!((&told["type"], &told["payload"][0]["extensions"]["code"]), (&json!("error"), &json!("RATE_LIMITED")));
    assert_eq!(ask(address, None, "/api/documents?limit=60", None).await.status, 429);
}

#[tokio::test]
async fn this_machine_is_not_limited_unless_it_is_told_so() {
    let test = TestApp::with(|config| {
        narrow(config);
        config.http.rate.local = false;
    })
    .await;
    let address = serve(&test).await;
    for _ in 0..3 {
        let answer = ask(address, None, "/api/documents", None).await;
        assert_eq!((answer.status, answer.left), (200, None));
    }
    let key = token(&test, Scope::Read).await;
    assert_eq!(ask(address, Some(&key), "/api/documents", None).await.left.as_deref(), Some(r#""points";r=0;t=100"#));
}
