//! The OpenAPI document, generated from the handlers.
//!
//! Each module annotates its handlers with `#[utoipa::path]` and is listed in
//! [`Annotated`]. What is the same for every operation (operation ids as FastAPI made
//! them, so that generated clients keep their names; refusals; second paths) is put
//! in here, once.

use serde::Serialize;
use utoipa::OpenApi;
use utoipa::ToSchema;
use utoipa::openapi::Content;
use utoipa::openapi::Ref;
use utoipa::openapi::RefOr;
use utoipa::openapi::Response;
use utoipa::openapi::ResponseBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::path::PathItem;
use utoipa::openapi::security::HttpAuthScheme;
use utoipa::openapi::security::HttpBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::security::SecurityScheme;

use crate::error::Code;
use crate::rest;
use crate::rest::ALIASES;
use crate::rest::chunks;
use crate::rest::dashboard;
use crate::rest::documents;
use crate::rest::embeddings;
use crate::rest::events;
use crate::rest::pinecone;
use crate::rest::reconcile;
use crate::rest::sync;
use crate::service::access::Scope;

/// The name of the way in.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "AskTemoc Backend",
        description = "Documents, their chunks, the chunks' embeddings, and a vector index in step with them. Times are UTC without a zone.",
        license(name = "MIT OR Apache-2.0")
    ),
    paths(
        documents::list,
        documents::create,
        documents::search,
        documents::get,
        documents::update,
        documents::delete,
        documents::restore,
        chunks::list,
        chunks::create,
        chunks::create_batch,
        chunks::get,
        chunks::update,
        chunks::delete,
        chunks::restore,
        embeddings::create,
        embeddings::get,
        embeddings::update,
        embeddings::delete,
        pinecone::export_document,
        pinecone::export_unsynced,
        pinecone::export_batch,
        pinecone::delete_vectors,
        reconcile::reconcile_index,
        pinecone::index_stats,
        pinecone::search,
        pinecone::search_posted,
        dashboard::overview,
        dashboard::sync_status,
        dashboard::document_stats,
        dashboard::export_document,
        dashboard::duplicate,
        dashboard::batch_delete,
        dashboard::search,
        dashboard::activity,
        events::list,
        sync::list_jobs,
        sync::get_job,
        sync::cancel_job,
        sync::list_targets,
    ),
    components(schemas(Refusal, HttpValidationError, ValidationError))
)]
struct Annotated;

/// Why a request was not done.
#[derive(Debug, ToSchema)]
pub struct Refusal {
    /// One sentence.
    pub detail: String,
    /// The kind of the error, under a name that never changes its meaning.
    pub code: String,
}

/// Everything that is wrong with a request.
#[derive(Debug, ToSchema)]
#[schema(as = HTTPValidationError)]
pub struct HttpValidationError {
    /// One entry a flaw.
    pub detail: Vec<ValidationError>,
    /// `BAD_USER_INPUT`
    pub code: String,
}

/// One thing that is wrong with a request.
#[derive(Debug, ToSchema)]
#[schema(example = json!({
    "type": "missing", "loc": ["body", "title"], "msg": "Field required", "input": {}
}))]
pub struct ValidationError {
    /// Which rule is broken.
    pub r#type: String,
    /// Where: `body`, `query` or `path`, then field names and places in lists.
    #[schema(value_type = Vec<Step>)]
    pub loc: Vec<String>,
    /// The rule in a sentence.
    pub msg: String,
    /// The value that breaks it.
    #[schema(value_type = serde_json::Value)]
    pub input: String,
    /// The rule's bounds, when it has any.
    #[schema(value_type = Option<Object>)]
    pub ctx: Option<String>,
}

/// A step into a request: a field's name, or a place in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Step {
    /// A field's name.
    Field(String),
    /// A place in a list, from 0.
    Index(u64),
}

/// The document.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = Annotated::openapi();
    let paths = &mut document.paths.paths;
    for (alias, canonical) in ALIASES {
        if let Some(item) = paths.get(canonical).cloned() {
            paths.insert(alias.to_owned(), item);
        }
    }
    for (path, item) in paths {
        for (method, operation) in operations(item) {
            finish(operation, path, method);
        }
    }
    for (method, path, scope) in rest::guards() {
        let item = document.paths.paths.get_mut(path).map(operations);
        let operation = item.and_then(|mut all| all.find(|(own, _)| own.eq_ignore_ascii_case(method)));
        if let Some((_, operation)) = operation {
            guard(operation, method, path, scope);
        }
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("cd_…").description(Some(
        "An API key. A server that listens on a loopback address lets its own machine in without one, unless it was told otherwise.",
    ));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer.build()));
    document
}

/// The operations of a path.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put), ("delete", &mut item.delete)]
        .into_iter()
        .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

fn finish(operation: &mut Operation, path: &str, method: &str) {
    // FastAPI's rule, for the sake of generated clients.
    operation.operation_id = operation.operation_id.as_ref().map(|name| {
        let words = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        format!("{}_{method}", format!("{name}{path}").chars().map(words).collect::<String>())
    });
    let has_id = path.contains('{');
    let reads = operation.parameters.is_some() || operation.request_body.is_some();
    if has_id {
        refuse(operation, Code::NotFound, "Nothing live has that id", "Document not found");
    }
    if operation.request_body.is_some() {
        refuse(operation, Code::PayloadTooLarge, "The body is too large", "The body is larger than 10000000 bytes");
    }
    if reads {
        let response = response("Everything that is wrong with the request", "HTTPValidationError", None);
        operation.responses.responses.entry("422".to_owned()).or_insert(response);
    }
    refuse(
        operation,
        Code::Internal,
        "A defect; the header `x-request-id` names its line in the log",
        "Internal Server Error",
    );
    refuse(operation, Code::Timeout, "It took longer than a request may take", "The request took too long");
}

/// What an operation needs: a key, or none where none is asked for.
fn guard(operation: &mut Operation, method: &str, path: &str, scope: Scope) {
    operation.security = Some(vec![SecurityRequirement::new(BEARER, [scope.name()]), SecurityRequirement::default()]);
    let row = "A key is needed, and none was given or one that is not valid";
    refuse(operation, Code::Unauthenticated, row, "The API key is not valid");
    let sentence = format!("The key does not have the scope `{}`", scope.name());
    let example = format!("{method} {path} needs an API key of the scope {}", scope.name());
    refuse(operation, Code::Forbidden, &sentence, &example);
    if operation.request_body.is_some() {
        refuse(operation, Code::RequestTimeout, "The body comes too slowly", "The body comes too slowly");
    }
    let row = "More than one client may ask in a while; `Retry-After` says when to ask again";
    refuse(operation, Code::RateLimited, row, "More was asked than one client may: ask again in 7 s");
    let row = "More than the server can do at a time; `Retry-After` says when to ask again";
    refuse(operation, Code::Unavailable, row, crate::capacity::BUSY);
}

fn response(description: &str, schema: &str, example: Option<serde_json::Value>) -> RefOr<Response> {
    let mut content = Content::new(Some(Ref::from_schema_name(schema)));
    content.example = example;
    RefOr::T(ResponseBuilder::new().description(description).content("application/json", content).build())
}

fn refuse(operation: &mut Operation, code: Code, description: &str, detail: &str) {
    let row = code.row();
    let example = serde_json::json!({ "detail": detail, "code": row.name });
    let response = response(description, "Refusal", Some(example));
    operation.responses.responses.entry(row.status.to_string()).or_insert(response);
}
