//! What a flawed request is told: what FastAPI told it.

use corpusd::service::documents;
use corpusd::service::documents::NewDocument;
use serde_json::Value;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn flawed_requests_are_refused_word_for_word_as_fastapi_refuses_them() {
    let test = TestApp::new().await;
    let mut lines = include_str!("rest_validation.txt").lines().skip(1);
    let mut cases = 0;
    // Three lines a case, after an empty one.
    while let (Some(""), Some(request), Some(body), Some(detail)) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    {
        let mut words = request.split(' ');
        let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
        let content_type = words.next().unwrap_or("application/json");
        let answer = test.send(method, path, content_type, body.to_owned()).await;
        let expected = format!(r#"{{"detail":{detail},"code":"BAD_USER_INPUT"}}"#);
        assert_eq!((answer.status, answer.text), (422, expected), "{request} {body}");
        cases += 1;
    }
    assert_eq!(cases, 67);
}

#[tokio::test]
async fn lengths_are_counted_in_characters() {
    let test = TestApp::new().await;
    let long = |n| "é".repeat(n);
    let create = async |title: String, source: String| {
        test.rest("POST", "/api/documents", Some(json!({ "title": title, "source": source }))).await
    };
    assert_eq!(create(long(255), long(512)).await.status, 201);
    let refused = create(long(256), long(513)).await.json();
    let told = |i: usize| (refused["detail"][i]["type"].clone(), refused["detail"][i]["ctx"].to_string());
    assert_eq!(told(0), (json!("string_too_long"), r#"{"max_length":255}"#.to_owned()));
    assert_eq!(told(1), (json!("string_too_long"), r#"{"max_length":512}"#.to_owned()));
    assert_eq!(refused["detail"][1]["msg"], "String should have at most 512 characters");
}

#[tokio::test]
async fn what_pydantic_coerces_is_coerced() {
    let test = TestApp::new().await;
    let new = NewDocument { title: "A".to_owned(), ..NewDocument::default() };
    let document = documents::create(test.cx(), new).await.expect("a document").id;
    let path = format!("/api/documents/{document}/chunks");
    for (given, index) in [
        ("\"3\"", 3),
        ("3.0", 3),
        ("1.5e1", 15),
        ("true", 1),
        ("false", 0),
        ("\" 3 \"", 3),
        ("\"+3.0\"", 3),
        ("\"1_0\"", 10),
        ("-0.0", 0),
        ("2147483647", 2_147_483_647),
    ] {
        let body = format!(r#"{{"chunk_index":{given},"text":"x","document_id":5}}"#);
        let made = test.send("POST", &path, "application/json", body).await;
        assert_eq!((made.status, made.json()["chunk_index"].as_i64()), (201, Some(index)), "{given}");
    }
    let chunk = test.rest("GET", &format!("{path}?limit=1"), None).await.json()[0]["id"].clone();
    let vector = r#"{"vector":[1,"1.5",true,"1e-3"," 2 ","1_0"],"model":null}"#;
    let path = format!("/api/chunks/{}/embeddings", chunk.as_str().expect("an id"));
    let made = test.send("POST", &path, "application/json", vector).await;
    assert_eq!((made.status, &made.json()["model"]), (201, &Value::Null), "{}", made.text);
    let path = format!("/api/embeddings/{}?include_vector=On", made.json()["id"].as_str().expect("an id"));
    let read = test.rest("GET", &path, None).await;
    assert!(read.text.ends_with(r#""vector":[1.0,1.5,1.0,0.001,2.0,10.0]}"#), "{}", read.text);
    for query in ["skip=0.0&limit=%2B1", "skip=1&skip=0&limit=1", "skip=+0+&limit=1.00", "limit=1&other=%00"] {
        let listed = test.rest("GET", &format!("/api/documents?{query}"), None).await;
        assert_eq!((listed.status, listed.json().as_array().map(Vec::len)), (200, Some(1)), "{query}");
    }
}

#[tokio::test]
async fn numbers_beyond_their_type_are_refused_by_name() {
    let test = TestApp::new().await;
    let huge = "9".repeat(400);
    for (given, kind) in [
        ("2147483648", "less_than_equal"),
        ("9223372036854775808", "less_than_equal"),
        (&huge, "less_than_equal"),
        ("\"99999999999999999999\"", "less_than_equal"),
        ("1e300", "less_than_equal"),
        ("-9223372036854775809", "greater_than_equal"),
        ("NaN", "finite_number"),
        ("-Infinity", "finite_number"),
        ("1e400", "finite_number"),
    ] {
        let body = format!(r#"{{"chunk_index":{given},"text":"x"}}"#);
        let refused = test.send("POST", "/api/documents/d/chunks", "application/json", body).await;
        let flaw = refused.json()["detail"][0].clone();
        assert_eq!((refused.status, &flaw["type"]), (422, &json!(kind)), "{given}");
        assert_eq!(flaw["loc"], json!(["body", "chunk_index"]));
    }
    for given in ["NaN", "Infinity", "-Infinity", "1e39", "1e400", "\"nan\"", "\"inf\""] {
        let body = format!(r#"{{"vector":[0.5,{given}]}}"#);
        let refused = test.send("POST", "/api/chunks/c/embeddings", "application/json", body).await;
        assert_eq!(refused.status, 422);
        assert!(
            refused.text.starts_with(r#"{"detail":[{"type":"finite_number","loc":["body","vector",1],"#),
            "{given}"
        );
    }
    for query in ["skip=9223372036854775808", "limit=-1", "skip=-1", "limit=99999999999999999999999999"] {
        let refused = test.rest("GET", &format!("/api/documents?{query}"), None).await;
        assert_eq!(refused.status, 422, "{query}");
    }
    let far = test.rest("GET", "/api/documents?skip=9223372036854775807&limit=9223372036854775807", None).await;
    assert_eq!((far.status, far.text.as_str()), (200, "[]"));
}

#[tokio::test]
async fn rules_and_types_of_all_parts_are_told_together() {
    let test = TestApp::new().await;
    let body = json!({ "title": "a\u{0}", "metadata": { "_cd_x": 1 }, "source": 7 });
    let refused = test.rest("PUT", "/api/documents/d?metadata_mode=none", Some(body)).await.json();
    let flaws = refused["detail"].as_array().expect("flaws");
    let told: Vec<String> = flaws.iter().map(|flaw| format!("{} {}", flaw["loc"], flaw["type"])).collect();
    assert_eq!(
        told,
        [
            r#"["query","metadata_mode"] "value_error""#,
            r#"["body","title"] "value_error""#,
            r#"["body","source"] "string_type""#,
            r#"["body","metadata"] "value_error""#,
        ]
    );
    assert_eq!(flaws[3]["input"], json!({ "_cd_x": 1 }));
}

#[tokio::test]
async fn the_status_of_a_flawed_request_is_a_setting() {
    let test = TestApp::with(|config| config.server.validation_status = 400).await;
    let refused = test.rest("POST", "/api/documents", Some(json!({}))).await;
    assert_eq!((refused.status, &refused.json()["detail"][0]["type"]), (400, &json!("missing")));
}

#[tokio::test]
async fn a_client_may_ask_for_problem_details() {
    let test = TestApp::new().await;
    let ask = async |accept: &str| {
        let request = axum::http::Request::post("/api/documents").header("accept", accept);
        test.send_request(request.body(axum::body::Body::from("{}")).expect("a request")).await
    };
    let problem = ask("text/html, Application/Problem+JSON;q=0.9").await;
    assert_eq!(problem.status, 422);
    assert_eq!(problem.headers["content-type"], "application/problem+json");
    let expected = concat!(
        r#"{"type":"urn:corpusd:problem:bad-user-input","title":"Invalid input","status":422,"#,
        r#""detail":"body.title: Field required","code":"BAD_USER_INPUT","#,
        r#""errors":[{"type":"missing","loc":["body","title"],"msg":"Field required","input":{}}]}"#
    );
    assert_eq!(problem.text, expected);
    for accept in ["application/problem+json;q=0", "*/*", "application/json"] {
        assert_eq!(ask(accept).await.headers["content-type"], "application/json", "{accept}");
    }
}
