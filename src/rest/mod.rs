//! The REST edge: the API that clients of the first backend speak.
//!
//! Every path is on this page. Each is served with and without a trailing slash, and
//! some under a second name, because the documented paths and the ones clients came to
//! use differ. What a handler may assume is in [`extract`], how values are read in
//! [`fields`], what an error looks like in [`error`].

pub mod dashboard;
pub mod documents;
pub mod error;
pub mod extract;
pub mod fields;

use std::future::Future;

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
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
    routes().router.method_not_allowed_fallback(refused).fallback(missing).with_state(app)
}

/// Every operation of the REST API: method and path.
#[must_use]
pub fn operations() -> Vec<(Method, &'static str)> {
    routes().operations
}

fn routes() -> Routes {
    Routes::default()
        .get("/api/documents", documents::list)
        .post("/api/documents", documents::create)
        .post("/api/documents/search", documents::search)
        .get("/api/documents/{doc_id}", documents::get)
        .delete("/api/documents/{doc_id}", documents::delete)
        .get("/api/dashboard/overview", dashboard::overview)
        .get("/api/dashboard/sync-status", dashboard::sync_status)
        .get("/api/dashboard/document/{doc_id}/stats", dashboard::document_stats)
        .get("/api/dashboard/document/{doc_id}/export", dashboard::export_document)
        .post("/api/dashboard/document/{doc_id}/duplicate", dashboard::duplicate)
        .post("/api/dashboard/documents/batch-delete", dashboard::batch_delete)
        .get("/api/dashboard/search", dashboard::search)
        .get("/api/dashboard/activity", dashboard::activity)
}

/// Paths and handlers, and the list of them that the OpenAPI document is held against.
#[derive(Debug, Default)]
struct Routes {
    router: Router<App>,
    operations: Vec<(Method, &'static str)>,
}

impl Routes {
    fn get<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on(Method::GET, MethodFilter::GET, path, handler)
    }

    fn post<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on(Method::POST, MethodFilter::POST, path, handler)
    }

    fn delete<F, Fut>(self, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        self.on(Method::DELETE, MethodFilter::DELETE, path, handler)
    }

    fn on<F, Fut>(mut self, method: Method, filter: MethodFilter, path: &'static str, handler: F) -> Self
    where
        F: FnOnce(Call) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send,
    {
        let framed = move |State(app): State<App>, request: Request| frame(app.cx().for_request(), request, handler);
        self.router =
            self.router.route(path, on(filter, framed.clone())).route(&format!("{path}/"), on(filter, framed));
        self.operations.push((method, path));
        self
    }
}
