//! `/health/live` answers as long as the process does; `/health/ready` only while the database answers and nobody
//! asked the server to stop.
//!
//! The database is asked by one at a time for all who want to know. While its answer takes long, because there is so
//! much to do, the last one counts: whoever asks is told at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::Value;
use serde_json::json;
use tokio::sync::watch;

use crate::service::Ctx;
use crate::store::connect;

/// How long an answer of the database is waited for.
const PATIENCE: Duration = Duration::from_millis(150);
/// After how long no answer is one.
const SILENCE: Duration = Duration::from_secs(10);

/// Whether the server was asked to stop.
#[derive(Debug, Clone, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on the server is not ready.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
struct Health {
    cx: Ctx,
    draining: Draining,
    heard: watch::Sender<Heard>,
}

/// What the database has told.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// Somebody is asking.
    asked: bool,
    /// Whether it answered the last time.
    answers: bool,
}

/// The paths that tell how the server is.
pub fn router(cx: Ctx, draining: Draining) -> Router {
    // It was opened a moment ago.
    let health = Health { cx, draining, heard: watch::Sender::new(Heard { asked: false, answers: true }) };
    Router::new().route("/health/live", get(live)).route("/health/ready", get(ready)).with_state(health)
}

async fn live() -> Json<Value> {
    Json(json!({ "status": "live" }))
}

async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let not_ready =
        |reason: &str| (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "reason": reason })));
    if health.draining.0.load(Ordering::SeqCst) {
        return not_ready("The server is stopping");
    }
    if health.database_answers().await {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        not_ready("The database does not answer")
    }
}

impl Health {
    async fn database_answers(&self) -> bool {
        let mut heard = self.heard.subscribe();
        let mut first = false;
        self.heard.send_if_modified(|heard| {
            first = !std::mem::replace(&mut heard.asked, true);
            false
        });
        if first {
            let health = self.clone();
            self.cx.tasks().spawn(async move { health.ask().await });
        }
        // Whoever asked before us began earlier, and that is as good.
        let _ = tokio::time::timeout(PATIENCE, heard.changed()).await;
        heard.borrow().answers
    }

    async fn ask(&self) {
        let answers = match tokio::time::timeout(SILENCE, connect::ping(self.cx.read())).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the database does not answer");
                false
            }
            Err(_) => {
                tracing::warn!("the database is silent");
                false
            }
        };
        self.heard.send_modify(|heard| *heard = Heard { asked: false, answers });
    }
}
