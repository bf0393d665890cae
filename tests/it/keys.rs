//! Keys: made, told once, listed, revoked; on sockets and streams, and from the command line.

use std::path::Path;

use axum::http::Request;
use corpusd::clock::Clock;
use corpusd::config::Anonymous;
use corpusd::config::DatabaseConfig;
use corpusd::server;
use corpusd::service::access::Scope;
use corpusd::service::keys;
use corpusd::store;
use futures_util::StreamExt as _;
use serde_json::Value;
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::TestApp;
use crate::support::database_url;
use crate::support::http;
use crate::support::keys::closed;
use crate::support::keys::code;
use crate::support::keys::graphql;
use crate::support::keys::made;
use crate::support::keys::send;
use crate::support::keys::token;
use crate::support::process::Serving;
use crate::support::process::corpusd;
use crate::support::process::run;
use crate::support::rows;
use crate::support::socket::Socket;
use crate::support::socket::serve;

const CREATE: &str = "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { token apiKey { id name prefix scope state createdAt expiresAt revokedAt } } }";
const REVOKE: &str = "mutation($id: ID!) { revokeApiKey(input: { id: $id }) { apiKey { id state revokedAt } } }";
const EVENTS: &str = "subscription { corpusEvents { id } }";

#[tokio::test]
async fn a_token_is_told_once_and_only_its_hash_is_kept() {
    let test = TestApp::new().await;
    let input = json!({ "name": "Importer", "scope": "WRITE", "expiresAt": "2026-02-01T00:00:00Z" });
    let answer = test.graphql(CREATE, json!({ "i": input })).await;
    let created = &answer["data"]["createApiKey"];
    let token = created["token"].as_str().expect("a token");
    assert!(token.starts_with("cd_") && token.len() == 52, "{token}");
    let key = &created["apiKey"];
    assert_eq!(
        *key,
        json!({
            "id": key["id"], "name": "Importer", "prefix": &token[..11], "scope": "WRITE", "state": "ACTIVE",
            "createdAt": "2026-01-01T00:00:00Z", "expiresAt": "2026-02-01T00:00:00Z", "revokedAt": null,
        })
    );
    let stored = store::keys::all(test.cx().read()).await.unwrap();
    let words = format!("{stored:?}");
    assert!(!words.contains(&token[11..]) && !words.contains(&token[3..46]), "{words}");
    assert_eq!(stored[0].hash.len(), 32);
    let listed = test
        .graphql("{ apiKeys(first: 1) { totalCount nodes { id prefix } pageInfo { hasNextPage } } }", Value::Null)
        .await;
    assert!(!listed.to_string().contains(&token[11..]));
    assert_eq!(listed["data"]["apiKeys"]["nodes"], json!([{ "id": key["id"], "prefix": &token[..11] }]));
    // It works, and no longer once it is revoked: twice is as good as once.
    let ask = async || {
        graphql(&test, token, "mutation { createDocument(input: { title: \"A\" }) { document { id } } }", Value::Null)
            .await
    };
    assert_eq!(ask().await.json()["errors"], Value::Null);
    for _ in 0..2 {
        let revoked = test.graphql(REVOKE, json!({ "id": key["id"] })).await;
        assert_eq!(
            revoked["data"]["revokeApiKey"]["apiKey"],
            json!({ "id": key["id"], "state": "REVOKED", "revokedAt": "2026-01-01T00:00:00Z" })
        );
        test.clock.advance(std::time::Duration::from_secs(1));
    }
    assert_eq!(ask().await.status, 401);
}

