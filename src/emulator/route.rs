//! Every path of the emulator on one screen.

use axum::Router;
use axum::extract::Request;
use axum::extract::State;
use axum::response::Response;
use axum::routing::any;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;
use futures_util::future::BoxFuture;

use crate::emulator::frame;
use crate::emulator::frame::Server;
use crate::emulator::meta;
use crate::emulator::operation::Operation;

/// The routes: both planes, what the service has beside them, and the bench's own.
pub fn router(server: Server) -> Router {
    let data = Router::new()
        .route("/vectors/upsert", post(on(Operation::Upsert)))
        .route("/vectors/update", post(on(Operation::Update)))
        .route("/vectors/delete", post(on(Operation::Delete)))
        .route("/vectors/fetch", get(on(Operation::Fetch)))
        .route("/vectors/fetch_by_metadata", post(on(Operation::FetchByMetadata)))
        .route("/vectors/list", get(on(Operation::List)))
        .route("/query", post(on(Operation::Query)))
        .route("/describe_index_stats", post(on(Operation::Stats)))
        .route("/namespaces", get(on(Operation::ListNamespaces)).post(on(Operation::CreateNamespace)))
        .route(
            "/namespaces/{namespace}",
            get(on(Operation::DescribeNamespace)).merge(delete(on(Operation::DeleteNamespace))),
        )
        .route("/namespaces/{namespace}/{*rest}", any(on(Operation::DataMissing)))
        .route("/records/{*rest}", any(on(Operation::DataMissing)))
        .route("/bulk/{*rest}", any(on(Operation::DataMissing)));
    let mut all = Router::new()
        .route("/indexes", get(on(Operation::ListIndexes)).post(on(Operation::CreateIndex)))
        .route("/indexes/create-for-model", post(on(Operation::ControlMissing)))
        .route(
            "/indexes/{index}",
            get(on(Operation::DescribeIndex)).patch(on(Operation::ConfigureIndex)).delete(on(Operation::DeleteIndex)),
        )
        .route("/indexes/{index}/{*rest}", any(on(Operation::ControlMissing)))
        .nest("/i/{index}", data);
    for path in ["/collections", "/backups", "/restore-jobs", "/models"] {
        all = all
            .route(path, any(on(Operation::ControlMissing)))
            .route(&format!("{path}/{{*rest}}"), any(on(Operation::ControlMissing)));
    }
    all.route("/embed", any(on(Operation::ControlMissing)))
        .route("/rerank", any(on(Operation::ControlMissing)))
        .route("/_faults", any(meta::faults))
        .route("/_faults/land", any(meta::land))
        .route("/_requests", any(meta::requests))
        .fallback(on(Operation::Unknown))
        .method_not_allowed_fallback(on(Operation::Unknown))
        .with_state(server)
}

/// The handler of an operation: all of them go through the same frame.
fn on(
    operation: Operation,
) -> impl Fn(State<Server>, Request) -> BoxFuture<'static, Response> + Clone + Send + Sync + 'static {
    move |State(server), request| Box::pin(frame::serve(server, operation, request))
}
