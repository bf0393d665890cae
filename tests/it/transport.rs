//! `/graphql` over HTTP: what is taken, and how what is not taken is refused.

use axum::body::Body;
use axum::http::Request;
use corpusd::service::jobs;
use corpusd::service::jobs::Scope;
use serde_json::Value;
use serde_json::json;

use crate::support::Answer;
use crate::support::TestApp;

const GRAPHQL: &str = "application/graphql-response+json";

async fn post(test: &TestApp, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::builder().method("POST").uri("/graphql");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    test.send_request(request.body(body.into()).expect("a request")).await
}

fn code(answer: &Answer) -> String {
    answer.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_query_is_answered_by_post_and_by_get() {
    let test = TestApp::new().await;
    let body = json!({ "query": "query A { __typename } query B { b: __typename }", "operationName": "B" });
    let answer = test.send("POST", "/graphql", "application/json; charset=UTF-8", body.to_string()).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"data":{"b":"Query"},"extensions":{"cost":{"requested":0,"limit":10000}}}"#)
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    let path = "/graphql?query=query(%24a%3AID!)%7Bdocument(id%3A%24a)%7Bid%7D%7D&variables=%7B%22a%22%3A%22x%22%7D";
    let answer = test.send_request(Request::get(path).header("accept", GRAPHQL).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"data":{"document":null},"extensions":{"cost":{"requested":1,"limit":10000}}}"#)
    );
    assert_eq!(answer.headers["content-type"], format!("{GRAPHQL}; charset=utf-8"));
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_4xx_and_says_where() {
    let test = TestApp::new().await;
    let json = [("content-type", "application/json")];
    for (body, message) in [
        ("", "The text is no JSON: Expecting value at offset 0"),
        (r#"{"query":"{a}",}"#, "The text is no JSON: Expecting property name enclosed in double quotes at offset 15"),
        (r#"{"query":"\udc00"}"#, "The text is no JSON: Lone surrogate at offset 10"),
        ("[]", "Batches of requests are not taken: send one object"),
        (r#"{"variables":{}}"#, "query: Field required"),
        (r#"{"query":"{__typename}","variables":[1]}"#, "variables: must be an object"),
    ] {
        let answer = post(&test, &json, body).await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, "BAD_USER_INPUT"), "{body}");
        assert_eq!(answer.json()["errors"][0]["message"], message);
        assert_eq!(answer.json().get("data"), None);
    }
    let deep = format!(r#"{{"query":"{{__typename}}","variables":{{"a":{}}}}}"#, "[".repeat(1000));
    assert_eq!(post(&test, &json, deep).await.status, 400);
    let answer = post(&test, &[("content-type", "text/plain")], "{}").await;
    assert_eq!((answer.status, code(&answer).as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"));
    let answer = post(&test, &[("content-type", "application/json; charset=latin1")], "{}").await;
    assert_eq!(answer.status, 415);
    let answer = post(&test, &[], "{}").await;
    assert_eq!(answer.status, 415);
    let answer = post(&test, &[json[0], ("accept", "text/html")], "{}").await;
    assert_eq!((answer.status, code(&answer).as_str()), (406, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_its_length_was_told_or_not() {
    let test = TestApp::with(|config| config.limits.body_bytes = 1000).await;
    let body = json!({ "query": "{__typename}", "variables": { "a": "x".repeat(2000) } }).to_string();
    let length = body.len().to_string();
    let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
    let answer = post(&test, &headers, body.clone()).await;
    assert_eq!((answer.status, code(&answer).as_str()), (413, "PAYLOAD_TOO_LARGE"));
    let parts: Vec<Result<String, std::io::Error>> = vec![Ok(body[..900].to_owned()), Ok(body[900..].to_owned())];
    let streamed = Body::from_stream(futures_util::stream::iter(parts));
    assert_eq!(post(&test, &headers[..1], streamed).await.status, 413);
}

const PROGRESS: &str =
    "subscription($id: ID!, $after: Int) { syncProgress(jobId: $id, after: $after) { seq job { state } } }";

/// Asks with an `Accept`.
async fn ask(test: &TestApp, accept: &str, query: &str, variables: Value) -> Answer {
    let headers = [("content-type", "application/json"), ("accept", accept)];
    post(test, &headers, json!({ "query": query, "variables": variables }).to_string()).await
}

/// The events of a stream: kind and data.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let part = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.expect("each event has a kind and data").trim_start().to_owned()
    };
    let events = answer.text.split("\n\n").filter(|event| !event.is_empty());
    events.map(|event| (part(event, "event:"), part(event, "data:"))).collect()
}

/// The id of a job that has ended, and how many events it has.
async fn ended(test: &TestApp) -> (String, i64) {
    let (job, _) = jobs::start(test.cx(), Scope::Unsynced).await.expect("started");
    test.app.sync().run_until_idle().await.expect("worked");
    let job = jobs::get(test.cx(), &job.id).await.expect("there");
    assert_eq!(job.state, "completed");
    (job.id, job.event_seq)
}

#[tokio::test]
async fn a_subscription_is_followed_by_server_sent_events_to_its_end() {
    let test = TestApp::new().await;
    let (id, last) = ended(&test).await;
    let answer = ask(&test, "text/event-stream", PROGRESS, json!({ "id": id, "after": 0 })).await;
    assert_eq!((answer.status, &answer.headers["content-type"]), (200, &"text/event-stream".parse().unwrap()));
    assert_eq!(answer.headers["vary"], "accept");
    let mut events = told(&answer);
    assert_eq!(events.pop(), Some(("complete".to_owned(), String::new())));
    assert_eq!(events.len(), usize::try_from(last).unwrap());
    for (seq, (kind, data)) in (1..).zip(&events) {
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!((kind.as_str(), &data["data"]["syncProgress"]["seq"]), ("next", &json!(seq)));
    }
}

#[tokio::test]
async fn a_subscription_is_followed_by_parts_to_its_end() {
    let test = TestApp::new().await;
    let (id, last) = ended(&test).await;
    let accept = "multipart/mixed;subscriptionSpec=1.0, application/json";
    let answer = ask(&test, accept, PROGRESS, json!({ "id": id, "after": last - 1 })).await;
    let kind = r#"multipart/mixed; boundary="graphql"; subscriptionSpec=1.0"#;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, kind));
    let part = format!(
        "\r\n--graphql\r\ncontent-type: application/json\r\n\r\n\
         {{\"payload\":{{\"data\":{{\"syncProgress\":{{\"seq\":{last},\"job\":{{\"state\":\"COMPLETED\"}}}}}},\
         \"extensions\":{{\"cost\":{{\"requested\":2,\"limit\":10000}}}}}}}}\r\n--graphql--\r\n"
    );
    assert_eq!(answer.text, part);
}

#[tokio::test]
async fn a_query_and_what_is_refused_are_one_event() {
    let test = TestApp::new().await;
    let answer = ask(&test, "text/event-stream", "{ __typename }", json!({})).await;
    let next = |data: &str| ("next".to_owned(), data.to_owned());
    let data = r#"{"data":{"__typename":"Query"},"extensions":{"cost":{"requested":0,"limit":10000}}}"#;
    assert_eq!(told(&answer), [next(data), ("complete".to_owned(), String::new())]);
    for query in ["{ nothing }", "subscription { nothing }", "{", "subscription { a: __typename b: __typename }"] {
        let answer = ask(&test, "text/event-stream", query, json!({})).await;
        assert_eq!(answer.status, 200, "{query}");
        let events = told(&answer);
        let data: Value = serde_json::from_str(&events[0].1).unwrap();
        assert!(
            events.len() == 2 && data["errors"][0]["message"].is_string() && data.get("data").is_none(),
            "{events:?}"
        );
    }
    let answer = ask(&test, "multipart/mixed", "{ nothing }", json!({})).await;
    assert!(answer.text.contains("GRAPHQL_VALIDATION_FAILED") && answer.text.ends_with("\r\n--graphql--\r\n"));
    // What is no request at all has a status.
    let answer = post(&test, &[("content-type", "application/json"), ("accept", "text/event-stream")], "{").await;
    assert_eq!((answer.status, code(&answer).as_str()), (400, "BAD_USER_INPUT"));
}

#[tokio::test]
async fn a_client_that_takes_one_answer_is_told_how_to_subscribe() {
    let test = TestApp::new().await;
    let answer = ask(&test, "application/json", "subscription { corpusEvents { id } }", json!({})).await;
    assert_eq!((answer.status, code(&answer).as_str()), (406, "NOT_ACCEPTABLE"));
}

#[tokio::test]
async fn a_stopping_server_ends_streams_without_completing_them() {
    let test = TestApp::new().await;
    let query = "subscription { corpusEvents { id } }";
    let stop = async { test.cx().events().close() };
    let (answer, ()) = tokio::join!(ask(&test, "text/event-stream", query, json!({})), stop);
    assert_eq!((answer.status, answer.text.as_str()), (200, ""));
}

#[tokio::test]
async fn other_methods_are_refused_and_say_which_are_allowed() {
    let test = TestApp::new().await;
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = test.send(method, "/graphql", "application/json", "{}").await;
        assert_eq!((answer.status, code(&answer).as_str()), (405, "METHOD_NOT_ALLOWED"));
        assert_eq!(answer.headers["allow"], "GET, POST");
    }
    let mutation = "/graphql?query=mutation%20M%7BdeleteDocument(input%3A%7Bid%3A%22x%22%7D)%7Bid%7D%7D";
    let answer = test.send("GET", mutation, "application/json", "").await;
    assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, "POST"));
}

#[tokio::test]
async fn a_document_that_does_not_fit_answers_400_only_to_clients_of_the_new_media_type() {
    let test = TestApp::new().await;
    for (query, name) in [
        ("{ __typename", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query A { a: __typename } query B { __typename }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let body = json!({ "query": query }).to_string();
        let old = post(&test, &[("content-type", "application/json")], body.clone()).await;
        assert_eq!((old.status, code(&old).as_str()), (200, name), "{query}");
        assert_eq!(old.json().get("data"), None);
        let new = post(&test, &[("content-type", "application/json"), ("accept", GRAPHQL)], body).await;
        assert_eq!((new.status, code(&new).as_str()), (400, name), "{query}");
    }
}

#[tokio::test]
async fn a_number_beyond_64_bits_is_refused_with_the_path_of_its_variable() {
    let test = TestApp::new().await;
    for (number, reason) in
        [("18446744073709551616", "must be a whole number of at most 64 bits"), ("1e400", "must be a finite number")]
    {
        let body = format!(
            r#"{{"query":"query($input: ID!) {{ document(id: $input) {{ id }} }}","variables":{{"input":{{"metadata":{{"big":[0,{number}]}}}}}}}}"#
        );
        let answer = post(&test, &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, 400);
        let error = &answer.json()["errors"][0];
        assert_eq!(error["message"], format!("variables.input.metadata.big.1: {reason}"));
        let field = json!({ "field": "variables.input.metadata.big.1", "message": reason, "type": "value_error" });
        assert_eq!(error["extensions"]["fields"], json!([field]));
    }
}

#[tokio::test]
async fn documents_made_to_exhaust_the_server_are_refused_at_once() {
    let test = TestApp::new().await;
    let doubling: String = (0..40).map(|i| format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1)).collect();
    for query in [
        "{a".repeat(200_000),
        format!("{{ a(b: {}", "[".repeat(500_000)),
        format!("query($a: {}ID) {{ __typename }}", "[".repeat(500_000)),
        format!("{{ ...f0 }}{doubling} fragment f40 on Query {{ __typename }}"),
        "{ ...a } fragment a on Query { ...a ...a }".to_owned(),
        format!("{{ {} }}", "__typename ".repeat(200_000)),
        "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"
            .to_owned(),
    ] {
        let answer = test.graphql(&query, Value::Null).await;
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
        assert!(code.starts_with("GRAPHQL_"), "{code}");
        assert!(answer["errors"].as_array().is_some_and(|errors| errors.len() <= 100));
    }
}
