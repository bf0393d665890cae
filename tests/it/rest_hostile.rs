//! Requests that nobody means well: refused, never a failure of the server.

use axum::body::Body;
use axum::body::Bytes;
use axum::http::Request;
use corpusd::json::Json;
use corpusd::json::Literals;
use futures_util::stream;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use crate::support::TestApp;

/// Every operation that reads a body, with its fields.
const BODIES: [(&str, &str, &[&str]); 8] = [
    ("POST", "/api/documents", &["title", "source", "metadata"]),
    ("POST", "/api/documents/search", &["query"]),
    ("PUT", "/api/documents/d", &["title", "source", "metadata"]),
    ("POST", "/api/documents/d/chunks", &["chunk_index", "text", "metadata", "document_id"]),
    ("POST", "/api/documents/d/chunks/batch", &["chunks", "document_id"]),
    ("PUT", "/api/chunks/c", &["text", "metadata"]),
    ("POST", "/api/chunks/c/embeddings", &["vector", "model", "chunk_id"]),
    ("PUT", "/api/embeddings/e", &["vector", "pinecone_id"]),
];

async fn with_rows() -> TestApp {
    use corpusd::service::chunks::NewChunk;
    use corpusd::service::documents;
    use corpusd::service::documents::NewDocument;
    use corpusd::service::embeddings::NewEmbedding;
    let test = TestApp::new().await;
    let embedding = NewEmbedding { id: Some("e".to_owned()), vector: vec![1.0], ..NewEmbedding::default() };
    let chunk =
        NewChunk { id: Some("c".to_owned()), text: "x".to_owned(), embeddings: vec![embedding], ..NewChunk::default() };
    let new =
        NewDocument { id: Some("d".to_owned()), title: "A".to_owned(), chunks: vec![chunk], ..NewDocument::default() };
    documents::create(test.cx(), new).await.expect("a document");
    test
}

