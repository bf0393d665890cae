//! The router of both edges, and the server around it.

use axum::Router;

use crate::app::App;
use crate::graphql;
use crate::rest;

/// Every path of the server.
pub fn router(app: App) -> Router {
    Router::new().merge(graphql::router(app.clone())).merge(rest::router(app))
}
