//! The router of both edges, and the server around it.
//!
//! [`connections`] takes clients in, [`door`] is the way of each of their requests to an edge and back.

pub mod body;
pub mod connections;
pub mod door;
pub mod health;
pub mod line;
pub mod metrics;
pub mod refusal;
pub mod site;

use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::graphql;
use crate::rest;
use crate::server::health::Draining;

/// How long the engine and the database may take to end, once requests are done or given up.
const CLOSING: Duration = Duration::from_secs(4);

/// Every path of the server.
pub fn router(app: App) -> Router {
    routes(app, Draining::default())
}

fn routes(app: App, draining: Draining) -> Router {
    let door = middleware::from_fn_with_state(app.cx().clone(), door::pass);
    let health = health::router(app.cx().clone(), draining);
    let counted = Router::new().route("/metrics", get(metrics::tell)).with_state(app.cx().clone());
    Router::new().merge(health).merge(counted).merge(graphql::router(&app)).merge(rest::router(app)).layer(door)
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
pub async fn serve(app: App, listener: TcpListener, mut stop: mpsc::Receiver<()>) -> Ended {
    let cx = app.cx().clone();
    let draining = Draining::default();
    let closing = CancellationToken::new();
    let router = routes(app.clone(), draining.clone());
    cx.tasks().spawn(connections::serve(listener, router, cx.clone(), closing.clone()));
    let _ = stop.recv().await;
    tracing::info!("stopping: finishing what is under way");
    draining.begin();
    closing.cancel();
    cx.events().close();
    let wind_down = async {
        // Connections, and what an answer left behind: WebSockets and their operations.
        cx.tasks().close();
        if tokio::time::timeout(cx.config().server.grace, cx.tasks().wait()).await.is_err() {
            tracing::warn!("some requests did not end within the grace time and are given up");
        }
        if tokio::time::timeout(CLOSING, app.close()).await.is_err() {
            tracing::warn!("the database did not close in time");
        }
    };
    tokio::select! {
        () = wind_down => Ended::Drained,
        _ = stop.recv() => Ended::AtOnce,
    }
}