#[tokio::test]
async fn wrong_values_in_every_field_are_refused_or_ignored() {
    let test = with_rows().await;
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let values = [
        "null",
        "true",
        "-1",
        "0",
        "1.5",
        "1e400",
        "-1e400",
        "NaN",
        "1E999999999",
        "99999999999999999999",
        "\"\"",
        "\"x\"",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "[]",
        "[[]]",
        "[null]",
        "[\"\\u0000\"]",
        "{}",
        "{\"\":{}}",
        "{\"$serde_json::private::RawValue\":\"1\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"__proto__\":1}",
        "{\"a\":NaN}",
        "[{\"chunk_index\":0,\"text\":\"\\u0000\"}]",
        &deep,
    ];
    for (method, path, names) in BODIES {
        for value in values {
            let fields: Vec<String> = names.iter().map(|name| format!("\"{name}\":{value}")).collect();
            let valid = "\"title\":\"a\",\"text\":\"a\",\"chunk_index\":0,\"vector\":[1]";
            let mut bodies: Vec<String> = fields.iter().map(|field| format!("{{{valid},{field}}}")).collect();
            bodies.extend([format!("{{{}}}", fields.join(",")), value.to_owned()]);
            for body in bodies {
                let answer = test.send(method, path, "application/json", body.clone()).await;
                assert!(answer.status < 500, "{method} {path} {body}: {}", answer.text);
                let json = Json::parse(answer.text.as_bytes(), Literals::Strict);
                assert!(json.is_ok(), "{method} {path} {body}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn broken_bodies_are_refused() {
    let test = with_rows().await;
    let bodies: [&[u8]; 10] = [
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf",
        b"\"\\ud800\"",
        b"{\"title\":\"\\udc00\"}",
        b"{\"title\":\"\xff\"}",
        b"{\"title\":\"a\x00\"}",
        b"\x00",
        b"--",
        b"{\"a\":1,\"a\":{\"a\":",
        &[b'['; 100_000],
    ];
    for (method, path, _) in BODIES {
        for body in bodies {
            for content_type in ["application/json", "text/plain", "multipart/form-data; boundary=x", "/", ""] {
                let answer = test.send(method, path, content_type, body.to_vec()).await;
                assert_eq!(answer.status, 422, "{method} {path} {body:?}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn strange_ids_are_not_found() {
    let test = with_rows().await;
    for id in
        ["%00", "a%00b", "%ff", "%C0%80", "%F0%9F%98%80", "..%2F..", "%25", "%", "%zz", "'%20OR%201=1", "%0A", "%7F"]
    {
        for path in ["documents", "chunks", "embeddings", "documents/chunks", "documents/embeddings"] {
            let path = format!("/api/{path}/{id}");
            for method in ["GET", "DELETE"] {
                let answer = test.rest(method, &path, None).await;
                assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
            }
            let answer = test.rest("PUT", &path, Some(json!({}))).await;
            assert_eq!(answer.status, 404, "PUT {path}: {}", answer.text);
        }
        for (method, path) in [("GET", "chunks"), ("POST", "chunks/batch")] {
            let path = format!("/api/documents/{id}/{path}");
            let answer = test.rest(method, &path, Some(json!([{ "chunk_index": 0, "text": "x" }]))).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        }
    }
    let long = "a".repeat(5000);
    assert_eq!(test.rest("GET", &format!("/api/documents/{long}"), None).await.status, 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_announced_or_streamed() {
    let test = TestApp::with(|config| config.limits.body_bytes = 1_000_000).await;
    let too_large = r#"{"detail":"The body is larger than 1000000 bytes","code":"PAYLOAD_TOO_LARGE"}"#;
    // 64 MB, in pieces and without a length.
    let piece = Bytes::from(vec![b' '; 1 << 16]);
    let pieces = stream::iter((0..1024).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let request = Request::post("/api/documents").body(Body::from_stream(pieces)).expect("a request");
    let answer = test.send_request(request).await;
    assert_eq!((answer.status, answer.text.as_str()), (413, too_large));
    let request = Request::post("/api/documents").header("content-length", "1000001").header("expect", "100-continue");
    let answer = test.send_request(request.body(Body::empty()).expect("a request")).await;
    assert_eq!((answer.status, answer.text.as_str()), (413, too_large));
    // Exactly the limit is read.
    let mut body = br#"{"title":"a"}"#.to_vec();
    body.resize(1_000_000, b' ');
    let answer = test.send("POST", "/api/documents", "application/json", body.clone()).await;
    assert_eq!(answer.status, 201);
    body.push(b' ');
    assert_eq!(test.send("POST", "/api/documents", "application/json", body).await.status, 413);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let test = TestApp::new().await;
    let pieces = stream::iter([Ok(Bytes::from("{\"title\":")), Err(std::io::Error::other("gone"))]);
    let request = Request::post("/api/documents").body(Body::from_stream(pieces)).expect("a request");
    assert_eq!(test.send_request(request).await.status, 422);
}

#[tokio::test]
async fn thousands_of_flaws_are_told_up_to_a_bound() {
    let test = TestApp::new().await;
    let vector = vec!["\"x\""; 20_000].join(",");
    let body = format!("{{\"vector\":[{vector}]}}");
    let refused = test.send("POST", "/api/chunks/c/embeddings", "application/json", body).await;
    assert_eq!((refused.status, refused.json()["detail"].as_array().map(Vec::len)), (422, Some(1000)));
}

#[tokio::test]
async fn a_failure_shows_its_request_id_and_nothing_else() {
    let test = TestApp::new().await;
    let rename = "ALTER TABLE documents RENAME TO elsewhere";
    let broken = test.cx().write(move |tx| Box::pin(async move { Ok(tx.execute_unprepared(rename).await?) })).await;
    assert!(broken.is_ok(), "{broken:?}");
    let request = Request::get("/api/documents").header("x-request-id", "mine-1").body(Body::empty());
    let failed = test.send_request(request.expect("a request")).await;
    assert_eq!(failed.status, 500);
    assert_eq!(failed.text, r#"{"detail":"Internal Server Error","code":"INTERNAL"}"#);
    assert_eq!(failed.headers["x-request-id"], "mine-1");
    let failed = test.rest("GET", "/api/documents", None).await;
    assert_eq!(failed.headers["x-request-id"].len(), 36);
}
