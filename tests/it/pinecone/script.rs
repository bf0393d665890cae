//! A server that answers as a test says, request by request: for answers that no honest service gives.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::http::Response;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Method, path and query.
    pub line: String,
    /// By name.
    pub headers: Vec<(String, String)>,
    /// As JSON, or null.
    pub body: Value,
}

/// An answer: status, headers, body.
pub type Reply = (u16, Vec<(&'static str, String)>, String);

/// JSON with a status.
#[expect(clippy::needless_pass_by_value, reason = "for json! in place")]
pub fn reply(status: u16, body: Value) -> Reply {
    (status, Vec::new(), body.to_string())
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server.
pub struct Script {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

#[derive(Clone)]
struct Shared {
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Mutex<Arc<Answer>>>,
}

impl Script {
    /// A server that answers by `answer`.
    pub async fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let shared = Shared { asked: Arc::default(), answer: Arc::new(Mutex::new(Arc::new(answer))) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(handle).with_state(shared.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked: shared.asked, answer: shared.answer }
    }

    /// Answers otherwise from now on.
    pub fn now(&self, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.answer.lock().expect("no panic") = Arc::new(answer);
    }

    /// What was asked since the last look.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic"))
    }

    /// The lines of what was asked since the last look.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn handle(State(shared): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let asked = Asked {
        line: format!("{} {}", parts.method, parts.uri),
        headers: headers.collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let answer = shared.answer.lock().expect("no panic").clone();
    shared.asked.lock().expect("no panic").push(asked.clone());
    let (status, headers, body) = answer(&asked);
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("an answer")
}

/// The index `asktemoc` as the control plane describes it, with its data plane at `host`.
pub fn described(host: &str, dimension: u32) -> Value {
    json!({"name":"asktemoc","dimension":dimension,"metric":"cosine","vector_type":"dense","host":host,
        "status":{"ready":true,"state":"Ready"},"spec":{"serverless":{"cloud":"aws","region":"us-east-1"}}})
}

/// The answers of a service that has the index, and takes whatever is sent to it.
pub fn content(host: &str, asked: &Asked) -> Reply {
    let path = asked.line.split([' ', '?']).nth(1).unwrap_or_default();
    match path {
        "/indexes/asktemoc" => reply(200, described(host, 2)),
        "/vectors/upsert" => reply(200, json!({"upsertedCount": asked.body["vectors"].as_array().map_or(0, Vec::len)})),
        "/vectors/delete" => reply(200, json!({})),
        "/describe_index_stats" => reply(
            200,
            json!({"namespaces":{"":{"vectorCount":2},"n":{"vectorCount":3}},"dimension":2,"indexFullness":0,"metric":"cosine"}),
        ),
        "/query" => reply(200, json!({"matches":[{"id":"a","score":0.5,"metadata":{"n":1.0}}],"namespace":"n"})),
        "/vectors/fetch" => reply(200, json!({"vectors":{"a":{"id":"a","values":[1,0.5],"metadata":{"n":1.0}}}})),
        "/vectors/list" => reply(200, json!({"vectors":[{"id":"a"}],"pagination":{"next":"t/1="}})),
        _ => reply(500, json!({})),
    }
}