#[tokio::test]
async fn keys_are_listed_newest_first_and_paged() {
    let test = TestApp::new().await;
    for name in ["a", "b", "c"] {
        let input = json!({ "name": name, "scope": "READ", "expiresAt": if name == "b" { json!("2026-01-01T00:00:02Z") } else { Value::Null } });
        test.graphql(CREATE, json!({ "i": input })).await;
        test.clock.advance(std::time::Duration::from_secs(1));
    }
    let query = "query($a: String) { apiKeys(first: 2, after: $a) { totalCount edges { cursor node { name state } } pageInfo { hasNextPage endCursor } } }";
    let page = test.graphql(query, Value::Null).await["data"]["apiKeys"].clone();
    let node = |edge: &Value| edge["node"].clone();
    assert_eq!((&page["totalCount"], &page["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    assert_eq!(node(&page["edges"][0]), json!({ "name": "c", "state": "ACTIVE" }));
    assert_eq!(node(&page["edges"][1]), json!({ "name": "b", "state": "EXPIRED" }));
    let rest = test.graphql(query, json!({ "a": page["pageInfo"]["endCursor"] })).await["data"]["apiKeys"].clone();
    assert_eq!(node(&rest["edges"][0]), json!({ "name": "a", "state": "ACTIVE" }));
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn a_key_that_cannot_be_meant_is_refused_by_field() {
    let test = TestApp::new().await;
    for (input, field) in [
        (json!({ "name": " ", "scope": "READ" }), "input.name"),
        (json!({ "name": "n".repeat(101), "scope": "READ" }), "input.name"),
        (json!({ "name": "a\u{7}", "scope": "READ" }), "input.name"),
        (json!({ "name": "a", "scope": "READ", "expiresAt": "2026-01-01T00:00:00Z" }), "input.expiresAt"),
    ] {
        let answer = test.graphql(CREATE, json!({ "i": input })).await;
        let error = &answer["errors"][0]["extensions"];
        assert_eq!(
            (&error["code"], &error["fields"][0]["field"]),
            (&json!("BAD_USER_INPUT"), &json!(field)),
            "{answer}"
        );
    }
    for id in ["none", "a\u{0}b"] {
        let answer = test.graphql(REVOKE, json!({ "id": id })).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND", "{answer}");
        assert_eq!(answer["errors"][0]["message"], "API key not found");
    }
    assert_eq!(store::keys::all(test.cx().read()).await.unwrap(), []);
}

#[tokio::test]
async fn a_key_of_a_version_that_knows_more_opens_nothing() {
    let test = closed().await;
    for (column, value) in [("namespaces", "[\"a\"]"), ("scope", "everything")] {
        let token = token(&test, Scope::Read).await;
        let shown = token[..11].to_owned();
        let changed = test.cx().db().write(move |tx| {
            let mut sql = store::sql::Sql::new(tx);
            sql.push("UPDATE api_keys SET ")
                .push(column)
                .push(" = ")
                .bind(value)
                .push(" WHERE shown = ")
                .bind(shown.as_str());
            Box::pin(async move { Ok(sql.run(tx).await?) })
        });
        assert_eq!(changed.await.unwrap().value, 1);
        assert_eq!(graphql(&test, &token, "{ __typename }", Value::Null).await.status, 401, "{column}");
    }
}

/// A connection that said who it is.
async fn opened(address: std::net::SocketAddr, authorization: Option<&str>, payload: Value) -> Socket {
    let mut socket = Socket::open_with(address, "graphql-transport-ws", authorization).await;
    socket.send(&json!({ "type": "connection_init", "payload": payload })).await;
    socket
}

#[tokio::test]
async fn a_socket_comes_in_with_a_key_in_its_payload_or_its_upgrade() {
    let test = closed().await;
    let address = serve(&test).await;
    let token = token(&test, Scope::Read).await;
    let bearer = format!("Bearer {token}");
    for (authorization, payload) in [
        (None, json!({ "authorization": bearer })),
        (None, json!({ "Authorization": bearer, "other": 1 })),
        (None, json!({ "token": token })),
        (Some(bearer.as_str()), Value::Null),
        (Some("Bearer x"), json!({ "token": token })),
    ] {
        let mut socket = opened(address, authorization, payload).await;
        assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
        socket.subscribe("1", "{ __typename }", Value::Null).await;
        assert_eq!(socket.event("1").await["data"], json!({ "__typename": "Query" }));
    }
    for (authorization, payload) in [
        (None, Value::Null),
        (None, json!({})),
        (None, json!({ "authorization": token })),
        (None, json!({ "authorization": 1 })),
        (None, json!({ "token": bearer })),
        (None, json!({ "token": "" })),
        (Some("Bearer x"), Value::Null),
        (Some(bearer.as_str()), json!({ "token": "x" })),
    ] {
        let mut socket = opened(address, authorization, payload.clone()).await;
        assert_eq!(socket.closed().await, (4403, "Forbidden".to_owned()), "{authorization:?} {payload}");
    }
    // Where none is needed, one that is wrong is refused all the same.
    let open = TestApp::new().await;
    let mut socket = opened(serve(&open).await, None, json!({ "token": "x" })).await;
    assert_eq!(socket.closed().await.0, 4403);
}

#[tokio::test]
async fn a_socket_may_what_its_key_may_and_stays_when_it_may_not() {
    let test = closed().await;
    let address = serve(&test).await;
    let mut socket = opened(address, None, json!({ "token": token(&test, Scope::Read).await })).await;
    socket.next().await;
    socket
        .subscribe("1", "mutation { createDocument(input: { title: \"A\" }) { document { id } } }", Value::Null)
        .await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("1")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "FORBIDDEN");
    assert_eq!(refused["payload"][0]["message"], "createDocument needs an API key of the scope write");
    socket.subscribe("1", "{ documents { totalCount } }", Value::Null).await;
    assert_eq!(socket.event("1").await["data"]["documents"]["totalCount"], 0);
}

#[tokio::test]
async fn a_socket_whose_key_is_revoked_here_or_elsewhere_ends() {
    let test = closed().await;
    let address = serve(&test).await;
    for elsewhere in [false, true] {
        let (id, token) = made(&test, Scope::Read).await;
        let (other, _) = made(&test, Scope::Read).await;
        let mut socket = opened(address, None, json!({ "token": token })).await;
        socket.next().await;
        socket.subscribe("1", EVENTS, Value::Null).await;
        keys::revoke(test.cx(), &other).await.unwrap();
        if elsewhere {
            keys::revoke_in(test.cx().db(), &id).await.unwrap();
            test.clock.advance(std::time::Duration::from_secs(2));
        } else {
            keys::revoke(test.cx(), &id).await.unwrap();
        }
        assert_eq!(socket.closed().await, (4403, "Forbidden".to_owned()));
    }
}

#[tokio::test]
async fn a_socket_whose_key_cannot_be_looked_up_is_asked_to_come_again() {
    let test = closed().await;
    let address = serve(&test).await;
    let (one, other) = (token(&test, Scope::Read).await, token(&test, Scope::Read).await);
    let mut socket = opened(address, None, json!({ "token": one })).await;
    socket.next().await;
    test.clock.advance(std::time::Duration::from_secs(2));
    test.cx().read().close().await;
    assert_eq!(socket.closed().await.0, 1013);
    let mut socket = opened(address, None, json!({ "token": other })).await;
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test]
async fn a_stream_whose_key_is_revoked_ends_and_the_client_is_told_when_it_asks_again() {
    let test = closed().await;
    let (id, token) = made(&test, Scope::Read).await;
    let request = Request::post("/graphql")
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("authorization", format!("Bearer {token}"))
        .body(axum::body::Body::from(json!({ "query": EVENTS }).to_string()))
        .unwrap();
    let response = server::router(test.app.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut events = response.into_body().into_data_stream();
    // Somebody listens once this is told.
    let mut number = 0;
    let first = loop {
        number += 1;
        let row = rows::document(&format!("d{number}"));
        corpusd::service::documents::create(test.cx(), row).await.unwrap();
        if let Ok(first) = tokio::time::timeout(std::time::Duration::from_millis(50), events.next()).await {
            break first;
        }
    };
    assert!(first.is_some());
    keys::revoke(test.cx(), &id).await.unwrap();
    while let Some(part) = events.next().await {
        let text = String::from_utf8(part.unwrap().to_vec()).unwrap();
        assert!(!text.contains("complete"), "{text}");
    }
    assert_eq!(graphql(&test, &token, "{ __typename }", Value::Null).await.status, 401);
}

#[tokio::test]
async fn a_page_of_events_that_is_waited_for_is_not_told_to_who_may_not_have_it_any_more() {
    let test = closed().await;
    let (id, token) = made(&test, Scope::Read).await;
    let bearer = format!("Bearer {token}");
    let wait = send(&test, ("GET", "/api/events?wait_ms=60000"), Some(&bearer), &[], "");
    let (answer, ()) = tokio::join!(wait, async {
        while test.cx().gate().known() == 0 {
            tokio::task::yield_now().await;
        }
        keys::revoke(test.cx(), &id).await.unwrap();
    });
    assert_eq!((answer.status, code(&answer).as_str()), (401, "UNAUTHENTICATED"));
}

fn told(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

async fn keys_cli(folder: &Path, url: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let args: Vec<&str> = ["keys"].iter().chain(args).chain(&["--database-url", url]).copied().collect();
    told(&run(folder, &args).await)
}

#[tokio::test]
async fn the_command_line_makes_lists_and_revokes_keys_beside_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let serve = corpusd(folder.path(), &["serve", "--port", "0", "--database-url", &url, "--allow-anonymous=no"]);
    let serving = Serving::start(serve).await;
    let client = http().build().unwrap();
    let ask = async |token: &str| {
        let request = client.get(format!("{}/api/documents", serving.address)).bearer_auth(token);
        request.send().await.expect("an answer").status().as_u16()
    };
    let (exit, list, _) = keys_cli(folder.path(), &url, &["list"]).await;
    assert_eq!((exit, list.starts_with("no keys")), (Some(0), true), "{list}");
    let (exit, token, log) =
        keys_cli(folder.path(), &url, &["create", "--name", "CI", "--scope", "read", "--expires-in", "90d"]).await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(token.starts_with("cd_") && token.lines().count() == 1 && !log.contains(&token[11..]), "{token} {log}");
    assert_eq!(ask(&token).await, 200);
    let (exit, json, _) = keys_cli(folder.path(), &url, &["list", "--json"]).await;
    let listed: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((exit, &listed[0]["name"], &listed[0]["state"]), (Some(0), &json!("CI"), &json!("active")));
    assert!(!json.contains(&token[11..]));
    let id = listed[0]["id"].as_str().unwrap();
    let (_, list, _) = keys_cli(folder.path(), &url, &["list"]).await;
    assert!(list.contains(id) && list.contains("active") && list.contains("until "), "{list}");
    assert_eq!(keys_cli(folder.path(), &url, &["revoke", id]).await.0, Some(0));
    while ask(&token).await == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&token).await, 401);
    let (exit, _, log) = keys_cli(folder.path(), &url, &["revoke", "none"]).await;
    assert_eq!((exit, log.as_str()), (Some(1), "corpusd: API key not found"));
    for wrong in
        [&["--scope", "all"][..], &["--scope", "read", "--expires-in", "90"], &["--scope", "read", "--name", " "]]
    {
        let args: Vec<&str> = ["create", "--name=x"].iter().chain(wrong).copied().collect();
        assert_eq!(keys_cli(folder.path(), &url, &args).await.0, Some(2), "{wrong:?}");
    }
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn where_others_are_a_server_starts_with_a_key_or_when_it_is_told_to_let_everybody_in() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let args = ["serve", "--host", "0.0.0.0", "--port", "0", "--database-url", &url];
    let (exit, out, log) = told(&run(folder.path(), &args).await);
    assert_eq!((exit, out.as_str()), (Some(1), ""));
    assert!(log.contains("corpusd keys create") && log.contains("--allow-anonymous"), "{log}");
    let no: Vec<&str> = args.iter().chain(&["--allow-anonymous=no"]).copied().collect();
    assert_eq!(told(&run(folder.path(), &no).await).0, Some(1));
    let port = |serving: &Serving| serving.address.rsplit(':').next().unwrap().to_owned();
    let client = http().build().unwrap();
    let ask = async |serving: &Serving, key: Option<&str>| {
        let mut request = client.get(format!("http://127.0.0.1:{}/api/documents", port(serving)));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.expect("an answer").status().as_u16()
    };
    let yes: Vec<&str> = args.iter().chain(&["--allow-anonymous"]).copied().collect();
    let serving = Serving::start(corpusd(folder.path(), &yes)).await;
    assert_eq!(ask(&serving, None).await, 200);
    assert_eq!(serving.stop().await.code(), Some(0));
    let (_, token, _) = keys_cli(folder.path(), &url, &["create", "--name", "a", "--scope", "read"]).await;
    let serving = Serving::start(corpusd(folder.path(), &args)).await;
    assert_eq!((ask(&serving, None).await, ask(&serving, Some(&token)).await), (401, 200));
    assert_eq!(serving.stop().await.code(), Some(0));
}

#[tokio::test]
async fn a_key_is_made_without_a_server_and_without_a_change_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let url = database_url(&folder).await;
    let config = DatabaseConfig { url: url.clone(), ..DatabaseConfig::default() };
    assert_eq!(keys_cli(folder.path(), &url, &["create", "--name", "a", "--scope", "admin"]).await.0, Some(0));
    let db = store::connect::open(&config, &Clock::system()).await.unwrap();
    assert_eq!(store::keys::all(db.read()).await.unwrap().len(), 1);
    assert_eq!(store::graph::sync::targets(&db).await.unwrap().len(), 0);
    db.close().await;
}

#[tokio::test]
async fn a_refusal_repeats_nothing_of_a_token() {
    let test = TestApp::with(|config| config.server.anonymous = Anonymous::Yes).await;
    let secret = keys::token::Token::generate().unwrap();
    for path in ["/graphql", "/api/documents"] {
        let body = r#"{"query":"{ __typename }"}"#;
        let refused = send(&test, ("POST", path), Some(&format!("Bearer {}", secret.reveal())), &[], body).await;
        assert_eq!((refused.status, code(&refused).as_str()), (401, "UNAUTHENTICATED"));
        assert!(!refused.text.contains(&secret.reveal()[3..]));
        assert!(!format!("{refused:?}").contains(&secret.reveal()[3..]));
    }
}
