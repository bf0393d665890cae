//! What every request goes through before its edge: ids, hosts, pages of other sites, and the headers of answers.

use axum::body::Body;
use axum::http::Request;
use corpusd::config::http::Cors;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;
use crate::support::socket::Socket;
use crate::support::socket::serve;

const QUERY: &str = r#"{"query":"{ __typename }"}"#;

/// A request with these headers, and a JSON body that either edge takes.
async fn ask(test: &TestApp, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let body = if path == "/graphql" { QUERY } else { r#"{"title":"A"}"# };
    let body = if method == "POST" { Body::from(body) } else { Body::empty() };
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    test.send_request(request.body(body).expect("a request")).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().expect("text"))
}

/// The code of an error of either edge.
fn code(answer: &Answer) -> String {
    let body = answer.json();
    let code = if body["errors"].is_array() { &body["errors"][0]["extensions"]["code"] } else { &body["code"] };
    code.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let test = TestApp::new().await;
    for path in ["/graphql", "/api/documents", "/health/live", "/nothing", "/docs", "/graphiql"] {
        let given = ask(&test, "GET", path, &[("x-request-id", "a.b-c:1")]).await;
        assert_eq!(header(&given, "x-request-id"), "a.b-c:1", "{path}");
        let longest = "x".repeat(128);
        assert_eq!(header(&ask(&test, "GET", path, &[("x-request-id", &longest)]).await, "x-request-id"), longest);
        for odd in ["", "a b", "\u{e9}", &"x".repeat(129)] {
            let made = ask(&test, "GET", path, &[("x-request-id", odd)]).await;
            let id = header(&made, "x-request-id").parse::<uuid::Uuid>().expect("a UUID");
            assert_eq!(id.get_version_num(), 7);
        }
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_to_make_nothing_more_of_it() {
    let test = TestApp::new().await;
    for (path, policy) in [
        ("/graphql", "default-src 'none'; frame-ancestors 'none'"),
        ("/api/documents", "default-src 'none'; frame-ancestors 'none'"),
        ("/nothing", "default-src 'none'; frame-ancestors 'none'"),
        ("/docs", "script-src 'self'; style-src"),
        ("/graphiql", "script-src 'unsafe-inline'"),
    ] {
        let answer = ask(&test, "GET", path, &[]).await;
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        assert_eq!(header(&answer, "cross-origin-resource-policy"), "same-origin");
        let told = header(&answer, "content-security-policy");
        assert!(told.contains(policy) && told.contains("frame-ancestors 'none'"), "{path}: {told}");
        assert_eq!(answer.headers.get("server"), None);
        assert_eq!(answer.headers.get("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn a_local_server_is_asked_by_names_of_this_machine() {
    let test = TestApp::with(|config| config.http.hosts = vec!["corpus.lan".to_owned()]).await;
    for (path, method) in [("/graphql", "POST"), ("/api/documents", "POST"), ("/health/ready", "GET")] {
        for host in ["localhost:8000", "127.0.0.1", "[::1]:1", "corpus.lan"] {
            assert!(ask(&test, method, path, &[("host", host)]).await.status < 300, "{host}");
        }
        let answer = ask(&test, method, path, &[("host", "rebound.example:8000")]).await;
        assert_eq!((answer.status, code(&answer).as_str()), (403, "FORBIDDEN"));
        for hosts in [&["a b"][..], &["localhost", "localhost"], &["me@localhost"], &[""]] {
            let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            let answer = ask(&test, method, path, &hosts).await;
            assert_eq!((answer.status, code(&answer).as_str()), (400, "BAD_USER_INPUT"), "{hosts:?}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let test = TestApp::new().await;
    let host = ("host", "localhost:8000");
    for path in ["/graphql", "/api/documents"] {
        for headers in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "http://localhost:3000")],
            &[("origin", "http://localhost:8000"), ("origin", "http://localhost:8000")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:8000")],
        ] {
            let all: Vec<_> = headers.iter().copied().chain([host]).collect();
            let answer = ask(&test, "POST", path, &all).await;
            assert_eq!((answer.status, code(&answer).as_str()), (403, "FORBIDDEN"), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("origin", "http://localhost:8000")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://outside.example")],
            &[("sec-fetch-site", "none")],
        ] {
            let all: Vec<_> = headers.iter().copied().chain([host]).collect();
            assert!(ask(&test, "POST", path, &all).await.status < 300, "{headers:?}");
        }
    }
    let form = ask(&test, "POST", "/api/documents", &[host, ("origin", "https://evil.example")]).await;
    assert_eq!(form.status, 403);
    // Reading is not hindered; the browser keeps the answer from the page.
    let read = ask(&test, "GET", "/api/documents", &[host, ("origin", "https://evil.example")]).await;
    assert_eq!((read.status, read.headers.get("access-control-allow-origin")), (200, None));
    let preflight = [host, ("origin", "https://evil.example"), ("access-control-request-method", "POST")];
    let answer = ask(&test, "OPTIONS", "/graphql", &preflight).await;
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn a_named_origin_may_ask_and_read() {
    let origin = "https://app.example";
    let named = Cors::Origins(vec![origin.to_owned()]);
    let test = TestApp::with(|config| config.http.cors = named).await;
    let all = TestApp::with(|config| config.http.cors = Cors::Any).await;
    for path in ["/graphql", "/api/documents"] {
        for (test, allowed) in [(&test, origin), (&all, "*")] {
            let preflight = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization,content-type"),
            ];
            let answer = ask(test, "OPTIONS", path, &preflight).await;
            assert_eq!((answer.status, header(&answer, "access-control-allow-origin")), (204, allowed));
            assert_eq!(header(&answer, "access-control-allow-methods"), "GET, HEAD, POST, PUT, DELETE");
            assert_eq!(header(&answer, "access-control-allow-headers"), "authorization,content-type");
            assert_eq!(answer.headers.get("access-control-allow-credentials"), None);
            let asked = [("origin", origin), ("sec-fetch-site", "cross-site")];
            let answer = ask(test, "POST", path, &asked).await;
            assert!(answer.status < 300, "{}", answer.text);
            assert_eq!(header(&answer, "access-control-allow-origin"), allowed);
            for name in ["x-corpus-revision", "x-request-id", "retry-after", "link", "x-total-count"] {
                assert!(header(&answer, "access-control-expose-headers").contains(name), "{name}");
            }
        }
        let other = ask(&test, "POST", path, &[("origin", "https://app.example.evil")]).await;
        assert_eq!((other.status, other.headers.get("access-control-allow-origin")), (403, None));
        let vary: Vec<_> = other.headers.get_all("vary").iter().collect();
        assert!(vary.contains(&&"origin".parse().unwrap()), "a cache tells them apart: {vary:?}");
    }
}

#[tokio::test]
async fn a_refused_client_of_problem_details_gets_them() {
    let test = TestApp::new().await;
    let headers = [("host", "rebound.example"), ("accept", "application/problem+json")];
    let answer = ask(&test, "GET", "/api/documents", &headers).await;
    assert_eq!(header(&answer, "content-type"), "application/problem+json");
    assert_eq!(answer.json()["title"], "Forbidden");
    let headers = [("host", "rebound.example"), ("accept", "application/graphql-response+json")];
    let answer = ask(&test, "POST", "/graphql", &headers).await;
    assert_eq!(header(&answer, "content-type"), "application/graphql-response+json; charset=utf-8");
    assert_eq!(answer.json()["errors"][0]["extensions"], json!({ "code": "FORBIDDEN" }));
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_socket() {
    let test = TestApp::with(|config| config.http.cors = Cors::Origins(vec!["https://app.example".to_owned()])).await;
    let address = serve(&test).await;
    let own = format!("http://{address}");
    for (origin, opened) in
        [("https://evil.example", false), ("null", false), ("https://app.example", true), (own.as_str(), true)]
    {
        let refused = Socket::open_from(address, origin).await.err();
        assert_eq!(refused, if opened { None } else { Some(403) }, "{origin}");
    }
    // A program says nothing of where it comes from.
    Socket::ready(address).await;
}
