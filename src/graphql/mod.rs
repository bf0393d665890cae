//! The GraphQL edge: roots, object types, scalars, errors.
//!
//! Objects are newtypes over rows with an explicit `#[Object]`; nothing derives a
//! schema from an entity. What a query selects below a list is read one level at
//! a time, see [`level`]. No async-graphql extension is registered: even an empty
//! one takes every field off the fast path.

pub mod document;
pub mod error;
pub mod level;
pub mod mutation;
pub mod query;
pub mod scalars;
pub mod subscription;

use async_graphql::Request;
use async_graphql::Response;
use axum::Router;
use axum::extract::State;
use axum::routing::post;

use crate::app::App;
use crate::graphql::mutation::Mutation;
use crate::graphql::query::Query;
use crate::graphql::subscription::Subscription;
use crate::service::Ctx;

/// The executable schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// Builds the schema; the context comes with each request.
#[must_use]
pub fn schema() -> Schema {
    Schema::build(Query, Mutation, Subscription).finish()
}

/// Executes one request (no subscription) for `cx` and dresses its errors.
pub async fn execute(schema: &Schema, cx: Ctx, request: Request) -> Response {
    let mut response = schema.execute(request.data(cx.clone())).await;
    error::dress(&mut response.errors);
    if let Some(revision) = cx.committed() {
        response.extensions.insert("corpusRevision".to_owned(), revision.to_string().into());
    }
    response
}

/// Every GraphQL path of the server.
pub fn router(app: App) -> Router {
    Router::new().route("/graphql", post(answer)).with_state((schema(), app))
}

async fn answer(
    State((schema, app)): State<(Schema, App)>,
    axum::Json(request): axum::Json<Request>,
) -> axum::Json<Response> {
    axum::Json(execute(&schema, app.cx().for_request(), request).await)
}
