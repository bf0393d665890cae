//! The REST edge.

use axum::Router;

use crate::app::App;

/// Every REST path of the server.
pub fn router(_app: App) -> Router {
    Router::new()
}
