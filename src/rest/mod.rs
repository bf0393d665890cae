//! The REST edge: the API that clients of the first backend speak.
//!
//! Every path is on this page, with what it needs beside it. Each is served with and without a trailing slash, and
//! some under a second name, because the documented paths and the ones clients came to
//! use differ. What a handler may assume is in [`extract`], how values are read in
//! [`fields`], what an error looks like in [`error`].

pub mod chunks;
pub mod cost;
pub mod dashboard;
pub mod docs;
pub mod documents;
pub mod embeddings;
pub mod error;
pub mod events;
pub mod extract;
pub mod fields;
pub mod links;
pub mod openapi;
pub mod pinecone;
pub mod reconcile;
pub mod sync;
pub mod tags;

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::routing::MethodFilter;
use axum::routing::on;

use crate::app::App;
use crate::rest::error::Failure;
use crate::rest::extract::Call;
use crate::rest::extract::Guard;
use crate::rest::extract::Outcome;
use crate::rest::extract::frame;
use crate::service::access::Scope;

/// Every REST path of the server.
pub fn router(app: App) -> Router {
    let missing = |State(app): State<App>, request: Request| {
        frame(app, None, request, async |_| Err::<axum::response::Response, _>(Failure::no_route()))
    };
    let refused = |State(app): State<App>, request: Request| {
        frame(app, None, request, async |_| Err::<axum::response::Response, _>(Failure::no_method()))
    };
    let routes = routes().router;
    let routes = if app.cx().config().server.pages() { routes.merge(docs::router()) } else { routes };
    routes.method_not_allowed_fallback(refused).fallback(missing).with_state(app)
}

/// Every operation of the REST API: method and path.
#[must_use]
pub fn operations() -> Vec<(&'static str, &'static str)> {
    routes().operations.into_iter().map(|(method, path, _)| (method, path)).collect()
}

/// Every operation of the REST API and what it needs: method, path, scope.
#[must_use]
pub fn guards() -> Vec<(&'static str, &'static str, Scope)> {
    routes().operations
}

/// Paths that serve what another path serves: the documented spelling beside the one that clients came to use.
pub const ALIASES: [(&str, &str); 4] = [
    ("/api/chunks/{chunk_id}", "/api/documents/chunks/{chunk_id}"),
    ("/api/chunks/{chunk_id}/restore", "/api/documents/chunks/{chunk_id}/restore"),
    ("/api/chunks/{chunk_id}/embeddings", "/api/documents/chunks/{chunk_id}/embeddings"),
    ("/api/embeddings/{embedding_id}", "/api/documents/embeddings/{embedding_id}"),
];

fn routes() -> Routes {
    Routes::default()
        .get("/api/documents", Scope::Read, documents::list)
        .post("/api/documents", Scope::Write, documents::create)
        .post("/api/documents/search", Scope::Read, documents::search)
        .get("/api/documents/{doc_id}", Scope::Read, documents::get)
        .put("/api/documents/{doc_id}", Scope::Write, documents::update)
        .delete("/api/documents/{doc_id}", Scope::Write, documents::delete)
        .post("/api/documents/{doc_id}/restore", Scope::Write, documents::restore)
        .post("/api/pinecone/export/document/{doc_id}", Scope::Sync, pinecone::export_document)
        .post("/api/pinecone/export/unsynced", Scope::Sync, pinecone::export_unsynced)
        .post("/api/pinecone/export/batch", Scope::Sync, pinecone::export_batch)
        .delete("/api/pinecone/vectors", Scope::Sync, pinecone::delete_vectors)
        .post("/api/pinecone/reconcile", Scope::Sync, reconcile::reconcile_index)
        .get("/api/pinecone/index/stats", Scope::Read, pinecone::index_stats)
        .get("/api/pinecone/search", Scope::Read, pinecone::search)
        .post("/api/pinecone/search", Scope::Read, pinecone::search_posted)
        .get("/api/dashboard/overview", Scope::Read, dashboard::overview)
        .get("/api/dashboard/sync-status", Scope::Read, dashboard::sync_status)
        .get("/api/dashboard/document/{doc_id}/stats", Scope::Read, dashboard::document_stats)
        .get("/api/dashboard/document/{doc_id}/export", Scope::Read, dashboard::export_document)
        .post("/api/dashboard/document/{doc_id}/duplicate", Scope::Write, dashboard::duplicate)
        .post("/api/dashboard/documents/batch-delete", Scope::Write, dashboard::batch_delete)
        .get("/api/dashboard/search", Scope::Read, dashboard::search)
        .get("/api/dashboard/activity", Scope::Read, dashboard::activity)
        .get("/api/documents/{doc_id}/chunks", Scope::Read, chunks::list)
        .post("/api/documents/{doc_id}/chunks", Scope::Write, chunks::create)
        .post("/api/documents/{doc_id}/chunks/batch", Scope::Write, chunks::create_batch)
        .get("/api/documents/chunks/{chunk_id}", Scope::Read, chunks::get)
        .put("/api/documents/chunks/{chunk_id}", Scope::Write, chunks::update)
        .delete("/api/documents/chunks/{chunk_id}", Scope::Write, chunks::delete)
        .post("/api/documents/chunks/{chunk_id}/restore", Scope::Write, chunks::restore)
        .post("/api/documents/chunks/{chunk_id}/embeddings", Scope::Write, embeddings::create)
        .get("/api/documents/embeddings/{embedding_id}", Scope::Read, embeddings::get)
        .put("/api/documents/embeddings/{embedding_id}", Scope::Write, embeddings::update)
        .delete("/api/documents/embeddings/{embedding_id}", Scope::Write, embeddings::delete)
        .get("/api/events", Scope::Read, events::list)
        .get("/api/sync/jobs", Scope::Read, sync::list_jobs)
        .get("/api/sync/jobs/{job_id}", Scope::Read, sync::get_job)
        .delete("/api/sync/jobs/{job_id}", Scope::Sync, sync::cancel_job)
        .get("/api/sync/targets", Scope::Read, sync::list_targets)
}

/// Paths and handlers, and the list of them that the OpenAPI document is held against.
#[derive(Debug, Default)]
struct Routes {
    router: Router<App>,
    operations: Vec<(&'static str, &'static str, Scope)>,
}

impl Routes {
    fn get<F, Fut>(self, path: &'static str, scope: Scope, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("GET", MethodFilter::GET, path, scope, handler)
    }

    fn post<F, Fut>(self, path: &'static str, scope: Scope, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("POST", MethodFilter::POST, path, scope, handler)
    }

    fn put<F, Fut>(self, path: &'static str, scope: Scope, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("PUT", MethodFilter::PUT, path, scope, handler)
    }

    fn delete<F, Fut>(self, path: &'static str, scope: Scope, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("DELETE", MethodFilter::DELETE, path, scope, handler)
    }

    fn on<F, Fut>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        path: &'static str,
        scope: Scope,
        handler: F,
    ) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        let guard = Guard { scope, method, path };
        let framed = move |State(app): State<App>, request: Request| frame(app, Some(guard), request, handler);
        let aliases = ALIASES.iter().filter(|(_, canonical)| *canonical == path).map(|(alias, _)| *alias);
        for path in aliases.chain([path]) {
            let slashed = format!("{path}/");
            self.router =
                self.router.route(path, on(filter, framed.clone())).route(&slashed, on(filter, framed.clone()));
            self.operations.push((method, path, scope));
        }
        self
    }
}
