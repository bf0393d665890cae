//! The REST edge: the API that clients of the first backend speak.
//!
//! Every path is on this page. Each is served with and without a trailing slash, and
//! some under a second name, because the documented paths and the ones clients came to
//! use differ. What a handler may assume is in [`extract`], how values are read in
//! [`fields`], what an error looks like in [`error`].

pub mod chunks;
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
use crate::rest::extract::Outcome;
use crate::rest::extract::frame;

/// Every REST path of the server.
pub fn router(app: App) -> Router {
    let missing = |State(app): State<App>, request: Request| {
        frame(app.cx().for_request(), request, async |_| Err::<axum::response::Response, _>(Failure::no_route()))
    };
    let refused = |State(app): State<App>, request: Request| {
        frame(app.cx().for_request(), request, async |_| Err::<axum::response::Response, _>(Failure::no_method()))
    };
    routes().router.merge(docs::router()).method_not_allowed_fallback(refused).fallback(missing).with_state(app)
}

/// Every operation of the REST API: method and path.
#[must_use]
pub fn operations() -> Vec<(&'static str, &'static str)> {
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
        .get("/api/documents", documents::list)
        .post("/api/documents", documents::create)
        .post("/api/documents/search", documents::search)
        .get("/api/documents/{doc_id}", documents::get)
        .put("/api/documents/{doc_id}", documents::update)
        .delete("/api/documents/{doc_id}", documents::delete)
        .post("/api/documents/{doc_id}/restore", documents::restore)
        .post("/api/pinecone/export/document/{doc_id}", pinecone::export_document)
        .post("/api/pinecone/export/unsynced", pinecone::export_unsynced)
        .post("/api/pinecone/export/batch", pinecone::export_batch)
        .delete("/api/pinecone/vectors", pinecone::delete_vectors)
        .post("/api/pinecone/reconcile", reconcile::reconcile_index)
        .get("/api/pinecone/index/stats", pinecone::index_stats)
        .get("/api/pinecone/search", pinecone::search)
        .post("/api/pinecone/search", pinecone::search_posted)
        .get("/api/dashboard/overview", dashboard::overview)
        .get("/api/dashboard/sync-status", dashboard::sync_status)
        .get("/api/dashboard/document/{doc_id}/stats", dashboard::document_stats)
        .get("/api/dashboard/document/{doc_id}/export", dashboard::export_document)
        .post("/api/dashboard/document/{doc_id}/duplicate", dashboard::duplicate)
        .post("/api/dashboard/documents/batch-delete", dashboard::batch_delete)
        .get("/api/dashboard/search", dashboard::search)
        .get("/api/dashboard/activity", dashboard::activity)
        .get("/api/documents/{doc_id}/chunks", chunks::list)
        .post("/api/documents/{doc_id}/chunks", chunks::create)
        .post("/api/documents/{doc_id}/chunks/batch", chunks::create_batch)
        .get("/api/documents/chunks/{chunk_id}", chunks::get)
        .put("/api/documents/chunks/{chunk_id}", chunks::update)
        .delete("/api/documents/chunks/{chunk_id}", chunks::delete)
        .post("/api/documents/chunks/{chunk_id}/restore", chunks::restore)
        .post("/api/documents/chunks/{chunk_id}/embeddings", embeddings::create)
        .get("/api/documents/embeddings/{embedding_id}", embeddings::get)
        .put("/api/documents/embeddings/{embedding_id}", embeddings::update)
        .delete("/api/documents/embeddings/{embedding_id}", embeddings::delete)
        .get("/api/events", events::list)
        .get("/api/sync/jobs", sync::list_jobs)
        .get("/api/sync/jobs/{job_id}", sync::get_job)
        .delete("/api/sync/jobs/{job_id}", sync::cancel_job)
        .get("/api/sync/targets", sync::list_targets)
}

/// Paths and handlers, and the list of them that the OpenAPI document is held against.
#[derive(Debug, Default)]
struct Routes {
    router: Router<App>,
    operations: Vec<(&'static str, &'static str)>,
}

impl Routes {
    fn get<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("GET", MethodFilter::GET, path, handler)
    }

    fn post<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("POST", MethodFilter::POST, path, handler)
    }

    fn put<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("PUT", MethodFilter::PUT, path, handler)
    }

    fn delete<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on("DELETE", MethodFilter::DELETE, path, handler)
    }

    fn on<F, Fut>(mut self, method: &'static str, filter: MethodFilter, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        let framed = move |State(app): State<App>, request: Request| frame(app.cx().for_request(), request, handler);
        let aliases = ALIASES.iter().filter(|(_, canonical)| *canonical == path).map(|(alias, _)| *alias);
        for path in aliases.chain([path]) {
            let slashed = format!("{path}/");
            self.router =
                self.router.route(path, on(filter, framed.clone())).route(&slashed, on(filter, framed.clone()));
            self.operations.push((method, path));
        }
        self
    }
}
