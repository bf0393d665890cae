//! `/api/documents`: the documents themselves.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::clock::naive_iso;
use crate::config::Limits;
use crate::entity::document;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::extract::no_content;
use crate::rest::extract::stored_json;
use crate::rest::fields::Fields;
use crate::rest::fields::boolean;
use crate::rest::fields::integer;
use crate::rest::fields::metadata;
use crate::rest::fields::natural;
use crate::rest::fields::object;
use crate::rest::fields::string;
use crate::service;
use crate::service::Delete;
use crate::service::documents::NewDocument;
use crate::service::documents::WHAT;
use crate::service::lists::Deleted;
use crate::service::lists::Window;
use crate::service::rules;

/// A document.
#[derive(Debug, Serialize)]
pub struct DocumentOut {
    id: String,
    title: String,
    source: Option<String>,
    metadata: Option<Box<RawValue>>,
    created_at: String,
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
#[derive(Debug, Serialize)]
pub struct DocumentDetailOut {
    #[serde(flatten)]
    document: DocumentOut,
    chunk_count: u64,
}

/// Documents that match a search.
#[derive(Debug, Serialize)]
pub struct DocumentSearchOut {
    count: usize,
    results: Vec<DocumentOut>,
}

fn new_document(fields: &mut Fields<'_>, limits: &Limits) -> Option<NewDocument> {
    let title = fields.required("title", string(rules::title));
    let source = fields.optional("source", string(rules::source));
    let metadata = fields.optional("metadata", metadata(limits));
    Some(NewDocument { title: title?, source, metadata, ..NewDocument::default() })
}

/// Create a document.
pub async fn create(call: Call) -> Outcome {
    let cx = call.cx();
    let mut form = call.form();
    let new = form.body(object(|fields| new_document(fields, &cx.config().limits)));
    let row = service::documents::create(cx, form.finish(new)?).await?;
    json(StatusCode::CREATED, &DocumentOut::from(row))
}

/// List documents.
pub async fn list(call: Call) -> Outcome {
    let mut form = call.form();
    let window = window(&mut form, 100);
    let deleted = form.query("include_deleted", boolean).unwrap_or_default();
    let window = form.finish(Some(window))?;
    let deleted = if deleted { Deleted::Shown } else { Deleted::Hidden };
    let rows = service::lists::documents(call.cx(), window, deleted).await?;
    json(StatusCode::OK, &rows.into_iter().map(DocumentOut::from).collect::<Vec<_>>())
}

/// The `skip` and `limit` of a list.
pub fn window(form: &mut crate::rest::extract::Form<'_>, limit: u64) -> Window {
    let skip = form.query("skip", integer(natural)).map_or(0, i64::unsigned_abs);
    let limit = form.query("limit", integer(natural)).map_or(limit, i64::unsigned_abs);
    Window { skip, limit }
}

/// Find documents by title or source.
pub async fn search(call: Call) -> Outcome {
    let mut form = call.form();
    let query = form.body(object(|fields| fields.required("query", string(rules::search))));
    let rows = service::lists::search(call.cx(), &form.finish(query)?).await?;
    let results: Vec<DocumentOut> = rows.into_iter().map(DocumentOut::from).collect();
    json(StatusCode::OK, &DocumentSearchOut { count: results.len(), results })
}

/// Read a document.
pub async fn get(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let (row, chunk_count) = service::lists::document(call.cx(), &id).await?;
    json(StatusCode::OK, &DocumentDetailOut { document: row.into(), chunk_count })
}

/// Delete a document.
pub async fn delete(call: Call) -> Outcome {
    let id = call.id("doc_id", WHAT)?;
    let mode = delete_mode(&call)?;
    service::documents::delete(call.cx(), &id, mode).await?;
    Ok::<Response, _>(no_content())
}

/// How to delete, from `hard_delete`.
///
/// # Errors
/// A flawed parameter.
pub fn delete_mode(call: &Call) -> Result<Delete, crate::rest::error::Failure> {
    let mut form = call.form();
    let hard = form.query("hard_delete", boolean).unwrap_or_default();
    form.finish(Some(if hard { Delete::Hard } else { Delete::Soft }))
}
