//! Who is let in, and what a key opens: over every root field and every route.

use async_graphql::parser::types::OperationType;
use axum::body::Body;
use axum::http::Request;
use corpusd::config::Anonymous;
use corpusd::graphql::access::needs;
use corpusd::rest;
use corpusd::service::access::Scope;
use corpusd::service::documents;
use corpusd::service::keys;
use corpusd::service::keys::NewKey;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;
use crate::support::keys::closed;
use crate::support::keys::code;
use crate::support::keys::graphql;
use crate::support::keys::made;
use crate::support::keys::send;
use crate::support::keys::token;
use crate::support::rows;

const GRAPHQL: &str = "application/graphql-response+json";

/// The token of each scope.
struct Keys(Vec<(Scope, String)>);

impl Keys {
    async fn of(test: &TestApp) -> Self {
        let mut all = Vec::new();
        for scope in Scope::ALL {
            all.push((scope, token(test, scope).await));
        }
        Self(all)
    }

    fn with(&self, scope: Scope) -> String {
        let found = self.0.iter().find(|(own, _)| *own == scope).expect("a key");
        format!("Bearer {}", found.1)
    }

    /// A key that does not quite open what needs `scope`.
    fn below(&self, scope: Scope) -> Option<String> {
        self.0.iter().rev().find(|(own, _)| *own < scope).map(|(own, _)| self.with(*own))
    }
}

/// Every root field of the schema.
async fn root_fields(test: &TestApp, admin: &str) -> Vec<(OperationType, &'static str, String)> {
    let query = "{ __schema { queryType { fields { name } } mutationType { fields { name } } subscriptionType { fields { name } } } }";
    let answer = send(test, ("POST", "/graphql"), Some(admin), &[], json!({ "query": query }).to_string()).await.json();
    let mut all = Vec::new();
    for (root, kind, word) in [
        ("queryType", OperationType::Query, "query"),
        ("mutationType", OperationType::Mutation, "mutation"),
        ("subscriptionType", OperationType::Subscription, "subscription"),
    ] {
        for field in answer["data"]["__schema"][root]["fields"].as_array().expect("fields") {
            all.push((kind, word, field["name"].as_str().expect("a name").to_owned()));
        }
    }
    all
}

#[tokio::test]
async fn every_root_field_has_a_guard_and_opens_to_nothing_less() {
    let test = closed().await;
    let keys = Keys::of(&test).await;
    let fields = root_fields(&test, &keys.with(Scope::Read)).await;
    assert!(fields.len() > 35, "the schema was read");
    for (kind, word, field) in fields {
        let scope = needs(kind, &field).unwrap_or_else(|| panic!("{word} {{ {field} }} has no guard"));
        // Without what it needs: whether it is let through is seen, and nothing is done.
        let body = json!({ "query": format!("{word} {{ {field} }}") }).to_string();
        for accept in [GRAPHQL, "application/json", "text/event-stream"] {
            let ask = async |key: Option<String>| -> Answer {
                send(&test, ("POST", "/graphql"), key.as_deref(), &[("accept", accept)], body.clone()).await
            };
            let refused = ask(None).await;
            assert_eq!((refused.status, code(&refused).as_str()), (401, "UNAUTHENTICATED"), "{field}");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            if let Some(less) = keys.below(scope) {
                let refused = ask(Some(less)).await;
                assert_eq!((refused.status, code(&refused).as_str()), (403, "FORBIDDEN"), "{field}");
                let told = refused.json()["errors"][0]["message"].as_str().expect("a message").to_owned();
                assert_eq!(told, format!("{field} needs an API key of the scope {}", scope.name()));
            }
            let through = ask(Some(keys.with(scope))).await;
            assert!(through.text.contains("GRAPHQL_VALIDATION_FAILED") || through.status == 406, "{}", through.text);
        }
    }
}

