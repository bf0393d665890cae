//! The router of both edges, and the server around it.
//!
//! `/health/live` answers as long as the process does; `/health/ready` only while
//! the database answers and nobody asked the server to stop.

pub mod door;
pub mod metrics;
pub mod refusal;
pub mod site;

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::get;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::graphql;
use crate::rest;
use crate::store::connect;

/// How long the engine and the database may take to end, once requests are done or given up.
const CLOSING: Duration = Duration::from_secs(4);

/// Whether the server was asked to stop.
#[derive(Debug, Clone, Default)]
struct Draining(Arc<AtomicBool>);

#[derive(Debug, Clone)]
struct Health {
    app: App,
    draining: Draining,
}

/// Every path of the server.
pub fn router(app: App) -> Router {
    routes(app, Draining::default())
}

fn routes(app: App, draining: Draining) -> Router {
    let health = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(Health { app: app.clone(), draining });
    let counted = Router::new().route("/metrics", get(metrics::tell)).with_state(app.cx().clone());
    let door = middleware::from_fn_with_state(app.cx().clone(), door::pass);
    Router::new().merge(health).merge(counted).merge(graphql::router(&app)).merge(rest::router(app)).layer(door)
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
    match connect::ping(health.app.cx().read()).await {
        Ok(()) => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer");
            not_ready("The database does not answer")
        }
    }
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It did what was under way, released its work and closed its database.
    Drained,
    /// It was asked a second time, and left everything where it was.
    AtOnce,
}

/// Serves `app` until the first message of `stop`, then winds it down: not ready, no new
/// connections, requests under way (for the configured grace time), engine, database.
///
/// # Errors
/// When the listener fails.
pub async fn serve(app: App, listener: TcpListener, mut stop: mpsc::Receiver<()>) -> std::io::Result<Ended> {
    let draining = Draining::default();
    let closing = CancellationToken::new();
    let serving = axum::serve(listener, routes(app.clone(), draining.clone()))
        .with_graceful_shutdown(closing.clone().cancelled_owned())
        .into_future();
    tokio::pin!(serving);
    tokio::select! {
        failed = &mut serving => {
            failed?;
            app.close().await;
            return Ok(Ended::Drained);
        }
        _ = stop.recv() => {}
    }
    tracing::info!("stopping: finishing what is under way");
    draining.0.store(true, Ordering::SeqCst);
    closing.cancel();
    app.cx().events().close();
    let wind_down = async {
        let under_way = async {
            if let Err(error) = (&mut serving).await {
                tracing::warn!(%error, "serving ended");
            }
            // What an answer left behind: WebSockets and their operations.
            app.cx().tasks().close();
            app.cx().tasks().wait().await;
        };
        if tokio::time::timeout(app.cx().config().server.grace, under_way).await.is_err() {
            tracing::warn!("some requests did not end within the grace time and are given up");
        }
        if tokio::time::timeout(CLOSING, app.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    };
    tokio::select! {
        () = wind_down => Ok(Ended::Drained),
        _ = stop.recv() => Ok(Ended::AtOnce),
    }
}
