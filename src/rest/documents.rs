//! `/api/documents`: the documents themselves.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::clock::naive_iso;
use crate::config::Limits;
use crate::entity::document;
use crate::error::Rule;
use crate::rest::error::Failure;
use crate::rest::extract::Call;
use crate::rest::extract::Form;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::extract::no_content;
use crate::rest::extract::stored_json;
use crate::rest::fields::Fields;
use crate::rest::fields::boolean;
use crate::rest::fields::flaw;
use crate::rest::fields::integer;
use crate::rest::fields::keep_or;
use crate::rest::fields::metadata;
use crate::rest::fields::natural;
use crate::rest::fields::object;
use crate::rest::fields::string;
use crate::rest::links::Listing;
use crate::rest::openapi::Refusal;
use crate::rest::tags;
use crate::service;
use crate::service::Delete;
use crate::service::MetadataMode;
use crate::service::documents::DocumentPatch;
use crate::service::documents::NewDocument;
use crate::service::documents::WHAT;
use crate::service::lists::Deleted;
use crate::service::lists::Window;
use crate::service::rules;

/// A document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentResponse, example = json!({
    "id": "019ab3c1-8a5e-7c3f-9d51-2f6b0a9c7e10", "title": "Handbook", "source": "https://example.org/handbook.pdf",
    "metadata": { "language": "en" }, "created_at": "2026-11-22T06:05:27.938024",
    "updated_at": "2026-11-22T06:05:27.938024", "is_deleted": false
}))]
pub struct DocumentOut {
    id: String,
    title: String,
    source: Option<String>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    created_at: String,
    #[schema(pattern = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$")]
    updated_at: String,
    is_deleted: bool,
}

impl From<document::Model> for DocumentOut {
    fn from(row: document::Model) -> Self {
        let document::Model {
            id,
            namespace: _,
            title,
            source,
            metadata,
            revision: _,
            created_at,
            updated_at,
            deleted_at,
            title_folded: _,
            source_folded: _,
        } = row;
        Self {
            id,
            title,
            source,
            metadata: metadata.as_deref().and_then(stored_json),
            created_at: naive_iso(created_at),
            updated_at: naive_iso(updated_at),
            is_deleted: deleted_at.is_some(),
        }
    }
}

/// A document with its count of live chunks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentDetailResponse)]
pub struct DocumentDetailOut {
    #[serde(flatten)]
    document: DocumentOut,
    chunk_count: u64,
}

/// Documents that match a search.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SearchResponse)]
pub struct DocumentSearchOut {
    count: usize,
    results: Vec<DocumentOut>,
}

/// A document to create.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "title": "Handbook", "source": "https://example.org/handbook.pdf", "metadata": { "language": "en" } }))]
pub struct DocumentCreate {
    /// Its title.
    #[schema(min_length = 1, max_length = 255)]
    pub title: String,
    /// Where it came from.
    #[schema(max_length = 512)]
    pub source: Option<String>,
    /// Whatever belongs to the document.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<String>,
}

/// What to change of a document; what is absent or null stays.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "title": "Handbook, second edition", "metadata": { "edition": 2 } }))]
pub struct DocumentUpdate {
    /// Its title.
    #[schema(min_length = 1, max_length = 255)]
    pub title: Option<String>,
    /// Where it came from.
    #[schema(max_length = 512)]
    pub source: Option<String>,
    /// Merged key by key at the top level, unless `metadata_mode=replace`.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<String>,
}

/// What to look for.
#[derive(Debug, ToSchema)]
#[schema(example = json!({ "query": "hand" }))]
pub struct DocumentSearch {
    /// A part of a title or of a source, in any case.
    #[schema(min_length = 1)]
    pub query: String,
}

fn new_document(fields: &mut Fields<'_>, limits: &Limits) -> Option<NewDocument> {
    let title = fields.required("title", string(rules::title));
    let source = fields.optional("source", string(rules::source));
    let metadata = fields.optional("metadata", metadata(limits));
    Some(NewDocument { title: title?, source, metadata, ..NewDocument::default() })
}

/// Create a document.
#[utoipa::path(
    post, path = "/api/documents", tag = "documents", operation_id = "create_document",
    request_body = DocumentCreate,
    responses((status = 201, description = "Created", body = DocumentOut, headers(("ETag" = String, description = "Its revision")))),
)]
pub async fn create(call: Call) -> Outcome {
    let cx = call.cx();
    let mut form = call.form();
    let new = form.body(object(|fields| new_document(fields, &cx.config().limits)));
    let row = service::documents::create(cx, form.finish(new)?).await?;
    tags::tagged(row.revision, json(StatusCode::CREATED, &DocumentOut::from(row)))
}

/// List documents.
#[utoipa::path(
    get, path = "/api/documents", tag = "documents", operation_id = "list_documents",
    params(
        ("skip" = Option<u64>, Query, description = "Documents to pass over (0)", minimum = 0),
        ("limit" = Option<u64>, Query, description = "Documents to give at most (100)", minimum = 0),
        ("include_deleted" = Option<bool>, Query, description = "Soft-deleted ones too (false)"),
    ),
    responses((status = 200, description = "Documents, oldest first", body = Vec<DocumentOut>, headers(
        ("X-Total-Count" = u64, description = "How many there are"),
        ("Link" = String, description = "Where the other pages are, when there are any"),
    ))),
)]
pub async fn list(call: Call) -> Outcome {
    let mut form = call.form();
    let window = window(&mut form, 100);
    let deleted = form.query("include_deleted", boolean).unwrap_or_default();
    let window = form.finish(Some(window))?;
    let deleted = if deleted { Deleted::Shown } else { Deleted::Hidden };
    let listed = service::lists::documents(call.cx(), window, deleted).await?;
    let rows: Vec<DocumentOut> = listed.rows.into_iter().map(DocumentOut::from).collect();
    Listing::new(&call, listed.total).around(listed.window).answer(&rows)
}