#[tokio::test]
async fn every_route_has_a_guard_and_opens_to_nothing_less() {
    let test = closed().await;
    let keys = Keys::of(&test).await;
    let guards = rest::guards();
    assert_eq!(guards.len(), rest::operations().len());
    for (method, template, scope) in guards {
        let path: String = template
            .split('/')
            .map(|step| if step.starts_with('{') { "x" } else { step })
            .collect::<Vec<_>>()
            .join("/");
        for path in [path.clone(), format!("{path}/")] {
            let ask = async |key: Option<String>| send(&test, (method, &path), key.as_deref(), &[], "").await;
            let refused = ask(None).await;
            assert_eq!((refused.status, code(&refused).as_str()), (401, "UNAUTHENTICATED"), "{method} {path}");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            if let Some(less) = keys.below(scope) {
                let refused = ask(Some(less)).await;
                assert_eq!((refused.status, code(&refused).as_str()), (403, "FORBIDDEN"), "{method} {path}");
                let told = refused.json()["detail"].as_str().expect("a sentence").to_owned();
                assert!(
                    told.starts_with(method) && told.ends_with(&format!("API key of the scope {}", scope.name())),
                    "{told}"
                );
            }
            let through = ask(Some(keys.with(scope))).await;
            assert!(![401, 403, 405].contains(&through.status), "{method} {path}: {}", through.text);
            assert!(through.status != 404 || !through.text.contains("\"Not Found\""), "{method} {path}: no route");
        }
    }
}

#[tokio::test]
async fn what_changes_something_needs_more_than_reading() {
    let test = closed().await;
    let keys = Keys::of(&test).await;
    let drives = |name: &str| ["Sync", "econcile", "Vectors", "Quarantined"].iter().any(|part| name.contains(part));
    for (kind, _, field) in root_fields(&test, &keys.with(Scope::Read)).await {
        let least = match kind {
            _ if field.contains("piKey") || field == "auditLog" => Scope::Admin,
            OperationType::Mutation if drives(&field) => Scope::Sync,
            OperationType::Mutation => Scope::Write,
            OperationType::Query | OperationType::Subscription => Scope::Read,
        };
        assert_eq!(needs(kind, &field), Some(least), "{field}");
    }
    for (method, path, scope) in rest::guards() {
        let index = path.starts_with("/api/pinecone/") || path.starts_with("/api/sync/");
        let drives = index && method != "GET" && !path.ends_with("/search");
        let least = match method {
            _ if drives => Scope::Sync,
            "GET" => Scope::Read,
            "POST" if path.ends_with("/search") => Scope::Read,
            _ => Scope::Write,
        };
        assert_eq!(scope, least, "{method} {path}");
    }
}

#[tokio::test]
async fn nothing_of_a_document_is_done_when_a_part_of_it_is_forbidden() {
    let test = closed().await;
    let write = token(&test, Scope::Write).await;
    let create = "createDocument(input: { id: \"d\", title: \"A\" }) { document { id } }";
    let start = "startSync(input: { scope: { unsynced: true } }) { started }";
    for query in [
        format!("mutation {{ {create} {start} }}"),
        format!("mutation {{ {create} ...f }} fragment f on Mutation {{ ... {{ other: {start} }} }}"),
        format!(
            "mutation {{ {create} ...f ...g }} fragment f on Mutation {{ __typename ...g }} fragment g on Mutation {{ {start} }}"
        ),
        format!("mutation {{ {create} ... @skip(if: true) {{ {start} }} }}"),
    ] {
        let refused = graphql(&test, &write, &query, Value::Null).await;
        assert_eq!((refused.status, code(&refused).as_str()), (403, "FORBIDDEN"), "{query}");
        assert_eq!(refused.json()["errors"][0]["message"], "startSync needs an API key of the scope sync");
        assert_eq!(refused.json().get("data"), None);
    }
    let read = graphql(&test, &write, "{ documents { totalCount } }", Value::Null).await;
    assert_eq!(read.json()["data"], json!({ "documents": { "totalCount": 0 } }));
    let done = graphql(&test, &write, &format!("mutation {{ {create} }}"), Value::Null).await;
    assert_eq!((done.status, &done.json()["errors"]), (200, &Value::Null), "{}", done.text);
}

