//! A whole application on a database of its own, with a clock that stands still.
//!
//! SQLite in a temporary folder, or a fresh schema of `CORPUSD_TEST_DATABASE_URL`
//! when that names a PostgreSQL server.
//!
//! The sync engine does not run in the background, so that nothing happens between two
//! lines of a test: [`TestApp::sync_until_idle`] drives it, and a request that waits for
//! its job (exports, `deleteVectors`) has it driven while it waits. [`TestApp::start_sync`]
//! starts the loop that a server has.

pub mod database;
pub mod disk;
pub mod fleet;
pub mod keys;
pub mod pinecone;
pub mod process;

pub mod rows;
pub mod socket;
pub mod strace;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::Request;
use corpusd::app::App;
use corpusd::clock::Clock;
use corpusd::config::Config;
use corpusd::index::VectorIndex;
use corpusd::server;
use corpusd::service::Ctx;
use corpusd::store::connect;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use crate::support::database::database_url;

/// Where frozen clocks stand: 2026-01-01T00:00:00Z.
pub const START_US: i64 = 1_767_225_600_000_000;

/// An application under test.
pub struct TestApp {
    pub app: App,
    pub clock: Clock,
    _folder: TempDir,
}

impl TestApp {
    /// With the default configuration.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration that `change` made from the default one.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.database.url = database_url(&folder).await;
        change(&mut config);
        let clock = Clock::frozen(START_US);
        let app = App::open(config, &clock).await.expect("the application opens");
        Self { app, clock, _folder: folder }
    }

    /// With an index of the test's own.
    pub async fn with_index(index: Arc<dyn VectorIndex>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::default();
        config.database.url = database_url(&folder).await;
        change(&mut config);
        let clock = Clock::frozen(START_US);
        let db = connect::open(&config.database, &clock).await.expect("the database opens");
        let app = App::assemble(config, db, index).await.expect("the application is assembled");
        Self { app, clock, _folder: folder }
    }

    /// Drives the sync engine until nothing is due now.
    pub async fn sync_until_idle(&self) {
        self.app.sync().run_until_idle().await.expect("the engine works");
    }

    /// Starts the loop that a server has.
    pub async fn start_sync(&self) {
        self.app.start_sync().await.expect("the engine starts");
    }

    /// Drives the sync engine while `work` waits for it; a turn that has begun is finished.
    pub async fn while_syncing<T>(&self, work: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        let drive = async {
            while !stop.is_cancelled() {
                let woken = self.cx().db().woken();
                self.sync_until_idle().await;
                tokio::select! {
                    () = woken => {}
                    () = stop.cancelled() => {}
                }
            }
        };
        let work = async {
            let done = work.await;
            stop.cancel();
            done
        };
        tokio::join!(work, drive).0
    }

    pub fn cx(&self) -> &Ctx {
        self.app.cx()
    }

    /// Sends a request through the whole router, without a socket.
    pub async fn send(&self, method: &str, path: &str, content_type: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(body.into())
            .expect("a request");
        self.send_request(request).await
    }

    /// Sends any request through the whole router, without a socket.
    pub async fn send_request(&self, request: Request<Body>) -> Answer {
        self.send_to(server::router(self.app.clone()), request).await
    }

    /// Sends it through this router, which has a memory of its own.
    pub async fn send_to(&self, router: Router, request: Request<Body>) -> Answer {
        let waits = request.uri().path().starts_with("/api/pinecone/");
        let response = router.oneshot(request);
        let response = if waits { self.while_syncing(response).await } else { response.await };
        let response = response.expect("infallible");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        Answer { status, headers, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// A REST request with an optional JSON body.
    pub async fn rest(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let body = body.map_or_else(String::new, |body| body.to_string());
        self.send(method, path, "application/json", body).await
    }

    /// A GraphQL request; gives the whole answer (`data`, `errors`, `extensions`).
    pub async fn graphql(&self, query: &str, variables: Value) -> Value {
        let body = serde_json::json!({ "query": query, "variables": variables }).to_string();
        let answer = self.send("POST", "/graphql", "application/json", body);
        if query.contains("deleteVectors") { self.while_syncing(answer).await.json() } else { answer.await.json() }
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: no JSON: {}", self.status, self.text))
    }
}

/// A client of HTTP; reqwest is built without a TLS provider of its own choice.
pub fn http() -> reqwest::ClientBuilder {
    // Another test of the process was first, perhaps.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}
