//! The GraphQL edge: roots, object types, scalars, errors.
//!
//! Objects are newtypes over rows with an explicit `#[Object]`; nothing derives a
//! schema from an entity. What a query selects below a list is read one level at
//! a time, see [`level`]. No async-graphql extension is registered: even an empty
//! one takes every field off the fast path.

pub mod access;
pub mod audit;
pub mod chunk;
pub mod cost;
pub mod coverage;
pub mod document;
pub mod edge;
pub mod embedding;
pub mod error;
pub mod filters;
pub mod guard;
pub mod http;
pub mod key;
pub mod level;
pub mod manifest;
pub mod media;
pub mod mutation;
pub mod node;
pub mod overview;
pub mod page;
pub mod persisted;
pub mod query;
pub mod report;
pub mod scalars;
pub mod search;
pub mod slot;
pub mod stream;
pub mod subscription;
pub mod sync_job;
pub mod target;
pub mod value;
pub mod ws;

use async_graphql::SDLExportOptions;
use axum::Router;
use axum::routing::any;
use axum::routing::get;

use crate::app::App;
use crate::config::ServerConfig;
use crate::graphql::edge::Edge;
use crate::graphql::mutation::Mutation;
use crate::graphql::query::Query;
use crate::graphql::subscription::Subscription;

/// The executable schema.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// Builds the schema as `config` wants it to be told; the context comes with each request.
#[must_use]
pub fn schema(config: &ServerConfig) -> Schema {
    let builder = Schema::build(Query, Mutation::default(), Subscription);
    let builder = if config.introspection() { builder } else { builder.disable_introspection() };
    if config.suggestions() { builder } else { builder.disable_suggestions() }.finish()
}

/// The schema as text: what `corpusd schema` prints, and `schema.graphql` holds.
#[must_use]
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by().use_space_ident().indent_width(2);
    schema(&ServerConfig::default()).sdl_with_options(options)
}

/// Every GraphQL path of the server.
pub fn router(app: &App) -> Router {
    let pages = app.cx().config().server.pages();
    let router = Router::new().route("/graphql", any(http::answer));
    let router = if pages { router.route("/graphiql", get(http::graphiql)) } else { router };
    router.with_state(Edge::new(app))
}