#[tokio::test]
async fn only_the_operation_that_is_asked_for_counts() {
    let test = closed().await;
    let read = format!("Bearer {}", token(&test, Scope::Read).await);
    let query = "query A { overview { documents } } mutation B { deleteDocument(input: { id: \"d\" }) { id } }";
    let ask = async |name: Option<&str>| {
        let body = json!({ "query": query, "operationName": name }).to_string();
        send(&test, ("POST", "/graphql"), Some(&read), &[("accept", GRAPHQL)], body).await
    };
    assert_eq!(ask(Some("A")).await.status, 200);
    assert_eq!(ask(Some("B")).await.status, 403);
    // Neither of these is executed.
    assert_eq!(ask(Some("C")).await.status, 400);
    assert_eq!(ask(None).await.status, 403);
    // What the schema does not have is no matter of keys.
    let unknown =
        send(&test, ("POST", "/graphql"), Some(&read), &[("accept", GRAPHQL)], r#"{"query":"{ docments }"}"#).await;
    assert_eq!((unknown.status, code(&unknown).as_str()), (400, "GRAPHQL_VALIDATION_FAILED"));
}

#[tokio::test]
async fn removing_what_others_left_in_the_index_needs_an_admin() {
    let test = closed().await;
    let (sync, admin) = (token(&test, Scope::Sync).await, token(&test, Scope::Admin).await);
    let field = |input: &str| format!("{{ reconcile(input: {input}) {{ job {{ id }} }} }}");
    let legacy = json!({ "mode": "REPAIR", "removeLegacy": true });
    for (query, variables) in [
        (format!("mutation {}", field("{ mode: REPAIR, removeLegacy: true }")), Value::Null),
        (format!("mutation($r: Boolean) {}", field("{ mode: REPAIR, removeLegacy: $r }")), json!({ "r": true })),
        (format!("mutation($r: Boolean = true) {}", field("{ mode: REPAIR, removeLegacy: $r }")), Value::Null),
        (format!("mutation($i: ReconcileInput!) {}", field("$i")), json!({ "i": legacy })),
        (format!("mutation($i: ReconcileInput = {{ mode: REPAIR, removeLegacy: true }}) {}", field("$i")), Value::Null),
    ] {
        let refused = graphql(&test, &sync, &query, variables.clone()).await;
        assert_eq!((refused.status, code(&refused).as_str()), (403, "FORBIDDEN"), "{query}: {}", refused.text);
    }
    let path = "/api/pinecone/reconcile?mode=repair";
    let refused =
        send(&test, ("POST", &format!("{path}&remove_legacy=true")), Some(&format!("Bearer {sync}")), &[], "").await;
    assert_eq!((refused.status, code(&refused).as_str()), (403, "FORBIDDEN"));
    let jobs = graphql(&test, &sync, "{ syncJobs { totalCount } }", Value::Null).await;
    assert_eq!(jobs.json()["data"]["syncJobs"]["totalCount"], 0);
    let plain =
        graphql(&test, &sync, &format!("mutation {}", field("{ mode: REPAIR, removeLegacy: false }")), Value::Null)
            .await;
    assert_eq!(plain.json()["errors"], Value::Null);
    let whole =
        graphql(&test, &admin, &format!("mutation($i: ReconcileInput!) {}", field("$i")), json!({ "i": legacy })).await;
    assert_eq!(whole.json()["errors"], Value::Null);
}

/// What both edges say to this `Authorization`.
async fn both(test: &TestApp, authorization: Option<&str>, headers: &[(&str, &str)]) -> [(u16, String); 2] {
    let query = r#"{"query":"{ overview { documents } }"}"#;
    let graphql = send(test, ("POST", "/graphql"), authorization, headers, query).await;
    let rest = send(test, ("GET", "/api/dashboard/overview"), authorization, headers, "").await;
    [graphql, rest].map(|answer| (answer.status, code(&answer)))
}

fn each(status: u16, code: &str) -> [(u16, String); 2] {
    [(status, code.to_owned()), (status, code.to_owned())]
}

#[tokio::test]
async fn a_key_that_is_not_valid_is_refused_also_where_none_is_needed() {
    for test in [TestApp::new().await, closed().await] {
        let (id, good) = made(&test, Scope::Read).await;
        assert_eq!(both(&test, Some(&format!("bearer {good}")), &[]).await, each(200, ""));
        let unknown = keys::token::Token::generate().unwrap();
        let mistyped = format!("{}{}", &good[..51], if good.ends_with('0') { '1' } else { '0' });
        let cut = &good[..51];
        for wrong in [
            "",
            "Basic dTpw",
            &good,
            "Bearer",
            "Bearer x",
            &format!("Bearer {cut}"),
            &format!("Bearer {mistyped}"),
            &format!("Bearer {}", unknown.reveal()),
        ] {
            assert_eq!(both(&test, Some(wrong), &[]).await, each(401, "UNAUTHENTICATED"), "{wrong}");
        }
        assert_eq!(
            both(&test, Some(&format!("Bearer {good}")), &[("authorization", "Bearer x")]).await,
            each(401, "UNAUTHENTICATED")
        );
        let refused = send(&test, ("GET", "/api/documents"), Some("Bearer x"), &[], "").await;
        assert_eq!(refused.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        assert_eq!(refused.text, r#"{"detail":"The API key is not valid","code":"UNAUTHENTICATED"}"#);
        keys::revoke(test.cx(), &id).await.unwrap();
        assert_eq!(both(&test, Some(&format!("Bearer {good}")), &[]).await, each(401, "UNAUTHENTICATED"));
    }
}

#[tokio::test]
async fn a_mistyped_token_is_refused_without_a_look_at_the_database() {
    let test = closed().await;
    let good = token(&test, Scope::Read).await;
    let other = if good.as_bytes()[20] == b'a' { "b" } else { "a" };
    let mistyped = format!("{}{other}{}", &good[..20], &good[21..]);
    test.cx().db().statements().listen();
    assert_eq!(both(&test, Some(&format!("Bearer {mistyped}")), &[]).await, each(401, "UNAUTHENTICATED"));
    assert_eq!(both(&test, None, &[]).await, each(401, "UNAUTHENTICATED"));
    assert_eq!(test.cx().db().statements().heard(), Vec::<String>::new());
}

#[tokio::test]
async fn a_key_opens_until_the_moment_it_expires() {
    let test = closed().await;
    let end = test.clock.now_ms() + 60_000;
    let new = NewKey { name: "short".to_owned(), scope: Scope::Read, expires_at: Some(end) };
    let made = keys::create(test.cx(), new).await.unwrap();
    let bearer = format!("Bearer {}", made.token.reveal());
    test.clock.advance(std::time::Duration::from_millis(59_999));
    assert_eq!(both(&test, Some(&bearer), &[]).await, each(200, ""));
    // What is remembered of it counts for nothing then.
    test.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(both(&test, Some(&bearer), &[]).await, each(401, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn a_key_that_is_revoked_elsewhere_is_refused_within_five_seconds() {
    let test = closed().await;
    let (id, token) = made(&test, Scope::Read).await;
    let bearer = format!("Bearer {token}");
    assert_eq!(both(&test, Some(&bearer), &[]).await, each(200, ""));
    // As another replica does it, and the command line.
    keys::revoke_in(test.cx().db(), &id).await.unwrap();
    test.clock.advance(std::time::Duration::from_secs(5));
    assert_eq!(both(&test, Some(&bearer), &[]).await, each(401, "UNAUTHENTICATED"));
}

#[tokio::test]
async fn what_is_known_of_a_key_saves_the_look_at_the_database() {
    let test = closed().await;
    let bearer = format!("Bearer {}", token(&test, Scope::Read).await);
    let ask = async || {
        test.cx().db().statements().listen();
        send(&test, ("GET", "/openapi.json"), Some(&bearer), &[], "").await;
        assert_eq!(test.cx().db().statements().heard().len(), 0, "a page needs no key");
        test.cx().db().statements().listen();
        send(&test, ("POST", "/graphql"), Some(&bearer), &[], r#"{"query":"{ __typename }"}"#).await;
        test.cx().db().statements().heard().len()
    };
    assert_eq!((ask().await, ask().await), (1, 0));
    test.clock.advance(std::time::Duration::from_secs(2));
    assert_eq!((ask().await, ask().await), (1, 0));
}

#[tokio::test]
async fn nobody_is_let_in_when_the_database_does_not_say() {
    let test = closed().await;
    let (one, other) = (token(&test, Scope::Read).await, token(&test, Scope::Admin).await);
    assert_eq!(both(&test, Some(&format!("Bearer {one}")), &[]).await, each(200, ""));
    test.clock.advance(std::time::Duration::from_secs(2));
    test.cx().read().close().await;
    for token in [one, other] {
        assert_eq!(both(&test, Some(&format!("Bearer {token}")), &[]).await, each(503, "UNAVAILABLE"));
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_a_key_but_from_this_machine() {
    let proxied = [("x-forwarded-for", "192.0.2.1")];
    for (host, anonymous, alone, through_a_proxy) in [
        ("127.0.0.1", Anonymous::Auto, 200, 401),
        ("127.9.9.9", Anonymous::Auto, 200, 401),
        ("::1", Anonymous::Auto, 200, 401),
        ("0.0.0.0", Anonymous::Auto, 401, 401),
        ("::", Anonymous::Auto, 401, 401),
        ("192.0.2.7", Anonymous::Auto, 401, 401),
        ("127.0.0.1", Anonymous::No, 401, 401),
        ("0.0.0.0", Anonymous::Yes, 200, 200),
    ] {
        let test = TestApp::with(|config| {
            config.server.host = host.parse().unwrap();
            config.server.anonymous = anonymous;
        })
        .await;
        let status = |answers: [(u16, String); 2]| answers.map(|(status, _)| status);
        assert_eq!(status(both(&test, None, &[]).await), [alone; 2], "{host} {anonymous:?}");
        assert_eq!(status(both(&test, None, &proxied).await), [through_a_proxy; 2], "{host} {anonymous:?}");
        assert_eq!(test.cx().may_listen().await.unwrap(), alone == 200 || host == "127.0.0.1");
        // A key that is not valid any more opens nothing, so that it is none.
        let (id, _) = made(&test, Scope::Read).await;
        assert!(test.cx().may_listen().await.unwrap());
        keys::revoke(test.cx(), &id).await.unwrap();
        assert_eq!(test.cx().may_listen().await.unwrap(), alone == 200 || host == "127.0.0.1");
    }
}

#[tokio::test]
async fn health_and_pages_are_open_and_hold_nothing_of_the_corpus() {
    let test = closed().await;
    for path in ["/health/live", "/health/ready", "/graphiql", "/docs", "/docs/swagger-ui.css", "/openapi.json"] {
        let answer = send(&test, ("GET", path), None, &[], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    for (method, path, status) in [("GET", "/api/nothing", 404), ("PATCH", "/api/documents", 405)] {
        assert_eq!(send(&test, (method, path), None, &[], "").await.status, status);
    }
}

#[tokio::test]
async fn figures_of_the_process_need_what_reading_needs() {
    let test = closed().await;
    let refused = send(&test, ("GET", "/metrics"), None, &[], "").await;
    assert_eq!((refused.status, code(&refused).as_str()), (401, "UNAUTHENTICATED"));
    let bearer = format!("Bearer {}", token(&test, Scope::Read).await);
    assert_eq!(send(&test, ("GET", "/metrics"), Some(&bearer), &[], "").await.status, 200);
}

#[tokio::test]
async fn a_refusal_has_the_form_that_the_client_asked_for() {
    let test = closed().await;
    let read = format!("Bearer {}", token(&test, Scope::Read).await);
    let problem = [("accept", "application/problem+json")];
    let refused = send(&test, ("DELETE", "/api/documents/x"), Some(&read), &problem, "").await;
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert_eq!((&refused.json()["status"], &refused.json()["title"]), (&json!(403), &json!("Forbidden")));
    let get = Request::get("/graphql?query=%7B__typename%7D").header("accept", GRAPHQL).body(Body::empty()).unwrap();
    let refused = test.send_request(get).await;
    assert_eq!((refused.status, code(&refused).as_str()), (401, "UNAUTHENTICATED"));
    assert!(refused.headers["content-type"].to_str().unwrap().starts_with(GRAPHQL));
    // The body is not even read: it may be as long as it likes.
    let endless = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    assert_eq!(send(&test, ("POST", "/graphql"), None, &[], endless).await.status, 401);
    let endless = Body::from_stream(futures_util::stream::pending::<Result<String, std::io::Error>>());
    assert_eq!(send(&test, ("POST", "/api/documents"), None, &[], endless).await.status, 401);
}

#[tokio::test]
async fn a_key_does_what_its_scope_says() {
    let test = closed().await;
    documents::create(test.cx(), rows::nested()).await.unwrap();
    let keys = Keys::of(&test).await;
    let status = async |scope, method: &str, path: &str| {
        send(&test, (method, path), Some(&keys.with(scope)), &[], "").await.status
    };
    assert_eq!(status(Scope::Read, "GET", "/api/documents/d").await, 200);
    assert_eq!(status(Scope::Sync, "POST", "/api/pinecone/export/document/d").await, 200);
    assert_eq!(status(Scope::Admin, "GET", "/api/documents/d/chunks").await, 200);
    assert_eq!(status(Scope::Read, "DELETE", "/api/documents/d").await, 403);
    assert_eq!(status(Scope::Write, "DELETE", "/api/documents/d?hard_delete=true").await, 204);
    assert_eq!(status(Scope::Read, "GET", "/api/documents/d").await, 404);
}
