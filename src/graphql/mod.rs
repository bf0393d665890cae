//! The GraphQL edge.

use axum::Router;

use crate::app::App;

/// Every GraphQL path of the server.
pub fn router(_app: App) -> Router {
    Router::new()
}