/// The `skip` and `limit` of a list.
pub fn window(form: &mut Form<'_>, limit: u64) -> Window {
    let skip = form.query("skip", integer(natural)).map_or(0, i64::unsigned_abs);
    let limit = form.query("limit", integer(natural)).map_or(limit, i64::unsigned_abs);
    Window { skip, limit }
}

/// Find documents by title or source.
#[utoipa::path(
    post, path = "/api/documents/search", tag = "documents", operation_id = "search_documents",
    request_body = DocumentSearch,
    responses((status = 200, description = "Documents that match", body = DocumentSearchOut)),
)]
pub async fn search(call: Call) -> Outcome {
    let mut form = call.form();
    let query = form.body(object(|fields| fields.required("query", string(rules::search))));
    let rows = service::lists::search(call.cx(), &form.finish(query)?).await?;
    let results: Vec<DocumentOut> = rows.into_iter().map(DocumentOut::from).collect();
    json(StatusCode::OK, &DocumentSearchOut { count: results.len(), results })
}

/// Read a document.
#[utoipa::path(
    get, path = "/api/documents/{doc_id}", tag = "documents", operation_id = "get_document",
    params(("doc_id" = String, Path, description = "The document")),
    responses((status = 200, description = "The document", body = DocumentDetailOut, headers(("ETag" = String, description = "Its revision")))),
)]
pub async fn get(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let (row, chunk_count) = service::lists::document(call.cx(), &id).await?;
    tags::tagged(row.revision, json(StatusCode::OK, &DocumentDetailOut { document: row.into(), chunk_count }))
}

/// Change a document.
#[utoipa::path(
    put, path = "/api/documents/{doc_id}", tag = "documents", operation_id = "update_document",
    params(
        ("doc_id" = String, Path, description = "The document"),
        ("metadata_mode" = Option<String>, Query, description = "`merge` (the default) or `replace`"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the document that is to be changed"),
    ),
    request_body = DocumentUpdate,
    responses(
        (status = 200, description = "The document as it is now", body = DocumentOut, headers(("ETag" = String, description = "Its revision"))),
        (status = 412, description = "The document is at another revision than `If-Match` says", body = Refusal),
    ),
)]
pub async fn update(call: Call) -> Outcome {
    let cx = call.cx();
    let id = call.id("doc_id", WHAT)?;
    let mut form = call.form();
    let metadata_mode = metadata_mode(&mut form);
    let patch = form.body(object(|fields: &mut Fields<'_>| {
        let title = keep_or(fields.optional("title", string(rules::title)));
        let source = keep_or(fields.optional("source", string(rules::source)));
        let metadata = keep_or(fields.optional("metadata", metadata(&cx.config().limits)));
        Some(DocumentPatch { title, source, metadata, metadata_mode, ..DocumentPatch::default() })
    }));
    let patch = DocumentPatch { if_revision: tags::expected(&call), ..form.finish(patch)? };
    let row = service::documents::update(cx, &id, patch).await.map_err(|error| tags::failed(&call, error))?;
    tags::tagged(row.revision, json(StatusCode::OK, &DocumentOut::from(row)))
}

/// How given metadata meets what is stored, from `metadata_mode`.
pub fn metadata_mode(form: &mut Form<'_>) -> MetadataMode {
    let mode = form.query("metadata_mode", |value| match value.as_str() {
        Some("merge") => Ok(MetadataMode::Merge),
        Some("replace") => Ok(MetadataMode::Replace),
        _ => flaw(Rule::Value("Input should be 'merge' or 'replace'".to_owned()), value),
    });
    mode.unwrap_or_default()
}

/// Take a soft deletion back.
#[utoipa::path(
    post, path = "/api/documents/{doc_id}/restore", tag = "documents", operation_id = "restore_document",
    params(("doc_id" = String, Path, description = "The document")),
    responses((status = 200, description = "The document as it is now; a live one stays as it is", body = DocumentOut, headers(("ETag" = String, description = "Its revision")))),
)]
pub async fn restore(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let row = service::documents::restore(call.cx(), &id).await?;
    tags::tagged(row.revision, json(StatusCode::OK, &DocumentOut::from(row)))
}

/// Delete a document.
#[utoipa::path(
    delete, path = "/api/documents/{doc_id}", tag = "documents", operation_id = "delete_document",
    params(
        ("doc_id" = String, Path, description = "The document"),
        ("hard_delete" = Option<bool>, Query, description = "Beyond restoring, with everything below it (false)"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the document that is to be deleted"),
    ),
    responses(
        (status = 204, description = "Deleted, or it already was"),
        (status = 412, description = "The document is at another revision than `If-Match` says", body = Refusal),
    ),
)]
pub async fn delete(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let mode = delete_mode(&call)?;
    let expected = tags::expected(&call);
    service::documents::delete_at(call.cx(), &id, mode, expected).await.map_err(|error| tags::failed(&call, error))?;
    Ok(no_content())
}

/// How to delete, from `hard_delete`.
///
/// # Errors
/// A flawed parameter.
pub fn delete_mode(call: &Call) -> Result<Delete, Failure> {
    let mut form = call.form();
    let hard = form.query("hard_delete", boolean).unwrap_or_default();
    form.finish(Some(if hard { Delete::Hard } else { Delete::Soft }))
}
